/** Refunds to a Lightning address, over HTTP and through the real guarded fetcher. */
import assert from "node:assert/strict";
import { encodeInvoice } from "@/lib/lightning/bolt11.ts";
import type { PayFault } from "@/lib/lightning/simulated-faults.ts";
import { ADDRESS, type AddressHost, createAddressHost, descriptionHash, METADATA } from "../harness/address-host.ts";
import { createFakeWorld, type FakeWorld } from "../harness/fake-world.ts";
import { assertAudit, claimRefund, pay, untilState } from "../harness/payer.ts";
import { bearer, settle } from "../harness/session-payer.ts";
import type { WorldOptions } from "../harness/world.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

interface Payee extends FakeWorld {
  host: AddressHost;
  payFaults: (PayFault | null)[];
}

function journey(name: string, fn: (payee: Payee) => Promise<void>, options: Partial<WorldOptions> = {}): void {
  Deno.test(`lightning address: ${name}`, async () => {
    const host = createAddressHost();
    const fake = await createFakeWorld(1, { ...options, publicFetch: host.publicFetch });
    host.wallet = fake.world.wallet;
    const payFaults: (PayFault | null)[] = [];
    fake.walletFaults.pay = () => payFaults.shift() ?? undefined;
    try {
      await fn({ ...fake, host, payFaults });
      await fake.clock.settle();
      await assertAudit(fake.world);
    } finally {
      fake.discard();
    }
  });
}

/** A job whose evaluation fails, so that its fee of 10 sats is owed, and for which the operator pays no routing fee. */
async function failedJob({ world, clock, call }: Payee, body: object = { lightningAddress: ADDRESS }): Promise<string> {
  const created = await call("POST", "/api/jobs", { request: "[fail-eval]", ...body });
  assert.equal(created.status, 201, JSON.stringify(created.body));
  await pay(world, created.body.evalInvoice);
  await clock.drive(untilState(world, world.call, created.body.jobId, ["failed"]));
  return created.body.jobId;
}

/** Sats that are the operator's, so that the wallet can pay routing fees. */
async function income({ world, clock, call }: Payee): Promise<void> {
  const { body } = await call("POST", "/api/jobs", { request: "[refuse]" });
  await pay(world, body.evalInvoice);
  await clock.drive(untilState(world, world.call, body.jobId, ["rejected"]));
}

const ledger = async ({ call }: Payee, jobId: string) => (await call("GET", `/api/jobs/${jobId}`)).body.costLedger;

async function session({ world, call }: Payee, body: object = { lightningAddress: ADDRESS }) {
  const created = await call("POST", "/api/sessions", { amount_sats: 500, ...body });
  assert.equal(created.status, 201, JSON.stringify(created.body));
  await settle(world, created.body.invoice);
  const path = `/api/sessions/${created.body.sessionId}`;
  return { path, auth: bearer((await call("GET", path)).body.macaroon) };
}
const refundOf = async ({ call }: Payee, path: string) => (await call("GET", path)).body.refund;

/** Time passes in one step, and everything that fell due is done. */
async function later({ clock }: Payee, ms: number): Promise<void> {
  clock.leap(ms);
  await clock.advance(20_000);
}

/** Hashes of payments that left the wallet. */
async function sent({ world }: Payee): Promise<string[]> {
  const rows = await world.walletStore.list<{ v: 1; state: string }>(["simulated-wallet", "payment"]);
  return rows.filter(({ value }) => value.state === "paid").map(({ key }) => String(key[2]));
}

// ---- left at the start: it goes out by itself ----------------------------------------------------------------------

journey("a job's refund goes to the address that was left, without anybody asking", async (payee) => {
  const jobId = await failedJob(payee, { lightningAddress: " Payer@Wallet.Example.com " });
  await payee.clock.settle();
  const { body } = await payee.call("GET", `/api/jobs/${jobId}`);
  assert.equal(body.lightningAddress, ADDRESS, "in its one spelling");
  const { refundState, refundAmountSats, refundPaymentHash, refundAttempts } = body.costLedger;
  assert.deepEqual([refundState, refundAmountSats], ["paid", 10]);
  assert.deepEqual([{ paymentHash: refundPaymentHash, amountSats: 10 }], payee.host.invoices);
  assert.deepEqual(refundAttempts.map(({ at: _, ...attempt }: { at: string }) => attempt), [
    { way: "lightning_address", ok: true, reason: null },
  ]);
  assert.deepEqual(await payee.world.rows(["task"]), []);
  assert.equal((await claimRefund(payee.world, payee.call, jobId, 10)).status, 409);
});

