/** A Nostr key from its first sign-in on: trust that is earned and lost, and a session that the key alone opens. */
import assert from "node:assert/strict";
import { npubEncode } from "nostr-tools/nip19";
import { fromBase64, narrow, toBase64 } from "@/lib/l402/macaroon.ts";
import { allowedFields } from "@/lib/logger.ts";
import { MALLORY, nostrHeader } from "../fixtures/nostr/sign.ts";
import { auditedTests } from "../harness/audited.ts";
import { type FakeWorld } from "../harness/fake-world.ts";
import { answerTo, newNonce, requestEvent, signedFor, type SignedIn, signIn } from "../harness/identity.ts";
import { createJob, pay, payerInvoice, untilState } from "../harness/payer.ts";
import { bearer, paidSession, settle } from "../harness/session-payer.ts";
import type { Answer } from "../harness/world.ts";

const ASK = { request: "What is a hold invoice?" };
const DAY_MS = 86_400_000;

const journey = auditedTests("identity: ");

/** A job of this key, paid to its end. */
async function paidJobOf({ world, clock }: FakeWorld, { auth }: SignedIn, request: string): Promise<Answer["body"]> {
  const whole = async () => {
    const job = await createJob(world.call, request, auth);
    await pay(world, job.evalInvoice);
    const { body } = await untilState(world, world.call, job.jobId, ["awaiting_work_payment", "rejected"]);
    if (body.state === "rejected") return body;
    await pay(world, body.workInvoice);
    return (await untilState(world, world.call, job.jobId, ["complete"])).body;
  };
  return await clock.drive(whole());
}

const meOf = async ({ call }: FakeWorld, { auth }: SignedIn) =>
  (await call("GET", "/api/identity/me", undefined, auth)).body;

journey("sign in, pay until established, be helped, be refused, stay away", async (fake) => {
  const { world, call, clock } = fake;
  const alice = await signIn(world, call);
  const first = await createJob(call, ASK.request, alice.auth);
  assert.equal(first.trust_tier, "new");
  assert.equal((await createJob(call, ASK.request)).trust_tier, "anonymous");

  // Each paid success is a point here: less than 250 sats.
  for (let score = 1; score <= 10; score++) {
    const job = await paidJobOf(fake, alice, `Question ${score}?`);
    assert.ok(job.costLedger.chargedSats > 0 && job.costLedger.chargedSats < 250, JSON.stringify(job.costLedger));
    assert.deepEqual([job.free_tier.serve, job.absorbed_sats], ["gate", 0]);
    const tier = score < 10 ? "new" : "established";
    assert.equal(job.trust_tier, tier);
    assert.deepEqual((await meOf(fake, alice)).trust, { tier, score, interactionCount: score });
  }
  assert.equal(
    (await call("GET", `/api/jobs/${first.jobId}`)).body.trust_tier,
    "established",
    "older answers say it too",
  );
  const session = await call("POST", "/api/sessions", { amount_sats: 100 }, alice.auth);
  assert.equal(session.body.trust_tier, "established");
  const estimated = (await call("GET", "/api/estimate?request=hello")).body.estimatedSats;
  assert.ok(estimated > 50, "an established key gets a part");

  // The pool pays 50 sats of the next one: what was left of the day.
  const helped = await paidJobOf(fake, alice, "Question 11?");
  assert.deepEqual([helped.free_tier.serve, helped.free_tier.absorbSats], ["partial", 50]);
  assert.equal(helped.workInvoice.amountSats, helped.free_tier.chargeSats);
  const resetsAt = "2025-01-02T00:00:00.000Z";
  const used = helped.absorbed_sats;
  assert.ok(used > 0);
  assert.deepEqual((await meOf(fake, alice)).budget, { dailySats: 50, usedSats: used, resetsAt });
  assert.equal((await meOf(fake, alice)).trust.score, 11);

  const refused = await paidJobOf(fake, alice, "[refuse] Question 12?");
  assert.deepEqual([refused.state, refused.trust_tier], ["rejected", "new"]);
  assert.deepEqual((await meOf(fake, alice)).trust, { tier: "new", score: 9, interactionCount: 12 });
  assert.deepEqual((await meOf(fake, alice)).budget, { dailySats: 0, usedSats: used, resetsAt });

  await paidJobOf(fake, alice, "Question 13?");
  assert.equal((await meOf(fake, alice)).trust.tier, "established");
  clock.leap(DAY_MS / 2);
  const nextDay = Date.parse(resetsAt) - clock.now();
  assert.ok(nextDay > 0);
  clock.leap(nextDay);
  await clock.advance(3_000);
  const tomorrow = await signIn(world, call);
  assert.deepEqual((await meOf(fake, tomorrow)).budget, {
    dailySats: 50,
    usedSats: 0,
    resetsAt: "2025-01-03T00:00:00.000Z",
  });

  // Thirty days away cost nothing, each one after them a point; nothing is written for it.
  clock.leap(29 * DAY_MS);
  await clock.advance(70_000);
  assert.equal((await meOf(fake, await signIn(world, call))).trust.score, 10);
  clock.leap(DAY_MS);
  await clock.advance(70_000);
  const back = await signIn(world, call);
  assert.deepEqual((await meOf(fake, back)).trust, { tier: "new", score: 9, interactionCount: 13 });
  const { jobs } = (await call("GET", "/api/identity/jobs", undefined, back.auth)).body;
  assert.equal(jobs.length, 13, "the paid ones: the one that nobody paid is forgotten");
  assert.equal(jobs.filter(({ state }: { state: string }) => state === "complete").length, 12);
});

