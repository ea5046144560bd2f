import assert from "node:assert/strict";
import { add, brief, codeOf, count, type OpenDatabase, testOn, type Text, text } from "@/lib/store/testing/bench.ts";
import type { Key, Tx, Versioned } from "@/lib/store/store.ts";

/** Which records and keys are stored, and how large ones lie. Registers one test for each criterion. */
export function valuesContract(name: string, openDatabase: OpenDatabase): void {
  const test = testOn(name, openDatabase);

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
}
