import assert from "node:assert/strict";
import fc from "fast-check";
import { bodyFault, queryFault } from "./unicode.rules.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);
const faultOf = (text: string) => bodyFault(bytesOf(text));

Deno.test("bodyFault: half of a surrogate pair as an escape, in a value or a key, whatever stands around it", () => {
  for (
    const half of [
      String.raw`{"a":"bad \ud83d end"}`,
      String.raw`{"a":"bad \uDE00 end"}`,
      String.raw`{"a":"\ud83d"}`,
      String.raw`{"a":"\ud83d\n\ude00"}`,
      String.raw`{"a":"\ude00\ud83d"}`,
      String.raw`{"a":"\ud83d\ud83d\ude00"}`,
      String.raw`{"a":"\ud83d\ude00\ude00"}`,
      String.raw`{"a":"\\\ud83d"}`,
      String.raw`{"a":"\\ud83d\ude00"}`,
      String.raw`{"\udfff":1}`,
      String.raw`[[{"a":["x","\uD800"]}]]`,
    ]
  ) assert.match(faultOf(half) ?? "", /whole characters/, half);
});

Deno.test("bodyFault: whole characters in any spelling are fine, and a backslash's own escape hides the rest", () => {
  for (
    const whole of [
      "",
      "{}",
      '{"a":"😀"}',
      "\ufeff{}",
      String.raw`{"a":"\ud83d\ude00\uD83D\uDE00"}`,
      String.raw`{"a":"\\ud83d"}`,
      String.raw`{"a":"\\\\ud83d"}`,
      String.raw`{"a":"\ud7ff\ue000\uffff\u0000"}`,
      String.raw`{"a":"\ud`,
    ]
  ) assert.equal(faultOf(whole), null, whole);
});

Deno.test("bodyFault: bytes that are not UTF-8", () => {
  for (const bad of [[0xe9], [0xc0, 0x80], [0xed, 0xa0, 0xbd], [0xf0, 0x9f, 0x98], [0xff, 0xfe, 0x22, 0]]) {
    assert.match(bodyFault(Uint8Array.of(0x22, 0x63, ...bad, 0x22)) ?? "", /not UTF-8/);
  }
});

Deno.test("bodyFault: finds a half exactly where a parser reads one", () => {
  const unit = fc.integer({ min: 0, max: 0xffff }).map((n) => `\\u${n.toString(16).padStart(4, "0")}`);
  const piece = fc.constantFrom("\\\\", "\\n", "u", "d", "a", "\\ud83d", "\\ude00", "\\uD83D", "😀");
  fc.assert(fc.property(fc.array(fc.oneof(unit, piece)), (pieces) => {
    const json = `"${pieces.join("")}"`;
    assert.equal(faultOf(json) === null, (JSON.parse(json) as string).isWellFormed());
  }));
});

Deno.test("bodyFault: a megabyte of escapes is looked at in no time worth naming", () => {
  const started = performance.now();
  assert.equal(faultOf(`"${String.raw`\\`.repeat(500_000)}${String.raw`\\ud83d`}"`), null);
  assert.notEqual(faultOf(`"${String.raw`\ud83d\ude00`.repeat(80_000)}${String.raw`\ud83d`}"`), null);
  assert.ok(performance.now() - started < 2_000);
});

Deno.test("queryFault: encoded bytes that are not UTF-8; a stray % is a %", () => {
  for (const bad of ["?a=caf%E9", "?a=%ED%A0%BD", "?a=%F0%9F%98", "?%ff=1", "?a=ok&b=%C3x"]) {
    assert.match(queryFault(bad) ?? "", /not UTF-8/, bad);
  }
  for (
    const good of ["", "?", "?a=caf%C3%A9", "?a=%F0%9F%98%80%20x", "?a=100%", "?a=100%+sure", "?a=%zz", "?a=%25E9"]
  ) {
    assert.equal(queryFault(good), null, good);
  }
});
