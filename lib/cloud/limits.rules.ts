import { isSlug } from "./orders.rules.ts";
import type { Refusal } from "./port.ts";

/** What an account may have, what it has, and what is sold where. */
export interface AccountState {
  locked: boolean;
  machines: number;
  maxMachines: number;
  volumes: number;
  /** Null when the provider names no limit. */
  maxVolumes: number | null;
  regions: readonly { slug: string; available: boolean; hasVolumes: boolean }[];
  sizes: readonly { slug: string; available: boolean; regions: readonly string[] }[];
}

export interface Want {
  region: string;
  size: string;
  /** 0 for no volume. */
  volumeGb: number;
}

const noRoom = (what: string): Refusal => ({
  code: "quota",
  message: `The cloud account has no room for another ${what} at the moment.`,
});

/** Why the account would not give this, in words for the payer; null when nothing is known against it. */
export function refusalOf(account: AccountState, want: Want): Refusal | null {
  // Both come from the payer and are named in the message.
  if (!isSlug(want.region)) return { code: "region", message: "A region has a short name like nyc3." };
  if (!isSlug(want.size)) return { code: "size", message: "A size has a short name like s-4vcpu-8gb." };
  if (account.locked) return { code: "account", message: "The cloud account cannot make machines at the moment." };
  const region = account.regions.find(({ slug }) => slug === want.region);
  if (!region?.available) {
    const open = account.regions.filter(({ slug, available }) => available && isSlug(slug)).map(({ slug }) => slug);
    return { code: "region", message: `No machines are made in ${want.region}. Regions: ${open.join(", ")}.` };
  }
  if (want.volumeGb > 0 && !region.hasVolumes) {
    return { code: "region", message: `The region ${want.region} has no volumes.` };
  }
  const size = account.sizes.find(({ slug }) => slug === want.size);
  if (!size?.available || !size.regions.includes(want.region)) {
    return { code: "size", message: `The size ${want.size} is not sold in ${want.region} at the moment.` };
  }
  if (account.machines >= account.maxMachines) return noRoom("machine");
  if (want.volumeGb > 0 && account.maxVolumes !== null && account.volumes >= account.maxVolumes) {
    return noRoom("volume");
  }
  return null;
}
