import type { Key, Reader, Tx } from "@/lib/store/store.ts";
import {
  applyTrust,
  newTrust,
  scoreAt,
  type Tier,
  tierOf,
  type Trust,
  type TrustConfig,
  type TrustEvent,
} from "./trust.rules.ts";

type TrustRow = Trust & { v: 1 };

export const trustKey = (pubkey: string): Key => ["trust", pubkey];

/** What is known of a key; null for one that was never served. */
export const getTrust = (reader: Reader, pubkey: string): Promise<Trust | null> =>
  reader.get<TrustRow>(trustKey(pubkey));

/** The tier now, decay included; reads only. @param pubkey null: nobody in particular */
export async function tierNow(
  reader: Reader,
  pubkey: string | null,
  config: TrustConfig,
  now: number,
): Promise<Tier> {
  if (pubkey === null) return "anonymous";
  const trust = await getTrust(reader, pubkey);
  return tierOf(trust ? scoreAt(trust, config, now) : 0, config);
}

/** Writes what an ended request means to the key that made it; part of the transaction that ends it. */
export async function recordTrust(
  tx: Tx,
  pubkey: string | null,
  event: TrustEvent | null,
  config: TrustConfig,
  now: number,
): Promise<void> {
  if (pubkey === null || event === null) return;
  const trust = await getTrust(tx, pubkey) ?? newTrust(now);
  tx.set<TrustRow>(trustKey(pubkey), { ...applyTrust(trust, event, config, now), v: 1 });
}
