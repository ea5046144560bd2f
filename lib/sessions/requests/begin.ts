/** How a request of a session begins: priced, held or granted, and planned, in one commit. */
import { encodeRequest, evaluationOverheadTokens } from "@/lib/ai/prompts.ts";
import { EVALUATION_MAX_OUTPUT_TOKENS } from "@/lib/ai/verdict.ts";
import type { Services } from "@/lib/services.ts";
import { type IdempotencyScope, recall, remember } from "@/lib/tasks/idempotency.ts";
import { newOrderedId, sha256Hex } from "@/lib/ids.ts";
import type { Tx } from "@/lib/store/store.ts";
import type { VerifiedToken } from "@/lib/sessions/tokens.ts";
import { nonZero } from "@/lib/ledger/ledger.rules.ts";
import { priorOutputTokens } from "@/lib/metering/pricing.rules.ts";
import {
  decideReservation,
  type RequestQuote,
  reservedAccount,
  type SessionRequest,
  worstCase,
} from "@/lib/sessions/requests.machine.ts";
import { isOpen, requestBegan, type Session, sessionAccount } from "@/lib/sessions/sessions.machine.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";
import { decideAndReserve } from "@/lib/free-tier/pool.rows.ts";
import {
  countUnder,
  getRequest,
  getSession,
  leftOf,
  putRequest,
  putSession,
  spendable,
} from "@/lib/sessions/sessions.rows.ts";
import { type Ask, type Chats, textOf } from "./ask.ts";
import { taskIdOf } from "./task-id.ts";

export type Begun =
  | { outcome: "begun" | "known"; request: SessionRequest }
  | { outcome: "conflict" }
  | { outcome: "ended"; session: Session | null }
  | { outcome: "short"; paused: boolean; balanceSats: number; priceSats: number; minimumBalanceSats: number }
  | { outcome: "capped"; leftSats: number; priceSats: number };

/** See `SessionRequests.begin`. */
export type Begin = (
  token: VerifiedToken,
  ask: Ask,
  about?: { scope?: IdempotencyScope | null; pubkey?: string | null },
) => Promise<Begun>;

/** No answer to a `request` is longer than so many times the expected length, whatever it costs. */
const FREE_OUTPUT_FACTOR = 4;

