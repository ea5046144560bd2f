import assert from "node:assert/strict";
import { parseEnv } from "@/env.ts";
import { balance } from "@/lib/ledger/ledger.rows.ts";
import { subsidizedToday } from "@/lib/free-tier/pool.rows.ts";
import { getTrust } from "@/lib/identity/trust.rows.ts";
import { sybilCost } from "@/tasks/sybil.ts";
import { auditedTests } from "../harness/audited.ts";
import { type FakeWorld } from "../harness/fake-world.ts";
import { keyWith, type TestKey } from "../harness/keys.ts";
import { assertAudit, paidJob, pay, untilState } from "../harness/payer.ts";
import { opened, paidSession, settle } from "../harness/session-payer.ts";

const REQUEST = "What is a hold invoice?";
const SEED = 10_000;
const DAY_MS = 86_400_000;
const ESTABLISHED = sybilCost(parseEnv({})).tiers.find(({ tier }) => tier === "established") ?? assert.fail("no tier");

const journey = auditedTests("free tier routes: ");

const pool = ({ world }: FakeWorld) => balance(world.store, "pool");
const served = async ({ call }: FakeWorld, { auth }: TestKey): Promise<string> =>
  (await call("GET", `/api/estimate?request=${encodeURIComponent(REQUEST)}`, undefined, auth)).body.identity.free_tier
    .serve;

journey("a new key spends in a session what the table says before the pool gives it a sat", async (fake) => {
  const { world, call } = fake;
  const key = await keyWith(world, 0);
  const { path, auth } = await paidSession(world, call, 5_000);
  let spent = 0;
  let least = Infinity;
  while (await served(fake, key) === "gate") {
    const { body } = await call("POST", `${path}/request`, { request: REQUEST }, { ...auth, ...key.auth });
    assert.equal(body.state, "complete", JSON.stringify(body));
    assert.equal(body.absorbed_sats, 0);
    least = Math.min(least, body.debitedSats);
    spent += body.debitedSats;
  }
  assert.equal(await subsidizedToday(world.store, world.clock.now()), 0);
  assert.ok(least >= 125, `a request was charged ${least}`);
  assert.ok(spent >= ESTABLISHED.bySessions, `${spent} were enough`);
  assert.ok(spent < ESTABLISHED.bySessions * 1.1, `${spent}: the table's bound is far from what is possible`);
  const helped = (await call("POST", `${path}/request`, { request: REQUEST }, { ...auth, ...key.auth })).body;
  assert.equal(helped.absorbed_sats, ESTABLISHED.dailySats);
  assert.equal(await served(fake, key), "gate", "no more today");
});

journey("by jobs it spends the evaluation fees as well", async (fake) => {
  const { world, call, clock } = fake;
  const key = await keyWith(world, 0);
  const withKey: typeof call = (method, path, body, headers) =>
    world.call(method, path, body, { ...headers, ...key.auth });
  let spent = 0;
  while (await served(fake, key) === "gate") {
    const job = await clock.drive(paidJob(world, withKey, REQUEST));
    assert.equal(job.state, "complete");
    spent += job.evalInvoice.amountSats + job.costLedger.chargedSats;
  }
  assert.ok(spent >= ESTABLISHED.byJobs, `${spent} were enough`);
  assert.ok(spent < ESTABLISHED.byJobs * 1.1);
});

journey(
  "what nobody claims is the pool's: the record says expired, the API's description says where it goes",
  async (fake) => {
    const { world, call, clock } = fake;
    const job = await clock.drive(paidJob(world, world.call, REQUEST));
    const owedByJob = job.costLedger.refundAmountSats;
    assert.ok(owedByJob > 0);
    const { path, auth } = await paidSession(world, call, 300);
    assert.equal((await call("POST", `${path}/close`, {}, auth)).body.refundAmountSats, 300);
    const before = await pool(fake);
    clock.leap(30 * DAY_MS);
    await clock.advance(60_000);
    assert.equal(await pool(fake), before + owedByJob + 300);
    assert.equal((await call("GET", "/api/free-tier")).body.pool.balanceSats, before + owedByJob + 300);
    assert.equal((await call("GET", `/api/jobs/${job.jobId}`)).body.costLedger.refundState, "expired");
    assert.equal((await call("GET", path)).body.refund.refundState, "expired");
    const { paths } = (await call("GET", "/api/doc")).body;
    for (const claim of ["/api/jobs/{id}/refund", "/api/sessions/{id}/close"]) {
      assert.match(paths[claim].post.description, /REFUND_CLAIM_DAYS` \(30\) goes to the pool/);
    }
  },
);

journey("gifts, demos, estimates and paid work together, over a crash and midnight: the books hold", async (fake) => {
  const { world, call, clock } = fake;
  const key = await keyWith(world, 60);
  let gifts = 0;
  let demos = 0;
  for (let day = 0; day < 3; day++) {
    const donated = (await call("POST", "/api/free-tier/donate", { amount_sats: 100 + day })).body.invoice;
    const abandoned = (await call("POST", "/api/free-tier/donate", { amount_sats: 7 })).body.invoice;
    assert.notEqual(donated.paymentHash, abandoned.paymentHash);
    const { token } = world.deps.identityTokens.issue(key.pubkey, clock.now());
    const auth = { "x-nostr-token": token };
    const { body: job } = await call("POST", "/api/jobs", { request: REQUEST }, auth);
    await pay(world, job.evalInvoice);
    const demo = call("GET", `/api/demo?request=${day}`);
    assert.equal((await demo).status, 200);
    demos += (await demo).body.costSats;
    await world.crash();
    await settle(world, donated);
    gifts += donated.amountSats;
    const done = (await clock.drive(untilState(world, world.call, job.jobId, ["complete"]))).body;
    assert.equal(done.free_tier.serve, "free");
    const { grantedTodaySats } = (await call("GET", "/api/free-tier")).body;
    assert.equal(grantedTodaySats, done.absorbed_sats, "of this day alone");
    await clock.settle();
    await assertAudit(world);
    clock.leap(DAY_MS);
  }
  assert.equal(await balance(world.store, "operator"), -SEED - demos);
  const given = await balance(world.store, "revenue:work") - demos;
  assert.equal(await pool(fake), SEED + gifts - given);
});

journey(
  "a stranger's top-up of a key's session buys what it paid for: no help of the key's, nothing on its name",
  async (fake) => {
    const { world, call } = fake;
    const key = await keyWith(world, 200);
    const { sessionId, invoice } = (await call("POST", "/api/sessions", { amount_sats: 500 }, key.auth)).body;
    await settle(world, invoice);
    const ask = { method: "POST", path: `/api/sessions/${sessionId}/request`, body: { request: REQUEST } };
    const stranger = await opened(world, call, ask);
    const before = await getTrust(world.store, key.pubkey);
    const served = (await call(ask.method, ask.path, ask.body, stranger.auth)).body;
    assert.equal(served.state, "complete");
    assert.ok(served.debitedSats > 0, JSON.stringify(served));
    assert.equal(served.absorbed_sats, undefined);
    const refused = (await call(ask.method, ask.path, { request: "[refuse] this" }, stranger.auth)).body;
    assert.equal(refused.state, "rejected");
    assert.equal(await subsidizedToday(world.store, world.clock.now()), 0);
    assert.deepEqual(await getTrust(world.store, key.pubkey), before);
    const own = (await call(ask.method, ask.path, ask.body, key.auth)).body;
    assert.equal(own.free_tier.serve, "free", "the key itself is helped as ever");
  },
);
