import assert from "node:assert/strict";
import fc from "fast-check";
import type { Clock } from "@/lib/clock.ts";
import { createFakeWorld } from "@/tests/harness/fake-world.ts";
import { createRateLimiter } from "./rate-limit.ts";

/** A clock whose monotonic time the test sets; its wall clock, which no limit may follow, runs wild. */
function clockAt(start: number): Clock & { ms: number } {
  let wall = 0;
  return {
    ms: start,
    now: () => wall += 31 * 86_400_000 * (wall > 0 ? -1 : 2),
    monotonic() {
      return this.ms;
    },
    after: () => () => {},
  };
}

Deno.test("createRateLimiter: allows the limit and no more, and says when the next one will be", () => {
  const clock = clockAt(1_000_000);
  const limiter = createRateLimiter({ perMinute: 3, clock });
  assert.deepEqual([1, 2, 3].map(() => limiter.take("a")), [null, null, null]);
  const wait = limiter.take("a");
  assert.ok(wait !== null && wait > 55_000 && wait <= 65_000, String(wait));
  clock.ms += wait - 1;
  assert.equal(limiter.take("a"), 1);
  clock.ms += 1;
  assert.equal(limiter.take("a"), null);
});

Deno.test("createRateLimiter: keys do not share", () => {
  const limiter = createRateLimiter({ perMinute: 1, clock: clockAt(0) });
  assert.equal(limiter.take("a"), null);
  assert.equal(limiter.take("b"), null);
  assert.notEqual(limiter.take("a"), null);
});

Deno.test("createRateLimiter: in any 60 seconds never more than the limit; whoever waits as told is let in", () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 8 }),
    fc.integer({ min: 0, max: 2 ** 41 }),
    fc.array(fc.integer({ min: 0, max: 30_000 }), { minLength: 1, maxLength: 120 }),
    (perMinute, start, steps) => {
      const clock = clockAt(start);
      const limiter = createRateLimiter({ perMinute, clock });
      const allowed: number[] = [];
      for (const step of steps) {
        clock.ms += step;
        const wait = limiter.take("a");
        if (wait === null) allowed.push(clock.ms);
        else {
          assert.ok(wait > 0 && wait <= 65_000);
          const later = clockAt(clock.ms + wait);
          clock.ms = later.ms;
          assert.equal(limiter.take("a"), null);
          allowed.push(clock.ms);
        }
      }
      allowed.forEach((at, i) => {
        const inWindow = allowed.slice(i).filter((other) => other < at + 60_000).length;
        assert.ok(inWindow <= perMinute, `${inWindow} in the minute from ${at}`);
      });
    },
  ));
});

Deno.test("createRateLimiter: memory is bounded, and the one that was quiet longest is forgotten", () => {
  const limiter = createRateLimiter({ perMinute: 1, clock: clockAt(0), maxKeys: 3 });
  for (const key of ["a", "b", "c"]) limiter.take(key);
  assert.notEqual(limiter.take("a"), null); // refused, and by that the most recent
  limiter.take("d"); // "b" makes room
  assert.equal(limiter.size, 3);
  assert.notEqual(limiter.take("a"), null);
  assert.equal(limiter.take("b"), null);
  for (let i = 0; i < 10_000; i++) limiter.take(`x${i}`);
  assert.equal(limiter.size, 3);
});

Deno.test("createRateLimiter: refuses a limit that is not a positive whole number", () => {
  for (const perMinute of [0, -1, 1.5, NaN, Infinity]) {
    assert.throws(() => createRateLimiter({ perMinute, clock: clockAt(0) }));
  }
});

const MONTH_MS = 31 * 86_400_000;
for (const [direction, jumps] of [["ahead", [1, 1]], ["back", [-1, -1]], ["ahead and back", [1, -2]]] as const) {
  Deno.test(`limits: a wall clock that leaps 31 days ${direction} lets nobody in early and locks nobody out`, async () => {
    const { call, clock, discard } = await createFakeWorld(9, { rateLimitPerMinute: 3, challengesPerMinute: 2 });
    const ask = () => call("POST", "/api/estimate", { request: "hello" });
    const challenge = () => call("POST", "/api/sessions", { amount_sats: 500 });
    const statuses = async (limited: typeof ask, times: number) => {
      const found: number[] = [];
      for (let i = 0; i < times; i++) found.push((await limited()).status);
      return found;
    };
    const leap = (months: number) => clock.jump(months * MONTH_MS);
    try {
      leap(jumps[0]);
      const first = await statuses(ask, 4);
      assert.equal(first.at(-1), 429, `${first}: the limit is reached`);
      leap(jumps[1]);
      const refused = await ask();
      assert.equal(refused.status, 429, "a leap does not let in");
      const waitS = Number(refused.headers.get("retry-after"));
      assert.ok(waitS > 0 && waitS <= 66, `a wait of ${waitS} s`);
      await clock.advance(waitS * 1_000);
      assert.notEqual((await ask()).status, 429, "nor does it lock out: whoever waits as told is let in");
      await clock.advance(120_000);
      const challenged = await statuses(challenge, 3);
      assert.equal(challenged.at(-1), 429, `${challenged}: the limit of challenges is reached`);
      leap(jumps[0]);
      assert.equal((await challenge()).status, 429);
      await clock.advance(66_000);
      assert.notEqual((await challenge()).status, 429);
    } finally {
      discard();
    }
  });
}
