import { trustKey } from "@/lib/identity/trust.rows.ts";
import type { World } from "./world.ts";

/** A signed-in key. */
export interface TestKey {
  pubkey: string;
  /** The header that names it. */
  auth: { "x-nostr-token": string };
}

/** A key with this trust score, signed in: as if it had paid for work before. @param n which of the world's keys */
export async function keyWith(world: World, score: number, n = 1): Promise<TestKey> {
  const pubkey = n.toString(16).padStart(64, "0");
  const now = world.clock.now();
  await world.store.transact((tx) => tx.set(trustKey(pubkey), { v: 1, score, lastSeen: now, interactions: 1 }));
  return { pubkey, auth: { "x-nostr-token": world.deps.identityTokens.issue(pubkey, now).token } };
}

/** Scores at which the tiers of the test settings begin. */
export const SCORE = { established: 10, trusted: 50, elite: 200 } as const;
