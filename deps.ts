import type { DevTools } from "@/lib/http/app-deps.ts";
import { createGuardedFetch, publicNetwork } from "@/lib/http/guarded-fetch.ts";
import type { Services } from "@/lib/services.ts";
import { createSealer } from "@/lib/bootstrap/keys/sealed.ts";
import { createDigitalOcean } from "@/lib/cloud/digitalocean.ts";
import type { Cloud } from "@/lib/cloud/port.ts";
import { createSimulatedCloud } from "@/lib/cloud/simulated.ts";
import type { Tailnet } from "@/lib/cloud/tailnet.ts";
import { createTailscale } from "@/lib/cloud/tailscale.ts";
import { createOpenAiCompatibleModel } from "@/lib/ai/openai-compatible.ts";
import type { Model } from "@/lib/ai/port.ts";
import { configuredRates } from "@/lib/ai/rates.ts";
import { createModelRouter } from "@/lib/ai/router.ts";
import { createSimulatedModel } from "@/lib/ai/simulated.ts";
import { createAttestor } from "@/lib/attestation/attestor.ts";
import { createBtcPriceFeed } from "@/lib/btc-price/feed.ts";
import { coinbase, coingecko, kraken } from "@/lib/btc-price/sources.ts";
import { type AfterRestore, afterRestore } from "@/lib/backup/restored.ts";
import { createSchedule, type Schedule } from "@/lib/backup/schedule.ts";
import { type Clock, systemClock } from "@/lib/clock.ts";
import { createIdentityTokens } from "@/lib/identity/identity-token.ts";
import { createInstanceKey } from "@/lib/nostr/instance-key.ts";
import { createRecordIds, type Random, systemRandom } from "@/lib/ids.ts";
import { createStore, type Store } from "@/lib/store/store.ts";
import type { JournalFile } from "@/lib/store/journal-file.ts";
import { type DataDir, openDataDir } from "@/lib/store/data-dir.ts";
import type { Engine } from "@/lib/store/engine.ts";
import { openDenoEngine } from "@/lib/store/engines/deno.ts";
import { createLiveText } from "@/lib/metering/live-text.ts";
import { createMetrics } from "@/lib/metrics/instruments.ts";
import { createLnbitsWallet } from "@/lib/lightning/lnbits.ts";
import type { Wallet } from "@/lib/lightning/port.ts";
import { createSimulatedWallet } from "@/lib/lightning/simulated.ts";
import type { Logger } from "@/lib/logger.ts";
import type { Rates } from "@/lib/metering/pricing.rules.ts";
import { type PayoutJournal, readEntry } from "@/lib/payments/journal.ts";
import { payoutFeeLimit } from "@/lib/payments/refunds.machine.ts";
import type { Env } from "./env.ts";
import { listenedOn, originOf } from "./env-values.ts";
import { VERSION } from "./version.ts";
import { WALLET_SEED } from "./wallet-copy.ts";
import { hexToBytes } from "@noble/hashes/utils.js";

/** Everything that was opened for this process, and how it is closed again. */
export interface Instance {
  services: Services;
  /** True when no other process can write to the store. */
  exclusive: boolean;
  /** Development routes; null in production. */
  dev: DevTools | null;
  freeBytes(): Promise<number | null>;
  /** What a restore of the data folder has left to do. */
  afterRestore: AfterRestore;
  /** Starts what runs beside requests: the price feed, and the simulated nodes that still have to report. */
  start(): void;
  close(): Promise<void>;
}

/** The name of the database file in the data folder, and of the simulated wallet's own. */
export const STORE_FILE = "timmy.kv";
export const WALLET_FILE = "simulated-wallet.kv";
export const JOURNAL_FILE = "payouts.journal";
const CLOUD_SEED = "simulated-cloud.seed";
const SEED_BYTES = 32;
/** How long this process may take to answer one of its own simulated nodes (ms). */
const REPORT_MS = 10_000;

