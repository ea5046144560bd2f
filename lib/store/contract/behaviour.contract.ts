import assert from "node:assert/strict";
import {
  add,
  codeOf,
  type Count,
  count,
  type OpenDatabase,
  type Outcome,
  outcome,
  testOn,
  text,
} from "@/lib/store/testing/bench.ts";
import type { StoredEvent, Tx } from "@/lib/store/store.ts";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";

/** Functions that misbehave, events, memory and closing. Registers one test for each criterion. */
export function behaviourContract(name: string, openDatabase: OpenDatabase): void {
  const test = testOn(name, openDatabase);

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
