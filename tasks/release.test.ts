import assert from "node:assert/strict";
import { shell } from "../tests/harness/shell.ts";
import { optionsOf } from "./release.ts";
import { differences } from "./release-twice.ts";

Deno.test("release: its options, and what is none", () => {
  assert.deepEqual(optionsOf([]), { out: "dist" });
  assert.deepEqual(optionsOf(["--out", "x"]), { out: "x" });
  for (const args of [["--out"], ["x"], ["--none", "x"], ["--out", "x", "y"]]) assert.equal(optionsOf(args), null);
});

Deno.test("release:twice: a file that differs, or that one has and the other has not, is found", () => {
  const one = new Map([["a", "1"], ["b", "2"]]);
  assert.deepEqual(differences(one, new Map(one)), []);
  assert.deepEqual(differences(one, new Map([["a", "1"], ["b", "3"]])), ["b"]);
  assert.deepEqual(differences(one, new Map([["a", "1"]])), ["b"]);
  assert.deepEqual(differences(new Map(), one), ["a", "b"]);
});

Deno.test("reproduce.sh: what it cannot do it says, before it makes anything", async () => {
  const folder = await Deno.makeTempDir();
  const script = new URL("../scripts/reproduce.sh", import.meta.url).pathname;
  const says = (what: RegExp, ...args: string[]) =>
    assert.rejects(shell(`sh ${script} ${args.join(" ")}`, folder), what);
  await says(/usage/);
  await says(/there is no \.\/SHA256SUMS$/m, ".");
  await Deno.writeTextFile(`${folder}/SHA256SUMS`, "");
  await says(/names the commit/, ".");
  await Deno.writeTextFile(`${folder}/SHA256SUMS.minisig`, "trusted comment: timmy 1.0.0\n");
  await says(/names no commit/, ".");
  await Deno.remove(folder, { recursive: true });
});
