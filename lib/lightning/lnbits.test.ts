import assert from "node:assert/strict";
import { systemClock } from "@/lib/clock.ts";
import { createFakeClock, type FakeClock } from "@/tests/harness/fake-clock.ts";
import { createLnbitsWallet, type LnbitsOptions } from "./lnbits.ts";
import { hashOf, payment, strange, walletContract, type WalletHarness } from "./lightning.contract.ts";
import { WalletError } from "./port.ts";
import { type Call, type FakeLnbits, type ServerFault, startFakeLnbits } from "./testing/fake-lnbits.ts";

const open = (server: FakeLnbits, options: Partial<LnbitsOptions> = {}) =>
  createLnbitsWallet({
    url: server.url,
    invoiceKey: server.merchant.invoiceKey,
    adminKey: server.merchant.adminKey,
    clock: systemClock,
    ...options,
  });

/** LNbits' payer wallet, holding what FakeWallet's `start` gives it. */
function payerOf(server: FakeLnbits) {
  server.rows.push({
    checking_id: "funds",
    payment_hash: "f".repeat(64),
    wallet_id: server.payer.walletId,
    amount: 10_000_000_000,
    fee: 0,
    bolt11: "",
    status: "success",
    preimage: null,
    labels: [],
    expiresAt: 0,
  });
  return createLnbitsWallet({ url: server.url, ...server.payer, clock: systemClock });
}

function setUp(options: Partial<LnbitsOptions> = {}) {
  const server = startFakeLnbits();
  const payer = payerOf(server);
  const wallet = open(server, options);
  const harness: WalletHarness = {
    wallet,
    now: Date.now,
    async receive(invoice) {
      const outcome = await payer.pay(payment(invoice, amountOf(server, invoice.paymentHash)));
      return outcome.state === "paid" ? outcome.preimage : assert.fail(outcome.state);
    },
    theirInvoice: (amountSats) => payer.createInvoice({ amountSats, memo: "refund", expirySeconds: 600 }),
    loseNextAnswer: (call) => server.failNext(call === "pay" ? "pay" : "create", { how: "cut" }),
    reopen: () => open(server, options),
    close: server.close,
  };
  return { server, payer, wallet, harness };
}
const amountOf = (server: FakeLnbits, hash: string) =>
  (server.rows.find((row) => row.payment_hash === hash && row.amount > 0)?.amount ?? 0) / 1000;

walletContract("LNbits wallet", () => setUp().harness);

/** One test against a server of its own. */
function test(name: string, run: (parts: ReturnType<typeof setUp>) => Promise<void>, options?: Partial<LnbitsOptions>) {
  Deno.test(name, async () => {
    const parts = setUp(options);
    try {
      await run(parts);
    } finally {
      await parts.server.close();
    }
  });
}
const ask = { amountSats: 21, memo: "hello", expirySeconds: 600 };
const failure = (retryable: boolean, message = /./) => (error: unknown) =>
  error instanceof WalletError && error.retryable === retryable && message.test(error.message) &&
  !/-key|lnbc1|[0-9a-f]{64}/.test(error.message);

Deno.test("createLnbitsWallet: wants an http address and keys", () => {
  const make = (url: string, invoiceKey = "k") => () => createLnbitsWallet({ url, invoiceKey, clock: systemClock });
  for (const url of ["", "lnbits", "ftp://host", "http://user:pw@host", "http://host?x=1"]) {
    assert.throws(make(url), /address/, url);
  }
  assert.throws(make("http://host", ""), /key/);
  assert.equal(make("https://host/path/")().name, "lnbits");
});

test("createInvoice: nothing LNbits says about the preimage is passed on", async ({ wallet, server }) => {
  const invoice = await wallet.createInvoice(ask);
  assert.deepEqual(Object.keys(invoice).sort(), ["expiresAt", "paymentHash", "paymentRequest"]);
  const preimage = server.rows.find((row) => row.payment_hash === invoice.paymentHash)?.preimage ?? "";
  assert.ok(preimage.length === 64 && !JSON.stringify(invoice).includes(preimage));
});

