/** How a request of a session begins: quoted, reserved and planned, in one commit. */
import { encodeRequest, evaluationOverheadTokens } from "@/lib/ai/prompts.ts";
import { EVALUATION_MAX_OUTPUT_TOKENS } from "@/lib/ai/verdict.ts";
import { newOrderedId, sha256Hex } from "@/lib/ids.ts";
import { reserve } from "@/lib/metering/metering.ts";
import { priorOutputTokens } from "@/lib/metering/pricing.rules.ts";
import { type Quote, quoteOf } from "@/lib/metering/quote.rules.ts";
import type { Services } from "@/lib/services.ts";
import type { Tx } from "@/lib/store/store.ts";
import { plan } from "@/lib/tasks/due.ts";
import { type IdempotencyScope, recall, remember } from "@/lib/tasks/idempotency.ts";
import { requestBooks, sessionPayer } from "../payer.ts";
import { newRequest, type SessionRequest } from "../requests.machine.ts";
import { isOpen, requestBegan, type Session } from "../sessions.machine.ts";
import { countUnder, getRequest, getSession, putRequest, putSession, spendable } from "../sessions.rows.ts";
import type { VerifiedToken } from "../tokens.ts";
import { type Ask, type Chats, textOf } from "./ask.ts";
import { taskIdOf } from "./task-id.ts";

export type Begun =
  | { outcome: "begun" | "known"; request: SessionRequest }
  | { outcome: "conflict" }
  | { outcome: "ended"; session: Session | null }
  | { outcome: "short"; paused: boolean; balanceSats: number; priceSats: number; minimumBalanceSats: number }
  | { outcome: "capped"; leftSats: number; priceSats: number }
  | { outcome: "exhausted"; until: number };

/** Who asks, beside the token: the caller's Idempotency-Key, the key that signed the request, the client's address by name. */
export interface Asking {
  scope?: IdempotencyScope | null;
  pubkey?: string | null;
  caller?: string | null;
}

/** See `SessionRequests.begin`. */
export type Begin = (token: VerifiedToken, ask: Ask, about?: Asking) => Promise<Begun>;

/** No answer to a `request` is longer than so many times the expected length, whatever it costs. */
const FREE_OUTPUT_FACTOR = 4;

/** @param chats where a chat is put before its task can start. */
export function createBegin(services: Services, chats: Chats): Begin {
  const { store, clock, random, settings } = services;

  async function quoteFor(ask: Ask, text: string): Promise<Quote> {
    const config = settings.price;
    const chat = ask.mode === "chat";
    const evaluated = !chat || settings.chatEvaluation;
    const prior = priorOutputTokens(text, config);
    const outputTokens = chat ? ask.maxTokens ?? settings.chatOutputTokens : prior;
    const inputTokens = mostTokens(text) + config.systemPromptTokens;
    return quoteOf({
      inputTokens,
      mostInputTokens: inputTokens,
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
      btc: services.btcPrice.current(),
    });
  }

  async function begin(token: VerifiedToken, ask: Ask, about: Asking = {}): Promise<Begun> {
    const { scope = null, pubkey = null, caller = null } = about;
    const text = textOf(ask);
    const quote = await quoteFor(ask, text);
    const now = clock.now();
    const fresh = newRequest({
      id: newOrderedId(random, now),
      session: token.session,
      mode: ask.mode,
      model: ask.mode === "chat" ? ask.model : settings.workModel,
      evalModel: quote.evaluation ? settings.evalModel : null,
      text: ask.mode === "request" ? ask.text : null,
      quote,
      pubkey,
      caller,
      requestHash: sha256Hex(text),
      token: token.name,
      allowances: token.allowances.map(({ name }) => name),
    }, now);
    // Before the commit, since the task starts with it.
    if (ask.mode === "chat") chats.set(fresh.id, ask);
    let begun = false;
    try {
      const result = await store.transact((tx) => reserveFor(tx, fresh, token, scope, now));
      begun = result.outcome === "begun";
      return result;
    } finally {
      if (!begun) chats.delete(fresh.id);
    }
  }

  /** The transaction that begins a request. */
  async function reserveFor(
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
    const { id, quote, requestHash } = fresh;
    const paused = session.state === "paused";
    const payer = sessionPayer({ session: session.handle, requestId: id, allowances: token.allowances, paused, now });
    const about = { id, session: session.handle, pubkey, requestHash };
    const reserved = await reserve(tx, settings, payer, about, { quote, books: requestBooks(id), now });
    if (reserved.outcome === "capped" || reserved.outcome === "exhausted") return reserved;
    if (reserved.outcome === "short") {
      const balanceSats = await spendable(tx, session.handle);
      const minimumBalanceSats = settings.sessions.minBalanceSats;
      return { ...reserved, paused, balanceSats, minimumBalanceSats };
    }
    const { outcome: _, ...parts } = reserved;
    return await start(tx, session, { ...fresh, pubkey, ...parts }, scope, now);
  }

  /** Writes a request that begins; its sats were set aside before. */
  async function start(
    tx: Tx,
    session: Session,
    request: SessionRequest,
    scope: IdempotencyScope | null,
    now: number,
  ): Promise<Begun> {
    const { id, reservedSats } = request;
    await countUnder(tx, request.allowances, { reservedSats, spentSats: 0 });
    await putSession(tx, requestBegan(session, reservedSats), session);
    putRequest(tx, request);
    if (scope) await remember(tx, scope, id, now);
    await plan(tx, { kind: "session-request", id: taskIdOf(request.session, id), dueAt: now });
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
