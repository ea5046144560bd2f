import assert from "node:assert/strict";
import fc from "fast-check";
import type { Clock } from "@/lib/clock.ts";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { createChatStream } from "./chat-stream.machine.ts";
import { createOpenAiCompatibleModel } from "./openai-compatible.ts";
import { ModelError } from "./port.ts";
import { CHAT_SHAPES } from "./testing/chat-shapes.ts";
import {
  abortAtFirstPiece,
  cutAt,
  encode,
  type Fed,
  fedOfFrames,
  feeding,
  inNumbers,
  outcomeOf,
  PROMPT_TOKENS,
} from "./testing/fed-model.ts";
import { countedTokens } from "./tokens.rules.ts";

const dataOf = (value: unknown) => `data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`;

/** A frame of the notation in chat-shapes.ts as it goes over the wire. */
function wireOf(frame: string): string {
  const [, short, rest = ""] = /^([tfu]):([^]*)$/.exec(frame) ?? [];
  if (frame === "DONE") return dataOf("[DONE]");
  if (frame.startsWith("!")) return frame.slice(1);
  if (frame.startsWith("@")) return frame;
  if (short === "t") return dataOf({ choices: [{ index: 0, delta: { content: rest }, finish_reason: null }] });
  if (short === "f") return dataOf({ choices: [{ index: 0, delta: {}, finish_reason: rest }] });
  if (short !== "u") return dataOf(frame);
  const [input, output] = rest.split("/").map(Number);
  return dataOf({ choices: [], usage: { prompt_tokens: input, completion_tokens: output } });
}

const fedOf = (frames: readonly string[], cuts?: readonly number[]) => fedOfFrames(frames.map(wireOf), cuts);

const modelOf = (fed: Fed) => (clock: Clock) =>
  createOpenAiCompatibleModel({ baseURL: "http://127.0.0.1:9/v1", clock, fetch: feeding(fed) });
const outcome = (fed: Fed): Promise<string> => outcomeOf(modelOf(fed));

for (const [server, what, expected, ...frames] of CHAT_SHAPES) {
  Deno.test(`chat shapes, ${server}: ${what}`, async () => {
    assert.equal(await outcome(fedOf(frames)), inNumbers(expected));
  });
}

Deno.test("chat shapes: a listener who aborts is told nothing more, though all has come in one piece, and pays what was written", async () => {
  const reasoning = "x".repeat(16_000);
  const fed = fedOf([
    `{"choices":[{"delta":{"reasoning_content":"${reasoning}"}}]}`,
    "t:Hel",
    "t:lo",
    "f:stop",
    "u:3/2",
    "DONE",
  ]);
  const { told, error } = await abortAtFirstPiece(modelOf(fed)(createFakeClock()));
  assert.deepEqual(told, ["Hel"]);
  assert.ok(error instanceof ModelError);
  assert.equal(error.kind, "aborted");
  assert.deepEqual(error.usage, {
    inputTokens: PROMPT_TOKENS,
    outputTokens: countedTokens(`${reasoning}Hel`),
    source: "estimated",
  });
});

Deno.test("chat shapes: how the bytes are split never changes what comes of them", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...CHAT_SHAPES),
      fc.array(fc.nat(), { minLength: 1, maxLength: 30 }),
      async ([, , expected, ...frames], cuts) => assert.equal(await outcome(fedOf(frames, cuts)), inNumbers(expected)),
    ),
    { numRuns: 400 },
  );
});

Deno.test("chat shapes: a good answer that is cut at any byte is an answer exactly from its finish on", async () => {
  const frames = ["t:Hé", "null", "t:llo", "f:stop", "u:3/2", "DONE"];
  const bytes = encode(frames.map(wireOf).join(""));
  // All of the chunk but its line's end, which may be missing.
  const whole = encode(frames.slice(0, 4).map(wireOf).join("").trimEnd()).length;
  for (let length = 0; length <= bytes.length; length++) {
    const [end] = (await outcome({ status: 200, headers: {}, pieces: [bytes.slice(0, length)] })).split("|");
    assert.equal(end, length < whole ? "broken" : "stop", `cut after ${length} of ${bytes.length} bytes`);
  }
});

/** Frames and what each does to an answer that is still open. */
const KNOWN = {
  "t:Hel": "text",
  't:"é𝕏"\n': "text",
  "null": "nothing",
  "{}": "nothing",
  "!: comment\n\n": "nothing",
  "!\r\n": "nothing",
  '{"choices":[]}': "nothing",
  '{"choices":[{"delta":{"reasoning_content":"Hm"}}]}': "nothing",
  "u:3/2": "nothing",
  "u:0/-1": "nothing",
  "f:": "nothing",
  "f:stop": "stop",
  "f:length": "length",
  "f:content_filter": "refused",
  "f:abort": "broken",
  "DONE": "end",
  '{"error":{"message":"x"}}': "broken",
  '{"object":"error","message":"x"}': "broken",
  "!event: error\ndata: {}\n\n": "broken",
  "garbage": "broken",
  '{"status":"ok"}': "broken",
} as const;
type Known = keyof typeof KNOWN;

