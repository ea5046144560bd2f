import { ModelError, type Usage, type WorkResult } from "./port.ts";

/** What a provider said when it did not do the call. Nothing of `message` is repeated: it may quote the prompt. */
export interface ProviderRefusal {
  /** Words for messages, e.g. "the model provider". */
  provider: string;
  /** HTTP status; undefined for an error inside a stream. */
  status: number | undefined;
  /** The provider's own class or code of the error. */
  type?: string | null | undefined;
  /** Read to classify, never shown. */
  message?: string | null | undefined;
  headers?: Headers | undefined;
  /** Milliseconds since the epoch, for a `retry-after` that is a date. */
  nowMs: number;
  usage?: Usage | undefined;
}

/** Types and codes that may be named in a message: anything else from a provider could be somebody's text. */
const KNOWN_TYPES = new Set([
  "invalid_request_error",
  "authentication_error",
  "billing_error",
  "permission_error",
  "not_found_error",
  "request_too_large",
  "rate_limit_error",
  "timeout_error",
  "api_error",
  "overloaded_error",
  "server_error",
  "internal_server_error",
  "context_length_exceeded",
  "model_not_found",
  "insufficient_quota",
  "invalid_api_key",
  "rate_limit_exceeded",
  "content_filter",
  "content_policy_violation",
]);

const STATUS_OF_TYPE: Record<string, number> = {
  invalid_request_error: 400,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
};

const PASSING_STATUSES = new Set([408, 409, 425, 429]);
const LONGEST_RETRY_AFTER_MS = 3_600_000;

/**
 * Classifies a provider's refusal. Passing: 408, 409, 425, 429, every 5xx (529 too), and errors inside a stream that do
 * not say otherwise. Everything else would fail again the same way: permanent. The request is to blame only where the
 * provider says so by a content policy or by its size; a 400 alone may as well be ours, or an empty account.
 */
export function providerError(refusal: ProviderRefusal): ModelError {
  const { provider, headers, nowMs, usage } = refusal;
  const type = refusal.type && KNOWN_TYPES.has(refusal.type) ? refusal.type : undefined;
  const status = refusal.status ?? (type ? STATUS_OF_TYPE[type] : undefined);
  const permanent = status !== undefined && status < 500 && !PASSING_STATUSES.has(status);
  const blamed = permanent && blamesRequest(status, type, refusal.message ?? "");
  const id = headers?.get("request-id") ?? headers?.get("x-request-id") ?? "";
  const shownId = /^[\w-]{1,64}$/.test(id) ? `, request id ${id}` : "";
  const said = [refusal.status, type].filter((part) => part !== undefined).join(" ") || "an error";
  return new ModelError(`${provider} answered ${said}${shownId}: ${advice(status, blamed, refusal.message ?? "")}`, {
    permanent,
    causedByRequest: blamed,
    retryAfterMs: permanent ? undefined : retryAfterMs(headers, nowMs),
    usage,
  });
}

/** The error for a request that the provider's own filter declined, as a stop reason of an answer. */
export function refusedByProvider(provider: string, usage: Usage | undefined): ModelError {
  return new ModelError(`${provider} declined to answer this request`, {
    permanent: true,
    causedByRequest: true,
    usage,
  });
}

/**
 * An answer of the work, which must have some text: a payer is not given nothing.
 * @throws {ModelError} passing, when there is none.
 */
export function withText(provider: string, result: WorkResult): WorkResult {
  if (result.text.trim() !== "") return result;
  throw new ModelError(`${provider} ended its answer (${result.finish}) without any text`, {
    permanent: false,
    usage: result.usage,
  });
}

function blamesRequest(status: number, type: string | undefined, message: string): boolean {
  if (status === 413 || type === "content_filter" || type === "content_policy_violation") return true;
  // Anthropic gives these two the same status and type as a mistake of ours, so the wording has to decide; should it
  // change, the request is merely no longer blamed. A local server's context_length_exceeded counts our output limit
  // too, so it blames nobody.
  return status === 400 && /content filtering policy|prompt is too long/i.test(message);
}

function advice(status: number | undefined, blamed: boolean, message: string): string {
  if (blamed) return "it blames the request (its content or its size)";
  if (status === undefined || status >= 500) return "it is failing or overloaded, try again later";
  if (status < 400) return "redirects are refused, configure the final address as base URL";
  if (status === 402 || /credit balance/i.test(message)) return "check the account's credit";
  if (status === 401 || status === 403) return "check the API key and what it may do";
  if (status === 404) return "check the model's name and the base URL";
  if (status === 429) return "it limits the rate, try again later";
  if (PASSING_STATUSES.has(status)) return "try again later";
  return "it does not take the call as it is made, check the model's name and limits";
}

/**
 * What `retry-after-ms` or `retry-after` (seconds or an HTTP date, RFC 9110 §10.2.3) asks for, in milliseconds from
 * `nowMs`; at most an hour, so that no provider can park paid work for days. Undefined when absent or not understood.
 */
export function retryAfterMs(headers: Headers | undefined, nowMs: number): number | undefined {
  const inMs = headers?.get("retry-after-ms")?.trim();
  const given = headers?.get("retry-after")?.trim();
  let wait: number;
  if (inMs && /^\d+(\.\d+)?$/.test(inMs)) wait = Number(inMs);
  else if (!given) return undefined;
  else if (/^\d+(\.\d+)?$/.test(given)) wait = Number(given) * 1000;
  else wait = Date.parse(given) - nowMs;
  if (!Number.isFinite(wait)) return undefined;
  return Math.min(Math.max(0, Math.ceil(wait)), LONGEST_RETRY_AFTER_MS);
}
