import { utf8ToBytes } from "@noble/hashes/utils.js";
import { z } from "zod";
import type { Clock } from "@/lib/clock.ts";
import { type Random, systemRandom } from "@/lib/ids.ts";
import { decodeInvoice, InvoiceError, MAX_MEMO_BYTES } from "./bolt11.ts";
import {
  type Answer,
  Balance,
  Created,
  detailOf,
  FeeReserve,
  Hash,
  invoiceState,
  isNoSuchPayment,
  messageOf,
  ownRow,
  paymentState,
  read,
  Refusal,
  Row,
} from "./lnbits-answers.ts";
import { createLnbitsCalls } from "./lnbits-calls.ts";
import { listedPayments } from "./lnbits-history.ts";
import { watchSocket } from "./lnbits-socket.ts";
import {
  type CreatedInvoice,
  type InvoicePrefix,
  type InvoiceState,
  type PaymentState,
  type Wallet,
  WalletError,
} from "./port.ts";

/** Where the adapter reports what an operator should know. Never gets a key, an invoice or a preimage. */
type LnbitsLog = (level: "info" | "warn", message: string, fields?: Record<string, string | number>) => void;

interface LnbitsTimeouts {
  /** Creating an invoice, asking for one, asking the balance (ms). */
  requestMs: number;
  /** Asking for an outgoing payment (ms). With LND behind it LNbits holds this answer up to 30 s. */
  paymentLookupMs: number;
  /** Opening the websocket (ms). */
  connectMs: number;
  /** A websocket without a frame for this long is replaced by a new one (ms): it may be cut without our knowing. */
  silentMs: number;
}

export interface LnbitsOptions {
  /** Base address, `http(s)://host[:port][/path]`. */
  url: string;
  /** The wallet's invoice key: may receive and read. */
  invoiceKey: string;
  /** The admin key of the **same** wallet; without it every payment is refused. */
  adminKey?: string;
  /** Where LNbits posts a settlement, once and as a hint only; it refuses addresses that its settings do not allow. */
  webhookUrl?: string;
  clock: Clock;
  /** Spreads reconnects. */
  random?: Random;
  fetch?: typeof fetch;
  log?: LnbitsLog;
  timeouts?: Partial<LnbitsTimeouts>;
}

interface LnbitsWallet extends Wallet {
  /**
   * The network of this wallet's invoices; if it has not made one yet, it makes one over 1 sat, shown to nobody.
   * @throws {WalletError}
   */
  learnPrefix(): Promise<InvoicePrefix>;
}

const DEFAULT_TIMEOUTS: LnbitsTimeouts = {
  requestMs: 10_000,
  paymentLookupMs: 35_000,
  connectMs: 10_000,
  silentMs: 300_000,
};
/**
 * How long a payment call whose answer was lost may still be under way to LNbits or inside it (ms): until then "there
 * is no such payment" proves nothing. Far above what proxies hold a request for.
 */
const STRAY_CALL_MS = 600_000;
const MAX_STRAY_CALLS = 10_000;

/**
 * A wallet of an LNbits server (API v1; bodies as LNbits 1.6.2 sends them), spoken to over HTTP and a websocket.
 *
 * - What LNbits tells about an invoice is believed only from the keyed `GET`, never from a websocket frame (anyone can
 *   push one) and never from a body without `details` (that is what a wrong key gets).
 * - LNbits' answers hold preimages of unpaid invoices: nothing of a body leaves the adapter but the fields of the port.
 * - **Fees.** LNbits takes no fee limit per call; its own reserve (`LNBITS_RESERVE_FEE_MIN`,
 *   `LNBITS_RESERVE_FEE_PERCENT`) is the limit it hands to the node. `pay` asks for the reserve of the invoice first and
 *   sends nothing when it is above `maxFeeSats`; the fee really paid is reported.
 * - **Payments.** LNbits keeps one outgoing row per wallet and hash, which makes repeating `pay` safe. Whatever it
 *   answers to a payment, our own row decides; `failed` needs an answered refusal *and* the absence (or failure) of
 *   that row.
 *
 * @throws {Error} when `url` is not an http(s) address or a key is empty.
 */
