/** How a request of a session ends: charged, the rest given back, in one commit; and how callers learn of it. */
import type { Services } from "@/lib/services.ts";
import { reservedAccount, REVENUE } from "@/lib/ledger/accounts.ts";
import type { Tx } from "@/lib/store/store.ts";
import {
  actualSats,
  endRequest,
  type RequestEnd,
  type SessionRequest,
  trustOf,
} from "@/lib/sessions/requests.machine.ts";
import { requestEnded } from "@/lib/sessions/sessions.machine.ts";
import { holdsLease, type Lease, plan } from "@/lib/tasks/due.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";
import { closeSubsidy, creditPool, takeSubsidy } from "@/lib/free-tier/pool.rows.ts";
import {
  countUnder,
  getRequest,
  getSession,
  putRequest,
  putResult,
  putSession,
  spendable,
} from "@/lib/sessions/sessions.rows.ts";
import { recordTrust } from "@/lib/identity/trust.rows.ts";
import { namesIn } from "./task-id.ts";

/** How a run ended, and the text it leaves. */
export interface Ended {
  end: RequestEnd;
  text?: string;
}

/** Characters of one answer that are told and kept: some ten for each token that may be asked for; a commit has a limit. */
export const MAX_TEXT = 100_000;

export interface Ending {
  /** Ends the task, and with `ended` its request; what another process took over meanwhile is left alone. */
  settle(lease: Lease, ended: Ended | null): Promise<void>;
  /** Ends a request within a transaction; one that has ended stays as it is. @param now ms since the epoch */
  conclude(tx: Tx, names: [session: string, request: string], ended: Ended, now: number): Promise<void>;
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

  /** Charges what it cost, gives the rest of the hold back and ends the task, in one commit. `ended` null: nothing to do. */
  async function settle(lease: Lease, ended: Ended | null): Promise<void> {
    const now = clock.now();
    await store.transact(async (tx) => {
      if (!(await holdsLease(tx, lease))) return;
      await plan(tx, { kind: lease.kind, id: lease.id, dueAt: null });
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
    const { reservedSats, chargeSats, subsidySats, allowances } = step.request;
    await post(tx, step.postings, now);
    if (request.grantedSats > 0) await closeSubsidy(tx, request.id, subsidySats, now);
    // What a refused one pays is its evaluation: that feeds no pool.
    const earnedSats = step.request.state === "rejected" ? 0 : chargeSats;
    await creditPool(tx, settings.freeTier, {
      id: request.id,
      from: REVENUE.session,
      chargeSats: earnedSats,
      now,
    });
    await recordTrust(tx, request.pubkey, trustOf(step.request), settings.freeTier.trust, now);
    await countUnder(tx, allowances, { reservedSats: -reservedSats, spentSats: chargeSats });
    const next = requestEnded(session, {
      reservedSats,
      chargeSats,
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
    const adviceSats = Math.min(advised, actualSats(request.quote, end), request.reservedSats);
    if (pubkey === null || adviceSats === 0) return request;
    const recipient = { id, session, pubkey, requestHash };
    const taken = await takeSubsidy(tx, settings.freeTier, recipient, {
      adviceSats,
      account: reservedAccount(id),
      now,
    });
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

  return { settle, conclude, ended };
}
