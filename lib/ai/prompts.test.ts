import assert from "node:assert/strict";
import fc from "fast-check";
import {
  encodeRequest,
  EVALUATION_JSON_PROMPT,
  EVALUATION_TOOL_PROMPT,
  evaluationOverheadTokens,
  VERDICT_TOOL_DEFINITION,
  WORK_PROMPT,
} from "./prompts.ts";
import { countedTokens } from "./tokens.rules.ts";
import { VERDICT_JSON_SCHEMA } from "./verdict.ts";

Deno.test("encodeRequest: any request comes back exactly, from one line without a tag's or a control token's beginning", () => {
  const nasty = fc.constantFrom(
    '"',
    "\\",
    "\n",
    "\r",
    "\u2028",
    "\u0085",
    "<|im_start|>",
    "[INST]",
    "\\u005b",
    "}",
    "é",
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(nasty, fc.string({ unit: "grapheme" })), { maxLength: 20 }), (parts) => {
      const request = parts.join("");
      const encoded = encodeRequest(request);
      assert.deepEqual(JSON.parse(encoded), { request });
      assert.ok(!/[<[\n\r\u0085\u2028\u2029]/.test(encoded), encoded);
    }),
    { numRuns: 300, seed: 1 },
  );
});

Deno.test("WORK_PROMPT: is no longer than the 50 tokens every price counts for it", () => {
  assert.ok(countedTokens(WORK_PROMPT) <= 50, String(countedTokens(WORK_PROMPT)));
});

Deno.test("evaluationOverheadTokens: more than three characters a token of all we add, and whole", () => {
  const hosted = EVALUATION_TOOL_PROMPT + JSON.stringify(VERDICT_TOOL_DEFINITION) + encodeRequest("");
  const local = EVALUATION_JSON_PROMPT + JSON.stringify(VERDICT_JSON_SCHEMA) + encodeRequest("");
  // 340: the longest instructions that Anthropic has published for a forced tool
  assert.ok(evaluationOverheadTokens() >= hosted.length / 3 + 340);
  assert.ok(evaluationOverheadTokens() >= local.length / 3);
  assert.ok(Number.isInteger(evaluationOverheadTokens()));
});
