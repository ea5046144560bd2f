import { bytesToHex } from "@noble/hashes/utils.js";
import { z } from "zod";
import { parseTrustedProxies } from "@/middlewares/client-address.ts";
import type { Settings } from "@/lib/services.ts";
import { GRACE_MS } from "@/lib/sessions/repeats.ts";
import { contradictions, onlyHere, realParts } from "./env-contradictions.ts";
import {
  host,
  key,
  lnbits,
  MAX_SATS,
  MAX_USD,
  modelName,
  models,
  modelServer,
  nostrKey,
  number,
  origin,
  originOf,
  origins,
  proxies,
  publicUrl,
  secrets,
  server,
  slug,
  socket,
  tailnet,
  text,
  url,
  whole,
} from "./env-values.ts";

/** A variable that is set to nothing counts as not set. */
const given = (value: string | undefined) => (value === undefined || value.trim() === "" ? undefined : value.trim());

/** Every variable with its default (null: none). One place: the schema, `.env.example` and the permissions come from it. */
const VARIABLES = {
  HOST: [host, "127.0.0.1"],
  PORT: [whole(1, 65_535), "8080"],
  DATA_DIR: [text, "./data"],
  ATTESTATION_SOCKET: [socket, null],
  NOSTR_PRIVATE_KEY: [nostrKey, null],
  KV_URL: [server, null],
  DENO_KV_ACCESS_TOKEN: [key, null],
  PUBLIC_ORIGIN: [origin, null],
  NODE_ENV: [z.enum(["development", "test", "production"], "must be development, test or production"), "development"],
  LOG_LEVEL: [
    z.enum(["debug", "info", "warn", "error", "silent"], "must be debug, info, warn, error or silent"),
    "info",
  ],
  TRUSTED_PROXIES: [proxies, null],
  CORS_ORIGINS: [origins, "*"],
  RATE_LIMIT_PER_MINUTE: [whole(0, 1_000_000), "300"],
  RATE_LIMIT_CHALLENGES_PER_MINUTE: [whole(0, 1_000_000), "60"],
  MAX_OPEN_CHALLENGES: [whole(0, 10_000_000), "10000"],
  EVENT_LOG_SIZE: [whole(100, 10_000_000), "10000"],
  GATHER_MS: [whole(0, 50), "2"],
  BACKUP_DIR: [text, null],
  BACKUP_EVERY_HOURS: [whole(0, 8_760), "24"],
  BACKUP_KEEP: [whole(1, 10_000), "14"],
  BACKUP_PASSPHRASE: [text, null],
  METRICS_MONEY: [z.enum(["on", "off"], "must be on or off"), "off"],
  METRICS_PUSH_URL: [publicUrl, null],
  METRICS_PUSH_SECONDS: [whole(10, 86_400), "60"],
  METRICS_PUSH_TOKEN: [key, null],

  LNBITS_URL: [lnbits, null],
  LNBITS_API_KEY: [key, null],
  LNBITS_ADMIN_KEY: [key, null],
  LNBITS_WEBHOOK_URL: [url, null],
  LNBITS_DEV_PAYER_KEY: [key, null],
  INVOICE_EXPIRY_SECONDS: [whole(60, 86_400), "600"],
  PAYOUT_TIMEOUT_SECONDS: [whole(5, 300), "30"],

  AI_INTEGRATIONS_ANTHROPIC_API_KEY: [key, null],
  AI_INTEGRATIONS_ANTHROPIC_BASE_URL: [server, null],
  LOCAL_MODEL_BASE_URL: [modelServer, null],
  LOCAL_MODEL_API_KEY: [key, null],
  EVAL_MODEL: [modelName, "claude-haiku-4-5"],
  WORK_MODEL: [modelName, "claude-sonnet-4-6"],
  MODEL_DEADLINE_SECONDS: [whole(5, 3_600), "120"],

  EVAL_FEE_SATS: [whole(1, MAX_SATS), "10"],
  REQUEST_MAX_CHARS: [whole(1, 15_000), "500"],
  DO_MONTHLY_COST_USD: [number(0, MAX_USD), "100"],
  DO_MONTHLY_REQUEST_VOLUME: [number(1, MAX_USD), "1000"],
  ORIGINATOR_MARGIN_PCT: [number(0, 10_000), "25"],
  OUTPUT_TOKENS_SHORT_EST: [whole(1, 1_000_000), "200"],
  OUTPUT_TOKENS_MEDIUM_EST: [whole(1, 1_000_000), "400"],
  OUTPUT_TOKENS_LONG_EST: [whole(1, 1_000_000), "800"],
  SHORT_MAX_CHARS: [whole(1, 1_000_000), "100"],
  MEDIUM_MAX_CHARS: [whole(1, 1_000_000), "300"],
  WORK_SYSTEM_PROMPT_TOKENS_EST: [whole(0, 1_000_000), "50"],
  HAIKU_INPUT_COST_PER_1K_TOKENS: [number(0, 1_000), "0.0008"],
  HAIKU_OUTPUT_COST_PER_1K_TOKENS: [number(0, 1_000), "0.004"],
  SONNET_INPUT_COST_PER_1K_TOKENS: [number(0, 1_000), "0.003"],
  SONNET_OUTPUT_COST_PER_1K_TOKENS: [number(0, 1_000), "0.015"],
  LOCAL_INPUT_COST_PER_1K_TOKENS: [number(0, 1_000), "0"],
  LOCAL_OUTPUT_COST_PER_1K_TOKENS: [number(0, 1_000), "0"],

  BTC_PRICE_URL: [url, "https://api.coingecko.com/api/v3/simple/price?ids=bitcoin&vs_currencies=usd"],
  BTC_PRICE_SECOND_URL: [url, "https://api.coinbase.com/v2/prices/BTC-USD/spot"],
  BTC_PRICE_THIRD_URL: [url, "https://api.kraken.com/0/public/Ticker?pair=XBTUSD"],
  BTC_PRICE_MAX_AGE_SECONDS: [whole(60, 604_800), "3600"],
  BTC_PRICE_USD_FALLBACK: [number(1, MAX_USD), "100000"],

  SESSION_MIN_DEPOSIT_SATS: [whole(1, MAX_SATS), "100"],
  SESSION_MAX_DEPOSIT_SATS: [whole(1, MAX_SATS), "10000"],
  SESSION_MIN_BALANCE_SATS: [whole(0, MAX_SATS), "50"],
  SESSION_EXPIRY_HOURS: [whole(1, 87_600), "24"],
  L402_DEPOSIT_SATS: [whole(1, MAX_SATS), "500"],
  MIN_OUTPUT_TOKENS: [whole(1, 8_192), "64"],
  POOL_SEED_SATS: [whole(0, MAX_SATS), "10000"],
  POOL_CREDIT_PCT: [whole(0, 100), "10"],
  FREE_TIER_NEW_SATS: [whole(0, MAX_SATS), "0"],
  FREE_TIER_ESTABLISHED_SATS: [whole(0, MAX_SATS), "50"],
  FREE_TIER_TRUSTED_SATS: [whole(0, MAX_SATS), "200"],
  FREE_TIER_ELITE_SATS: [whole(0, MAX_SATS), "1000"],
  TRUST_ESTABLISHED: [whole(1, 1_000_000), "10"],
  TRUST_TRUSTED: [whole(1, 1_000_000), "50"],
  TRUST_ELITE: [whole(1, 1_000_000), "200"],
  TRUST_DECAY_AFTER_DAYS: [whole(0, 36_500), "30"],
  TRUST_DECAY_POINTS_PER_DAY: [whole(0, 1_000_000), "1"],
  TIMMY_TOKEN_SECRET: [secrets, null],
  IDENTITY_TOKEN_HOURS: [whole(1, 8_760), "24"],
  DEMO_DAILY_LIMIT: [whole(0, 1_000_000), "50"],
  FREE_FAILURES_SATS_PER_HOUR: [whole(0, MAX_SATS), "1000"],

  CHAT_EVALUATION: [z.enum(["on", "off"], "must be on or off"), "on"],
  CHAT_MODELS: [models, null],
  CHAT_OUTPUT_TOKENS: [whole(1, 8_192), "1024"],

  BOOTSTRAP_FEE_SATS: [whole(1, MAX_SATS), "10000"],
  BOOTSTRAP_DAYS: [whole(1, 3_650), "30"],
  BOOTSTRAP_CONCURRENCY: [whole(1, 100), "4"],
  BOOTSTRAP_POLL_MS: [whole(10, 600_000), "5000"],
  BOOTSTRAP_STEP_TIMEOUT_SECONDS: [whole(1, 3_600), "120"],
  BOOTSTRAP_FIRST_BOOT_TIMEOUT_SECONDS: [whole(1, 86_400), "1200"],
  BOOTSTRAP_KEY_WINDOW_SECONDS: [whole(1, 86_400), "600"],
  DO_API_TOKEN: [key, null],
  DO_API_BASE_URL: [server, "https://api.digitalocean.com"],
  DO_REGION: [slug, "nyc3"],
  DO_SIZE: [slug, "s-4vcpu-8gb"],
  DO_VOLUME_SIZE_GB: [whole(0, 16_384), "0"],
  DO_DISK_GB: [whole(60, 100_000), "160"],
  TAILSCALE_API_KEY: [key, null],
  TAILSCALE_TAILNET: [tailnet, null],
  TAILSCALE_API_BASE_URL: [server, "https://api.tailscale.com"],

  REFUND_MAX_FEE_SATS: [whole(0, MAX_SATS), "10"],
  REFUND_DUST_SATS: [whole(1, MAX_SATS), "1"],
  REFUND_CLAIM_DAYS: [whole(1, 3_650), "30"],
} as const satisfies Record<string, readonly [z.ZodType, string | null]>;

