import type { AppMiddleware } from "@/lib/http/create-app.ts";
import { badRequest } from "@/lib/http/errors.ts";
import { bodyFault, queryFault } from "@/lib/http/unicode.rules.ts";

/**
 * 400 for a body or a query that is not valid Unicode, whatever it is for. JSON and queries are read leniently: such text would be
 * altered silently, or be passed on to providers that refuse it after it was paid for.
 */
export const validText: AppMiddleware = async (c, next) => {
  const { url } = c.req.raw;
  const bytes = c.get("rawBody");
  const from = url.indexOf("?");
  const fault = (from < 0 ? null : queryFault(url.slice(from))) ?? (bytes ? bodyFault(bytes) : null);
  if (fault) throw badRequest("invalid_unicode", fault);
  await next();
};
