/** Who pays for a request, and what is answered when nobody does: the same for a session's own routes and for /api/v1. */
import type { Context } from "hono";
import { invoiceBody } from "@/lib/payments/invoices.rows.ts";
import { failuresBorneAgainAt } from "@/lib/metering/free-failures.ts";
import type { Quote } from "@/lib/metering/quote.rules.ts";
import { depositFor, type DepositTerms, mostOutputTokens } from "@/lib/sessions/deposit.rules.ts";
import type { NotBegun } from "@/lib/sessions/requests/ask.ts";
import { caveatFailed, type TokenProblem, type VerifiedToken } from "@/lib/sessions/tokens.ts";
import { type Challenge, challengeNew, challengeOf } from "@/lib/sessions/topups.ts";
import type { AppDeps } from "./app-deps.ts";
import type { AppEnv } from "./app-env.ts";
import {
  ApiError,
  badRequest,
  keyTaken,
  paymentRequired,
  tooManyRequests,
  unauthorized,
  unavailable,
} from "./errors.ts";

type RequestContext = Pick<Context<AppEnv<AppDeps>>, "get">;
type Made = Extract<Challenge, { outcome: "challenge" }>;

/** 401 for a token that is not good; 403 for a good one with a caveat that does not allow this. */
export const tokenRefused = ({ code, message: publicMessage, details }: TokenProblem): ApiError =>
  new ApiError({ status: code === "caveat_failed" ? 403 : 401, code, publicMessage, details });

/** 403 unless the token may ask this model. @throws {ApiError} */
export function allowModel(token: VerifiedToken, model: string): void {
  if (token.models === null || token.models.has(model)) return;
  throw tokenRefused(caveatFailed("model", "does not allow this model", { allowed: [...token.models] }));
}

/**
 * The token of a request whose body was found good, for there is no other reason left to refuse it.
 * @param need.quote what it would take; without it: nothing
 * @param need.session the handle of the session it is about; null: a new one is offered
 * @param need.pubkey the key that asks, which a new session belongs to
 * @throws {ApiError} 402 with a challenge where no credential was shown; what no deposit pays is 400. The deposit of a session that
 *   waits for it is what its opener chose: should it be too small, the token it pays for is offered a top-up.
 */
export async function tokenOr402(
  c: RequestContext,
  need: { session: string | null; pubkey?: string | null; quote?: () => Promise<Quote> },
): Promise<VerifiedToken> {
  const token = c.get("token");
  if (token) return token;
  const deps = c.get("deps");
  const sats = need.quote ? await coveredBy(deps, await need.quote(), 0) : deps.settings.l402DepositSats;
  const { session, pubkey = null } = need;
  const made = await made402(c, session, { sats, token: null, pubkey });
  throw paymentRequired(
    "payment_required",
    "Pay the invoice in the WWW-Authenticate header, then repeat the request with " +
      "Authorization: L402 <macaroon>:<preimage>. The token goes on working until what it paid for is used up.",
    [made.header],
    detailsOf(deps, made),
  );
}

const detailsOf = ({ recordIds }: AppDeps, { session, invoice }: Made) => ({
  sessionId: recordIds.idOf("session", session.handle),
  invoice: invoiceBody(invoice),
  ...(session.simulated.length > 0 && { stubMode: true, simulated: session.simulated }),
});

/** The deposit that covers a request. @throws {ApiError} 400 when none does, 503 while the instance begins nothing at all. */
async function coveredBy({ settings, store, clock }: AppDeps, quote: Quote, haveSats: number): Promise<number> {
  const now = clock.now();
  const until = await failuresBorneAgainAt(store, settings.freeFailures.satsPerHour, now);
  if (until !== null) throw failuresExhausted(until - now);
  const { minBalanceSats, maxDepositSats } = settings.sessions;
  const terms: DepositTerms = { leastSats: settings.l402DepositSats, minBalanceSats, maxSats: maxDepositSats };
  const sats = depositFor(quote, haveSats, terms);
  if (sats !== null) return sats;
  const maxTokens = mostOutputTokens(quote, haveSats, terms);
  const what = `This may take ${quote.sats} sats, more than the largest deposit of ${maxDepositSats} covers.`;
  const details = { priceSats: quote.sats, maxDepositSats };
  // Only where more than is wanted is never written did the caller choose how much: a `request` names no max_tokens.
  const chosen = quote.maxOutputTokens === quote.outputTokens;
  if (maxTokens === 0 || !chosen) throw badRequest("request_too_long", `${what} Send a shorter text.`, details);
  throw badRequest("max_tokens_too_large", `${what} Send max_tokens of at most ${maxTokens}.`, {
    ...details,
    maxTokens,
    fields: [{ field: "max_tokens", problem: `must be at most ${maxTokens} for these messages` }],
  });
}

