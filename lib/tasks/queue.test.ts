import assert from "node:assert/strict";
import { createQueue, type Queue, type QueueOptions, retryDelayMs, type TaskSpec } from "./queue.ts";
import { createStore, type Store, StoreError, UnreadableRow } from "@/lib/store/store.ts";
import { collectingLogger } from "@/lib/logger.ts";
import { holdsLease, type Lease, plan, type TaskRow } from "./due.ts";
import { createFakeClock, type FakeClock } from "@/tests/harness/fake-clock.ts";
import { createMemoryEngine, type MemoryEngine } from "@/tests/harness/memory-engine.ts";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";

const constant = (byte: number) => ({ bytes: (length: number) => new Uint8Array(length).fill(byte) });

interface Bench {
  clock: FakeClock;
  engine: MemoryEngine;
  store: Store;
  log: ReturnType<typeof collectingLogger>;
  /** What the runs did, in order. */
  did: string[];
  /** A started queue of this process over the shared database. */
  queue(specs: Partial<TaskSpec>[], options?: Partial<QueueOptions>): Queue;
  /** Plans a task. */
  plan(kind: string, id: string, dueAt?: number): Promise<void>;
  rows(): Promise<TaskRow[]>;
  /** Ends the task under its lease. */
  end(lease: Lease): Promise<void>;
}

function test(name: string, fn: (bench: Bench) => Promise<void>): void {
  Deno.test(name, async () => {
    const clock = createFakeClock();
    const random = createSeededRandom(1);
    const engine = createMemoryEngine(random);
    clock.waitWhile(engine.busy);
    const store = await createStore({ engine, clock, random, gatherMs: 0 });
    const log = collectingLogger();
    const did: string[] = [];
    const end = (lease: Lease) =>
      store.transact(async (tx) => {
        if (await holdsLease(tx, lease)) await plan(tx, { kind: lease.kind, id: lease.id, dueAt: null });
      });
    await fn({
      clock,
      engine,
      store,
      log,
      did,
      end,
      plan: (kind, id, dueAt = clock.now()) => store.transact((tx) => plan(tx, { kind, id, dueAt })),
      rows: async () => (await store.list<TaskRow>(["task"])).map(({ value }) => value),
      queue(specs, options = {}) {
        const tasks = specs.map((spec): TaskSpec => ({
          kind: "a",
          concurrency: 10,
          leaseMs: 30_000,
          maxAttempts: 3,
          maxDelayMs: 60_000,
          run: async (lease) => {
            did.push(`run ${lease.id} ${lease.attempt}`);
            await end(lease);
          },
          giveUp: async (lease) => {
            did.push(`gave up ${lease.id} ${lease.attempt}`);
            await end(lease);
          },
          ...spec,
        }));
        const queue = createQueue({ store, clock, random, log, exclusive: true, tasks, ...options });
        queue.start();
        return queue;
      },
    });
  });
}

// ---- delays ----------------------------------------------------------------------------------------------------------

Deno.test("retryDelayMs: 1 s, 4 s, 16 s, … up to the limit, less up to a quarter at random", () => {
  const longest = [0, 1, 2, 3, 4, 20].map((attempt) => retryDelayMs(attempt, 60_000, constant(0)));
  assert.deepEqual(longest, [1_000, 4_000, 16_000, 60_000, 60_000, 60_000]);
  const shortest = [0, 1, 2, 3].map((attempt) => retryDelayMs(attempt, 60_000, constant(255)));
  assert.deepEqual(shortest, [751, 3_004, 12_016, 45_059]);
});

Deno.test("retryDelayMs: never less than what the backend asked for", () => {
  assert.equal(retryDelayMs(0, 60_000, constant(0), 30_000), 30_000);
  assert.equal(retryDelayMs(2, 60_000, constant(0), 3_000), 16_000);
});

// ---- running ---------------------------------------------------------------------------------------------------------

test("queue: work that is due runs as soon as its commit is durable, leased in that very commit", async (bench) => {
  bench.queue([{}]);
  await bench.clock.settle();
  const before = bench.engine.commits();
  await bench.plan("a", "1");
  await bench.clock.settle();
  assert.deepEqual(bench.did, ["run 1 0"]);
  assert.equal(bench.engine.commits() - before, 2, "one to plan and lease it, one to end it");
  assert.deepEqual(await bench.rows(), []);
});

