import assert from "node:assert/strict";
import { encodeInvoice } from "@/lib/lightning/bolt11.ts";
import type { RouteHint, RouteHop } from "@/lib/lightning/route-hints.ts";
import { createFakeWorld, type FakeWorld } from "../harness/fake-world.ts";
import { claimRefund, createJob, paidJob, payerInvoice } from "../harness/payer.ts";
import type { Answer } from "../harness/world.ts";

/** What an instance answers to a bad call: a status, a code, and words that say what was wrong. */
interface Refusal {
  status: number;
  code: string;
  says: RegExp;
}

/** One row of what can be wrong: refused as expected, in the one error shape, and the store is as it was before. */
function refused(name: string, expected: Refusal, ask: (fake: FakeWorld) => Promise<() => Promise<Answer>>): void {
  Deno.test(`bad input: ${name}: ${expected.status} ${expected.code}, nothing written`, async () => {
    const fake = await createFakeWorld(1);
    try {
      const call = await ask(fake);
      await fake.clock.settle();
      const [version, walletVersion] = [await fake.world.store.version(), await fake.world.walletStore.version()];
      const { status, body, headers } = await fake.clock.drive(call());
      assert.deepEqual([status, body.error.code], [expected.status, expected.code], JSON.stringify(body));
      assert.match(body.error.message, expected.says);
      assert.deepEqual(Object.keys(body), ["error"]);
      assert.equal(headers.get("x-request-id"), body.error.requestId);
      await fake.clock.settle();
      assert.equal(await fake.world.store.version(), version, "the program's store was written to");
      assert.equal(await fake.world.walletStore.version(), walletVersion, "the wallet was asked to do something");
    } finally {
      fake.discard();
    }
  });
}

const creating = (body: unknown, headers?: Record<string, string>) => (fake: FakeWorld) =>
  Promise.resolve(() => fake.world.call("POST", "/api/jobs", body, headers));

// ---- creating a job ----------------------------------------------------------------------------------------------

const INVALID = { status: 400, code: "validation_failed" };

refused("a job without a request", { ...INVALID, says: /request is missing/ }, creating({}));
refused("a job without a body", { ...INVALID, says: /./ }, creating(undefined));
refused("an empty request", { status: 400, code: "request_empty", says: /empty/ }, creating({ request: "" }));
refused(
  "a request of blanks",
  { status: 400, code: "request_empty", says: /no visible text/ },
  creating({ request: " \t\n\u3000 " }),
);
refused(
  "a request of 501 characters",
  { status: 400, code: "request_too_long", says: /longer than 500 characters/ },
  creating({ request: "a".repeat(501) }),
);
refused(
  "a request of 501 emoji",
  { status: 400, code: "request_too_long", says: /longer than 500 characters/ },
  creating({ request: "🦊".repeat(501) }),
);
refused("a request that is a number", { ...INVALID, says: /request must be a string/ }, creating({ request: 5 }));
refused("a request that is null", { ...INVALID, says: /request must be a string/ }, creating({ request: null }));
refused("a body that is a list", { ...INVALID, says: /must be an object/ }, creating([{ request: "hello" }]));
refused("broken JSON", { status: 400, code: "invalid_json", says: /JSON/ }, creating('{"request": "hel'));
refused(
  "a body of 2 MB",
  { status: 413, code: "payload_too_large", says: /larger than 65536 bytes/ },
  creating({ request: "a".repeat(2_000_000) }),
);
refused("an unknown field", { ...INVALID, says: /colour/ }, creating({ request: "hello", colour: "red" }));
refused(
  "a nostr_token that is none",
  { status: 401, code: "identity_invalid", says: /Sign in again/ },
  creating({ request: "hello", nostr_token: "payer@example.com" }),
);
refused(
  "model, known but not built yet",
  { ...INVALID, says: /model is not supported/ },
  creating({ request: "hello", model: "payer@example.com" }),
);
refused(
  "a Lightning address that is none",
  { status: 400, code: "address_malformed", says: /name@example\.com/ },
  creating({ request: "hello", lightningAddress: "lnbc1payer" }),
);
refused(
  "a Lightning address that nobody answers for",
  { status: 400, code: "address_unreachable", says: /did not answer.*Check the address/ },
  creating({ request: "hello", lightningAddress: "payer@example.com" }),
);
refused(
  "an Idempotency-Key of 201 characters",
  { ...INVALID, says: /idempotency-key/i },
  creating({ request: "hello" }, { "idempotency-key": "k".repeat(201) }),
);

