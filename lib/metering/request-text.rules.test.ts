import assert from "node:assert/strict";
import { checkRequest } from "./request-text.rules.ts";

const codeOf = (text: string, maxChars = 500) => checkRequest(text, maxChars)?.code ?? null;

for (
  const [what, text, code] of [
    ["a question", "What is a hold invoice?", null],
    ["nothing", "", "request_empty"],
    ["one blank", " ", "request_empty"],
    ["blanks of every kind", " \t\r\n\u00a0\u2003\u3000\ufeff", "request_empty"],
    ["a zero-width space", "\u200b", "request_empty"],
    ["joiners and a byte order mark", "\u200c\u200d\u2060\ufeff", "request_empty"],
    ["a soft hyphen and a combining joiner", "\u00ad\u034f", "request_empty"],
    ["variation selectors of both planes", "\ufe0f\u{e0100}", "request_empty"],
    ["Hangul fillers", "\u115f\u1160\u3164\uffa0", "request_empty"],
    ["directions, tags and the empty Braille pattern", "\u202e\u061c\u{e0041}\u2800", "request_empty"],
    ["control characters", "\u0000\u0007\u001b\u007f\u0085", "request_empty"],
    ["a letter among what is invisible", "\u200b\u00ada\u200d", null],
    ["an emoji with its selector and joiner", "❤\ufe0f\u200d🔥", null],
    ["one mark of its own", "\u0301", null],
    ["a sign of numbers that Unicode calls a format", "\u0600", null],
    ["a character no version of Unicode has yet", "\u0378", null],
    ["one letter between blanks", "  a  ", null],
    ["500 letters", "a".repeat(500), null],
    ["501 letters", "a".repeat(501), "request_too_long"],
    ["500 emoji of two units each", "🦊".repeat(500), null],
    ["501 emoji", "🦊".repeat(501), "request_too_long"],
    ["499 letters and an emoji", "a".repeat(499) + "🦊", null],
    ["500 letters and an emoji", "a".repeat(500) + "🦊", "request_too_long"],
    ["500 halves of broken pairs", "\ud83e".repeat(500), null],
    ["501 blanks: too long is said first", " ".repeat(501), "request_too_long"],
    ["500 characters, blanks at both ends counted", ` ${"a".repeat(499)} `, "request_too_long"],
    ["two million letters", "a".repeat(2_000_000), "request_too_long"],
  ] as const
) {
  Deno.test(`checkRequest: ${what}: ${code ?? "fine"}`, () => assert.equal(codeOf(text), code));
}

Deno.test("checkRequest: the limit is the one that is given, and the message names it", () => {
  assert.equal(codeOf("abc", 3), null);
  assert.match(checkRequest("abcd", 3)?.message ?? "", /longer than 3 characters/);
});