/** Variables that Deno KV reads itself; with one of them the database would not be the file it should be. */
const FORBIDDEN = ["DENO_KV_DB_MODE", "DENO_KV_PATH_PREFIX", "DENO_KV_DEFAULT_PATH"] as const;

type Name = keyof typeof VARIABLES;
/** The value of each variable; of one without a default it may be missing. */
export type Values = {
  [N in Name]:
    | z.output<(typeof VARIABLES)[N][0]>
    | ((typeof VARIABLES)[N][1] extends null ? undefined : never);
};

/** The names of all settings, and of the variables that must not be set. */
export const ENV_NAMES: readonly string[] = [...Object.keys(VARIABLES), ...FORBIDDEN];
/** Defaults as text, for `.env.example` and its test; null where there is none. */
export const ENV_DEFAULTS: Readonly<Record<string, string | null>> = Object.fromEntries(
  Object.entries(VARIABLES).map(([name, [, value]]) => [name, value]),
);

/** Settings as the program uses them; units stand in the names. */
export type Env = ReturnType<typeof grouped>;

/** Where payments go. */
type LightningSettings =
  | { kind: "simulated" }
  | { kind: "lnbits"; url: string; invoiceKey: string; adminKey?: string; devPayerKey?: string; webhookUrl?: string };

