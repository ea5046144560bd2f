import assert from "node:assert/strict";
import { countedTokens } from "@/lib/ai/tokens.rules.ts";
import { StoreError } from "@/lib/store/store.ts";
import { fromBase64, narrow, toBase64 } from "@/lib/l402/macaroon.ts";
import { auditedTests } from "@/tests/harness/audited.ts";
import { createFakeWorld, type FakeWorld } from "@/tests/harness/fake-world.ts";
import { keyWith, SCORE } from "@/tests/harness/keys.ts";
import { bearer, type PaidSession, paidSession, readChallenge, settle } from "@/tests/harness/session-payer.ts";
import type { Answer, WorldOptions } from "@/tests/harness/world.ts";

const PATH = "/api/v1/chat/completions";
const ASK = { model: "claude-sonnet-4-6", messages: [{ role: "user", content: "What is a hold invoice?" }] };

interface Chatting extends FakeWorld {
  session: PaidSession;
  /** Asks with `changes` to {@link ASK}. */
  ask(changes?: Record<string, unknown>, headers?: Record<string, string>): Promise<Answer>;
  balance(): Promise<number>;
}

const audited = auditedTests("chat: ");

/** Runs `fn` with a paid session in a world whose time only it moves. */
function chatting(
  name: string,
  fn: (it: Chatting) => Promise<void>,
  options: Pick<WorldOptions, "settings" | "rates"> & { sats?: number } = {},
): void {
  audited(name, async (fake) => {
    fake.modelFaults.chat = [];
    const session = await paidSession(fake.world, fake.call, options.sats ?? 5_000);
    await fn({
      ...fake,
      session,
      ask: (changes = {}, headers = {}) =>
        fake.call("POST", PATH, { ...ASK, ...changes }, { ...session.auth, ...headers }),
      balance: async () => (await fake.world.call("GET", session.path)).body.balanceSats,
    });
    await fake.clock.settle();
    const { heldSats } = (await fake.world.call("GET", session.path)).body;
    assert.equal(heldSats, 0, "a hold was left");
  }, options);
}

/** OpenAI's shape of an error, with this status, code and parameter. */
function assertRefused(
  { status, body }: Answer,
  wanted: [status: number, code: string, param: string | null],
  says = /./,
) {
  assert.deepEqual([status, body.error?.code, body.error?.param], wanted, JSON.stringify(body));
  assert.match(body.error.message, says);
  assert.equal(typeof body.error.type, "string");
}

/** The events of a stream, parsed, `[DONE]` and comments as they are. */
// deno-lint-ignore no-explicit-any
const framesOf = (text: string): any[] =>
  text.split("\n\n").filter((block) => block !== "").map((block) =>
    block.startsWith("data: {") ? JSON.parse(block.slice(6)) : block
  );
// deno-lint-ignore no-explicit-any
const contentOf = (frames: any[]): string => frames.map((frame) => frame.choices?.[0]?.delta?.content ?? "").join("");

