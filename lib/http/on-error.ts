/** What is answered when something was thrown, and where there is no route. */
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import type { AppEnv } from "./app-env.ts";
import {
  ApiError,
  badRequest,
  type ErrorBody,
  errorBody,
  type ErrorStatus,
  forbidden,
  methodNotAllowed,
  notFound,
  requestAborted,
  unauthorized,
  unavailable,
} from "./errors.ts";
import type { KnownPaths } from "./known-paths.ts";
import { isOpenAiPath, OPENAI_PATH, openAiErrorBody } from "./openai-errors.ts";
import { IdentityError } from "@/lib/identity/identity.ts";
import { WalletError } from "@/lib/lightning/port.ts";
import { StoreError, UnreadableRow } from "@/lib/store/store.ts";

/** A record that cannot be read waits for somebody to mend it (s). */
const UNREADABLE_AGAIN_S = 600;

/**
 * Answers what a handler threw: an {@link ApiError} as it says, the errors of slices and hono's own exceptions in the same
 * shape, and everything else as 500 that carries the request id alone; the error itself goes to the log.
 */
export function onError<D>(error: Error, c: Context<AppEnv<D>>): Response {
  const known = error instanceof ApiError
    ? error
    : error instanceof HTTPException
    ? fromHttpException(error)
    : fromSlice(error);
  const requestId = c.get("requestId");
  if (known) {
    if (known.cause !== undefined) {
      // Nobody but the operator can mend a record: that is an alarm.
      c.get("log")[known.cause instanceof UnreadableRow ? "error" : "warn"](
        { code: known.code, error: known.cause },
        "answered with an error",
      );
    }
    return answer(c, known.status, errorBody(known.code, known.publicMessage, requestId, known.details), known.headers);
  }
  // Reading the body of a caller who has gone fails too. Still logged: the two cannot be told apart for certain.
  if (c.req.raw.signal.aborted) {
    return onError(requestAborted(error), c);
  }
  c.get("log").error({ error }, "unexpected error");
  return answer(c, 500, errorBody("internal", "Internal error. Report the request id if it persists.", requestId));
}

/**
 * Answers what no route is for: 405 where the path has other methods, else 404, which below `/api/v1` names what there is, since
 * clients made for other servers ask for more than that.
 */
export function onNotFound<D>(c: Context<AppEnv<D>>, known: KnownPaths): Response {
  const { path } = c.req;
  const allowed = known.methodsOf(path);
  if (allowed.length > 0) return onError(methodNotAllowed(allowed), c);
  if (!isOpenAiPath(path)) return onError(notFound(), c);
  return onError(notFound(`There is nothing at this address. There is: ${known.below(OPENAI_PATH).join(", ")}.`), c);
}

function answer<D>(
  c: Context<AppEnv<D>>,
  status: ErrorStatus | 500,
  body: ErrorBody,
  headers: readonly (readonly [string, string])[] = [],
): Response {
  for (const [name, value] of headers) c.header(name, value, { append: true });
  return c.json(isOpenAiPath(c.req.path) ? openAiErrorBody(status, body) : body, status);
}

/**
 * The answer for an error that a slice of lib has of its own. A database or wallet that does not answer is no defect of ours:
 * 503, so that callers try again.
 */
function fromSlice(error: Error): ApiError | null {
  if (error instanceof IdentityError) return unauthorized(error.code, error.message);
  if (error instanceof StoreError && (error.code === "unavailable" || error.code === "unknown")) {
    const message = error.code === "unknown"
      ? "The database did not answer: whether this was stored is not known yet. Look, or repeat it with its Idempotency-Key."
      : "The database does not answer. Nothing was stored; try again shortly.";
    return unavailable("database_unavailable", message, 5, { cause: error });
  }
  if (error instanceof UnreadableRow) {
    const message =
      "A record that this needs cannot be read. Nothing was changed and nothing is lost: tell the operator the " +
      "request id, and try again when the record is mended.";
    return unavailable("record_unreadable", message, UNREADABLE_AGAIN_S, { cause: error });
  }
  if (error instanceof WalletError) {
    return unavailable("wallet_unavailable", "The Lightning wallet does not answer. Try again shortly.", 5, {
      cause: error,
    });
  }
  return null;
}

function fromHttpException(exception: HTTPException): ApiError | null {
  switch (exception.status) {
    case 400: // hono's validators throw 400 for nothing but a body they cannot parse
      return badRequest("invalid_json", "The body is not valid JSON. Check quotes, commas and braces.");
    case 413:
      return new ApiError({ status: 413, code: "payload_too_large", publicMessage: "The body is too large." });
    case 415:
      return new ApiError({
        status: 415,
        code: "unsupported_media_type",
        publicMessage: "The body must be JSON. Send it with the header Content-Type: application/json.",
      });
    case 401:
      return unauthorized("unauthorized", "A valid credential is needed.");
    case 403:
      return forbidden("forbidden", "This is not allowed.");
    case 404:
      return notFound();
    default:
      return null;
  }
}
