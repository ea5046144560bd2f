import type { Key, Reader, Tx } from "@/lib/store/store.ts";
import type { Account } from "./accounts.ts";
import {
  applyPostings,
  balanceOf,
  checkPosting,
  type Counters,
  type Entry,
  LedgerError,
  NO_COUNTERS,
  samePosting,
} from "./ledger.rules.ts";
import type { Posting } from "./postings.ts";

export const entryKey = (id: string): Key => ["entry", id];
export const accountKey = (account: Account): Key => ["account", account];

/**
 * Writes postings and the counters of both accounts of each. A posting that stands in the ledger already is recognised by its
 * id and changes nothing.
 * @throws {LedgerError} `overdraft`; `conflict` when the id stands for another posting; `malformed`.
 */
export async function post(tx: Tx, postings: readonly Posting[], at: number): Promise<void> {
  postings.forEach(checkPosting);
  const names = [...new Set(postings.flatMap((posting) => [posting.from, posting.to]))];
  const [known, counters] = await Promise.all([
    Promise.all(postings.map((posting) => tx.get<Entry>(entryKey(posting.id)))),
    Promise.all(names.map((name) => tx.get<Counters>(accountKey(name)))),
  ]);
  const fresh = postings.filter((posting, i) => {
    const entry = known[i];
    if (!entry) return true;
    if (!samePosting(entry, posting)) {
      throw new LedgerError("conflict", `entry ${posting.id} stands for another posting`);
    }
    return false;
  });
  if (fresh.length === 0) return;
  const before = new Map(names.map((name, i) => [name, counters[i] ?? NO_COUNTERS]));
  for (const [name, after] of applyPostings(before, fresh)) {
    if (after !== before.get(name)) tx.set(accountKey(name), after);
  }
  for (const posting of fresh) tx.set(entryKey(posting.id), { v: 1, ...posting, at } satisfies Entry);
}

/** Balance of an account in sats. */
export async function balance(reader: Reader, account: Account): Promise<number> {
  return balanceOf((await reader.get<Counters>(accountKey(account))) ?? NO_COUNTERS);
}
