import assert from "node:assert/strict";
import type { SessionRequest } from "@/lib/sessions/requests.machine.ts";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { chunkStream } from "./chat.stream.ts";

const ABOUT = { includeUsage: false, simulated: [], requestId: "r" };

/** As much of a request as a stream shows. */
const request = (changes: Partial<SessionRequest> = {}): SessionRequest =>
  ({
    id: "q",
    at: 1_000,
    model: "m",
    state: "complete",
    finish: "stop",
    chargeSats: 7,
    balanceSats: 93,
    evalModel: null,
    evalUsage: null,
    usage: { inputTokens: 3, outputTokens: 5, source: "api" },
    quote: { outputTokens: 64 },
    reason: null,
    errorMessage: null,
    ...changes,
  }) as unknown as SessionRequest;

function setUp() {
  const clock = createFakeClock();
  const gone = new AbortController();
  const stream = chunkStream(request({ state: "running" }), clock, () => gone.abort());
  return { clock, gone, stream, reader: stream.body.getReader() };
}

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);
/** Blocks between blank lines. */
const blocks = (said: string) => said.split("\n\n").filter((block) => block !== "");

/** What a chunk says of the charge; null: nothing. */
const accountOf = ({ timmy }: { timmy?: { debitedSats: number; balanceSats: number } }) =>
  timmy ? [timmy.debitedSats, timmy.balanceSats] : null;

/** Everything until the end. */
async function rest(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> {
  let said = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return said;
    said += text(value);
  }
}

Deno.test("chunkStream: the role first, the pieces, the end with its account, on request the usage, [DONE]", async () => {
  const { stream, reader, clock } = setUp();
  stream.piece('Hello "you"\n\n');
  stream.piece(" there");
  stream.end(request(), { ...ABOUT, includeUsage: true });
  const said = blocks(await rest(reader));
  assert.equal(said.pop(), "data: [DONE]");
  const chunks = said.map((block) => JSON.parse(block.slice("data: ".length)));
  for (const { id, object, created, model } of chunks) {
    assert.deepEqual([id, object, created, model], ["chatcmpl-q", "chat.completion.chunk", 1, "m"]);
  }
  assert.deepEqual(chunks.map(({ choices }) => choices[0]?.delta), [
    { role: "assistant", content: "", refusal: null },
    { content: 'Hello "you"\n\n' },
    { content: " there" },
    {},
    undefined,
  ]);
  assert.deepEqual(chunks.map(({ choices }) => choices[0]?.finish_reason ?? null), [null, null, null, "stop", null]);
  assert.deepEqual(chunks.map(({ usage }) => usage?.total_tokens), [undefined, undefined, undefined, undefined, 8]);
  assert.deepEqual(chunks.map(accountOf), [null, null, null, null, [7, 93]]);
  assert.equal(clock.pending(), 0, "no timer is left");
});

for (
  const [name, ended] of [
    ["an answer", request()],
    ["a refusal", request({ state: "rejected", reason: "no", failure: null })],
    ["a cut answer", request({ finish: "length" })],
  ] as const
) {
  for (const includeUsage of [false, true]) {
    Deno.test(`chunkStream: ${name}, usage ${includeUsage}: what it cost stands once, in the last chunk`, async () => {
      const { stream, reader } = setUp();
      stream.piece("Hello");
      stream.end(ended, { ...ABOUT, includeUsage });
      const said = blocks(await rest(reader)).filter((block) => block.startsWith("data: {"));
      const accounts = said.map((block) => accountOf(JSON.parse(block.slice("data: ".length))));
      assert.deepEqual(accounts, [...accounts.slice(1).fill(null), [7, 93]]);
    });
  }
}

Deno.test("chunkStream: a reader that takes its time gets everything, in whole frames, however much is waiting", async () => {
  const { stream, reader, clock, gone } = setUp();
  for (let i = 0; i < 1_000; i++) stream.piece(`${i} `);
  stream.end(request(), ABOUT);
  let said = "";
  let reads = 0;
  for (;; reads++) {
    const { done, value } = await reader.read();
    if (done) break;
    assert.ok(text(value).endsWith("\n\n"), "a frame was cut");
    assert.ok((value?.length ?? 0) <= 64 * 1024);
    said += text(value);
    await clock.advance(29_000);
  }
  assert.ok(reads > 2, `${reads} reads`);
  const told = blocks(said).slice(0, -1).map((block) => JSON.parse(block.slice(6)).choices[0].delta.content ?? "");
  assert.equal(told.join(""), Array.from({ length: 1_000 }, (_, i) => `${i} `).join(""));
  assert.equal(gone.signal.aborted, false);
});

