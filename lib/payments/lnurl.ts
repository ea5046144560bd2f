/**
 * Getting an invoice from a Lightning address: LNURL-pay (https://github.com/lnurl/luds, LUD-06 and LUD-16). Everything that the
 * address' server says is a stranger's word: it is checked, and shown as data at most. `successAction`, `commentAllowed` and what a
 * server would like to know about the payer without insisting are ignored.
 */
import { z } from "zod";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { type DecodedInvoice, decodeInvoice, InvoiceError, MAX_INVOICE_LENGTH } from "@/lib/lightning/bolt11.ts";
import type { InvoicePrefix } from "@/lib/lightning/port.ts";
import { cheapestHintFeeMsat } from "@/lib/lightning/route-hints.ts";
import { type GuardedFetch, GuardedFetchError } from "@/lib/public-fetch.ts";
import { reserveFor } from "./fees.rules.ts";
import { payRequestUrl } from "./lightning-address.rules.ts";

/**
 * - `unreachable`: its server did not answer, or not with an answer that can be read. `forbidden`: it is no public host.
 * - `not_payable`: the server answers, but not as LNURL-pay asks. `refused`: it answered with an error of its own.
 * - `payer_data`: it demands to know who pays. `amount`: it takes less or more. `invoice`: its invoice is not what was asked for.
 * - `busy`: too much of this is under way here; the address is not to blame.
 */
type LnurlCode =
  | "unreachable"
  | "forbidden"
  | "not_payable"
  | "refused"
  | "payer_data"
  | "amount"
  | "invoice"
  | "busy";

/** Why an address gives no invoice. The message is for whoever named the address, and quotes nothing. */
export class LnurlError extends Error {
  override name = "LnurlError";
  /** What the server itself said, shortened; null when it said nothing. To be shown as its words, never as ours. */
  readonly said: string | null;
  constructor(readonly code: LnurlCode, message: string, options: ErrorOptions & { said?: string | null } = {}) {
    super(message, options);
    this.said = options.said ?? null;
  }
  /** In one line, for a record of attempts. */
  get reason(): string {
    return this.said === null ? this.message : `${this.message} It says: "${this.said}"`;
  }
}

/** What a Lightning address' server takes. */
export interface PayServer {
  callback: string;
  minMsat: number;
  maxMsat: number;
  /** SHA-256 of what it says it is paid for, 64 hex digits: its invoices must hold it. */
  descriptionHash: string;
}

/** An invoice that a Lightning address gave, checked. */
export interface AddressInvoice {
  paymentHash: string;
  paymentRequest: string;
  amountSats: number;
}

const MAX_SAID = 200;
/** An invoice that ends sooner is not worth paying: the payment itself takes time (ms). */
const MIN_LIFE_MS = 10_000;

/** What LUD-18 lets a server ask of the payer; it may invent more. */
const PAYER_DATA: ReadonlySet<string> = new Set(["name", "pubkey", "identifier", "email", "auth"]);
const Mandatory = z.object({ mandatory: z.literal(true) });

const ErrorAnswer = z.object({ status: z.string().regex(/^error$/i), reason: z.unknown().optional() });
const PayAnswer = z.object({
  tag: z.literal("payRequest"),
  callback: z.string().min(1).max(2_048),
  minSendable: z.int().min(1),
  maxSendable: z.int().min(1),
  metadata: z.string(),
  payerData: z.record(z.string(), z.unknown()).nullish(),
});
const Metadata = z.array(z.tuple([z.string()]).rest(z.unknown()));
const InvoiceAnswer = z.object({ pr: z.string().min(1).max(MAX_INVOICE_LENGTH) });

/**
 * Asks what the server of an address takes: proof that it can be paid at all.
 * @param address as `readLightningAddress` spells it
 * @throws {LnurlError}
 */
export async function askAddress(fetch: GuardedFetch, address: string): Promise<PayServer> {
  const answer = await getJson(fetch, payRequestUrl(address));
  const pay = PayAnswer.safeParse(answer).data;
  if (!pay || pay.minSendable > pay.maxSendable || !URL.canParse(pay.callback) || !describes(pay.metadata)) {
    throw new LnurlError("not_payable", "The Lightning address' server does not answer as LNURL-pay asks.");
  }
  const demanded = Object.entries(pay.payerData ?? {}).filter(([, field]) => Mandatory.safeParse(field).success)
    .map(([name]) => PAYER_DATA.has(name) ? name : "data");
  if (demanded.length > 0) {
    throw new LnurlError("payer_data", `The Lightning address demands to know the payer's ${demanded.join(", ")}.`);
  }
  return {
    callback: pay.callback,
    minMsat: pay.minSendable,
    maxMsat: pay.maxSendable,
    descriptionHash: bytesToHex(sha256(utf8ToBytes(pay.metadata))),
  };
}

/** LUD-06: a JSON list of pairs, of which exactly one is the plain text. */
function describes(metadata: string): boolean {
  const pairs = Metadata.safeParse(jsonOf(metadata)).data ?? [];
  const texts = pairs.filter(([type]) => type === "text/plain");
  return texts.length === 1 && typeof texts[0]?.[1] === "string";
}

/** What an invoice is for, and what may be paid for its route. */
export interface Wanted {
  /** What is owed, and what of it to ask for (sats). */
  owedSats: number;
  askSats: number;
  /** What the operator pays of the routing fee (sats). */
  feeCreditSats: number;
  /** The network that this instance's own invoices are on. */
  prefix: InvoicePrefix;
}

