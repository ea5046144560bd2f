import assert from "node:assert/strict";
import { fromBase64, narrow, toBase64 } from "@/lib/l402/macaroon.ts";
import { balance } from "@/lib/ledger/ledger.rows.ts";
import { getSubsidy, openAdvice, subsidizedToday, usedToday } from "@/lib/free-tier/pool.rows.ts";
import { getTrust } from "@/lib/identity/trust.rows.ts";
import { createFakeWorld, type FakeWorld } from "../harness/fake-world.ts";
import { keyWith, SCORE, type TestKey } from "../harness/keys.ts";
import { assertAudit, handleOf, pay, untilState } from "../harness/payer.ts";
import { paidSession } from "../harness/session-payer.ts";
import type { Settings } from "@/lib/services.ts";

const REQUEST = "What is a hold invoice?";
const SEED = 10_000;

/** Runs `fn` in a world whose time only it moves, and audits what is left. */
function journey(name: string, fn: (fake: FakeWorld) => Promise<void>, settings: Partial<Settings> = {}): void {
  Deno.test(`free tier: ${name}`, async () => {
    const fake = await createFakeWorld(1, { settings });
    try {
      await fn(fake);
      await fake.clock.settle();
      await assertAudit(fake.world);
    } finally {
      fake.discard();
    }
  });
}

const reach = ({ clock, world }: FakeWorld, jobId: string, ...states: string[]) =>
  clock.drive(untilState(world, world.call, jobId, states, 10 * 60_000));
const pool = ({ world }: FakeWorld) => balance(world.store, "pool");

/** A job of this key, its evaluation paid. */
async function evaluated(fake: FakeWorld, { auth }: TestKey, request = REQUEST): Promise<string> {
  const created = await fake.call("POST", "/api/jobs", { request }, auth);
  assert.equal(created.status, 201, JSON.stringify(created.body));
  await pay(fake.world, created.body.evalInvoice);
  return created.body.jobId;
}

journey(
  "a trusted key's job starts at once, without a work invoice, and what it did not use goes back",
  async (fake) => {
    const { world } = fake;
    const key = await keyWith(world, SCORE.trusted);
    const jobId = await evaluated(fake, key);
    const { body } = await reach(fake, jobId, "complete");
    assert.equal(body.trust_tier, "trusted");
    assert.equal(body.free_tier.serve, "free");
    assert.equal(body.workInvoice, undefined);
    assert.equal(body.costLedger.chargedSats, 0);
    assert.equal(body.costLedger.refundState, "not_applicable");
    const { absorbed_sats: absorbed } = body;
    assert.ok(absorbed > 0 && absorbed < body.free_tier.absorbSats);
    assert.equal(await pool(fake), SEED - absorbed);
    assert.equal(await balance(world.store, "revenue:work"), absorbed);
    const now = world.clock.now();
    assert.equal(await usedToday(world.store, key.pubkey, now), absorbed);
    assert.equal(await subsidizedToday(world.store, now), absorbed);
    assert.equal((await getSubsidy(world.store, handleOf(jobId)))?.state, "settled");
  },
);

journey("an established key pays less; the help is taken when it pays, and only what was used of it", async (fake) => {
  const { world } = fake;
  const key = await keyWith(world, SCORE.established);
  const jobId = await evaluated(fake, key);
  const offered = (await reach(fake, jobId, "awaiting_work_payment")).body;
  assert.deepEqual([offered.free_tier.serve, offered.free_tier.absorbSats], ["partial", 50]);
  assert.equal(offered.workInvoice.amountSats, offered.free_tier.chargeSats);
  assert.equal(await pool(fake), SEED, "advice reserves nothing");
  await pay(world, offered.workInvoice);
  const { costLedger, absorbed_sats: absorbed } = (await reach(fake, jobId, "complete")).body;
  assert.equal(absorbed, 50);
  assert.equal(costLedger.chargedSats + costLedger.absorbedSats, costLedger.actualAmountSats);
  assert.equal(costLedger.paidSats, costLedger.chargedSats + costLedger.refundAmountSats);
  const credit = Math.floor(costLedger.chargedSats / 10);
  assert.equal(await pool(fake), SEED - 50 + credit);
});

