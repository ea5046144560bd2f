import assert from "node:assert/strict";
import fc from "fast-check";
import { createStore, type Key, type Store, type StoredEvent, type Tx, type Versioned } from "./store.ts";
import { encode, utf8 } from "./codec.ts";
import type { Commit } from "./engine.ts";
import type { CommitFault, ReadFault } from "./testing/faulty-engine.ts";
import {
  add,
  Bench,
  brief,
  codeOf,
  type Count,
  count,
  type OpenDatabase,
  type Outcome,
  outcome,
  testOn,
  type Text,
  text,
} from "./testing/bench.ts";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";

/** Deno KV's own limits of one commit; the store must stay within. */
const DENO_KV = { mutations: 1_000, valueBytes: 800 * 1024, keyBytes: 80 * 1024 };

const sizeOf = (commit: Commit) => ({
  mutations: commit.set.length + commit.delete.length + (commit.bell ? 1 : 0),
  valueBytes: commit.set.reduce((sum, row) => sum + row.value.length, 0),
});

/** Everything a store over this engine must keep, whatever the engine does. Registers one test for each criterion. */
export function storeContract(name: string, openDatabase: OpenDatabase): void {
  const test = testOn(name, openDatabase);

  // ---- isolation and durability ------------------------------------------------------------------------------------

  test("a transaction sees its own writes and deletes, then those of the transactions before it", async (bench) => {
    await bench.run((tx) => tx.set(["a"], count(1)));
    const seen = await bench.runAll([
      async (tx) => {
        const first = await tx.get(["a"]);
        tx.set(["a"], count(2));
        const second = await tx.get(["a"]);
        tx.delete(["a"]);
        const third = await tx.get(["a"]);
        tx.set(["b"], count(3));
        return [first, second, third];
      },
      async (tx) => {
        const both = [await tx.get(["a"]), await tx.get(["b"])];
        tx.set(["a"], count(4));
        tx.delete(["b"]);
        return both;
      },
      async (tx) => [await tx.get(["a"]), await tx.get(["b"])],
    ]);
    assert.deepEqual(seen, [
      { value: [count(1), count(2), null] },
      { value: [null, count(3)] },
      { value: [count(4), null] },
    ]);
    assert.deepEqual([await bench.onDisk(["a"]), await bench.onDisk(["b"])], [count(4), null]);
  });

  test("nobody outside sees a write before it is durable, and its promise settles only then", async (bench) => {
    const { store, engine, clock } = bench;
    await bench.run((tx) => tx.set(["a"], count(1)));
    engine.nextCommits.push("hold");
    let settled = false;
    const promise = store.transact(add(["a"])).finally(() => settled = true);
    const later = store.transact(add(["a"], 10));
    await clock.advance(1_000);
    assert.equal(engine.held(), 1);
    assert.deepEqual([settled, await bench.drive(store.get(["a"])), await bench.onDisk(["a"])], [
      false,
      count(1),
      count(1),
    ]);
    await engine.release();
    assert.equal(await bench.drive(promise), 2);
    assert.equal(await bench.drive(later), 12);
    assert.deepEqual([await store.get(["a"]), await bench.onDisk(["a"])], [count(12), count(12)]);
  });

  test("when the promise settles, another handle finds the rows", async (bench) => {
    for (let i = 0; i < 20; i++) {
      await bench.drive(
        bench.store.transact((tx) => tx.set(["row", i], count(i))).then(async () => {
          assert.deepEqual(await bench.onDisk(["row", i]), count(i));
        }),
      );
    }
  });

  test("a transaction that throws gets its own error and leaves no trace, its neighbours commit", async (bench) => {
    const { store } = bench;
    const error = new Error("not enough");
    const results = await bench.runAll([
      add(["a"]),
      async (tx) => {
        tx.event({ type: "never" });
        tx.set(["never"], count(1));
        await add(["a"], 100)(tx);
        throw error;
      },
      add(["a"]),
    ]);
    assert.deepEqual(results, [{ value: 1 }, { error }, { value: 2 }]);
    assert.deepEqual(await bench.onDisk(["a"]), count(2));
    assert.equal(await store.get(["never"]), null);
    for (const prefix of ["event", "never"]) assert.deepEqual(await bench.keysOnDisk([prefix]), []);
  });

  test("a transaction of its own that throws, or only reads, commits nothing and leaves the version", async (bench) => {
    await bench.run(add(["a"]));
    const before = await bench.store.version();
    const commits = bench.store.stats().commits;
    assert.equal(await bench.tryRun((tx) => (tx.set(["a"], count(7)), Promise.reject(new Error("no")))), "Error: no");
    assert.equal(
      await bench.tryRun(() => {
        throw new Error("at once");
      }),
      "Error: at once",
    );
    assert.deepEqual(await bench.run((tx) => tx.get(["a"])), count(1));
    await bench.store.get(["a"]);
    await bench.store.list(["a"]);
    assert.equal(await bench.store.version(), before);
    assert.equal(bench.store.stats().commits, commits);
    await bench.run(add(["a"]));
    assert.notEqual(await bench.store.version(), before);
    assert.equal(bench.store.stats().commits, commits + 1);
  });

  test("list gives committed rows under a prefix in key order, from after a key on, backwards too", async (bench) => {
    await bench.run((tx) => {
      for (const i of [3, 1, 2, 10]) tx.set(["l", i], count(i));
      tx.set(["l", 2, "below"], count(20));
      tx.set(["m", 1], count(0));
    });
    const numbers = async (options: { limit?: number; after?: Key; reverse?: boolean }) =>
      (await bench.store.list<Count>(["l"], options)).map((row) => row.value.n);
    assert.deepEqual(await numbers({}), [1, 2, 20, 3, 10]);
    assert.deepEqual(await numbers({ limit: 2 }), [1, 2]);
    assert.deepEqual(await numbers({ after: ["l", 3] }), [10]);
    assert.deepEqual(await numbers({ reverse: true, limit: 2 }), [10, 3]);
    assert.deepEqual(await numbers({ reverse: true, after: ["l", 3] }), [20, 2, 1]);
  });

  // ---- groups ------------------------------------------------------------------------------------------------------

  test("an idle store commits at once, without waiting for a timer", async (bench) => {
    const start = bench.clock.now();
    const promise = bench.store.transact(add(["a"]));
    let settled = false;
    promise.then(() => settled = true);
    await bench.clock.settle();
    assert.deepEqual([settled, bench.clock.now()], [true, start]);
  });

  test("64 transactions at once share a few commits, also round after round", async (bench) => {
    const rounds = 4;
    const client = async (id: number) => {
      for (let round = 0; round < rounds; round++) await bench.store.transact(add(["hot"])).then(() => id);
    };
    await bench.drive(Promise.all(Array.from({ length: 64 }, (_, id) => client(id))));
    assert.deepEqual(await bench.onDisk(["hot"]), count(64 * rounds));
    const { commits, transactions } = bench.store.stats();
    assert.equal(transactions, 64 * rounds);
    assert.ok(commits <= 3 * rounds, `${commits} commits`);
  });

  test("a busy store waits a moment for those who shared its last commit, and a moment only", async (bench) => {
    const { store, clock } = bench;
    await bench.runAll(Array.from({ length: 8 }, () => add(["hot"])));
    const before = store.stats().commits;
    const start = clock.now();
    const done: number[] = [];
    for (const _ of [1, 2, 3]) {
      store.transact(add(["hot"])).then((n) => done.push(n));
      await clock.settle();
    }
    assert.deepEqual(done, []);
    await clock.advance(5);
    assert.deepEqual([done, store.stats().commits - before], [[9, 10, 11], 1]);
    await bench.run(add(["hot"]));
    await bench.run(add(["hot"]));
    assert.ok(clock.now() - start <= 15);
  }, { gatherMs: 5 });

  test("one transaction may write 990 rows; 1,001 are refused as too large without harm to neighbours", async (bench) => {
    const rows = (prefix: string, n: number) => (tx: Tx) => {
      for (let i = 0; i < n; i++) tx.set([prefix, i], count(i));
    };
    const results = await bench.runAll([add(["a"]), rows("fits", 990), rows("not", 1_001), add(["a"])]);
    assert.deepEqual(results.map(codeOf), ["ok", "ok", "too_large", "ok"]);
    assert.deepEqual(await bench.onDisk(["fits", 989]), count(989));
    assert.deepEqual(await bench.keysOnDisk(["not"]), []);
    assert.deepEqual(await bench.onDisk(["a"]), count(2));
  });

  test("a transaction at the limit of rows that also rings the bell still fits or is refused alone", async (bench) => {
    for (let n = 985; n <= 1_000; n++) {
      const code = await bench.tryRun((tx) => {
        for (let i = 0; i < n; i++) tx.set(["r", i], count(i));
        tx.ring(0);
      });
      assert.ok(code === (n <= 990 ? "ok" : code), `${n} rows: ${code}`);
      assert.ok(code === "ok" || code === "too_large", `${n} rows: ${code}`);
    }
    for (const commit of bench.engine.asked) assert.ok(sizeOf(commit).mutations <= DENO_KV.mutations);
  });

  test("long keys count: a group stays within the bytes of keys one commit holds", async (bench) => {
    const long = "k".repeat(1_500);
    const rows = (prefix: string, n: number) => (tx: Tx) => {
      for (let i = 0; i < n; i++) tx.set([prefix, i, long], count(i));
    };
    const results = await bench.runAll([rows("a", 40), rows("b", 40), rows("too many", 60)]);
    assert.deepEqual(results.map(codeOf), ["ok", "ok", "too_large"]);
    assert.equal((await bench.keysOnDisk(["b"])).length, 40);
  });

  test("transactions that do not fit the group any more go into the next one, in order", async (bench) => {
    const members = Array.from({ length: 6 }, (_, m) => async (tx: Tx) => {
      for (let i = 0; i < 400; i++) tx.set(["m", m, i], count(i));
      return await add(["order"])(tx);
    });
    const results = await bench.runAll(members);
    assert.deepEqual(results, members.map((_, m) => ({ value: m + 1 })));
    assert.ok(bench.store.stats().commits >= 3);
    const heavy = Array.from({ length: 6 }, (_, m) => async (tx: Tx) => {
      tx.set(["h", m], text(300 * 1024));
      return await add(["order"])(tx);
    });
    assert.deepEqual(await bench.runAll(heavy), heavy.map((_, m) => ({ value: m + 7 })));
    for (const commit of bench.engine.asked) {
      assert.ok(sizeOf(commit).mutations <= DENO_KV.mutations);
      assert.ok(sizeOf(commit).valueBytes <= DENO_KV.valueBytes);
    }
  });

  test("what a function assigns outside is from its last run, whatever ran before or beside it", async (bench) => {
    await bench.run((tx) => tx.set(["k"], count(0)));
    const assigned = new Map<number, number>();
    bench.engine.nextCommits.push("hold");
    const busy = bench.store.transact(add(["other"]));
    await bench.clock.settle();
    const waiting = bench.runAll([
      (tx) => tx.set(["k"], count(1)),
      ...[1, 2, 3].map((id) => async (tx: Tx) => {
        let sum = 0;
        for (let i = 0; i < 100; i++) sum += (await tx.get<Count>(["k"]))?.n ?? 0;
        assigned.set(id, sum);
        return sum;
      }),
    ]);
    await bench.engine.release();
    await busy;
    const results = await waiting;
    await bench.clock.settle();
    assert.deepEqual(results.slice(1), [{ value: 100 }, { value: 100 }, { value: 100 }]);
    assert.deepEqual([...assigned.values()], [100, 100, 100]);
  });

  test("transactions that run again after a foreign write and no longer fit one group keep their order", async (bench) => {
    const rival = await bench.rival();
    await bench.run((tx) => tx.set(["size"], count(1)));
    const member = (m: number) => async (tx: Tx) => {
      const size = m % 2 ? 1 : (await tx.get<Count>(["size"]))!.n;
      for (let i = 0; i < size; i++) tx.set(["m", m, i], count(i));
      return await add(["order"])(tx);
    };
    bench.engine.nextCommits.push("hold");
    const first = [0, 1, 2, 3, 4, 5].map((m) => bench.store.transact(member(m)));
    await bench.clock.settle();
    await rival.run((tx) => tx.set(["size"], count(400)));
    const behind = bench.store.transact(member(7));
    await bench.engine.release();
    assert.deepEqual(await bench.drive(Promise.all([...first, behind])), [1, 2, 3, 4, 5, 6, 7]);
  });

  test("a hot row rewritten by every member of a group counts once", async (bench) => {
    const big = text(59 * 1024).text;
    await bench.runAll(Array.from({ length: 60 }, (_, i) => (tx: Tx) => tx.set(["hot"], { v: 1, text: big, i })));
    assert.ok(bench.store.stats().commits <= 2, `${bench.store.stats().commits} commits`);
  });

  test("many events before a large transaction do not make it too large", async (bench) => {
    const results = await bench.runAll([
      (tx) => {
        for (let i = 0; i < 60; i++) tx.event({ type: "tick", i });
      },
      (tx) => {
        for (let i = 0; i < 950; i++) tx.set(["r", i], count(i));
      },
    ]);
    assert.deepEqual(results.map(codeOf), ["ok", "ok"]);
  });

  test("large events count with their own size; one that no row can hold is refused as too large", async (bench) => {
    const body = "e".repeat(50 * 1024);
    const results = await bench.runAll([
      ...Array.from({ length: 20 }, (_, i) => (tx: Tx) => tx.event({ type: "big", i, body })),
      (tx) => tx.event({ type: "huge", body: "e".repeat(70 * 1024) }),
      add(["a"]),
    ]);
    assert.deepEqual(results.map(codeOf), [...Array(20).fill("ok"), "too_large", "ok"]);
    const events = await bench.store.list<StoredEvent>(["event"]);
    assert.deepEqual(
      events.map(({ value }) => [value.i, (value.body as string).length]),
      Array.from({ length: 20 }, (_, i) => [i, body.length]),
    );
  });

  test("rows that lie in many pieces count with all of them when they are deleted", async (bench) => {
    // Small pieces, as a store with another piece size would have left them: 80 rows of 13 pieces.
    const row = encode(utf8(JSON.stringify(text(480))), 39);
    assert.equal(row.pieces.length, 13);
    for (let at = 0; at < 80; at += 20) {
      const set = Array.from({ length: 20 }, (_, i) => at + i).flatMap((id) => [
        { key: ["p", id], value: row.value },
        ...row.pieces.map((value, i) => ({ key: ["~", i, "p", id], value })),
      ]);
      assert.ok(
        await bench.database.engine.commit({
          check: { key: ["head"], versionstamp: null },
          set,
          delete: [],
          bell: false,
        }),
      );
    }
    assert.deepEqual(await bench.store.get(["p", 79]), text(480));
    const some = (from: number, to: number) => (tx: Tx) => {
      for (let id = from; id < to; id++) tx.delete(["p", id]);
    };
    assert.equal(await bench.tryRun(some(0, 80)), "too_large");
    assert.deepEqual((await bench.runAll([some(0, 40), some(40, 80)])).map(codeOf), ["ok", "ok"]);
    assert.deepEqual([await bench.keysOnDisk(["p"]), await bench.keysOnDisk(["~"])], [[], []]);
  });

  // ---- values and keys ---------------------------------------------------------------------------------------------

  test("values of several hundred KiB come back whole, shrink, grow and go without leaving pieces", async (bench) => {
    const sizes = [61_440 - 30, 65_536, 65_537, 500 * 1024, 700 * 1024, 130_000, 10, 200_000];
    for (const size of sizes) {
      await bench.run((tx) => tx.set(["big"], text(size)));
      assert.equal((await bench.store.get<Text>(["big"]))?.text.length, size);
      assert.equal((await bench.run((tx) => tx.get<Text>(["big"])))?.text.length, size);
    }
    assert.equal((await bench.keysOnDisk(["~"])).length, 4);
    const [listed] = await bench.store.list<Text>(["big"]);
    assert.equal(listed, undefined); // a row is not under itself
    await bench.run((tx) => tx.set(["bigs", 1], { v: 1, text: "€😀é".repeat(30_000) }));
    assert.ok((await bench.store.list<Text>(["bigs"]))[0]?.value.text === "€😀é".repeat(30_000));
    await bench.runAll([(tx) => tx.delete(["big"]), (tx) => tx.delete(["bigs", 1])]);
    assert.equal(await bench.store.get(["big"]), null);
    assert.deepEqual(await bench.keysOnDisk(["~"]), []);
  });

  test("a large value replaced within one group leaves no pieces, and 900 KiB are refused as too large", async (bench) => {
    await bench.run((tx) => tx.set(["big"], text(300_000)));
    await bench.runAll([
      (tx) => tx.set(["big"], text(100_000)),
      (tx) => tx.delete(["big"]),
      (tx) => tx.set(["big"], text(70_000)),
    ]);
    assert.equal((await bench.store.get<Text>(["big"]))?.text.length, 70_000);
    assert.equal((await bench.keysOnDisk(["~"])).length, 2);
    assert.equal(await bench.tryRun((tx) => tx.set(["big"], text(900 * 1024))), "too_large");
    assert.equal((await bench.store.get<Text>(["big"]))?.text.length, 70_000);
  });

  for (const then of ["rewritten", "shrunk", "deleted"] as const) {
    test(`a large value read outside while it is ${then} comes back as one of its states, never mixed`, async (bench) => {
      const states = { rewritten: text(700_000, "b"), shrunk: text(10, "b"), deleted: null };
      const next = states[then];
      // The row changes after its header was read, then after the header and nine of its pieces were.
      for (const reads of [["hold-answer"], [null, null, "hold"]] as const) {
        await bench.run((tx) => tx.set(["big", 1], text(700_000, "a")));
        bench.engine.nextReads.push(...reads);
        const reading = bench.store.get<Text>(["big", 1]);
        await bench.clock.settle();
        assert.equal(bench.engine.held(), 1);
        await bench.run((tx) => next ? tx.set(["big", 1], next) : tx.delete(["big", 1]));
        await bench.engine.release();
        assert.equal(brief(await bench.drive(reading)), brief(next));
      }
      await bench.run((tx) => tx.set(["big", 1], text(700_000, "a")));
      bench.engine.nextReads.push("hold-answer");
      const listing = bench.store.list<Text>(["big"]);
      await bench.clock.settle();
      await bench.run((tx) => next ? tx.set(["big", 1], next) : tx.delete(["big", 1]));
      await bench.engine.release();
      assert.deepEqual((await bench.drive(listing)).map((row) => brief(row.value)), next ? [brief(next)] : []);
    });
  }

  test("a record without a whole v of at least 1, and a number JSON cannot hold, are refused alone", async (bench) => {
    const bad: [string, (tx: Tx) => void][] = [
      ["no v", (tx) => tx.set(["x"], {} as Versioned)],
      ["half v", (tx) => tx.set(["x"], { v: 1.5 })],
      ["v of the store's own rows", (tx) => tx.set(["x"], { v: 0, pieces: 3 } as Versioned)],
      ["an array", (tx) => tx.set(["x"], [1] as unknown as Versioned)],
      ["null", (tx) => tx.set(["x"], null as unknown as Versioned)],
      ["NaN deep inside", (tx) => tx.set(["x"], { v: 1, a: { b: [NaN] } } as Versioned)],
      ["infinite", (tx) => tx.set(["x"], { v: 1, n: -Infinity } as Versioned)],
      ["a bigint", (tx) => tx.set(["x"], { v: 1, n: 1n } as Versioned)],
      ["NaN in an event", (tx) => tx.event({ type: "bad", n: NaN })],
      ["a bigint in an event", (tx) => tx.event({ type: "bad", n: 1n })],
    ];
    for (const [what, write] of bad) {
      const [before, refused, after] = await bench.runAll([add(["a"]), write, add(["a"])]);
      assert.deepEqual([codeOf(before!), codeOf(after!)], ["ok", "ok"], what);
      assert.match(codeOf(refused!), /^TypeError/, what);
    }
    assert.equal(await bench.store.get(["x"]), null);
    assert.deepEqual(await bench.keysOnDisk(["event"]), []);
  });

  test("a key the engine cannot hold, or that is the store's own, is refused alone", async (bench) => {
    const keys: Key[] = [[], ["a", NaN], ["a", Infinity], ["k".repeat(2_048)], ["é".repeat(1_024)], ["head"], [
      "event",
      1,
    ], ["~", 0, "a"]];
    for (const key of keys) {
      for (const write of [(tx: Tx) => tx.set(key, count(1)), (tx: Tx) => tx.delete(key)]) {
        const [before, refused, after] = await bench.runAll([add(["a"]), write, add(["a"])]);
        assert.deepEqual([codeOf(before!), codeOf(after!)], ["ok", "ok"], `${JSON.stringify(key).slice(0, 40)}`);
        assert.match(codeOf(refused!), /^TypeError/, `${JSON.stringify(key).slice(0, 40)}`);
      }
    }
    assert.equal(await bench.tryRun((tx) => tx.set(["k".repeat(1_900)], text(70_000))), "ok");
  });

  // ---- foreign writes ----------------------------------------------------------------------------------------------

  test("writes of another process are noticed: nobody commits on a stale row, nothing is lost or doubled", async (bench) => {
    const rival = await bench.rival();
    await bench.run(add(["n"]));
    await rival.run(add(["n"]));
    assert.equal(await bench.run(add(["n"])), 3);
    assert.equal(await rival.run(add(["n"])), 4);
    const both = Array.from({ length: 30 }, (_, i) => (i % 2 ? rival.store : bench.store).transact(add(["n"])));
    const seen = await bench.drive(Promise.all(both));
    assert.deepEqual([...seen].sort((a, b) => a - b), Array.from({ length: 30 }, (_, i) => i + 5));
    assert.deepEqual(await bench.onDisk(["n"]), count(34));
    assert.ok(bench.store.stats().reruns > 0);
  });

  test("a transaction that runs again after a foreign write decides anew, and its error is from the newest rows", async (bench) => {
    const rival = await bench.rival();
    await bench.run((tx) => tx.set(["purse"], count(5)));
    await rival.run((tx) => tx.set(["purse"], count(0)));
    const spend = async (tx: Tx) => {
      const purse = await tx.get<Count>(["purse"]);
      if (!purse || purse.n < 5) throw new Error("empty");
      tx.set(["purse"], count(purse.n - 5));
      tx.event({ type: "spent" });
    };
    const results = await bench.runAll([add(["other"]), spend]);
    assert.deepEqual(results.map(codeOf), ["ok", "Error: empty"]);
    assert.deepEqual([await bench.onDisk(["purse"]), await bench.onDisk(["other"])], [count(0), count(1)]);
    assert.deepEqual(await bench.keysOnDisk(["event"]), []);
  });

  test("where others may write, a transaction that only reads or throws still rests on the newest rows", async (bench) => {
    if (bench.engine.exclusive) return;
    const rival = await bench.rival();
    await bench.run((tx) => tx.set(["a"], count(1)));
    await rival.run((tx) => tx.set(["a"], count(2)));
    assert.deepEqual(await bench.run((tx) => tx.get(["a"])), count(2));
    await rival.run((tx) => tx.set(["a"], count(3)));
    const code = await bench.tryRun(async (tx) => {
      throw new Error(`saw ${(await tx.get<Count>(["a"]))?.n}`);
    });
    assert.equal(code, "Error: saw 3");
    await rival.run((tx) => tx.set(["a"], count(4)));
    assert.deepEqual(await bench.store.get(["a"]), count(4));
  });

  // ---- a database that fails ---------------------------------------------------------------------------------------

  test("a disk error rejects the whole group, whose writes nobody sees later", async (bench) => {
    await bench.run(add(["a"]));
    bench.engine.nextCommits.push("refuse");
    const results = await bench.runAll([
      add(["a"]),
      (tx) => tx.set(["b"], count(1)),
      () => Promise.reject(new Error("own")),
    ]);
    assert.deepEqual(results.map(codeOf), ["unavailable", "unavailable", "unavailable"]);
    assert.deepEqual(await bench.run((tx) => Promise.all([tx.get(["a"]), tx.get(["b"])])), [count(1), null]);
    assert.equal(await bench.run(add(["a"])), 2);
    assert.deepEqual([await bench.store.get(["a"]), await bench.onDisk(["b"])], [count(2), null]);
    assert.equal(bench.store.healthy(), true);
  });

  const fates: { fault: CommitFault; what: string; result: string }[] = [
    { fault: "lose", what: "an error after the write landed", result: "ok" },
    { fault: "deny", what: "a failed check from a client that had sent it twice", result: "ok" },
    { fault: "lose-and-hang", what: "no answer after the write landed", result: "ok" },
    { fault: "hang", what: "no answer and no write", result: "unavailable" },
    { fault: "late", what: "an error, and the write on its way", result: "unavailable" },
    { fault: "hold", what: "no answer in time, and the write on its way", result: "unavailable" },
  ];
  for (const { fault, what, result } of fates) {
    const applied = result === "ok" ? "applied once" : "refused, and can never land";
    test(`a commit answered by ${what} is ${applied}`, async (bench) => {
      const { store, engine } = bench;
      const events: number[] = [];
      store.onEvent((event) => events.push(event.seq));
      await bench.run(add(["n"]));
      engine.nextCommits.push(fault);
      const results = await bench.runAll([
        add(["n"]),
        (tx) => tx.event({ type: "e" }),
        (tx) => tx.set(["b"], text(100_000)),
      ]);
      assert.deepEqual(results.map(codeOf), [result, result, result]);
      assert.deepEqual(await engine.release(), fault === "late" || fault === "hold" ? [null] : []);
      const n = result === "ok" ? 2 : 1;
      assert.deepEqual([await store.get(["n"]), await bench.onDisk(["n"])], [count(n), count(n)]);
      assert.equal((await store.get<Text>(["b"]))?.text.length, result === "ok" ? 100_000 : undefined);
      assert.equal(events.length, n - 1);
      assert.equal(await bench.run(add(["n"])), n + 1);
      assert.equal(store.healthy(), true);
    });
  }

  test("a commit that landed is recognised although others have committed many times since", async (bench) => {
    const rival = await bench.rival();
    await bench.run(add(["n"]));
    bench.engine.nextCommits.push("lose-and-hang");
    const ours = outcome(bench.store.transact(add(["n"])));
    await bench.clock.settle();
    bench.engine.standing.read = "refuse";
    await bench.clock.advance(5_300);
    for (let i = 0; i < 40; i++) await rival.run(add(["n"]));
    bench.engine.heal();
    assert.deepEqual(await bench.drive(ours), { value: 2 });
    assert.equal(await bench.run(add(["n"])), 43);
  });

  test("after a commit that landed although its check failed, rows others have changed since are read anew", async (bench) => {
    const rival = await bench.rival();
    await bench.run(add(["n"]));
    bench.engine.nextCommits.push("deny");
    bench.engine.nextReads.push("hold");
    const ours = bench.store.transact(add(["n"]));
    await bench.clock.settle();
    assert.equal(bench.engine.held(), 1);
    await rival.run(add(["n"], 10));
    await bench.engine.release();
    assert.equal(await bench.drive(ours), 2);
    assert.equal(await bench.run(add(["n"])), 13);
  });

  test("a store whose fence is under way is not healthy, although its reads come back", async (bench) => {
    bench.engine.nextCommits.push("hang", "hang");
    const result = outcome(bench.store.transact(add(["n"])));
    await bench.clock.advance(6_000);
    assert.equal(bench.engine.asked.length, 2);
    assert.equal(bench.store.healthy(), false);
    assert.equal(codeOf(await bench.drive(result)), "unavailable");
    assert.equal(bench.store.healthy(), true);
  });

  test("a fence whose own answers are lost, refused or delayed still finds the truth", async (bench) => {
    const faults: CommitFault[] = ["lose", "deny", "hang", "late", "refuse", "lose-and-hang", "hold"];
    let applied = 0;
    for (const first of ["lose", "hang"] as const) {
      for (const fault of faults) {
        bench.engine.nextCommits.push(first, fault, fault);
        const code = await bench.tryRun(add(["n"]));
        assert.ok(
          code === (first === "lose" ? "ok" : "unavailable") || code === "unknown",
          `${first}, ${fault}: ${code}`,
        );
        if (first === "lose") applied++;
        bench.engine.nextCommits.length = 0;
        await bench.engine.release();
        assert.equal(
          await bench.run((tx) => tx.get<Count>(["n"]).then((row) => row?.n)),
          applied,
          `${first}, ${fault}`,
        );
      }
    }
  });

  test("while an outcome is being found out the store is not healthy, waiters are refused in time, callers hear unknown", async (bench) => {
    const { store, engine, clock } = bench;
    const start = clock.now();
    const at = new Map<string, number>();
    const note = (name: string) => (result: Outcome<unknown>) => {
      at.set(name, clock.now() - start);
      return result;
    };
    engine.nextCommits.push("lose-and-hang");
    const first = outcome(store.transact(add(["n"]))).then(note("first"));
    await clock.settle();
    engine.standing = { commit: "hang", read: "hang" };
    await clock.advance(100);
    const second = outcome(store.transact(add(["n"]))).then(note("second"));
    assert.equal(store.healthy(), true);
    await clock.advance(5_000);
    assert.equal(store.healthy(), false);
    assert.equal(codeOf(await bench.drive(second)), "unavailable");
    assert.equal(codeOf(await bench.drive(first)), "unknown");
    const [refused, unknown] = [at.get("second") ?? 0, at.get("first") ?? 0];
    assert.ok(refused >= 10_100 && refused <= 10_200, `refused after ${refused} ms`);
    assert.ok(unknown >= 20_000 && unknown <= 20_100, `unknown after ${unknown} ms`); // 5 s for the commit, then 15 s
    assert.equal(store.healthy(), false);
    engine.heal();
    assert.equal(await bench.run(add(["n"])), 2);
    assert.equal(store.healthy(), true);
    assert.deepEqual(await bench.onDisk(["n"]), count(2));
  });

  test("every call has a deadline: reads that hang or fail are unavailable, inside a transaction too", async (bench) => {
    const { store, engine, clock } = bench;
    await bench.run((tx) => (tx.set(["a"], count(1)), tx.set(["big"], text(100_000))));
    for (const fault of ["hang", "refuse"] as const) {
      engine.standing.read = fault;
      const tries: Record<string, () => Promise<unknown>> = {
        get: () => store.get(["unread", fault]),
        list: () => store.list(["a"]),
        version: () => store.version(),
        "tx.get": () => store.transact((tx) => tx.get(["unread", fault])),
        "tx.set": () => store.transact((tx) => tx.set(["unread", fault], count(1))),
        "tx.delete": () => store.transact((tx) => tx.delete(["unread", fault])),
        open: () => createStore({ engine, clock, random: createSeededRandom(3) }),
      };
      for (const [what, attempt] of Object.entries(tries)) {
        const began = clock.now();
        assert.equal(codeOf(await bench.drive(outcome(attempt()))), "unavailable", `${what} ${fault}`);
        assert.ok(clock.now() - began <= 10_000, `${what} ${fault}`); // the read, then its confirmation
      }
      assert.equal(store.healthy(), false, fault);

      engine.heal();
      assert.deepEqual(await bench.drive(store.list(["unread"])), []);
      assert.equal(await bench.run(add(["n", fault])), 1);
      assert.equal(store.healthy(), true, fault);
    }
  });

  test("a slow read inside a transaction is no stuck function, and its answer counts", async (bench) => {
    await bench.run(add(["a"]));
    bench.engine.nextReads.push("hold");
    const promise = bench.store.transact((tx) => tx.get<Count>(["slow"]));
    await bench.clock.advance(4_000);
    await bench.engine.release();
    assert.equal(await bench.drive(promise), null);
  });

  test("a read nobody awaited and that answers late does not bring an old row back", async (bench) => {
    await bench.run((tx) => tx.set(["a"], count(1)));
    const store = await createStore({ engine: bench.engine, clock: bench.clock, random: createSeededRandom(4) });
    bench.engine.nextReads.push("hold-answer");
    await bench.drive(store.transact((tx) => void tx.get(["a"]).catch(() => {})));
    await bench.drive(store.transact((tx) => tx.set(["a"], count(2))));
    await bench.engine.release();
    await bench.clock.settle();
    assert.deepEqual(await bench.drive(store.get(["a"])), count(2));
    assert.equal(await bench.drive(store.transact(add(["a"]))), 3);
  });

  // ---- functions that misbehave ------------------------------------------------------------------------------------

  test("a function that waits for anything else is ended, leaves no trace, and the store goes on", async (bench) => {
    const start = bench.clock.now();
    const wakes: (() => void)[] = [];
    const late: Outcome<unknown>[] = [];
    const results = bench.runAll([
      add(["a"]),
      async (tx) => {
        tx.set(["never"], count(1));
        await new Promise<void>((resolve) => wakes.push(resolve));
        late.push(await outcome(Promise.resolve().then(() => tx.set(["never"], count(2)))));
      },
      add(["a"]),
    ]);
    assert.deepEqual((await results).map(codeOf), ["ok", "stuck", "ok"]);
    const waited = bench.clock.now() - start;
    assert.ok(waited >= 50 && waited <= 200, `${waited} ms`);
    for (const wake of wakes) wake();
    await bench.clock.settle();
    assert.deepEqual(late.map(codeOf), ["stuck"]);
    assert.equal(await bench.run(add(["a"])), 3);
    assert.equal(await bench.onDisk(["never"]), null);
  });

  test("every call to tx after the end is refused and has no effect", async (bench) => {
    let kept: Tx | null = null;
    await bench.run((tx) => void (kept = tx));
    const tx = kept as Tx | null;
    assert.ok(tx);
    const calls: (() => unknown)[] = [
      () => tx.set(["x"], count(1)),
      () => tx.delete(["x"]),
      () => tx.insert(["x"], count(1)),
      () => tx.setVolatile(["x"], count(1)),
      () => tx.deleteVolatile(["x"]),
      () => tx.afterCommit(() => {}),
      () => tx.ring(0),
      () => tx.event({ type: "e" }),
      () => tx.get(["x"]),
    ];
    for (const call of calls) {
      assert.equal(codeOf(await outcome(Promise.resolve().then(call))), "stuck");
    }
    await bench.run(add(["a"]));
    assert.equal(await bench.store.get(["x"]), null);
  });

  // ---- events ------------------------------------------------------------------------------------------------------

  test("events get consecutive numbers in commit order; listeners hear each once, after the commit", async (bench) => {
    const { store, engine } = bench;
    const heard: number[] = [];
    const stop = store.onEvent((event) => heard.push(event.seq));
    engine.nextCommits.push("hold");
    const first = store.transact((tx) => (tx.event({ type: "a" }), tx.event({ type: "b" })));
    await bench.clock.settle();
    assert.deepEqual(heard, []);
    await engine.release();
    await bench.drive(first);
    await bench.runAll([
      (tx) => tx.event({ type: "c" }),
      (tx) => (tx.event({ type: "x" }), Promise.reject(new Error("no"))),
      (tx) => tx.event({ type: "d", seq: 99, v: 7 }),
    ]);
    const stored = (await store.list<StoredEvent>(["event"])).map((
      { key, value },
    ) => [key[1], value.seq, value.type, value.v, value.at]);
    const at = bench.clock.now();
    assert.deepEqual(stored, ["a", "b", "c", "d"].map((type, i) => [i + 1, i + 1, type, 1, at]));
    assert.deepEqual(heard, [1, 2, 3, 4]);
    stop();
    await bench.run((tx) => tx.event({ type: "e" }));
    assert.deepEqual(heard, [1, 2, 3, 4]);
  });

  test("events run on after a foreign write without a gap, and only the newest are kept", async (bench) => {
    const rival = await bench.rival();
    for (let i = 0; i < 5; i++) {
      await bench.run((tx) => (tx.event({ type: "ours" }), tx.event({ type: "ours" })));
      await rival.run((tx) => tx.event({ type: "theirs" }));
    }
    const kept = (await bench.store.list<StoredEvent>(["event"])).map(({ value }) => [value.seq, value.type]);
    assert.deepEqual(kept, [[11, "ours"], [12, "theirs"], [13, "ours"], [14, "ours"], [15, "theirs"]]);
  }, { eventLogSize: 5 });

  const heardErrors: unknown[] = [];
  test(
    "a listener or a hook that throws stops neither the others, nor the work, nor the store, and its error is reported",
    async (bench) => {
      heardErrors.length = 0;
      const heard: number[] = [];
      const ran: string[] = [];
      const error = new Error("listener");
      bench.store.onEvent(() => {
        throw error;
      });
      bench.store.onEvent((event) => heard.push(event.seq));
      await bench.run((tx) => (tx.event({ type: "e" }), tx.afterCommit(() => ran.push("first"))));
      await bench.run((tx) => {
        tx.event({ type: "e" });
        tx.afterCommit(() => {
          throw error;
        });
        tx.afterCommit(() => ran.push("second"));
      });
      assert.deepEqual([heard, ran, heardErrors], [[1, 2], ["first", "second"], [error, error, error]]);
    },
    { onDefect: (error) => heardErrors.push(error) },
  );

  // ---- cache, closing ----------------------------------------------------------------------------------------------

  test("a cache of two rows answers as a model of the rows does", async (bench) => {
    const model = new Map<number, number>();
    const random = createSeededRandom(5);
    const byte = () => random.bytes(1)[0]!;
    for (let round = 0; round < 40; round++) {
      const expected: unknown[] = [];
      const seen = await bench.drive(Promise.all(Array.from({ length: 1 + byte() % 5 }, () => {
        const [id, n, what] = [byte() % 6, byte(), byte() % 3];
        expected.push(model.get(id) ?? null);
        if (what === 1) model.set(id, n);
        if (what === 2) model.delete(id);
        return bench.store.transact(async (tx) => {
          const before = await tx.get<Count>(["c", id]);
          if (what === 1) tx.set(["c", id], count(n));
          if (what === 2) tx.delete(["c", id]);
          return before?.n ?? null;
        });
      })));
      assert.deepEqual(seen, expected);
      const id = byte() % 6;
      assert.equal((await bench.store.get<Count>(["c", id]))?.n ?? null, model.get(id) ?? null);
    }
  }, { cacheRows: 2 });

  for (
    const [what, limits, row] of [
      ["rows", { cacheRows: 8 }, count(1)],
      ["bytes", { cacheBytes: 8 * 1_100 }, text(1_000)],
    ] as const
  ) {
    test(`memory holds as many ${what} as it may, those used of late, and no large row`, async (bench) => {
      const asked = async (id: number) => {
        const before = bench.store.stats().rowsRead;
        await bench.run((tx) => tx.get(["c", id]));
        return bench.store.stats().rowsRead - before - (bench.engine.exclusive ? 0 : 1);
      };
      await bench.run((tx) => tx.set(["c", 0], row));
      for (let id = 1; id <= 20; id++) {
        await bench.run((tx) => tx.set(["c", id], row));
        assert.equal(await asked(0), 0, "a row that is used stays");
      }
      assert.deepEqual([await asked(20), await asked(1), await asked(10)], [0, 1, 1]);
      await bench.run((tx) => tx.set(["c", 0], text(17 * 1024)));
      assert.equal(await asked(0), 1);
    }, limits);
  }

  test("close refuses what comes, finishes what waits, and its rows are there", async (bench) => {
    const { store, engine } = bench;
    engine.nextCommits.push("hold");
    const waiting = Array.from({ length: 5 }, (_, i) => outcome(store.transact(add(["n"], i + 1))));
    await bench.clock.settle();
    const more = outcome(store.transact(add(["n"], 100)));
    const closing = store.close();
    const refused = outcome(store.transact(add(["n"], 1_000)));
    assert.equal(store.healthy(), false);
    await bench.clock.settle();
    await engine.release();
    await bench.drive(closing);
    assert.deepEqual((await Promise.all(waiting)).map(codeOf), Array(5).fill("ok"));
    assert.deepEqual([codeOf(await more), codeOf(await refused)], ["ok", "unavailable"]);
    await store.close();
  });

  test("close ends in time although the database is silent; callers hear, and nothing goes on in the background", async (bench) => {
    const { store, engine, clock } = bench;
    engine.standing = { commit: "hang", read: "hang" };
    engine.nextReads.push(null);
    const first = outcome(store.transact(add(["n"])));
    await clock.advance(1_000);
    const second = outcome(store.transact(add(["n"])));
    const start = clock.now();
    await bench.drive(store.close());
    assert.ok(clock.now() - start <= 10_000);
    assert.deepEqual([codeOf(await bench.drive(first)), codeOf(await bench.drive(second))], ["unknown", "unavailable"]);
    await clock.advance(60_000);
    assert.equal(clock.pending(), 0);
  });
}

