/**
 * Mistakes put into trust.ts by hand, each seen caught by the tests below: decay applied after the change; decay not applied
 * before a change; `lastSeen` not moved by an event (decay twice); `lastSeen` moved by an event to a clock that was set back;
 * decay from a clock behind `lastSeen` (points appear); the free days not free, or the first point a day early or late;
 * a fraction of a day counted; a free success that pays, or that is not seen; no floor at 0 for a failure, or for decay;
 * extra points without a limit, rounded up, or without the first point; a tier that begins above its threshold.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
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

/** The defaults of economy.md §7. */
const CONFIG: TrustConfig = { established: 10, trusted: 50, elite: 200, decayAfterDays: 30, decayPointsPerDay: 1 };
const NOW = 1_700_000_000_000;
const DAY = 86_400_000;
const FAILURE: TrustEvent = { kind: "failure" };
const paid = (paidSats: number): TrustEvent => ({ kind: "success", paidSats });
const FREE = paid(0);

const trust = (part: Partial<Trust> = {}): Trust => ({ score: 100, lastSeen: NOW, interactions: 7, ...part });
const apply = (before: Trust, event: TrustEvent, now = NOW) => applyTrust(before, event, CONFIG, now);

Deno.test("newTrust: a key starts at nothing, seen now", () => {
  assert.deepEqual(newTrust(NOW), { score: 0, lastSeen: NOW, interactions: 0 });
  assert.equal(tierOf(scoreAt(newTrust(NOW), CONFIG, NOW), CONFIG), "new");
});

Deno.test("applyTrust: a paid success adds one, and one for each full 250 sats up to four", () => {
  const amounts = [1, 249, 250, 499, 500, 999, 1_000, 1_250, 1_000_000];
  assert.deepEqual(amounts.map((sats) => apply(trust(), paid(sats)).score - 100), [1, 1, 2, 2, 3, 4, 5, 5, 5]);
});

Deno.test("applyTrust: a success that cost nothing raises nothing, but is counted and ends an absence", () => {
  const back = apply(trust(), FREE, NOW + 40 * DAY);
  assert.deepEqual(back, { score: 90, lastSeen: NOW + 40 * DAY, interactions: 8 });
  assert.equal(scoreAt(back, CONFIG, NOW + 70 * DAY), 90);
});

Deno.test("applyTrust: a failure takes two, and never more than there is", () => {
  assert.deepEqual([100, 3, 2, 1, 0].map((score) => apply(trust({ score }), FAILURE).score), [98, 1, 0, 0, 0]);
});

Deno.test("applyTrust: a failure is counted and seen", () => {
  assert.deepEqual(apply(trust(), FAILURE, NOW + DAY), { score: 98, lastSeen: NOW + DAY, interactions: 8 });
});

Deno.test("applyTrust: an amount that is no whole number of sats is a mistake of the program", () => {
  for (const sats of [-1, 0.5, NaN, Infinity]) assert.throws(() => apply(trust(), paid(sats)), RangeError);
});

Deno.test("scoreAt: thirty days away are free, then every full day costs a point, down to nothing", () => {
  const at = (ms: number) => scoreAt(trust({ score: 3 }), CONFIG, NOW + ms);
  assert.deepEqual(
    [0, 30 * DAY, 31 * DAY - 1, 31 * DAY, 32 * DAY - 1, 32 * DAY, 33 * DAY, 34 * DAY, 9_999 * DAY].map(at),
    [3, 3, 3, 2, 2, 1, 0, 0, 0],
  );
});

Deno.test("scoreAt: the free days and the points a day are settings", () => {
  const config = { ...CONFIG, decayAfterDays: 0, decayPointsPerDay: 7 };
  assert.deepEqual([0, 1, 2].map((days) => scoreAt(trust(), config, NOW + days * DAY)), [100, 93, 86]);
  assert.equal(scoreAt(trust(), { ...CONFIG, decayPointsPerDay: 0 }, NOW + 9_999 * DAY), 100);
});

Deno.test("applyTrust: decay comes before the change, so nobody is at the old height after one job", () => {
  assert.equal(apply(trust({ score: 5 }), paid(1_000), NOW + 365 * DAY).score, 5);
  assert.equal(apply(trust({ score: 1 }), paid(1), NOW + 365 * DAY).score, 1);
  assert.equal(apply(trust({ score: 3 }), FAILURE, NOW + 31 * DAY).score, 0);
});

Deno.test("applyTrust: decay that was taken is not taken again", () => {
  const back = apply(trust(), FREE, NOW + 60 * DAY);
  assert.equal(back.score, 70);
  assert.equal(apply(back, FREE, NOW + 61 * DAY).score, 70);
  assert.equal(scoreAt(back, CONFIG, NOW + 91 * DAY), 69);
});

Deno.test("applyTrust: a clock that was set back changes nothing by itself, then or when it is right again", () => {
  assert.equal(scoreAt(trust(), CONFIG, NOW - 400 * DAY), 100);
  assert.deepEqual(apply(trust(), FREE, NOW - 400 * DAY), trust({ interactions: 8 }));
  assert.equal(scoreAt(apply(trust(), FREE, NOW - 400 * DAY), CONFIG, NOW + DAY), 100);
});

Deno.test("tierOf: a tier begins exactly at its threshold", () => {
  const tiers: Record<number, Tier> = {
    0: "new",
    9: "new",
    10: "established",
    49: "established",
    50: "trusted",
    199: "trusted",
    200: "elite",
    1_000_000: "elite",
  };
  for (const [score, tier] of Object.entries(tiers)) assert.equal(tierOf(Number(score), CONFIG), tier, score);
});