journey(
  "a session of a key: listed, its macaroon again, asked, topped up, read and closed with the key alone",
  async (fake) => {
    const { world, call, clock } = fake;
    for (const way of ["token", "signature"] as const) {
      await clock.advance(1_000);
      const alice = await signIn(world, call);
      /** The key's credential for one request, and no other. */
      const asAlice = (method: string, path: string, body?: unknown) =>
        call(method, path, body, way === "token" ? alice.auth : signedFor(world, method, path, { body }));
      const { body: created } = await asAlice("POST", "/api/sessions", { amount_sats: 1_000 });
      await settle(world, created.invoice);
      const { sessions } = (await asAlice("GET", "/api/identity/sessions?limit=1")).body;
      assert.deepEqual([sessions[0].sessionId, sessions[0].state, sessions[0].balanceSats], [
        created.sessionId,
        "active",
        1_000,
      ]);
      const path = `/api/sessions/${sessions[0].sessionId}`;

      const asked = await asAlice("POST", `${path}/request`, ASK);
      assert.deepEqual([asked.status, asked.body.state, asked.body.trust_tier], [200, "complete", "new"]);
      const again = await asAlice("POST", `${path}/macaroon`, {});
      assert.equal(again.status, 200, JSON.stringify(again.body));
      const withMacaroon = await call("GET", `${path}/requests`, undefined, bearer(again.body.macaroon));
      const withKey = await asAlice("GET", `${path}/requests`);
      assert.deepEqual(withKey.body, withMacaroon.body);
      assert.equal(withKey.body.requests[0].requestId, asked.body.requestId);
      const { requestId } = asked.body;
      assert.equal((await asAlice("GET", `${path}/requests/${requestId}`)).body.result, asked.body.result);
      assert.equal((await call("GET", path)).body.macaroon, undefined, "it was used: the id alone shows it no more");

      const offered = await asAlice("POST", `${path}/topup`, { amount_sats: 200 });
      await settle(world, offered.body.invoice);
      const left = 1_200 - asked.body.debitedSats;
      const closed = await asAlice("POST", `${path}/close`, {
        invoice: (await payerInvoice(world, left)).paymentRequest,
      });
      assert.deepEqual([closed.status, closed.body.refundState, closed.body.refundAmountSats], [200, "paid", left]);
      const [listed] = (await asAlice("GET", "/api/identity/sessions?limit=1")).body.sessions;
      assert.deepEqual([listed.state, listed.balanceSats], ["closed", 0]);
    }
  },
);

journey("a session of a key: another key, and nobody's session with a key, are 401 and move nothing", async (fake) => {
  const { world, call, clock } = fake;
  const [alice, mallory] = [await signIn(world, call), await signIn(world, call, MALLORY)];
  const open = async (auth: Record<string, string>) => {
    const { body } = await call("POST", "/api/sessions", { amount_sats: 1_000 }, auth);
    await settle(world, body.invoice);
    return `/api/sessions/${body.sessionId}`;
  };
  const unpaid = (await call("POST", "/api/sessions", { amount_sats: 500 }, alice.auth)).body.sessionId;
  const strange: [path: string, who: SignedIn, key?: typeof MALLORY][] = [
    [await open(alice.auth), mallory, MALLORY],
    [await open({}), alice],
    ["/api/sessions/none", alice],
  ];
  const deposit = await call("POST", `/api/sessions/${unpaid}/request`, ASK, alice.auth);
  assert.equal(deposit.status, 402, "of one's own that is not paid, the deposit is asked for");
  assert.equal(deposit.body.error.details.sessionId, unpaid);
  await clock.settle();
  for (const [path, { auth }, key] of strange) {
    for (
      const [method, to, body] of [
        ["POST", "/request", ASK],
        ["POST", "/topup", { amount_sats: 100 }],
        ["POST", "/close", {}],
        ["GET", "/requests"],
        ["POST", "/macaroon", {}],
      ] as const
    ) {
      const version = await world.store.version();
      const answer = await call(method, path + to, body, auth);
      const expected = to === "/macaroon" && path.endsWith("none")
        ? [404, "session_not_found"]
        : [401, "not_the_owner"];
      assert.deepEqual([answer.status, answer.body.error.code], expected, `${method} ${path}${to}`);
      assert.equal(answer.headers.get("www-authenticate"), null, "it is not sold a token either");
      assert.equal(await world.store.version(), version);
      const signed = await call(
        method,
        path + to,
        body,
        signedFor(world, method, path + to, { body, ...(key && { key }) }),
      );
      assert.deepEqual([signed.status, signed.body.error.code], expected, `signed: ${method} ${path}${to}`);
    }
  }
});

