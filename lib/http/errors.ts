import { z } from "@hono/zod-openapi";

/** The statuses an {@link ApiError} may have; 500 is for what nobody expected and has no constructor. */
export type ErrorStatus = 400 | 401 | 402 | 403 | 404 | 405 | 408 | 409 | 410 | 413 | 415 | 422 | 429 | 502 | 503;

interface ApiErrorInit {
  status: ErrorStatus;
  /** Stable, snake_case: what programs compare. */
  code: string;
  /** For people: what was wrong and what to do. Holds no secret and nothing the caller sent, field names excepted. */
  publicMessage: string;
  details?: Record<string, unknown> | undefined;
  /** Sent in this order; a name that occurs twice becomes two lines. */
  headers?: readonly (readonly [string, string])[] | undefined;
  /** The internal reason: logged, never sent. */
  cause?: unknown;
}

/** An answer that is not a success, thrown by handlers and middlewares. `on-error.ts` gives it its one shape. */
export class ApiError extends Error {
  override name = "ApiError";
  readonly status: ErrorStatus;
  readonly code: string;
  readonly publicMessage: string;
  readonly details: Record<string, unknown> | undefined;
  readonly headers: readonly (readonly [string, string])[];

  constructor(init: ApiErrorInit) {
    super(`${init.status} ${init.code}: ${init.publicMessage}`, init.cause === undefined ? {} : { cause: init.cause });
    this.status = init.status;
    this.code = init.code;
    this.publicMessage = init.publicMessage;
    this.details = init.details;
    this.headers = init.headers ?? [];
  }
}

type Details = Record<string, unknown>;

/** 400: the request itself is wrong; repeating it gives the same answer. */
export const badRequest = (code: string, message: string, details?: Details) =>
  new ApiError({ status: 400, code, publicMessage: message, details });

/** 401: a credential was given and is not good. */
export const unauthorized = (code: string, message: string, details?: Details) =>
  new ApiError({ status: 401, code, publicMessage: message, details });

/**
 * 402: something has to be paid first.
 * @param challenges the values of the `WWW-Authenticate` lines, in the order they are sent (wire.md §2)
 */
export const paymentRequired = (
  code: string,
  message: string,
  challenges: readonly string[] = [],
  details?: Details,
) =>
  new ApiError({
    status: 402,
    code,
    publicMessage: message,
    details,
    headers: challenges.map((value) => ["WWW-Authenticate", value] as const),
  });

/** 403: the credential is good, but does not allow this. */
export const forbidden = (code: string, message: string, details?: Details) =>
  new ApiError({ status: 403, code, publicMessage: message, details });

/** 404: there is no such thing, or it is not the caller's: the two look the same. */
export const notFound = (
  message = "Not found. Check the address; /api/reference lists what exists.",
  code = "not_found",
) => new ApiError({ status: 404, code, publicMessage: message });

/** 405 with `Allow`: the address is right, the method is not. @param allowed the methods it has */
export const methodNotAllowed = (allowed: readonly string[]) =>
  new ApiError({
    status: 405,
    code: "method_not_allowed",
    publicMessage: `This address takes ${allowed.join(", ")}. Use one of them.`,
    headers: [["Allow", allowed.join(", ")]],
  });

/** 409: the thing exists, in a state that does not allow this. */
export const conflict = (code: string, message: string, details?: Details) =>
  new ApiError({ status: 409, code, publicMessage: message, details });

/** 410: it existed and will not come back. */
export const gone = (code: string, message: string) => new ApiError({ status: 410, code, publicMessage: message });

/** 409 for an Idempotency-Key that was used with another body. @param what it was sent for: "job", "session", … */
export const keyTaken = (what: string): ApiError =>
  conflict(
    "idempotency_conflict",
    `This Idempotency-Key was used with another body. Use a new key for a new ${what}.`,
  );

/** 408: the body did not arrive in time. */
export const requestTimeout = (ms: number) =>
  new ApiError({
    status: 408,
    code: "request_timeout",
    publicMessage: `The body did not arrive within ${ms / 1_000} seconds. Send it again.`,
  });

/** 408: the caller went away before the request was complete. @param cause is logged */
export const requestAborted = (cause: unknown) =>
  new ApiError({
    status: 408,
    code: "request_aborted",
    publicMessage: "The request did not arrive completely. Send it again.",
    cause,
  });

