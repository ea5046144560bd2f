import assert from "node:assert/strict";
import { getPublicKey } from "nostr-tools/pure";
import { ALICE, MALLORY, nostrHeader, sign } from "@/tests/fixtures/nostr/sign.ts";
import { FAKE_START_MS } from "@/tests/harness/fake-clock.ts";
import { createMemoryStore } from "@/tests/harness/memory-store.ts";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";
import { TEST_SETTINGS } from "@/tests/harness/world.ts";
import {
  CHALLENGE_MS,
  checkChallenge,
  identify,
  type IdentityCredentials,
  IdentityError,
  newChallenge,
  useOnce,
} from "./identity.ts";
import { createIdentityTokens } from "./identity-token.ts";

const ORIGIN = TEST_SETTINGS.publicOrigin;
const NOW = FAKE_START_MS;
const random = createSeededRandom(7);
const deps = { random, signInSecret: new Uint8Array(32).fill(3), publicOrigin: ORIGIN };

// ---- challenges ----------------------------------------------------------------------------------------------------

Deno.test("newChallenge: 64 hex digits, another one each time, good until just before its expiry", () => {
  const made = Array.from({ length: 100 }, () => newChallenge(deps, NOW + 999));
  assert.equal(new Set(made.map(({ nonce }) => nonce)).size, 100);
  for (const { nonce, expiresAt } of made.slice(0, 3)) {
    assert.match(nonce, /^[0-9a-f]{64}$/);
    assert.ok(expiresAt > NOW + 999 + CHALLENGE_MS - 1_000 && expiresAt <= NOW + 999 + CHALLENGE_MS);
    assert.deepEqual(checkChallenge(deps, nonce, NOW), { ok: true, expiresAt });
    assert.deepEqual(checkChallenge(deps, nonce, expiresAt - 1), { ok: true, expiresAt });
    assert.deepEqual(checkChallenge(deps, nonce, expiresAt), { ok: false, reason: "expired" });
  }
});

Deno.test("checkChallenge: a nonce with any digit changed is unknown, its expiry included", () => {
  const { nonce } = newChallenge(deps, NOW);
  for (let at = 0; at < nonce.length; at++) {
    const changed = nonce.slice(0, at) + (nonce[at] === "f" ? "0" : "f") + nonce.slice(at + 1);
    assert.deepEqual(checkChallenge(deps, changed, NOW), { ok: false, reason: "unknown" }, `digit ${at}`);
  }
});

Deno.test("checkChallenge: a nonce of another secret, or of another origin with the same secret, is unknown", () => {
  const unknown = { ok: false, reason: "unknown" };
  const { nonce } = newChallenge(deps, NOW);
  assert.deepEqual(checkChallenge({ ...deps, signInSecret: new Uint8Array(32).fill(4) }, nonce, NOW), unknown);
  assert.deepEqual(checkChallenge({ ...deps, publicOrigin: "https://other.example" }, nonce, NOW), unknown);
  assert.deepEqual(checkChallenge({ ...deps, publicOrigin: `${ORIGIN}0` }, nonce, NOW), unknown);
});

// ---- single use ----------------------------------------------------------------------------------------------------

Deno.test("useOnce: the first use writes a row, the next ones write nothing, and other kinds and ids are others", async () => {
  const { store } = await createMemoryStore();
  const use = (kind: "challenge" | "event", id: string) => store.transact((tx) => useOnce(tx, kind, id, NOW));
  assert.equal(await use("event", "a"), true);
  const version = await store.version();
  assert.equal(await use("event", "a"), false);
  assert.equal(await store.version(), version);
  assert.deepEqual([await use("event", "b"), await use("challenge", "a")], [true, true]);
});

Deno.test("useOnce: of ten uses at once one is the first", async () => {
  const { store } = await createMemoryStore();
  const uses = await Promise.all(
    Array.from({ length: 10 }, () => store.transact((tx) => useOnce(tx, "event", "a", NOW))),
  );
  assert.equal(uses.filter((first) => first).length, 1);
});

Deno.test("useOnce: an id is remembered ten minutes longer than it could be used, and its end is planned", async () => {
  const { store } = await createMemoryStore();
  await store.transact((tx) => useOnce(tx, "event", "a", NOW));
  const [task] = await store.list<{ v: 1; dueAt: number }>(["task"]);
  assert.equal(task?.value.dueAt, NOW + 600_000);
});

// ---- who a request is from -----------------------------------------------------------------------------------------

const TARGET = "/api/jobs?a=b";
const PUBKEY = { alice: getPublicKey(ALICE), mallory: getPublicKey(MALLORY) };

async function setup() {
  const { store, clock } = await createMemoryStore();
  const identityTokens = createIdentityTokens({ secrets: [new Uint8Array(32)], instance: ORIGIN, ttlMs: 60_000 });
  const all = { store, clock, identityTokens, settings: TEST_SETTINGS };
  const nothing: IdentityCredentials = {
    header: undefined,
    authorization: undefined,
    method: "GET",
    target: TARGET,
    bytes: null,
  };
  return {
    store,
    clock,
    ask: (given: Partial<IdentityCredentials>) => identify(all, { ...nothing, ...given }),
    token: (pubkey: string, now = NOW) => identityTokens.issue(pubkey, now).token,
  };
}

