import assert from "node:assert/strict";
import fc from "fast-check";
import { createEventParser } from "./server-sent-events.machine.ts";

/** The events of a text that comes in these pieces, as "name|data". */
function read(...pieces: string[]): string[] {
  const parser = createEventParser();
  return [...pieces.flatMap((piece) => parser.push(piece)), ...parser.end()].map(({ name, data }) => `${name}|${data}`);
}

for (const [name, end] of [["LF", "\n"], ["CRLF", "\r\n"], ["CR", "\r"]] as const) {
  Deno.test(`createEventParser: gives the same events wherever the text is cut, with ${name}`, () => {
    const text = [
      ": a comment",
      "event: message",
      'data: {"a":"é𝕏"}',
      "id: 7",
      "",
      "",
      "data:first line",
      "data:  second",
      "data",
      "dataset: no field of ours",
      " data: nor is this",
      "",
      "retry: 10",
      "",
      "event: error",
      "",
      "data: [DONE]",
      "",
      "data: without its blank line",
    ].join(end);
    const expected = ['message|{"a":"é𝕏"}', "|first line\n second\n", "error|", "|[DONE]", "|without its blank line"];
    assert.deepEqual(read(text), expected);
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 20 }), (cuts) => {
        const edges = [0, ...cuts.sort((a, b) => a - b), text.length];
        assert.deepEqual(read(...edges.slice(1).map((edge, i) => text.slice(edges[i], edge))), expected);
      }),
      { numRuns: 300 },
    );
  });
}

Deno.test("createEventParser: an event is told with its blank line, not with what comes behind it", () => {
  for (const end of ["\n\n", "\r\n\r\n", "\r\r"]) {
    assert.deepEqual(createEventParser().push(`data: x${end}`), [{ name: "", data: "x" }], JSON.stringify(end));
  }
});

Deno.test("createEventParser: a CRLF is one end of a line, though nothing comes between its halves", () => {
  assert.deepEqual(read("data: a\r", "", "\ndata: b\r", "\n"), ["|a\nb"]);
});
