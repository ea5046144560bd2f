import assert from "node:assert/strict";
import { utcDay } from "@/lib/clock.ts";
import { finalizeEvent, getPublicKey } from "nostr-tools/pure";
import { createFakeWorld, type FakeWorld } from "@/tests/harness/fake-world.ts";
import { keyWith, SCORE, type TestKey } from "@/tests/harness/keys.ts";
import { assertAudit, pay, untilState } from "@/tests/harness/payer.ts";

Deno.test("GET /api/estimate: price, tokens and where the BTC price is from, computed by hand", async () => {
  const fake = await createFakeWorld(1);
  const { status, body } = await fake.call("GET", `/api/estimate?request=${"a".repeat(40)}`);
  assert.equal(status, 200);
  // 40 characters are 10 tokens, and 50 of our own; up to 100 characters cost 200 tokens of output.
  const usd = (60 * 0.003 / 1_000 + 200 * 0.015 / 1_000 + 100 / 1_000) * 1.25;
  assert.ok(Math.abs(body.estimatedCostUsd - usd) < 1e-12);
  const sats = Math.ceil(usd / 100_000 * 1e8);
  assert.deepEqual(body, {
    estimatedSats: sats,
    p50Sats: sats,
    p90Sats: sats,
    confidence: 10,
    sampleCount: 0,
    estimatedCostUsd: body.estimatedCostUsd,
    evalFeeSats: 10,
    tokenEstimate: { inputTokens: 60, outputTokens: 200 },
    model: "claude-sonnet-4-6",
    btcPriceUsd: 100_000,
    btcPriceSource: "test",
    btcPriceAgeSeconds: 0,
    pool: { balanceSats: 10_000, dailyBudgets: { new: 0, established: 50, trusted: 200, elite: 1_000 } },
    stubMode: true,
  });
  fake.discard();
});

Deno.test("GET /api/estimate: writes nothing, however often it is asked", async () => {
  const fake = await createFakeWorld(1);
  const before = [await fake.world.store.version(), await fake.world.walletStore.version()];
  for (const request of ["a", "a".repeat(101), "a".repeat(301), "a".repeat(500)]) {
    assert.equal((await fake.call("GET", `/api/estimate?request=${request}`)).status, 200);
  }
  assert.deepEqual([await fake.world.store.version(), await fake.world.walletStore.version()], before);
  fake.discard();
});

Deno.test("GET /api/estimate: a longer request never costs less", async () => {
  const fake = await createFakeWorld(1);
  let last = 0;
  for (const length of [1, 100, 101, 300, 301, 500]) {
    const { body } = await fake.call("GET", `/api/estimate?request=${"a".repeat(length)}`);
    assert.ok(body.estimatedSats >= last, `${length} characters: ${body.estimatedSats} after ${last}`);
    last = body.estimatedSats;
  }
  fake.discard();
});

const REQUEST = "What is a hold invoice?";
const ESTIMATE = `/api/estimate?request=${encodeURIComponent(REQUEST)}`;

/** What the estimate says to this key, signed in anew. */
async function previewed({ world, call }: FakeWorld, { pubkey }: TestKey) {
  const { token } = world.deps.identityTokens.issue(pubkey, world.clock.now());
  const { status, body } = await call("GET", ESTIMATE, undefined, { "x-nostr-token": token });
  assert.equal(status, 200, JSON.stringify(body));
  return { ...body.identity, sats: body.estimatedSats as number };
}

Deno.test("GET /api/estimate: what each tier would be served, and nobody in particular nothing", async () => {
  const fake = await createFakeWorld(1);
  const { world, call } = fake;
  const full = (sats: number) => ({ serve: "free", absorbSats: sats, chargeSats: 0 });
  assert.equal((await call("GET", ESTIMATE)).body.identity, undefined);
  const newcomer = await previewed(fake, await keyWith(world, 0));
  assert.equal(newcomer.trust_tier, "new");
  assert.deepEqual(newcomer.free_tier, { serve: "gate", absorbSats: 0, chargeSats: newcomer.sats });
  const known = await previewed(fake, await keyWith(world, SCORE.established, 2));
  assert.equal(known.trust_tier, "established");
  assert.deepEqual(known.free_tier, { serve: "partial", absorbSats: 50, chargeSats: known.sats - 50 });
  const trusted = await previewed(fake, await keyWith(world, SCORE.trusted, 3));
  assert.equal(trusted.trust_tier, "trusted");
  assert.deepEqual(trusted.free_tier, full(trusted.sats));
  const elite = await previewed(fake, await keyWith(world, SCORE.elite, 4));
  assert.equal(elite.trust_tier, "elite");
  assert.deepEqual(elite.free_tier, full(elite.sats));
  fake.discard();
});

