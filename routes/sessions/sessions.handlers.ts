import type { AppDeps } from "@/lib/http/app-deps.ts";
import { readable } from "@/lib/store/readable.ts";
import { addressInvoice, addressOf, addressRefused, checkPayerInvoice, claimRefund } from "@/lib/http/claims.ts";
import type { PayoutInvoice } from "@/lib/payments/payouts.ts";
import type { AppRouteHandler } from "@/lib/http/create-app.ts";
import { badRequest, conflict, keyTaken, notFound, unauthorized } from "@/lib/http/errors.ts";
import { idempotencyScope } from "@/lib/tasks/idempotency.ts";
import { callerName } from "@/lib/ids.ts";
import { preimageMatches } from "@/lib/l402/credential.ts";
import { caveatFailed, macaroonFor, type VerifiedToken } from "@/lib/sessions/tokens.ts";
import { decodeInvoice, InvoiceError } from "@/lib/lightning/bolt11.ts";
import type { Refund } from "@/lib/payments/refunds.machine.ts";
import { checkRequest } from "@/lib/metering/request-text.rules.ts";
import type { SessionRequest } from "@/lib/sessions/requests.machine.ts";
import { closeSession as close, type Session, sessionFeeCredit } from "@/lib/sessions/sessions.machine.ts";
import { openSession, rotateTokens } from "@/lib/sessions/open.ts";
import { quoteRequest } from "@/lib/sessions/requests/begin.ts";
import { askerOf, offerTopupOf } from "@/lib/sessions/topups.ts";
import {
  allowModel,
  isRepeat,
  notBegun,
  orHangUp,
  tokenOr402,
  tokenRefused,
  tooManyOpenChallenges,
  tooManyTopups,
} from "@/lib/http/spending.ts";
import { invoiceBody } from "@/lib/payments/invoices.rows.ts";
import { getRefund, planAddressTry, usedBefore } from "@/lib/payments/refunds.rows.ts";
import {
  getRequest as readRequest,
  getResult,
  getSession as readSession,
  requestKey,
  SESSION_REQUEST,
  sessionRequests,
  spendable,
  withChats,
  writeSessionStep,
} from "@/lib/sessions/sessions.rows.ts";
import { tierNow } from "@/lib/identity/trust.rows.ts";
import { identityOf } from "@/middlewares/identity.ts";
import { sessionOfId } from "@/middlewares/l402.ts";
import { alwaysBody, requestBody, sessionBody } from "./sessions.body.ts";
import type {
  CloseSessionRoute,
  CreateSessionRoute,
  GetMacaroonRoute,
  GetRequestRoute,
  GetSessionRoute,
  ListRequestsRoute,
  SendRequestRoute,
  TopUpRoute,
} from "./sessions.routes.ts";

/** How long a request is waited for before it is answered 202 (ms). */
const REQUEST_WAIT_MS = 120_000;
const PAGE = 20;
/** How long the address that was left with a session gives way to a claim that comes with closing it (ms). */
const CLAIM_FIRST_MS = 60_000;

export const createSession: AppRouteHandler<CreateSessionRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const { amount_sats: amountSats, nostr_token, lightningAddress: left } = c.req.valid("json");
  checkDeposit(deps, amountSats);
  const lightningAddress = left === undefined ? null : addressOf(left);
  const pubkey = await identityOf(c, nostr_token);
  const key = c.req.valid("header")["idempotency-key"];
  const scope = key === undefined ? null : idempotencyScope({
    route: "POST /api/sessions",
    credential: pubkey ?? c.get("clientAddress"),
    key,
    body: { amountSats, ...(lightningAddress !== null && { lightningAddress }) },
  });
  const open = () =>
    openSession(deps, amountSats, { scope, pubkey, lightningAddress }).catch((error) => {
      throw addressRefused(error, "leave it out");
    });
  const opened = scope ? await deps.oneAtATime(scope.id, open) : await open();
  if (opened.outcome === "conflict") throw keyTaken("session");
  if (opened.outcome === "full") throw tooManyOpenChallenges();
  const { session } = opened;
  return c.json({
    sessionId: deps.recordIds.idOf("session", session.handle),
    state: session.state,
    invoice: invoiceBody(session.deposit),
    minimumBalanceSats: deps.settings.sessions.minBalanceSats,
    ...(session.lightningAddress && { lightningAddress: session.lightningAddress }),
    ...await always(deps, session),
  }, 201);
};