chatting("each parameter that cannot be honoured is refused by its name", async ({ ask, balance }) => {
  const refused: [changes: Record<string, unknown>, param: string, says: RegExp][] = [
    [{ tools: [{ type: "function", function: { name: "f" } }] }, "tools", /tools/],
    [{ tool_choice: "required" }, "tool_choice", /only as "none" or "auto"; leave it out/],
    [{ tool_choice: { type: "function", function: { name: "f" } } }, "tool_choice", /leave it out/],
    [{ functions: [{ name: "f" }] }, "functions", /not called here; leave it out/],
    [{ function_call: { name: "f" } }, "function_call", /leave it out/],
    [{ parallel_tool_calls: false }, "parallel_tool_calls", /only as true/],
    [{ n: 2 }, "n", /only as 1/],
    [{ n: "1" }, "n", /only as 1/],
    [{ top_p: 1.5 }, "top_p", /at most 1/],
    [{ top_p: "1" }, "top_p", /must be a number/],
    [{ presence_penalty: 1 }, "presence_penalty", /only as 0/],
    [{ frequency_penalty: -1 }, "frequency_penalty", /only as 0/],
    [{ logprobs: true }, "logprobs", /only as false/],
    [{ top_logprobs: 3 }, "top_logprobs", /only as 0/],
    [{ logit_bias: { 50256: -100 } }, "logit_bias", /only as \{\}/],
    [{ logit_bias: [] }, "logit_bias", /./],
    [{ seed: 7.5 }, "seed", /whole number/],
    [{ seed: "7" }, "seed", /must be a/],
    [{ user: 7 }, "user", /must be a string/],
    [{ store: "no" }, "store", /true or false/],
    [{ metadata: "x" }, "metadata", /an object/],
    [{ response_format: { type: "json_object" } }, "response_format.type", /only as "text"/],
    [{ response_format: { type: "json_schema", json_schema: {} } }, "response_format.type", /only as "text"/],
    [{ reasoning_effort: "high" }, "reasoning_effort", /leave it out/],
    [{ verbosity: "low" }, "verbosity", /leave it out/],
    [{ modalities: ["text", "audio"] }, "modalities", /only as \["text"\]/],
    [{ audio: { voice: "x" } }, "audio", /answers are text; leave it out/],
    [{ prediction: {} }, "prediction", /leave it out/],
    [{ web_search_options: {} }, "web_search_options", /leave it out/],
    [{ service_tier: "flex" }, "service_tier", /only as "auto" or "default"/],
    [{ best_of: 2 }, "best_of", /not a field of this request; remove it/],
    [{ temprature: 1 }, "temprature", /did you mean temperature\?/],
    [{ maxTokens: 9 }, "maxTokens", /did you mean max_tokens\?/],
    [{ topP: 1 }, "topP", /did you mean top_p\?/],
    [{ best_of: null }, "best_of", /remove it/],
    [{ max_tokens: 0 }, "max_tokens", /at least 1/],
    [{ max_tokens: 1.5 }, "max_tokens", /whole number/],
    [{ max_completion_tokens: "9" }, "max_completion_tokens", /must be a/],
    [{ max_tokens: 9, max_completion_tokens: 10 }, "max_tokens", /max_completion_tokens/],
    [{ temperature: 2.1 }, "temperature", /at most 2/],
    [{ temperature: "0" }, "temperature", /must be a number/],
    [{ stop: ["a", "b", "c", "d", "e"] }, "stop", /at most 4/],
    [{ stop: [""] }, "stop[0]", /empty/],
    [{ stream: "yes" }, "stream", /true or false/],
    [
      { stream: true, stream_options: { include_obfuscation: true } },
      "stream_options.include_obfuscation",
      /remove it/,
    ],
    [{ messages: [] }, "messages", /must not be empty/],
    [{ messages: "hello" }, "messages", /a list/],
    [{ messages: undefined }, "messages", /missing/],
    [{ model: undefined }, "model", /missing/],
    [{ model: 4 }, "model", /must be a string/],
  ];
  for (const [changes, param, says] of refused) {
    assertRefused(await ask(changes), [400, "validation_failed", param], says);
  }
  assert.equal(await balance(), 5_000);
});

chatting("each message that is not text from a role known here is refused by its place", async ({ ask, balance }) => {
  const image = { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } };
  const refused: [message: unknown, param: string, says: RegExp][] = [
    [
      { role: "user", content: [{ type: "text", text: "What is this?" }, image] },
      "messages[1].content[1].type",
      /images/,
    ],
    [{ role: "user", content: [{ type: "input_audio", input_audio: {} }] }, "messages[1].content[0].type", /audio/],
    [{ role: "user", content: [{ type: "file", file: {} }] }, "messages[1].content[0].type", /files/],
    [{ role: "tool", tool_call_id: "x", content: "42" }, "messages[1].role", /tools/],
    [{ role: "function", name: "f", content: "42" }, "messages[1].role", /functions/],
    [{ role: "assistant", content: null, tool_calls: [{}] }, "messages[1].tool_calls", /not called here/],
    [{ role: "assistant", content: "x", function_call: {} }, "messages[1].function_call", /not called here/],
    [{ role: "assistant", audio: { id: "a" } }, "messages[1].audio", /audio is not understood/],
    [{ role: "assistant", content: 7 }, "messages[1].content", /must be a text/],
    [{ role: "assistant", content: null, refusal: 7 }, "messages[1].refusal", /must be a text/],
    [{ role: "assistant", content: [image] }, "messages[1].content[0].type", /images/],
    [{ role: "user", content: "x", refusal: "no" }, "messages[1].refusal", /not a field/],
    [{ role: "user", content: [{ type: "refusal", refusal: "no" }] }, "messages[1].content[0].type", /only as "text"/],
    [{ role: "user", content: "x", name: 7 }, "messages[1].name", /must be a text/],
    [{ role: "user", content: "x", weight: 1 }, "messages[1].weight", /not a field/],
    [
      { role: "user", content: [{ type: "text", text: "x", cache_control: {} }] },
      "messages[1].content[0].cache_control",
      /not a field/,
    ],
    [{ role: "user", content: [{ type: "text", text: 7 }] }, "messages[1].content[0].text", /must be a text/],
    [{ role: "user", content: [] }, "messages[1].content", /list of text parts/],
    [{ role: "user", content: 7 }, "messages[1].content", /must be a text/],
    [{ role: "user", content: null }, "messages[1].content", /must be a text/],
    [{ role: "user" }, "messages[1].content", /must be a text/],
    [{ role: "constructor", content: "x" }, "messages[1].role", /one of/],
    [{ content: "x" }, "messages[1].role", /one of/],
    [["user", "x"], "messages[1]", /must be an object/],
    ["x", "messages[1]", /must be an object/],
    [null, "messages[1]", /must be an object/],
  ];
  for (const [message, param, says] of refused) {
    assertRefused(await ask({ messages: [ASK.messages[0], message] }), [400, "validation_failed", param], says);
  }
  assert.equal((await ask({ messages: [{ role: "user", content: " \n" }] })).body.error.code, "request_empty");
  assert.equal(await balance(), 5_000);
});

