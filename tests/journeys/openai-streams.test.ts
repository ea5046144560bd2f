/** Streams over a real socket: hang-ups, slow readers, breaks upstream, and Anthropic's own stream behind it all. */
import assert from "node:assert/strict";
import OpenAI from "openai";
import { createAnthropicModel } from "@/lib/ai/anthropic.ts";
import type { Model } from "@/lib/ai/port.ts";
import { createSimulatedModel, type SimulatedFaults } from "@/lib/ai/simulated.ts";
import { anthropicFrames, startAnthropicServer } from "@/lib/ai/testing/anthropic-server.ts";
import { systemClock } from "@/lib/clock.ts";
import { waitForEvent } from "@/lib/store/events.ts";
import { assertAudit } from "../harness/payer.ts";
import { bearer, type PaidSession, paidSession } from "../harness/session-payer.ts";
import { createWorld, type World, type WorldOptions } from "../harness/world.ts";

const MODEL = "claude-sonnet-4-6";
const BODY = {
  model: MODEL,
  messages: [{ role: "user" as const, content: "What is a hold invoice?" }],
  stream: true as const,
};
const PATIENCE_MS = 10_000;

interface Socket {
  world: World;
  session: PaidSession;
  origin: string;
  client: OpenAI;
  faults: Required<SimulatedFaults>;
  /** Resolves with the session's next request that ends, as its holder reads it. Begin before it can have ended. */
  // deno-lint-ignore no-explicit-any
  nextEnd(): Promise<any>;
  balance(): Promise<number>;
}

/** Runs `fn` with a paid session of `world` behind a real socket, and audits what is left. */
async function overSocket(
  world: World,
  { faults, sats }: { faults: Required<SimulatedFaults>; sats: number },
  fn: (it: Socket) => Promise<void>,
): Promise<void> {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request, info) => world.app.fetch(request, { remoteAddr: info.remoteAddr }),
  );
  const origin = `http://127.0.0.1:${(server.addr as Deno.NetAddr).port}`;
  try {
    const session = await paidSession(world, world.call, sats);
    const read = async (path: string) =>
      (await world.call("GET", `${session.path}${path}`, undefined, session.auth)).body;
    await fn({
      world,
      session,
      origin,
      faults,
      client: new OpenAI({ baseURL: `${origin}/api/v1`, apiKey: session.macaroon, maxRetries: 0 }),
      nextEnd: async () => {
        const ended = waitForEvent(
          world.store,
          systemClock,
          ({ type, state }) => type === "session_request" && state !== "running",
          PATIENCE_MS,
        );
        const event = await ended.event;
        assert.ok(event, `no request ended within ${PATIENCE_MS} ms`);
        return await read(`/requests/${event.request}`);
      },
      balance: async () => (await read("")).balanceSats,
    });
    assert.equal((await read("")).heldSats, 0, "a hold was left");
    await assertAudit(world);
  } finally {
    await server.shutdown();
    await world.close();
  }
}

function socket(name: string, fn: (it: Socket) => Promise<void>, options: WorldOptions & { sats?: number } = {}): void {
  Deno.test(`openai streams: ${name}`, async () => {
    const faults = { evaluate: [], work: [], chat: [] };
    const world = await createWorld({ model: createSimulatedModel({ clock: systemClock, faults }), ...options });
    await overSocket(world, { faults, sats: options.sats ?? 10_000 }, fn);
  });
}

