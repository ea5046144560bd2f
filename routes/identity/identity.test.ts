import assert from "node:assert/strict";
import { createIdentityTokens } from "@/lib/identity/identity-token.ts";
import { createAlterations, ORIGIN } from "@/lib/nostr/testing/altered-events.ts";
import { jobKey } from "@/lib/jobs/job-index.rows.ts";
import { sessionKey } from "@/lib/sessions/sessions.rows.ts";
import { trustKey } from "@/lib/identity/trust.rows.ts";
import { forge, MALLORY, nostrHeader } from "@/tests/fixtures/nostr/sign.ts";
import { createFakeWorld, type FakeWorld } from "@/tests/harness/fake-world.ts";
import { answerTo, bearing, newNonce, pubkeyOf, requestEvent, signedFor, signIn } from "@/tests/harness/identity.ts";
import { createJob } from "@/tests/harness/payer.ts";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";
import { settle } from "@/tests/harness/session-payer.ts";
import type { Answer, WorldOptions } from "@/tests/harness/world.ts";

const DAY_MS = 86_400_000;
const CHALLENGE = "/api/identity/challenge";
const VERIFY = "/api/identity/verify";

function test(name: string, fn: (fake: FakeWorld) => Promise<void>, options: WorldOptions = {}): void {
  Deno.test(`identity: ${name}`, async () => {
    const { clock: _, random: __, ...rest } = options;
    const fake = await createFakeWorld(1, rest);
    try {
      await fn(fake);
    } finally {
      fake.discard();
    }
  });
}

/** The call is refused in the one error shape, and neither the store nor the wallet was written to. */
async function refused(
  { world, clock }: FakeWorld,
  ask: () => Promise<Answer>,
  [status, code, says = /./]: Refusal,
  what = "",
): Promise<void> {
  await clock.settle();
  const before = [await world.store.version(), await world.walletStore.version()];
  const { status: given, body, headers } = await clock.drive(ask());
  assert.deepEqual([given, body.error?.code], [status, code], `${what}: ${JSON.stringify(body)}`);
  assert.match(body.error.message, says);
  assert.equal(headers.get("x-request-id"), body.error.requestId);
  await clock.settle();
  assert.deepEqual([await world.store.version(), await world.walletStore.version()], before, `${what}: written`);
}
type Refusal = [status: number, code: string, says?: RegExp];

// ---- signing in ----------------------------------------------------------------------------------------------------

test("challenges: 64 hex digits, five minutes, with an empty body or none, and nothing is stored", async (fake) => {
  const { world, call, clock } = fake;
  const version = await world.store.version();
  const nonces = new Set<string>();
  for (const body of [...Array<undefined>(50), {}]) {
    const { status, body: made, headers } = await call("POST", CHALLENGE, body);
    assert.equal(status, 200, JSON.stringify(made));
    assert.deepEqual(Object.keys(made), ["nonce", "expiresAt"]);
    assert.match(made.nonce, /^[0-9a-f]{64}$/);
    assert.equal(Date.parse(made.expiresAt) - clock.now(), 300_000);
    assert.equal(headers.get("cache-control"), "no-store");
    nonces.add(made.nonce);
  }
  assert.equal(nonces.size, 51);
  assert.equal(await world.store.version(), version);
  const typed = await call("POST", CHALLENGE, undefined, { "content-type": "application/json" });
  assert.equal(typed.status, 200, JSON.stringify(typed.body));
  await refused(fake, () => world.call("POST", CHALLENGE, "{"), [400, "invalid_json"]);
  await refused(fake, () => world.call("POST", CHALLENGE, { pubkey: "x" }), [
    400,
    "validation_failed",
    /pubkey is not a/,
  ]);
});

test("verify: the signed nonce gives a token that is good for a day, in one commit", async ({ world, call, engine, clock }) => {
  const nonce = await newNonce(call);
  const commits = engine.commits();
  const { status, body, headers } = await call("POST", VERIFY, { event: answerTo(world, nonce) });
  assert.equal(status, 200, JSON.stringify(body));
  assert.equal(engine.commits() - commits, 1);
  const { nostr_token, ...rest } = body;
  assert.deepEqual(rest, {
    pubkey: pubkeyOf(new Uint8Array(32).fill(1)),
    expiresAt: new Date(clock.now() + DAY_MS).toISOString(),
    trust: { tier: "new", score: 0, interactionCount: 0 },
  });
  assert.equal(headers.get("cache-control"), "no-store");
  const me = await call("GET", "/api/identity/me", undefined, bearing(nostr_token));
  assert.deepEqual([me.status, me.body.pubkey, me.body.trust], [200, body.pubkey, body.trust]);
});