/** Every parameter that may be left out, with values that change nothing. */
const CHANGES_NOTHING: Record<string, unknown[]> = {
  max_tokens: [],
  max_completion_tokens: [],
  temperature: [],
  seed: [],
  stop: [],
  stream: [false],
  top_p: [1],
  n: [1],
  presence_penalty: [0],
  frequency_penalty: [0],
  logprobs: [false],
  top_logprobs: [0],
  logit_bias: [{}],
  response_format: [{ type: "text" }],
  modalities: [["text"]],
  tools: [[]],
  functions: [[]],
  tool_choice: ["none", "auto"],
  function_call: ["none", "auto"],
  parallel_tool_calls: [true],
  reasoning_effort: [],
  verbosity: [],
  audio: [],
  prediction: [],
  web_search_options: [],
  user: ["u"],
  metadata: [{}, { a: "b" }],
  store: [true, false],
  safety_identifier: ["s"],
  prompt_cache_key: ["k"],
  service_tier: ["auto", "default"],
  stream_options: [{}, { include_usage: true }, { include_usage: null }],
};

chatting("null, and what changes nothing, is taken for each parameter: the answer is the same", async ({ ask }) => {
  const plain = (await ask()).body.choices;
  for (const [name, values] of Object.entries(CHANGES_NOTHING)) {
    for (const value of [null, ...values]) {
      const { status, body } = await ask({ [name]: value });
      assert.deepEqual([status, body.choices], [200, plain], `${name}: ${JSON.stringify(value)}`);
    }
  }
  const nulls = Object.fromEntries(Object.keys(CHANGES_NOTHING).map((name) => [name, null]));
  assert.equal((await ask(nulls)).status, 200, "all at once");
}, { sats: 10_000 });

chatting("the parameters that are taken are those of the document", async ({ call }) => {
  const { body } = await call("GET", "/api/doc");
  const { properties } = body.components.schemas.ChatCompletionRequest;
  assert.deepEqual(Object.keys(properties).sort(), ["model", "messages", ...Object.keys(CHANGES_NOTHING)].sort());
});

chatting(
  "top_p and seed reach a model that takes them; for another they are refused before anything moves",
  async (it) => {
    const { ask, balance, world } = it;
    const { model } = world.deps;
    const asked: unknown[] = [];
    const { chat } = model;
    model.chat = (input) => (asked.push([input.topP, input.seed]), chat(input));
    for (const wanted of [{ top_p: 0.9, seed: 7 }, { top_p: 0, seed: 0 }, { top_p: 1, seed: -1 }, { seed: null }]) {
      assert.equal((await ask(wanted)).status, 200);
    }
    assert.deepEqual(asked, [[0.9, 7], [0, 0], [undefined, -1], [undefined, undefined]]);
    const before = await balance();
    model.can = (name) => name === "claude-haiku-4-5";
    assertRefused(
      await ask({ top_p: 0.9 }),
      [400, "validation_failed", "top_p"],
      /leave it out, or ask claude-haiku-4-5/,
    );
    assertRefused(await ask({ seed: 7 }), [400, "validation_failed", "seed"], /not taken by this model/);
    assertRefused(await ask({ stream: true, seed: 0 }), [400, "validation_failed", "seed"]);
    assert.equal(await balance(), before);
    assert.equal((await ask({ top_p: 1, seed: null })).status, 200);
    assert.equal((await ask({ model: "claude-haiku-4-5", top_p: 0.5 })).status, 200);
  },
);