journey("a job without an address, and one whose refund nobody asks for, are as they were", async (payee) => {
  const jobId = await failedJob(payee, {});
  await later(payee, DAY_MS);
  const { body } = await payee.call("GET", `/api/jobs/${jobId}`);
  assert.deepEqual([body.lightningAddress, body.costLedger.refundState], [undefined, "pending"]);
  assert.deepEqual([body.costLedger.refundAttempts, payee.host.requests], [[], []]);
});

journey("a refund of before addresses could be left is read and claimed as ever", async (payee) => {
  const jobId = await failedJob(payee, {});
  for (const table of ["job", "refund"]) {
    const [row] = await payee.world.rows<{ v: number }>([table]);
    assert.ok(row);
    const old = Object.entries(row.value).filter(([name]) =>
      !["address", "attempts", "lightningAddress"].includes(name)
    );
    await payee.world.store.transact((tx) => tx.set(row.key, Object.fromEntries(old) as { v: number }));
  }
  assert.deepEqual((await ledger(payee, jobId)).refundAttempts, []);
  assert.equal((await payee.call("POST", `/api/jobs/${jobId}/refund`, { lightningAddress: ADDRESS })).status, 200);
});

journey("a session's balance goes to the address that was left when it is closed", async (payee) => {
  const { path, auth } = await session(payee);
  const closed = await payee.call("POST", `${path}/close`, {}, auth);
  assert.deepEqual([closed.status, closed.body.state, closed.body.refundAmountSats], [200, "closed", 500]);
  await payee.clock.settle();
  const { body } = await payee.call("GET", path);
  assert.deepEqual([body.lightningAddress, body.refund.refundState], [ADDRESS, "paid"]);
  assert.equal(body.refund.refundAttempts.length, 1);
  assert.deepEqual(payee.host.invoices.map(({ amountSats }) => amountSats), [500]);
});

journey("and when it expires", async (payee) => {
  const { path } = await session(payee);
  await later(payee, DAY_MS);
  const { body } = await payee.call("GET", path);
  assert.deepEqual([body.state, body.refund.refundState], ["expired", "paid"]);
  assert.deepEqual(payee.host.invoices.map(({ amountSats }) => amountSats), [500]);
});

journey("closing with an invoice pays that one, though an address was left", async (payee) => {
  const { path, auth } = await session(payee);
  const asked = payee.host.requests.length;
  const invoice = await payee.world.wallet.createExternalInvoice({ amountSats: 500 });
  const closed = await payee.call("POST", `${path}/close`, { invoice: invoice.paymentRequest }, auth);
  assert.deepEqual([closed.status, closed.body.refundPaymentHash], [200, invoice.paymentHash]);
  await later(payee, DAY_MS);
  assert.equal(payee.host.requests.length, asked);
  assert.deepEqual(await sent(payee), [invoice.paymentHash]);
});

journey("closing with an invoice that cannot be paid leaves it to the address", async (payee) => {
  const { path, auth } = await session(payee);
  payee.payFaults.push({ kind: "fail" });
  const invoice = await payee.world.wallet.createExternalInvoice({ amountSats: 500 });
  const closed = await payee.call("POST", `${path}/close`, { invoice: invoice.paymentRequest }, auth);
  assert.deepEqual([closed.status, closed.body.error.code], [503, "payout_failed"]);
  await later(payee, MINUTE_MS);
  assert.equal((await refundOf(payee, path)).refundState, "paid");
});

journey("a process that dies between closing and the claim leaves it to the address", async (payee) => {
  const { path, auth } = await session(payee);
  const invoice = await payee.world.wallet.createExternalInvoice({ amountSats: 500 });
  payee.world.call("POST", `${path}/close`, { invoice: invoice.paymentRequest }, auth).catch(() => {});
  const over = () => payee.world.rows<{ v: number; state: string }>(["session"]).then(([row]) => row?.value.state);
  while (await over() !== "closed") await Promise.resolve();
  await payee.world.crash();
  await later(payee, MINUTE_MS);
  assert.equal((await refundOf(payee, path)).refundState, "paid");
  assert.equal((await sent(payee)).length, 1);
});