journey("an abandoned partial invoice costs the pool nothing", async (fake) => {
  const key = await keyWith(fake.world, SCORE.established);
  const jobId = await evaluated(fake, key);
  await reach(fake, jobId, "awaiting_work_payment");
  await fake.clock.drive(untilState(fake.world, fake.world.call, jobId, ["expired"], 20 * 60_000));
  assert.equal(await pool(fake), SEED);
  assert.equal(await usedToday(fake.world.store, key.pubkey, fake.world.clock.now()), 0);
});

journey("a pool that was drained before the payer paid makes it an ordinary paid job", async (fake) => {
  const { world } = fake;
  const key = await keyWith(world, SCORE.established);
  const jobId = await evaluated(fake, key);
  const offered = (await reach(fake, jobId, "awaiting_work_payment")).body;
  const rich = await keyWith(world, SCORE.elite, 2);
  const other = await evaluated(fake, rich); // takes the rest of the pool
  await reach(fake, other, "executing", "complete", "awaiting_work_payment");
  await fake.clock.settle();
  const left = await pool(fake);
  await pay(world, offered.workInvoice);
  const { costLedger, absorbed_sats: absorbed } = (await reach(fake, jobId, "complete")).body;
  assert.ok(absorbed <= left, `${absorbed} of ${left}`);
  assert.ok(costLedger.chargedSats <= costLedger.paidSats);
}, { poolSeedSats: 140 });

journey("without a key nothing is served from the pool", async (fake) => {
  const created = (await fake.call("POST", "/api/jobs", { request: REQUEST })).body;
  await pay(fake.world, created.evalInvoice);
  const offered = (await reach(fake, created.jobId, "awaiting_work_payment")).body;
  assert.equal(offered.trust_tier, "anonymous");
  assert.equal(offered.free_tier, undefined);
});

journey("free work that the provider refuses gives the pool everything back, and blames the request", async (fake) => {
  fake.modelFaults.work.push({ kind: "permanent", as: "refused" });
  const key = await keyWith(fake.world, SCORE.trusted);
  const jobId = await evaluated(fake, key);
  const { body } = await reach(fake, jobId, "failed");
  assert.equal(body.free_tier.serve, "free");
  assert.equal(await pool(fake), SEED);
  assert.equal(await usedToday(fake.world.store, key.pubkey, fake.world.clock.now()), 0);
  assert.equal((await getTrust(fake.world.store, key.pubkey))?.score, SCORE.trusted - 2);
});

journey("paid work raises a new key's trust; refusals lower it", async (fake) => {
  const key = await keyWith(fake.world, 1);
  const jobId = await evaluated(fake, key);
  const offered = (await reach(fake, jobId, "awaiting_work_payment")).body;
  assert.equal(offered.free_tier.serve, "gate");
  await pay(fake.world, offered.workInvoice);
  await reach(fake, jobId, "complete");
  assert.equal((await getTrust(fake.world.store, key.pubkey))?.score, 2);
  await reach(fake, await evaluated(fake, key, "[refuse]"), "rejected");
  assert.equal((await getTrust(fake.world.store, key.pubkey))?.score, 0);
});

journey("a session is served free before its balance, then partly, then at its price", async (fake) => {
  const { world, call } = fake;
  const key = await keyWith(world, SCORE.trusted);
  const { sessionId, auth } = await paidSession(world, call, 500);
  const ask = async () =>
    (await call("POST", `/api/sessions/${sessionId}/request`, { request: REQUEST }, { ...auth, ...key.auth })).body;
  const first = await ask();
  assert.deepEqual([first.state, first.free_tier.serve, first.debitedSats], ["complete", "free", 0]);
  assert.equal(first.balanceRemaining, 500);
  const second = await ask();
  assert.deepEqual([second.state, second.free_tier.serve], ["complete", "partial"]);
  assert.equal(first.absorbed_sats + second.absorbed_sats, 200, "the day's budget, to the last satoshi");
  assert.equal(second.balanceRemaining, 500 - second.debitedSats);
  const third = await ask();
  assert.deepEqual([third.free_tier.serve, third.absorbed_sats], ["gate", 0]);
});

