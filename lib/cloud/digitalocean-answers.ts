/** What DigitalOcean's API v2 answers, and what it means for the port. Only the fields that are used are looked at. */
import { md5 } from "@noble/hashes/legacy.js";
import { z } from "zod";
import { bareKey } from "./orders.rules.ts";
import type { Resource } from "./port.ts";

const Id = z.number().int().positive().max(999_999_999_999_999);
const Name = z.string().max(255);
const Tags = z.array(z.string().max(255)).max(1_000);
const Region = z.object({ slug: z.string().max(64) });

export const Droplet = z.object({
  id: Id,
  name: Name,
  status: z.enum(["new", "active", "off", "archive"]),
  created_at: z.string(),
  tags: Tags,
  region: Region,
  volume_ids: z.array(z.string().max(64)),
  networks: z.object({ v4: z.array(z.object({ ip_address: z.string(), type: z.string() })).optional() }),
});
export const Volume = z.object({
  id: z.uuid(),
  name: Name,
  created_at: z.string(),
  tags: Tags.nullish(),
  region: Region,
  droplet_ids: z.array(Id).nullish(),
});
export type Volume = z.infer<typeof Volume>;
export const SshKey = z.object({ id: Id, name: Name, public_key: z.string().max(16_384) });
export const Account = z.object({
  droplet_limit: z.number().int().nonnegative(),
  volume_limit: z.number().int().nonnegative().optional(),
  status: z.string(),
});
export const Size = z.object({ slug: z.string(), available: z.boolean(), regions: z.array(z.string()) });
export const RegionDetails = z.object({
  slug: z.string(),
  available: z.boolean(),
  features: z.array(z.string()).nullish(),
});
export const Actions = z.object({ actions: z.array(z.object({ type: z.string(), status: z.string() })) });
/** One page of a list. The total is what the account has; `next` leads on. */
export const Page = z.object({
  links: z.object({ pages: z.object({ next: z.string().optional() }).optional() }).nullish(),
  meta: z.object({ total: z.number().int().nonnegative() }).optional(),
});
const Refusal = z.object({ id: z.string(), message: z.string() });

export function machineOf(droplet: z.infer<typeof Droplet>): Resource {
  const address = droplet.networks.v4?.find(({ type, ip_address }) => type === "public" && isIpv4(ip_address));
  return {
    kind: "machine",
    id: String(droplet.id),
    name: droplet.name,
    tags: droplet.tags,
    region: droplet.region.slug,
    createdAt: timeOf(droplet.created_at),
    ipv4: address?.ip_address ?? null,
    // A machine that is switched off is there all the same; an archived one cannot be used again.
    state: droplet.status === "new" ? "pending" : droplet.status === "archive" ? "errored" : "active",
    volumeIds: droplet.volume_ids,
  };
}

export const volumeOf = (volume: Volume): Resource => ({
  ...bare("volume", volume.id, volume.name),
  tags: volume.tags ?? [],
  region: volume.region.slug,
  createdAt: timeOf(volume.created_at),
});

export const sshKeyOf = (key: z.infer<typeof SshKey>): Resource => bare("ssh-key", String(key.id), key.name);

const bare = (kind: "volume" | "ssh-key", id: string, name: string): Resource => ({
  kind,
  id,
  name,
  tags: [],
  region: null,
  createdAt: null,
  ipv4: null,
  state: "active",
  volumeIds: [],
});

function timeOf(text: string): number | null {
  const time = Date.parse(text);
  return Number.isNaN(time) ? null : time;
}

function isIpv4(text: string): boolean {
  const parts = text.split(".");
  return parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256);
}

/**
 * The API's own 404. A proxy's, or a page at a wrong address, has another body and proves nothing: taken for an answer,
 * it would say of a running machine that it is gone.
 */
export const isNotFound = ({ status, body }: { status: number; body: unknown }): boolean =>
  status === 404 && Refusal.safeParse(body).data?.id === "not_found";

/** "Droplet already has a pending event": 422 by its status, but over in some seconds. */
export const isBusy = ({ status, body }: { status: number; body: unknown }): boolean =>
  status === 422 && /pending event/i.test(Refusal.safeParse(body).data?.message ?? "");

/** MD5 of the key's bytes in pairs of hex digits (RFC 4716 §4): the name of a key in this API. @returns null for no key. */
export function fingerprintOf(publicKey: string): string | null {
  const key = bareKey(publicKey);
  if (!key) return null;
  try {
    const digest = md5(Uint8Array.from(atob(key.base64), (character) => character.charCodeAt(0)));
    return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
  } catch {
    return null; // not base64
  }
}