/** 413: the body has more than `maxBytes` bytes. */
export const payloadTooLarge = (maxBytes: number) =>
  new ApiError({
    status: 413,
    code: "payload_too_large",
    publicMessage: `The body is larger than ${maxBytes} bytes. Send a smaller one.`,
    details: { maxBytes },
  });

/** 429 with `Retry-After`. @param retryAfterSeconds rounded up, at least 1 */
export const tooManyRequests = (code: string, message: string, retryAfterSeconds: number, details?: Details) =>
  new ApiError({ status: 429, code, publicMessage: message, details, headers: [retryAfter(retryAfterSeconds)] });

/** 503 with `Retry-After`. @param retryAfterSeconds rounded up, at least 1 */
export const unavailable = (
  code: string,
  message: string,
  retryAfterSeconds: number,
  options: { details?: Details; cause?: unknown } = {},
) =>
  new ApiError({
    status: 503,
    code,
    publicMessage: message,
    details: options.details,
    headers: [retryAfter(retryAfterSeconds)],
    cause: options.cause,
  });

const retryAfter = (seconds: number) => ["Retry-After", String(Math.max(1, Math.ceil(seconds)))] as const;

/** The body of every answer that is not a success (wire.md §1). */
export const errorSchema = z.object({
  error: z.object({
    code: z.string().openapi({ example: "validation_failed", description: "Stable; compare this one." }),
    message: z.string().openapi({ description: "What was wrong and what to do, for people." }),
    requestId: z.string().openapi({ description: "Also in the X-Request-Id header; name it when you ask for help." }),
    details: z.record(z.string(), z.unknown()).optional(),
  }),
}).openapi("Error");

export type ErrorBody = z.infer<typeof errorSchema>;

/** What an error status means, in the API's description. */
export const ERROR_DESCRIPTIONS = {
  400: "The request is not valid",
  401: "The credential is not good",
  402: "Payment is required first",
  403: "The credential does not allow this",
  404: "There is no such thing, or it is not yours",
  405: "The address has no such method; Allow names those it has",
  408: "The request did not arrive completely, or not in time",
  409: "The current state does not allow this",
  410: "It is gone for good",
  413: "The body is too large",
  415: "The body is not JSON",
  422: "The request is not valid",
  429: "Too many requests; wait as long as Retry-After says",
  502: "The model's provider refused the instance's own call",
  503: "Too busy, or something this needs is down; try again after Retry-After seconds",
  500: "An error of ours; the request id is all it tells",
} as const satisfies Record<ErrorStatus | 500, string>;

interface ErrorResponse {
  description: string;
  content: { "application/json": { schema: typeof errorSchema } };
}

/**
 * The `responses` of a contract for these error statuses: `responses: { 200: …, ...errorResponses(400, 404) }`.
 * What every route may answer (413, 429, 500) need not be named.
 */
export function errorResponses<S extends ErrorStatus>(...statuses: S[]): { [K in S]: ErrorResponse } {
  const response = (status: ErrorStatus): ErrorResponse => ({
    description: ERROR_DESCRIPTIONS[status],
    content: { "application/json": { schema: errorSchema } },
  });
  return Object.fromEntries(statuses.map((status) => [status, response(status)])) as { [K in S]: ErrorResponse };
}

/** The one shape, as data. */
export function errorBody(code: string, message: string, requestId: string, details?: Details): ErrorBody {
  return { error: { code, message, requestId, ...(details ? { details } : {}) } };
}

/** One thing wrong with one field. */
interface FieldProblem {
  /** Dotted path, "" for the whole; `messages[0].content`. */
  field: string;
  problem: string;
}

type Issue = z.core.$ZodIssue;

const MAX_PROBLEMS = 20;
const MAX_NAME = 64;

/** Where the validated thing came from, as hono's validators name it. */
const TARGETS: Record<string, { whole: string; unknown: string }> = {
  json: { whole: "the body", unknown: "is not a field of this request; remove it" },
  form: { whole: "the form", unknown: "is not a field of this form; remove it" },
  query: { whole: "the query", unknown: "is not a parameter of this request; remove it" },
  param: { whole: "the path", unknown: "is not a parameter of this path" },
  header: { whole: "the headers", unknown: "is not expected" },
  cookie: { whole: "the cookies", unknown: "is not expected" },
};
const TARGET_DEFAULT = { whole: "the request", unknown: "is not expected; remove it" };