test("verify: kind 22242, the nonce in a tag, the key named beside the event, an address of this server or none", async (fake) => {
  const { world, call } = fake;
  const answers: ((nonce: string) => Parameters<typeof answerTo>[2])[] = [
    () => ({ kind: 22_242 }),
    (nonce) => ({ content: "Sign in to Timmy", tags: [["challenge", nonce]] }),
    (nonce) => ({ kind: 22_242, content: "", tags: [["relay", "ws://127.0.0.1:8080"], ["challenge", nonce]] }),
    () => ({ tags: [] }),
    () => ({ tags: [["u", "http://127.0.0.1:8080/api/identity/verify"]] }),
  ];
  for (const change of answers) {
    const nonce = await newNonce(call);
    const event = answerTo(world, nonce, change(nonce));
    const { status, body } = await call("POST", VERIFY, { pubkey: event.pubkey, event });
    assert.equal(status, 200, JSON.stringify(body));
  }
});

test("verify: what is wrong is 400 or 401 with its reason, nothing is written, and the nonce is not spent", async (fake) => {
  const { world, call, clock } = fake;
  const nonce = await newNonce(call);
  const good = answerTo(world, nonce);
  const signed = (change: Parameters<typeof answerTo>[2]) => ({ event: answerTo(world, nonce, change) });
  const seconds = good.created_at;
  const wrong: [what: string, body: unknown, refusal: Refusal][] = [
    ["no event", {}, [400, "validation_failed", /event must be an object/]],
    ["an event that is text", { event: JSON.stringify(good) }, [400, "validation_failed", /event must be an object/]],
    ["an event that is a list", { event: [good] }, [400, "validation_failed", /event must be an object/]],
    ["an event that is null", { event: null }, [400, "validation_failed", /event must be an object/]],
    ["a field that is none", { event: good, nonce }, [400, "validation_failed", /nonce is not a field/]],
    ["a key that is a number", { event: good, pubkey: 1 }, [400, "validation_failed", /pubkey must be a string/]],
    ["a list", [good], [400, "validation_failed", /the body must be an object/]],
    ["broken JSON", '{"event":', [400, "invalid_json"]],
    ["an empty event", { event: {} }, [400, "event_malformed", /seven fields/]],
    ["an event with a field more", { event: { ...good, relay: "x" } }, [400, "event_malformed"]],
    ["an event without its signature", { event: { ...good, sig: undefined } }, [400, "event_malformed"]],
    ["a signature in capitals", { event: { ...good, sig: good.sig.slice(0, -1) + "A" } }, [400, "event_malformed"]],
    ["an event of 17 KB", signed({ tags: [["t", "x".repeat(17_000)]] }), [400, "event_malformed"]],
    ["an npub for the key", { event: good, pubkey: "npub1sn0wdenkukak0d9dfczzeacvhkrgz92ak" }, [
      400,
      "pubkey_malformed",
    ]],
    ["a key of 63 digits", { event: good, pubkey: good.pubkey.slice(1) }, [400, "pubkey_malformed"]],
    ["an empty key", { event: good, pubkey: "" }, [400, "pubkey_malformed"]],
    ["another key", { event: good, pubkey: pubkeyOf(MALLORY) }, [400, "pubkey_mismatch"]],
    ["kind 1", signed({ kind: 1 }), [400, "event_kind", /27235/]],
    ["no nonce", signed({ content: "" }), [400, "challenge_missing"]],
    ["half a nonce", signed({ content: nonce.slice(32) }), [400, "challenge_missing"]],
    ["a nonce in capitals", signed({ content: nonce.toUpperCase() }), [400, "challenge_missing"]],
    ["two nonces", signed({ tags: [["challenge", "0".repeat(64)]] }), [400, "challenge_mismatch"]],
    ["an event of 301 s ago", signed({ created_at: seconds - 301 }), [401, "event_time", /clock/]],
    ["an event of 301 s ahead", signed({ created_at: seconds + 301 }), [401, "event_time"]],
    ["another server's address", signed({ tags: [["u", "https://timmy.evil.example"]] }), [401, "event_origin"]],
    ["this server's name on another port", signed({ tags: [["u", "http://127.0.0.1:8081"]] }), [401, "event_origin"]],
    ["another relay", signed({ tags: [["relay", "wss://relay.example"]] }), [401, "event_origin"]],
    ["a changed event", { event: { ...good, content: nonce.replace(/^./, "x") } }, [401, "event_id"]],
    ["another's key in the event", { event: { ...good, pubkey: pubkeyOf(MALLORY) } }, [401, "event_id"]],
    ["another's signature", { event: forge(good, MALLORY) }, [401, "event_signature"]],
    ["a nonce nobody gave out", signed({ content: "0".repeat(64) }), [401, "challenge_unknown", /not given out here/]],
    ["a nonce that lasts longer", signed({ content: "ffffffff" + nonce.slice(8) }), [401, "challenge_unknown"]],
  ];
  for (const [what, body, refusal] of wrong) {
    await refused(fake, () => world.call("POST", VERIFY, body), refusal, what);
  }
  assert.equal((await clock.drive(world.call("POST", VERIFY, { event: good }))).status, 200);
});