// ---- claimed with an address ---------------------------------------------------------------------------------------

journey("a job's refund is claimed with an address", async (payee) => {
  const jobId = await failedJob(payee, {});
  const claim = () => payee.call("POST", `/api/jobs/${jobId}/refund`, { lightningAddress: ADDRESS });
  const paid = await claim();
  assert.deepEqual([paid.status, paid.body.refundState, paid.body.refundAmountSats], [200, "paid", 10]);
  assert.equal(paid.body.refundPaymentHash, payee.host.invoices[0]?.paymentHash);
  const asked = payee.host.requests.length;
  const again = await claim();
  assert.deepEqual([again.status, again.body.error.details.refundPaymentHash], [409, paid.body.refundPaymentHash]);
  assert.equal(payee.host.requests.length, asked, "nobody is asked for an invoice that is not needed");
  assert.equal((await ledger(payee, jobId)).refundAttempts.length, 1);
});

journey("a session is closed with an address, and an expired one claimed", async (payee) => {
  for (const expire of [false, true]) {
    const { path, auth } = await session(payee, {});
    if (expire) await later(payee, DAY_MS);
    const closed = await payee.call("POST", `${path}/close`, { lightningAddress: ADDRESS }, auth);
    assert.equal(closed.status, 200, JSON.stringify(closed.body));
    assert.deepEqual([closed.body.state, closed.body.refundState], [expire ? "expired" : "closed", "paid"]);
    assert.equal((await payee.call("POST", `${path}/close`, { lightningAddress: ADDRESS }, auth)).status, 409);
  }
  assert.equal((await sent(payee)).length, 2);
});

journey("an address that gives no good invoice closes no session", async (payee) => {
  const { path, auth } = await session(payee, {});
  payee.host.always = () => ({ status: "ERROR", reason: "closed on Sundays" });
  const version = await payee.world.store.version();
  const { status, body } = await payee.call("POST", `${path}/close`, { lightningAddress: ADDRESS }, auth);
  assert.deepEqual([status, body.error.code, body.error.details], [400, "address_refused", {
    said: "closed on Sundays",
  }]);
  assert.equal((await payee.call("GET", path)).body.state, "active");
  assert.equal(await payee.world.store.version(), version);
});

journey("what closing with an address refuses before anybody is asked", async (payee) => {
  const { path, auth } = await session(payee, {});
  const unpaid = (await payee.call("POST", "/api/sessions", { amount_sats: 500 })).body;
  const close = (lightningAddress: string) => payee.call("POST", `${path}/close`, { lightningAddress }, auth);
  assert.equal((await close("payer@localhost")).body.error.code, "address_malformed");
  assert.equal(
    (await payee.call("POST", `/api/sessions/${unpaid.sessionId}/close`, { lightningAddress: ADDRESS })).status,
    402,
  );
  const asking = payee.world.call("POST", `${path}/request`, { request: "[slow:60000] hello" }, auth);
  await payee.clock.settle();
  const busy = await payee.world.call("POST", `${path}/close`, { lightningAddress: ADDRESS }, auth);
  assert.deepEqual([busy.status, busy.body.error.code], [409, "session_busy"]);
  await payee.clock.drive(asking);
  assert.deepEqual(payee.host.requests, []);
});

// ---- what can be wrong with an address -------------------------------------------------------------------------------

/** What the callback answers in place of what it should. */
const callback =
  (said: (url: URL, payee: Payee) => object | Promise<object>) =>
  (payee: Payee): AddressHost["always"] =>
  async (url, honest) => url.pathname === "/pay" ? await said(url, payee) : await honest(url);
/** What the address' own page answers in place of what it should. */
const page = (part: object) => (_: Payee): AddressHost["always"] => async (url, honest) =>
  url.pathname === "/pay" ? await honest(url) : { ...await honest(url) as object, ...part };
const raw = (text: string | null) => (_: Payee): AddressHost["always"] => () => text;
const invoice = (change: (url: URL) => object) =>
  callback(async (url, { world }) => {
    const amountSats = Number(url.searchParams.get("amount")) / 1_000;
    const asked = { amountSats, descriptionHash: descriptionHash(METADATA) };
    return { pr: (await world.wallet.createExternalInvoice({ ...asked, ...change(url) })).paymentRequest };
  });
