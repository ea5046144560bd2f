import type { Clock } from "@/lib/clock.ts";
import type { Store, Tx } from "@/lib/store/store.ts";
import type { TaskSpec } from "@/lib/tasks/queue.ts";
import { holdsLease, type Lease, plan } from "@/lib/tasks/due.ts";
import { closeSubsidy, getSubsidy } from "./pool.rows.ts";

/** Ends what a reservation was made for, when it has stood too long; part of the transaction that releases it. */
export interface SubsidyEnds {
  job(tx: Tx, handle: string, now: number): Promise<void>;
  request(tx: Tx, session: string, requestId: string, now: number): Promise<void>;
}

/**
 * The timer of every reservation: what still holds the pool's sats then is ended, and they go back. Every other end of a
 * request releases its reservation in its own commit, so this finds something only after a defect.
 */
export function subsidyExpiryTask({ store, clock }: { store: Store; clock: Clock }, ends: SubsidyEnds): TaskSpec {
  const release = async (lease: Lease) => {
    const now = clock.now();
    await store.transact(async (tx) => {
      if (!(await holdsLease(tx, lease))) return;
      await plan(tx, { kind: lease.kind, id: lease.id, dueAt: null });
      const subsidy = await getSubsidy(tx, lease.id);
      if (subsidy?.state !== "reserved") return;
      if (subsidy.session === null) await ends.job(tx, subsidy.id, now);
      else await ends.request(tx, subsidy.session, subsidy.id, now);
      await closeSubsidy(tx, subsidy.id, 0, now); // where its request is gone
    });
  };
  return {
    kind: "subsidy-expiry",
    concurrency: 4,
    leaseMs: 30_000,
    maxAttempts: Infinity,
    maxDelayMs: 60_000,
    run: release,
    giveUp: release,
  };
}
