import assert from "node:assert/strict";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { encodeInvoice, type InvoiceToSign } from "@/lib/lightning/bolt11.ts";
import { type GuardedFetch, GuardedFetchError } from "@/lib/public-fetch.ts";
import { askAddress, invoiceOfAddress, LnurlError, type Wanted } from "./lnurl.ts";

const ADDRESS = "payer+tips@example.com";
const NOW = 1_700_000_000_000;
const METADATA = '[["text/plain","refunds"],["image/png;base64","AAAA"]]';
const HASH = bytesToHex(sha256(utf8ToBytes(METADATA)));
const PAGE = {
  tag: "payRequest",
  callback: "https://pay.example.com/cb?id=7",
  minSendable: 1_000,
  maxSendable: 500_000,
  metadata: METADATA,
  commentAllowed: 100,
  successAction: { tag: "message" },
};

const invoice = (amountMsat: number | null, change: Partial<InvoiceToSign> = {}) =>
  encodeInvoice({
    prefix: "lnbcrt",
    amountMsat,
    paymentHash: "ab".repeat(32),
    paymentSecret: "cd".repeat(32),
    memo: "",
    descriptionHash: HASH,
    createdAtSeconds: NOW / 1_000,
    expirySeconds: 600,
    ...change,
  }, new Uint8Array(32).fill(7));

/** Answers of a server that says this on its page, and this to whoever asks for an invoice. */
function server(page: unknown, pay: (msat: number) => unknown = (msat) => ({ pr: invoice(msat) })) {
  const asked: string[] = [];
  const fetch: GuardedFetch = (url) => {
    asked.push(url);
    const said = url.includes("/.well-known/") ? page : pay(Number(new URL(url).searchParams.get("amount")));
    const { status = 200, body = said } = said !== null && typeof said === "object"
      ? said as { status?: number; body?: unknown }
      : {};
    const text = typeof body === "string" ? body : JSON.stringify(body);
    return said instanceof Error ? Promise.reject(said) : Promise.resolve({
      status: typeof status === "number" ? status : 200,
      headers: new Map(),
      body: utf8ToBytes(text),
    });
  };
  return { fetch, asked };
}
const want = (owedSats: number, part: Partial<Wanted> = {}): Wanted => ({
  owedSats,
  askSats: owedSats,
  feeCreditSats: 0,
  prefix: "lnbcrt",
  ...part,
});
const get = (fetch: GuardedFetch, wanted: Wanted) => invoiceOfAddress(fetch, ADDRESS, wanted, () => NOW);
async function fails(promise: Promise<unknown>, code: LnurlError["code"], says: RegExp): Promise<LnurlError> {
  const error = await promise.then(() => assert.fail("it was accepted"), (error) => error);
  assert.ok(error instanceof LnurlError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.reason, says);
  return error;
}

Deno.test("invoiceOfAddress: asks the address' page, then its callback for that very amount", async () => {
  const { fetch, asked } = server(PAGE);
  assert.deepEqual(await get(fetch, want(50)), {
    paymentHash: "ab".repeat(32),
    paymentRequest: invoice(50_000),
    amountSats: 50,
  });
  assert.deepEqual(asked, [
    "https://example.com/.well-known/lnurlp/payer+tips",
    "https://pay.example.com/cb?id=7&amount=50000",
  ]);
  const named = server({ ...PAGE, callback: "https://pay.example.com/cb?amount=1&id=7" });
  await get(named.fetch, want(50));
  assert.equal(named.asked[1], "https://pay.example.com/cb?amount=50000&id=7", "no second amount beside ours");
});

Deno.test("invoiceOfAddress: an invoice in upper case is one", async () => {
  const { fetch } = server(PAGE, (msat) => ({ pr: invoice(msat).toUpperCase() }));
  assert.equal((await get(fetch, want(50))).paymentRequest, invoice(50_000));
});

Deno.test("invoiceOfAddress: the limits themselves are within", async () => {
  for (const sats of [1, 500]) assert.equal((await get(server(PAGE).fetch, want(sats))).amountSats, sats);
  await fails(get(server(PAGE).fetch, want(501)), "amount", /from 1 to 500 sats, and this is 501/);
  await fails(get(server({ ...PAGE, minSendable: 1_001 }).fetch, want(1)), "amount", /from 2 to 500/);
});