test("verify: a nonce is good once, also for another key, at once or after a crash", async (fake) => {
  const { world, call, clock } = fake;
  const nonce = await newNonce(call);
  const events = [
    answerTo(world, nonce),
    answerTo(world, nonce, { key: MALLORY }),
    answerTo(world, nonce, { kind: 22_242 }),
  ];
  const answers = await clock.drive(Promise.all(
    [...events, ...events, ...events].map((event) => world.call("POST", VERIFY, { event })),
  ));
  assert.equal(answers.filter(({ status }) => status === 200).length, 1);
  for (const { status, body } of answers.filter(({ status }) => status !== 200)) {
    assert.deepEqual([status, body.error.code], [401, "challenge_used"]);
  }
  for (const event of events) await refused(fake, () => world.call("POST", VERIFY, { event }), [401, "challenge_used"]);
  const open = await newNonce(call);
  await world.crash();
  await refused(fake, () => world.call("POST", VERIFY, { event: events[0] }), [401, "challenge_used"]);
  const { status } = await call("POST", VERIFY, { event: answerTo(world, open) });
  assert.equal(status, 200, "a nonce that nobody has answered survives");
});

test("verify: a nonce is good for five minutes and not longer", async (fake) => {
  const { world, call, clock } = fake;
  const [first, second] = [await newNonce(call), await newNonce(call)];
  await clock.advance(299_999);
  assert.equal((await call("POST", VERIFY, { event: answerTo(world, first) })).status, 200);
  await clock.advance(1);
  const event = answerTo(world, second);
  await refused(fake, () => world.call("POST", VERIFY, { event }), [401, "challenge_expired", /five minutes/]);
  const used = answerTo(world, first);
  await refused(fake, () => world.call("POST", VERIFY, { event: used }), [401, "challenge_expired"]);
});

test("a used nonce takes room for a quarter of an hour", async ({ world, call, clock }) => {
  await signIn(world, call);
  assert.equal((await world.rows(["used"])).length, 1);
  await clock.advance(16 * 60_000);
  assert.deepEqual(await world.rows(["used"]), []);
});

// ---- credentials ---------------------------------------------------------------------------------------------------

type Door = [method: string, path: string, body?: Record<string, unknown>];

/** Every route that knows keys, each with a body that it takes; `path` is that of a paid session of the key. */
const doors = (path: string): Door[] => [
  ["GET", "/api/identity/me"],
  ["GET", "/api/identity/jobs"],
  ["GET", "/api/identity/jobs?limit=1"],
  ["GET", "/api/identity/sessions"],
  ["POST", "/api/jobs", { request: "hello" }],
  ["POST", "/api/sessions", { amount_sats: 500 }],
  ["GET", `${path}/requests`],
  ["POST", `${path}/request`, { request: "What is a hold invoice?" }],
  ["POST", `${path}/topup`, { amount_sats: 500 }],
  ["POST", `${path}/macaroon`, {}],
  ["POST", `${path}/close`, {}],
];
/** Those whose body has a `nostr_token`. */
const hasField = ([, path]: Door) => /\/(jobs|sessions|request|macaroon)$/.test(path) && !path.includes("identity");

/** A paid session of Alice's. */
async function owned({ world, call }: FakeWorld, auth: Record<string, string>): Promise<string> {
  const { status, body } = await call("POST", "/api/sessions", { amount_sats: 1_000 }, auth);
  assert.equal(status, 201, JSON.stringify(body));
  await settle(world, body.invoice);
  return `/api/sessions/${body.sessionId}`;
}

test("a token in the header opens every route that knows keys, and so does a signature of the request, once", async (fake) => {
  const { world, call, clock } = fake;
  const { auth } = await signIn(world, call);
  for (const way of ["token", "signature"] as const) {
    for (const [method, path, body] of doors(await owned(fake, auth))) {
      const headers = way === "token" ? auth : signedFor(world, method, path, { body });
      const answer = await call(method, path, body, headers);
      assert.ok([200, 201].includes(answer.status), `${way} ${method} ${path}: ${JSON.stringify(answer.body)}`);
      if (method === "POST") assert.equal(answer.body.trust_tier, "new", `${path} knows the key`);
      if (way === "token") continue;
      await refused(
        fake,
        () => world.call(method, path, body, headers),
        [401, "nip98_replayed", /Sign a new one/],
        path,
      );
      await clock.advance(1_000);
    }
  }
});

