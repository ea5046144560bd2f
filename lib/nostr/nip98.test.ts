import assert from "node:assert/strict";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { getToken } from "nostr-tools/nip98";
import { finalizeEvent } from "nostr-tools/pure";
import published from "@/tests/fixtures/nostr/published.json" with { type: "json" };
import { ALICE, forge, MALLORY, nostrHeader, sign, toBase64 } from "@/tests/fixtures/nostr/sign.ts";
import { checkNip98, type Nip98Request } from "./nip98.ts";

const SECOND = 1_700_000_000;
const NOW = SECOND * 1000;
const URL_HERE = "https://timmy.example/api/jobs?a=1&b=2";
const BODY = new TextEncoder().encode('{"request":"ü"}');
const BODY_HASH = bytesToHex(sha256(BODY));
const NOTHING_HASH = bytesToHex(sha256(new Uint8Array()));

const event = (tags: string[][], part: { kind?: number; created_at?: number; content?: string } = {}) =>
  sign({ kind: 27_235, created_at: SECOND, content: "", tags, ...part });
const GET = event([["u", URL_HERE], ["method", "GET"]]);
const post = (payload: string) => event([["u", URL_HERE], ["method", "POST"], ["payload", payload]]);

const check = (signed: unknown, part: Partial<Nip98Request> = {}) =>
  checkNip98({ header: nostrHeader(signed), method: "GET", url: URL_HERE, body: null, now: NOW, ...part });
const verdict = (result: ReturnType<typeof checkNip98>) => result.ok ? "ok" : result.code;
const checkPost = (signed: unknown, body: Uint8Array | null = BODY) => verdict(check(signed, { method: "POST", body }));

Deno.test("checkNip98: a request signed for here and now says whose it is and how long its id matters", () => {
  assert.deepEqual(check(GET), { ok: true, pubkey: GET.pubkey, eventId: GET.id, validUntil: NOW + 60_001 });
});

Deno.test("checkNip98: what nostr-tools makes for a request passes", async () => {
  const payload = { request: "hello" };
  const body = new TextEncoder().encode(JSON.stringify(payload));
  for (const method of ["POST", "post"]) {
    const header = await getToken(URL_HERE, method, (template) => finalizeEvent(template, ALICE), true, payload);
    assert.equal(verdict(checkNip98({ header, method: "POST", url: URL_HERE, body, now: Date.now() })), "ok", method);
  }
});

Deno.test("checkNip98: the example of NIP-98 does not pass: its tag was renamed after it was signed", () => {
  const request = { url: "https://api.snort.social/api/v1/n5sp/list", now: 1_682_327_852_000 };
  const [header, example] = published.events.map(({ json }) => JSON.parse(json));
  assert.equal(verdict(check(header, request)), "nip98_tags");
  assert.equal(verdict(check(example, request)), "nip98_id");
});

Deno.test("checkNip98: sixty seconds either way pass, one more does not", () => {
  const at = (now: number) => verdict(check(GET, { now }));
  assert.deepEqual([-60_000, -59_999, 59_999, 60_000].map((ms) => at(NOW + ms)), Array(4).fill("ok"));
  assert.deepEqual([-61_000, -60_001, 60_001, 61_000].map((ms) => at(NOW + ms)), Array(4).fill("nip98_time"));
});

Deno.test("checkNip98: validUntil is the first moment at which the same event is refused", () => {
  for (const created_at of [SECOND - 60, SECOND, SECOND + 60]) {
    const signed = event(GET.tags, { created_at });
    const first = check(signed);
    assert.ok(first.ok);
    assert.equal(verdict(check(signed, { now: first.validUntil - 1 })), "ok");
    assert.equal(verdict(check(signed, { now: first.validUntil })), "nip98_time");
  }
});

Deno.test("checkNip98: another kind is refused, however well it is signed", () => {
  for (const kind of [1, 22_242, 27_234, 27_236]) {
    assert.equal(verdict(check(event(GET.tags, { kind }))), "nip98_kind");
  }
});

Deno.test("checkNip98: exactly one u and one method, at most one payload", () => {
  const [u, method] = GET.tags as [string[], string[]];
  const payload = ["payload", BODY_HASH];
  for (const tags of [[], [u], [method], [u, u, method], [u, method, method], [u, method, payload, payload]]) {
    assert.equal(verdict(check(event(tags))), "nip98_tags");
  }
});

Deno.test("checkNip98: content and other tags do not matter", () => {
  assert.equal(
    verdict(check(event([["nonce", "1"], ...GET.tags, ["U", "x"], ["nonce", "2"]], { content: "x" }))),
    "ok",
  );
});

