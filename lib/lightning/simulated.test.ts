import assert from "node:assert/strict";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { systemClock } from "@/lib/clock.ts";
import { createStore } from "@/lib/store/store.ts";
import { openDenoEngine } from "@/lib/store/engines/deno.ts";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { decodeInvoice, encodeInvoice } from "./bolt11.ts";
import { hashOf, payment, strange, walletContract, type WalletHarness } from "./lightning.contract.ts";
import { WalletError } from "./port.ts";
import { createSimulatedWallet } from "./simulated.ts";
import type { SimStore } from "./simulated-rows.ts";
import type { SimulatedFaults } from "./simulated-faults.ts";
import { memoryStore } from "./testing/memory-store.ts";

const START = Date.UTC(2026, 0, 1);
const SEED = sha256(utf8ToBytes("a seed for tests"));

function countingRandom(): { bytes(length: number): Uint8Array } {
  let count = 0;
  return { bytes: (length) => sha256(utf8ToBytes(`${count++}`)).slice(0, length) };
}

function setUp(options: { feeSats?: number; store?: SimStore } = {}) {
  const clock = createFakeClock(START);
  const store = memoryStore();
  const faults: SimulatedFaults = {};
  const common = { seed: SEED, clock, random: countingRandom(), store, ...options };
  const wallet = createSimulatedWallet({ ...common, faults });
  const create = (amountSats = 100) => wallet.createInvoice({ amountSats, memo: "test", expirySeconds: 600 });
  const fund = async (sats: number) => {
    assert.ok((await wallet.payInvoice((await create(sats)).paymentHash)).ok);
  };
  return { clock, store, faults, wallet, create, fund, reopen: () => createSimulatedWallet(common) };
}

function harnessOf(
  { wallet, clock, faults, reopen }: Omit<ReturnType<typeof setUp>, "store" | "create" | "fund">,
  close: () => Promise<void>,
): WalletHarness {
  return {
    wallet,
    now: clock.now,
    async receive({ paymentHash }) {
      const result = await wallet.payInvoice(paymentHash);
      return result.ok ? result.preimage : assert.fail(result.reason);
    },
    theirInvoice: (amountSats) => wallet.createExternalInvoice({ amountSats }),
    loseNextAnswer: (call) => faults[call] = once({ kind: "drop" }),
    reopen,
    close,
  };
}

walletContract("simulated wallet", () => harnessOf(setUp(), () => Promise.resolve()));

walletContract("simulated wallet on Deno KV", async () => {
  const engine = await openDenoEngine(":memory:", { exclusive: true });
  const store = await createStore({ engine, clock: systemClock, random: countingRandom() });
  return harnessOf(setUp({ store }), () => store.close());
});

Deno.test("createSimulatedWallet: refuses a seed that is too short", () => {
  const options = { store: memoryStore(), clock: createFakeClock(START), random: countingRandom() };
  assert.throws(() => createSimulatedWallet({ ...options, seed: new Uint8Array(16) }), /32 bytes/);
});

Deno.test("simulated wallet: the store holds no preimage and no key", async () => {
  const { wallet, store, create } = setUp();
  const invoice = await create();
  const result = await wallet.payInvoice(invoice.paymentHash);
  const theirs = await wallet.createExternalInvoice({ amountSats: 40 });
  const paid = await wallet.pay(payment(theirs, 40));
  assert.ok(result.ok && paid.state === "paid");
  const everything = [...store.rows].flat().join("\n");
  assert.ok(everything.includes(invoice.paymentHash) && everything.includes(theirs.paymentHash));
  for (const secret of [result.preimage, paid.preimage, bytesToHex(SEED)]) assert.ok(!everything.includes(secret));
});

Deno.test("simulated wallet: another seed on the same store knows the rows but not the preimages", async () => {
  const { wallet, store, create } = setUp();
  const { paymentHash } = await create();
  const clock = createFakeClock(START);
  const other = createSimulatedWallet({ store, seed: sha256(SEED), clock, random: countingRandom() });
  const guess = await other.payInvoice(paymentHash);
  assert.ok(guess.ok && hashOf(guess.preimage) !== paymentHash);
  assert.deepEqual(await wallet.payInvoice(paymentHash), { ok: false, reason: "already-paid" });
});

