/** Opening sessions and topping them up: what the session routes and a 402 challenge share. */
import { type Services, simulatedParts } from "@/lib/services.ts";
import { type IdempotencyScope, recall, remember } from "@/lib/tasks/idempotency.ts";
import { newHandle } from "@/lib/ids.ts";
import { challengeHeader } from "@/lib/l402/challenge.ts";
import { macaroonFor, newToken, putToken, revokeToken } from "./tokens.ts";
import {
  createSession,
  isOpen,
  offerTopup,
  pendingTopup,
  type Session,
  type TokenRef,
  type Topup,
  waitingTopup,
} from "./sessions.machine.ts";
import { addInvoice, getInvoice, type InvoiceSummary, newInvoice } from "@/lib/payments/invoices.rows.ts";
import { getSession, openChallenges, putSession, writeSessionStep } from "./sessions.rows.ts";

type SessionDeps = Pick<
  Services,
  "store" | "wallet" | "model" | "clock" | "random" | "recordIds" | "settings"
>;

type Opened =
  | { outcome: "opened" | "known"; session: Session }
  | { outcome: "conflict" }
  /** MAX_OPEN_CHALLENGES wait for their deposit: a paid or expired one makes room. */
  | { outcome: "full" };

/**
 * A new session with the invoice of its deposit and both its tokens, in one commit. The invoice first, since the wallet is
 * outside the transaction: one that nobody ever saw expires and costs nothing.
 * @param about.pubkey the key that owns it: it can be listed and its token read with that key alone.
 * @param about.shownById whether its id shows the token once it is paid. Not for a challenge's: that macaroon is public
 *   before anybody pays and names the session, so whoever saw it could take the token between the payment and its first use.
 * @throws {WalletError}
 */
export async function openSession(
  deps: SessionDeps,
  amountSats: number,
  { scope = null, pubkey = null, shownById = true }: {
    scope?: IdempotencyScope | null;
    pubkey?: string | null;
    shownById?: boolean;
  } = {},
): Promise<Opened> {
  const { store, clock, random, recordIds, settings } = deps;
  const before = scope && await recall(store, scope, clock.now());
  if (before?.outcome === "known") return await known(deps, before.ref);
  if (before?.outcome === "conflict") return { outcome: "conflict" };
  const full = (open: number) => settings.maxOpenChallenges > 0 && open >= settings.maxOpenChallenges;
  if (full(await openChallenges(store))) return { outcome: "full" };

  const deposit = await invoiceFor(deps, amountSats, "Timmy: session");
  const now = clock.now();
  const handle = newHandle(random);
  const about = { session: handle, paymentHash: deposit.paymentHash };
  const challenge = newToken({ random, recordIds }, { kind: "challenge", ...about });
  const bearer = newToken({ random, recordIds }, { kind: "bearer", ...about });
  const session: Session = {
    ...createSession({
      handle,
      pubkey,
      simulated: simulatedParts(deps),
      deposit,
      challengeToken: challenge.ref,
      bearerToken: bearer.ref,
      now,
    }),
    tokenUsed: !shownById,
  };
  const outcome = await store.transact(async (tx) => {
    const taken = scope && await recall(tx, scope, now);
    if (taken?.outcome === "known") return taken;
    if (taken?.outcome === "conflict") return { outcome: "conflict" as const };
    if (full(await openChallenges(tx))) return { outcome: "full" as const };
    if (await getSession(tx, handle)) throw new Error("two sessions drew the same handle");
    await putSession(tx, session, null);
    putToken(tx, challenge);
    putToken(tx, bearer);
    await addInvoice(tx, newInvoice("session-deposit", handle, deposit, now));
    if (scope) await remember(tx, scope, handle, now);
    tx.event({ type: "session_state", handle, state: session.state });
    return { outcome: "opened" as const };
  });
  if (outcome.outcome === "known") return await known(deps, outcome.ref);
  return outcome.outcome === "opened" ? { outcome: "opened", session } : outcome;
}

/** The session that an idempotency key opened, as it was then: the same answer again. */
async function known(deps: SessionDeps, handle: string): Promise<Opened> {
  const session = await getSession(deps.store, handle);
  if (!session) throw new Error("an idempotency key names a session that does not exist");
  return { outcome: "known", session: { ...session, state: "awaiting_payment" } };
}

type Offered =
  | { outcome: "offered" | "pending"; topup: InvoiceSummary }
  | { outcome: "not_open" }
  | { outcome: "conflict" };

/**
 * Offers a top-up; its token is worth what it pays for and no more.
 * @param about.byHolder the session's token was shown for it; else it is a challenge for whoever has the id.
 * @throws {WalletError}
 */