/** A stream by hand: each read is a step of the test. */
async function openStream({ origin, session }: Socket, signal?: AbortSignal) {
  const response = await fetch(`${origin}/api/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...session.auth },
    body: JSON.stringify(BODY),
    ...(signal && { signal }),
  });
  assert.equal(response.status, 200);
  const reader = (response.body as ReadableStream<Uint8Array<ArrayBuffer>>).pipeThrough(new TextDecoderStream())
    .getReader();
  let said = "";
  return {
    /** Reads until this many pieces of text have come. */
    async pieces(n: number): Promise<void> {
      while (said.split('"delta":{"content":').length - 1 < n) {
        const { done, value } = await reader.read();
        if (done) assert.fail(`the stream ended: ${said}`);
        said += value;
      }
    },
    async rest(): Promise<string> {
      for (let step = await reader.read(); !step.done; step = await reader.read()) said += step.value;
      return said;
    },
    leave: () => reader.cancel(),
  };
}

// ---- the official package --------------------------------------------------------------------------------------------

socket("each refusal is the package's own class of error", async ({ client, origin, session, world, faults }) => {
  const failure = async (promise: Promise<unknown>) => {
    try {
      await promise;
    } catch (error) {
      assert.ok(error instanceof OpenAI.APIError, String(error));
      return error;
    }
    return assert.fail("it was answered");
  };
  const whole = { ...BODY, stream: false as const };
  const as = (apiKey: string) => new OpenAI({ baseURL: `${origin}/api/v1`, apiKey, maxRetries: 0 });
  assert.ok(await failure(as("sk-nothing").chat.completions.create(whole)) instanceof OpenAI.AuthenticationError);
  const wrong = await failure(client.chat.completions.create({ ...whole, n: 2 }));
  assert.ok(wrong instanceof OpenAI.BadRequestError);
  assert.deepEqual([wrong.param, wrong.code, wrong.type], ["n", "validation_failed", "invalid_request_error"]);
  assert.ok(
    await failure(client.chat.completions.create({ ...whole, model: "gpt-9" })) instanceof OpenAI.NotFoundError,
  );
  assert.ok(await failure(client.embeddings.create({ model: MODEL, input: "x" })) instanceof OpenAI.NotFoundError);

  const { fromBase64, narrow, toBase64 } = await import("@/lib/l402/macaroon.ts");
  const narrowed = toBase64(narrow(fromBase64(session.macaroon), ["model=claude-haiku-4-5"]));
  assert.ok(await failure(as(narrowed).chat.completions.create(whole)) instanceof OpenAI.PermissionDeniedError);
  const poor = await paidSession(world, world.call, 100);
  const unpaid = await failure(as(poor.macaroon).chat.completions.create(whole));
  assert.deepEqual([unpaid.status, unpaid.code, unpaid.constructor], [402, "insufficient_balance", OpenAI.APIError]);
  const key = { headers: { "Idempotency-Key": "k" } };
  await client.chat.completions.create(whole, key);
  const conflict = await failure(client.chat.completions.create({ ...whole, temperature: 0 }, key));
  assert.ok(conflict instanceof OpenAI.ConflictError);
  faults.chat.push({ kind: "passing" });
  const down = await failure(client.chat.completions.create(whole));
  assert.ok(down instanceof OpenAI.InternalServerError && down.status === 503);
  faults.chat.push({ kind: "break", afterPieces: 3 });
  const broken = async () => {
    for await (const _ of await client.chat.completions.create(BODY));
  };
  assert.match((await failure(broken())).message, /broke off/);
});

socket(
  "too many challenges are the package's RateLimitError, and are tried again after Retry-After",
  async ({ origin }) => {
    // The package always sends a key: without Authorization it is a caller that has none yet.
    const anonymous = new OpenAI({
      baseURL: `${origin}/api/v1`,
      apiKey: "unused",
      defaultHeaders: { Authorization: null },
      maxRetries: 0,
    });
    const ask = () => anonymous.chat.completions.create({ ...BODY, stream: false });
    await assert.rejects(ask(), (error) => error instanceof OpenAI.APIError && error.status === 402);
    await assert.rejects(
      ask(),
      (error) =>
        error instanceof OpenAI.RateLimitError && Number(error.headers.get("retry-after")) > 0 &&
        error.code === "too_many_challenges",
    );
  },
  { challengesPerMinute: 1 },
);

socket("a stream: each chunk as the package types it, usage when asked for, and the account at the end", async (it) => {
  const { client, balance } = it;
  const stream = await client.chat.completions.create({ ...BODY, stream_options: { include_usage: true } });
  let text = "";
  const finishes: (string | null)[] = [];
  let usage: OpenAI.CompletionUsage | null | undefined;
  let account: { debitedSats: number; balanceSats: number; usageSource: string } | undefined;
  for await (const chunk of stream) {
    assert.equal(chunk.object, "chat.completion.chunk");
    text += chunk.choices[0]?.delta.content ?? "";
    if (chunk.choices[0]) finishes.push(chunk.choices[0].finish_reason);
    else usage = chunk.usage;
    account = (chunk as unknown as { timmy?: typeof account }).timmy ?? account;
  }
  assert.match(text, /"What is a hold invoice\?"/);
  assert.deepEqual([...new Set(finishes)], [null, "stop"]);
  assert.equal(usage?.total_tokens, (usage?.prompt_tokens ?? 0) + (usage?.completion_tokens ?? 0));
  assert.equal(account?.usageSource, "estimated", "nobody counted the simulated model's tokens, and it says so");
  assert.equal(account?.balanceSats, await balance());
  const without = await client.chat.completions.create(BODY);
  for await (const chunk of without) assert.equal(chunk.usage, undefined);
});

socket("the package's own helper collects a stream, and reads a refusal", async ({ client }) => {
  const runner = client.chat.completions.stream({
    model: MODEL,
    messages: [{ role: "user", content: "[refuse] this" }],
  });
  const completion = await runner.finalChatCompletion();
  assert.equal(completion.choices[0]?.finish_reason, "content_filter");
  assert.match(completion.choices[0]?.message.refusal ?? "", /Refused/);
});

// ---- leaving -----------------------------------------------------------------------------------------------------------

socket(
  "a reader who leaves after any piece ends the work there, pays what was written, and holds nothing",
  async (it) => {
    const { faults, nextEnd } = it;
    let before = 0;
    for (const pieces of [1, 2, 3, 8, 20, 40]) {
      let asked = 0;
      const released = Promise.withResolvers<void>();
      faults.chat.push({
        kind: "steps",
        step: (piece) => {
          asked = piece;
          return piece < pieces ? Promise.resolve() : released.promise; // what comes next waits: only leaving ends it
        },
      });
      const stream = await openStream(it);
      await stream.pieces(pieces);
      const ended = nextEnd();
      await stream.leave();
      const { state, debitedSats, usage, result } = await ended;
      assert.equal(state, "interrupted");
      assert.equal(asked, pieces, "the model was not asked for more");
      assert.ok(debitedSats > 0 && debitedSats >= before, "more text costs no less");
      assert.equal(result.trim().split(/\s+/).length, pieces, "what was delivered is kept");
      assert.ok(usage.outputTokens >= 1);
      before = debitedSats;
      released.resolve();
    }
  },
);

/** These tests wait for real time. */
const SHORT_GRACE = { graceMs: 50 };

socket("a caller who leaves before the first piece, or a whole answer, ends the work too", async (it) => {
  const { faults, nextEnd, origin, session } = it;
  for (const stream of [true, false]) {
    const reached = Promise.withResolvers<void>();
    const never = new Promise<void>(() => {});
    faults.chat.push({ kind: "steps", step: () => (reached.resolve(), never) });
    const leaving = new AbortController();
    const asked = fetch(`${origin}/api/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", ...session.auth },
      body: JSON.stringify({ ...BODY, stream }),
      signal: leaving.signal,
    });
    asked.catch(() => {});
    await reached.promise;
    const ended = nextEnd();
    leaving.abort();
    const { state, heldSats, debitedSats } = await ended;
    assert.equal(state, "interrupted");
    assert.ok(debitedSats <= heldSats);
    await assert.rejects(asked);
  }
}, { settings: SHORT_GRACE });

