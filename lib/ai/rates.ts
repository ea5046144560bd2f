import { isLocalModel } from "./model-name.ts";

/** USD per 1,000 tokens. */
export interface Rates {
  inputUsdPer1k: number;
  outputUsdPer1k: number;
}

/** Rates from the configuration (economy.md §3): each is used for all models of its family. */
export interface RateOverrides {
  /** `HAIKU_INPUT_COST_PER_1K_TOKENS`, `HAIKU_OUTPUT_COST_PER_1K_TOKENS` */
  haiku: Rates;
  /** `SONNET_INPUT_COST_PER_1K_TOKENS`, `SONNET_OUTPUT_COST_PER_1K_TOKENS` */
  sonnet: Rates;
  /** `LOCAL_INPUT_COST_PER_1K_TOKENS`, `LOCAL_OUTPUT_COST_PER_1K_TOKENS`: may be 0, electricity is in the infrastructure's share */
  local: Rates;
}

/** The configured rates of a model's family; null for a model of none, whose price stands in a price list. */
export function configuredRates(model: string, overrides: RateOverrides): Rates | null {
  if (isLocalModel(model)) return overrides.local;
  const name = model.toLowerCase();
  for (const family of ["haiku", "sonnet"] as const) {
    if (name.includes(family)) return overrides[family];
  }
  return null;
}
