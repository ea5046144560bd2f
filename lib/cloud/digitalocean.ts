import type { Clock } from "@/lib/clock.ts";
import {
  Actions,
  Droplet,
  fingerprintOf,
  isBusy,
  isNotFound,
  machineOf,
  SshKey,
  sshKeyOf,
  Volume,
  volumeOf,
} from "./digitalocean-answers.ts";
import { createCalls } from "./digitalocean-calls.ts";
import { createLimits } from "./digitalocean-limits.ts";
import { type Answer, createApi } from "./http.ts";
import { bareKey, firstOf, isId, isTag, objectionTo } from "./orders.rules.ts";
import { type Cloud, CloudError, type Order, type Resource, type ResourceKind } from "./port.ts";

export interface DigitalOceanOptions {
  /** An API token that may read and write droplets, volumes, SSH keys and tags and read the account. */
  token: string;
  /** Without a version path. Default: `https://api.digitalocean.com`. */
  baseUrl?: string;
  clock: Clock;
  fetch?: typeof fetch;
  /** The image's short name. Default: `debian-12-x64`. */
  image?: string;
  /** Limit of one call (ms). Default 30,000. */
  timeoutMs?: number;
  /**
   * How long the order of a machine may still be carried out after its answer was lost (ms): until then "there is none of
   * that name" does not lead to a second one. Default 10,000.
   */
  uncertainMs?: number;
}

type OrderOf<K extends ResourceKind> = Extract<Order, { kind: K }>;

const PATH: Readonly<Record<ResourceKind, string>> = {
  "ssh-key": "/account/keys",
  volume: "/volumes",
  machine: "/droplets",
};
/** A machine's volume is free some seconds after the machine was destroyed (ms). */
const DETACHING_MS = 3_000;
/** A list of 200 droplets, each with its size, image and region, has about 1 MB. */
const MAX_BODY_BYTES = 8 * 1024 * 1024;

/**
 * DigitalOcean over its API v2 (droplets, volumes, SSH keys).
 *
 * - Droplets are looked for by name, not by tag: the API gives tags after the droplet, and takes one filter at a time.
 *   One of the right name without our tag is somebody else's and is not touched.
 * - The API makes two droplets of one name when asked twice. Against that: one call at a time for each name, a pause
 *   after a lost answer ({@link DigitalOceanOptions.uncertainMs}), and a look after each droplet made, which ends the
 *   newer of two when it is the one that this call made.
 * - Volume names are unique in a region and public keys in an account: the API itself refuses the second.
 * - Only ten lists of SSH keys a minute are answered, so a key is asked for by its fingerprint.
 *
 * @throws {Error} when the token or the base address cannot be one.
 */
