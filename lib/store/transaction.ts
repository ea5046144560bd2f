import { freezeRecord, sealRecord, utf8Bytes, type Versioned } from "./codec.ts";
import { announce, type Announced, type Group, GroupFull, type Wanted, type Write } from "./group.ts";
import type { Key } from "./engine.ts";
import { keyText, writableKeyBytes } from "./keys.ts";
import { unavailable } from "./limits.ts";
import type { Rows } from "./rows.ts";
import { StoreError, type Tx } from "./types.ts";
import type { Watchdog } from "./watchdog.ts";

/** A transaction in the eyes of those that run and commit it. */
export interface Member {
  /** Since when it waits (ms of the clock), and whether its turn has come. */
  readonly since: number;
  begun: boolean;
  /** Of the last run. */
  readonly events: readonly Announced[];
  /** The earliest time that somebody waits for; Infinity when nobody does. */
  readonly bellAt: number;
  /** Runs the function on top of the group and adds what it wants. @throws {GroupFull} when that does not fit. */
  run(group: Group<Member>): Promise<void>;
  /** Gives back what the last run reserved: it runs again, or came to nothing. */
  undo(): void;
  /** The group is durable: the caller gets the answer. */
  settle(): void;
  /** The group is durable and every caller has the answer. */
  afterCommit(): void;
  reject(error: unknown): void;
}

/** What every transaction of a store shares. */
export interface Surroundings {
  /** See {@link Tx.store}. */
  identity: object;
  rows: Rows;
  /** Committed volatile rows. */
  volatile: ReadonlyMap<string, Versioned>;
  stats: { rowsFromCache: number };
  watchdog: Watchdog;
  now(): number;
  /** Calls what belongs to somebody else, whose defects must stop nothing. */
  safely(fn: () => void): void;
}

/** One run of a transaction's function: what it wants, and no more once it is over. */
class Run implements Wanted {
  readonly writes = new Map<string, Write>();
  readonly volatile = new Map<string, Versioned | null>();
  readonly events: Announced[] = [];
  readonly hooks: { run: () => void; undo: (() => void) | undefined }[] = [];
  bellAt = Infinity;
  /** Reads under way. */
  reading = 0;
  #isOpen = true;

  alive(): void {
    if (!this.#isOpen) throw new StoreError("stuck", "this transaction is over: a call to tx was not awaited");
  }
  close(): void {
    this.#isOpen = false;
  }
  /** @param isNew the caller vouches that the key is free. */
  set(key: Key, record: Versioned, isNew = false): void {
    this.alive();
    const keyBytes = writableKeyBytes(key);
    const { value, text } = sealRecord(record);
    const valueBytes = utf8Bytes(text);
    this.writes.set(keyText(key), { key, keyBytes, value, text, valueBytes, isNew, had: 0 });
  }
  delete(key: Key): void {
    this.alive();
    const keyBytes = writableKeyBytes(key);
    this.writes.set(keyText(key), { key, keyBytes, value: null, text: null, valueBytes: 0, isNew: false, had: 0 });
  }
}

/** @param settle, reject end the caller's promise; what is called first counts. */
export function createMember<T>(
  shared: Surroundings,
  fn: (tx: Tx) => Promise<T> | T,
  settle: (value: T) => void,
  reject: (error: unknown) => void,
): Member {
  const { rows, watchdog, safely } = shared;
  let last = new Run();
  let answer: { value: T } | { error: unknown } | null = null;

  const member: Member = {
    since: shared.now(),
    begun: false,
    get events() {
      return last.events;
    },
    get bellAt() {
      return last.bellAt;
    },
    async run(group) {
      member.begun = true;
      member.undo();
      const run = last;
      try {
        const result = fn(createTx(shared, group, run));
        const value = result instanceof Promise ? await watchdog.guard(result, () => run.reading > 0) : result;
        run.close();
        await countPieces(rows, group, run);
        group.take(run);
        answer = { value };
      } catch (error) {
        run.close();
        member.undo();
        if (error instanceof GroupFull) throw error;
        answer = { error };
      }
    },
    undo() {
      const { hooks } = last;
      last = new Run();
      for (const { undo } of hooks.reverse()) if (undo) safely(undo);
    },
    settle() {
      if (!answer) throw new Error("a member settled before it ran");
      if ("value" in answer) settle(answer.value);
      else reject(answer.error);
    },
    afterCommit() {
      for (const { run } of last.hooks) safely(run);
    },
    reject,
  };
  return member;
}

function createTx(shared: Surroundings, group: Group<Member>, run: Run): Tx {
  const { rows, volatile, stats } = shared;
  const { writes } = run;
  return {
    store: shared.identity,
    async get<R extends Versioned>(key: Key) {
      run.alive();
      const id = keyText(key);
      const kept = findVolatile(id, run.volatile, group.volatile, volatile);
      if (kept) return kept as R;
      const own = writes.get(id) ?? group.writes.get(id);
      if (own) return own.value as R | null;
      const cell = rows.recall(id);
      if (cell) {
        stats.rowsFromCache++;
        return cell.value as R | null;
      }
      run.reading++;
      try {
        return (await rows.load([key], [id]))[0]!.value as R | null;
      } catch (error) {
        throw unavailable(error);
      } finally {
        run.reading--;
      }
    },
    set: (key, value) => run.set(key, value),
    delete: (key) => run.delete(key),
    insert(key, value) {
      const id = keyText(key);
      const known = writes.get(id) ?? group.writes.get(id) ?? rows.peek(id);
      if (known?.value) throw new TypeError(`the row ${JSON.stringify(key)} is there already: insert is for new keys`);
      run.set(key, value, !known);
    },
    setVolatile(key, value) {
      run.alive();
      writableKeyBytes(key);
      run.volatile.set(keyText(key), freezeRecord(value));
    },
    deleteVolatile(key) {
      run.alive();
      writableKeyBytes(key);
      run.volatile.set(keyText(key), null);
    },
    event(body) {
      run.alive();
      run.events.push(announce(body));
    },
    afterCommit(go, undo) {
      run.alive();
      run.hooks.push({ run: go, undo });
    },
    ring(at) {
      run.alive();
      run.bellAt = Math.min(run.bellAt, at);
    },
  };
}

/** The newest of these layers that says something about the row decides; null when it was taken away or never there. */
function findVolatile(id: string, ...layers: ReadonlyMap<string, Versioned | null>[]): Versioned | null {
  for (const layer of layers) {
    const value = layer.size > 0 ? layer.get(id) : undefined;
    if (value !== undefined) return value;
  }
  return null;
}

/** A row written blindly may replace one that lies in pieces: they are part of what the commit takes. */
async function countPieces(rows: Rows, group: Group<Member>, run: Run): Promise<void> {
  let blind: Write[] | null = null;
  for (const [id, write] of run.writes) {
    if (write.isNew) continue;
    const known = group.writes.get(id)?.had ?? rows.peek(id)?.pieces;
    if (known === undefined) (blind ??= []).push(write);
    else write.had = known;
  }
  if (!blind) return;
  try {
    const pieces = await rows.pieces(blind.map(({ key }) => key));
    for (const [i, write] of blind.entries()) write.had = pieces[i] ?? 0;
  } catch (error) {
    throw unavailable(error);
  }
}