/** env → the real or simulated adapters. The only file that names them. @throws DataDirError, StoreError */
export async function openInstance(env: Env, log: Logger): Promise<Instance> {
  const clock = systemClock;
  const random = systemRandom;
  const { settings, btc } = env;
  // A model without a price stops the start, not the first request.
  for (const model of [settings.workModel, settings.evalModel, ...settings.chatModels]) await ratesFor(model, env);
  const after = afterRestore(env.dataDir);
  await after.restored(); // before a database is opened beside half a restore
  const dir = await openDataDir(env.dataDir, random);
  const engine = env.kvUrl ? await openRemoteEngine(env.kvUrl) : await dir.openEngine(STORE_FILE);
  const metrics = createMetrics(clock, { exact: settings.metricsMoney });
  const store = await createStore({
    engine: metrics.measuredEngine(engine),
    clock,
    random,
    name: env.kvUrl ? "the database of KV_URL" : `${env.dataDir}/${STORE_FILE}`,
    eventLogSize: env.eventLogSize,
    gatherMs: env.gatherMs,
  });
  const lightning = await openWallet(env, { dir, clock, random, log });
  const cloud = await openCloud(env, { dir, clock, random, log, store: lightning.store });
  const backups = await openSchedule(env, clock, log);
  const btcPrice = createBtcPriceFeed({
    sources: [
      coingecko({ url: btc.urls.coingecko }),
      coinbase({ url: btc.urls.coinbase }),
      kraken({ url: btc.urls.kraken }),
    ],
    clock,
    maxAgeMs: btc.maxAgeMs,
    fallbackUsd: btc.fallbackUsd,
    log,
  });
  return {
    services: {
      store,
      wallet: lightning.wallet,
      payoutJournal: payoutJournal(await dir.openJournal(JOURNAL_FILE)),
      model: await openModel(env, clock),
      liveText: createLiveText(),
      btcPrice,
      cloud: cloud.cloud,
      tailnet: openTailnet(env, clock),
      sealer: createSealer(await dir.secret("sealing.key", 32), random),
      publicFetch: createGuardedFetch({ network: publicNetwork, clock }),
      clock,
      random,
      recordIds: createRecordIds(await dir.secret("capability.key", 32)),
      identityTokens: createIdentityTokens({
        secrets: env.identity.tokenSecrets?.map(hexToBytes) ?? [await dir.secret("token.key", 32)],
        instance: settings.publicOrigin,
        ttlMs: env.identity.tokenMs,
      }),
      signInSecret: await dir.secret("sign-in.key", 32),
      instanceKey: createInstanceKey(env.nostrPrivateKey ?? await dir.secret("instance.key", 32)),
      attestor: createAttestor({ socket: env.attestationSocket, clock }),
      log,
      metrics,
      settings,
      ratesFor: (model) => ratesFor(model, env),
    },
    exclusive: engine.exclusive,
    dev: env.devRoutes === "off" ? null : { ...lightning.dev, localOnly: env.devRoutes === "this-machine" },
    freeBytes: () => dir.freeBytes(),
    afterRestore: after,
    start() {
      btcPrice.start();
      cloud.start();
      backups?.start();
    },
    async close() {
      await backups?.stop();
      await btcPrice.stop();
      cloud.close();
      await store.close();
      await lightning.store?.close();
      dir.release();
    },
  };
}

const payoutJournal = (file: JournalFile): PayoutJournal => ({
  append: (entry) => file.append(JSON.stringify(entry)),
  entries: async () => (await file.lines()).map(readEntry).filter((entry) => entry !== null),
});

/** @throws {SettingError} for a folder that this program may not write to */
async function openSchedule(env: Env, clock: Clock, log: Logger): Promise<Schedule | null> {
  if (!env.backups) return null;
  const { folder } = env.backups;
  try {
    await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new SettingError(
      `BACKUP_DIR: ${folder} cannot be written (${
        (cause as Error).message
      }): name a folder below ${env.dataDir}, or leave ` +
        "BACKUP_DIR out and have timmyctl backup write there",
      { cause },
    );
  }
  return createSchedule(env.backups, { data: env.dataDir, clock, log, program: VERSION });
}

interface OpenedWallet {
  wallet: Wallet;
  dev: Omit<DevTools, "localOnly">;
  /** The simulated wallet's own database: it stands for another system, so it shares no transaction with ours. */
  store?: Store;
}

async function openWallet(
  env: Env,
  parts: { dir: DataDir; clock: Clock; random: Random; log: Logger },
): Promise<OpenedWallet> {
  const { dir, clock, random, log } = parts;
  if (env.lightning.kind === "lnbits") {
    const { url, invoiceKey, adminKey, devPayerKey, webhookUrl } = env.lightning;
    const report = (level: "info" | "warn", message: string) => log[level]({ backend: "lnbits" }, message);
    const base = { url, clock, random, log: report };
    const wallet = createLnbitsWallet({
      ...base,
      invoiceKey,
      ...(adminKey !== undefined && { adminKey }),
      ...(webhookUrl !== undefined && { webhookUrl }),
    });
    const payerKey = devPayerKey ?? adminKey;
    const payer = payerKey === undefined
      ? null
      : createLnbitsWallet({ ...base, invoiceKey: payerKey, adminKey: payerKey });
    return { wallet, dev: lnbitsDevTools(payer, env.settings.payoutTimeoutMs) };
  }
  const seed = await dir.secret(WALLET_SEED, SEED_BYTES);
  const store = await createStore({
    engine: await dir.openEngine(WALLET_FILE),
    clock,
    random,
    name: `${env.dataDir}/${WALLET_FILE}`,
    gatherMs: env.gatherMs,
  });
  const wallet = createSimulatedWallet({ store, seed, clock, random });
  const dev: OpenedWallet["dev"] = {
    async pay({ paymentHash }) {
      const result = await wallet.payInvoice(paymentHash);
      if (result.ok) return { outcome: "paid", preimage: result.preimage };
      if (result.reason === "already-paid") return { outcome: "paid", preimage: null };
      return result.reason === "expired" ? { outcome: "expired" } : { outcome: "refused", reason: result.reason };
    },
    payerInvoice: (amountSats) => wallet.createExternalInvoice({ amountSats }),
  };
  return { wallet, dev, store };
}