export function createDigitalOcean(options: DigitalOceanOptions): Cloud {
  const { token, clock, image = "debian-12-x64", uncertainMs = 10_000 } = options;
  if (!/^[\x21-\x7e]{8,}$/.test(token)) throw new Error("DO_API_TOKEN must be a token without blanks");
  const api = createApi({
    provider: "DigitalOcean",
    setting: "DO_API_BASE_URL",
    baseUrl: options.baseUrl ?? "https://api.digitalocean.com",
    secrets: [token],
    clock,
    ...(options.fetch && { fetch: options.fetch }),
    timeoutMs: options.timeoutMs ?? 30_000,
    maxBodyBytes: MAX_BODY_BYTES,
  });
  const calls = createCalls(api, token);

  const running = new Map<string, Promise<Resource>>();
  /** Machines ordered without a clear answer, with the time of it: the order may still be carried out. */
  const uncertain = new Map<string, number>();

  async function machinesOf(order: OrderOf<"machine">): Promise<Resource[]> {
    const droplets = await calls.all(`${PATH.machine}?name=${order.name}`, "droplets", Droplet);
    return droplets.filter(({ name }) => name === order.name).map(machineOf);
  }
  const findMachine = async (order: OrderOf<"machine">) => firstOf(ours(order, await machinesOf(order)));

  async function findVolume(order: OrderOf<"volume">): Promise<Resource | null> {
    const path = `${PATH.volume}?name=${order.name}&region=${order.region}`;
    const volumes = (await calls.all(path, "volumes", Volume)).map(volumeOf);
    return ours(order, volumes.filter(({ name, region }) => name === order.name && region === order.region))[0] ?? null;
  }

  async function findKey(order: OrderOf<"ssh-key">): Promise<Resource | null> {
    const fingerprint = fingerprintOf(order.publicKey);
    if (fingerprint === null) throw new CloudError("the SSH key is not a public key", false);
    const key = await calls.one(`${PATH["ssh-key"]}/${fingerprint}`, "ssh_key", SshKey);
    if (key && bareKey(key.public_key)?.base64 !== bareKey(order.publicKey)?.base64) {
      throw api.strange("another SSH key than was asked for");
    }
    return key && sshKeyOf(key);
  }

  /** @throws {CloudError} when one of them does not carry our tag: it is somebody else's, or its tags are still to come. */
  function ours<T extends Resource>(order: { name: string; tags: string[] }, found: T[]): T[] {
    const tag = order.tags[0] ?? "";
    if (found.every(({ tags }) => tags.includes(tag))) return found;
    throw new CloudError(`something of the name ${order.name} exists without the tag ${tag}; it was not touched`, true);
  }

  const find = (order: Order): Promise<Resource | null> =>
    order.kind === "machine" ? findMachine(order) : order.kind === "volume" ? findVolume(order) : findKey(order);

  async function ensureOnce(order: Order): Promise<Resource> {
    const name = keyOf(order);
    const found = await find(order);
    if (found) return found;
    for (const [other, at] of uncertain) if (clock.monotonic() - at >= uncertainMs) uncertain.delete(other);
    const wait = (uncertain.get(name) ?? -Infinity) + uncertainMs - clock.monotonic();
    if (wait > 0) {
      throw new CloudError(
        `the answer to the order of ${order.name} was lost; it may still be carried out`,
        true,
        wait,
      );
    }
    return await make(order);
  }

  async function make(order: Order): Promise<Resource> {
    const answer = await calls.send("POST", PATH[order.kind], bodyOf(order, image))
      .finally(() => order.kind === "machine" && uncertain.set(keyOf(order), clock.monotonic()));
    if (answer.status < 200 || answer.status > 299) {
      // A 4xx is a decision: nothing was made, and nothing will be.
      if (answer.status < 500 && answer.status !== 408) uncertain.delete(keyOf(order));
      const there = answer.status === 409 || answer.status === 422 ? await find(order) : null;
      if (there) return there; // it is refused because it exists
      throw api.failure(answer);
    }
    const made = madeOf(order, answer);
    if (made.name !== order.name) throw api.strange("something else than was ordered");
    uncertain.delete(keyOf(order));
    return order.kind === "machine" ? onlyOne(order, made) : made;
  }

  const madeOf = (order: Order, answer: Answer): Resource =>
    order.kind === "machine"
      ? machineOf(calls.object(answer, "droplet", Droplet))
      : order.kind === "volume"
      ? volumeOf(calls.object(answer, "volume", Volume))
      : sshKeyOf(calls.object(answer, "ssh_key", SshKey));

  /** Whether a call that arrived late, or another program, made an older machine of this name; then ours goes again. */
  async function onlyOne(order: OrderOf<"machine">, made: Resource): Promise<Resource> {
    const tag = order.tags[0] ?? "";
    const others = (await machinesOf(order)).filter(({ tags }) => tags.includes(tag));
    const first = firstOf([made, ...others]) ?? made;
    if (first.id !== made.id) await destroy("machine", made.id);
    return first;
  }

  async function look(kind: ResourceKind, id: string): Promise<Resource | null> {
    checkId(kind, id);
    const path = `${PATH[kind]}/${id}`;
    const found = kind === "machine"
      ? await calls.one(path, "droplet", Droplet).then((droplet) => droplet && machineOf(droplet))
      : kind === "volume"
      ? await calls.one(path, "volume", Volume).then((volume) => volume && volumeOf(volume))
      : await calls.one(path, "ssh_key", SshKey).then((key) => key && sshKeyOf(key));
    if (found && found.id !== id) throw api.strange("something else than was asked for");
    if (found?.kind !== "machine" || found.state !== "pending") return found;
    return { ...found, state: await creationFailed(path) ? "errored" : "pending" };
  }

  /** A droplet that could not be made stays "new" for ever; only its action tells. */
  async function creationFailed(path: string): Promise<boolean> {
    const answer = await calls.send("GET", `${path}/actions`);
    if (answer.status !== 200) throw api.failure(answer);
    const read = Actions.safeParse(answer.body);
    if (!read.success) throw api.strange("no actions as they should be");
    return read.data.actions.some(({ type, status }) => type === "create" && status === "errored");
  }

  async function list(tag: string): Promise<Resource[]> {
    checkTag(tag);
    const droplets = await calls.all(`${PATH.machine}?tag_name=${encodeURIComponent(tag)}`, "droplets", Droplet);
    const volumes = await calls.all(PATH.volume, "volumes", Volume);
    const keys = await calls.all(PATH["ssh-key"], "ssh_keys", SshKey);
    return [
      ...[...droplets.map(machineOf), ...volumes.map(volumeOf)].filter(({ tags }) => tags.includes(tag)),
      ...keys.map(sshKeyOf).filter(({ name }) => name === tag || name.startsWith(`${tag}-`)),
    ];
  }

  async function tagOne(kind: "machine" | "volume", id: string, tag: string): Promise<void> {
    checkId(kind, id);
    checkTag(tag);
    const created = await calls.send("POST", "/tags", { name: tag });
    // Where the API refuses a tag that exists, the next call shows whether it does.
    if (created.status > 299 && created.status !== 409 && created.status !== 422) throw api.failure(created);
    const resource = { resource_id: id, resource_type: kind === "machine" ? "droplet" : "volume" };
    const tagged = await calls.send("POST", `/tags/${encodeURIComponent(tag)}/resources`, { resources: [resource] });
    if (tagged.status > 299) throw api.failure(tagged);
  }

  async function destroy(kind: ResourceKind, id: string): Promise<void> {
    checkId(kind, id);
    const answer = await calls.send("DELETE", `${PATH[kind]}/${id}`);
    if (answer.status < 300 || isNotFound(answer)) return;
    if (kind === "volume" && (answer.status === 409 || answer.status === 422)) await detach(id, answer);
    if (isBusy(answer)) throw new CloudError("DigitalOcean is still busy with it", true, DETACHING_MS);
    if (answer.status === 404) throw new CloudError("a 404 that is not DigitalOcean's own proves nothing", true);
    throw api.failure(answer);
  }

  /** An attached volume cannot be deleted. Always throws, unless it is attached to nothing: then `refusal` has another cause. */
  async function detach(id: string, refusal: Answer): Promise<void> {
    const volume = await calls.one(`${PATH.volume}/${id}`, "volume", Volume);
    const machine = volume?.droplet_ids?.[0];
    if (!volume || machine === undefined) {
      if (refusal.status === 409 || !volume) throw new CloudError("the volume is being detached", true, DETACHING_MS);
      return;
    }
    const order = { type: "detach", droplet_id: machine, region: volume.region.slug };
    const answer = await calls.send("POST", `${PATH.volume}/${id}/actions`, order);
    // 404 and 422: it is detached already, or its machine is busy, e.g. with its own end.
    if (answer.status > 299 && answer.status !== 404 && answer.status !== 422) throw api.failure(answer);
    throw new CloudError("the volume is being detached", true, DETACHING_MS);
  }

  return {
    name: "digitalocean",
    simulated: false,
    refusal: createLimits(calls, clock),
    async ensure(order) {
      const objection = objectionTo(order);
      if (objection !== null) throw new CloudError(objection, false);
      const name = keyOf(order);
      const before = running.get(name);
      if (before) return await before;
      const ensured = ensureOnce(order).finally(() => running.delete(name));
      running.set(name, ensured);
      return await ensured;
    },
    look,
    list,
    tag: tagOne,
    destroy,
  };
}

/** What is made once: a volume of one name in each region, all else once in the account. */
const keyOf = (order: Order): string =>
  `${order.kind} ${order.name}${order.kind === "volume" ? ` ${order.region}` : ""}`;

function bodyOf(order: Order, image: string): Record<string, unknown> {
  const { name } = order;
  if (order.kind === "ssh-key") return { name, public_key: order.publicKey.trim() };
  const { tags, region } = order;
  if (order.kind === "volume") return { name, tags, region, size_gigabytes: order.sizeGb, filesystem_type: "ext4" };
  return {
    name,
    tags,
    region,
    image,
    size: order.size,
    ssh_keys: order.sshKeyIds.map(Number),
    volumes: order.volumeIds,
    user_data: order.userData,
    ipv6: true,
    monitoring: false,
    backups: false,
  };
}

function checkId(kind: ResourceKind, id: string): void {
  if (!isId(kind, id)) throw new CloudError(`this cannot be the id of a ${kind}`, false);
}
function checkTag(tag: string): void {
  if (!isTag(tag)) throw new CloudError("a tag has letters, digits, colons, hyphens and underscores", false);
}
