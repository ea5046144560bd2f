import assert from "node:assert/strict";
import { auditedTests } from "@/tests/harness/audited.ts";
import { opened, paidSession, readChallenge } from "@/tests/harness/session-payer.ts";

const CHAT = "/api/v1/chat/completions";
const COMPLETION = { model: "claude-sonnet-4-6", messages: [{ role: "user", content: "What is a hold invoice?" }] };
const ASK = { request: "What is a hold invoice?" };

const guarded = auditedTests("l402: ");

guarded("who pays is never counted: the limit is for challenges, and one for all routes", async ({ world, call }) => {
  const it = await opened(world, call, { method: "POST", path: CHAT, body: COMPLETION });
  for (let i = 0; i < 5; i++) assert.equal((await call("GET", `${it.path}/requests`, undefined, it.auth)).status, 200);
  for (const [path, body] of [[CHAT, COMPLETION], [`${it.path}/request`, ASK]] as const) {
    const refused = await call("POST", path, body);
    assert.deepEqual([refused.status, refused.body.error.code], [429, "too_many_challenges"]);
    assert.match(refused.body.error.message, /Pay one of them/);
    assert.ok(Number(refused.headers.get("retry-after")) > 0);
    assert.equal(refused.headers.get("www-authenticate"), null);
  }
  assert.equal((await call("POST", CHAT, COMPLETION, it.auth)).status, 200);
}, { challengesPerMinute: 1 });

guarded("a wallet that is down makes no challenge: 503 with Retry-After, and nothing is left behind", async (fake) => {
  const { world, call, walletFaults, engine } = fake;
  const it = await paidSession(world, call, 500);
  const before = engine.commits();
  for (const [path, body] of [[CHAT, COMPLETION], [`${it.path}/request`, ASK]] as const) {
    walletFaults.createInvoice = { kind: "refuse" };
    const refused = await call("POST", path, body);
    assert.deepEqual([refused.status, refused.body.error.code], [503, "wallet_unavailable"]);
    assert.ok(Number(refused.headers.get("retry-after")) > 0);
    walletFaults.createInvoice = undefined;
  }
  assert.equal(engine.commits(), before);
});

guarded("a wallet that does not say whether it was paid is 503, not 401: nobody pays twice for it", async (fake) => {
  const { world, call, walletFaults } = fake;
  walletFaults.hints = { kind: "lose" };
  const asked = await call("POST", CHAT, COMPLETION);
  const { macaroon } = readChallenge(asked.headers);
  const paid = await world.wallet.payInvoice(asked.body.error.details.invoice.paymentHash);
  assert.ok(paid.ok);
  const auth = { authorization: `L402 ${macaroon}:${paid.preimage}` };
  walletFaults.lookupInvoice = { kind: "refuse" };
  const unknown = await call("POST", CHAT, COMPLETION, auth);
  assert.deepEqual([unknown.status, unknown.body.error.code], [503, "wallet_unavailable"]);
  walletFaults.lookupInvoice = undefined;
  assert.equal((await call("POST", CHAT, COMPLETION, auth)).status, 200);
});

guarded("one invoice for one session's top-up, however often it is asked for", async ({ world, call }) => {
  const it = await paidSession(world, call, 500);
  const invoices = new Set<string>();
  for (let i = 0; i < 5; i++) {
    for (const [path, body] of [["/request", ASK], ["/topup", { amount_sats: 900 }], ["/close", {}]] as const) {
      const answer = await call("POST", it.path + path, body);
      assert.equal(answer.status, 402);
      invoices.add(readChallenge(answer.headers).invoice);
    }
  }
  assert.equal(invoices.size, 1);
});

guarded(
  "a credential that is shown comes before the body; without one the body comes before the challenge",
  async (fake) => {
    const { world, call } = fake;
    const it = await paidSession(world, call, 500);
    for (const [body, status] of [["{", 400], [{ nonsense: true }, 400], [ASK, 402]] as const) {
      assert.equal((await call("POST", `${it.path}/request`, body)).status, status);
      assert.equal((await call("POST", `${it.path}/request`, body, { authorization: "Bearer AAAA" })).status, 401);
      assert.equal((await call("POST", CHAT, body)).status, 400);
      assert.equal((await call("POST", CHAT, body, { authorization: "Bearer AAAA" })).status, 401);
    }
  },
);
