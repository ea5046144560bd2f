import assert from "node:assert/strict";
import { createStore } from "@/lib/store/store.ts";
import type { Engine } from "@/lib/store/engine.ts";
import { inMemory, onFile, onServer } from "@/lib/store/testing/databases.ts";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { createMemoryEngine } from "@/tests/harness/memory-engine.ts";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";
import { plan } from "./due.ts";
import { planContract } from "./plan.contract.ts";
import { setRunner, type Slot } from "./runner.ts";

planContract(":memory:", inMemory(true));
planContract("a shared :memory:", inMemory(false));
planContract("a file", onFile);
const server = onServer();
if (server) planContract("a KV Connect server", server);

const PLACE: Slot = { owner: "me", token: "t", until: Infinity, start: () => {}, release: () => {} };

Deno.test("plan: rings the engine's bell for work that is due and that nobody has claimed, and for no other", async () => {
  const memory = createMemoryEngine(createSeededRandom(7));
  const bells: boolean[] = [];
  const engine: Engine = {
    ...memory,
    commit: (commit) => (bells.push(commit.bell), memory.commit(commit)),
    onBell: (ring) => void (arrive = ring),
  };
  let arrive = () => {};
  const clock = createFakeClock();
  const store = await createStore({ engine, clock, random: createSeededRandom(8) });
  const commit = (id: string, dueAt: number | null) => {
    arrive();
    return store.transact((tx) => plan(tx, { kind: "work", id, dueAt }));
  };
  const rings: number[] = [];
  await commit("without a runner, later", clock.now() + 1);
  await commit("without a runner", clock.now());
  setRunner(store.identity, { reserve: () => null, ring: (_kind, dueAt) => void rings.push(dueAt) });
  await commit("without a place", clock.now());
  await commit("without a place", null);
  setRunner(store.identity, { reserve: () => ({ ...PLACE, until: clock.now() }), ring: () => assert.fail() });
  await commit("with a place", clock.now());
  assert.deepEqual([bells, rings], [[false, true, true, false, false], [clock.now()]]);
  await store.close();
});

Deno.test("plan: the runner of another store is not asked", async () => {
  const clock = createFakeClock();
  const open = (seed: number) =>
    createStore({ engine: createMemoryEngine(createSeededRandom(seed)), clock, random: createSeededRandom(seed) });
  const [one, other] = [await open(1), await open(2)];
  const asked: string[] = [];
  setRunner(one.identity, { reserve: (kind) => (asked.push(kind), null), ring: () => {} });
  await other.transact((tx) => plan(tx, { kind: "b", id: "1", dueAt: clock.now() }));
  await one.transact((tx) => plan(tx, { kind: "a", id: "1", dueAt: clock.now() }));
  assert.deepEqual(asked, ["a"]);
});