journey(
  "a key that collects offers is advised its budget once, and again when it has paid or let one expire",
  async (fake) => {
    const { world } = fake;
    const key = await keyWith(world, SCORE.established);
    const offers: { jobId: string; absorbSats: number; hash: string }[] = [];
    for (let i = 0; i < 3; i++) {
      const jobId = await evaluated(fake, key);
      const { body } = await reach(fake, jobId, "awaiting_work_payment");
      offers.push({ jobId, absorbSats: body.free_tier.absorbSats, hash: body.workInvoice.paymentHash });
    }
    assert.deepEqual(offers.map(({ absorbSats }) => absorbSats), [50, 0, 0]);
    assert.equal(await openAdvice(world.store, key.pubkey), 50);
    assert.equal((await fake.call("GET", "/api/identity/me", undefined, key.auth)).body.budget.offeredSats, 50);
    await fake.clock.drive(untilState(world, world.call, offers[0]!.jobId, ["expired"], 20 * 60_000));
    assert.equal(await openAdvice(world.store, key.pubkey), 0);
    const again = await evaluated(fake, key);
    const { body } = await reach(fake, again, "awaiting_work_payment");
    assert.equal(body.free_tier.absorbSats, 50);
    await pay(world, body.workInvoice);
    await reach(fake, again, "complete");
    assert.equal(await openAdvice(world.store, key.pubkey), 0);
    // Paid late, the first one is helped with what is left of the day: nothing.
    await world.wallet.payInvoice(offers[0]!.hash, { late: true });
    const late = (await reach(fake, offers[0]!.jobId, "complete")).body;
    assert.equal(late.absorbed_sats, 0);
  },
);

journey("of many jobs of one key at once, advice is given once", async (fake) => {
  const key = await keyWith(fake.world, SCORE.established);
  const created = await Promise.all(
    Array.from({ length: 6 }, () => fake.world.call("POST", "/api/jobs", { request: REQUEST }, key.auth)),
  );
  await Promise.all(created.map(({ body }) => pay(fake.world, body.evalInvoice)));
  const advised: number[] = [];
  for (const { body } of created) {
    advised.push((await reach(fake, body.jobId, "awaiting_work_payment")).body.free_tier.absorbSats);
  }
  assert.deepEqual(advised.sort(), [0, 0, 0, 0, 0, 50]);
});

journey("a narrowed token has no part in the key's budget and trust; a refusal feeds no pool", async (fake) => {
  const { world, call } = fake;
  const key = await keyWith(world, SCORE.elite);
  const created = (await call("POST", "/api/sessions", { amount_sats: 1_000 }, key.auth)).body;
  await pay(world, created.invoice);
  await fake.clock.settle();
  const { macaroon } = (await call("GET", `/api/sessions/${created.sessionId}`)).body;
  const narrowed = toBase64(narrow(fromBase64(macaroon), ["max_sats=300"]));
  const ask = (token: string, request: string) =>
    call("POST", `/api/sessions/${created.sessionId}/request`, { request }, { authorization: `Bearer ${token}` });
  const { body } = await ask(narrowed, REQUEST);
  assert.deepEqual([body.state, body.free_tier, body.trust_tier], ["complete", undefined, "anonymous"]);
  assert.ok(body.debitedSats > 0, "paid from its allowance");
  assert.equal(await usedToday(world.store, key.pubkey, world.clock.now()), 0);
  const before = await pool(fake);
  assert.equal((await ask(narrowed, "[refuse]")).body.state, "rejected");
  assert.equal((await getTrust(world.store, key.pubkey))?.score, SCORE.elite);
  assert.equal(await pool(fake), before);
  assert.equal((await ask(macaroon, REQUEST)).body.free_tier.serve, "free");
});
