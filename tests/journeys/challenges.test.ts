/** Every 402 over HTTP: nothing else is wrong with the request, its challenge covers it, and paying lets it through. */
import assert from "node:assert/strict";
import { fromBase64, narrow, toBase64 } from "@/lib/l402/macaroon.ts";
import { auditedTests } from "../harness/audited.ts";
import { type FakeWorld } from "../harness/fake-world.ts";
import { keyWith } from "../harness/keys.ts";
import { bearer, opened, paidSession, readChallenge, settle } from "../harness/session-payer.ts";
import { type Answer, TEST_SETTINGS } from "../harness/world.ts";

const CHAT = "/api/v1/chat/completions";
const COMPLETION = { model: "claude-sonnet-4-6", messages: [{ role: "user", content: "What is a hold invoice?" }] };
const ASK = { request: "What is a hold invoice?" };
const long = (characters: number) => ({
  ...COMPLETION,
  messages: [{ role: "user", content: "word ".repeat(characters / 5) }],
});

type Headers_ = Record<string, string>;

const challenged = auditedTests("challenges: ");

const narrowed = (macaroon: string, ...caveats: string[]) => bearer(toBase64(narrow(fromBase64(macaroon), caveats)));
const invoices = async ({ world }: FakeWorld) => (await world.rows(["invoice"])).length;
const refusal = ({ status, body, headers }: Answer) => {
  assert.equal(headers.get("www-authenticate"), null);
  return [status, body.error.code];
};

/** Pays the challenge of a 402, whose invoice is the one in its details. @returns how to repeat the request */
async function paid(
  { world }: FakeWorld,
  { status, body, headers }: Answer,
): Promise<{ auth: Headers_; macaroon: string; sats: number }> {
  assert.equal(status, 402, JSON.stringify(body));
  const { macaroon, invoice } = readChallenge(headers);
  assert.equal(invoice, body.error.details.invoice.paymentRequest);
  const preimage = await settle(world, body.error.details.invoice);
  return {
    auth: { authorization: `L402 ${macaroon}:${preimage}` },
    macaroon,
    sats: body.error.details.invoice.amountSats,
  };
}

/** Three ways to spend a session's sats. */
const WAYS = ["request", "chat", "streamed chat"] as const;
const spend = ({ call }: FakeWorld, way: typeof WAYS[number], path: string, auth: Headers_) =>
  way === "request"
    ? call("POST", `${path}/request`, ASK, auth)
    : call("POST", CHAT, way === "chat" ? COMPLETION : { ...COMPLETION, stream: true }, auth);

/** Asks until it is refused. @returns the refusal, and how often it was served */
async function useUp(fake: FakeWorld, way: typeof WAYS[number], path: string, auth: Headers_) {
  for (let served = 0;; served++) {
    const answer = await spend(fake, way, path, auth);
    if (answer.status !== 200) return { answer, served };
  }
}

// ---- what can be refused without money -------------------------------------------------------------------------------

challenged(
  "a chat that nobody would answer is refused before anything is sold, as it is with a token",
  async (fake) => {
    const { world, call } = fake;
    const it = await paidSession(world, call, 10_000);
    const wrong: [body: unknown, status: number, code: string][] = [
      [{ ...COMPLETION, model: "gpt-unknown" }, 404, "model_not_found"],
      [{}, 400, "validation_failed"],
      ["{", 400, "invalid_json"],
      [{ ...COMPLETION, max_tokens: 10, max_completion_tokens: 11 }, 400, "validation_failed"],
      [{ ...COMPLETION, messages: [] }, 400, "validation_failed"],
      [{ ...COMPLETION, messages: [{ role: "user", content: " \n" }] }, 400, "request_empty"],
      [{ ...COMPLETION, messages: [{ role: "tool", content: "x" }] }, 400, "validation_failed"],
      [{ ...COMPLETION, tools: [{}] }, 400, "validation_failed"],
      [long(1_100_000), 413, "payload_too_large"],
    ];
    const before = await invoices(fake);
    for (const [body, status, code] of wrong) {
      for (const asked of typeof body === "object" && status !== 413 ? [body, { ...body, stream: true }] : [body]) {
        const said = JSON.stringify(asked).slice(0, 80);
        const withToken = refusal(await call("POST", CHAT, asked, it.auth));
        assert.deepEqual(refusal(await call("POST", CHAT, asked)), withToken, said);
        assert.equal(withToken[0], status, said);
        if (code !== "invalid_json") assert.equal(withToken[1], code, said);
        // A credential that is none comes first: its holder learns nothing about the body.
        if (status !== 413) {
          assert.deepEqual(refusal(await call("POST", CHAT, asked, bearer("AAAA"))), [401, "invalid_token"], said);
        }
      }
    }
    assert.equal(await invoices(fake), before);
  },
);

