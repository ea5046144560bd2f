/** What the simulated wallet keeps, and where. */

type SimKey = readonly (string | number)[];

/** What the simulated wallet needs of a store: every change is one transaction. `lib/store/store.ts` fits. */
export interface SimStore {
  transact<T>(fn: (tx: SimTx) => Promise<T> | T): Promise<T>;
  get<T extends { v: number }>(key: SimKey): Promise<T | null>;
  /** Rows under a prefix in key order, at most `limit`; `after` is exclusive. */
  list<T extends { v: number }>(
    prefix: SimKey,
    options: { limit: number; after?: SimKey },
  ): Promise<{ key: SimKey; value: T }[]>;
}
export interface SimTx {
  get<T extends { v: number }>(key: SimKey): Promise<T | null>;
  set(key: SimKey, value: { v: number }): void;
  /** As `set`, of a key that no row has. */
  insert(key: SimKey, value: { v: number }): void;
}

export interface InvoiceRow {
  v: 1;
  nonce: string;
  amountSats: number;
  createdAt: number;
  expiresAt: number;
  state: "open" | "held" | "settled";
  settledAt?: number;
}
export interface ExternalRow {
  v: 1;
  nonce: string;
  createdAt: number;
}
export interface PaymentRow {
  v: 1;
  amountSats: number;
  feeSats: number;
  state: "pending" | "paid" | "failed";
  calledFailed?: true;
  reason?: string;
  at: number;
}
export interface BalanceRow {
  v: 1;
  sats: number;
}

const ROOT = "simulated-wallet";
export const BALANCE = [ROOT, "balance"];
export const INVOICES = [ROOT, "invoice"];
export const PAYMENTS = [ROOT, "payment"];
export const invoiceKey = (hash: string) => [...INVOICES, hash];
export const externalKey = (hash: string) => [ROOT, "external", hash];
export const paymentKey = (hash: string) => [...PAYMENTS, hash];