/** What is wrong with the environment: every variable at once, none of their values (any of them may hold a secret). */
export class EnvError extends Error {
  override name = "EnvError";
  constructor(readonly problems: readonly string[]) {
    super(`these settings are not usable:\n${problems.map((problem) => `  ${problem}`).join("\n")}`);
  }
}

/** Settings from environment variables. Reads nothing itself. @throws {EnvError} */
export function parseEnv(record: Readonly<Record<string, string | undefined>>): Env {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, [schema, fallback]] of Object.entries(VARIABLES)) {
    const raw = given(record[name]) ?? fallback;
    if (raw === null) continue;
    const result = (schema as z.ZodType).safeParse(raw);
    if (result.success) values[name] = result.data;
    else problems.push(`${name} ${result.error.issues[0]?.message ?? "is not valid"}`);
  }
  for (const name of FORBIDDEN) {
    if (record[name] !== undefined) {
      problems.push(`${name} must not be set: it would move the database away from DATA_DIR`);
    }
  }
  // A bad value looks like one that was never set: what it seems to contradict is not the reader's mistake.
  const bad = problems.map((problem) => problem.split(" ")[0]);
  const named = (text: string) => text.match(/[A-Z][A-Z0-9]*_[A-Z0-9_]+|HOST/g) ?? [];
  problems.push(
    ...contradictions(values as Partial<Values>).filter((text) => !named(text).some((name) => bad.includes(name))),
  );
  if (problems.length > 0) throw new EnvError(problems);
  return grouped(values as Values);
}

