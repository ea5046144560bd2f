import type { Key, Versioned } from "@/lib/store/store.ts";
import type { Entry } from "@/lib/ledger/ledger.rules.ts";

/** Rows of one consistent copy of the store, in key order. */
export interface AuditSource {
  rows<T extends Versioned>(prefix: Key): AsyncIterable<{ key: Key; value: T }>;
  /** One row by its whole key, which no prefix finds. */
  row<T extends Versioned>(key: Key): Promise<T | null>;
}

export interface AuditCheck {
  name: string;
  ok: boolean;
  /** What was counted, or the first thing that is wrong, account included. */
  detail: string;
}

/** Notes one check. @param wrong the first thing that is wrong, or null. @param right what was counted. */
export type Check = (name: string, wrong: string | null, right: string) => void;

/** What the entries say of the reservation of one request (sats). */
export interface Reservation {
  /** From the session, and from the pool. */
  reserved: number;
  granted: number;
  charged: number;
  subsidyUsed: number;
  released: number;
  returned: number;
  /** The account the session's part came from and went back to; "several sessions" when that is not one and the same. */
  session: string | null;
}

/** What the entries say of one subsidy. */
export interface SubsidyEntries {
  given: Entry[];
  used: Entry[];
  returned: Entry[];
}

/** The ledger as its entries tell it. */
export interface Ledger {
  balance(account: string): number;
  accounts(): Iterable<string>;
  /** What came in, by payment hash (sats). */
  receipts: ReadonlyMap<string, number>;
  /** What came in before a restore and has no invoice any more, by payment hash (sats). */
  recovered: ReadonlyMap<string, number>;
  /** By the id of the request. */
  reservations: ReadonlyMap<string, Reservation>;
  /** What left a session's balance itself, by the id of the chat: nothing is set aside for one. */
  chatCharges: ReadonlyMap<string, Entry>;
  /** By the id of the subsidy. */
  subsidies: ReadonlyMap<string, SubsidyEntries>;
  /** Charges that the pool has its share of, and those shares, by job or request. */
  charges: ReadonlyMap<string, Entry>;
  credits: ReadonlyMap<string, Entry>;
  /** What the pool has set aside and neither used nor taken back: the pool's sats in other accounts. */
  subsidiesHeld: number;
}

/** What each book is proven with: its rows, the ledger as its entries tell it, and where to say what was found. */
export interface Book {
  source: AuditSource;
  ledger: Ledger;
  check: Check;
}