/** With a token real machines; without one nodes are simulated, and report to this very process. */
async function openCloud(
  env: Env,
  parts: { dir: DataDir; clock: Clock; random: Random; log: Logger; store: Store | undefined },
): Promise<{ cloud: Cloud; start(): void; close(): void }> {
  const { dir, clock, random, log, store } = parts;
  if (env.digitalOcean) {
    return { cloud: createDigitalOcean({ ...env.digitalOcean, clock }), start() {}, close() {} };
  }
  const cloud = createSimulatedCloud({
    clock,
    random,
    seed: await dir.secret(CLOUD_SEED, SEED_BYTES),
    ...(store && { store }),
    async send({ url, token, body, signature }) {
      const own = new URL(new URL(url).pathname, originOf(listenedOn(env.host), env.port));
      const headers = {
        "Content-Type": "application/json",
        Authorization: `Bearer ${token}`,
        "X-Timmy-Signature": signature,
      };
      const answer = await fetch(own, { method: "POST", headers, body, signal: AbortSignal.timeout(REPORT_MS) });
      await answer.body?.cancel();
      return { status: answer.status };
    },
  });
  const failed = (error: unknown) => log.error({ error }, "the simulated nodes could not be taken up again");
  return { cloud, start: () => void cloud.start().catch(failed), close: () => cloud.close() };
}

const openTailnet = ({ tailscale }: Env, clock: Clock): Tailnet | null =>
  tailscale ? createTailscale({ ...tailscale, clock }) : null;

/** Pays our invoices from another wallet of the same LNbits (or, without one, from the wallet itself). */
function lnbitsDevTools(payer: Wallet | null, timeoutMs: number): OpenedWallet["dev"] {
  return {
    async pay({ paymentHash, paymentRequest, amountSats, expiresAt, settled }) {
      if (settled) return { outcome: "paid", preimage: null };
      if (!payer) {
        return { outcome: "refused", reason: "set LNBITS_ADMIN_KEY or LNBITS_DEV_PAYER_KEY to pay through LNbits" };
      }
      if (expiresAt <= systemClock.now()) return { outcome: "expired" };
      const result = await payer.pay({
        paymentHash,
        paymentRequest,
        amountSats,
        maxFeeSats: payoutFeeLimit(amountSats, 10),
        timeoutMs,
      });
      if (result.state === "paid") return { outcome: "paid", preimage: result.preimage };
      return { outcome: "refused", reason: "reason" in result ? result.reason : "the payment is still pending" };
    },
  };
}

/** Without a key the hosted models are simulated; `local/…` models are asked where LOCAL_MODEL_BASE_URL says. */
export async function openModel(env: Pick<Env, "anthropic" | "localModel" | "settings">, clock: Clock): Promise<Model> {
  const { anthropic, localModel } = env;
  const hosted = anthropic ? await anthropicModel(anthropic, clock) : createSimulatedModel({ clock });
  const router = createModelRouter({
    hosted,
    ...(localModel && { local: createOpenAiCompatibleModel({ ...localModel, clock }) }),
  });
  const used = [env.settings.evalModel, env.settings.workModel].map((name) => router.adapterFor(name));
  // A job is only real when both of its models are.
  return {
    ...router,
    name: [...new Set(used.map((adapter) => adapter?.name))].join("+"),
    simulated: used.some((adapter) => adapter?.simulated),
  };
}

/** The SDK is loaded only when it is used: it takes memory and start-up time that a Pi with a local model can do without. */
async function anthropicModel(options: { apiKey: string; baseURL?: string }, clock: Clock): Promise<Model> {
  const { createAnthropicModel } = await import("@/lib/ai/anthropic.ts");
  return createAnthropicModel({ ...options, clock });
}

/** The price list is loaded only for a model that needs it. @throws {SettingError} for a model nobody knows a price of. */
export async function ratesFor(model: string, env: Pick<Env, "modelRates">): Promise<Rates> {
  const configured = configuredRates(model, env.modelRates);
  if (configured) return configured;
  const prices = await import("@/lib/ai/prices.ts");
  try {
    return prices.ratesFor(model, env.modelRates);
  } catch (cause) {
    throw new SettingError((cause as Error).message, { cause });
  }
}

/** @throws {SettingError} when no KV Connect server answers there. */
export async function openRemoteEngine(url: string): Promise<Engine> {
  try {
    return await openDenoEngine(url, { exclusive: false });
  } catch (cause) {
    throw new SettingError("KV_URL: no KV Connect server answers there, or it refuses DENO_KV_ACCESS_TOKEN", { cause });
  }
}

/** A setting that turns out to be unusable only when it is used. */
export class SettingError extends Error {
  override name = "SettingError";
}