test("queue: work waits for its time and then runs within a tick", async (bench) => {
  bench.queue([{}], { tickMs: 500 });
  await bench.plan("a", "1", bench.clock.now() + 10_000);
  await bench.clock.advance(9_999);
  assert.deepEqual(bench.did, []);
  await bench.clock.advance(501);
  assert.deepEqual(bench.did, ["run 1 0"]);
});

test("queue: work planned soon runs on time, not at the next tick", async (bench) => {
  bench.queue([{}], { tickMs: 1_000 });
  await bench.clock.advance(1);
  await bench.plan("a", "1", bench.clock.now() + 300);
  await bench.clock.advance(299);
  assert.deepEqual(bench.did, []);
  await bench.clock.advance(1);
  assert.deepEqual(bench.did, ["run 1 0"]);
});

test("queue: what an earlier process left due runs at start", async (bench) => {
  await bench.plan("a", "1");
  await bench.plan("a", "2", bench.clock.now() - 100_000);
  bench.queue([{}]);
  await bench.clock.settle();
  assert.deepEqual(bench.did.toSorted(), ["run 1 0", "run 2 0"]);
});

test("queue: what an earlier process planned for soon runs on time, not at the next tick", async (bench) => {
  await bench.plan("a", "1", bench.clock.now() + 300);
  bench.queue([{}], { tickMs: 1_000 });
  await bench.clock.advance(299);
  assert.deepEqual(bench.did, []);
  await bench.clock.advance(1);
  assert.deepEqual(bench.did, ["run 1 0"]);
});

test("queue: nothing runs before start, and a kind that nobody runs waits", async (bench) => {
  await bench.plan("other", "1");
  const queue = bench.queue([{}]);
  await bench.clock.advance(5_000);
  assert.deepEqual(bench.did, []);
  assert.equal((await bench.rows()).length, 1);
  assert.deepEqual(await queue.status(), { overdue: 0, oldestOverdueMs: 0, running: 0, setAside: 0 });
});

test("queue: at most as many run at once as the kind allows, and the others follow", async (bench) => {
  let running = 0;
  let most = 0;
  const release: (() => void)[] = [];
  bench.queue([{
    concurrency: 3,
    run: async (lease) => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => release.push(resolve));
      running--;
      await bench.end(lease);
    },
  }]);
  await Promise.all(Array.from({ length: 10 }, (_, i) => bench.plan("a", String(i))));
  await bench.clock.advance(2_000);
  assert.deepEqual([running, most], [3, 3]);
  while (release.length > 0) {
    release.splice(0).forEach((go) => go());
    await bench.clock.settle();
  }
  assert.deepEqual([running, most, (await bench.rows()).length], [0, 3, 0]);
});

test("queue: a kind that is full, with a thousand waiting, delays no other kind", async (bench) => {
  bench.queue([{ kind: "full", concurrency: 1, run: () => new Promise(() => {}) }, { kind: "b" }]);
  await Promise.all(Array.from({ length: 1_000 }, (_, i) => bench.plan("full", String(i))));
  await bench.plan("b", "1");
  await bench.clock.settle();
  assert.deepEqual(bench.did, ["run 1 0"]);
  await bench.plan("b", "2", bench.clock.now() + 100);
  await bench.clock.advance(100);
  assert.deepEqual(bench.did, ["run 1 0", "run 2 0"]);
});

test("queue: a place that a transaction took and then failed is given back", async (bench) => {
  bench.queue([{ concurrency: 1 }]);
  await bench.clock.settle();
  for (let i = 0; i < 5; i++) {
    await assert.rejects(bench.store.transact(async (tx) => {
      await plan(tx, { kind: "a", id: "1", dueAt: bench.clock.now() });
      for (let row = 0; row < 1_100; row++) tx.set(["x", row], { v: 1 }); // more than one commit holds
    }));
  }
  await bench.plan("a", "2");
  await bench.clock.settle();
  assert.deepEqual(bench.did, ["run 2 0"]);
});

