/** Top-ups and challenges: how whoever is short, or has no token at all, may pay. */
import type { Services } from "@/lib/services.ts";
import { challengeHeader } from "@/lib/l402/challenge.ts";
import { addInvoice, getInvoice, type InvoiceSummary, newInvoice } from "@/lib/payments/invoices.rows.ts";
import { type IdempotencyScope, recall, remember } from "@/lib/tasks/idempotency.ts";
import { invoiceFor, openSession, type SessionDeps } from "./open.ts";
import { isOpen, offerTopup, type Session } from "./sessions.machine.ts";
import { getSession, putSession, writeSessionStep } from "./sessions.rows.ts";
import {
  OWNER,
  pendingTopup,
  STRANGER,
  takeOffer,
  type TokenRef,
  type TopupAsker,
  topupsFullUntil,
  type TopupWish,
  waitingTopup,
} from "./topups.rules.ts";
import { macaroonFor, type NewToken, newToken, putToken, type VerifiedToken } from "./tokens.ts";

type Offered =
  | { outcome: "offered" | "pending"; topup: InvoiceSummary }
  | { outcome: "not_open" }
  | { outcome: "conflict" }
  /** Too many wait to be paid; there is room again at `until` (ms since the epoch). */
  | { outcome: "full"; until: number };

interface TopupAsk {
  sats: number;
  /** The token that asks; null: whoever asks has no more than the session's id. */
  token: VerifiedToken | null;
  /** Asked for by `POST …/topup`; else a 402 offers it. */
  asked: boolean;
  scope?: IdempotencyScope | null;
  /** Called before an invoice is made: what it throws ends the offer. */
  counted?: () => void;
}

/** Every token that owns the session is one asker; a narrowed one, and one that a top-up paid for, each stand for themselves. */
export const askerOf = (token: VerifiedToken | null): TopupAsker =>
  token === null ? STRANGER : token.owner ? OWNER : token.name;

/**
 * Offers a top-up, or the one that waits already. Its token opens as much as the one it was asked with and counts under the same
 * allowances, so that topping up gives nobody a new limit; asked for with the session's id alone, it is worth what it pays for.
 * @throws {WalletError}
 */
export async function offerTopupOf(
  deps: SessionDeps,
  handle: string,
  { sats, token, asked, scope = null, counted }: TopupAsk,
): Promise<Offered> {
  const { store, clock } = deps;
  const wish: TopupWish = { by: askerOf(token), asked, sats };
  const before = scope && await recall(store, scope, clock.now());
  if (before?.outcome === "conflict") return { outcome: "conflict" };
  if (before?.outcome === "known") return await knownTopup(deps, before.ref);
  const known = await withoutInvoice(deps, handle, wish, scope);
  if (known) return known;
  counted?.();
  const invoice = await invoiceFor(deps, sats, "Timmy: top-up");
  const now = clock.now();
  const made = topupToken(deps, handle, invoice, token);
  const raises = token?.allowances.find(({ paidFor }) => paidFor)?.name ?? null;
  return await store.transact(async (tx): Promise<Offered> => {
    const current = await getSession(tx, handle);
    if (!current) return { outcome: "not_open" };
    const step = offerTopup(current, { invoice, token: made.ref, by: wish.by, asked, raises }, now);
    if (step.outcome === "pending") return { outcome: "pending", topup: step.topup.invoice };
    if (step.outcome !== "applied") return step;
    await writeSessionStep(tx, current, step, now);
    putToken(tx, made);
    await addInvoice(tx, newInvoice("session-topup", handle, invoice, now));
    if (scope) await remember(tx, scope, invoice.paymentHash, now);
    return { outcome: "offered", topup: invoice };
  });
}

