import assert from "node:assert/strict";
import { createStore } from "./store.ts";
import { storeContract, storeProperty } from "./store.contract.ts";
import { volatileContract } from "./volatile.contract.ts";
import type { OpenDatabase, TestDatabase } from "./testing/bench.ts";
import { openDataDir } from "./data-dir.ts";
import { openDenoEngine } from "./engines/deno.ts";
import { prefixEngine } from "./testing/faulty-engine.ts";
import { systemRandom } from "@/lib/ids.ts";
import type { Engine } from "./engine.ts";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { createMemoryEngine } from "@/tests/harness/memory-engine.ts";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";

const inMemory = (exclusive: boolean): OpenDatabase => async () => {
  const engine = await openDenoEngine(":memory:", { exclusive });
  return { engine, reader: engine, close: () => Promise.resolve() };
};

async function onFile(): Promise<TestDatabase> {
  const path = await Deno.makeTempDir();
  const folder = await openDataDir(path, systemRandom);
  const engine = await folder.openEngine("timmy.kv");
  const reader = await openDenoEngine(`${path}/timmy.kv`, { exclusive: true });
  return {
    engine,
    reader,
    async close() {
      reader.close();
      folder.release();
      await Deno.remove(path, { recursive: true });
    },
  };
}

const inProcess: OpenDatabase = () => {
  const engine = createMemoryEngine(createSeededRandom(6));
  return Promise.resolve({ engine, reader: engine, close: () => Promise.resolve() });
};

storeContract(":memory:", inMemory(true));
storeContract("a shared :memory:", inMemory(false));
storeContract("a file", onFile);
storeContract("the harness's own engine", inProcess);
volatileContract(":memory:", inMemory(true));
volatileContract("a shared :memory:", inMemory(false));
volatileContract("a file", onFile);
storeProperty(":memory:", inMemory(true), 100);
storeProperty("a shared :memory:", inMemory(false), 60);
storeProperty("a file", onFile, 10);

Deno.test("store: rings the engine's bell for work nobody has claimed, once until it arrives", async () => {
  const memory = createMemoryEngine(createSeededRandom(7));
  const bells: boolean[] = [];
  let ring = () => {};
  const engine: Engine = {
    ...memory,
    commit: (commit) => (bells.push(commit.bell), memory.commit(commit)),
    onBell: (arrive) => void (ring = arrive),
  };
  const clock = createFakeClock();
  const store = await createStore({ engine, clock, random: createSeededRandom(8) });
  const plan = (id: string, dueAt: number) => store.transact((tx) => tx.task({ kind: "work", id, dueAt }));
  const rings: string[] = [];
  await plan("later", clock.now() + 1);
  await plan("a", clock.now());
  await plan("b", clock.now());
  store.setClaimer({ reserve: () => null, ring: (kind) => void rings.push(kind) });
  ring();
  await plan("c", clock.now());
  assert.deepEqual([bells, rings], [[false, true, false, true], ["*", "work"]]);
  await store.close();
});

const remote = Deno.env.get("TIMMY_TEST_KV_URL");
if (remote && Deno.env.get("DENO_KV_ACCESS_TOKEN")) {
  let databases = 0;
  const instance = crypto.randomUUID();
  const onServer: OpenDatabase = async () => {
    // One server has one database: each test has a corner of it.
    const corner = `test-${instance}-${databases++}`;
    const engine = await openDenoEngine(remote, { exclusive: false });
    const reader = await openDenoEngine(remote, { exclusive: false });
    return {
      engine: prefixEngine(engine, corner),
      reader: prefixEngine(reader, corner),
      close: () => Promise.resolve(reader.close()),
    };
  };
  storeContract("a KV Connect server", onServer);
  volatileContract("a KV Connect server", onServer);
  storeProperty("a KV Connect server", onServer, 10);
} else {
  Deno.test.ignore(
    "store on a KV Connect server: set TIMMY_TEST_KV_URL and DENO_KV_ACCESS_TOKEN to run its contract",
    () => {},
  );
}
