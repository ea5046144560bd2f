/**
 * The sessions of the control (see naive.ts). As long as the process lives they do everything right. It is killed and
 *
 * - forgets what it holds: which request a hold belongs to is in memory, and nobody gives it back at the next start;
 * - charges in a second commit, after the answer was kept and the request marked as done;
 * - forgets which Idempotency-Key was asked what, and asks and charges again;
 * - books a deposit after its invoice was marked as settled, and nobody looks for the difference.
 */
import { reservedAccount, sessionAccount } from "@/lib/ledger/accounts.ts";
import type { Model, WorkResult } from "@/lib/ai/port.ts";
import { ModelError } from "@/lib/ai/port.ts";
import { systemClock as clock } from "@/lib/clock.ts";
import { newHandle, newOrderedId, type RecordIds, systemRandom as random } from "@/lib/ids.ts";
import type { Store } from "@/lib/store/store.ts";
import { estimateInputTokens } from "@/lib/metering/pricing.rules.ts";
import type { SimulatedWallet } from "@/lib/lightning/simulated.ts";
import {
  decideReservation,
  endRequest,
  type RequestEnd,
  type SessionRequest,
} from "@/lib/sessions/requests.machine.ts";
import {
  closeSession,
  createSession,
  depositPaid,
  offerTopup,
  requestBegan,
  requestEnded,
  type Session,
  topupPaid,
} from "@/lib/sessions/sessions.machine.ts";
import { addInvoice, type Invoice, type InvoiceSummary } from "@/lib/payments/invoices.rows.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";
import { getRefund, putRefund } from "@/lib/payments/refunds.rows.ts";
import {
  getRequest,
  getResult,
  getSession,
  putRequest,
  putResult,
  putSession,
  sessionRequests,
  spendable,
} from "@/lib/sessions/sessions.rows.ts";
import { TEST_RATES, TEST_SETTINGS } from "@/tests/harness/world.ts";

const { price: config, sessions: terms, evalModel, workModel } = TEST_SETTINGS;
const NO_TOKEN = { tokenHash: "naive", tokenId: "naive" };

export interface NaiveSessionDeps {
  store: Store;
  wallet: SimulatedWallet;
  model: Model;
  recordIds: RecordIds;
  /** Pays what is owed, the naive way. */
  payRefund(refundId: string, paymentRequest: string): Promise<Response>;
}

export interface NaiveSessions {
  /** @returns null for a path that is not about sessions. */
  serve(request: Request, path: readonly string[], body: Body): Promise<Response | null>;
  /** An invoice of a session was paid. */
  settled(invoice: Invoice, now: number): Promise<void>;
}

// What the wire says; nobody here checks it.
// deno-lint-ignore no-explicit-any
type Body = any;

const json = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  Response.json(body, { status, headers });
const error = (status: number, code: string, details: unknown = {}) => json(status, { error: { code, details } });

const accountOf = ({ id: requestId, state, chargeSats }: SessionRequest) => ({
  requestId,
  state,
  debitedSats: chargeSats,
});
const invoiceBody = ({ paymentRequest, amountSats, paymentHash, expiresAt }: InvoiceSummary) => ({
  paymentRequest,
  amountSats,
  paymentHash,
  expiresAt: new Date(expiresAt).toISOString(),
});

