import { ModelError, type ModelErrorKind, type Usage, type WorkResult } from "./port.ts";

/** What a provider said when it did not do the call. Nothing of `message` is repeated: it may quote the prompt. */
interface ProviderRefusal {
  /** Words for messages, e.g. "the model provider". */
  provider: string;
  /** HTTP status; undefined for an error inside an answer that began as a success. */
  status: number | undefined;
  /** The provider's own codes and types of the error, the most precise first. */
  types: readonly string[];
  /** Read to classify, never shown. */
  message: string;
  headers?: Headers | undefined;
  /** Milliseconds since the epoch, for a `retry-after` that is a date. */
  nowMs: number;
  usage?: Usage | undefined;
}

/** Codes that say more than the status beside them. */
const KIND_OF_CODE = new Map<string, ModelErrorKind>([
  ["content_filter", "refused"],
  ["content_policy_violation", "refused"],
  ["ResponsibleAIPolicyViolation", "refused"], // Azure
  ["context_length_exceeded", "too_long"],
  ["exceed_context_size_error", "too_long"], // llama.cpp
  ["request_too_large", "too_long"],
  ["model_not_found", "not_found"],
  ["invalid_model", "not_found"], // Mistral
  ["invalid_api_key", "own_key"],
  ["insufficient_quota", "own_key"], // OpenAI sends it with a 429
  ["billing_error", "own_key"],
]);

/** Types that only say what the status says: read where there is none. */
const STATUS_OF_TYPE = new Map<string, number>([
  ["invalid_request_error", 400],
  ["authentication_error", 401],
  ["permission_error", 403],
  ["not_found_error", 404],
  ["rate_limit_error", 429],
  ["rate_limit_exceeded", 429],
  ["api_error", 500],
  ["server_error", 500],
  ["internal_server_error", 500],
  ["timeout_error", 504],
  ["overloaded_error", 529],
]);

/**
 * Statuses whose wording is read. Others are clear as they are, and the body of a 500 may quote anything: a payer's own
 * text must not decide what the failure was.
 */
const WORDED_STATUSES: readonly (number | undefined)[] = [undefined, 400, 403, 422];

/** What has no code of its own with some provider, by the words it uses. Unknown words: the status alone decides. */
const KIND_OF_WORDS: readonly [RegExp, ModelErrorKind][] = [
  [/credit balance/i, "own_key"], // Anthropic
  [/content (filtering|management) policy|input was flagged/i, "refused"], // Anthropic, Azure, OpenRouter
  [/prompt is too long|input is too long|too large for model/i, "too_long"], // Anthropic, Mistral
  [/maximum context length|contextwindowexceeded/i, "too_long"], // OpenAI, vLLM, DeepSeek, OpenRouter; LiteLLM
  [/exceeds? (the )?(available )?context|greater than the context length/i, "too_long"], // Anthropic, llama.cpp; LM Studio
  [/tokens.{0,60}must be <= ?\d+/i, "too_long"], // TGI
];

const LONGEST_RETRY_AFTER_MS = 3_600_000;
const RETRY_LATER = "try again later";

const ADVICE: Record<ModelErrorKind, string> = {
  refused: "it declines to answer this request",
  too_long: "the request, with the output it asks for, is longer than the model takes",
  invalid: "it does not take the call as it is made, check the model's name and limits",
  not_found: "check the model's name and the base URL",
  own_key: "check the API key, what it may do, and the account's credit",
  overloaded: `it is overloaded or limits the rate, ${RETRY_LATER}`,
  broken: `it is failing, ${RETRY_LATER}`,
  timeout: `it took too long, ${RETRY_LATER}`,
  aborted: RETRY_LATER,
};

/**
 * Classifies what a provider said by its codes, its status, and, where providers have no code for it, its wording. An
 * error inside an answer that says nothing else is `broken`, which may pass.
 */
export function providerError(refusal: ProviderRefusal): ModelError {
  const { provider, types, headers, nowMs, usage } = refusal;
  const kind = kindOf(refusal);
  const type = types.find((name) => KIND_OF_CODE.has(name) || STATUS_OF_TYPE.has(name));
  const id = headers?.get("request-id") ?? headers?.get("x-request-id") ?? "";
  const shownId = /^[\w-]{1,64}$/.test(id) ? `, request id ${id}` : "";
  const said = refusal.status === undefined
    ? `reported an error in its answer${type ? ` (${type})` : ""}`
    : `answered ${refusal.status}${type ? ` ${type}` : ""}`;
  const isRedirect = refusal.status !== undefined && refusal.status < 400;
  const advice = isRedirect ? "redirects are refused, configure the final address as base URL" : ADVICE[kind];
  return new ModelError(`${provider} ${said}${shownId}: ${advice}`, {
    kind,
    retryAfterMs: retryAfterMs(headers, nowMs),
    usage,
  });
}

function kindOf({ status, types, message }: ProviderRefusal): ModelErrorKind {
  for (const type of types) {
    const kind = KIND_OF_CODE.get(type);
    if (kind) return kind;
  }
  if (WORDED_STATUSES.includes(status)) {
    const [, kind] = KIND_OF_WORDS.find(([words]) => words.test(message)) ?? [];
    if (kind) return kind;
  }
  const [typed] = types.map((type) => STATUS_OF_TYPE.get(type)).filter((known) => known !== undefined);
  return kindOfStatus(status ?? typed ?? 500);
}

function kindOfStatus(status: number): ModelErrorKind {
  if (status < 400 || status === 404 || status === 405 || status === 410) return "not_found";
  if (status === 401 || status === 402 || status === 403) return "own_key";
  if (status === 408 || status === 504 || status === 524) return "timeout";
  if (status === 413) return "too_long";
  if ([425, 429, 498, 503, 529].includes(status)) return "overloaded"; // 498: Groq, 529: Anthropic
  return status === 409 || status >= 500 ? "broken" : "invalid";
}

/** The error for a request that the provider's own filter declined, as a stop reason of an answer. */
export function refusedByProvider(provider: string, usage: Usage | undefined): ModelError {
  return new ModelError(`${provider} declined to answer this request`, { kind: "refused", usage });
}

/**
 * An answer of the work, which must have some text: a payer is not given nothing.
 * @throws {ModelError} `broken`, when there is none.
 */
export function withText(provider: string, result: WorkResult): WorkResult {
  if (result.text.trim() !== "") return result;
  throw new ModelError(`${provider} ended its answer (${result.finish}) without any text`, {
    kind: "broken",
    usage: result.usage,
  });
}

/**
 * What `retry-after-ms` or `retry-after` (seconds or an HTTP date, RFC 9110 §10.2.3) asks for, in milliseconds from
 * `nowMs`; at most an hour, so that no provider can park paid work for days. Undefined when absent or not understood.
 */
function retryAfterMs(headers: Headers | undefined, nowMs: number): number | undefined {
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
