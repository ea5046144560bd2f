import assert from "node:assert/strict";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { DeadlineExceeded, sleep, systemClock, withDeadline } from "./clock.ts";

Deno.test("systemClock: tells the time, calls once, and not after it was cancelled", async () => {
  assert.ok(Math.abs(systemClock.now() - Date.now()) < 1_000);
  const began = systemClock.monotonic();
  const called: string[] = [];
  const cancel = systemClock.after(0, () => called.push("cancelled"));
  cancel();
  cancel();
  // A timer of the clock alone keeps no process alive: this one does.
  const alive = setTimeout(() => {}, 5_000);
  await new Promise<void>((resolve) => systemClock.after(1, () => (called.push("called"), resolve())));
  clearTimeout(alive);
  assert.ok(systemClock.monotonic() > began);
  assert.deepEqual(called, ["called"]);
});

Deno.test("sleep: ends after its time, at once on a signal, and leaves no timer behind", async () => {
  const clock = createFakeClock();
  let awake = false;
  sleep(clock, 100).then(() => awake = true);
  await clock.advance(99);
  assert.equal(awake, false);
  await clock.advance(1);
  assert.equal(awake, true);

  const stopper = new AbortController();
  const cut = sleep(clock, 100, stopper.signal);
  stopper.abort();
  await cut;
  await sleep(clock, 100, stopper.signal);
  assert.equal(clock.pending(), 0);
});

Deno.test("withDeadline: settles as the promise does when that comes in time", async () => {
  const clock = createFakeClock();
  assert.equal(await withDeadline(clock, 100, "work", Promise.resolve(5)), 5);
  await assert.rejects(withDeadline(clock, 100, "work", Promise.reject(new Error("own"))), /own/);
  assert.equal(clock.pending(), 0);
});

Deno.test("withDeadline: rejects when the time is over, and says what took how long", async () => {
  const clock = createFakeClock();
  const late = withDeadline(clock, 100, "reading", new Promise(() => {}));
  const outcome = late.catch((error) => error);
  await clock.advance(100);
  const error = await outcome;
  assert.ok(error instanceof DeadlineExceeded);
  assert.deepEqual([error.what, error.ms, error.message], ["reading", 100, "reading took longer than 100 ms"]);
});
