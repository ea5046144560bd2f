import assert from "node:assert/strict";
import { createStore, type Store, type Tx } from "@/lib/store/store.ts";
import {
  add,
  codeOf,
  type Count,
  count,
  type OpenDatabase,
  type Outcome,
  outcome,
  testOn,
  type Text,
  text,
} from "@/lib/store/testing/bench.ts";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";
import type { CommitFault } from "@/lib/store/testing/faulty-engine.ts";

/** A database that refuses, is silent or answers wrongly, and one that others write to. Registers one test for each criterion. */
export function failuresContract(name: string, openDatabase: OpenDatabase): void {
  const test = testOn(name, openDatabase);

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

  for (
    const [where, read] of [
      ["nobody awaited", (store: Store) => store.transact((tx) => void tx.get(["a"]).catch(() => {}))],
      ["beside transactions", (store: Store) => void store.get(["a"])],
      ["of several rows", (store: Store) => void store.getMany([["b"], ["a"]])],
    ] as const
  ) {
    for (const before of [1, null]) {
      test(`a read ${where} that answers late does not bring an old row back (${before})`, async (bench) => {
        if (before) await bench.run((tx) => tx.set(["a"], count(before)));
        const store = await createStore({ engine: bench.engine, clock: bench.clock, random: createSeededRandom(4) });
        bench.engine.nextReads.push("hold-answer");
        await read(store);
        await bench.clock.settle();
        await bench.drive(store.transact((tx) => before ? tx.set(["a"], count(2)) : tx.insert(["a"], count(2))));
        await bench.engine.release();
        await bench.clock.settle();
        assert.deepEqual(await bench.drive(store.get(["a"])), count(2));
        assert.equal(await bench.drive(store.transact(add(["a"]))), 3);
      });
    }
  }

  test("a row is looked for once while nobody else can write it, there or not", async (bench) => {
    await bench.run((tx) => tx.set(["a"], count(1)));
    const store = await createStore({ engine: bench.engine, clock: bench.clock, random: createSeededRandom(4) });
    for (const key of [["a"], ["nowhere"]]) {
      const found = await bench.drive(store.get(key));
      const { rowsRead } = store.stats();
      assert.deepEqual(await bench.drive(store.get(key)), found);
      assert.equal(store.stats().rowsRead - rowsRead, bench.engine.exclusive ? 0 : 1);
    }
  });
}
