import type { Backends } from "@/lib/app-deps.ts";
import { idempotencyExpiryTask } from "@/lib/idempotency.ts";
import { createPayouts, type Payouts } from "@/lib/payouts.ts";
import { createQueue, type Queue } from "@/lib/queue.ts";
import { createSettlements, type Settlements } from "@/lib/settlements.ts";
import { jobTasks } from "@/routes/jobs/jobs.tasks.ts";

/** Everything that runs without a request. */
export interface Background {
  queue: Queue;
  settlements: Settlements;
  payouts: Payouts;
  /** Why the last model call failed, for readiness; null when it did not. */
  modelError(): string | null;
}

/** One flat list of tasks: the mirror of `app.ts`. Nothing runs before `start`. */
export function createBackground(
  backends: Backends,
  options: { exclusive: boolean; reconcileMs?: number },
): Background {
  const { store, wallet, clock, random, log, settings } = backends;
  const jobs = jobTasks(backends);
  const settlements = createSettlements({
    store,
    wallet,
    clock,
    log,
    handlers: jobs.handlers,
    ...(options.reconcileMs !== undefined && { reconcileMs: options.reconcileMs }),
  });
  const payouts = createPayouts({
    store,
    wallet,
    clock,
    maxFeeSats: settings.refundMaxFeeSats,
    timeoutMs: settings.payoutTimeoutMs,
  });
  const queue = createQueue({
    store,
    clock,
    random,
    log,
    exclusive: options.exclusive,
    tasks: [
      ...jobs.tasks, // evaluate, work
      settlements.expiryTask, // invoice-expiry
      payouts.payoutTask, // payout
      payouts.expiryTask, // refund-expiry
      idempotencyExpiryTask(store), // idempotency-expiry
    ],
  });
  return { queue, settlements, payouts, modelError: jobs.modelError };
}
