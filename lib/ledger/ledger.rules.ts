/** Pure rules of the ledger (economy.md §2). Amounts are whole satoshis. */
import { type Account, type AccountClass, classOf, mayBeNegative } from "./accounts.ts";
import { KINDS, type Posting } from "./postings.ts";

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

/** @throws {LedgerError} `malformed` unless the posting is of a whole, positive amount and goes where its kind goes. */
export function checkPosting(posting: Posting): void {
  const wrong = wrongAmount(posting.sats) ?? wrongWay(posting);
  if (wrong !== null) throw new LedgerError("malformed", `posting ${posting.id}: ${wrong}`);
}

/** @returns what is wrong with an amount of sats, or null. */
export const wrongAmount = (sats: number): string | null =>
  Number.isSafeInteger(sats) && sats > 0 ? null : `${sats} is no whole, positive number of sats`;

const WAYS: ReadonlyMap<string, { from: readonly AccountClass[]; to: readonly AccountClass[] }> = new Map(
  Object.entries(KINDS),
);

/**
 * @param posting one that is to be written, or one that was read and may be anything.
 * @returns what is wrong with its kind and its accounts by the chart of accounts, or null.
 */
export function wrongWay({ kind, from, to }: { kind: string; from: string; to: string }): string | null {
  const [source, target] = [classOf(from), classOf(to)];
  if (source === null || target === null) return `there is no account ${source === null ? from : to}`;
  if (from === to) return `both accounts are ${from}`;
  const way = WAYS.get(kind);
  if (!way) return `there is no kind of posting ${kind}`;
  if (way.from.includes(source) && way.to.includes(target)) return null;
  return `no ${kind} goes from ${from} to ${to}`;
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