const anyConfig = fc.tuple(
  fc.uniqueArray(fc.integer({ min: 1, max: 300 }), { minLength: 3, maxLength: 3 }),
  fc.integer({ min: 0, max: 60 }),
  fc.integer({ min: 0, max: 5 }),
).map(([thresholds, decayAfterDays, decayPointsPerDay]): TrustConfig => {
  const [established, trusted, elite] = thresholds.sort((a, b) => a - b) as [number, number, number];
  return { established, trusted, elite, decayAfterDays, decayPointsPerDay };
});
const anyTrust = fc.record({
  score: fc.integer({ min: 0, max: 400 }),
  lastSeen: fc.integer({ min: 0, max: 2 * NOW }),
  interactions: fc.integer({ min: 0, max: 1_000 }),
}).map((record) => Object.freeze(record));
const anyEvent = fc.oneof(
  fc.constant(FAILURE),
  fc.constant(FREE),
  fc.integer({ min: 1, max: 3_000 }).map(paid),
);
/** Mostly forward, sometimes back, and often onto the edge of a day. */
const anyStep = fc.oneof(
  fc.integer({ min: 0, max: 100 }).map((days) => days * DAY),
  fc.integer({ min: -DAY, max: 100 * DAY }),
  fc.integer({ min: -400 * DAY, max: 0 }),
);
const RANKS: Tier[] = ["new", "established", "trusted", "elite"];

Deno.test("trust: a score is a whole number, never negative, and rises by a paid success only, by 1 to 5", () => {
  fc.assert(fc.property(anyTrust, anyConfig, anyEvent, anyStep, (before, config, event, step) => {
    const now = before.lastSeen + step;
    const decayed = scoreAt(before, config, now);
    const after = applyTrust(before, event, config, now);
    assert.ok(Number.isInteger(after.score) && after.score >= 0);
    const rise = after.score - decayed;
    if (event.kind === "success" && event.paidSats > 0) assert.ok(rise >= 1 && rise <= 5);
    else assert.ok(rise <= 0);
    assert.equal(after.interactions, before.interactions + 1);
  }));
});

Deno.test("trust: decay never turns back, and a tier never falls while the score rises", () => {
  const anyScore = fc.integer({ min: 0, max: 400 });
  fc.assert(
    fc.property(anyTrust, anyConfig, anyStep, anyStep, anyScore, anyScore, (before, config, a, b, low, high) => {
      const [earlier, later] = [Math.min(a, b), Math.max(a, b)].map((step) =>
        scoreAt(before, config, before.lastSeen + step)
      ) as [number, number];
      assert.ok(later <= earlier && earlier <= before.score);
      const [lower, higher] = [low, high].sort((x, y) => x - y).map((score) =>
        RANKS.indexOf(tierOf(score, config))
      ) as [
        number,
        number,
      ];
      assert.ok(lower <= higher);
    }),
  );
});

/** The rule told day by day, as economy.md tells it: no formula, nothing shared with the code. */
function story(start: number, config: TrustConfig, history: { event: TrustEvent; at: number }[], from: number): number {
  let [score, seen] = [start, from];
  for (const { event, at } of history) {
    let away = 0;
    for (let day = seen + DAY; day <= at; day += DAY) {
      away++;
      if (away > config.decayAfterDays) score = Math.max(0, score - config.decayPointsPerDay);
    }
    if (event.kind === "failure") score = Math.max(0, score - 2);
    else if (event.paidSats > 0) score += [1, 2, 3, 4, 5][Math.min(4, Math.trunc(event.paidSats / 250))] ?? NaN;
    seen = Math.max(seen, at);
  }
  return score;
}

Deno.test("trust: any history gives what the rule gives when it is played day by day, however often it is read", () => {
  const anyHistory = fc.array(fc.tuple(anyEvent, anyStep, fc.array(anyStep, { maxLength: 3 })), { maxLength: 8 });
  fc.assert(fc.property(anyTrust, anyConfig, anyHistory, (first, config, history) => {
    let [record, now] = [first, first.lastSeen];
    const moments: { event: TrustEvent; at: number }[] = [];
    for (const [event, step, reads] of history) {
      for (const read of reads) scoreAt(record, config, now + read);
      now += step;
      moments.push({ event, at: now });
      record = Object.freeze(applyTrust(record, event, config, now));
    }
    assert.equal(record.score, story(first.score, config, moments, first.lastSeen));
    assert.equal(record.lastSeen, Math.max(first.lastSeen, ...moments.map(({ at }) => at)));
  }));
});

Deno.test("trust: the score follows from score, last seen, now and event alone", () => {
  fc.assert(
    fc.property(anyTrust, anyConfig, anyEvent, anyStep, fc.nat(), (before, config, event, step, interactions) => {
      const now = before.lastSeen + step;
      const one = applyTrust(before, event, config, now);
      const other = applyTrust({ ...before, interactions }, event, config, now);
      assert.deepEqual([one.score, one.lastSeen], [other.score, other.lastSeen]);
      // The same distance at another date is the same score.
      const moved = applyTrust({ ...before, lastSeen: before.lastSeen + DAY / 3 }, event, config, now + DAY / 3);
      assert.equal(moved.score, one.score);
    }),
  );
});

Deno.test("trust: whoever was away past the free days is below the old height when they come back", () => {
  const anyAbsence = fc.integer({ min: 1, max: 1_000 });
  fc.assert(fc.property(anyTrust, anyConfig, anyAbsence, (before, config, days) => {
    fc.pre(before.score > 0 && config.decayPointsPerDay > 0);
    const now = before.lastSeen + (config.decayAfterDays + days) * DAY;
    assert.ok(applyTrust(before, FREE, config, now).score < before.score);
    assert.equal(applyTrust(before, paid(1), config, now).score, scoreAt(before, config, now) + 1);
  }));
});
