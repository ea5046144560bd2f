import assert from "node:assert/strict";
import fc from "fast-check";
import { hasProgram, shell } from "@/tests/harness/shell.ts";
import { readSums, writeSums } from "./sums.ts";

const [A, B] = ["a".repeat(64), "b".repeat(64)];

Deno.test("sums: what is written is read, whatever the order it was given in", () => {
  const hash = fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: 64, maxLength: 64 });
  fc.assert(
    fc.property(fc.dictionary(fc.stringMatching(/^[a-z0-9][A-Za-z0-9._-]{0,20}$/), hash, { minKeys: 1 }), (hashes) => {
      const map = new Map(Object.entries(hashes));
      assert.deepEqual(Object.fromEntries(readSums(writeSums(map))), Object.fromEntries(map));
    }),
  );
});

Deno.test("sums: other folders, other spellings, names twice, and nothing at all are refused", () => {
  const bad = [
    "",
    `${A}  f`,
    `${A} *f\n`,
    `${A} f\n`,
    `${A.toUpperCase()}  f\n`,
    `${A.slice(1)}  f\n`,
    `${A}  ../f\n`,
    `${A}  a/f\n`,
    `${A}  .f\n`,
    `${A}  -f\n`,
    `${A}  f\n\n`,
    `${A}  f\r\n`,
    `\\${A}  f\n`,
    `${A}  f\n${A}  f\n`,
    `${A}  f\n${B}  f\n`,
    `${A}  g\n${A}  f\n`,
    `${A}  f\n# comment\n`,
  ];
  for (const text of bad) {
    assert.throws(() => readSums(text), { name: "Refused", reason: "sums" }, JSON.stringify(text));
  }
});

Deno.test({
  name: "sums: sha256sum writes and checks the same text (needs sha256sum)",
  ignore: !hasProgram("sha256sum"),
  async fn() {
    const folder = await Deno.makeTempDir();
    await Deno.writeTextFile(`${folder}/f.b`, "x");
    await Deno.writeTextFile(`${folder}/f-a`, "y");
    const theirs = await shell("LC_ALL=C sha256sum f-a f.b", folder);
    assert.equal(writeSums(readSums(theirs)), theirs);
    await Deno.remove(folder, { recursive: true });
  },
});
