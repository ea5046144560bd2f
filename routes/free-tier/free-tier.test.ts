import assert from "node:assert/strict";
import type { SimulatedWallet } from "@/lib/lightning/simulated.ts";
import type { Invoice } from "@/lib/payments/invoices.rows.ts";
import { balance } from "@/lib/ledger/ledger.rows.ts";
import { auditedTests } from "@/tests/harness/audited.ts";
import { createFakeWorld, type FakeWorld } from "@/tests/harness/fake-world.ts";
import { keyWith, SCORE } from "@/tests/harness/keys.ts";
import { assertAudit, pay } from "@/tests/harness/payer.ts";

const SEED = 10_000;
const HOUR_MS = 3_600_000;
const DONATE = "/api/free-tier/donate";

const withWorld = auditedTests("");

const pool = ({ world }: FakeWorld) => balance(world.store, "pool");
const invoices = ({ world }: FakeWorld) => world.rows<Invoice>(["invoice"]);

/** A donation's invoice. */
async function offered(fake: FakeWorld, sats: number, headers?: Record<string, string>) {
  const { status, body } = await fake.call("POST", DONATE, { amount_sats: sats }, headers);
  assert.equal(status, 201, JSON.stringify(body));
  return body.invoice as { paymentHash: string; paymentRequest: string; amountSats: number; expiresAt: string };
}

withWorld("GET /api/free-tier: pool, budgets and what was granted today; reading writes nothing", async (fake) => {
  const before = await fake.world.store.version();
  const { status, body } = await fake.call("GET", "/api/free-tier");
  assert.equal(status, 200);
  assert.deepEqual(body, {
    pool: { balanceSats: SEED },
    dailyBudgets: { new: 0, established: 50, trusted: 200, elite: 1_000 },
    grantedTodaySats: 0,
  });
  assert.equal(await fake.world.store.version(), before);
});

withWorld(
  "GET /api/free-tier: today's grants are reserved sats at first, absorbed ones afterwards, of one UTC day",
  async (fake) => {
    const { world, call, clock } = fake;
    const { auth } = await keyWith(world, SCORE.trusted);
    const { body: job } = await call("POST", "/api/jobs", { request: "[slow:30000] What is a pool?" }, auth);
    await pay(world, job.evalInvoice);
    await clock.advance(5_000);
    const running = (await call("GET", `/api/jobs/${job.jobId}`)).body;
    assert.equal(running.state, "executing");
    const during = (await call("GET", "/api/free-tier")).body;
    assert.equal(during.grantedTodaySats, running.free_tier.absorbSats);
    assert.equal(during.pool.balanceSats, SEED - running.free_tier.absorbSats);
    await clock.advance(30_000);
    const ended = (await call("GET", `/api/jobs/${job.jobId}`)).body;
    assert.equal(ended.state, "complete");
    assert.ok(ended.absorbed_sats < running.free_tier.absorbSats, "less was used than reserved");
    const after = (await call("GET", "/api/free-tier")).body;
    assert.equal(after.grantedTodaySats, ended.absorbed_sats);
    assert.equal(after.pool.balanceSats, SEED - ended.absorbed_sats);
    clock.leap(24 * HOUR_MS);
    const tomorrow = (await call("GET", "/api/free-tier")).body;
    assert.equal(tomorrow.grantedTodaySats, 0);
    assert.equal(tomorrow.pool.balanceSats, SEED - ended.absorbed_sats);
  },
);

withWorld(
  "POST /api/free-tier/donate: a paid donation is the pool's without anybody asking, and announced",
  async (fake) => {
    const { world, clock } = fake;
    const events: unknown[] = [];
    world.store.onEvent(({ type, amountSats }) => type === "pool_donation" && events.push(amountSats));
    const { status, body } = await fake.call("POST", DONATE, { amount_sats: 2_500 });
    assert.equal(status, 201);
    assert.deepEqual(Object.keys(body).sort(), ["invoice", "simulated", "stubMode"]);
    assert.deepEqual([body.stubMode, body.simulated], [true, ["lightning"]]);
    assert.deepEqual(Object.keys(body.invoice).sort(), ["amountSats", "expiresAt", "paymentHash", "paymentRequest"]);
    assert.equal(body.invoice.amountSats, 2_500);
    assert.equal(await pool(fake), SEED, "an invoice gives nothing");
    await pay(world, body.invoice);
    await clock.advance(5_000);
    assert.equal(await pool(fake), SEED + 2_500);
    assert.equal(await balance(world.store, "lightning"), -2_500);
    assert.equal((await fake.call("GET", "/api/free-tier")).body.pool.balanceSats, SEED + 2_500);
    assert.deepEqual(events, [2_500]);
    assert.equal((await invoices(fake)).length, 1, "a settled invoice stays, for the audit");
  },
);

