import { createStore, type Store } from "@/lib/store/store.ts";
import { createFakeClock, type FakeClock } from "./fake-clock.ts";
import { createMemoryEngine, type MemoryEngine } from "./memory-engine.ts";
import { createSeededRandom } from "./seeded-random.ts";

/** The real store over plain memory and a clock that only the test moves. */
export async function createMemoryStore(): Promise<{ store: Store; engine: MemoryEngine; clock: FakeClock }> {
  const clock = createFakeClock();
  const random = createSeededRandom(1);
  const engine = createMemoryEngine(random);
  clock.waitWhile(engine.busy);
  return { store: await createStore({ engine, clock, random, gatherMs: 0 }), engine, clock };
}
