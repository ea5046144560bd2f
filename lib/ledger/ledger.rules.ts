/** Pure rules of the ledger (economy.md §2). Amounts are whole satoshis. */
import { type Account, classOf, mayBeNegative } from "./accounts.ts";
import type { Posting } from "./postings.ts";

/** A posting as it stands in the ledger, append-only. `at`: ms since the epoch. */
export interface Entry extends Posting {
  v: 1;
  at: number;
}

/** Two counters that only grow; the balance is `in − out`. */
export interface Counters {
  v: 1;
  in: number;
  out: number;
}

export const NO_COUNTERS: Counters = { v: 1, in: 0, out: 0 };
export const balanceOf = (counters: Counters): number => counters.in - counters.out;

export class LedgerError extends Error {
  override name = "LedgerError";
  constructor(readonly code: "overdraft" | "conflict" | "malformed", message: string) {
    super(message);
  }
}

/** @throws {LedgerError} `malformed` unless the posting is between two known accounts and of a whole, positive amount. */
export function checkPosting(posting: Posting): void {
  if (!Number.isSafeInteger(posting.sats) || posting.sats <= 0) {
    throw new LedgerError("malformed", `posting ${posting.id}: ${posting.sats} is no whole, positive number of sats`);
  }
  for (const account of [posting.from, posting.to]) {
    if (classOf(account) === null) {
      throw new LedgerError("malformed", `posting ${posting.id}: there is no account ${account}`);
    }
  }
  if (posting.from === posting.to) {
    throw new LedgerError("malformed", `posting ${posting.id}: both accounts are ${posting.from}`);
  }
}

/** True when `entry` records this very posting; `at` may differ. */
export const samePosting = (entry: Entry, posting: Posting): boolean =>
  entry.from === posting.from && entry.to === posting.to && entry.sats === posting.sats &&
  entry.kind === posting.kind &&
  entry.ref === posting.ref;

/**
 * The counters of all accounts after `postings`, in order.
 * @param before counters of every account that `postings` touch.
 * @throws {LedgerError} `overdraft` when a posting would take an account that may not be negative below zero.
 */
export function applyPostings(
  before: ReadonlyMap<Account, Counters>,
  postings: readonly Posting[],
): Map<Account, Counters> {
  const after = new Map(before);
  const of = (account: Account) => after.get(account) ?? NO_COUNTERS;
  for (const posting of postings) {
    const from = of(posting.from);
    const to = of(posting.to);
    if (!mayBeNegative(posting.from) && balanceOf(from) < posting.sats) {
      throw new LedgerError(
        "overdraft",
        `posting ${posting.id}: ${posting.from} holds ${balanceOf(from)} sats, not ${posting.sats}`,
      );
    }
    after.set(posting.from, { ...from, out: from.out + posting.sats });
    after.set(posting.to, { ...to, in: to.in + posting.sats });
  }
  return after;
}