const foreign = (prefix: "lnbc" | "lntb" | "lntbs") =>
  callback((url, { clock }) => ({
    pr: encodeInvoice({
      prefix,
      amountMsat: Number(url.searchParams.get("amount")),
      paymentHash: "ab".repeat(32),
      paymentSecret: "cd".repeat(32),
      memo: "",
      descriptionHash: descriptionHash(METADATA),
      createdAtSeconds: Math.floor(clock.now() / 1_000),
      expirySeconds: 3_600,
    }, new Uint8Array(32).fill(7)),
  }));

const FAULTS: [name: string, fault: (payee: Payee) => AddressHost["always"], code: string, says: RegExp][] = [
  ["an invoice for less", invoice(() => ({ amountSats: 9 })), "address_invoice", /another amount/],
  ["an invoice for more", invoice(() => ({ amountSats: 11 })), "address_invoice", /another amount/],
  ["an invoice without an amount", invoice(() => ({ amountSats: null })), "address_invoice", /another amount/],
  [
    "an invoice for another description",
    invoice(() => ({ descriptionHash: "ab".repeat(32) })),
    "address_invoice",
    /describes/,
  ],
  [
    "an invoice with a memo alone",
    callback(async (url, { world }) => ({
      pr: (await world.wallet.createExternalInvoice({
        amountSats: Number(url.searchParams.get("amount")) / 1_000,
        memo: METADATA,
      }))
        .paymentRequest,
    })),
    "address_invoice",
    /describes/,
  ],
  ["an invoice that ends at once", invoice(() => ({ expirySeconds: 5 })), "address_invoice", /expired/],
  ["an invoice of another network (lnbc)", foreign("lnbc"), "address_invoice", /another network/],
  ["an invoice of another network (lntbs)", foreign("lntbs"), "address_invoice", /another network/],
  ["an invoice that is none", callback(() => ({ pr: "lnbcrt1oops" })), "address_invoice", /not valid/],
  ["no invoice", callback(() => ({ routes: [] })), "address_invoice", /it sent none/],
  [
    "an error of the callback",
    callback(() => ({ status: "ERROR", reason: "no liquidity" })),
    "address_refused",
    /"no liquidity"/,
  ],
  [
    "an error of the page",
    raw('HTTP/1.1 404 No\r\n\r\n{"status":"ERROR","reason":"who?"}'),
    "address_refused",
    /"who\?"/,
  ],
  ["nobody of that name", raw("HTTP/1.1 404 No\r\n\r\n"), "address_not_payable", /does not know it/],
  ["an error of the server", raw("HTTP/1.1 503 No\r\n\r\nbusy"), "address_unreachable", /HTTP 503/],
  [
    "a redirect inward",
    raw("HTTP/1.1 302 No\r\nLocation: https://127.0.0.1/\r\n\r\n"),
    "address_unreachable",
    /HTTP 302/,
  ],
  ["a page that is no JSON", raw("HTTP/1.1 200 OK\r\n\r\n<html>"), "address_unreachable", /HTTP 200/],
  [
    "an answer that is cut",
    raw('HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"tag"'),
    "address_unreachable",
    /cut off/,
  ],
  ["an answer that is too large", raw(`HTTP/1.1 200 OK\r\n\r\n${" ".repeat(70_000)}`), "address_unreachable", /larger/],
  ["silence", raw(null), "address_unreachable", /within 5 seconds/],
  ["a callback on this machine", page({ callback: "https://127.0.0.1/pay" }), "address_forbidden", /public internet/],
  ["a callback without TLS", page({ callback: "http://wallet.example.com/pay" }), "address_forbidden", /https/],
  ["a callback that is no address", page({ callback: "pay" }), "address_not_payable", /LNURL-pay/],
  ["another tag", page({ tag: "withdrawRequest" }), "address_not_payable", /LNURL-pay/],
  [
    "metadata that describes nothing",
    page({ metadata: '[["text/identifier","x"]]' }),
    "address_not_payable",
    /LNURL-pay/,
  ],
  [
    "an amount that is too small for it",
    page({ minSendable: 10_001 }),
    "address_amount",
    /from 11 to 1000000 sats, and this is 10/,
  ],
  ["an amount that is too large for it", page({ maxSendable: 9_999 }), "address_amount", /from 1 to 9 sats/],
  [
    "a payer who must name himself",
    page({ payerData: { email: { mandatory: true }, name: { mandatory: false } } }),
    "address_payer_data",
    /payer's email\./,
  ],
];