// ---- the property --------------------------------------------------------------------------------------------------

interface Transfer {
  from: number;
  to: number;
  sats: number;
}
interface Step {
  transfers: Transfer[];
  commits: (CommitFault | null)[];
  reads: (ReadFault | null)[];
  rival: Transfer | null;
  release: boolean;
}
const ACCOUNTS = 4;
const EACH = 100;

const transfers = fc.record({
  from: fc.nat(ACCOUNTS - 1),
  to: fc.nat(ACCOUNTS - 1),
  sats: fc.integer({ min: 1, max: 60 }),
});
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    transfers: fc.array(transfers, { minLength: 1, maxLength: 5 }),
    commits: fc.array(
      fc.constantFrom<(CommitFault | null)[]>(
        null,
        null,
        "refuse",
        "lose",
        "deny",
        "hang",
        "lose-and-hang",
        "late",
        "hold",
      ),
      { maxLength: 3 },
    ),
    reads: fc.array(fc.constantFrom<(ReadFault | null)[]>(null, null, null, "refuse", "hang", "hold-answer"), {
      maxLength: 3,
    }),
    rival: fc.option(transfers, { nil: null, freq: 2 }),
    release: fc.boolean(),
  }),
  { minLength: 1, maxLength: 8 },
);

/**
 * Transfers in random interleavings with random faults and another process: the sum stays, a transfer that was confirmed
 * is applied exactly once, one that was refused never. A failure prints the seed and the shortest history.
 */
