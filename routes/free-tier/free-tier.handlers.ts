import type { AppDeps } from "@/lib/http/app-deps.ts";
import type { AppRouteHandler } from "@/lib/http/create-app.ts";
import { type IdempotencyScope, idempotencyScope, recall, remember } from "@/lib/tasks/idempotency.ts";
import { keyTaken } from "@/lib/http/errors.ts";
import { newHandle } from "@/lib/ids.ts";
import type { Reader } from "@/lib/store/store.ts";
import { addInvoice, getInvoice, type Invoice, invoiceBody, newInvoice } from "@/lib/payments/invoices.rows.ts";
import { poolBalance, subsidizedToday } from "@/lib/free-tier/pool.rows.ts";
import { identityOf } from "@/middlewares/identity.ts";
import type { DonateRoute, GetFreeTierRoute } from "./free-tier.routes.ts";

export const getFreeTier: AppRouteHandler<GetFreeTierRoute, AppDeps> = async (c) => {
  const { store, clock, settings } = c.get("deps");
  const { new: fresh, established, trusted, elite } = settings.freeTier.config.dailySats;
  return c.json({
    pool: { balanceSats: await poolBalance(store) },
    dailyBudgets: { new: fresh, established, trusted, elite },
    grantedTodaySats: await subsidizedToday(store, clock.now()),
  }, 200);
};

export const donate: AppRouteHandler<DonateRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const { amount_sats: amountSats } = c.req.valid("json");
  const pubkey = await identityOf(c);
  const key = c.req.valid("header")["idempotency-key"];
  const scope = key === undefined ? null : idempotencyScope({
    route: "POST /api/free-tier/donate",
    credential: pubkey ?? c.get("clientAddress"),
    key,
    body: { amountSats },
  });
  const invoice = scope
    ? await deps.oneAtATime(scope.id, () => offer(deps, amountSats, scope))
    : await offer(deps, amountSats, null);
  return c.json({
    invoice: invoiceBody(invoice),
    stubMode: deps.wallet.simulated,
    simulated: deps.wallet.simulated ? ["lightning"] : [],
  }, 201);
};

/**
 * The invoice first, since the wallet is outside the transaction: one that nobody ever saw expires and costs nothing.
 * @throws {WalletError}
 */
async function offer(deps: AppDeps, amountSats: number, scope: IdempotencyScope | null): Promise<Invoice> {
  const { store, wallet, clock, random, settings } = deps;
  const before = scope && await taken(store, scope, clock.now());
  if (before) return before;
  const expirySeconds = settings.invoiceExpirySeconds;
  const created = await wallet.createInvoice({ amountSats, memo: "Timmy: gift to the pool", expirySeconds });
  const now = clock.now();
  const ref = newHandle(random); // a gift has no record of its own: this names it in events
  const invoice = newInvoice("pool-donation", ref, { ...created, amountSats }, now);
  return await store.transact(async (tx) => {
    const known = scope && await taken(tx, scope, now);
    if (known) return known;
    await addInvoice(tx, invoice);
    if (scope) await remember(tx, scope, invoice.paymentHash, now);
    return invoice;
  });
}

/** The invoice that this key asked for before. @throws {ApiError} 409 when it asked for another amount. */
async function taken(reader: Reader, scope: IdempotencyScope, now: number): Promise<Invoice | null> {
  const before = await recall(reader, scope, now);
  if (before.outcome === "conflict") throw keyTaken("donation");
  if (before.outcome !== "known") return null;
  const invoice = await getInvoice(reader, before.ref);
  if (!invoice) throw new Error("an idempotency key names an invoice that does not exist");
  return invoice;
}
