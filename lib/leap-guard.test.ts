import assert from "node:assert/strict";
import { createLeapingClock } from "@/tests/harness/fake-world.ts";
import { collectingLogger } from "./logger.ts";
import { createLeapGuard } from "./leap-guard.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** A guard of a process that has run for two hours. */
function guarded() {
  const clock = createLeapingClock();
  const log = collectingLogger();
  const guard = createLeapGuard({ clock, log });
  clock.leap(2 * HOUR);
  return { clock, guard, said: () => log.lines.filter(({ fields }) => fields.code === "clock_jumped").length };
}

Deno.test("createLeapGuard: time that passed is believed, however much of it", () => {
  const { clock, guard, said } = guarded();
  for (const ms of [0, DAY, 31 * DAY, 400 * DAY]) {
    clock.leap(ms);
    assert.equal(guard.waitMs(), 0, `after ${ms} ms`);
  }
  assert.equal(said(), 0);
});

Deno.test("createLeapGuard: a jump of more than an hour is waited out for a day of monotonic time, and said once", () => {
  const { clock, guard, said } = guarded();
  clock.jump(HOUR);
  assert.equal(guard.waitMs(), 0, "an hour is within what clocks are corrected by");
  clock.jump(1);
  assert.equal(guard.waitMs(), DAY);
  clock.leap(DAY - 1);
  assert.equal(guard.waitMs(), 1);
  clock.jump(30 * 60_000);
  assert.equal(guard.waitMs(), 1);
  clock.leap(1);
  assert.equal(guard.waitMs(), 0);
  assert.equal(said(), 1);
});

Deno.test("createLeapGuard: many small jumps count together", () => {
  const { clock, guard } = guarded();
  for (let i = 0; i < 3; i++) {
    clock.jump(30 * 60_000);
    clock.leap(60_000);
    assert.equal(guard.waitMs(), i < 2 ? 0 : DAY);
  }
});

Deno.test("createLeapGuard: a jump while nobody asked is noticed by the next who does, a second one begins the day anew", () => {
  const { clock, guard, said } = guarded();
  clock.jump(31 * DAY);
  clock.leap(20 * HOUR);
  assert.equal(guard.waitMs(), DAY);
  clock.jump(31 * DAY);
  clock.leap(20 * HOUR);
  assert.equal(guard.waitMs(), DAY);
  assert.equal(said(), 2);
});

Deno.test("createLeapGuard: a clock set back ends nothing by itself, and jumps when it is set ahead again", () => {
  const { clock, guard } = guarded();
  clock.jump(-31 * DAY);
  assert.equal(guard.waitMs(), 0);
  clock.jump(31 * DAY);
  assert.equal(guard.waitMs(), DAY);
});

Deno.test("createLeapGuard: a process that begins with a wrong clock ends nothing before it is set", () => {
  for (const wrong of [31 * DAY, -31 * DAY]) {
    const clock = createLeapingClock();
    clock.jump(wrong);
    const guard = createLeapGuard({ clock, log: collectingLogger() });
    assert.ok(guard.waitMs() > 0, "in its first minutes");
    clock.leap(10 * 60_000);
    clock.jump(-wrong);
    assert.ok(guard.waitMs() > 0, "just after it was set");
    clock.leap(HOUR);
    assert.equal(guard.waitMs() > 0, wrong < 0, "one set ahead is a jump like any other");
  }
});
