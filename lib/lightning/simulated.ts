import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { type Clock, withDeadline } from "@/lib/clock.ts";
import type { Random } from "@/lib/ids.ts";
import { MAX_SATS } from "@/lib/sats.rules.ts";
import { type DecodedInvoice, decodeInvoice, encodeInvoice, InvoiceError, MAX_MEMO_BYTES } from "./bolt11.ts";
import { cheapestHintFeeMsat, type RouteHint } from "./route-hints.ts";
import { answering, payPlan, planned, reasonOf, Refused, type SimulatedFaults, under } from "./simulated-faults.ts";
import { listedPayments } from "./simulated-history.ts";
import {
  BALANCE,
  type BalanceRow,
  externalKey,
  type ExternalRow,
  invoiceKey,
  type InvoiceRow,
  paymentKey,
  type PaymentRow,
  type SimStore,
  type SimTx,
} from "./simulated-rows.ts";
import { type CreatedInvoice, type InvoiceState, type PaymentState, type Wallet, WalletError } from "./port.ts";

type PayInvoiceResult =
  | { ok: true; preimage: string }
  | { ok: false; reason: "not-found" | "already-paid" | "expired" | "held" };

export interface SimulatedWallet extends Wallet {
  /**
   * Somebody pays this open invoice of ours.
   * @param options.late pays an expired one too, as a payment does that was already on its way.
   */
  payInvoice(paymentHash: string, options?: { late?: boolean }): Promise<PayInvoiceResult>;
  /** What becomes of a held incoming payment. @returns false when there is none. */
  releaseInvoice(paymentHash: string, outcome: "settle" | "cancel"): Promise<boolean>;
  /**
   * What becomes of a held outgoing payment. `pending`: it stays in flight, and is no longer called failed.
   * @returns false when there is none.
   */
  releasePayment(paymentHash: string, outcome: PaymentRow["state"]): Promise<boolean>;
  /**
   * An invoice of an imaginary payer's node on the same network: what a refund can be paid to. Paying it gives its real
   * preimage. Its route hints are the only way to it: paying costs the fee of the cheapest.
   */
  createExternalInvoice(input: InvoiceText): Promise<CreatedInvoice>;
}

/** What an invoice says; unless told otherwise nothing about what it is for, and an hour to pay it. */
interface InvoiceText {
  amountSats: number | null;
  memo?: string;
  descriptionHash?: string;
  expirySeconds?: number;
  routeHints?: readonly RouteHint[];
}

interface SimulatedWalletOptions {
  store: SimStore;
  /** 32 secret bytes, the same at every start. Node keys and preimages come from it and are stored nowhere. */
  seed: Uint8Array;
  clock: Clock;
  random: Random;
  faults?: SimulatedFaults;
  /** Routing fee of every outgoing payment (sats); what the invoice's route hints ask comes on top. */
  feeSats?: number;
}

const PREFIX = "lnbcrt";
const NONCE_BYTES = 16;
const HASH = /^[0-9a-f]{64}$/;

/**
 * A wallet without a network behind it: real signed regtest invoices (`lnbcrt…`) with real preimages, a balance, and
 * outgoing payments, all in the store, so that it survives a restart. It never holds money.
 *
 * Secrets are derived, HMAC-SHA256(seed, domain + nonce); rows hold the nonce only, so a copy of the store can neither
 * settle an invoice nor forge one. A payment to a stranger's invoice "succeeds" with a preimage that is derived too and
 * does **not** hash to the payment hash: only invoices of this seed give their real one.
 */
