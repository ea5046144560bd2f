/** Takes bootstraps on, one step a commit, whoever asked and whether or not the payer is still there. */
import { sleep } from "@/lib/clock.ts";
import { CloudError } from "@/lib/cloud/port.ts";
import { lateUnclaimed } from "@/lib/ledger/postings.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";
import { dropInvoiceLater } from "@/lib/payments/invoices.rows.ts";
import type { InvoiceHandler } from "@/lib/payments/settlements.ts";
import type { Services } from "@/lib/services.ts";
import { holdsLease, type Lease, plan } from "@/lib/tasks/due.ts";
import { createOneAtATime } from "@/lib/tasks/idempotency.ts";
import { retryDelayMs, type TaskSpec } from "@/lib/tasks/queue.ts";
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
  REPLAYED,
  stepDone,
  type StepName,
  TASK,
  unconfirmed,
} from "./bootstrap.machine.ts";
import { dropBootstrap, getBootstrap, writeStep } from "./bootstrap.rows.ts";
import { keyExpiryTask } from "./delivery.ts";
import { createSweeper, destroyAll, HandedOver, type Sweeper } from "./destruction.ts";
import { createPlaces } from "./places.ts";
import { HANDED_OVER, perform, SETTLE_MS } from "./provisioning.ts";

/** Renewed at a third of it: longer than a step of the default settings waits, so that waiting writes nothing (ms). */
const LEASE_MS = 600_000;
/** Steps that wait hold a lease each and no place at the provider: more than these wait for their turn. */
const STEPS_AT_ONCE = 1_000;
/** Longest wait between two tries to destroy, or to mark, what the provider does not answer for (ms). */
const LONGEST_WAIT_MS = 600_000;
/** Longest wait between two tries of a step, which has minutes and not days (ms). */
const STEP_WAIT_MS = 30_000;

/** Not done yet: the task comes again after `retryAfterMs`, or later. */
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

type ProvisionedStep = Exclude<StepName, "first_boot" | "ready">;

/** A try of a step that came to nothing. */
class Failure {
  readonly known: boolean;
  readonly isFinal: boolean;
  /** How long the provider asked to wait (ms). */
  readonly askedMs: number;
  /** For the payer. */
  readonly why: string;
  constructor(readonly cause: unknown) {
    this.known = cause instanceof CloudError;
    this.isFinal = cause instanceof CloudError && !cause.retryable;
    this.askedMs = cause instanceof CloudError ? cause.retryAfterMs ?? 0 : 0;
    this.why = cause instanceof CloudError ? cause.message : "an error of ours";
  }
}

export const refundTermsOf = ({ settings }: Pick<Services, "settings">): RefundTerms => ({
  dustSats: settings.refundDustSats,
  claimDays: settings.refundClaimDays,
  maxFeeSats: settings.refundMaxFeeSats,
});

type BootstrapServices = Pick<
  Services,
  "store" | "clock" | "random" | "log" | "settings" | "cloud" | "tailnet" | "recordIds" | "sealer"
>;

