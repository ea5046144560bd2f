import {
  convertIPv4BinaryToString,
  convertIPv4MappedIPv6ToIPv4,
  convertIPv4ToBinary,
  convertIPv6BinaryToString,
  convertIPv6ToBinary,
  isIPv4MappedIPv6,
} from "hono/utils/ipaddr";
import type { Context } from "hono";
import type { AppEnv, AppMiddleware } from "@/lib/http/create-app.ts";

/** An address as a number; a v4-mapped v6 address ("::ffff:10.0.0.1", what a dual-stack socket reports) is v4. */
interface Address {
  family: 4 | 6;
  bits: bigint;
}

/** A set of proxies whose `X-Forwarded-For` and `X-Request-Id` are believed. */
export interface TrustedProxies {
  has(address: string | undefined): boolean;
}

/**
 * Reads `TRUSTED_PROXIES`: IPv4 and IPv6 addresses and CIDR networks. An empty list trusts nobody.
 * @throws Error naming each entry that is neither
 */
export function parseTrustedProxies(entries: readonly string[]): TrustedProxies {
  const networks: { network: Address; hostBits: bigint }[] = [];
  const bad: string[] = [];
  for (const entry of entries) {
    const [host = "", prefix, ...rest] = entry.trim().split("/");
    const network = parseAddress(host);
    // "::ffff:10.0.0.0/104" would need its prefix moved too; nobody writes that, so it is refused.
    const width = network?.family === 4 ? 32 : 128;
    const length = prefix === undefined ? width : /^\d{1,3}$/.test(prefix) ? Number(prefix) : NaN;
    const mapped = network?.family === 4 && host.includes(":");
    if (!network || rest.length > 0 || !(length <= width) || (mapped && prefix !== undefined)) bad.push(entry);
    else networks.push({ network, hostBits: BigInt(width - length) });
  }
  if (bad.length > 0) {
    throw new Error(
      `not an IP address or CIDR network: ${bad.join(", ")}. Write them like 10.0.0.1, 10.0.0.0/8 or fd00::/8.`,
    );
  }
  return {
    has(text) {
      const address = text === undefined ? null : parseAddress(text);
      return address !== null &&
        networks.some(({ network, hostBits }) =>
          network.family === address.family && network.bits >> hostBits === address.bits >> hostBits
        );
    },
  };
}

/** Looking further than this into a forwarded chain serves nobody but whoever wrote a long one. */
const MAX_HOPS = 20;

/**
 * Who is calling: the socket's address, unless that is a trusted proxy; then the rightmost address of
 * `X-Forwarded-For` that is not one. Everything left of that was written by the caller and is not looked at.
 *
 * @param peer the socket's address; undefined where there is no TCP socket
 * @returns null when nothing usable is known
 */
export function resolveClientAddress(
  peer: string | undefined,
  forwardedFor: string | undefined,
  trusted: TrustedProxies,
): string | null {
  if (peer === undefined || parseAddress(peer) === null) return null;
  let client = peer;
  if (!trusted.has(peer) || !forwardedFor) return client;
  for (const hop of forwardedFor.split(",").slice(-MAX_HOPS).reverse()) {
    const address = withoutPort(hop.trim());
    // A proxy that writes "unknown" or garbage: what is certain is only who sent it.
    if (parseAddress(address) === null) return client;
    client = address;
    if (!trusted.has(address)) return client;
  }
  return client;
}

/** What limits count: an IPv4 address as it is, an IPv6 address by its /64, since a caller has all of one. */
export function limitKey(address: string | null): string {
  const parsed = address === null ? null : parseAddress(address);
  if (parsed === null) return "unknown";
  if (parsed.family === 4) return convertIPv4BinaryToString(parsed.bits);
  return `${convertIPv6BinaryToString(parsed.bits >> 64n << 64n)}/64`;
}

/** Sets `clientAddress` (see {@link limitKey}). */
export function clientAddress(trusted: TrustedProxies): AppMiddleware {
  return async (c, next) => {
    const address = resolveClientAddress(peerAddress(c), c.req.header("X-Forwarded-For"), trusted);
    c.set("clientAddress", limitKey(address));
    await next();
  };
}

/** The address at the other end of the socket; undefined without one (a unix socket, a test). */
export function peerAddress(c: Context<AppEnv<unknown>>): string | undefined {
  // `app.request` without a third argument leaves the bindings undefined, whatever the type says.
  return (c.env as AppEnv<unknown>["Bindings"] | undefined)?.remoteAddr?.hostname;
}

function parseAddress(text: string): Address | null {
  const host = text.replace(/%.*$/, ""); // "fe80::1%eth0": the zone says on which interface, not who
  try {
    if (!host.includes(":")) return { family: 4, bits: convertIPv4ToBinary(host) };
    const bits = convertIPv6ToBinary(host);
    return isIPv4MappedIPv6(bits) ? { family: 4, bits: convertIPv4MappedIPv6ToIPv4(bits) } : { family: 6, bits };
  } catch {
    return null; // hono's converters throw for what is not an address
  }
}

/** "1.2.3.4:5678" and "[2001:db8::1]:5678", as some proxies write them, without the port. */
function withoutPort(hop: string): string {
  return /^\[([^\]]+)\](?::\d+)?$/.exec(hop)?.[1] ?? /^([\d.]+):\d+$/.exec(hop)?.[1] ?? hop;
}