Deno.test("checkNip98: the method is compared without case, as nostr-tools writes it in lower case", () => {
  assert.equal(verdict(check(GET, { method: "POST" })), "nip98_method");
  for (const method of ["get", "Get", "GET"]) {
    assert.equal(verdict(check(event([["u", URL_HERE], ["method", method]]))), "ok", method);
  }
  for (const method of ["", "gets", "post", "HEAD", "get "]) {
    assert.equal(verdict(check(event([["u", URL_HERE], ["method", method]]))), "nip98_method", method);
  }
  assert.equal(verdict(check(event([["u", URL_HERE], ["method"]]))), "nip98_method");
  assert.equal(verdict(check(event([["u", URL_HERE], ["method", "DELETE"]]), { method: "DELETE" })), "ok");
});

const urlVerdict = (u: string, url: string) => verdict(check(event([["u", u], ["method", "GET"]]), { url }));
const HOST = "https://timmy.example";

Deno.test("checkNip98: another URL is refused in every part", () => {
  const others = [
    "http://timmy.example/api/jobs?a=1&b=2",
    "https://evil.example/api/jobs?a=1&b=2",
    "https://timmy.example.evil.example/api/jobs?a=1&b=2",
    "https://timmy.example:8443/api/jobs?a=1&b=2",
    "https://timmy.example/api/job?a=1&b=2",
    "https://timmy.example/api/jobs/?a=1&b=2",
    "https://timmy.example/api/Jobs?a=1&b=2",
    "https://timmy.example//api/jobs?a=1&b=2",
    "https://timmy.example/api/jobs",
    "https://timmy.example/api/jobs?a=1",
    "https://timmy.example/api/jobs?b=2&a=1",
    "https://timmy.example/api/jobs?a=1&b=2&c=3",
    "https://timmy.example/api/jobs?a=%31&b=2",
    "https://timmy.example/api/jobs?a=1&b=2#",
    "https://timmy.example/api/jobs?a=1&b=2#x",
    "https://timmy@timmy.example/api/jobs?a=1&b=2",
    "https://timmy.example@evil.example/api/jobs?a=1&b=2",
    "https:\\\\timmy.example\\api\\jobs?a=1&b=2",
    "https:timmy.example/api/jobs?a=1&b=2",
    " https://timmy.example/api/jobs?a=1&b=2",
    "https://timmy.example/api/jobs?a=1&b=2 ",
    "https://timmy.example/api/\njobs?a=1&b=2",
    "wss://timmy.example/api/jobs?a=1&b=2",
    "//timmy.example/api/jobs?a=1&b=2",
    "/api/jobs?a=1&b=2",
    "timmy.example/api/jobs?a=1&b=2",
    "https://",
    "https://[",
    "https://a b/",
    "",
  ];
  for (const u of others) assert.equal(urlVerdict(u, URL_HERE), "nip98_url", u);
  const without = check(event([["u"], ["method", "GET"]]));
  assert.equal(verdict(without), "nip98_url");
  assert.match(without.ok ? "" : without.message, /public address of this server: https:\/\/timmy\.example\.$/);
});

Deno.test("checkNip98: a slash at the end is part of the URL on both sides", () => {
  assert.equal(urlVerdict(`${HOST}/api/jobs/`, `${HOST}/api/jobs/`), "ok");
  assert.equal(urlVerdict(`${HOST}/api/jobs`, `${HOST}/api/jobs/`), "nip98_url");
});

Deno.test("checkNip98: u may be written as somebody gives it to fetch", () => {
  assert.equal(urlVerdict("HTTPS://Timmy.Example:443/api/jobs?a=1&b=2", URL_HERE), "ok");
  assert.equal(urlVerdict(`${HOST}/api/estimate?request=a b ü`, `${HOST}/api/estimate?request=a%20b%20%C3%BC`), "ok");
  assert.equal(urlVerdict(HOST, `${HOST}/`), "ok");
  assert.equal(urlVerdict(`${HOST}/x/../api`, `${HOST}/api`), "ok");
});

Deno.test("checkNip98: u may be written as it was sent, even where a browser would send something else", () => {
  assert.equal(urlVerdict(`${HOST}/api/estimate?request='a'`, `${HOST}/api/estimate?request='a'`), "ok");
  assert.equal(urlVerdict(`${HOST}/api/estimate?request='a'`, `${HOST}/api/estimate?request=%27a%27`), "ok");
});

Deno.test("checkNip98: the path that arrived is not tidied up: an event is good for one spelling of it", () => {
  assert.equal(urlVerdict(`${HOST}/api/me`, `${HOST}/api/jobs/../me`), "nip98_url");
  assert.equal(urlVerdict(`${HOST}/api/me`, `${HOST}/api/%2e/me`), "nip98_url");
  assert.equal(urlVerdict(`${HOST}/a'b`, `${HOST}/a%27b`), "nip98_url");
});

