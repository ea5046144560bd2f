import { createApp, type HttpOptions } from "./app.ts";
import { type Background, createBackground } from "./queue.ts";
import type { AppDeps, DevTools } from "@/lib/http/app-deps.ts";
import { createRecovery } from "./recovery.ts";
import type { AfterRestore } from "@/lib/backup/restored.ts";
import type { Services } from "@/lib/services.ts";
import { seedPool } from "@/lib/free-tier/pool.rows.ts";
import { rememberLastWord } from "@/lib/lightning/last-word.ts";
import { borneSats, failuresBorneAgainAt } from "@/lib/metering/free-failures.ts";
import { observeRecords, observeStore } from "@/lib/metrics/instruments.ts";
import {
  observeMoney,
  observeOwed,
  observePayments,
  observeProcess,
  observeReadiness,
} from "@/lib/metrics/observed.ts";
import { createMetricsPush } from "@/lib/metrics/push.ts";
import { createOneAtATime } from "@/lib/tasks/idempotency.ts";
import { readinessOf } from "@/routes/health/health.readiness.ts";
import { bytesToHex } from "@noble/hashes/utils.js";

/** What an instance is made of: the backends that `deps.ts` opens, or those of a test. */
interface Parts {
  services: Services;
  /** True when no other process can write to the store. */
  exclusive: boolean;
  http: HttpOptions;
  /** The development routes; null for none. */
  dev: DevTools | null;
  /** Free bytes where the data lies; null when nobody can tell. */
  freeBytes(): Promise<number | null>;
  version: string;
  /** Of the source; `unknown` outside of a release. */
  commit: string;
  /** What a restore has left to do; default: nothing was restored. */
  afterRestore?: AfterRestore;
  /** Background work in place of the real one, for tests that must see a naive one caught. */
  background?: (services: Services) => Background;
}

/** A whole instance. Nothing runs before `start`. */
export interface Timmy {
  deps: AppDeps;
  app: ReturnType<typeof createApp>;
  /**
   * Gives a new pool its seed, and starts what runs without a request. After a restore that waits until the database has caught up
   * with its wallet, and every route but health answers 503.
   */
  start(): Promise<void>;
  /** Resolves when what runs without a request has been started. */
  serving: Promise<void>;
  /** @param graceMs how long running tasks may finish; what does not is taken up at the next start. */
  stop(graceMs: number): Promise<void>;
}

/** Backends → background work and HTTP: the same for the process, the tests and the API's document. */
export function assemble(parts: Parts): Timmy {
  const { metrics, settings } = parts.services;
  const { wallet, lastError } = rememberLastWord(metrics.measuredWallet(parts.services.wallet), parts.services.clock);
  const names = [settings.workModel, settings.evalModel, ...settings.chatModels];
  const services: Services = { ...parts.services, wallet, model: metrics.measuredModel(parts.services.model, names) };
  const background = parts.background?.(services) ?? createBackground(services, { exclusive: parts.exclusive });
  const { queue, settlements, freeze } = background;
  const { store, clock, model } = services;
  const recovery = createRecovery({ ...services, settlements, freeze }, parts.afterRestore ?? NOTHING_RESTORED);
  const serving = Promise.withResolvers<void>();
  let stopped = false;
  async function serve(): Promise<void> {
    if (stopped) return;
    await store.transact((tx) => seedPool(tx, settings.poolSeedSats, clock.now()));
    queue.start();
    settlements.start();
    background.sweeper.start();
    push?.start();
    serving.resolve();
  }
  const deps: AppDeps = {
    ...services,
    ...background,
    recovering: recovery.recovering,
    oneAtATime: createOneAtATime(),
    version: parts.version,
    commit: parts.commit,
    readiness: () =>
      readinessOf({
        store,
        queue,
        settlements,
        walletName: wallet.name,
        walletError: lastError,
        modelName: model.name,
        modelError: background.modelError,
        cloudName: services.cloud.name,
        cloudError: background.cloudError,
        recovery,
        frozen: freeze.row,
        freeBytes: parts.freeBytes,
      }),
  };
  const { registry } = metrics;
  observeStore(registry, store, { exact: settings.metricsMoney });
  observeRecords(metrics, store);
  observeReadiness(registry, async () => (await deps.readiness()).checks);
  observePayments(registry, settlements, background.payouts);
  observeOwed(registry, {
    store,
    clock,
    failuresBorneAgainAt: () => failuresBorneAgainAt(store, settings.freeFailures.satsPerHour, clock.now()),
  });
  observeProcess(registry, { clock, version: parts.version });
  if (settings.metricsMoney) {
    observeMoney(registry, { store, wallet, borneSats: () => borneSats(store, clock.now()) });
  }
  const push = settings.metricsPush && createMetricsPush({
    ...services,
    registry,
    settings: settings.metricsPush,
    version: parts.version,
    instance: bytesToHex(services.random.bytes(8)),
  });
  return {
    deps,
    app: createApp(deps, parts.http, parts.dev),
    async start() {
      const restored = await recovery.begin();
      if (!restored) return await serve();
      const { log } = services;
      restored.caughtUp.then(() => recovery.recovering() ? undefined : serve())
        .catch((error) => log.error({ error }, "the restored instance could not be started: start it again"));
    },
    serving: serving.promise,
    async stop(graceMs) {
      push?.stop();
      stopped = true;
      await recovery.stop();
      background.sweeper.stop();
      await background.chats.stop();
      await settlements.stop();
      await queue.stop(graceMs);
    },
  };
}

const NOTHING_RESTORED: AfterRestore = {
  restored: () => Promise.resolve(null),
  caughtUp: () => Promise.resolve(),
  decision: () => Promise.resolve(null),
  decided: () => Promise.resolve(),
};
