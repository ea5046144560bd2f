import { cors } from "hono/cors";
import { secureHeaders } from "hono/secure-headers";
import type { Clock } from "@/lib/clock.ts";
import type { AppMiddleware } from "@/lib/http/create-app.ts";
import type { Random } from "@/lib/ids.ts";
import { answerHeaders } from "./answer-headers.ts";
import { clientAddress, type TrustedProxies } from "./client-address.ts";
import { validHost } from "./host.ts";
import { rateLimit } from "./rate-limit.ts";
import { BODY_LIMITS, type BodyLimits, dropUnread, receiveBody } from "./receive-body.ts";
import { requestId } from "./request-id.ts";
import { type Answered, requestLog } from "./request-log.ts";
import { validText } from "./valid-text.ts";

export interface StandardOptions {
  clock: Clock;
  /** Told of every answer, once its head is ready. */
  answered?: (answer: Answered) => void;
  random: Random;
  /** `PUBLIC_ORIGIN`; https turns HSTS on. */
  publicOrigin: string;
  /** Origins whose pages may call this API; ["*"] is any. No cookies are used, so none is ever sent along. */
  corsOrigins: readonly string[];
  trustedProxies: TrustedProxies;
  /** `RATE_LIMIT_PER_MINUTE`; 0 is off. */
  rateLimitPerMinute: number;
  /** Default: {@link BODY_LIMITS}. */
  bodies?: BodyLimits;
}

/**
 * What every request goes through before its route, in this order:
 * 1. an id, so that everything after it can be traced;
 * 2. the log line, which then covers every answer, refusals included;
 * 3. the rest of a body that was refused, whoever refuses it;
 * 4. security headers, 5. what may be kept of the answer, and 6. CORS, so that refusals carry them too and a page can read them;
 * 7. the Host, before anything looks at the path;
 * 8. who is calling and 9. how often: before anything of the body is read, so that a caller over the limit costs nothing;
 * 10. the body: its size, declared or not, and how long it may take to arrive;
 * 11. that body and query are Unicode text.
 */
export function standardMiddlewares(options: StandardOptions): AppMiddleware[] {
  const { clock, trustedProxies } = options;
  return [
    requestId({ random: options.random, trusted: trustedProxies }),
    requestLog({
      clock,
      quiet: ["/api/health", "/api/health/ready", "/metrics"],
      ...(options.answered && { answered: options.answered }),
    }),
    dropUnread(clock),
    securityHeaders(options.publicOrigin),
    answerHeaders,
    crossOrigin(options.corsOrigins),
    validHost,
    clientAddress(trustedProxies),
    rateLimit({ perMinute: options.rateLimitPerMinute, clock, exempt: ["/api/health"] }),
    receiveBody(clock, options.bodies ?? BODY_LIMITS),
    validText,
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
  "X-Timmy-Max-Tokens",
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
