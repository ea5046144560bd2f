import { bytesToHex } from "@noble/hashes/utils.js";
import type { Clock } from "@/lib/clock.ts";
import type { Random } from "@/lib/ids.ts";
import { objectionToKey } from "./auth-keys.rules.ts";
import { CloudError } from "./port.ts";
import { type FaultPlan, planned, under } from "./simulated-faults.ts";
import type { Tailnet } from "./tailnet.ts";

export interface SimulatedTailnetOptions {
  clock: Clock;
  random: Random;
  faults?: { [call in "createKey" | "findKeys" | "revoke"]?: FaultPlan };
}

/**
 * A private network without a network behind it: its keys open nothing. They are forgotten with the process, as nothing
 * asks for them after a restart but what revokes them, and a key that is not there counts as revoked.
 */
export function createSimulatedTailnet({ clock, random, faults = {} }: SimulatedTailnetOptions): Tailnet {
  const keys = new Map<string, { description: string; expiresAt: number }>();
  return {
    name: "simulated",
    simulated: true,
    async createKey(order) {
      const objection = objectionToKey(order);
      if (objection !== null) throw new CloudError(objection, false);
      return await under(clock, planned(faults.createKey), () => {
        const id = `k${bytesToHex(random.bytes(8))}SIM`;
        keys.set(id, { description: order.description, expiresAt: clock.now() + order.expirySeconds * 1_000 });
        return Promise.resolve({ id, key: `tskey-auth-${id}-${bytesToHex(random.bytes(16))}` });
      });
    },
    findKeys: (description) =>
      under(clock, planned(faults.findKeys), () => {
        const good = [...keys].filter(([, key]) => key.description === description && clock.now() < key.expiresAt);
        return Promise.resolve(good.map(([id]) => id));
      }),
    async revoke(id) {
      if (!/^\w{1,64}$/.test(id)) throw new CloudError("this cannot be the id of an auth key", false);
      await under(clock, planned(faults.revoke), () => Promise.resolve(void keys.delete(id)));
    },
  };
}
