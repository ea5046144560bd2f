/**
 * Which network addresses and host names belong to the public internet: the only ones that are contacted because a stranger
 * named them. Anything else (this machine, the operator's own network, a cloud's metadata service) is reachable from here and
 * not from where the stranger sits, so asking it for him would open it to him. What cannot be read counts as not public.
 *
 * The ranges are IANA's special-purpose registries (RFC 6890 and its updates); IPv6 is judged the other way round: only global
 * unicast, 2000::/3, can be public at all.
 */

/** Not public: this network, private, shared (CGNAT), loopback, link-local, assignments, documentation, relays, benchmarks … */
const V4_RANGES: readonly string[] = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "168.63.129.16/32", // the metadata service of Azure's machines, though its range is public
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.31.196.0/24",
  "192.52.193.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "192.175.48.0/24",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4",
];

/**
 * Not public within 2000::/3: protocol assignments (Teredo, ORCHID and benchmarks among them), documentation, 6to4, which holds
 * an IPv4 address that may be anything, the former 6bone, AS112.
 */
const V6_RANGES: readonly string[] = [
  "2001::/23",
  "2001:db8::/32",
  "2002::/16",
  "2620:4f:8000::/48",
  "3fff::/20",
  "3ffe::/16",
];
const GLOBAL_UNICAST = "2000::/3";

/** Ends of names that no public name server answers for, or that mean another network than this one. */
const INWARD_NAME =
  /(?:^|\.)(?:localhost|localdomain|local|internal|intranet|lan|home|corp|private|arpa|onion|i2p|alt)$/;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const MAX_NAME_LENGTH = 253;

/** True for an address of the public internet, in its plain spelling: four decimal numbers, or IPv6 without a zone. */
export function isPublicAddress(text: string): boolean {
  const v4 = readV4(text);
  if (v4) return !V4_RANGES.some((range) => within(v4, range));
  const v6 = readV6(text);
  if (!v6 || !within(v6, GLOBAL_UNICAST)) return false;
  // ISATAP (RFC 5214): its last 32 bits are an IPv4 address, and what is sent to it goes there.
  const isatap = (v6[8]! & 0xfd) === 0 && v6[9] === 0 && v6[10] === 0x5e && v6[11] === 0xfe;
  return !isatap && !V6_RANGES.some((range) => within(v6, range));
}

/** True for text that is an address of either kind in its plain spelling, public or not. */
export const isAddress = (text: string): boolean => readV4(text) !== null || readV6(text) !== null;

/**
 * True for a host name that a public name server may answer for: two labels at least, lower-case (as `URL` spells it, other
 * scripts as punycode), no dot at the end, and none of the ends that only inner networks have.
 */
export function isPublicName(name: string): boolean {
  const labels = name.split(".");
  return name.length <= MAX_NAME_LENGTH && labels.length >= 2 && labels.every((label) => LABEL.test(label)) &&
    !/^\d+$/.test(labels[labels.length - 1]!) && !INWARD_NAME.test(name);
}

/** The four bytes of a dotted address; null for other spellings: leading zeros, hex, fewer parts. */
function readV4(text: string): readonly number[] | null {
  if (!/^(?:(?:0|[1-9]\d{0,2})(?:\.|$)){4}$/.test(text) || text.endsWith(".")) return null;
  const bytes = text.split(".").map(Number);
  return bytes.every((byte) => byte <= 255) ? bytes : null;
}

/** The sixteen bytes of an IPv6 address; null for anything else, a zone among it. */
function readV6(text: string): readonly number[] | null {
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const [front, back] = halves.map((half) => half === "" ? [] : half.split(":"));
  const words = [...front!, ...back ?? []];
  const last = readV4(words[words.length - 1] ?? "");
  if (last && text.endsWith(":")) return null;
  const given = words.slice(0, last ? -1 : undefined);
  if (!given.every((word) => /^[0-9a-f]{1,4}$/i.test(word))) return null;
  const missing = 8 - given.length - (last ? 2 : 0);
  if (back ? missing < 1 : missing !== 0) return null;
  const bytes = given.flatMap((word) => [parseInt(word, 16) >> 8, parseInt(word, 16) & 255]);
  const zeros = new Array<number>(2 * Math.max(0, missing)).fill(0);
  const all = [...bytes.slice(0, 2 * front!.length), ...zeros, ...bytes.slice(2 * front!.length), ...last ?? []];
  return all.length === 16 ? all : null;
}

/** Whether an address lies in a range, `address/bits`. Both must be of one kind. */
function within(address: readonly number[], range: string): boolean {
  const [base, bits] = range.split("/");
  const first = readV4(base!) ?? readV6(base!)!;
  return first.every((byte, i) => {
    const left = Number(bits) - 8 * i;
    const mask = left >= 8 ? 255 : left <= 0 ? 0 : 255 & (255 << (8 - left));
    return (address[i]! & mask) === (byte & mask);
  });
}