const judged = Promise.withResolvers<void>();
const slowJudge: Model = {
  ...createSimulatedModel({ clock: systemClock }),
  evaluate: (input) => {
    judged.resolve();
    return createSimulatedModel({ clock: systemClock, faults: { evaluate: [{ kind: "hang" }], work: [] } }).evaluate(
      input,
    );
  },
};

socket("a caller who leaves while the question is judged pays for that, and for no work", async (it) => {
  const { nextEnd, origin, session } = it;
  const leaving = new AbortController();
  const asked = fetch(`${origin}/api/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...session.auth },
    body: JSON.stringify(BODY),
    signal: leaving.signal,
  });
  asked.catch(() => {});
  await judged.promise;
  const ended = nextEnd();
  leaving.abort();
  const { state, debitedSats, usage, evaluationUsage } = await ended;
  assert.deepEqual([state, usage, evaluationUsage.source], ["interrupted", undefined, "estimated"]);
  assert.ok(debitedSats > 0 && debitedSats < 10, String(debitedSats));
  await assert.rejects(asked);
}, { model: slowJudge, settings: SHORT_GRACE });

socket("a caller with an Idempotency-Key who leaves a whole answer comes back for it", async (it) => {
  const { faults, nextEnd, client, origin, session } = it;
  const reached = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  faults.chat.push({ kind: "steps", step: () => (reached.resolve(), go.promise) });
  const leaving = new AbortController();
  const body = { ...BODY, stream: false as const };
  const asked = fetch(`${origin}/api/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": "k", ...session.auth },
    body: JSON.stringify(body),
    signal: leaving.signal,
  });
  asked.catch(() => {});
  await reached.promise;
  leaving.abort();
  await assert.rejects(asked);
  const ended = nextEnd();
  go.resolve();
  const { state, result } = await ended;
  assert.equal(state, "complete");
  const again = await client.chat.completions.create(body, { headers: { "Idempotency-Key": "k" } });
  assert.equal(again.choices[0]?.message.content, result);
});

