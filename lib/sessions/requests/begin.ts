/** How a request of a session begins, in the caller's transaction: known already, or quoted and reserved for. */
import { encodeRequest, evaluationOverheadTokens } from "@/lib/ai/prompts.ts";
import { mostTokens } from "@/lib/ai/tokens.rules.ts";
import { EVALUATION_MAX_OUTPUT_TOKENS } from "@/lib/ai/verdict.ts";
import { type Payer, reserve } from "@/lib/metering/metering.ts";
import { priorOutputTokens } from "@/lib/metering/pricing.rules.ts";
import { type Quote, quoteOf } from "@/lib/metering/quote.rules.ts";
import { newOrderedId } from "@/lib/ids.ts";
import type { Services } from "@/lib/services.ts";
import type { Tx } from "@/lib/store/store.ts";
import { type IdempotencyScope, recall } from "@/lib/tasks/idempotency.ts";
import { chatPayer, requestBooks, sessionPayer } from "../payer.ts";
import { type Beginning, newRequest, type SessionRequest } from "../requests.machine.ts";
import { isOpen, type Session } from "../sessions.machine.ts";
import { getRequest, getSession, leftOf, spendable } from "../sessions.rows.ts";
import type { VerifiedToken } from "../tokens.ts";
import { type Asking, type Begun, type Chat, type NotBegun, textOf } from "./ask.ts";

/** What a text that a session asks would take. Its input is counted at the most it can be: what is charged never exceeds it. */
async function quoteText(
  { settings, btcPrice, ratesFor }: Pick<Services, "settings" | "btcPrice" | "ratesFor">,
  ask: { text: string; model: string; outputTokens: number; maxOutputTokens: number; evaluated: boolean },
): Promise<Quote> {
  const { text, model, outputTokens, maxOutputTokens, evaluated } = ask;
  const inputTokens = mostTokens(text) + settings.price.systemPromptTokens;
  return quoteOf({
    inputTokens,
    mostInputTokens: inputTokens,
    outputTokens,
    maxOutputTokens,
    rates: await ratesFor(model),
    evaluation: evaluated
      ? {
        inputTokens: evaluationOverheadTokens() + mostTokens(encodeRequest(text)),
        outputTokens: EVALUATION_MAX_OUTPUT_TOKENS,
        rates: await ratesFor(settings.evalModel),
      }
      : null,
    config: settings.price,
    btc: btcPrice.current(),
  });
}

/** A request of this token as it would begin, under a new id. */
export function requestOf(
  { clock, random }: Pick<Services, "clock" | "random">,
  { session, name, allowances }: VerifiedToken,
  { pubkey = null, caller = null }: Asking,
  what: Pick<Beginning, "mode" | "model" | "evalModel" | "text" | "quote" | "requestHash">,
): SessionRequest {
  const now = clock.now();
  const by = { session, token: name, allowances: allowances.map(({ name }) => name), pubkey, caller };
  return newRequest({ id: newOrderedId(random, now), ...by, ...what }, now);
}

/** What a request reserved, ready to be written. */
type Begins = { outcome: "begins"; session: Session; request: SessionRequest };

/**
 * Looks whether the caller's key began it before, and else sets aside what it may cost.
 * @param fresh the request as it would begin @param now ms since the epoch
 */
export async function beginIn(
  tx: Tx,
  settings: Services["settings"],
  fresh: SessionRequest,
  { token, scope, now }: { token: VerifiedToken; scope: IdempotencyScope | null; now: number },
): Promise<Begins | Exclude<Begun, { outcome: "begun" }>> {
  const taken = scope && await recall(tx, scope, now);
  if (taken?.outcome === "conflict") return { outcome: "conflict" };
  if (taken?.outcome === "known") {
    const before = await getRequest(tx, token.session, taken.ref);
    if (!before) throw new Error("an idempotency key names a request that does not exist");
    return { outcome: "known", request: before };
  }
  const session = await getSession(tx, token.session);
  if (!session || !isOpen(session, now)) return { outcome: "ended", session };
  // Whoever paid for a top-up, or was handed a narrowed token, has what that is worth: not the help that the session's key
  // has earned, nor its name.
  const pubkey = token.owner ? session.pubkey ?? fresh.pubkey : fresh.pubkey;
  const { id, quote, requestHash, mode } = fresh;
  const paused = session.state === "paused";
  const about = { session: session.handle, requestId: id, allowances: token.allowances, paused, now };
  const [payer, survives] = mode === "chat"
    ? [chatPayer(about), "process" as const]
    : [sessionPayer(about) as Payer, "crash" as const];
  const recipient = { id, session: session.handle, pubkey, requestHash };
  const reserved = await reserve(tx, settings, payer, recipient, { quote, books: requestBooks(id, survives), now });
  if (reserved.outcome === "exhausted") return reserved;
  if (reserved.outcome !== "reserved") {
    const { priceSats } = reserved;
    return await notCovered(tx, {
      session,
      token,
      quote,
      priceSats,
      minimumBalanceSats: settings.sessions.minBalanceSats,
    });
  }
  const { outcome: _, ...parts } = reserved;
  return { outcome: "begins", session, request: { ...fresh, pubkey, ...parts } };
}

/** Whether a payment would help: a limit that the token's holder added stays, whatever is paid. */
async function notCovered(
  tx: Tx,
  { session, token, quote, priceSats, minimumBalanceSats }: {
    session: Session;
    token: VerifiedToken;
    quote: Quote;
    priceSats: number;
    minimumBalanceSats: number;
  },
): Promise<NotBegun> {
  const least = async (paidFor: boolean) => {
    const some = token.allowances.filter((allowance) => allowance.paidFor === paidFor);
    return Math.min(Infinity, ...await Promise.all(some.map((allowance) => leftOf(tx, allowance))));
  };
  const leftSats = await least(false);
  if (leftSats < priceSats) return { outcome: "capped", leftSats, priceSats };
  const balanceSats = Math.min(await spendable(tx, session.handle), await least(true));
  const paused = session.state === "paused";
  return { outcome: "short", paused, balanceSats, priceSats, minimumBalanceSats, quote };
}

/** What a conversation would take. */
export function quoteChat(
  services: Pick<Services, "settings" | "btcPrice" | "ratesFor">,
  { messages, model, maxTokens }: Pick<Chat, "messages" | "model" | "maxTokens">,
): Promise<Quote> {
  const { chatOutputTokens, chatEvaluation: evaluated } = services.settings;
  const outputTokens = maxTokens ?? chatOutputTokens;
  return quoteText(services, {
    text: textOf(messages),
    model,
    outputTokens,
    maxOutputTokens: outputTokens,
    evaluated,
  });
}

/** No answer to a `request` is longer than so many times the expected length, whatever it costs. */
const FREE_OUTPUT_FACTOR = 4;

/** What one text for WORK_MODEL would take. */
export function quoteRequest(
  services: Pick<Services, "settings" | "btcPrice" | "ratesFor">,
  text: string,
): Promise<Quote> {
  const { price, workModel: model } = services.settings;
  const outputTokens = priorOutputTokens(text, price);
  const maxOutputTokens = outputTokens * FREE_OUTPUT_FACTOR;
  return quoteText(services, { text, model, outputTokens, maxOutputTokens, evaluated: true });
}