const signedEvent = (key = ALICE) =>
  sign({ kind: 27_235, created_at: NOW / 1_000, content: "", tags: [["u", ORIGIN + TARGET], ["method", "GET"]] }, key);

/** It is refused with this code, and nothing is written. */
async function refuses(
  { store, ask }: Awaited<ReturnType<typeof setup>>,
  given: Partial<IdentityCredentials>,
  code: string,
): Promise<void> {
  const version = await store.version();
  await assert.rejects(ask(given), (error) => {
    assert.ok(error instanceof IdentityError);
    assert.equal(error.code, code);
    return true;
  });
  assert.equal(await store.version(), version, code);
}

Deno.test("identify: nobody without a credential, and with one that is somebody else's to judge", async () => {
  const { ask, store } = await setup();
  const version = await store.version();
  for (const authorization of [undefined, "", "Bearer abc", "Basic bm9zdHI=", "L402 a:b", "Nostrum abc"]) {
    assert.equal(await ask({ authorization }), null, authorization ?? "no header");
  }
  assert.equal(await store.version(), version);
});

Deno.test("identify: the key of a token in header or body, or of a signed event; a token writes nothing", async () => {
  const { ask, token, store } = await setup();
  const version = await store.version();
  const { alice } = PUBKEY;
  assert.equal(await ask({ header: token(alice) }), alice);
  assert.equal(await ask({ bodyToken: token(alice) }), alice);
  assert.equal(await ask({ header: token(alice), bodyToken: token(alice) }), alice);
  assert.equal(await store.version(), version);
  const all = { header: token(alice), bodyToken: token(alice), authorization: nostrHeader(signedEvent()) };
  assert.equal(await ask(all), alice);
});

Deno.test("identify: a token that is empty, none, expired or another's is 401, also beside a good one", async () => {
  const it = await setup();
  const good = it.token(PUBKEY.alice);
  for (const wrong of ["", " ", "x", `${good}0`, `${good}, ${good}`]) {
    await refuses(it, { header: wrong }, "identity_invalid");
    await refuses(it, { bodyToken: wrong }, "identity_invalid");
    await refuses(it, { header: good, bodyToken: wrong }, "identity_invalid");
    await refuses(it, { header: wrong, authorization: nostrHeader(signedEvent()) }, "identity_invalid");
  }
  await refuses(it, { header: it.token(PUBKEY.alice, NOW - 60_000) }, "identity_expired");
});

Deno.test("identify: Nostr with nothing good behind it is 401, never nobody", async () => {
  const it = await setup();
  const good = nostrHeader(signedEvent());
  for (
    const wrong of ["Nostr", "nostr ", "NOSTR\t", "Nostr\tabc", "Nostr abc", `Bearer x, ${good}`, `${good}, ${good}`]
  ) {
    await refuses(it, { authorization: wrong }, "nip98_malformed");
  }
  assert.equal(await it.ask({ authorization: good }), PUBKEY.alice, "none of them has spent it");
});

Deno.test("identify: two keys in one request are 401, and the signed event is not spent", async () => {
  const it = await setup();
  const authorization = nostrHeader(signedEvent());
  const [alice, mallory] = [it.token(PUBKEY.alice), it.token(PUBKEY.mallory)];
  await refuses(it, { header: alice, bodyToken: mallory }, "identity_conflict");
  await refuses(it, { header: mallory, authorization }, "identity_conflict");
  await refuses(it, { bodyToken: mallory, authorization }, "identity_conflict");
  assert.equal(await it.ask({ bodyToken: alice, authorization }), PUBKEY.alice);
});

Deno.test("identify: a signed event is good once, of ten at once for one", async () => {
  const it = await setup();
  const authorization = nostrHeader(signedEvent());
  const answers = await Promise.allSettled(Array.from({ length: 10 }, () => it.ask({ authorization })));
  assert.deepEqual(answers.filter(({ status }) => status === "fulfilled").length, 1);
  await refuses(it, { authorization }, "nip98_replayed");
});

Deno.test("identify: a replay is refused to the last moment at which the event could pass", async () => {
  const it = await setup();
  const authorization = nostrHeader(signedEvent());
  await it.ask({ authorization });
  await it.clock.advance(60_000);
  await refuses(it, { authorization }, "nip98_replayed");
  await it.clock.advance(1);
  await refuses(it, { authorization }, "nip98_time");
});

Deno.test("identify: address, method and body are those of the request, under the public origin", async () => {
  const it = await setup();
  const authorization = nostrHeader(signedEvent());
  await refuses(it, { authorization, target: "/api/jobs" }, "nip98_url");
  await refuses(it, { authorization, method: "POST" }, "nip98_method");
  await refuses(it, { authorization, bytes: new Uint8Array(1) }, "nip98_payload");
  assert.equal(await it.ask({ authorization }), PUBKEY.alice);
});
