/** Destroys what a failed bootstrap has made, and finds what was left behind. */
import type { Cloud, Resource } from "@/lib/cloud/port.ts";
import { type Clock, sleep } from "@/lib/clock.ts";
import type { Tailnet } from "@/lib/cloud/tailnet.ts";
import type { Logger } from "@/lib/logger.ts";
import type { Store } from "@/lib/store/store.ts";
import { type Bootstrap, nameOf } from "./bootstrap.machine.ts";
import { getBootstrap } from "./bootstrap.rows.ts";
import { HANDED_OVER, SETTLE_MS, TAG } from "./provisioning.ts";

interface Providers {
  cloud: Cloud;
  tailnet: Tailnet | null;
}

/**
 * Asks for the end of everything that carries this bootstrap's name: machines first, since they hold the volumes.
 * @returns true once the provider says that nothing is left. False: ask again later.
 * @throws {CloudError} when the provider did not answer.
 */
export async function destroyAll({ cloud, tailnet }: Providers, bootstrap: Bootstrap, now: number): Promise<boolean> {
  const { made } = bootstrap;
  const left = await leftOf(cloud, bootstrap);
  const machines = left.filter(({ kind }) => kind === "machine");
  if (machines.some(isHandedOver)) throw new Error("a failed bootstrap's machine is marked as handed over");
  for (const { id } of machines) await cloud.destroy("machine", id);
  if (machines.length > 0) return false;
  for (const { kind, id } of left) await cloud.destroy(kind, id);
  if (tailnet) {
    const ids = await tailnet.findKeys(nameOf(bootstrap));
    for (const id of new Set([...ids, ...(made.tailnetKeyId === null ? [] : [made.tailnetKeyId])])) {
      await tailnet.revoke(id);
    }
  }
  // The last call that makes something may have been sent a moment before the failure was written down.
  return left.length === 0 && now >= (bootstrap.destroyingSince ?? 0) + SETTLE_MS;
}

/** What the provider still has of it: what carries its name, and what it was told to have made. */
async function leftOf(cloud: Cloud, bootstrap: Bootstrap): Promise<Resource[]> {
  const name = nameOf(bootstrap);
  const { machineId, volumeId, sshKeyId } = bootstrap.made;
  const found = new Map((await cloud.list(name)).map((resource) => [`${resource.kind} ${resource.id}`, resource]));
  for (const [kind, id] of [["machine", machineId], ["volume", volumeId], ["ssh-key", sshKeyId]] as const) {
    const resource = id === null ? null : await cloud.look(kind, id);
    if (resource) found.set(`${kind} ${resource.id}`, resource);
  }
  // A payer's public key may have lain in the account under another name: that one is not ours.
  return [...found.values()].filter((resource) => resource.name === name);
}

const isHandedOver = ({ tags }: Resource): boolean => tags.includes(HANDED_OVER);

/** What a look through everything that the provider has came to. */
interface Swept {
  /** Left behind by a bootstrap that has failed, and asked to be destroyed again. */
  destroyed: number;
  /** Known to nobody here: another instance's, or made after the backup that this store was restored from. Never touched. */
  unknown: string[];
  /** Handed over, and the days of the fee are over: the operator decides. */
  overdue: string[];
}

export interface Sweeper {
  /** Looks every hour from now on; a provider that does not answer is asked again at the next time. */
  start(): void;
  stop(): void;
  /** One look. @throws {CloudError} */
  once(): Promise<Swept>;
}

const SWEEP_MS = 3_600_000;
/** From the start of the process to its first look: there is more to do then (ms). */
const FIRST_SWEEP_MS = 60_000;

/** Finds what lost answers and crashes have left at the provider. Nothing of it is in the store: each look begins anew. */
export function createSweeper(options: { cloud: Cloud; store: Store; clock: Clock; log: Logger }): Sweeper {
  const { cloud, clock, log } = options;
  const stopped = new AbortController();
  const once = () => sweep(options);
  async function goOn(): Promise<void> {
    for (let wait = FIRST_SWEEP_MS; !stopped.signal.aborted; wait = SWEEP_MS) {
      await sleep(clock, wait, stopped.signal);
      if (stopped.signal.aborted) return;
      await once().catch((error) => {
        log.warn({ backend: cloud.name, error }, "the provider's resources could not be looked through");
      });
    }
  }
  return { start: () => void goOn(), stop: () => stopped.abort(), once };
}

/** Looks at everything that carries the instance's tag. @throws {CloudError} */
async function sweep(
  { cloud, store, clock, log }: { cloud: Cloud; store: Store; clock: Clock; log: Logger },
): Promise<Swept> {
  const now = clock.now();
  const swept: Swept = { destroyed: 0, unknown: [], overdue: [] };
  const resources = await cloud.list(TAG);
  // Machines before the volumes that they hold.
  for (const resource of resources.sort((a, b) => a.kind.localeCompare(b.kind))) {
    const handle = new RegExp(`^${TAG}-([0-9a-z]{13})$`).exec(resource.name)?.[1];
    const bootstrap = handle === undefined ? null : await getBootstrap(store, handle);
    if (!bootstrap) swept.unknown.push(`${resource.kind} ${resource.name}`);
    else if (bootstrap.state === "failed" && bootstrap.destroyingSince === null && !isHandedOver(resource)) {
      await cloud.destroy(resource.kind, resource.id);
      swept.destroyed++;
    } else if (resource.kind === "machine" && bootstrap.paidUntil !== null && bootstrap.paidUntil < now) {
      swept.overdue.push(resource.name);
    }
  }
  const { destroyed, unknown, overdue } = swept;
  if (destroyed > 0) {
    log.warn({ count: destroyed }, "resources of failed bootstraps were still there: they are destroyed");
  }
  if (unknown.length > 0) {
    log.warn(
      { count: unknown.length, resources: unknown.join(", ") },
      "the provider has resources that this store does not know",
    );
  }
  if (overdue.length > 0) {
    log.info(
      { count: overdue.length, resources: overdue.join(", ") },
      "nodes whose paid days are over: yours to keep or to end",
    );
  }
  return swept;
}
