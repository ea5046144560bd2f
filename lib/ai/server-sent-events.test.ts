import assert from "node:assert/strict";
import fc from "fast-check";
import { eventData } from "./server-sent-events.ts";

/** A body that arrives cut at these byte positions. */
function bodyOf(text: string, cuts: number[]): ReadableStream<Uint8Array<ArrayBuffer>> {
  const bytes = new TextEncoder().encode(text);
  const edges = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return ReadableStream.from(edges.slice(1).map((edge, i) => bytes.slice(edges[i], edge)));
}

for (const [name, end] of [["LF", "\n"], ["CRLF", "\r\n"]] as const) {
  Deno.test(`eventData: gives the same data wherever the body is cut, with ${name}`, async () => {
    const text = [
      ": a comment",
      "event: message",
      'data: {"a":"é𝕏"}',
      "id: 7",
      "",
      "",
      "data:first line",
      "data:  second",
      "",
      "retry: 10",
      "",
      "data: [DONE]",
      "",
      "data: unfinished",
    ].join(end);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(), { maxLength: 20 }), async (cuts) => {
        const seen = await Array.fromAsync(eventData(bodyOf(text, cuts)));
        assert.deepEqual(seen, ['{"a":"é𝕏"}', "first line\n second", "[DONE]"]);
      }),
      { numRuns: 200, seed: 1 },
    );
  });
}

Deno.test("eventData: an error of the body passes through", async () => {
  const broken = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      controller.error(new Error("broken off"));
    },
  });
  await assert.rejects(() => Array.fromAsync(eventData(broken)), /broken off/);
});