test("a wrong token is 401 at every route, in header and body: nothing is created, nothing written", async (fake) => {
  const { world, call, clock } = fake;
  const { auth, token, pubkey } = await signIn(world, call);
  const path = await owned(fake, auth);
  const [, , , expiry = ""] = token.split(".");
  const elsewhere = (secret: Uint8Array, instance: string) =>
    createIdentityTokens({ secrets: [secret], instance, ttlMs: DAY_MS }).issue(pubkey, clock.now()).token;
  const wrong: [what: string, token: string, code: string][] = [
    ["one that is none", "payer@example.com", "identity_invalid"],
    ["a public key", pubkey, "identity_invalid"],
    ["another's key in it", token.replace(pubkey, pubkeyOf(MALLORY)), "identity_invalid"],
    ["a later end", token.replace(expiry, String(Number(expiry) + 1)), "identity_invalid"],
    ["one of another instance", elsewhere(new Uint8Array(32), ORIGIN), "identity_invalid"],
    ["the same secret at another address", elsewhere(world.deps.signInSecret, ORIGIN), "identity_invalid"],
    ["two tokens", `${token}, ${token}`, "identity_invalid"],
  ];
  const control = elsewhere(world.deps.signInSecret, world.deps.settings.publicOrigin);
  assert.equal((await call("GET", "/api/identity/me", undefined, bearing(control))).status, 200);
  for (const [what, token, code] of wrong) {
    for (const door of doors(path)) {
      const [method, to, body] = door;
      await refused(fake, () => world.call(method, to, body, bearing(token)), [401, code], `${what}: ${to}`);
      if (!hasField(door)) continue;
      // The macaroon's own route and creating ask nothing else; a session's request has its owner's key besides.
      const named = { ...body, nostr_token: token };
      const headers = to.endsWith("/request") ? auth : {};
      await refused(fake, () => world.call(method, to, named, headers), [401, code], `${what} in the body: ${to}`);
    }
  }
});

test("an expired token is 401 and says so", async (fake) => {
  const { world, call, clock } = fake;
  const { auth, token } = await signIn(world, call);
  clock.leap(DAY_MS - 1);
  assert.equal((await call("GET", "/api/identity/me", undefined, auth)).status, 200);
  clock.leap(1);
  await clock.advance(3_000);
  const expired: Refusal = [401, "identity_expired", /Sign in again/];
  await refused(fake, () => world.call("GET", "/api/identity/me", undefined, auth), expired);
  await refused(fake, () => world.call("POST", "/api/jobs", { request: "hello", nostr_token: token }), expired);
  await refused(fake, () => world.call("POST", "/api/sessions", { amount_sats: 500 }, auth), expired);
});

test("rotation: under a new secret old tokens go on while the old one is listed, and end when it is not", async (fake) => {
  const { world, call } = fake;
  const { auth } = await signIn(world, call);
  const [old, fresh] = [world.deps.signInSecret, new Uint8Array(32).fill(9)];
  const rotate = (secrets: Uint8Array[]) => {
    world.deps.identityTokens = createIdentityTokens({
      secrets,
      instance: world.deps.settings.publicOrigin,
      ttlMs: DAY_MS,
    });
  };
  rotate([fresh, old]);
  assert.equal((await call("GET", "/api/identity/me", undefined, auth)).status, 200);
  const { auth: renewed } = await signIn(world, call);
  rotate([fresh]);
  await refused(fake, () => world.call("GET", "/api/identity/me", undefined, auth), [401, "identity_invalid"]);
  await refused(fake, () => world.call("POST", "/api/jobs", { request: "hello" }, auth), [401, "identity_invalid"]);
  assert.equal((await call("GET", "/api/identity/me", undefined, renewed)).status, 200);
});

test("header, body and signature that name different keys are 401, and the signed event is not spent", async (fake) => {
  const { world, call } = fake;
  const [alice, mallory] = [await signIn(world, call), await signIn(world, call, MALLORY)];
  for (const [path, body] of [["/api/jobs", { request: "hello" }], ["/api/sessions", { amount_sats: 500 }]] as const) {
    const conflict: Refusal = [401, "identity_conflict", /two different keys/];
    const two = { ...body, nostr_token: mallory.token };
    await refused(fake, () => world.call("POST", path, two, alice.auth), conflict);
    const signed = signedFor(world, "POST", path, { body });
    await refused(fake, () => world.call("POST", path, body, { ...signed, ...mallory.auth }), conflict);
    const event = signedFor(world, "POST", path, { body: two });
    await refused(fake, () => world.call("POST", path, two, event), conflict);
    assert.equal((await call("POST", path, body, { ...signed, ...alice.auth })).status, 201);
    const same = { ...body, nostr_token: alice.token };
    assert.equal((await call("POST", path, same, alice.auth)).status, 201);
  }
});

test("without a key the key's own routes are 401 and say how to sign in", async (fake) => {
  const { world } = fake;
  for (const path of ["me", "jobs", "sessions"]) {
    const required: Refusal = [401, "identity_required", /POST \/api\/identity\/challenge/];
    await refused(fake, () => world.call("GET", `/api/identity/${path}`), required);
    const bearer = { authorization: "Bearer abc" };
    await refused(fake, () => world.call("GET", `/api/identity/${path}`, undefined, bearer), required);
  }
});

// ---- NIP-98 --------------------------------------------------------------------------------------------------------

