// deno-lint-ignore-file no-console -- a command prints
/**
 * What many keys cost and what they can get (docs/free-tier.md): the sats a new key must spend before the pool serves it, and
 * the most it can take back. Computed from the rules themselves, for the settings in the environment.
 *
 *   deno task sybil
 */
import { type Env, parseEnv } from "../env.ts";
import type { Settings } from "@/lib/services.ts";
import { dailyBudget, poolCredit } from "@/lib/free-tier/free-tier.rules.ts";
import { price } from "@/lib/metering/pricing.rules.ts";
import { applyTrust, newTrust, type Tier, tierOf } from "@/lib/identity/trust.rules.ts";

type KnownTier = Exclude<Tier, "anonymous">;
const TIERS: readonly KnownTier[] = ["new", "established", "trusted", "elite"];

/** What the settings must have for this; amounts in sats. */
export type SybilSettings = Pick<Settings, "price" | "freeTier" | "evalFeeSats" | "poolSeedSats"> & { btcUsd: number };

/** What one tier costs a key that is new, and what it gives. Sats. */
export interface TierCost {
  tier: KnownTier;
  /** Points at which it begins. */
  score: number;
  /** The least a key spends to get there in a session, and by jobs, whose evaluation fee earns no trust. */
  bySessions: number;
  byJobs: number;
  /** The least of its own money when the pool helps on the way, and how many days that takes. */
  patient: { sats: number; days: number };
  /** What the cheaper of both ways gave to the pool. */
  credit: number;
  /** The most it can take from the pool in a day. */
  dailySats: number;
  /** Days until it has taken what it spent, while the pool lasts; null: never. */
  daysUntilBack: number | null;
  /** The most a fresh pool that nobody else feeds could give it. */
  alone: number;
  /** Paid work of others a day whose share for the pool pays for it; null: no share is enough. */
  othersPay: number | null;
  /** How many such keys the seed can pay back; null: any number, since they bring what they take. */
  seedPaysBack: number | null;
}

export interface SybilCost {
  btcUsd: number;
  /** No answered request is charged less, whatever it asks. */
  leastCharge: number;
  tiers: TierCost[];
}

/** One charge and the trust it earns. */
interface Offer {
  points: number;
  sats: number;
}

/** Charges above this are not looked at: a point costs more there than in several small ones. */
const SCAN_SATS = 10_000;

/** The BTC price is the fallback. */
export function sybilCost(env: Pick<Env, "settings" | "btc">): SybilCost {
  const settings: SybilSettings = { ...env.settings, btcUsd: env.btc.fallbackUsd };
  const { price: config, freeTier, evalFeeSats, poolSeedSats, btcUsd } = settings;
  const rates = { inputUsdPer1k: 0, outputUsdPer1k: 0 };
  const leastCharge = price({ inputTokens: 0, outputTokens: 0, rates, config, btcUsd }).sats;
  const offers = cheapestOffers(leastCharge, settings);
  const thresholds = TIERS.map((tier) => ({ tier, score: firstScore(tier, settings) }));
  const top = Math.max(...thresholds.map(({ score }) => score));
  const bySessions = leastFor(top, offers, 0);
  const byJobs = leastFor(top, offers, evalFeeSats);
  const patient = patientFor(top, leastCharge, settings);
  const pct = freeTier.config.poolCreditPct;

  const tiers = thresholds.map(({ tier, score }): TierCost => {
    const spent = at(bySessions, score); // never more than by jobs
    const credit = poolCredit(spent, pct, 0).sats;
    const dailySats = dailyBudget(tier, freeTier.config);
    return {
      tier,
      score,
      bySessions: spent,
      byJobs: at(byJobs, score),
      patient: at(patient, score),
      credit,
      dailySats,
      daysUntilBack: dailySats > 0 ? Math.ceil(spent / dailySats) : null,
      alone: dailySats > 0 ? poolSeedSats + credit : 0,
      othersPay: pct > 0 ? Math.ceil(dailySats * 100 / pct) : null,
      seedPaysBack: spent > credit ? Math.floor(poolSeedSats / (spent - credit)) : null,
    };
  });
  return { btcUsd, leastCharge, tiers };
}

