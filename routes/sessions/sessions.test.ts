import assert from "node:assert/strict";
import { fromBase64, narrow, toBase64 } from "@/lib/l402/macaroon.ts";
import { encodeInvoice } from "@/lib/lightning/bolt11.ts";
import { auditedTests } from "@/tests/harness/audited.ts";
import { createFakeWorld, type FakeWorld } from "@/tests/harness/fake-world.ts";
import { payerInvoice } from "@/tests/harness/payer.ts";
import { bearer, type PaidSession, paidSession, readChallenge } from "@/tests/harness/session-payer.ts";
import type { Answer } from "@/tests/harness/world.ts";

const ASK = { request: "What is a hold invoice?" };
const NOBODY = "0".repeat(13) + "-" + "0".repeat(32);

const audited = auditedTests("sessions: ");
/** Runs `fn` with a paid session of 1,000 sats in a world whose time stands still. */
const withSession = (name: string, fn: (session: PaidSession, fake: FakeWorld) => Promise<void>) =>
  audited(name, async (fake) => fn(await paidSession(fake.world, fake.call, 1_000), fake));

/** The one error shape, with this status and code. @returns its details. */
// deno-lint-ignore no-explicit-any
function assertError({ status, body, headers }: Answer, wanted: number, code: string, says: RegExp = /./): any {
  assert.equal(status, wanted, JSON.stringify(body));
  assert.equal(body.error.code, code);
  assert.match(body.error.message, says);
  assert.equal(body.error.requestId, headers.get("x-request-id"));
  return body.error.details;
}

withSession(
  "a body that does not fit is 400 and names each wrong field",
  async ({ path, auth, preimage }, { call }) => {
    const wrong: [path: string, body: unknown, field: string, says: RegExp][] = [
      ["/api/sessions", {}, "amount_sats", /is missing/],
      ["/api/sessions", { amount_sats: 1.5 }, "amount_sats", /whole number/],
      ["/api/sessions", { amount_sats: "500" }, "amount_sats", /must be a/],
      ["/api/sessions", { amount_sats: -500 }, "amount_sats", /more than 0/],
      ["/api/sessions", { amount_sats: null }, "amount_sats", /must be a/],
      ["/api/sessions", { amount_sats: 1e300 }, "amount_sats", /./],
      ["/api/sessions", { amount_sats: 500, tip: 1 }, "tip", /not a field/],
      [`${path}/request`, {}, "request", /is missing/],
      [`${path}/request`, { request: 7 }, "request", /must be a string/],
      [`${path}/request`, { ...ASK, temperature: 1 }, "temperature", /not a field/],
      [`${path}/topup`, { amount_sats: "500" }, "amount_sats", /must be a/],
      [`${path}/topup`, { amount_sats: 150.5 }, "amount_sats", /whole number/],
      [`${path}/topup`, { amount_sats: 150, invoice: "x" }, "invoice", /not a field/],
      [`${path}/close`, { invoice: 7 }, "invoice", /must be a string/],
      [`${path}/close`, { invoice: "" }, "invoice", /must not be empty/],
      [`${path}/close`, { invoice: "x".repeat(4_097) }, "invoice", /too long/],
      [`${path}/close`, { lightningAddress: 7 }, "lightningAddress", /must be a string/],
      [`${path}/close`, { invoice: "x", lightningAddress: "payer@example.com" }, "", /one of the two/],
      [`${path}/close`, { address: "payer@example.com" }, "address", /not a field/],
      [`${path}/macaroon`, { preimage: "ab" }, "preimage", /64 hex digits/],
      [`${path}/macaroon`, { preimage, rotate: "yes" }, "rotate", /true or false/],
      [`${path}/macaroon`, { preimage, npub: "x" }, "npub", /not a field/],
    ];
    for (const [to, body, field, says] of wrong) {
      const details = assertError(await call("POST", to, body, auth), 400, "validation_failed", says);
      assert.deepEqual(details.fields.map((it: { field: string }) => it.field), [field], JSON.stringify(body));
    }
    const both = await call("POST", "/api/sessions", { amount_sats: "1", tip: 1 });
    assert.deepEqual(
      assertError(both, 400, "validation_failed").fields.map((it: { field: string }) => it.field),
      ["amount_sats", "tip"],
    );
  },
);

