import assert from "node:assert/strict";
import { countedTokens } from "./tokens.rules.ts";
import { createUsageMeter, estimatedUsage, firstCharacters } from "./usage.ts";

/** Of digits alone, every three are one token: 41 are 14. */
const digits = (count: number) => "7".repeat(count);

Deno.test("estimatedUsage: is never zero and says that it is an estimate", () => {
  assert.deepEqual(estimatedUsage("", ""), { inputTokens: 1, outputTokens: 1, source: "estimated" });
  assert.deepEqual(estimatedUsage(digits(5), digits(9)), { inputTokens: 2, outputTokens: 3, source: "estimated" });
  const [asked, answered] = ["Schreibe ein Gedicht über Regen.", "Rain, said the roof: again, again."];
  assert.deepEqual(estimatedUsage(asked, answered), {
    inputTokens: countedTokens(asked),
    outputTokens: countedTokens(answered),
    source: "estimated",
  });
});

Deno.test("firstCharacters: cuts between code points, never inside one", () => {
  assert.equal(firstCharacters("a𝕏b", 2), "a𝕏");
  assert.equal(firstCharacters("a𝕏b", 3), "a𝕏b");
  assert.equal(firstCharacters("𝕏𝕏", 1), "𝕏");
  assert.equal(firstCharacters("abc", 0), "");
});

Deno.test("createUsageMeter: knows nothing before anything was counted or written", () => {
  const meter = createUsageMeter(() => digits(6));
  assert.equal(meter.soFar(), undefined);
  meter.add("x");
  assert.deepEqual(meter.soFar(), { inputTokens: 2, outputTokens: 1, source: "estimated" });
});

Deno.test("createUsageMeter: input counted first, output by its text until it is counted", () => {
  const meter = createUsageMeter(() => assert.fail("the input was counted"));
  meter.count({ inputTokens: 50, outputTokens: 1 });
  assert.deepEqual(meter.soFar(), { inputTokens: 50, outputTokens: 1, source: "api" });
  meter.add(digits(41));
  assert.deepEqual(meter.soFar(), { inputTokens: 50, outputTokens: 14, source: "estimated" });
  meter.count({ outputTokens: 7 });
  assert.deepEqual(meter.total(), { inputTokens: 50, outputTokens: 7, source: "api" });
  meter.add(digits(5));
  assert.deepEqual(meter.total(), { inputTokens: 50, outputTokens: 9, source: "estimated" });
  assert.equal(meter.text, digits(41) + digits(5));
});

Deno.test("createUsageMeter: zeros for what is there are no counts, and a whole without counts is never zero", () => {
  const meter = createUsageMeter(() => "");
  meter.add(digits(8));
  meter.count({ inputTokens: 0, outputTokens: 0 });
  assert.deepEqual(meter.total(), { inputTokens: 1, outputTokens: 3, source: "estimated" });
  assert.deepEqual(createUsageMeter(() => "").total(), { inputTokens: 1, outputTokens: 1, source: "estimated" });
});

Deno.test("createUsageMeter: what is written but no answer is paid like the answer, and is not in its text", () => {
  const meter = createUsageMeter(() => digits(6));
  meter.addHidden(digits(16));
  assert.deepEqual(meter.soFar(), { inputTokens: 2, outputTokens: 6, source: "estimated" });
  meter.add(digits(8));
  assert.equal(meter.total().outputTokens, 8, "16 and 8 digits are one text of 24");
  assert.equal(meter.text, digits(8));
  meter.count({ inputTokens: 5, outputTokens: 7 });
  meter.addHidden(digits(4));
  assert.deepEqual(meter.total(), { inputTokens: 5, outputTokens: 9, source: "estimated" });
});
