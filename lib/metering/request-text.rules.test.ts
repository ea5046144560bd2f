import assert from "node:assert/strict";
import { checkRequest } from "./request-text.rules.ts";

const codeOf = (text: string, maxChars = 500) => checkRequest(text, maxChars)?.code ?? null;

for (
  const [what, text, code] of [
    ["a question", "What is a hold invoice?", null],
    ["nothing", "", "request_empty"],
    ["one blank", " ", "request_blank"],
    ["blanks of every kind", " \t\r\n\u00a0\u2003\u3000\ufeff", "request_blank"],
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