test("createInvoice: an invoice over another amount or hash is refused", async ({ wallet, server, payer }) => {
  const other = await payer.createInvoice({ ...ask, amountSats: 2_100 });
  const body = { payment_hash: other.paymentHash, bolt11: other.paymentRequest };
  server.failNext("create", { how: "after", status: 201, body });
  await assert.rejects(wallet.createInvoice(ask), failure(true, /amount/));
  server.failNext("create", { how: "after", status: 201, body: { ...body, payment_hash: "0".repeat(64) } });
  await assert.rejects(wallet.createInvoice({ ...ask, amountSats: 2_100 }), failure(true, /hash/));
  server.failNext("create", { how: "after", status: 201, body: { ...body, bolt11: "lnbc1nonsense" } });
  await assert.rejects(wallet.createInvoice(ask), failure(true, /valid/));
});

test("prefix: is learnt from the first invoice", async ({ wallet }) => {
  assert.equal(wallet.prefix, null);
  assert.equal(await wallet.learnPrefix(), "lnbc");
  assert.equal(wallet.prefix, "lnbc");
});

const BAD_ANSWERS: [string, ServerFault, boolean][] = [
  ["500", { how: "instead", status: 500, body: { detail: "Unexpected error! ID: Hnxq" } }, true],
  ["LND down", {
    how: "instead",
    status: 520,
    body: { detail: "Unable to connect to https://127.0.0.1:50131.", status: "pending" },
  }, true],
  ["rate limit", { how: "instead", status: 429, body: { error: "Rate limit exceeded: 6 per 1 minute" } }, true],
  ["a proxy's page", { how: "instead", status: 502, body: "<html>Bad gateway</html>" }, true],
  ["no JSON", { how: "instead", status: 200, body: "<html>Welcome</html>" }, true],
  ["another JSON", { how: "instead", status: 200, body: { hello: 1 } }, true],
  ["a redirect", { how: "instead", status: 307, body: "", headers: { location: "/first_install" } }, true],
  ["a huge body", { how: "instead", status: 200, body: JSON.stringify({ x: "x".repeat(300 * 1024) }) }, true],
  ["a cut connection", { how: "cut" }, true],
  ["a wrong key", { how: "instead", status: 404, body: { detail: "Wallet not found." } }, false],
  ["no permission", { how: "instead", status: 401, body: { detail: "No Api Key provided." } }, false],
  ["too high", {
    how: "instead",
    status: 520,
    body: { detail: "Invoice amount 10000001 sats is too high.", status: "failed" },
  }, false],
];

for (const [what, fault, retryable] of BAD_ANSWERS) {
  test(`createInvoice and balanceSats: ${what} is an error, ${retryable ? "passing" : "for good"}`, async (parts) => {
    const { wallet, server } = parts;
    server.failNext("create", fault);
    await assert.rejects(wallet.createInvoice(ask), failure(retryable));
    server.failNext("wallet", fault);
    await assert.rejects(wallet.balanceSats(), failure(retryable));
  });
  // A 404 about the wallet is not about the payment; every other answer tells as little.
  test(`lookups: ${what} tells nothing`, async ({ wallet, server }) => {
    const { paymentHash } = await wallet.createInvoice(ask);
    server.failNext("lookup", fault);
    await assert.rejects(wallet.lookupInvoice(paymentHash), (error) => error instanceof WalletError);
    server.failNext("lookup", fault);
    assert.equal((await wallet.lookupPayment(paymentHash)).state, "unknown");
  });
  // LNbits' own verdict is the one answer to a payment that settles something.
  if (what === "too high") continue;
  test(`pay: ${what} instead of an answer is never failed`, async ({ wallet, server, harness }) => {
    await harness.receive(await wallet.createInvoice({ ...ask, amountSats: 100 }));
    const theirs = await harness.theirInvoice(10);
    server.failNext("pay", fault);
    const outcome = await wallet.pay(payment(theirs, 10));
    // Only `cut` reached LNbits' hands here; the others did not, but the adapter cannot know.
    assert.equal(outcome.state, "unknown");
    assert.equal((await wallet.pay(payment(theirs, 10))).state, "paid");
    assert.equal(await wallet.balanceSats(), 90);
  });
}

test("lookupInvoice: a body without details (a wrong key's) is an error and not the truth", async (parts) => {
  const { server, wallet, harness } = parts;
  const invoice = await wallet.createInvoice(ask);
  await harness.receive(invoice);
  const stranger = open(server, { invoiceKey: "wrong", adminKey: "wrong" });
  await assert.rejects(stranger.lookupInvoice(invoice.paymentHash), failure(false, /invoice key/));
  await assert.rejects(stranger.createInvoice(ask), failure(false));
  assert.equal((await stranger.lookupPayment(invoice.paymentHash)).state, "unknown");
});

