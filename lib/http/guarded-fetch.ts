/** The one way in which this program contacts a host that a stranger named. */
import { type Clock, DeadlineExceeded, withDeadline } from "@/lib/clock.ts";
import { type GuardedAnswer, type GuardedFetch, GuardedFetchError, type GuardedPost } from "@/lib/public-fetch.ts";
import { readAnswer } from "./http-answer.ts";
import { concatBytes } from "@noble/hashes/utils.js";
import { isAddress, isPublicAddress, isPublicName } from "./public-address.rules.ts";

/** A connection, TLS included. Closing it ends what waits for it. */
export interface Connection {
  read(into: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  close(): void;
}

/** How the network is reached. Tests pass their own; no setting of the program does. */
export interface Network {
  /** The addresses of a host name, of one family. Rejects when there are none. */
  resolve(name: string, type: "A" | "AAAA", signal: AbortSignal): Promise<string[]>;
  /** Connects to this very address, and speaks TLS with the host whose certificate names `serverName`. */
  connect(to: { address: string; port: number; serverName: string }, signal: AbortSignal): Promise<Connection>;
}

interface GuardedFetchParts {
  network: Network;
  clock: Clock;
  /** All of one fetch: name, connection, answer and redirects (ms). */
  timeoutMs?: number;
  /** Fetches at once; what comes beyond is refused as `busy`. */
  maxAtOnce?: number;
}

const TIMEOUT_MS = 5_000;
const MAX_AT_ONCE = 64;
const MAX_BYTES = 65_536;
const MAX_REDIRECTS = 3;
const MAX_URL = 2_048;
const MAX_POST_BYTES = 1024 * 1024;
/** Headers that decide how the rest is read: they are written here, and by nobody else. */
const OWN_HEADERS =
  /^(host|user-agent|accept|accept-encoding|connection|content-length|transfer-encoding|trailer|te|upgrade|expect)$/i;
/** Addresses of one name that are tried; a name has no need for more. */
const MAX_ADDRESSES = 4;
const READ_BYTES = 16_384;

const refused = (message: string) => new GuardedFetchError("refused", message);

/**
 * Reaches addresses of the public internet that strangers name. A name is resolved here, all its addresses must be public, and the
 * connection goes to an address that was checked, not to the name: a name server that says something else a moment later changes
 * nothing. See {@link GuardedFetch} for what it promises.
 */
export function createGuardedFetch({ network, clock, ...limits }: GuardedFetchParts): GuardedFetch {
  const { timeoutMs = TIMEOUT_MS, maxAtOnce = MAX_AT_ONCE } = limits;
  let running = 0;

  async function addressesOf(host: string, signal: AbortSignal): Promise<string[]> {
    if (isAddress(host)) return onlyPublic([host]);
    if (!isPublicName(host)) throw refused("the address does not name a host of the public internet");
    const answers = await Promise.allSettled(
      (["A", "AAAA"] as const).map((type) => network.resolve(host, type, signal)),
    );
    const found = answers.flatMap((answer) => answer.status === "fulfilled" ? answer.value : []);
    if (found.length === 0) throw new GuardedFetchError("unreachable", "the host's name leads nowhere");
    return onlyPublic(found).slice(0, MAX_ADDRESSES);
  }

  async function connect(url: URL, hold: (connection: Connection) => void, signal: AbortSignal): Promise<Connection> {
    const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
    const addresses = await addressesOf(host, signal);
    const port = url.port === "" ? 443 : Number(url.port);
    let cause: unknown;
    for (const address of addresses) {
      if (signal.aborted) break;
      try {
        const connection = await network.connect({ address, port, serverName: host }, signal);
        hold(connection);
        return connection;
      } catch (error) {
        cause = error;
      }
    }
    throw new GuardedFetchError("unreachable", "the host does not answer", { cause });
  }

  async function ask(url: URL, request: Uint8Array, maxBytes: number, signal: AbortSignal): Promise<GuardedAnswer> {
    let connection: Connection | null = null;
    const close = () => {
      try {
        connection?.close();
      } catch {
        // It was closed already, by the other side's end or by the deadline.
      }
      connection = null;
    };
    signal.addEventListener("abort", close, { once: true });
    try {
      const open = await connect(url, (made) => void (connection = made), signal);
      if (signal.aborted) throw new GuardedFetchError("timeout", "it took too long");
      await writeAll(open, request);
      return await readAnswer(() => readSome(open), maxBytes);
    } finally {
      signal.removeEventListener("abort", close);
      close();
    }
  }

  async function follow(first: string, options: Parameters<GuardedFetch>[1] = {}, signal: AbortSignal) {
    const { maxBytes = MAX_BYTES, ports = [], post } = options;
    const redirects = post ? 0 : options.redirects ?? 0;
    let url = readUrl(first, null, ports);
    for (let left = Math.min(redirects, MAX_REDIRECTS);; left--) {
      const answer = await ask(url, requestFor(url, post), maxBytes, signal);
      const location = answer.headers.get("location");
      if (redirects === 0 || location === undefined || ![301, 302, 303, 307, 308].includes(answer.status)) {
        return answer;
      }
      if (left === 0) throw new GuardedFetchError("redirected", "the host redirects too often");
      url = readUrl(location, url, ports);
    }
  }

  return async (url, options) => {
    if (running >= maxAtOnce) throw new GuardedFetchError("busy", "too many fetches are under way");
    const abort = new AbortController();
    running++;
    try {
      return await withDeadline(clock, timeoutMs, "fetching", follow(url, options, abort.signal));
    } catch (error) {
      if (error instanceof GuardedFetchError) throw error;
      if (error instanceof DeadlineExceeded) {
        throw new GuardedFetchError("timeout", `the host did not answer within ${timeoutMs / 1_000} seconds`);
      }
      throw new GuardedFetchError("unreachable", "the connection to the host failed", { cause: error });
    } finally {
      running--;
      abort.abort();
    }
  };
}

/** @throws {GuardedFetchError} `refused` */
function readUrl(text: string, base: URL | null, ports: readonly number[]): URL {
  const url = text.length <= MAX_URL ? URL.parse(text, base ?? undefined) : null;
  if (!url) throw refused("it is not an address");
  if (url.protocol !== "https:") throw refused("the address must begin with https://");
  if (url.username !== "" || url.password !== "") throw refused("the address must not hold a name or password");
  if (url.port !== "" && !ports.includes(Number(url.port))) throw refused("the address must not name a port");
  return url;
}

/** All or none: a name with one inward address among its public ones is not to be trusted with the others either. */
function onlyPublic(addresses: string[]): string[] {
  if (addresses.every(isPublicAddress)) return addresses;
  throw refused("the address leads to a host that is not on the public internet");
}

/** @throws {GuardedFetchError} `refused` for a body or a header that is not sent */
function requestFor({ pathname, search, host }: URL, post: GuardedPost | undefined): Uint8Array {
  const head = [
    `${post ? "POST" : "GET"} ${pathname}${search} HTTP/1.1`,
    `Host: ${host}`,
    "User-Agent: timmy",
    "Accept: */*",
    "Accept-Encoding: identity",
    "Connection: close",
    ...(post ? [...headersOf(post), `Content-Length: ${post.body.length}`] : []),
  ];
  return concatBytes(new TextEncoder().encode(`${head.join("\r\n")}\r\n\r\n`), post?.body ?? new Uint8Array());
}

function headersOf({ headers, body }: GuardedPost): string[] {
  if (body.length > MAX_POST_BYTES) throw refused(`what is sent is larger than ${MAX_POST_BYTES} bytes`);
  return Object.entries(headers).map(([name, value]) => {
    // A line break in one would be a header, or a second request, of somebody else's making.
    const isPlain = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) &&
      /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(value);
    if (!isPlain || OWN_HEADERS.test(name)) throw refused("a header of it cannot be sent");
    return `${name}: ${value}`;
  });
}

async function writeAll(connection: Connection, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

async function readSome(connection: Connection): Promise<Uint8Array | null> {
  const into = new Uint8Array(READ_BYTES);
  const count = await connection.read(into);
  return count === null ? null : into.subarray(0, count);
}

/** The real network: name servers as the machine is configured, TCP, TLS with the usual roots. */
export const publicNetwork: Network = {
  // The dot at the end keeps the machine's own search domains away from a stranger's name.
  resolve: (name, type, signal) => Deno.resolveDns(`${name}.`, type, { signal }),
  connect: ({ address, port, serverName }, signal) => connectTls(address, port, { serverName, signal }),
};

/**
 * TCP to an address, then TLS; the handshake comes with the first byte that is sent.
 * @param options.caCerts roots beside the usual ones (PEM)
 */
export async function connectTls(
  address: string,
  port: number,
  { serverName, signal, caCerts = [] }: { serverName: string; signal: AbortSignal; caCerts?: string[] },
): Promise<Connection> {
  const tcp = await Deno.connect({ hostname: address, port, signal });
  return await Deno.startTls(tcp, { hostname: serverName, caCerts });
}
