import { deepStrictEqual, match, strictEqual, throws } from "node:assert/strict";
import { lineOf, parseArgs } from "./hostile.ts";

Deno.test("parseArgs: everything unless told otherwise, and what it does not understand is named", () => {
  deepStrictEqual(parseArgs([]), { only: null, binary: null });
  deepStrictEqual(parseArgs(["--only", "fees", "--binary", "dist/timmy"]), { only: "fees", binary: "dist/timmy" });
  throws(() => parseArgs(["--kills", "5"]), /--kills:/);
  throws(() => parseArgs(["--only"]), /--only needs a value/);
});

Deno.test("lineOf: says first whether it held", () => {
  strictEqual(lineOf("x", { ok: true, figures: "1" }), "ok     x: 1");
  match(lineOf("x", { ok: false, figures: "1" }), /^FAILED x: 1$/);
});
