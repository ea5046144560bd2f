import { DeadlineExceeded, withDeadline } from "@/lib/clock.ts";
import { checkKey, decode, encode, frozen, pieceKey, toText } from "./codec.ts";
import { ENGINE_LIMITS } from "./engine.ts";
import {
  announce,
  type Announced,
  costOf,
  fits,
  FIXED_COST,
  Group,
  GroupFull,
  type Member,
  plus,
  rehearse,
  type Write,
} from "./group.ts";
import { type Cell, createRows, keyText } from "./rows.ts";
import {
  type Claimer,
  type Key,
  type Store,
  type StoredEvent,
  StoreError,
  type StoreOptions,
  type StoreStats,
  type Tx,
  type Versioned,
} from "./types.ts";
import { type Lease, placeTask, type TaskOrder } from "@/lib/tasks/due.ts";
import { bytesToHex } from "@noble/hashes/utils.js";

export * from "./types.ts";

const HEAD: Key = ["head"];
/** First parts of keys only the store itself writes. */
const RESERVED: readonly unknown[] = ["head", "event", "~"];
/** How many processes the head row remembers. */
const KNOWN_PROCESSES = 16;
const MAX_RERUNS = 50;
/** How many waiting members are rehearsed before a group. */
const REHEARSED = 128;
const LARGE_TEXT = ENGINE_LIMITS.valueBytes;

/**
 * The one row every group checks and rewrites. `last` has the last group of each process, which has one under way at most:
 * so a fence sees its own, however many groups others have built on it.
 */
interface Head extends Versioned {
  seq: number;
  group: string;
  last: [process: string, group: string][];
}

