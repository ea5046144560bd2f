/** Opening sessions, and their tokens anew: what the session routes and a 402 challenge share. */
import { type Services, simulatedParts } from "@/lib/services.ts";
import { type IdempotencyScope, recall, remember } from "@/lib/tasks/idempotency.ts";
import { newHandle } from "@/lib/ids.ts";
import { getToken, macaroonFor, newToken, putToken, renewedToken, revokeToken } from "./tokens.ts";
import { createSession, type Session } from "./sessions.machine.ts";
import { OWNER, STRANGER, type TokenRef, type Topup } from "./topups.rules.ts";
import { addInvoice, type InvoiceSummary, newInvoice } from "@/lib/payments/invoices.rows.ts";
import { askAddress } from "@/lib/payments/lnurl.ts";
import { challengesFull } from "@/lib/payments/open-challenges.rows.ts";
import { getSession, putSession } from "./sessions.rows.ts";

export type SessionDeps = Pick<
  Services,
  "store" | "wallet" | "model" | "clock" | "random" | "recordIds" | "settings" | "publicFetch"
>;

type Opened =
  | { outcome: "opened" | "known"; session: Session }
  | { outcome: "conflict" }
  /** MAX_OPEN_CHALLENGES wait to be paid: a paid or expired one makes room. */
  | { outcome: "full" };

/**
 * A new session with the invoice of its deposit and both its tokens, in one commit. The invoice first, since the wallet is
 * outside the transaction: one that nobody ever saw expires and costs nothing.
 * @param about.pubkey the key that owns it: it can be listed and its token read with that key alone.
 * @param about.shownById whether its id shows the token once it is paid. Not for a challenge's: that macaroon is public
 *   before anybody pays and names the session, so whoever saw it could take the token between the payment and its first use.
 * @param about.lightningAddress where its balance goes when it ends; its server is asked whether it can be paid.
 * @throws {WalletError}
 * @throws {LnurlError} when the address cannot be paid to
 */
export async function openSession(
  deps: SessionDeps,
  amountSats: number,
  { scope = null, pubkey = null, shownById = true, lightningAddress = null }: {
    scope?: IdempotencyScope | null;
    pubkey?: string | null;
    shownById?: boolean;
    lightningAddress?: string | null;
  } = {},
): Promise<Opened> {
  const { store, clock, random, recordIds, settings } = deps;
  const before = scope && await recall(store, scope, clock.now());
  if (before?.outcome === "known") return await known(deps, before.ref);
  if (before?.outcome === "conflict") return { outcome: "conflict" };
  if (await challengesFull(store, settings.maxOpenChallenges)) return { outcome: "full" };

  if (lightningAddress !== null) await askAddress(deps.publicFetch, lightningAddress);
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
      lightningAddress,
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
    if (await challengesFull(tx, settings.maxOpenChallenges)) return { outcome: "full" as const };
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
  await store.transact(async (tx) => {
    const current = await getSession(tx, handle);
    if (!current) return;
    const topups: Topup[] = [];
    for (const topup of current.topups) {
      // Who asked with a narrowed token cannot come back for it; a payment of it still counts for the session.
      if (topup.by !== OWNER && topup.by !== STRANGER) continue;
      const row = await getToken(tx, topup.token);
      if (!row) continue;
      const renewed = renewedToken(random, row);
      putToken(tx, renewed);
      topups.push({ ...topup, token: renewed.ref });
    }
    for (const ref of tokensOf(current)) revokeToken(tx, ref);
    putToken(tx, challenge);
    putToken(tx, bearer);
    const next = {
      ...current,
      topups,
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
  ...session.topups.map(({ token }) => token),
];

/** @throws {WalletError} */
export async function invoiceFor(deps: SessionDeps, amountSats: number, memo: string): Promise<InvoiceSummary> {
  const created = await deps.wallet.createInvoice({
    amountSats,
    memo,
    expirySeconds: deps.settings.invoiceExpirySeconds,
  });
  return { ...created, amountSats };
}
