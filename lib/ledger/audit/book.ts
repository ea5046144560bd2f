import type { Key, Versioned } from "@/lib/store/store.ts";
import type { Ledger } from "./entries.ts";

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

/** What each book is proven with: its rows, the ledger as its entries tell it, and where to say what was found. */
export interface Book {
  source: AuditSource;
  ledger: Ledger;
  check: Check;
}