test("queue: a task that is planned anew while it runs runs again, and never beside itself", async (bench) => {
  let beside = 0;
  const release: (() => void)[] = [];
  bench.queue([{
    run: async (lease) => {
      assert.equal(++beside, 1, "two runs of one task at once");
      bench.did.push(lease.token);
      await new Promise<void>((resolve) => release.push(resolve));
      beside--;
      await bench.end(lease);
    },
  }]);
  await bench.plan("a", "1");
  await bench.clock.settle();
  await bench.plan("a", "1");
  await bench.clock.settle();
  assert.equal(bench.did.length, 1);
  release.shift()?.();
  await bench.clock.settle();
  assert.equal(bench.did.length, 2);
  assert.notEqual(bench.did[0], bench.did[1]);
  release.shift()?.();
  await bench.clock.settle();
  assert.deepEqual(await bench.rows(), []);
});

// ---- failing ---------------------------------------------------------------------------------------------------------

test("queue: a passing error is tried again after growing delays, then given up with its cause", async (bench) => {
  const at: number[] = [];
  const causes: unknown[] = [];
  bench.queue([{
    maxAttempts: 3,
    run: (lease) => {
      at.push(bench.clock.now());
      return Promise.reject(new Error(`attempt ${lease.attempt}`));
    },
    giveUp: async (lease, cause) => {
      causes.push((cause as Error).message);
      await bench.end(lease);
    },
  }], { tickMs: 1_000 });
  await bench.plan("a", "1");
  await bench.clock.advance(60_000);
  assert.deepEqual(causes, ["attempt 2"]);
  assert.equal(at.length, 3);
  const [first = 0, second = 0, third = 0] = at;
  assert.ok(second - first >= 750 && second - first <= 1_000, `${second - first} ms`);
  assert.ok(third - second >= 3_000 && third - second <= 4_000, `${third - second} ms`);
  assert.deepEqual(await bench.rows(), []);
});

test("queue: an error that says it is permanent is given up at once", async (bench) => {
  bench.queue([{ run: () => Promise.reject(Object.assign(new Error("no"), { permanent: true })) }]);
  await bench.plan("a", "1");
  await bench.clock.settle();
  assert.deepEqual(bench.did, ["gave up 1 0"]);
});

test("queue: a backend that asks for time gets it", async (bench) => {
  const at: number[] = [];
  bench.queue([{
    run: () => {
      at.push(bench.clock.now());
      return Promise.reject(Object.assign(new Error("slow down"), { retryAfterMs: 40_000 }));
    },
  }]);
  await bench.plan("a", "1");
  await bench.clock.advance(39_000);
  assert.equal(at.length, 1);
  await bench.clock.advance(2_000);
  assert.equal(at.length, 2);
});

test("queue: what must not end without an answer is never given up", async (bench) => {
  let runs = 0;
  bench.queue([{ maxAttempts: Infinity, maxDelayMs: 2_000, run: () => (runs++, Promise.reject(new Error("no"))) }]);
  await bench.plan("a", "1");
  await bench.clock.advance(100_000);
  assert.ok(runs >= 45 && runs <= 75, `${runs} runs`);
  assert.deepEqual(bench.did, []);
});

test("queue: trouble with the database costs no attempt", async (bench) => {
  const attempts: number[] = [];
  bench.queue([{
    maxAttempts: 2,
    run: async (lease) => {
      attempts.push(lease.attempt);
      if (attempts.length < 6) throw new StoreError("unavailable", "down");
      await bench.end(lease);
    },
  }]);
  await bench.plan("a", "1");
  await bench.clock.advance(10_000);
  assert.deepEqual(attempts, [0, 0, 0, 0, 0, 0]);
  assert.deepEqual(bench.did, []);
});

test("queue: what the database can never store is the task's own trouble, and ends", async (bench) => {
  let runs = 0;
  bench.queue([{
    maxAttempts: 2,
    run: () => (runs++, Promise.reject(new StoreError("too_large", "an answer of a megabyte"))),
    giveUp: (lease) => bench.end(lease),
  }]);
  await bench.plan("a", "1");
  await bench.clock.advance(10_000);
  assert.deepEqual([runs, await bench.rows()], [2, []]);
});

test("queue: a task that cannot record its end because of the database runs again, a second later", async (bench) => {
  let runs = 0;
  bench.queue([{
    maxAttempts: 1,
    run: () => (runs++, Promise.reject(new Error("no"))),
    giveUp: (lease) => runs < 4 ? Promise.reject(new StoreError("unavailable", "down")) : bench.end(lease),
  }]);
  await bench.plan("a", "1");
  await bench.clock.advance(1_500);
  assert.ok(runs <= 2, `${runs} runs`);
  await bench.clock.advance(6_000);
  assert.deepEqual([runs, await bench.rows()], [4, []]);
});

