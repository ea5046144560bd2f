import assert from "node:assert/strict";
import type { Store } from "@/lib/store/store.ts";
import type { Slot } from "./runner.ts";
import { createMemoryStore } from "@/tests/harness/memory-store.ts";
import { holdsLease, type Lease, placeTask, releaseLease, renewLease, takeLease, type TaskRow } from "./due.ts";

const NOW = 1_700_000_000_000;
const slot = (token: string, owner = "me", until = NOW + 1_000): Slot => ({
  owner,
  token,
  until,
  start: () => {},
  release: () => {},
});
const LIVE = () => false;
const VOID = () => true;

/** Index rows, and the task row: every test ends with exactly one of the first for the second. */
async function state(store: Store) {
  const tasks = (await store.list<TaskRow>(["task"])).map(({ value }) => value);
  const index = [...await store.list(["due"]), ...await store.list(["leased"])].map(({ key }) => key);
  assert.equal(index.length, tasks.length, "one index row a task");
  return { task: tasks[0] ?? null, index };
}
const take = (store: Store, token: string, isVoid = LIVE, now = NOW) =>
  store.transact((tx) => takeLease(tx, { kind: "a", id: "1", slot: slot(token), now, isVoid }));
const plan = (store: Store, dueAt: number | null, at: Slot | null = null) =>
  store.transact((tx) => placeTask(tx, { kind: "a", id: "1", dueAt }, at));

Deno.test("placeTask: waits in the due index, moves with its time, and leaves nothing when it ends", async () => {
  const { store } = await createMemoryStore();
  assert.equal(await plan(store, NOW), null);
  assert.deepEqual((await state(store)).index, [["due", "a", NOW, "1"]]);
  await plan(store, NOW + 5);
  assert.deepEqual((await state(store)).index, [["due", "a", NOW + 5, "1"]]);
  await plan(store, null);
  assert.deepEqual(await state(store), { task: null, index: [] });
  await plan(store, null);
  assert.equal((await state(store)).task, null);
});

Deno.test("placeTask: with a place it is leased in the same commit", async () => {
  const { store } = await createMemoryStore();
  const lease = await plan(store, NOW, slot("t1"));
  assert.deepEqual(lease, { kind: "a", id: "1", attempt: 0, token: "t1", owner: "me", until: NOW + 1_000 });
  assert.deepEqual((await state(store)).index, [["leased", "a", "1"]]);
});

Deno.test("placeTask: planning a task anew takes it from whoever runs it", async () => {
  const { store } = await createMemoryStore();
  const lease = await plan(store, NOW, slot("t1")) as Lease;
  await plan(store, NOW + 50);
  assert.equal(await store.transact((tx) => holdsLease(tx, lease)), false);
  assert.deepEqual((await state(store)).index, [["due", "a", NOW + 50, "1"]]);
});

Deno.test("takeLease: takes what is due, once, and nothing before its time", async () => {
  const { store } = await createMemoryStore();
  await plan(store, NOW + 1);
  assert.equal(await take(store, "t1"), null);
  const lease = await take(store, "t1", LIVE, NOW + 1);
  assert.equal(lease?.token, "t1");
  assert.deepEqual((await state(store)).index, [["leased", "a", "1"]]);
  assert.equal(await take(store, "t2", LIVE, NOW + 2), null);
});

Deno.test("takeLease: takes over a lease that ran out or whose owner is gone, and keeps the attempt", async () => {
  const { store } = await createMemoryStore();
  await store.transact((tx) => placeTask(tx, { kind: "a", id: "1", dueAt: NOW, attempt: 2 }, slot("t1")));
  assert.equal(await take(store, "t2", LIVE, NOW + 999), null);
  assert.deepEqual((await take(store, "t2", LIVE, NOW + 1_000))?.attempt, 2);
  assert.equal((await take(store, "t3", VOID))?.token, "t3");
  assert.equal((await state(store)).task?.lease?.token, "t3");
});

Deno.test("takeLease: a task that ended is not taken", async () => {
  const { store } = await createMemoryStore();
  assert.equal(await take(store, "t1", VOID), null);
});

Deno.test("holdsLease, renewLease, releaseLease: only with the token of now", async () => {
  const { store } = await createMemoryStore();
  await plan(store, NOW, slot("t1"));
  const old = { ...await take(store, "t2", VOID) as Lease, token: "t1" };
  const lease = { ...old, token: "t2" };
  const holds = (one: Lease) => store.transact((tx) => holdsLease(tx, one));
  assert.deepEqual([await holds(old), await holds(lease)], [false, true]);

  const version = await store.version();
  assert.equal(await store.transact((tx) => renewLease(tx, old, NOW + 9_000)), false);
  assert.equal(await store.transact((tx) => releaseLease(tx, old, NOW, 1)), false);
  assert.equal(await store.version(), version);

  assert.equal(await store.transact((tx) => renewLease(tx, lease, NOW + 9_000)), true);
  assert.equal((await state(store)).task?.lease?.until, NOW + 9_000);
  assert.equal(await store.transact((tx) => releaseLease(tx, lease, NOW + 50, 3)), true);
  const { task, index } = await state(store);
  assert.deepEqual([task?.lease, task?.attempt, index], [null, 3, [["due", "a", NOW + 50, "1"]]]);
  assert.equal(await holds(lease), false);
});

Deno.test("the due index: ten thousand waiting tasks of one kind hide none of another", async () => {
  const { store } = await createMemoryStore();
  for (let i = 0; i < 20; i++) await store.transact((tx) => placeTask(tx, { kind: "a", id: `${i}`, dueAt: NOW }, null));
  await store.transact((tx) => placeTask(tx, { kind: "b", id: "1", dueAt: NOW + 5 }, null));
  assert.deepEqual((await store.list(["due", "b"], { limit: 1 })).map(({ key }) => key[3]), ["1"]);
});
