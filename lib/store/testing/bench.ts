import {
  createStore,
  type Key,
  type Store,
  StoreError,
  type StoreOptions,
  type Tx,
  type Versioned,
} from "@/lib/store/store.ts";
import type { Engine } from "@/lib/store/engine.ts";
import { createFaultyEngine, type FaultyEngine } from "./faulty-engine.ts";
import { createFakeClock, type FakeClock } from "@/tests/harness/fake-clock.ts";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";

/** One empty database under test. */
export interface TestDatabase {
  engine: Engine;
  /** Another way into the same database: a second handle where there is one, as another process would have. */
  reader: Engine;
  close(): Promise<void>;
}
export type OpenDatabase = () => Promise<TestDatabase>;

export interface Count extends Versioned {
  v: 1;
  n: number;
}
export interface Text extends Versioned {
  v: 1;
  text: string;
}

export type Outcome<T> = { value: T } | { error: Error };
export const outcome = <T>(promise: Promise<T>): Promise<Outcome<T>> =>
  promise.then((value) => ({ value }), (error: Error) => ({ error }));
export const codeOf = (result: Outcome<unknown>) =>
  "value" in result
    ? "ok"
    : result.error instanceof StoreError
    ? result.error.code
    : `${result.error.name}: ${result.error.message}`;

export const count = (n: number): Count => ({ v: 1, n });
/** A text in few words: an assertion that fails should not print half a megabyte. */
export const brief = (row: Text | null | undefined) => row && `${row.text.length} ${[...new Set(row.text)].join("")}`;
export const text = (length: number, letter = "x"): Text => ({ v: 1, text: letter.repeat(length) });
export const add = (key: Key, n = 1) => async (tx: Tx) => {
  const next = ((await tx.get<Count>(key))?.n ?? 0) + n;
  tx.set(key, count(next));
  return next;
};

export class Bench {
  private constructor(
    readonly store: Store,
    readonly engine: FaultyEngine,
    readonly clock: FakeClock,
    readonly database: TestDatabase,
    private readonly reader: FaultyEngine,
    private readonly foreign: FaultyEngine,
    private readonly options: Partial<StoreOptions>,
  ) {}

  static async open(openDatabase: OpenDatabase, options: Partial<StoreOptions> = {}): Promise<Bench> {
    const database = await openDatabase();
    const engine = createFaultyEngine(database.engine);
    const clock = createFakeClock();
    const aside = (other: Engine) => createFaultyEngine({ ...other, onBell: () => {}, close: () => {} });
    const reader = aside(database.reader);
    // Two handles that write to one SQLite file refuse each other; its folder lock keeps a second one away anyhow.
    const foreign = aside(database.engine.exclusive ? database.engine : database.reader);
    clock.waitWhile(() => engine.inFlight() + reader.inFlight() + foreign.inFlight() > 0);
    const store = await createStore({ engine, clock, random: createSeededRandom(1), ...options });
    return new Bench(store, engine, clock, database, reader, foreign, options);
  }

  /** Moves time until `promise` settles. */
  drive<T>(promise: Promise<T>): Promise<T> {
    return this.clock.drive(promise);
  }
  run<T>(fn: (tx: Tx) => Promise<T> | T): Promise<T> {
    return this.drive(this.store.transact(fn));
  }
  async tryRun<T>(fn: (tx: Tx) => Promise<T> | T): Promise<string> {
    return codeOf(await this.drive(outcome(this.store.transact(fn))));
  }
  runAll(fns: ((tx: Tx) => unknown)[]): Promise<Outcome<unknown>[]> {
    return this.drive(Promise.all(fns.map((fn) => outcome(this.store.transact(fn)))));
  }
  /** What lies on the disk, seen by another handle. */
  async onDisk<T extends Versioned>(key: Key): Promise<T | null> {
    const [row] = await this.reader.get([key]);
    return row ? JSON.parse(new TextDecoder().decode(row.value)) as T : null;
  }
  async keysOnDisk(prefix: Key): Promise<Key[]> {
    return (await this.reader.list(prefix, { limit: 500 })).map((row) => row.key);
  }
  /** A store of another process on the same database. */
  async rival(): Promise<{ store: Store; run<T>(fn: (tx: Tx) => Promise<T> | T): Promise<T> }> {
    const random = createSeededRandom(2);
    const store = await createStore({ gatherMs: 0, ...this.options, engine: this.foreign, clock: this.clock, random });
    return { store, run: (fn) => this.drive(store.transact(fn)) };
  }
  async close(): Promise<void> {
    this.engine.heal();
    await this.engine.release();
    await this.drive(this.store.close());
    await this.database.close();
  }
}

/** Registers a test, on a store over a new database of `openDatabase`. */
export const testOn =
  (name: string, openDatabase: OpenDatabase) =>
  (criterion: string, body: (bench: Bench) => Promise<void>, options: Partial<StoreOptions> = {}): void =>
    Deno.test(`store on ${name}: ${criterion}`, async () => {
      const bench = await Bench.open(openDatabase, options);
      try {
        await body(bench);
      } finally {
        await bench.close();
      }
    });