/** Who may use the routes that pay our own invoices: nobody in production, nor where real money or a real model meets strangers. */
function devRoutesFor(v: Values): "off" | "this-machine" | "anyone" {
  const { wallet, model } = realParts(v);
  if (v.NODE_ENV === "production") return "off";
  if (!wallet && !model) return "anyone";
  return onlyHere(v) ? "this-machine" : "off";
}

/** A name lies in the data folder; a path is what it says. */
const socketIn = (folder: string, socket: string | undefined) =>
  socket === undefined || socket.includes("/") ? socket : `${folder.replace(/\/+$/, "")}/${socket}`;

function lightningOf(v: Values): LightningSettings {
  if (v.LNBITS_URL === undefined || v.LNBITS_API_KEY === undefined) return { kind: "simulated" };
  return {
    kind: "lnbits",
    url: v.LNBITS_URL,
    invoiceKey: v.LNBITS_API_KEY,
    ...(v.LNBITS_ADMIN_KEY !== undefined && { adminKey: v.LNBITS_ADMIN_KEY }),
    ...(v.LNBITS_DEV_PAYER_KEY !== undefined && { devPayerKey: v.LNBITS_DEV_PAYER_KEY }),
    ...(v.LNBITS_WEBHOOK_URL !== undefined && { webhookUrl: v.LNBITS_WEBHOOK_URL }),
  };
}

