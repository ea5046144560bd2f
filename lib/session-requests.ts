import type { ChatMessage, Usage, WorkResult } from "@/lib/ai/port.ts";
import { ModelError } from "@/lib/ai/port.ts";
import { encodeRequest, EVALUATION_TOOL_PROMPT, evaluationOverheadTokens } from "@/lib/ai/prompts.ts";
import { estimatedUsage } from "@/lib/ai/usage.ts";
import { EVALUATION_MAX_OUTPUT_TOKENS } from "@/lib/ai/verdict.ts";
import type { Backends } from "@/lib/app-deps.ts";
import { type IdempotencyScope, recall, remember } from "@/lib/idempotency.ts";
import { newOrderedId, sha256Hex } from "@/lib/ids.ts";
import type { VerifiedToken } from "@/lib/l402/tokens.ts";
import type { Tx } from "@/lib/kv.ts";
import type { TaskSpec } from "@/lib/queue.ts";
import { nonZero } from "@/lib/rules/ledger.ts";
import { priorOutputTokens } from "@/lib/rules/pricing.ts";
import {
  actualSats,
  decideHold,
  endRequest,
  holdAccount,
  outputLimit,
  type RequestEnd,
  type RequestQuote,
  type SessionRequest,
  trustOf,
  worstCase,
} from "@/lib/rules/session-requests.ts";
import { isOpen, requestEnded, requestHeld, type Session, sessionAccount } from "@/lib/rules/sessions.ts";
import { holdsLease, type Lease } from "@/lib/stores/due.ts";
import { post } from "@/lib/stores/ledger.ts";
import { creditPool, decideAndReserve, settleGrant, takeSubsidy } from "@/lib/stores/pool.ts";
import {
  countUnder,
  getRequest,
  getSession,
  leftOf,
  putRequest,
  putResult,
  putSession,
  spendable,
} from "@/lib/stores/sessions.ts";
import { recordTrust } from "@/lib/stores/trust.ts";

/** What is asked of a session. */
export type Ask =
  | { mode: "request"; text: string }
  | {
    mode: "chat";
    model: string;
    messages: readonly ChatMessage[];
    temperature?: number;
    stop?: readonly string[];
    /** What the caller said; null: CHAT_OUTPUT_TOKENS. */
    maxTokens: number | null;
    /** Aborted when the caller has gone: the work ends, and what was written until then is paid. */
    gone: AbortSignal;
    /** Each piece as it comes; left out, nobody reads along. */
    onText?: (piece: string) => void;
  };

export type Begun =
  | { outcome: "begun" | "known"; request: SessionRequest }
  | { outcome: "conflict" }
  | { outcome: "ended"; session: Session | null }
  | { outcome: "short"; paused: boolean; balanceSats: number; priceSats: number; minimumBalanceSats: number }
  | { outcome: "capped"; leftSats: number; priceSats: number };

export interface SessionRequests {
  /**
   * Holds what the request may cost and starts it, in one commit. Nothing is written unless it is `begun`.
   * @param about.scope the caller's Idempotency-Key: `known` is what it began before.
   * @param about.pubkey the key that signed the request, for a session that no key owns.
   */
  begin(
    token: VerifiedToken,
    ask: Ask,
    about?: { scope?: IdempotencyScope | null; pubkey?: string | null },
  ): Promise<Begun>;
  /** The request once it has ended; as it is after `waitMs` if it still runs then. */
  ended(request: SessionRequest, waitMs: number): Promise<SessionRequest>;
  task: TaskSpec;
  /** Ends a request whose reservation has stood too long. */
  grantExpired(tx: Tx, session: string, requestId: string, now: number): Promise<void>;
}

/** One try and three more, as for a job (economy.md §4). A chat is tried once: its caller is there to try again. */
const MODEL_ATTEMPTS = 4;
/** Requests that run at once; more wait their turn. Most of a request's time is spent waiting for a model. */
const CONCURRENCY = 1_024;
/** Characters of one answer that are told and kept: some ten for each token that may be asked for; a commit has a limit. */
const MAX_TEXT = 100_000;
/** No answer to a `request` is longer than so many times the expected length, whatever it costs. */
const FREE_OUTPUT_FACTOR = 4;

type Chat = Extract<Ask, { mode: "chat" }>;