test("NIP-98: the method may be written in any case, on every route", async ({ world, call }) => {
  const asked: [method: string, path: string, body?: Record<string, unknown>][] = [
    ["get", "/api/identity/me"],
    ["Get", "/api/estimate?request=hello"],
    ["post", "/api/jobs", { request: "hello" }],
    ["Post", "/api/sessions", { amount_sats: 500 }],
  ];
  for (const [method, path, body] of asked) {
    const { status } = await call(method.toUpperCase(), path, body, signedFor(world, method, path, { body }));
    assert.ok([200, 201].includes(status), `${method} ${path}: ${status}`);
  }
});

test("NIP-98: an event for another request, or of another time, is 401 with its reason and creates nothing", async (fake) => {
  const { world, call, clock } = fake;
  const body = { request: "hello" };
  const text = JSON.stringify(body);
  const job = (change: Parameters<typeof requestEvent>[3] = {}) =>
    requestEvent(world, "POST", "/api/jobs", { body, ...change });
  const good = job();
  const tag = (name: string, value: string) =>
    job({ tags: good.tags.map((tag) => tag[0] === name ? [name, value] : tag) });
  const seconds = good.created_at;
  const wrong: [what: string, header: string, code: string][] = [
    ["nothing behind the scheme", "Nostr", "nip98_malformed"],
    ["no base64", "Nostr !", "nip98_malformed"],
    ["no event", nostrHeader({ nostr: "event" }), "nip98_malformed"],
    ["a second Authorization", `${nostrHeader(good)}, ${nostrHeader(good)}`, "nip98_malformed"],
    ["kind 1", nostrHeader(job({ kind: 1 })), "nip98_kind"],
    ["no tags", nostrHeader(job({ tags: [] })), "nip98_tags"],
    ["61 s ago", nostrHeader(job({ created_at: seconds - 61 })), "nip98_time"],
    ["61 s ahead", nostrHeader(job({ created_at: seconds + 61 })), "nip98_time"],
    ["another method", nostrHeader(tag("method", "GET")), "nip98_method"],
    ["another route", nostrHeader(tag("u", "http://127.0.0.1:8080/api/sessions")), "nip98_url"],
    ["a query", nostrHeader(tag("u", "http://127.0.0.1:8080/api/jobs?a=b")), "nip98_url"],
    ["a slash at the end", nostrHeader(tag("u", "http://127.0.0.1:8080/api/jobs/")), "nip98_url"],
    ["the address the request came to", nostrHeader(tag("u", "http://localhost/api/jobs")), "nip98_url"],
    ["another body", nostrHeader(job({ body: { request: "hello!" } })), "nip98_payload"],
    ["no body", nostrHeader(job({ body: undefined })), "nip98_payload"],
    ["a changed event", nostrHeader({ ...good, content: "x" }), "nip98_id"],
    ["another's signature", nostrHeader(forge(good, MALLORY)), "nip98_signature"],
  ];
  for (const [what, authorization, code] of wrong) {
    await refused(fake, () => world.call("POST", "/api/jobs", body, { authorization }), [401, code], what);
  }
  const authorization = nostrHeader(good);
  for (const same of [`${text} `, '{"request": "hello"}', '{"request":"hell\\u006f"}']) {
    const ask = () => world.call("POST", "/api/jobs", same, { authorization });
    await refused(fake, ask, [401, "nip98_payload"], "the same in other bytes");
  }
  await clock.advance(60_000);
  assert.equal((await call("POST", "/api/jobs", text, { authorization })).status, 201, "sixty seconds pass");
});

test("NIP-98: a list's query is part of what was signed", async (fake) => {
  const { world, call } = fake;
  const headers = signedFor(world, "GET", "/api/identity/jobs?limit=5");
  for (const path of ["jobs", "jobs?limit=6", "jobs?limit=5&limit=6", "jobs/?limit=5", "sessions?limit=5"]) {
    const ask = () => world.call("GET", `/api/identity/${path}`, undefined, headers);
    await refused(fake, ask, path.includes("&") ? [400, "validation_failed"] : [401, "nip98_url"], path);
  }
  assert.equal((await call("GET", "/api/identity/jobs?limit=5", undefined, headers)).status, 200);
});

test("NIP-98: a replay is refused after a crash, at every moment at which its event could pass", async (fake) => {
  const { world, call, clock } = fake;
  const body = { request: "hello" };
  const headers = signedFor(world, "POST", "/api/jobs", { body });
  assert.equal((await call("POST", "/api/jobs", body, headers)).status, 201);
  const ask = () => world.call("POST", "/api/jobs", body, headers);
  await world.crash();
  await refused(fake, ask, [401, "nip98_replayed"]);
  await clock.advance(60_000);
  await world.crash();
  await refused(fake, ask, [401, "nip98_replayed"]);
  await clock.advance(1);
  await refused(fake, ask, [401, "nip98_time"]);
  assert.equal((await world.rows(["job"])).length, 1);
});