/** Opens a store over an engine. Reads the head row once; writes nothing. @throws {StoreError} `unavailable`. */
export async function createStore(options: StoreOptions): Promise<Store> {
  const { engine, clock, random } = options;
  const eventLogSize = options.eventLogSize ?? 10_000;
  const gatherMs = options.gatherMs ?? 2;
  const callTimeoutMs = options.callTimeoutMs ?? 5_000;
  const waitTimeoutMs = options.waitTimeoutMs ?? 10_000;
  const unknownAfterMs = options.unknownAfterMs ?? 15_000;
  const stuckAfterMs = options.stuckAfterMs ?? 50;
  const onDefect = options.onDefect ?? reportError;
  const self = bytesToHex(random.bytes(8));

  const pending: Member[] = [];
  const listeners = new Set<(event: StoredEvent) => void>();
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
  let claimer: Claimer | null = null;
  let head: { value: Head; versionstamp: string | null };
  let looping = false;
  let running: { reading(): boolean; end(error: StoreError): void; idleTurns: number } | null = null;
  let stopWatchdog = () => {};
  let closed = false;
  /** The engine was closed although an outcome was not known yet. */
  let abandoned = false;
  let fencing = false;
  let answering = true;
  let bellOut = false;
  let lastGroupSize = 0;
  let arrived: (() => void) | null = null;
  let idle: (() => void)[] = [];

  async function call<T>(what: string, promise: Promise<T>): Promise<T> {
    try {
      const answer = await withDeadline(clock, callTimeoutMs, what, promise);
      answering = true;
      return answer;
    } catch (error) {
      answering = false;
      throw error;
    }
  }
  const safely = (fn: () => void): void => {
    try {
      fn();
    } catch (error) {
      onDefect(error);
    }
  };
  const unavailable = (cause: unknown) =>
    cause instanceof StoreError
      ? cause
      : new StoreError("unavailable", "the database does not answer; try again", { cause });

  /** Rows of this process alone. No engine holds them, so neither a rerun, a fence nor an eviction may touch them. */
  const volatile = new Map<string, Versioned>();
  const rows = createRows({
    engine,
    call,
    stats,
    maxRows: options.cacheRows ?? 20_000,
    maxText: options.cacheText ?? 16 * 1024 * 1024,
  });

  // ---- reading ---------------------------------------------------------------------------------------------------

  const parse = <T>(text: string | null): T | null => text === null ? null : JSON.parse(text) as T;

  async function loadHead(): Promise<void> {
    const row = await rows.engineRow(HEAD);
    head = row
      ? { value: parse<Head>(decode(row.value))!, versionstamp: row.versionstamp }
      : { value: { v: 1, seq: 0, group: "", last: [] }, versionstamp: null };
  }

  /** Whether our group `id` is part of what the head row, as last read, stands for. */
  const hasLanded = (id: string) =>
    (head.value.last ?? []).some(([process, group]) => process === self && group === id);
  const writable = (key: Key): Key => {
    checkKey(key);
    if (RESERVED.includes(key[0])) throw new TypeError(`keys under ${key[0]} are the store's own`);
    return key;
  };

  // ---- one member ------------------------------------------------------------------------------------------------

  function memberOf<T>(
    fn: (tx: Tx) => Promise<T> | T,
    resolve: (value: T) => void,
    reject: (error: unknown) => void,
  ): Member {
    let answer: { value: T } | { error: unknown } | null = null;
    const member: Member = {
      slots: [],
      rings: [],
      events: [],
      begun: false,
      since: clock.now(),
      reject,
      async rehearse(read) {
        const own = new Map<string, { key: Key; value: Versioned | null }>();
        const orders: TaskOrder[] = [];
        const tx: Tx = {
          async get<R extends Versioned>(key: Key) {
            const kept = volatile.get(keyText(key));
            if (kept) return kept as R;
            const mine = own.get(keyText(key));
            if (!mine) return parse<R>((await read(key)).text);
            return mine.value && parse<R>(toText(mine.value));
          },
          set: (key, value) => void own.set(keyText(key), { key, value }),
          delete: (key) => void own.set(keyText(key), { key, value: null }),
          insert: (key, value) => void own.set(keyText(key), { key, value }),
          setVolatile: () => {},
          deleteVolatile: () => {},
          task: (order) => void orders.push(order),
          event: () => {},
        };
        await fn(tx);
        await Promise.all(orders.map((order) => placeTask(tx, order, null)));
        // Rows written blindly are looked at too, when the run that counts is absorbed.
        await Promise.all([...own.values()].map(({ key }) => read(key)));
      },
      settle: () => {
        if (!answer) throw new Error("a member settled before it ran");
        if ("value" in answer) resolve(answer.value);
        else reject(answer.error);
      },
      async run(group) {
        member.begun = true;
        forget(member);
        const writes = new Map<string, Write>();
        const hidden = new Map<string, Versioned | null>();
        const orders = new Map<string, TaskOrder>();
        const events: Announced[] = [];
        let open = true;
        let reading = 0;
        const alive = () => {
          if (!open) throw new StoreError("stuck", "this transaction is over: a call to tx was not awaited");
        };
        const tx: Tx = {
          async get<R extends Versioned>(key: Key) {
            alive();
            const id = keyText(key);
            const kept = [hidden, group.volatile, volatile].find((layer) => layer.has(id))?.get(id);
            if (kept) return kept as R;
            const own = writes.get(id) ?? group.writes.get(id);
            if (own) return parse<R>(own.text);
            reading++;
            try {
              return parse<R>((await rows.committed(key, id)).text);
            } catch (error) {
              throw unavailable(error);
            } finally {
              reading--;
            }
          },
          set(key, value) {
            alive();
            writes.set(keyText(writable(key)), { key, text: toText(value), had: 0 });
          },
          delete(key) {
            alive();
            writes.set(keyText(writable(key)), { key, text: null, had: 0 });
          },
          insert(key, value) {
            alive();
            const id = keyText(writable(key));
            const known = writes.get(id) ?? group.writes.get(id) ?? rows.peek(id);
            if (known && known.text !== null) {
              throw new TypeError(`the row ${id} is there already: insert is for new keys`);
            }
            writes.set(id, { key, text: toText(value), had: 0, isNew: !known });
          },
          setVolatile(key, value) {
            alive();
            hidden.set(keyText(writable(key)), frozen(value));
          },
          deleteVolatile(key) {
            alive();
            hidden.set(keyText(writable(key)), null);
          },
          task(order) {
            alive();
            orders.set(`${order.kind}\n${order.id}`, order);
          },
          event(body) {
            alive();
            events.push(announce(body, clock.now()));
          },
        };
        try {
          const value = await guard(Promise.resolve(fn(tx)), () => reading > 0);
          running = null;
          for (const order of orders.values()) await place(member, tx, order);
          open = false;
          await absorb(group, writes, events);
          for (const [id, value] of hidden) group.volatile.set(id, value);
          member.events = events;
          answer = { value };
        } catch (error) {
          running = null;
          open = false;
          forget(member);
          if (error instanceof GroupFull) throw error;
          answer = { error };
        }
      },
    };
    return member;
  }

  /** Gives back what a run reserved, before it runs again or when it came to nothing. */
  function forget(member: Member): void {
    for (const { slot } of member.slots) safely(() => slot.release());
    member.slots = [];
    member.rings = [];
    member.events = [];
  }

  /** Writes the task rows of one order; work that is due now takes its lease in this very commit when there is room. */
  async function place(member: Member, tx: Tx, order: TaskOrder): Promise<void> {
    const now = clock.now();
    const slot = order.dueAt !== null && order.dueAt <= now ? claimer?.reserve(order.kind) ?? null : null;
    let lease: Lease | null;
    try {
      lease = await placeTask(tx, order, slot);
    } catch (error) {
      if (slot) safely(() => slot.release());
      throw error;
    }
    if (slot && lease) member.slots.push({ slot, lease });
    else if (order.dueAt !== null) member.rings.push({ kind: order.kind, dueAt: order.dueAt });
  }

  /**
   * Ends a function that waits for something other than `tx`: it would stop every other transaction of the process.
   * Time spent in the engine, or with the processor busy elsewhere, does not count: it must be found idle twice, a whole
   * turn of the watchdog apart.
   */
  function guard<T>(promise: Promise<T>, reading: () => boolean): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      running = { reading, end: reject, idleTurns: 0 };
      promise.then(resolve, reject);
    });
  }

  /** While there is work: looks for a function that is stuck, and for members that have waited too long for their turn. */
  function watchdog(): void {
    stopWatchdog = clock.after(stuckAfterMs, () => {
      watchdog();
      if (running) {
        running.idleTurns = running.reading() ? 0 : running.idleTurns + 1;
        if (running.idleTurns >= 2) {
          running.end(new StoreError("stuck", `a transaction waited ${stuckAfterMs} ms for something that is not tx`));
        }
      }
      const now = clock.now();
      while (pending[0] && !pending[0].begun && now - pending[0].since >= waitTimeoutMs) {
        const late = pending.shift();
        late?.reject(new StoreError("unavailable", "the database is not keeping up; nothing was stored, try again"));
      }
    });
  }

  /** Adds a member's writes to the group. @throws {GroupFull} when they no longer fit, {StoreError} when they never will. */
  async function absorb(group: Group, writes: Map<string, Write>, events: readonly Announced[]): Promise<void> {
    // A row written blindly may replace one that lies in pieces: they are part of what this commit takes.
    const blind = [...writes].filter(([id, { isNew }]) => !isNew && !group.writes.has(id) && !rows.peek(id));
    if (blind.length > 1) await rows.prefetch(new Map(blind.map(([id, { key }]) => [id, key])));
    for (const [id, write] of writes) {
      try {
        write.had = group.writes.get(id)?.had ?? (write.isNew ? 0 : (await rows.committed(write.key, id)).pieces);
      } catch (error) {
        throw unavailable(error);
      }
    }
    let own = FIXED_COST;
    let together = group.cost;
    for (const { cost } of events) {
      own = plus(own, cost);
      together = plus(together, cost);
    }
    for (const [id, write] of writes) {
      const cost = costOf(write);
      const replaced = group.writes.get(id);
      own = plus(own, cost);
      together = plus(together, cost);
      if (replaced) together = plus(together, costOf(replaced), -1);
    }
    if (!fits(together)) {
      if (fits(own)) throw new GroupFull();
      throw new StoreError(
        "too_large",
        `a transaction writes ${own.mutations} rows, ${own.valueBytes} bytes and ${own.keyBytes} bytes of keys: ` +
          "more than one commit holds",
      );
    }
    for (const [id, write] of writes) group.writes.set(id, write);
    group.cost = together;
    group.events += events.length;
  }

  // ---- one group -------------------------------------------------------------------------------------------------

  async function loop(): Promise<void> {
    if (looping) return;
    looping = true;
    watchdog();
    try {
      while (pending.length > 0) await runGroup();
    } finally {
      looping = false;
      stopWatchdog();
      for (const done of idle) done();
      idle = [];
    }
  }

  async function runGroup(): Promise<void> {
    let group = new Group();
    await gather(group);
    for (let rerun = 0;; rerun++) {
      if (rerun > 0) {
        const members = group.members;
        group = new Group();
        for (const [i, member] of members.entries()) {
          if (await runInto(group, member)) continue;
          // Those behind it go with it, so that the order stays.
          for (const behind of members.slice(i + 1)) {
            forget(behind);
            behind.begun = false;
          }
          pending.splice(1, 0, ...members.slice(i + 1));
          break;
        }
      }
      const outcome = await commitGroup(group);
      if (outcome.done) {
        if (group.isDurable) lastGroupSize = group.members.length;
        return;
      }
      // Somebody else wrote: nothing of ours landed. What we know is stale (but the head), so run the members again.
      stats.reruns++;
      rows.clear();
      if (rerun < MAX_RERUNS) continue;
      const error = new StoreError("unavailable", "another process writes to this database all the time: only one may");
      for (const member of group.members) drop(member, error);
      return;
    }
  }

  /** Runs waiting members into the group until none waits, it is full, or enough have gathered. */
  async function gather(group: Group): Promise<void> {
    let deadline: { passed: boolean; cancel: () => void } | null = null;
    const rehearsed = new Set<Member>();
    try {
      for (;;) {
        // Those that came while others ran, too.
        if (pending.length > 1 && !rehearsed.has(pending[0] as Member)) {
          const some = pending.slice(0, REHEARSED);
          for (const member of some) rehearsed.add(member);
          await rehearse(some, rows);
        }
        const member = pending.shift();
        if (member) {
          if (!(await runInto(group, member))) return;
          continue;
        }
        // An idle store commits at once. A busy one waits, briefly, for as many as shared the last fsync; without anything to
        // write there is no fsync to share.
        if (!group.isDurable) return;
        if (gatherMs <= 0 || lastGroupSize < 2 || group.members.length >= lastGroupSize || closed) return;
        if (!deadline) {
          const waiting = { passed: false, cancel: () => {} };
          waiting.cancel = clock.after(gatherMs, () => {
            waiting.passed = true;
            arrived?.();
          });
          deadline = waiting;
        }
        if (deadline.passed) return;
        await new Promise<void>((resolve) => arrived = resolve);
        arrived = null;
      }
    } finally {
      deadline?.cancel();
    }
  }

  /** @returns false when the group is full and the member waits for the next one. */
  async function runInto(group: Group, member: Member): Promise<boolean> {
    try {
      await member.run(group);
    } catch (error) {
      if (!(error instanceof GroupFull)) throw error;
      member.begun = false;
      pending.unshift(member);
      return false;
    }
    group.members.push(member);
    return true;
  }

  function drop(member: Member, error: unknown): void {
    forget(member);
    member.reject(error);
  }

  async function commitGroup(group: Group): Promise<{ done: boolean }> {
    if (!group.isDurable) return await confirmReads(group);
    const id = bytesToHex(random.bytes(8));
    const at = clock.now();
    let seq = head.value.seq;
    const events: StoredEvent[] = [];
    for (const member of group.members) {
      for (const { body } of member.events) events.push({ ...body, v: 1, seq: ++seq, at });
    }
    const others = (head.value.last ?? []).filter(([process]) => process !== self);
    const next: Head = { v: 1, seq, group: id, last: [...others.slice(1 - KNOWN_PROCESSES), [self, id]] };
    const set: { key: Key; value: Uint8Array }[] = [{ key: HEAD, value: encode(toText(next), LARGE_TEXT).value }];
    const remove: Key[] = [];
    const cells = new Map<string, Cell>();
    for (const event of events) {
      set.push({ key: ["event", event.seq], value: encode(toText(event), LARGE_TEXT).value });
      if (event.seq > eventLogSize) remove.push(["event", event.seq - eventLogSize]);
    }
    for (const [cellId, write] of group.writes) {
      let pieces = 0;
      if (write.text === null) {
        remove.push(write.key);
      } else {
        const row = encode(write.text, ENGINE_LIMITS.valueBytes);
        pieces = row.pieces.length;
        set.push({ key: write.key, value: row.value });
        row.pieces.forEach((piece, i) => set.push({ key: pieceKey(write.key, i), value: piece }));
      }
      for (let i = pieces; i < write.had; i++) remove.push(pieceKey(write.key, i));
      cells.set(cellId, { text: write.text, pieces });
    }
    const unclaimed = group.members.flatMap((member) => member.rings);
    const bell = !bellOut && unclaimed.some((ring) => ring.dueAt <= at);

    let built = false; // others have committed on top of this group
    try {
      const result = await call(
        "a commit",
        engine.commit({ check: { key: HEAD, versionstamp: head.versionstamp }, set, delete: remove, bell }),
      );
      if (result) {
        head = { value: next, versionstamp: result.versionstamp };
      } else {
        // Somebody else has written, or the engine's client sent this twice by itself and the first time landed.
        await loadHead();
        if (!hasLanded(id)) return { done: false };
        built = head.value.group !== id;
      }
    } catch (cause) {
      if (!(await fence(group, id, cause))) return { done: true };
      built = head.value.group !== id;
    }

    if (built) rows.clear();
    else for (const [cellId, cell] of cells) rows.remember(cellId, cell);
    applyVolatile(group);
    stats.commits++;
    stats.transactions += group.members.length;
    stats.rowsWritten += set.length + remove.length;
    for (const row of set) stats.bytesWritten += row.value.length;
    if (bell) bellOut = true;
    for (const member of group.members) member.settle();
    for (const event of events) for (const listener of listeners) safely(() => listener(event));
    for (const member of group.members) for (const { slot, lease } of member.slots) safely(() => slot.start(lease));
    for (const ring of unclaimed) safely(() => claimer?.ring(ring.kind, ring.dueAt));
    return { done: true };
  }

  /** Nothing to write: on a database others may write to, what was read must still be the newest. */
  async function confirmReads(group: Group): Promise<{ done: boolean }> {
    if (!engine.exclusive && group.members.length > 0) {
      const before = head.versionstamp;
      try {
        await loadHead();
        if (head.versionstamp !== before) return { done: false };
      } catch (error) {
        for (const member of group.members) drop(member, unavailable(error));
        return { done: true };
      }
    }
    applyVolatile(group);
    stats.transactions += group.members.length;
    for (const member of group.members) member.settle();
    return { done: true };
  }

  function applyVolatile(group: Group): void {
    for (const [id, value] of group.volatile) {
      if (value) volatile.set(id, value);
      else volatile.delete(id);
    }
  }

  /**
   * A commit was rejected: it may have landed, may land later, or never. Rewrites the head row: once that is done, the
   * group's own check can no longer hold, so it is known for good. No other transaction runs meanwhile.
   * @returns true when the group has landed (`head` is then as it was read), false when it never will (its members were told).
   */
  async function fence(group: Group, id: string, cause: unknown): Promise<boolean> {
    stats.fences++;
    fencing = true;
    const tellUnknown = () => {
      for (const member of group.members) {
        member.reject(
          new StoreError("unknown", "the database does not answer; whether this was stored is not known yet", {
            cause,
          }),
        );
      }
    };
    // Whoever waits for a turn is refused in time by the watchdog; the members of this group get "unknown" after a while.
    const cancel = clock.after(unknownAfterMs, tellUnknown);
    try {
      for (let attempt = 0; !abandoned; attempt++) {
        try {
          await loadHead();
          if (hasLanded(id)) return true;
          const fenceId = `fence-${bytesToHex(random.bytes(8))}`;
          const value: Head = { ...head.value, group: fenceId };
          const result = await call(
            "a fence",
            engine.commit({
              check: { key: HEAD, versionstamp: head.versionstamp },
              set: [{ key: HEAD, value: encode(toText(value), LARGE_TEXT).value }],
              delete: [],
              bell: false,
            }),
          );
          if (!result) continue;
          head = { value, versionstamp: result.versionstamp };
          rows.clear();
          const error = new StoreError("unavailable", "the database refused the write; nothing was stored", { cause });
          for (const member of group.members) drop(member, error);
          return false;
        } catch {
          if (abandoned) break;
          await new Promise<void>((resolve) => clock.after(Math.min(2_000, 50 * 2 ** Math.min(attempt, 6)), resolve));
        }
      }
      tellUnknown();
      return false;
    } finally {
      cancel();
      fencing = false;
    }
  }

  // ---- the surface -----------------------------------------------------------------------------------------------

  /**
   * A row may move between memory and disk while the engine answers: it is then read again, so that it is seen in one of
   * the two places and not, by bad luck, in neither.
   */
  async function getMany(keys: readonly Key[]): Promise<(Versioned | null)[]> {
    for (;;) {
      const kept = keys.map((key) => volatile.get(keyText(key)) ?? null);
      const rest = keys.filter((_, i) => !kept[i]);
      if (rest.length === 0) return kept;
      const durable = await getDurable(rest);
      if (keys.some((key, i) => (volatile.get(keyText(key)) ?? null) !== kept[i])) continue;
      return kept.map((value) => value ?? durable.shift() ?? null);
    }
  }

  async function getDurable(keys: readonly Key[]): Promise<(Versioned | null)[]> {
    const hits = engine.exclusive ? keys.map((key) => rows.peek(keyText(key))) : [];
    if (hits.length > 0 && hits.every((hit) => hit !== undefined)) {
      stats.rowsFromCache += hits.length;
      return hits.map((hit) => parse<Versioned>(hit.text));
    }
    try {
      return (await rows.read(keys)).map(({ text }) => parse<Versioned>(text));
    } catch (error) {
      throw unavailable(error);
    }
  }

  engine.onBell(() => {
    bellOut = false;
    claimer?.ring("*", clock.now());
  });

  try {
    await loadHead();
  } catch (error) {
    throw unavailable(error);
  }

  return {
    transact<T>(fn: (tx: Tx) => Promise<T> | T): Promise<T> {
      if (closed) return Promise.reject(new StoreError("unavailable", "the store is closing"));
      return new Promise<T>((resolve, reject) => {
        const member = memberOf<T>(fn, resolve, reject);
        pending.push(member);
        arrived?.();
        loop();
      });
    },
    async get<T extends Versioned>(key: Key): Promise<T | null> {
      return (await getMany([key]))[0] as T | null;
    },
    getMany,
    async list<T extends Versioned>(prefix: Key, options = {}) {
      try {
        const found = await call("listing rows", engine.list(prefix, { limit: 100, ...options }));
        stats.rowsRead += found.length;
        const listed: { key: Key; value: T }[] = [];
        for (
          const { key, cell } of await Promise.all(
            found.map(async (row) => ({ key: row.key, cell: await rows.cellOf(row) })),
          )
        ) {
          const value = parse<T>(cell.text);
          if (value) listed.push({ key, value }); // null: a large row deleted since
        }
        return listed;
      } catch (error) {
        throw unavailable(error);
      }
    },
    async version() {
      try {
        return (await rows.engineRow(HEAD))?.versionstamp ?? "";
      } catch (error) {
        throw unavailable(error);
      }
    },
    onEvent(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    setClaimer: (next) => void (claimer = next),
    stats: () => ({ ...stats }),
    healthy: () => !fencing && !closed && answering,
    async close() {
      if (closed) return;
      closed = true;
      arrived?.();
      if (looping) {
        await withDeadline(clock, waitTimeoutMs, "closing the store", new Promise<void>((done) => idle.push(done)))
          .catch((error) => {
            if (!(error instanceof DeadlineExceeded)) throw error;
            abandoned = true;
            const silent = new StoreError("unavailable", "the database does not answer; nothing was stored");
            for (const member of pending.splice(0)) member.reject(silent);
          });
      }
      engine.close();
    },
  };
}