/** What must come of these frames, read one by one: the end and the text. */
function expectedOf(frames: readonly Known[]): string {
  let end = "";
  let text = "";
  for (const frame of frames) {
    const effect = KNOWN[frame];
    if (effect === "text" && end === "") text += frame.slice(2);
    if (effect === "end") end ||= "broken";
    if (effect === "end") break;
    if (effect !== "text" && effect !== "nothing") end ||= effect;
    if (end === "broken") break;
  }
  return `${end || "broken"}|${text}`;
}

function assertPossible(outcome: string): void {
  assert.match(outcome, /\|(-|~?\d+\/\d+)$/);
  assert.doesNotMatch(outcome, /^unexpected/);
}

const splits = fc.array(fc.nat(), { maxLength: 12 });

Deno.test("chat stream: known frames in any order and any split come to what they say one by one", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(...Object.keys(KNOWN) as Known[]), { maxLength: 12 }),
      splits,
      async (frames, cuts) => {
        const seen = await outcome(fedOf(["!\n", ...frames], cuts));
        assertPossible(seen);
        assert.equal(seen.slice(0, seen.lastIndexOf("|")), expectedOf(frames));
      },
    ),
    { numRuns: 800 },
  );
});

Deno.test("createChatStream: nothing follows a broken answer, and only usage a finished one", () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...Object.keys(KNOWN) as Known[]), { maxLength: 12 }),
      splits,
      (frames, cuts) => {
        const stream = createChatStream();
        const events = fedOf(["!\n", ...frames], cuts).pieces.flatMap((piece) => stream.push(piece));
        const kinds = [...events, ...stream.end()].map(({ kind }) => kind);
        assert.match(kinds.join(" "), /^((text|hidden|usage) ?)*(finished( usage)*|broken)?$/);
      },
    ),
    { numRuns: 500 },
  );
});

/** JSON that looks like a chunk here and there, and like nothing elsewhere. */
const oddChunks = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom<unknown>(null, "", "x", "stop", "error", -1, 0, 2.5, 1e30, true, [], {}),
    fc.array(tie("value"), { maxLength: 2 }),
    fc.dictionary(
      fc.constantFrom(
        ...["choices", "delta", "message", "content", "text", "type", "thinking", "finish_reason", "index", "usage"],
        ...["prompt_tokens", "completion_tokens", "error", "object", "code", "innererror", "detail", "x_groq"],
        ...[
          "tool_calls",
          "function",
          "arguments",
          "reasoning",
          "refusal",
          "__proto__",
          "status",
          "toString",
          "valueOf",
        ],
      ),
      tie("value"),
      { maxKeys: 5 },
    ),
  ),
})).value.map((value) => `!data: ${JSON.stringify(value)}\n\n`);

Deno.test("chat stream: garbage between the frames is never a whole answer without a finish, whatever the split", async () => {
  const garbage = fc.oneof(
    oddChunks,
    fc.string({ unit: "binary", maxLength: 40 }).map((text) => `!${text}`),
    fc.json({ maxDepth: 2 }).map((json) => `!data: ${json}\n\n`),
    fc.constantFrom(
      "t:Hel",
      "null",
      "u:3/2",
      "u:0/-1",
      "f:",
      "!data: ",
      "!\r",
      "!\n\n",
      "!event: error\n",
      "!{",
      "DONE",
    ),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(garbage, { maxLength: 10 }),
      fc.array(fc.uint8Array({ maxLength: 8 }), { maxLength: 2 }),
      splits,
      async (frames, bytes, cuts) => {
        const text = encode(frames.map(wireOf).join(""));
        const all = new Uint8Array([...text, ...bytes.flatMap((some) => [...some])]);
        const at = (where: readonly number[]) => outcome({ status: 200, headers: {}, pieces: cutAt(all, where) });
        const seen = await at([]);
        assertPossible(seen);
        // The only finish that this garbage can hold is an odd chunk's "stop".
        if (!/"finish_reason":"stop"/.test(new TextDecoder().decode(all))) {
          assert.doesNotMatch(seen, /^(stop|length)\|/);
        }
        assert.equal(await at(cuts), seen);
      },
    ),
    { numRuns: 300 },
  );
});
