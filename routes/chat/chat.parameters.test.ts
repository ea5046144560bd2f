/** Chat completions: what may be asked with, and how each thing that may not is refused. */
import assert from "node:assert/strict";
import { ASK, assertRefused, chatting } from "@/tests/harness/chatting.ts";
import { paidSession } from "@/tests/harness/session-payer.ts";

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
