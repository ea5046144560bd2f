import assert from "node:assert/strict";
import { createUsageMeter, estimatedUsage, firstCharacters } from "./usage.ts";

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

Deno.test("createUsageMeter: knows nothing before anything was counted or written", () => {
  const meter = createUsageMeter(() => "prompt");
  assert.equal(meter.soFar(), undefined);
  meter.add("x");
  assert.deepEqual(meter.soFar(), { inputTokens: 2, outputTokens: 1, source: "estimated" });
});

Deno.test("createUsageMeter: input counted first, output by its characters until it is counted", () => {
  const meter = createUsageMeter(() => assert.fail("the input was counted"));
  meter.count({ inputTokens: 50, outputTokens: 1 });
  assert.deepEqual(meter.soFar(), { inputTokens: 50, outputTokens: 1, source: "api" });
  meter.add("x".repeat(41));
  assert.deepEqual(meter.soFar(), { inputTokens: 50, outputTokens: 11, source: "estimated" });
  meter.count({ outputTokens: 7 });
  assert.deepEqual(meter.total(), { inputTokens: 50, outputTokens: 7, source: "api" });
  meter.add("12345");
  assert.deepEqual(meter.total(), { inputTokens: 50, outputTokens: 9, source: "estimated" });
  assert.equal(meter.text, "x".repeat(41) + "12345");
});

Deno.test("createUsageMeter: zeros for what is there are no counts, and a whole without counts is never zero", () => {
  const meter = createUsageMeter(() => "");
  meter.add("12345678");
  meter.count({ inputTokens: 0, outputTokens: 0 });
  assert.deepEqual(meter.total(), { inputTokens: 1, outputTokens: 2, source: "estimated" });
  assert.deepEqual(createUsageMeter(() => "").total(), { inputTokens: 1, outputTokens: 1, source: "estimated" });
});

Deno.test("createUsageMeter: what is written but no answer is paid like the answer, and is not in its text", () => {
  const meter = createUsageMeter(() => "prompt");
  meter.addHidden("x".repeat(16));
  assert.deepEqual(meter.soFar(), { inputTokens: 2, outputTokens: 4, source: "estimated" });
  meter.add("12345678");
  assert.equal(meter.total().outputTokens, 6);
  assert.equal(meter.text, "12345678");
  meter.count({ inputTokens: 5, outputTokens: 7 });
  meter.addHidden("1234");
  assert.deepEqual(meter.total(), { inputTokens: 5, outputTokens: 8, source: "estimated" });
});