for (const [what, request] of [["500 letters", "a".repeat(500)], ["500 emoji", "🦊".repeat(500)]] as const) {
  Deno.test(`bad input: a request of ${what} is not too long`, async () => {
    const fake = await createFakeWorld(1);
    assert.equal((await fake.call("POST", "/api/jobs", { request })).status, 201);
    fake.discard();
  });
}

// ---- reading -----------------------------------------------------------------------------------------------------

const NO_JOB = { status: 404, code: "job_not_found", says: /no such job/ };

refused("an id that is none", NO_JOB, (fake) => Promise.resolve(() => fake.world.call("GET", "/api/jobs/nonsense")));
refused("an id that nobody was given", NO_JOB, (fake) => {
  const id = fake.world.deps.recordIds.idOf("job", "0".repeat(13));
  return Promise.resolve(() => fake.world.call("GET", `/api/jobs/${id}`));
});
refused("the handle of a job in place of its id", NO_JOB, async (fake) => {
  const { jobId } = await createJob(fake.call, "hello");
  return () => fake.world.call("GET", `/api/jobs/${jobId.slice(0, 13)}`);
});
refused("the handle of a job with another's proof", NO_JOB, async (fake) => {
  const [mine, theirs] = [await createJob(fake.call, "a"), await createJob(fake.call, "b")];
  return () => fake.world.call("GET", `/api/jobs/${theirs.jobId.slice(0, 13)}${mine.jobId.slice(13)}`);
});
refused(
  "an estimate without a request",
  { ...INVALID, says: /request is missing/ },
  (fake) => Promise.resolve(() => fake.world.call("GET", "/api/estimate")),
);
refused(
  "an estimate of blanks",
  { status: 400, code: "request_empty", says: /no visible text/ },
  (fake) => Promise.resolve(() => fake.world.call("GET", "/api/estimate?request=%20%20")),
);
refused(
  "an estimate with an unknown parameter",
  { ...INVALID, says: /modle/ },
  (fake) => Promise.resolve(() => fake.world.call("GET", "/api/estimate?request=hello&modle=x")),
);
refused(
  "an unknown path",
  { status: 404, code: "not_found", says: /\/api\/reference/ },
  (fake) => Promise.resolve(() => fake.world.call("GET", "/api/nothing")),
);

// ---- paying by hand ------------------------------------------------------------------------------------------------

for (
  const [what, hash] of [["63 digits", "a".repeat(63)], ["64 characters that are no hex", "g".repeat(64)]] as const
) {
  refused(
    `a payment hash of ${what}`,
    { ...INVALID, says: /64 hex digits/ },
    (fake) => Promise.resolve(() => fake.world.call("POST", `/api/dev/stub/pay/${hash}`)),
  );
}
refused(
  "a payment hash of no invoice of ours",
  { status: 404, code: "invoice_not_found", says: /no invoice/ },
  (fake) => Promise.resolve(() => fake.world.call("POST", `/api/dev/stub/pay/${"a".repeat(64)}`)),
);

// ---- claiming a refund -----------------------------------------------------------------------------------------------

interface Owed extends FakeWorld {
  sats: number;
  jobId: string;
}

/** A claim on a job that owes `sats`, with a body made for it. */
const claiming = (makeBody: (owed: Owed) => Promise<unknown>) => async (fake: FakeWorld) => {
  const { jobId, costLedger } = await fake.clock.drive(paidJob(fake.world, fake.world.call, "What is a hold invoice?"));
  const body = await makeBody({ ...fake, jobId, sats: costLedger.refundAmountSats });
  return () => fake.world.call("POST", `/api/jobs/${jobId}/refund`, body);
};
const invoiceFor = async (owed: Owed, amountSats: number | null) => {
  const { paymentRequest } = await payerInvoice(owed.world, amountSats);
  return { invoice: paymentRequest };
};

