import assert from "node:assert/strict";
import {
  claim,
  DOUBT_MS,
  expireRefund,
  newRefund,
  payoutDoubtful,
  payoutFailed,
  payoutFeeLimit,
  payoutPaid,
  type Refund,
} from "./refunds.machine.ts";

const NOW = 1_700_000_000_000;
const DAY = 86_400_000;
const HASH = "ab".repeat(32);
const OTHER = "cd".repeat(32);

const owed = (part: Partial<Refund> = {}): Refund => ({
  v: 1,
  id: "r1",
  source: { kind: "job", handle: "h1" },
  sats: 50,
  state: "pending",
  createdAt: NOW,
  claimUntil: NOW + 30 * DAY,
  payout: null,
  paid: null,
  lastFailure: null,
  ...part,
});
const PAYOUT = { paymentHash: HASH, paymentRequest: "lnbcrt1", maxFeeSats: 10, claimedAt: NOW };
const paying = (doubtfulAt: number | null = null) => owed({ state: "paying", payout: { ...PAYOUT, doubtfulAt } });
const paid = owed({
  state: "paid",
  payout: { ...PAYOUT, doubtfulAt: null },
  paid: { at: NOW, preimage: "00", feeSats: 1 },
});
const expired = owed({ state: "expired" });

const make = (sats: number, dustSats = 1) =>
  newRefund({ id: "r1", source: { kind: "job", handle: "h1" }, sats, dustSats, claimDays: 30, now: NOW });

Deno.test("newRefund: is pending and can be claimed for the given days", () => assert.deepEqual(make(50), owed()));

Deno.test("newRefund: nothing, or less than dust, is not owed", () => {
  assert.equal(make(0), null);
  assert.equal(make(0, 0), null);
  assert.equal(make(4, 5), null);
  assert.equal(make(5, 5)?.sats, 5);
  assert.equal(make(1)?.sats, 1);
});

Deno.test("payoutFeeLimit: the larger of the given limit and 1 %, rounded up", () => {
  assert.deepEqual([1, 1_000, 1_001, 5_000].map((sats) => payoutFeeLimit(sats, 10)), [10, 10, 11, 50]);
  assert.equal(payoutFeeLimit(1, 0), 1);
});

Deno.test("claim: a pending refund is being paid to this invoice, and forgets why the last one failed", () => {
  assert.deepEqual(claim(owed({ lastFailure: "no route" }), PAYOUT), { outcome: "claimed", refund: paying() });
});
Deno.test("claim: one that is being paid, or was, names the invoice; one that expired says so", () => {
  const other = { ...PAYOUT, paymentHash: OTHER };
  assert.deepEqual(claim(paying(), other), { outcome: "taken", paymentHash: HASH });
  assert.deepEqual(claim(paying(), PAYOUT), { outcome: "taken", paymentHash: HASH });
  assert.deepEqual(claim(paid, other), { outcome: "taken", paymentHash: HASH });
  assert.deepEqual(claim(expired, other), { outcome: "expired" });
});

const SENT = { paymentHash: HASH, preimage: "11".repeat(32), feeSats: 2, now: NOW + 5 };
Deno.test("payoutPaid: the refund leaves by the wallet, its fee is the operator's", () => {
  const result = payoutPaid(paying(), SENT);
  assert.deepEqual(result?.refund, {
    ...paying(),
    state: "paid",
    paid: { at: NOW + 5, preimage: SENT.preimage, feeSats: 2 },
  });
  assert.deepEqual(result?.postings.map(({ id, from, to, sats }) => [id, from, to, sats]), [
    [`payout:${HASH}`, "refund:r1", "lightning", 50],
    [`payout-fee:${HASH}`, "fees:routing", "lightning", 2],
  ]);
});
Deno.test("payoutPaid: a payment that is not the one being made changes nothing", () => {
  for (const refund of [owed(), paid, expired]) assert.equal(payoutPaid(refund, SENT), null);
  assert.equal(payoutPaid(paying(), { ...SENT, paymentHash: OTHER }), null);
});

const failure = (now: number, doubtSince: number | null) => ({
  paymentHash: HASH,
  reason: "no route",
  now,
  doubtSince,
});
Deno.test("payoutFailed: with no other call in doubt the claim is open again, and says why it failed", () => {
  assert.deepEqual(payoutFailed(paying(NOW), failure(NOW, null)), {
    outcome: "reopened",
    refund: owed({ lastFailure: "no route" }),
  });
});
Deno.test("payoutFailed: while another call may still pay, it stays as it is and keeps that call's time", () => {
  for (const now of [NOW, NOW + DOUBT_MS - 1]) {
    assert.deepEqual(payoutFailed(paying(now), failure(now, NOW)), { outcome: "doubtful", refund: paying(NOW) });
  }
  assert.equal(payoutFailed(paying(), failure(NOW + DOUBT_MS, NOW))?.outcome, "reopened");
});
Deno.test("payoutFailed: a failure of another payment, or of one that is decided, changes nothing", () => {
  for (const refund of [owed(), paid, expired]) assert.equal(payoutFailed(refund, failure(NOW, null)), null);
  assert.equal(payoutFailed(paying(), { ...failure(NOW, null), paymentHash: OTHER }), null);
});

Deno.test("payoutDoubtful: remembers when, only for the payment being made", () => {
  assert.deepEqual(payoutDoubtful(paying(), HASH, NOW + 7), paying(NOW + 7));
  assert.equal(payoutDoubtful(paying(), OTHER, NOW), null);
  for (const refund of [owed(), paid, expired]) assert.equal(payoutDoubtful(refund, HASH, NOW), null);
});

Deno.test("expireRefund: a pending one ends at its time, not before, and its sats go to the pool", () => {
  assert.deepEqual(expireRefund(owed(), NOW + 30 * DAY - 1), { outcome: "wait" });
  const result = expireRefund(owed(), NOW + 30 * DAY);
  assert.ok(result.outcome === "expired");
  assert.deepEqual(result.refund, expired);
  assert.deepEqual(result.postings.map(({ from, to, sats }) => [from, to, sats]), [["refund:r1", "pool", 50]]);
});
Deno.test("expireRefund: one that is being paid waits however late it is, one that is decided is over", () => {
  assert.deepEqual(expireRefund(paying(), NOW + 99 * DAY), { outcome: "wait" });
  assert.deepEqual(expireRefund(paid, NOW + 99 * DAY), { outcome: "over" });
  assert.deepEqual(expireRefund(expired, NOW + 99 * DAY), { outcome: "over" });
});
