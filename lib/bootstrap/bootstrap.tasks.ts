/** Takes bootstraps on, one step a commit, whoever asked and whether or not the payer is still there. */
import { CloudError } from "@/lib/cloud/port.ts";
import { lateUnclaimed } from "@/lib/ledger/postings.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";
import { dropInvoiceLater } from "@/lib/payments/invoices.rows.ts";
import type { InvoiceHandler } from "@/lib/payments/settlements.ts";
import type { Services } from "@/lib/services.ts";
import { holdsLease, type Lease, plan } from "@/lib/tasks/due.ts";
import type { TaskSpec } from "@/lib/tasks/queue.ts";
import {
  becameReady,
  type Bootstrap,
  type BootstrapStep,
  currentStep,
  destroyed,
  failed,
  feePaid,
  invoiceExpired,
  markedHandedOver,
  type NoStep,
  type ProvisioningStep,
  type RefundTerms,
  stepDone,
  type StepName,
  TASK,
  unconfirmed,
} from "./bootstrap.machine.ts";
import { dropBootstrap, getBootstrap, writeStep } from "./bootstrap.rows.ts";
import { keyExpiryTask } from "./delivery.ts";
import { createSweeper, destroyAll, type Sweeper } from "./destruction.ts";
import { deadlineOf, HANDED_OVER, perform, SETTLE_MS } from "./provisioning.ts";

/** Longer than any step waits in one go, so that waiting writes nothing: a restart voids the leases of before. */
const LEASE_MS = 600_000;

/** Not done yet: the task comes again after `retryAfterMs`. */
class NotYet extends Error {
  override name = "NotYet";
  constructor(message: string, readonly retryAfterMs: number, options?: ErrorOptions) {
    super(message, options);
  }
}

/** How much of a failure the payer is told, by the step it was in. */
const WHAT_FAILED: Record<StepName, string> = {
  ssh_key: "The SSH key could not be given to the provider",
  tailscale_key: "The node's place in the private network could not be made",
  volume: "The volume could not be made",
  droplet: "The machine could not be made",
  ip: "The machine did not come up",
  first_boot: "The node did not report its first boot",
  ready: "The node could not be handed over",
};

export const refundTermsOf = ({ settings }: Pick<Services, "settings">): RefundTerms => ({
  dustSats: settings.refundDustSats,
  claimDays: settings.refundClaimDays,
  maxFeeSats: settings.refundMaxFeeSats,
});

type BootstrapServices = Pick<
  Services,
  "store" | "clock" | "log" | "settings" | "cloud" | "tailnet" | "recordIds" | "sealer"
>;