test("queue: giving up that fails itself is tried again, and not as fast as the machine can", async (bench) => {
  let runs = 0;
  bench.queue([{
    maxAttempts: 1,
    run: () => (runs++, Promise.reject(new Error("no"))),
    giveUp: () => Promise.reject(new Error("a defect")),
  }]);
  await bench.plan("a", "1");
  await bench.clock.advance(20_000);
  assert.ok(runs >= 2 && runs <= 45, `${runs} runs in 20 s`);
  assert.ok(bench.log.lines.some(({ level }) => level === "error"));
  assert.equal((await bench.rows()).length, 1, "it is not dropped");
});

test("queue: a run that forgets to end its task is reported and run again", async (bench) => {
  let runs = 0;
  bench.queue([{ run: () => Promise.resolve(void runs++) }]);
  await bench.plan("a", "1");
  await bench.clock.advance(5_000);
  assert.ok(runs >= 3 && runs <= 6, `${runs} runs`);
  assert.ok(bench.log.lines.some(({ message }) => message.includes("without closing itself")));
});

// ---- leases ----------------------------------------------------------------------------------------------------------

test("leases: are renewed for as long as the work takes", async (bench) => {
  let finish = () => {};
  bench.queue([{
    leaseMs: 3_000,
    run: async (lease, signal) => {
      await new Promise<void>((resolve) => finish = resolve);
      bench.did.push(signal.aborted ? "aborted" : "finished");
      await bench.end(lease);
    },
  }]);
  await bench.plan("a", "1");
  await bench.clock.advance(30_000);
  const [row] = await bench.rows();
  assert.ok((row?.lease?.until ?? 0) > bench.clock.now());
  finish();
  await bench.clock.settle();
  assert.deepEqual([bench.did, await bench.rows()], [["finished"], []]);
});

test("leases: a run whose lease was taken is told, and cannot close the task", async (bench) => {
  let closed: boolean | undefined;
  bench.queue([{
    leaseMs: 3_000,
    run: async (lease, signal) => {
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      closed = await bench.store.transact((tx) => holdsLease(tx, lease));
    },
  }], { exclusive: false });
  await bench.plan("a", "1");
  await bench.clock.settle();
  await bench.store.transact(async (tx) => {
    const row = await tx.get<TaskRow>(["task", "a", "1"]);
    if (row) {
      tx.set(["task", "a", "1"], {
        ...row,
        lease: { token: "other", owner: "other", until: bench.clock.now() + 60_000 },
      });
    }
  });
  await bench.clock.advance(1_500);
  assert.equal(closed, false);
  assert.equal((await bench.rows())[0]?.lease?.token, "other");
});

test("leases: of a process that died are void at once where no other process can run", async (bench) => {
  await bench.plan("a", "1");
  const never = { concurrency: 1, leaseMs: 600_000, run: () => new Promise<void>(() => {}) };
  bench.queue([never]);
  await bench.clock.settle();
  assert.equal((await bench.rows())[0]?.lease !== null, true);
  bench.queue([{}], { exclusive: true }); // the next process; the first one does nothing any more
  await bench.clock.settle();
  assert.deepEqual(bench.did, ["run 1 0"]);
});

test("leases: of another process hold until they run out where others may run", async (bench) => {
  await bench.plan("a", "1");
  await bench.store.transact(async (tx) => {
    const row = await tx.get<TaskRow>(["task", "a", "1"]);
    if (!row) return;
    tx.delete(["due", "a", row.dueAt, "1"]);
    tx.set(["leased", "a", "1"], { v: 1 });
    tx.set(["task", "a", "1"], {
      ...row,
      lease: { token: "t", owner: "elsewhere", until: bench.clock.now() + 20_000 },
    });
  });
  bench.queue([{}], { exclusive: false });
  await bench.clock.advance(19_000);
  assert.deepEqual(bench.did, []);
  await bench.clock.advance(2_000);
  assert.deepEqual(bench.did, ["run 1 0"]);
});

// ---- stopping and telling --------------------------------------------------------------------------------------------

