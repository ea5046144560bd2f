/** Demo answers: short ones that the operator pays for, metered as everything else is. */
import { encodeRequest, evaluationOverheadTokens } from "@/lib/ai/prompts.ts";
import { mostTokens } from "@/lib/ai/tokens.rules.ts";
import { EVALUATION_MAX_OUTPUT_TOKENS } from "@/lib/ai/verdict.ts";
import { OPERATOR, REVENUE } from "@/lib/ledger/accounts.ts";
import { demoAnswer } from "@/lib/ledger/postings.ts";
import { MAX_SATS } from "@/lib/sats.rules.ts";
import type { CostSheet } from "@/lib/metering/close.rules.ts";
import { type Books, close } from "@/lib/metering/metering.ts";
import { estimateInputTokens } from "@/lib/metering/pricing.rules.ts";
import { type Quote, quoteOf } from "@/lib/metering/quote.rules.ts";
import { type Ran, run } from "@/lib/metering/run.ts";
import type { Services } from "@/lib/services.ts";
import { DEMO_OUTPUT_TOKENS } from "./demo.rules.ts";

const BOOKS: Books = { survives: "process", subsidyAccount: OPERATOR, revenue: REVENUE.work, feedsPool: false };
const NEVER = new AbortController().signal;

/** What a demo answer is made from. @throws Error for a model without a price, before anything is counted or asked */
export async function quoteDemo({ settings, btcPrice, ratesFor }: Services, request: string): Promise<Quote> {
  const config = settings.price;
  const inputTokens = estimateInputTokens(request, config);
  return quoteOf({
    inputTokens,
    mostInputTokens: mostTokens(request) + config.systemPromptTokens,
    outputTokens: DEMO_OUTPUT_TOKENS,
    maxOutputTokens: DEMO_OUTPUT_TOKENS,
    rates: await ratesFor(settings.workModel),
    evaluation: {
      inputTokens: evaluationOverheadTokens() + estimateInputTokens(encodeRequest(request), config),
      outputTokens: EVALUATION_MAX_OUTPUT_TOKENS,
      rates: await ratesFor(settings.evalModel),
    },
    config,
    btc: btcPrice.current(),
  });
}

/**
 * Asks the models: first whether, then what. It goes on when the caller has gone, since most of it is bought by then, and what
 * was bought is booked.
 */
export async function answerDemo({ model, settings }: Services, request: string, quote: Quote): Promise<Ran> {
  const { modelDeadlineMs: deadlineMs, evalModel, workModel, minOutputTokens } = settings;
  return await run({
    evaluate: (signal) => model.evaluate({ model: evalModel, request, signal, deadlineMs }),
    work: (limit) => model.work({ model: workModel, request, deadlineMs, ...limit }),
    prompt: () => request,
  }, { quote, fundsSats: MAX_SATS, minOutputTokens, gone: NEVER, stopped: NEVER, triedAgain: false });
}

/** Books what a demo answer cost: the operator pays for it as anybody does for work. @param id names the answer in the books */
export async function closeDemo(
  { store, clock, settings }: Services,
  id: string,
  quote: Quote,
  { outcome }: Ran,
): Promise<CostSheet> {
  const now = clock.now();
  return await store.transact(async (tx) => {
    const payer = { earned: (sats: number) => [demoAnswer(id, sats)] };
    const about = { id, session: null, pubkey: null, caller: null, requestHash: "", at: now };
    const metered = { ...about, quote, paidSats: MAX_SATS, grantedSats: 0, adviceSats: 0 };
    const { costSheet } = await close(tx, settings, payer, metered, { outcome, books: BOOKS, now });
    tx.event({ type: "demo", handle: id, state: outcome.end, sats: costSheet.chargeSats });
    return costSheet;
  });
}
