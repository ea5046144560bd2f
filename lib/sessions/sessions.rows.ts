import { plan } from "@/lib/tasks/due.ts";
import type { Key, Reader, Tx } from "@/lib/store/store.ts";
import { readable, type Shape } from "@/lib/store/readable.ts";
import type { SessionRequest } from "./requests.machine.ts";
import { sessionAccount } from "@/lib/ledger/accounts.ts";
import type { NoStep, Session, SessionStep } from "./sessions.machine.ts";
import { accountKey, balance, post } from "@/lib/ledger/ledger.rows.ts";
import { countChallenge } from "@/lib/payments/open-challenges.rows.ts";
import { INVOICE_SUMMARY } from "@/lib/payments/invoices.rows.ts";
import { putRefund } from "@/lib/payments/refunds.rows.ts";

export const sessionKey = (handle: string): Key => ["session", handle];
export const sessionRequests = (handle: string): Key => ["session_request", handle];
export const requestKey = (handle: string, requestId: string): Key => [...sessionRequests(handle), requestId];
const resultKey = (requestId: string): Key => ["session_result", requestId];
/** What was charged and is held under one narrowing of a token. */
const allowanceKey = (name: string): Key => ["allowance", name];

/** The answer, beside its request, so that a history never reads long texts. */
interface RequestResult {
  v: 1;
  text: string;
}

interface Counted {
  v: 1;
  spentSats: number;
  reservedSats: number;
}

const tokenRef = { tokenHash: "text", tokenId: "text" } as const;
export const SESSION: Shape<Session> = {
  handle: "text",
  state: ["awaiting_payment", "active", "paused", "expired", "closed"],
  createdAt: "whole",
  pubkey: "text?",
  simulated: "list",
  deposit: INVOICE_SUMMARY,
  depositPaid: "flag",
  topups: "list",
  challengeToken: tokenRef,
  bearerToken: tokenRef,
  topupTokens: "list",
  tokenUsed: "flag",
  running: "count",
  reservedSats: "count",
  spentSats: "count",
  modelCostSats: "count",
  poolShareSats: "count",
  feesSats: "count",
  expiresAt: "whole?",
  refundIds: "list",
  ends: "count",
};
export const SESSION_REQUEST: Shape<SessionRequest> = {
  id: "text",
  session: "text",
  mode: ["request", "chat"],
  state: ["running", "complete", "rejected", "failed", "interrupted"],
  at: "whole",
  model: "text",
  quote: {},
  reservedSats: "count",
  grantedSats: "count",
  adviceSats: "count",
  token: "text",
  allowances: "list",
  actualSats: "count",
  chargeSats: "whole",
  subsidySats: "count",
};

/** @throws {UnreadableRow} */
export async function getSession(reader: Reader, handle: string): Promise<Session | null> {
  const key = sessionKey(handle);
  return readable(SESSION, key, await reader.get<Session>(key));
}
/** @throws {UnreadableRow} */
export async function getRequest(reader: Reader, handle: string, id: string): Promise<SessionRequest | null> {
  const key = requestKey(handle, id);
  return readable(SESSION_REQUEST, key, await reader.get<SessionRequest>(key));
}
export const getResult = (reader: Reader, id: string): Promise<RequestResult | null> =>
  reader.get<RequestResult>(resultKey(id));

/** What chats draw on a session while this process does them: how many run, and what they may cost. */
export interface Drawn {
  v: 1;
  running: number;
  reservedSats: number;
}
const NOTHING_DRAWN: Drawn = { v: 1, running: 0, reservedSats: 0 };
export const chatsKey = (handle: string): Key => ["session_chats", handle];
/** What chats that run hold of a session: the row at {@link chatsKey}, when there is one. */
export const chatsOf = async (reader: Reader, handle: string): Promise<Drawn> =>
  await reader.get<Drawn>(chatsKey(handle)) ?? NOTHING_DRAWN;

/** Sats a session may spend now: what running requests and chats may cost is not among them. */
export const spendable = async (reader: Reader, handle: string): Promise<number> =>
  await balance(reader, sessionAccount(handle)) - (await chatsOf(reader, handle)).reservedSats;

/** A session with the chats that run on it: it cannot be closed under them, nor expire. */
export async function withChats(reader: Reader, session: Session): Promise<Session> {
  const { running, reservedSats } = await chatsOf(reader, session.handle);
  return running === 0 ? session : {
    ...session,
    running: session.running + running,
    reservedSats: session.reservedSats + reservedSats,
  };
}