/**
 * A 400 that names every field and what is wrong with it. Values are never repeated, only the names of fields.
 * Messages that a schema brings itself are passed on: they must not hold values either.
 *
 * @param target what was validated: "json", "query", "param", …
 */
export function validationFailed(issues: readonly Issue[], target: string): ApiError {
  const words = TARGETS[target] ?? TARGET_DEFAULT;
  const problems = issues.flatMap((issue) => describe(issue, words.unknown)).slice(0, MAX_PROBLEMS);
  const list = problems.map(({ field, problem }) => `${field || words.whole} ${problem}`).join("; ");
  return badRequest("validation_failed", `The request is not valid: ${list}.`, { fields: problems });
}

/** The hook of every router: {@link validationFailed} for what does not fit its schema. */
export function validationHook(
  result: { success: true } | { success: false; error: { issues: readonly Issue[] }; target: string },
): void {
  if (!result.success) throw validationFailed(result.error.issues, result.target);
}

/** How zod's own words start; any others were written for the schema and say it better. */
const ZODS_OWN = /^(Invalid|Too small|Too big|Unrecognized)/;

function describe(issue: Issue, unknown: string): FieldProblem[] {
  const field = fieldName(issue.path);
  if (issue.code === "unrecognized_keys") {
    const problem = ZODS_OWN.test(issue.message) ? unknown : issue.message;
    return issue.keys.map((key) => ({ field: fieldName([...issue.path, key]), problem }));
  }
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    // The alternative that fits best says it; several that fit equally well are all named.
    const fewest = Math.min(...issue.errors.map((errors) => errors.length));
    const best = issue.errors.filter((errors) => errors.length === fewest)
      .map((errors) =>
        errors.flatMap((inner) => describe({ ...inner, path: [...issue.path, ...inner.path] } as Issue, unknown))
      );
    if (best.length === 1) return best[0] ?? [];
    return [{
      field,
      problem: "needs one of: " +
        best.map((errors) => errors.map((e) => `${e.field} ${e.problem}`.trim()).join(" and ")).join(", or "),
    }];
  }
  return [{ field, problem: problemOf(issue) }];
}

function problemOf(issue: Issue): string {
  if (!ZODS_OWN.test(issue.message)) return issue.message;
  switch (issue.code) {
    case "invalid_type":
      return issue.message.endsWith("received undefined") ? "is missing" : `must be ${article(issue.expected)}`;
    case "too_small":
      if ((issue.origin === "string" || issue.origin === "array") && Number(issue.minimum) === 1) {
        return "must not be empty";
      }
      return `${issue.inclusive === false ? "must be more than" : "must be at least"} ${issue.minimum}${
        unit(issue.origin)
      }`;
    case "too_big":
      if (issue.origin === "string") return `is too long: at most ${issue.maximum} characters`;
      return `${issue.inclusive === false ? "must be less than" : "must be at most"} ${issue.maximum}${
        unit(issue.origin)
      }`;
    case "invalid_value":
      return `must be one of: ${issue.values.map(String).join(", ")}`;
    case "not_multiple_of":
      return `must be a multiple of ${issue.divisor}`;
    case "invalid_format":
      return issue.format === "regex" ? "does not have the right form" : `must be a valid ${issue.format}`;
    default:
      return "is not valid";
  }
}

function unit(origin: string): string {
  if (origin === "string") return " characters";
  return origin === "array" || origin === "set" ? " items" : "";
}

function article(type: string): string {
  switch (type) {
    case "int":
      return "a whole number";
    case "array":
      return "a list";
    case "object":
    case "record":
      return "an object";
    case "boolean":
      return "true or false";
    default:
      return `a ${type}`;
  }
}

function fieldName(path: readonly PropertyKey[]): string {
  let name = "";
  for (const part of path) {
    if (typeof part === "number") name += `[${part}]`;
    else name += (name ? "." : "") + printable(String(part));
  }
  return name;
}

/** A name the caller chose, safe to show: control characters gone, no half characters, cut to {@link MAX_NAME}. */
export function printable(name: string): string {
  const clean = name.replace(/[\p{C}\p{Z}]+/gu, " ");
  return clean.length > MAX_NAME ? clean.slice(0, MAX_NAME).toWellFormed() + "…" : clean;
}