Deno.test("payInvoice: says why an invoice cannot be paid", async () => {
  const { wallet, clock, create } = setUp();
  assert.deepEqual(await wallet.payInvoice("00".repeat(32)), { ok: false, reason: "not-found" });
  assert.deepEqual(await wallet.payInvoice("nonsense"), { ok: false, reason: "not-found" });
  const theirs = await wallet.createExternalInvoice({ amountSats: 5 });
  assert.deepEqual(await wallet.payInvoice(theirs.paymentHash), { ok: false, reason: "not-found" });
  const { paymentHash } = await create();
  assert.equal((await wallet.payInvoice(paymentHash)).ok, true);
  assert.deepEqual(await wallet.payInvoice(paymentHash), { ok: false, reason: "already-paid" });
  assert.equal(await wallet.balanceSats(), 100);
  const late = await create();
  await clock.advance(600_000);
  assert.deepEqual(await wallet.lookupInvoice(late.paymentHash), { state: "expired" });
  assert.deepEqual(await wallet.payInvoice(late.paymentHash), { ok: false, reason: "expired" });
  assert.equal((await wallet.payInvoice(late.paymentHash, { late: true })).ok, true);
  assert.deepEqual(await wallet.lookupInvoice(late.paymentHash), { state: "settled", paidSats: 100 });
  assert.equal(await wallet.balanceSats(), 200);
});

Deno.test("payInvoice: fifty payers at once settle an invoice once", async () => {
  const { wallet, create } = setUp();
  const { paymentHash } = await create();
  const results = await Promise.all(Array.from({ length: 50 }, () => wallet.payInvoice(paymentHash)));
  assert.equal(results.filter(({ ok }) => ok).length, 1);
  assert.equal(await wallet.balanceSats(), 100);
});

Deno.test("simulated wallet: its own and the payer's invoices come from different nodes", async () => {
  const { wallet, create } = setUp();
  const own = decodeInvoice((await create()).paymentRequest);
  const theirs = decodeInvoice((await wallet.createExternalInvoice({ amountSats: 5 })).paymentRequest);
  assert.notEqual(own.payee, theirs.payee);
  assert.deepEqual([own.prefix, theirs.prefix], ["lnbcrt", "lnbcrt"]);
});

Deno.test("pay: an own invoice is refused and stays open", async () => {
  const { wallet, create, fund } = setUp();
  await fund(500);
  const own = await create();
  assert.equal((await wallet.pay(payment(own, 100))).state, "failed");
  assert.deepEqual(await wallet.lookupInvoice(own.paymentHash), { state: "open" });
  // The same hash in an invoice of another node: paying it would need a preimage only we have.
  const copy = encodeInvoice({
    prefix: "lnbcrt",
    amountMsat: 100_000,
    paymentHash: own.paymentHash,
    paymentSecret: "22".repeat(32),
    memo: "",
    createdAtSeconds: START / 1000,
    expirySeconds: 60,
  }, new Uint8Array(32).fill(3));
  assert.equal((await wallet.pay(payment({ ...own, paymentRequest: copy }, 100))).state, "failed");
});

Deno.test("pay: an own invoice is recognised by its node even when the store has lost its row", async () => {
  const before = setUp();
  const own = await before.create();
  const { wallet, fund } = setUp();
  await fund(500);
  const forgotten = await before.wallet.createInvoice({ amountSats: 50, memo: "", expirySeconds: 600 });
  assert.notEqual(forgotten.paymentHash, own.paymentHash);
  assert.deepEqual(await wallet.lookupInvoice(forgotten.paymentHash), { state: "unknown" });
  assert.equal((await wallet.pay(payment(forgotten, 50))).state, "failed");
});

Deno.test("pay: a stranger's invoice is paid with a made-up preimage, the same each time", async () => {
  const { wallet, fund } = setUp();
  await fund(50);
  const invoice = strange({ prefix: "lnbcrt", amountMsat: 30_000, at: START });
  const outcome = await wallet.pay(payment(invoice, 30));
  assert.ok(outcome.state === "paid" && hashOf(outcome.preimage) !== invoice.paymentHash);
  assert.deepEqual(await wallet.lookupPayment(invoice.paymentHash), outcome);
});

