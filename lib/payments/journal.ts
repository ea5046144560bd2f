/** What is written down before the wallet is told to pay, outside the database: it outlives a backup that is put back. */

/** One call to the wallet that may follow. Repeats of the same payment are written again. */
export interface JournalEntry {
  v: 1;
  /** ms since the epoch. */
  at: number;
  paymentHash: string;
  refundId: string;
  amountSats: number;
}

export interface PayoutJournal {
  /** Resolves when the entry lies on the disk. @throws when it could not be written: then nothing may be paid. */
  append(entry: JournalEntry): Promise<void>;
  /** All entries, oldest first. One that a crash cut short is left out: no call followed it. */
  entries(): Promise<JournalEntry[]>;
}

/** @returns null for a line that is no whole entry. */
export function readEntry(line: string): JournalEntry | null {
  let read: unknown;
  try {
    read = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof read !== "object" || read === null) return null;
  const { v, at, paymentHash, refundId, amountSats } = read as Partial<Record<keyof JournalEntry, unknown>>;
  const whole = v === 1 && typeof at === "number" && typeof paymentHash === "string" &&
    typeof refundId === "string" && typeof amountSats === "number";
  return whole ? { v, at, paymentHash, refundId, amountSats } : null;
}
