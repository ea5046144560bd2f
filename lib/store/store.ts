import { DeadlineExceeded, withDeadline } from "@/lib/clock.ts";
import { bytesToHex } from "@noble/hashes/utils.js";
import type { Versioned } from "./codec.ts";
import { Bell, Committer } from "./commit.ts";
import type { Engine } from "./engine.ts";
import { Fence } from "./fence.ts";
import { Head } from "./head.ts";
import { keyText, PROBE_TABLE } from "./keys.ts";
import { limitCalls, unavailable } from "./limits.ts";
import { UnreadableRow } from "./readable.ts";
import { Rows } from "./rows.ts";
import { Scheduler } from "./scheduler.ts";
import { createMember, type Surroundings } from "./transaction.ts";
import {
  type Key,
  type Store,
  type StoredEvent,
  StoreError,
  type StoreOptions,
  type StoreStats,
  type Tx,
} from "./types.ts";
import { Watchdog } from "./watchdog.ts";

export * from "./types.ts";
export { UnreadableRow };

/**
 * Opens a store over an engine. Reads the head row once; writes nothing.
 * @throws {StoreError} `unavailable`; `layout` for a database that this program cannot read.
 */
export async function createStore(options: StoreOptions): Promise<Store> {
  const { clock, random, onDefect = reportError } = options;
  const waitTimeoutMs = options.waitTimeoutMs ?? 10_000;
  const newId = () => bytesToHex(random.bytes(8));
  const stats: StoreStats = {
    commits: 0,
    transactions: 0,
    rowsRead: 0,
    rowsFromCache: 0,
    rowsWritten: 0,
    bytesWritten: 0,
    reruns: 0,
    fences: 0,
  };
  const eventListeners = new Set<(event: StoredEvent) => void>();
  const bellListeners = new Set<() => void>();
  const safely = (fn: () => void): void => {
    try {
      fn();
    } catch (error) {
      onDefect(error);
    }
  };

  const engine = limitCalls(options.engine, clock, options.callTimeoutMs ?? 5_000);
  const rows = new Rows({
    engine,
    stats,
    maxRows: options.cacheRows ?? 20_000,
    maxBytes: options.cacheBytes ?? 16 * 1024 * 1024,
  });
  /** Rows of this process alone. No engine holds them, so neither a rerun, a fence nor an eviction may touch them. */
  const volatile = new Map<string, Versioned>();
  const head = new Head(rows, newId());
  const fence = new Fence({ engine, clock, head, newId });
  const bell = new Bell();
  const watchdog = new Watchdog(clock, options.stuckAfterMs ?? 50);
  const committer = new Committer({
    engine,
    clock,
    head,
    rows,
    fence,
    bell,
    volatile,
    stats,
    eventLogSize: options.eventLogSize ?? 10_000,
    unknownAfterMs: options.unknownAfterMs ?? 15_000,
    newId,
    tell: (event) => {
      for (const listener of eventListeners) safely(() => listener(event));
    },
  });
  const scheduler = new Scheduler({
    clock,
    watchdog,
    gatherMs: options.gatherMs ?? 2,
    waitTimeoutMs,
    commit: (group) => committer.commit(group),
  });
  const shared: Surroundings = {
    identity: Object.freeze({}),
    rows,
    volatile,
    stats,
    watchdog,
    now: () => clock.now(),
    safely,
  };
  let closed = false;

  engine.onBell(() => {
    bell.arrived();
    for (const listener of bellListeners) safely(listener);
  });
  await orUnavailable(() => openHead(engine, head, options.name ?? "the database"));

  /**
   * A row may move between memory and disk while the engine answers. One that has left memory is then looked for on the
   * disk, so that it is not, by bad luck, seen in neither of the two places.
   */
  async function getMany(keys: readonly Key[]): Promise<(Versioned | null)[]> {
    const ids = keys.map(keyText);
    for (;;) {
      const kept = ids.map((id) => volatile.get(id));
      if (kept.every((value) => value !== undefined)) return kept;
      const rest = keys.filter((_, i) => !kept[i]);
      const durable = new Map((await getDurable(rest)).map((value, i) => [keyText(rest[i]!), value]));
      if (ids.some((id, i) => kept[i] && !volatile.has(id))) continue;
      return ids.map((id) => volatile.get(id) ?? durable.get(id) ?? null);
    }
  }

  async function getDurable(keys: readonly Key[]): Promise<(Versioned | null)[]> {
    if (!engine.exclusive) return (await orUnavailable(() => rows.read(keys))).map(({ value }) => value);
    const ids = keys.map(keyText);
    const hits = ids.map((id) => rows.recall(id));
    if (hits.every((hit) => hit !== undefined)) {
      stats.rowsFromCache += hits.length;
      return hits.map(({ value }) => value);
    }
    return (await orUnavailable(() => rows.load(keys, ids))).map(({ value }) => value);
  }

  return {
    identity: shared.identity,
    transact<T>(fn: (tx: Tx) => Promise<T> | T): Promise<T> {
      if (closed) return Promise.reject(new StoreError("unavailable", "the store is closing"));
      return new Promise<T>((resolve, reject) => scheduler.add(createMember(shared, fn, resolve, reject)));
    },
    async get<T extends Versioned>(key: Key): Promise<T | null> {
      return (await getMany([key]))[0] as T | null;
    },
    getMany,
    list: <T extends Versioned>(prefix: Key, options = {}) =>
      orUnavailable(async () => {
        const found = await engine.list(prefix, { limit: 100, ...options });
        stats.rowsRead += found.length;
        const cells = await Promise.all(found.map((row) => rows.cellOf(row)));
        // null: a large row deleted since
        return found.flatMap(({ key }, i) => cells[i]?.value ? [{ key, value: cells[i].value as T }] : []);
      }),
    keys: (prefix, options = {}) =>
      orUnavailable(async () => {
        const found = await engine.list(prefix, { limit: 100, ...options });
        stats.rowsRead += found.length;
        return found.map(({ key }) => key);
      }),
    version: () => orUnavailable(async () => (await head.read())?.versionstamp ?? ""),
    onEvent(listener) {
      eventListeners.add(listener);
      return () => eventListeners.delete(listener);
    },
    onBell(listener) {
      bellListeners.add(listener);
      return () => bellListeners.delete(listener);
    },
    stats: () => ({ ...stats }),
    healthy: () => !fence.isUp && !closed && engine.answering(),
    async close() {
      if (closed) return;
      closed = true;
      try {
        await withDeadline(clock, waitTimeoutMs, "closing the store", scheduler.drain());
      } catch (error) {
        if (!(error instanceof DeadlineExceeded)) throw error;
        fence.abandon();
        scheduler.refuseWaiting(
          new StoreError("unavailable", "the database does not answer; nothing was stored"),
        );
      }
      engine.close();
    },
  };
}

/**
 * Reads the head row of a database that this program can read. One that has rows and no head was not begun by a store: what it
 * holds would be missing from the books.
 */
async function openHead(engine: Engine, head: Head, name: string): Promise<void> {
  const strange = (what: string) =>
    new StoreError("layout", `${name} ${what}: restore it from your backup, or move it away`);
  try {
    await head.load();
    head.checkLayout(name);
    if (head.versionstamp !== null) return;
    const rows = await engine.list([], { limit: 2 });
    if (rows.every(({ key: [table] }) => table === PROBE_TABLE)) return;
  } catch (error) {
    if (error instanceof UnreadableRow) throw strange(`is another program's, or damaged (${error.message})`);
    throw error;
  }
  throw strange("has rows and no mark of its layout, so it is another program's, or damaged");
}

async function orUnavailable<T>(fn: () => Promise<T>): Promise<T> {
  try {
    return await fn();
  } catch (error) {
    throw unavailable(error);
  }
}
