import { calcPrice } from "@pydantic/genai-prices";
import { configuredRates, type RateOverrides, type Rates } from "./rates.ts";

/**
 * What a model costs, in USD per 1,000 tokens: `local/…` by the local rates, names that contain `haiku` or `sonnet` by
 * theirs, all others from the data of `@pydantic/genai-prices` as bundled (it is never updated over the network).
 * Models with tiers have the rate of the lowest tier: requests here are far from the next one.
 * @param atMs milliseconds since the epoch, for prices that change on a date; without it, the package reads its clock.
 * @throws {Error} for a model nobody knows a price of: a model must not be free because it is new.
 */
export function ratesFor(
  model: string,
  overrides: RateOverrides,
  atMs?: number,
): Rates & { source: "env" | "genai-prices" } {
  const configured = configuredRates(model, overrides);
  if (configured) return { ...configured, source: "env" };
  const options = atMs === undefined ? {} : { timestamp: new Date(atMs) };
  const price = calcPrice({ input_tokens: 1000, output_tokens: 1000 }, model, options);
  if (!price || !(price.input_price > 0) || !(price.output_price > 0)) {
    throw new Error(
      `no price is known for the model "${model}": set EVAL_MODEL or WORK_MODEL to a model with a known price, ` +
        `to a haiku or sonnet model priced by HAIKU_… or SONNET_INPUT_COST_PER_1K_TOKENS and …_OUTPUT_COST_PER_1K_TOKENS, ` +
        `or to local/<id> priced by LOCAL_INPUT_COST_PER_1K_TOKENS and LOCAL_OUTPUT_COST_PER_1K_TOKENS`,
    );
  }
  return { inputUsdPer1k: price.input_price, outputUsdPer1k: price.output_price, source: "genai-prices" };
}
