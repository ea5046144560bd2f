/** Challenges that wait: sessions and jobs whose first invoice nobody has paid yet. One row counts both. */
import type { Key, Reader, Tx } from "@/lib/store/store.ts";

const OPEN_CHALLENGES: Key = ["open_challenges"];

const openChallenges = async (reader: Reader): Promise<number> =>
  (await reader.get<{ v: 1; count: number }>(OPEN_CHALLENGES))?.count ?? 0;

/** Whether as many wait as may: each is an invoice and rows that nobody has paid for. @param max 0: no limit */
export const challengesFull = async (reader: Reader, max: number): Promise<boolean> =>
  max > 0 && await openChallenges(reader) >= max;

/** Counts what one write of a record changes: whether it waited before, and whether it does after. */
export async function countChallenge(tx: Tx, waited: boolean, waits: boolean): Promise<void> {
  if (waited === waits) return;
  tx.set(OPEN_CHALLENGES, { v: 1, count: await openChallenges(tx) + (waits ? 1 : -1) });
}