withSession(
  "a body that is no JSON is 400, one of another type 415, no body at all 400",
  async (it, { call }) => {
    for (const to of ["/api/sessions", `${it.path}/request`, `${it.path}/topup`, `${it.path}/close`]) {
      assertError(await call("POST", to, "{", it.auth), 400, "invalid_json");
      assertError(await call("POST", to, "null", it.auth), 400, "validation_failed");
      assertError(await call("POST", to, "[]", it.auth), 400, "validation_failed");
      const typed = await call("POST", to, "{}", { ...it.auth, "content-type": "text/plain" });
      assert.ok([400, 415].includes(typed.status), String(typed.status));
      if (!to.endsWith("/close")) assert.equal((await call("POST", to, undefined, it.auth)).status, 400, to);
    }
  },
);

withSession("an amount out of range is 400 with the range, at creation and at a top-up", async (it, { call }) => {
  for (const to of ["/api/sessions", `${it.path}/topup`]) {
    for (const sats of [1, 99, 10_001, 9_007_199_254_740_991]) {
      const details = assertError(await call("POST", to, { amount_sats: sats }, it.auth), 400, "amount_out_of_range");
      assert.deepEqual(details, { minDepositSats: 100, maxDepositSats: 10_000 });
    }
  }
  for (const sats of [100, 10_000]) {
    const { status, body } = await call("POST", "/api/sessions", { amount_sats: sats });
    assert.deepEqual([status, body.state, body.invoice.amountSats], [201, "awaiting_payment", sats]);
  }
});

withSession("a request that is empty, blank or too long is 400 and says which", async ({ path, auth }, { call }) => {
  const ask = (request: string) => call("POST", `${path}/request`, { request }, auth);
  assertError(await ask(""), 400, "request_empty");
  assertError(await ask(" \n\t"), 400, "request_empty");
  assertError(await ask("x".repeat(501)), 400, "request_too_long", /500/);
  assert.equal((await ask("😀".repeat(500))).status, 200, "characters are counted, not bytes");
});

const PROTECTED: [method: string, path: string, body?: unknown][] = [
  ["POST", "/request", ASK],
  ["POST", "/topup", { amount_sats: 500 }],
  ["POST", "/close", {}],
  ["GET", "/requests"],
  ["GET", "/requests/none"],
];

withSession(
  "without a credential every route of the holder's is 402 with a challenge",
  async ({ path, sessionId }, { call }) => {
    for (const [method, to, body] of PROTECTED) {
      for (const spelled of [`${path}${to}`, `${path}${to}/`]) {
        const answer = await call(method, spelled, body);
        const details = assertError(answer, 402, "payment_required", /WWW-Authenticate/);
        const { macaroon, invoice } = readChallenge(answer.headers);
        assert.equal(invoice, details.invoice.paymentRequest);
        assert.equal(details.invoice.amountSats, 500, "a top-up of L402_DEPOSIT_SATS");
        assert.equal(details.sessionId, sessionId);
        assert.ok(fromBase64(macaroon).caveats.includes(`session=${sessionId}`));
      }
    }
  },
);

withSession("a method that no route has is 405 and makes no invoice", async ({ path }, { call, world }) => {
  const before = (await world.rows(["invoice"])).length;
  for (const [method, to] of PROTECTED) {
    assertError(await call(method === "GET" ? "POST" : "GET", `${path}${to}`), 405, "method_not_allowed");
    assertError(await call("DELETE", `${path}${to}`), 405, "method_not_allowed");
  }
  assert.equal((await world.rows(["invoice"])).length, before);
});

Deno.test("sessions: without a credential an unpaid session's challenge is its own deposit", async () => {
  const fake = await createFakeWorld(1);
  try {
    const { body: created } = await fake.call("POST", "/api/sessions", { amount_sats: 321 });
    const answer = await fake.call("POST", `/api/sessions/${created.sessionId}/request`, ASK);
    assert.equal(answer.status, 402);
    assert.equal(readChallenge(answer.headers).invoice, created.invoice.paymentRequest);
  } finally {
    fake.discard();
  }
});

