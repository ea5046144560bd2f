/**
 * Chats: requests that somebody waits for. A chat ends with its process, so what it reserves is kept in memory, and one commit
 * at its end writes everything (economy.md §6). A kill charges nothing and leaves no history.
 */
import { sleep } from "@/lib/clock.ts";
import { newOrderedId, sha256Hex } from "@/lib/ids.ts";
import { failedBy, type Ran } from "@/lib/metering/run.ts";
import type { Services } from "@/lib/services.ts";
import { StoreError, type Tx } from "@/lib/store/store.ts";
import { type IdempotencyScope, remember, rememberWhileRunning } from "@/lib/tasks/idempotency.ts";
import { newRequest, type SessionRequest } from "./requests.machine.ts";
import { type Asking, type Chat, type NotBegun, textOf } from "./requests/ask.ts";
import { beginIn, quoteChat } from "./requests/begin.ts";
import { endIn } from "./requests/end.ts";
import { converse } from "./requests/work.ts";
import { countChat, getRequest, getResult, requestKey } from "./sessions.rows.ts";
import type { VerifiedToken } from "./tokens.ts";

/** A chat that has ended, and its answer, or what of it was delivered. */
export interface EndedChat {
  request: SessionRequest;
  text: string;
}

/** `known`: what the caller's Idempotency-Key began before. `ended` resolves once its end is written down. */
export type BegunChat =
  | { outcome: "begun" | "known"; request: SessionRequest; ended: Promise<EndedChat> }
  | NotBegun;

export interface Chats {
  /** Sets aside what the chat may cost, in memory, and starts it. Nothing changes unless it is `begun`. */
  begin(token: VerifiedToken, chat: Chat, about?: Asking): Promise<BegunChat>;
  /** Chats that run. */
  running(): number;
  /** Ends what runs, and resolves when the last end is written down: for a process that is asked to stop. */
  stop(): Promise<void>;
}

/** How long until a database that did not take the end of a chat is tried again (ms). */
const STORE_AGAIN_MS = 1_000;

export function createChats(services: Services): Chats {
  const { store, clock, random, log, settings, liveText } = services;
  const running = new Map<string, Promise<EndedChat>>();
  const stopper = new AbortController();

  async function begin(token: VerifiedToken, chat: Chat, about: Asking = {}): Promise<BegunChat> {
    const { scope = null, pubkey = null, caller = null } = about;
    const text = textOf(chat.messages);
    const quote = await quoteChat(services, chat);
    const now = clock.now();
    const fresh = newRequest({
      id: newOrderedId(random, now),
      session: token.session,
      mode: "chat",
      model: chat.model,
      evalModel: settings.chatEvaluation ? settings.evalModel : null,
      text: null,
      quote,
      pubkey,
      caller,
      requestHash: sha256Hex(text),
      token: token.name,
      allowances: token.allowances.map(({ name }) => name),
    }, now);
    const begins = await store.transact(async (tx) => {
      const result = await beginIn(tx, settings, fresh, { token, scope, now });
      if (result.outcome === "begins") await keep(tx, result.request, scope, now);
      return result;
    });
    if (begins.outcome === "known") {
      return { ...begins, ended: running.get(begins.request.id) ?? written(begins.request) };
    }
    if (begins.outcome !== "begins") return begins;
    const { request } = begins;
    const ended = hold(request, { chat, text, scope }).finally(() => running.delete(request.id));
    running.set(request.id, ended);
    ended.catch(() => {}); // whoever waits hears of it; without anybody it is no uncaught error
    return { outcome: "begun", request, ended };
  }

  /** One that ended before. */
  async function written(request: SessionRequest): Promise<EndedChat> {
    return { request, text: (await getResult(store, request.id))?.text ?? "" };
  }

  /** What a running chat is, in memory: seen by every transaction after it, gone with the process. */
  async function keep(tx: Tx, request: SessionRequest, scope: IdempotencyScope | null, now: number): Promise<void> {
    // What the pool serves whole sets nothing of the session's aside, but runs all the same.
    if (request.freeTier?.serve === "free") {
      await countChat(tx, request.session, { running: 1, reservedSats: 0, allowances: request.allowances });
    }
    tx.setVolatile(requestKey(request.session, request.id), request);
    if (scope) rememberWhileRunning(tx, scope, request.id, now);
  }

  /** The whole life of a chat that began. Its end is written whatever becomes of the work. */
  async function hold(
    request: SessionRequest,
    { chat, text, scope }: { chat: Chat; text: string; scope: IdempotencyScope | null },
  ): Promise<EndedChat> {
    const { id } = request;
    const deliver = chat.streamed ? (piece: string) => liveText.append(id, piece) : null;
    if (chat.streamed) liveText.begin(id);
    let ran: Ran;
    try {
      ran = await converse(services, request, { chat, text, deliver, stopped: stopper.signal });
    } catch (error) {
      if (!stopper.signal.aborted) log.error({ error }, "a chat could not be held");
      ran = { outcome: failedBy(stopper.signal.aborted ? null : error), text: "" };
    }
    try {
      return { request: await writeEnd(request, ran, scope), text: ran.text };
    } finally {
      if (chat.streamed) liveText.end(id);
    }
  }

  /** The one commit. While the database does not take it, the sats stay set aside and it is tried again. */
  async function writeEnd(request: SessionRequest, ran: Ran, scope: IdempotencyScope | null): Promise<SessionRequest> {
    for (let attempt = 1;; attempt++) {
      const now = clock.now();
      try {
        return await store.transact(async (tx) => {
          const before = await getRequest(tx, request.session, request.id);
          if (before?.state !== "running") return before ?? request; // an earlier try has landed after all
          if (scope) {
            tx.deleteVolatile(scope.rowKey);
            await remember(tx, scope, request.id, now);
          }
          return await endIn(tx, settings, before, ran, now);
        });
      } catch (error) {
        const passing = error instanceof StoreError && (error.code === "unavailable" || error.code === "unknown");
        if (!passing || (stopper.signal.aborted && attempt > 5)) throw error;
        log.warn({ error, attempt }, "the end of a chat could not be written; it is tried again");
        await sleep(clock, STORE_AGAIN_MS);
      }
    }
  }

  return {
    begin,
    running: () => running.size,
    async stop() {
      stopper.abort(new Error("the process is stopping"));
      await Promise.allSettled([...running.values()]);
    },
  };
}
