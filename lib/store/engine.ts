/**
 * The database under the store: a few calls that Deno KV, a KV Connect server, SQLite or FoundationDB can all give.
 * The store (`lib/store/store.ts`) is its only caller. Imports nothing.
 */

export type KeyPart = string | number;
export type Key = readonly KeyPart[];

export interface EngineRow {
  key: Key;
  value: Uint8Array;
  /** Changes with every write of the row; compared for equality only. */
  versionstamp: string;
}

export interface Commit {
  /** The commit applies only while this row still has this versionstamp (null: does not exist). */
  check: { key: Key; versionstamp: string | null };
  set: readonly { key: Key; value: Uint8Array }[];
  delete: readonly Key[];
  /** Ring the engine's own bell (a queue message), if it has one, in the same commit. */
  bell: boolean;
}

export interface Engine {
  /** True when no other process can write (a file under our lock): committed rows may then be served from memory. */
  readonly exclusive: boolean;
  /** One consistent read of up to 10 rows, in the order of `keys`. */
  get(keys: readonly Key[]): Promise<(EngineRow | null)[]>;
  /** Rows under `prefix` in key order; `after` is exclusive. Pages are not one snapshot. */
  list(prefix: Key, options: { limit: number; after?: Key; reverse?: boolean }): Promise<EngineRow[]>;
  /**
   * Applies everything or nothing. Resolves only when the result is durable. `null`: the check failed, this call wrote
   * nothing (but a client that repeats calls by itself may have landed it before). A rejection says nothing about the
   * outcome: the write may have landed, or may land later.
   */
  commit(commit: Commit): Promise<{ versionstamp: string } | null>;
  /** Calls `ring` for each bell that arrives, from this or an earlier process; at least once or never. */
  onBell(ring: () => void): void;
  close(): void;
}

/** Deno KV's limits with room to spare: 1,000 mutations, 800 KiB of values, 80 KiB of keys a commit, 64 KiB a value, 2 KiB a key. */
export const ENGINE_LIMITS = {
  mutations: 1_000,
  commitBytes: 760 * 1024,
  keyBytes: 72 * 1024,
  valueBytes: 60 * 1024,
  oneKeyBytes: 2_000,
  getKeys: 10,
} as const;