function grouped(v: Values) {
  return {
    host: v.HOST,
    port: v.PORT,
    dataDir: v.DATA_DIR.replace(/(.)\/+$/, "$1"),
    attestationSocket: socketIn(v.DATA_DIR, v.ATTESTATION_SOCKET),
    nostrPrivateKey: v.NOSTR_PRIVATE_KEY,
    kvUrl: v.KV_URL,
    devRoutes: devRoutesFor(v),
    logLevel: v.LOG_LEVEL,
    eventLogSize: v.EVENT_LOG_SIZE,
    backups: v.BACKUP_DIR === undefined || v.BACKUP_EVERY_HOURS === 0 ? null : {
      folder: v.BACKUP_DIR.replace(/(.)\/+$/, "$1"),
      everyMs: v.BACKUP_EVERY_HOURS * 3_600_000,
      keep: v.BACKUP_KEEP,
      passphrase: v.BACKUP_PASSPHRASE ?? null,
    },
    gatherMs: v.GATHER_MS,
    http: {
      corsOrigins: v.CORS_ORIGINS,
      trustedProxies: v.TRUSTED_PROXIES ?? parseTrustedProxies([]),
      rateLimitPerMinute: v.RATE_LIMIT_PER_MINUTE,
      challengesPerMinute: v.RATE_LIMIT_CHALLENGES_PER_MINUTE,
    },
    lightning: lightningOf(v),
    anthropic: v.AI_INTEGRATIONS_ANTHROPIC_API_KEY === undefined ? undefined : {
      apiKey: v.AI_INTEGRATIONS_ANTHROPIC_API_KEY,
      ...(v.AI_INTEGRATIONS_ANTHROPIC_BASE_URL !== undefined && { baseURL: v.AI_INTEGRATIONS_ANTHROPIC_BASE_URL }),
    },
    localModel: v.LOCAL_MODEL_BASE_URL === undefined ? undefined : {
      baseURL: v.LOCAL_MODEL_BASE_URL,
      ...(v.LOCAL_MODEL_API_KEY !== undefined && { apiKey: v.LOCAL_MODEL_API_KEY }),
    },
    modelRates: {
      haiku: { inputUsdPer1k: v.HAIKU_INPUT_COST_PER_1K_TOKENS, outputUsdPer1k: v.HAIKU_OUTPUT_COST_PER_1K_TOKENS },
      sonnet: { inputUsdPer1k: v.SONNET_INPUT_COST_PER_1K_TOKENS, outputUsdPer1k: v.SONNET_OUTPUT_COST_PER_1K_TOKENS },
      local: { inputUsdPer1k: v.LOCAL_INPUT_COST_PER_1K_TOKENS, outputUsdPer1k: v.LOCAL_OUTPUT_COST_PER_1K_TOKENS },
    },
    btc: {
      urls: { coingecko: v.BTC_PRICE_URL, coinbase: v.BTC_PRICE_SECOND_URL, kraken: v.BTC_PRICE_THIRD_URL },
      maxAgeMs: v.BTC_PRICE_MAX_AGE_SECONDS * 1_000,
      fallbackUsd: v.BTC_PRICE_USD_FALLBACK,
    },
    digitalOcean: v.DO_API_TOKEN === undefined ? undefined : { token: v.DO_API_TOKEN, baseUrl: v.DO_API_BASE_URL },
    tailscale: v.TAILSCALE_API_KEY === undefined || v.TAILSCALE_TAILNET === undefined
      ? undefined
      : { apiKey: v.TAILSCALE_API_KEY, tailnet: v.TAILSCALE_TAILNET, baseUrl: v.TAILSCALE_API_BASE_URL },
    identity: { tokenSecrets: v.TIMMY_TOKEN_SECRET, tokenMs: v.IDENTITY_TOKEN_HOURS * 3_600_000 },
    settings: settingsOf(v),
  };
}

