/** What a session answers when it cannot serve a request: the same for its own routes and for /api/v1. */
import { ApiError, keyTaken, paymentRequired, unauthorized, unavailable } from "./errors.ts";
import { caveatFailed, type TokenProblem, type VerifiedToken } from "@/lib/sessions/tokens.ts";
import type { NotBegun } from "@/lib/sessions/requests/ask.ts";

/** 401 for a token that is not good; 403 for a good one with a caveat that does not allow this. */
export const tokenRefused = ({ code, message: publicMessage, details }: TokenProblem): ApiError =>
  new ApiError({ status: code === "caveat_failed" ? 403 : 401, code, publicMessage, details });

/** 403 unless the token may ask this model. @throws {ApiError} */
export function allowModel(token: VerifiedToken, model: string): void {
  if (token.models === null || token.models.has(model)) return;
  throw tokenRefused(caveatFailed("model", "does not allow this model", { allowed: [...token.models] }));
}

/**
 * The error of a request that did not begin.
 * @param sessionId its capability, for the way to top up
 * @param deposits what a top-up may be (sats)
 * @param now ms since the epoch
 */
export function notBegun(
  begun: NotBegun,
  sessionId: string,
  { minDepositSats, maxDepositSats }: { minDepositSats: number; maxDepositSats: number },
  now: number,
): ApiError {
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
      return failuresExhausted(begun.until - now);
    case "capped": {
      const { leftSats, priceSats } = begun;
      return tokenRefused(caveatFailed("max_sats", "does not leave enough for this", { leftSats, priceSats }));
    }
    case "short": {
      const { paused, balanceSats, priceSats, minimumBalanceSats } = begun;
      const path = `/api/sessions/${sessionId}/topup`;
      const missingSats = Math.max(priceSats, minimumBalanceSats) - balanceSats;
      const topupSats = Math.min(maxDepositSats, Math.max(minDepositSats, missingSats));
      return paymentRequired(
        paused ? "session_paused" : "insufficient_balance",
        paused
          ? `The session is paused: its balance is below ${minimumBalanceSats} sats. Top it up with POST /api/sessions/{id}/topup.`
          : `The balance is ${balanceSats} sats and this takes ${priceSats}. Top up with POST /api/sessions/{id}/topup.`,
        [],
        {
          balanceSats,
          priceSats,
          minimumBalanceSats,
          topup: { method: "POST", path, body: { amount_sats: topupSats } },
        },
      );
    }
  }
}

/** 503: so much was given away for failures of the last hour that nothing more is begun. @param waitMs until it is again */
export const failuresExhausted = (waitMs: number): ApiError =>
  unavailable(
    "failures_exhausted",
    "The model behind this instance failed too often in the last hour, at the instance's cost. Nothing was charged; try again as " +
      "Retry-After says.",
    waitMs / 1_000,
  );