socket("a reader that takes a byte and no more hurts nobody else, and its request ends", async (it) => {
  const { client, nextEnd, origin, session } = it;
  const { port } = new URL(origin);
  const body = JSON.stringify(BODY);
  const head = `POST /api/v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n` +
    `Authorization: ${session.auth.authorization}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const slow: Deno.TcpConn[] = [];
  const ends: Promise<unknown>[] = [];
  for (let i = 0; i < 10; i++) {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
    const ended = nextEnd();
    await connection.write(new TextEncoder().encode(head));
    await connection.read(new Uint8Array(1));
    ends.push(ended);
    slow.push(connection);
    await ended;
  }
  const started = performance.now();
  assert.ok((await client.chat.completions.create({ ...BODY, stream: false })).choices[0]);
  assert.ok(performance.now() - started < 5_000);
  for (const connection of slow) connection.close();
  await Promise.all(ends);
});

// ---- Anthropic behind it -------------------------------------------------------------------------------------------------

const ANSWER = "A hold invoice is paid, and settled later, or never.";
const COUNTED = { input_tokens: 40, output_tokens: 17 };

/** The same with Anthropic's SDK over HTTP to a local server that plays its part. */
function behind(
  name: string,
  fn: (it: Socket & { upstream: ReturnType<typeof startAnthropicServer> }) => Promise<void>,
): void {
  Deno.test(`openai streams: Anthropic behind it: ${name}`, async () => {
    const upstream = startAnthropicServer();
    const model = createAnthropicModel({ apiKey: "sk-ant-very-secret", baseURL: upstream.url, clock: systemClock });
    const world = await createWorld({ model });
    try {
      await overSocket(world, { faults: { evaluate: [], work: [], chat: [] }, sats: 10_000 }, async (it) => {
        await fn({ ...it, upstream });
        assert.ok(!JSON.stringify(world.log.lines).includes("sk-ant-very-secret"));
      });
    } finally {
      await upstream.close();
    }
  });
}

behind("its frames are translated one by one, and its own count is charged", async ({ upstream, client, balance }) => {
  const frames = anthropicFrames(ANSWER, COUNTED);
  let heard = "";
  let wake = () => {};
  const before = async (index: number) => {
    // Not before all that was sent so far has been heard at the other end: nothing is held back on the way.
    const said = frames.slice(0, index).map(textOf).join("");
    while (heard !== said) await new Promise<void>((resolve) => (wake = resolve));
  };
  upstream.script.push(
    { kind: "verdict", accepted: true, reason: "fine", usage: { input_tokens: 600, output_tokens: 30 } },
    { kind: "frames", frames, before, then: "end" },
  );
  const stream = await client.chat.completions.create({ ...BODY, stream_options: { include_usage: true } });
  let usage: OpenAI.CompletionUsage | null | undefined;
  let account: { debitedSats: number; usageSource: string } | undefined;
  for await (const chunk of stream) {
    heard += chunk.choices[0]?.delta.content ?? "";
    wake();
    usage = chunk.usage ?? usage;
    account = (chunk as unknown as { timmy?: typeof account }).timmy ?? account;
  }
  assert.equal(heard, ANSWER);
  assert.deepEqual([usage?.prompt_tokens, usage?.completion_tokens, account?.usageSource], [40, 17, "api"]);
  // (600 + 40) × 0.003 / 1000 + (30 + 17) × 0.015 / 1000, and 0.1 of the machine, with 25 % on top, at 100,000 USD.
  const sats = Math.ceil(((640 * 0.003 + 47 * 0.015) / 1_000 + 0.1) * 1.25 / 100_000 * 1e8);
  assert.equal(account?.debitedSats, sats);
  assert.equal(await balance(), 10_000 - sats);
});

behind("a hang-up after any frame closes the connection to it", async (it) => {
  const { upstream, nextEnd } = it;
  const frames = anthropicFrames(ANSWER, COUNTED);
  let asked = 0;
  for (let sent = 1; sent < frames.length; sent++) {
    const said = frames.slice(0, sent).map(textOf);
    const pieces = said.filter((text) => text !== "").length;
    if (pieces === 0) continue; // before the first piece there is no stream to leave
    upstream.script.push({ kind: "verdict", accepted: true, reason: "fine" });
    upstream.script.push({ kind: "frames", frames: frames.slice(0, sent), then: "stall" });
    const stream = await openStream(it);
    await stream.pieces(pieces);
    asked += 2;
    const ended = nextEnd();
    await stream.leave();
    const { state, debitedSats, result } = await ended;
    await (await upstream.received(asked)).closedByClient;
    assert.equal(state, "interrupted");
    assert.equal(result, said.join(""), `after frame ${sent}`);
    assert.ok(debitedSats > 0);
  }
  assert.ok(asked > 10);
});

behind("broken after any frame: an error frame without [DONE], and what was delivered is paid", async (it) => {
  const { upstream, balance } = it;
  const frames = anthropicFrames(ANSWER, COUNTED);
  for (let sent = 1; sent < frames.length - 2; sent++) {
    const said = frames.slice(0, sent).map(textOf).join("");
    const before = await balance();
    upstream.script.push({ kind: "verdict", accepted: true, reason: "fine" });
    upstream.script.push({ kind: "frames", frames: frames.slice(0, sent), then: "cut" });
    if (said === "") {
      const refused = await it.world.call("POST", "/api/v1/chat/completions", BODY, bearer(it.session.macaroon));
      assert.deepEqual([refused.status, refused.body.error.code], [503, "upstream_failed"]);
      assert.equal(await balance(), before, "nothing delivered, nothing charged");
      continue;
    }
    const stream = await openStream(it);
    const all = await stream.rest();
    assert.ok(!all.includes("[DONE]"));
    const last = JSON.parse(all.trim().split("\n\n").at(-1)?.slice("data: ".length) ?? "");
    assert.match(last.error.message, /broke off/);
    assert.ok(!all.includes("sk-ant"));
    assert.equal(before - await balance(), last.timmy.debitedSats, `after frame ${sent}`);
    assert.ok(last.timmy.debitedSats > 0);
  }
});

function textOf(frame: string): string {
  const data = frame.split("\n").find((line) => line.startsWith("data: "))?.slice(6) ?? "{}";
  const { delta } = JSON.parse(data) as { delta?: { text?: string } };
  return delta?.text ?? "";
}