/** @param chats where a chat is put before its task can start. */
export function createBegin(services: Services, chats: Chats): Begin {
  const { store, clock, random, settings } = services;

  async function quoteFor(ask: Ask, text: string): Promise<RequestQuote> {
    const config = settings.price;
    const chat = ask.mode === "chat";
    const evaluated = !chat || settings.chatEvaluation;
    const prior = priorOutputTokens(text, config);
    const outputTokens = chat ? ask.maxTokens ?? settings.chatOutputTokens : prior;
    return {
      inputTokens: mostTokens(text) + config.systemPromptTokens,
      outputTokens,
      maxOutputTokens: chat ? outputTokens : prior * FREE_OUTPUT_FACTOR,
      rates: await services.ratesFor(chat ? ask.model : settings.workModel),
      evaluation: evaluated
        ? {
          inputTokens: evaluationOverheadTokens() + mostTokens(encodeRequest(text)),
          outputTokens: EVALUATION_MAX_OUTPUT_TOKENS,
          rates: await services.ratesFor(settings.evalModel),
        }
        : null,
      config,
      btc: services.btcPrice.current(),
    };
  }

  async function begin(
    token: VerifiedToken,
    ask: Ask,
    { scope = null, pubkey = null }: { scope?: IdempotencyScope | null; pubkey?: string | null } = {},
  ): Promise<Begun> {
    const text = textOf(ask);
    const quote = await quoteFor(ask, text);
    const now = clock.now();
    const fresh: SessionRequest = {
      v: 1,
      id: newOrderedId(random, now),
      session: token.session,
      mode: ask.mode,
      state: "running",
      at: now,
      endedAt: null,
      model: ask.mode === "chat" ? ask.model : settings.workModel,
      evalModel: quote.evaluation ? settings.evalModel : null,
      text: ask.mode === "request" ? ask.text : null,
      quote,
      reservedSats: 0,
      pubkey,
      requestHash: sha256Hex(text),
      grantedSats: 0,
      adviceSats: 0,
      freeTier: null,
      token: token.name,
      allowances: token.allowances.map(({ name }) => name),
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
    };
    // Before the commit, since the task starts with it.
    if (ask.mode === "chat") chats.set(fresh.id, ask);
    let begun = false;
    try {
      const result = await store.transact((tx) => hold(tx, fresh, token, scope, now));
      begun = result.outcome === "begun";
      return result;
    } finally {
      if (!begun) chats.delete(fresh.id);
    }
  }

  /** The transaction that begins a request. */
  async function hold(
    tx: Tx,
    fresh: SessionRequest,
    token: VerifiedToken,
    scope: IdempotencyScope | null,
    now: number,
  ): Promise<Begun> {
    const taken = scope && await recall(tx, scope, now);
    if (taken?.outcome === "conflict") return { outcome: "conflict" };
    if (taken?.outcome === "known") {
      const before = await getRequest(tx, token.session, taken.ref);
      if (!before) throw new Error("an idempotency key names a request that does not exist");
      return { outcome: "known", request: before };
    }
    const session = await getSession(tx, token.session);
    if (!session || !isOpen(session, now)) return { outcome: "ended", session };
    // Whoever paid for a top-up, or was handed a narrowed token, has what that is worth: not the help that the session's key
    // has earned, nor its name.
    const pubkey = token.owner ? session.pubkey ?? fresh.pubkey : fresh.pubkey;
    const served = await decideFree(tx, { ...fresh, pubkey }, now);
    if (served.freeTier?.serve === "free") return await start(tx, session, served, scope, now);

    const balanceSats = await spendable(tx, session.handle);
    let allowanceSats = Infinity;
    for (const allowance of token.allowances) allowanceSats = Math.min(allowanceSats, await leftOf(tx, allowance));

    const { quote } = fresh;
    const { minOutputTokens } = settings;
    const decision = decideReservation({ quote, balanceSats, allowanceSats, minOutputTokens });
    const minimumBalanceSats = settings.sessions.minBalanceSats;
    const paused = session.state === "paused";
    if (paused || decision.outcome !== "reserved") {
      const priceSats = decision.outcome === "reserved" ? decision.reservedSats : decision.priceSats;
      return decision.outcome === "capped" && !paused
        ? { outcome: "capped", leftSats: allowanceSats, priceSats }
        : { outcome: "short", paused, balanceSats, priceSats, minimumBalanceSats };
    }
    return await start(tx, session, { ...served, reservedSats: decision.reservedSats }, scope, now);
  }

  /** The free tier comes before the balance: what it serves whole is reserved here and now. */
  async function decideFree(
    tx: Tx,
    request: SessionRequest,
    now: number,
  ): Promise<SessionRequest> {
    const { pubkey, id, session, requestHash } = request;
    if (pubkey === null) return request;
    const estimateSats = worstCase(request.quote, settings.minOutputTokens).wantedSats;
    const recipient = { id, session, pubkey, requestHash };
    const account = reservedAccount(id);
    const decision = await decideAndReserve(tx, settings.freeTier, recipient, { estimateSats, account, now });
    const grantedSats = decision.serve === "free" ? decision.sats : 0;
    const adviceSats = decision.serve === "partial" ? decision.adviceSats : 0;
    const absorbSats = grantedSats + adviceSats;
    const freeTier = { serve: decision.serve, absorbSats, chargeSats: estimateSats - absorbSats };
    return { ...request, grantedSats, adviceSats, freeTier };
  }

  /** Writes a request that begins, and its hold. */
  async function start(
    tx: Tx,
    session: Session,
    request: SessionRequest,
    scope: IdempotencyScope | null,
    now: number,
  ): Promise<Begun> {
    const { id, reservedSats } = request;
    const [from, to] = [sessionAccount(session.handle), reservedAccount(id)];
    await post(
      tx,
      nonZero([{ id: `reserved:${id}`, from, to, sats: reservedSats, kind: "reservation", ref: id }]),
      now,
    );
    await countUnder(tx, request.allowances, { reservedSats: reservedSats, spentSats: 0 });
    await putSession(tx, requestBegan(session, reservedSats), session);
    putRequest(tx, request);
    if (scope) remember(tx, scope, request.id, now);
    tx.task({ kind: "session-request", id: taskIdOf(request.session, request.id), dueAt: now });
    return { outcome: "begun", request };
  }

  return begin;
}

/**
 * Tokens to hold for a text: four ASCII characters a token, as everywhere, but every two bytes of other scripts' UTF-8 one
 * more. Those take a token a character or more, and what is charged never exceeds what is held: a price by the characters
 * alone would sell them below cost.
 */
function mostTokens(text: string): number {
  let ascii = 0;
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) < 128) ascii++;
  const others = encoder.encode(text).length - ascii;
  return Math.ceil(ascii / 4 + others / 2);
}
const encoder = new TextEncoder();
