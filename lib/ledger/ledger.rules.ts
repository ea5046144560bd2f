/** Pure rules of the ledger (economy.md §2). Amounts are whole satoshis. */

/** `lightning`, `operator`, `fees:routing`, `revenue:…`, `pool`, `job:<handle>`, `session:<handle>`, `reserved:<requestId>`, `refund:<id>` */
export type Account = string;

/** Money moves from one account to another. `id` says what the posting is for: the same id can apply only once. */
export interface Posting {
  id: string;
  from: Account;
  to: Account;
  /** Whole, positive. */
  sats: number;
  kind: string;
  /** What it is about: a payment hash, a job's handle, … Never a capability. */
  ref: string;
}

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

const MAY_BE_NEGATIVE: ReadonlySet<Account> = new Set(["lightning", "operator", "fees:routing"]);
const ACCOUNT =
  /^(lightning|operator|pool|fees:routing|revenue:(eval|work|session)|(job|session|reserved|refund):[0-9a-z-]{1,64})$/;

/** Only the wallet's own account, the operator's and the fees may go below zero. */
export const mayBeNegative = (account: Account): boolean => MAY_BE_NEGATIVE.has(account);

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
    if (!ACCOUNT.test(account)) {
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

/** The postings that posting something: rules may write down all they could make and leave out the empty ones here. */
export const nonZero = (postings: readonly Posting[]): Posting[] => postings.filter((posting) => posting.sats !== 0);
