import assert from "node:assert/strict";
import { sleep, withDeadline } from "@/lib/clock.ts";
import { createFakeClock } from "./fake-clock.ts";
import { createSeededRandom } from "./seeded-random.ts";

Deno.test("createFakeClock: stands still until it is moved", async () => {
  const clock = createFakeClock(1_000);
  await clock.settle();
  assert.equal(clock.now(), 1_000);
  await clock.advance(250);
  assert.equal(clock.now(), 1_250);
});

Deno.test("advance: fires in order of time, then of setting, each at its own moment", async () => {
  const clock = createFakeClock(0);
  const fired: string[] = [];
  const note = (name: string) => () => void fired.push(`${name}@${clock.now()}`);
  clock.after(30, note("c"));
  clock.after(10, note("a"));
  clock.after(10, note("b"));
  clock.after(41, note("late"));
  await clock.advance(40);
  assert.deepEqual(fired, ["a@10", "b@10", "c@30"]);
  assert.equal(clock.now(), 40);
  assert.equal(clock.pending(), 1);
  assert.equal(clock.nextIn(), 1);
});

Deno.test("advance: fires a timer that another one, or a promise it settled, has set meanwhile", async () => {
  const clock = createFakeClock(0);
  const ticks: number[] = [];
  const tick = async () => {
    for (;;) {
      await sleep(clock, 10);
      ticks.push(clock.now());
    }
  };
  tick();
  await clock.advance(35);
  assert.deepEqual(ticks, [10, 20, 30]);
});

Deno.test("advance: a cancelled timer does not fire; cancelling again or late does nothing", async () => {
  const clock = createFakeClock(0);
  let fired = 0;
  const cancel = clock.after(5, () => fired++);
  const other = clock.after(5, () => fired++);
  cancel();
  cancel();
  await clock.advance(5);
  other();
  assert.equal(fired, 1);
  assert.equal(clock.pending(), 0);
});

Deno.test("advance: a timer of 0 ms or less waits for the next move, even one of 0 ms", async () => {
  const clock = createFakeClock(0);
  let fired = 0;
  clock.after(0, () => fired++);
  clock.after(-5, () => fired++);
  await clock.settle();
  assert.equal(fired, 0);
  await clock.advance(0);
  assert.equal(fired, 2);
});

Deno.test("advance: waits for real I/O that a registered source reports before the next timer fires", async () => {
  const clock = createFakeClock(0);
  let inFlight = false;
  clock.waitWhile(() => inFlight);
  inFlight = true;
  const slow = new Promise<string>((resolve) =>
    setTimeout(() => {
      inFlight = false;
      resolve("read");
    }, 30)
  );
  const answer = withDeadline(clock, 10, "a read", slow);
  await clock.advance(1_000);
  assert.equal(await answer, "read");
});

Deno.test("advance: refuses a second move at the same time and time that runs backwards", async () => {
  const clock = createFakeClock(0);
  const first = clock.advance(10);
  await assert.rejects(clock.advance(10), /already being moved/);
  await first;
  assert.throws(() => clock.advance(-1), RangeError);
  assert.throws(() => clock.after(NaN, () => {}), RangeError);
});

Deno.test("advance: an error of a timer's function reaches the test", async () => {
  const clock = createFakeClock(0);
  clock.after(1, () => {
    throw new Error("boom");
  });
  await assert.rejects(clock.advance(5), /boom/);
});

Deno.test("drive: moves time from timer to timer until the promise settles, and no further", async () => {
  const clock = createFakeClock(0);
  const answer = (async () => {
    await sleep(clock, 5_000);
    await sleep(clock, 70_000);
    return "done";
  })();
  clock.after(500_000, () => {});
  assert.equal(await clock.drive(answer), "done");
  assert.equal(clock.now(), 75_000);
  assert.equal(clock.pending(), 1);
});

Deno.test("drive: says why a promise will not settle, and passes on its rejection", async () => {
  const clock = createFakeClock(0);
  await assert.rejects(clock.drive(new Promise(() => {})), /no timer of this clock/);
  clock.after(1_001, () => {});
  await assert.rejects(clock.drive(new Promise(() => {}), 1_000), /within 1000 ms/);
  await assert.rejects(clock.drive(Promise.reject(new Error("refused"))), /refused/);
});

Deno.test("createSeededRandom: the seed decides every byte, another seed gives others, lengths are exact", () => {
  const take = (seed: number) => {
    const random = createSeededRandom(seed);
    return [random.bytes(5), random.bytes(0), random.bytes(32)];
  };
  assert.deepEqual(take(7), take(7));
  assert.notDeepEqual(take(7), take(8));
  assert.deepEqual(take(7).map((bytes) => bytes.length), [5, 0, 32]);
  const counts = new Set(createSeededRandom(1).bytes(4_096));
  assert.equal(counts.size, 256);
});