challenged("a session's routes refuse what is wrong before they offer a top-up, or the deposit", async (fake) => {
  const { world, call } = fake;
  const { path } = await paidSession(world, call, 500);
  const unpaid = (await call("POST", "/api/sessions", { amount_sats: 100 })).body.sessionId;
  const wrong: [method: string, to: string, body: unknown, status: number][] = [
    ["POST", "/request", {}, 400],
    ["POST", "/request", { request: "" }, 400],
    ["POST", "/request", { request: " " }, 400],
    ["POST", "/request", { request: "x".repeat(501) }, 400],
    ["POST", "/request", { ...ASK, model: "other" }, 400],
    ["POST", "/request", { ...ASK, nostr_token: "made up" }, 401],
    ["POST", "/topup", {}, 400],
    ["POST", "/topup", { amount_sats: 10_001 }, 400],
    ["POST", "/close", { lightningAddress: 7 }, 400],
    ["GET", "/requests?limit=0", undefined, 400],
  ];
  const before = await invoices(fake);
  for (const [method, to, body, status] of wrong) {
    for (const from of [path, `/api/sessions/${unpaid}`]) {
      assert.equal(refusal(await call(method, from + to, body))[0], status, `${to} ${JSON.stringify(body)}`);
    }
  }
  assert.equal(await invoices(fake), before);
});

challenged(
  "a deposit that its opener chose too small is sold as it is, and its token is offered the rest",
  async (fake) => {
    const { call } = fake;
    const created = (await call("POST", "/api/sessions", { amount_sats: 100 })).body;
    const path = `/api/sessions/${created.sessionId}`;
    const asked = await call("POST", `${path}/request`, ASK);
    assert.equal(readChallenge(asked.headers).invoice, created.invoice.paymentRequest);
    const { auth } = await paid(fake, asked);
    const more = await paid(fake, await call("POST", `${path}/request`, ASK, auth));
    assert.equal((await call("POST", `${path}/request`, ASK, more.auth)).status, 200);
  },
);

challenged("an instance that begins nothing sells nothing", async (fake) => {
  const { world, call, clock } = fake;
  const it = await paidSession(world, call, 100);
  const failures = { v: 1 as const, failures: [[clock.now(), 5_000]] };
  await world.store.transact((tx) => tx.set(["free_failures", "all"], failures));
  const before = await invoices(fake);
  for (const way of WAYS) {
    for (const auth of [{}, it.auth]) {
      assert.deepEqual(refusal(await spend(fake, way, it.path, auth)), [503, "failures_exhausted"], way);
    }
  }
  assert.equal(await invoices(fake), before);
});

challenged(
  "the challenge covers the request: a long one costs what it may take and 10 %, a short one the least",
  async (fake) => {
    const { world, call } = fake;
    for (const [characters, streamed] of [[600_000, false], [600_000, true], [300_000, false], [100, false]] as const) {
      const body = { ...long(characters), max_tokens: 8_192, ...(streamed && { stream: true }) };
      const asked = await call("POST", CHAT, body);
      const { auth, sats } = await paid(fake, asked);
      const served = await call("POST", CHAT, body, auth);
      assert.equal(served.status, 200, JSON.stringify(served.body));
      const heldSats = Number(served.headers.get("x-timmy-held-sats"));
      assert.equal(sats, Math.max(500, Math.ceil(heldSats * 1.1 / 100) * 100), `${characters}`);
    }
    const { path } = await paidSession(world, call, 1_000);
    assert.equal((await paid(fake, await call("POST", `${path}/request`, ASK))).sats, 500);
  },
);

const SMALL = { settings: { sessions: { ...TEST_SETTINGS.sessions, maxDepositSats: 500 } } };