chatting("more tokens than there may be are lowered, and a header says to how many", async ({ ask, world, call }) => {
  for (const name of ["max_tokens", "max_completion_tokens"]) {
    for (const tokens of [8_193, 20_000, 32_000, Number.MAX_SAFE_INTEGER]) {
      const { status, headers } = await ask({ [name]: tokens });
      const lowered = Number(headers.get("x-timmy-max-tokens"));
      assert.equal(status, 200);
      assert.ok(lowered > 0 && lowered <= 8_192, `${name} ${tokens}: ${lowered}`);
    }
  }
  assert.equal((await ask()).headers.get("x-timmy-max-tokens"), null, "nothing was asked for");
  const poor = await paidSession(world, call, 200);
  const answer = await ask({ max_tokens: 8_000, stream: true }, poor.auth);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  const lowered = Number(answer.headers.get("x-timmy-max-tokens"));
  assert.ok(lowered > 0 && lowered < 8_000, String(lowered));
}, { sats: 10_000, settings: { chatEvaluation: false } });

const answered = { role: "assistant", content: "Hello!" };
const ECHOES: [what: string, message: Record<string, unknown>, says: string][] = [
  ["ours", { ...answered, refusal: null }, "Hello!"],
  ["our refusal", { role: "assistant", content: null, refusal: "No." }, "No."],
  ["our refusal without nulls", { role: "assistant", refusal: "No." }, "No."],
  ["our refusal as a stream's pieces make it", { role: "assistant", content: "", refusal: "No." }, "No."],
  ["text and a refusal", { ...answered, refusal: "No more." }, "Hello!\n\nNo more."],
  ["Python's", {
    ...answered,
    refusal: null,
    annotations: null,
    audio: null,
    function_call: null,
    tool_calls: null,
  }, "Hello!"],
  ["npm's stream helper's", { ...answered, refusal: null, parsed: null, tool_calls: [], annotations: [] }, "Hello!"],
  ["a parsed one", { ...answered, parsed: { a: 1 } }, "Hello!"],
  [
    "one with its reasoning",
    { ...answered, reasoning_content: "Hm.", reasoning: "Hm.", thinking_blocks: [] },
    "Hello!",
  ],
  ["another gateway's", { ...answered, provider_specific_fields: { a: 1 }, id: "x", index: 0 }, "Hello!"],
  ["parts", { role: "assistant", content: [{ type: "text", text: "Hel" }, { type: "text", text: "lo!" }] }, "Hello!"],
  ["parts of a Responses client", {
    role: "assistant",
    content: [{ type: "text", text: "Hello!", annotations: [], logprobs: [] }],
  }, "Hello!"],
  ["a refusal as a part", { role: "assistant", content: [{ type: "refusal", refusal: "No." }] }, "No."],
  ["an answer that was empty", { role: "assistant", content: "" }, ""],
  ["one that was cut before any text", { role: "assistant", content: null, tool_calls: null }, ""],
  ["one of no parts", { role: "assistant", content: [] }, ""],
  ["a named one", { ...answered, name: "Timmy" }, "Hello!"],
];

chatting("an assistant's message comes back as it was, whoever kept it, and the model reads its text", async (it) => {
  const { ask, world } = it;
  const { model } = world.deps;
  const { chat } = model;
  let read: unknown;
  model.chat = (input) => (read = input.messages[1], chat(input));
  for (const [what, message, says] of ECHOES) {
    const { status, body } = await ask({ messages: [...ASK.messages, message, { role: "user", content: "And?" }] });
    assert.equal(status, 200, `${what}: ${JSON.stringify(body)}`);
    assert.deepEqual(read, { role: "assistant", text: says }, what);
  }
}, { settings: { chatEvaluation: false } });

chatting("the developer role, names, nulls and parts of text are taken", async ({ ask }) => {
  const { status, body } = await ask({
    messages: [
      { role: "developer", content: "Be brief.", name: "boss" },
      { role: "system", content: [{ type: "text", text: "Be kind." }] },
      { role: "user", content: "Hello", name: null, tool_calls: null, audio: null, weight: null },
      { role: "user", content: "I am Ada", name: "Ada" },
      { role: "user", content: [{ type: "text", text: "Part one, ", x: null }, { type: "text", text: "part two" }] },
    ],
  });
  assert.equal(status, 200, JSON.stringify(body));
  assert.match(body.choices[0].message.content, /"Part one, part two"/);
});

