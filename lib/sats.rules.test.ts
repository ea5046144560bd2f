import assert from "node:assert/strict";
import { assertSats, MAX_SATS } from "./sats.rules.ts";

Deno.test("assertSats: takes whole amounts from nothing to all there is", () => {
  for (const n of [0, 1, 129, MAX_SATS]) assert.doesNotThrow(() => assertSats(n, "x"));
});

Deno.test("assertSats: refuses fractions, negatives, NaN, infinities and more than there is, naming the amount", () => {
  for (const n of [-1, 0.5, 1.0000001, NaN, Infinity, -Infinity, MAX_SATS + 1]) {
    assert.throws(() => assertSats(n, "paidSats"), { name: "RangeError", message: /^paidSats must be a whole number/ });
  }
});