journey("a key's expired session: its balance is claimed with the key alone", async (fake) => {
  const { world, call, clock } = fake;
  const { body: created } = await call("POST", "/api/sessions", { amount_sats: 400 }, (await signIn(world, call)).auth);
  await settle(world, created.invoice);
  clock.leap(DAY_MS);
  await clock.advance(3_000);
  const { auth } = await signIn(world, call);
  const [listed] = (await call("GET", "/api/identity/sessions", undefined, auth)).body.sessions;
  assert.deepEqual([listed.state, listed.balanceSats], ["expired", 0]);
  const { paymentRequest } = await payerInvoice(world, 400);
  const claimed = await call("POST", `/api/sessions/${listed.sessionId}/close`, { invoice: paymentRequest }, auth);
  assert.deepEqual([claimed.status, claimed.body.refundState, claimed.body.refundAmountSats], [200, "paid", 400]);
});

journey(
  "a signed request may be repeated with its Idempotency-Key under a new signature, and is done once",
  async (fake) => {
    const { world, call } = fake;
    const body = { request: "hello" };
    const create = (key?: typeof MALLORY) =>
      call("POST", "/api/jobs", body, {
        ...signedFor(world, "POST", "/api/jobs", { body, ...(key && { key }) }),
        "idempotency-key": "k",
      });
    const [first, second, other] = [await create(), await create(), await create(MALLORY)];
    assert.deepEqual([first.status, second.body], [201, first.body]);
    assert.notEqual(other.body.jobId, first.body.jobId, "another key's key is another");
  },
);

journey(
  "no log line, event or public answer holds a key, and nothing stored is a token or a signature",
  async (fake) => {
    const { world, call, clock, engine } = fake;
    const nonce = await newNonce(call);
    const event = answerTo(world, nonce);
    const { pubkey, nostr_token } = (await call("POST", "/api/identity/verify", { event })).body;
    const who: SignedIn = { pubkey, token: nostr_token, auth: { "x-nostr-token": nostr_token } };
    const { jobId } = await paidJobOf(fake, who, ASK.request);
    const signed = requestEvent(world, "GET", "/api/identity/jobs");
    for (const authorization of [nostrHeader(signed), nostrHeader(signed), nostrHeader({ ...signed, content: "x" })]) {
      await call("GET", "/api/identity/jobs", undefined, { authorization });
    }
    await call("POST", "/api/identity/verify", { event, pubkey });
    await call("GET", "/api/identity/me", undefined, { "x-nostr-token": `${nostr_token}0` });
    await clock.settle();

    const log = world.log.lines.map(({ level, fields, message }) =>
      JSON.stringify({ level, message, ...fields, allowed: allowedFields(fields), error: Deno.inspect(fields.error) })
    );
    assert.ok(log.length > 8);
    const secrets = {
      pubkey,
      nostr_token,
      signature: event.sig,
      id: event.id,
      nonce,
      signed: signed.sig,
      signedId: signed.id,
    };
    for (const [what, value] of Object.entries(secrets)) {
      assert.equal(log.find((line) => line.includes(value)), undefined, `${what} is in the log`);
    }
    const rows = new Map<string, string>();
    for (const table of engine.tables().map(String).filter((table) => table !== "head")) {
      for (const { key, value } of await world.rows([table])) rows.set(JSON.stringify(key), JSON.stringify(value));
    }
    const stored = [...rows].flat().join("\n");
    for (const value of [nostr_token, event.sig, signed.sig]) assert.ok(!stored.includes(value));
    assert.ok(stored.includes(pubkey), "rows were read");
    for (const [key, value] of rows) {
      if (key.startsWith('["event"')) assert.ok(!value.includes(pubkey), `a public feed would name the key: ${value}`);
    }
    for (const path of [`/api/jobs/${jobId}`, `/api/jobs/${jobId}/events`, "/api/health/ready"]) {
      assert.ok(!JSON.stringify((await call("GET", path)).body).includes(pubkey), path);
    }
  },
);

journey("a token that was narrowed to a key is good with that key beside it, and with no other", async (fake) => {
  const { world, call } = fake;
  const alice = await signIn(world, call);
  const mallory = await signIn(world, call, MALLORY);
  const { macaroon, path } = await paidSession(world, call, 500);
  const bound = toBase64(narrow(fromBase64(macaroon), [`npub=${npubEncode(alice.pubkey)}`]));
  const authorization = `Bearer ${bound}`;
  const ask = (auth: Record<string, string> = {}) => call("POST", `${path}/request`, ASK, { authorization, ...auth });
  for (const auth of [{}, mallory.auth]) {
    const { status, body } = await ask(auth);
    assert.deepEqual([status, body.error.code], [401, "wrong_key"]);
  }
  assert.equal((await ask(alice.auth)).body.state, "complete");
});
