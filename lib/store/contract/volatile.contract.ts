import assert from "node:assert/strict";
import { createStore, type Tx } from "@/lib/store/store.ts";
import { add, codeOf, type Count, count, type OpenDatabase, outcome, testOn, text } from "@/lib/store/testing/bench.ts";
import type { CommitFault } from "@/lib/store/testing/faulty-engine.ts";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";

/** Adds to a number that is kept in memory alone. */
const bump = (key: string, n = 1) => async (tx: Tx) => {
  const next = ((await tx.get<Count>([key]))?.n ?? 0) + n;
  tx.setVolatile([key], count(next));
  return next;
};

/** What volatile rows, and rows written without a look, must keep over any engine. Registers one test for each criterion. */
export function volatileContract(name: string, openDatabase: OpenDatabase): void {
  const test = testOn(name, openDatabase);

  // ---- volatile rows: what is seen -----------------------------------------------------------------------------------

  test("a volatile row is seen by its own transaction, by those after it, and by reads outside", async (bench) => {
    const seen = await bench.runAll([
      async (tx) => {
        tx.setVolatile(["v"], count(1));
        const own = await tx.get(["v"]);
        tx.deleteVolatile(["v"]);
        const gone = await tx.get(["v"]);
        tx.setVolatile(["v"], count(2));
        return [own, gone];
      },
      bump("v"),
      (tx) => tx.get(["v"]),
    ]);
    assert.deepEqual(seen, [{ value: [count(1), null] }, { value: 3 }, { value: count(3) }]);
    assert.deepEqual(await bench.run((tx) => tx.get(["v"])), count(3));
    assert.deepEqual(await bench.drive(bench.store.get(["v"])), count(3));
    assert.deepEqual(await bench.drive(bench.store.getMany([["none"], ["v"]])), [null, count(3)]);
    await bench.run((tx) => tx.deleteVolatile(["v"]));
    assert.equal(await bench.drive(bench.store.get(["v"])), null);
  });

  test("a volatile row hides a durable row of the same key for as long as it is there", async (bench) => {
    const outside = async () => (await bench.drive(bench.store.getMany([["k"], ["other"]]))) as (Count | null)[];
    await bench.run((tx) => (tx.set(["k"], count(1)), tx.set(["other"], count(5))));
    await bench.run((tx) => tx.setVolatile(["k"], count(2)));
    await bench.run((tx) => tx.set(["k"], count(3)));
    assert.deepEqual(await bench.run((tx) => tx.get(["k"])), count(2));
    assert.deepEqual(await outside(), [count(2), count(5)]);
    assert.deepEqual(await bench.onDisk(["k"]), count(3));
    const within = await bench.run(async (tx) => {
      tx.deleteVolatile(["k"]);
      return await tx.get(["k"]);
    });
    assert.deepEqual([within, ...await outside()], [count(3), count(3), count(5)]);
    await bench.run((tx) => tx.delete(["k"]));
    assert.equal(await bench.run((tx) => tx.get(["k"])), null);
  });

  test("list does not show volatile rows, and the durable ones they hide", async (bench) => {
    await bench.run((tx) => {
      tx.set(["l", 1], count(1));
      tx.setVolatile(["l", 1], count(10));
      tx.setVolatile(["l", 2], count(20));
    });
    assert.deepEqual(await bench.drive(bench.store.list(["l"])), [{ key: ["l", 1], value: count(1) }]);
  });

  test("a volatile row never reaches the engine, whatever is committed beside it, and is gone with the process", async (bench) => {
    await bench.runAll([bump("v"), add(["n"]), bump("v"), (tx) => tx.event({ type: "e" })]);
    await bench.run((tx) => (tx.setVolatile(["w", 1], count(1)), tx.set(["n2"], count(1))));
    const written = bench.engine.asked.flatMap(({ set, delete: gone }) => [...set.map(({ key }) => key), ...gone]);
    assert.deepEqual(written.filter(([first]) => first === "v" || first === "w"), []);
    assert.ok(written.some(([first]) => first === "n2"));
    const next = await createStore({ engine: bench.engine, clock: bench.clock, random: createSeededRandom(9) });
    assert.deepEqual(await bench.drive(next.getMany([["v"], ["w", 1], ["n"]])), [null, null, count(1)]);
  });

  test("a volatile row cannot be changed through what was given or got", async (bench) => {
    const given = { v: 1, n: 1, parts: [{ n: 1 }] };
    await bench.run((tx) => tx.setVolatile(["v"], given));
    assert.throws(() => given.n = 2, TypeError);
    assert.throws(() => given.parts[0]!.n = 2, TypeError);
    assert.throws(() => given.parts.push({ n: 3 }), TypeError);
    assert.deepEqual(await bench.drive(bench.store.get(["v"])), { v: 1, n: 1, parts: [{ n: 1 }] });
  });

  test("a volatile row must be what a durable one may be", async (bench) => {
    const bad: ((tx: Tx) => void)[] = [
      (tx) => tx.setVolatile(["v"], { v: 0 }),
      (tx) => tx.setVolatile(["v"], { v: 1, n: NaN } as Count),
      (tx) => tx.setVolatile(["head"], count(1)),
      (tx) => tx.setVolatile([], count(1)),
      (tx) => tx.deleteVolatile(["event", 1]),
    ];
    for (const write of bad) assert.match(await bench.tryRun(write), /^TypeError/);
    await bench.run((tx) => tx.setVolatile(["v"], { v: 1, n: 1, none: undefined, list: [undefined] } as Count));
    assert.deepEqual(await bench.drive(bench.store.get(["v"])), { v: 1, n: 1, list: [null] });
  });

  // ---- volatile rows: with their group or not at all -----------------------------------------------------------------

  test("a transaction that throws leaves no volatile row, its neighbours do", async (bench) => {
    const results = await bench.runAll([
      bump("v"),
      async (tx) => {
        await bump("v", 100)(tx);
        tx.setVolatile(["never"], count(1));
        throw new Error("no");
      },
      (tx) => (tx.deleteVolatile(["v"]), Promise.reject(new Error("no"))),
      bump("v"),
    ]);
    assert.deepEqual(results.map(codeOf), ["ok", "Error: no", "Error: no", "ok"]);
    assert.deepEqual(await bench.drive(bench.store.getMany([["v"], ["never"]])), [count(2), null]);
  });

  test("volatile rows apply when their group is durable, not before", async (bench) => {
    bench.engine.nextCommits.push("hold");
    const first = bench.store.transact(async (tx) => (await add(["n"])(tx), await bump("v")(tx)));
    const later = bench.store.transact(bump("v", 10));
    await bench.clock.settle();
    assert.equal(bench.engine.held(), 1);
    assert.equal(await bench.drive(bench.store.get(["v"])), null);
    await bench.engine.release();
    assert.deepEqual([await bench.drive(first), await bench.drive(later)], [1, 11]);
    assert.deepEqual(await bench.drive(bench.store.get(["v"])), count(11));
  });

  test("a group that a foreign write makes run again applies its volatile rows once, and keeps those there were", async (bench) => {
    const rival = await bench.rival();
    await bench.runAll([bump("v"), bump("kept")]);
    await rival.run(add(["n"], 5));
    const reruns = bench.store.stats().reruns;
    const results = await bench.runAll([
      async (tx) => (await add(["n"])(tx), await bump("v")(tx)),
      bump("v"),
    ]);
    assert.deepEqual(results, [{ value: 2 }, { value: 3 }]);
    assert.ok(bench.store.stats().reruns > reruns);
    assert.deepEqual(await bench.drive(bench.store.getMany([["v"], ["kept"], ["n"]])), [count(3), count(1), count(6)]);
    assert.equal(await bench.drive(rival.store.get(["v"])), null);
  });

  const fates: [CommitFault, string][] = [
    ["lose", "ok"],
    ["deny", "ok"],
    ["lose-and-hang", "ok"],
    ["refuse", "unavailable"],
    ["hang", "unavailable"],
    ["late", "unavailable"],
    ["hold", "unavailable"],
  ];
  for (const [fault, result] of fates) {
    test(`volatile rows share the fate of a commit that meets the fault ${fault}`, async (bench) => {
      await bench.runAll([bump("v"), bump("kept"), add(["n"])]);
      bench.engine.nextCommits.push(fault);
      const results = await bench.runAll([async (tx) => (await add(["n"])(tx), await bump("v")(tx)), bump("v")]);
      assert.deepEqual(results.map(codeOf), [result, result]);
      await bench.engine.release();
      const applied = result === "ok" ? 3 : 1;
      assert.deepEqual(await bench.drive(bench.store.getMany([["v"], ["kept"]])), [count(applied), count(1)]);
      assert.equal(await bench.run(bump("v")), applied + 1);
    });
  }

  test("callers who heard unknown find the volatile rows once the commit is known to have landed", async (bench) => {
    bench.engine.nextCommits.push("lose-and-hang");
    const both = bench.store.transact(async (tx) => (await add(["n"])(tx), await bump("v")(tx)));
    const result = outcome(both);
    await bench.clock.settle();
    bench.engine.standing.read = "refuse";
    assert.equal(codeOf(await bench.drive(result)), "unknown");
    bench.engine.heal();
    assert.equal(await bench.run(bump("v")), 2);
    assert.equal(await bench.run(add(["n"])), 2);
  });

  test("volatile rows outlast a full cache and are asked of no engine", async (bench) => {
    await bench.run((tx) => {
      for (let i = 0; i < 20; i++) tx.setVolatile(["v", i], count(i));
    });
    for (let i = 0; i < 10; i++) await bench.run(add(["n", i]));
    const before = bench.engine.rowsRead();
    const rows = await bench.drive(bench.store.getMany(Array.from({ length: 20 }, (_, i) => ["v", i])));
    assert.deepEqual(rows, Array.from({ length: 20 }, (_, i) => count(i)));
    assert.equal(bench.engine.rowsRead(), before);
  }, { cacheRows: 2 });

  for (const to of ["disk", "memory"] as const) {
    test(`a row that moves to ${to} while it is read outside is found in one of the two places`, async (bench) => {
      const put = (tx: Tx, where: "disk" | "memory", n: number) =>
        where === "disk" ? tx.set(["k"], count(n)) : tx.setVolatile(["k"], count(n));
      const from = to === "disk" ? "memory" : "disk";
      await bench.run((tx) => (put(tx, from, 1), tx.set(["big", 1], text(100_000))));
      bench.engine.nextReads.push("hold-answer");
      const reading = bench.store.getMany([["big", 1], ["k"]]); // the large row is never in memory
      await bench.clock.settle();
      assert.equal(bench.engine.held(), 1);
      await bench.run((tx) => {
        if (from === "disk") tx.delete(["k"]);
        else tx.deleteVolatile(["k"]);
        put(tx, to, 2);
      });
      await bench.engine.release();
      assert.deepEqual((await bench.drive(reading))[1], count(2));
    });
  }

  // ---- volatile rows: what they cost ---------------------------------------------------------------------------------

  test("a group of volatile rows alone writes nothing, leaves the version, and does not gather", async (bench) => {
    await bench.runAll(Array.from({ length: 8 }, () => add(["hot"])));
    const [asked, commits, version] = [
      bench.engine.asked.length,
      bench.store.stats().commits,
      await bench.store.version(),
    ];
    const start = bench.clock.now();
    const done: number[] = [];
    bench.store.transact(bump("v")).then((n) => done.push(n));
    await bench.clock.settle();
    assert.deepEqual([done, bench.clock.now()], [[1], start]);
    assert.deepEqual([bench.engine.asked.length, bench.store.stats().commits], [asked, commits]);
    assert.equal(await bench.store.version(), version);
  }, { gatherMs: 5 });

  test("a busy store gathers for its next commit although volatile rows came between", async (bench) => {
    const { store, clock } = bench;
    await bench.runAll(Array.from({ length: 8 }, () => add(["hot"])));
    await bench.run(bump("v"));
    const commits = store.stats().commits;
    const done: number[] = [];
    for (const _ of [1, 2, 3]) {
      store.transact(add(["hot"])).then((n) => done.push(n));
      await clock.settle();
    }
    assert.deepEqual(done, []);
    await clock.advance(5);
    assert.deepEqual([done, store.stats().commits - commits], [[9, 10, 11], 1]);
  }, { gatherMs: 5 });

  test("where others may write, a group of volatile rows alone rests on the newest rows", async (bench) => {
    if (bench.engine.exclusive) return;
    const rival = await bench.rival();
    await bench.run(add(["n"]));
    await rival.run(add(["n"]));
    const copy = async (tx: Tx) => tx.setVolatile(["copy"], (await tx.get<Count>(["n"]))!);
    await bench.run(copy);
    assert.deepEqual(await bench.drive(bench.store.get(["copy"])), count(2));
    bench.engine.standing.read = "refuse";
    assert.equal(await bench.tryRun((tx) => tx.setVolatile(["copy"], count(7))), "unavailable");
    bench.engine.heal();
    assert.deepEqual(await bench.drive(bench.store.get(["copy"])), count(2));
  });

  // ---- rows that are new by promise ----------------------------------------------------------------------------------

  test("a row that is inserted is not looked up, is seen at once, and is written as any other", async (bench) => {
    await bench.run(add(["n"]));
    const before = bench.engine.rowsRead();
    const own = await bench.run((
      tx,
    ) => (tx.insert(["i", 1], count(1)), tx.insert(["i", 2], text(200_000)), tx.get(["i", 1])));
    assert.equal(bench.engine.rowsRead(), before);
    assert.deepEqual([own, await bench.onDisk(["i", 1])], [count(1), count(1)]);
    assert.deepEqual(await bench.drive(bench.store.get(["i", 2])), text(200_000));
    await bench.run(async (tx) => (tx.delete(["i", 1]), tx.delete(["i", 2]), await tx.get(["i", 1])));
    assert.deepEqual([await bench.keysOnDisk(["i"]), await bench.keysOnDisk(["~"])], [[], []]);
  });

  test("a row that is inserted and then rewritten in its transaction or its group leaves one row and no pieces", async (bench) => {
    await bench.runAll([
      (tx) => (tx.insert(["i", 1], text(200_000)), tx.set(["i", 1], count(1))),
      (tx) => tx.insert(["i", 2], text(200_000)),
      (tx) => tx.set(["i", 2], count(2)),
      (tx) => (tx.insert(["i", 3], count(3)), tx.delete(["i", 3])),
    ]);
    assert.deepEqual(await bench.keysOnDisk(["i"]), [["i", 1], ["i", 2]]);
    assert.deepEqual(await bench.keysOnDisk(["~"]), []);
  });

  test("an insert over a row that is known to be there is refused alone", async (bench) => {
    await bench.run((tx) => tx.set(["i", 1], count(1)));
    const results = await bench.runAll([
      (tx) => tx.insert(["i", 2], count(2)),
      (tx) => tx.insert(["i", 2], count(3)),
      (tx) => tx.insert(["i", 1], count(3)),
      (tx) => (tx.set(["i", 4], count(1)), tx.insert(["i", 4], count(2))),
      async (tx) => (tx.delete(["i", 1]), tx.insert(["i", 1], count(9)), await tx.get(["i", 1])),
    ]);
    assert.deepEqual(results.map((result) => codeOf(result).split(":")[0]), [
      "ok",
      "TypeError",
      "TypeError",
      "TypeError",
      "ok",
    ]);
    assert.deepEqual(await bench.drive(bench.store.getMany([["i", 1], ["i", 2], ["i", 4]])), [
      count(9),
      count(2),
      null,
    ]);
  });
}
