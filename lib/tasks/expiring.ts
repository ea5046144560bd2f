import type { Key, Store, Tx, Versioned } from "@/lib/store/store.ts";
import type { TaskSpec } from "./queue.ts";
import { holdsLease, type Lease, plan } from "./due.ts";

/**
 * Writes a row that nobody needs after `until` (ms since the epoch). Whoever reads it must compare the time itself: the
 * row goes when its task comes round.
 */
export async function setExpiring<T extends Versioned>(tx: Tx, key: Key, value: T, until: number): Promise<void> {
  tx.set(key, value);
  await expireAt(tx, key, until);
}

/** Plans the end of a row that exists already; null: it is kept after all. */
export async function expireAt(tx: Tx, key: Key, until: number | null): Promise<void> {
  await plan(tx, { kind: "row-expiry", id: JSON.stringify(key), dueAt: until });
}

/** Deletes rows whose time is over. */
export const rowExpiryTask = (store: Store): TaskSpec =>
  forgettingTask(store, "row-expiry", (id) => JSON.parse(id) as Key);

/** A task that deletes one row and ends. @param keyOf the row that a task's id stands for */
export function forgettingTask(store: Store, kind: string, keyOf: (id: string) => Key): TaskSpec {
  const forget = async (lease: Lease) => {
    await store.transact(async (tx) => {
      if (!(await holdsLease(tx, lease))) return;
      tx.delete(keyOf(lease.id));
      await plan(tx, { kind: lease.kind, id: lease.id, dueAt: null });
    });
  };
  return {
    kind,
    concurrency: 32,
    leaseMs: 30_000,
    maxAttempts: Infinity,
    maxDelayMs: 60_000,
    run: forget,
    giveUp: forget,
  };
}