test("NIP-98: of twenty requests at once with one event, one makes a job", async ({ world, clock }) => {
  const body = { request: "hello" };
  const headers = signedFor(world, "POST", "/api/jobs", { body });
  const answers = await clock.drive(
    Promise.all(Array.from({ length: 20 }, () => world.call("POST", "/api/jobs", body, headers))),
  );
  assert.equal(answers.filter(({ status }) => status === 201).length, 1);
  assert.equal((await world.rows(["job"])).length, 1);
});

// ---- altered events ------------------------------------------------------------------------------------------------

test(
  "200 altered events: both doors refuse each for its reason, none is an error, nothing is written",
  async (fake) => {
    const { world, call, clock } = fake;
    const { good, names, alter } = createAlterations(createSeededRandom(20_250_101));
    const body = '{"request":"hello"}';
    const bytes = new TextEncoder().encode(body);
    const createdAt = Math.floor(clock.now() / 1_000);
    const nonce = await newNonce(call);
    const fresh = () => good({ method: "POST", target: "/api/jobs", body: bytes, createdAt, nonce });
    await clock.settle();
    const version = await world.store.version();
    const counts = { signIn: 0, nip98: 0 };
    for (let round = 0; round < 200; round++) {
      const name = names[round % names.length] as string;
      const { event, header, request, signIn, nip98, signInFault } = alter(name, fresh());
      const what = `${name}, round ${round}`;
      // Another clock, address, method or body: the tests above send those.
      if (signInFault !== null && !(signIn && ("now" in signIn || "publicOrigin" in signIn))) {
        const { status, body } = await world.call("POST", VERIFY, {
          event,
          ...(signIn?.pubkey && { pubkey: signIn.pubkey }),
        });
        const expected = typeof event === "string" ? "validation_failed" : signInFault;
        assert.deepEqual([status === 400 || status === 401, body.error?.code], [true, expected], `sign-in: ${what}`);
        counts.signIn++;
      }
      if (nip98 !== null && request === undefined) {
        const authorization = header ?? nostrHeader(event);
        const { status, body: answer } = await world.call("POST", "/api/jobs", body, { authorization });
        assert.deepEqual([status, answer.error?.code], [401, nip98], `NIP-98: ${what}`);
        counts.nip98++;
      }
    }
    assert.ok(counts.signIn > 140 && counts.nip98 > 140, JSON.stringify(counts));
    assert.equal(await world.store.version(), version);

    // What was altered is good at both, and the nonce is not spent by hundreds of bad answers.
    const { event } = fresh();
    assert.equal((await call("POST", "/api/jobs", body, { authorization: nostrHeader(event) })).status, 201);
    assert.equal((await call("POST", VERIFY, { event })).status, 200);
  },
  { settings: { publicOrigin: ORIGIN } },
);

// ---- what belongs to a key -----------------------------------------------------------------------------------------

test("me: score, tier and what is left of today, decay and the next day included", async (fake) => {
  const { world, call, clock } = fake;
  const { auth, pubkey } = await signIn(world, call);
  const me = async () => (await call("GET", "/api/identity/me", undefined, auth)).body;
  const resetsAt = "2025-01-02T00:00:00.000Z";
  assert.deepEqual(await me(), {
    pubkey,
    trust: { tier: "new", score: 0, interactionCount: 0 },
    budget: { dailySats: 0, usedSats: 0, resetsAt },
  });
  const row = { v: 1, score: 51, lastSeen: clock.now() - 30 * DAY_MS, interactions: 60 };
  await world.store.transact((tx) => tx.set(trustKey(pubkey), row));
  assert.deepEqual((await me()).trust, { tier: "trusted", score: 51, interactionCount: 60 });
  assert.deepEqual((await me()).budget, { dailySats: 200, usedSats: 0, resetsAt });
  await world.store.transact((tx) => tx.set(trustKey(pubkey), { ...row, lastSeen: clock.now() - 32 * DAY_MS }));
  const version = await world.store.version();
  assert.deepEqual((await me()).trust, { tier: "established", score: 49, interactionCount: 60 });
  assert.equal((await me()).budget.dailySats, 50);
  assert.equal(await world.store.version(), version, "reading moves nothing");
});

