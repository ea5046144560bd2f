import type { AppMiddleware } from "@/lib/http/create-app.ts";
import { badRequest } from "@/lib/http/errors.ts";

/** A name, an IPv4 address or an IPv6 address in brackets, and perhaps a port. */
const HOST = /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i;

const isHost = (text: string): boolean => HOST.test(text) && URL.canParse(`http://${text}`);

/**
 * 400 for a Host header, or an authority in the request's own line, that is not `host[:port]`. The request's address is put together
 * from it: with `Host: x/api/health?` a request for anything is a request for `/api/health`, past the checks of what it was for.
 * A request without the header passes: its address has the server's own name.
 */
export const validHost: AppMiddleware = async (c, next) => {
  const { url, headers } = c.req.raw;
  const start = url.indexOf("//") + 2;
  const authority = url.slice(start, url.indexOf("/", start));
  if (!isHost(headers.get("host") ?? authority) || !isHost(authority)) {
    throw badRequest(
      "invalid_host",
      "The Host header must be a host name or address, perhaps with a port: example.com:8080.",
    );
  }
  await next();
};
