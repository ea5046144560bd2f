import type { AppMiddleware } from "@/lib/http/create-app.ts";
import { newHandle, type Random } from "@/lib/ids.ts";
import { withFields } from "@/lib/logger.ts";
import { peerAddress, type TrustedProxies } from "./client-address.ts";

/**
 * What an inbound id may look like. Not longer than 40 characters: a job id (46) or a payment hash (64) that a caller
 * put there must not reach the log.
 */
const INBOUND = /^[A-Za-z0-9_.-]{8,40}$/;

/**
 * Gives every request an id: answered as `X-Request-Id`, in every error and on every line of the request's logger.
 * One that comes in is taken over from a trusted proxy only; from anybody else it could be made to collide.
 */
export function requestId(options: { random: Random; trusted: TrustedProxies }): AppMiddleware {
  return async (c, next) => {
    const inbound = c.req.header("X-Request-Id");
    const id = inbound !== undefined && INBOUND.test(inbound) && options.trusted.has(peerAddress(c))
      ? inbound
      : newHandle(options.random);
    c.set("requestId", id);
    c.set("log", withFields(c.get("log"), { requestId: id }));
    c.header("X-Request-Id", id);
    await next();
  };
}
