import assert from "node:assert/strict";
import { sha256 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { systemClock } from "@/lib/clock.ts";
import { systemRandom } from "@/lib/ids.ts";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { rememberLastWord } from "./last-word.ts";
import { payment } from "./lightning.contract.ts";
import { createLnbitsWallet } from "./lnbits.ts";
import type { Wallet } from "./port.ts";
import { createSimulatedWallet } from "./simulated.ts";
import type { SimulatedFaults } from "./simulated-faults.ts";
import { startFakeLnbits } from "./testing/fake-lnbits.ts";
import { memoryStore } from "./testing/memory-store.ts";

const HASH = "ab".repeat(32);
const ASK = { amountSats: 100, memo: "test", expirySeconds: 600 };

/** A simulated wallet with 1,000 sats in it. */
async function setUp() {
  const clock = createFakeClock(Date.UTC(2026, 0, 1));
  const faults: SimulatedFaults = {};
  const seed = sha256(utf8ToBytes("a seed for tests"));
  const simulated = createSimulatedWallet({ store: memoryStore(), seed, clock, random: systemRandom, faults });
  const { wallet, lastError } = rememberLastWord(simulated, clock);
  const { paymentHash } = await wallet.createInvoice({ ...ASK, amountSats: 1_000 });
  assert.ok((await simulated.payInvoice(paymentHash)).ok);
  const theirs = async () => payment(await simulated.createExternalInvoice({ amountSats: 10 }), 10);
  return { clock, faults, wallet, lastError, theirs };
}

type Called = "createInvoice" | "lookupInvoice" | "balanceSats" | "pay" | "lookupPayment" | "listPayments";
type Parts = Awaited<ReturnType<typeof setUp>>;
const CALLS: Record<Called, (parts: Parts) => Promise<unknown>> = {
  createInvoice: ({ wallet }) => wallet.createInvoice(ASK),
  lookupInvoice: ({ wallet }) => wallet.lookupInvoice(HASH),
  balanceSats: ({ wallet }) => wallet.balanceSats(),
  pay: async ({ wallet, theirs }) => await wallet.pay(await theirs()),
  lookupPayment: ({ wallet }) => wallet.lookupPayment(HASH),
  listPayments: ({ wallet }) => wallet.listPayments(0),
};

for (const [name, call] of Object.entries(CALLS) as [Called, (parts: Parts) => Promise<unknown>][]) {
  Deno.test(`rememberLastWord: a lost ${name} is the last word until the wallet answers again`, async () => {
    const parts = await setUp();
    assert.equal(parts.lastError(), null);
    for (const kind of ["lose", "drop"] as const) {
      parts.faults[name] = { kind };
      await call(parts).catch(() => {});
      assert.equal(typeof parts.lastError(), "string", kind);
      parts.faults[name] = undefined;
      await call(parts);
      assert.equal(parts.lastError(), null, kind);
    }
  });
}

Deno.test("rememberLastWord: answers and errors go through as they are", async () => {
  const { wallet, faults, theirs } = await setUp();
  assert.deepEqual([wallet.name, wallet.simulated, wallet.prefix], ["simulated", true, "lnbcrt"]);
  assert.equal(await wallet.balanceSats(), 1_000);
  faults.createInvoice = { kind: "lose" };
  await assert.rejects(wallet.createInvoice(ASK), { name: "WalletError" });
  assert.equal((await wallet.pay(await theirs())).state, "paid");
});

Deno.test("rememberLastWord: a payment that failed, or that the wallet knows nothing of, is an answer", async () => {
  const { wallet, lastError, faults, theirs } = await setUp();
  for (const kind of ["refuse", "fail"] as const) {
    faults.pay = { kind };
    assert.equal((await wallet.pay(await theirs())).state, "failed", kind);
    assert.equal(lastError(), null, kind);
  }
  assert.equal((await wallet.lookupPayment(HASH)).state, "unknown");
  assert.equal(lastError(), null);
});

Deno.test("rememberLastWord: a wallet that receives says nothing of one that cannot pay, and the other way round", async () => {
  const { wallet, lastError, faults, theirs } = await setUp();
  faults.pay = { kind: "lose" };
  await wallet.pay(await theirs());
  await wallet.createInvoice(ASK);
  assert.equal(typeof lastError(), "string");
  faults.pay = undefined;
  faults.createInvoice = { kind: "lose" };
  await wallet.createInvoice(ASK).catch(() => {});
  await wallet.pay(await theirs());
  assert.equal(typeof lastError(), "string");
});

Deno.test("rememberLastWord: while nobody calls, being asked for the last word finds out that the wallet is back", async () => {
  const { wallet, lastError, faults, clock } = await setUp();
  faults.createInvoice = faults.balanceSats = { kind: "lose" };
  await wallet.createInvoice(ASK).catch(() => {});
  for (let i = 0; i < 5; i++) assert.equal(typeof lastError(), "string");
  await clock.settle();
  faults.balanceSats = undefined;
  assert.equal(typeof lastError(), "string", "asked a moment ago");
  await clock.settle();
  assert.equal(typeof lastError(), "string");
  await clock.advance(5_000);
  lastError();
  await clock.settle();
  assert.equal(lastError(), null);
});

Deno.test("rememberLastWord: an LNbits that is closed is noticed though no invoice is open and nobody calls", async () => {
  const server = startFakeLnbits();
  const lnbits = createLnbitsWallet({ url: server.url, invoiceKey: server.merchant.invoiceKey, clock: systemClock });
  const asked = Promise.withResolvers<void>();
  const inner: Wallet = {
    ...lnbits,
    balanceSats: () => lnbits.balanceSats().finally(() => setTimeout(asked.resolve, 0)),
  };
  const { wallet, lastError } = rememberLastWord(inner, systemClock);
  const stop = new AbortController();
  const connected = Promise.withResolvers<void>();
  const watching = wallet.watch(() => {}, stop.signal, () => connected.resolve());
  await connected.promise;
  assert.equal(lastError(), null);
  await server.close();
  await asked.promise;
  assert.match(lastError() ?? "", /LNbits could not be reached/);
  stop.abort();
  await watching;
});
