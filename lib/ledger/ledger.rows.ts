import type { Key, Reader, Store, Tx } from "@/lib/store/store.ts";
import { readable, type Shape } from "@/lib/store/readable.ts";
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

export const COUNTERS: Shape<Counters> = { in: "count", out: "count" };

export async function getCounters(reader: Reader, account: Account): Promise<Counters | null> {
  const key = accountKey(account);
  return readable(COUNTERS, key, await reader.get<Counters>(key));
}

/** Those of several accounts at one moment: no posting lies between any two of them. */
export async function getCountersAtOnce(
  store: Pick<Store, "getMany">,
  accounts: readonly Account[],
): Promise<ReadonlyMap<Account, Counters>> {
  const keys = accounts.map(accountKey);
  const rows = await store.getMany(keys) as (Counters | null)[];
  return new Map(accounts.map((one, i) => [one, readable(COUNTERS, keys[i]!, rows[i] ?? null) ?? NO_COUNTERS]));
}

/**
 * Writes postings and the counters of both accounts of each. A posting that stands in the ledger already is recognised by its
 * id and changes nothing.
 * @throws {LedgerError} `overdraft`; `conflict` when the id stands for another posting; `malformed`.
 */
export async function post(tx: Tx, postings: readonly Posting[], at: number): Promise<void> {
  postings.forEach(checkPosting);
  const known = await Promise.all(postings.map((posting) => tx.get<Entry>(entryKey(posting.id))));
  const fresh = postings.filter((posting, i) => {
    const entry = known[i];
    if (!entry) return true;
    if (!samePosting(entry, posting)) {
      throw new LedgerError("conflict", `entry ${posting.id} stands for another posting`);
    }
    return false;
  });
  await write(tx, fresh, at);
}

/**
 * The same for postings that are certain to be new, since the record they are named by is ended in this very transaction, once:
 * their ids are not looked up.
 */
export async function postNew(tx: Tx, postings: readonly Posting[], at: number): Promise<void> {
  postings.forEach(checkPosting);
  await write(tx, postings, at);
}

async function write(tx: Tx, fresh: readonly Posting[], at: number): Promise<void> {
  if (fresh.length === 0) return;
  const names = [...new Set(fresh.flatMap((posting) => [posting.from, posting.to]))];
  const counters = await Promise.all(names.map((name) => getCounters(tx, name)));
  const before = new Map(names.map((name, i) => [name, counters[i] ?? NO_COUNTERS]));
  for (const [name, after] of applyPostings(before, fresh)) {
    if (after !== before.get(name)) tx.set(accountKey(name), after);
  }
  for (const posting of fresh) tx.insert(entryKey(posting.id), { v: 1, ...posting, at } satisfies Entry);
}

/** Balance of an account in sats. */
export async function balance(reader: Reader, account: Account): Promise<number> {
  return balanceOf((await getCounters(reader, account)) ?? NO_COUNTERS);
}