Deno.test("GET /api/estimate: decay, the pool and what was used today count, and the next UTC day begins anew", async () => {
  const fake = await createFakeWorld(1, { settings: { poolSeedSats: 300 } });
  const { world, call, clock } = fake;
  const key = await keyWith(world, SCORE.trusted);
  const { sats } = await previewed(fake, key);
  assert.ok(sats <= 200 && 2 * sats > 200, "one fits the day's budget and two do not");

  const { body: job } = await call("POST", "/api/jobs", { request: REQUEST }, key.auth);
  await pay(world, job.evalInvoice);
  const { body: done } = await clock.drive(untilState(world, world.call, job.jobId, ["complete"]));
  assert.deepEqual(done.free_tier, { serve: "free", absorbSats: sats, chargeSats: 0 }, "as the estimate said");
  const left = 200 - done.absorbed_sats;
  assert.deepEqual((await previewed(fake, key)).free_tier, {
    serve: "partial",
    absorbSats: left,
    chargeSats: sats - left,
  });

  const today = utcDay(clock.now());
  clock.leap(24 * 3_600_000);
  assert.notEqual(utcDay(clock.now()), today);
  assert.equal((await previewed(fake, key)).free_tier.serve, "free");

  // Somebody else takes from the pool: what is left in it is all that it can help with.
  const other = await keyWith(world, SCORE.elite, 2);
  const { body: second } = await call("POST", "/api/jobs", { request: REQUEST }, other.auth);
  await pay(world, second.evalInvoice);
  await clock.drive(untilState(world, world.call, second.jobId, ["complete"]));
  const { balanceSats } = (await call("GET", "/api/free-tier")).body.pool;
  assert.ok(balanceSats < sats);
  assert.deepEqual((await previewed(fake, key)).free_tier, {
    serve: "partial",
    absorbSats: balanceSats,
    chargeSats: sats - balanceSats,
  });

  clock.leap(31 * 24 * 3_600_000);
  assert.equal((await previewed(fake, key)).trust_tier, "established", "50 points less one day's decay");
  await clock.settle();
  await assertAudit(world);
  fake.discard();
});

Deno.test("GET /api/estimate: a thousand of them, with and without a key, leave the store's version unchanged", async () => {
  const fake = await createFakeWorld(1);
  const { world } = fake;
  const keys = [await keyWith(world, SCORE.trusted), await keyWith(world, 0, 2)];
  const before = [await world.store.version(), await world.walletStore.version()];
  for (let i = 0; i < 1_000; i += 20) {
    const some = Array.from({ length: 20 }, (_, j) => world.call("GET", ESTIMATE, undefined, keys[(i + j) % 3]?.auth));
    for (const { status } of await Promise.all(some)) assert.equal(status, 200);
  }
  assert.deepEqual([await world.store.version(), await world.walletStore.version()], before);
  fake.discard();
});

Deno.test("GET /api/estimate: a credential that is not good is 401, never nobody; nothing is written", async () => {
  const fake = await createFakeWorld(1);
  const { world, call, clock } = fake;
  const key = await keyWith(world, SCORE.trusted);
  const before = await world.store.version();
  const refused = async (headers: Record<string, string>, code: string) => {
    const { status, body } = await call("GET", ESTIMATE, undefined, headers);
    assert.deepEqual([status, body.error?.code], [401, code]);
  };
  await refused({ "x-nostr-token": "spoilt" }, "identity_invalid");
  await refused({ "x-nostr-token": key.auth["x-nostr-token"].slice(0, -1) }, "identity_invalid");
  clock.leap(86_400_000);
  await refused(key.auth, "identity_expired");
  assert.equal(await world.store.version(), before);
  fake.discard();
});

Deno.test("GET /api/estimate: a signed event does as well, once; its id is the one thing that is written", async () => {
  const fake = await createFakeWorld(1);
  const { world, call } = fake;
  const secret = new Uint8Array(32).fill(7);
  const tags = [["u", world.deps.settings.publicOrigin + ESTIMATE], ["method", "GET"]];
  const event = finalizeEvent(
    { kind: 27235, created_at: Math.floor(world.clock.now() / 1_000), tags, content: "" },
    secret,
  );
  const headers = { authorization: `Nostr ${btoa(JSON.stringify(event))}` };
  const { status, body } = await call("GET", ESTIMATE, undefined, headers);
  assert.equal(status, 200, JSON.stringify(body));
  assert.equal(body.identity.trust_tier, "new");
  const [used, ...others] = await world.rows(["used"]);
  assert.deepEqual(others, []);
  assert.ok(used?.key.includes(event.id) && event.pubkey === getPublicKey(secret));
  const again = await call("GET", ESTIMATE, undefined, headers);
  assert.deepEqual([again.status, again.body.error.code], [401, "nip98_replayed"]);
  fake.discard();
});