export const getSession: AppRouteHandler<GetSessionRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const { id } = c.req.valid("param");
  const session = await withChats(deps.store, await sessionOf(deps, id));
  // After its first use the token is shown to nobody who has only the id: ids end up in proxies' logs.
  const shown = session.depositPaid && !session.tokenUsed && !deps.usedSessions.has(session.handle);
  return c.json(
    sessionBody(id, session, {
      balanceSats: await spendable(deps.store, session.handle),
      minimumBalanceSats: deps.settings.sessions.minBalanceSats,
      macaroon: shown ? await macaroonFor(deps.store, session.bearerToken) : null,
      refund: await presentRefund(deps, session),
      tier: await tierOf(deps, session.pubkey),
    }),
    200,
  );
};

export const sendRequest: AppRouteHandler<SendRequestRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const { request: text, nostr_token } = c.req.valid("json");
  const wrong = checkRequest(text, deps.settings.requestMaxChars);
  if (wrong) throw badRequest(wrong.code, wrong.message);
  const pubkey = await identityOf(c, nostr_token);
  const session = sessionOfId(deps, c.req.valid("param").id);
  const token = await tokenOr402(c, { session, quote: () => quoteRequest(deps, text) });
  allowModel(token, deps.settings.workModel);

  const key = c.req.valid("header")["idempotency-key"];
  const scope = key === undefined ? null : idempotencyScope({
    route: "POST /api/sessions/{id}/request",
    credential: `${token.session} ${token.name}`,
    key,
    body: { request: text },
  });
  const caller = callerName(deps.recordIds, c.get("clientAddress"));
  const begun = await deps.sessionRequests.begin(token, text, {
    scope,
    pubkey,
    caller,
    repeat: { rest: "", said: isRepeat(c.req.raw.headers) },
  });
  if (!("request" in begun)) throw await notBegun(c, token, begun);
  const hangUp = () => begun.leave(false);
  const request = await orHangUp(c.req.raw, hangUp, deps.sessionRequests.ended(begun.request, REQUEST_WAIT_MS));
  begun.leave(true);
  return c.json(await wholeBody(deps, request), request.state === "running" ? 202 : 200);
};

export const topUp: AppRouteHandler<TopUpRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const { amount_sats: amountSats } = c.req.valid("json");
  checkDeposit(deps, amountSats);
  const token = await tokenOr402(c, { session: sessionOfId(deps, c.req.valid("param").id) });
  const { session: handle } = token;
  const session = await readOwn(deps, handle);
  // One after another: of two at once, the second must not make an invoice that nobody is shown.
  const key = c.req.valid("header")["idempotency-key"];
  const scope = key === undefined ? null : idempotencyScope({
    route: "POST /api/sessions/{id}/topup",
    credential: `${handle} ${askerOf(token)}`,
    key,
    body: { amountSats },
  });
  const ask = { sats: amountSats, token, asked: true, scope };
  const offered = await deps.oneAtATime(`topup ${handle}`, () => offerTopupOf(deps, handle, ask));
  if (offered.outcome === "conflict") throw keyTaken("top-up");
  if (offered.outcome === "not_open") {
    throw conflict("session_ended", "This session has expired or was closed. Open a new one.");
  }
  if (offered.outcome === "full") throw tooManyTopups(offered.until - deps.clock.now());
  if (offered.outcome === "pending") {
    throw conflict(
      "topup_pending",
      "A top-up waits to be paid already; see details. Pay it, or wait until it expires.",
      {
        pendingTopup: invoiceBody(offered.topup),
      },
    );
  }
  return c.json({ invoice: invoiceBody(offered.topup), ...await always(deps, session) }, 201);
};

export const closeSession: AppRouteHandler<CloseSessionRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const token = await tokenOr402(c, { session: sessionOfId(deps, c.req.valid("param").id) });
  ownerOnly(token, "does not allow ending the session: only the token it was opened with does");
  const { invoice: sent, lightningAddress } = c.req.valid("json");
  const way = lightningAddress === undefined ? {} : { way: "lightning_address" as const };
  const invoice = lightningAddress === undefined
    ? sent
    : await invoiceToClose(deps, token.session, addressOf(lightningAddress));
  const session = await end(deps, token.session, invoice);
  const refund = await presentRefund(deps, session, invoice);
  const rest = { state: session.state, ...await always(deps, session) };
  if (!refund) {
    if (invoice !== undefined) throw owesNothing();
    return c.json(
      { ...rest, refundState: "not_applicable" as const, refundAmountSats: 0, refundPaymentHash: null },
      200,
    );
  }
  if (invoice === undefined) {
    const { state: refundState, sats: refundAmountSats, payout } = refund;
    return c.json({ ...rest, refundState, refundAmountSats, refundPaymentHash: payout?.paymentHash ?? null }, 200);
  }
  const about = { ownInvoice: session.deposit.paymentRequest, simulated: session.simulated };
  const { status, body } = await claimRefund(deps, refund, { invoice, ...way }, about);
  return c.json({ ...rest, ...body }, status);
};

