import assert from "node:assert/strict";
import { createMemoryStore } from "@/tests/harness/memory-store.ts";
import { waitForEvent } from "./events.ts";

Deno.test("waitForEvent: the first event that matches after the wait began, and no other", async () => {
  const { store, clock } = await createMemoryStore();
  const say = (type: string, n: number) => store.transact((tx) => tx.event({ type, n }));
  await say("b", 1);
  const wait = waitForEvent(store, clock, (event) => event.type === "b", 1_000);
  await say("a", 2);
  await say("b", 3);
  await say("b", 4);
  assert.equal((await wait.event)?.n, 3);
  await clock.settle();
  assert.equal(clock.pending(), 0, "its timer is gone");
});

Deno.test("waitForEvent: null when the time is over, not before", async () => {
  const { store, clock } = await createMemoryStore();
  let result: unknown = "waiting";
  waitForEvent(store, clock, () => true, 1_000).event.then((event) => result = event);
  await clock.advance(999);
  assert.equal(result, "waiting");
  await clock.advance(1);
  assert.equal(result, null);
});

Deno.test("waitForEvent: a cancelled wait ends with null and listens no more", async () => {
  const { store, clock } = await createMemoryStore();
  let asked = 0;
  const wait = waitForEvent(store, clock, () => (asked++, true), 1_000);
  wait.cancel();
  wait.cancel();
  assert.equal(await wait.event, null);
  await store.transact((tx) => tx.event({ type: "a" }));
  await clock.settle();
  assert.deepEqual([asked, clock.pending()], [0, 0]);
});

Deno.test("waitForEvent: an event is told only when its commit is durable", async () => {
  const { store, clock } = await createMemoryStore();
  const wait = waitForEvent(store, clock, () => true, 1_000);
  await assert.rejects(store.transact((tx) => {
    tx.event({ type: "a" });
    throw new Error("no");
  }));
  await store.transact((tx) => tx.event({ type: "b" }));
  assert.equal((await wait.event)?.type, "b");
});
