/**
 * What every wallet adapter must do, run against each of them and against real servers. Only what the port promises is
 * tested; what only one adapter has is tested beside it.
 */
import assert from "node:assert/strict";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { decodeInvoice, encodeInvoice } from "./bolt11.ts";
import { type CreatedInvoice, type InvoicePrefix, type Wallet, WalletError } from "./port.ts";

export interface WalletHarness {
  /** A new wallet, or at least one that nobody else pays from meanwhile. */
  wallet: Wallet;
  /** The wallet's time (ms). */
  now(): number;
  /** Somebody pays an invoice of the wallet. @returns the preimage the payer got. */
  receive(invoice: CreatedInvoice): Promise<string>;
  /** An invoice of somebody else, on the same network. */
  theirInvoice(amountSats: number): Promise<{ paymentRequest: string; paymentHash: string }>;
  /** The next call of this kind has its effect, but its answer is lost. Where it can be arranged. */
  loseNextAnswer?(call: "createInvoice" | "pay"): void;
  /** The same wallet after a restart of the program. */
  reopen(): Wallet;
  close(): Promise<void>;
}

/** Registers the suite. `ignore` registers it as skipped, for a real server that is not there. */
export function walletContract(
  name: string,
  makeHarness: () => Promise<WalletHarness> | WalletHarness,
  options: { ignore?: boolean } = {},
): void {
  const test = (criterion: string, run: (harness: WalletHarness) => Promise<void>) =>
    Deno.test(`${name}: ${criterion}`, { ignore: options.ignore ?? false }, async () => {
      const harness = await makeHarness();
      try {
        await run(harness);
      } finally {
        await harness.close();
      }
    });
  const create = (wallet: Wallet, amountSats = 21, memo = "hello") =>
    wallet.createInvoice({ amountSats, memo, expirySeconds: 600 });
  const fund = async ({ wallet, receive }: WalletHarness, sats: number) => {
    await receive(await create(wallet, sats, "funds"));
    return await balanceOf(wallet);
  };

  test("a new invoice is a signed BOLT11 over what was asked, and open", async ({ wallet, now }) => {
    const invoice = await create(wallet, 2_100, "one question");
    const read = decodeInvoice(invoice.paymentRequest);
    assert.equal(read.amountSats, 2_100);
    assert.equal(read.paymentHash, invoice.paymentHash);
    assert.equal(read.expiresAt, invoice.expiresAt);
    assert.equal(read.memo, "one question");
    assert.equal(read.prefix, wallet.prefix);
    assert.ok(Math.abs(invoice.expiresAt - now() - 600_000) < 30_000, "expires in about ten minutes");
    assert.deepEqual(await wallet.lookupInvoice(invoice.paymentHash), { state: "open" });
  });

  test("two invoices never share a payment hash", async ({ wallet }) => {
    assert.notEqual((await create(wallet)).paymentHash, (await create(wallet)).paymentHash);
  });

  test("an impossible invoice is refused for good", async ({ wallet }) => {
    for (const wrong of [{ amountSats: 0 }, { amountSats: 1.5 }, { amountSats: -1 }, { memo: "ä".repeat(320) }]) {
      await assert.rejects(
        wallet.createInvoice({ amountSats: 21, memo: "x", expirySeconds: 600, ...wrong }),
        (error) => error instanceof WalletError && !error.retryable,
      );
    }
  });

  test("a paid invoice is settled with what arrived, and the payer's preimage proves it", async (harness) => {
    const { wallet, receive } = harness;
    const before = await balanceOf(wallet);
    const invoice = await create(wallet, 77);
    const preimage = await receive(invoice);
    assert.equal(hashOf(preimage), invoice.paymentHash);
    assert.deepEqual(await wallet.lookupInvoice(invoice.paymentHash), { state: "settled", paidSats: 77 });
    assert.equal(await balanceOf(wallet), before + 77);
  });

  test("a hash nobody knows is unknown, as an invoice and as a payment", async ({ wallet }) => {
    const stranger = hashOf(freshHash());
    assert.deepEqual(await wallet.lookupInvoice(stranger), { state: "unknown" });
    const { state, absent } = { absent: false, ...await wallet.lookupPayment(stranger) };
    assert.deepEqual(
      { state, absent },
      { state: "unknown", absent: true },
      "it answered, and knows of no such payment",
    );
  });

  test("the watch hints at a settled invoice and ends when told to", async ({ wallet, receive }) => {
    const stop = new AbortController();
    const hint = Promise.withResolvers<string>();
    const up = Promise.withResolvers<void>();
    const states: boolean[] = [];
    const done = wallet.watch(hint.resolve, stop.signal, (connected) => {
      states.push(connected);
      if (connected) up.resolve();
    });
    await up.promise;
    const invoice = await create(wallet);
    await receive(invoice);
    assert.equal(await hint.promise, invoice.paymentHash);
    stop.abort();
    await done;
    assert.deepEqual(states, [true, false]);
  });

  test("a watch that is over before it began resolves", async ({ wallet }) => {
    await wallet.watch(() => assert.fail("no hint is due"), AbortSignal.abort());
  });

  test("paying somebody's invoice gives the preimage and costs amount and fee", async (harness) => {
    const { wallet, theirInvoice } = harness;
    const before = await fund(harness, 100);
    const theirs = await theirInvoice(33);
    const outcome = await wallet.pay(payment(theirs, 33));
    assert.equal(outcome.state, "paid");
    assert.ok(outcome.state === "paid" && hashOf(outcome.preimage) === theirs.paymentHash);
    assert.equal(await balanceOf(wallet), before - 33 - outcome.feeSats);
    assert.deepEqual(await wallet.lookupPayment(theirs.paymentHash), outcome);
  });

  test("an invoice is paid once, however often and at the same time it is asked for", async (harness) => {
    const { wallet, theirInvoice } = harness;
    const before = await fund(harness, 100);
    const theirs = await theirInvoice(20);
    const outcomes = [
      ...await Promise.all([1, 2, 3].map(() => wallet.pay(payment(theirs, 20)))),
      await wallet.pay(payment(theirs, 20)),
    ];
    for (const outcome of outcomes) assert.deepEqual(outcome, outcomes[0]);
    assert.ok(outcomes[0]?.state === "paid");
    assert.equal(await balanceOf(wallet), before - 20 - outcomes[0].feeSats);
  });

  test("a payment above the balance fails and costs nothing, and can be made later", async (harness) => {
    const { wallet, theirInvoice } = harness;
    const before = await balanceOf(wallet);
    const theirs = await theirInvoice(before + 50);
    assert.equal((await wallet.pay(payment(theirs, before + 50))).state, "failed");
    assert.notEqual((await wallet.lookupPayment(theirs.paymentHash)).state, "paid");
    assert.equal(await balanceOf(wallet), before);
    await fund(harness, 100);
    assert.equal((await wallet.pay(payment(theirs, before + 50))).state, "paid");
  });

  test("an invoice paid with an emptied wallet is still known as paid", async (harness) => {
    const { wallet, theirInvoice } = harness;
    const balance = await fund(harness, 30);
    const theirs = await theirInvoice(balance);
    const outcome = await wallet.pay(payment(theirs, balance));
    assert.equal(outcome.state, "paid");
    assert.deepEqual(await wallet.pay(payment(theirs, balance)), outcome);
  });

  test("an invoice that is not what the caller says fails and costs nothing", async (harness) => {
    const { wallet, theirInvoice, now } = harness;
    const before = await fund(harness, 100);
    const theirs = await theirInvoice(10);
    const prefix = wallet.prefix ?? assert.fail("the wallet made an invoice, so it knows its network");
    const rows: [string, Parameters<Wallet["pay"]>[0]][] = [
      ["another amount", payment(theirs, 11)],
      ["another hash", payment({ ...theirs, paymentHash: hashOf(freshHash()) }, 10)],
      ["not an invoice", payment({ ...theirs, paymentRequest: "hello" }, 10)],
      ["expired", payment(strange({ prefix, amountMsat: 10_000, at: now() - 7_200_000 }), 10)],
      ["without amount", payment(strange({ prefix, amountMsat: null, at: now() }), 10)],
      ["half a sat", payment(strange({ prefix, amountMsat: 10_500, at: now() }), 10)],
      ["another network", payment(strange({ prefix: otherThan(prefix), amountMsat: 10_000, at: now() }), 10)],
    ];
    for (const [what, input] of rows) assert.equal((await wallet.pay(input)).state, "failed", what);
    assert.equal(await balanceOf(wallet), before);
    assert.equal((await wallet.pay(payment(theirs, 10))).state, "paid", "the invoice itself was not spoilt");
  });

  test("the history has what came in and what went out, settled and paid only, after a restart too", async (harness) => {
    const { wallet, theirInvoice, receive, reopen, now } = harness;
    const since = now() - 60_000;
    const open = await create(wallet);
    const settled = await create(wallet, 90);
    await receive(settled);
    const theirs = await theirInvoice(15);
    const paid = await wallet.pay(payment(theirs, 15));
    assert.ok(paid.state === "paid");
    const expected = { paymentHash: theirs.paymentHash, amountSats: 15, feeSats: paid.feeSats, state: "paid" };
    const tooMuch = await theirInvoice(await balanceOf(wallet) + 1_000);
    assert.equal((await wallet.pay(payment(tooMuch, await balanceOf(wallet) + 1_000))).state, "failed");
    for (const one of [wallet, reopen()]) {
      const { incoming, outgoing } = await one.listPayments(since) ?? assert.fail("this wallet can tell");
      const { at: cameAt, ...came } = incoming.find((row) => row.paymentHash === settled.paymentHash) ?? assert.fail();
      assert.deepEqual(came, { paymentHash: settled.paymentHash, paidSats: 90 });
      const { at: wentAt, ...went } = outgoing.find((row) => row.paymentHash === theirs.paymentHash) ?? assert.fail();
      assert.deepEqual(went, expected);
      for (const at of [cameAt, wentAt]) assert.ok(Math.abs(at - now()) < 60_000, `${at} is now, in ms`);
      assert.ok(!incoming.some((row) => row.paymentHash === open.paymentHash), "an open invoice took nothing in");
      const failed = outgoing.find((row) => row.paymentHash === tooMuch.paymentHash);
      assert.ok(failed === undefined || failed.state === "failed");
      assert.ok(!outgoing.some((row) => row.paymentHash === settled.paymentHash));
    }
  });

  test("the history leaves out what is older than asked for", async ({ wallet, receive, now }) => {
    const invoice = await create(wallet, 90);
    await receive(invoice);
    const { incoming, outgoing } = await wallet.listPayments(now() + 3_600_000) ?? assert.fail();
    assert.deepEqual([incoming, outgoing], [[], []]);
  });

  test("a restart forgets nothing", async (harness) => {
    const { wallet, theirInvoice, receive, reopen } = harness;
    const open = await create(wallet);
    const settled = await create(wallet, 90);
    await receive(settled);
    const theirs = await theirInvoice(15);
    const outcome = await wallet.pay(payment(theirs, 15));
    const balance = await balanceOf(wallet);

    const later = reopen();
    assert.deepEqual(await later.lookupInvoice(open.paymentHash), { state: "open" });
    assert.deepEqual(await later.lookupInvoice(settled.paymentHash), { state: "settled", paidSats: 90 });
    assert.deepEqual(await later.lookupPayment(theirs.paymentHash), outcome);
    assert.deepEqual(await later.pay(payment(theirs, 15)), outcome);
    assert.equal(await balanceOf(later), balance);
    await receive(open);
    assert.deepEqual(await later.lookupInvoice(open.paymentHash), { state: "settled", paidSats: 21 });
  });

  test("after a lost answer an invoice can simply be made again", async ({ wallet, loseNextAnswer }) => {
    if (!loseNextAnswer) return;
    loseNextAnswer("createInvoice");
    await assert.rejects(create(wallet), (error) => error instanceof WalletError && error.retryable);
    assert.deepEqual(await wallet.lookupInvoice((await create(wallet)).paymentHash), { state: "open" });
  });

  test("a payment whose answer was lost is unknown, then found, and never made twice", async (harness) => {
    const { wallet, theirInvoice, loseNextAnswer } = harness;
    if (!loseNextAnswer) return;
    const before = await fund(harness, 100);
    const theirs = await theirInvoice(25);
    loseNextAnswer("pay");
    assert.equal((await wallet.pay(payment(theirs, 25))).state, "unknown");
    const found = await wallet.lookupPayment(theirs.paymentHash);
    assert.ok(found.state === "paid");
    assert.deepEqual(await wallet.pay(payment(theirs, 25)), found);
    assert.equal(await balanceOf(wallet), before - 25 - found.feeSats);
  });
}