/**
 * An invoice of this address. Where its last hops cost more than may be paid it is asked for another one, for as much less as they
 * cost.
 * @param now ms since the epoch, asked again for each invoice
 * @throws {LnurlError}
 */
export async function invoiceOfAddress(
  fetch: GuardedFetch,
  address: string,
  wanted: Wanted,
  now: () => number,
): Promise<AddressInvoice> {
  const server = await askAddress(fetch, address);
  const { owedSats, askSats, feeCreditSats } = wanted;
  const { invoice, feeSats } = await askInvoice(fetch, server, askSats, wanted.prefix, now);
  if (feeSats <= feeCreditSats + owedSats - askSats) return invoice;
  const leaveSats = reserveFor(owedSats, feeCreditSats, feeSats);
  if (leaveSats === null || owedSats - leaveSats >= askSats) throw tooDear();
  const less = await askInvoice(fetch, server, owedSats - leaveSats, wanted.prefix, now);
  if (less.feeSats > feeCreditSats + leaveSats) throw tooDear();
  return less.invoice;
}

const tooDear = () =>
  new LnurlError("invoice", "The last hops to the Lightning address' wallet cost more than may be paid for the route.");

async function askInvoice(
  fetch: GuardedFetch,
  server: PayServer,
  sats: number,
  prefix: InvoicePrefix,
  now: () => number,
): Promise<{ invoice: AddressInvoice; feeSats: number }> {
  const msat = sats * 1_000;
  if (msat < server.minMsat || msat > server.maxMsat) {
    const [min, max] = [Math.ceil(server.minMsat / 1_000), Math.floor(server.maxMsat / 1_000)];
    throw new LnurlError("amount", `The Lightning address takes from ${min} to ${max} sats, and this is ${sats}.`);
  }
  const url = new URL(server.callback);
  url.searchParams.set("amount", String(msat));
  const paymentRequest = InvoiceAnswer.safeParse(await getJson(fetch, url.href)).data?.pr.toLowerCase();
  if (paymentRequest === undefined) throw wrongInvoice("it sent none");
  const invoice = read(paymentRequest);
  if (invoice.prefix !== prefix) throw wrongInvoice(`it is for another network; this wallet pays ${prefix}`);
  if (invoice.amountMsat !== msat) throw wrongInvoice("it is for another amount");
  if (invoice.descriptionHash !== server.descriptionHash) {
    throw wrongInvoice("it is not for what the address describes");
  }
  if (invoice.expiresAt < now() + MIN_LIFE_MS) throw wrongInvoice("it has expired");
  return {
    invoice: { paymentHash: invoice.paymentHash, paymentRequest, amountSats: sats },
    feeSats: Math.ceil(cheapestHintFeeMsat(invoice.routeHints, msat) / 1_000),
  };
}

function read(paymentRequest: string): DecodedInvoice {
  try {
    return decodeInvoice(paymentRequest);
  } catch (cause) {
    if (!(cause instanceof InvoiceError)) throw cause;
    throw wrongInvoice("it is not valid", cause);
  }
}

const wrongInvoice = (what: string, cause?: unknown) =>
  new LnurlError("invoice", `The Lightning address did not give the invoice that was asked for: ${what}.`, { cause });

/** @throws {LnurlError} for no answer, one that is no JSON, and one that is an error. */
async function getJson(fetch: GuardedFetch, url: string): Promise<unknown> {
  const { status, body } = await fetch(url).catch((error) => {
    throw error instanceof GuardedFetchError ? fetchFailed(error) : error;
  });
  const answer = jsonOf(body);
  const wrong = ErrorAnswer.safeParse(answer).data;
  if (wrong) {
    throw new LnurlError("refused", "The Lightning address' server refuses.", { said: shortened(wrong.reason) });
  }
  if (status === 404) throw new LnurlError("not_payable", "The server of this Lightning address does not know it.");
  if (status !== 200 || answer === undefined) {
    throw new LnurlError("unreachable", `The Lightning address' server did not answer as it should (HTTP ${status}).`);
  }
  return answer;
}

function fetchFailed(error: GuardedFetchError): LnurlError {
  const options = { cause: error };
  if (error.code === "busy") return new LnurlError("busy", "Too many Lightning addresses are being asked.", options);
  return error.code === "refused"
    ? new LnurlError("forbidden", `The Lightning address cannot be asked: ${error.message}.`, options)
    : new LnurlError("unreachable", `The Lightning address' server did not answer: ${error.message}.`, options);
}

/** @returns undefined for what is no JSON in UTF-8. */
function jsonOf(text: string | Uint8Array): unknown {
  try {
    return JSON.parse(typeof text === "string" ? text : new TextDecoder("utf-8", { fatal: true }).decode(text));
  } catch {
    return undefined;
  }
}

/** A stranger's words, safe to show: one line, without control characters, cut. */
function shortened(words: unknown): string | null {
  if (typeof words !== "string") return null;
  const clean = words.replace(/[\p{C}\p{Z}]+/gu, " ").trim();
  if (clean === "") return null;
  return clean.length > MAX_SAID ? `${clean.slice(0, MAX_SAID).toWellFormed()}…` : clean;
}
