import assert from "node:assert/strict";
import { jobAccount, reservedAccount } from "@/lib/ledger/accounts.ts";
import type { Tx } from "@/lib/store/store.ts";
import { collectingLogger } from "@/lib/logger.ts";
import { createQueue } from "@/lib/tasks/queue.ts";
import { closeSubsidy, type FreeTier, getSubsidy, poolBalance, seedPool, takeSubsidy, usedToday } from "./pool.rows.ts";
import { trustKey } from "@/lib/identity/trust.rows.ts";
import { createFakeWorld } from "@/tests/harness/fake-world.ts";
import { keyWith, SCORE } from "@/tests/harness/keys.ts";
import { assertAudit, handleOf, pay, untilState } from "@/tests/harness/payer.ts";
import { paidSession } from "@/tests/harness/session-payer.ts";
import { createMemoryStore } from "@/tests/harness/memory-store.ts";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";
import { type SubsidyEnds, subsidyExpiryTask } from "./subsidies.tasks.ts";

const KEY = "a".repeat(64);
const HOUR = 3_600_000;
const RULES: FreeTier = {
  config: { dailySats: { new: 0, established: 50, trusted: 200, elite: 1_000 }, poolCreditPct: 10 },
  trust: { established: 10, trusted: 50, elite: 200, decayAfterDays: 30, decayPointsPerDay: 1 },
};

/** A pool of 1,000 sats and a queue that runs the timer alone. */
async function bench(ends: Partial<SubsidyEnds> = {}) {
  const { store, clock } = await createMemoryStore();
  const ended: string[] = [];
  const all: SubsidyEnds = {
    job: (_tx, handle) => Promise.resolve(void ended.push(`job ${handle}`)),
    request: (_tx, session, id) => Promise.resolve(void ended.push(`request ${session} ${id}`)),
    ...ends,
  };
  const log = collectingLogger();
  const tasks = [subsidyExpiryTask({ store, clock }, all)];
  const queue = createQueue({ store, clock, random: createSeededRandom(1), log, exclusive: true, tasks });
  const now = clock.now();
  await store.transact(async (tx) => {
    await seedPool(tx, 1_000, now);
    tx.set(trustKey(KEY), { v: 1, score: 50, lastSeen: now, interactions: 1 });
  });
  const take = (id: string, session: string | null, adviceSats = 100) =>
    store.transact((tx) => {
      const recipient = { id, session, pubkey: KEY, requestHash: "00" };
      const account = session === null ? jobAccount(id) : reservedAccount(id);
      return takeSubsidy(tx, RULES, recipient, { adviceSats, account, now: clock.now() });
    });
  let started = false;
  /** The process is down for so long, and up again: nobody counts the seconds of hours. */
  const wait = async (hours: number) => {
    await clock.advance(hours * HOUR);
    if (!started) queue.start();
    started = true;
    await clock.advance(1_500);
  };
  return { store, clock, queue, take, wait, ended, log, now };
}
const tasksLeft = async ({ store }: Awaited<ReturnType<typeof bench>>) =>
  (await store.list(["task", "subsidy-expiry"])).length;

Deno.test("subsidyExpiryTask: a reservation that stands too long ends what it was made for, and the sats go back", async () => {
  const b = await bench();
  await b.take("j1", null);
  await b.take("r1", "s1");
  await b.wait(5.9);
  assert.deepEqual([b.ended, await poolBalance(b.store)], [[], 800]);
  await b.wait(0.1);
  assert.deepEqual([...new Set(b.ended)].sort(), ["job j1", "request s1 r1"]); // a transaction may run twice
  assert.equal(await poolBalance(b.store), 1_000);
  assert.equal(await usedToday(b.store, KEY, b.now), 0);
  assert.deepEqual([(await getSubsidy(b.store, "j1"))?.state, await tasksLeft(b)], ["settled", 0]);
  await b.clock.drive(b.queue.stop(0));
});

Deno.test("subsidyExpiryTask: what its end absorbs is settled by it, and not given back a second time", async () => {
  const absorbing = async (tx: Tx, id: string, now: number) => void await closeSubsidy(tx, id, 0, now);
  const b = await bench({ job: absorbing });
  await b.take("j1", null);
  await b.wait(7);
  assert.deepEqual([await poolBalance(b.store), await tasksLeft(b)], [1_000, 0]);
  await b.clock.drive(b.queue.stop(0));
});

Deno.test("subsidyExpiryTask: one that was settled in time is not ended", async () => {
  const b = await bench();
  await b.take("j1", null);
  await b.store.transact((tx) => closeSubsidy(tx, "j1", 0, b.now));
  await b.wait(7);
  assert.deepEqual([b.ended, await poolBalance(b.store), await tasksLeft(b)], [[], 1_000, 0]);
  await b.clock.drive(b.queue.stop(0));
});

Deno.test("subsidyExpiryTask: a release that fails leaves nothing half done and is tried until it succeeds", async () => {
  let failures = 2;
  const b = await bench({
    job: () => failures-- > 0 ? Promise.reject(new Error("not now")) : Promise.resolve(),
  });
  await b.take("j1", null);
  await b.wait(6);
  assert.deepEqual([await poolBalance(b.store), await tasksLeft(b)], [900, 1]);
  await b.clock.advance(60_000);
  assert.deepEqual([failures, await poolBalance(b.store), await tasksLeft(b)], [-1, 1_000, 0]);
  await b.clock.drive(b.queue.stop(0));
});

for (const what of ["job", "request"] as const) {
  Deno.test(`subsidyExpiryTask: a ${what} that still runs then fails in the commit that gives the sats back, and its task with it`, async () => {
    const fake = await createFakeWorld(1);
    const { world, call, clock } = fake;
    try {
      const { auth } = await keyWith(world, SCORE.trusted);
      const request = { request: "[slow:60000] hello" };
      let id: string;
      if (what === "job") {
        const { jobId, evalInvoice } = (await call("POST", "/api/jobs", request, auth)).body;
        await pay(world, evalInvoice);
        await clock.drive(untilState(world, world.call, jobId, ["executing"]));
        id = handleOf(jobId);
      } else {
        const session = await paidSession(world, call, 500);
        void world.call("POST", `${session.path}/request`, request, { ...session.auth, ...auth });
        await clock.settle();
        id = String((await world.rows(["session_request"]))[0]?.key[2]);
      }
      assert.equal((await getSubsidy(world.store, id))?.state, "reserved");
      clock.leap(6 * HOUR + 1_000);
      await clock.advance(1_500);
      const table = what === "job" ? "job" : "session_request";
      const state = async () => (await world.rows<{ v: 1; state: string }>([table]))[0]?.value.state;
      assert.deepEqual([await state(), await poolBalance(world.store)], ["failed", 10_000]);
      assert.deepEqual(await world.rows(["task", what === "job" ? "work" : "session-request"]), []);
      await clock.advance(70_000);
      assert.deepEqual([await state(), await poolBalance(world.store)], ["failed", 10_000]);
      await assertAudit(world);
    } finally {
      fake.discard();
    }
  });
}