const PAGES: [name: string, page: unknown, code: LnurlError["code"], says: RegExp][] = [
  ["no object", [], "not_payable", /LNURL-pay/],
  ["null", { body: "null" }, "not_payable", /LNURL-pay/],
  ["no JSON", { body: "<html>" }, "unreachable", /HTTP 200/],
  ["JSON with another status", { status: 201, body: JSON.stringify(PAGE) }, "unreachable", /HTTP 201/],
  ["a redirect", { status: 301, body: "" }, "unreachable", /HTTP 301/],
  ["404", { status: 404, body: "no" }, "not_payable", /does not know it/],
  ["an error", { body: '{"status":"ERROR","reason":"no such user"}' }, "refused", /It says: "no such user"/],
  [
    "an error in lower case, with another status",
    { status: 500, body: '{"status":"error","reason":"x"}' },
    "refused",
    /"x"/,
  ],
  ["an error without a reason", { body: '{"status":"ERROR"}' }, "refused", /refuses\.$/],
  ["an error whose reason is no text", { body: '{"status":"ERROR","reason":{"a":1}}' }, "refused", /refuses\.$/],
  ["another tag", { ...PAGE, tag: "withdrawRequest" }, "not_payable", /LNURL-pay/],
  ["no callback", { ...PAGE, callback: undefined }, "not_payable", /LNURL-pay/],
  ["a callback that is no address", { ...PAGE, callback: "cb" }, "not_payable", /LNURL-pay/],
  ["limits as texts", { ...PAGE, minSendable: "1000" }, "not_payable", /LNURL-pay/],
  ["a limit with a fraction", { ...PAGE, maxSendable: 1_000.5 }, "not_payable", /LNURL-pay/],
  ["limits the wrong way round", { ...PAGE, minSendable: 600_000 }, "not_payable", /LNURL-pay/],
  ["no metadata", { ...PAGE, metadata: undefined }, "not_payable", /LNURL-pay/],
  ["metadata that is a list already", { ...PAGE, metadata: [["text/plain", "x"]] }, "not_payable", /LNURL-pay/],
  ["metadata that is no JSON", { ...PAGE, metadata: "refunds" }, "not_payable", /LNURL-pay/],
  ["metadata without a plain text", { ...PAGE, metadata: '[["text/long-desc","x"]]' }, "not_payable", /LNURL-pay/],
  ["metadata with two", { ...PAGE, metadata: '[["text/plain","x"],["text/plain","y"]]' }, "not_payable", /LNURL-pay/],
  ["a payer who must be named", { ...PAGE, payerData: { name: { mandatory: true } } }, "payer_data", /payer's name\./],
  [
    "a payer who must tell what nobody knows",
    { ...PAGE, payerData: { "shoe<size>": { mandatory: true } } },
    "payer_data",
    /payer's data\./,
  ],
  [
    "a payer who must sign",
    { ...PAGE, payerData: { auth: { mandatory: true, k1: "00" }, pubkey: { mandatory: true } } },
    "payer_data",
    /auth, pubkey/,
  ],
];
for (const [name, page, code, says] of PAGES) {
  Deno.test(`askAddress: refuses ${name}`, async () => {
    await fails(askAddress(server(page).fetch, ADDRESS), code, says);
  });
}

Deno.test("askAddress: what a server would like to know, and does not demand, is ignored", async () => {
  const payerData = {
    name: { mandatory: false },
    email: { mandatory: "yes" },
    pubkey: null,
    future: { mandatory: false },
  };
  const { descriptionHash } = await askAddress(server({ ...PAGE, payerData }).fetch, ADDRESS);
  assert.equal(descriptionHash, HASH);
});

const INVOICES: [name: string, pay: (msat: number) => unknown, code: LnurlError["code"], says: RegExp][] = [
  ["for a msat more", (msat) => ({ pr: invoice(msat + 1) }), "invoice", /another amount/],
  ["for a sat less", (msat) => ({ pr: invoice(msat - 1_000) }), "invoice", /another amount/],
  ["without an amount", () => ({ pr: invoice(null) }), "invoice", /another amount/],
  [
    "with a memo in place of the hash",
    (msat) => ({ pr: invoice(msat, { descriptionHash: undefined, memo: METADATA }) }),
    "invoice",
    /describes/,
  ],
  [
    "with another hash",
    (msat) => ({ pr: invoice(msat, { descriptionHash: "00".repeat(32) }) }),
    "invoice",
    /describes/,
  ],
  [
    "of another network",
    (msat) => ({ pr: invoice(msat, { prefix: "lnbc" }) }),
    "invoice",
    /another network; this wallet pays lnbcrt/,
  ],
  [
    "that has expired",
    (msat) => ({ pr: invoice(msat, { createdAtSeconds: NOW / 1_000 - 600 }) }),
    "invoice",
    /expired/,
  ],
  ["that is about to", (msat) => ({ pr: invoice(msat, { expirySeconds: 9 }) }), "invoice", /expired/],
  ["cut short", (msat) => ({ pr: invoice(msat).slice(0, -1) }), "invoice", /not valid/],
  [
    "that demands what nobody knows",
    (msat) => ({ pr: invoice(msat, { features: [8, 14, 100] }) }),
    "invoice",
    /not valid/,
  ],
  ["that is missing", () => ({ routes: [] }), "invoice", /it sent none/],
  ["that is no text", () => ({ pr: 7 }), "invoice", /it sent none/],
  ["with an error", () => ({ body: '{"status":"ERROR","reason":"try later"}' }), "refused", /"try later"/],
];
for (const [name, pay, code, says] of INVOICES) {
  Deno.test(`invoiceOfAddress: refuses an invoice ${name}`, async () => {
    await fails(get(server(PAGE, pay).fetch, want(50)), code, says);
  });
}

Deno.test("invoiceOfAddress: what failed on the way is told apart: an inward host, no answer, no room here", async () => {
  const page = (code: GuardedFetchError["code"]) => server(new GuardedFetchError(code, "why")).fetch;
  await fails(get(page("refused"), want(50)), "forbidden", /cannot be asked: why/);
  for (const code of ["unreachable", "timeout", "cut", "malformed", "too_large", "redirected"] as const) {
    await fails(get(page(code), want(50)), "unreachable", /did not answer: why/);
  }
  await fails(get(page("busy"), want(50)), "busy", /Too many/);
  const broken: GuardedFetch = () => Promise.reject(new TypeError("a mistake of ours"));
  await assert.rejects(get(broken, want(50)), TypeError);
});

Deno.test("a server's own words are one line, without what could disguise them, and at most 200 characters", async () => {
  const said = async (reason: string) =>
    (await fails(
      askAddress(server({ body: JSON.stringify({ status: "ERROR", reason }) }).fetch, ADDRESS),
      "refused",
      /./,
    )).said;
  assert.equal(await said(" a\nb\u202ec\u0000d\u2028e "), "a b c d e");
  assert.equal(await said("\n"), null);
  assert.equal(await said("x".repeat(201)), `${"x".repeat(200)}…`);
  assert.equal(await said(`${"x".repeat(199)}🦊`), `${"x".repeat(199)}\ufffd…`);
});

// ---- whose the route's fee is ----------------------------------------------------------------------------------------

const hints = (feeBaseMsat: number) => ({
  routeHints: [[{ nodeId: `02${"9e".repeat(32)}`, shortChannelId: "1x1x1", feeBaseMsat, feePpm: 0, cltvDelta: 40 }]],
});
const dear = (feeOf: (msat: number) => number) =>
  server(PAGE, (msat) => ({ pr: invoice(msat, hints(feeOf(msat))) })).fetch;

Deno.test("invoiceOfAddress: last hops that cost more than the operator pays are asked for again, for as much less", async () => {
  const amount = async (owedSats: number, feeMsat: number, part: Partial<Wanted> = {}) =>
    (await get(dear(() => feeMsat), want(owedSats, part))).amountSats;
  assert.equal(await amount(100, 0), 100);
  assert.equal(await amount(100, 3_000, { feeCreditSats: 3 }), 100);
  assert.equal(await amount(100, 3_001, { feeCreditSats: 3 }), 99);
  assert.equal(await amount(100, 10_000), 90);
  assert.equal(await amount(100, 4_000, { askSats: 90 }), 90, "what is left already covers it");
  await fails(amount(100, 10_001), "invoice", /cost more than may be paid/);
  await fails(amount(1, 1), "invoice", /cost more than may be paid/);
});

Deno.test("invoiceOfAddress: a server that asks more of the smaller invoice is not asked a third time", async () => {
  await fails(get(dear((msat) => msat === 100_000 ? 5_000 : 6_000), want(100)), "invoice", /cost more/);
});
