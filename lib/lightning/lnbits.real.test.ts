/**
 * The contract against a real LNbits. Needs TIMMY_TEST_LNBITS_URL, TIMMY_TEST_LNBITS_INVOICE_KEY and
 * TIMMY_TEST_LNBITS_ADMIN_KEY (one wallet, which the tests fill and empty) and TIMMY_TEST_LNBITS_PAYER_KEY, the admin key
 * of another wallet on the same server that holds a few thousand sats. Without them the tests are ignored.
 */
import assert from "node:assert/strict";
import { systemClock } from "@/lib/clock.ts";
import { decodeInvoice } from "./bolt11.ts";
import { payment, walletContract, type WalletHarness } from "./lightning.contract.ts";
import { createLnbitsWallet } from "./lnbits.ts";
import { WalletError } from "./port.ts";

const url = Deno.env.get("TIMMY_TEST_LNBITS_URL");
const invoiceKey = Deno.env.get("TIMMY_TEST_LNBITS_INVOICE_KEY");
const adminKey = Deno.env.get("TIMMY_TEST_LNBITS_ADMIN_KEY");
const payerKey = Deno.env.get("TIMMY_TEST_LNBITS_PAYER_KEY");
const ignore = !(url && invoiceKey && adminKey && payerKey);
const name = ignore ? "real LNbits (set TIMMY_TEST_LNBITS_* to run)" : "real LNbits";

function harness(): WalletHarness & { payer: WalletHarness["wallet"]; address: string } {
  if (!(url && invoiceKey && adminKey && payerKey)) throw new Error("TIMMY_TEST_LNBITS_* is not set");
  let losing = false;
  /** Lets LNbits do what it is asked, and loses the answer when a test wants that. */
  const losingFetch: typeof fetch = async (...request) => {
    const response = await fetch(...request);
    if (!losing || request[1]?.method !== "POST") return response;
    losing = false;
    await response.body?.cancel();
    throw new TypeError("connection reset");
  };
  const open = () => createLnbitsWallet({ url, invoiceKey, adminKey, clock: systemClock, fetch: losingFetch });
  const payer = createLnbitsWallet({ url, invoiceKey: payerKey, adminKey: payerKey, clock: systemClock });
  return {
    address: url,
    payer,
    wallet: open(),
    now: Date.now,
    async receive(invoice) {
      const amountSats = decodeInvoice(invoice.paymentRequest).amountSats ?? assert.fail();
      const outcome = await payer.pay(payment(invoice, amountSats));
      return outcome.state === "paid" ? outcome.preimage : assert.fail(JSON.stringify(outcome));
    },
    theirInvoice: (amountSats) => payer.createInvoice({ amountSats, memo: "refund", expirySeconds: 600 }),
    loseNextAnswer: () => losing = true,
    reopen: open,
    close: () => Promise.resolve(),
  };
}

walletContract(name, harness, { ignore });

Deno.test(`${name}: a wrong key is an error for good, never the truth`, { ignore }, async () => {
  const { wallet, receive, address } = harness();
  const invoice = await wallet.createInvoice({ amountSats: 3, memo: "wrong key", expirySeconds: 600 });
  await receive(invoice);
  const stranger = createLnbitsWallet({ url: address, invoiceKey: "wrong", adminKey: "wrong", clock: systemClock });
  const final = (error: unknown) => error instanceof WalletError && !error.retryable;
  await assert.rejects(stranger.lookupInvoice(invoice.paymentHash), final);
  await assert.rejects(stranger.balanceSats(), final);
  await assert.rejects(stranger.createInvoice({ amountSats: 3, memo: "", expirySeconds: 600 }), final);
});

Deno.test(`${name}: an own invoice that this wallet paid is settled`, { ignore }, async () => {
  const { wallet, receive } = harness();
  await receive(await wallet.createInvoice({ amountSats: 10, memo: "funds", expirySeconds: 600 }));
  const own = await wallet.createInvoice({ amountSats: 5, memo: "to myself", expirySeconds: 600 });
  assert.equal((await wallet.pay(payment(own, 5))).state, "paid");
  assert.deepEqual(await wallet.lookupInvoice(own.paymentHash), { state: "settled", paidSats: 5 });
});

Deno.test(`${name}: an invoice somebody else has paid fails`, { ignore }, async () => {
  const { wallet, receive, theirInvoice, payer } = harness();
  await receive(await wallet.createInvoice({ amountSats: 20, memo: "funds", expirySeconds: 600 }));
  const theirs = await theirInvoice(7);
  assert.equal((await payer.pay(payment(theirs, 7))).state, "paid");
  const before = await wallet.balanceSats();
  assert.equal((await wallet.pay(payment(theirs, 7))).state, "failed");
  assert.equal(await wallet.balanceSats(), before);
});

Deno.test(`${name}: a fee limit below its reserve sends nothing`, { ignore }, async () => {
  const { wallet, receive, payer } = harness();
  await receive(await wallet.createInvoice({ amountSats: 50, memo: "fees", expirySeconds: 600 }));
  const invoice = await payer.createInvoice({ amountSats: 20, memo: "fees", expirySeconds: 600 });
  const before = await wallet.balanceSats();
  // LNbits' own default reserve is 2 sats, or 1 %.
  const refused = await wallet.pay({ ...payment(invoice, 20), maxFeeSats: 1 });
  assert.equal(refused.state, "failed", JSON.stringify(refused));
  assert.equal(await wallet.balanceSats(), before);
  assert.equal((await wallet.pay({ ...payment(invoice, 20), maxFeeSats: 2 })).state, "paid");
});
