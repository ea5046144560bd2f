import assert from "node:assert/strict";
import { ratesFor } from "./prices.ts";
import type { RateOverrides } from "./rates.ts";

const overrides: RateOverrides = {
  haiku: { inputUsdPer1k: 0.0008, outputUsdPer1k: 0.004 },
  sonnet: { inputUsdPer1k: 0.003, outputUsdPer1k: 0.015 },
  local: { inputUsdPer1k: 0, outputUsdPer1k: 0.0001 },
};
const AT = Date.UTC(2026, 10, 1);

Deno.test("ratesFor: haiku and sonnet models of any version use the configured rates", () => {
  for (const model of ["claude-haiku-4-5", "claude-3-5-haiku-20241022", "anthropic/Claude-Haiku-9"]) {
    assert.deepEqual(ratesFor(model, overrides, AT), { ...overrides.haiku, source: "env" });
  }
  for (const model of ["claude-sonnet-4-6", "claude-3-7-sonnet-latest"]) {
    assert.deepEqual(ratesFor(model, overrides, AT), { ...overrides.sonnet, source: "env" });
  }
});

Deno.test("ratesFor: local models use the local rates, whatever their name and even at zero", () => {
  for (const model of ["local/smollm2-135m", "local/haiku-writer", "local/gpt-4o"]) {
    assert.deepEqual(ratesFor(model, overrides, AT), { ...overrides.local, source: "env" });
  }
});

Deno.test("ratesFor: other models use the bundled price data, in USD per 1,000 tokens", () => {
  assert.deepEqual(ratesFor("gpt-4o", overrides, AT), {
    inputUsdPer1k: 0.0025,
    outputUsdPer1k: 0.01,
    source: "genai-prices",
  });
  assert.deepEqual(ratesFor("claude-opus-4-5", overrides, AT), {
    inputUsdPer1k: 0.005,
    outputUsdPer1k: 0.025,
    source: "genai-prices",
  });
});

Deno.test("ratesFor: a model without a known price is an error that says what to set, never free", () => {
  // The last two have a price of zero: for the output, since one writes nothing, and for tokens at all.
  for (const model of ["", "nonesuch", "claude-nonesuch-9", "haik", "gemini-embedding-001", "whisper-1"]) {
    assert.throws(
      () => ratesFor(model, overrides, AT),
      (error: Error) =>
        error.message.includes(`"${model}"`) && /WORK_MODEL/.test(error.message) &&
        /LOCAL_INPUT_COST_PER_1K_TOKENS/.test(error.message),
    );
  }
});

Deno.test({
  name: "ratesFor: asks nobody: it works without any permission",
  permissions: "none",
  fn() {
    assert.equal(ratesFor("gpt-4o", overrides).source, "genai-prices");
  },
});
