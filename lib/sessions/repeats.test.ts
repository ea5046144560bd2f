import assert from "node:assert/strict";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { Attendance, createRepeats, GRACE_MS, REPEAT_MS } from "./repeats.ts";

const NEVER = new AbortController().signal;

/** One request that a caller waits for, and what is remembered of it. */
function attended({ stays = false } = {}) {
  const clock = createFakeClock();
  const attendance = new Attendance(clock, { graceMs: GRACE_MS, stays });
  const leave = attendance.join();
  const repeats = createRepeats<object>(clock);
  const over = repeats.began("call", { session: "s", id: "r1" }, { attendance });
  const find = (key: string, said: boolean) => repeats.find(key, said)?.id ?? null;
  return { clock, attendance, leave, repeats, find, over };
}

Deno.test("attendance: work goes on for its grace after everybody left without text, and not longer", async () => {
  const { clock, attendance, leave } = attended();
  leave(false);
  await clock.advance(GRACE_MS - 1);
  assert.equal(attendance.gone.aborted, false);
  await clock.advance(1);
  assert.equal(attendance.gone.aborted, true);
});

Deno.test("attendance: whoever has text and leaves ends it at once", () => {
  const { attendance, leave } = attended();
  leave(true);
  assert.equal(attendance.gone.aborted, true);
});

Deno.test("attendance: a second caller keeps it going, and a caller leaves only once", async () => {
  const { clock, attendance, leave } = attended();
  const leaveToo = attendance.join();
  leave(false);
  leave(false);
  await clock.advance(10 * GRACE_MS);
  assert.equal(attendance.gone.aborted, false);
  leaveToo(true);
  assert.equal(attendance.gone.aborted, true);
});

Deno.test("attendance: whoever comes back in time ends the grace", async () => {
  const { clock, attendance, leave } = attended();
  leave(false);
  await clock.advance(GRACE_MS - 1);
  attendance.join();
  await clock.advance(10 * GRACE_MS);
  assert.equal(attendance.gone.aborted, false);
});

Deno.test("attendance: work that its caller can come back for by other ways is never ended", async () => {
  const { clock, attendance, leave } = attended({ stays: true });
  leave(false);
  await clock.advance(10 * GRACE_MS);
  assert.equal(attendance.gone.aborted, false);
  assert.equal(await attendance.taken(NEVER), true);
});

Deno.test("attendance: an answer with nobody there waits for a repeat for a minute from when the caller left", async () => {
  const { clock, attendance, leave } = attended();
  leave(false);
  await clock.advance(GRACE_MS - 1);
  let taken: boolean | null = null;
  const waiting = attendance.taken(NEVER).then((is) => taken = is);
  await clock.advance(REPEAT_MS - GRACE_MS);
  assert.equal(taken, null);
  await clock.advance(1);
  await waiting;
  assert.equal(taken, false);
});

Deno.test("attendance: a repeat takes the answer that waits, and a process that stops waits for none", async () => {
  const [one, other] = [attended(), attended()];
  for (const { leave } of [one, other]) leave(false);
  const waiting = one.attendance.taken(NEVER);
  one.attendance.join();
  assert.equal(await waiting, true);
  const stopping = new AbortController();
  const stopped = other.attendance.taken(stopping.signal);
  stopping.abort();
  assert.equal(await stopped, false);
});

Deno.test("attendance: an answer whose caller waits, or had text, is taken at once", async () => {
  const [waits, read] = [attended(), attended()];
  read.leave(true);
  assert.deepEqual([await waits.attendance.taken(NEVER), await read.attendance.taken(NEVER)], [true, true]);
});

Deno.test("repeats: an equal call of somebody who is still there is another request, unless it says that it repeats", () => {
  const { find } = attended();
  assert.equal(find("call", false), null);
  assert.equal(find("call", true), "r1");
  assert.equal(find("another call", true), null);
});

Deno.test("repeats: whose caller left without text is found unasked for a minute; with text it is not", async () => {
  const [empty, read] = [attended(), attended()];
  empty.leave(false);
  read.leave(true);
  assert.deepEqual([empty.find("call", false), read.find("call", false)], ["r1", null]);
  await empty.clock.advance(REPEAT_MS);
  assert.equal(empty.find("call", false), null);
});

Deno.test("repeats: a complete one is found for a minute after its end, any other end is run again", async () => {
  const [complete, failed] = [attended(), attended()];
  complete.over(true);
  failed.over(false);
  assert.equal(failed.find("call", true), null);
  await complete.clock.advance(REPEAT_MS - 1);
  assert.equal(complete.find("call", true), "r1");
  await complete.clock.advance(1);
  assert.equal(complete.find("call", true), null);
});

Deno.test("repeats: of several equal calls that gave up, each repeat takes another one", () => {
  const { clock, repeats, find } = attended();
  for (const name of ["r2", "r3"]) {
    const attendance = new Attendance(clock, { graceMs: GRACE_MS, stays: false });
    repeats.began("call", { session: "s", id: name }, { attendance });
    attendance.join()(false);
    assert.equal(find("call", true), name);
    attendance.join();
  }
  assert.equal(find("call", false), null);
  assert.equal(find("call", true), "r3", "nobody left: the newest");
});

Deno.test("repeats: of the requests that have ended only so many are remembered, the newest", () => {
  const { clock, repeats, find } = attended();
  const attendance = new Attendance(clock, { graceMs: GRACE_MS, stays: false });
  for (let at = 0; at <= 20_000; at++) repeats.began(`${at}`, { session: "s", id: `r${at}` }, { attendance })(true);
  assert.deepEqual([find("0", true), find("1", true)], [null, "r1"]);
});
