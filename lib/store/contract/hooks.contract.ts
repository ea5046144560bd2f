import assert from "node:assert/strict";
import type { Tx, Versioned } from "@/lib/store/store.ts";
import { add, codeOf, type Count, count, type OpenDatabase, outcome, testOn, text } from "@/lib/store/testing/bench.ts";

/** What hooks, and the frozen rows, of transactions must keep over any engine. Registers one test for each criterion. */
export function hooksContract(name: string, openDatabase: OpenDatabase): void {
  const test = testOn(name, openDatabase);

  /** A hook that takes notes. */
  const noting = (notes: string[], what: string) => (tx: Tx) =>
    tx.afterCommit(() => notes.push(`${what} runs`), () => notes.push(`${what} is undone`));

  // ---- afterCommit -------------------------------------------------------------------------------------------------

  test("a hook runs once its group is durable and its caller has the answer", async (bench) => {
    const notes: string[] = [];
    bench.store.onEvent(() => notes.push("event"));
    bench.engine.nextCommits.push("hold");
    const promise = bench.store.transact(async (tx) => {
      noting(notes, "first")(tx);
      tx.event({ type: "e" });
      await add(["n"])(tx);
      noting(notes, "second")(tx);
    });
    await bench.clock.settle();
    assert.deepEqual(notes, []);
    await bench.engine.release();
    await bench.drive(promise);
    assert.deepEqual(notes, ["event", "first runs", "second runs"]);
    assert.deepEqual(await bench.onDisk(["n"]), count(1));
  });

  test("a hook of a transaction that writes nothing, or only volatile rows, runs too", async (bench) => {
    const notes: string[] = [];
    await bench.run(noting(notes, "read"));
    await bench.run((tx) => (tx.setVolatile(["v"], count(1)), noting(notes, "volatile")(tx)));
    assert.deepEqual(notes, ["read runs", "volatile runs"]);
  });

  test("a hook is undone when its run came to nothing, the last one first, and its neighbours' are not", async (bench) => {
    const notes: string[] = [];
    const huge = (tx: Tx) => {
      noting(notes, "huge")(tx);
      for (let i = 0; i < 1_001; i++) tx.set(["r", i], count(i));
    };
    const results = await bench.runAll([
      (tx) => (noting(notes, "good")(tx), add(["n"])(tx)),
      (tx) => (noting(notes, "a")(tx), noting(notes, "b")(tx), Promise.reject(new Error("no"))),
      huge,
      (tx) => (noting(notes, "stuck")(tx), new Promise(() => {})),
    ]);
    assert.deepEqual(results.map(codeOf), ["ok", "Error: no", "too_large", "stuck"]);
    assert.deepEqual(notes, ["b is undone", "a is undone", "huge is undone", "stuck is undone", "good runs"]);
  });

  test("a transaction that moves to the next group, or runs again, undoes its hook before the next run", async (bench) => {
    const notes: string[] = [];
    const rows = (id: number) => (tx: Tx) => {
      noting(notes, `${id}`)(tx);
      for (let i = 0; i < 600; i++) tx.set(["m", id, i], count(i));
    };
    await bench.runAll([rows(1), rows(2)]);
    assert.deepEqual(notes, ["2 is undone", "1 runs", "2 runs"]);
    notes.length = 0;
    const rival = await bench.rival();
    await rival.run(add(["other"]));
    await bench.runAll([(tx) => (noting(notes, "again")(tx), add(["n"])(tx))]);
    assert.deepEqual(notes, ["again is undone", "again runs"]);
  });

  for (const [fault, result] of [["lose", "ok"], ["refuse", "unavailable"], ["hang", "unavailable"]] as const) {
    test(`a hook shares the fate of a commit that meets the fault ${fault}`, async (bench) => {
      const notes: string[] = [];
      bench.engine.nextCommits.push(fault);
      const code = await bench.tryRun((tx) => (noting(notes, "it")(tx), add(["n"])(tx)));
      assert.deepEqual([code, notes], [result, [result === "ok" ? "it runs" : "it is undone"]]);
    });
  }

  test("while the outcome is unknown a hook is neither run nor undone", async (bench) => {
    const notes: string[] = [];
    bench.engine.nextCommits.push("lose-and-hang");
    const result = outcome(bench.store.transact((tx) => (noting(notes, "it")(tx), add(["n"])(tx))));
    await bench.clock.settle();
    bench.engine.standing.read = "refuse";
    assert.equal(codeOf(await bench.drive(result)), "unknown");
    assert.deepEqual(notes, []);
    bench.engine.heal();
    await bench.clock.advance(3_000);
    assert.deepEqual(notes, ["it runs"]);
  });

  test("a transaction tells whose it is", async (bench) => {
    const rival = await bench.rival();
    const stores = [
      await bench.run((tx) => tx.store),
      await bench.run((tx) => tx.store),
      await rival.run((tx) => tx.store),
    ];
    assert.equal(stores[0], bench.store.identity);
    assert.equal(stores[1], stores[0]);
    assert.equal(stores[2], rival.store.identity);
    assert.notEqual(stores[2], stores[0]);
  });

  // ---- frozen rows -------------------------------------------------------------------------------------------------

  test("what a transaction gets and what it gave are frozen: changing them throws and changes no row", async (bench) => {
    await bench.run((tx) => tx.set(["a"], { v: 1, n: 1, parts: [{ n: 1 }] }));
    const mine = { v: 1, n: 5, parts: [{ n: 5 }] };
    const code = await bench.tryRun(async (tx) => {
      tx.set(["b"], mine);
      (await tx.get<{ v: 1; n: number }>(["a"]))!.n = 99;
    });
    assert.match(code, /^TypeError/);
    await bench.run((tx) => tx.set(["b"], mine));
    assert.throws(() => mine.parts[0]!.n = 98, TypeError);
    assert.throws(() => mine.parts.push({ n: 98 }), TypeError);
    const [a, b] = await bench.drive(bench.store.getMany([["a"], ["b"]])) as (Count & { parts: { n: number }[] })[];
    assert.deepEqual([a?.n, b], [1, mine]);
    assert.throws(() => a!.parts[0]!.n = 98, TypeError);
    const again = await bench.drive(bench.store.list<Count & { parts: { n: number }[] }>(["b"]));
    assert.deepEqual(again, []); // a row is not under itself
  });

  test("a transaction's own write comes back as the very object, and so does a committed row in memory", async (bench) => {
    const row = count(1);
    const own = await bench.run((tx) => (tx.set(["a"], row), tx.get(["a"])));
    assert.equal(own, row);
    const [one, other] = [await bench.run((tx) => tx.get(["a"])), await bench.run((tx) => tx.get(["a"]))];
    assert.equal(one, row);
    assert.equal(other, row);
  });

  test("a record is seen as JSON keeps it, before the disk was asked and after", async (bench) => {
    const odd = {
      v: 1,
      none: undefined,
      list: [undefined, () => 1, -0, 1],
      at: new Date(0),
      of: new Map([[1, 2]]),
      zero: -0,
      deep: { none: undefined, "a\u0000b": "\ud800" },
    };
    const expected = JSON.parse(JSON.stringify(odd));
    const own = await bench.run((tx) => (tx.set(["odd"], odd), tx.insert(["odd", 1], odd), tx.get(["odd"])));
    const next = await bench.run((tx) => tx.get(["odd"]));
    const [listed] = await bench.drive(bench.store.list(["odd"]));
    for (const seen of [own, next, listed?.value, await bench.onDisk(["odd"])]) assert.deepEqual(seen, expected);
    for (const seen of [own, next, listed?.value]) {
      assert.ok(Object.isFrozen(seen) && Object.isFrozen((seen as typeof odd).list));
    }
  });

  test("a number JSON cannot hold is refused wherever it hides, in what is frozen too", async (bench) => {
    const hides: unknown[] = [
      Object.freeze({ n: NaN }),
      Object.freeze([Infinity]),
      new (class {
        n = NaN;
      })(),
      Object.assign(Object.create(null), { n: -Infinity }),
    ];
    for (const hidden of hides) {
      assert.match(await bench.tryRun((tx) => tx.set(["x"], { v: 1, hidden } as Versioned)), /^TypeError/);
    }
    assert.equal(await bench.onDisk(["x"]), null);
  });

  test("keys whose parts look alike name different rows", async (bench) => {
    const keys = [["a", "b"], ["a:b"], ["a", 1], ["a", "1"], ["a1"], ["a", "1:b"], ["a", "#1;"], ["1:a", "b"], [
      1,
      "a",
    ]];
    await bench.run((tx) => keys.forEach((key, i) => tx.set(key, count(i))));
    for (const [i, key] of keys.entries()) assert.deepEqual(await bench.run((tx) => tx.get(key)), count(i));
    await bench.run((tx) => tx.set(["large"], text(20_000)));
    assert.deepEqual(await bench.drive(bench.store.getMany(keys)), keys.map((_, i) => count(i)));
  });

  test("an event is told as it was when it was announced, with the store's own fields", async (bench) => {
    const heard: unknown[] = [];
    bench.store.onEvent((event) => heard.push(event));
    const body = { type: "e", list: [1], none: undefined };
    await bench.run((tx) => tx.event(body));
    assert.throws(() => body.list.push(2), TypeError);
    const at = bench.clock.now();
    const expected = { type: "e", list: [1], v: 1, seq: 1, at };
    assert.deepEqual(heard, [expected]);
    assert.deepEqual((await bench.drive(bench.store.list(["event"]))).map(({ value }) => value), [expected]);
    assert.match(await bench.tryRun((tx) => tx.event({} as { type: string })), /^TypeError/);
  });
}
