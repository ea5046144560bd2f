/** Destroys what a failed bootstrap has made, and finds what was left behind. */
import { type Cloud, CloudError, type Resource } from "@/lib/cloud/port.ts";
import { type Clock, sleep } from "@/lib/clock.ts";
import type { Logger } from "@/lib/logger.ts";
import type { Services } from "@/lib/services.ts";
import type { OneAtATime } from "@/lib/tasks/idempotency.ts";
import { type Store, UnreadableRow } from "@/lib/store/store.ts";
import { type Bootstrap, nameOf } from "./bootstrap.machine.ts";
import { getBootstrap } from "./bootstrap.rows.ts";
import { HANDED_OVER, TAG } from "./provisioning.ts";

/** The provider says of a bootstrap that failed here that its machine was handed over: nobody but the operator can tell which is true. */
export class HandedOver extends Error {
  override name = "HandedOver";
}

/**
 * How long the money waits for the private network (ms): a key that nobody uses ends by itself within a day, and a network that does
 * not answer is no reason to keep a fee.
 */
const TAILNET_PATIENCE_MS = 3_600_000;

type Providers = Pick<Services, "cloud" | "tailnet" | "log"> & {
  /** By public key: none ends while another node of the same payer is being ordered with it. */
  oneAtATime: OneAtATime;
};

/**
 * Asks for the end of everything that carries this bootstrap's name: machines first, since they hold the volumes.
 * @returns true when the provider said that nothing was left before any of it was asked. False: ask again later.
 * @throws {CloudError} when the provider did not answer. @throws {HandedOver} when nothing may be destroyed.
 */
export async function destroyAll(providers: Providers, bootstrap: Bootstrap, now: number): Promise<boolean> {
  const { cloud } = providers;
  const left = await leftOf(cloud, bootstrap);
  if (left.some(isHandedOver)) throw new HandedOver("a failed bootstrap's machine or volume is marked as handed over");
  await revokeKeys(providers, bootstrap, now);
  const machines = left.filter(({ kind }) => kind === "machine");
  for (const { kind, id } of machines.length > 0 ? machines : left) {
    const destroy = () => cloud.destroy(kind, id);
    await (kind === "ssh-key" ? providers.oneAtATime(bootstrap.publicKey, destroy) : destroy());
  }
  return left.length === 0;
}

async function revokeKeys({ tailnet, log }: Providers, bootstrap: Bootstrap, now: number): Promise<void> {
  if (!tailnet) return;
  const { made: { tailnetKeyId }, destroyingSince } = bootstrap;
  try {
    const ids = await tailnet.findKeys(nameOf(bootstrap));
    for (const id of new Set([...ids, ...(tailnetKeyId === null ? [] : [tailnetKeyId])])) await tailnet.revoke(id);
  } catch (error) {
    if (!(error instanceof CloudError) || now < (destroyingSince ?? now) + TAILNET_PATIENCE_MS) throw error;
    log.warn({ backend: tailnet.name, error }, "a failed node's key could not be revoked; it ends by itself in a day");
  }
}

/** What the provider still has of it: what carries its name, and what it was told to have made. */
async function leftOf(cloud: Cloud, bootstrap: Bootstrap): Promise<Resource[]> {
  const name = nameOf(bootstrap);
  const { machineId, volumeId, sshKeyId } = bootstrap.made;
  const found = new Map((await cloud.list(name)).map((resource) => [`${resource.kind} ${resource.id}`, resource]));
  for (const [kind, id] of [["machine", machineId], ["volume", volumeId], ["ssh-key", sshKeyId]] as const) {
    if (id === null || found.has(`${kind} ${id}`)) continue;
    const resource = await cloud.look(kind, id);
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
  /** A second machine of a node that is ready: one was handed over, the other costs money. Never touched. */
  doubles: string[];
  /** Its payer has it, or never claimed it, and the days of the fee are over: the operator decides. */
  overdue: string[];
  /** To be destroyed for more than an hour, and still there: a payer waits for his money. */
  stuck: string[];
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
/** Names in one line of the log. */
const NAMED = 20;

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
        if (stopped.signal.aborted) return;
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
  const swept: Swept = { destroyed: 0, unknown: [], doubles: [], overdue: [], stuck: [] };
  const resources = await cloud.list(TAG);
  // Machines before the volumes that they hold.
  for (const resource of resources.sort((a, b) => a.kind.localeCompare(b.kind))) {
    const name = `${resource.kind} ${resource.name}`;
    const handle = new RegExp(`^${TAG}-([0-9a-z]{13})$`).exec(resource.name)?.[1];
    const bootstrap = handle === undefined ? null : await getBootstrap(store, handle).catch(unlessReadable);
    if (!bootstrap) swept.unknown.push(name);
    else if (bootstrap.state === "failed") {
      if (isHandedOver(resource) || isStuck(bootstrap, now)) swept.stuck.push(name);
      else if (bootstrap.destroyingSince === null) {
        // What cannot be destroyed now, such as a volume in use, must not hold up what other bootstraps have left.
        await cloud.destroy(resource.kind, resource.id).then(() => swept.destroyed++, onlyIfCloud);
      }
    } else if (resource.kind !== "machine") continue;
    else if (bootstrap.state === "ready" && resource.id !== bootstrap.made.machineId) swept.doubles.push(name);
    else if (daysEnd(bootstrap) < now) swept.overdue.push(name);
  }
  const said = (count: number, names: string[]) => ({ count, resources: names.slice(0, NAMED).join(", ") });
  const { destroyed, unknown, doubles, overdue, stuck } = swept;
  if (destroyed > 0) {
    log.warn({ count: destroyed }, "resources of failed bootstraps were still there: they are destroyed");
  }
  if (unknown.length > 0) {
    log.warn(said(unknown.length, unknown), "the provider has resources that this store does not know");
  }
  if (doubles.length > 0) {
    log.error(
      said(doubles.length, doubles),
      "a node that is ready has a second machine: destroy the one without the mark",
    );
  }
  if (overdue.length > 0) {
    log.info(said(overdue.length, overdue), "nodes whose paid days are over: yours to keep or to end");
  }
  if (stuck.length > 0) {
    const message = "what failed nodes have left could not be destroyed for an hour: their payers wait for their money";
    log.error({ code: "not_destroyed", ...said(stuck.length, stuck) }, message);
  }
  return swept;
}

const isStuck = ({ destroyingSince }: Bootstrap, now: number): boolean =>
  destroyingSince !== null && now > destroyingSince + SWEEP_MS;

/** When the fee's days are over; of a node that never reported, counted from its order (ms since the epoch). */
const daysEnd = ({ paidUntil, createdAt, order }: Bootstrap): number =>
  paidUntil ?? createdAt + order.days * 86_400_000;

/** What nobody can read is as good as unknown: nothing is done about it, and nothing else is held up. */
function unlessReadable(error: unknown): null {
  if (error instanceof UnreadableRow) return null;
  throw error;
}

function onlyIfCloud(error: unknown): void {
  if (!(error instanceof CloudError)) throw error;
}