test("lists: one's own, newest first, in pages of any size, each once", async (fake) => {
  const { world, call, clock } = fake;
  const [alice, mallory] = [await signIn(world, call), await signIn(world, call, MALLORY)];
  const made: Record<"jobs" | "sessions", { id: string; createdAt: string }[]> = { jobs: [], sessions: [] };
  for (let i = 0; i < 7; i++) {
    const at = new Date(clock.now()).toISOString();
    const { jobId } = await createJob(call, `Question ${i}`, alice.auth);
    const { body } = await call("POST", "/api/sessions", { amount_sats: 100 + i }, alice.auth);
    made.jobs.unshift({ id: jobId, createdAt: at });
    made.sessions.unshift({ id: body.sessionId, createdAt: at });
    if (i % 2 === 0) await clock.advance(7);
  }
  await createJob(call, "hello", mallory.auth);
  await createJob(call, "hello");
  await call("POST", "/api/sessions", { amount_sats: 100 });

  for (const kind of ["jobs", "sessions"] as const) {
    const get = async (query: string, { auth } = alice) =>
      (await call("GET", `/api/identity/${kind}${query}`, undefined, auth)).body;
    const whole = await get("");
    assert.deepEqual(Object.keys(whole), [kind]);
    const idName = kind === "jobs" ? "jobId" : "sessionId";
    const ids = (items: Record<string, string>[]) => items.map((item) => item[idName]);
    assert.deepEqual(new Set(ids(whole[kind])), new Set(made[kind].map(({ id }) => id)));
    assert.deepEqual(
      whole[kind].map((item: { createdAt: string }) => item.createdAt),
      made[kind].map((it) => it.createdAt),
    );
    for (const limit of [1, 2, 3, 6, 7, 100]) {
      const read = [];
      let after = "";
      do {
        const page = await get(`?limit=${limit}${after}`);
        assert.ok(page[kind].length === limit || page.next === undefined);
        read.push(...page[kind]);
        after = page.next === undefined ? "" : `&after=${page.next}`;
      } while (after !== "");
      assert.deepEqual(read, whole[kind], `pages of ${limit}`);
    }
    assert.equal((await get("", mallory))[kind].length, kind === "jobs" ? 1 : 0);
  }
});

test("lists: state and balance are those of now, and the ids open what they name", async (fake) => {
  const { world, call, clock } = fake;
  const { auth } = await signIn(world, call);
  const path = await owned(fake, auth);
  const waiting = (await call("POST", "/api/sessions", { amount_sats: 300 }, auth)).body;
  const { debitedSats } = (await call("POST", `${path}/request`, { request: "hello" }, auth)).body;
  const { sessions } = (await call("GET", "/api/identity/sessions", undefined, auth)).body;
  const createdAt = new Date(clock.now()).toISOString();
  const byId = new Map(sessions.map((session: { sessionId: string }) => [session.sessionId, session]));
  const sessionId = path.split("/").at(-1) ?? "";
  assert.deepEqual(byId.get(sessionId), { sessionId, state: "active", createdAt, balanceSats: 1_000 - debitedSats });
  assert.deepEqual(byId.get(waiting.sessionId), {
    sessionId: waiting.sessionId,
    state: "awaiting_payment",
    createdAt,
    balanceSats: 0,
  });
  for (const id of byId.keys()) assert.equal((await call("GET", `/api/sessions/${id}`)).status, 200);

  const { jobId, evalInvoice } = await createJob(call, "hello", auth);
  await world.wallet.payInvoice(evalInvoice.paymentHash);
  await clock.settle();
  const [job] = (await call("GET", "/api/identity/jobs", undefined, auth)).body.jobs;
  assert.deepEqual(job, { jobId, state: "awaiting_work_payment", createdAt });
  assert.equal((await call("GET", `/api/jobs/${jobId}`)).body.state, job.state);
});

test("lists: what is gone is left out, also where a page ends", async ({ world, call }) => {
  const { auth } = await signIn(world, call);
  for (let i = 0; i < 5; i++) {
    await createJob(call, "hello", auth);
    const { body } = await call("POST", "/api/sessions", { amount_sats: 100 }, auth);
    if (i % 2 === 0) await world.store.transact((tx) => tx.delete(sessionKey(body.sessionId.slice(0, 13))));
  }
  const listed = (await call("GET", "/api/identity/jobs", undefined, auth)).body.jobs;
  const gone = [listed[1].jobId, listed[4].jobId];
  await world.store.transact((tx) => gone.forEach((id) => tx.delete(jobKey(id.slice(0, 13)))));
  const rest = listed.filter(({ jobId }: { jobId: string }) => !gone.includes(jobId));
  const first = (await call("GET", "/api/identity/jobs?limit=2", undefined, auth)).body;
  const second = (await call("GET", `/api/identity/jobs?limit=3&after=${first.next}`, undefined, auth)).body;
  assert.deepEqual([...first.jobs, ...second.jobs], rest);
  assert.equal(second.next, undefined);
  assert.equal((await call("GET", "/api/identity/sessions", undefined, auth)).body.sessions.length, 2);
});

