import type { Order, ResourceKind } from "./port.ts";

export const MAX_USER_DATA_BYTES = 65_536;
/** GiB; the least and the most DigitalOcean makes. */
const VOLUME_GB = { min: 1, max: 16_384 };

/** Fits a host name and a volume's name (lower case, begins with a letter). */
const NAME = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;
const TAG = /^[a-zA-Z0-9_:-]{1,255}$/;
const SLUG = /^[a-z0-9][a-z0-9_.-]{0,63}$/;
const PUBLIC_KEY = /^([a-z0-9@.-]+) ([A-Za-z0-9+/]+={0,2})(?: .*)?$/;
const ID: Readonly<Record<ResourceKind, RegExp>> = {
  "ssh-key": /^[0-9]{1,15}$/,
  machine: /^[0-9]{1,15}$/,
  volume: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
};

export const isTag = (tag: string): boolean => TAG.test(tag);
/** Whether this can be the short name of a region or a size. */
export const isSlug = (text: string): boolean => SLUG.test(text);
/** Whether this can be an id: it becomes part of a path, so nothing else may get there. */
export const isId = (kind: ResourceKind, id: string): boolean => ID[kind].test(id);

/** `type base64` without the comment, or null when the text is no public key. */
export function bareKey(publicKey: string): { type: string; base64: string } | null {
  const [, type, base64] = PUBLIC_KEY.exec(publicKey.trim()) ?? [];
  return type !== undefined && base64 !== undefined ? { type, base64 } : null;
}

/** Why no provider would take this order, or null. */
export function objectionTo(order: Order): string | null {
  if (!NAME.test(order.name)) {
    return "a name has 1 to 63 lower-case letters, digits and hyphens and begins with a letter";
  }
  if (order.kind === "ssh-key") return bareKey(order.publicKey) ? null : "the SSH key is not a public key";
  if (order.tags.length === 0) return "an order needs a tag: without one nobody finds again what was made";
  if (!order.tags.every(isTag)) return "a tag has letters, digits, colons, hyphens and underscores";
  if (!isSlug(order.region)) return "the region is not a region's short name";
  if (order.kind === "volume") {
    const fits = Number.isInteger(order.sizeGb) && order.sizeGb >= VOLUME_GB.min && order.sizeGb <= VOLUME_GB.max;
    return fits ? null : `a volume has ${VOLUME_GB.min} to ${VOLUME_GB.max} whole GiB`;
  }
  if (!isSlug(order.size)) return "the size is not a size's short name";
  if (!order.sshKeyIds.every((id) => isId("ssh-key", id))) return "an SSH key's id has digits only";
  if (!order.volumeIds.every((id) => isId("volume", id))) return "a volume's id is a UUID";
  const bytes = new TextEncoder().encode(order.userData).length;
  return bytes <= MAX_USER_DATA_BYTES ? null : `user data has at most ${MAX_USER_DATA_BYTES} bytes, this has ${bytes}`;
}

/**
 * The one that counts when two machines of one name exist: the oldest, which is the one with the lowest id. Everybody who
 * looks comes to the same answer, so that whoever made another one knows to end it.
 */
export function firstOf<T extends { id: string }>(resources: readonly T[]): T | null {
  return resources.reduce<T | null>((first, one) => first && Number(first.id) <= Number(one.id) ? first : one, null);
}
