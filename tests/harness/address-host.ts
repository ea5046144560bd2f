import assert from "node:assert/strict";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import type { Clock } from "@/lib/clock.ts";
import { type Connection, createGuardedFetch, type Network } from "@/lib/http/guarded-fetch.ts";
import type { SimulatedWallet } from "@/lib/lightning/simulated.ts";
import type { GuardedFetch } from "@/lib/public-fetch.ts";

export const ADDRESS = "payer@wallet.example.com";
const HOST = "wallet.example.com";
const PUBLIC_IP = "93.184.215.14";
export const METADATA = JSON.stringify([["text/plain", "refunds of payer"], ["text/identifier", ADDRESS]]);
export const descriptionHash = (metadata: string) => bytesToHex(sha256(utf8ToBytes(metadata)));

/** A JSON body, an HTTP answer as it goes over the wire, or (null) nothing, ever. */
type Said = object | string | null;

/** The server of a Lightning address, behind the real guarded fetcher: only the network below it is the test's. */
export interface AddressHost {
  publicFetch(clock: Clock): GuardedFetch;
  /** What it says to the next requests, in order; what is missing it says honestly. */
  next: ((url: URL, honest: (url: URL) => Promise<Said>) => Said | Promise<Said>)[];
  /** What it says from now on, where `next` has nothing; null: the honest thing. */
  always: AddressHost["next"][number] | null;
  /** Where its name leads. */
  addresses: string[];
  /** Paths and queries it was asked. */
  requests: string[];
  /** Addresses that were connected to. */
  connections: string[];
  /** Whose imaginary payer's invoices it hands out; set once the world is made. */
  wallet: SimulatedWallet | null;
  /** The invoices it gave out honestly. */
  invoices: { paymentHash: string; amountSats: number }[];
}

export function createAddressHost(): AddressHost {
  const honest = async (url: URL): Promise<Said> => {
    if (url.pathname === "/.well-known/lnurlp/payer") {
      const callback = `https://${HOST}/pay?user=payer`;
      return { tag: "payRequest", callback, minSendable: 1_000, maxSendable: 1_000_000_000, metadata: METADATA };
    }
    if (url.pathname !== "/pay") return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    assert.ok(host.wallet, "the test gives the host a wallet");
    const amountSats = Number(url.searchParams.get("amount")) / 1_000;
    const invoice = await host.wallet.createExternalInvoice({ amountSats, descriptionHash: descriptionHash(METADATA) });
    host.invoices.push({ paymentHash: invoice.paymentHash, amountSats });
    return { pr: invoice.paymentRequest, routes: [] };
  };
  const answer = async (request: string): Promise<string | null> => {
    const [, path = ""] = request.split(" ");
    host.requests.push(path);
    const say = host.next.shift() ?? host.always ?? honest;
    const said = await say(new URL(path, `https://${HOST}`), honest);
    if (said === null || typeof said === "string") return said;
    const body = JSON.stringify(said);
    return `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${
      utf8ToBytes(body).length
    }\r\n\r\n${body}`;
  };
  const network: Network = {
    resolve: (name, type) =>
      type === "A" && name === HOST ? Promise.resolve(host.addresses) : Promise.reject(new Error("no such name")),
    connect: ({ address }) => {
      host.connections.push(address);
      return Promise.resolve(talk(answer));
    },
  };
  const host: AddressHost = {
    publicFetch: (clock) => createGuardedFetch({ network, clock }),
    next: [],
    always: null,
    addresses: [PUBLIC_IP],
    requests: [],
    connections: [],
    wallet: null,
    invoices: [],
  };
  return host;
}

/** A connection that answers one request, or stays silent until it is closed. */
function talk(answer: (request: string) => Promise<string | null>): Connection {
  const closed = Promise.withResolvers<never>();
  closed.promise.catch(() => {});
  let rest: Promise<Uint8Array | null> = Promise.resolve(null);
  return {
    write: (bytes) => {
      const said = answer(new TextDecoder().decode(bytes));
      rest = said.then((text) => text === null ? null : utf8ToBytes(text));
      return Promise.resolve(bytes.length);
    },
    read: async (into) => {
      const bytes = await Promise.race([rest, closed.promise]);
      if (bytes === null) return await closed.promise;
      const piece = bytes.subarray(0, into.length);
      into.set(piece);
      rest = Promise.resolve(bytes.subarray(piece.length));
      return piece.length === 0 ? null : piece.length;
    },
    close: () => closed.reject(new Error("closed")),
  };
}
