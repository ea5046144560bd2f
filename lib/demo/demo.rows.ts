import type { RecordIds } from "@/lib/ids.ts";
import { sha256Hex } from "@/lib/ids.ts";
import type { Key, Tx } from "@/lib/store/store.ts";
import { dayEnd, utcDay } from "@/lib/free-tier/free-tier.rules.ts";
import { setExpiring } from "@/lib/tasks/expiring.ts";
import { demoAnswer } from "@/lib/ledger/postings.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";
import { countDemo, type Counted, HOUR_MS } from "./demo.rules.ts";

interface AddressRow {
  v: 1;
  times: readonly number[];
}

interface DayRow {
  v: 1;
  used: number;
}

/**
 * The name an address is counted under. It is made with the instance's secret, so that a copy of the store tells nobody who
 * asked: there are few enough addresses to try them all against a plain hash.
 */
export const demoCaller = (recordIds: RecordIds, clientAddress: string): string =>
  sha256Hex(recordIds.idOf("demo", clientAddress));

const addressKey = (caller: string): Key => ["demo_address", caller];
const dayKey = (day: string): Key => ["demo_day", day];

/** Counts one demo answer against both limits; nothing is written when one is reached. */
export async function countOne(
  tx: Tx,
  { caller, dailyLimit, now }: { caller: string; dailyLimit: number; now: number },
): Promise<Counted> {
  const day = dayKey(utcDay(now));
  const times = (await tx.get<AddressRow>(addressKey(caller)))?.times ?? [];
  const today = await tx.get<DayRow>(day);
  const dayEndsAt = dayEnd(now);
  const counted = countDemo({ times, usedToday: today?.used ?? 0 }, { dailyLimit, dayEndsAt, now });
  if (counted.outcome !== "counted") return counted;
  const { use } = counted;
  await setExpiring<AddressRow>(tx, addressKey(caller), { v: 1, times: use.times }, now + HOUR_MS);
  const row: DayRow = { v: 1, used: use.usedToday };
  if (today) tx.set(day, row);
  // An hour more, for a clock that is set back over midnight.
  else await setExpiring(tx, day, row, dayEndsAt + HOUR_MS);
  return counted;
}

/** Books what a demo answer cost: the operator pays for it as anybody does for work. */
export async function bookDemo(
  tx: Tx,
  { id, state, sats, now }: { id: string; state: "complete" | "rejected"; sats: number; now: number },
): Promise<void> {
  await post(tx, [demoAnswer(id, sats)], now);
  tx.event({ type: "demo", handle: id, state, sats });
}
