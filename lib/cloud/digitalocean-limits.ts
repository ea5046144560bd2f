/** What the account would refuse: its limits minus what exists, and what is sold where. */
import type { Clock } from "@/lib/clock.ts";
import { Account, RegionDetails, Size } from "./digitalocean-answers.ts";
import type { Calls } from "./digitalocean-calls.ts";
import { type AccountState, refusalOf, type Want } from "./limits.rules.ts";
import type { Refusal } from "./port.ts";

/** Limits older than this are asked anew (ms). */
const MAX_AGE_MS = 5_000;

/** One look at the account serves everybody who asks within {@link MAX_AGE_MS}; one that failed serves nobody. */
export function createLimits(calls: Calls, clock: Clock): (want: Want) => Promise<Refusal | null> {
  let known: { at: number; state: Promise<AccountState> } | null = null;
  return async (want) => {
    if (!known || clock.monotonic() - known.at >= MAX_AGE_MS) {
      const look = { at: clock.monotonic(), state: ask(calls) };
      known = look;
      look.state.catch(() => {
        if (known === look) known = null;
      });
    }
    return refusalOf(await known.state, want);
  };
}

async function ask(calls: Calls): Promise<AccountState> {
  const account = await calls.one("/account", "account", Account);
  const maxVolumes = account?.volume_limit ?? null;
  const regions = await calls.all("/regions", "regions", RegionDetails);
  return {
    // "warning" is an account that still works.
    locked: account === null || account.status === "locked",
    machines: await calls.count("/droplets"),
    maxMachines: account?.droplet_limit ?? 0,
    volumes: maxVolumes === null ? 0 : await calls.count("/volumes"),
    maxVolumes,
    sizes: await calls.all("/sizes", "sizes", Size),
    regions: regions.map(({ slug, available, features }) => ({
      slug,
      available,
      hasVolumes: features?.includes("storage") ?? true,
    })),
  };
}
