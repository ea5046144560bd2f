/** Requests of sessions that survive a crash: reserve, evaluate, work within the reservation, close. Two commits each. */
import type { Usage } from "@/lib/ai/port.ts";
import { sha256Hex } from "@/lib/ids.ts";
import { failedBy, type Ran } from "@/lib/metering/run.ts";
import type { Services } from "@/lib/services.ts";
import type { Tx } from "@/lib/store/store.ts";
import { holdsLease, type Lease, plan } from "@/lib/tasks/due.ts";
import { remember } from "@/lib/tasks/idempotency.ts";
import type { TaskSpec } from "@/lib/tasks/queue.ts";
import type { SessionRequest } from "./requests.machine.ts";
import { askedAgain, Attendance, callOf, createRepeats, type Leave } from "./repeats.ts";
import type { Asking, Begun, NotBegun } from "./requests/ask.ts";
import { beginIn, quoteRequest, requestOf } from "./requests/begin.ts";
import { endIn } from "./requests/end.ts";
import { answerRequest } from "./requests/work.ts";
import { requestBegan } from "./sessions.machine.ts";
import { countUnder, getRequest, putRequest, putSession } from "./sessions.rows.ts";
import type { VerifiedToken } from "./tokens.ts";

/** Whoever waits for it says `leave`, once: with the answer, or without. */
type BegunRequest = Extract<Begun, { request: SessionRequest }> & { leave: Leave } | NotBegun;

export interface SessionRequests {
  /**
   * Sets aside what the request may cost and starts it, in one commit. Nothing is written unless it is `begun`.
   * @param about.scope the caller's Idempotency-Key: `known` is what it began before, or the call that this one repeats.
   * @param about.pubkey the key that signed the request, for a session that no key owns.
   */
  begin(token: VerifiedToken, text: string, about?: Asking): Promise<BegunRequest>;
  /** The request once it has ended; as it is after `waitMs` if it still runs then. */
  ended(request: SessionRequest, waitMs: number): Promise<SessionRequest>;
  task: TaskSpec;
  /** Ends a request whose subsidy has stood too long. */
  subsidyExpired(tx: Tx, session: string, requestId: string, now: number): Promise<void>;
}

/** One try and three more, as for a job (economy.md §4). */
const MODEL_ATTEMPTS = 4;
/** Requests that run at once; more wait their turn. Most of a request's time is spent waiting for a model. */
const CONCURRENCY = 1_024;

/** The id of the task that answers a request, and whom it is about. */
const taskIdOf = (session: string, request: string): string => `${session}.${request}`;
const namesIn = (lease: Lease) => lease.id.split(".") as [session: string, request: string];

export function createSessionRequests(services: Services): SessionRequests {
  const { store, clock, settings } = services;
  /** What evaluations took whose work is tried again. */
  const evaluated = new Map<string, Usage>();
  /** How runs ended that could not be recorded yet: what was answered once is neither asked nor given away again. */
  const unrecorded = new Map<string, Ran>();
  const ended = waitForEnds(services);
  const repeats = createRepeats<{ request: SessionRequest }>(clock);
  /** Of requests that run: what is said at their end. */
  const ends = new Map<string, (complete: boolean) => void>();
  store.onEvent((event) => {
    if (event.type !== "session_request" || event.state === "running") return;
    const id = String(event.request);
    ends.get(id)?.(event.state === "complete");
    ends.delete(id);
  });

  async function begin(token: VerifiedToken, text: string, about: Asking = {}): Promise<BegunRequest> {
    const { scope = null, repeat = null } = about;
    const requestHash = sha256Hex(text);
    const call = callOf(token, requestHash, repeat);
    const before = askedAgain(repeats, call, { repeat, scope });
    if (before?.running) {
      return { outcome: "known", request: before.running.request, leave: before.running.attendance.join() };
    }
    const known = before && await getRequest(store, before.session, before.id);
    if (known) return { outcome: "known", request: known, leave: () => {} };
    const quote = await quoteRequest(services, text);
    const { workModel: model, evalModel } = settings;
    const fresh = requestOf(services, token, about, { mode: "request", model, evalModel, text, quote, requestHash });
    const now = fresh.at;
    const attendance = new Attendance(clock, { graceMs: settings.graceMs, stays: true }); // its answer can be read at any time
    const leave = attendance.join();
    const begun = await store.transact(async (tx): Promise<Begun> => {
      const begins = await beginIn(tx, settings, fresh, { token, scope, now });
      if (begins.outcome !== "begins") return begins;
      const { session, request } = begins;
      const { id, reservedSats } = request;
      await countUnder(tx, request.allowances, { reservedSats, spentSats: 0 });
      await putSession(tx, requestBegan(session, reservedSats), session);
      putRequest(tx, request);
      if (scope) await remember(tx, scope, id, now);
      await plan(tx, { kind: "session-request", id: taskIdOf(request.session, id), dueAt: now });
      tx.afterCommit(() => {
        ends.set(id, repeats.began(call, { session: request.session, id }, { request, attendance }));
      });
      return { outcome: "begun", request };
    });
    return "request" in begun ? { ...begun, leave } : begun;
  }

  async function run(lease: Lease, stopped: AbortSignal): Promise<void> {
    const request = await getRequest(store, ...namesIn(lease));
    if (request?.state !== "running") return await close(lease, null);
    const { id } = request;
    const known = { get: () => evaluated.get(id) ?? null, keep: (usage: Usage) => void evaluated.set(id, usage) };
    const ran = unrecorded.get(id) ?? await answerRequest(services, request, known, stopped);
    unrecorded.set(id, ran);
    await close(lease, ran);
    forget(id);
  }

  /** Ends the task, and with `ran` its request; what another process took over meanwhile is left alone. */
  async function close(lease: Lease, ran: Ran | null): Promise<void> {
    const now = clock.now();
    await store.transact(async (tx) => {
      if (!(await holdsLease(tx, lease))) return;
      await plan(tx, { kind: lease.kind, id: lease.id, dueAt: null });
      if (ran) await conclude(tx, namesIn(lease), ran, now);
    });
  }

  /** Ends a request within a transaction; one that has ended stays as it is. */
  async function conclude(tx: Tx, names: [session: string, request: string], ran: Ran, now: number): Promise<void> {
    const running = await getRequest(tx, ...names);
    if (running?.state === "running") await endIn(tx, settings, running, ran, now);
  }

  function forget(id: string): void {
    unrecorded.delete(id);
    evaluated.delete(id);
  }

  return {
    begin,
    ended,
    subsidyExpired: async (tx, session, requestId, now) => {
      await plan(tx, { kind: "session-request", id: taskIdOf(session, requestId), dueAt: null });
      await conclude(tx, [session, requestId], { outcome: failedBy(null), text: "" }, now);
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
        await close(lease, unrecorded.get(id) ?? { outcome: failedBy(cause), text: "" });
        forget(id);
      },
    },
  };
}

/** Listens from now on: every request that ends afterwards wakes those who wait for it. */
function waitForEnds({ store, clock }: Pick<Services, "store" | "clock">): SessionRequests["ended"] {
  const waiting = new Map<string, Set<() => void>>();
  store.onEvent((event) => {
    if (event.type !== "session_request" || event.state === "running") return;
    for (const wake of waiting.get(String(event.request)) ?? []) wake();
  });
  return async (request, waitMs) => {
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
  };
}
