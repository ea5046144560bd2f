import type { AppDeps } from "@/lib/http/app-deps.ts";
import type { AppRouteHandler } from "@/lib/http/create-app.ts";
import { badRequest } from "@/lib/http/errors.ts";
import { paymentSchema, type WebhookRoute } from "./lightning.routes.ts";

export const webhook: AppRouteHandler<WebhookRoute, AppDeps> = (c) => {
  const body = c.req.valid("json");
  const payment = paymentSchema.safeParse(typeof body === "string" ? parsed(body) : body);
  if (!payment.success) throw badRequest("not_a_payment", "The body names no payment_hash of 64 hex digits.");
  c.get("deps").settlements.hint(payment.data.payment_hash.toLowerCase());
  return c.body(null, 204);
};

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