withWorld("POST /api/free-tier/donate: 1 to 1,000,000 whole sats and nothing else", async (fake) => {
  for (const sats of [1, 1_000_000]) assert.equal((await offered(fake, sats)).amountSats, sats);
  const before = await fake.world.store.version();
  const wrong: [body: unknown, field: string][] = [
    [{}, "amount_sats"],
    [{ amount_sats: 0 }, "amount_sats"],
    [{ amount_sats: -5 }, "amount_sats"],
    [{ amount_sats: 1_000_001 }, "amount_sats"],
    [{ amount_sats: 1.5 }, "amount_sats"],
    [{ amount_sats: "100" }, "amount_sats"],
    [{ amount_sats: null }, "amount_sats"],
    [{ amount_sats: 100, pubkey: "x" }, "pubkey"],
  ];
  for (const [sent, field] of wrong) {
    const { status, body } = await fake.call("POST", DONATE, sent);
    assert.equal(status, 400, JSON.stringify(sent));
    assert.equal(body.error.code, "validation_failed");
    assert.equal(body.error.details.fields[0].field, field);
  }
  const stranger = await fake.call("POST", DONATE, { amount_sats: 100 }, { "x-nostr-token": "spoilt" });
  assert.deepEqual([stranger.status, stranger.body.error.code], [401, "identity_invalid"]);
  assert.equal(await fake.world.store.version(), before, "what is refused writes nothing");
});

withWorld(
  "POST /api/free-tier/donate: an Idempotency-Key gives the same invoice again, also at once, and refuses another amount",
  async (fake) => {
    const { world, call, clock } = fake;
    const once = { "idempotency-key": "a gift" };
    const [a, b] = await clock.drive(Promise.all([
      world.call("POST", DONATE, { amount_sats: 300 }, once),
      world.call("POST", DONATE, { amount_sats: 300 }, once),
    ]));
    assert.deepEqual([a.status, b.status], [201, 201]);
    assert.deepEqual(a.body, b.body);
    assert.equal((await invoices(fake)).length, 1);
    const other = await call("POST", DONATE, { amount_sats: 301 }, once);
    assert.deepEqual([other.status, other.body.error.code], [409, "idempotency_conflict"]);
    // After a crash, and when it was paid, it is still that one.
    await world.crash();
    await pay(world, a.body.invoice);
    await clock.advance(5_000);
    assert.deepEqual((await call("POST", DONATE, { amount_sats: 300 }, once)).body, a.body);
    const { auth } = await keyWith(world, 0);
    assert.notEqual(
      (await offered(fake, 300, { ...once, ...auth })).paymentHash,
      a.body.invoice.paymentHash,
      "another caller's key is another key",
    );
    assert.equal(await pool(fake), SEED + 300);
  },
);

withWorld(
  "POST /api/free-tier/donate: what is paid late counts, and a payment while the program was dead, once",
  async (fake) => {
    const { world, clock } = fake;
    const late = await offered(fake, 700);
    const dead = await offered(fake, 40);
    await clock.advance(601_000);
    assert.equal(await pool(fake), SEED);
    assert.ok((await world.wallet.payInvoice(late.paymentHash, { late: true })).ok);
    await world.deps.settlements.check(late.paymentHash);
    assert.equal(await pool(fake), SEED + 700);
    world.kill();
    assert.ok((await world.wallet.payInvoice(dead.paymentHash, { late: true })).ok);
    await world.crash();
    await clock.advance(30_000);
    assert.equal(await pool(fake), SEED + 740);
    for (const { paymentHash } of [late, dead]) await world.deps.settlements.check(paymentHash);
    await world.crash();
    await clock.advance(30_000);
    assert.equal(await pool(fake), SEED + 740, "told again, it changes nothing");
  },
);

