/**
 * Reaching what a stranger named, from the public internet only: the port. `lib/http/guarded-fetch.ts` keeps its rules; whoever
 * needs it gets it handed in, so that no slice of lib reaches the network by itself.
 */

interface GuardedFetchOptions {
  /** Largest body that is read (bytes); default 64 KiB. */
  maxBytes?: number;
  /** Redirects that are followed, each checked like the first address; default 0, at most 3. */
  redirects?: number;
  /** Ports beside 443 that the address may name. */
  ports?: readonly number[];
  /** POSTs this in place of a GET. It is sent once, and to the address that was named only: no redirect is followed. */
  post?: GuardedPost;
}

/** What is sent. Nothing in it may come from a stranger unless it is safe to be read by the host that is named. */
export interface GuardedPost {
  /** At most 1 MiB. */
  body: Uint8Array;
  /** In visible ASCII; those that HTTP itself needs are written by the fetcher. */
  headers: Readonly<Record<string, string>>;
}

/** What the server answered, whatever its status. */
export interface GuardedAnswer {
  status: number;
  /** By their names in lower case; of those that come more than once the values, joined by ", ". */
  headers: ReadonlyMap<string, string>;
  body: Uint8Array;
}

/**
 * GETs an address, or POSTs to it: HTTPS, public hosts, no credentials but those of `post.headers`, no cookies, within a few seconds in all.
 * @throws {GuardedFetchError}
 */
export type GuardedFetch = (url: string, options?: GuardedFetchOptions) => Promise<GuardedAnswer>;

/**
 * - `refused`: nothing was sent there: the address is no address, not HTTPS, or leads to a host that is not public.
 * - `unreachable`: the name, the connection or its certificate failed. `timeout`: it took too long. `cut`: it ended early.
 * - `malformed`: what came is no HTTP answer that is read here. `too_large`. `redirected`: once too often.
 * - `busy`: too many of these are under way here; nothing was sent.
 */
type GuardedFetchCode =
  | "refused"
  | "unreachable"
  | "timeout"
  | "cut"
  | "malformed"
  | "too_large"
  | "redirected"
  | "busy";

/** Why there is no answer. The message is safe to show to whoever named the address: it names no address that was found. */
export class GuardedFetchError extends Error {
  override name = "GuardedFetchError";
  constructor(readonly code: GuardedFetchCode, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}
