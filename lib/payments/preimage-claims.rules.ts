/** What the preimage of a payment takes, when whoever shows it has nothing else (docs/spec/wire.md). Pure. */
import type { Refund } from "./refunds.machine.ts";

/**
 * How long a preimage alone takes nothing (ms). Every node on the way of a payment knows its preimage, and some wallets show it to
 * whoever knows the hash: the payer has this long to come with what only he has.
 */
export const PREIMAGE_WAIT_MS = 72 * 3_600_000;

/**
 * @param now ms since the epoch
 * @returns `other_way`: a key, an address or a macaroon is known, so that one is the way; `too_early`: not before `from`.
 */
export function claimByPreimage(
  { source, owner, address, createdAt }: Pick<Refund, "source" | "owner" | "address" | "createdAt">,
  now: number,
): { outcome: "may" } | { outcome: "other_way"; way: "key" | "address" | "macaroon" } | {
  outcome: "too_early";
  from: number;
} {
  if (source.kind === "session") return { outcome: "other_way", way: "macaroon" };
  if (owner !== null) return { outcome: "other_way", way: "key" };
  if (address !== null) return { outcome: "other_way", way: "address" };
  const from = createdAt + PREIMAGE_WAIT_MS;
  return now < from ? { outcome: "too_early", from } : { outcome: "may" };
}