/** Requests drawn from sessions: hold, evaluate, work within the hold, settle. Two commits each. */
export function createSessionRequests(backends: Backends): SessionRequests {
  const { store, model, clock, random, settings } = backends;
  /** Chats that callers of this process wait for. A task without one here lost its caller: its money goes back. */
  const chats = new Map<string, Chat>();
  /** How runs ended that could not be recorded yet: what was answered once is neither asked nor given away again. */
  const unsettled = new Map<string, Ended>();
  /** Verdicts of requests whose work is tried again: what was bought is not bought twice. */
  const verdicts = new Map<string, { usage: Usage }>();
  const waiting = new Map<string, Set<() => void>>();
  store.onEvent((event) => {
    if (event.type !== "session_request" || event.state === "running") return;
    for (const wake of waiting.get(String(event.request)) ?? []) wake();
  });

  // ---- beginning -------------------------------------------------------------------------------------------------

  async function quoteFor(ask: Ask): Promise<RequestQuote> {
    const config = settings.price;
    const chat = ask.mode === "chat";
    const text = textOf(ask);
    const evaluated = !chat || settings.chatEvaluation;
    const prior = priorOutputTokens(text, config);
    const outputTokens = chat ? ask.maxTokens ?? settings.chatOutputTokens : prior;
    return {
      inputTokens: mostTokens(text) + config.systemPromptTokens,
      outputTokens,
      maxOutputTokens: chat ? outputTokens : prior * FREE_OUTPUT_FACTOR,
      rates: await settings.ratesFor(chat ? ask.model : settings.workModel),
      evaluation: evaluated
        ? {
          inputTokens: evaluationOverheadTokens() + mostTokens(encodeRequest(text)),
          outputTokens: EVALUATION_MAX_OUTPUT_TOKENS,
          rates: await settings.ratesFor(settings.evalModel),
        }
        : null,
      config,
      btc: backends.btcPrice.current(),
    };
  }

  async function begin(
    token: VerifiedToken,
    ask: Ask,
    { scope = null, pubkey = null }: { scope?: IdempotencyScope | null; pubkey?: string | null } = {},
  ): Promise<Begun> {
    const quote = await quoteFor(ask);
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
      holdSats: 0,
      pubkey,
      requestHash: sha256Hex(textOf(ask)),
      grantedSats: 0,
      adviceSats: 0,
      freeTier: null,
      token: token.name,
      allowances: token.allowances.map(({ name }) => name),
      evalUsage: null,
      usage: null,
      actualSats: 0,
      debitedSats: 0,
      absorbedSats: 0,
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
    // A top-up's token is anybody's who paid for it: it is worth those sats, not the help and the name of the session's key.
    const pubkey = token.kind === "topup" ? fresh.pubkey : session.pubkey ?? fresh.pubkey;
    const served = await decideFree(tx, { ...fresh, pubkey }, now);
    if (served.freeTier?.serve === "free") return await start(tx, session, served, scope, now);

    const balanceSats = await spendable(tx, session.handle);
    let allowanceSats = Infinity;
    for (const allowance of token.allowances) allowanceSats = Math.min(allowanceSats, await leftOf(tx, allowance));

    const { quote } = fresh;
    const { minOutputTokens } = settings;
    const decision = decideHold({ quote, balanceSats, allowanceSats, minOutputTokens });
    const minimumBalanceSats = settings.sessions.minBalanceSats;
    const paused = session.state === "paused";
    if (paused || decision.outcome !== "held") {
      const priceSats = decision.outcome === "held" ? decision.holdSats : decision.priceSats;
      return decision.outcome === "capped" && !paused
        ? { outcome: "capped", leftSats: allowanceSats, priceSats }
        : { outcome: "short", paused, balanceSats, priceSats, minimumBalanceSats };
    }
    return await start(tx, session, { ...served, holdSats: decision.holdSats }, scope, now);
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
    const grantee = { id, session, pubkey, requestHash };
    const account = holdAccount(id);
    const decision = await decideAndReserve(tx, settings.freeTier, grantee, { estimateSats, account, now });
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
    const { id, holdSats } = request;
    const [from, to] = [sessionAccount(session.handle), holdAccount(id)];
    await post(tx, nonZero([{ id: `hold:${id}`, from, to, sats: holdSats, kind: "hold", ref: id }]), now);
    await countUnder(tx, request.allowances, { heldSats: holdSats, spentSats: 0 });
    await putSession(tx, requestHeld(session, holdSats), session);
    putRequest(tx, request);
    if (scope) remember(tx, scope, request.id, now);
    tx.task({ kind: "session-request", id: taskId(request), dueAt: now });
    return { outcome: "begun", request };
  }

  // ---- running ---------------------------------------------------------------------------------------------------

  async function run(lease: Lease, stopped: AbortSignal): Promise<void> {
    const request = await getRequest(store, ...namesIn(lease));
    if (request?.state !== "running") return await settle(lease, null);
    const ended = unsettled.get(request.id) ?? await answered(request, stopped);
    unsettled.set(request.id, ended);
    await settle(lease, ended);
    forget(request.id);
  }

  async function answered(request: SessionRequest, stopped: AbortSignal): Promise<Ended> {
    if (request.mode === "request") return await answer(request, stopped);
    const chat = chats.get(request.id);
    if (!chat) {
      const errorMessage = "Timmy was restarted while this was answered. Nothing was charged; ask again.";
      return { end: { state: "failed", errorMessage, causedByRequest: false } };
    }
    try {
      return await converse(request, chat, AbortSignal.any([stopped, chat.gone]));
    } finally {
      chats.delete(request.id);
    }
  }

  function forget(id: string): void {
    unsettled.delete(id);
    verdicts.delete(id);
  }

  /** A `request`: whatever the model throws is the queue's to try again. */
  async function answer(request: SessionRequest, signal: AbortSignal): Promise<Ended> {
    const text = request.text as string;
    let evalUsage = verdicts.get(request.id)?.usage ?? null;
    if (!evalUsage) {
      const verdict = await evaluate(request, text, signal);
      evalUsage = verdict.usage;
      if (!verdict.accepted) return { end: { state: "rejected", evalUsage, reason: verdict.reason } };
      verdicts.set(request.id, { usage: evalUsage });
    }
    const maxOutputTokens = outputLimit(request, evalUsage, settings.minOutputTokens);
    const deadlineMs = settings.modelDeadlineMs;
    const work = await model.work({ model: request.model, request: text, maxOutputTokens, signal, deadlineMs });
    return completed(work, evalUsage);
  }

  /** A chat: tried once, and what was delivered before it broke is paid. */
  async function converse(request: SessionRequest, chat: Chat, signal: AbortSignal): Promise<Ended> {
    let evalUsage: Usage | null = null;
    let told = "";
    let working = false;
    let judging = false;
    try {
      if (request.evalModel !== null) {
        judging = !signal.aborted;
        const verdict = await evaluate(request, textOf(chat), signal);
        evalUsage = verdict.usage;
        judging = false;
        if (!verdict.accepted) return { end: { state: "rejected", evalUsage, reason: verdict.reason } };
      }
      const { onText } = chat;
      const excess = new AbortController();
      working = true;
      const work = await model.chat({
        model: chat.model,
        messages: chat.messages,
        ...(chat.temperature !== undefined && { temperature: chat.temperature }),
        ...(chat.stop !== undefined && { stop: chat.stop }),
        maxOutputTokens: outputLimit(request, evalUsage, settings.minOutputTokens),
        signal: AbortSignal.any([signal, excess.signal]),
        deadlineMs: settings.modelDeadlineMs,
        ...(onText && {
          onText: (piece: string) => {
            // A provider that ignores its limit must fill neither our memory nor a stream that nobody reads.
            if (told.length + piece.length > MAX_TEXT) return excess.abort();
            told += piece;
            onText(piece);
          },
        }),
      });
      return completed(work, evalUsage);
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
      // Left while it was judged: that call was made, and its input is paid. Nobody gets evaluations for hanging up.
      if (judging && chat.gone.aborted) {
        evalUsage = error.usage ?? estimatedUsage(EVALUATION_TOOL_PROMPT + textOf(chat), "");
      }
      return broken(error, { told, working, evalUsage, chat });
    }
  }

  function broken(
    error: ModelError,
    { told, working, evalUsage, chat }: { told: string; working: boolean; evalUsage: Usage | null; chat: Chat },
  ): Ended {
    const gone = chat.gone.aborted;
    const usage = working ? error.usage ?? estimatedUsage(textOf(chat), told) : null;
    const errorMessage = gone
      ? "The caller went away. What was written until then is paid."
      : `The answer broke off: ${error.message}.`;
    // The provider's failure before the first word is not the payer's; a caller who leaves pays for what was begun.
    if (told === "" && !gone) return { end: failure(error) };
    return { end: { state: "interrupted", evalUsage, usage, errorMessage }, text: told };
  }

  async function evaluate(request: SessionRequest, text: string, signal: AbortSignal) {
    const evalModel = request.evalModel as string;
    return await model.evaluate({ model: evalModel, request: text, signal, deadlineMs: settings.modelDeadlineMs });
  }

  // ---- ending ----------------------------------------------------------------------------------------------------

  /** Charges what it cost, gives the rest of the hold back and ends the task, in one commit. `ended` null: nothing to do. */
  async function settle(lease: Lease, ended: Ended | null): Promise<void> {
    const now = clock.now();
    await store.transact(async (tx) => {
      if (!(await holdsLease(tx, lease))) return;
      tx.task({ kind: lease.kind, id: lease.id, dueAt: null });
      if (!ended) return;
      await conclude(tx, namesIn(lease), ended, now);
    });
  }

  /** The transaction that ends a request, whoever ends it. */
  async function conclude(tx: Tx, names: [session: string, request: string], ended: Ended, now: number): Promise<void> {
    const running = await getRequest(tx, ...names);
    if (running?.state !== "running") return;
    const session = await getSession(tx, running.session);
    if (!session) throw new Error("a request belongs to no session");
    const request = await withSubsidy(tx, running, ended.end, now);
    const step = endRequest(request, ended.end, await spendable(tx, session.handle), now);
    if (!step) return;
    const { holdSats, debitedSats, absorbedSats, allowances } = step.request;
    await post(tx, step.moves, now);
    if (request.grantedSats > 0) await settleGrant(tx, request.id, absorbedSats, now);
    const earned = { id: request.id, from: "revenue:session", chargeSats: debitedSats, now };
    await creditPool(tx, settings.freeTier, earned);
    await recordTrust(tx, request.pubkey, trustOf(step.request), settings.freeTier.trust, now);
    await countUnder(tx, allowances, { heldSats: -holdSats, spentSats: debitedSats });
    const next = requestEnded(session, {
      holdSats,
      chargeSats: debitedSats,
      balanceSats: step.request.balanceSats as number,
      succeeded: step.request.state === "complete",
      terms: settings.sessions,
      now,
    });
    await putSession(tx, next, session);
    putRequest(tx, step.request);
    if (ended.text) putResult(tx, request.id, ended.text.slice(0, MAX_TEXT));
    tx.event({ type: "session_request", handle: session.handle, request: request.id, state: step.request.state });
  }

  /** Advised help is taken once it is known what was used: `min(actual, advice, pool)` (economy.md §6). */
  async function withSubsidy(tx: Tx, request: SessionRequest, end: RequestEnd, now: number): Promise<SessionRequest> {
    const { adviceSats: advised, pubkey, id, session, requestHash } = request;
    const adviceSats = Math.min(advised, actualSats(request.quote, end), request.holdSats);
    if (pubkey === null || adviceSats === 0) return request;
    const grantee = { id, session, pubkey, requestHash };
    const taken = await takeSubsidy(tx, settings.freeTier, grantee, { adviceSats, account: holdAccount(id), now });
    return { ...request, grantedSats: request.grantedSats + taken };
  }

  async function ended(request: SessionRequest, waitMs: number): Promise<SessionRequest> {
    const read = async () => await getRequest(store, request.session, request.id) ?? request;
    const over = Promise.withResolvers<void>();
    const others = waiting.get(request.id) ?? new Set();
    waiting.set(request.id, others.add(over.resolve));
    const stopTimer = clock.after(waitMs, over.resolve);
    try {
      const now = await read(); // it may have ended before anybody waited
      if (now.state !== "running") return now;
      await over.promise;
      return await read();
    } finally {
      stopTimer();
      others.delete(over.resolve);
      if (others.size === 0 && waiting.get(request.id) === others) waiting.delete(request.id);
    }
  }

  return {
    begin,
    ended,
    grantExpired: (tx, session, requestId, now) => {
      const errorMessage = "The request took too long. Nothing was charged.";
      const end = { state: "failed" as const, errorMessage, causedByRequest: false };
      tx.task({ kind: "session-request", id: `${session}.${requestId}`, dueAt: null });
      return conclude(tx, [session, requestId], { end }, now);
    },
    task: {
      kind: "session-request",
      concurrency: CONCURRENCY,
      leaseMs: 60_000,
      maxAttempts: MODEL_ATTEMPTS,
      maxDelayMs: 15_000, // somebody is waiting
      run,
      async giveUp(lease, cause) {
        const [, id] = namesIn(lease);
        await settle(lease, unsettled.get(id) ?? { end: failure(cause) });
        forget(id);
      },
    },
  };
}

/** How a run ended, and the text it leaves. */
interface Ended {
  end: RequestEnd;
  text?: string;
}

const completed = ({ text, usage, finish }: WorkResult, evalUsage: Usage | null): Ended => ({
  end: { state: "complete", usage, evalUsage, finish },
  text,
});

const taskId = (request: SessionRequest): string => `${request.session}.${request.id}`;
const namesIn = (lease: Lease): [session: string, request: string] => lease.id.split(".") as [string, string];

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

/** Everything the model reads, as one text: what its length is estimated by and what the evaluator judges. */
export function textOf(ask: Ask): string {
  if (ask.mode === "request") return ask.text;
  return ask.messages.map(({ role, text }) => `${role}: ${text}`).join("\n\n");
}

/** What the payer reads: that it failed and cost nothing, nothing of the backend's inside. */
function failure(cause: unknown): Extract<RequestEnd, { state: "failed" }> {
  const known = cause instanceof ModelError ? cause : null;
  const why = known?.message ?? "a backend did not answer";
  const errorMessage = `The request failed: ${why}. Nothing was charged.`;
  return { state: "failed", errorMessage, causedByRequest: known?.causedByRequest ?? false };
}
