import assert from "node:assert/strict";
import { createStore } from "./store.ts";
import { storeContract, storeProperty } from "./store.contract.ts";
import { inMemory, inProcess, onFile, onServer } from "./testing/databases.ts";
import type { Engine } from "./engine.ts";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { createMemoryEngine } from "@/tests/harness/memory-engine.ts";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";

for (
  const [name, database] of [
    [":memory:", inMemory(true)],
    ["a shared :memory:", inMemory(false)],
    ["a file", onFile],
    ["the harness's own engine", inProcess],
  ] as const
) {
  storeContract(name, database);
}
storeProperty(":memory:", inMemory(true), 60);
storeProperty("a shared :memory:", inMemory(false), 40);
storeProperty("a file", onFile, 10);

Deno.test("store: rings the engine's bell for the time that has come, once until it arrives, and tells who listens", async () => {
  const memory = createMemoryEngine(createSeededRandom(7));
  const bells: boolean[] = [];
  let arrive = () => {};
  const engine: Engine = {
    ...memory,
    commit: (commit) => (bells.push(commit.bell), memory.commit(commit)),
    onBell: (ring) => void (arrive = ring),
  };
  const clock = createFakeClock();
  const store = await createStore({ engine, clock, random: createSeededRandom(8) });
  const commit = (id: string, ...times: number[]) =>
    store.transact((tx) => {
      tx.set(["r", id], { v: 1 });
      for (const at of times) tx.ring(at);
    });
  const heard: string[] = [];
  await commit("none");
  await commit("later", clock.now() + 1);
  await commit("a", clock.now() + 1, clock.now());
  await commit("b", clock.now());
  const stop = store.onBell(() => heard.push("bell"));
  arrive();
  await commit("c", clock.now());
  stop();
  arrive();
  assert.deepEqual([bells, heard], [[false, false, true, false, true], ["bell"]]);
  await store.close();
});

const server = onServer();
if (server) {
  storeContract("a KV Connect server", server);
  storeProperty("a KV Connect server", server, 10);
} else {
  Deno.test.ignore(
    "store on a KV Connect server: set TIMMY_TEST_KV_URL and DENO_KV_ACCESS_TOKEN to run its contract",
    () => {},
  );
}