test("lookups: a body that contradicts itself is not believed", async ({ wallet, server }) => {
  const { paymentHash } = await wallet.createInvoice(ask);
  const details = { payment_hash: paymentHash, amount: 21_000, fee: 0, status: "pending" };
  for (const wrong of [details, { ...details, payment_hash: "a".repeat(64), status: "success" }]) {
    for (const amount of [21_000, -21_000]) {
      const body = { paid: true, details: { ...wrong, amount } };
      server.failNext("lookup", { how: "instead", status: 200, body });
      await assert.rejects(wallet.lookupInvoice(paymentHash), WalletError);
      server.failNext("lookup", { how: "instead", status: 200, body });
      assert.equal((await wallet.lookupPayment(paymentHash)).state, "unknown");
    }
  }
});

test("balanceSats: a body without end is not read to its end", async ({ wallet, server }) => {
  server.failNext("wallet", { how: "instead", status: 200, body: { balance: 1_000, pad: "x".repeat(300 * 1024) } });
  await assert.rejects(wallet.balanceSats(), failure(true, /longer/));
});

test("lookupInvoice: an invoice LNbits marked failed has expired", async ({ wallet, server }) => {
  const { paymentHash } = await wallet.createInvoice(ask);
  for (const row of server.rows) if (row.payment_hash === paymentHash) row.expiresAt = 0;
  assert.deepEqual(await wallet.lookupInvoice(paymentHash), { state: "expired" });
});

test("lookupInvoice: an invoice this wallet paid itself is settled", async ({ wallet, harness }) => {
  await harness.receive(await wallet.createInvoice(ask));
  const own = await wallet.createInvoice({ ...ask, amountSats: 5 });
  assert.equal((await wallet.pay(payment(own, 5))).state, "paid");
  assert.deepEqual(await wallet.lookupInvoice(own.paymentHash), { state: "settled", paidSats: 5 });
});

test("lookupInvoice: what is no hash is not asked for", async ({ wallet, server }) => {
  assert.deepEqual(await wallet.lookupInvoice("../wallet"), { state: "unknown" });
  assert.equal((await wallet.lookupPayment("../wallet")).state, "unknown");
  assert.deepEqual(server.calls, []);
});

test("lookupPayment: an incoming row of this wallet is no payment of ours", async ({ wallet, harness }) => {
  const invoice = await wallet.createInvoice(ask);
  await harness.receive(invoice);
  assert.equal((await wallet.lookupPayment(invoice.paymentHash)).state, "unknown");
});

test("pay: an invoice somebody else has paid fails", async ({ wallet, harness, payer, server }) => {
  await harness.receive(await wallet.createInvoice({ ...ask, amountSats: 100 }));
  const theirs = await harness.theirInvoice(10);
  assert.equal((await payer.pay(payment(theirs, 10))).state, "paid");
  assert.equal((await wallet.pay(payment(theirs, 10))).state, "failed");
  assert.equal(await wallet.balanceSats(), 100);
  assert.equal(server.rows.filter((row) => row.wallet_id === server.merchant.walletId && row.amount < 0).length, 0);
});

test("pay: a payment another wallet has in flight is not ours to judge", async ({ wallet, harness, payer, server }) => {
  await harness.receive(await wallet.createInvoice({ ...ask, amountSats: 100 }));
  const elsewhere = strange({ prefix: "lnbc", amountMsat: 10_000, at: Date.now() });
  server.failNext("pay", { how: "hold" });
  assert.equal((await payer.pay(payment(elsewhere, 10))).state, "pending");
  assert.equal((await wallet.pay(payment(elsewhere, 10))).state, "unknown");
});

for (const [end, expected] of [["success", "paid"], ["failed", "failed"]] as const) {
  test(`pay: a held payment is pending until it is ${expected}`, async ({ wallet, harness, server }) => {
    await harness.receive(await wallet.createInvoice({ ...ask, amountSats: 100 }));
    const elsewhere = strange({ prefix: "lnbc", amountMsat: 10_000, at: Date.now() });
    server.failNext("pay", { how: "hold" });
    assert.deepEqual(await wallet.pay(payment(elsewhere, 10)), { state: "pending" });
    assert.deepEqual(await wallet.pay(payment(elsewhere, 10)), { state: "pending" });
    assert.deepEqual(await wallet.lookupPayment(elsewhere.paymentHash), { state: "pending" });
    server.release(elsewhere.paymentHash, end);
    assert.equal((await wallet.lookupPayment(elsewhere.paymentHash)).state, expected);
    assert.equal((await wallet.pay(payment(elsewhere, 10))).state, expected);
  });
}

