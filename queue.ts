import type { Services } from "@/lib/services.ts";
import type { Sweeper } from "@/lib/bootstrap/destruction.ts";
import { idempotencyExpiryTask } from "@/lib/tasks/idempotency.ts";
import { subsidyExpiryTask } from "@/lib/free-tier/subsidies.tasks.ts";
import { recordMadeAt } from "@/lib/ledger/audit/records.ts";
import { createFreeze, type Freeze } from "@/lib/payments/freeze.ts";
import { createLeapGuard } from "@/lib/leap-guard.ts";
import { createPayouts, type Payouts } from "@/lib/payments/payouts.ts";
import type { Refund } from "@/lib/payments/refunds.machine.ts";
import type { Store } from "@/lib/store/store.ts";
import { getBootstrap } from "@/lib/bootstrap/bootstrap.rows.ts";
import { getJob } from "@/lib/jobs/jobs.rows.ts";
import { getSession } from "@/lib/sessions/sessions.rows.ts";
import { createQueue, type Queue } from "@/lib/tasks/queue.ts";
import { createSessionRequests, type SessionRequests } from "@/lib/sessions/requests.ts";
import { type Chats, createChats } from "@/lib/sessions/chats.ts";
import { type CheckedTokens, createCheckedTokens } from "@/lib/sessions/tokens.ts";
import { createUsedSessions, type UsedSessions } from "@/lib/sessions/open.ts";
import { createSettlements, type Settlements } from "@/lib/payments/settlements.ts";
import { rowExpiryTask } from "@/lib/tasks/expiring.ts";
import { freeTierTasks } from "@/lib/free-tier/donations.tasks.ts";
import { jobTasks } from "@/lib/jobs/jobs.tasks.ts";
import { bootstrapTasks } from "@/lib/bootstrap/bootstrap.tasks.ts";
import { sessionTasks } from "@/lib/sessions/sessions.tasks.ts";

/** Everything that runs without a request. */
export interface Background {
  queue: Queue;
  settlements: Settlements;
  payouts: Payouts;
  freeze: Freeze;
  sessionRequests: SessionRequests;
  chats: Chats;
  usedSessions: UsedSessions;
  checkedTokens: CheckedTokens;
  /** Why the last model call failed, for readiness; null when it did not. */
  modelError(): string | null;
  /** Why the last call to the cloud failed, for readiness; null when it did not. */
  cloudError(): string | null;
  /** Finds what failed bootstraps have left at the provider. */
  sweeper: Sweeper;
}

/** One flat list of tasks: the mirror of `app.ts`. Nothing runs before `start`. */
export function createBackground(
  services: Services,
  options: { exclusive: boolean; reconcileMs?: number },
): Background {
  const { store, wallet, clock, random, log, settings } = services;
  const jobs = jobTasks(services);
  const sessions = sessionTasks(services);
  const bootstraps = bootstrapTasks(services);
  const sessionRequests = createSessionRequests(services);
  const guard = createLeapGuard({ clock, log });
  const settlements = createSettlements({
    store,
    wallet,
    clock,
    log,
    guard,
    handlers: { ...jobs.handlers, ...sessions.handlers, ...bootstraps.handlers, ...freeTierTasks().handlers },
    ...(options.reconcileMs !== undefined && { reconcileMs: options.reconcileMs }),
  });
  const freeze = createFreeze({ store, now: () => clock.now(), createdAt: (handle) => recordMadeAt(store, handle) });
  const payouts = createPayouts({
    store,
    wallet,
    journal: services.payoutJournal,
    freeze,
    clock,
    log,
    guard,
    timeoutMs: settings.payoutTimeoutMs,
    publicFetch: services.publicFetch,
    counted: services.metrics.payout,
    ownInvoice: ownInvoices(store),
  });
  const queue = createQueue({
    store,
    clock,
    random,
    log,
    exclusive: options.exclusive,
    tasks: [
      ...jobs.tasks.map(freeze.held), // evaluate, work
      freeze.held(sessionRequests.task), // session-request
      ...bootstraps.tasks.map(freeze.held), // bootstrap, bootstrap-key
      freeze.held(sessions.expiryTask), // session-expiry
      settlements.expiryTask, // invoice-expiry
      freeze.held(payouts.payoutTask), // payout
      freeze.held(payouts.addressTask), // refund-address
      freeze.held(payouts.expiryTask), // refund-expiry
      idempotencyExpiryTask(store), // idempotency-expiry
      rowExpiryTask(store), // row-expiry
      subsidyExpiryTask(services, { job: jobs.subsidyExpired, request: sessionRequests.subsidyExpired }), // subsidy-expiry
    ],
  });
  return {
    queue,
    settlements,
    payouts,
    freeze,
    sessionRequests,
    chats: createChats(services),
    usedSessions: createUsedSessions(),
    checkedTokens: createCheckedTokens(),
    modelError: jobs.modelError,
    cloudError: bootstraps.cloudError,
    sweeper: bootstraps.sweeper,
  };
}

/** The first invoice of the record that owes a refund. */
const ownInvoices = (store: Store) => async ({ kind, handle }: Refund["source"]): Promise<string | null> => {
  if (kind === "job") return (await getJob(store, handle))?.evalInvoice.paymentRequest ?? null;
  if (kind === "session") return (await getSession(store, handle))?.deposit.paymentRequest ?? null;
  if (kind === "recovered") return null; // nothing is left of it, so no address either
  return (await getBootstrap(store, handle))?.invoice.paymentRequest ?? null;
};
