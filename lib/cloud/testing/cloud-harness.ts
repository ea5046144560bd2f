/** What the suite of the clouds needs of each adapter, and the orders that tests give. */
import assert from "node:assert/strict";
import { getKeys } from "micro-key-producer/ssh.js";
import { type Cloud, CloudError, type Order, type Resource, type ResourceKind } from "../port.ts";

export interface CloudHarness {
  cloud: Cloud;
  /** Time passes for the cloud and the adapter. */
  pass(ms: number): Promise<void>;
  /** How many were ever made, and how many exist. */
  made(kind: ResourceKind, name: string): number | Promise<number>;
  existing(kind: ResourceKind, name: string): number | Promise<number>;
  /** The next order of this kind is carried out, but its answer is lost; or it never arrives; or it arrives twice. */
  spoilNext(kind: ResourceKind, how: "lose" | "cut" | "twice"): void;
  /** The next call of any kind is refused for good. */
  refuseNext(): void;
  /** The provider gives up on the next machine of this name. */
  failMaking(name: string): void;
  /** From here on a third of all calls goes wrong, until `calm`. */
  storm(seed: number): void;
  calm(): void;
  /** Sets what the account may have. */
  limit(limits: { machines?: number; volumes?: number; locked?: boolean }): void;
  /** Something of this name in the same account that is not ours. @returns its id */
  strangers(kind: "machine" | "volume", name: string): Promise<string>;
  close(): Promise<void>;
}

export const publicKey = (seed: number): string => getKeys(new Uint8Array(32).fill(seed)).publicKey.trim();
export const keyOrder = (name: string, seed = 1): Order => ({ kind: "ssh-key", name, publicKey: publicKey(seed) });
export const volumeOrder = (name: string): Extract<Order, { kind: "volume" }> => ({
  kind: "volume",
  name,
  tags: ["timmy", name],
  region: "nyc3",
  sizeGb: 10,
});
export const machineOrder = (
  name: string,
  parts: Partial<Extract<Order, { kind: "machine" }>> = {},
): Extract<Order, { kind: "machine" }> => ({
  kind: "machine",
  name,
  tags: ["timmy", name],
  region: "nyc3",
  size: "s-4vcpu-8gb",
  sshKeyIds: [],
  volumeIds: [],
  userData: "#cloud-config\n",
  ...parts,
});

/** Tells whether an error is the port's, and whether the same call may be repeated. */
export const cloudError = (retryable: boolean, message = /./) => (error: unknown): boolean =>
  error instanceof CloudError && error.retryable === retryable && message.test(error.message);

/** Repeats a call as its caller does: until it answers, with pauses, for as long as that can help. */
export async function insist<T>({ pass }: CloudHarness, call: () => Promise<T>): Promise<T> {
  for (let tries = 0; tries < 60; tries++) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof CloudError && error.retryable)) throw error;
      await pass(error.retryAfterMs ?? 1_000);
    }
  }
  return assert.fail("60 tries were not enough");
}

/** Looks until a machine is no longer pending. */
export const untilActive = async ({ cloud, pass }: CloudHarness, id: string): Promise<Resource> => {
  for (let looks = 0; looks < 100; looks++) {
    const found = await cloud.look("machine", id) ?? assert.fail("the machine is gone");
    if (found.state !== "pending") return found;
    await pass(1_000);
  }
  return assert.fail("it stays pending");
};

/** Looks until the provider answers that it is gone. */
export const untilGone = async ({ cloud, pass }: CloudHarness, kind: ResourceKind, id: string): Promise<void> => {
  for (let looks = 0; looks < 100; looks++) {
    if (await cloud.look(kind, id) === null) return;
    await pass(1_000);
  }
  assert.fail("it is still there");
};