/** @param options.settleMs how long a call that nobody waits for any more may still be carried out (ms) */
export function bootstrapTasks(services: BootstrapServices, { settleMs = SETTLE_MS } = {}): {
  tasks: TaskSpec[];
  handlers: { bootstrap: InvoiceHandler };
  sweeper: Sweeper;
  /** Why the last call to the provider failed, for readiness; null when it did not. */
  cloudError(): string | null;
} {
  const { store, clock, random, log, cloud, settings } = services;
  const terms = refundTermsOf(services);
  const { stepTimeoutMs, firstBootTimeoutMs, pollMs } = settings.bootstrap;
  const places = createPlaces(settings.bootstrap.concurrency);
  const providers = { ...services, oneAtATime: createOneAtATime() };
  /** Bootstraps whose machine is the next thing to be ordered, and that this process brought there: no earlier call can be under way. */
  const fresh = new Set<string>();
  /** Since when this process has destroyed what these have made (monotonic ms). */
  const destroying = new Map<string, number>();
  const startedAt = clock.monotonic();
  let cloudError: string | null = null;

  /** A call in its turn. How it ended is remembered for readiness, which names nobody's node. */
  const inTurn = <T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> =>
    places(signal, async () => {
      try {
        const answer = await call();
        cloudError = null;
        return answer;
      } catch (error) {
        if (error instanceof CloudError) cloudError = error.message.replace(/timmy-[0-9a-z]{13}/g, "a node");
        throw error;
      }
    });

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
    if (after && currentStep(after)?.name === "droplet") fresh.add(lease.id);
  }

  async function takeOn(lease: Lease, signal: AbortSignal): Promise<void> {
    const bootstrap = await getBootstrap(store, lease.id);
    const step = bootstrap && currentStep(bootstrap);
    if (bootstrap && bootstrap.destroyingSince !== null) return await destroy(lease, bootstrap, signal);
    if (bootstrap?.state === "ready" && !bootstrap.handedOver) return await handOver(lease, bootstrap, signal);
    if (!bootstrap || !step) return await close(lease, () => REPLAYED);
    if (step.name === "first_boot" || step.name === "ready") return await awaitReport(lease, bootstrap, step);
    await provision(lease, step.name, signal);
  }

  /**
   * Tries a step until it is done, or fails for good, or its time is over. It waits here and writes nothing meanwhile: a step
   * costs the one commit that ends it. Its time begins with its turn at the provider, and after a restart anew.
   */
  async function provision(lease: Lease, name: ProvisionedStep, signal: AbortSignal): Promise<void> {
    let end = Infinity;
    if (name === "droplet" && !fresh.delete(lease.id)) await pause(startedAt + settleMs - clock.monotonic(), signal);
    for (let attempt = 0;; attempt++) {
      const bootstrap = await getBootstrap(store, lease.id);
      if (!bootstrap || currentStep(bootstrap)?.name !== name) return await close(lease, () => REPLAYED);
      const tried = await inTurn(signal, () => {
        end = Math.min(end, clock.monotonic() + stepTimeoutMs);
        return perform(providers, bootstrap, name);
      }).catch((error) => new Failure(error));
      signal.throwIfAborted();
      if (tried && !(tried instanceof Failure)) {
        return await close(
          lease,
          (now_, now) => stepDone(now_, name, { ...tried, now, firstBootMs: firstBootTimeoutMs }),
        );
      }
      const waitMs = tried ? waitAfter(tried, name, attempt) : pollMs;
      const leftMs = end - clock.monotonic();
      const over = waitMs === null || leftMs <= 0 || (tried?.askedMs ?? 0) > leftMs;
      if (over) {
        const why = tried ? tried.why : "it had no public address in time";
        return await close(lease, (now_, now) => failed(now_, `${WHAT_FAILED[name]}: ${why}.`, now));
      }
      await pause(Math.min(waitMs, leftMs), signal);
    }
  }

  /** How long to wait before the next try (ms); null when none can help. */
  function waitAfter(failure: Failure, name: ProvisionedStep, attempt: number): number | null {
    if (!failure.known) log.error({ task: TASK, check: name, error: failure.cause }, "a step met an error of ours");
    if (failure.isFinal) return null;
    const waitMs = retryDelayMs(attempt, STEP_WAIT_MS, random, failure.askedMs);
    // The provider makes two machines of one name: an order whose answer was lost must have come to its end.
    return name === "droplet" ? Math.max(waitMs, settleMs) : waitMs;
  }

  /** @throws the signal's reason when the process stops meanwhile. */
  async function pause(ms: number, signal: AbortSignal): Promise<void> {
    if (ms > 0) await sleep(clock, ms, signal);
    signal.throwIfAborted();
  }

  async function awaitReport(lease: Lease, bootstrap: Bootstrap, step: ProvisioningStep): Promise<void> {
    if (bootstrap.report) return await close(lease, (now_, now) => becameReady(now_, terms, now));
    const waitMs = step.startedAt + firstBootTimeoutMs - clock.now();
    if (waitMs > 0) throw new NotYet("the node has not reported yet", waitMs);
    await close(lease, unconfirmed);
  }

  /**
   * Asks for the end of everything until nothing is left. The last look comes when no call that makes something can still be under
   * way; that is measured here, by a clock that nobody sets, and not from the time in the record.
   */
  async function destroy(lease: Lease, bootstrap: Bootstrap, signal: AbortSignal): Promise<void> {
    const began = clock.monotonic();
    const since = destroying.get(lease.id) ?? began;
    destroying.set(lease.id, since);
    for (;;) {
      const settled = clock.monotonic() - since >= settleMs;
      const gone = await insist(signal, () => destroyAll(providers, bootstrap, clock.now()));
      if (gone && settled) break;
      if (clock.monotonic() - began > stepTimeoutMs) throw new NotYet("not everything is destroyed yet", 0);
      await pause(pollMs, signal);
    }
    await close(lease, (now_, now) => destroyed(now_, terms, now));
    destroying.delete(lease.id);
  }

  /** Repeats a call for a step's time, and has the task come again after that. @throws {NotYet} */
  async function insist<T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> {
    const began = clock.monotonic();
    for (let attempt = 0;; attempt++) {
      const tried = await inTurn(signal, call).catch((error) => new Failure(error));
      if (!(tried instanceof Failure)) return tried;
      const waitMs = retryDelayMs(attempt, STEP_WAIT_MS, random, tried.askedMs);
      if (!tried.known || clock.monotonic() + waitMs > began + stepTimeoutMs) notNow(tried.cause);
      await pause(waitMs, signal);
    }
  }

  /** Marks what the provider has, so that no program destroys it. What somebody has destroyed meanwhile needs no mark. */
  async function handOver(lease: Lease, { made }: Bootstrap, signal: AbortSignal): Promise<void> {
    for (const [kind, id] of [["machine", made.machineId], ["volume", made.volumeId]] as const) {
      if (id === null) continue;
      await insist(signal, async () => {
        if (await cloud.look(kind, id)) await cloud.tag(kind, id, HANDED_OVER);
      });
    }
    await close(lease, markedHandedOver);
  }

  /** What the provider would not do now is asked again, ever later, as long as it takes. @throws {NotYet} */
  function notNow(error: unknown): never {
    if (error instanceof HandedOver) {
      log.error({ code: "destroy_handed_over", task: TASK, error }, "a node is to be destroyed that was handed over");
      throw new NotYet(error.message, LONGEST_WAIT_MS);
    }
    if (!(error instanceof CloudError)) throw error;
    throw new NotYet(error.message, error.retryAfterMs ?? 0, { cause: error });
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

  return {
    tasks: [
      {
        kind: TASK,
        concurrency: STEPS_AT_ONCE,
        leaseMs: LEASE_MS,
        maxAttempts: Infinity,
        maxDelayMs: LONGEST_WAIT_MS,
        run: takeOn,
        // Never reached: what must end is ended by its own deadline, and what is owed is never given up.
        giveUp: (lease, cause) => Promise.reject(new Error(`bootstrap ${lease.id} was given up`, { cause })),
      },
      keyExpiryTask(services),
    ],
    handlers: { bootstrap },
    sweeper: createSweeper({ cloud, store, clock, log }),
    cloudError: () => cloudError,
  };
}
