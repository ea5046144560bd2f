import assert from "node:assert/strict";
import fc from "fast-check";
import { compareVersions, isVersion } from "./version.rules.ts";

/** From the oldest to the newest; the middle is the row of Semantic Versioning 2.0.0, §11. */
const ROW = [
  "0.0.0-0",
  "0.0.0",
  "0.0.9",
  "0.0.10",
  "0.1.0",
  "0.2.0",
  "0.10.0",
  "1.0.0-1",
  "1.0.0-2",
  "1.0.0-10",
  "1.0.0-alpha",
  "1.0.0-alpha.1",
  "1.0.0-alpha.beta",
  "1.0.0-beta",
  "1.0.0-beta.2",
  "1.0.0-beta.11",
  "1.0.0-rc.1",
  "1.0.0",
  "1.0.1",
  "2.0.0",
  "9007199254740992.0.0",
  "9007199254740993.0.0",
];

Deno.test("versions: each is newer than all before it, and as new as itself", () => {
  ROW.forEach((a, i) =>
    ROW.forEach((b, j) => assert.equal(Math.sign(compareVersions(a, b)), Math.sign(i - j), `${a} ${b}`))
  );
});

Deno.test("versions: sorting gives one row, whatever the order before", () => {
  fc.assert(fc.property(fc.shuffledSubarray(ROW, { minLength: ROW.length }), (mixed) => {
    assert.deepEqual(mixed.toSorted(compareVersions), ROW);
  }));
});

Deno.test("versions: what is none has no order", () => {
  for (
    const text of [
      "",
      "1",
      "1.0",
      "v1.0.0",
      "1.0.0.0",
      "01.0.0",
      "1.0.0-",
      "1.0.0-01",
      "1.0.0-a..b",
      "1.0.0+build",
      "1.0.0 ",
      "-1.0.0",
      "1.0.0\n",
    ]
  ) {
    assert.equal(isVersion(text), false, JSON.stringify(text));
    assert.throws(() => compareVersions("1.0.0", text), /not a version/);
  }
});
