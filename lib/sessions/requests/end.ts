/** How a request of a session ends: charged, the rest given back, in one commit; and how callers learn of it. */
import { nonZero, reservationReleased } from "@/lib/ledger/postings.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";
import { close } from "@/lib/metering/metering.ts";
import { MAX_TEXT, type Ran } from "@/lib/metering/run.ts";
import type { Services } from "@/lib/services.ts";
import type { Tx } from "@/lib/store/store.ts";
import { holdsLease, type Lease, plan } from "@/lib/tasks/due.ts";
import { earnedBy, requestBooks } from "../payer.ts";
import { endedRequest, type SessionRequest } from "../requests.machine.ts";
import { requestEnded } from "../sessions.machine.ts";
import { countUnder, getRequest, getSession, putRequest, putResult, putSession, spendable } from "../sessions.rows.ts";
import { namesIn } from "./task-id.ts";

export interface Ending {
  /** Ends the task, and with `ran` its request; what another process took over meanwhile is left alone. */
  close(lease: Lease, ran: Ran | null): Promise<void>;
  /** Ends a request within a transaction; one that has ended stays as it is. @param now ms since the epoch */
  conclude(tx: Tx, names: [session: string, request: string], ran: Ran, now: number): Promise<void>;
  /** See `SessionRequests.ended`. */
  ended(request: SessionRequest, waitMs: number): Promise<SessionRequest>;
}

/** Listens from now on: every request that ends afterwards wakes those who wait for it. */
export function createEnding({ store, clock, settings }: Pick<Services, "store" | "clock" | "settings">): Ending {
  const waiting = new Map<string, Set<() => void>>();
  store.onEvent((event) => {
    if (event.type !== "session_request" || event.state === "running") return;
    for (const wake of waiting.get(String(event.request)) ?? []) wake();
  });

  async function closeTask(lease: Lease, ran: Ran | null): Promise<void> {
    const now = clock.now();
    await store.transact(async (tx) => {
      if (!(await holdsLease(tx, lease))) return;
      await plan(tx, { kind: lease.kind, id: lease.id, dueAt: null });
      if (ran) await conclude(tx, namesIn(lease), ran, now);
    });
  }

  /** The transaction that ends a request, whoever ends it. */
  async function conclude(
    tx: Tx,
    names: [session: string, request: string],
    { outcome, text }: Ran,
    now: number,
  ): Promise<void> {
    const running = await getRequest(tx, ...names);
    if (running?.state !== "running") return;
    const session = await getSession(tx, running.session);
    if (!session) throw new Error("a request belongs to no session");
    const { id, reservedSats } = running;
    const payer = { earned: (sats: number, evaluationOnly: boolean) => [earnedBy(id, sats, evaluationOnly)] };
    const metered = { ...running, paidSats: reservedSats };
    const books = requestBooks(id);
    const { costSheet, grantedSats } = await close(tx, settings, payer, metered, { outcome, books, now });
    await post(tx, nonZero([reservationReleased(id, session.handle, costSheet.refundSats)]), now);
    const balanceSats = await spendable(tx, session.handle);
    const ended = endedRequest(running, { outcome, costSheet, grantedSats, balanceSats, now });
    const { chargeSats, allowances, state } = ended;
    await countUnder(tx, allowances, { reservedSats: -reservedSats, spentSats: chargeSats });
    const succeeded = state === "complete";
    const terms = settings.sessions;
    const next = requestEnded(session, { reservedSats, chargeSats, balanceSats, succeeded, terms, now });
    await putSession(tx, next, session);
    putRequest(tx, ended);
    if (text) putResult(tx, id, text.slice(0, MAX_TEXT));
    tx.event({ type: "session_request", handle: session.handle, request: id, state });
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

  return { close: closeTask, conclude, ended };
}
