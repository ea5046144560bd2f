import assert from "node:assert/strict";
import { createFakeWorld } from "@/tests/harness/fake-world.ts";

Deno.test("GET /api/estimate: price, tokens and where the BTC price is from, computed by hand", async () => {
  const fake = await createFakeWorld(1);
  const { status, body } = await fake.call("GET", `/api/estimate?request=${"a".repeat(40)}`);
  assert.equal(status, 200);
  // 40 characters are 10 tokens, and 50 of our own; up to 100 characters cost 200 tokens of output.
  const usd = (60 * 0.003 / 1_000 + 200 * 0.015 / 1_000 + 100 / 1_000) * 1.25;
  assert.ok(Math.abs(body.estimatedCostUsd - usd) < 1e-12);
  const sats = Math.ceil(usd / 100_000 * 1e8);
  assert.deepEqual(body, {
    estimatedSats: sats,
    p50Sats: sats,
    p90Sats: sats,
    confidence: 10,
    sampleCount: 0,
    estimatedCostUsd: body.estimatedCostUsd,
    evalFeeSats: 10,
    tokenEstimate: { inputTokens: 60, outputTokens: 200 },
    model: "claude-sonnet-4-6",
    btcPriceUsd: 100_000,
    btcPriceSource: "test",
    btcPriceAgeSeconds: 0,
    stubMode: true,
  });
  fake.discard();
});

Deno.test("GET /api/estimate: writes nothing, however often it is asked", async () => {
  const fake = await createFakeWorld(1);
  const before = [await fake.world.store.version(), await fake.world.walletStore.version()];
  for (const request of ["a", "a".repeat(101), "a".repeat(301), "a".repeat(500)]) {
    assert.equal((await fake.call("GET", `/api/estimate?request=${request}`)).status, 200);
  }
  assert.deepEqual([await fake.world.store.version(), await fake.world.walletStore.version()], before);
  fake.discard();
});

Deno.test("GET /api/estimate: a longer request never costs less", async () => {
  const fake = await createFakeWorld(1);
  let last = 0;
  for (const length of [1, 100, 101, 300, 301, 500]) {
    const { body } = await fake.call("GET", `/api/estimate?request=${"a".repeat(length)}`);
    assert.ok(body.estimatedSats >= last, `${length} characters: ${body.estimatedSats} after ${last}`);
    last = body.estimatedSats;
  }
  fake.discard();
});
