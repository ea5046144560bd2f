import assert from "node:assert/strict";
import { flip, regions } from "./testing/flips.ts";

const SEED = 20_261_128;
/** All of it takes half an hour: `deno task attest:flips`. This much takes a few seconds. */
const PART = 0.0015;
/** What costs no signature is tried at four times the rate. */
const CHEAP = /padding|PEM/;

Deno.test("flips: a sample of turned bits of everything that is signed, and of framing, is refused to the last one", async () => {
  for (const region of regions()) {
    const { name, accepted, refused, tried } = await flip(region, CHEAP.test(region.name) ? 4 * PART : PART, SEED);
    assert.deepEqual([refused, accepted], [tried, []], `${name}, seed ${SEED}`);
    assert.ok(tried > 7, `${name}: ${tried} tried`);
  }
});
