import type { AppDeps } from "@/lib/http/app-deps.ts";
import type { AppRouteHandler } from "@/lib/http/create-app.ts";
import { ApiError, badRequest, unavailable } from "@/lib/http/errors.ts";
import { type IdempotencyScope, idempotencyScope } from "@/lib/tasks/idempotency.ts";
import type { Rates } from "@/lib/metering/pricing.rules.ts";
import { outputLimit } from "@/lib/metering/quote.rules.ts";
import type { ChatAbility } from "@/lib/ai/port.ts";
import { type SessionRequest, withCharge } from "@/lib/sessions/requests.machine.ts";
import type { BegunChat, EndedChat } from "@/lib/sessions/chats.ts";
import type { Chat } from "@/lib/sessions/requests/ask.ts";
import type { Repeat } from "@/lib/sessions/repeats.ts";
import { quoteChat } from "@/lib/sessions/requests/begin.ts";
import type { VerifiedToken } from "@/lib/sessions/tokens.ts";
import type { LiveText } from "@/lib/metering/live-text.ts";
import { EMPTY_REQUEST, isBlank } from "@/lib/metering/request-text.rules.ts";
import { DeadlineExceeded, withDeadline } from "@/lib/clock.ts";
import { callerName } from "@/lib/ids.ts";
import { simulatedParts } from "@/lib/services.ts";
import { allowModel, isRepeat, notBegun, orHangUp, tokenOr402 } from "@/lib/http/spending.ts";
import { identityOf } from "@/middlewares/identity.ts";
import { completionBody, isUnset, readMessages, wrongField } from "./chat.body.ts";
import {
  type CompletionRequest,
  type CreateCompletionRoute,
  type GetModelRoute,
  type ListModelsRoute,
  MAX_OUTPUT_TOKENS,
  type ModelBody,
} from "./chat.routes.ts";
import { type ChunkStream, chunkStream } from "./chat.stream.ts";

/** How long a stream waits for its first piece before it begins with nothing (ms). */
const STATUS_MS = 3_000;
/** What closing takes after the model's own time is over (ms). */
const GRACE_MS = 10_000;

export const createCompletion: AppRouteHandler<CreateCompletionRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const body = c.req.valid("json");
  const asked = readChat(deps, body);
  const pubkey = await identityOf(c);
  const token = await tokenOr402(c, { session: null, pubkey, quote: () => quoteChat(deps, asked) });
  allowModel(token, asked.model);
  const scope = scopeOf(c.req.valid("header")["idempotency-key"], token, body);
  const caller = callerName(deps.recordIds, c.get("clientAddress"));
  const repeat = repeatOf(c.req.raw.headers, body);
  const begun = await deps.chats.begin(token, asked, { scope, pubkey, caller, repeat });
  if (!("request" in begun)) throw await notBegun(c, token, begun);
  const { request, ended, leave } = begun;
  c.header("X-Timmy-Request-Id", request.id);
  c.header("X-Timmy-Held-Sats", String(request.reservedSats));
  tellLowered(c, body.max_completion_tokens ?? body.max_tokens ?? null, request);
  if (body.stream) return await streamed(c, deps, begun, body.stream_options?.include_usage ?? false);

  const hangUp = () => leave(false);
  const done = await orHangUp(c.req.raw, hangUp, within(deps, ended)).catch((error) => {
    hangUp(); // what may still run would be written, and charged, for nobody
    throw error;
  });
  leave(true);
  refuseFailed(done.request);
  c.header("X-Timmy-Debited-Sats", String(done.request.chargeSats));
  c.header("X-Timmy-Balance-Sats", String(done.request.balanceSats));
  return c.json(completionBody(done.request, done.text, simulatedParts(deps)), 200);
};

/** The caller's key for this very body; null without one. */
const scopeOf = (key: string | undefined, token: VerifiedToken, body: unknown): IdempotencyScope | null =>
  key === undefined ? null : idempotencyScope({
    route: "POST /api/v1/chat/completions",
    credential: `${token.session} ${token.name}`,
    key,
    body,
  });

/** What makes two calls with the same messages one and the same, and whether the client calls this one a repeat. */
const repeatOf = (headers: Headers, { messages: _, ...rest }: CompletionRequest): Repeat => ({
  rest: JSON.stringify(rest),
  said: isRepeat(headers),
});

