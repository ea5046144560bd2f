/**
 * The control of the crash harness: the real program over a database that tears commits apart. What a commit writes of ledger entries
 * and tasks lands first, records and balances a moment later. As long as the process lives nobody sees it, since no answer is made
 * from the first half. Killed in between, it has entries that no balance counts, and jobs and requests whose task has ended before
 * they have.
 */
import { createApp } from "@/app.ts";
import { openInstance, STORE_FILE } from "@/deps.ts";
import { ENV_NAMES, parseEnv } from "@/env.ts";
import { seedPool } from "@/lib/free-tier/pool.rows.ts";
import type { Services } from "@/lib/services.ts";
import type { Engine, Key } from "@/lib/store/engine.ts";
import { openDenoEngine } from "@/lib/store/engines/deno.ts";
import { createStore } from "@/lib/store/store.ts";
import { createOneAtATime } from "@/lib/tasks/idempotency.ts";
import { parseTrustedProxies } from "@/middlewares/client-address.ts";
import { createBackground } from "@/queue.ts";

/** How long the second half of a commit is behind the first (ms). */
const BEHIND_MS = 20;
const FIRST: readonly unknown[] = ["entry", "task", "due", "leased"];

/** The same database, whose commits are two. */
const torn = (engine: Engine): Engine => ({
  ...engine,
  async commit(commit) {
    const half = (first: boolean) => {
      const isOfIt = (key: Key) => FIRST.includes(key[0]) === first;
      return { set: commit.set.filter(({ key }) => isOfIt(key)), delete: commit.delete.filter(isOfIt) };
    };
    const first = half(true);
    if (first.set.length + first.delete.length > 0) {
      await engine.commit({ ...first, check: { key: ["no such row"], versionstamp: null }, bell: false });
      await new Promise((resolve) => setTimeout(resolve, BEHIND_MS));
    }
    return await engine.commit({ ...commit, ...half(false) });
  },
});

if (import.meta.main) {
  const env = parseEnv(Object.fromEntries(ENV_NAMES.map((name) => [name, Deno.env.get(name)])));
  const instance = await openInstance(env, { debug() {}, info() {}, warn() {}, error() {} });
  const { clock, random, settings } = instance.services;
  const engine = torn(await openDenoEngine(`${env.dataDir}/${STORE_FILE}`, { exclusive: true }));
  // In place of the instance's own store, which nobody writes to.
  const services: Services = {
    ...instance.services,
    store: await createStore({ engine, clock, random, gatherMs: env.gatherMs }),
  };
  const background = createBackground(services, { exclusive: true });
  const readiness = () => Promise.resolve({ ready: true, checks: {} });
  const recovering = () => false;
  const deps = {
    ...services,
    ...background,
    oneAtATime: createOneAtATime(),
    version: "naive",
    commit: "naive",
    readiness,
    recovering,
  };
  const limits = { rateLimitPerMinute: 0, challengesPerMinute: 0, trustedProxies: parseTrustedProxies([]) };
  const app = createApp(deps, { corsOrigins: [], ...limits }, instance.dev);
  await services.store.transact((tx) => seedPool(tx, settings.poolSeedSats, clock.now()));
  background.queue.start();
  background.settlements.start();
  Deno.addSignalListener("SIGTERM", () => Deno.exit(0));
  Deno.serve(
    { hostname: "127.0.0.1", port: env.port, onListen: () => {} },
    (request, info) => app.fetch(request, { remoteAddr: info.remoteAddr as Deno.NetAddr }),
  );
}