withSession(
  "a credential that is none is 401 and sells nothing; a wrong one is 401 too",
  async (it, { call, world }) => {
    const { path, macaroon, preimage } = it;
    const before = (await world.rows(["invoice"])).length;
    const wrong = [
      ["Basic dXNlcjpwdw==", "invalid_token"],
      ["L402", "invalid_token"],
      [`L402 ${macaroon}`, "invalid_token"],
      [`L402 ${macaroon}:abc`, "invalid_token"],
      [`Bearer ${macaroon} ${macaroon}`, "invalid_token"],
      [`Bearer ${macaroon}, Bearer ${macaroon}`, "invalid_token"],
      ["Bearer sk-proj-1234", "invalid_token"],
      [`Bearer ${"A".repeat(100_000)}`, "invalid_token"],
      [`L402 ${macaroon}:${"0".repeat(64)}`, "preimage_required"],
    ];
    for (const [authorization = "", code = ""] of wrong) {
      for (const [method, to, body] of PROTECTED) {
        const answer = await call(method, path + to, body, { authorization });
        assertError(answer, 401, code);
        assert.equal(answer.headers.get("www-authenticate"), null);
        assert.ok(!JSON.stringify(answer.body).includes(macaroon.slice(0, 40)), "the answer repeats the token");
      }
    }
    assert.equal((await world.rows(["invoice"])).length, before);
    assert.equal(
      (await call("GET", `${path}/requests`, undefined, { authorization: `L402 ${macaroon}:${preimage}` })).status,
      200,
    );
  },
);

withSession(
  "an id that opens nothing is 404, and 401 where a token is asked for, whoever asks",
  async (it, { call }) => {
    for (const id of [NOBODY, it.handle, "x", `${it.handle}-${"0".repeat(32)}`, it.sessionId.toUpperCase(), "%00"]) {
      assertError(await call("GET", `/api/sessions/${id}`), 404, "session_not_found");
      assertError(
        await call("POST", `/api/sessions/${id}/macaroon`, { preimage: it.preimage }),
        404,
        "session_not_found",
      );
      for (const [method, to, body] of PROTECTED) {
        assertError(await call(method, `/api/sessions/${id}${to}`, body), 401, "token_required");
        assertError(await call(method, `/api/sessions/${id}${to}`, body, it.auth), 401, "wrong_session");
      }
    }
    assertError(await call("GET", `/api/sessions/${"x".repeat(101)}`), 400, "validation_failed");
  },
);

withSession("a caveat that does not allow this is 403 and named", async ({ path, macaroon }, { call }) => {
  const narrowed = (...caveats: string[]) => bearer(toBase64(narrow(fromBase64(macaroon), caveats)));
  const forbidden: [auth: { authorization: string }, method: string, to: string, body: unknown, caveat: string][] = [
    [narrowed("max_sats=10"), "POST", "/request", ASK, "max_sats"],
    [narrowed("model=another"), "POST", "/request", ASK, "model"],
    [narrowed("timmy_capabilities=chat"), "POST", "/request", ASK, "timmy_capabilities"],
    [narrowed("timmy_capabilities=chat"), "GET", "/requests", undefined, "timmy_capabilities"],
    [narrowed("max_sats=500"), "POST", "/close", {}, "max_sats"],
    [narrowed("max_sats=500"), "GET", "/requests", undefined, "max_sats"],
    [narrowed("model=claude-sonnet-4-6"), "POST", "/close", {}, "model"],
    [narrowed("timmy_valid_until=4102444800"), "POST", "/close", {}, "timmy_valid_until"],
  ];
  for (const [auth, method, to, body, caveat] of forbidden) {
    const details = assertError(await call(method, path + to, body, auth), 403, "caveat_failed", new RegExp(caveat));
    assert.equal(details.caveat, caveat);
  }
  const [capped] = forbidden.map(([auth]) => auth);
  const { leftSats, priceSats } = (await call("POST", `${path}/request`, ASK, capped)).body.error.details;
  assert.equal(leftSats, 10);
  assert.ok(priceSats > 10);
});

withSession("a request of another session, or none, is 404", async (it, { call, world }) => {
  const { requestId } = (await call("POST", `${it.path}/request`, ASK, it.auth)).body;
  const other = await paidSession(world, call, 500);
  assertError(
    await call("GET", `${other.path}/requests/${requestId}`, undefined, other.auth),
    404,
    "request_not_found",
  );
  assertError(await call("GET", `${it.path}/requests/none`, undefined, it.auth), 404, "request_not_found");
  const found = await call("GET", `${it.path}/requests/${requestId}`, undefined, it.auth);
  assert.deepEqual([found.status, found.body.requestId], [200, requestId]);
});