export function bootstrapTasks(services: BootstrapServices): {
  tasks: TaskSpec[];
  handlers: { bootstrap: InvoiceHandler };
  sweeper: Sweeper;
} {
  const { store, clock, log, cloud, settings } = services;
  const terms = refundTermsOf(services);
  const { stepTimeoutMs, firstBootTimeoutMs } = settings.bootstrap;
  /** Steps that began in this process and that no call was made for yet: none can still be under way. */
  const fresh = new Set<string>();
  const startedAt = clock.now();
  const freshName = (handle: string, step: StepName) => `${handle} ${step}`;

  /** Writes a transition under the lease; without it, or when it no longer means anything, only the task ends. */
  async function close(lease: Lease, transition: (bootstrap: Bootstrap, now: number) => BootstrapStep | NoStep) {
    const now = clock.now();
    const after = await store.transact(async (tx) => {
      if (!(await holdsLease(tx, lease))) return null;
      const before = await getBootstrap(tx, lease.id);
      const step = before && transition(before, now);
      const written = before && step && await writeStep(tx, before, step, now);
      if (!written) await plan(tx, { kind: TASK, id: lease.id, dueAt: null });
      return step?.outcome === "applied" ? step.bootstrap : null;
    });
    const step = after && currentStep(after);
    if (step) fresh.add(freshName(lease.id, step.name));
  }

  async function takeOn(lease: Lease, signal: AbortSignal): Promise<void> {
    const bootstrap = await getBootstrap(store, lease.id);
    const step = bootstrap && currentStep(bootstrap);
    if (bootstrap && bootstrap.destroyingSince !== null) return await destroy(lease, bootstrap);
    if (bootstrap?.state === "ready" && !bootstrap.handedOver) return await handOver(lease, bootstrap);
    if (!bootstrap || !step) return await close(lease, () => ({ outcome: "replayed" }));
    if (step.name === "first_boot" || step.name === "ready") return await awaitReport(lease, bootstrap, step);
    try {
      waitForEarlierCalls(lease, step);
      const done = await perform(services, bootstrap, step.name, signal);
      await close(lease, (now_, now) => stepDone(now_, step.name, { ...done, now, firstBootMs: firstBootTimeoutMs }));
    } catch (error) {
      await notDone(lease, bootstrap, step, error, signal);
    }
  }

  /** A call of an earlier process, or one whose answer was lost, may still be under way: the machine waits until it cannot be. */
  function waitForEarlierCalls({ id }: Lease, { name }: ProvisioningStep): void {
    if (fresh.delete(freshName(id, name)) || name !== "droplet") return;
    // A call of this process that was repeated has waited between its attempts.
    const wait = startedAt + SETTLE_MS - clock.now();
    if (wait > 0) throw new NotYet("an earlier call may still be under way", wait);
  }

  /** Fails the bootstrap for good, or has the step come again. @throws {NotYet} */
  async function notDone(
    lease: Lease,
    bootstrap: Bootstrap,
    step: ProvisioningStep,
    cause: unknown,
    signal: AbortSignal,
  ): Promise<void> {
    if (cause instanceof NotYet || signal.aborted) throw cause;
    const known = cause instanceof CloudError;
    if (!known) log.error({ task: TASK, check: step.name, error: cause }, "a step of a bootstrap met an error of ours");
    const final = known && !cause.retryable;
    if (final || clock.now() >= deadlineOf(bootstrap, stepTimeoutMs)) {
      const why = known ? cause.message : "an error of ours";
      return await close(lease, (now_, now) => failed(now_, `${WHAT_FAILED[step.name]}: ${why}.`, now));
    }
    const asked = known ? cause.retryAfterMs ?? 0 : 0;
    const waitMs = step.name === "droplet" ? Math.max(asked, SETTLE_MS) : asked;
    throw new NotYet(`${WHAT_FAILED[step.name]} yet`, waitMs, { cause });
  }

  async function awaitReport(lease: Lease, bootstrap: Bootstrap, step: ProvisioningStep): Promise<void> {
    if (bootstrap.report) return await close(lease, (now_, now) => becameReady(now_, terms, now));
    const waitMs = step.startedAt + firstBootTimeoutMs - clock.now();
    if (waitMs > 0) throw new NotYet("the node has not reported yet", waitMs);
    await close(lease, unconfirmed);
  }

  async function destroy(lease: Lease, bootstrap: Bootstrap): Promise<void> {
    let gone = false;
    try {
      gone = await destroyAll(services, bootstrap, clock.now());
    } catch (error) {
      if (!(error instanceof CloudError)) throw error;
      throw new NotYet(`not destroyed yet: ${error.message}`, error.retryAfterMs ?? 0, { cause: error });
    }
    if (!gone) throw new NotYet("not everything is destroyed yet", settings.bootstrap.pollMs);
    await close(lease, (now_, now) => destroyed(now_, terms, now));
  }

  async function handOver(lease: Lease, { made: { machineId, volumeId } }: Bootstrap): Promise<void> {
    if (machineId !== null) await cloud.tag("machine", machineId, HANDED_OVER);
    if (volumeId !== null) await cloud.tag("volume", volumeId, HANDED_OVER);
    await close(lease, markedHandedOver);
  }

  const bootstrap: InvoiceHandler = {
    async settled(tx, { paymentHash, ref }, paidSats, now) {
      const before = await getBootstrap(tx, ref);
      // Forgotten long ago, unpaid: nobody can be given the money, and it must not be missing in the books either.
      if (!before) return await post(tx, [lateUnclaimed({ paymentHash, sats: paidSats })], now);
      const step = feePaid(before, { paymentHash, paidSats, terms, now });
      if (!(await writeStep(tx, before, step, now))) {
        throw new Error(`a settlement arrived for a bootstrap that is ${before.state}: refusing to lose it`);
      }
      tx.event({ type: "invoice_settled", handle: ref, amountSats: paidSats });
    },
    async expired(tx, { paymentHash, ref }, now) {
      const before = await getBootstrap(tx, ref);
      if (before) await writeStep(tx, before, invoiceExpired(before, paymentHash), now);
    },
    async forgotten(tx, { paymentHash, ref }, now) {
      const before = await getBootstrap(tx, ref);
      if (!before || before.paidSats > 0) return;
      await dropBootstrap(tx, before);
      await dropInvoiceLater(tx, paymentHash, now);
    },
  };

  const forever = { leaseMs: LEASE_MS, maxAttempts: Infinity, maxDelayMs: 30_000 };
  return {
    tasks: [
      {
        ...forever,
        kind: TASK,
        concurrency: settings.bootstrap.concurrency,
        run: takeOn,
        // Never reached: what must end is ended by its own deadline, and what is owed is never given up.
        giveUp: (lease, cause) => Promise.reject(new Error(`bootstrap ${lease.id} was given up`, { cause })),
      },
      keyExpiryTask(services),
    ],
    handlers: { bootstrap },
    sweeper: createSweeper({ cloud, store, clock, log }),
  };
}
