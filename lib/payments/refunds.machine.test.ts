import assert from "node:assert/strict";
import fc from "fast-check";
import { maxFeeReserve } from "./fees.rules.ts";
import {
  DOUBT_MS,
  earlierPaid,
  expireRefund,
  newRefund,
  payoutClaimed,
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
  owner: null,
  sats: 50,
  feeCreditSats: 10,
  state: "pending",
  createdAt: NOW,
  claimUntil: NOW + 30 * DAY,
  payout: null,
  earlier: [],
  paid: null,
  lastFailure: null,
  address: null,
  attempts: [],
  ...part,
});
const PAYOUT = { paymentHash: HASH, paymentRequest: "lnbcrt1", amountSats: 50, maxFeeSats: 10, claimedAt: NOW };
const { paymentRequest: _, ...FAILED } = PAYOUT;
const paying = (doubtfulAt: number | null = null) => owed({ state: "paying", payout: { ...PAYOUT, doubtfulAt } });
const paid = owed({
  state: "paid",
  payout: { ...PAYOUT, doubtfulAt: null },
  paid: { at: NOW, preimage: "00", feeSats: 1 },
});
const expired = owed({ state: "expired" });

const make = (sats: number, dustSats = 1) =>
  newRefund({
    id: "r1",
    source: { kind: "job", handle: "h1" },
    owner: null,
    sats,
    feeCreditSats: 10,
    address: null,
    dustSats,
    claimDays: 30,
    now: NOW,
  });

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

Deno.test("payoutClaimed: a pending refund is being paid to this invoice, and forgets why the last one failed", () => {
  assert.deepEqual(payoutClaimed(owed({ lastFailure: "no route" }), PAYOUT), { outcome: "claimed", refund: paying() });
});
Deno.test("payoutClaimed: one that is being paid, or was, names the invoice; one that expired says so", () => {
  const other = { ...PAYOUT, paymentHash: OTHER };
  assert.deepEqual(payoutClaimed(paying(), other), { outcome: "taken", paymentHash: HASH });
  assert.deepEqual(payoutClaimed(paying(), PAYOUT), { outcome: "taken", paymentHash: HASH });
  assert.deepEqual(payoutClaimed(paid, other), { outcome: "taken", paymentHash: HASH });
  assert.deepEqual(payoutClaimed(expired, other), { outcome: "expired" });
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
    [`payout-reserve:${HASH}`, "refund:r1", "lightning", 0],
    [`payout-fee:${HASH}`, "fees:routing", "lightning", 2],
    [`payout-unused:${HASH}`, "refund:r1", "pool", 0],
  ]);
});
Deno.test("payoutPaid: what the invoice leaves pays the fee first, and what that does not use goes to the pool", () => {
  const moved = (amountSats: number, feeSats: number) => {
    const claimed = payoutClaimed(owed(), { ...PAYOUT, amountSats });
    assert.ok(claimed.outcome === "claimed");
    assert.equal(claimed.refund.payout?.maxFeeSats, 10 + 50 - amountSats);
    return payoutPaid(claimed.refund, { ...SENT, feeSats })?.postings.map(({ sats }) => sats);
  };
  assert.deepEqual(moved(45, 2), [45, 2, 0, 3]);
  assert.deepEqual(moved(45, 5), [45, 5, 0, 0]);
  assert.deepEqual(moved(45, 9), [45, 5, 4, 0]);
  for (const amountSats of [51, 39]) assert.throws(() => moved(amountSats, 0), RangeError);
});
Deno.test("payoutPaid: for any reserve and fee the refund's account is emptied, and the operator pays no more than his credit", () => {
  fc.assert(
    fc.property(
      fc.nat(100_000),
      fc.nat(50),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.nat(),
      (sats, feeCreditSats, share, fee) => {
        if (sats === 0) return;
        const refund = owed({ sats, feeCreditSats });
        const reserve = Math.round(maxFeeReserve(sats) * share);
        const claimed = payoutClaimed(refund, { ...PAYOUT, amountSats: sats - reserve });
        assert.ok(claimed.outcome === "claimed");
        const feeSats = fee % (feeCreditSats + reserve + 1);
        const postings = payoutPaid(claimed.refund, { ...SENT, feeSats })?.postings ?? [];
        const sum = (pick: (posting: typeof postings[number]) => boolean) =>
          postings.filter(pick).reduce((total, posting) => total + posting.sats, 0);
        assert.equal(sum(({ from }) => from === "refund:r1"), sats);
        assert.equal(
          sum(({ to }) => to === "lightning"),
          sats - reserve + feeSats,
        );
        assert.ok(sum(({ from }) => from === "fees:routing") <= feeCreditSats);
        assert.ok(postings.every((posting) => posting.sats >= 0));
      },
    ),
  );
});

Deno.test("payoutClaimed: one invoice more than can be asked about is not taken, one sent before is", () => {
  const earlier = Array.from({ length: 50 }, (_, i) => ({ ...FAILED, paymentHash: `${i}` }));
  assert.deepEqual(payoutClaimed(owed({ earlier }), PAYOUT), { outcome: "too_many" });
  assert.equal(payoutClaimed(owed({ earlier }), { ...PAYOUT, paymentHash: "7" }).outcome, "claimed");
  assert.equal(payoutClaimed(owed({ earlier: earlier.slice(1) }), PAYOUT).outcome, "claimed");
});

Deno.test("earlierPaid: a payout that was called failed ends the refund, whether another one is planned or none", () => {
  const earlier = [{ ...FAILED, paymentHash: OTHER }, { ...FAILED, amountSats: 45 }];
  for (const refund of [owed({ earlier }), { ...paying(), earlier }]) {
    const result = earlierPaid(refund, SENT);
    assert.deepEqual([result?.refund.state, result?.refund.payout?.paymentHash], ["paid", HASH]);
    assert.deepEqual(result?.postings.map(({ sats }) => sats), [45, 2, 0, 3], "what that invoice was for");
  }
  assert.equal(earlierPaid(owed({ earlier }), { ...SENT, paymentHash: "ef" }), null);
  for (const refund of [paid, expired]) assert.equal(earlierPaid({ ...refund, earlier }, SENT), null);
});
Deno.test("payoutFailed: a hash that failed twice is one of the earlier ones once", () => {
  const again = { ...paying(), earlier: [FAILED, { ...FAILED, paymentHash: OTHER }] };
  const result = payoutFailed(again, failure(NOW, null));
  assert.deepEqual(result?.refund.earlier.map(({ paymentHash }) => paymentHash), [OTHER, HASH]);
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
    refund: owed({ lastFailure: "no route", earlier: [FAILED] }),
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
