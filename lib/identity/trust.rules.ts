/**
 * How far a public key is trusted (economy.md §7). Pure: a function of score, last seen, now and what happened. The record
 * changes with an interaction only; decay is never stored by itself, so it cannot be taken twice.
 */
import { assertSats } from "@/lib/sats.rules.ts";

/** `anonymous` is who shows no key at all: no score stands for it. */
export type Tier = "anonymous" | "new" | "established" | "trusted" | "elite";

/** Whole numbers. The scores at which a tier begins rise in this order. */
export interface TrustConfig {
  established: number;
  trusted: number;
  elite: number;
  /** Days without an interaction that cost nothing. */
  decayAfterDays: number;
  /** Points each full day after those costs. */
  decayPointsPerDay: number;
}

export interface Trust {
  /** Points at `lastSeen`, decay until then taken off; a whole number, never negative. */
  score: number;
  /** The last interaction (ms since the epoch). Decay counts from here. */
  lastSeen: number;
  /** Every success and failure so far, free ones too. */
  interactions: number;
}

/** `paidSats` is the net charge of the work: 0 when the pool paid for all of it. A failure is one the request caused. */
export type TrustEvent = { kind: "success"; paidSats: number } | { kind: "failure" };

const DAY_MS = 86_400_000;
/** A paid success adds one, and one more for each full {@link SATS_PER_POINT} paid, up to {@link MAX_EXTRA_POINTS}. */
const SATS_PER_POINT = 250;
const MAX_EXTRA_POINTS = 4;
const FAILURE_POINTS = 2;

/** A key's first record. @param now ms since the epoch. */
export const newTrust = (now: number): Trust => ({ score: 0, lastSeen: now, interactions: 0 });

/**
 * The score at `now` (ms), decay taken off. Reads only. The first points go when a full day has passed after the
 * `decayAfterDays` that are free. A clock behind `lastSeen` decays nothing.
 */
export function scoreAt(trust: Trust, config: TrustConfig, now: number): number {
  const fullDays = Math.floor((now - trust.lastSeen) / DAY_MS);
  const decayDays = Math.max(0, fullDays - config.decayAfterDays);
  return Math.max(0, trust.score - decayDays * config.decayPointsPerDay);
}

/** The tier of a score that has its decay taken off ({@link scoreAt}). */
export function tierOf(score: number, config: TrustConfig): Exclude<Tier, "anonymous"> {
  if (score >= config.elite) return "elite";
  if (score >= config.trusted) return "trusted";
  if (score >= config.established) return "established";
  return "new";
}

/**
 * The record after an interaction at `now` (ms): decay first, then the change. Only a paid success raises the score; one
 * that cost nothing is counted and seen, so it also ends an absence.
 * `lastSeen` never goes back: a clock that was set back for a while would otherwise lengthen an absence.
 * @throws {RangeError} when `paidSats` is not a whole number of satoshis.
 */
export function applyTrust(trust: Trust, event: TrustEvent, config: TrustConfig, now: number): Trust {
  return {
    score: Math.max(0, scoreAt(trust, config, now) + pointsOf(event)),
    lastSeen: Math.max(trust.lastSeen, now),
    interactions: trust.interactions + 1,
  };
}

function pointsOf(event: TrustEvent): number {
  if (event.kind === "failure") return -FAILURE_POINTS;
  assertSats(event.paidSats, "paidSats");
  if (event.paidSats === 0) return 0;
  return 1 + Math.min(MAX_EXTRA_POINTS, Math.floor(event.paidSats / SATS_PER_POINT));
}