Deno.test("checkNip98: how the operator wrote the public origin does not matter", () => {
  assert.equal(urlVerdict(URL_HERE, "https://Timmy.Example:443/api/jobs?a=1&b=2"), "ok");
  assert.equal(urlVerdict(`${HOST}/api?q='a'`, "https://Timmy.Example/api?q='a'"), "ok");
  assert.equal(urlVerdict("http://127.0.0.1:8080/api", "http://127.0.0.1:8080/api"), "ok");
});

Deno.test("checkNip98: a body needs its hash", () => {
  assert.equal(checkPost(post(BODY_HASH)), "ok");
  assert.equal(checkPost(post(BODY_HASH.toUpperCase())), "ok");
  assert.equal(checkPost(event([["u", URL_HERE], ["method", "POST"]])), "nip98_payload");
  for (const payload of ["", BODY_HASH.slice(1), `${BODY_HASH}0`, NOTHING_HASH, toBase64(BODY_HASH)]) {
    assert.equal(checkPost(post(payload)), "nip98_payload");
  }
  assert.equal(checkPost(event([["u", URL_HERE], ["method", "POST"], ["payload"]])), "nip98_payload");
});

Deno.test("checkNip98: the raw bytes count, not what they mean", () => {
  assert.equal(checkPost(post(BODY_HASH), new TextEncoder().encode('{"request": "ü"}')), "nip98_payload");
  assert.equal(checkPost(post(BODY_HASH), BODY.slice(1)), "nip98_payload");
});

Deno.test("checkNip98: without a body a payload is not needed, and if it is there it is the hash of nothing", () => {
  const bare = event([["u", URL_HERE], ["method", "POST"]]);
  for (const body of [null, new Uint8Array()]) {
    assert.equal(checkPost(bare, body), "ok");
    assert.equal(checkPost(post(NOTHING_HASH), body), "ok");
    assert.equal(checkPost(post(BODY_HASH), body), "nip98_payload");
  }
});

Deno.test("checkNip98: a changed event and one of another key are told apart", () => {
  assert.equal(verdict(check({ ...GET, content: "x" })), "nip98_id");
  assert.equal(verdict(check(forge(GET, MALLORY))), "nip98_signature");
});

const BASE64 = toBase64(JSON.stringify(GET));
const header = (text: string) => verdict(check(GET, { header: text }));

Deno.test("checkNip98: the scheme in any case, both alphabets, with and without padding", () => {
  assert.match(toBase64('{"?>":"~~~"}'), /\+|\//); // the letters in which the alphabets differ do occur
  const signed = nostrHeader(event(GET.tags, { content: "~~~???>>>" }));
  const urlSafe = signed.slice(6).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  assert.notEqual(urlSafe, signed.slice(6));
  for (const text of [signed, `nostr ${signed.slice(6)}`, `NOSTR  ${urlSafe}`]) assert.equal(header(text), "ok");
});

Deno.test("checkNip98: any other header is malformed, never an error", () => {
  const others = [
    "",
    "Nostr",
    "Nostr ",
    BASE64,
    `Bearer ${BASE64}`,
    `Nostr${BASE64}`,
    `Nostr ${BASE64} `,
    `Nostr ${BASE64},${BASE64}`,
    `Nostr ${BASE64}===`,
    `Nostr ${BASE64.slice(0, -5)}`,
    `Nostr ${BASE64.slice(0, 1)}`,
    `Nostr ${JSON.stringify(GET)}`,
    `Nostr ${toBase64(`\ufeff${JSON.stringify(GET)}`)}`,
    `Nostr ${btoa(JSON.stringify(GET).replace('""', '"\xff"'))}`,
    `Nostr ${toBase64(JSON.stringify([GET]))}`,
    `Nostr ${toBase64("null")}`,
    `Nostr ${"A".repeat(1_000_000)}`,
  ];
  for (const text of others) assert.equal(header(text), "nip98_malformed", text.slice(0, 40));
});

Deno.test("checkNip98: the largest event there may be still fits the header", () => {
  const bare = JSON.stringify(event(GET.tags)).length;
  assert.equal(verdict(check(event(GET.tags, { content: "x".repeat(16_384 - bare) }))), "ok");
  assert.equal(verdict(check(event(GET.tags, { content: "x".repeat(16_385 - bare) }))), "nip98_malformed");
});

Deno.test("checkNip98: a refusal says what to do and repeats nothing of the request", () => {
  const result = check(GET, { method: "POST" });
  assert.ok(!result.ok);
  assert.match(result.message, /"method" tag/);
  assert.doesNotMatch(result.message, /timmy\.example|[0-9a-f]{32}/);
});
