/** What each step of provisioning does outside: one call after another, each safe to repeat. */
import { CloudError } from "@/lib/cloud/port.ts";
import type { Services } from "@/lib/services.ts";
import type { OneAtATime } from "@/lib/tasks/idempotency.ts";
import { type Bootstrap, type Made, nameOf, type StepName } from "./bootstrap.machine.ts";
import { pinnedImages } from "./node/pins.ts";
import { nodeUserData } from "./node/user-data.ts";

/** Tag of everything that an instance makes for others. */
export const TAG = "timmy";
/** The provider's mark of a machine that its payer has: no program destroys it. */
export const HANDED_OVER = "handed-over";

/** What a step made. */
export interface Done {
  made?: Partial<Made>;
  note?: string;
}

/**
 * A call whose answer nobody has may still arrive at the provider for so long (ms). Two machines of one name are possible, so after
 * such a call the next one waits, and finds what the first has made.
 */
export const SETTLE_MS = 10_000;

/** How long a node's key for the private network opens anything (seconds): first boots take minutes, not days. */
const TAILNET_KEY_SECONDS = 86_400;
const TAILNET_TAG = "tag:timmy-node";

export type ProvisioningServices = Pick<Services, "cloud" | "tailnet" | "recordIds" | "sealer" | "settings"> & {
  /** By public key: see {@link makeMachine}. */
  oneAtATime: OneAtATime;
};

/**
 * One try of a step.
 * @returns what it made; null: nothing went wrong, but what is awaited is not there yet.
 * @throws {CloudError} what the provider could not or would not do; anything else is an error of ours.
 */
export async function perform(
  services: ProvisioningServices,
  bootstrap: Bootstrap,
  step: Exclude<StepName, "first_boot" | "ready">,
): Promise<Done | null> {
  switch (step) {
    case "ssh_key":
      return await uploadSshKey(services, bootstrap);
    case "tailscale_key":
      return await makeTailnetKey(services, bootstrap);
    case "volume":
      return await makeVolume(services, bootstrap);
    case "droplet":
      return await makeMachine(services, bootstrap);
    case "ip":
      return await findAddress(services, bootstrap);
  }
}

async function uploadSshKey(
  { cloud }: Pick<ProvisioningServices, "cloud">,
  bootstrap: Bootstrap,
): Promise<{ made: { sshKeyId: string } }> {
  const { id } = await cloud.ensure({ kind: "ssh-key", name: nameOf(bootstrap), publicKey: bootstrap.publicKey });
  return { made: { sshKeyId: id } };
}

/** The secret is told once. One whose answer was lost is revoked, and another one made. */
async function makeTailnetKey({ tailnet, sealer }: ProvisioningServices, bootstrap: Bootstrap): Promise<Done> {
  if (!tailnet) return { note: "no private network: the node is reached by SSH alone" };
  const description = nameOf(bootstrap);
  for (const id of await tailnet.findKeys(description)) await tailnet.revoke(id);
  const { id, key } = await tailnet.createKey({
    description,
    tags: [TAILNET_TAG],
    expirySeconds: TAILNET_KEY_SECONDS,
  });
  return { made: { tailnetKeyId: id, tailnetKey: sealer.seal(key, sealedAs("tailnet key", bootstrap)) } };
}

async function makeVolume({ cloud }: ProvisioningServices, bootstrap: Bootstrap): Promise<Done> {
  const { volumeGb: sizeGb, region } = bootstrap.order;
  if (sizeGb === 0) return { note: "none was ordered: the machine's own disk is used" };
  const name = nameOf(bootstrap);
  const { id } = await cloud.ensure({ kind: "volume", name, tags: [name, TAG], region, sizeGb });
  return { made: { volumeId: id } };
}

/**
 * An account holds each public key once, so two nodes of one payer share it under the name of the first; when that one fails, its
 * key goes. Hence the key is looked for again right before the machine is ordered with it, and nobody ends it in between.
 */
async function makeMachine(services: ProvisioningServices, bootstrap: Bootstrap): Promise<Done> {
  return await services.oneAtATime(bootstrap.publicKey, async () => {
    const { made } = await uploadSshKey(services, bootstrap);
    return await orderMachine(services, { ...bootstrap, made: { ...bootstrap.made, ...made } });
  });
}

async function orderMachine(services: ProvisioningServices, bootstrap: Bootstrap): Promise<Done> {
  const { cloud, sealer, recordIds, settings } = services;
  const { order: { region, size, volumeGb }, made, handle, publicKey } = bootstrap;
  const name = nameOf(bootstrap);
  const userData = userDataOf(settings, {
    name,
    publicKey,
    volumeGb,
    tailnetKey: made.tailnetKey === "" ? null : sealer.open(made.tailnetKey, sealedAs("tailnet key", bootstrap)),
    token: reportToken(recordIds, handle),
  });
  const { id } = await cloud.ensure({
    kind: "machine",
    name,
    tags: [name, TAG],
    region,
    size,
    sshKeyIds: made.sshKeyId === null ? [] : [made.sshKeyId],
    volumeIds: made.volumeId === null ? [] : [made.volumeId],
    userData,
  });
  return { made: { machineId: id, sshKeyId: made.sshKeyId, tailnetKey: "" } };
}

interface NodeFacts {
  name: string;
  publicKey: string;
  volumeGb: number;
  tailnetKey: string | null;
  token: string;
}

/** @throws {RangeError} when this program cannot make such a node. */
const userDataOf = ({ publicOrigin, bootstrap }: Services["settings"], node: NodeFacts): string =>
  nodeUserData({
    name: node.name,
    sshPublicKey: node.publicKey,
    tailscaleAuthKey: node.tailnetKey,
    volumeName: node.volumeGb > 0 ? node.name : null,
    diskGb: node.volumeGb > 0 ? node.volumeGb : bootstrap.diskGb,
    implementation: "core",
    images: pinnedImages("core"),
    report: { url: `${publicOrigin}/api/bootstrap/first-boot`, token: node.token },
  });

/** Why no machine could be told what to become, whoever pays; null when nothing is known against it. */
export function objectionToNodes(settings: Services["settings"], publicKey: string): string | null {
  const { volumeGb } = settings.bootstrap;
  try {
    userDataOf(settings, {
      name: `${TAG}-${"0".repeat(13)}`,
      publicKey,
      volumeGb,
      tailnetKey: null,
      token: "0".repeat(46),
    });
    return null;
  } catch (error) {
    if (error instanceof RangeError) return error.message;
    throw error;
  }
}

async function findAddress({ cloud }: ProvisioningServices, { made: { machineId } }: Bootstrap): Promise<Done | null> {
  if (machineId === null) throw new Error("a machine without an id is looked for");
  const machine = await cloud.look("machine", machineId);
  if (!machine) throw new CloudError("the machine is gone: somebody else has destroyed it", false);
  if (machine.state === "errored") throw new CloudError("the provider could not start the machine", false);
  return machine.ipv4 === null ? null : { made: { ipv4: machine.ipv4 } };
}

/** What a sealed secret is bound to: one that was copied to another record, or to another field, does not open. */
export const sealedAs = (what: "tailnet key" | "private key", { handle }: Pick<Bootstrap, "handle">): string =>
  `bootstrap ${handle} ${what}`;

/** The secret that a node reports its first boot with: made from the instance's own, so that it is stored nowhere. */
export const reportToken = (recordIds: Services["recordIds"], handle: string): string =>
  recordIds.idOf("first-boot", handle);
