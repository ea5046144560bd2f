/** A payer's invoice, decoded and checked by the caller: amount, network, expiry and signature. */
export interface PayoutInvoice {
  paymentHash: string;
  paymentRequest: string;
  amountSats: number;
  /** Set when it came from a Lightning address. */
  way?: "lightning_address";
}

/**
 * - `taken`: it is being paid, or was, to this hash. `used`: the invoice's hash was used before.
 * - `distrusted`: nothing is paid until then (ms since the epoch), since the wallet was caught in a wrong answer.
 * - `frozen`: nobody knows whether it was paid before a restore, and the operator has to decide.
 * - `crowded`: as many payouts of this payer are under way as may be. `too_many`: so many of its invoices failed.
 */
export type ClaimOutcome =
  | { outcome: "claimed" }
  | { outcome: "taken"; paymentHash: string | null }
  | { outcome: "distrusted"; until: number }
  | { outcome: "used" | "expired" | "none" | "crowded" | "too_many" | "frozen" };