chatting("who may not ask is told in OpenAI's shape, with the status of each case", async (it) => {
  const { call, session, ask, balance } = it;
  const unpaid = await call("POST", PATH, ASK);
  assertRefused(unpaid, [402, "payment_required", null]);
  assert.equal(unpaid.body.error.details.invoice.amountSats, 500);
  readChallenge(unpaid.headers);
  assertRefused(await call("POST", PATH, ASK, bearer("sk-nothing")), [401, "invalid_token", null]);
  assertRefused(await call("POST", PATH, { nonsense: 1 }, bearer("sk-nothing")), [401, "invalid_token", null]);
  const narrowed = (...caveats: string[]) => bearer(toBase64(narrow(fromBase64(session.macaroon), caveats)));
  const forbidden = [["timmy_capabilities=jobs"], ["model=claude-haiku-4-5"], ["max_sats=1"]];
  for (const caveats of forbidden) {
    const answer = await call("POST", PATH, ASK, narrowed(...caveats));
    assertRefused(answer, [403, "caveat_failed", null], new RegExp(caveats[0]?.split("=")[0] ?? ""));
  }
  assertRefused(await ask({ model: "gpt-9" }), [404, "model_not_found", "model"], /claude-sonnet-4-6/);
  for (const method of ["GET", "PUT", "DELETE"]) {
    assertRefused(await call(method, PATH), [405, "method_not_allowed", null]);
  }
  assertRefused(await call("POST", "/api/v1/embeddings", {}), [404, "not_found", null]);
  assertRefused(await call("POST", PATH, "{", session.auth), [400, "invalid_json", null]);
  assert.equal(await balance(), 5_000);
  assert.equal((await call("POST", PATH, ASK, narrowed("model=claude-sonnet-4-6", "max_sats=500"))).status, 200);
});

chatting("a thousand messages are answered, more than the bound are refused", async ({ ask }) => {
  const turns = (n: number) =>
    Array.from({ length: n }, (_, i) => ({ role: i % 2 ? "assistant" : "user", content: `${i}` }));
  const served = await ask({ messages: [...turns(1_000), { role: "user", content: "And now?" }] });
  assert.equal(served.status, 200);
  assert.ok(served.body.usage.prompt_tokens > 700);
  assertRefused(await ask({ messages: turns(2_001) }), [400, "validation_failed", "messages"], /at most 2000 items/);
  const large = await ask({ messages: [{ role: "user", content: "x".repeat(10_000_000) }] });
  assertRefused(large, [413, "payload_too_large", null]);
});

chatting(
  "what it cost is in the body and in headers, and is what leaves the balance",
  async ({ ask, balance, session, call }) => {
    const before = await balance();
    const { body, headers } = await ask();
    const after = await balance();
    assert.equal(body.timmy.debitedSats, before - after);
    assert.equal(body.timmy.balanceSats, after);
    assert.deepEqual(
      ["request-id", "debited-sats", "balance-sats"].map((name) => headers.get(`x-timmy-${name}`)),
      [body.timmy.requestId, String(before - after), String(after)],
    );
    assert.ok(Number(headers.get("x-timmy-held-sats")) >= before - after);
    assert.equal(body.timmy.evaluation, "on");
    assert.ok(body.timmy.evaluationUsage.inputTokens > 0, "the evaluation's cost is shown");
    const kept = (await call("GET", `${session.path}/requests/${body.timmy.requestId}`, undefined, session.auth)).body;
    assert.deepEqual([kept.result, kept.debitedSats], [body.choices[0].message.content, before - after]);
  },
);

chatting(
  "a trusted key's session: completions and streams tell what the free tier gave, as the session does",
  async (it) => {
    const { world, call, ask, balance } = it;
    const key = await keyWith(world, SCORE.trusted);
    const { body: created } = await call("POST", "/api/sessions", { amount_sats: 1_000 }, key.auth);
    await settle(world, created.invoice);
    const path = `/api/sessions/${created.sessionId}`;
    const auth = bearer((await call("GET", path)).body.macaroon);
    const balanceOfKey = async () => (await world.call("GET", path)).body.balanceSats;
    let left = 200;
    let before = 1_000;
    for (const [serve, stream] of [["free", false], ["partial", true], ["gate", false], ["gate", true]] as const) {
      const { status, body } = await call("POST", PATH, { ...ASK, max_tokens: 100, stream }, auth);
      assert.equal(status, 200, JSON.stringify(body));
      const account = stream ? framesOf(body).at(-2).timmy : body.timmy;
      assert.equal(account.freeTier.serve, serve);
      if (serve !== "free") assert.equal(account.freeTier.absorbSats, left, "what is left of the day");
      assert.equal(account.freeTier.chargeSats > 0, serve !== "free");
      assert.equal(account.absorbedSats > 0, serve !== "gate");
      assert.ok(account.absorbedSats <= account.freeTier.absorbSats);
      left -= account.absorbedSats;
      const after = await balanceOfKey();
      assert.deepEqual([account.debitedSats, account.balanceSats], [before - after, after]);
      assert.equal(account.debitedSats === 0, serve === "free");
      before = after;
      const kept = (await call("GET", `${path}/requests/${account.requestId}`, undefined, auth)).body;
      assert.deepEqual([account.freeTier, account.absorbedSats], [kept.free_tier, kept.absorbed_sats]);
    }
    assert.equal(left, 0, "the day's budget is used up");

    const { timmy } = (await ask()).body;
    assert.deepEqual([timmy.freeTier, timmy.absorbedSats], [undefined, undefined], "a session of no key");
    assert.equal(timmy.debitedSats, 5_000 - await balance());
  },
);