challenged("what no deposit pays is 400 and names the most max_tokens that one does", async (fake) => {
  const { call } = fake;
  const before = await invoices(fake);
  const tooDear = await call("POST", CHAT, { ...long(110_000), max_tokens: 8_192 });
  assert.deepEqual(refusal(tooDear), [400, "max_tokens_too_large"]);
  const { details: { maxTokens, maxDepositSats }, param, message } = tooDear.body.error;
  assert.deepEqual([maxDepositSats, param], [500, "max_tokens"]);
  assert.ok(message.includes(`at most ${maxTokens}`));
  const oneMore = await call("POST", CHAT, { ...long(110_000), max_tokens: maxTokens + 1, stream: true });
  assert.deepEqual(refusal(oneMore), [400, "max_tokens_too_large"]);
  assert.deepEqual(refusal(await call("POST", CHAT, long(600_000))), [400, "request_too_long"]);
  assert.equal(await invoices(fake), before);
  const fits = { ...long(110_000), max_tokens: maxTokens };
  const { auth, sats } = await paid(fake, await call("POST", CHAT, fits));
  assert.equal(sats, 500);
  assert.equal((await call("POST", CHAT, fits, auth)).status, 200);
  // With a token that has some left, the deposit and what is left have to be enough together.
  const { answer } = await useUp(fake, "chat", "", auth);
  const { balanceSats } = answer.body.error.details;
  const priceSats = tooDear.body.error.details.priceSats;
  assert.ok(balanceSats > 20 && priceSats * 1.1 <= 500 + balanceSats, `${balanceSats} ${priceSats}`);
  const dear = { ...long(110_000), max_tokens: 8_192 };
  const more = await paid(fake, await call("POST", CHAT, dear, auth));
  assert.equal(more.sats, 500);
  const served = await call("POST", CHAT, dear, more.auth);
  assert.deepEqual([served.status, served.headers.get("x-timmy-held-sats")], [200, String(priceSats)]);
}, SMALL);

// ---- a challenge in every 402 ----------------------------------------------------------------------------------------

