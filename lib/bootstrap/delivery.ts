/** A node's private key on its way to its one holder: each step in a transaction of its own. */
import type { Clock } from "@/lib/clock.ts";
import type { Store, Tx } from "@/lib/store/store.ts";
import { holdsLease, type Lease, plan } from "@/lib/tasks/due.ts";
import type { TaskSpec } from "@/lib/tasks/queue.ts";
import type { Bootstrap } from "./bootstrap.machine.ts";
import { getBootstrap, putBootstrap } from "./bootstrap.rows.ts";
import { acknowledge, deliver, erase, eraseDueAt, fetchAgain, type NoDelivery } from "./keys/delivery.rules.ts";
import type { Sealer } from "./keys/sealed.ts";
import { sealedAs } from "./provisioning.ts";

const TASK = "bootstrap-key";

interface Deps {
  store: Store;
  clock: Clock;
  sealer: Sealer;
  settings: { bootstrap: { keyWindowMs: number } };
}

type Handed = { ok: true; privateKey: string } | { ok: false; reason: NoDelivery };

/**
 * Hands the key over, once it is durable that it was: of many calls at once one gets it.
 * @param again for whoever has shown the preimage: within the window the key is told once more
 */
export async function handOverKey(deps: Deps, handle: string, { again }: { again: boolean }): Promise<Handed> {
  const { store, clock, sealer } = deps;
  const { keyWindowMs } = deps.settings.bootstrap;
  const now = clock.now();
  const handed = await store.transact(async (tx) => {
    const bootstrap = await getBootstrap(tx, handle);
    if (bootstrap?.state !== "ready") return { ok: false as const, reason: "not_delivered" as const };
    const step = (again ? fetchAgain : deliver)(bootstrap.privateKey, now, keyWindowMs);
    if (!step.ok) return step;
    await writeKey(tx, bootstrap, step.next, keyWindowMs);
    return step;
  });
  return handed.ok ? { ok: true, privateKey: sealer.open(handed.sealed, sealedAs("private key", { handle })) } : handed;
}

/** The holder has it: it is erased here. @returns null when it is, else why it is not. */
export async function acknowledgeKey(deps: Deps, handle: string): Promise<NoDelivery | null> {
  const { store, clock, settings } = deps;
  const now = clock.now();
  return await store.transact(async (tx) => {
    const bootstrap = await getBootstrap(tx, handle);
    if (!bootstrap) return "none";
    const step = acknowledge(bootstrap.privateKey, now);
    if (!step.ok) return step.reason;
    if (step.next !== bootstrap.privateKey) await writeKey(tx, bootstrap, step.next, settings.bootstrap.keyWindowMs);
    return null;
  });
}

/** Writes a change of the key and plans when it is erased; nothing else of the record changes. */
async function writeKey(tx: Tx, before: Bootstrap, privateKey: Bootstrap["privateKey"], windowMs: number) {
  if (privateKey === before.privateKey) return;
  putBootstrap(tx, { ...before, privateKey });
  await plan(tx, { kind: TASK, id: before.handle, dueAt: eraseDueAt(privateKey, windowMs) });
}

/** Erases a key whose window is over, whether or not anybody said that it arrived. */
export function keyExpiryTask({ store, clock, settings }: Omit<Deps, "sealer">): TaskSpec {
  const run = async (lease: Lease) => {
    const now = clock.now();
    await store.transact(async (tx) => {
      if (!(await holdsLease(tx, lease))) return;
      const bootstrap = await getBootstrap(tx, lease.id);
      const step = bootstrap && erase(bootstrap.privateKey, now, settings.bootstrap.keyWindowMs);
      if (bootstrap && step?.ok) putBootstrap(tx, { ...bootstrap, privateKey: step.next });
      const again = step?.ok === false && step.reason === "not_due" && bootstrap;
      const dueAt = again ? eraseDueAt(bootstrap.privateKey, settings.bootstrap.keyWindowMs) : null;
      await plan(tx, { kind: lease.kind, id: lease.id, dueAt });
    });
  };
  return { kind: TASK, concurrency: 4, leaseMs: 30_000, maxAttempts: Infinity, maxDelayMs: 60_000, run, giveUp: run };
}
