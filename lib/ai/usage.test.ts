import assert from "node:assert/strict";
import { estimatedUsage, estimateTokens, firstCharacters } from "./usage.ts";

Deno.test("estimateTokens: four characters a token, rounded up, counted by code points", () => {
  assert.deepEqual(["", "a", "abcd", "abcde", "𝕏𝕏𝕏𝕏"].map(estimateTokens), [0, 1, 1, 2, 1]);
});

Deno.test("estimatedUsage: is never zero and says that it is an estimate", () => {
  assert.deepEqual(estimatedUsage("", ""), { inputTokens: 1, outputTokens: 1, source: "estimated" });
  assert.deepEqual(estimatedUsage("12345", "123456789"), { inputTokens: 2, outputTokens: 3, source: "estimated" });
});

Deno.test("firstCharacters: cuts between code points, never inside one", () => {
  assert.equal(firstCharacters("a𝕏b", 2), "a𝕏");
  assert.equal(firstCharacters("a𝕏b", 3), "a𝕏b");
  assert.equal(firstCharacters("𝕏𝕏", 1), "𝕏");
  assert.equal(firstCharacters("abc", 0), "");
});