/** The answer for which no invoice has to be made; null: one has. */
async function withoutInvoice(
  { store, clock }: Pick<Services, "store" | "clock">,
  handle: string,
  wish: TopupWish,
  scope: IdempotencyScope | null,
): Promise<Offered | null> {
  const session = await getSession(store, handle);
  const now = clock.now();
  if (!session || !isOpen(session, now)) return { outcome: "not_open" };
  const waiting = waitingTopup(session, wish, now);
  if (waiting) return { outcome: "pending", topup: waiting.invoice };
  if (wish.asked && takeOffer(session, wish, now)) {
    return await store.transact(async (tx) => {
      const current = await getSession(tx, handle);
      const taken = current && takeOffer(current, wish, now);
      if (!taken) return null; // paid this very moment
      await putSession(tx, { ...current, topups: taken.topups }, current);
      if (scope) await remember(tx, scope, taken.topup.invoice.paymentHash, now);
      return { outcome: "offered", topup: taken.topup.invoice };
    });
  }
  const until = topupsFullUntil(session, wish);
  return until === null ? null : { outcome: "full", until };
}

function topupToken(
  deps: SessionDeps,
  session: string,
  { paymentHash, amountSats }: InvoiceSummary,
  token: VerifiedToken | null,
): NewToken {
  const about = { kind: "topup" as const, session, paymentHash };
  if (token === null) return newToken(deps, { ...about, maxSats: amountSats });
  const { name, owner, allowances, caveats } = token;
  return newToken(deps, { ...about, standsFor: { name, owner, allowances }, caveats });
}

/** The top-up that an idempotency key asked for: the same answer again, paid since or not. */
async function knownTopup(deps: SessionDeps, paymentHash: string): Promise<Offered> {
  const invoice = await getInvoice(deps.store, paymentHash);
  if (!invoice) throw new Error("an idempotency key names an invoice that does not exist");
  return { outcome: "offered", topup: invoice };
}

// ---- challenges ----------------------------------------------------------------------------------------------------

export type Challenge =
  | { outcome: "challenge"; header: string; invoice: InvoiceSummary; session: Session }
  | { outcome: "no_room" | "ended" | "unknown" }
  | { outcome: "full"; until: number };

/** A challenge that opens a new session of `sats`, for the key that asks when it shows one. @throws {WalletError} */
export async function challengeNew(deps: SessionDeps, sats: number, pubkey: string | null): Promise<Challenge> {
  const opened = await openSession(deps, sats, { pubkey, shownById: false });
  if (opened.outcome === "full" || opened.outcome === "conflict") return { outcome: "no_room" };
  return await challengeWith(deps, opened.session, opened.session.deposit, opened.session.challengeToken);
}

/** A challenge for a session that exists: its unpaid deposit, or else a top-up. @throws {WalletError} */
export async function challengeOf(
  deps: SessionDeps,
  handle: string,
  ask: Pick<TopupAsk, "sats" | "token" | "counted">,
): Promise<Challenge> {
  const session = await getSession(deps.store, handle);
  if (!session) return { outcome: "unknown" };
  if (session.state === "awaiting_payment") {
    return await challengeWith(deps, session, session.deposit, session.challengeToken);
  }
  const offered = await offerTopupOf(deps, handle, { ...ask, asked: false });
  if (offered.outcome === "full") return offered;
  if (!("topup" in offered)) return { outcome: "ended" };
  const now = await getSession(deps.store, handle);
  const topup = now && pendingTopup(now, offered.topup.paymentHash);
  if (!topup) return { outcome: "ended" }; // paid this very moment
  return await challengeWith(deps, session, topup.invoice, topup.token);
}

async function challengeWith(
  deps: SessionDeps,
  session: Session,
  invoice: InvoiceSummary,
  token: TokenRef,
): Promise<Challenge> {
  const macaroon = await macaroonFor(deps.store, token);
  if (macaroon === null) return { outcome: "ended" };
  return {
    outcome: "challenge",
    header: challengeHeader({ macaroon, invoice: invoice.paymentRequest }),
    invoice,
    session,
  };
}
