/**
 * Chats: requests that somebody waits for. A chat ends with its process, so what it reserves is kept in memory, and one commit
 * at its end writes everything (economy.md §6). A kill charges nothing and leaves no history.
 */
import { sleep } from "@/lib/clock.ts";
import { sha256Hex } from "@/lib/ids.ts";
import { unread } from "@/lib/metering/close.rules.ts";
import { failedBy, type Ran } from "@/lib/metering/run.ts";
import type { Services } from "@/lib/services.ts";
import { StoreError, type Tx } from "@/lib/store/store.ts";
import { type IdempotencyScope, remember, rememberWhileRunning } from "@/lib/tasks/idempotency.ts";
import { askedAgain, Attendance, callOf, createRepeats, type Leave } from "./repeats.ts";
import type { SessionRequest } from "./requests.machine.ts";
import { type Asking, type Chat, type NotBegun, textOf } from "./requests/ask.ts";
import { beginIn, quoteChat, requestOf } from "./requests/begin.ts";
import { endIn } from "./requests/end.ts";
import { converse } from "./requests/work.ts";
import { countChat, getRequest, getResult, requestKey } from "./sessions.rows.ts";
import type { VerifiedToken } from "./tokens.ts";

/** A chat that has ended, and its answer, or what of it was delivered. */
export interface EndedChat {
  request: SessionRequest;
  text: string;
}

/**
 * `known`: what the caller's Idempotency-Key, or the call that this one repeats, began before. `ended` resolves once its end is
 * written down. Whoever got it says `leave`, once: with the answer, or without.
 */
export type BegunChat = Attended & { outcome: "begun" | "known" } | NotBegun;

interface Attended {
  request: SessionRequest;
  ended: Promise<EndedChat>;
  leave: Leave;
}
/** What runs here, or ended here a moment ago. */
interface Held {
  request: SessionRequest;
  ended: Promise<EndedChat>;
  attendance: Attendance;
}

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
  const { store, clock, log, settings, liveText } = services;
  const running = new Map<string, Held>();
  const repeats = createRepeats<Omit<Held, "attendance">>(clock);
  const stopper = new AbortController();

  async function begin(token: VerifiedToken, chat: Chat, about: Asking = {}): Promise<BegunChat> {
    const { scope = null, repeat = null } = about;
    const text = textOf(chat.messages);
    const requestHash = sha256Hex(text);
    const call = callOf(token, requestHash, repeat);
    const before = askedAgain(repeats, call, { repeat, scope });
    if (before?.running) return { ...attended(before.running), outcome: "known" };
    if (before) return await readAgain(before.session, before.id);
    const quote = await quoteChat(services, chat);
    const { model } = chat;
    const evalModel = settings.chatEvaluation ? settings.evalModel : null;
    const fresh = requestOf(services, token, about, { mode: "chat", model, evalModel, text: null, quote, requestHash });
    const now = fresh.at;
    const begins = await store.transact(async (tx) => {
      const result = await beginIn(tx, settings, fresh, { token, scope, now });
      if (result.outcome === "begins") await keep(tx, result.request, scope, now);
      return result;
    });
    if (begins.outcome === "known") {
      const { request } = begins;
      const held = running.get(request.id);
      return held ? { ...attended(held), outcome: "known" } : endedBefore(request);
    }
    if (begins.outcome !== "begins") return begins;
    const { request } = begins;
    const attendance = new Attendance(clock, { graceMs: settings.graceMs, stays: scope !== null });
    const leave = attendance.join();
    const ended = hold(request, { chat, text, scope, attendance });
    const held: Held = { request, ended, attendance };
    running.set(request.id, held);
    const over = repeats.began(call, { session: request.session, id: request.id }, held);
    // Whoever waits hears of a failure; without anybody it is no uncaught error.
    ended.then((done) => done.request.state === "complete", () => false).then((complete) => {
      running.delete(request.id);
      over(complete);
    });
    return { outcome: "begun", request, ended, leave };
  }

  const attended = ({ request, ended, attendance }: Held): Attended => ({ request, ended, leave: attendance.join() });

  const endedBefore = (request: SessionRequest): BegunChat => ({
    outcome: "known",
    request,
    ended: getResult(store, request.id).then((result) => ({ request, text: result?.text ?? "" })),
    leave: () => {},
  });
  async function readAgain(session: string, id: string): Promise<BegunChat> {
    const request = await getRequest(store, session, id);
    if (!request) throw new Error("a request that ended a moment ago does not exist");
    return endedBefore(request);
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
    { chat, text, scope, attendance }: {
      chat: Chat;
      text: string;
      scope: IdempotencyScope | null;
      attendance: Attendance;
    },
  ): Promise<EndedChat> {
    const { id } = request;
    const deliver = chat.streamed ? (piece: string) => liveText.append(id, piece) : null;
    if (chat.streamed) liveText.begin(id);
    let ran: Ran;
    try {
      const { gone } = attendance;
      ran = await converse(services, request, { chat, text, deliver, gone, stopped: stopper.signal });
    } catch (error) {
      if (!stopper.signal.aborted) log.error({ error }, "a chat could not be held");
      ran = { outcome: failedBy(stopper.signal.aborted ? null : error), text: "" };
    }
    if (ran.outcome.end === "complete") await attendance.taken(stopper.signal);
    if (!attendance.read) ran = { ...ran, outcome: unread(ran.outcome) };
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
      await Promise.allSettled([...running.values()].map(({ ended }) => ended));
    },
  };
}