test("pay: an invoice LNbits cannot reach fails", async ({ wallet, harness }) => {
  await harness.receive(await wallet.createInvoice({ ...ask, amountSats: 100 }));
  const elsewhere = strange({ prefix: "lnbc", amountMsat: 10_000, at: Date.now() });
  const outcome = await wallet.pay(payment(elsewhere, 10));
  assert.deepEqual(outcome, { state: "failed", reason: "Payment failed: Only internal invoices can be used!" });
  assert.equal((await wallet.lookupPayment(elsewhere.paymentHash)).state, "failed");
});

test("pay: 201 with the payee's failed row is not a payment, and shows no preimage", async (parts) => {
  const { wallet, harness, payer, server } = parts;
  await harness.receive(await wallet.createInvoice({ ...ask, amountSats: 100 }));
  const theirs = await harness.theirInvoice(10);
  const row = server.rows.find((one) => one.payment_hash === theirs.paymentHash) ?? assert.fail();
  row.expiresAt = 0;
  assert.deepEqual(await payer.lookupInvoice(theirs.paymentHash), { state: "expired" });
  const outcome = await wallet.pay(payment(theirs, 10));
  assert.equal(outcome.state, "failed");
  assert.ok(!JSON.stringify(outcome).includes(row.preimage ?? "none"));
});

test("pay: 201 with somebody's settled row is no proof that we paid", async ({ wallet, harness, server }) => {
  await harness.receive(await wallet.createInvoice({ ...ask, amountSats: 100 }));
  const theirs = await harness.theirInvoice(10);
  const row = { payment_hash: theirs.paymentHash, amount: 10_000, fee: 0, status: "success", preimage: null };
  for (const wrong of [row, { ...row, amount: -10_000, payment_hash: "a".repeat(64) }]) {
    server.failNext("pay", { how: "instead", status: 201, body: wrong });
    assert.equal((await wallet.pay(payment(theirs, 10))).state, "unknown");
  }
});

test("lookupPayment: asks with the key that pays", async ({ server, harness, wallet }) => {
  await harness.receive(await wallet.createInvoice({ ...ask, amountSats: 100 }));
  const theirs = await harness.theirInvoice(10);
  const outcome = await wallet.pay(payment(theirs, 10));
  assert.equal(outcome.state, "paid");
  const mixed = open(server, { invoiceKey: "another-wallet's" });
  assert.deepEqual(await mixed.lookupPayment(theirs.paymentHash), outcome);
});

Deno.test("pay: an expired invoice is not paid even where LNbits would, but one paid before stays paid", async () => {
  const clock = createFakeClock(Date.now());
  const { server, harness, wallet } = setUp({ clock });
  try {
    await harness.receive(await wallet.createInvoice({ ...ask, amountSats: 100 }));
    const [early, late] = [await harness.theirInvoice(10), await harness.theirInvoice(10)];
    const outcome = await wallet.pay(payment(early, 10));
    assert.equal(outcome.state, "paid");
    await clock.advance(601_000);
    assert.equal((await wallet.pay(payment(late, 10))).state, "failed");
    assert.deepEqual(await wallet.pay(payment(early, 10)), outcome);
    assert.equal(await wallet.balanceSats(), 90);
  } finally {
    await server.close();
  }
});

test("pay: the fee is what LNbits charged, and one above the limit is reported", async ({ server, harness }) => {
  const warnings: unknown[] = [];
  const wallet = open(server, { log: (level, _message, fields) => level === "warn" && warnings.push(fields) });
  await harness.receive(await wallet.createInvoice({ ...ask, amountSats: 100 }));
  const theirs = await harness.theirInvoice(10);
  const preimage = server.rows.find((row) => row.payment_hash === theirs.paymentHash)?.preimage;
  const body = { payment_hash: theirs.paymentHash, amount: -10_000, fee: -2_001, status: "success", preimage };
  server.failNext("pay", { how: "after", status: 201, body });
  const outcome = await wallet.pay({ ...payment(theirs, 10), maxFeeSats: 2 });
  assert.deepEqual(outcome, { state: "paid", preimage, feeSats: 3 });
  assert.deepEqual(warnings, [{ feeSats: 3, maxFeeSats: 2 }]);
});