test("stop: lets what runs finish, takes nothing new", async (bench) => {
  let finish = () => {};
  const queue = bench.queue([{
    concurrency: 1,
    run: async (lease) => {
      await new Promise<void>((resolve) => finish = resolve);
      bench.did.push(`finished ${lease.id}`);
      await bench.end(lease);
    },
  }]);
  await bench.plan("a", "1");
  await bench.plan("a", "2");
  await bench.clock.settle();
  const stopping = queue.stop(5_000);
  finish();
  await bench.clock.drive(stopping);
  await bench.plan("a", "3");
  await bench.clock.advance(10_000);
  assert.deepEqual(bench.did, ["finished 1"]);
  assert.deepEqual((await bench.rows()).map(({ id, lease }) => [id, lease]), [["2", null], ["3", null]]);
});

test("stop: aborts what does not finish in time and gives its lease back with the same attempt", async (bench) => {
  const queue = bench.queue([{
    run: async (_lease, signal) => {
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      throw new Error("stopped");
    },
  }]);
  await bench.plan("a", "1");
  await bench.clock.settle();
  const before = bench.clock.now();
  await bench.clock.drive(queue.stop(5_000));
  assert.ok(bench.clock.now() - before >= 5_000);
  const [row] = await bench.rows();
  assert.deepEqual([row?.lease, row?.attempt, (row?.dueAt ?? Infinity) <= bench.clock.now()], [null, 0, true]);
  bench.queue([{}]);
  await bench.clock.settle();
  assert.deepEqual(bench.did, ["run 1 0"]);
});

test("status: counts what is overdue, the oldest of it, and what runs", async (bench) => {
  const queue = bench.queue([{ concurrency: 1, run: () => new Promise(() => {}) }]);
  await bench.clock.settle();
  for (const id of ["1", "2", "3"]) await bench.plan("a", id);
  await bench.plan("a", "later", bench.clock.now() + 60_000);
  await bench.clock.advance(7_000);
  assert.deepEqual(await queue.status(), { overdue: 2, oldestOverdueMs: 7_000, running: 1, setAside: 0 });
});

test("queue: tasks whose own rows cannot be read take nobody's place, are said once, and run when they are mended", async (bench) => {
  const { clock, store, log, did, plan } = bench;
  const spoiled = ["bad 1", "bad 2", "bad 3"];
  for (const id of [...spoiled, "good 1", "good 2"]) await clock.drive(plan("a", id));
  await clock.drive(plan("a", "later", clock.now() + 5_000));
  const rows = await clock.drive(bench.rows());
  for (const id of spoiled) await clock.drive(store.transact((tx) => tx.set(["task", "a", id], { v: 1 })));
  const queue = bench.queue([{ concurrency: 1 }]);
  await clock.advance(300_000);
  assert.deepEqual(did, ["run good 1 0", "run good 2 0", "run later 0"]);
  assert.deepEqual(log.lines.filter(({ level }) => level !== "debug").map(({ fields }) => fields.code), [
    "task_set_aside",
    "task_set_aside",
    "task_set_aside",
  ]);
  assert.deepEqual(await clock.drive(queue.status()), { overdue: 0, oldestOverdueMs: 0, running: 0, setAside: 3 });
  for (const row of rows.filter(({ id }) => id === "bad 1" || id === "bad 2")) {
    await clock.drive(store.transact((tx) => tx.set(["task", "a", row.id], row)));
  }
  await clock.drive(store.transact((tx) => {
    for (const key of [["task", "a", "bad 3"], ["due", "a", rows[0]!.dueAt, "bad 3"]]) tx.delete(key);
  }));
  await clock.advance(120_000);
  assert.deepEqual(did.slice(3).sort(), ["run bad 1 0", "run bad 2 0"]);
  assert.equal((await clock.drive(queue.status())).setAside, 0, "one that somebody ended is not counted for ever");
});

test("queue: a record that cannot be read costs no attempt, however often", async ({ clock, did, end, log, plan, queue }) => {
  let readable = false;
  queue([{
    maxAttempts: 2,
    run: async (lease) => {
      did.push(`run ${lease.attempt}`);
      if (!readable) throw new UnreadableRow(["t"], "it is damaged");
      await end(lease);
    },
  }]);
  await clock.drive(plan("a", "1"));
  await clock.advance(600_000);
  assert.ok(did.length >= 9 && did.length <= 12, `once a minute, not ${did.length} times in ten`);
  assert.ok(did.every((each) => each === "run 0"));
  assert.equal(log.lines.filter(({ level }) => level === "error").length, 1);
  readable = true;
  await clock.advance(60_000);
  const { length } = did;
  await clock.advance(600_000);
  assert.equal(did.length, length, "it has ended");
});
