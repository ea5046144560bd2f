import type { VerifiedToken } from "@/lib/sessions/tokens.ts";
import type { Logger } from "@/lib/logger.ts";

/**
 * What every handler finds in its context. `D` is what this router needs of the instance: a domain names its own small
 * interface, `app.ts` passes one object that has all of them.
 */
export interface AppEnv<D> {
  /** What the server says about the connection: Deno.serve's second argument. Absent in `app.request`. */
  Bindings: { remoteAddr?: { hostname?: string } };
  Variables: {
    /** Answered as `X-Request-Id` and in every error; "-" where no middleware gave one. */
    requestId: string;
    log: Logger;
    deps: D;
    /** Whom limits count: an IPv4 address or a /64, "unknown" without a socket. */
    clientAddress: string;
    /** The key that header or Authorization name, once it was looked at; null: none. A signed event can be used once. */
    identity?: string | null;
    /** The body as it arrived, byte for byte: what a NIP-98 event signs. Not set without one. */
    rawBody?: Uint8Array;
    /** The credential of this request, null: none was shown. Set where the L402 middleware stands, and only there. */
    token: VerifiedToken | null;
    /** Counts one more invoice that is made before anybody has paid, and throws above the limit. Set with `token`. */
    countChallenge: () => void;
  };
}