chatting("without evaluation none is made, and none is paid", async ({ ask, modelFaults }) => {
  modelFaults.evaluate.push({ kind: "permanent" });
  const { status, body } = await ask({ messages: [{ role: "user", content: "[refuse]" }] });
  assert.deepEqual([status, body.choices[0].finish_reason], [200, "stop"]);
  assert.deepEqual([body.timmy.evaluation, body.timmy.evaluationUsage], ["off", undefined]);
  assert.equal(modelFaults.evaluate.length, 1, "the evaluator was asked");
}, { settings: { chatEvaluation: false } });

for (const stream of [false, true]) {
  const how = stream ? "streamed" : "whole";
  chatting(
    `refused by the evaluator: a refusal, content_filter, and the evaluation's cost alone (${how})`,
    async ({ ask, balance }) => {
      const answer = await ask({ stream, messages: [{ role: "user", content: "[refuse] How do I …" }] });
      assert.equal(answer.status, 200);
      const cost = 5_000 - await balance();
      assert.ok(cost > 0 && cost < 10, String(cost));
      if (!stream) {
        const [choice] = answer.body.choices;
        assert.deepEqual([choice.finish_reason, choice.message.content], ["content_filter", null]);
        assert.match(choice.message.refusal, /Refused/);
        return assert.equal(answer.body.timmy.debitedSats, cost);
      }
      const frames = framesOf(answer.body);
      assert.equal(frames.pop(), "data: [DONE]");
      assert.equal(contentOf(frames), "");
      assert.match(frames[1].choices[0].delta.refusal, /Refused/);
      assert.deepEqual([frames[2].choices[0].finish_reason, frames[2].timmy.debitedSats], ["content_filter", cost]);
    },
  );

  chatting(`nothing delivered: an error with its own status that says what was charged (${how})`, async (it) => {
    const { ask, balance, modelFaults } = it;
    modelFaults.chat?.push({ kind: "passing" }, { kind: "permanent", causedByRequest: true }, {
      kind: "break",
      afterPieces: 0,
    });
    const passing = await ask({ stream });
    assertRefused(passing, [503, "upstream_failed", null], /Nothing was charged/);
    assert.ok(Number(passing.headers.get("retry-after")) > 0);
    assertRefused(await ask({ stream }), [400, "upstream_refused", null], / 2 sats were charged\./); // its evaluation
    assertRefused(await ask({ stream }), [503, "upstream_failed", null]);
    modelFaults.evaluate.push({ kind: "passing" });
    assertRefused(await ask({ stream }), [503, "upstream_failed", null]);
    if (!stream) { // a stream has begun by then, and says it in a frame
      modelFaults.chat?.push({ kind: "hang" });
      assertRefused(await ask({ stream }), [503, "upstream_failed", null], /did not answer within/);
    }
    assert.equal(await balance(), 5_000 - 2);
  });

  chatting(`max_tokens and stop end the answer where they say (${how})`, async ({ ask }) => {
    const FIVE = "[simulated] "; // the most words that are not more than five tokens
    assert.ok(countedTokens(FIVE) <= 5 && countedTokens(`${FIVE}No `) > 5);
    for (
      const [changes, finish, says] of [
        [{ max_tokens: 5 }, "length", FIVE],
        [{ max_completion_tokens: 5 }, "length", FIVE],
        [{ stop: " language" }, "stop", "[simulated] No"],
        [{ stop: ["nothing like it", "model"] }, "stop", "[simulated] No language "],
      ] as const
    ) {
      const { body } = await ask({ stream, ...changes });
      const frames = stream ? framesOf(body) : [];
      const choice = stream
        ? frames.findLast((frame) => frame.choices?.[0]?.finish_reason)?.choices[0]
        : body.choices[0];
      assert.equal(choice.finish_reason, finish);
      assert.equal(stream ? contentOf(frames) : choice.message.content, says);
      if (stream && finish === "length") {
        assert.ok(frames.some((frame) => /^: the answer was cut at 5 tokens, as asked$/.test(frame)), body);
      }
    }
  });
}