export function naiveSessions(deps: NaiveSessionDeps): NaiveSessions {
  const { store, wallet, model, recordIds } = deps;
  const opened = new Map<string, Promise<Session>>();
  const asked = new Map<string, Promise<SessionRequest | Response>>();
  const idOf = (session: Session) => recordIds.idOf("session", session.handle);
  const change = (handle: string, fn: (session: Session) => Session) =>
    store.transact(async (tx) => {
      const session = await getSession(tx, handle);
      if (session) await putSession(tx, fn(session), session);
    });

  async function bill(amountSats: number, purpose: "session-deposit" | "session-topup", handle: string) {
    const made = await wallet.createInvoice({ amountSats, memo: "naive", expirySeconds: 86_400 });
    const invoice = { ...made, amountSats };
    await store.transact((tx) =>
      addInvoice(tx, { v: 1, ...invoice, purpose, ref: handle, createdAt: clock.now(), settled: null })
    );
    return invoice;
  }

  async function open(amountSats: number): Promise<Session> {
    const handle = newHandle(random);
    const deposit = await bill(amountSats, "session-deposit", handle);
    const session = createSession({
      handle,
      simulated: ["lightning", "model"],
      deposit,
      challengeToken: NO_TOKEN,
      bearerToken: NO_TOKEN,
      now: clock.now(),
    });
    await store.transact((tx) => putSession(tx, session, null));
    return session;
  }

  async function settled({ paymentHash, purpose, ref, amountSats: paidSats }: Invoice, now: number): Promise<void> {
    const fact = { paymentHash, paidSats, balanceSats: await spendable(store, ref), terms, now };
    const transition = (session: Session) =>
      purpose === "session-deposit" ? depositPaid(session, fact) : topupPaid(session, fact);
    const session = await getSession(store, ref);
    const step = session && transition(session);
    if (!step || step.outcome === "replayed") return;
    // First the money, so that whoever sees the session sees its balance.
    await store.transact((tx) => post(tx, step.postings, now));
    await change(ref, (current) => {
      const next = transition(current);
      return next.outcome === "applied" ? next.session : current;
    });
  }

  async function ask(session: Session, mode: "request" | "chat", modelName: string, text: string) {
    const now = clock.now();
    const id = newOrderedId(random, now);
    const quote = {
      inputTokens: estimateInputTokens(text, config),
      outputTokens: 400,
      maxOutputTokens: 400,
      rates: TEST_RATES,
      evaluation: { inputTokens: 600, outputTokens: 200, rates: TEST_RATES },
      config,
      btc: { usd: 100_000, source: "naive", at: now },
    };
    const balanceSats = await spendable(store, session.handle);
    const decision = decideReservation({ quote, balanceSats, allowanceSats: Infinity, minOutputTokens: 64 });
    if (decision.outcome !== "reserved") {
      return error(402, "insufficient_balance", { balanceSats, priceSats: decision.priceSats });
    }
    const { reservedSats } = decision;
    // Only what the rules and the answers read of it.
    const request = {
      v: 1,
      id,
      session: session.handle,
      mode,
      state: "running",
      at: now,
      endedAt: null,
      model: modelName,
      evalModel,
      text: mode === "request" ? text : null,
      quote,
      reservedSats,
      grantedSats: 0,
      token: "naive",
      allowances: [],
      evalUsage: null,
      usage: null,
      actualSats: 0,
      chargeSats: 0,
      subsidySats: 0,
      balanceSats: null,
      finish: null,
      reason: null,
      errorMessage: null,
      causedByRequest: false,
    } as unknown as SessionRequest;
    const [from, to] = [sessionAccount(session.handle), reservedAccount(id)];
    await store.transact((tx) =>
      post(tx, [{ id: `reserved:${id}`, from, to, sats: reservedSats, kind: "reservation", ref: id }], now)
    );
    await change(session.handle, (current) => requestBegan(current, reservedSats));
    await store.transact((tx) => putRequest(tx, request));
    return request;
  }

  /** Work, then the answer, then the request, then the money: four things that belong together. */
  async function finish(request: SessionRequest, text: string, gone: AbortSignal, onText?: (piece: string) => void) {
    let told = "";
    let end: RequestEnd;
    let work: WorkResult | null = null;
    const call = { signal: gone, deadlineMs: 60_000 };
    try {
      const verdict = await model.evaluate({ model: evalModel, request: text, ...call });
      const evalUsage = verdict.usage;
      if (!verdict.accepted) end = { state: "rejected", evalUsage, reason: verdict.reason };
      else {
        work = await model.chat({
          model: request.model,
          messages: [{ role: "user", text }],
          maxOutputTokens: 400,
          ...call,
          onText: (piece) => {
            told += piece;
            onText?.(piece);
          },
        });
        end = { state: "complete", usage: work.usage, evalUsage, finish: work.finish };
      }
    } catch (cause) {
      const usage = cause instanceof ModelError ? cause.usage ?? null : null;
      end = gone.aborted
        ? { state: "interrupted", evalUsage: null, usage, errorMessage: "gone" }
        : { state: "failed", errorMessage: "it failed", causedByRequest: true };
    }
    const now = clock.now();
    const step = endRequest(request, end, await spendable(store, request.session), now);
    if (!step) return request;
    const kept = work?.text ?? told;
    if (end.state !== "failed" && kept) await store.transact((tx) => putResult(tx, request.id, kept));
    await store.transact((tx) => putRequest(tx, step.request));
    await store.transact((tx) => post(tx, step.postings, now));
    const { chargeSats, balanceSats, state } = step.request;
    await change(request.session, (session) =>
      requestEnded(session, {
        reservedSats: request.reservedSats,
        chargeSats,
        balanceSats: balanceSats ?? 0,
        succeeded: state === "complete",
        terms,
        now,
      }));
    return step.request;
  }

  /** The same answer for the same key, as long as the process lives. */
  function onceFor(request: Request, fn: () => Promise<SessionRequest | Response>) {
    const key = request.headers.get("idempotency-key");
    if (key === null) return fn();
    const made = asked.get(key) ?? fn().then((result) => {
      if (result instanceof Response) asked.delete(key); // refused for want of sats: may be asked again
      return result;
    });
    if (!asked.has(key)) asked.set(key, made);
    return made.then((result) => result instanceof Response ? result.clone() : result);
  }

  async function chat(request: Request, session: Session, body: Body): Promise<Response> {
    const text = body.messages[0].content;
    if (body.stream) return await streamed(request, session, body.model, text);
    const done = await onceFor(request, async () => {
      const begun = await ask(session, "chat", body.model, text);
      return begun instanceof Response ? begun : await finish(begun, text, new AbortController().signal);
    });
    if (done instanceof Response) return done;
    if (done.state === "failed") return error(400, "upstream_refused", { requestId: done.id });
    const content = (await getResult(store, done.id))?.text ?? "";
    return json(200, { choices: [{ message: { content } }], timmy: accountOf(done) });
  }

  async function streamed(request: Request, session: Session, modelName: string, text: string): Promise<Response> {
    const gone = new AbortController();
    const frames = new TransformStream<string, string>();
    const writer = frames.writable.getWriter();
    const write = (data: unknown) => writer.write(`data: ${JSON.stringify(data)}\n\n`).catch(() => gone.abort());
    let told = false;
    const key = request.headers.get("idempotency-key");
    const begun = await onceFor(request, () => ask(session, "chat", modelName, text));
    if (begun instanceof Response) return begun;
    const first = !asked.has(`${key} finish`) || key === null;
    const finishing = first
      ? finish(begun, text, gone.signal, (piece) => {
        told = true;
        void write({ choices: [{ delta: { content: piece } }] });
      })
      : asked.get(`${key} finish`) as Promise<SessionRequest>;
    if (key !== null) asked.set(`${key} finish`, finishing);
    void finishing.then(async (done) => {
      const result = told ? null : await getResult(store, done.id);
      if (result) await write({ choices: [{ delta: { content: result.text } }] });
      await write({ choices: [], timmy: accountOf(done) });
      await writer.close().catch(() => {});
    });
    void writer.closed.catch(() => gone.abort());
    return new Response(frames.readable.pipeThrough(new TextEncoderStream()), {
      headers: { "content-type": "text/event-stream", "x-timmy-request-id": begun.id },
    });
  }

  async function close(session: Session, paymentRequest: string | undefined): Promise<Response> {
    const now = clock.now();
    const balanceSats = await spendable(store, session.handle);
    const step = closeSession(session, { balanceSats, terms: { dustSats: 1, claimDays: 30 }, now });
    if (step.outcome === "busy" || step.outcome === "unpaid") return error(409, "session_busy");
    if (step.outcome === "applied") {
      const { refund } = step;
      if (refund) await store.transact((tx) => putRefund(tx, refund, true));
      await store.transact((tx) => putSession(tx, step.session, session)); // nothing of it runs: nobody else writes it
      await store.transact((tx) => post(tx, step.postings, now));
    }
    const refundId = (step.outcome === "applied" ? step.session : session).refundIds.at(-1);
    if (!refundId || !paymentRequest) return json(200, { refundState: "not_applicable", refundPaymentHash: null });
    return await deps.payRefund(refundId, paymentRequest);
  }

  async function whole(session: Session): Promise<Response> {
    const refundId = session.refundIds.at(-1);
    const refund = refundId ? await getRefund(store, refundId) : null;
    return json(200, {
      sessionId: idOf(session),
      state: session.state,
      balanceSats: await spendable(store, session.handle),
      heldSats: session.reservedSats,
      spentSats: session.spentSats,
      ...(!session.depositPaid && { invoice: invoiceBody(session.deposit) }),
      ...(session.topups[0] && { pendingTopup: invoiceBody(session.topups[0].invoice) }),
      ...(session.depositPaid && { macaroon: idOf(session) }),
      ...(refund && {
        refund: {
          refundState: refund.state,
          refundAmountSats: refund.sats,
          refundPaymentHash: refund.payout?.paymentHash ?? null,
        },
      }),
    });
  }

  async function serve(request: Request, path: readonly string[], body: Body): Promise<Response | null> {
    if (path[0] === "v1") {
      const id = request.headers.get("authorization")?.slice("Bearer ".length) ?? "";
      const session = await getSession(store, recordIds.handleOf("session", id) ?? "");
      return session ? await chat(request, session, body) : error(401, "invalid_token");
    }
    if (path[0] !== "sessions") return null;
    if (path[1] === undefined) {
      const key = request.headers.get("idempotency-key") ?? "";
      const made = opened.get(key) ?? open(body.amount_sats);
      opened.set(key, made);
      const session = await made;
      return json(201, { sessionId: idOf(session), state: session.state, invoice: invoiceBody(session.deposit) });
    }
    const session = await getSession(store, recordIds.handleOf("session", path[1]) ?? "");
    if (!session) return error(404, "session_not_found");
    if (path[2] === undefined) return await whole(session);
    if (path[2] === "close") return await close(session, body.invoice);
    if (path[2] === "topup") return await topUp(session, body.amount_sats);
    if (path[2] === "request") {
      const done = await onceFor(request, async () => {
        const begun = await ask(session, "request", workModel, body.request);
        return begun instanceof Response ? begun : await finish(begun, body.request, new AbortController().signal);
      });
      return done instanceof Response ? done : await one(done);
    }
    if (path[3] === undefined) {
      const rows = await store.list<SessionRequest>(sessionRequests(session.handle), { limit: 100 });
      return json(200, { requests: rows.map(({ value }) => ({ requestId: value.id })) });
    }
    const found = await getRequest(store, session.handle, path[3]);
    return found ? await one(found) : error(404, "request_not_found");
  }

  async function one({ id, state, chargeSats, reason }: SessionRequest): Promise<Response> {
    const result = (await getResult(store, id))?.text;
    return json(200, { requestId: id, state, debitedSats: chargeSats, result, ...(reason !== null && { reason }) });
  }

  const offering = new Map<string, Promise<unknown>>();
  async function topUp({ handle }: Session, sats: number): Promise<Response> {
    await offering.get(handle);
    const offer = (async () => {
      const session = await getSession(store, handle);
      if (!session) return error(404, "session_not_found");
      const [pending] = session.topups;
      if (pending) return error(409, "topup_pending", { pendingTopup: invoiceBody(pending.invoice) });
      const invoice = await bill(sats, "session-topup", handle);
      await change(handle, (current) => {
        const step = offerTopup(
          current,
          { invoice, token: NO_TOKEN, by: "owner", asked: true, raises: null },
          clock.now(),
        );
        return step.outcome === "applied" ? step.session : current;
      });
      return json(201, { invoice: invoiceBody(invoice) });
    })();
    offering.set(handle, offer);
    return await offer;
  }

  return { serve, settled };
}