async function balanceOf(wallet: Wallet): Promise<number> {
  return await wallet.balanceSats() ?? assert.fail("this wallet can tell its balance");
}

/** What `pay` is given for an invoice that should be over `amountSats`. */
export function payment(
  invoice: { paymentRequest: string; paymentHash: string },
  amountSats: number,
): Parameters<Wallet["pay"]>[0] {
  const { paymentRequest, paymentHash } = invoice;
  return {
    paymentRequest,
    paymentHash,
    amountSats,
    maxFeeSats: Math.max(10, Math.ceil(amountSats / 100)),
    timeoutMs: 20_000,
  };
}

/** An invoice of a node nobody knows. */
export function strange(
  { prefix, amountMsat, at }: { prefix: InvoicePrefix; amountMsat: number | null; at: number },
): { paymentRequest: string; paymentHash: string } {
  const paymentHash = hashOf(freshHash());
  const paymentRequest = encodeInvoice({
    prefix,
    amountMsat,
    paymentHash,
    paymentSecret: freshHash(),
    memo: "strange",
    createdAtSeconds: Math.floor(at / 1000),
    expirySeconds: 3600,
  }, new Uint8Array(32).fill(7));
  return { paymentRequest, paymentHash };
}

/** SHA-256 of bytes given and returned as hex. */
export function hashOf(hex: string): string {
  return bytesToHex(sha256(hexToBytes(hex)));
}

/** Real servers remember what earlier runs used, so these must be new every time. */
function freshHash(): string {
  return bytesToHex(crypto.getRandomValues(new Uint8Array(32)));
}

function otherThan(prefix: InvoicePrefix): InvoicePrefix {
  return prefix === "lntb" ? "lnbc" : "lntb";
}