const refundTerms = ({ settings }: AppDeps) => ({
  dustSats: settings.refundDustSats,
  claimDays: settings.refundClaimDays,
  maxFeeSats: settings.refundMaxFeeSats,
});

/** An invoice of the address for what closing the session will owe, or for what it owes already. Nothing is written. */
async function invoiceToClose(deps: AppDeps, handle: string, address: string): Promise<string> {
  const session = await withChats(deps.store, await readOwn(deps, handle));
  if (session.state === "awaiting_payment") throw NOT_ENDED.unpaid();
  if (session.running > 0) throw NOT_ENDED.busy();
  const sats = await spendable(deps.store, handle);
  const lives = session.state === "active" || session.state === "paused";
  const owed = lives
    ? { sats, feeCreditSats: sessionFeeCredit(session, refundTerms(deps)) }
    : await presentRefund(deps, session);
  if (!owed || (lives && sats < Math.max(1, deps.settings.refundDustSats))) throw owesNothing();
  return await addressInvoice(deps, owed, address, session.deposit.paymentRequest);
}

/** Ends a session that still lives, in one commit; one that is over already is returned as it is. */
async function end(deps: AppDeps, handle: string, invoice: string | undefined): Promise<Session> {
  const { store, clock, settings } = deps;
  const terms = refundTerms(deps);
  const before = await withChats(store, await readOwn(deps, handle));
  const expectedSats = await spendable(store, handle);
  // Before anything moves: an invoice that will not be paid must not end the session.
  let payee: PayoutInvoice | null = null;
  if (invoice !== undefined && (before.state === "active" || before.state === "paused") && before.running === 0) {
    if (expectedSats < Math.max(1, settings.refundDustSats)) throw owesNothing();
    const owed = { sats: expectedSats, feeCreditSats: sessionFeeCredit(before, terms) };
    payee = checkPayerInvoice(invoice, owed, before.deposit.paymentRequest, clock.now());
  }
  const now = clock.now();
  const outcome = await store.transact(async (tx) => {
    const session = await withChats(tx, await readSession(tx, handle) ?? before);
    const balanceSats = await spendable(tx, handle);
    const step = close(session, { balanceSats, terms, now });
    if (step.outcome === "ended") return { outcome: "over" as const, session };
    if (step.outcome !== "applied") return { outcome: step.outcome };
    if (invoice !== undefined && (payee === null || balanceSats !== expectedSats)) {
      return { outcome: "changed" as const };
    }
    if (payee !== null && await usedBefore(tx, payee, "")) return { outcome: "used" as const };
    // Only its token ends a session: from here on the id alone must not show it, for whoever has it takes the balance.
    const ended = { ...step.session, tokenUsed: true };
    await writeSessionStep(tx, session, { ...step, session: ended }, now);
    // The invoice that was sent comes first; the address that was left with the session waits for what becomes of it.
    if (payee !== null && step.refund) await planAddressTry(tx, step.refund, now + CLAIM_FIRST_MS);
    return { outcome: "over" as const, session: ended };
  });
  if (outcome.outcome === "over") return outcome.session;
  throw NOT_ENDED[outcome.outcome]();
}

const NOT_ENDED = {
  unpaid: () => conflict("not_paid", "The deposit of this session was never paid; there is nothing to give back."),
  busy: () => conflict("session_busy", "A request of this session is running. Close it when that has ended."),
  used: () =>
    badRequest("invoice_used", "This invoice's payment hash was used before. Make a new invoice and send that."),
  changed: () => conflict("balance_changed", "The balance has just changed. Read it again and send an invoice for it."),
};

export const listRequests: AppRouteHandler<ListRequestsRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const token = await tokenOr402(c, { session: sessionOfId(deps, c.req.valid("param").id) });
  ownerOnly(token, "does not allow reading what others asked: only the token the session was opened with does");
  const { limit: asked, after } = c.req.valid("query");
  const limit = asked === undefined ? PAGE : Number(asked);
  const rows = await deps.store.list<SessionRequest>(sessionRequests(token.session), {
    limit: limit + 1,
    reverse: true,
    ...(after !== undefined && { after: requestKey(token.session, after) }),
  });
  const page = rows.slice(0, limit).map(({ key, value }) => readable(SESSION_REQUEST, key, value) as SessionRequest);
  const next = rows.length > limit ? page.at(-1)?.id : undefined;
  return c.json({
    requests: page.map(({ id, at, state, chargeSats, freeTier, subsidySats }) => ({
      requestId: id,
      at: new Date(at).toISOString(),
      state,
      debitedSats: chargeSats,
      ...(freeTier && { absorbed_sats: subsidySats }),
    })),
    ...(next !== undefined && { next }),
  }, 200);
};