for (const way of WAYS) {
  challenged(
    `a session that is used up by a ${way}: its 402 is paid and both tokens go on as the owner's`,
    async (fake) => {
      const { world, call } = fake;
      const { macaroon, preimage, path, auth } = await opened(world, call, {
        method: "POST",
        path: CHAT,
        body: COMPLETION,
      });
      const { answer, served } = await useUp(fake, way, path, auth);
      assert.ok(served >= 2);
      assert.equal(answer.body.error.code, "insufficient_balance");
      const { balanceSats, invoice, topup } = answer.body.error.details;
      assert.deepEqual(topup, { method: "POST", path: `${path}/topup`, body: { amount_sats: invoice.amountSats } });
      const offered = readChallenge(answer.headers);
      assert.deepEqual(fromBase64(offered.macaroon).caveats, fromBase64(macaroon).caveats);
      for (const authorization of [`Bearer ${offered.macaroon}`, `L402 ${offered.macaroon}:${preimage}`]) {
        assert.equal((await spend(fake, way, path, { authorization })).status, 401, "worth nothing before it is paid");
      }
      const more = await paid(fake, answer);
      assert.equal((await call("GET", path)).body.balanceSats, balanceSats + more.sats);
      for (const each of [more.auth, auth]) {
        assert.equal((await spend(fake, way, path, each)).status, 200);
        assert.equal(
          (await call("GET", `${path}/requests`, undefined, each)).status,
          200,
          "an owner reads the history",
        );
      }
      // Its own 402 is paid as well; at the end it closes the session, nothing stranded.
      const last = await paid(fake, (await useUp(fake, way, path, more.auth)).answer);
      const left = (await call("GET", path)).body.balanceSats;
      assert.equal((await call("POST", `${path}/close`, {}, last.auth)).body.refundAmountSats, left);
    },
  );

  challenged(`a paused session's 402 to a ${way} is paid and wakes it`, async (fake) => {
    const { world, call } = fake;
    const it = await paidSession(world, call, 160);
    assert.equal((await spend(fake, way, it.path, it.auth)).status, 200);
    assert.equal((await call("GET", it.path)).body.state, "paused");
    const refused = await spend(fake, way, it.path, it.auth);
    assert.equal(refused.body.error.code, "session_paused");
    const { auth } = await paid(fake, refused);
    assert.equal((await spend(fake, way, it.path, auth)).status, 200);
    assert.equal((await spend(fake, way, it.path, it.auth)).status, 200);
  });

  challenged(`a narrowed token that tops up by a ${way} keeps its caveats, its count and its place`, async (fake) => {
    const { world, call } = fake;
    const it = await paidSession(world, call, 160);
    const caveats = ["timmy_valid_until=1893456000", "model=claude-sonnet-4-6", "max_sats=300"];
    const helper = narrowed(it.macaroon, ...caveats);
    const first = await call("POST", `${it.path}/request`, ASK, helper);
    assert.equal(first.status, 200);
    const { auth, macaroon } = await paid(fake, await spend(fake, way, it.path, helper));
    assert.deepEqual(fromBase64(macaroon).caveats, [...fromBase64(it.macaroon).caveats, ...caveats]);
    assert.equal((await call("GET", `${it.path}/requests/${first.body.requestId}`, undefined, auth)).status, 200);
    for (const [method, to, body] of [["POST", "/close", {}], ["GET", "/requests", undefined]] as const) {
      assert.equal((await call(method, it.path + to, body, auth)).status, 403, "it owns nothing more than before");
    }
    const otherModel = await call("POST", CHAT, { ...COMPLETION, model: "claude-haiku-4-5" }, auth);
    assert.deepEqual(refusal(otherModel), [403, "caveat_failed"]);
    assert.equal((await spend(fake, way, it.path, auth)).status, 200);
    const before = await invoices(fake);
    for (const each of [auth, helper, narrowed(macaroon, "max_sats=299")]) {
      const bound = each === auth || each === helper
        ? each
        : { authorization: `L402 ${each.authorization.slice(7)}:${auth.authorization?.split(":")[1]}` };
      const over = await spend(fake, way, it.path, bound);
      assert.deepEqual(refusal(over), [403, "caveat_failed"], "300 in all, whichever of them spends");
      assert.ok(over.body.error.details.leftSats < 300 - 2 * 120);
    }
    assert.equal(await invoices(fake), before, "no payment would help");
    assert.equal((await spend(fake, way, it.path, it.auth)).status, 200);
  });

  challenged(
    `a token that a top-up paid for is raised by the 402 to its ${way}, and never spends the owner's`,
    async (fake) => {
      const { world, call } = fake;
      const it = await paidSession(world, call, 5_000);
      const guest = await paid(fake, await call("POST", `${it.path}/request`, ASK));
      const { answer } = await useUp(fake, way, it.path, guest.auth);
      assert.equal(answer.body.error.code, "insufficient_balance");
      const { balanceSats: left } = answer.body.error.details;
      assert.ok(left < 500);
      const again = await paid(fake, answer);
      assert.deepEqual(fromBase64(again.macaroon).caveats, fromBase64(guest.macaroon).caveats);
      assert.equal((await spend(fake, way, it.path, again.auth)).status, 200);
      const { answer: over } = await useUp(fake, way, it.path, guest.auth);
      assert.equal((await spend(fake, way, it.path, again.auth)).status, 402, "one count for both");
      const spent = 6_000 - (await call("GET", it.path)).body.balanceSats;
      assert.equal(over.body.error.details.balanceSats, 1_000 - spent, "what was left at first is spent as well");
      for (const { auth } of [guest, again]) {
        assert.equal((await call("POST", `${it.path}/close`, {}, auth)).status, 403);
      }
      // What a holder took off stays off, whatever is paid.
      const third = await paid(fake, over);
      const [, proof] = third.auth.authorization?.split(":") ?? [];
      const tied = {
        authorization: `L402 ${narrowed(third.macaroon, "max_sats=100").authorization.slice(7)}:${proof}`,
      };
      assert.deepEqual(refusal(await spend(fake, way, it.path, tied)), [403, "caveat_failed"]);
    },
  );
}

challenged("the key that owns a session and shows no token is offered one for the whole session", async (fake) => {
  const { world, call } = fake;
  const { auth: headers } = await keyWith(world, 0);
  const created = await call("POST", "/api/sessions", { amount_sats: 160 }, headers);
  await settle(world, created.body.invoice);
  const path = `/api/sessions/${created.body.sessionId}`;
  const { answer } = await useUp(fake, "request", path, headers);
  const { auth } = await paid(fake, answer);
  assert.equal((await call("POST", `${path}/request`, ASK, auth)).status, 200);
  assert.equal((await call("GET", `${path}/requests`, undefined, auth)).status, 200);
});