export async function offerTopupOf(
  deps: SessionDeps,
  handle: string,
  amountSats: number,
  { byHolder = false, scope = null }: { byHolder?: boolean; scope?: IdempotencyScope | null } = {},
): Promise<Offered> {
  const { store, clock, random, recordIds } = deps;
  const session = await getSession(store, handle);
  const before = scope && await recall(store, scope, clock.now());
  if (before?.outcome === "conflict") return { outcome: "conflict" };
  if (before?.outcome === "known") return await knownTopup(deps, before.ref);
  if (!session || !isOpen(session, clock.now())) return { outcome: "not_open" };
  const waiting = waitingTopup(session, byHolder);
  if (waiting) return { outcome: "pending", topup: waiting.invoice };
  const invoice = await invoiceFor(deps, amountSats, "Timmy: top-up");
  const now = clock.now();
  const token = newToken({ random, recordIds }, {
    kind: "topup",
    session: handle,
    paymentHash: invoice.paymentHash,
    maxSats: amountSats,
  });
  return await store.transact(async (tx): Promise<Offered> => {
    const current = await getSession(tx, handle);
    if (!current) return { outcome: "not_open" };
    const step = offerTopup(current, { invoice, token: token.ref }, { byHolder, now });
    if (step.outcome === "pending") return { outcome: "pending", topup: step.topup.invoice };
    if (step.outcome !== "applied") return step;
    await writeSessionStep(tx, current, step, now);
    putToken(tx, token);
    await addInvoice(tx, newInvoice("session-topup", handle, invoice, now));
    if (scope) await remember(tx, scope, invoice.paymentHash, now);
    return { outcome: "offered", topup: invoice };
  });
}

/** The top-up that an idempotency key asked for: the same answer again, paid since or not. */
async function knownTopup(deps: SessionDeps, paymentHash: string): Promise<Offered> {
  const invoice = await getInvoice(deps.store, paymentHash);
  if (!invoice) throw new Error("an idempotency key names an invoice that does not exist");
  return { outcome: "offered", topup: invoice };
}

export type Challenge =
  | { outcome: "challenge"; header: string; invoice: InvoiceSummary; session: Session }
  | { outcome: "full" | "ended" | "unknown" };

/** A challenge that opens a new session of L402_DEPOSIT_SATS, for the key that asks when it shows one. @throws {WalletError} */
export async function challengeNew(deps: SessionDeps, pubkey: string | null): Promise<Challenge> {
  const opened = await openSession(deps, deps.settings.l402DepositSats, { pubkey, shownById: false });
  if (opened.outcome === "full" || opened.outcome === "conflict") return { outcome: "full" };
  return await challengeWith(deps, opened.session, opened.session.deposit, opened.session.challengeToken);
}

/** A challenge for a session that exists: its unpaid deposit, or else a top-up. @throws {WalletError} */
export async function challengeOf(deps: SessionDeps, handle: string): Promise<Challenge> {
  const session = await getSession(deps.store, handle);
  if (!session) return { outcome: "unknown" };
  if (session.state === "awaiting_payment") {
    return await challengeWith(deps, session, session.deposit, session.challengeToken);
  }
  const offered = await offerTopupOf(deps, handle, deps.settings.l402DepositSats);
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
  token: Topup["token"],
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

/**
 * New tokens in place of all the old ones, narrowed ones included: for a holder whose token got into wrong hands.
 * @returns the new bearer macaroon, or null when there is no such session.
 */
export async function rotateTokens(deps: SessionDeps, handle: string): Promise<string | null> {
  const { store, random, recordIds } = deps;
  const session = await getSession(store, handle);
  if (!session) return null;
  const about = { session: handle, paymentHash: session.deposit.paymentHash };
  const challenge = newToken({ random, recordIds }, { kind: "challenge", ...about });
  const bearer = newToken({ random, recordIds }, { kind: "bearer", ...about });
  // A top-up that waits to be paid needs a token, too: without one, its challenge could not be handed out any more.
  const renewed = [session.topup, session.offer].filter((topup) => topup !== null).map(({ invoice }) => {
    const { paymentHash, amountSats: maxSats } = invoice;
    return {
      invoice,
      token: newToken({ random, recordIds }, { kind: "topup", session: handle, paymentHash, maxSats }),
    };
  });
  await store.transact(async (tx) => {
    const current = await getSession(tx, handle);
    if (!current) return;
    const renew = (topup: Topup | null): Topup | null => {
      const found = renewed.find(({ invoice }) => invoice.paymentHash === topup?.invoice.paymentHash);
      if (!found) return null;
      putToken(tx, found.token);
      return { invoice: found.invoice, token: found.token.ref };
    };
    for (const ref of tokensOf(current)) revokeToken(tx, ref);
    putToken(tx, challenge);
    putToken(tx, bearer);
    const next = {
      ...current,
      topup: renew(current.topup),
      offer: renew(current.offer),
      challengeToken: challenge.ref,
      bearerToken: bearer.ref,
      topupTokens: [],
      tokenUsed: true,
    };
    await putSession(tx, next, current);
  });
  return await macaroonFor(store, bearer.ref);
}

/** Which sessions' tokens were used by reads: in memory, since reads write nothing. Any spending is written down. */
export interface UsedSessions {
  add(handle: string): void;
  has(handle: string): boolean;
}

/** Sessions remembered; the oldest is forgotten first. */
const MAX_USED = 100_000;

export function createUsedSessions(): UsedSessions {
  const used = new Set<string>();
  return {
    add(handle) {
      if (used.size >= MAX_USED) used.delete(used.values().next().value as string);
      used.add(handle);
    },
    has: (handle) => used.has(handle),
  };
}

/** Every token that opens this session. */
export const tokensOf = (session: Session): TokenRef[] => [
  session.challengeToken,
  session.bearerToken,
  ...session.topupTokens,
  ...[session.topup, session.offer].filter((topup) => topup !== null).map(({ token }) => token),
];

async function invoiceFor(deps: SessionDeps, amountSats: number, memo: string): Promise<InvoiceSummary> {
  const created = await deps.wallet.createInvoice({
    amountSats,
    memo,
    expirySeconds: deps.settings.invoiceExpirySeconds,
  });
  return { ...created, amountSats };
}
