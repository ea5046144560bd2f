import type { Key, Reader, Store, Tx, Versioned } from "@/lib/store/store.ts";
import { readable, type Shape } from "@/lib/store/readable.ts";
import { type Lease, runnerOf, type Slot } from "./runner.ts";

export type { Lease };

/** Plans a task, moves it to another time, or (null) ends it. There is at most one task of a kind for an id. */
export interface TaskOrder {
  kind: string;
  id: string;
  /** Milliseconds since the epoch. */
  dueAt: number | null;
  /** How many attempts have failed so far; 0 when left out. */
  attempt?: number;
  /** Its id was made a moment ago, so there can be no task of it yet: none is looked for. */
  isNew?: true;
}

/** The one row of a task. Exactly one index row points at it: under `due` while it waits, under `leased` while it runs. */
export interface TaskRow extends Versioned {
  v: 1;
  kind: string;
  id: string;
  dueAt: number;
  attempt: number;
  lease: { token: string; owner: string; until: number } | null;
}

export const taskKey = (kind: string, id: string): Key => ["task", kind, id];
/** The kind comes before the time, so that ten thousand waiting tasks of one kind hide none of another. */
export const dueKey = (kind: string, dueAt: number, id: string): Key => ["due", kind, dueAt, id];
export const leasedKey = (kind: string, id: string): Key => ["leased", kind, id];

const TASK: Shape<TaskRow> = {
  kind: "text",
  id: "text",
  dueAt: "whole",
  attempt: "count",
  lease: { "?": { token: "text", owner: "text", until: "whole" } },
};

/** @throws {UnreadableRow} */
export async function getTask(reader: Reader, kind: string, id: string): Promise<TaskRow | null> {
  const key = taskKey(kind, id);
  return readable(TASK, key, await reader.get<TaskRow>(key));
}

const indexKey = (row: TaskRow): Key => row.lease ? leasedKey(row.kind, row.id) : dueKey(row.kind, row.dueAt, row.id);

function put(tx: Tx, old: TaskRow | null, next: TaskRow | null): void {
  if (old) tx.delete(indexKey(old));
  if (!next) return tx.delete(taskKey(old!.kind, old!.id));
  if (old) tx.set(taskKey(next.kind, next.id), next);
  else tx.insert(taskKey(next.kind, next.id), next);
  // The task's own row told where its index row was: no other can be in the way.
  tx.insert(indexKey(next), { v: 1 });
}

/**
 * Writes what an order asks for. With a slot the task is leased at once.
 * @returns the lease when a slot was used, else null.
 */
export async function placeTask(tx: Tx, order: TaskOrder, slot: Slot | null): Promise<Lease | null> {
  const old = order.isNew ? null : await getTask(tx, order.kind, order.id);
  if (order.dueAt === null) {
    if (old) put(tx, old, null);
    return null;
  }
  const lease = slot && { token: slot.token, owner: slot.owner, until: slot.until };
  const { kind, id, dueAt, attempt = 0 } = order;
  put(tx, old, { v: 1, kind, id, dueAt, attempt, lease });
  return lease && { kind, id, attempt, ...lease };
}

/**
 * Takes the lease of a task that is due, or whose lease is void.
 * @returns null when there is nothing to take: it ended, was put off, or somebody else's lease lives.
 */
export async function takeLease(
  tx: Tx,
  input: { kind: string; id: string; slot: Slot; now: number; isVoid: (owner: string) => boolean },
): Promise<Lease | null> {
  const { kind, id, slot, now } = input;
  const row = await getTask(tx, kind, id);
  if (!row) return null;
  if (row.lease ? row.lease.until > now && !input.isVoid(row.lease.owner) : row.dueAt > now) return null;
  const lease = { token: slot.token, owner: slot.owner, until: slot.until };
  put(tx, row, { ...row, lease });
  return { kind, id, attempt: row.attempt, ...lease };
}

/** What one transaction has planned for a task. */
interface Planned {
  /** Settles when its rows are written. */
  written: Promise<void>;
  /** A later plan of the same transaction counts instead. */
  takeBack(): void;
}
/** By kind and id. A transaction that runs again has a `tx` of its own. */
const planned = new WeakMap<Tx, Map<string, Planned>>();

/**
 * Plans background work, moves it to another time or (null) ends it, in the caller's own commit. Work that is due now is
 * leased in that very commit when a place is free; otherwise the runner hears of it after the commit. The last plan for a
 * kind and an id counts.
 */
export async function plan(tx: Tx, order: TaskOrder): Promise<void> {
  const plans = planned.get(tx) ?? new Map<string, Planned>();
  planned.set(tx, plans);
  const name = `${order.kind}\n${order.id}`;
  const mine = place(tx, order, plans.get(name));
  plans.set(name, mine);
  await mine.written;
}

function place(tx: Tx, order: TaskOrder, before: Planned | undefined): Planned {
  const { kind, dueAt } = order;
  const runner = runnerOf(tx.store);
  let slot: Slot | null = null;
  let lease: Lease | null = null;
  let counts = true;
  const takeBack = () => {
    if (counts) slot?.release();
    counts = false;
  };
  const committed = () => {
    if (!counts || dueAt === null) return;
    if (slot && lease) return slot.start(lease);
    takeBack(); // of a plan that nobody awaited, and that was not written in time
    runner?.ring(kind, dueAt);
  };
  // First of all: it is refused when the transaction is over, and a place that was taken then would stay taken.
  tx.afterCommit(committed, takeBack);
  before?.takeBack();
  if (dueAt !== null) slot = runner?.reserve(kind, dueAt) ?? null;
  if (dueAt !== null && !slot) tx.ring(dueAt);
  const write = async () => {
    if (before) await before.written; // or both would find the row that was there before either
    lease = await placeTask(tx, order, slot);
  };
  return { written: write(), takeBack };
}

/** When the first waiting task of a kind is due (ms since the epoch); null: none waits. Reads one row of the index. */
export async function firstDueAt(store: Pick<Store, "list">, kind: string): Promise<number | null> {
  const [first] = await store.list(["due", kind], { limit: 1 });
  return typeof first?.key[2] === "number" ? first.key[2] : null;
}

/** True while `lease` is the task's own: false once the task ended, was re-planned, or was taken over. */
export async function holdsLease(tx: Tx, lease: Lease): Promise<boolean> {
  const row = await getTask(tx, lease.kind, lease.id);
  return row?.lease?.token === lease.token;
}

/** Moves the end of a lease. @returns false when it is no longer held. */
export async function renewLease(tx: Tx, lease: Lease, until: number): Promise<boolean> {
  const row = await getTask(tx, lease.kind, lease.id);
  if (row?.lease?.token !== lease.token) return false;
  put(tx, row, { ...row, lease: { ...row.lease, until } });
  return true;
}

/** Gives a lease back: the task is due again at `dueAt`. @returns false when it was no longer held. */
export async function releaseLease(tx: Tx, lease: Lease, dueAt: number, attempt: number): Promise<boolean> {
  const row = await getTask(tx, lease.kind, lease.id);
  if (row?.lease?.token !== lease.token) return false;
  put(tx, row, { ...row, dueAt, attempt, lease: null });
  return true;
}
