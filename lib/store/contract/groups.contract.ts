import assert from "node:assert/strict";
import type { StoredEvent, Tx } from "@/lib/store/store.ts";
import { encode, utf8 } from "@/lib/store/codec.ts";
import type { Commit } from "@/lib/store/engine.ts";
import { add, codeOf, type Count, count, type OpenDatabase, testOn, text } from "@/lib/store/testing/bench.ts";

/** Deno KV's own limits of one commit; the store must stay within. */
const DENO_KV = { mutations: 1_000, valueBytes: 800 * 1024, keyBytes: 80 * 1024 };

const sizeOf = (commit: Commit) => ({
  mutations: commit.set.length + commit.delete.length + (commit.bell ? 1 : 0),
  valueBytes: commit.set.reduce((sum, row) => sum + row.value.length, 0),
});

/** How transactions share a commit, and what one commit holds. Registers one test for each criterion. */
export function groupsContract(name: string, openDatabase: OpenDatabase): void {
  const test = testOn(name, openDatabase);

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
}