test("lists: a session or job that nobody paid for is forgotten a day after its invoice expired, and its place with it", async (fake) => {
  const { world, call, clock } = fake;
  const { auth } = await signIn(world, call);
  const kept = await owned(fake, auth);
  await call("POST", "/api/sessions", { amount_sats: 100 }, auth);
  await createJob(call, "hello", auth);
  const listed = async () => {
    const { auth } = await signIn(world, call); // its token has a day, too
    const [jobs, sessions] = [
      (await call("GET", "/api/identity/jobs", undefined, auth)).body.jobs,
      (await call("GET", "/api/identity/sessions", undefined, auth)).body.sessions,
    ];
    const places = [...await world.rows(["identity_job"]), ...await world.rows(["identity_session"])];
    assert.equal(places.length, jobs.length + sessions.length);
    return [...jobs, ...sessions].map(({ state }) => state);
  };
  clock.leap(601_000);
  await clock.advance(3_000);
  assert.deepEqual((await listed()).sort(), ["active", "expired", "expired"]);
  clock.leap(DAY_MS);
  await clock.advance(70_000);
  assert.deepEqual(await listed(), ["expired"], "the session that was paid");
  assert.equal((await call("GET", kept)).body.state, "expired");
});

test("lists: a limit or a place that is none is 400, and spends no signed event", async (fake) => {
  const { world, call } = fake;
  const { auth } = await signIn(world, call);
  const wrong = ["limit=0", "limit=101", "limit=1.5", "limit=-1", "limit=x", "limit=", "after=x", "after=", "page=2"];
  for (
    const query of [
      ...wrong,
      "after=1735689600000",
      `after=-${"0".repeat(13)}`,
      `after=${"9".repeat(16)}-${"0".repeat(13)}`,
    ]
  ) {
    for (const kind of ["jobs", "sessions"]) {
      const path = `/api/identity/${kind}?${query}`;
      const [field = ""] = query.split("=");
      const refusal: Refusal = [400, "validation_failed", new RegExp(field)];
      await refused(fake, () => world.call("GET", path, undefined, auth), refusal, path);
      await refused(fake, () => world.call("GET", path, undefined, signedFor(world, "GET", path)), refusal, path);
    }
  }
});

// ---- the API page --------------------------------------------------------------------------------------------------

const DOCUMENT = new URL("../../docs/identity.md", import.meta.url);

/** Runs the code as a browser's console on a page of this instance does, with a signer. @returns what it left in `value`. */
async function inBrowser({ world, clock }: FakeWorld, code: string, value: string): Promise<unknown> {
  const page = {
    window: {
      nostr: {
        signEvent: (template: { kind: number; tags: string[][]; content: string }) =>
          Promise.resolve(answerTo(world, template.content, { kind: template.kind, tags: template.tags })),
      },
    },
    location: new URL(world.deps.settings.publicOrigin),
    fetch: async (path: string, init: Parameters<typeof world.app.request>[1]) => await world.app.request(path, init),
    console: { log: () => {} },
  };
  const AsyncFunction = (async () => {}).constructor as new (...args: string[]) => (
    ...args: unknown[]
  ) => Promise<unknown>;
  const run = new AsyncFunction(...Object.keys(page), `${code}\nreturn ${value};`);
  return await clock.drive(run(...Object.values(page)));
}

test("the API page and the guide: their examples of signing in run as they stand", async (fake) => {
  const { body: document } = await fake.call("GET", "/api/doc");
  for (const text of [document.paths[VERIFY].post.description, await Deno.readTextFile(DOCUMENT)]) {
    const [, code = ""] = /```js\n([\s\S]*?)```/.exec(text) ?? [];
    assert.ok(code.includes("window.nostr.signEvent"));
    const token = String(await inBrowser(fake, code, "nostr_token"));
    assert.equal((await fake.call("GET", "/api/identity/me", undefined, bearing(token))).status, 200);
  }
});

test("the API page: both ways to show a key are described, and the key's routes name them", async ({ call }) => {
  const { body } = await call("GET", "/api/doc");
  const { NostrToken, Nostr, Bearer } = body.components.securitySchemes;
  assert.deepEqual([NostrToken.name, Nostr.name, Bearer.scheme], ["X-Nostr-Token", "Authorization", "bearer"]);
  for (const path of ["me", "jobs", "sessions"]) {
    const { security, responses } = body.paths[`/api/identity/${path}`].get;
    assert.deepEqual(security, [{ NostrToken: [] }, { Nostr: [] }]);
    assert.ok(responses["200"] && responses["401"]);
  }
});

test("lists: a balance without what running chats may cost", async (fake) => {
  const { world, call, clock } = fake;
  const { auth } = await signIn(world, call);
  const path = await owned(fake, auth);
  const { macaroon } = (await call("GET", path, undefined, auth)).body;
  const body = { model: "claude-sonnet-4-6", messages: [{ role: "user", content: "[slow:60000] hello" }] };
  void world.call("POST", "/api/v1/chat/completions", body, { authorization: `Bearer ${macaroon}` });
  await clock.settle();
  const [listed] = (await call("GET", "/api/identity/sessions", undefined, auth)).body.sessions;
  const read = (await call("GET", path, undefined, auth)).body;
  assert.ok(listed.balanceSats < 1_000, `${listed.balanceSats}`);
  assert.equal(listed.balanceSats, read.balanceSats);
});