/** For each number of points one charge can earn, the least of at least `from` sats that earns it. */
function cheapestOffers(from: number, { freeTier }: SybilSettings): Offer[] {
  const offers: Offer[] = [];
  let best = 0;
  for (let sats = from; sats <= from + SCAN_SATS; sats++) {
    const points = applyTrust(newTrust(0), { kind: "success", paidSats: sats }, freeTier.trust, 0).score;
    if (points > best) offers.push({ points, sats });
    best = Math.max(best, points);
  }
  return offers;
}

function firstScore(tier: KnownTier, { freeTier }: SybilSettings): number {
  let score = 0;
  while (tierOf(score, freeTier.trust) !== tier) score++;
  return score;
}

/** The least that every score up to `top` costs, by any mixture of charges. @param feeSats paid beside each charge */
function leastFor(top: number, offers: readonly Offer[], feeSats: number): number[] {
  const least = [0];
  for (let score = 1; score <= top; score++) {
    least.push(Math.min(...offers.map(({ points, sats }) => at(least, Math.max(0, score - points)) + sats + feeSats)));
  }
  return least;
}

/**
 * The least of one's own money for every score: from the first budget on, one request a day that costs the whole budget and,
 * beside it, the least that still earns points. Only what a payer pays earns any, but a single satoshi does.
 */
function patientFor(top: number, leastCharge: number, settings: SybilSettings): { sats: number; days: number }[] {
  const { trust, config } = settings.freeTier;
  const way = Array.from({ length: top + 1 }, () => ({ sats: Infinity, days: 0 }));
  way[0] = { sats: 0, days: 0 };
  const helped = new Map<number, Offer[]>();
  for (let score = 0; score < top; score++) {
    const before = at(way, score);
    const budget = dailyBudget(tierOf(score, trust), config);
    const offers = helped.get(budget) ?? cheapestOffers(Math.max(1, leastCharge - budget), settings);
    helped.set(budget, offers);
    for (const { points, sats } of offers) {
      const next = { sats: before.sats + sats, days: before.days + (budget > 0 ? 1 : 0) };
      for (let reached = score + 1; reached <= Math.min(top, score + points); reached++) {
        const { sats: known, days } = at(way, reached);
        if (next.sats < known || (next.sats === known && next.days < days)) way[reached] = next;
      }
    }
  }
  return way;
}

function at<T>(list: readonly T[], index: number): T {
  const value = list[index];
  if (value === undefined) throw new RangeError(`there is no score ${index}`);
  return value;
}

const shown = (n: number): string => String(n).replace(/\B(?=(\d{3})+$)/g, ",");

/** The figures as Markdown: what stands in docs/free-tier.md. */
export function sybilMarkdown({ btcUsd, leastCharge, tiers }: SybilCost, seedSats: number): string {
  const table = (head: string[], rows: string[][]) =>
    [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
  const patient = ({ sats, days }: TierCost["patient"]) => days === 0 ? shown(sats) : `${shown(sats)} in ${days} days`;
  const costs = table(
    ["tier", "points", "least spent, in sessions", "least spent, by jobs", "least of its own, with the pool's help"],
    tiers.map((row) => [row.tier, shown(row.score), shown(row.bySessions), shown(row.byJobs), patient(row.patient)]),
  );
  const gains = table(
    [
      "tier",
      "takes at most a day",
      "days until it has back what it spent",
      "the same, from a fresh pool it feeds alone",
      "others' paid work a day that pays for it",
      `keys the seed of ${shown(seedSats)} pays back`,
    ],
    tiers.map((row) => {
      const { daysUntilBack: days, alone, bySessions, othersPay, seedPaysBack } = row;
      return row.dailySats === 0 ? [row.tier, "0", "never", "never", "–", "–"] : [
        row.tier,
        shown(row.dailySats),
        days === null ? "never" : shown(days),
        alone < bySessions || days === null ? `never: it holds ${shown(alone)} of ${shown(bySessions)}` : shown(days),
        othersPay === null ? "none is enough" : shown(othersPay),
        seedPaysBack === null ? "any" : shown(seedPaysBack),
      ];
    }),
  );
  return `No answered request costs less than ${shown(leastCharge)} sats (at ${shown(btcUsd)} USD for a bitcoin).\n\n` +
    `${costs}\n\n${gains}\n`;
}

if (import.meta.main) {
  const env = parseEnv(Deno.env.toObject());
  console.log(sybilMarkdown(sybilCost(env), env.settings.poolSeedSats));
}