for (const [name, fault, code, says] of FAULTS) {
  journey(`${name}: nothing leaves, the reason is shown, and a minute later it is paid`, async (payee) => {
    const { host, call, world } = payee;
    const byHand = await failedJob(payee, {});
    const left = (await call("POST", "/api/jobs", { request: "[fail-eval]", lightningAddress: ADDRESS })).body;
    host.always = fault(payee);
    const refused = await call("POST", `/api/jobs/${byHand}/refund`, { lightningAddress: ADDRESS });
    assert.deepEqual([refused.status, refused.body.error.code], [400, code], JSON.stringify(refused.body));
    const { message, details } = refused.body.error;
    assert.match(details?.said === undefined ? message : `${message} "${details.said}"`, says);

    await pay(world, left.evalInvoice);
    await payee.clock.drive(untilState(world, world.call, left.jobId, ["failed"]));
    await payee.clock.advance(6_000);
    const owed = await ledger(payee, left.jobId);
    assert.equal(owed.refundState, "pending");
    assert.deepEqual(owed.refundAttempts.map(({ ok }: { ok: boolean }) => ok), [false]);
    assert.match(owed.refundAttempts[0].reason, says);
    assert.doesNotMatch(JSON.stringify(owed), /127\.0\.0\.1|93\.184/);

    host.always = null;
    await later(payee, MINUTE_MS);
    assert.equal((await ledger(payee, left.jobId)).refundState, "paid");
    assert.equal((await sent(payee)).length, 1);
  });
}

journey("a name that leads inward, from the start or a moment later: nothing is connected to", async (payee) => {
  const { host, call } = payee;
  const { body: job } = await call("POST", "/api/jobs", { request: "[fail-eval]", lightningAddress: ADDRESS });
  const connected = host.connections.length;
  for (const addresses of [["127.0.0.1"], ["93.184.215.14", "10.0.0.1"], ["::1"], ["169.254.169.254"]]) {
    host.addresses = addresses;
    const { status, body } = await call("POST", "/api/jobs", { request: "hello", lightningAddress: ADDRESS });
    assert.deepEqual([status, body.error.code], [400, "address_forbidden"]);
  }
  await pay(payee.world, job.evalInvoice);
  await payee.clock.drive(untilState(payee.world, payee.world.call, job.jobId, ["failed"]));
  await payee.clock.settle();
  assert.match((await ledger(payee, job.jobId)).refundAttempts[0].reason, /not on the public internet/);
  assert.equal(host.connections.length, connected);
});

// ---- trying again --------------------------------------------------------------------------------------------------

journey(
  "it is tried at growing distances for a day, then rests and can be claimed in every other way",
  async (payee) => {
    const { host, clock } = payee;
    const { body: job } = await payee.call("POST", "/api/jobs", { request: "[fail-eval]", lightningAddress: ADDRESS });
    host.always = () => "HTTP/1.1 500 No\r\n\r\n";
    await pay(payee.world, job.evalInvoice);
    await clock.drive(untilState(payee.world, payee.world.call, job.jobId, ["failed"]));
    const start = clock.now();
    for (let i = 0; i < 2 * 24 * 12; i++) {
      clock.leap(5 * MINUTE_MS - 1_000);
      await clock.advance(1_000);
    }
    const { refundAttempts, refundState } = await ledger(payee, job.jobId);
    const at = refundAttempts.map((attempt: { at: string }) => (Date.parse(attempt.at) - start) / MINUTE_MS);
    const planned = [0, 1, 6, 21, 81, 261, 441, 621, 801, 981, 1_161, 1_341];
    assert.equal(at.length, planned.length, JSON.stringify(at));
    // The test's time moves in steps of five minutes, each try begins up to one later, and the next is counted from there.
    at.forEach((minutes: number, i: number) =>
      assert.ok(minutes >= planned[i]! - 1 && minutes <= planned[i]! + 5 * i, `${i}: ${minutes}`)
    );
    assert.equal(refundState, "pending");
    host.always = null;
    await later(payee, DAY_MS);
    assert.equal((await ledger(payee, job.jobId)).refundState, "pending", "the day is over");
    assert.equal((await claimRefund(payee.world, payee.call, job.jobId, 10)).status, 200);
  },
);

