import type { Clock } from "@/lib/clock.ts";
import type { Random } from "@/lib/ids.ts";
import type { Versioned } from "./codec.ts";
import type { Engine, Key } from "./engine.ts";
import type { Lease, TaskOrder } from "@/lib/tasks/due.ts";

/** The store as everything above sees it. */
export type { Key, Versioned };

/** A JSON object without `v`; the store adds `v`, `seq` and `at`. `type` names what happened. */
export type EventBody = { type: string } & Record<string, unknown>;
export type StoredEvent = EventBody & { v: 1; seq: number; at: number };

/**
 * What a transaction function may do. It awaits nothing else, has no effect outside, and may run twice: time,
 * randomness and ids are its arguments.
 */
export interface Tx {
  /** The row as this transaction sees it: its own writes, then those of the transactions before it. */
  get<T extends Versioned>(key: Key): Promise<T | null>;
  set<T extends Versioned>(key: Key, value: T): void;
  delete(key: Key): void;
  /**
   * Writes a row whose key was never written before: its id is random or otherwise unique. It is not looked up first.
   * @throws {TypeError} when a row of this key is known to be there.
   */
  insert<T extends Versioned>(key: Key, value: T): void;
  /**
   * Writes a row that lives in this process's memory alone, in the same serial order, and is gone with the process. It
   * hides a durable row of the same key. `Store.list` does not show it. `value` is kept, frozen: it must not be changed.
   */
  setVolatile<T extends Versioned>(key: Key, value: T): void;
  /** Takes a volatile row away; a durable row of the same key stays. */
  deleteVolatile(key: Key): void;
  /** Plans background work (or ends it: `dueAt: null`) in the same commit; the last order for a kind and id counts. */
  task(order: TaskOrder): void;
  /** Appends to the event log in the same commit. */
  event(body: EventBody): void;
}

/** The reading half of {@link Tx}, for code that serves both a transaction and a plain read. */
export type Reader = Pick<Tx, "get">;

/** Lets the task runner start work that is due at once without a second commit: the lease is part of the first one. */
export interface Claimer {
  /** A free place for a task of this kind, or null. */
  reserve(kind: string): Slot | null;
  /** Work was committed that nobody has claimed; `dueAt` is the earliest. */
  ring(kind: string, dueAt: number): void;
}
export interface Slot {
  owner: string;
  token: string;
  until: number;
  /** The commit is durable: run the task. */
  start(lease: Lease): void;
  /** The transaction came to nothing: give the place back. */
  release(): void;
}

export interface Store {
  /**
   * Runs `fn` alone, after every transaction before it, and commits what it wrote together with its neighbours' writes.
   * Settles only when the group is durable. Whatever `fn` throws is thrown here, and leaves no trace.
   * @throws {StoreError} `unavailable`: it did not happen. `unknown`: the database stopped answering in the middle; it
   * happened or not, never half. `too_large`, `stuck`: a defect in `fn`.
   */
  transact<T>(fn: (tx: Tx) => Promise<T> | T): Promise<T>;
  /** A committed row. @throws {StoreError} `unavailable`. */
  get<T extends Versioned>(key: Key): Promise<T | null>;
  /**
   * Up to 10 committed rows in the order of `keys`: the durable ones of one moment, the volatile ones of the newest.
   * @throws {StoreError} `unavailable`.
   */
  getMany(keys: readonly Key[]): Promise<(Versioned | null)[]>;
  /** Committed rows under a prefix, in key order, at most `limit` (default 100); `after` is exclusive. Not one snapshot. */
  list<T extends Versioned>(
    prefix: Key,
    options?: { limit?: number; after?: Key; reverse?: boolean },
  ): Promise<{ key: Key; value: T }[]>;
  /** Names the present state: changes with every commit and with nothing else. */
  version(): Promise<string>;
  /** Called after the commit, in order, once for each event. */
  onEvent(listener: (event: StoredEvent) => void): () => void;
  /** One claimer; set by the task runner. */
  setClaimer(claimer: Claimer): void;
  stats(): Readonly<StoreStats>;
  /** False while the outcome of a commit is being found out or the database does not answer. */
  healthy(): boolean;
  /** Refuses new transactions, finishes the waiting ones, closes the engine. */
  close(): Promise<void>;
}

export interface StoreStats {
  /** Durable groups: one fsync each. */
  commits: number;
  transactions: number;
  /** Rows asked of the engine, and rows answered from memory. */
  rowsRead: number;
  rowsFromCache: number;
  rowsWritten: number;
  bytesWritten: number;
  /** Groups run again because somebody else had written, and commits whose outcome had to be found out. */
  reruns: number;
  fences: number;
}

export class StoreError extends Error {
  override name = "StoreError";
  constructor(
    readonly code: "unavailable" | "unknown" | "too_large" | "stuck",
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export interface StoreOptions {
  engine: Engine;
  clock: Clock;
  random: Random;
  /** Events kept; older ones are dropped in the commit that adds new ones. */
  eventLogSize?: number;
  /** How long a busy store waits for as many members as the group before had (ms). An idle one never waits. */
  gatherMs?: number;
  /** Limit of one engine call, and of a transaction's wait for its turn (ms). */
  callTimeoutMs?: number;
  waitTimeoutMs?: number;
  /** How long callers wait while a commit's outcome is being found out, before they get `unknown` (ms). */
  unknownAfterMs?: number;
  /** A transaction function that waits this long for anything but `tx` is ended (ms). */
  stuckAfterMs?: number;
  /** Rows, and characters of JSON, kept in memory. */
  cacheRows?: number;
  cacheText?: number;
  /** Hears what a listener or the claimer threw: their defects stop no commit. Default: the process's uncaught errors. */
  onDefect?: (error: unknown) => void;
}