withSession(
  "a history is read in pages of any size; a limit or a place that is none is 400",
  async (it, { call, clock }) => {
    const { path, auth } = it;
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) {
      ids.unshift((await call("POST", `${path}/request`, ASK, auth)).body.requestId);
      await clock.advance(5);
    }
    const read: string[] = [];
    let after = "";
    do {
      const page = (await call("GET", `${path}/requests?limit=2${after}`, undefined, auth)).body;
      read.push(...page.requests.map((request: { requestId: string }) => request.requestId));
      assert.ok(page.requests.length <= 2);
      after = page.next === undefined ? "" : `&after=${page.next}`;
    } while (after !== "");
    assert.deepEqual(read, ids, "the newest first, each once");
    for (const query of ["limit=0", "limit=101", "limit=1.5", "limit=-1", "limit=x", "after=x", "after="]) {
      const [field] = query.split("=");
      const details = assertError(
        await call("GET", `${path}/requests?${query}`, undefined, auth),
        400,
        "validation_failed",
      );
      assert.equal(details.fields[0].field, field);
    }
  },
);

withSession(
  "a balance that does not cover a request is 402 with balance, price and a top-up that is one",
  async (it, { call }) => {
    const { path, auth } = it;
    let short = await call("POST", `${path}/request`, ASK, auth);
    while (short.status === 200) short = await call("POST", `${path}/request`, ASK, auth);
    const { balanceSats, priceSats, minimumBalanceSats, topup } = assertError(
      short,
      402,
      "insufficient_balance",
      /Top up/,
    );
    assert.ok(balanceSats < priceSats && balanceSats >= minimumBalanceSats);
    assert.deepEqual([topup.method, topup.path], ["POST", `${path}/topup`]);
    const offered = await call(topup.method, topup.path, topup.body, auth);
    assert.equal(offered.status, 201, "the way to top up works as it is told");
  },
);

withSession("closing with an invoice that will not be paid moves nothing", async (it, { call, world, clock }) => {
  const { path, auth, invoice } = it;
  const elsewhere = encodeInvoice({
    prefix: "lnbc",
    amountMsat: 1_000_000,
    paymentHash: "ab".repeat(32),
    paymentSecret: "cd".repeat(32),
    memo: "refund",
    createdAtSeconds: Math.floor(clock.now() / 1_000),
    expirySeconds: 86_400,
  }, new Uint8Array(32).fill(7));
  const expired = (await payerInvoice(world, 1_000)).paymentRequest;
  clock.leap(2 * 3_600_000);
  await clock.advance(2_000);
  const fresh = async (sats: number | null) => (await payerInvoice(world, sats)).paymentRequest;
  const wrong: [invoice: string, status: number, code: string][] = [
    ["lnbcrt-please", 400, "invoice_malformed"],
    ["lno1qgsqvgnwgcg35z6ee2h3yczraddm72xrfua9uve2rlrm9deu7xyfzr", 400, "invoice_is_offer"],
    ["LNURL1DP68GURN8GHJ7UM9WFMXJCM99E3K7MF0V9CXJ0M385EKVCENXC6R2C35", 400, "invoice_is_lnurl"],
    ["payer@example.com", 400, "invoice_is_lightning_address"],
    [elsewhere, 400, "invoice_wrong_network"],
    [expired, 400, "invoice_expired"],
    [await fresh(949), 400, "invoice_wrong_amount"],
    [await fresh(1_001), 400, "invoice_wrong_amount"],
    [await fresh(null), 400, "invoice_without_amount"],
    [(await call("POST", "/api/sessions", { amount_sats: 1_000 })).body.invoice.paymentRequest, 400, "invoice_used"],
  ];
  const state = JSON.stringify((await call("GET", path)).body);
  const version = async () => JSON.stringify([await world.rows(["entry"]), await world.rows(["refund"])]);
  const before = await version();
  for (const [text, status, code] of wrong) {
    assertError(await call("POST", `${path}/close`, { invoice: text }, auth), status, code);
    assert.equal(await version(), before, code);
  }
  assertError(await call("POST", `${path}/close`, { invoice: invoice.paymentRequest }, auth), 400, "invoice_expired");
  const after = (await call("GET", path)).body;
  assert.deepEqual({ ...JSON.parse(state), macaroon: undefined }, { ...after, macaroon: undefined });
  assert.equal(after.state, "active");
});

withSession("closing with an invoice that paid another refund moves nothing", async (it, { call, world }) => {
  const { paymentRequest } = await payerInvoice(world, 1_000);
  const other = await paidSession(world, call, 1_000);
  assert.equal((await call("POST", `${other.path}/close`, { invoice: paymentRequest }, other.auth)).status, 200);
  assertError(await call("POST", `${it.path}/close`, { invoice: paymentRequest }, it.auth), 400, "invoice_used");
  assert.equal((await call("GET", it.path)).body.state, "active");
});