export const getRequest: AppRouteHandler<GetRequestRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const token = await tokenOr402(c, { session: sessionOfId(deps, c.req.valid("param").id) });
  const { requestId } = c.req.valid("param");
  const request = await readRequest(deps.store, token.session, requestId);
  // A narrowed token was given to somebody else, who reads the answers to its own requests and no others.
  if (!request || !(token.owner || request.token === token.name)) {
    throw notFound("There is no such request in this session.", "request_not_found");
  }
  return c.json(await wholeBody(deps, request), 200);
};

export const getMacaroon: AppRouteHandler<GetMacaroonRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const { preimage, rotate, nostr_token } = c.req.valid("json");
  const session = await sessionOf(deps, c.req.valid("param").id);
  const pubkey = await identityOf(c, nostr_token);
  const owns = pubkey !== null && pubkey === session.pubkey;
  const paid = preimage !== undefined && preimageMatches(preimage, session.deposit.paymentHash);
  if (!session.depositPaid || !(owns || paid)) {
    throw unauthorized(
      preimage === undefined ? "not_the_owner" : "wrong_preimage",
      "Show the preimage of this session's paid deposit, or sign in with the key that owns the session.",
    );
  }
  const macaroon = rotate
    ? await rotateTokens(deps, session.handle)
    : await macaroonFor(deps.store, session.bearerToken);
  if (macaroon === null) throw noSuchSession();
  return c.json({ macaroon, ...await always(deps, session) }, 200);
};

/** The request with its session and result. */
async function wholeBody(deps: AppDeps, request: SessionRequest) {
  const [session, result] = await Promise.all([
    readOwn(deps, request.session),
    getResult(deps.store, request.id),
  ]);
  return requestBody(request, session, { result: result?.text ?? null, tier: await tierOf(deps, request.pubkey) });
}

const tierOf = ({ store, settings, clock }: AppDeps, pubkey: string | null) =>
  tierNow(store, pubkey, settings.freeTier.trust, clock.now());
const always = async (deps: AppDeps, session: Session) => alwaysBody(session, await tierOf(deps, session.pubkey));

/**
 * What is owed of a session that has ended: the first that can still be claimed, or else the last. A session that a late
 * payment brought back to life may owe several; `invoice` is then for the one of its amount.
 */
async function presentRefund(deps: AppDeps, session: Session, invoice?: string): Promise<Refund | null> {
  const refunds = await Promise.all(session.refundIds.map((id) => getRefund(deps.store, id)));
  const pending = refunds.filter((refund) => refund?.state === "pending");
  const sats = pending.length > 1 && invoice !== undefined ? amountOf(invoice) : null;
  return pending.find((refund) => refund?.sats === sats) ?? pending[0] ?? refunds.at(-1) ?? null;
}

/** The amount of an invoice (sats), or null when it has none or is none: claiming with it says what is wrong. */
function amountOf(invoice: string): number | null {
  try {
    return decodeInvoice(invoice.trim().replace(/^lightning:/i, "").toLowerCase()).amountSats;
  } catch (error) {
    if (error instanceof InvoiceError) return null;
    throw error;
  }
}

const owesNothing = () =>
  conflict("no_refund", "This session owes nothing: its balance was spent. Close it without an invoice.");

/** The session an id opens. An id that was not made here and one whose session is gone look the same. */
async function sessionOf(deps: AppDeps, id: string): Promise<Session> {
  const handle = deps.recordIds.handleOf("session", id);
  const session = handle ? await readSession(deps.store, handle) : null;
  if (!session) throw noSuchSession();
  return session;
}

async function readOwn(deps: AppDeps, handle: string): Promise<Session> {
  const session = await readSession(deps.store, handle);
  if (!session) throw noSuchSession();
  return session;
}

const noSuchSession = () =>
  notFound("There is no such session. Check the id that creating it returned.", "session_not_found");

/** @throws {ApiError} 403 for a token that was narrowed, or that a top-up paid for. */
function ownerOnly(token: VerifiedToken, why: string): void {
  if (token.owner) return;
  const caveat = token.allowances.length > 0 ? "max_sats" : token.models === null ? "timmy_valid_until" : "model";
  throw tokenRefused(caveatFailed(caveat, why));
}

function checkDeposit(deps: AppDeps, sats: number): void {
  const { minDepositSats, maxDepositSats } = deps.settings.sessions;
  if (sats >= minDepositSats && sats <= maxDepositSats) return;
  throw badRequest("amount_out_of_range", `amount_sats must be from ${minDepositSats} to ${maxDepositSats}.`, {
    minDepositSats,
    maxDepositSats,
  });
}
