import type { AppDeps } from "@/lib/services.ts";
import type { AppRouteHandler } from "@/lib/http/create-app.ts";
import { ApiError, badRequest, unavailable } from "@/lib/http/errors.ts";
import { idempotencyScope } from "@/lib/tasks/idempotency.ts";
import type { Rates } from "@/lib/metering/pricing.rules.ts";
import type { SessionRequest } from "@/lib/sessions/requests.machine.ts";
import type { Ask } from "@/lib/sessions/requests.ts";
import { simulatedParts } from "@/lib/http/simulated-parts.ts";
import { allowModel, notBegun } from "@/lib/http/spending.ts";
import { getResult } from "@/lib/sessions/sessions.rows.ts";
import { identityOf } from "@/middlewares/identity.ts";
import { completionBody, readMessages } from "./chat.body.ts";
import type {
  CompletionRequest,
  CreateCompletionRoute,
  GetModelRoute,
  ListModelsRoute,
  ModelBody,
} from "./chat.routes.ts";
import { type ChunkStream, chunkStream } from "./chat.stream.ts";

type Chat = Extract<Ask, { mode: "chat" }>;

export const createCompletion: AppRouteHandler<CreateCompletionRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const token = c.get("token");
  const body = c.req.valid("json");
  const asked = readChat(deps, body);
  allowModel(token, asked.model);

  const key = c.req.valid("header")["idempotency-key"];
  const scope = key === undefined ? null : idempotencyScope({
    route: "POST /api/v1/chat/completions",
    credential: `${token.session} ${token.name}`,
    key,
    body,
  });
  const gone = new AbortController();
  const leave = () => gone.abort(new Error("the caller went away"));
  // A caller with a key may come back for the answer: then it is worth finishing.
  if (!scope) c.req.raw.signal.addEventListener("abort", leave, { once: true });
  const live = body.stream ? liveText() : null;
  const begun = await deps.sessionRequests.begin(
    token,
    { ...asked, gone: gone.signal, ...(live && { onText: live.onText }) },
    { scope, pubkey: await identityOf(c) },
  );
  if (!("request" in begun)) {
    throw notBegun(begun, deps.recordIds.idOf("session", token.session), deps.settings.sessions);
  }
  const { request } = begun;
  c.header("X-Timmy-Request-Id", request.id);
  c.header("X-Timmy-Held-Sats", String(request.reservedSats));
  const waitMs = deps.settings.modelDeadlineMs * 2 + GRACE_MS;
  const ended = deps.sessionRequests.ended(request, waitMs);
  const simulated = simulatedParts(deps);
  try {
    if (live) {
      // Until the first piece an error can still be an answer with its own status. Not for ever: only while something is
      // written does everybody below notice that the caller has gone.
      const patience = Promise.withResolvers<"slow">();
      const stopTimer = deps.clock.after(STATUS_MS, () => patience.resolve("slow"));
      const piece = live.first.then(() => "piece" as const);
      const first = await Promise.race([piece, ended.then(() => null), patience.promise]).finally(stopTimer);
      if (first === null) refuseFailed(await ended);
      // What a caller with a key left goes on, too: they find it under their key.
      const stream = chunkStream(request, deps.clock, scope ? new AbortController() : gone);
      if (first === "slow") stream.open();
      const about = {
        includeUsage: body.stream_options?.include_usage ?? false,
        simulated,
        requestId: c.get("requestId"),
      };
      void pump(deps, stream, live, ended, about);
      return c.body(stream.body, 200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
    }
    const done = await ended;
    refuseFailed(done);
    const result = await getResult(deps.store, done.id);
    c.header("X-Timmy-Debited-Sats", String(done.chargeSats));
    c.header("X-Timmy-Balance-Sats", String(done.balanceSats));
    return c.json(completionBody(done, result?.text ?? null, simulated), 200);
  } catch (error) {
    if (!scope) leave(); // what may still run would be written, and paid, for nobody
    throw error;
  } finally {
    if (!live) c.req.raw.signal.removeEventListener("abort", leave);
  }
};

