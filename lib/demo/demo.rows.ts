import type { Key, Tx } from "@/lib/store/store.ts";
import { utcDay } from "@/lib/clock.ts";
import { dayEnd } from "@/lib/free-tier/free-tier.rules.ts";
import { setExpiring } from "@/lib/tasks/expiring.ts";
import { countDemo, type Counted, HOUR_MS } from "./demo.rules.ts";

interface AddressRow {
  v: 1;
  times: readonly number[];
}

interface DayRow {
  v: 1;
  used: number;
}

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
