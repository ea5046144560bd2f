import assert from "node:assert/strict";
import { createFakeWorld, type FakeWorld } from "@/tests/harness/fake-world.ts";
import { createJob, handleOf, pay, payerInvoice, untilState } from "@/tests/harness/payer.ts";
import { paidSession } from "@/tests/harness/session-payer.ts";
import { recoveredRefund, type Refund } from "@/lib/payments/refunds.machine.ts";
import { getRefund, putRefund } from "@/lib/payments/refunds.rows.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";

const HOUR = 3_600_000;
const OWED = 10;
const NOBODYS = "ab".repeat(32);

function test(
  name: string,
  body: (it: FakeWorld & { owed(): Promise<{ jobId: string; preimage: string }>; claim: Claim }) => Promise<void>,
) {
  Deno.test(`POST /api/refunds/claim: ${name}`, async () => {
    const fake = await createFakeWorld(3);
    const { world, clock, call } = fake;
    await pay(world, await world.wallet.createInvoice({ amountSats: 1_000, memo: "funds", expirySeconds: 60 }));
    try {
      await body({
        ...fake,
        async owed() {
          const { jobId, evalInvoice } = await createJob(call, "[fail-eval]");
          const paid = await world.wallet.payInvoice(evalInvoice.paymentHash);
          await clock.drive(untilState(world, world.call, jobId, ["failed"]));
          return { jobId, preimage: paid.ok ? paid.preimage : assert.fail(paid.reason) };
        },
        async claim(preimage, sats = OWED) {
          const { paymentRequest: invoice } = await payerInvoice(world, sats);
          return await call("POST", "/api/refunds/claim", { preimage, invoice });
        },
      });
    } finally {
      fake.discard();
    }
  });
}
type Claim = (preimage: string, sats?: number) => ReturnType<FakeWorld["call"]>;

test("a payer who lost the id has his money three days after the end, once", async (it) => {
  const { preimage } = await it.owed();
  const early = await it.claim(preimage);
  assert.deepEqual([early.status, early.body.error.code], [409, "preimage_too_early"]);
  const from = Date.parse(early.body.error.details.claimableFrom);
  assert.ok(Math.abs(from - it.clock.now() - 72 * HOUR) < 60_000);
  it.clock.leap(from - it.clock.now() - 1);
  assert.equal((await it.claim(preimage)).body.error.code, "preimage_too_early");
  it.clock.leap(1);
  const taken = await it.claim(preimage.toUpperCase());
  assert.deepEqual([taken.status, taken.body.refundState, taken.body.refundAmountSats], [200, "paid", OWED]);
  const again = await it.claim(preimage);
  assert.deepEqual([again.status, again.body.error.details.refundPaymentHash], [409, taken.body.refundPaymentHash]);
});

test("the wait is for the preimage alone: the id takes it at once", async (it) => {
  const { jobId } = await it.owed();
  const { paymentRequest: invoice } = await payerInvoice(it.world, OWED);
  assert.equal((await it.call("POST", `/api/jobs/${jobId}/refund`, { invoice })).status, 200);
});

test("what came in before a restore is taken with its preimage, after the wait", async (it) => {
  const { world, clock } = it;
  const lost = await world.wallet.createInvoice({ amountSats: 250, memo: "lost", expirySeconds: 600 });
  const paid = await world.wallet.payInvoice(lost.paymentHash);
  const preimage = paid.ok ? paid.preimage : assert.fail();
  const now = clock.now();
  await world.store.transact(async (tx) => {
    const { refund, postings } = recoveredRefund({ paymentHash: lost.paymentHash, sats: 250, at: now }, {
      claimDays: 30,
      now,
    });
    await putRefund(tx, refund, true);
    await post(tx, postings, now);
  });
  assert.equal((await it.claim(preimage, 250)).body.error.code, "preimage_too_early");
  clock.leap(72 * HOUR);
  for (const sats of [251, 200]) assert.equal((await it.claim(preimage, sats)).body.error.code, "invoice_wrong_amount");
  const other = await it.call("POST", "/api/refunds/claim", { preimage, invoice: "lnbc1" });
  assert.equal(other.status, 400);
  assert.equal((await it.claim(preimage, 250)).status, 200);
  assert.equal((await it.claim(preimage, 250)).body.error.code, "refund_claimed");
  assert.equal((await world.audit()).find(({ ok }) => !ok), undefined);
});

test("a key, an address or a session's macaroon is the way where there is one, however late", async (it) => {
  const { world, clock, call } = it;
  const [keyed, addressed] = [await it.owed(), await it.owed()];
  const change = (jobId: string, part: Partial<Refund>) =>
    world.store.transact(async (tx) => {
      const refund = await getRefund(tx, handleOf(jobId)) ?? assert.fail();
      await putRefund(tx, { ...refund, ...part });
    });
  await change(keyed.jobId, { owner: "cd".repeat(32) });
  await change(addressed.jobId, { address: "payer@wallet.example" });
  const session = await paidSession(world, call, 200);
  await call("POST", `${session.path}/close`, {}, session.auth);
  clock.leap(100 * HOUR);
  for (
    const [preimage, sats, way] of [[keyed.preimage, OWED, "key"], [addressed.preimage, OWED, "address"], [
      session.preimage,
      200,
      "macaroon",
    ]] as const
  ) {
    const { status, body } = await it.claim(preimage, sats);
    assert.deepEqual([status, body.error.code, body.error.details.way], [409, "preimage_not_enough", way]);
  }
});

test("a preimage of nothing, of a gift, of an unpaid invoice, and a hash in its place find nothing", async (it) => {
  const { world, call } = it;
  const { invoice } = (await call("POST", "/api/free-tier/donate", { amount_sats: 100 })).body;
  const gift = await world.wallet.payInvoice(invoice.paymentHash);
  await world.deps.settlements.check(invoice.paymentHash);
  for (const preimage of [NOBODYS, invoice.paymentHash, gift.ok ? gift.preimage : ""]) {
    const { status, body } = await it.claim(preimage);
    assert.deepEqual([status, body.error.code], [404, "payment_not_found"]);
  }
  for (const preimage of ["", "ab", "zz".repeat(32), `${NOBODYS}00`]) {
    assert.equal((await it.claim(preimage)).status, 400, preimage);
  }
  assert.equal((await call("POST", "/api/refunds/claim", { preimage: NOBODYS })).status, 400);
});

test("a job that owes nothing yet says so", async (it) => {
  const { evalInvoice } = await createJob(it.call, "hello");
  const paid = await it.world.wallet.payInvoice(evalInvoice.paymentHash);
  await it.world.deps.settlements.check(evalInvoice.paymentHash);
  assert.equal((await it.claim(paid.ok ? paid.preimage : "")).body.error.code, "no_refund");
});