/** How long a stream waits for its first piece before it begins with nothing (ms). */
const STATUS_MS = 3_000;
/** What settling takes after the model's own time is over (ms). */
const GRACE_MS = 10_000;

/** Hands the pieces on as they come, and the end when it has been settled. */
async function pump(
  deps: AppDeps,
  stream: ChunkStream,
  live: LiveText,
  ended: Promise<SessionRequest>,
  about: Parameters<ChunkStream["end"]>[1],
): Promise<void> {
  live.follow(stream.piece);
  try {
    const done = await ended;
    if (!live.told()) {
      // Answered before, under the same Idempotency-Key: the text is there as a whole.
      const result = await getResult(deps.store, done.id);
      if (result) stream.piece(result.text);
    }
    stream.end(done, about);
  } catch (error) {
    // Nobody waits for this function: what it threw would end the process.
    deps.log.warn({ error }, "the end of a stream could not be read");
    stream.end(null, about);
  }
}

interface LiveText {
  onText(piece: string): void;
  /** Resolves with the first piece. */
  first: Promise<string>;
  /** Gives what there is, and then each piece as it comes. */
  follow(listener: (piece: string) => void): void;
  told(): boolean;
}

/** Text between the model and a stream that does not exist yet. */
function liveText(): LiveText {
  const early: string[] = [];
  let listener: ((piece: string) => void) | null = null;
  let told = false;
  const first = Promise.withResolvers<string>();
  return {
    onText(piece) {
      told = true;
      if (listener) return listener(piece);
      early.push(piece);
      first.resolve(piece);
    },
    first: first.promise,
    follow(given) {
      listener = given;
      for (const piece of early.splice(0)) given(piece);
    },
    told: () => told,
  };
}

/** What is asked, checked. @throws {ApiError} 400 for what cannot be honoured, 404 for an unknown model. */
function readChat(deps: AppDeps, body: CompletionRequest): Omit<Chat, "gone" | "onText"> {
  const { chatModels } = deps.settings;
  const { model, max_tokens, max_completion_tokens, temperature, stop } = body;
  if (!chatModels.includes(model)) {
    throw noSuchModel(chatModels);
  }
  const messages = readMessages(body.messages);
  if (max_tokens && max_completion_tokens && max_tokens !== max_completion_tokens) {
    const problem = "says something else than max_completion_tokens; send one of them";
    throw badRequest("validation_failed", `The request is not valid: max_tokens ${problem}.`, {
      fields: [{ field: "max_tokens", problem }],
    });
  }
  if (body.stream_options && !body.stream) {
    throw badRequest("validation_failed", "stream_options is only allowed with stream: true.", {
      fields: [{ field: "stream_options", problem: "is only allowed with stream: true" }],
    });
  }
  if (messages.every(({ text }) => text.trim() === "")) {
    throw badRequest("empty_request", "The messages hold no text. Send at least one with content.");
  }
  return {
    mode: "chat",
    model,
    messages,
    maxTokens: max_completion_tokens ?? max_tokens ?? null,
    ...(typeof temperature === "number" && { temperature }),
    ...(stop !== undefined && stop !== null && { stop: typeof stop === "string" ? [stop] : stop }),
  };
}

/** A request that failed was not charged, and says so with an error of its own. */
function refuseFailed(request: SessionRequest): void {
  if (request.state === "running") {
    throw unavailable(
      "still_running",
      "The answer takes too long. With an Idempotency-Key it can be fetched later.",
      10,
    );
  }
  if (request.state !== "failed") return;
  const message = request.errorMessage ?? "The request failed. Nothing was charged.";
  throw request.causedByRequest
    ? badRequest("upstream_refused", message, { requestId: request.id, debitedSats: 0 })
    : unavailable("upstream_failed", message, 5, { details: { requestId: request.id, debitedSats: 0 } });
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
