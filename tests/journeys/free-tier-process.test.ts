/** A key's way through the free tier over a real socket, with simulated money. */
import assert from "node:assert/strict";
import { freeTierJourney, type Payer, withFreeTier } from "../harness/free-tier-journey.ts";
import type { RunningProcess } from "../harness/process.ts";

/** The instance's own pretended payer, who has all the sats there are. */
const payerOf = (timmy: RunningProcess): Payer => ({
  async pay({ paymentHash }) {
    assert.equal((await timmy.call("POST", `/api/dev/stub/pay/${paymentHash}`)).status, 200);
  },
  invoice: async (amountSats) =>
    (await timmy.call("POST", "/api/dev/stub/invoice", { amountSats })).body.paymentRequest,
  balanceSats: () => Promise.resolve(null),
});

Deno.test("free tier: a key signs in, pays until established, is helped, is served free and others refill the pool, over a socket", () =>
  withFreeTier({}, payerOf, freeTierJourney));
