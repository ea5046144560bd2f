import assert from "node:assert/strict";
import fc from "fast-check";
import { maxFeeReserve } from "./fees.rules.ts";
import {
  addressAskSats,
  addressFailed,
  DOUBT_MS,
  earlierPaid,
  expireRefund,
  newRefund,
  nextAddressTry,
  payoutClaimed,
  payoutDoubtful,
  payoutFailed,
  payoutFeeLimit,
  payoutFound,
  payoutPaid,
  recoveredRefund,
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

// ---- to a Lightning address ------------------------------------------------------------------------------------------

const ADDRESS = "payer@example.com";
const MINUTE = 60_000;
const left = (part: Partial<Refund> = {}) => owed({ address: ADDRESS, ...part });
const tried = (at: number, ok = false, reason: string | null = "why") =>
  ({ at, way: "lightning_address", ok, reason }) as const;
const payingTo = (amountSats = 50) =>
  left({ state: "paying", payout: { ...PAYOUT, amountSats, way: "lightning_address", doubtfulAt: null } });

Deno.test("payoutClaimed: how the invoice came is kept with the payout", () => {
  const claimed = payoutClaimed(left(), { ...PAYOUT, way: "lightning_address" });
  assert.deepEqual(claimed, { outcome: "claimed", refund: payingTo() });
});

Deno.test("payoutPaid and payoutFailed: a payout with an address is one of the tries, one by hand is none", () => {
  assert.deepEqual(payoutPaid(payingTo(), SENT)?.refund.attempts, [tried(SENT.now, true, null)]);
  assert.deepEqual(payoutFailed(payingTo(), failure(NOW, null))?.refund.attempts, [tried(NOW, false, "no route")]);
  const doubtful = payoutFailed(payingTo(), failure(NOW, NOW));
  assert.deepEqual([doubtful?.outcome, doubtful?.refund.attempts], ["doubtful", []], "its outcome is not known yet");
  const byHand = left({ state: "paying", payout: { ...PAYOUT, doubtfulAt: null } });
  assert.deepEqual(payoutPaid(byHand, SENT)?.refund.attempts, []);
  assert.deepEqual(payoutFailed(byHand, failure(NOW, null))?.refund.attempts, []);
});

Deno.test("addressFailed: is remembered while the refund waits; the latest twenty are", () => {
  assert.deepEqual(addressFailed(left(), "why", NOW), left({ attempts: [tried(NOW)] }));
  for (const refund of [payingTo(), { ...paid, address: ADDRESS }, { ...expired, address: ADDRESS }]) {
    assert.equal(addressFailed(refund, "why", NOW), null);
  }
  const many = Array.from({ length: 25 }).reduce<Refund>(
    (refund, _, i) => addressFailed(refund, "why", NOW + i)!,
    left(),
  );
  assert.deepEqual(many.attempts.map(({ at }) => at - NOW), Array.from({ length: 20 }, (_, i) => i + 5));
});

Deno.test("addressAskSats: all, until an address found no route for all; then less by the most that may be left", () => {
  const after = (reason: string, refund = payingTo()) =>
    payoutFailed(refund, { ...failure(NOW, null), reason })!.refund;
  assert.equal(addressAskSats(left()), 50);
  const noRoute = [
    "no route",
    "the fee is above 0 sats",
    "FAILURE_REASON_NO_ROUTE",
    "Payment failed: no_route",
    "Ran out of routes to try",
    "unable to find a path to destination",
    "LNbits would allow a fee of 2 sats, more than 0: lower LNBITS_RESERVE_FEE_MIN and _PERCENT there",
    "fee_insufficient",
  ];
  for (const reason of noRoute) assert.equal(addressAskSats(after(reason)), 50 - maxFeeReserve(50), reason);
  const others = [
    "the balance is too low",
    "FAILURE_REASON_INSUFFICIENT_BALANCE",
    "You must reserve at least (2  sat) to cover potential routing fees.",
    "the invoice has expired",
    "FAILURE_REASON_INCORRECT_PAYMENT_DETAILS",
  ];
  for (const reason of others) assert.equal(addressAskSats(after(reason)), 50, reason);
  const byHand = left({ state: "paying", payout: { ...PAYOUT, doubtfulAt: null } });
  assert.equal(addressAskSats(after("no route", byHand)), 50, "another payee's route says nothing of this one's");
  assert.equal(addressAskSats(after("no route", payingTo(45))), 50, "all was never tried");
  const twice = {
    ...after("no route"),
    state: "paying" as const,
    payout: { ...payingTo(40).payout!, paymentHash: OTHER },
  };
  const again = payoutFailed(twice, { ...failure(NOW, null), paymentHash: OTHER })!.refund;
  assert.equal(addressAskSats(again), 40, "and stays so");
});

Deno.test("nextAddressTry: at once, then at growing distances for a day, then not at all", () => {
  let refund = left();
  const times: number[] = [];
  for (let at: number | null = nextAddressTry(refund, NOW); at !== null; at = nextAddressTry(refund, at)) {
    times.push((at - NOW) / MINUTE);
    refund = addressFailed(refund, "why", at)!;
  }
  assert.deepEqual(times, [0, 1, 6, 21, 81, 261, 441, 621, 801, 981, 1_161, 1_341]);
  assert.equal(nextAddressTry(left({ attempts: [tried(NOW)] }), NOW + DAY - MINUTE), NOW + DAY);
  assert.equal(nextAddressTry(left({ attempts: [tried(NOW)] }), NOW + DAY - MINUTE + 1), null);
  assert.equal(nextAddressTry(owed(), NOW), null, "without an address there is nothing to try");
});

// ---- after a restore ------------------------------------------------------------------------------------------------

const LEFT = { paymentHash: HASH, amountSats: 50, at: NOW - 5, now: NOW };

Deno.test("payoutFound: a pending refund is being paid with the payment that left, and the wallet's word ends it", () => {
  const step = payoutFound(owed({ lastFailure: "no route" }), LEFT);
  assert.ok(step.outcome === "found");
  const { state, payout, lastFailure, earlier } = step.refund;
  assert.deepEqual([state, lastFailure, earlier], ["paying", null, []]);
  assert.deepEqual(payout, { ...PAYOUT, paymentRequest: "", claimedAt: NOW - 5, doubtfulAt: NOW });
  const after = payoutPaid(step.refund, { paymentHash: HASH, preimage: "00", feeSats: 1, now: NOW });
  assert.deepEqual([after?.refund.state, after?.postings[0]?.sats], ["paid", 50]);
});

Deno.test("payoutFound: what the record was paying comes to the earlier ones, and none stands there twice", () => {
  const step = payoutFound({ ...paying(), earlier: [FAILED, { ...FAILED, paymentHash: OTHER }] }, {
    ...LEFT,
    paymentHash: OTHER,
  });
  assert.ok(step.outcome === "found");
  assert.equal(step.refund.payout?.paymentHash, OTHER);
  assert.deepEqual(step.refund.earlier.map(({ paymentHash }) => paymentHash), [HASH]);
});

Deno.test("payoutFound: the payment that the record has changes nothing, paying or paid", () => {
  for (const refund of [paying(), paid]) assert.deepEqual(payoutFound(refund, LEFT), { outcome: "known" });
});

Deno.test("payoutFound: a refund that is over, and an amount that it cannot be claimed with, do not fit", () => {
  const least = 50 - maxFeeReserve(50);
  const over = [{ ...paid, payout: { ...PAYOUT, paymentHash: OTHER, doubtfulAt: null } }, owed({ state: "expired" })];
  for (const refund of over) assert.deepEqual(payoutFound(refund, LEFT), { outcome: "unfit" });
  for (const [amountSats, outcome] of [[51, "unfit"], [50, "found"], [least, "found"], [least - 1, "unfit"]] as const) {
    const step = payoutFound(owed(), { ...LEFT, amountSats });
    assert.equal(step.outcome, outcome, `${amountSats} sats`);
    if (step.outcome === "found") assert.equal(step.refund.payout?.maxFeeSats, 10 + 50 - amountSats);
  }
});

Deno.test("recoveredRefund: all that came in is owed, named by its hash, without any fee of the operator's", () => {
  const { refund, postings } = recoveredRefund({ paymentHash: HASH, sats: 70, at: NOW - DAY }, {
    claimDays: 30,
    now: NOW,
  });
  assert.deepEqual([refund.id, refund.source], [HASH, { kind: "recovered", handle: HASH }]);
  assert.deepEqual([refund.sats, refund.feeCreditSats, refund.state], [70, 0, "pending"]);
  assert.deepEqual([refund.createdAt, refund.claimUntil], [NOW - DAY, NOW + 30 * DAY]);
  assert.deepEqual(postings, [
    { id: `settle:${HASH}`, from: "lightning", to: `refund:${HASH}`, sats: 70, kind: "recovered", ref: HASH },
  ]);
  const ahead = recoveredRefund({ paymentHash: HASH, sats: 70, at: NOW + DAY }, { claimDays: 30, now: NOW });
  assert.equal(ahead.refund.createdAt, NOW, "a wallet's clock that is ahead does not put it into the future");
});
