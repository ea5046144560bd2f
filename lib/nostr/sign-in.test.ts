import assert from "node:assert/strict";
import { finalizeEvent } from "nostr-tools/pure";
import { ALICE, forge, MALLORY, sign, type Template } from "@/tests/fixtures/nostr/sign.ts";
import { readSignIn, type SignInRequest } from "./sign-in.ts";

const SECOND = 1_700_000_000;
const NOW = SECOND * 1000;
const ORIGIN = "https://timmy.example";
const NONCE = "5f".repeat(32);
const OTHER_NONCE = "6e".repeat(32);
const MINUTES = 60_000;

const event = (part: Partial<Template> = {}) =>
  sign({ kind: 27_235, created_at: SECOND, content: NONCE, tags: [], ...part });
const tagged = (...tags: string[][]) => event({ content: "", tags });
const read = (signed: unknown, part: Partial<SignInRequest> = {}) =>
  readSignIn({ event: signed, publicOrigin: ORIGIN, now: NOW, ...part });
const verdict = (signed: unknown, part: Partial<SignInRequest> = {}) => {
  const result = read(signed, part);
  return result.ok ? "ok" : result.code;
};

const EVENT = event();
const SIGNED_IN = { ok: true, pubkey: EVENT.pubkey, nonce: NONCE };

Deno.test("readSignIn: the nonce in the content, or in a challenge tag, by either kind", () => {
  for (const kind of [27_235, 22_242]) {
    assert.deepEqual(read(event({ kind })), SIGNED_IN);
    assert.deepEqual(read(event({ kind, content: "", tags: [["challenge", NONCE]] })), SIGNED_IN);
    assert.deepEqual(read(event({ kind, tags: [["challenge", NONCE]] })), SIGNED_IN);
  }
});

Deno.test("readSignIn: a text for people in the content leaves the nonce to the tag", () => {
  assert.deepEqual(read(event({ content: "Sign in to Timmy", tags: [["challenge", NONCE]] })), SIGNED_IN);
});

Deno.test("readSignIn: an event straight from nostr-tools, marked as verified, is verified again", () => {
  const marked = finalizeEvent({ kind: 27_235, created_at: SECOND, content: NONCE, tags: [] }, ALICE);
  assert.equal(verdict(marked), "ok");
  assert.equal(verdict({ ...marked, content: OTHER_NONCE }), "event_id");
});

Deno.test("readSignIn: content and tag that name different nonces contradict each other", () => {
  assert.equal(verdict(event({ tags: [["challenge", OTHER_NONCE]] })), "challenge_mismatch");
  assert.equal(verdict(tagged(["challenge", NONCE], ["challenge", OTHER_NONCE])), "challenge_mismatch");
  assert.equal(verdict(tagged(["challenge", NONCE], ["challenge", NONCE])), "challenge_mismatch");
});

Deno.test("readSignIn: without a nonce of 64 hex digits there is nothing to answer", () => {
  for (const content of ["", NONCE.slice(1), `${NONCE}0`, NONCE.toUpperCase(), `${NONCE}\n`, "hello"]) {
    assert.equal(verdict(event({ content })), "challenge_missing");
    assert.equal(verdict(tagged(["challenge", content])), "challenge_missing");
  }
  assert.equal(verdict(tagged(["challenge"])), "challenge_missing");
  assert.equal(verdict(event({ tags: [["challenge", "hello"]] })), "challenge_missing");
});

Deno.test("readSignIn: another kind is refused", () => {
  for (const kind of [0, 1, 22_241, 27_236]) assert.equal(verdict(event({ kind })), "event_kind");
});

Deno.test("readSignIn: five minutes either way pass, one second more does not", () => {
  for (const seconds of [-300, 300]) assert.equal(verdict(event({ created_at: SECOND + seconds })), "ok");
  for (const seconds of [-301, 301]) assert.equal(verdict(event({ created_at: SECOND + seconds })), "event_time");
  assert.equal(verdict(EVENT, { now: NOW + 5 * MINUTES + 1 }), "event_time");
});

Deno.test("readSignIn: a key that is claimed must be the event's", () => {
  assert.equal(verdict(EVENT, { pubkey: EVENT.pubkey }), "ok");
  assert.equal(verdict(EVENT, { pubkey: sign(EVENT, MALLORY).pubkey }), "pubkey_mismatch");
  for (const pubkey of ["", "npub1abc", EVENT.pubkey.slice(1), EVENT.pubkey.toUpperCase()]) {
    assert.equal(verdict(EVENT, { pubkey }), "pubkey_malformed");
  }
});

Deno.test("readSignIn: what is no event is malformed, what is not signed is named", () => {
  for (const signed of [undefined, null, "", JSON.stringify(EVENT), [], {}, { ...EVENT, id: undefined }]) {
    assert.equal(verdict(signed), "event_malformed");
  }
  assert.equal(verdict({ ...EVENT, created_at: SECOND + 1 }), "event_id");
  assert.equal(verdict(forge(EVENT, MALLORY)), "event_signature");
});

Deno.test("readSignIn: an event that names this server passes, whatever the path", () => {
  const challenge = ["challenge", NONCE];
  const urls = ["https://timmy.example", "https://timmy.example/api/identity/verify?x", "HTTPS://Timmy.Example:443/"];
  for (const u of urls) assert.equal(verdict(tagged(challenge, ["u", u])), "ok", u);
  const relays = ["wss://timmy.example", "wss://timmy.example/api/ws", "https://timmy.example/"];
  for (const relay of relays) assert.equal(verdict(tagged(challenge, ["relay", relay])), "ok", relay);
  assert.equal(
    verdict(tagged(challenge, ["relay", "ws://127.0.0.1:8080"]), { publicOrigin: "http://127.0.0.1:8080" }),
    "ok",
  );
});

Deno.test("readSignIn: how the operator wrote the public origin does not matter", () => {
  const signed = tagged(["challenge", NONCE], ["u", ORIGIN]);
  for (const publicOrigin of ["https://Timmy.Example", "https://timmy.example:443/"]) {
    assert.equal(verdict(signed, { publicOrigin }), "ok");
  }
});

Deno.test("readSignIn: an event that names another server is refused, even if it names this one too", () => {
  const challenge = ["challenge", NONCE];
  const others = [
    "https://evil.example",
    "http://timmy.example",
    "https://timmy.example:8443",
    "https://timmy.example.evil.example",
    "https://timmy.example@evil.example",
    "wss://timmy.example",
    "timmy.example",
    "",
  ];
  for (const u of others) assert.equal(verdict(tagged(challenge, ["u", u])), "event_origin", u);
  for (const relay of ["wss://evil.example", "ws://timmy.example", "wss://timmy.example:1", "relay", ""]) {
    assert.equal(verdict(tagged(challenge, ["relay", relay])), "event_origin", relay);
  }
  const elsewhere = read(tagged(challenge, ["u", "http://localhost:8080"]));
  assert.match(elsewhere.ok ? "" : elsewhere.message, new RegExp(`Sign in at ${ORIGIN}\\.$`));
  assert.equal(verdict(tagged(challenge, ["u"])), "event_origin");
  assert.equal(verdict(tagged(challenge, ["u", ORIGIN], ["u", "https://evil.example"])), "event_origin");
  assert.equal(verdict(tagged(challenge, ["u", ORIGIN], ["relay", "wss://evil.example"])), "event_origin");
});