/** Counts a chat that begins (`running` 1) or ends (-1), in memory, with the narrowings its token spends under. */
export async function countChat(
  tx: Tx,
  handle: string,
  { running, reservedSats, allowances }: { running: 1 | -1; reservedSats: number; allowances: readonly string[] },
): Promise<void> {
  for (const key of [chatsKey(handle), ...allowances.map(allowanceChatsKey)]) {
    const row = await tx.get<Drawn>(key) ?? NOTHING_DRAWN;
    const next: Drawn = {
      v: 1,
      running: row.running + running,
      reservedSats: row.reservedSats + running * reservedSats,
    };
    if (next.running > 0) tx.setVolatile(key, next);
    else tx.deleteVolatile(key);
  }
}
const allowanceChatsKey = (name: string): Key => ["allowance_chats", name];
export const balanceKey = (handle: string): Key => accountKey(sessionAccount(handle));

/** Index of a key's sessions, oldest first. */
export const identitySessions = (pubkey: string): Key => ["identity_session", pubkey];
const indexKey = (session: Session & { pubkey: string }): Key => [
  ...identitySessions(session.pubkey),
  session.createdAt,
  session.handle,
];
const isOwned = (session: Session): session is Session & { pubkey: string } => session.pubkey !== null;

/** Writes a session, and counts it while it waits for its deposit. `before` null: it is new. */
export async function putSession(tx: Tx, session: Session, before: Session | null): Promise<void> {
  if (before) tx.set(sessionKey(session.handle), session);
  else tx.insert(sessionKey(session.handle), session); // its handle is random
  if (before === null && isOwned(session)) tx.set(indexKey(session), { v: 1 });
  await countChallenge(tx, before?.state === "awaiting_payment", session.state === "awaiting_payment");
}

/** Writes everything one transition of a session brings. */
export async function writeSessionStep(
  tx: Tx,
  before: Session,
  step: SessionStep | NoStep,
  now: number,
): Promise<boolean> {
  if (step.outcome === "replayed") return false;
  await post(tx, step.postings, now);
  await putSession(tx, step.session, before);
  if (step.refund) await putRefund(tx, step.refund, true);
  for (const task of step.tasks) await plan(tx, task);
  tx.event({ type: "session_state", handle: step.session.handle, state: step.session.state });
  return true;
}

export function putRequest(tx: Tx, request: SessionRequest): void {
  tx.set(requestKey(request.session, request.id), request);
}

/** Writes the answer of a request that ends, which happens once. */
export function putResult(tx: Tx, requestId: string, text: string): void {
  tx.insert(resultKey(requestId), { v: 1, text } satisfies RequestResult);
}

// ---- narrowed tokens -----------------------------------------------------------------------------------------------

/** What is left of a token's `max_sats` (sats): neither spent nor held by what runs now. */
export async function leftOf(
  reader: Reader,
  { name, limitSats, paidFor = false }: { name: string; limitSats: number; paidFor?: boolean },
): Promise<number> {
  const [row, chats, raised] = await Promise.all([
    reader.get<Counted>(allowanceKey(name)),
    reader.get<Drawn>(allowanceChatsKey(name)),
    paidFor ? reader.get<Raised>(raisedKey(name)) : null,
  ]);
  const reservedSats = (row?.reservedSats ?? 0) + (chats?.reservedSats ?? 0);
  return Math.max(0, limitSats + (raised?.sats ?? 0) - (row?.spentSats ?? 0) - reservedSats);
}

/** What top-ups added to the limit of a token that is worth what a top-up paid (sats). */
interface Raised {
  v: 1;
  sats: number;
}
const raisedKey = (name: string): Key => ["allowance_raised", name];

/** A token that a top-up paid for is worth `sats` more. */
export async function raiseAllowance(tx: Tx, name: string, sats: number): Promise<void> {
  const before = await tx.get<Raised>(raisedKey(name));
  tx.set<Raised>(raisedKey(name), { v: 1, sats: (before?.sats ?? 0) + sats });
}

/** Counts a hold, or its end (`reservedSats` negative) and what was charged of it, under these narrowings. */
export async function countUnder(
  tx: Tx,
  names: readonly string[],
  change: { reservedSats: number; spentSats: number },
): Promise<void> {
  for (const name of names) {
    const row = await tx.get<Counted>(allowanceKey(name)) ?? { v: 1, spentSats: 0, reservedSats: 0 };
    tx.set<Counted>(allowanceKey(name), {
      v: 1,
      spentSats: row.spentSats + change.spentSats,
      reservedSats: row.reservedSats + change.reservedSats,
    });
  }
}

/** Forgets a session that nobody paid. */
export async function dropSession(tx: Tx, session: Session): Promise<void> {
  if (session.depositPaid) throw new Error("a session that was paid is not dropped");
  await putSession(tx, { ...session, state: "expired" }, session); // a waiting one is counted no more
  tx.delete(sessionKey(session.handle));
  if (isOwned(session)) tx.delete(indexKey(session));
}
