/** Routing fees: who chooses one, bears it. */
import assert from "node:assert/strict";
import { balance } from "@/lib/ledger/ledger.rows.ts";
import type { RouteHop } from "@/lib/lightning/route-hints.ts";
import { createFakeWorld, type FakeWorld } from "@/tests/harness/fake-world.ts";
import { assertAudit, paidJob } from "@/tests/harness/payer.ts";
import { paidSession } from "@/tests/harness/session-payer.ts";
import { feeCredit } from "./fees.rules.ts";
import { getRefund, putRefund } from "./refunds.rows.ts";

const DEPOSIT = 100;
/** Rounds of the attack; none differs from the one before. */
const ROUNDS = 60;

const hop = (feeBaseMsat: number): RouteHop => ({
  nodeId: `02${"9e".repeat(32)}`,
  shortChannelId: "1x1x1",
  feeBaseMsat,
  feePpm: 0,
  cltvDelta: 40,
});

/** A world in which another payer's deposit lies as well: a fee that nobody may be made to pay could be paid with it. */
function test(name: string, fn: (fake: FakeWorld) => Promise<void>, feeSats = 0): void {
  Deno.test(name, async () => {
    const fake = await createFakeWorld(1, { feeSats });
    try {
      await paidSession(fake.world, fake.call, DEPOSIT);
      await fn(fake);
    } finally {
      fake.discard();
    }
  });
}

/** A deposit that bought nothing, owed back. @returns how to claim it with an invoice for so much, behind such a hop. */
async function unusedDeposit({ world, call }: FakeWorld) {
  const { path, auth, handle } = await paidSession(world, call, DEPOSIT);
  assert.equal((await call("POST", `${path}/close`, {}, auth)).body.refundAmountSats, DEPOSIT);
  const refundId = `${handle}-1`;
  await world.store.transact(async (tx) => {
    const refund = await getRefund(tx, refundId) ?? assert.fail("nothing is owed");
    const bought = { maxFeeSats: 10, chargesSats: 0, modelCostSats: 0, poolShareSats: 0, feesSats: 0 };
    putRefund(tx, { ...refund, feeCreditSats: feeCredit(bought) });
  });
  const claim = async (amountSats: number, feeBaseMsat = 0) => {
    const routeHints = feeBaseMsat > 0 ? [[hop(feeBaseMsat)]] : [];
    const { paymentRequest } = await world.wallet.createExternalInvoice({ amountSats, routeHints });
    return await call("POST", `${path}/close`, { invoice: paymentRequest }, auth);
  };
  return { claim, refundId };
}

async function figures({ world }: FakeWorld) {
  const [fees, pool, lightning] = await Promise.all(
    (["fees:routing", "pool", "lightning"] as const).map((account) => balance(world.store, account)),
  );
  return { fees: fees ?? 0, pool: pool ?? 0, ledger: 0 - (lightning ?? 0), wallet: await world.wallet.balanceSats() };
}

test(`fees: ${ROUNDS} deposits that are given back through a channel of 10 sats cost the operator nothing`, async (fake) => {
  const before = await figures(fake);
  for (let round = 0; round < ROUNDS; round++) {
    const { claim } = await unusedDeposit(fake);
    const refused = await claim(DEPOSIT, 10_000);
    assert.deepEqual([refused.status, refused.body.error.code], [400, "invoice_route_fee"]);
    assert.deepEqual(refused.body.error.details, {
      routeFeeSats: 10,
      feeLimitSats: 0,
      leaveSats: 10,
      refundAmountSats: DEPOSIT,
    });
    assert.equal((await claim(DEPOSIT - 10, 10_000)).body.refundState, "paid");
  }
  const after = await figures(fake);
  assert.deepEqual(after, before, "operator's fees, pool, ledger and wallet");
  assert.equal(after.wallet, after.ledger);
  await assertAudit(fake.world);
});

test("fees: a deposit that bought nothing comes back whole through a free route", async (fake) => {
  const { claim } = await unusedDeposit(fake);
  const { body } = await claim(DEPOSIT);
  assert.deepEqual([body.refundState, body.refundAmountSats], ["paid", DEPOSIT]);
  assert.equal((await figures(fake)).wallet, DEPOSIT);
});

test(
  "fees: without a free route the answer says how much to leave, and less its fee the deposit comes back",
  async (fake) => {
    const { claim } = await unusedDeposit(fake);
    const failed = await claim(DEPOSIT);
    assert.deepEqual([failed.status, failed.body.error.code], [503, "payout_failed"]);
    const { feeLimitSats, leaveSats } = failed.body.error.details;
    assert.deepEqual({ feeLimitSats, leaveSats }, { feeLimitSats: 0, leaveSats: 10 });
    assert.match(failed.body.error.message, /an invoice for 90 sats leaves 10/);
    const dearer = await claim(DEPOSIT - 2);
    assert.deepEqual([dearer.body.error.code, dearer.body.error.details.feeLimitSats], ["payout_failed", 2]);
    const before = await figures(fake);
    const { body } = await claim(DEPOSIT - leaveSats);
    assert.deepEqual([body.refundState, body.refundAmountSats], ["paid", DEPOSIT], "what was owed, as ever");
    const after = await figures(fake);
    assert.equal(after.fees, before.fees);
    assert.equal(after.pool, before.pool + leaveSats - 3, "what the fee of 3 sats did not use");
    assert.equal(after.wallet, after.ledger);
    await assertAudit(fake.world);
  },
  3,
);

test("fees: when no more may be left, the answer names another wallet", async (fake) => {
  const { claim } = await unusedDeposit(fake);
  const { body } = await claim(DEPOSIT - 10);
  assert.equal(body.error.code, "payout_failed");
  assert.match(body.error.message, /No more may be left .* cheaper route/);
}, 11);

test("fees: what the reserve does not pay is paid from the fee credit, and no more than that", async (fake) => {
  const { claim, refundId } = await unusedDeposit(fake);
  await fake.clock.drive(paidJob(fake.world, fake.world.call, "[refuse]")); // what the operator pays, he has earned
  await fake.world.store.transact(async (tx) => {
    const refund = await getRefund(tx, refundId);
    if (refund) putRefund(tx, { ...refund, feeCreditSats: 4 });
  });
  const before = await figures(fake);
  assert.equal((await claim(DEPOSIT - 5, 10_000)).body.error.code, "invoice_route_fee");
  assert.equal((await claim(DEPOSIT - 5, 9_000)).body.refundState, "paid");
  const after = await figures(fake);
  assert.deepEqual([after.fees, after.pool], [before.fees - 4, before.pool]);
  await assertAudit(fake.world);
});

test("fees: an invoice for less than may be left is refused, whatever its route costs", async (fake) => {
  const { claim } = await unusedDeposit(fake);
  for (const amountSats of [DEPOSIT - 11, DEPOSIT + 1, 1]) {
    const { status, body } = await claim(amountSats);
    assert.deepEqual([status, body.error.code], [400, "invoice_wrong_amount"], `${amountSats}`);
    assert.deepEqual(body.error.details, { expectedSats: DEPOSIT, leastSats: DEPOSIT - 10 });
  }
});
