import assert from "node:assert/strict";
import type { StoredEvent, Tx } from "@/lib/store/store.ts";
import { add, type Bench, codeOf, count, type OpenDatabase, outcome, testOn } from "@/lib/store/testing/bench.ts";
import {
  dueKey,
  holdsLease,
  leasedKey,
  plan,
  releaseLease,
  renewLease,
  takeLease,
  taskKey,
  type TaskRow,
} from "./due.ts";
import { type Runner, setRunner, type Slot } from "./runner.ts";

interface Places {
  runner: Runner;
  reserved: string[];
  released: string[];
  started: string[];
  rings: string[];
  /** Called when a task may start. */
  onStart: (token: string) => void;
}
/** A task runner of a store, with `free` places, that only takes notes. */
function createPlaces({ store, clock }: Pick<Bench, "store" | "clock">, free = 100): Places {
  const places: Places = { runner: null!, reserved: [], released: [], started: [], rings: [], onStart: () => {} };
  places.runner = {
    reserve(kind, dueAt): Slot | null {
      if (dueAt > clock.now()) return null;
      if (places.reserved.length - places.released.length >= free) return null;
      const token = `${kind}-${places.reserved.length}`;
      places.reserved.push(token);
      return {
        owner: "me",
        token,
        until: 9_999_999_999_999,
        start: () => (places.started.push(token), places.onStart(token)),
        release: () => void places.released.push(token),
      };
    },
    ring: (kind, dueAt) => void places.rings.push(`${kind}@${dueAt}`),
  };
  setRunner(store.identity, places.runner);
  return places;
}