journey("a refund that expires unclaimed is tried no more", async (payee) => {
  const { host, clock } = payee;
  const { body: job } = await payee.call("POST", "/api/jobs", { request: "[fail-eval]", lightningAddress: ADDRESS });
  host.always = () => "HTTP/1.1 500 No\r\n\r\n";
  await pay(payee.world, job.evalInvoice);
  await clock.drive(untilState(payee.world, payee.world.call, job.jobId, ["failed"]));
  await clock.advance(3_600_000); // a process' first hour ends nothing for good
  host.always = () => null; // the try that is due now asks, and waits
  clock.leap(30 * DAY_MS);
  await clock.advance(2_000);
  assert.equal((await ledger(payee, job.jobId)).refundState, "expired");
  assert.deepEqual(await payee.world.rows(["task"]), []);
  await later(payee, DAY_MS);
  assert.equal((await ledger(payee, job.jobId)).refundState, "expired");
});

journey("a claim by hand between two tries wins, and ends them", async (payee) => {
  const { host } = payee;
  const { body: job } = await payee.call("POST", "/api/jobs", { request: "[fail-eval]", lightningAddress: ADDRESS });
  host.always = () => "HTTP/1.1 500 No\r\n\r\n";
  await pay(payee.world, job.evalInvoice);
  await payee.clock.drive(untilState(payee.world, payee.world.call, job.jobId, ["failed"]));
  assert.equal((await claimRefund(payee.world, payee.call, job.jobId, 10)).status, 200);
  host.always = null;
  const asked = host.requests.length;
  await later(payee, DAY_MS);
  assert.equal(host.requests.length, asked);
  assert.equal((await sent(payee)).length, 1);
  assert.deepEqual(await payee.world.rows(["task"]), []);
});

journey("a claim by hand while the address is being asked wins: its invoice comes too late", async (payee) => {
  const { host } = payee;
  const { body: job } = await payee.call("POST", "/api/jobs", { request: "[fail-eval]", lightningAddress: ADDRESS });
  const late = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  host.always = async (url, honest) => {
    if (url.pathname === "/pay") asked.resolve();
    if (url.pathname === "/pay") await late.promise;
    return await honest(url);
  };
  await pay(payee.world, job.evalInvoice);
  await payee.clock.drive(untilState(payee.world, payee.world.call, job.jobId, ["failed"]));
  await asked.promise;
  const claimed = await claimRefund(payee.world, payee.call, job.jobId, 10);
  assert.equal(claimed.status, 200);
  late.resolve();
  await later(payee, DAY_MS);
  assert.deepEqual(await sent(payee), [claimed.body.refundPaymentHash]);
});

journey(
  "a claim by hand that failed while the address was being asked begins a new try: the late invoice is none",
  async (payee) => {
    const { host } = payee;
    const { body: job } = await payee.call("POST", "/api/jobs", { request: "[fail-eval]", lightningAddress: ADDRESS });
    const late = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    host.next.push((url, honest) => honest(url), async (url, honest) => {
      asked.resolve();
      await late.promise;
      return await honest(url);
    });
    await pay(payee.world, job.evalInvoice);
    await payee.clock.drive(untilState(payee.world, payee.world.call, job.jobId, ["failed"]));
    await asked.promise;
    payee.payFaults.push({ kind: "fail" });
    assert.equal((await claimRefund(payee.world, payee.call, job.jobId, 10)).status, 503);
    late.resolve();
    await payee.clock.settle();
    assert.equal((await ledger(payee, job.jobId)).refundState, "paid");
    assert.equal(host.invoices.length, 2);
    assert.deepEqual(await sent(payee), [host.invoices[1]?.paymentHash]);
  },
);

journey("a payer who bought nothing gets it less the fee, once the whole found no route", async (payee) => {
  await income(payee);
  const { path, auth } = await session(payee);
  await payee.call("POST", `${path}/close`, {}, auth);
  await payee.clock.settle();
  const failed = await refundOf(payee, path);
  assert.deepEqual([failed.refundState, failed.refundAttempts.length], ["pending", 1]);
  assert.match(failed.refundAttempts[0].reason, /fee is above 0 sats/);
  await later(payee, MINUTE_MS);
  const paid = await refundOf(payee, path);
  assert.equal(paid.refundState, "paid", JSON.stringify(paid));
  assert.deepEqual(payee.host.invoices.map(({ amountSats }) => amountSats), [500, 475]);
}, { feeSats: 3 });

