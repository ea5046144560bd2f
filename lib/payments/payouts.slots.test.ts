/** Receivers who hold their payments: they keep nobody else from being paid. */
import assert from "node:assert/strict";
import { type Owed, owedTest as test, payee } from "@/tests/harness/owed.ts";
import { payerInvoice } from "@/tests/harness/payer.ts";
import { signIn } from "@/tests/harness/identity.ts";
import { getRefund } from "./refunds.rows.ts";

const HOLDERS = 100;

/** Refunds of as many payers, claimed at once. @returns their ids and the hashes they are paid to. */
async function claimAll(owed: Owed, count: number, headers?: Record<string, string>) {
  const claims: { refundId: string; paymentHash: string }[] = [];
  for (let i = 0; i < count; i++) {
    const { refundId } = await owed.another(headers);
    const invoice = await payee(owed.world);
    claims.push({ refundId, paymentHash: invoice.paymentHash });
    assert.deepEqual(await owed.world.deps.payouts.claim(refundId, invoice), { outcome: "claimed" });
  }
  return claims;
}

/** An honest refund is paid within a second. */
async function assertHonestIsPaid(owed: Owed, { refundId }: { refundId: string }): Promise<void> {
  owed.walletFaults.pay = undefined;
  assert.deepEqual(await owed.world.deps.payouts.claim(refundId, await payee(owed.world)), { outcome: "claimed" });
  await owed.clock.advance(1_000);
  assert.equal((await getRefund(owed.world.store, refundId))?.state, "paid");
}

test("slots: a hundred payments that the wallet does not come back from keep an honest refund waiting for no second", async (owed) => {
  owed.walletFaults.pay = { kind: "delay", until: new Promise(() => {}) };
  await claimAll(owed, HOLDERS);
  await assertHonestIsPaid(owed, { refundId: owed.refundId });
});

test("slots: nor do a hundred looks at held payments that the wallet is slow to answer", async (owed) => {
  const { refundId } = await owed.another();
  owed.walletFaults.pay = { kind: "hold" };
  owed.walletFaults.lookupPayment = { kind: "delay", ms: 30_000 };
  await claimAll(owed, HOLDERS);
  for (let i = 0; i < 90; i++) {
    await owed.clock.advance(1_000);
    if (i % 30 === 29) await assertHonestIsPaid(owed, await owed.another());
    owed.walletFaults.pay = { kind: "hold" };
  }
  await assertHonestIsPaid(owed, { refundId });
});

test("slots: what a payment given its place back comes to is written down as soon as the wallet says it", async (owed) => {
  const calls = Promise.withResolvers<void>();
  owed.walletFaults.pay = { kind: "delay", until: calls.promise };
  const claims = await claimAll(owed, HOLDERS);
  await owed.clock.advance(20_000);
  calls.resolve();
  await owed.clock.settle();
  for (const { refundId, paymentHash } of claims) {
    const refund = await getRefund(owed.world.store, refundId);
    assert.deepEqual([refund?.state, refund?.payout?.paymentHash], ["paid", paymentHash]);
  }
  assert.equal((await owed.sent()).length, HOLDERS);
});

test("slots: a slow call is made once, however often its task looks", async (owed) => {
  let called = 0;
  const never = new Promise<void>(() => {});
  owed.walletFaults.pay = () => (called++, { kind: "delay", until: never });
  await owed.claim();
  await owed.clock.advance(29_000);
  assert.equal(called, 1);
});

test("slots: one key may have eight payouts under way; the ninth waits until one has ended", async (owed) => {
  const { auth } = await signIn(owed.world, owed.call);
  owed.walletFaults.pay = { kind: "hold" };
  const [first] = await claimAll(owed, 8, auth);
  assert.ok(first);
  const { jobId } = await owed.another(auth);
  const { paymentRequest } = await payerInvoice(owed.world, 10);
  const claimNinth = () => owed.call("POST", `/api/jobs/${jobId}/refund`, { invoice: paymentRequest });
  const { status, body, headers } = await claimNinth();
  assert.deepEqual([status, body.error.code, headers.get("retry-after")], [429, "too_many_payouts", "30"]);
  await assertHonestIsPaid(owed, await owed.another());
  await owed.world.wallet.releasePayment(first.paymentHash, "paid");
  owed.clock.leap(60_000);
  await owed.clock.advance(2_000);
  assert.equal((await claimNinth()).status, 200);
});
