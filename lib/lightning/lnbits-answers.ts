/** What LNbits answers, and what it means for the port (API v1; bodies as LNbits 1.6.2 sends them). */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { z } from "zod";
import { type DecodedInvoice, decodeInvoice, InvoiceError } from "./bolt11.ts";
import type { InvoiceState, PaymentState } from "./port.ts";

const MAX_BODY_BYTES = 256 * 1024;
/** Stands for a preimage LNbits did not tell though it says that the payment went through. */
const UNTOLD_PREIMAGE = "0".repeat(64);

export const Hash = z.string().regex(/^[0-9a-f]{64}$/);
/** A payment of LNbits: `amount` and `fee` in msat, the amount negative when it went out. */
export const Row = z.object({
  payment_hash: Hash,
  amount: z.number().int(),
  fee: z.number().int(),
  status: z.enum(["pending", "success", "failed"]),
  preimage: z.string().nullish(),
});
export type Row = z.infer<typeof Row>;
export const Created = z.object({ payment_hash: Hash, bolt11: z.string() });
const Found = z.object({ paid: z.boolean(), details: Row });
export const FeeReserve = z.object({ fee_reserve: z.number().nonnegative() });
export const Balance = z.object({ balance: z.number() });
export const Refusal = z.object({ detail: z.unknown(), status: z.string().optional() });

export interface Answer {
  status: number;
  /** Parsed JSON, or undefined when the body was not JSON. */
  body: unknown;
}

/** No usable answer came. `message` is safe to log. */
export class Unanswered extends Error {}

export function invoiceState(row: Row | null): InvoiceState {
  if (!row) return { state: "unknown" };
  if (row.status === "success") return { state: "settled", paidSats: Math.floor(row.amount / 1000) };
  // LNbits marks an unpaid invoice failed when it has expired, or when FakeWallet forgot it.
  return { state: row.status === "failed" ? "expired" : "open" };
}

export function paymentState(row: Row): PaymentState {
  if (row.status === "pending") return { state: "pending" };
  if (row.status === "failed") return { state: "failed", reason: "LNbits says that the payment failed" };
  const preimage = row.preimage ?? "";
  const proves = /^[0-9a-f]{64}$/.test(preimage) && bytesToHex(sha256(hexToBytes(preimage))) === row.payment_hash;
  // The fee is negative for a routed payment and positive inside LNbits; parts of a sat count as one.
  return { state: "paid", preimage: proves ? preimage : UNTOLD_PREIMAGE, feeSats: Math.ceil(Math.abs(row.fee) / 1000) };
}

/** The row in the answer to `GET /payments/{hash}`, if it is about that hash, agrees with itself and is ours to see. */
export function ownRow(answer: Answer, paymentHash: string): Row | null {
  const found = Found.safeParse(answer.body);
  if (!found.success || found.data.details.payment_hash !== paymentHash) return null;
  return found.data.paid === (found.data.details.status === "success") ? found.data.details : null;
}

/** LNbits' own 404; a proxy's has another body. */
export function isNoSuchPayment(answer: Answer): boolean {
  return answer.status === 404 && Refusal.safeParse(answer.body).data?.detail === "Payment does not exist.";
}

export function detailOf(answer: Answer): string {
  const detail = Refusal.safeParse(answer.body).data?.detail;
  return typeof detail === "string" ? detail : "no reason given";
}

/** Why `fetch` failed: Deno tells it in the error or in its cause, depending on the version. */
export function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return "no reason given";
  return error.cause instanceof Error ? error.cause.message : error.message;
}

export function messageOf(error: unknown): string {
  return error instanceof Unanswered ? error.message : "LNbits gave no usable answer";
}

/** An invoice, or why it is none. */
export function read(paymentRequest: string): DecodedInvoice | InvoiceError {
  try {
    return decodeInvoice(paymentRequest);
  } catch (error) {
    if (error instanceof InvoiceError) return error;
    throw error;
  }
}

export function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export async function readBody(
  response: Response,
  abort: AbortController,
  maxBytes: number = MAX_BODY_BYTES,
): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > maxBytes) {
      abort.abort();
      throw new Unanswered(`LNbits' answer is longer than ${maxBytes} bytes`);
    }
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** Takes keys, invoices, hashes and addresses out of a text from elsewhere, and cuts it short. */
export function redact(text: string, keys: readonly (string | undefined)[]): string {
  let result = text;
  for (const key of keys) if (key) result = result.replaceAll(key, "[key]");
  return result
    .replace(/(https?|wss?):\/\/[^\s)"']+/gi, "[address]")
    .replace(/\bln(bc|tb|sb)[0-9a-z]{20,}/gi, "[invoice]")
    .replace(/[0-9a-f]{64,}/gi, "[hash]")
    .slice(0, 200);
}
