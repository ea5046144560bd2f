/** Top-ups of a session that wait to be paid: who has which, and how many may wait (economy.md §6). Pure. */
import type { InvoiceSummary } from "@/lib/payments/invoices.rows.ts";

/** A token that was minted for a session. */
export interface TokenRef {
  /** sha256 of the macaroon's identifier, hex: the name its root key is stored under. */
  tokenHash: string;
  /** The identifier's own 32 bytes, hex. */
  tokenId: string;
}

/** Who asks for a top-up: any token that owns the session, whoever has no more than its id, or else one token by its name. */
export type TopupAsker = string;
export const OWNER: TopupAsker = "owner";
export const STRANGER: TopupAsker = "id";

/** A top-up that was offered and not yet paid. */
export interface Topup {
  invoice: InvoiceSummary;
  /** What its challenge hands out (lib/sessions/topups.ts). */
  token: TokenRef;
  by: TopupAsker;
  /** Whether `POST …/topup` asked for it; else a 402 offered it. */
  asked: boolean;
  /** Name of the allowance that its payment raises, for a token that is worth what an earlier top-up paid; null: none. */
  raises: string | null;
}

/** Most top-ups of one session that wait to be paid: 12 of others and, whatever those do, 4 of its owner. */
const MAX_OF_OTHERS = 12;
/** Of these each asker may have one by `POST …/topup`, and so many by 402s, each larger than those before. */
const MAX_OFFERS = 3;

/** A session, as far as its top-ups go. */
interface HasTopups {
  readonly topups: readonly Topup[];
}

/** The top-up of this invoice that waits to be paid, whoever asked for it. */
export const pendingTopup = ({ topups }: HasTopups, paymentHash: string): Topup | null =>
  topups.find(({ invoice }) => invoice.paymentHash === paymentHash) ?? null;

/** The owner's top-up that a session shows: the one asked for, or else the newest that a 402 offered. */
export function shownTopup({ topups }: HasTopups): Topup | null {
  const own = topups.filter(({ by }) => by === OWNER);
  return own.find(({ asked }) => asked) ?? own.at(-1) ?? null;
}

/** What is wanted of a top-up: by whom, whether by `POST …/topup` (`asked`) or for a 402, and for how much (sats). */
export interface TopupWish {
  by: TopupAsker;
  asked: boolean;
  sats: number;
}

/** Which top-up waits already for this wish: asked for, the one that was asked for before; for a 402, any that is enough. */
export const waitingTopup = ({ topups }: HasTopups, { by, asked, sats }: TopupWish, now: number): Topup | null =>
  topups.find((topup) =>
    topup.by === by && topup.invoice.expiresAt > now && (asked ? topup.asked : topup.invoice.amountSats >= sats)
  ) ?? null;

/** A top-up that a 402 offered is asked for in so many words: it is that one from now on, and no second invoice. */
export function takeOffer(
  { topups }: HasTopups,
  { by, sats }: TopupWish,
  now: number,
): { topups: readonly Topup[]; topup: Topup } | null {
  const offer = topups.find((topup) =>
    topup.by === by && !topup.asked && topup.invoice.amountSats === sats && topup.invoice.expiresAt > now
  );
  if (!offer) return null;
  const topup = { ...offer, asked: true };
  return { topups: topups.map((one) => one === offer ? topup : one), topup };
}

/** When another of these may be offered at the latest (ms since the epoch), or null: there is room for it. */
export function topupsFullUntil({ topups }: HasTopups, { by, asked }: Pick<TopupWish, "by" | "asked">): number | null {
  const offers = asked ? [] : topups.filter((topup) => topup.by === by && !topup.asked);
  const others = by === OWNER ? [] : topups.filter((topup) => topup.by !== OWNER);
  const inTheWay = offers.length >= MAX_OFFERS ? offers : others.length >= MAX_OF_OTHERS ? others : [];
  return inTheWay.length === 0 ? null : Math.min(...inTheWay.map(({ invoice }) => invoice.expiresAt));
}
