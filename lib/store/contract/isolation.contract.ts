import assert from "node:assert/strict";
import type { Key } from "@/lib/store/store.ts";
import { add, type Count, count, type OpenDatabase, testOn } from "@/lib/store/testing/bench.ts";

/** What a transaction sees, what others see of it, and when it is durable. Registers one test for each criterion. */
export function isolationContract(name: string, openDatabase: OpenDatabase): void {
  const test = testOn(name, openDatabase);

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
}