export function storeProperty(name: string, openDatabase: OpenDatabase, runs: number): void {
  Deno.test(`store on ${name}: random transfers, faults and foreign writes keep the sum and apply each transfer once or never`, async () => {
    await fc.assert(fc.asyncProperty(steps, (history) => transferHistory(openDatabase, history)), { numRuns: runs });
  });
}

async function transferHistory(openDatabase: OpenDatabase, history: Step[]): Promise<void> {
  const bench = await Bench.open(openDatabase, { cacheRows: 5 });
  try {
    const rival = await bench.rival();
    await rival.run((tx) => {
      for (let account = 0; account < ACCOUNTS; account++) tx.set(["account", account], count(EACH));
    });
    const made: { transfer: Transfer; result: string }[] = [];
    const transfer = ({ from, to, sats }: Transfer, id: number) => async (tx: Tx) => {
      const purse = (await tx.get<Count>(["account", from]))!.n;
      if (purse < sats) throw new Error("poor");
      tx.set(["account", from], count(purse - sats));
      await add(["account", to], sats)(tx);
      await add(["applied", id])(tx);
      tx.event({ type: "moved", id });
    };
    const track = async (store: Store, what: Transfer) => {
      const id = made.length;
      const entry = { transfer: what, result: "waiting" };
      made.push(entry);
      entry.result = codeOf(await outcome(store.transact(transfer(what, id))));
    };
    for (const step of history) {
      bench.engine.nextCommits.push(...step.commits);
      bench.engine.nextReads.push(...step.reads);
      const all = step.transfers.map((what) => track(bench.store, what));
      if (step.rival) all.push(track(rival.store, step.rival));
      if (step.release) {
        await bench.clock.advance(1);
        await bench.engine.release();
      }
      await bench.drive(Promise.all(all));
    }
    bench.engine.heal();
    await bench.engine.release();
    await bench.run((tx) => tx.get(["account", 0])); // an outcome still being found out is known after this

    const balances = Array<number>(ACCOUNTS).fill(EACH);
    let applied = 0;
    for (const [id, { transfer: { from, to, sats }, result }] of made.entries()) {
      const times = (await bench.onDisk<Count>(["applied", id]))?.n ?? 0;
      const allowed = result === "ok" ? [1] : result === "unknown" ? [0, 1] : [0];
      assert.ok(allowed.includes(times), `transfer ${id} was answered ${result} and applied ${times} times`);
      assert.ok(["ok", "unknown", "unavailable", "Error: poor"].includes(result), result);
      if (times === 0) continue;
      applied++;
      balances[from]! -= sats;
      balances[to]! += sats;
    }
    const stored = await Promise.all(balances.map((_, account) => bench.onDisk<Count>(["account", account])));
    assert.deepEqual(stored.map((row) => row?.n), balances);
    assert.ok(balances.every((balance) => balance >= 0));
    assert.deepEqual(
      (await bench.keysOnDisk(["event"])).map((key) => key[1]),
      Array.from({ length: applied }, (_, i) => i + 1),
    );
  } finally {
    await bench.close();
  }
}
