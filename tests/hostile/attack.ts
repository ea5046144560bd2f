/** What an attack is, and the instance it is made on: a real process with simulated money and loopback alone. */
import { encodeInvoice } from "@/lib/lightning/bolt11.ts";
import type { RouteHint } from "@/lib/lightning/route-hints.ts";
import { type Books } from "../books/books.ts";
import type { Life } from "../crash/process.ts";

export interface Outcome {
  ok: boolean;
  /** What was measured, for a person. */
  figures: string;
}

/** What an attack came to, by its own figures and by the books of the instance once it has ended. */
export interface Attack {
  name: string;
  /** It is given up after so long (ms). */
  limitMs: number;
  run(target: Target): Promise<Outcome>;
  /** Where only the books tell the damage. @param outcome what `run` said. */
  judge?(books: Books, outcome: Outcome): Outcome;
  /** How much more memory than before may be held 60 s later (MB); left out: nobody looks. */
  keptMegabytes?: number;
}

export interface Reply {
  /** 0 when the connection ended without an answer. */
  status: number;
  // The attacks read what the wire says, whatever it is.
  // deno-lint-ignore no-explicit-any
  body: any;
  headers: Headers;
}

export interface Target {
  port: number;
  life: Life;
  /** @param from the caller's address, as a trusted proxy tells it; null: the connection's own. */
  call(
    method: string,
    path: string,
    options?: { body?: BodyInit | object; headers?: Record<string, string>; from?: string | null },
  ): Promise<Reply>;
  /** Memory that lies in RAM (MB). @throws where the system does not tell. */
  megabytes(): Promise<number>;
}

const CALL_MS = 20_000;

export function createTarget(port: number, life: Life, residentMegabytes: (pid: number) => Promise<number | null>) {
  const target: Target = {
    port,
    life,
    async call(method, path, { body, headers = {}, from = null } = {}) {
      const json = typeof body === "object" && Object.getPrototypeOf(body) === Object.prototype;
      try {
        const response = await fetch(`http://127.0.0.1:${port}${path}`, {
          method,
          redirect: "manual",
          signal: AbortSignal.timeout(CALL_MS),
          headers: {
            ...(body !== undefined && { "content-type": "application/json" }),
            ...(from !== null && { "x-forwarded-for": from }),
            ...headers,
          },
          ...(body !== undefined && { body: json ? JSON.stringify(body) : body as BodyInit }),
        });
        const text = await response.text();
        const isJson = response.headers.get("content-type")?.includes("json") && text !== "";
        return { status: response.status, body: isJson ? JSON.parse(text) : text, headers: response.headers };
      } catch (error) {
        return { status: 0, body: String(error), headers: new Headers() };
      }
    },
    async megabytes() {
      const megabytes = await residentMegabytes(life.pid);
      if (megabytes === null) throw new Error("this system does not tell how much memory a process has");
      return megabytes;
    },
  };
  return target;
}

export const pause = (ms: number) => new Promise<void>((resolve) => void setTimeout(resolve, ms));

/** Asks until `ready`, at most `ms`. @returns whether it was. */
export async function until(ready: () => Promise<boolean>, ms: number, everyMs = 20): Promise<boolean> {
  const end = performance.now() + ms;
  while (!(await ready())) {
    if (performance.now() > end) return false;
    await pause(everyMs);
  }
  return true;
}

/** Runs `fn` for 0, 1, 2 … `total − 1`, a few at a time, and begins no more after `ms`. @returns how many were done. */
export async function rounds(total: number, atOnce: number, ms: number, fn: (n: number) => Promise<void>) {
  const end = performance.now() + ms;
  let next = 0;
  let done = 0;
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (next < total && performance.now() < end) {
      await fn(next++);
      done++;
    }
  }));
  return done;
}

/** How often each value came: "201 × 60, 429 × 240". */
export function tally(values: readonly (number | string)[]): string {
  const counts = Map.groupBy(values, (value) => value);
  return [...counts].sort(([a], [b]) => String(a).localeCompare(String(b)))
    .map(([value, all]) => `${value} × ${all.length}`).join(", ");
}

export const megabytes = (value: number): string => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)} MB`;

/** The middle of an odd number of values, or the one above it. NaN of none. */
export const medianOf = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;

/** A caller of its own for each number, of a network for documentation (RFC 5737, RFC 2544). */
export const callerNo = (n: number): string => `198.${18 + (n >> 16 & 1)}.${n >> 8 & 255}.${n & 255}`;

export interface OpenSession {
  id: string;
  path: string;
  headers: { authorization: string };
}

/** Opens a session and pays its deposit. @throws Error that says which step was answered how. */
export async function openSession(target: Target, sats: number, from: string): Promise<OpenSession> {
  const opened = await target.call("POST", "/api/sessions", { body: { amount_sats: sats }, from });
  if (opened.status !== 201) throw new Error(`opening a session was answered ${opened.status}`);
  const { sessionId, invoice } = opened.body;
  const paid = await target.call("POST", `/api/dev/stub/pay/${invoice.paymentHash}`);
  if (paid.status !== 200) throw new Error(`paying a deposit was answered ${paid.status}`);
  const path = `/api/sessions/${sessionId}`;
  let macaroon: string | undefined;
  const active = await until(async () => {
    macaroon = (await target.call("GET", path, { from })).body?.macaroon;
    return macaroon !== undefined;
  }, 10_000);
  if (!active) throw new Error("a paid deposit was not noticed within 10 s");
  return { id: sessionId, path, headers: { authorization: `Bearer ${macaroon}` } };
}

const hex = (bytes: number) =>
  Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** An invoice of the attacker's own node. @param routeHints the ways to it, with the fees it has chosen. */
export function attackersInvoice(sats: number, routeHints: readonly RouteHint[]): string {
  return encodeInvoice({
    prefix: "lnbcrt",
    amountMsat: sats * 1_000,
    paymentHash: hex(32),
    paymentSecret: hex(32),
    memo: "",
    createdAtSeconds: Math.floor(Date.now() / 1_000),
    expirySeconds: 3_600,
    routeHints,
  }, new Uint8Array(32).fill(9));
}
