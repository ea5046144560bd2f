import assert from "node:assert/strict";
import { createFakeWorld, type FakeWorld } from "@/tests/harness/fake-world.ts";
import { claimRefund, createJob, paidJob, pay, payerInvoice } from "@/tests/harness/payer.ts";

function test(name: string, fn: (fake: FakeWorld) => Promise<void>): void {
  Deno.test(name, async () => {
    const fake = await createFakeWorld(1);
    try {
      await fn(fake);
    } finally {
      fake.discard();
    }
  });
}

/** A job that owes its evaluation fee. */
const owed = (fake: FakeWorld) => fake.clock.drive(paidJob(fake.world, fake.world.call, "[fail-eval]"));

test("POST /api/jobs: 503 with Retry-After when the wallet makes no invoice, and no job is left behind", async (fake) => {
  for (const kind of ["lose", "refuse", "drop"] as const) {
    fake.walletFaults.createInvoice = { kind };
    const answer = await fake.call("POST", "/api/jobs", { request: "hello" });
    assert.deepEqual([answer.status, answer.body.error.code], [503, "wallet_unavailable"]);
    assert.equal(answer.headers.get("retry-after"), "5");
  }
  assert.deepEqual(await fake.world.rows(["job"]), []);
});

test("POST /api/jobs: a key whose first call failed can be used again", async (fake) => {
  const headers = { "idempotency-key": "k" };
  fake.walletFaults.createInvoice = { kind: "lose" };
  assert.equal((await fake.call("POST", "/api/jobs", { request: "hello" }, headers)).status, 503);
  fake.walletFaults.createInvoice = undefined;
  assert.equal((await fake.call("POST", "/api/jobs", { request: "hello" }, headers)).status, 201);
});

test("GET /api/jobs/:id: the invoice that is asked for expires as the settings say", async (fake) => {
  const job = await createJob(fake.call, "hello");
  assert.equal(Date.parse(job.evalInvoice.expiresAt) - Date.parse(job.createdAt), 600_000);
  assert.equal(job.createdAt, new Date(fake.clock.now()).toISOString());
});

test("GET /api/jobs/:id: the quote is the estimate that was given before", async (fake) => {
  const request = "What is a hold invoice?";
  const estimate = (await fake.call("GET", `/api/estimate?request=${encodeURIComponent(request)}`)).body;
  const job = await createJob(fake.call, request);
  assert.equal(job.evalInvoice.amountSats, estimate.evalFeeSats);
  await pay(fake.world, job.evalInvoice);
  await fake.clock.settle();
  const { body } = await fake.call("GET", `/api/jobs/${job.jobId}`);
  assert.equal(body.workInvoice.amountSats, estimate.estimatedSats);
  assert.deepEqual(body.pricingBreakdown, {
    estimatedCostUsd: estimate.estimatedCostUsd,
    marginPct: 25,
    btcPriceUsd: estimate.btcPriceUsd,
  });
});

test("POST refund: 202 while nobody knows the outcome, then the job says what became of it", async (fake) => {
  const job = await owed(fake);
  fake.walletFaults.pay = { kind: "hold" };
  const { paymentRequest, paymentHash } = await payerInvoice(fake.world, 10);
  const before = fake.clock.now();
  const answer = await fake.call("POST", `/api/jobs/${job.jobId}/refund`, { invoice: paymentRequest });
  assert.equal(fake.clock.now() - before, 10_000);
  assert.equal(answer.status, 202);
  assert.deepEqual(answer.body, {
    refundState: "paying",
    refundPaymentHash: paymentHash,
    refundAmountSats: 10,
    stubMode: true,
  });
  const again = await fake.call("POST", `/api/jobs/${job.jobId}/refund`, { invoice: paymentRequest });
  assert.deepEqual([again.status, again.body.error.details], [409, {
    refundState: "paying",
    refundPaymentHash: paymentHash,
  }]);
  await fake.world.wallet.releasePayment(paymentHash, "paid");
  await fake.clock.advance(90_000);
  const { costLedger } = (await fake.call("GET", `/api/jobs/${job.jobId}`)).body;
  assert.deepEqual([costLedger.refundState, costLedger.refundPaymentHash], ["paid", paymentHash]);
});

test("POST refund: 503 with the reason after a definite failure, and the claim is open again", async (fake) => {
  const job = await owed(fake);
  fake.walletFaults.pay = { kind: "fail" };
  const failed = await claimRefund(fake.world, fake.call, job.jobId, 10);
  assert.deepEqual([failed.status, failed.body.error.code], [503, "payout_failed"]);
  assert.deepEqual(failed.body.error.details, {
    reason: "no route",
    refundAmountSats: 10,
    feeLimitSats: 0,
    leaveSats: 9,
  });
  const { costLedger } = (await fake.call("GET", `/api/jobs/${job.jobId}`)).body;
  assert.deepEqual([costLedger.refundState, costLedger.refundFailure, costLedger.refundPaymentHash], [
    "pending",
    "no route",
    null,
  ]);
  fake.walletFaults.pay = undefined;
  assert.equal((await claimRefund(fake.world, fake.call, job.jobId, 10)).status, 200);
});

for (const written of ["LNBCRT in capitals", "lightning:", "blanks around it"]) {
  test(`POST refund: takes an invoice with ${written}`, async (fake) => {
    const job = await owed(fake);
    const { paymentRequest } = await payerInvoice(fake.world, 10);
    const invoice = written === "lightning:"
      ? `lightning:${paymentRequest}`
      : written.startsWith("blanks")
      ? `  ${paymentRequest}\n`
      : paymentRequest.toUpperCase();
    assert.equal((await fake.call("POST", `/api/jobs/${job.jobId}/refund`, { invoice })).status, 200);
  });
}

test("evaluation: a wallet that is away for ten minutes does not cost the verdict; the model is asked once", async (fake) => {
  const job = await createJob(fake.call, "hello");
  fake.modelFaults.evaluate.push({ kind: "none" }, { kind: "permanent" }); // a second question would end it
  await pay(fake.world, job.evalInvoice);
  fake.walletFaults.createInvoice = { kind: "lose" };
  await fake.clock.settle();
  for (let i = 0; i < 20; i++) {
    fake.clock.leap(25_000);
    await fake.clock.advance(5_000);
  }
  assert.equal((await fake.call("GET", `/api/jobs/${job.jobId}`)).body.state, "evaluating");
  fake.walletFaults.createInvoice = undefined;
  await fake.clock.advance(15_000);
  assert.equal((await fake.call("GET", `/api/jobs/${job.jobId}`)).body.state, "awaiting_work_payment");
});
