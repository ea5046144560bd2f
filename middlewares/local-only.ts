import { notFound } from "@/lib/http/errors.ts";
import type { AppMiddleware } from "@/lib/http/create-app.ts";
import { peerAddress } from "./client-address.ts";

const LOOPBACK_HOST = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;
const LOOPBACK_PEER = /^(127(\.\d{1,3}){3}|::1|::ffff:127(\.\d{1,3}){3})$/;
const FORWARDED = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via", "cf-connecting-ip"];

/**
 * 404 for everybody but a program on this machine. In order:
 * 1. the peer is loopback: nobody else on the network;
 * 2. the Host is loopback: no page whose name was made to point here (DNS rebinding), no tunnel that keeps its name;
 * 3. no Origin: no page in a browser on this machine, whose every cross-origin POST has one;
 * 4. nothing a proxy adds: no reverse proxy or tunnel in front.
 * A raw tunnel whose caller forges the Host passes: the development routes are for development.
 */
export function localOnly(): AppMiddleware {
  return async (c, next) => {
    const peer = peerAddress(c);
    const local = (peer === undefined || LOOPBACK_PEER.test(peer)) &&
      LOOPBACK_HOST.test(c.req.header("host") ?? new URL(c.req.url).host) &&
      c.req.header("origin") === undefined && FORWARDED.every((name) => c.req.header(name) === undefined);
    if (!local) throw notFound();
    await next();
  };
}
