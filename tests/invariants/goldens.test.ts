import assert from "node:assert/strict";
import { goldens } from "./goldens.ts";

/** Written anew with `deno task goldens`, in a commit that says why a figure changed. */
const FILE = new URL("../fixtures/goldens.json", import.meta.url);

Deno.test("goldens: 200 seeded histories move the same sats and charge the same as ever", async () => {
  const expected = JSON.parse(await Deno.readTextFile(FILE));
  const found = await goldens();
  assert.deepEqual(Object.keys(found), Object.keys(expected));
  for (const [name, golden] of Object.entries(found)) assert.deepEqual(golden, expected[name], name);
});