Deno.test("pay: the fee is charged, and one above the limit refused", async () => {
  const { wallet, fund } = setUp({ feeSats: 3 });
  await fund(100);
  const theirs = await wallet.createExternalInvoice({ amountSats: 97 });
  assert.equal((await wallet.pay({ ...payment(theirs, 97), maxFeeSats: 2 })).state, "failed");
  const outcome = await wallet.pay({ ...payment(theirs, 97), maxFeeSats: 3 });
  assert.ok(outcome.state === "paid" && outcome.feeSats === 3);
  assert.equal(await wallet.balanceSats(), 0);
});

Deno.test("pay: what the cheapest route hint asks is charged on top, and counts against the limit", async () => {
  const { wallet, fund } = setUp({ feeSats: 3 });
  await fund(200);
  const hop = { nodeId: `02${"9e".repeat(32)}`, shortChannelId: "1x1x1", feeBaseMsat: 9_001, feePpm: 0, cltvDelta: 40 };
  const routeHints = [[{ ...hop, feeBaseMsat: 50_000 }], [hop]];
  const theirs = await wallet.createExternalInvoice({ amountSats: 97, routeHints });
  assert.equal((await wallet.pay({ ...payment(theirs, 97), maxFeeSats: 12 })).state, "failed");
  const outcome = await wallet.pay({ ...payment(theirs, 97), maxFeeSats: 13 });
  assert.ok(outcome.state === "paid" && outcome.feeSats === 13);
  assert.equal(await wallet.balanceSats(), 200 - 97 - 13);
});

Deno.test("pay: a payment that is called failed and is under way is paid once, when it arrives", async () => {
  const { wallet, fund, faults } = setUp();
  faults.pay = { kind: "lie" };
  await fund(100);
  const theirs = await wallet.createExternalInvoice({ amountSats: 60 });
  assert.equal((await wallet.pay(payment(theirs, 60))).state, "failed");
  assert.equal((await wallet.lookupPayment(theirs.paymentHash)).state, "failed");
  await wallet.releasePayment(theirs.paymentHash, "pending");
  assert.equal((await wallet.lookupPayment(theirs.paymentHash)).state, "pending");
  await wallet.releasePayment(theirs.paymentHash, "paid");
  assert.equal((await wallet.pay(payment(theirs, 60))).state, "paid");
  assert.equal(await wallet.balanceSats(), 40);
});

Deno.test("pay: amount and fee must both be covered", async () => {
  const { wallet, fund } = setUp({ feeSats: 3 });
  await fund(99);
  const theirs = await wallet.createExternalInvoice({ amountSats: 97 });
  assert.equal((await wallet.pay(payment(theirs, 97))).state, "failed");
  assert.equal(await wallet.balanceSats(), 99);
});

Deno.test("faults: a refused call has no effect and says so", async () => {
  const { wallet, faults, fund, store } = setUp();
  await fund(100);
  const theirs = await wallet.createExternalInvoice({ amountSats: 10 });
  const before = JSON.stringify([...store.rows]);
  for (const call of ["createInvoice", "lookupInvoice", "balanceSats", "pay"] as const) {
    faults[call] = { kind: "refuse" };
  }
  const final = (error: unknown) => error instanceof WalletError && !error.retryable;
  await assert.rejects(wallet.createInvoice({ amountSats: 1, memo: "", expirySeconds: 60 }), final);
  await assert.rejects(wallet.lookupInvoice(theirs.paymentHash), final);
  await assert.rejects(wallet.balanceSats(), final);
  assert.equal((await wallet.pay(payment(theirs, 10))).state, "failed");
  assert.equal(JSON.stringify([...store.rows]), before);
});

Deno.test("faults: a refused repeat never calls a payment failed that an earlier call made", async () => {
  const { wallet, faults, fund } = setUp();
  await fund(100);
  const theirs = await wallet.createExternalInvoice({ amountSats: 10 });
  faults.pay = { kind: "hold" };
  assert.equal((await wallet.pay(payment(theirs, 10))).state, "pending");
  faults.pay = { kind: "refuse" };
  assert.equal((await wallet.pay(payment(theirs, 10))).state, "pending");
  await wallet.releasePayment(theirs.paymentHash, "paid");
  assert.equal((await wallet.pay(payment(theirs, 10))).state, "paid");
});

