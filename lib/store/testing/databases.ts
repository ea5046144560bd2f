import { systemRandom } from "@/lib/ids.ts";
import { openDataDir } from "@/lib/store/data-dir.ts";
import { openDenoEngine } from "@/lib/store/engines/deno.ts";
import type { OpenDatabase, TestDatabase } from "./bench.ts";
import { prefixEngine } from "./faulty-engine.ts";
import { createMemoryEngine } from "@/tests/harness/memory-engine.ts";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";

/** The databases that contract suites run on. */

/** Deno KV in memory. @param exclusive whether other processes may write */
export const inMemory = (exclusive: boolean): OpenDatabase => async () => {
  const engine = await openDenoEngine(":memory:", { exclusive });
  return { engine, reader: engine, close: () => Promise.resolve() };
};

/** A file in a folder of its own under the lock, and a second handle on it. */
export async function onFile(): Promise<TestDatabase> {
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

/** The harness's own engine. */
export const inProcess: OpenDatabase = () => {
  const engine = createMemoryEngine(createSeededRandom(6));
  return Promise.resolve({ engine, reader: engine, close: () => Promise.resolve() });
};

/** A KV Connect server, when the environment names one, else null. One server has one database: each test has a corner of it. */
export function onServer(): OpenDatabase | null {
  const remote = Deno.env.get("TIMMY_TEST_KV_URL");
  if (!remote || !Deno.env.get("DENO_KV_ACCESS_TOKEN")) return null;
  const instance = crypto.randomUUID();
  let databases = 0;
  return async () => {
    const corner = `test-${instance}-${databases++}`;
    const engine = await openDenoEngine(remote, { exclusive: false });
    const reader = await openDenoEngine(remote, { exclusive: false });
    return {
      engine: prefixEngine(engine, corner),
      reader: prefixEngine(reader, corner),
      close: () => Promise.resolve(reader.close()),
    };
  };
}