/** The figures that rules and handlers need, as `lib/services.ts` composes them of what each slice asks for. */
function settingsOf(v: Values) {
  return {
    publicOrigin: v.PUBLIC_ORIGIN ?? new URL(originOf(v.HOST, v.PORT)).origin,
    evalModel: v.EVAL_MODEL,
    workModel: v.WORK_MODEL,
    modelDeadlineMs: v.MODEL_DEADLINE_SECONDS * 1_000,
    evalFeeSats: v.EVAL_FEE_SATS,
    invoiceExpirySeconds: v.INVOICE_EXPIRY_SECONDS,
    requestMaxChars: v.REQUEST_MAX_CHARS,
    price: {
      doMonthlyCostUsd: v.DO_MONTHLY_COST_USD,
      doMonthlyRequestVolume: v.DO_MONTHLY_REQUEST_VOLUME,
      marginPct: v.ORIGINATOR_MARGIN_PCT,
      outputTokensShort: v.OUTPUT_TOKENS_SHORT_EST,
      outputTokensMedium: v.OUTPUT_TOKENS_MEDIUM_EST,
      outputTokensLong: v.OUTPUT_TOKENS_LONG_EST,
      shortMaxChars: v.SHORT_MAX_CHARS,
      mediumMaxChars: v.MEDIUM_MAX_CHARS,
      systemPromptTokens: v.WORK_SYSTEM_PROMPT_TOKENS_EST,
    },
    refundDustSats: v.REFUND_DUST_SATS,
    refundClaimDays: v.REFUND_CLAIM_DAYS,
    refundMaxFeeSats: v.REFUND_MAX_FEE_SATS,
    payoutTimeoutMs: v.PAYOUT_TIMEOUT_SECONDS * 1_000,
    graceMs: GRACE_MS,
    sessions: {
      minDepositSats: v.SESSION_MIN_DEPOSIT_SATS,
      maxDepositSats: v.SESSION_MAX_DEPOSIT_SATS,
      minBalanceSats: v.SESSION_MIN_BALANCE_SATS,
      expiryMs: v.SESSION_EXPIRY_HOURS * 3_600_000,
    },
    l402DepositSats: v.L402_DEPOSIT_SATS,
    maxOpenChallenges: v.MAX_OPEN_CHALLENGES,
    minOutputTokens: v.MIN_OUTPUT_TOKENS,
    chatEvaluation: v.CHAT_EVALUATION === "on",
    chatModels: v.CHAT_MODELS ?? [...new Set([v.WORK_MODEL, v.EVAL_MODEL])],
    chatOutputTokens: v.CHAT_OUTPUT_TOKENS,
    freeTier: {
      config: {
        dailySats: {
          new: v.FREE_TIER_NEW_SATS,
          established: v.FREE_TIER_ESTABLISHED_SATS,
          trusted: v.FREE_TIER_TRUSTED_SATS,
          elite: v.FREE_TIER_ELITE_SATS,
        },
        poolCreditPct: v.POOL_CREDIT_PCT,
      },
      trust: {
        established: v.TRUST_ESTABLISHED,
        trusted: v.TRUST_TRUSTED,
        elite: v.TRUST_ELITE,
        decayAfterDays: v.TRUST_DECAY_AFTER_DAYS,
        decayPointsPerDay: v.TRUST_DECAY_POINTS_PER_DAY,
      },
    },
    freeFailures: { satsPerHour: v.FREE_FAILURES_SATS_PER_HOUR },
    bootstrap: {
      feeSats: v.BOOTSTRAP_FEE_SATS,
      days: v.BOOTSTRAP_DAYS,
      concurrency: v.BOOTSTRAP_CONCURRENCY,
      pollMs: v.BOOTSTRAP_POLL_MS,
      stepTimeoutMs: v.BOOTSTRAP_STEP_TIMEOUT_SECONDS * 1_000,
      firstBootTimeoutMs: v.BOOTSTRAP_FIRST_BOOT_TIMEOUT_SECONDS * 1_000,
      keyWindowMs: v.BOOTSTRAP_KEY_WINDOW_SECONDS * 1_000,
      region: v.DO_REGION,
      size: v.DO_SIZE,
      volumeGb: v.DO_VOLUME_SIZE_GB,
      diskGb: v.DO_DISK_GB,
    },
    metricsMoney: v.METRICS_MONEY === "on",
    metricsPush: v.METRICS_PUSH_URL === undefined ? null : {
      url: v.METRICS_PUSH_URL,
      token: v.METRICS_PUSH_TOKEN ?? null,
      everyMs: v.METRICS_PUSH_SECONDS * 1_000,
    },
    poolSeedSats: v.POOL_SEED_SATS,
    demoDailyLimit: v.DEMO_DAILY_LIMIT,
  } satisfies Settings;
}

/** The secrets among the settings, for tests that look for them where they must not be. */
export function secretsOf(env: Env): string[] {
  const { lightning, anthropic, localModel, digitalOcean, tailscale } = env;
  const pushToken = env.settings.metricsPush?.token ?? undefined;
  const keys = lightning.kind === "lnbits" ? [lightning.invoiceKey, lightning.adminKey, lightning.devPayerKey] : [];
  const own = env.nostrPrivateKey && bytesToHex(env.nostrPrivateKey);
  const others = [own, anthropic?.apiKey, localModel?.apiKey, digitalOcean?.token, tailscale?.apiKey, pushToken];
  return [...keys, ...others, ...(env.identity.tokenSecrets ?? [])].filter((key) => key !== undefined);
}