challenged(
  "refused twice is one invoice, a larger request another; who is over the limit is told to wait",
  async (fake) => {
    const { world, call } = fake;
    const it = await paidSession(world, call, 160); // counted: one
    await call("POST", `${it.path}/request`, ASK, it.auth);
    const seen = new Set<string>();
    for (let i = 0; i < 5; i++) {
      for (const way of WAYS) seen.add(readChallenge((await spend(fake, way, it.path, it.auth)).headers).invoice); // two
    }
    assert.equal(seen.size, 1);
    const larger = await call("POST", CHAT, long(600_000), it.auth); // three
    assert.ok(larger.body.error.details.invoice.amountSats > 500);
    seen.add(readChallenge(larger.headers).invoice);
    assert.equal(seen.size, 2);
    const tooMany = await call("POST", CHAT, long(700_000), it.auth);
    assert.deepEqual(refusal(tooMany), [429, "too_many_challenges"]);
    for (const body of [COMPLETION, long(600_000)]) {
      assert.ok(seen.has(readChallenge((await call("POST", CHAT, body, it.auth)).headers).invoice));
    }
    assert.equal((await call("POST", it.path + "/topup", { amount_sats: 700 }, it.auth)).status, 201);
  },
  { challengesPerMinute: 3 },
);

challenged("of many refused at once one invoice is made", async (fake) => {
  const { world, call, clock } = fake;
  const it = await paidSession(world, call, 100);
  const before = await invoices(fake);
  const answers = await clock.drive(
    Promise.all(Array.from({ length: 20 }, () => world.call("POST", CHAT, COMPLETION, it.auth))),
  );
  assert.deepEqual(new Set(answers.map(({ headers }) => readChallenge(headers).invoice)).size, 1);
  assert.equal(await invoices(fake), before + 1);
});

challenged("an offer that has expired is not handed out again", async (fake) => {
  const { world, call, clock } = fake;
  const it = await paidSession(world, call, 100);
  const first = readChallenge((await call("POST", CHAT, COMPLETION, it.auth)).headers);
  clock.leap(601_000);
  const { auth } = await paid(fake, await call("POST", CHAT, COMPLETION, it.auth));
  assert.ok(!auth.authorization?.includes(first.macaroon));
  assert.equal((await call("POST", CHAT, COMPLETION, auth)).status, 200);
});

// ---- one pending top-up a token --------------------------------------------------------------------------------------

challenged(
  "a narrowed token, a guest's and the id alone each have their own top-up, and none is in the owner's way",
  async (fake) => {
    const { world, call } = fake;
    const it = await paidSession(world, call, 1_000);
    const topUp = (sats: number, auth: Headers_) => call("POST", `${it.path}/topup`, { amount_sats: sats }, auth);
    const guest = await paid(fake, await call("POST", `${it.path}/request`, ASK));
    const helpers = [
      narrowed(it.macaroon, "max_sats=300"),
      narrowed(it.macaroon, "model=claude-haiku-4-5"),
      guest.auth,
    ];
    const pending = new Map<Headers_, string>();
    for (const auth of helpers) {
      const offered = await topUp(10_000, auth);
      assert.equal(offered.status, 201, JSON.stringify(offered.body));
      pending.set(auth, offered.body.invoice.paymentHash);
    }
    assert.equal((await call("GET", it.path)).body.pendingTopup, undefined, "nobody is shown another's");
    const stranger = await call("POST", `${it.path}/request`, ASK);
    assert.equal(stranger.body.error.details.invoice.amountSats, 500);
    const owners = await topUp(200, it.auth);
    assert.equal(owners.status, 201);
    assert.deepEqual((await call("GET", it.path)).body.pendingTopup, owners.body.invoice);
    const copy = { authorization: `L402 ${it.macaroon}:${it.preimage}` };
    for (
      const [auth, hash] of [...pending, [it.auth, owners.body.invoice.paymentHash], [
        copy,
        owners.body.invoice.paymentHash,
      ]]
    ) {
      const again = await topUp(300, auth as Headers_);
      assert.deepEqual([again.status, again.body.error.code], [409, "topup_pending"]);
      assert.equal(again.body.error.details.pendingTopup.paymentHash, hash);
    }
    // Each is paid by itself, in any order, and makes room for the next of the same token alone.
    const [first] = helpers;
    await settle(world, { paymentHash: pending.get(first as Headers_) ?? "" });
    assert.equal((await topUp(300, first as Headers_)).status, 201);
    assert.equal((await topUp(300, it.auth)).status, 409);
    await settle(world, owners.body.invoice);
    assert.equal((await call("GET", it.path)).body.balanceSats, 1_000 + 500 + 10_000 + 200);
    assert.equal((await topUp(300, copy)).status, 201);
  },
);