Deno.test("faults: a lost call has no effect and nobody knows", async () => {
  const { wallet, faults, fund } = setUp();
  await fund(100);
  const theirs = await wallet.createExternalInvoice({ amountSats: 10 });
  faults.pay = { kind: "lose" };
  assert.equal((await wallet.pay(payment(theirs, 10))).state, "unknown");
  assert.equal((await wallet.lookupPayment(theirs.paymentHash)).state, "unknown");
  assert.equal(await wallet.balanceSats(), 100);
  faults.lookupInvoice = { kind: "lose" };
  await assert.rejects(
    wallet.lookupInvoice(theirs.paymentHash),
    (error) => error instanceof WalletError && error.retryable,
  );
});

Deno.test("faults: a lookup whose answer is lost tells nothing", async () => {
  const { wallet, faults, fund } = setUp();
  await fund(100);
  const theirs = await wallet.createExternalInvoice({ amountSats: 10 });
  await wallet.pay(payment(theirs, 10));
  faults.lookupPayment = { kind: "drop" };
  assert.equal((await wallet.lookupPayment(theirs.paymentHash)).state, "unknown");
});

Deno.test("faults: a delayed payment is unknown at its deadline and happens all the same", async () => {
  const { wallet, faults, fund, clock } = setUp();
  await fund(100);
  const theirs = await wallet.createExternalInvoice({ amountSats: 10 });
  faults.pay = { kind: "delay", ms: 30_000 };
  const outcome = wallet.pay({ ...payment(theirs, 10), timeoutMs: 20_000 });
  await clock.advance(20_000);
  assert.equal((await outcome).state, "unknown");
  assert.equal((await wallet.lookupPayment(theirs.paymentHash)).state, "unknown");
  faults.pay = undefined;
  await clock.advance(10_000);
  assert.equal((await wallet.pay(payment(theirs, 10))).state, "paid");
  assert.equal(await wallet.balanceSats(), 90);
});

Deno.test("faults: a delay can last until the test says so", async () => {
  const { wallet, faults, create } = setUp();
  const { paymentHash } = await create();
  const gate = Promise.withResolvers<void>();
  faults.lookupInvoice = { kind: "delay", until: gate.promise };
  const state = wallet.lookupInvoice(paymentHash);
  await wallet.payInvoice(paymentHash);
  gate.resolve();
  assert.deepEqual(await state, { state: "settled", paidSats: 100 });
});

Deno.test("faults: a failed payment costs nothing and may be tried again", async () => {
  const { wallet, faults, fund } = setUp();
  await fund(100);
  const theirs = await wallet.createExternalInvoice({ amountSats: 10 });
  faults.pay = once({ kind: "fail" });
  assert.equal((await wallet.pay(payment(theirs, 10))).state, "failed");
  assert.equal((await wallet.lookupPayment(theirs.paymentHash)).state, "failed");
  assert.equal(await wallet.balanceSats(), 100);
  assert.equal((await wallet.pay(payment(theirs, 10))).state, "paid");
  assert.equal(await wallet.balanceSats(), 90);
});

Deno.test("faults: a held payment is pending, its sats are set aside, and it ends either way", async () => {
  const { wallet, faults, fund } = setUp();
  await fund(100);
  for (const [outcome, left] of [["failed", 100], ["paid", 90]] as const) {
    const theirs = await wallet.createExternalInvoice({ amountSats: 10 });
    faults.pay = once({ kind: "hold" });
    assert.deepEqual(await wallet.pay(payment(theirs, 10)), { state: "pending" });
    assert.deepEqual(await wallet.pay(payment(theirs, 10)), { state: "pending" });
    assert.equal(await wallet.balanceSats(), 90);
    assert.equal(await wallet.releasePayment(theirs.paymentHash, outcome), true);
    assert.equal((await wallet.lookupPayment(theirs.paymentHash)).state, outcome);
    assert.equal(await wallet.releasePayment(theirs.paymentHash, outcome), false);
    assert.equal(await wallet.balanceSats(), left);
  }
});

