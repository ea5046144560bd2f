/** Pure rules of the ledger (economy.md §2). Amounts are whole satoshis. */

/** `lightning`, `operator`, `fees:routing`, `revenue:…`, `pool`, `job:<handle>`, `session:<handle>`, `hold:<requestId>`, `refund:<id>` */
export type Account = string;

/** Money moves from one account to another. `id` says what the move is for: the same id can apply only once. */
export interface Move {
  id: string;
  from: Account;
  to: Account;
  /** Whole, positive. */
  sats: number;
  kind: string;
  /** What it is about: a payment hash, a job's handle, … Never a capability. */
  ref: string;
}

/** A move as it stands in the ledger, append-only. `at`: ms since the epoch. */
export interface Entry extends Move {
  v: 1;
  at: number;
}

/** Two counters that only grow; the balance is `in − out`. */
export interface Counters {
  v: 1;
  in: number;
  out: number;
}

export const NO_MOVES: Counters = { v: 1, in: 0, out: 0 };
export const balanceOf = (counters: Counters): number => counters.in - counters.out;

const MAY_BE_NEGATIVE: ReadonlySet<Account> = new Set(["lightning", "operator", "fees:routing"]);
/** `unclaimed` held what nobody claimed before there was a pool; nothing enters it any more. */
const ACCOUNT =
  /^(lightning|operator|pool|unclaimed|fees:routing|revenue:(eval|work|session)|(job|session|hold|refund):[0-9a-z-]{1,64})$/;

/** Only the wallet's own account, the operator's and the fees may go below zero. */
export const mayBeNegative = (account: Account): boolean => MAY_BE_NEGATIVE.has(account);

export class LedgerError extends Error {
  override name = "LedgerError";
  constructor(readonly code: "overdraft" | "conflict" | "malformed", message: string) {
    super(message);
  }
}

/** @throws {LedgerError} `malformed` unless the move is between two known accounts and of a whole, positive amount. */
export function checkMove(move: Move): void {
  if (!Number.isSafeInteger(move.sats) || move.sats <= 0) {
    throw new LedgerError("malformed", `move ${move.id}: ${move.sats} is no whole, positive number of sats`);
  }
  for (const account of [move.from, move.to]) {
    if (!ACCOUNT.test(account)) throw new LedgerError("malformed", `move ${move.id}: there is no account ${account}`);
  }
  if (move.from === move.to) throw new LedgerError("malformed", `move ${move.id}: both accounts are ${move.from}`);
}

/** True when `entry` records this very move; `at` may differ. */
export const sameMove = (entry: Entry, move: Move): boolean =>
  entry.from === move.from && entry.to === move.to && entry.sats === move.sats && entry.kind === move.kind &&
  entry.ref === move.ref;

/**
 * The counters of all accounts after `moves`, in order.
 * @param before counters of every account that `moves` touch.
 * @throws {LedgerError} `overdraft` when a move would take an account that may not be negative below zero.
 */
export function applyMoves(before: ReadonlyMap<Account, Counters>, moves: readonly Move[]): Map<Account, Counters> {
  const after = new Map(before);
  const of = (account: Account) => after.get(account) ?? NO_MOVES;
  for (const move of moves) {
    const from = of(move.from);
    const to = of(move.to);
    if (!mayBeNegative(move.from) && balanceOf(from) < move.sats) {
      throw new LedgerError(
        "overdraft",
        `move ${move.id}: ${move.from} holds ${balanceOf(from)} sats, not ${move.sats}`,
      );
    }
    after.set(move.from, { ...from, out: from.out + move.sats });
    after.set(move.to, { ...to, in: to.in + move.sats });
  }
  return after;
}

/** The moves that move something: rules may write down all they could make and leave out the empty ones here. */
export const nonZero = (moves: readonly Move[]): Move[] => moves.filter((move) => move.sats !== 0);