test("pay: without an admin key nothing is sent", async ({ server, harness }) => {
  const { adminKey: _, ...receiving } = { ...server.merchant, url: server.url, clock: systemClock };
  const wallet = createLnbitsWallet(receiving);
  const outcome = await wallet.pay(payment(await harness.theirInvoice(10), 10));
  assert.ok(outcome.state === "failed" && /admin key/.test(outcome.reason));
  assert.ok(!server.calls.includes("pay"));
});

Deno.test("pay: a call that ran out of time is unknown, and a refusal after it proves nothing for a while", async () => {
  const clock = createFakeClock(Date.now());
  const { server, harness, wallet } = setUp({ clock });
  try {
    const theirs = await harness.theirInvoice(10);
    server.failNext("pay", { how: "hang-before" });
    const arrived = server.arrived("pay");
    const outcome = wallet.pay({ ...payment(theirs, 10), timeoutMs: 5_000 });
    await arrived;
    await clock.advance(5_000);
    assert.deepEqual(await outcome, { state: "unknown", reason: "LNbits did not answer within 5000 ms" });
    // The wallet is empty: LNbits refuses, but the first call may still come through.
    const soon = await wallet.pay(payment(theirs, 10));
    assert.ok(soon.state === "unknown" && /earlier call/.test(soon.reason));
    await clock.advance(600_000);
    // By now the invoice has expired by our clock.
    assert.equal((await wallet.pay(payment(theirs, 10))).state, "failed");
  } finally {
    await server.close();
  }
});

Deno.test("pay: a call that timed out after paying is found by the next lookup", async () => {
  const clock = createFakeClock(Date.now());
  const { server, harness, wallet } = setUp({ clock });
  try {
    await harness.receive(await wallet.createInvoice({ ...ask, amountSats: 100 }));
    const theirs = await harness.theirInvoice(10);
    server.failNext("pay", { how: "hang" });
    const arrived = server.arrived("pay");
    const outcome = wallet.pay({ ...payment(theirs, 10), timeoutMs: 5_000 });
    await arrived;
    await clock.advance(5_000);
    assert.equal((await outcome).state, "unknown");
    const found = await wallet.lookupPayment(theirs.paymentHash);
    assert.ok(found.state === "paid" && hashOf(found.preimage) === theirs.paymentHash);
    assert.equal(await wallet.balanceSats(), 90);
  } finally {
    await server.close();
  }
});

for (const call of ["create", "lookup", "wallet"] satisfies Call[]) {
  Deno.test(`LNbits wallet: a ${call} that is not answered ends at its deadline`, async () => {
    const clock = createFakeClock(Date.now());
    const { server, wallet } = setUp({ clock, timeouts: { requestMs: 1_000 } });
    try {
      server.failNext(call, { how: "hang" });
      const arrived = server.arrived(call);
      const asked = call === "create"
        ? wallet.createInvoice(ask)
        : call === "wallet"
        ? wallet.balanceSats()
        : wallet.lookupInvoice("a".repeat(64));
      const rejected = assert.rejects(asked, failure(true, /1000 ms/));
      await arrived;
      await clock.advance(1_000);
      await rejected;
    } finally {
      await server.close();
    }
  });
}

Deno.test("LNbits wallet: a server that is not there is an error without its address", async () => {
  const server = startFakeLnbits();
  await server.close();
  const wallet = open(server);
  await assert.rejects(
    wallet.createInvoice(ask),
    (error) => failure(true, /reached/)(error) && !/127/.test(`${error}`),
  );
  const theirs = strange({ prefix: "lnbc", amountMsat: 1_000, at: Date.now() });
  assert.equal((await wallet.pay(payment(theirs, 1))).state, "unknown");
});

/** Watches with a fake clock. `states` resolves in turn for every change. */
async function watched(
  run: (
    parts: ReturnType<typeof setUp> & {
      clock: FakeClock;
      next: () => Promise<boolean>;
      hint: () => Promise<string>;
      hints: string[];
    },
  ) => Promise<void>,
  timeouts: LnbitsOptions["timeouts"] = {},
) {
  const clock = createFakeClock(Date.now());
  const parts = setUp({ clock, timeouts: timeouts ?? {}, random: { bytes: (length) => new Uint8Array(length) } });
  const stop = new AbortController();
  const states = queue<boolean>();
  const hints = queue<string>();
  const done = parts.wallet.watch(hints.push, stop.signal, states.push);
  try {
    await run({ ...parts, clock, next: states.next, hint: hints.next, hints: hints.waiting });
  } finally {
    stop.abort();
    await done;
    await parts.server.close();
  }
}
function queue<T>() {
  const waiting: T[] = [];
  const takers: ((value: T) => void)[] = [];
  return {
    waiting,
    push(value: T) {
      const taker = takers.shift();
      if (taker) taker(value);
      else waiting.push(value);
    },
    next: () =>
      new Promise<T>((resolve) => {
        const value = waiting.shift();
        if (value === undefined) takers.push(resolve);
        else resolve(value);
      }),
  };
}