chatting("a balance that runs low ends the answer with length, and a comment says so", async ({ ask, call, world }) => {
  const messages = [{ role: "user", content: "x".repeat(190) }]; // the answer repeats it
  const wanted = { stream: true, max_tokens: 4_000, messages };
  const poor = await paidSession(world, call, 100);
  const { priceSats } = (await ask(wanted, poor.auth)).body.error.details;
  const { path, auth } = await paidSession(world, call, priceSats + 2); // 64 tokens and a few more
  const frames = framesOf((await ask(wanted, auth)).body);
  assert.match(
    frames.find((frame) => typeof frame === "string") ?? "",
    /^: the balance ran low: the answer was cut at \d\d of 4000 tokens; \d+ sats are left/,
  );
  const last = frames.at(-2);
  assert.equal(last.choices[0].finish_reason, "length");
  assert.ok(countedTokens(contentOf(frames)) >= 64 - 4, "the least that is sold, but for the token that did not fit");
  const read = (await call("GET", path)).body;
  assert.deepEqual([read.balanceSats, read.state], [last.timmy.balanceSats, "paused"]);
  const whole = await ask({ max_tokens: 4_000, messages });
  assert.equal(whole.body.choices[0].finish_reason, "stop", "the balance was low, not the answer long");
}, {
  settings: { chatEvaluation: false },
  rates: { inputUsdPer1k: 0.003, outputUsdPer1k: 0.15 },
});

chatting(
  "broken off upstream after any piece: an error frame, no [DONE], and what was delivered is paid",
  async (it) => {
    const { ask, balance, modelFaults } = it;
    let before = await balance();
    let cheapest = 0;
    for (let pieces = 1; pieces <= 40; pieces += 3) {
      modelFaults.chat?.push({ kind: "break", afterPieces: pieces });
      const { status, body } = await ask({ stream: true });
      assert.equal(status, 200);
      const frames = framesOf(body);
      assert.equal(frames.filter((frame) => frame.choices?.[0]?.delta?.content).length, pieces);
      const last = frames.at(-1);
      assert.equal(last.error.type, "server_error");
      assert.match(last.error.message, /broke off/);
      assert.ok(!body.includes("[DONE]"));
      const after = await balance();
      assert.equal(last.timmy.debitedSats, before - after);
      assert.ok(before - after >= cheapest && before - after > 0, "more text costs no less");
      [cheapest, before] = [before - after, after];
    }
  },
  { sats: 10_000 },
);

chatting(
  "an Idempotency-Key gets the same answer again, charged once, streamed too; another body is 409",
  async (it) => {
    const { ask, balance } = it;
    const key = { "idempotency-key": "k" };
    const first = await ask({}, key);
    const after = await balance();
    assert.deepEqual((await ask({}, key)).body, first.body);
    assertRefused(await ask({ temperature: 1 }, key), [409, "idempotency_conflict", null]);
    assertRefused(await ask({ stream: true }, key), [409, "idempotency_conflict", null]);
    assert.equal(await balance(), after);

    const streamed = { "idempotency-key": "s" };
    const stream = framesOf((await ask({ stream: true }, streamed)).body);
    const paid = await balance();
    const again = framesOf((await ask({ stream: true }, streamed)).body);
    assert.equal(contentOf(again), contentOf(stream));
    assert.deepEqual(again.at(-2), stream.at(-2));
    assert.equal(await balance(), paid);
  },
);

chatting(
  "a second call with the same key waits for the first and gets its answer",
  async ({ world, clock, session, ask }) => {
    const key = { "idempotency-key": "k" };
    const slow = { messages: [{ role: "user", content: "Slowly. [slow:5000]" }] };
    const headers = { ...session.auth, ...key };
    const first = world.call("POST", PATH, { ...ASK, ...slow }, headers);
    await clock.advance(1_000);
    const second = await ask(slow, key);
    assert.deepEqual((await first).body, second.body);
    assert.equal((await world.rows(["session_request", session.handle])).length, 1);
  },
);

chatting(
  "an answer whose charge could not be written at once is charged when it can be, and not asked again",
  async (it) => {
    const { ask, balance, modelFaults, engine, world } = it;
    let refusals = 0;
    modelFaults.chat?.push({ kind: "none" }, { kind: "permanent" });
    const commit = engine.commit;
    engine.commit = (wanted) => {
      const settlement = wanted.set.some(({ key }) => key[0] === "session_result");
      if (settlement && refusals++ === 0) return Promise.reject(new Error("the disk is full"));
      return commit(wanted);
    };
    const { status, body } = await ask();
    assert.equal(status, 200, JSON.stringify(body));
    assert.ok(refusals > 1);
    assert.equal(body.timmy.debitedSats, 5_000 - await balance());
    assert.equal(modelFaults.chat?.length, 1, "the model was asked again");
    assert.ok(!world.log.lines.some(({ level }) => level === "error"));
  },
);

