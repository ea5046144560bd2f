import { plan } from "./due.ts";
import { sha256Hex } from "@/lib/ids.ts";
import type { Key, Reader, Store, Tx } from "@/lib/store/store.ts";
import type { TaskSpec } from "./queue.ts";
import { forgettingTask } from "./expiring.ts";

/** How long a key is remembered (ms): 24 hours (wire.md §1). */
export const IDEMPOTENCY_MS = 24 * 3_600_000;

/** The key of a caller, as it is stored: only hashes, since a key may be guessable and a body is the payer's. */
export interface IdempotencyScope {
  rowKey: Key;
  id: string;
  bodyHash: string;
}

/** What a key stands for: the record that the first call made. Its answer is rendered again from the record. */
interface IdempotencyRow {
  v: 1;
  bodyHash: string;
  ref: string;
  expiresAt: number;
}

/**
 * A caller's key for a route. Without a credential the client's address stands in for one: whoever guesses a
 * stranger's key must not be handed the stranger's job, whose id is a capability.
 */
export function idempotencyScope(
  input: { route: string; credential: string; key: string; body: unknown },
): IdempotencyScope {
  const id = sha256Hex(JSON.stringify([input.route, input.credential, input.key]));
  return { id, rowKey: ["idempotency", id], bodyHash: sha256Hex(JSON.stringify(input.body)) };
}

/** What this key was used for before: the record it made, another body (`conflict`), or nothing. */
export async function recall(
  reader: Reader,
  scope: IdempotencyScope,
  now: number,
): Promise<{ outcome: "new" | "conflict" } | { outcome: "known"; ref: string }> {
  const row = await reader.get<IdempotencyRow>(scope.rowKey);
  if (!row || row.expiresAt <= now) return { outcome: "new" };
  return row.bodyHash === scope.bodyHash ? { outcome: "known", ref: row.ref } : { outcome: "conflict" };
}

/** Remembers, in the transaction that makes the record, which record this key made. */
export async function remember(tx: Tx, scope: IdempotencyScope, ref: string, now: number): Promise<void> {
  const expiresAt = now + IDEMPOTENCY_MS;
  tx.set(scope.rowKey, { v: 1, bodyHash: scope.bodyHash, ref, expiresAt } satisfies IdempotencyRow);
  await plan(tx, { kind: "idempotency-expiry", id: scope.id, dueAt: expiresAt });
}

/** The same while what the key began lasts no longer than this process: a chat. */
export function rememberWhileRunning(tx: Tx, scope: IdempotencyScope, ref: string, now: number): void {
  const row: IdempotencyRow = { v: 1, bodyHash: scope.bodyHash, ref, expiresAt: now + IDEMPOTENCY_MS };
  tx.setVolatile(scope.rowKey, row);
}

/** Runs calls with the same name one after another, so that a second one finds what the first has made. */
export type OneAtATime = <T>(name: string, fn: () => Promise<T>) => Promise<T>;

export function createOneAtATime(): OneAtATime {
  const last = new Map<string, Promise<unknown>>();
  return async <T>(name: string, fn: () => Promise<T>): Promise<T> => {
    const before = last.get(name);
    const mine = (async () => {
      await before?.catch(() => {}); // the first caller gets its error; the second tries for itself
      return await fn();
    })();
    last.set(name, mine);
    try {
      return await mine;
    } finally {
      if (last.get(name) === mine) last.delete(name);
    }
  };
}

/** Forgets keys after their time. A key that has expired already counts for nothing: this only frees the row. */
export const idempotencyExpiryTask = (store: Store): TaskSpec =>
  forgettingTask(store, "idempotency-expiry", (id) => ["idempotency", id]);
