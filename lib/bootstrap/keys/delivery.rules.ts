/**
 * Handing a private key over once (docs/spec/bootstrap.md §2). Pure: each function returns the next record, or why there is none; who calls it
 * writes the record in the transaction that checked the old one, so that of two polls at the same moment one gets the key.
 */

export interface KeyDelivery {
  /** The sealed private key; null once it is erased, and where the payer's own key is used. */
  sealed: string | null;
  /** ms since the epoch; null: nobody has it yet. */
  firstDeliveredAt: number | null;
  /** ms since the epoch; null: not erased. */
  erasedAt: number | null;
}

/**
 * `none`: no private key exists here. `delivered`: somebody has it, and it can be fetched again by the preimage. `not_delivered`:
 * nobody has it yet. `not_due`: it can still be fetched again. `gone`: erased, or to be erased: nobody gets it any more.
 */
export type NoDelivery = "none" | "delivered" | "not_delivered" | "not_due" | "gone";

export type Delivered = { ok: true; sealed: string; next: KeyDelivery } | { ok: false; reason: NoDelivery };
export type Erased = { ok: true; next: KeyDelivery } | { ok: false; reason: NoDelivery };

/** What a new record holds. @param sealed null where the payer sent a public key of his own */
export const newDelivery = (sealed: string | null): KeyDelivery => ({ sealed, firstDeliveredAt: null, erasedAt: null });

/** When the key is to be erased (ms since the epoch); null: it is not to be, for nobody has it yet or none is left. */
export const eraseDueAt = (key: KeyDelivery, windowMs: number): number | null =>
  key.sealed === null || key.firstDeliveredAt === null ? null : key.firstDeliveredAt + windowMs;

/** To whoever polls first. @param now ms since the epoch @param windowMs how long it can be fetched again afterwards */
export function deliver(key: KeyDelivery, now: number, windowMs: number): Delivered {
  if (key.erasedAt !== null) return no("gone");
  if (key.sealed === null) return no("none");
  if (key.firstDeliveredAt === null) {
    return { ok: true, sealed: key.sealed, next: { ...key, firstDeliveredAt: now } };
  }
  return no(isPast(key, now, windowMs) ? "gone" : "delivered");
}

/**
 * To whoever shows the preimage of the invoice that paid (the caller checks it), because an answer can be lost on its way. The window
 * begins with the first delivery and no fetch makes it longer. A key that nobody has yet is delivered by this.
 */
export function fetchAgain(key: KeyDelivery, now: number, windowMs: number): Delivered {
  const first = deliver(key, now, windowMs);
  if (first.ok || first.reason !== "delivered" || key.sealed === null) return first;
  return { ok: true, sealed: key.sealed, next: key };
}

/** The holder has stored the key: it is erased here. A second time changes nothing. A key nobody has is kept: it would be lost. */
export function acknowledge(key: KeyDelivery, now: number): Erased {
  if (key.erasedAt !== null) return { ok: true, next: key };
  if (key.sealed === null) return no("none");
  if (key.firstDeliveredAt === null) return no("not_delivered");
  return { ok: true, next: erased(key, now) };
}

/** Once the window is over. A second time changes nothing. */
export function erase(key: KeyDelivery, now: number, windowMs: number): Erased {
  const delivered = deliver(key, now, windowMs);
  if (delivered.ok) return no("not_delivered");
  if (delivered.reason === "delivered") return no("not_due");
  if (delivered.reason === "none") return no("none");
  return { ok: true, next: key.erasedAt === null ? erased(key, now) : key };
}

const no = (reason: NoDelivery) => ({ ok: false, reason }) as const;
const erased = (key: KeyDelivery, now: number): KeyDelivery => ({ ...key, sealed: null, erasedAt: now });
const isPast = (key: KeyDelivery, now: number, windowMs: number) => now >= (eraseDueAt(key, windowMs) ?? Infinity);