challenged(
  "twelve top-ups of others wait at most, however many tokens were made of one; the owner's is the next",
  async (fake) => {
    const { world, call, clock } = fake;
    const it = await paidSession(world, call, 1_000);
    const topUp = (auth: Headers_) => call("POST", `${it.path}/topup`, { amount_sats: 100 }, auth);
    for (let i = 0; i < 12; i++) assert.equal((await topUp(narrowed(it.macaroon, `max_sats=${900 + i}`))).status, 201);
    const refused = await topUp(narrowed(it.macaroon, "max_sats=899"));
    assert.deepEqual(refusal(refused), [429, "too_many_topups"]);
    assert.ok(Number(refused.headers.get("retry-after")) > 0);
    assert.deepEqual(refusal(await call("POST", `${it.path}/request`, ASK)), [429, "too_many_topups"]);
    assert.equal((await topUp(it.auth)).status, 201);
    clock.leap(601_000);
    await clock.advance(3_000);
    assert.equal((await topUp(narrowed(it.macaroon, "max_sats=899"))).status, 201);
  },
);

challenged(
  "a 402's offer is the owner's pending top-up: asked for, it is that one, and another amount another",
  async (fake) => {
    const { world, call } = fake;
    const it = await paidSession(world, call, 100);
    const { invoice, topup } = (await call("POST", CHAT, COMPLETION, it.auth)).body.error.details;
    assert.deepEqual((await call("GET", it.path)).body.pendingTopup, invoice);
    const other = await call("POST", `${it.path}/topup`, { amount_sats: 300 }, narrowed(it.macaroon, "max_sats=50"));
    assert.notEqual(other.body.invoice.paymentHash, invoice.paymentHash);
    const key = { "idempotency-key": "k" };
    const taken = await call(topup.method, topup.path, topup.body, { ...it.auth, ...key });
    assert.deepEqual([taken.status, taken.body.invoice], [201, invoice]);
    assert.deepEqual((await call(topup.method, topup.path, topup.body, { ...it.auth, ...key })).body.invoice, invoice);
    assert.equal((await call(topup.method, topup.path, topup.body, it.auth)).status, 409);
    await settle(world, invoice);
    assert.equal((await call("GET", it.path)).body.pendingTopup, undefined);
    assert.equal((await call("POST", CHAT, COMPLETION, it.auth)).status, 200);
  },
);

challenged(
  "rotating ends what a 402 offered as well; the owner's pending one is paid with its new token",
  async (fake) => {
    const { world, call } = fake;
    const it = await paidSession(world, call, 100);
    const old = await call("POST", CHAT, COMPLETION, it.auth);
    const helper = narrowed(it.macaroon, "max_sats=400");
    const helpers = await call("POST", CHAT, COMPLETION, helper);
    const rotated = await call("POST", `${it.path}/macaroon`, { preimage: it.preimage, rotate: true });
    const auth = bearer(rotated.body.macaroon);
    const again = await call("POST", CHAT, COMPLETION, auth);
    assert.equal(readChallenge(again.headers).invoice, readChallenge(old.headers).invoice);
    const fresh = await paid(fake, again);
    const proof = fresh.auth.authorization?.split(":")[1];
    const oldToken = { authorization: `L402 ${readChallenge(old.headers).macaroon}:${proof}` };
    assert.equal((await call("POST", CHAT, COMPLETION, oldToken)).status, 401);
    assert.equal((await call("POST", CHAT, COMPLETION, fresh.auth)).status, 200);
    assert.equal((await call("GET", `${it.path}/requests`, undefined, fresh.auth)).status, 200);
    const late = await paid(fake, helpers);
    assert.equal(
      (await call("POST", CHAT, COMPLETION, late.auth)).status,
      401,
      "a narrowed token is over, and so is its top-up's",
    );
    assert.ok((await call("GET", it.path)).body.balanceSats > 900, "its money counts all the same");
  },
);

challenged(
  "an Idempotency-Key that was answered 402 begins once it is paid, with either token, and is charged once",
  async (fake) => {
    const { world, call } = fake;
    for (const way of ["request", "chat"] as const) {
      const it = await paidSession(world, call, 100);
      const key = { "idempotency-key": `for a ${way}` };
      const { auth } = await paid(fake, await spend(fake, way, it.path, { ...it.auth, ...key }));
      const first = await spend(fake, way, it.path, { ...auth, ...key });
      assert.equal(first.status, 200, JSON.stringify(first.body));
      const again = await spend(fake, way, it.path, { ...it.auth, ...key });
      assert.equal((again.body.timmy ?? again.body).requestId, (first.body.timmy ?? first.body).requestId);
      const { spentSats } = (await call("GET", it.path)).body;
      assert.equal(spentSats, (first.body.timmy ?? first.body).debitedSats);
    }
  },
);
