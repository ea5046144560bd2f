import assert from "node:assert/strict";
import fc from "fast-check";
import type { Clock } from "@/lib/clock.ts";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { createAnthropicModel } from "./anthropic.ts";
import { ModelError } from "./port.ts";
import { abortAtFirstPiece, type Fed, fedOfFrames, feeding, inNumbers, outcomeOf } from "./testing/fed-model.ts";
import { MESSAGE_SHAPES } from "./testing/message-shapes.ts";
import { countedTokens } from "./tokens.rules.ts";

const eventOf = (data: { type: string }) => `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;

/** A frame of the notation in message-shapes.ts as it goes over the wire. */
function wireOf(frame: string): string {
  const [, short, rest = ""] = /^([tfs]):([^]*)$/.exec(frame) ?? [];
  if (frame.startsWith("!")) return frame.slice(1);
  if (frame.startsWith("@")) return frame;
  if (frame === "DONE") return eventOf({ type: "message_stop" });
  const usage = { input_tokens: Number(rest), output_tokens: 1 };
  if (short === "s") return eventOf({ type: "message_start", ...{ message: { id: "msg_1", content: [], usage } } });
  const delta = { type: "text_delta", text: rest };
  if (short === "t") return eventOf({ type: "content_block_delta", ...{ index: 0, delta } });
  if (short !== "f") return eventOf(JSON.parse(frame));
  const [stop_reason, output = ""] = rest.split("/");
  const counted = output === "-" ? {} : { usage: { output_tokens: Number(output) } };
  return eventOf({ type: "message_delta", ...{ delta: { stop_reason, stop_sequence: null }, ...counted } });
}

const modelOf = (fed: Fed) => (clock: Clock) =>
  createAnthropicModel({ apiKey: "k", baseURL: "http://127.0.0.1:9", clock, fetch: feeding(fed) });
const outcome = (fed: Fed): Promise<string> => outcomeOf(modelOf(fed));

for (const [server, what, expected, ...frames] of MESSAGE_SHAPES) {
  Deno.test(`message shapes, ${server}: ${what}`, async () => {
    assert.equal(await outcome(fedOfFrames(frames.map(wireOf))), inNumbers(expected));
  });
}

Deno.test("message shapes: a listener who aborts is told nothing more, though all has come in one piece", async () => {
  const fed = fedOfFrames(["s:3", "t:Hel", "t:lo", "f:end_turn/2", "DONE"].map(wireOf));
  const { told, error } = await abortAtFirstPiece(modelOf(fed)(createFakeClock()));
  assert.deepEqual(told, ["Hel"]);
  assert.ok(error instanceof ModelError);
  assert.equal(error.kind, "aborted");
  assert.deepEqual(error.usage, { inputTokens: 3, outputTokens: countedTokens("Hel"), source: "estimated" });
});

Deno.test("message shapes: how the bytes are split never changes what comes of them", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...MESSAGE_SHAPES),
      fc.array(fc.nat(), { minLength: 1, maxLength: 20 }),
      async ([, , expected, ...frames], cuts) =>
        assert.equal(await outcome(fedOfFrames(frames.map(wireOf), cuts)), inNumbers(expected)),
    ),
    { numRuns: 300 },
  );
});

Deno.test("message shapes: frames in any order, with a cut anywhere, are whole only with a stop reason and an end", async () => {
  const frame = fc.constantFrom(
    "s:3",
    "t:Hel",
    "f:end_turn/2",
    "f:abort/2",
    "DONE",
    '{"type":"ping"}',
    "!: comment\n\n",
  );
  await fc.assert(
    fc.asyncProperty(fc.array(frame, { maxLength: 8 }), fc.nat(), async (frames, cut) => {
      const wire = frames.map(wireOf).join("");
      const seen = await outcome(fedOfFrames([wire.slice(0, wire.length - cut % (wire.length + 1))]));
      assert.match(seen, /^\w+\|[^|]*\|(-|~?\d+\/\d+)$/);
      const end = frames.indexOf("DONE");
      const reason = frames.slice(0, Math.max(end, 0)).find((one) => one.startsWith("f:"));
      if (reason !== "f:end_turn/2") assert.match(seen, /^broken/);
      if (reason === "f:end_turn/2" && cut % (wire.length + 1) === 0) assert.match(seen, /^stop/);
    }),
    { numRuns: 400 },
  );
});