export function createLnbitsWallet(options: LnbitsOptions): LnbitsWallet {
  const { invoiceKey, adminKey, clock, random = systemRandom, log = () => {} } = options;
  const fetchFrom = options.fetch ?? fetch;
  const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
  const base = baseUrl(options.url);
  for (const key of [invoiceKey, adminKey]) {
    if (key !== undefined && !/^[\x21-\x7e]+$/.test(key)) {
      throw new Error("an LNbits key must not be empty or have blanks");
    }
  }
  const { call, ask, safe } = createLnbitsCalls({
    base,
    invoiceKey,
    adminKey,
    clock,
    fetchFrom,
    requestMs: timeouts.requestMs,
  });

  let prefix: InvoicePrefix | null = null;
  /** Hash → when its last payment call got no answer. */
  const strays = new Map<string, number>();

  async function createInvoice(
    input: { amountSats: number; memo: string; expirySeconds: number },
  ): Promise<CreatedInvoice> {
    const { amountSats, memo, expirySeconds } = input;
    if (!(Number.isSafeInteger(amountSats) && amountSats > 0)) {
      throw new WalletError("an invoice needs a positive whole number of sats", false); // LNbits cuts 1.5 to 1
    }
    if (!(Number.isSafeInteger(expirySeconds) && expirySeconds > 0)) {
      throw new WalletError("an invoice's expiry must be a positive whole number of seconds", false);
    }
    if (utf8ToBytes(memo).length > MAX_MEMO_BYTES) {
      throw new WalletError(`an invoice's memo has at most ${MAX_MEMO_BYTES} bytes`, false);
    }
    const webhook = options.webhookUrl === undefined ? {} : { webhook: options.webhookUrl };
    const request = { out: false, unit: "sat", amount: amountSats, memo, expiry: expirySeconds, ...webhook };
    const created = Created.safeParse((await ask("POST", "/payments", request)).body);
    if (!created.success) throw new WalletError("LNbits' answer to a new invoice has another shape than known", true);
    const { payment_hash: paymentHash, bolt11: paymentRequest } = created.data;
    const invoice = read(paymentRequest);
    if (invoice instanceof InvoiceError) {
      throw new WalletError(`LNbits made an invoice that is not valid: ${invoice.message}`, true);
    }
    if (invoice.paymentHash !== paymentHash) throw new WalletError("LNbits' invoice has another payment hash", true);
    if (invoice.amountMsat !== amountSats * 1000) {
      throw new WalletError("LNbits' invoice has another amount than was asked for", true);
    }
    prefix = invoice.prefix;
    return { paymentRequest, paymentHash, expiresAt: invoice.expiresAt };
  }

  async function lookupInvoice(paymentHash: string): Promise<InvoiceState> {
    if (!Hash.safeParse(paymentHash).success) return { state: "unknown" };
    const answer = await ask("GET", `/payments/${paymentHash}`, undefined, { alsoFine: 404 });
    if (answer.status === 404) {
      if (isNoSuchPayment(answer)) return { state: "unknown" };
      throw new WalletError(`LNbits answered 404: ${safe(detailOf(answer))}`, true);
    }
    const row = ownRow(answer, paymentHash);
    if (!row) throw new WalletError("LNbits shows no details of the payment: is the invoice key right?", false);
    // When this wallet itself paid the invoice, the outgoing row hides the incoming one.
    return row.amount > 0 ? invoiceState(row) : invoiceState(await incomingRow(paymentHash));
  }

  async function incomingRow(paymentHash: string): Promise<Row | null> {
    const { body } = await ask("GET", `/payments?payment_hash=${paymentHash}&limit=10`);
    const rows = z.array(Row).safeParse(body);
    if (!rows.success) throw new WalletError("LNbits' list of payments has another shape than known", true);
    return rows.data.find((row) => row.payment_hash === paymentHash && row.amount > 0) ?? null;
  }

  /**
   * What our own outgoing row says; `absent` when LNbits answered that this wallet has none.
   * LNbits gives the outgoing row when there are two, so an incoming one means that there is no outgoing one.
   */
  async function findPayment(paymentHash: string, limitMs: number): Promise<PaymentState> {
    if (!Hash.safeParse(paymentHash).success) return { state: "unknown", reason: "not a payment hash" };
    let answer: Answer;
    try {
      answer = await call(adminKey ?? invoiceKey, "GET", `/payments/${paymentHash}`, limitMs);
    } catch (error) {
      return { state: "unknown", reason: messageOf(error) };
    }
    const row = answer.status === 200 ? ownRow(answer, paymentHash) : null;
    if (row && row.amount < 0) return paymentState(row);
    if (row || isNoSuchPayment(answer)) {
      return { state: "unknown", reason: "LNbits has no record of this payment", absent: true };
    }
    return { state: "unknown", reason: `LNbits answered ${answer.status}: ${safe(detailOf(answer))}` };
  }

  async function pay(input: Parameters<Wallet["pay"]>[0]): Promise<PaymentState> {
    const { paymentRequest, paymentHash } = input;
    const endsAt = clock.now() + input.timeoutMs;
    const left = () => Math.max(1, endsAt - clock.now());
    const objection = objectionTo(input);
    if (objection !== null || adminKey === undefined) {
      // An earlier call may have paid it all the same, so our row has the last word.
      return verdict(paymentHash, objection ?? "no admin key is configured, so nothing can be paid", left());
    }

    let answer: Answer;
    try {
      const tooDear = await feeObjection(paymentRequest, input.maxFeeSats, left());
      if (tooDear !== null) return verdict(paymentHash, tooDear, left());
    } catch (error) {
      return { state: "unknown", reason: messageOf(error) }; // nothing was sent by this call
    }
    try {
      answer = await call(adminKey, "POST", "/payments", left(), { out: true, bolt11: paymentRequest });
    } catch (error) {
      rememberStray(paymentHash);
      return { state: "unknown", reason: messageOf(error) };
    }

    if (answer.status === 200 || answer.status === 201) {
      const row = Row.safeParse(answer.body).data;
      if (row?.payment_hash === paymentHash && row.amount < 0) return paid(paymentState(row), input.maxFeeSats);
      // A row that came in is the payee's, shown when LNbits did not even try: nothing was sent by this call.
      if (row?.payment_hash === paymentHash && row.status === "failed") {
        return verdict(paymentHash, "LNbits did not send it: the invoice has expired there", left());
      }
    } else {
      const refusal = Refusal.safeParse(answer.body).data;
      const decided = answer.status === 520
        // "success" with an error: it is paid already, by us (then our row says so) or by another wallet of LNbits.
        ? refusal?.status === "failed" || refusal?.status === "success"
        : answer.status === 400 && refusal !== undefined;
      if (decided) return paid(await verdict(paymentHash, safe(detailOf(answer)), left()), input.maxFeeSats);
    }
    rememberStray(paymentHash);
    const found = await findPayment(paymentHash, left());
    if (found.state !== "unknown") return paid(found, input.maxFeeSats);
    return { state: "unknown", reason: `LNbits answered ${answer.status}: ${safe(detailOf(answer))}` };
  }

  /**
   * The reserve is the fee limit that LNbits hands to its node. One above ours: nothing is sent.
   * @throws {Unanswered} when LNbits does not answer.
   */
  async function feeObjection(paymentRequest: string, maxFeeSats: number, limitMs: number): Promise<string | null> {
    const query = new URLSearchParams({ invoice: paymentRequest });
    const answer = await call(invoiceKey, "GET", `/payments/fee-reserve?${query}`, limitMs);
    const reserve = answer.status === 200 ? FeeReserve.safeParse(answer.body).data : undefined;
    if (!reserve || reserve.fee_reserve <= maxFeeSats * 1_000) return null; // an LNbits that does not tell is not asked again
    const sats = Math.ceil(reserve.fee_reserve / 1_000);
    return `LNbits would allow a fee of ${sats} sats, more than ${maxFeeSats}: lower LNBITS_RESERVE_FEE_MIN and _PERCENT there`;
  }

  /** The outcome after a refusal: our row if there is one; `failed` only if LNbits says that there is none. */
  async function verdict(paymentHash: string, refusal: string, limitMs: number): Promise<PaymentState> {
    const found = await findPayment(paymentHash, limitMs);
    if (found.state !== "unknown" || !found.absent) {
      return found.state === "failed" ? { state: "failed", reason: refusal } : found;
    }
    const stray = strays.get(paymentHash);
    if (stray !== undefined && clock.now() - stray < STRAY_CALL_MS) {
      return { state: "unknown", reason: `${refusal}; but an earlier call may still reach LNbits`, absent: true };
    }
    strays.delete(paymentHash);
    return { state: "failed", reason: refusal };
  }

  function rememberStray(paymentHash: string): void {
    strays.delete(paymentHash);
    strays.set(paymentHash, clock.now());
    for (const [hash, at] of strays) {
      if (strays.size <= MAX_STRAY_CALLS && clock.now() - at < STRAY_CALL_MS) break;
      strays.delete(hash);
    }
  }

  function paid(state: PaymentState, maxFeeSats: number): PaymentState {
    if (state.state === "paid" && state.feeSats > maxFeeSats) {
      log("warn", "LNbits paid a higher fee than allowed: lower its fee reserve", {
        feeSats: state.feeSats,
        maxFeeSats,
      });
    }
    return state;
  }

  function objectionTo(input: { paymentRequest: string; paymentHash: string; amountSats: number }): string | null {
    const invoice = read(input.paymentRequest);
    if (invoice instanceof InvoiceError) return invoice.message;
    if (prefix !== null && invoice.prefix !== prefix) return `the invoice is for another network (${invoice.prefix})`;
    if (invoice.paymentHash !== input.paymentHash) return "the invoice has another payment hash";
    if (invoice.amountMsat === null) return "the invoice names no amount";
    if (invoice.amountSats !== input.amountSats) return "the invoice has another amount";
    // LNbits would pay an expired invoice of its own wallets.
    return invoice.expiresAt <= clock.now() ? "the invoice has expired" : null;
  }

  return {
    name: "lnbits",
    simulated: false,
    get prefix() {
      return prefix;
    },
    createInvoice,
    lookupInvoice,
    watch: (onHint, signal, onState) =>
      watchSocket(
        { url: `${base.replace(/^http/, "ws")}/api/v1/ws/${invoiceKey}`, clock, random, timeouts, log },
        onHint,
        signal,
        onState,
      ),
    pay,
    lookupPayment: (paymentHash) => findPayment(paymentHash, timeouts.paymentLookupMs),

    async balanceSats() {
      const balance = Balance.safeParse((await ask("GET", "/wallet")).body);
      if (!balance.success) throw new WalletError("LNbits' answer about the wallet has another shape than known", true);
      return Math.floor(balance.data.balance / 1000);
    },

    listPayments: (sinceMs) => listedPayments(ask, sinceMs),

    async learnPrefix() {
      if (prefix !== null) return prefix;
      const { paymentRequest } = await createInvoice({ amountSats: 1, memo: "network check", expirySeconds: 60 });
      return decodeInvoice(paymentRequest).prefix;
    },
  };
}

function baseUrl(text: string): string {
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash) {
    throw new Error("the LNbits address must look like https://host[:port][/path], without user, query or fragment");
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}
