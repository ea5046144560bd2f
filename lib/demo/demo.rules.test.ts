import assert from "node:assert/strict";
import fc from "fast-check";
import { countDemo, DEMO_PER_HOUR, HOUR_MS } from "./demo.rules.ts";

const DAY_MS = 24 * HOUR_MS;

Deno.test("countDemo: whenever it is asked, no hour has more than five answers and no day more than its limit", () => {
  const asks = fc.array(fc.integer({ min: 0, max: 30 * 60_000 }), { maxLength: 120 });
  fc.assert(fc.property(asks, fc.integer({ min: 0, max: 40 }), (gaps, dailyLimit) => {
    let now = 0;
    let times: readonly number[] = [];
    const perDay = new Map<number, number>();
    const served: number[] = [];
    for (const gap of gaps) {
      now += gap;
      const day = Math.floor(now / DAY_MS);
      const usedToday = perDay.get(day) ?? 0;
      const counted = countDemo({ times, usedToday }, { dailyLimit, dayEndsAt: (day + 1) * DAY_MS, now });
      if (counted.outcome === "counted") {
        times = counted.use.times;
        perDay.set(day, counted.use.usedToday);
        served.push(now);
        assert.equal(counted.remainingToday, dailyLimit - counted.use.usedToday);
        assert.equal(counted.remainingThisHour, DEMO_PER_HOUR - served.filter((at) => at > now - HOUR_MS).length);
      } else {
        assert.ok(counted.waitMs > 0);
        // It is refused for a reason, and what it says to wait is right to the millisecond.
        const inHour = (at: number) => served.filter((one) => one > at - HOUR_MS && one <= at).length;
        if (counted.outcome === "hour") {
          assert.equal(inHour(now), DEMO_PER_HOUR);
          assert.equal(inHour(now + counted.waitMs - 1), DEMO_PER_HOUR);
          assert.ok(inHour(now + counted.waitMs) < DEMO_PER_HOUR);
        } else {
          assert.equal(usedToday, dailyLimit);
          assert.equal(now + counted.waitMs, (day + 1) * DAY_MS);
        }
      }
    }
    for (const used of perDay.values()) assert.ok(used <= dailyLimit);
    for (const at of served) {
      assert.ok(served.filter((one) => one > at - HOUR_MS && one <= at).length <= DEMO_PER_HOUR);
    }
  }));
});

Deno.test("countDemo: a clock that is set back frees nobody, and a limit that was lowered leaves none", () => {
  const times = [0, 1, 2, 3, 4].map((i) => 10 * HOUR_MS + i);
  const at = { dailyLimit: 50, dayEndsAt: DAY_MS };
  assert.equal(countDemo({ times, usedToday: 5 }, { ...at, now: 9 * HOUR_MS }).outcome, "hour");
  assert.deepEqual(countDemo({ times: [], usedToday: 7 }, { dailyLimit: 3, dayEndsAt: DAY_MS, now: HOUR_MS }), {
    outcome: "day",
    waitMs: 23 * HOUR_MS,
  });
});
