import type { Key, Reader, Tx } from "@/lib/store/store.ts";
import {
  type Account,
  applyMoves,
  balanceOf,
  checkMove,
  type Counters,
  type Entry,
  LedgerError,
  type Move,
  NO_MOVES,
  sameMove,
} from "./ledger.rules.ts";

export const entryKey = (id: string): Key => ["entry", id];
export const accountKey = (account: Account): Key => ["account", account];

/**
 * Writes moves and the counters of both accounts of each. A move that stands in the ledger already is recognised by its
 * id and changes nothing.
 * @throws {LedgerError} `overdraft`; `conflict` when the id stands for another move; `malformed`.
 */
export async function post(tx: Tx, moves: readonly Move[], at: number): Promise<void> {
  moves.forEach(checkMove);
  const names = [...new Set(moves.flatMap((move) => [move.from, move.to]))];
  const [known, counters] = await Promise.all([
    Promise.all(moves.map((move) => tx.get<Entry>(entryKey(move.id)))),
    Promise.all(names.map((name) => tx.get<Counters>(accountKey(name)))),
  ]);
  const fresh = moves.filter((move, i) => {
    const entry = known[i];
    if (!entry) return true;
    if (!sameMove(entry, move)) throw new LedgerError("conflict", `entry ${move.id} stands for another move`);
    return false;
  });
  if (fresh.length === 0) return;
  const before = new Map(names.map((name, i) => [name, counters[i] ?? NO_MOVES]));
  for (const [name, after] of applyMoves(before, fresh)) {
    if (after !== before.get(name)) tx.set(accountKey(name), after);
  }
  for (const move of fresh) tx.set(entryKey(move.id), { v: 1, ...move, at } satisfies Entry);
}

/** Balance of an account in sats. */
export async function balance(reader: Reader, account: Account): Promise<number> {
  return balanceOf((await reader.get<Counters>(accountKey(account))) ?? NO_MOVES);
}
