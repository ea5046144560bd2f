/** What each step of provisioning does outside: one call after another, each safe to repeat. */
import { CloudError } from "@/lib/cloud/port.ts";
import { type Clock, sleep } from "@/lib/clock.ts";
import type { Services } from "@/lib/services.ts";
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

export type ProvisioningServices = Pick<
  Services,
  "cloud" | "tailnet" | "clock" | "recordIds" | "sealer" | "settings"
>;

/** @throws {CloudError} what the provider could not or would not do; anything else is an error of ours. */
export async function perform(
  services: ProvisioningServices,
  bootstrap: Bootstrap,
  step: Exclude<StepName, "first_boot" | "ready">,
  signal: AbortSignal,
): Promise<Done> {
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
      return await awaitAddress(services, bootstrap, signal);
  }
}

async function uploadSshKey({ cloud }: ProvisioningServices, bootstrap: Bootstrap): Promise<Done> {
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

async function makeMachine(services: ProvisioningServices, bootstrap: Bootstrap): Promise<Done> {
  const { cloud, sealer, recordIds, settings } = services;
  const { order: { region, size, volumeGb }, made, handle, publicKey } = bootstrap;
  const name = nameOf(bootstrap);
  const userData = nodeUserData({
    name,
    sshPublicKey: publicKey,
    tailscaleAuthKey: made.tailnetKey === "" ? null : sealer.open(made.tailnetKey, sealedAs("tailnet key", bootstrap)),
    volumeName: volumeGb > 0 ? name : null,
    diskGb: volumeGb > 0 ? volumeGb : settings.bootstrap.diskGb,
    implementation: "core",
    images: pinnedImages("core"),
    report: { url: `${settings.publicOrigin}/api/bootstrap/first-boot`, token: reportToken(recordIds, handle) },
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
  return { made: { machineId: id, tailnetKey: "" } };
}

async function awaitAddress(services: ProvisioningServices, bootstrap: Bootstrap, signal: AbortSignal): Promise<Done> {
  const { cloud, clock, settings } = services;
  const { machineId } = bootstrap.made;
  if (machineId === null) throw new Error("a machine without an id is looked for");
  const end = deadlineOf(bootstrap, settings.bootstrap.stepTimeoutMs);
  for (;;) {
    const machine = await cloud.look("machine", machineId);
    if (!machine) throw new CloudError("the machine is gone: somebody else has destroyed it", false);
    if (machine.state === "errored") throw new CloudError("the provider could not start the machine", false);
    if (machine.ipv4 !== null) return { made: { ipv4: machine.ipv4 } };
    if (clock.now() >= end) throw new CloudError("the machine had no public address in time", false);
    await waitFor(clock, settings.bootstrap.pollMs, signal);
  }
}

/** @throws the signal's reason when the process stops meanwhile. */
async function waitFor(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  await sleep(clock, ms, signal);
  signal.throwIfAborted();
}

/** When the present step has taken too long (ms since the epoch). */
export const deadlineOf = ({ steps }: Bootstrap, stepTimeoutMs: number): number =>
  (steps.at(-1)?.startedAt ?? 0) + stepTimeoutMs;

/** What a sealed secret is bound to: one that was copied to another record, or to another field, does not open. */
export const sealedAs = (what: "tailnet key" | "private key", { handle }: Pick<Bootstrap, "handle">): string =>
  `bootstrap ${handle} ${what}`;

/** The secret that a node reports its first boot with: made from the instance's own, so that it is stored nowhere. */
export const reportToken = (recordIds: Services["recordIds"], handle: string): string =>
  recordIds.idOf("first-boot", handle);
