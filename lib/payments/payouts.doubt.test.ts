/** A wallet that called a payment failed which it made all the same: no refund may be paid twice for that. */
import assert from "node:assert/strict";
import { balance } from "@/lib/ledger/ledger.rows.ts";
import { type Owed, owedTest as test, payee } from "@/tests/harness/owed.ts";
import { assertAudit, payerInvoice } from "@/tests/harness/payer.ts";
import { DOUBT_MS } from "./refunds.machine.ts";
import { DISTRUST_MS, getRefund } from "./refunds.rows.ts";

const MINUTE = 60_000;
const alarms = ({ world }: Owed) =>
  world.log.lines.filter(({ level, fields }) => level === "error" && fields.code === "payout_contradicted").length;

/** Claims with an invoice that the wallet pays and calls failed. @returns its hash. */
async function claimLied(owed: Owed): Promise<string> {
  owed.payFaults.push({ kind: "lie" });
  const { paymentHash } = await owed.claim();
  await owed.clock.settle();
  assert.equal((await owed.refund()).state, "pending");
  return paymentHash;
}

/** Time goes on, a minute at a step. */
async function minutes({ clock }: Owed, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    clock.leap(MINUTE - 2_000);
    await clock.advance(2_000);
  }
}

/** The one payment that left is what the refund names, and the books are right to the satoshi. */
async function assertPaidOnce(owed: Owed, paymentHash: string): Promise<void> {
  const { state, payout } = await owed.refund();
  assert.deepEqual([state, payout?.paymentHash, await owed.sent()], ["paid", paymentHash, [paymentHash]]);
  assert.equal(await balance(owed.world.store, `refund:${owed.refundId}`), 0);
  await assertAudit(owed.world);
  assert.equal(await owed.world.wallet.balanceSats(), -await balance(owed.world.store, "lightning"));
}

test(
  "doubt: a payout that failed and was paid after all ends the refund; the second invoice gets nothing",
  async (owed) => {
    const first = await claimLied(owed);
    await owed.world.wallet.releasePayment(first, "paid");
    assert.equal((await owed.claim()).outcome, "claimed");
    await owed.clock.settle();
    await assertPaidOnce(owed, first);
    assert.equal(alarms(owed), 1);
    const text = await owed.clock.drive(owed.world.deps.metrics.registry.text("openmetrics"));
    assert.match(text, /^timmy_payouts_total\{outcome="contradicted"\} 1$/m);
    assert.match(text, /^timmy_payouts_under_way 0$/m);
  },
  { feeSats: 2 },
);

test("doubt: over HTTP the second claim learns the first hash, and others are told to wait for ten minutes", async (owed) => {
  const { jobId } = await owed.another();
  const claim = async () => {
    const { paymentRequest } = await payerInvoice(owed.world, 10);
    return await owed.call("POST", `/api/jobs/${jobId}/refund`, { invoice: paymentRequest });
  };
  owed.payFaults.push({ kind: "lie" });
  const failed = await claim();
  assert.deepEqual([failed.status, failed.body.error.code], [503, "payout_failed"]);
  const [hash] = await owed.sent();
  assert.ok(hash);
  await owed.world.wallet.releasePayment(hash, "paid");
  const { status, body } = await claim();
  assert.deepEqual([status, body.error.code, body.error.details.refundPaymentHash], [409, "refund_claimed", hash]);

  const other = await owed.another();
  const { paymentRequest } = await payerInvoice(owed.world, 10);
  const claimOther = () => owed.call("POST", `/api/jobs/${other.jobId}/refund`, { invoice: paymentRequest });
  const refused = await claimOther();
  assert.deepEqual([refused.status, refused.body.error.code], [503, "wallet_distrusted"]);
  assert.match(refused.body.error.message, /same claim again/);
  const wait = Number(refused.headers.get("retry-after"));
  assert.ok(wait > 590 && wait <= 600, `${wait}`);
  owed.clock.leap(wait * 1_000);
  assert.equal((await claimOther()).status, 200);
});

for (const [what, fault] of [["does not answer", "lose"], ["answers, and the answer is lost", "drop"]] as const) {
  test(`doubt: while the wallet ${what} about the first invoice, the second one is not paid`, async (owed) => {
    const first = await claimLied(owed);
    await owed.world.wallet.releasePayment(first, "paid");
    owed.walletFaults.lookupPayment = { kind: fault };
    await owed.claim();
    await minutes(owed, 5);
    assert.deepEqual([(await owed.refund()).state, await owed.sent()], ["paying", [first]]);
    owed.walletFaults.lookupPayment = undefined;
    await minutes(owed, 2);
    await assertPaidOnce(owed, first);
  });
}

