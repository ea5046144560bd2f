import assert from "node:assert/strict";
import fc from "fast-check";
import { feeCredit, maxFeeReserve, reserveFor, splitFee } from "./fees.rules.ts";

const EARNED = { maxFeeSats: 10, chargesSats: 100, modelCostSats: 70, poolShareSats: 10, feesSats: 0 };

Deno.test("feeCredit: what was earned, up to the operator's limit", () => {
  assert.equal(feeCredit(EARNED), 10);
  assert.equal(feeCredit({ ...EARNED, modelCostSats: 85 }), 5);
  assert.equal(feeCredit({ ...EARNED, poolShareSats: 25 }), 5);
  assert.equal(feeCredit({ ...EARNED, feesSats: 15 }), 5);
  assert.equal(feeCredit({ ...EARNED, maxFeeSats: 0 }), 0);
});
Deno.test("feeCredit: nothing earned, nothing paid", () => {
  assert.equal(feeCredit({ ...EARNED, chargesSats: 0, modelCostSats: 0, poolShareSats: 0 }), 0);
  assert.equal(feeCredit({ ...EARNED, modelCostSats: 200 }), 0);
});
Deno.test("feeCredit: over a life of payouts the fees never exceed what was earned", () => {
  fc.assert(fc.property(fc.nat(200), fc.nat(200), fc.array(fc.nat(30), { maxLength: 20 }), (charges, cost, asks) => {
    let feesSats = 0;
    for (const ask of asks) {
      const credit = feeCredit({ ...EARNED, chargesSats: charges, modelCostSats: cost, poolShareSats: 0, feesSats });
      feesSats += Math.min(ask, credit);
    }
    assert.ok(feesSats <= Math.max(0, charges - cost));
  }));
});

Deno.test("maxFeeReserve: the larger of 10 sats and 5 %, and something is always left to pay", () => {
  assert.deepEqual([0, 1, 2, 10, 11, 200, 219, 220, 10_000].map(maxFeeReserve), [0, 0, 1, 9, 10, 10, 10, 11, 500]);
});
Deno.test("reserveFor: what the credit does not pay, if that may be left", () => {
  assert.equal(reserveFor(100, 10, 10), 0);
  assert.equal(reserveFor(100, 0, 10), 10);
  assert.equal(reserveFor(100, 0, 11), null);
  assert.equal(reserveFor(100, 3, 13), 10);
});
Deno.test("splitFee: the reserve first", () => {
  assert.deepEqual(splitFee(10, 4), { fromReserve: 4, fromOperator: 0, unused: 6 });
  assert.deepEqual(splitFee(4, 10), { fromReserve: 4, fromOperator: 6, unused: 0 });
});