Deno.test("faults: a held invoice is nobody's money until it settles", async () => {
  const { wallet, faults, create } = setUp();
  faults.settle = { kind: "hold" };
  const { paymentHash } = await create();
  assert.deepEqual(await wallet.payInvoice(paymentHash), { ok: false, reason: "held" });
  assert.deepEqual(await wallet.lookupInvoice(paymentHash), { state: "held" });
  assert.equal(await wallet.balanceSats(), 0);
  assert.equal(await wallet.releaseInvoice(paymentHash, "cancel"), true);
  assert.deepEqual(await wallet.lookupInvoice(paymentHash), { state: "open" });
  await wallet.payInvoice(paymentHash);
  assert.equal(await wallet.releaseInvoice(paymentHash, "settle"), true);
  assert.deepEqual(await wallet.lookupInvoice(paymentHash), { state: "settled", paidSats: 100 });
  assert.equal(await wallet.releaseInvoice(paymentHash, "settle"), false);
  assert.equal(await wallet.balanceSats(), 100);
});

Deno.test("faults: hints can be lost or come twice, and a listener that throws harms nobody", async () => {
  const { wallet, faults, create } = setUp();
  const hints: string[] = [];
  const stop = new AbortController();
  const bad = wallet.watch(() => {
    throw new Error("a bad listener");
  }, stop.signal);
  const good = wallet.watch((hash) => hints.push(hash), stop.signal);
  const [lost, twice, once] = [await create(), await create(), await create()];
  faults.hints = { kind: "lose" };
  await wallet.payInvoice(lost.paymentHash);
  faults.hints = { kind: "twice" };
  await wallet.payInvoice(twice.paymentHash);
  faults.hints = undefined;
  await wallet.payInvoice(once.paymentHash);
  assert.deepEqual(hints, [twice.paymentHash, twice.paymentHash, once.paymentHash]);
  stop.abort();
  await Promise.all([bad, good]);
  await wallet.payInvoice((await create()).paymentHash);
  assert.equal(hints.length, 3);
});

Deno.test("simulated wallet: a store that fails makes answers unknown, never wrong", async () => {
  const broken: SimStore = {
    transact: () => Promise.reject(new Error("disk full")),
    get: () => Promise.reject(new Error("disk full")),
    list: () => Promise.reject(new Error("disk full")),
  };
  const { wallet } = setUp({ store: broken });
  const invoice = strange({ prefix: "lnbcrt", amountMsat: 1_000, at: START });
  assert.equal((await wallet.pay(payment(invoice, 1))).state, "unknown");
  assert.equal((await wallet.lookupPayment(invoice.paymentHash)).state, "unknown");
  const passing = (error: unknown) => error instanceof WalletError && error.retryable;
  await assert.rejects(wallet.createInvoice({ amountSats: 1, memo: "", expirySeconds: 60 }), passing);
  await assert.rejects(wallet.lookupInvoice(invoice.paymentHash), passing);
  await assert.rejects(wallet.balanceSats(), passing);
  await assert.rejects(wallet.listPayments(0), passing);
});

Deno.test("simulated wallet: the history has more than a page of rows, and one in flight as what the wallet says of it", async () => {
  const { wallet, faults, fund } = setUp();
  for (let i = 0; i < 501; i++) await fund(10);
  const theirs = await wallet.createExternalInvoice({ amountSats: 20 });
  const outgoing = async () => (await wallet.listPayments(0))?.outgoing.map(({ state }) => state);
  faults.pay = once({ kind: "lie" });
  await wallet.pay(payment(theirs, 20));
  assert.deepEqual(await outgoing(), ["failed"]);
  await wallet.releasePayment(theirs.paymentHash, "pending");
  assert.deepEqual(await outgoing(), ["pending"]);
  assert.equal((await wallet.listPayments(0))?.incoming.length, 501);
});

/** The fault for one call only. */
function once<F>(fault: F): () => F | undefined {
  let left: F | undefined = fault;
  return () => {
    const now = left;
    left = undefined;
    return now;
  };
}