export function createSimulatedWallet(options: SimulatedWalletOptions): SimulatedWallet {
  const { store, seed, clock, random } = options;
  const faults = options.faults ?? {};
  const feeSats = options.feeSats ?? 0;
  if (seed.length !== 32) throw new Error("the simulated wallet's seed must have 32 bytes");

  const derive = (domain: string, nonce: string) => hmac(sha256, seed, utf8ToBytes(`${domain}:${nonce}`));
  const nodeKeys = new Map<string, Uint8Array>();
  const nodeKey = (domain: Domain): Uint8Array => {
    const known = nodeKeys.get(domain);
    if (known) return known;
    let attempt = 0;
    let key = derive(`${domain}-node-key`, "0");
    // One in 2^128 candidates is not a valid key.
    while (!secp256k1.utils.isValidSecretKey(key)) key = derive(`${domain}-node-key`, `${++attempt}`);
    nodeKeys.set(domain, key);
    return key;
  };
  const preimageOf = (domain: Domain, nonce: string) => derive(`${domain}-preimage`, nonce);

  /** Makes the invoice of `nonce`; stores nothing. */
  function issue(domain: Domain, nonce: string, input: InvoiceText): CreatedInvoice & { createdAt: number } {
    const { amountSats, memo = "", descriptionHash, expirySeconds = 3_600, routeHints = [] } = input;
    const createdAtSeconds = Math.floor(clock.now() / 1000);
    const paymentHash = bytesToHex(sha256(preimageOf(domain, nonce)));
    const paymentRequest = encodeInvoice({
      prefix: PREFIX,
      amountMsat: amountSats === null ? null : amountSats * 1000,
      paymentHash,
      paymentSecret: bytesToHex(derive(`${domain}-payment-secret`, nonce)),
      memo,
      descriptionHash,
      createdAtSeconds,
      expirySeconds,
      routeHints,
    }, nodeKey(domain));
    const expiresAt = (createdAtSeconds + expirySeconds) * 1000;
    return { paymentRequest, paymentHash, expiresAt, createdAt: clock.now() };
  }

  const watchers = new Set<(paymentHash: string) => void>();
  function hint(paymentHash: string): void {
    const fault = planned(faults.hints);
    if (fault?.kind === "lose") return;
    for (let times = fault?.kind === "twice" ? 2 : 1; times > 0; times--) {
      for (const watcher of [...watchers]) {
        try {
          watcher(paymentHash);
        } catch {
          // A listener's own failure is not the payer's: the reconciler finds what it missed.
        }
      }
    }
  }

  const addToBalance = async (tx: SimTx, sats: number) => {
    const row = await tx.get<BalanceRow>(BALANCE);
    const next: BalanceRow = { v: 1, sats: (row?.sats ?? 0) + sats };
    tx.set(BALANCE, next);
  };
  const putInvoice = (tx: SimTx, paymentHash: string, row: InvoiceRow) => tx.set(invoiceKey(paymentHash), row);
  const settle = async (tx: SimTx, paymentHash: string, row: InvoiceRow, now: number) => {
    putInvoice(tx, paymentHash, { ...row, state: "settled", settledAt: now });
    await addToBalance(tx, row.amountSats);
  };

  async function answerFor(paymentHash: string, row: PaymentRow, reader: Pick<SimTx, "get">): Promise<PaymentState> {
    if (row.state === "pending") {
      return row.calledFailed ? { state: "failed", reason: "no route" } : { state: "pending" };
    }
    if (row.state === "failed") return { state: "failed", reason: row.reason ?? "the payment failed" };
    const external = await reader.get<ExternalRow>(externalKey(paymentHash));
    const preimage = external ? preimageOf("external", external.nonce) : derive("stand-in-preimage", paymentHash);
    return { state: "paid", preimage: bytesToHex(preimage), feeSats: row.feeSats };
  }

  /** The payment itself, in one transaction: the row of the hash is what makes it happen at most once. */
  function send(
    input: { paymentRequest: string; paymentHash: string; amountSats: number; maxFeeSats: number },
    outcome: PaymentRow["state"],
    calledFailed: boolean,
  ): Promise<PaymentState> {
    const now = clock.now();
    const read = readForPayment(input, now);
    return store.transact(async (tx): Promise<PaymentState> => {
      const before = await tx.get<PaymentRow>(paymentKey(input.paymentHash));
      if (before && before.state !== "failed") return answerFor(input.paymentHash, before, tx);
      if (typeof read === "string") return { state: "failed", reason: read };
      if (await tx.get<InvoiceRow>(invoiceKey(input.paymentHash))) {
        return { state: "failed", reason: "this wallet does not pay its own invoices" };
      }
      const hintSats = Math.ceil(cheapestHintFeeMsat(read.routeHints, input.amountSats * 1_000) / 1_000);
      const fee = feeSats + hintSats;
      if (fee > input.maxFeeSats) return { state: "failed", reason: `the fee is above ${input.maxFeeSats} sats` };
      const balance = (await tx.get<BalanceRow>(BALANCE))?.sats ?? 0;
      if (balance < input.amountSats + fee) return { state: "failed", reason: "the balance is too low" };
      const row: PaymentRow = {
        v: 1,
        amountSats: input.amountSats,
        feeSats: fee,
        state: outcome,
        at: now,
        ...(outcome === "failed" ? { reason: "no route" } : {}),
        ...(calledFailed ? { calledFailed } : {}),
      };
      tx.set(paymentKey(input.paymentHash), row);
      if (outcome !== "failed") await addToBalance(tx, -(row.amountSats + row.feeSats));
      return answerFor(input.paymentHash, row, tx);
    });
  }

  /** A refused call sends nothing, but `failed` also says that no earlier call did. */
  async function refusal(paymentHash: string, reason: string): Promise<PaymentState> {
    const before = await store.get<PaymentRow>(paymentKey(paymentHash));
    return before && before.state !== "failed" ? answerFor(paymentHash, before, store) : { state: "failed", reason };
  }

  /** The invoice, or why it will not be paid. Looks at the invoice alone. */
  function readForPayment(
    input: { paymentRequest: string; paymentHash: string; amountSats: number },
    now: number,
  ): DecodedInvoice | string {
    try {
      const invoice = decodeInvoice(input.paymentRequest);
      if (invoice.prefix !== PREFIX) return `the invoice is for another network (${invoice.prefix})`;
      if (invoice.paymentHash !== input.paymentHash) return "the invoice has another payment hash";
      if (invoice.amountMsat === null) return "the invoice names no amount";
      if (invoice.amountSats !== input.amountSats) return "the invoice has another amount";
      if (invoice.expiresAt <= now) return "the invoice has expired";
      if (invoice.payee === ownNodeId()) return "this wallet does not pay its own invoices";
      return invoice;
    } catch (error) {
      if (error instanceof InvoiceError) return error.message;
      throw error;
    }
  }
  let nodeId: string | null = null;
  const ownNodeId = () => nodeId ??= bytesToHex(secp256k1.getPublicKey(nodeKey("own")));

  return {
    name: "simulated",
    simulated: true,
    prefix: PREFIX,

    createInvoice(input) {
      return answering(clock, planned(faults.createInvoice), async () => {
        const problem = problemWith(input);
        if (problem) throw new WalletError(problem, false);
        const nonce = bytesToHex(random.bytes(NONCE_BYTES));
        const { createdAt, ...invoice } = issue("own", nonce, input);
        const { paymentHash, expiresAt } = invoice;
        const row: InvoiceRow = { v: 1, nonce, amountSats: input.amountSats, createdAt, expiresAt, state: "open" };
        await store.transact((tx) => tx.insert(invoiceKey(paymentHash), row));
        return invoice;
      });
    },

    lookupInvoice(paymentHash) {
      return answering(clock, planned(faults.lookupInvoice), async (): Promise<InvoiceState> => {
        const row = await store.get<InvoiceRow>(invoiceKey(paymentHash));
        if (!row) return { state: "unknown" };
        if (row.state === "settled") return { state: "settled", paidSats: row.amountSats };
        if (row.state === "open" && row.expiresAt <= clock.now()) return { state: "expired" };
        return { state: row.state };
      });
    },

    watch(onHint, signal, onState) {
      return new Promise((resolve) => {
        if (signal.aborted) return resolve();
        const watcher = (paymentHash: string) => onHint(paymentHash);
        watchers.add(watcher);
        onState?.(true);
        signal.addEventListener("abort", () => {
          watchers.delete(watcher);
          onState?.(false);
          resolve();
        }, { once: true });
      });
    },

    balanceSats() {
      return answering(
        clock,
        planned(faults.balanceSats),
        async () => (await store.get<BalanceRow>(BALANCE))?.sats ?? 0,
      );
    },

    async pay(input) {
      const fault = planned(faults.pay);
      const { outcome, inTheWay, calledFailed = false } = payPlan(fault);
      try {
        return await withDeadline(
          clock,
          input.timeoutMs,
          "paying",
          under(clock, inTheWay, () => send(input, outcome, calledFailed)),
        );
      } catch (error) {
        if (error instanceof Refused) return await refusal(input.paymentHash, error.message);
        return { state: "unknown", reason: reasonOf(error) };
      }
    },

    async lookupPayment(paymentHash) {
      try {
        return await under(clock, planned(faults.lookupPayment), async (): Promise<PaymentState> => {
          const row = await store.get<PaymentRow>(paymentKey(paymentHash));
          if (!row) return { state: "unknown", reason: "the wallet has no record of this payment", absent: true };
          return await answerFor(paymentHash, row, store);
        });
      } catch (error) {
        return { state: "unknown", reason: reasonOf(error) };
      }
    },

    listPayments(sinceMs) {
      return answering(clock, planned(faults.listPayments), () => listedPayments(store, sinceMs));
    },

    async payInvoice(paymentHash, { late = false } = {}) {
      const now = clock.now();
      const held = planned(faults.settle)?.kind === "hold";
      const result = await store.transact(async (tx): Promise<PayInvoiceResult> => {
        const row = HASH.test(paymentHash) ? await tx.get<InvoiceRow>(invoiceKey(paymentHash)) : null;
        if (!row) return { ok: false, reason: "not-found" };
        if (row.state === "settled") return { ok: false, reason: "already-paid" };
        if (row.state === "held") return { ok: false, reason: "held" };
        if (row.expiresAt <= now && !late) return { ok: false, reason: "expired" };
        if (held) {
          putInvoice(tx, paymentHash, { ...row, state: "held" });
          return { ok: false, reason: "held" };
        }
        await settle(tx, paymentHash, row, now);
        return { ok: true, preimage: bytesToHex(preimageOf("own", row.nonce)) };
      });
      if (result.ok) hint(paymentHash);
      return result;
    },

    async releaseInvoice(paymentHash, outcome) {
      const now = clock.now();
      const released = await store.transact(async (tx) => {
        const row = await tx.get<InvoiceRow>(invoiceKey(paymentHash));
        if (row?.state !== "held") return false;
        if (outcome === "settle") await settle(tx, paymentHash, row, now);
        else putInvoice(tx, paymentHash, { ...row, state: "open" });
        return true;
      });
      if (released && outcome === "settle") hint(paymentHash);
      return released;
    },

    releasePayment(paymentHash, outcome) {
      return store.transact(async (tx) => {
        const row = await tx.get<PaymentRow>(paymentKey(paymentHash));
        if (row?.state !== "pending") return false;
        const { calledFailed: _, ...held } = row;
        const done: PaymentRow = { ...held, state: outcome, ...(outcome === "failed" ? { reason: "no route" } : {}) };
        tx.set(paymentKey(paymentHash), done);
        if (outcome === "failed") await addToBalance(tx, row.amountSats + row.feeSats);
        return true;
      });
    },

    async createExternalInvoice(input) {
      const nonce = bytesToHex(random.bytes(NONCE_BYTES));
      const { createdAt, ...invoice } = issue("external", nonce, input);
      const row: ExternalRow = { v: 1, nonce, createdAt };
      await store.transact((tx) => tx.insert(externalKey(invoice.paymentHash), row));
      return invoice;
    },
  };
}

/** Whose node an invoice is of: the wallet's own, or the imaginary payer's. Each has secrets of its own. */
type Domain = "own" | "external";

function problemWith(input: { amountSats: number; memo: string; expirySeconds: number }): string | null {
  if (!(Number.isSafeInteger(input.amountSats) && input.amountSats > 0 && input.amountSats <= MAX_SATS)) {
    return "an invoice needs a positive whole number of sats";
  }
  if (!(Number.isSafeInteger(input.expirySeconds) && input.expirySeconds > 0)) {
    return "an invoice's expiry must be a positive whole number of seconds";
  }
  return utf8ToBytes(input.memo).length > MAX_MEMO_BYTES
    ? `an invoice's memo has at most ${MAX_MEMO_BYTES} bytes`
    : null;
}
