import { cpuUsage } from "node:process";
import { systemClock } from "@/lib/clock.ts";
import { systemRandom } from "@/lib/ids.ts";
import { createStore, type Key, type Store, type Tx, type Versioned } from "@/lib/store/store.ts";
import type { Engine } from "@/lib/store/engine.ts";
import { aim, type Bench, median, ms } from "./measure.ts";

const GROUPS = [1, 16, 64];
const ROUNDS = 5;
const TOTAL = 8_192;
const READS = 6;
const WRITES = 11;
const AIM_MS = 0.15;

/** What the store itself costs: processor time of a transaction over an engine that answers at once and keeps nothing. */
export const transactions: Bench = {
  name: "transactions",
  title:
    `processor time of a transaction that reads ${READS} rows in memory and writes ${WRITES}, without the engine's own`,
  async run({ figure }) {
    for (const atOnce of GROUPS) {
      const store = await createStore({
        engine: silentEngine(),
        clock: systemClock,
        random: systemRandom,
        gatherMs: 0,
      });
      await rounds(store, atOnce, TOTAL); // rows and machine code get warm
      const taken: number[] = [];
      for (let round = 0; round < ROUNDS; round++) taken.push(await rounds(store, atOnce, TOTAL));
      const each = median(taken);
      figure(`in groups of ${atOnce}`, ms(each), atOnce === 16 ? aim(each <= AIM_MS, `≤ ${AIM_MS} ms`) : undefined);
      await store.close();
    }
  },
};

function silentEngine(): Engine {
  let version = 0;
  return {
    exclusive: true,
    get: (keys) => Promise.resolve(keys.map(() => null)),
    list: () => Promise.resolve([]),
    commit: () => Promise.resolve({ versionstamp: String(++version) }),
    onBell: () => {},
    close: () => {},
  };
}

/** @returns milliseconds of processor time a transaction. */
async function rounds(store: Store, atOnce: number, total: number): Promise<number> {
  const from = cpuUsage();
  for (let done = 0; done < total; done += atOnce) {
    await Promise.all(Array.from({ length: atOnce }, (_, client) => store.transact((tx) => transition(tx, client))));
  }
  const { user, system } = cpuUsage(from);
  return (user + system) / 1_000 / total;
}

interface Row extends Versioned {
  v: 1;
  n: number;
  handle: string;
  state: string;
  history: { at: number; what: string; sats: number }[];
}
const rowKey = (client: number, i: number): Key => ["job", `client-${client}`, i];

async function transition(tx: Tx, client: number): Promise<void> {
  const keys = Array.from({ length: WRITES }, (_, i) => rowKey(client, i));
  const read = await Promise.all(keys.slice(0, READS).map((key) => tx.get<Row>(key)));
  for (const [i, key] of keys.entries()) tx.set(key, next(read[i] ?? null, client));
}

const next = (row: Row | null, client: number): Row => ({
  v: 1,
  n: (row?.n ?? 0) + 1,
  handle: `client-${client}`,
  state: "awaiting_work_payment",
  history: [1, 2, 3].map((at) => ({ at, what: "a step of a job", sats: at * 100 })),
});
