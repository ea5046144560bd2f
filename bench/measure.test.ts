import assert from "node:assert/strict";
import { median, number, percentile, timedCalls } from "./measure.ts";
import { cpuMsOf } from "./program.ts";

Deno.test("percentile: the smallest value that the share does not exceed, whatever the order", () => {
  const values = [50, 10, 40, 20, 30];
  assert.deepEqual([0, 0.5, 0.95, 1].map((p) => percentile(values, p)), [10, 30, 50, 50]);
  assert.throws(() => percentile([], 0.5), /nothing was measured/);
});

Deno.test("median: the middle, or the mean of both in the middle", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(median([7]), 7);
});

Deno.test("number: three digits, no more", () => {
  assert.deepEqual([1.23456, 12.345, 99.96, 1234.5].map(number), ["1.23", "12.3", "100", "1,235"]);
});

Deno.test("timedCalls: every call once, never more at a time than asked", async () => {
  const seen: number[] = [];
  let running = 0;
  let most = 0;
  await timedCalls(10, 3, async (i) => {
    most = Math.max(most, ++running);
    seen.push(i);
    await Promise.resolve();
    running--;
  });
  assert.deepEqual(seen.sort((a, b) => a - b), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.equal(most, 3);
});

Deno.test("cpuMsOf: user and system time, whatever the program is called; NaN where there is nothing to read", () => {
  const line = (name: string) => `812 (${name}) S 1 812 812 0 -1 4194560 9000 5 0 0 250 31 7 9 20 0 14 0 99 1 2`;
  for (const name of ["deno", "a b", "x) S 1 (y", "("]) assert.equal(cpuMsOf(line(name)), 2_810);
  assert.equal(cpuMsOf(""), NaN);
});
