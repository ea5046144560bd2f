import { copyDatabase } from "@/lib/backup/copy.ts";
import { systemClock } from "@/lib/clock.ts";
import { systemRandom } from "@/lib/ids.ts";
import { openDenoEngine } from "@/lib/store/engines/deno.ts";
import { createStore, type Store } from "@/lib/store/store.ts";

/** Reads a copy of a database, which an instance may be using; the copy is removed. */
export async function withStoreCopy<T>(file: string, read: (store: Store) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "timmyctl-" });
  try {
    const copy = `${folder}/copy.kv`;
    await copyDatabase(file, copy);
    const engine = await openDenoEngine(copy, { exclusive: true });
    const store = await createStore({ engine, name: file, clock: systemClock, random: systemRandom });
    try {
      return await read(store);
    } finally {
      await store.close();
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
