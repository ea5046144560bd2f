import assert from "node:assert/strict";
import type { Trust, TrustConfig } from "./trust.rules.ts";
import { createMemoryStore } from "@/tests/harness/memory-store.ts";
import { getTrust, recordTrust, tierNow, trustKey } from "./trust.rows.ts";

const NOW = 1_700_000_000_000;
const DAY = 86_400_000;
const CONFIG: TrustConfig = { established: 10, trusted: 50, elite: 200, decayAfterDays: 30, decayPointsPerDay: 1 };
const KEY = "a".repeat(64);
const FAILURE = { kind: "failure" } as const;
const paid = (paidSats: number) => ({ kind: "success", paidSats }) as const;

async function known(trust: Trust | null) {
  const { store } = await createMemoryStore();
  if (trust) await store.transact((tx) => tx.set(trustKey(KEY), { v: 1, ...trust }));
  const record = (event: Parameters<typeof recordTrust>[2], now = NOW, pubkey: string | null = KEY) =>
    store.transact((tx) => recordTrust(tx, pubkey, event, CONFIG, now));
  return { store, record };
}

Deno.test("tierNow: nobody is anonymous, a key that was never served is new, a score has its tier", async () => {
  const { store } = await known({ score: 50, lastSeen: NOW, interactions: 3 });
  assert.equal(await tierNow(store, null, CONFIG, NOW), "anonymous");
  assert.equal(await tierNow(store, "b".repeat(64), CONFIG, NOW), "new");
  assert.equal(await tierNow(store, KEY, CONFIG, NOW), "trusted");
});

Deno.test("tierNow: decay counts when it is read, and reading writes nothing", async () => {
  const { store } = await known({ score: 50, lastSeen: NOW, interactions: 3 });
  const before = await store.version();
  assert.equal(await tierNow(store, KEY, CONFIG, NOW + 31 * DAY), "established");
  assert.equal(await tierNow(store, KEY, CONFIG, NOW + 71 * DAY), "new");
  assert.equal(await store.version(), before);
  assert.equal((await getTrust(store, KEY))?.score, 50);
});

Deno.test("recordTrust: a first success makes the record; decay is taken before the change and not again", async () => {
  const { store, record } = await known(null);
  assert.equal(await getTrust(store, KEY), null);
  await record(paid(300));
  assert.deepEqual(await getTrust(store, KEY), { v: 1, score: 2, lastSeen: NOW, interactions: 1 });
  await record(paid(1_000), NOW + 31 * DAY);
  assert.equal((await getTrust(store, KEY))?.score, 1 + 5);
  assert.equal(await tierNow(store, KEY, CONFIG, NOW + 61 * DAY), "new");
});

Deno.test("recordTrust: a failure takes two, down to nothing", async () => {
  const { store, record } = await known({ score: 3, lastSeen: NOW, interactions: 3 });
  await record(FAILURE);
  await record(FAILURE);
  assert.deepEqual(await getTrust(store, KEY), { v: 1, score: 0, lastSeen: NOW, interactions: 5 });
});

Deno.test("recordTrust: nothing is written for nobody, or for an end that says nothing about the key", async () => {
  const { store, record } = await known(null);
  const before = await store.version();
  await record(paid(300), NOW, null);
  await record(null);
  assert.equal(await getTrust(store, KEY), null);
  assert.equal(await store.version(), before);
});
