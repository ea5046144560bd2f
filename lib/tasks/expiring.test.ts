import assert from "node:assert/strict";
import type { Key, Versioned } from "@/lib/store/store.ts";
import { collectingLogger } from "@/lib/logger.ts";
import { createQueue } from "./queue.ts";
import { createMemoryStore } from "@/tests/harness/memory-store.ts";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";
import { rowExpiryTask, setExpiring } from "./expiring.ts";

const KEY: Key = ["seen", "a\nb", 7];
type Row = Versioned & { n: number };

async function bench() {
  const { store, clock } = await createMemoryStore();
  const tasks = [rowExpiryTask(store)];
  const random = createSeededRandom(1);
  const queue = createQueue({ store, clock, random, log: collectingLogger(), exclusive: true, tasks });
  const put = (n: number, until: number, key = KEY) =>
    store.transact((tx) => setExpiring<Row>(tx, key, { v: 1, n }, until));
  return { store, clock, queue, put, now: clock.now() };
}

Deno.test("setExpiring: the row is there until its time, and then it and its task are gone", async () => {
  const { store, clock, queue, put, now } = await bench();
  await put(1, now + 60_000);
  queue.start();
  await clock.advance(59_000);
  assert.deepEqual(await store.get(KEY), { v: 1, n: 1 });
  await clock.advance(2_000);
  assert.equal(await store.get(KEY), null);
  assert.deepEqual([await store.list(["task"]), await store.list(["due"]), await store.list(["leased"])], [[], [], []]);
  await clock.drive(queue.stop(0));
});

Deno.test("setExpiring: written again it lives until the new time, as one row with one task", async () => {
  const { store, clock, queue, put, now } = await bench();
  await put(1, now + 10_000);
  await put(2, now + 30_000);
  assert.equal((await store.list(["task"])).length, 1);
  queue.start();
  await clock.advance(20_000);
  assert.deepEqual(await store.get(KEY), { v: 1, n: 2 });
  await clock.advance(12_000);
  assert.equal(await store.get(KEY), null);
  await clock.drive(queue.stop(0));
});

Deno.test("rowExpiryTask: deletes the one row it was planned for, whatever is in its key", async () => {
  const { store, clock, queue, put, now } = await bench();
  const others: Key[] = [["seen", "a", 7], ["seen", "a\nb", 8], ["seen", "a\nb", "7"]];
  await put(1, now + 1_000);
  for (const key of others) await put(1, now + 60_000, key);
  queue.start();
  await clock.advance(3_000);
  assert.deepEqual(
    (await store.list(["seen"])).map(({ key }) => JSON.stringify(key)).sort(),
    others.map((key) => JSON.stringify(key)).sort(),
  );
  await clock.drive(queue.stop(0));
});