/** What planning work must keep over any engine. Registers one test for each criterion. */
export function planContract(name: string, openDatabase: OpenDatabase): void {
  const test = testOn(name, openDatabase);

  const index = async (bench: Bench) => [...await bench.keysOnDisk(["due"]), ...await bench.keysOnDisk(["leased"])];

  test("a task has exactly one index row, whatever is done with it", async (bench) => {
    const { store, clock } = bench;
    const now = clock.now();
    const slot: Slot = { owner: "me", token: "t1", until: now + 60_000, start: () => {}, release: () => {} };
    const task = { kind: "work", id: "1" };
    const nobodyVoid = { ...task, slot, now, isVoid: () => false };
    const row = () => bench.onDisk<TaskRow>(taskKey("work", "1"));

    await bench.run((tx) => plan(tx, { ...task, dueAt: now + 5_000 }));
    assert.deepEqual(await index(bench), [dueKey("work", now + 5_000, "1")]);
    assert.equal(await bench.run((tx) => takeLease(tx, nobodyVoid)), null);
    await bench.run((tx) => plan(tx, { ...task, dueAt: now, attempt: 2 }));
    assert.deepEqual(await index(bench), [dueKey("work", now, "1")]);

    const lease = await bench.run((tx) => takeLease(tx, nobodyVoid));
    assert.deepEqual(lease, { ...task, attempt: 2, token: "t1", owner: "me", until: now + 60_000 });
    assert.deepEqual(await index(bench), [leasedKey("work", "1")]);
    assert.equal(await bench.run((tx) => takeLease(tx, { ...nobodyVoid, slot: { ...slot, token: "t2" } })), null);
    assert.equal(await bench.run((tx) => renewLease(tx, lease!, now + 90_000)), true);
    assert.deepEqual([(await row())?.lease?.until, await index(bench)], [now + 90_000, [leasedKey("work", "1")]]);

    // The lease ran out, or its owner is gone: another takes it over and the first has nothing any more.
    const other = await bench.run((tx) =>
      takeLease(tx, { ...nobodyVoid, slot: { ...slot, token: "t2" }, isVoid: () => true })
    );
    assert.equal(other?.token, "t2");
    assert.equal(await bench.run((tx) => holdsLease(tx, lease!)), false);
    assert.equal(await bench.run((tx) => renewLease(tx, lease!, now + 99_000)), false);
    assert.equal(await bench.run((tx) => releaseLease(tx, lease!, now, 0)), false);
    assert.deepEqual(await index(bench), [leasedKey("work", "1")]);
    assert.notEqual(await bench.run((tx) => takeLease(tx, { ...nobodyVoid, now: now + 60_000 })), null);

    const third = { ...other!, token: "t1" };
    assert.equal(await bench.run((tx) => releaseLease(tx, third, now + 7_000, 3)), true);
    assert.deepEqual([(await row())?.attempt, await index(bench)], [3, [dueKey("work", now + 7_000, "1")]]);
    await bench.run((tx) => plan(tx, { ...task, dueAt: null }));
    assert.deepEqual([await index(bench), await row(), await store.get(taskKey("work", "1"))], [[], null, null]);
    await bench.run((tx) => plan(tx, { ...task, dueAt: null }));
  });

  test("the last order for a task in one transaction counts, in one group each counts on the one before", async (bench) => {
    await bench.run(async (tx) => {
      await plan(tx, { kind: "work", id: "1", dueAt: 10 });
      await plan(tx, { kind: "work", id: "1", dueAt: 20 });
    });
    assert.deepEqual(await index(bench), [dueKey("work", 20, "1")]);
    // Awaited together, as a rule that plans several tasks may.
    await bench.run(async (tx) => {
      await Promise.all([25, 28].map((dueAt) => plan(tx, { kind: "work", id: "1", dueAt })));
      await Promise.all([35, 38].map((dueAt) => plan(tx, { kind: "work", id: "never seen", dueAt })));
    });
    assert.deepEqual(await index(bench), [dueKey("work", 28, "1"), dueKey("work", 38, "never seen")]);
    await bench.run((tx) => plan(tx, { kind: "work", id: "never seen", dueAt: null }));
    await bench.runAll([
      (tx) => plan(tx, { kind: "work", id: "1", dueAt: 30 }),
      (tx) => plan(tx, { kind: "work", id: "2", dueAt: 40 }),
      (tx) => plan(tx, { kind: "work", id: "1", dueAt: null }),
      (tx) => plan(tx, { kind: "work", id: "1", dueAt: 50 }),
    ]);
    assert.deepEqual(await index(bench), [dueKey("work", 40, "2"), dueKey("work", 50, "1")]);
  });

  test("work due now is leased in the commit that plans it, and starts only once that is durable", async (bench) => {
    const { store, engine, clock } = bench;
    const places = createPlaces(bench, 1);
    const leasedAtStart: Promise<unknown>[] = [];
    places.onStart = () => leasedAtStart.push(bench.onDisk(leasedKey("work", "1")));
    const commits = store.stats().commits;
    const later = clock.now() + 1_000;
    engine.nextCommits.push("hold");
    const promise = store.transact(async (tx) => {
      await plan(tx, { kind: "work", id: "1", dueAt: clock.now() });
      await plan(tx, { kind: "work", id: "2", dueAt: clock.now() });
      await plan(tx, { kind: "work", id: "3", dueAt: later });
    });
    await clock.settle();
    assert.deepEqual([places.reserved, places.started, places.rings], [["work-0"], [], []]);
    await engine.release();
    await bench.drive(promise);
    assert.deepEqual([places.started, places.released], [["work-0"], []]);
    assert.deepEqual(places.rings, [`work@${clock.now()}`, `work@${later}`]);
    assert.deepEqual(await Promise.all(leasedAtStart), [{ v: 1 }]);
    assert.equal(store.stats().commits, commits + 1);
    assert.deepEqual(await index(bench), [
      dueKey("work", clock.now(), "2"),
      dueKey("work", later, "3"),
      leasedKey("work", "1"),
    ]);
  });

  test("a place is given back when its transaction throws, fails or is refused, and none is taken twice", async (bench) => {
    const { engine, clock } = bench;
    const places = createPlaces(bench);
    const now = clock.now();
    const planned = (id: string) => (tx: Tx) => plan(tx, { kind: "work", id, dueAt: now });
    const free = () => places.reserved.length - places.released.length - places.started.length;

    assert.equal(
      await bench.tryRun(async (tx) => (await planned("throws")(tx), await Promise.reject(new Error("no")))),
      "Error: no",
    );
    assert.deepEqual([places.started, free()], [[], 0]);
    engine.nextCommits.push("refuse");
    assert.equal(await bench.tryRun(planned("refused")), "unavailable");
    assert.deepEqual([places.started, free()], [[], 0]);
    const tooLarge = async (tx: Tx) => {
      await planned("large")(tx);
      for (let i = 0; i < 1_001; i++) tx.set(["r", i], count(i));
    };
    assert.equal(await bench.tryRun(tooLarge), "too_large");
    assert.deepEqual([places.started, free()], [[], 0]);
    engine.nextReads.push("refuse");
    assert.equal(await bench.tryRun(planned("unreadable")), "unavailable");
    assert.deepEqual([places.started, free()], [[], 0]);
    assert.equal(
      await bench.tryRun(async (tx) => {
        await planned("ends")(tx);
        await plan(tx, { kind: "work", id: "ends", dueAt: null });
      }),
      "ok",
    );
    assert.deepEqual([places.started, free(), await index(bench)], [[], 0, []]);

    engine.nextReads.push("hang");
    assert.equal(await bench.tryRun((tx) => void planned("not awaited")(tx).catch(() => {})), "ok");
    assert.deepEqual([places.started, free(), await index(bench)], [[], 0, []]);

    let late: Tx | null = null;
    await bench.run((tx) => void (late = tx));
    assert.equal(codeOf(await outcome(planned("after its end")(late!))), "stuck");
    assert.deepEqual([places.started, free()], [[], 0]);

    // Another process writes first: the group runs again and its first place is given back.
    const rival = await bench.rival();
    await rival.run(add(["other"]));
    await bench.run(planned("again"));
    assert.deepEqual([places.started.length, free()], [1, 0]);
    assert.equal((await bench.onDisk<TaskRow>(taskKey("work", "again")))?.lease?.token, places.started[0]);
    assert.deepEqual(await index(bench), [leasedKey("work", "again")]);
  });

  test("a commit found to have landed after its callers heard unknown starts its work and tells its events", async (bench) => {
    const { store, engine, clock } = bench;
    const places = createPlaces(bench);
    const events: StoredEvent[] = [];
    store.onEvent((event) => events.push(event));
    engine.nextCommits.push("lose-and-hang");
    const result = outcome(store.transact(async (tx) => {
      await plan(tx, { kind: "work", id: "1", dueAt: 0 });
      tx.event({ type: "e" });
    }));
    await clock.settle();
    engine.standing.read = "refuse";
    assert.equal(codeOf(await bench.drive(result)), "unknown");
    assert.deepEqual([places.started, places.released, events], [[], [], []]);
    engine.heal();
    await clock.advance(3_000);
    assert.deepEqual([places.started, places.released, events.length], [["work-0"], [], 1]);
  });
}
