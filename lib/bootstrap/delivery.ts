/** A node's private key on its way to its one holder: each step in a transaction of its own. */
import type { Clock } from "@/lib/clock.ts";
import type { Store, Tx } from "@/lib/store/store.ts";
import { holdsLease, type Lease, plan } from "@/lib/tasks/due.ts";
import type { TaskSpec } from "@/lib/tasks/queue.ts";
import type { Bootstrap } from "./bootstrap.machine.ts";
import { getBootstrap, putBootstrap } from "./bootstrap.rows.ts";
import { acknowledge, deliver, erase, eraseDueAt, fetchAgain, type NoDelivery } from "./keys/delivery.rules.ts";
import { SealedError, type Sealer } from "./keys/sealed.ts";
import { sealedAs } from "./provisioning.ts";

const TASK = "bootstrap-key";

interface Deps {
  store: Store;
  clock: Clock;
  sealer: Sealer;
  settings: { bootstrap: { keyWindowMs: number } };
}

/** `unreadable`: the instance has lost the key that seals it; whoever comes when that is back gets it. */
export type NoKey = NoDelivery | "unreadable";
type Handed = { ok: true; privateKey: string } | { ok: false; reason: NoKey };

/**
 * Hands the key over, once it is durable that it was: of many calls at once one gets it.
 * @param again for whoever has shown the preimage: within the window the key is told once more
 */
export async function handOverKey(deps: Deps, handle: string, { again }: { again: boolean }): Promise<Handed> {
  const { store, clock, sealer } = deps;
  const { keyWindowMs } = deps.settings.bootstrap;
  const now = clock.now();
  return await store.transact(async (tx): Promise<Handed> => {
    const bootstrap = await getBootstrap(tx, handle);
    if (!bootstrap) return { ok: false, reason: "none" };
    if (bootstrap.state !== "ready") {
      return { ok: false, reason: bootstrap.privateKey.erasedAt === null ? "not_delivered" : "gone" };
    }
    const step = (again ? fetchAgain : deliver)(bootstrap.privateKey, now, keyWindowMs);
    if (!step.ok) return step;
    // Opened first: a key that nobody can read was not handed over.
    const privateKey = opened(sealer, step.sealed, handle);
    if (privateKey === null) return { ok: false, reason: "unreadable" };
    await writeKey(tx, bootstrap, step.next, keyWindowMs);
    return { ok: true, privateKey };
  });
}

function opened(sealer: Sealer, sealed: string, handle: string): string | null {
  try {
    return sealer.open(sealed, sealedAs("private key", { handle }));
  } catch (error) {
    if (!(error instanceof SealedError)) throw error;
    return null;
  }
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
    await writeKey(tx, bootstrap, step.next, settings.bootstrap.keyWindowMs);
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
