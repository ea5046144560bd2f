/** What the account would refuse: its limits minus what exists, and what is sold where. */
import type { Clock } from "@/lib/clock.ts";
import { Account, RegionDetails, Size } from "./digitalocean-answers.ts";
import type { Calls } from "./digitalocean-calls.ts";
import { isSlug } from "./orders.rules.ts";
import type { Refusal } from "./port.ts";

/** Limits older than this are asked anew (ms). */
const MAX_AGE_MS = 5_000;

type Want = { region: string; size: string; volumeGb: number };
type Limits = Awaited<ReturnType<typeof ask>>;

/** One look at the account serves everybody who asks within {@link MAX_AGE_MS}; one that failed serves nobody. */
export function createLimits(calls: Calls, clock: Clock): (want: Want) => Promise<Refusal | null> {
  let known: { at: number; limits: Promise<Limits> } | null = null;
  return async (want) => {
    if (!known || clock.monotonic() - known.at >= MAX_AGE_MS) {
      const look = { at: clock.monotonic(), limits: ask(calls) };
      known = look;
      look.limits.catch(() => {
        if (known === look) known = null;
      });
    }
    return refusalOf(await known.limits, want);
  };
}

async function ask(calls: Calls) {
  const account = await calls.one("/account", "account", Account);
  return {
    account,
    machines: await calls.count("/droplets"),
    volumes: account?.volume_limit === undefined ? 0 : await calls.count("/volumes"),
    sizes: await calls.all("/sizes", "sizes", Size),
    regions: await calls.all("/regions", "regions", RegionDetails),
  };
}

function refusalOf({ account, machines, volumes, sizes, regions }: Limits, want: Want): Refusal | null {
  if (!isSlug(want.region)) return { code: "region", message: "A region has a short name like nyc3." };
  if (!isSlug(want.size)) return { code: "size", message: "A size has a short name like s-4vcpu-8gb." };
  // "warning" is an account that still works.
  if (!account || account.status === "locked") {
    return { code: "account", message: "The cloud account cannot make machines at the moment." };
  }
  const region = regions.find(({ slug }) => slug === want.region);
  if (!region?.available) {
    const open = regions.filter(({ slug, available }) => available && isSlug(slug)).map(({ slug }) => slug).join(", ");
    return { code: "region", message: `No machines are made in the region ${want.region}; there are: ${open}.` };
  }
  if (want.volumeGb > 0 && region.features && !region.features.includes("storage")) {
    return { code: "region", message: `The region ${want.region} has no volumes.` };
  }
  const size = sizes.find(({ slug }) => slug === want.size);
  if (!size?.available || !size.regions.includes(want.region)) {
    return { code: "size", message: `The size ${want.size} is not sold in ${want.region} at the moment.` };
  }
  if (machines >= account.droplet_limit) {
    return {
      code: "quota",
      message: "The cloud account has no room for another machine at the moment; try again later.",
    };
  }
  if (want.volumeGb > 0 && account.volume_limit !== undefined && volumes >= account.volume_limit) {
    return {
      code: "quota",
      message: "The cloud account has no room for another volume at the moment; try again later.",
    };
  }
  return null;
}
