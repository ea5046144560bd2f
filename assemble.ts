import { createApp, type HttpOptions } from "./app.ts";
import { type Background, createBackground } from "./queue.ts";
import type { AppDeps, DevTools } from "@/lib/http/app-deps.ts";
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
  /** Background work in place of the real one, for tests that must see a naive one caught. */
  background?: (services: Services) => Background;
}

/** A whole instance. Nothing runs before `start`. */
export interface Timmy {
  deps: AppDeps;
  app: ReturnType<typeof createApp>;
  /** Gives a new pool its seed, and starts what runs without a request. */
  start(): Promise<void>;
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
  const { queue, settlements } = background;
  const { store, clock, model } = services;
  const deps: AppDeps = {
    ...services,
    ...background,
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
      await store.transact((tx) => seedPool(tx, settings.poolSeedSats, clock.now()));
      queue.start();
      settlements.start();
      background.sweeper.start();
      push?.start();
    },
    async stop(graceMs) {
      push?.stop();
      background.sweeper.stop();
      await background.chats.stop();
      await settlements.stop();
      await queue.stop(graceMs);
    },
  };
}
