import { boundBody } from "@/lib/ai/bounded-body.ts";
import type { Clock } from "@/lib/clock.ts";

/** What the checks reach the world with; tests give others. */
export interface Reach {
  clock: Clock;
  fetch: typeof fetch;
}

/** An answer, or why there was none (one clause, without address and key). */
export type Heard =
  | { status: number; body: unknown; text: string; skewMs: number | null }
  | { silent: string };

const LIMIT_MS = 5_000;
const MAX_BYTES = 2 * 1024 * 1024;
/** A `Date` header names the second that has begun: on average its middle (ms). */
const HALF_SECOND_MS = 500;

/**
 * One HTTP question, at most 5 s and 2 MiB, that follows no redirect: it would carry the key to an address nobody set.
 * Never throws. `skewMs` is how far our clock is ahead of the answer's `Date` (RFC 9110 §6.6.1); null without one.
 */
export async function ask({ clock, fetch }: Reach, url: string, request: RequestInit = {}): Promise<Heard> {
  const abort = new AbortController();
  const cancel = clock.after(LIMIT_MS, () => abort.abort());
  try {
    const before = clock.now();
    const response = await fetch(url, { ...request, redirect: "manual", signal: abort.signal });
    const middle = (before + clock.now()) / 2;
    const date = Date.parse(response.headers.get("date") ?? "");
    const text = await boundBody(response, MAX_BYTES, abort.signal).text();
    return {
      status: response.status,
      body: parsed(text),
      text,
      skewMs: Number.isNaN(date) ? null : Math.round(middle - date - HALF_SECOND_MS),
    };
  } catch (error) {
    return { silent: abort.signal.aborted ? `no answer within ${LIMIT_MS / 1_000} s` : reasonOf(error) };
  } finally {
    cancel();
  }
}

/** Of a failed `fetch` only what kind of failure it was: its message repeats the address, which may hold a key. */
function reasonOf(error: unknown): string {
  const { message, cause } = error instanceof Error ? error : new Error(String(error));
  const said = `${message} ${cause instanceof Error ? cause.message : ""}`;
  if (/refused/i.test(said)) return "nothing listens there (connection refused)";
  if (/dns|lookup|resolve|name or service/i.test(said)) return "its name is not known (DNS)";
  if (/certificate|tls|ssl/i.test(said)) return "its certificate is not accepted (TLS)";
  if (/unreachable/i.test(said)) return "its network cannot be reached";
  return "the connection broke";
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