refused(
  "a refund invoice for a satoshi more than owed",
  { status: 400, code: "invoice_wrong_amount", says: /not for exactly \d+ sats/ },
  claiming((owed) => invoiceFor(owed, owed.sats + 1)),
);
refused(
  "a refund invoice whose last hop costs more than is paid for the route",
  { status: 400, code: "invoice_route_fee", says: /cost 11 sats, and at most \d+ .* leaves 1 for the fee/ },
  claiming((owed) => Promise.resolve({ invoice: signed(owed, { routeHints: [[hop(11_000)]] }) })),
);
refused(
  "a refund invoice whose last hop costs more than may be left for it",
  { status: 400, code: "invoice_route_fee", says: /another wallet/ },
  claiming((owed) => Promise.resolve({ invoice: signed(owed, { routeHints: [[hop(1_000_000)], [hop(2_000_000)]] }) })),
);
for (
  const [code, text] of [
    ["invoice_is_offer", "lno1qgsqvgnwgcg35z6ee2h3yczraddm72xrfua9uve2rlrm9deu7xyfzr"],
    ["invoice_is_offer", "LNO1QGSQVGNWGCG35Z6EE2H3YCZRADDM72XRFUA9UVE2RLRM9DEU7XYFZR"],
    ["invoice_is_lnurl", "LNURL1DP68GURN8GHJ7UM9WFMXJCM99E3K7MF0V9CXJ0M385EKVCENXC6R2C35"],
    ["invoice_is_lnurl", "lightning:lnurl1dp68gurn8ghj7um9wfmxjcm99e3k7mf0v9cxj0m385ekvcenxc6r2c35"],
    ["invoice_is_lnurl", "lnurlp://example.com/pay"],
    ["invoice_is_lightning_address", "payer@example.com"],
    ["invoice_is_lightning_address", " Payer+tips@example.co.uk "],
    ["invoice_is_bitcoin_address", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"],
    ["invoice_is_bitcoin_address", "1RustyRX2oai4EYYDpQGWvEL62BBGqN9T"],
    ["invoice_is_bitcoin_address", "bitcoin:BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4?amount=0.01"],
    ["invoice_is_payment_hash", "ab".repeat(32)],
    ["invoice_is_payment_hash", "AB".repeat(32)],
  ] as const
) {
  refused(
    `${text} pasted as a refund invoice`,
    { status: 400, code, says: /(not an invoice|over Lightning only).*(lnbc|as lightningAddress)/ },
    claiming(() => Promise.resolve({ invoice: text })),
  );
}
refused(
  "a refund invoice for the right sats and a millisatoshi more",
  { status: 400, code: "invoice_wrong_amount", says: /not for exactly/ },
  claiming((owed) => Promise.resolve({ invoice: signed(owed, { amountMsat: owed.sats * 1_000 + 1 }) })),
);
refused(
  "a refund invoice without an amount",
  { status: 400, code: "invoice_without_amount", says: /names no amount/ },
  claiming((owed) => invoiceFor(owed, null)),
);
refused(
  "an expired refund invoice",
  { status: 400, code: "invoice_expired", says: /expired/ },
  claiming(async (owed) => {
    const body = await invoiceFor(owed, owed.sats);
    owed.clock.leap(3_600_000);
    await owed.clock.advance(2_000);
    return body;
  }),
);
for (const prefix of ["lnbc", "lntb", "lntbs"] as const) {
  refused(
    `a refund invoice of another network (${prefix})`,
    { status: 400, code: "invoice_wrong_network", says: /another network/ },
    claiming((owed) => Promise.resolve({ invoice: signed(owed, { prefix }) })),
  );
}
refused(
  "a refund invoice with a changed character",
  { status: 400, code: "invoice_malformed", says: /./ },
  claiming(async (owed) => {
    const { invoice } = await invoiceFor(owed, owed.sats);
    const at = invoice.length - 20;
    return { invoice: invoice.slice(0, at) + (invoice[at] === "q" ? "p" : "q") + invoice.slice(at + 1) };
  }),
);
refused(
  "a refund invoice that is none",
  { status: 400, code: "invoice_malformed", says: /./ },
  claiming(() => Promise.resolve({ invoice: "lnbcrt-please" })),
);
refused(
  "an empty refund invoice",
  { ...INVALID, says: /invoice must not be empty/ },
  claiming(() => Promise.resolve({ invoice: "" })),
);
refused(
  "a claim without an invoice",
  { ...INVALID, says: /the body needs an invoice or a lightningAddress/ },
  claiming(() => Promise.resolve({})),
);
refused(
  "a claim of a number",
  { ...INVALID, says: /invoice must be a string/ },
  claiming(() => Promise.resolve({ invoice: 7 })),
);
refused(
  "a claim with a Lightning address beside an invoice",
  { ...INVALID, says: /the body has an invoice and a lightningAddress: send one/ },
  claiming(async (owed) => ({ ...await invoiceFor(owed, owed.sats), lightningAddress: "payer@example.com" })),
);
refused(
  "a claim with a Lightning address that is none",
  { status: 400, code: "address_malformed", says: /invoice belongs in `invoice`/ },
  claiming(async (owed) => ({ lightningAddress: (await invoiceFor(owed, owed.sats)).invoice.slice(0, 100) })),
);
refused(
  "a claim with a Lightning address that nobody answers for",
  { status: 400, code: "address_unreachable", says: /did not answer/ },
  claiming(() => Promise.resolve({ lightningAddress: "payer@example.com" })),
);
refused(
  "a refund invoice that is one of this instance's own",
  { status: 400, code: "invoice_used", says: /used before/ },
  async (fake) => {
    const job = await fake.clock.drive(paidJob(fake.world, fake.world.call, "[fail-eval]"));
    const other = await createJob(fake.call, "hello"); // its fee is exactly what is owed
    return () =>
      fake.world.call("POST", `/api/jobs/${job.jobId}/refund`, { invoice: other.evalInvoice.paymentRequest });
  },
);
refused(
  "a refund invoice that was paid for another job",
  { status: 400, code: "invoice_used", says: /used before/ },
  async (fake) => {
    const [one, two] = [
      await fake.clock.drive(paidJob(fake.world, fake.world.call, "[fail-eval] 1")),
      await fake.clock.drive(paidJob(fake.world, fake.world.call, "[fail-eval] 2")),
    ];
    const { paymentRequest } = await payerInvoice(fake.world, 10);
    const first = await fake.call("POST", `/api/jobs/${one.jobId}/refund`, { invoice: paymentRequest });
    assert.equal(first.status, 200);
    return () => fake.world.call("POST", `/api/jobs/${two.jobId}/refund`, { invoice: paymentRequest });
  },
);
refused(
  "a claim on a refund that was paid",
  { status: 409, code: "refund_claimed", says: /claimed before/ },
  claiming(async (owed) => {
    assert.equal((await claimRefund(owed.world, owed.call, owed.jobId, owed.sats)).status, 200);
    return invoiceFor(owed, owed.sats);
  }),
);
refused(
  "a claim on a refund that was paid, with an invoice that is wrong as well",
  { status: 409, code: "refund_claimed", says: /claimed before/ },
  claiming(async (owed) => {
    assert.equal((await claimRefund(owed.world, owed.call, owed.jobId, owed.sats)).status, 200);
    return { invoice: "lnbcrt-please" };
  }),
);
refused(
  "a claim on a refund that nobody claimed in time",
  { status: 409, code: "refund_expired", says: /in time/ },
  claiming(async (owed) => {
    owed.clock.leap(30 * 86_400_000);
    await owed.clock.advance(2_000);
    return invoiceFor(owed, owed.sats);
  }),
);
refused(
  "a claim on a job that owes nothing",
  { status: 409, code: "no_refund", says: /owes nothing/ },
  async (fake) => {
    const job = await createJob(fake.call, "hello");
    const { paymentRequest } = await payerInvoice(fake.world, 5);
    return () => fake.world.call("POST", `/api/jobs/${job.jobId}/refund`, { invoice: paymentRequest });
  },
);
refused("a claim on a job that is none", NO_JOB, async (fake) => {
  const { paymentRequest } = await payerInvoice(fake.world, 5);
  return () => fake.world.call("POST", "/api/jobs/nonsense/refund", { invoice: paymentRequest });
});

/** A well-signed invoice of a stranger's node, right in all but what is named. */
function signed(
  owed: Owed,
  wrong: { prefix?: "lnbc" | "lntb" | "lntbs"; amountMsat?: number; routeHints?: RouteHint[] },
): string {
  return encodeInvoice({
    prefix: "lnbcrt",
    amountMsat: owed.sats * 1_000,
    paymentHash: "ab".repeat(32),
    paymentSecret: "cd".repeat(32),
    memo: "refund",
    createdAtSeconds: Math.floor(owed.clock.now() / 1_000),
    expirySeconds: 3_600,
    ...wrong,
  }, new Uint8Array(32).fill(7));
}

/** A private channel whose fee its owner has chosen. */
const hop = (feeBaseMsat: number): RouteHop => ({
  nodeId: `02${"9e".repeat(32)}`,
  shortChannelId: "1x1x1",
  feeBaseMsat,
  feePpm: 0,
  cltvDelta: 40,
});