journey("a payout that failed for another reason asks for the whole again", async (payee) => {
  payee.payFaults.push({ kind: "refuse" });
  const jobId = await failedJob(payee);
  await payee.clock.settle();
  assert.equal((await ledger(payee, jobId)).refundState, "pending");
  await later(payee, MINUTE_MS);
  const { refundState, refundAttempts } = await ledger(payee, jobId);
  assert.deepEqual([refundState, refundAttempts.map(({ ok }: { ok: boolean }) => ok)], ["paid", [false, true]]);
  assert.deepEqual(payee.host.invoices.map(({ amountSats }) => amountSats), [10, 10]);
});

journey("last hops that cost more than may be paid are left for the payer to pay, at once", async (payee) => {
  await income(payee);
  const hop = { nodeId: `02${"9e".repeat(32)}`, shortChannelId: "1x1x1", feeBaseMsat: 4_000, feePpm: 0, cltvDelta: 40 };
  payee.host.always = invoice(() => ({ routeHints: [[hop]] }))(payee);
  const jobId = await failedJob(payee);
  await payee.clock.settle();
  const { refundState, refundAttempts } = await ledger(payee, jobId);
  assert.deepEqual([refundState, refundAttempts.length], ["paid", 1]);
  const [row] = await payee.world.rows<{ v: 1; payout: { amountSats: number; maxFeeSats: number } }>(["refund"]);
  assert.deepEqual([row?.value.payout.amountSats, row?.value.payout.maxFeeSats], [6, 4]);
});

journey("a payout of unknown outcome is looked up, and no other invoice is asked for", async (payee) => {
  payee.payFaults.push({ kind: "hold" });
  const jobId = await failedJob(payee);
  await later(payee, DAY_MS);
  assert.equal((await ledger(payee, jobId)).refundState, "paying");
  assert.equal(payee.host.invoices.length, 1);
  await payee.world.wallet.releasePayment(payee.host.invoices[0]!.paymentHash, "paid");
  await later(payee, 2 * MINUTE_MS);
  assert.equal((await ledger(payee, jobId)).refundState, "paid");
  assert.equal((await sent(payee)).length, 1);
});

journey(
  "a server that gives the same invoice twice is paid once, and again for its own failed payout only",
  async (payee) => {
    const { host, world } = payee;
    const same = (await world.wallet.createExternalInvoice({
      amountSats: 10,
      descriptionHash: descriptionHash(METADATA),
      expirySeconds: 86_400,
    })).paymentRequest;
    host.always = callback(() => ({ pr: same }))(payee);
    payee.payFaults.push({ kind: "refuse" });
    const first = await failedJob(payee);
    await later(payee, MINUTE_MS);
    assert.equal((await ledger(payee, first)).refundState, "paid", "the invoice of its own failed payout");
    const second = await failedJob(payee);
    await payee.clock.settle();
    const { refundState, refundAttempts } = await ledger(payee, second);
    assert.equal(refundState, "pending");
    assert.match(refundAttempts[0].reason, /used before/);
    assert.equal((await sent(payee)).length, 1);
    host.always = null;
    await later(payee, MINUTE_MS);
    assert.equal((await ledger(payee, second)).refundState, "paid");
  },
);

journey("a process that dies while the address is asked, or after the claim, pays once", async (payee) => {
  const { host, world } = payee;
  const { body: job } = await payee.call("POST", "/api/jobs", { request: "[fail-eval]", lightningAddress: ADDRESS });
  const asked = Promise.withResolvers<void>();
  host.always = () => {
    asked.resolve();
    return null;
  };
  await pay(world, job.evalInvoice);
  await payee.clock.drive(untilState(world, world.call, job.jobId, ["failed"]));
  await asked.promise;
  await world.crash();
  host.always = null;
  const release = Promise.withResolvers<void>();
  payee.payFaults.push({ kind: "delay", until: release.promise });
  await payee.clock.advance(1_000);
  assert.equal((await ledger(payee, job.jobId)).refundState, "paying");
  await world.crash();
  release.resolve();
  await later(payee, 2 * MINUTE_MS);
  assert.equal((await ledger(payee, job.jobId)).refundState, "paid");
  assert.equal((await sent(payee)).length, 1);
  assert.equal(host.invoices.length, 1);
});