test("doubt: a first invoice that is in flight again holds the second one back, and failed it lets it go", async (owed) => {
  const first = await claimLied(owed);
  await owed.world.wallet.releasePayment(first, "pending");
  await owed.claim();
  await minutes(owed, 3);
  assert.deepEqual([(await owed.refund()).state, await owed.sent()], ["paying", [first]]);
  await owed.world.wallet.releasePayment(first, "failed");
  await minutes(owed, 2);
  const { state, payout } = await owed.refund();
  assert.equal(state, "paid");
  assert.deepEqual(await owed.sent(), [payout?.paymentHash]);
  assert.notEqual(payout?.paymentHash, first);
  assert.equal(alarms(owed), 0);
});

for (const [name, which] of [["first", 0], ["second", 1]] as const) {
  test(`doubt: of two earlier invoices both are asked about, and the ${name} one was paid`, async (owed) => {
    const hashes: string[] = [];
    for (const i of [0, 1]) {
      owed.payFaults.push({ kind: i === which ? "lie" : "fail" });
      hashes.push((await owed.claim()).paymentHash);
      await owed.clock.settle();
    }
    assert.deepEqual((await owed.refund()).earlier.map(({ paymentHash }) => paymentHash), hashes);
    await owed.world.wallet.releasePayment(String(hashes[which]), "paid");
    await owed.claim();
    await owed.clock.settle();
    await assertPaidOnce(owed, String(hashes[which]));
  });
}

test("doubt: invoices that failed or never reached the wallet hold nothing back", async (owed) => {
  for (const kind of ["fail", "refuse"] as const) {
    owed.payFaults.push({ kind });
    await owed.claim();
    await owed.clock.settle();
  }
  const { paymentHash } = await owed.claim();
  await owed.clock.settle();
  await assertPaidOnce(owed, paymentHash);
  assert.equal(alarms(owed), 0);
});

test("doubt: a process that dies between the look and the payment looks again before it pays", async (owed) => {
  const first = await claimLied(owed);
  owed.payFaults.push({ kind: "delay", until: new Promise(() => {}) }); // the call that dies with its process
  await owed.claim();
  await owed.clock.settle();
  assert.equal((await owed.refund()).state, "paying");
  owed.world.kill();
  await owed.world.wallet.releasePayment(first, "paid");
  await owed.world.crash();
  await owed.clock.advance(DOUBT_MS / 2);
  assert.equal((await owed.refund()).state, "paying", "the dead process may have called");
  await minutes(owed, 3);
  await assertPaidOnce(owed, first);
});

test("doubt: what nobody claims again is asked about before it goes to the pool", async (owed) => {
  const first = await claimLied(owed);
  await owed.world.wallet.releasePayment(first, "paid");
  const before = await balance(owed.world.store, "pool");
  owed.clock.leap(30 * 86_400_000);
  await owed.clock.advance(2_000);
  await assertPaidOnce(owed, first);
  assert.equal(await balance(owed.world.store, "pool"), before);
  assert.deepEqual(await owed.world.rows(["task"]), []);
});

test("doubt: an unclaimed refund does not expire while the wallet is silent about an earlier invoice", async (owed) => {
  owed.payFaults.push({ kind: "fail" });
  await owed.claim();
  await owed.clock.settle();
  owed.walletFaults.lookupPayment = { kind: "lose" };
  owed.clock.leap(30 * 86_400_000);
  await minutes(owed, 3);
  assert.equal((await owed.refund()).state, "pending");
  owed.walletFaults.lookupPayment = undefined;
  await minutes(owed, 2);
  assert.equal((await owed.refund()).state, "expired");
});

test("doubt: a failure said within the ten minutes is not believed before they are over", async (owed) => {
  const other = await owed.another();
  owed.payFaults.push({ kind: "hold" });
  const held = await payee(owed.world);
  await owed.world.deps.payouts.claim(other.refundId, held);
  await owed.clock.settle();
  const first = await claimLied(owed);
  await owed.world.wallet.releasePayment(first, "paid");
  await owed.claim();
  await owed.clock.settle();
  const found = owed.clock.now();
  await owed.world.wallet.releasePayment(held.paymentHash, "failed");
  const state = async () => (await getRefund(owed.world.store, other.refundId))?.state;
  while (owed.clock.now() < found + DISTRUST_MS - MINUTE) {
    await minutes(owed, 1);
    assert.equal(await state(), "paying");
  }
  await minutes(owed, 6);
  assert.equal(await state(), "pending");
});

test("doubt: the same hash for another amount is not claimed with: the wallet knows one payment for each", async (owed) => {
  const first = await claimLied(owed);
  const invoice = { ...await payee(owed.world, 9), paymentHash: first };
  assert.deepEqual(await owed.world.deps.payouts.claim(owed.refundId, invoice), { outcome: "used" });
});
