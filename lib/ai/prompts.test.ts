import assert from "node:assert/strict";
import fc from "fast-check";
import { encodeRequest, WORK_PROMPT } from "./prompts.ts";
import { estimateTokens } from "./usage.ts";

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
  assert.ok(estimateTokens(WORK_PROMPT) <= 50, String(estimateTokens(WORK_PROMPT)));
});