journey("while the wallet is not believed nobody is asked, and no try is used up", async (payee) => {
  const { world, host } = payee;
  await world.store.transact((tx) => tx.set(["wallet_distrust"], { v: 1, until: payee.clock.now() + 600_000 }));
  const jobId = await failedJob(payee);
  await payee.clock.settle();
  assert.deepEqual([(await ledger(payee, jobId)).refundAttempts, host.invoices], [[], []]);
  await later(payee, 600_000);
  assert.equal((await ledger(payee, jobId)).refundState, "paid");
});

Deno.test("lightning address: a try is one commit beside the payout's own", async () => {
  const host = createAddressHost();
  const fake = await createFakeWorld(1, { publicFetch: host.publicFetch });
  host.wallet = fake.world.wallet;
  const payee = { ...fake, host, payFaults: [] };
  const commits = () => fake.engine.commits();
  const { body: job } = await fake.call("POST", "/api/jobs", { request: "[fail-eval]", lightningAddress: ADDRESS });
  host.always = () => "HTTP/1.1 500 No\r\n\r\n";
  await pay(fake.world, job.evalInvoice);
  await fake.clock.drive(untilState(fake.world, fake.world.call, job.jobId, ["failed"]));
  await fake.clock.settle();
  assert.equal((await ledger(payee, job.jobId)).refundAttempts.length, 1);
  let before = commits();
  fake.clock.leap(MINUTE_MS);
  await fake.clock.advance(2_000);
  assert.equal((await ledger(payee, job.jobId)).refundAttempts.length, 2);
  assert.equal(commits() - before, 2, "taking the task up, and what came of it");
  host.always = null;
  before = commits();
  fake.clock.leap(5 * MINUTE_MS);
  await fake.clock.advance(2_000);
  assert.equal((await ledger(payee, job.jobId)).refundState, "paid");
  assert.equal(commits() - before, 3, "taking the task up, the claim, its outcome");
  fake.discard();
});

// ---- at creation ---------------------------------------------------------------------------------------------------

const CREATE = [["/api/jobs", { request: "hello" }], ["/api/sessions", { amount_sats: 500 }], [
  "/api/bootstrap",
  {},
]] as const;
for (const [route, body] of CREATE) {
  journey(`${route}: an address is asked at once, and one that cannot be paid makes nothing`, async (payee) => {
    const { call, host, world } = payee;
    const version = await world.store.version();
    host.always = () => ({ status: "ERROR", reason: "no such\u202euser\n" + "x".repeat(300) });
    const { status, body: answer } = await call("POST", route, { ...body, lightningAddress: ADDRESS });
    assert.deepEqual([status, answer.error.code], [400, "address_refused"]);
    assert.equal(answer.error.details.said, `no such user ${"x".repeat(187)}…`);
    assert.match(answer.error.message, /Check the address, use another one, or leave it out\./);
    for (
      const malformed of ["payer", "@wallet.example.com", "payer@", "a b@wallet.example.com", "payer@1.2.3.4", "p@host"]
    ) {
      const { status, body: answer } = await call("POST", route, { ...body, lightningAddress: malformed });
      assert.deepEqual([status, answer.error.code], [400, "address_malformed"], malformed);
    }
    assert.equal(host.requests.length, 1);
    assert.equal(await world.store.version(), version);
    host.always = null;
    assert.equal((await call("POST", route, { ...body, lightningAddress: ADDRESS })).body.lightningAddress, ADDRESS);
  });

  journey(`${route}: the address is part of what an Idempotency-Key stands for`, async (payee) => {
    const { call, host } = payee;
    const key = { "idempotency-key": "k1" };
    const first = await call("POST", route, { ...body, lightningAddress: ADDRESS }, key);
    host.always = () => "HTTP/1.1 500 No\r\n\r\n";
    const again = await call("POST", route, { ...body, lightningAddress: ADDRESS.toUpperCase() }, key);
    assert.deepEqual([again.status, again.body], [201, first.body], "nobody is asked again");
    const without = await call("POST", route, body, key);
    assert.deepEqual([without.status, without.body.error.code], [409, "idempotency_conflict"]);
  });
}
