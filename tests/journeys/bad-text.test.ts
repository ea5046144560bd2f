import assert from "node:assert/strict";
import { createFakeWorld } from "../harness/fake-world.ts";
import { paidSession } from "../harness/session-payer.ts";

const CHAT = "/api/v1/chat/completions";

/** Every route that takes text, called with what stands between two quotes of JSON. */
const ROUTES = [
  ["a job", "/api/jobs", (text: string) => `{"request":"${text}"}`],
  ["a job's other field", "/api/jobs", (text: string) => `{"request":"hello","nostr_token":"${text}"}`],
  ["a field that nobody knows", "/api/jobs", (text: string) => `{"request":"hello","${text}":1}`],
  ["a request of a session", "SESSION/request", (text: string) => `{"request":"${text}"}`],
  ["closing a session", "SESSION/close", (text: string) => `{"invoice":"${text}"}`],
  ["a new session", "/api/sessions", (text: string) => `{"amount_sats":500,"nostr_token":"${text}"}`],
  ["signing in", "/api/identity/verify", (text: string) => `{"event":{"content":"${text}"}}`],
  ["a chat", CHAT, (text: string) => chat(`"${text}"`)],
  ["a chat by its other name", "/v1/chat/completions", (text: string) => chat(`"${text}"`)],
  ["a part of a chat", CHAT, (text: string) => chat(`[{"type":"text","text":"${text}"}]`)],
  ["what ends a chat", CHAT, (text: string) => chat(`"hello"`, `,"stop":"${text}"`)],
] as const;
const chat = (content: string, more = "") =>
  `{"model":"claude-sonnet-4-6","messages":[{"role":"user","content":${content}}]${more}}`;
const NO_TEXT = [
  ["a lone half of a pair", String.raw`bad \ud83d end`],
  ["the other half", String.raw`bad \uDE00 end`],
  ["the halves in the wrong order", String.raw`\ude00\ud83d`],
  ["a byte of Latin-1", "caf\xe9"],
  ["half a pair as bytes", "\xed\xa0\xbd"],
] as const;
const latin1 = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));

Deno.test("bad text: what is not valid Unicode is 400 on every route that takes text, paid or not, and nothing moves", async () => {
  const { world, call, clock, discard } = await createFakeWorld(1);
  const { path: session, auth } = await paidSession(world, call, 500);
  await clock.settle();
  const before = [await world.store.version(), await world.walletStore.version()];
  for (const [where, path, bodyOf] of ROUTES) {
    for (const [what, text] of NO_TEXT) {
      for (const headers of [auth, {}]) {
        const response = await clock.drive(Promise.resolve(world.app.request(path.replace("SESSION", session), {
          method: "POST",
          headers: { "content-type": "application/json", ...headers },
          body: latin1(bodyOf(text)),
        })));
        const { error } = await response.json();
        assert.deepEqual([response.status, error.code], [400, "invalid_unicode"], `${where}: ${what}`);
        assert.equal("type" in error, path.includes("v1"), "the shape of its part of the API");
      }
    }
  }
  for (const path of ["/api/estimate", "/api/demo"]) {
    for (const text of ["caf%E9", "%ED%A0%BD", "%F0%9F%98"]) {
      const { status, body } = await call("GET", `${path}?request=${text}`);
      assert.deepEqual([status, body.error.code], [400, "invalid_unicode"], path);
    }
  }
  assert.deepEqual([await world.store.version(), await world.walletStore.version()], before);
  discard();
});

Deno.test("bad text: a refusal that names a long field holds no half of a character either", async () => {
  const { world, call, discard } = await createFakeWorld(1);
  const { path: session, auth } = await paidSession(world, call, 500);
  const name = `${"x".repeat(63)}😀😀`;
  const model = "claude-sonnet-4-6";
  for (
    const [path, body] of [
      ["/api/jobs", { request: "hello", [name]: 1 }],
      [`${session}/request`, { request: "hello", [name]: 1 }],
      [CHAT, { model, messages: [{ role: "user", content: "hello", [name]: 1 }] }],
      [CHAT, { model, messages: [{ role: "user", content: [{ type: "text", text: "hello", [name]: 1 }] }] }],
    ] as const
  ) {
    const answer = await call("POST", path, body, auth);
    const [{ field }] = answer.body.error.details.fields;
    assert.ok(answer.status === 400 && field.includes("xxx") && field.isWellFormed(), `${path}: ${field}`);
    assert.ok(answer.body.error.message.isWellFormed());
  }
  discard();
});

Deno.test("bad text: a byte order mark, whole pairs as escapes and escaped backslashes are taken as they are", async () => {
  const { world, call, discard } = await createFakeWorld(1);
  const { auth } = await paidSession(world, call, 500);
  for (
    const [text, says] of [
      [String.raw`\ud83d\ude00 whole`, "😀 whole"],
      ["café", "café"],
      [String.raw`a literal \\ud83d`, String.raw`a literal \ud83d`],
    ] as const
  ) {
    const { status, body } = await call("POST", CHAT, `\ufeff${chat(`"${text}"`)}`, auth);
    assert.equal(status, 200, JSON.stringify(body));
    assert.ok(body.choices[0].message.content.includes(says));
  }
  assert.equal((await call("POST", "/api/jobs", '\ufeff{"request":"hello"}')).status, 201);
  assert.equal((await call("GET", "/api/estimate?request=100%+caf%C3%A9")).status, 200);
  discard();
});

Deno.test("bad text: text that shows nothing is answered as an empty one, on every route, and nothing moves", async () => {
  const { world, call, clock, discard } = await createFakeWorld(1);
  const { path: session, auth } = await paidSession(world, call, 500);
  await clock.settle();
  const before = [await world.store.version(), await world.walletStore.version()];
  for (const text of ["", " ", "\u200b", "\u200d\ufeff", "\u00ad", "\ufe0f", "\u3164", "\u0000\n", "\u2800"]) {
    const messages = [{ role: "user", content: text }];
    const parts = [{ role: "user", content: [{ type: "text", text }, { type: "text", text }] }];
    const query = `?request=${encodeURIComponent(text)}`;
    for (
      const answer of [
        await call("POST", "/api/jobs", { request: text }),
        await call("POST", `${session}/request`, { request: text }, auth),
        await call("POST", CHAT, { model: "claude-sonnet-4-6", messages }, auth),
        await call("POST", CHAT, { model: "claude-sonnet-4-6", messages: parts }, auth),
        await call("GET", `/api/estimate${query}`),
        await call("GET", `/api/demo${query}`),
      ]
    ) {
      assert.deepEqual(
        [answer.status, answer.body.error.code, answer.body.error.message],
        [400, "request_empty", "The request is empty: it holds no visible text. Send a question or a task."],
        JSON.stringify(text),
      );
    }
  }
  assert.deepEqual([await world.store.version(), await world.walletStore.version()], before);
  discard();
});
