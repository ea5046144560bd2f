/**
 * Failures before any text that cost the instance something (economy.md §4a): a payer has a few an hour free, and the instance
 * bears so much an hour in all. Without the first, failing on purpose would spend the operator's money; without the second,
 * many payers together would.
 */
import type { Key, Reader, Tx } from "@/lib/store/store.ts";
import { setExpiring } from "@/lib/tasks/expiring.ts";

/** Free failures that a payer has in any hour: by session, by key and by address, each counted on its own. */
export const FREE_FAILURES_PER_HOUR = 5;
const HOUR_MS = 3_600_000;

/** One that was borne: when, and what it cost (sats). */
type Failure = [at: number, sats: number];
interface FailuresRow {
  v: 1;
  /** Those of the last hour, oldest first. */
  failures: readonly Failure[];
  /** Of all payers: when one that did not fit may fit again (ms since the epoch). */
  fullUntil?: number;
}

/** Whose failures are counted together. `caller` is a client address under a name that tells nobody the address. */
export interface Payers {
  session: string | null;
  pubkey: string | null;
  caller: string | null;
}

const IN_ALL: Key = ["free_failures", "all"];
const keysOf = ({ session, pubkey, caller }: Payers): Key[] =>
  Object.entries({ session, pubkey, caller }).flatMap(([kind, name]) =>
    name === null ? [] : [["free_failures", kind, name]]
  );

async function recent(reader: Reader, key: Key, now: number): Promise<readonly Failure[]> {
  const row = await reader.get<FailuresRow>(key);
  return row ? row.failures.filter(([at]) => at > now - HOUR_MS) : [];
}

const sum = (failures: readonly Failure[]): number => failures.reduce((sats, [, cost]) => sats + cost, 0);

/** When the oldest of them is an hour old (ms since the epoch); null without any. */
const firstEnds = ([first]: readonly Failure[]): number | null => first === undefined ? null : first[0] + HOUR_MS;

/**
 * When the instance bears failures again (ms since the epoch); null while it does.
 * @param satsPerHour FREE_FAILURES_SATS_PER_HOUR
 */
export async function failuresBorneAgainAt(reader: Reader, satsPerHour: number, now: number): Promise<number | null> {
  const row = await reader.get<FailuresRow>(IN_ALL);
  if (row?.fullUntil !== undefined && row.fullUntil > now) return row.fullUntil;
  const failures = row?.failures.filter(([at]) => at > now - HOUR_MS) ?? [];
  return sum(failures) < satsPerHour ? null : firstEnds(failures);
}

/** What the instance has borne in the last hour (sats). */
export const borneSats = async (reader: Reader, now: number): Promise<number> => sum(await recent(reader, IN_ALL, now));

/**
 * Counts a failure that cost the instance `sats`, in the transaction that ends the request, unless the payer has had its share
 * or the instance bears no more.
 * @returns whether it is free.
 */
export async function bearFailure(
  tx: Tx,
  payers: Payers,
  { sats, satsPerHour, now }: { sats: number; satsPerHour: number; now: number },
): Promise<boolean> {
  const keys = keysOf(payers);
  if (sats === 0 || keys.length === 0) return true; // nobody in particular: the operator pays himself
  const counts = await Promise.all(keys.map(async (key) => ({ key, failures: await recent(tx, key, now) })));
  if (counts.some(({ failures }) => failures.length >= FREE_FAILURES_PER_HOUR)) return false;
  const inAll = await recent(tx, IN_ALL, now);
  if (sum(inAll) + sats > satsPerHour) {
    // From now on nothing begins that might fail at somebody's cost: only what was under way is charged.
    const fullUntil = firstEnds(inAll);
    if (fullUntil !== null) {
      await setExpiring<FailuresRow>(tx, IN_ALL, { v: 1, failures: inAll, fullUntil }, now + HOUR_MS);
    }
    return false;
  }
  for (const { key, failures } of [...counts, { key: IN_ALL, failures: inAll }]) {
    await setExpiring<FailuresRow>(tx, key, { v: 1, failures: [...failures, [now, sats]] }, now + HOUR_MS);
  }
  return true;
}
