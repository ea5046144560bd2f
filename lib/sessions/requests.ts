import { failedBy, type Ran } from "@/lib/metering/run.ts";
import type { Services } from "@/lib/services.ts";
import type { Tx } from "@/lib/store/store.ts";
import { type Lease, plan } from "@/lib/tasks/due.ts";
import type { TaskSpec } from "@/lib/tasks/queue.ts";
import type { SessionRequest } from "./requests.machine.ts";
import type { Chats } from "./requests/ask.ts";
import { type Begin, createBegin } from "./requests/begin.ts";
import { createEnding } from "./requests/end.ts";
import { createRequestWork } from "./requests/run.ts";
import { namesIn, taskIdOf } from "./requests/task-id.ts";
import { getRequest } from "./sessions.rows.ts";

export { type Ask, textOf } from "./requests/ask.ts";
export type { Begun } from "./requests/begin.ts";

export interface SessionRequests {
  /**
   * Sets aside what the request may cost and starts it, in one commit. Nothing is written unless it is `begun`.
   * @param about.scope the caller's Idempotency-Key: `known` is what it began before.
   * @param about.pubkey the key that signed the request, for a session that no key owns.
   */
  begin: Begin;
  /** The request once it has ended; as it is after `waitMs` if it still runs then. */
  ended(request: SessionRequest, waitMs: number): Promise<SessionRequest>;
  task: TaskSpec;
  /** Ends a request whose subsidy has stood too long. */
  subsidyExpired(tx: Tx, session: string, requestId: string, now: number): Promise<void>;
}

/** One try and three more, as for a job (economy.md §4). A chat is tried once: its caller is there to try again. */
const MODEL_ATTEMPTS = 4;
/** Requests that run at once; more wait their turn. Most of a request's time is spent waiting for a model. */
const CONCURRENCY = 1_024;

/** Requests drawn from sessions: reserve, evaluate, work within the reservation, close. Two commits each. */
export function createSessionRequests(services: Services): SessionRequests {
  const { store } = services;
  /** Chats that callers of this process wait for. A task without one here lost its caller: its money goes back. */
  const chats: Chats = new Map();
  /** How runs ended that could not be recorded yet: what was answered once is neither asked nor given away again. */
  const unrecorded = new Map<string, Ran>();
  const work = createRequestWork(services, chats);
  const { close, conclude, ended } = createEnding(services);

  async function run(lease: Lease, stopped: AbortSignal): Promise<void> {
    const request = await getRequest(store, ...namesIn(lease));
    if (request?.state !== "running") return await close(lease, null);
    const ran = unrecorded.get(request.id) ?? await work.answered(request, stopped);
    unrecorded.set(request.id, ran);
    await close(lease, ran);
    forget(request.id);
  }

  function forget(id: string): void {
    unrecorded.delete(id);
    work.forget(id);
  }

  return {
    begin: createBegin(services, chats),
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
