import { cors } from "hono/cors";
import { secureHeaders } from "hono/secure-headers";
import { type Clock, DeadlineExceeded, withDeadline } from "@/lib/clock.ts";
import type { AppMiddleware } from "@/lib/http/create-app.ts";
import { payloadTooLarge, requestTimeout } from "@/lib/http/errors.ts";
import { isOpenAiPath } from "@/lib/http/openai-errors.ts";
import type { Random } from "@/lib/ids.ts";
import { clientAddress, type TrustedProxies } from "./client-address.ts";
import { rateLimit } from "./rate-limit.ts";
import { requestId } from "./request-id.ts";
import { requestLog } from "./request-log.ts";

/** The largest body any route takes, in bytes; a conversation may be longer than that. */
export const MAX_BODY_BYTES = 64 * 1024;
export const MAX_CHAT_BODY_BYTES = 1024 * 1024;
/** How long a body may take to arrive (ms). */
const BODY_MS = 30_000;

export interface StandardOptions {
  clock: Clock;
  random: Random;
  /** `PUBLIC_ORIGIN`; https turns HSTS on. */
  publicOrigin: string;
  /** Origins whose pages may call this API; ["*"] is any. No cookies are used, so none is ever sent along. */
  corsOrigins: readonly string[];
  trustedProxies: TrustedProxies;
  /** `RATE_LIMIT_PER_MINUTE`; 0 is off. */
  rateLimitPerMinute: number;
}

/**
 * What every request goes through before its route, in this order:
 * 1. an id, so that everything after it can be traced;
 * 2. the log line, which then covers every answer, refusals included;
 * 3. security headers and 4. CORS, so that refusals carry them too and a page can read them;
 * 5. who is calling and 6. how often: before anything of the body is read, so that a caller over the limit costs nothing;
 * 7. the body: its size, declared or not, and how long it may take to arrive.
 */
export function standardMiddlewares(options: StandardOptions): AppMiddleware[] {
  return [
    requestId({ random: options.random, trusted: options.trustedProxies }),
    requestLog({ clock: options.clock, quiet: ["/api/health", "/api/health/ready"] }),
    securityHeaders(options.publicOrigin),
    crossOrigin(options.corsOrigins),
    clientAddress(options.trustedProxies),
    rateLimit({ perMinute: options.rateLimitPerMinute, clock: options.clock, exempt: ["/api/health"] }),
    receiveBody(options.clock),
  ];
}

/**
 * Everything a page of ours needs comes from this origin: no inline script, no CDN, no frame around it.
 * The images of the API page are data: URLs in its style sheet.
 */
function securityHeaders(publicOrigin: string): AppMiddleware {
  return secureHeaders({
    contentSecurityPolicy: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'"],
      imgSrc: ["'self'", "data:"],
      fontSrc: ["'self'"],
      connectSrc: ["'self'"],
      baseUri: ["'none'"],
      formAction: ["'none'"],
      frameAncestors: ["'none'"],
    },
    xFrameOptions: "DENY",
    referrerPolicy: "no-referrer",
    // A browser remembers it for months: never over plain http, where it would lock the operator out of localhost.
    strictTransportSecurity: publicOrigin.startsWith("https://") ? "max-age=15552000" : false,
  });
}

/** Headers a page on another origin may read besides the basic ones. */
const EXPOSED = [
  "X-Request-Id",
  "Retry-After",
  "WWW-Authenticate",
  "Location",
  "X-Timmy-Request-Id",
  "X-Timmy-Debited-Sats",
  "X-Timmy-Balance-Sats",
  "X-Timmy-Held-Sats",
];

function crossOrigin(origins: readonly string[]): AppMiddleware {
  return cors({
    origin: origins.includes("*") ? "*" : [...origins],
    allowMethods: ["GET", "HEAD", "POST"],
    exposeHeaders: EXPOSED,
    maxAge: 3600,
    // allowHeaders is left out on purpose: what a preflight asks for is allowed (clients such as the openai package
    // send headers of their own). Headers give no right here that a caller outside a browser would not have.
  });
}

/**
 * Takes the whole body in before anything else happens: 413 above the limit, whether the length was declared or only shows
 * while it arrives; 408 for one that does not arrive in time, since a caller that trickles it must not hold memory for ever
 * (the socket itself is Deno's, which keeps it open until the caller leaves). Own code, because hono's body limit reads a
 * body of unknown length to its end, however long that takes.
 */
function receiveBody(clock: Clock): AppMiddleware {
  return async (c, next) => {
    const { body, headers } = c.req.raw;
    if (body) {
      const maxBytes = isOpenAiPath(c.req.path) ? MAX_CHAT_BODY_BYTES : MAX_BODY_BYTES;
      const declared = headers.has("transfer-encoding") ? null : declaredLength(headers);
      if (declared !== null && declared > maxBytes) throw payloadTooLarge(maxBytes);
      const reading = declared === null ? readAll(body, maxBytes) : readDeclared(c.req.raw);
      try {
        const bytes = await withDeadline(clock, BODY_MS, "reading the body", reading.bytes);
        c.req.raw = new Request(c.req.raw, { body: bytes });
        c.set("rawBody", bytes);
      } catch (error) {
        reading.cancel(); // the rest is of no use; the caller may be gone
        if (error instanceof DeadlineExceeded) throw requestTimeout(BODY_MS);
        throw error;
      }
    }
    await next();
  };
}

/** The body's length in bytes; null when none is declared, or in a form that tells nothing ("5, 5" of two lines). */
function declaredLength(headers: Headers): number | null {
  const text = headers.get("content-length") ?? "";
  return /^\d+$/.test(text) ? Number(text) : null;
}

interface Reading {
  bytes: Promise<Uint8Array<ArrayBuffer>>;
  /** No more is read. */
  cancel(): void;
}

/**
 * A body whose length is known, read by the platform into a buffer of just that size: a stream's reader would bring 64 KiB for
 * each. It cannot be told to stop; what is late goes on arriving into that buffer until the caller leaves.
 */
function readDeclared(request: Request): Reading {
  const bytes = request.arrayBuffer().then((buffer) => new Uint8Array(buffer));
  return { bytes, cancel: () => void bytes.catch(() => {}) };
}

/** All that comes of a body of unknown length; 413 as soon as it is more than `maxBytes`. */
function readAll(body: ReadableStream<Uint8Array>, maxBytes: number): Reading {
  const reader = body.getReader();
  return { bytes: readUpTo(reader, maxBytes), cancel: () => void reader.cancel().catch(() => {}) };
}

async function readUpTo(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  let bytes = new Uint8Array(0);
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return bytes.subarray(0, size);
    if (size + value.length > maxBytes) throw payloadTooLarge(maxBytes);
    if (size + value.length > bytes.length) {
      const grown = new Uint8Array(Math.min(maxBytes, Math.max(size + value.length, bytes.length * 2)));
      grown.set(bytes.subarray(0, size));
      bytes = grown;
    }
    bytes.set(value, size);
    size += value.length;
  }
}
