/**
 * A key's way through the free tier over LNbits with the real program as a process: against a real server when
 * TIMMY_TEST_LNBITS_* is set (see lib/lightning/lnbits.real.test.ts), and always against the local one that speaks like it.
 */
import assert from "node:assert/strict";
import { freeTierJourney, type Payer, withFreeTier } from "../harness/free-tier-journey.ts";
import { type Bank, bankEnv, bankPayer, localBank, realBank } from "../harness/lnbits-bank.ts";

function payerOf(bank: Bank): Payer {
  const wallet = bankPayer(bank);
  return {
    async pay(invoice) {
      const paid = await wallet.pay({ ...invoice, maxFeeSats: 10, timeoutMs: 30_000 });
      assert.equal(paid.state, "paid", JSON.stringify(paid));
    },
    invoice: async (amountSats) =>
      (await wallet.createInvoice({ amountSats, memo: "refund", expirySeconds: 600 })).paymentRequest,
    balanceSats: () => wallet.balanceSats(),
  };
}

const real = realBank();
const banks: [string, boolean, () => Bank][] = [
  ["local LNbits", false, localBank],
  [real ? "real LNbits" : "real LNbits (set TIMMY_TEST_LNBITS_* to run)", real === null, () => realBank()!],
];

for (const [name, ignore, open] of banks) {
  Deno.test(
    `${name}: sign in, pay until established, be helped, be served free, refill the pool: books and wallets agree to the satoshi`,
    { ignore },
    async () => {
      const bank = open();
      try {
        await withFreeTier(bankEnv(bank), () => payerOf(bank), freeTierJourney);
      } finally {
        await bank.close();
      }
    },
  );
}