Deno.test("chunkStream: a reader that takes nothing for 30 seconds is given up, whatever is sent meanwhile", async () => {
  const { stream, reader, clock, gone } = setUp();
  stream.piece("first");
  await reader.read();
  for (let i = 0; i < 29; i++) {
    stream.piece("more");
    await clock.advance(1_000);
  }
  assert.equal(gone.signal.aborted, false);
  await clock.advance(1_000);
  assert.equal(gone.signal.aborted, true);
  await assert.rejects(rest(reader), /fell too far behind/);
  stream.piece("to nobody");
  stream.end(request({ state: "interrupted" }), ABOUT);
  assert.equal(clock.pending(), 0);
});

Deno.test("chunkStream: a reader that does not take the end is given up, too", async () => {
  const { stream, reader, clock } = setUp();
  stream.piece("all");
  stream.end(request(), ABOUT);
  await clock.advance(30_000);
  await assert.rejects(rest(reader), /fell too far behind/);
  assert.equal(clock.pending(), 0);
});

Deno.test("chunkStream: a reader half a megabyte behind is given up at once, and what waited is let go", async () => {
  const { stream, reader, gone } = setUp();
  for (let i = 0; i < 256; i++) stream.piece("x".repeat(1_024));
  assert.equal(gone.signal.aborted, false);
  for (let i = 0; i < 256; i++) stream.piece("x".repeat(1_024));
  assert.equal(gone.signal.aborted, true);
  await assert.rejects(rest(reader), /fell too far behind/);
});

Deno.test("chunkStream: a quiet stream says every 15 seconds that it is still there, until it ends", async () => {
  const { stream, reader, clock } = setUp();
  stream.piece("hm");
  await reader.read();
  const next = reader.read();
  await clock.advance(15_000);
  assert.equal(text((await next).value), ": still here\n\n");
  stream.end(request(), ABOUT);
  await rest(reader);
  await clock.advance(60_000);
  assert.equal(clock.pending(), 0);
});

Deno.test("chunkStream: a reader that leaves ends the work behind it", async () => {
  const { stream, reader, clock, gone } = setUp();
  stream.piece("one");
  stream.piece("two");
  await reader.cancel();
  assert.equal(gone.signal.aborted, true);
  stream.piece("three");
  stream.end(request({ state: "interrupted" }), ABOUT);
  assert.equal(clock.pending(), 0);
});

Deno.test("chunkStream: whatever did not end well ends with an error frame and no [DONE]", async () => {
  for (
    const [ended, says] of [
      [request({ state: "interrupted", errorMessage: "The answer broke off: no line." }), /broke off: no line/],
      [request({ state: "failed", errorMessage: "The request failed." }), /failed/],
      [request({ state: "running" }), /requests\/q/],
      [null, /requests\/q/],
    ] as const
  ) {
    const { stream, reader } = setUp();
    stream.piece("so far");
    stream.end(ended, ABOUT);
    const said = blocks(await rest(reader));
    const last = JSON.parse(said.at(-1)?.slice(6) ?? "");
    assert.match(last.error.message, says);
    assert.deepEqual([last.error.type, last.error.code], ["server_error", "upstream_failed"]);
    assert.equal(last.timmy?.debitedSats, ended && ended.state !== "running" ? 7 : undefined);
    assert.ok(!said.some((block) => block.includes("[DONE]") || block.includes('"finish_reason":"')));
  }
});

Deno.test("chunkStream: an answer that was cut says by a comment whether balance or limit cut it", async () => {
  for (
    const [outputTokens, says] of [[64, /^: the answer was cut at 64 tokens, as asked$/], [
      20,
      /^: the balance ran low: .* 20 of 64 tokens; 93 sats are left/,
    ]] as const
  ) {
    const { stream, reader } = setUp();
    stream.piece("so far");
    stream.end(request({ finish: "length", usage: { inputTokens: 1, outputTokens, source: "api" } }), ABOUT);
    const said = blocks(await rest(reader));
    assert.match(said.find((block) => block.startsWith(":")) ?? "", says);
    assert.ok(said.some((block) => block.includes('"finish_reason":"length"')));
  }
});