withWorld(
  "POST /api/free-tier/donate: a crash at any commit between the invoice and its payment loses no gift",
  async (fake) => {
    const { world, engine, clock } = fake;
    let cuts = 0;
    for (const cut of ["before", "after"] as const) {
      const invoice = await offered(fake, 100);
      const first = engine.commits();
      engine.cutAt = (commit) => commit > first ? cut : null;
      engine.onCut = () => {
        cuts++;
        world.kill();
      };
      assert.ok((await world.wallet.payInvoice(invoice.paymentHash)).ok);
      await clock.advance(2_000);
      engine.cutAt = null;
      await world.crash();
      await clock.advance(30_000);
      await assertAudit(world);
    }
    assert.equal(cuts, 2, "the process died in both");
    assert.equal(await pool(fake), SEED + 200);
  },
);

/** A wallet that says of every payment that one and a half of what was asked arrived: payers may send more. */
const generous = (wallet: SimulatedWallet): SimulatedWallet =>
  new Proxy(wallet, {
    get(target, name) {
      if (name !== "lookupInvoice") return Reflect.get(target, name);
      return async (paymentHash: string) => {
        const state = await target.lookupInvoice(paymentHash);
        return state.state === "settled" ? { ...state, paidSats: state.paidSats * 1.5 } : state;
      };
    },
  });

Deno.test("POST /api/free-tier/donate: a donor who sends more has given more", async () => {
  const fake = await createFakeWorld(1, { wrapWallet: generous });
  const invoice = await offered(fake, 1_000);
  await pay(fake.world, invoice);
  await fake.clock.advance(5_000);
  assert.equal(await pool(fake), SEED + 1_500);
  // The simulated wallet itself took in 1,000, which the audit rightly misses.
  const wrong = (await fake.world.audit()).filter(({ ok }) => !ok);
  assert.deepEqual(wrong.map(({ name }) => name), ["the wallet holds what the ledger says"]);
  fake.discard();
});

withWorld(
  "POST /api/free-tier/donate: an unpaid one is forgotten a month after it expired, and leaves no row",
  async (fake) => {
    const { world, clock } = fake;
    const before = new Set(fake.engine.tables());
    const invoice = await offered(fake, 100);
    await clock.advance(601_000);
    assert.equal((await invoices(fake)).length, 1, "it may still be paid late");
    for (let hours = 0; hours < 26; hours += 2) {
      clock.leap(2 * HOUR_MS);
      await clock.advance(120_000);
    }
    assert.equal((await invoices(fake)).length, 1, "nobody asks about it any more, but its money would be noticed");
    clock.leap(31 * 24 * HOUR_MS);
    await clock.advance(120_000);
    assert.deepEqual(await invoices(fake), []);
    assert.deepEqual(fake.engine.tables().filter((table) => !before.has(table)), []);
    assert.equal(await world.deps.settlements.check(invoice.paymentHash), "unknown");
    assert.equal(await pool(fake), SEED);
  },
);

withWorld("POST /api/free-tier/donate: a wallet that does not answer is 503, and nothing is written", async (fake) => {
  const before = await fake.world.store.version();
  fake.walletFaults.createInvoice = { kind: "lose" };
  const { status, body, headers } = await fake.call("POST", DONATE, { amount_sats: 100 });
  assert.deepEqual([status, body.error.code], [503, "wallet_unavailable"]);
  assert.ok(Number(headers.get("retry-after")) > 0);
  assert.equal(await fake.world.store.version(), before);
});

withWorld(
  "POST /api/free-tier/donate: a gift fills an empty pool, and a trusted key is served from it",
  async (fake) => {
    const { world, call, clock } = fake;
    const { auth } = await keyWith(world, SCORE.trusted);
    const preview = async () => (await call("GET", "/api/estimate?request=Hello", undefined, auth)).body;
    assert.equal((await preview()).identity.free_tier.serve, "gate");
    const invoice = await offered(fake, 500);
    await pay(world, invoice);
    await clock.advance(5_000);
    const { identity, pool } = await preview();
    assert.deepEqual([identity.free_tier.serve, pool.balanceSats], ["free", 500]);
  },
  { settings: { poolSeedSats: 0 } },
);