/** A challenge of `sats`. One that waits already is handed out again, which costs nothing. @throws {ApiError} where none is made */
async function made402(
  c: RequestContext,
  session: string | null,
  { sats, token, pubkey }: { sats: number; token: VerifiedToken | null; pubkey: string | null },
): Promise<Made> {
  const deps = c.get("deps");
  const counted = c.get("countChallenge");
  let made: Challenge;
  if (session === null) {
    counted();
    made = await challengeNew(deps, sats, pubkey);
  } else {
    // One after another: of two at once, the second must not make an invoice that nobody is shown.
    made = await deps.oneAtATime(`topup ${session}`, () => challengeOf(deps, session, { sats, token, counted }));
  }
  if (made.outcome === "challenge") return made;
  throw notMade(made, token, deps.clock.now());
}

function notMade(made: Exclude<Challenge, Made>, token: VerifiedToken | null, now: number): ApiError {
  switch (made.outcome) {
    case "no_room":
      return tooManyOpenChallenges();
    case "full":
      return tooManyTopups(made.until - now);
    case "ended":
    case "unknown":
      if (token) return unavailable("session_changed", "The session has just changed. Send the request again.", 1);
      // A session that is over, one that is gone and an id that was never given look the same to whoever has no token.
      return unauthorized("token_required", "This session needs its macaroon: Authorization: Bearer <macaroon>.");
  }
}

/** 503: MAX_OPEN_CHALLENGES sessions and jobs wait to be paid. */
export const tooManyOpenChallenges = (): ApiError =>
  unavailable(
    "too_many_open_challenges",
    "Too many payment challenges wait to be paid. Try again when some of them have expired.",
    60,
  );

/** 429: too many top-ups of a session wait to be paid. @param waitMs until there is room again */
export const tooManyTopups = (waitMs: number): ApiError =>
  tooManyRequests(
    "too_many_topups",
    "Too many top-ups of this session wait to be paid. Pay one of them, or wait as Retry-After says.",
    waitMs / 1_000,
  );

/** The error of a request that did not begin: a 402 offers a top-up of the token's session that lets the same request begin. */
export async function notBegun(c: RequestContext, token: VerifiedToken, begun: NotBegun): Promise<ApiError> {
  switch (begun.outcome) {
    case "conflict":
      return keyTaken("request");
    case "ended":
      return unauthorized(
        "session_ended",
        "This session has expired or was closed, so its token buys nothing more. Open a new one; a balance that is left is " +
          "claimed with POST /api/sessions/{id}/close.",
      );
    case "exhausted":
      return failuresExhausted(begun.until - c.get("deps").clock.now());
    case "capped": {
      const { leftSats, priceSats } = begun;
      return tokenRefused(caveatFailed("max_sats", "does not leave enough for this", { leftSats, priceSats }));
    }
    case "short":
      return await short(c, token, begun);
  }
}

async function short(
  c: RequestContext,
  token: VerifiedToken,
  { paused, balanceSats, priceSats, minimumBalanceSats, quote }: Extract<NotBegun, { outcome: "short" }>,
): Promise<ApiError> {
  const deps = c.get("deps");
  const sats = await coveredBy(deps, quote, balanceSats);
  const made = await made402(c, token.session, { sats, token, pubkey: null });
  const details = detailsOf(deps, made);
  const path = `/api/sessions/${details.sessionId}/topup`;
  return paymentRequired(
    paused ? "session_paused" : "insufficient_balance",
    (paused
      ? `The session is paused: its balance is below ${minimumBalanceSats} sats. Top it up with POST ${path}`
      : `The balance is ${balanceSats} sats and this takes ${priceSats}. Top up with POST ${path}`) +
      ", or pay the invoice in the WWW-Authenticate header.",
    [made.header],
    {
      balanceSats,
      priceSats,
      minimumBalanceSats,
      ...details,
      topup: { method: "POST", path, body: { amount_sats: made.invoice.amountSats } },
    },
  );
}

/** 503: so much was given away for failures of the last hour that nothing more is begun. @param waitMs until it is again */
export const failuresExhausted = (waitMs: number): ApiError =>
  unavailable(
    "failures_exhausted",
    "The model behind this instance failed too often in the last hour, at the instance's cost. Nothing was charged; try again as " +
      "Retry-After says.",
    waitMs / 1_000,
  );

/** Whether the client says that it asks for the same again: OpenAI's clients count their tries in this header. */
export const isRepeat = (headers: Headers): boolean => Number(headers.get("x-stainless-retry-count")) >= 1;

/** Waits for `work`, and says at once when the caller of the request hangs up meanwhile, or has before. */
export async function orHangUp<T>(request: Request, hangUp: () => void, work: Promise<T>): Promise<T> {
  const { signal } = request;
  if (signal.aborted) hangUp();
  signal.addEventListener("abort", hangUp, { once: true });
  try {
    return await work;
  } finally {
    signal.removeEventListener("abort", hangUp);
  }
}
