/** One HTTP call to a provider's API: bounded in time and size, and with errors that are safe to show. */
import type { Clock } from "@/lib/clock.ts";
import { CloudError } from "./port.ts";

export interface ApiOptions {
  /** For messages, e.g. "DigitalOcean". */
  provider: string;
  /** The setting that names the server, for the message that tells what to check. */
  setting: string;
  /** `http(s)://host[:port][/path]`, without a version path. */
  baseUrl: string;
  /** What no message may hold. */
  secrets: readonly string[];
  clock: Clock;
  fetch?: typeof fetch;
  /** Limit of one call, its body included (ms). */
  timeoutMs: number;
  maxBodyBytes: number;
}

export interface ApiRequest {
  method: "GET" | "POST" | "DELETE";
  /** Below the base address, with its query. */
  path: string;
  authorization?: string;
  json?: unknown;
  form?: Record<string, string>;
}

export interface Answer {
  status: number;
  /** Parsed JSON, or undefined when the body was empty or no JSON. */
  body: unknown;
  headers: Headers;
  /** What was sent, so that an error can leave it out. */
  sent: string;
}

export interface Api {
  /** Without a slash at its end. */
  readonly base: string;
  /** Any complete answer, whatever its status. @throws {CloudError} (retryable) for anything else: then nobody knows. */
  call(request: ApiRequest): Promise<Answer>;
  /** What an answer means that is none of those the caller can use. */
  failure(answer: Answer): CloudError;
  /** The same for an answer that fits but says something else than is known of this API. */
  strange(what: string): CloudError;
}

const MAX_RETRY_AFTER_MS = 3_600_000;
const MAX_DETAIL = 200;
/** Statuses below 500 that another try can change. */
const PASSING = [408, 425, 429];

/** @throws {Error} when the base address is not an http(s) one without credentials, query and fragment. */
export function createApi(options: ApiOptions): Api {
  const { provider, clock, timeoutMs, maxBodyBytes } = options;
  const fetchFrom = options.fetch ?? fetch;
  const base = baseOf(options);
  const safe = (text: string, sent = "") => redact(withoutSent(text, sent), options.secrets);

  async function call(request: ApiRequest): Promise<Answer> {
    const { method, path, authorization, json, form } = request;
    const sent = json !== undefined ? JSON.stringify(json) : form ? new URLSearchParams(form).toString() : "";
    const abort = new AbortController();
    let late = false;
    const cancel = clock.after(timeoutMs, () => {
      late = true;
      abort.abort();
    });
    try {
      const response = await fetchFrom(base + path, {
        method,
        headers: {
          accept: "application/json",
          ...(authorization !== undefined && { authorization }),
          ...(json !== undefined && { "content-type": "application/json" }),
          ...(form && { "content-type": "application/x-www-form-urlencoded" }),
        },
        ...(sent !== "" && { body: sent }),
        redirect: "manual",
        signal: abort.signal,
      });
      const text = await readBody(response, maxBodyBytes, abort);
      if (text === null) throw new CloudError(`${provider}'s answer is longer than ${maxBodyBytes} bytes`, true);
      if (response.status >= 300 && response.status < 400) {
        throw new CloudError(`${provider} redirects elsewhere: check ${options.setting}`, true);
      }
      return { status: response.status, body: parse(text), headers: response.headers, sent };
    } catch (error) {
      if (error instanceof CloudError) throw error;
      if (late) throw new CloudError(`${provider} did not answer within ${timeoutMs} ms`, true);
      throw new CloudError(`${provider} could not be reached: ${safe(causeOf(error), sent)}`, true);
    } finally {
      cancel();
    }
  }

  return {
    base,
    call,
    failure(answer) {
      const { status } = answer;
      const retryable = status >= 500 || PASSING.includes(status) || status < 400;
      const hint = status === 401 || status === 403 ? "; the operator must check the credentials" : "";
      const message = `${provider} answered ${status}: ${safe(detailOf(answer.body), answer.sent)}${hint}`;
      return new CloudError(message, retryable, retryable ? retryAfterMs(answer.headers, clock.now()) : null);
    },
    strange: (what) => new CloudError(`${provider}'s answer is not what is known of its API: ${what}`, true),
  };
}

function baseOf({ baseUrl, setting }: ApiOptions): string {
  const url = URL.parse(baseUrl);
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash) {
    throw new Error(`${setting} must be an http(s) address without credentials, query and fragment`);
  }
  return url.href.replace(/\/+$/, "");
}

/** The body as text, or null (and the connection closed) when it is longer than `maxBytes`. */
async function readBody(response: Response, maxBytes: number, abort: AbortController): Promise<string | null> {
  const decoder = new TextDecoder();
  let text = "";
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > maxBytes) {
      abort.abort();
      return null;
    }
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * How long the server asked to wait (ms): `Retry-After` in seconds or as a date (RFC 9110 §10.2.3), else the moment that
 * `RateLimit-Reset` (seconds since the epoch) names once `RateLimit-Remaining` is 0.
 */
export function retryAfterMs(headers: Headers, now: number): number | null {
  const after = headers.get("retry-after");
  const reset = headers.get("ratelimit-reset");
  let ms = NaN;
  if (after !== null && /^\d+$/.test(after)) ms = Number(after) * 1_000;
  else if (after !== null) ms = /^[A-Z][a-z]+, /.test(after) ? Date.parse(after) - now : NaN;
  else if (reset !== null && headers.get("ratelimit-remaining") === "0") ms = Number(reset) * 1_000 - now;
  return Number.isNaN(ms) ? null : Math.min(MAX_RETRY_AFTER_MS, Math.max(0, ms));
}

/** The provider's own sentence. DigitalOcean and Tailscale call it `message`, OAuth `error_description` or `error`. */
function detailOf(body: unknown): string {
  if (typeof body !== "object" || body === null) return "no reason given";
  const { message, error_description, error } = body as Record<string, unknown>;
  for (const text of [message, error_description, error]) if (typeof text === "string" && text !== "") return text;
  return "no reason given";
}

/** Why `fetch` failed: Deno tells it in the error or in its cause, depending on the version. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return "no reason given";
  return error.cause instanceof Error ? error.cause.message : error.message;
}

/** A server may repeat in its error what it was sent; long words of it (tokens, keys, user data) go no further. */
function withoutSent(text: string, sent: string): string {
  return text.slice(0, 2_000).replace(/[\w+/=-]{16,}/g, (word) => sent.includes(word) ? "[sent]" : word);
}

function redact(text: string, secrets: readonly string[]): string {
  let result = text;
  for (const secret of secrets) if (secret !== "") result = result.replaceAll(secret, "[key]");
  return result
    .replace(/\btskey-[\w-]+|\bdo[a-z]_v1_\w+/g, "[key]")
    .replace(/\b(bearer|basic)\s+\S+/gi, "[key]")
    .replace(/https?:\/\/[^\s)"']+/gi, "[address]")
    .replace(/\b\d{1,3}(\.\d{1,3}){3}(:\d+)?\b|\[[0-9a-f:]+\](:\d+)?/gi, "[address]")
    .replace(/[\w.+-]+@[\w.-]+/g, "[address]")
    .replace(/\p{Cc}+/gu, " ") // they would break a log's or a terminal's line
    .slice(0, MAX_DETAIL);
}
