/**
 * What Timmy needs from a Lightning wallet. Two small ports, because two different parts of the program use them;
 * an adapter (simulated, LNbits, …) implements both. The contract suite in `lightning.contract.ts` runs against each.
 *
 * All amounts are whole satoshis. Payment hashes and preimages are 64 lower-case hex digits.
 */

/** BOLT11 prefix of the network the wallet's own invoices are on, e.g. `lnbc`, `lntb`, `lnbcrt`. */
export type InvoicePrefix = "lnbc" | "lntb" | "lntbs" | "lnbcrt";

export interface CreatedInvoice {
  paymentRequest: string;
  paymentHash: string;
  /** Milliseconds since the epoch, taken from the invoice itself. */
  expiresAt: number;
}

/**
 * State of an incoming payment.
 * - `settled`: the sats are in the wallet, for good. `paidSats` is what arrived (rounded down to whole sats).
 * - `open`: not paid (yet), may still be. `held`: an HTLC waits; nothing is ours yet.
 * - `expired`: the wallet will, as far as it knows, not take it any more. It can still turn into `settled`.
 * - `unknown`: the wallet does not know this hash.
 */
export type InvoiceState =
  | { state: "settled"; paidSats: number }
  | { state: "open" | "held" | "expired" | "unknown" };

/** The receiving half. */
export interface InvoiceWallet {
  /** e.g. "simulated", "lnbits": for the start-up summary and readiness. */
  readonly name: string;
  /** True when no real money moves: every answer that shows an invoice then says so. */
  readonly simulated: boolean;
  /** The network of the wallet's invoices; null until it made its first one (a refund is checked against it). */
  readonly prefix: InvoicePrefix | null;

  /**
   * Makes an invoice. Creating one moves no money, so a call whose answer was lost may be repeated: the lost invoice
   * was shown to nobody and expires.
   * @throws {WalletError} when the wallet refused or did not answer within its deadline.
   */
  createInvoice(input: { amountSats: number; memo: string; expirySeconds: number }): Promise<CreatedInvoice>;

  /** Asks the wallet itself, every time. @throws {WalletError} when it did not answer. */
  lookupInvoice(paymentHash: string): Promise<InvoiceState>;

  /**
   * Calls `onHint(paymentHash)` when an invoice may have settled. A hint may be missing, come twice, late or be a lie:
   * the caller confirms with {@link lookupInvoice} and has a reconciler for what was missed. Reconnects by itself with
   * growing delays until `signal` aborts; then it resolves. Never rejects.
   * `onState(connected)` tells readiness whether the push channel stands.
   */
  watch(
    onHint: (paymentHash: string) => void,
    signal: AbortSignal,
    onState?: (connected: boolean) => void,
  ): Promise<void>;

  /** The wallet's spendable balance in sats, or null when this backend cannot tell. @throws {WalletError} */
  balanceSats(): Promise<number | null>;
}

/**
 * Outcome of an outgoing payment.
 * - `paid`: the money left, for good.
 * - `failed`: definitely not paid and not in flight; nothing left the wallet.
 * - `pending`: in flight; may become either.
 * - `unknown`: nobody knows: the call timed out, was cut, or (`absent`) the wallet answered that it has no record of the
 *   hash, which is no proof while an earlier call may still arrive there.
 */
export type PaymentState =
  | { state: "paid"; preimage: string; feeSats: number }
  | { state: "failed"; reason: string }
  | { state: "pending" }
  | { state: "unknown"; reason: string; absent?: true };

/** The paying half. An outgoing payment is named by the payment hash of the invoice it pays. */
export interface PaymentWallet {
  /**
   * Pays a BOLT11 invoice **at most once per payment hash**, however often it is called with the same invoice: the wallet
   * itself recognises the hash. Never throws: every outcome is one of {@link PaymentState}, and whatever is not
   * certain is `unknown`, never `failed`.
   * @param input.maxFeeSats routing-fee limit handed to the wallet.
   * @param input.timeoutMs the call's own limit; after it the outcome is `unknown`.
   */
  pay(input: {
    paymentRequest: string;
    paymentHash: string;
    amountSats: number;
    maxFeeSats: number;
    timeoutMs: number;
  }): Promise<PaymentState>;

  /** What became of the payment with this hash. Never throws; a wallet that does not answer gives `unknown`. */
  lookupPayment(paymentHash: string): Promise<PaymentState>;
}

/** What a wallet took in and paid, in no order. Amounts in sats, times in ms since the epoch. */
export interface WalletHistory {
  /** Settled ones only. `at`: when the invoice was made or settled, whichever the wallet remembers. */
  incoming: { paymentHash: string; paidSats: number; at: number }[];
  /** `amountSats` is without the fee; `at` is when it was sent. */
  outgoing: {
    paymentHash: string;
    amountSats: number;
    feeSats: number;
    state: "paid" | "pending" | "failed";
    at: number;
  }[];
}

/** The remembering half: for an instance whose own database was put back from a backup. */
export interface HistoryWallet {
  /**
   * Everything that was made, settled or sent since then, whoever did it; older ones may be in it.
   * @param sinceMs ms since the epoch
   * @returns null when this backend cannot tell
   * @throws {WalletError} when it did not answer, and part of it would be missing
   */
  listPayments(sinceMs: number): Promise<WalletHistory | null>;
}

export type Wallet = InvoiceWallet & PaymentWallet & HistoryWallet;

/**
 * The wallet could not do what was asked, or nobody knows whether it did.
 * `message` is safe to log: no key, no invoice, no preimage.
 */
export class WalletError extends Error {
  override name = "WalletError";
  /** @param retryable false when repeating the same call cannot help (bad key, bad amount). */
  constructor(message: string, readonly retryable: boolean, options?: ErrorOptions) {
    super(message, options);
  }
}