Deno.test("watch: takes only incoming frames it understands, however often they come", () =>
  watched(async ({ server, wallet, harness, next, hint, hints }) => {
    assert.equal(await next(), true);
    const key = server.merchant.invoiceKey;
    const theirs = await harness.theirInvoice(5);
    const invoice = await wallet.createInvoice(ask);
    await harness.receive(invoice);
    assert.equal((await wallet.pay(payment(theirs, 5))).state, "paid");
    const frame = { payment: { payment_hash: "d".repeat(64), amount: 1 } };
    const tooLong = JSON.stringify({ ...frame, memo: "x".repeat(70_000) });
    for (const text of ["hello", "{}", "null", '{"payment":{"payment_hash":"x","amount":1}}', tooLong]) {
      server.push(key, text);
    }
    server.push(key, JSON.stringify({ payment: { payment_hash: "e".repeat(64), amount: 1 } }));
    assert.equal(await hint(), invoice.paymentHash);
    assert.equal(await hint(), invoice.paymentHash, "LNbits sends two frames for an internal payment");
    assert.equal(await hint(), "e".repeat(64), "a made-up frame is a hint too: the caller asks LNbits itself");
    assert.deepEqual(hints, []);
  }));

Deno.test("watch: a closed websocket is reported and opened again, later each time", () =>
  watched(async ({ server, clock, next, wallet, harness, hint }) => {
    for (const delay of [500, 1_000, 2_000]) {
      assert.equal(await next(), true);
      await server.connected();
      server.closeSockets();
      assert.equal(await next(), false);
      await clock.advance(delay - 1);
      await clock.advance(1);
    }
    assert.equal(await next(), true);
    const invoice = await wallet.createInvoice(ask);
    await harness.receive(invoice);
    assert.equal(await hint(), invoice.paymentHash);
  }));

Deno.test("watch: a websocket that has been silent is replaced without being reported as down", () =>
  watched(async ({ clock, next, wallet, harness, hint }) => {
    assert.equal(await next(), true);
    await clock.advance(60_000);
    assert.equal(await next(), true);
    const invoice = await wallet.createInvoice(ask);
    await harness.receive(invoice);
    assert.equal(await hint(), invoice.paymentHash);
  }, { silentMs: 60_000 }));

Deno.test("watch: a server that is not there is tried again with growing delays until told to stop", async () => {
  const server = startFakeLnbits();
  await server.close();
  const clock = createFakeClock(0);
  const delays: unknown[] = [];
  const states = queue<boolean>();
  const wallet = open(server, {
    clock,
    random: { bytes: () => new Uint8Array([128]) },
    log: (_level, _message, fields) => delays.push(fields?.inMs),
  });
  const stop = new AbortController();
  const done = wallet.watch(() => assert.fail("no hint is due"), stop.signal, states.push);
  const expected = [375, 750, 1_500, 3_000, 6_000, 12_000, 22_500, 22_500, 22_500];
  for (const delay of expected) {
    assert.equal(await states.next(), false);
    await clock.advance(delay);
  }
  assert.equal(await states.next(), false);
  stop.abort();
  await done;
  assert.deepEqual(delays.slice(0, 9), expected);
});

test("pay: an LNbits that would allow a higher fee than ours sends nothing and says what to change", async ({ wallet, server, harness }) => {
  await harness.receive(await wallet.createInvoice({ amountSats: 500, memo: "", expirySeconds: 600 }));
  const invoice = await harness.theirInvoice(100);
  server.feeReserveMsat = 11_000;
  const before = server.calls.length;
  const refused = await wallet.pay({ ...payment(invoice, 100), maxFeeSats: 10 });
  assert.equal(refused.state, "failed");
  assert.match(
    refused.state === "failed" ? refused.reason : "",
    /fee of 11 sats, more than 10: lower LNBITS_RESERVE_FEE/,
  );
  assert.ok(!server.calls.slice(before).includes("pay"), "it was sent");
  server.feeReserveMsat = 10_000;
  assert.equal((await wallet.pay({ ...payment(invoice, 100), maxFeeSats: 10 })).state, "paid");
});
