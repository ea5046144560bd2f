import type { Clock } from "@/lib/clock.ts";

/** Payouts that this process has looked at and whose outcome is not known: for those who watch the instance. */
export interface UnderWay {
  /** @param claimedAt ms since the epoch */
  seen(refundId: string, claimedAt: number): void;
  ended(refundId: string): void;
  /** How many there are, and how long ago the oldest was claimed (ms). */
  status(): { underWay: number; oldestMs: number };
}

/** A payout is looked at every minute; one that nobody here has looked at for so long was ended by another process (ms). */
const FORGOTTEN_MS = 600_000;

export function createUnderWay(clock: Clock): UnderWay {
  /** By refund: when it was claimed (ms since the epoch), and when it was last looked at (monotonic). */
  const payouts = new Map<string, { claimedAt: number; seenAt: number }>();
  return {
    seen: (refundId, claimedAt) => void payouts.set(refundId, { claimedAt, seenAt: clock.monotonic() }),
    ended: (refundId) => void payouts.delete(refundId),
    status() {
      const since = clock.monotonic() - FORGOTTEN_MS;
      for (const [id, { seenAt }] of payouts) if (seenAt < since) payouts.delete(id);
      const claims = [...payouts.values()].map(({ claimedAt }) => claimedAt);
      const oldestMs = claims.length === 0 ? 0 : Math.max(0, clock.now() - claims.reduce((a, b) => Math.min(a, b)));
      return { underWay: claims.length, oldestMs };
    },
  };
}
