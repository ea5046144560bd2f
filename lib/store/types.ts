import type { Clock } from "@/lib/clock.ts";
import type { Random } from "@/lib/ids.ts";
import type { Versioned } from "./codec.ts";
import type { Engine, Key } from "./engine.ts";

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
  /** Names the store, as {@link Store.identity}: for what others keep about it. */
  readonly store: object;
  /**
   * The row as this transaction sees it: its own writes, then those of the transactions before it. What is returned is
   * frozen: a change is a new object.
   */
  get<T extends Versioned>(key: Key): Promise<T | null>;
  /** Writes a row. `value` is frozen with all that is in it. @throws {TypeError} for what cannot be stored. */
  set<T extends Versioned>(key: Key, value: T): void;
  delete(key: Key): void;
  /**
   * Writes a row whose key is free, without looking it up first: its id is random or unique, or another row tells.
   * @throws {TypeError} when a row of this key is known to be there.
   */
  insert<T extends Versioned>(key: Key, value: T): void;
  /**
   * Writes a row that lives in this process's memory alone, in the same serial order, and is gone with the process. It
   * hides a durable row of the same key. `Store.list` does not show it.
   */
  setVolatile<T extends Versioned>(key: Key, value: T): void;
  /** Takes a volatile row away; a durable row of the same key stays. */
  deleteVolatile(key: Key): void;
  /** Appends to the event log in the same commit. `body` is frozen. */
  event(body: EventBody): void;
  /**
   * Calls `run` once this transaction is durable and its caller has the answer, or `undo` when this run of it came to
   * nothing: it threw, it runs again, its commit was refused. While the outcome is unknown neither is called.
   */
  afterCommit(run: () => void, undo?: () => void): void;
  /**
   * Rings the engine's bell in the same commit if time `at` (ms since the epoch) has come by then: whoever listens with
   * {@link Store.onBell}, in any process, hears it. A detail of engines that have one: nothing may depend on it.
   */
  ring(at: number): void;
}

/** The reading half of {@link Tx}, for code that serves both a transaction and a plain read. */
export type Reader = Pick<Tx, "get">;

export interface Store {
  /** The same object in each of its transactions ({@link Tx.store}), and in no other store. */
  readonly identity: object;
  /**
   * Runs `fn` alone, after every transaction before it, and commits what it wrote together with its neighbours' writes.
   * Settles only when the group is durable. Whatever `fn` throws is thrown here, and leaves no trace.
   * @throws {StoreError} `unavailable`: it did not happen. `unknown`: the database stopped answering in the middle; it
   * happened or not, never half. `too_large`, `stuck`: a defect in `fn`.
   */
  transact<T>(fn: (tx: Tx) => Promise<T> | T): Promise<T>;
  /** A committed row. @throws {StoreError} `unavailable`; {@link UnreadableRow}. */
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
  /** The keys that {@link Store.list} would give, whatever lies under them: for indexes, whose keys say everything. */
  keys(prefix: Key, options?: { limit?: number; after?: Key; reverse?: boolean }): Promise<Key[]>;
  /** Names the present state: changes with every commit and with nothing else. */
  version(): Promise<string>;
  /** Called after the commit, in order, once for each event. */
  onEvent(listener: (event: StoredEvent) => void): () => void;
  /** Called when the engine's bell arrives, rung by this process or another; at least once a bell, or never. */
  onBell(listener: () => void): () => void;
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
    readonly code: "unavailable" | "unknown" | "too_large" | "stuck" | "layout",
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
  /** Which database this is, for a start that is refused: a file, an address. */
  name?: string;
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
  /** Rows, and bytes of their JSON, kept in memory. */
  cacheRows?: number;
  cacheBytes?: number;
  /** Hears what a listener or a hook threw: their defects stop no commit. Default: the process's uncaught errors. */
  onDefect?: (error: unknown) => void;
}
