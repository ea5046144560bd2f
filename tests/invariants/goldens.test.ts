import assert from "node:assert/strict";
import { goldens } from "./goldens.ts";

/** Written anew with `deno task goldens`, in a commit that says why a figure changed. */
const FILE = new URL("../fixtures/goldens.json", import.meta.url);
/** A quarter of the 200; all of them in a long run of the interleavings (`deno task invariants`). */
const PART = Number(Deno.env.get("TIMMY_INTERLEAVINGS") ?? 0) >= 1_000 ? 1 : 0.25;

Deno.test(`goldens: ${200 * PART} seeded histories move the same sats and charge the same as ever`, async () => {
  const expected: Record<string, unknown> = JSON.parse(await Deno.readTextFile(FILE));
  const found = await goldens(PART);
  assert.equal(Object.keys(expected).length, 200);
  assert.equal(Object.keys(found).length, 200 * PART);
  for (const [name, golden] of Object.entries(found)) assert.deepEqual(golden, expected[name], name);
});
