import { mostTokens } from "@/lib/ai/tokens.rules.ts";
import { estimateInputTokens, priorOutputTokens } from "@/lib/metering/pricing.rules.ts";
import { type Quote, quoteOf } from "@/lib/metering/quote.rules.ts";
import type { Services } from "@/lib/services.ts";

/** No answer is longer than so many times the expected length, whatever it costs: a model whose output is free has time that is not. */
const FREE_OUTPUT_FACTOR = 4;

/** The price of a job's work now, its evaluation left out, which is paid by its fee. @throws Error for a model without a price */
export async function quoteJob(
  { settings, btcPrice, ratesFor }: Pick<Services, "settings" | "btcPrice" | "ratesFor">,
  { request, workModel }: { request: string; workModel: string },
): Promise<Quote> {
  const config = settings.price;
  const inputTokens = estimateInputTokens(request, config);
  const outputTokens = priorOutputTokens(request, config);
  return quoteOf({
    inputTokens,
    mostInputTokens: mostTokens(request) + config.systemPromptTokens,
    outputTokens,
    maxOutputTokens: outputTokens * FREE_OUTPUT_FACTOR,
    rates: await ratesFor(workModel),
    evaluation: null,
    config,
    btc: btcPrice.current(),
  });
}