/** @throws {ApiError} 503 when the answer takes longer than the model may: it goes on, and its key finds it. */
async function within({ settings, clock }: AppDeps, ended: Promise<EndedChat>): Promise<EndedChat> {
  try {
    return await withDeadline(clock, settings.modelDeadlineMs * 2 + GRACE_MS, "an answer", ended);
  } catch (error) {
    if (!(error instanceof DeadlineExceeded)) throw error;
    const message = "The answer takes too long. With an Idempotency-Key it can be fetched later.";
    throw unavailable("still_running", message, 10);
  }
}

/**
 * The answer as it is written. Until the first piece an error can still be an answer with its own status; not for ever, since
 * only while something is written does everybody below notice that the caller has gone.
 */
async function streamed(
  c: Parameters<typeof createCompletion>[0],
  deps: AppDeps,
  { outcome, request, ended, leave }: Extract<BegunChat, { request: SessionRequest }>,
  includeUsage: boolean,
) {
  const live = relay(deps.liveText, request.id);
  const hangUp = () => leave(live.told());
  const patience = Promise.withResolvers<"slow">();
  const stopTimer = deps.clock.after(STATUS_MS, () => patience.resolve("slow"));
  const over = within(deps, ended).then((done) => ({ done }));
  over.catch(() => {}); // heard by whoever waits for it below, which may be nobody
  try {
    const first = await Promise.race([live.first, over, patience.promise]).finally(stopTimer);
    if (typeof first === "object") refuseFailed(first.done.request);
    const stream = chunkStream(request, deps.clock, hangUp);
    if (first === "slow") stream.open();
    const about = { includeUsage, simulated: simulatedParts(deps), requestId: c.get("requestId") };
    void pump(deps, stream, { live, ended: over, about, known: outcome === "known" }).finally(() => leave(true));
    return c.body(stream.body, 200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
  } catch (error) {
    live.stop();
    hangUp(); // what may still run would be written, and charged, for nobody
    throw error;
  }
}

/** Hands the pieces on as they come, and the end when it is written down. */
async function pump(
  deps: AppDeps,
  stream: ChunkStream,
  { live, ended, about, known }: {
    live: Relay;
    ended: Promise<{ done: EndedChat }>;
    about: Parameters<ChunkStream["end"]>[1];
    known: boolean;
  },
): Promise<void> {
  live.follow(stream.piece);
  try {
    const { done } = await ended;
    if (known && !live.told()) {
      // Answered before, under the same Idempotency-Key: the text is there as a whole.
      if (done.text) stream.piece(done.text);
    }
    stream.end(done.request, about);
  } catch (error) {
    // Nobody waits for this function: what it threw would end the process.
    deps.log.warn({ error }, "the end of a stream could not be read");
    stream.end(null, about);
  } finally {
    live.stop();
  }
}

/** Text between the model and a stream that does not exist yet. */
interface Relay {
  /** Resolves with the first piece. */
  first: Promise<"piece">;
  /** Gives what there is, and then each piece as it comes. */
  follow(listener: (piece: string) => void): void;
  told(): boolean;
  stop(): void;
}

function relay(liveText: LiveText, requestId: string): Relay {
  const early: string[] = [];
  let listener: ((piece: string) => void) | null = null;
  let told = false;
  const first = Promise.withResolvers<"piece">();
  const stop = liveText.follow(requestId, (piece) => {
    told = true;
    if (listener) return listener(piece);
    early.push(piece);
    first.resolve("piece");
  }, () => {});
  return {
    first: first.promise,
    follow(given) {
      listener = given;
      for (const piece of early.splice(0)) given(piece);
    },
    told: () => told,
    stop,
  };
}

/** What is asked, checked. @throws {ApiError} 400 for what cannot be honoured, 404 for an unknown model. */
function readChat(deps: AppDeps, body: CompletionRequest): Chat {
  const { chatModels } = deps.settings;
  const { model, max_tokens, max_completion_tokens, temperature, top_p, seed, stop } = body;
  if (!chatModels.includes(model)) {
    throw noSuchModel(chatModels);
  }
  const messages = readMessages(body.messages);
  const wanted = max_completion_tokens ?? max_tokens ?? null;
  if (max_tokens && max_completion_tokens && max_tokens !== max_completion_tokens) {
    throw wrongField("max_tokens", "says something else than max_completion_tokens; send one of them");
  }
  const topP = top_p === 1 ? null : top_p; // 1 is every model's own
  if (!isUnset(topP)) checkAbility(deps, model, "top_p");
  if (!isUnset(seed)) checkAbility(deps, model, "seed");
  if (messages.every(({ text }) => isBlank(text))) throw badRequest(EMPTY_REQUEST.code, EMPTY_REQUEST.message);
  return {
    model,
    messages,
    maxTokens: wanted === null ? null : Math.min(wanted, MAX_OUTPUT_TOKENS),
    streamed: body.stream === true,
    ...(!isUnset(temperature) && { temperature }),
    ...(!isUnset(topP) && { topP }),
    ...(!isUnset(seed) && { seed }),
    ...(!isUnset(stop) && { stop: typeof stop === "string" ? [stop] : stop }),
  };
}

/** @throws {ApiError} 400 for what the model does not take; it names models that do. */
function checkAbility({ model: models, settings }: AppDeps, model: string, ability: ChatAbility): void {
  if (models.can(model, ability)) return;
  const able = settings.chatModels.filter((id) => models.can(id, ability));
  const instead = able.length > 0 ? `, or ask ${able.join(" or ")}` : "";
  throw wrongField(ability, `is not taken by this model; leave it out${instead}`);
}

/**
 * The most output tokens that are sure to be paid for, in a header, when they are fewer than the caller asked for. Few more may be
 * written when the evaluation takes less than it might.
 */
function tellLowered(c: Parameters<typeof createCompletion>[0], wanted: number | null, request: SessionRequest): void {
  const { quote, reservedSats, grantedSats } = request;
  const { minOutputTokens } = c.get("deps").settings;
  const fundsSats = reservedSats + grantedSats;
  const limit = outputLimit(quote, { fundsSats, evaluation: quote.evaluation, minOutputTokens });
  if (wanted !== null && limit < wanted) c.header("X-Timmy-Max-Tokens", String(limit));
}

/** A request that nothing was answered to says so with an error of its own. @throws {ApiError} */
function refuseFailed(request: SessionRequest): void {
  const { id: requestId, chargeSats: debitedSats, state, reason, failure } = request;
  const details = { requestId, debitedSats };
  if (state === "rejected" && failure && failure.kind !== "refused") {
    // Asking the same again would fail again: no client is to repeat it by itself.
    const code = failure.kind === "too_long" ? "context_length_exceeded" : "upstream_refused";
    throw badRequest(code, withCharge(reason ?? "The model's provider refused it.", debitedSats), details);
  }
  if (state !== "failed") return;
  const message = request.errorMessage ?? "The request failed.";
  switch (failure?.kind) {
    case "not_found":
      throw new ApiError({ status: 404, code: "model_not_found", publicMessage: message, details });
    case "own_key":
    case "invalid":
      throw new ApiError({ status: 502, code: "upstream_misconfigured", publicMessage: message, details });
    default:
      throw unavailable("upstream_failed", message, (failure?.retryAfterMs ?? 5_000) / 1_000, { details });
  }
}

const noSuchModel = (served: readonly string[]) =>
  new ApiError({
    status: 404,
    code: "model_not_found",
    publicMessage: `There is no such model here. Use one of: ${served.join(", ")}.`,
    details: { fields: [{ field: "model", problem: "is none of those served here" }] },
  });

export const listModels: AppRouteHandler<ListModelsRoute, AppDeps> = async (c) =>
  c.json({ object: "list" as const, data: await modelBodies(c.get("deps")) }, 200);

export const getModel: AppRouteHandler<GetModelRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const { id } = c.req.valid("param");
  const found = (await modelBodies(deps)).find((model) => model.id === id);
  if (!found) throw noSuchModel(deps.settings.chatModels);
  return c.json(found, 200);
};

/** Every model with its prices. */
async function modelBodies({ settings, btcPrice, model, ratesFor }: AppDeps): Promise<ModelBody[]> {
  const btc = btcPrice.current();
  const factor = (1 + settings.price.marginPct / 100) / btc.usd * 1e8;
  const sats = (usd: number) => Number((usd * factor).toFixed(3));
  const { doMonthlyCostUsd, doMonthlyRequestVolume } = settings.price;
  return await Promise.all(settings.chatModels.map(async (id) => {
    const rates: Rates = await ratesFor(id);
    return {
      id,
      object: "model" as const,
      created: 0,
      owned_by: model.name,
      pricing: {
        inputSatsPer1k: sats(rates.inputUsdPer1k),
        outputSatsPer1k: sats(rates.outputUsdPer1k),
        requestSats: sats(doMonthlyCostUsd / doMonthlyRequestVolume),
        btcPriceUsd: btc.usd,
      },
    };
  }));
}