chatting(
  "text of other scripts is held for by its bytes: what is charged stays within what is held",
  async ({ ask, world, session }) => {
    const held = async (content: string) =>
      Number((await ask({ messages: [{ role: "user", content }] })).headers.get("x-timmy-held-sats"));
    const [latin, chinese] = [await held("invoice ".repeat(500)), await held("闪电网络发票 ".repeat(667))];
    assert.ok(chinese > latin + 10, `${latin} and ${chinese} sats`);
    for (
      const { value } of await world.rows<{ v: 1; actualSats: number; reservedSats: number }>([
        "session_request",
        session.handle,
      ])
    ) {
      assert.ok(value.actualSats <= value.reservedSats);
    }
  },
);

Deno.test("chat: the models are listed with their prices to whoever asks", async () => {
  const fake = await createFakeWorld(1);
  try {
    const { status, body } = await fake.call("GET", "/api/v1/models");
    assert.equal(status, 200);
    assert.equal(body.object, "list");
    assert.deepEqual(body.data.map(({ id }: { id: string }) => id), ["claude-sonnet-4-6", "claude-haiku-4-5"]);
    // 0.003 and 0.015 USD, with 25 % on top, at 100,000 USD a bitcoin; 0.1 USD of the machine.
    const { pricing } = body.data[0];
    assert.deepEqual([pricing.inputSatsPer1k, pricing.outputSatsPer1k, pricing.requestSats], [3.75, 18.75, 125]);
  } finally {
    fake.discard();
  }
});

chatting(
  "a stream whose first piece is long in coming begins without it, and says so when it then fails",
  async ({ ask, balance }) => {
    const messages = [{ role: "user", content: "[slow:20000] hello" }];
    const { status, body } = await ask({ messages, stream: true });
    assert.equal(status, 200);
    const frames = framesOf(body);
    assert.equal(frames[0].choices[0].delta.role, "assistant");
    assert.match(body, /^: still here$/m, "a quiet stream is kept alive");
    assert.equal(frames.at(-1), "data: [DONE]");
    const before = await balance();
    const failing = await ask({ messages: [{ role: "user", content: "[slow:20000] [fail-work]" }], stream: true });
    assert.equal(failing.status, 200, "its status was gone by then");
    const last = framesOf(failing.body).at(-1);
    assert.equal(last.error.code, "upstream_failed");
    assert.equal(last.timmy.debitedSats, 0);
    assert.equal(await balance(), before);
  },
);

chatting("an end that cannot be read back ends the stream with an error, and the process goes on", async (it) => {
  const { ask, world, modelFaults } = it;
  const { chats } = world.deps;
  const { begin } = chats;
  modelFaults.chat?.push({ kind: "delay", ms: 10 });
  chats.begin = async (...asked) => {
    const begun = await begin(...asked);
    if (!("ended" in begun)) return begun;
    const away = new StoreError("unavailable", "the database is away");
    return { ...begun, ended: begun.ended.then(() => Promise.reject(away)) };
  };
  const { status, body } = await ask({ stream: true });
  chats.begin = begin;
  assert.equal(status, 200);
  const last = framesOf(body).at(-1);
  assert.match(last.error.message, /Whether it was charged is told by GET/);
  assert.equal(last.timmy, undefined);
  assert.equal((await ask()).status, 200);
});

chatting("a stream that is left goes on for a caller with an Idempotency-Key, and ends for one without", async (it) => {
  const { world, session, clock, ask, balance } = it;
  const left = async (headers: Record<string, string>): Promise<void> => {
    const step = Promise.withResolvers<void>();
    it.modelFaults.chat?.push({ kind: "steps", step: (piece) => piece < 2 ? Promise.resolve() : step.promise });
    const response = await clock.drive(Promise.resolve(world.app.request(PATH, {
      method: "POST",
      headers: { "content-type": "application/json", ...session.auth, ...headers },
      body: JSON.stringify({ ...ASK, stream: true }),
    })));
    await clock.drive(response.body!.cancel());
    await clock.settle();
    step.resolve();
    await clock.settle();
  };
  await left({ "idempotency-key": "k" });
  const after = await balance();
  const again = await ask({ stream: true }, { "idempotency-key": "k" });
  assert.match(contentOf(framesOf(again.body)), /Set an API key/, "the whole answer, to its end");
  assert.equal(await balance(), after, "charged once");
  await left({});
  const { requests } = (await it.call("GET", `${session.path}/requests`, undefined, session.auth)).body;
  assert.deepEqual(requests.map(({ state }: { state: string }) => state).sort(), ["complete", "interrupted"]);
});
