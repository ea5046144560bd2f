import assert from "node:assert/strict";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { attempt, USAGE_GRACE_MS } from "./attempt.ts";
import { failureOf } from "./model.contract.ts";

/** A signal that counts who listens to it. */
function countedSignal() {
  const { signal } = new AbortController();
  const count = { listeners: 0 };
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => (count.listeners++, add(...args));
  signal.removeEventListener = (...args: Parameters<typeof remove>) => (count.listeners--, remove(...args));
  return { signal, count };
}

Deno.test("attempt: a signal that outlives many calls keeps no listener and the clock no timer", async () => {
  const clock = createFakeClock();
  const { signal, count } = countedSignal();
  const limits = { signal, deadlineMs: 1000 };
  assert.equal(await attempt(clock, "the model", limits, () => Promise.resolve(7)), 7);
  await failureOf(attempt(clock, "the model", limits, () => Promise.reject(new Error("no"))));
  const late = failureOf(attempt(clock, "the model", limits, () => new Promise(() => {})));
  assert.equal(count.listeners, 1);
  await clock.advance(1000);
  await late;
  assert.equal(count.listeners, 0);
  assert.equal(clock.pending(), 0);
});

Deno.test("attempt: an unexpected error becomes a passing ModelError that names its class and quotes nothing", async () => {
  const limits = { signal: new AbortController().signal, deadlineMs: 1000 };
  const error = await failureOf(attempt(createFakeClock(), "the model", limits, () => {
    throw new RangeError("swordfish");
  }));
  assert.equal(error.permanent, false);
  assert.equal(error.message, "the call to the model failed (RangeError)");
  assert.ok(!Deno.inspect(error).includes("swordfish"));
});

Deno.test("attempt: what is below is aborted once the call has settled, either way", async () => {
  const limits = { signal: new AbortController().signal, deadlineMs: 1000 };
  const signals: AbortSignal[] = [];
  await attempt(createFakeClock(), "the model", limits, ({ signal }) => {
    signals.push(signal);
    return Promise.resolve(signal.aborted);
  });
  await failureOf(attempt(createFakeClock(), "the model", limits, ({ signal }) => {
    signals.push(signal);
    return Promise.reject(new Error("no"));
  }));
  assert.deepEqual(signals.map(({ aborted }) => aborted), [true, true]);
});

Deno.test("attempt: an answered call waits for no deadline but the grace, and a stopped one for neither", async () => {
  const clock = createFakeClock();
  const controller = new AbortController();
  const limits = { signal: controller.signal, deadlineMs: 1000 };
  const answered = attempt(clock, "the model", limits, (current) => {
    const { promise, resolve } = Promise.withResolvers<string>();
    current.answered(() => resolve("all of it"));
    return promise;
  });
  await clock.advance(USAGE_GRACE_MS);
  assert.equal(await answered, "all of it");

  const stopped = failureOf(attempt(clock, "the model", limits, async (current) => {
    await new Promise((resolve) => current.signal.addEventListener("abort", resolve));
    await clock.settle(); // the call has ended by then
    current.answered(() => assert.fail("nobody waits"));
  }));
  controller.abort();
  assert.equal((await stopped).kind, "aborted");
  await clock.settle();
  assert.equal(clock.pending(), 0);
});
