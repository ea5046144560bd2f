import type { Attestor } from "./attestation/port.ts";
import type { Model } from "./ai/port.ts";
import type { Sealer } from "./bootstrap/keys/sealed.ts";
import type { BtcPriceFeed } from "./btc-price/port.ts";
import type { Clock } from "./clock.ts";
import type { Cloud } from "./cloud/port.ts";
import type { Tailnet } from "./cloud/tailnet.ts";
import type { IdentityTokens } from "./identity/identity-token.ts";
import type { Random, RecordIds } from "./ids.ts";
import type { InstanceKey } from "./nostr/instance-key.ts";
import type { Store } from "./store/store.ts";
import type { LiveText } from "./metering/live-text.ts";
import type { Wallet } from "./lightning/port.ts";
import type { PayoutJournal } from "./payments/journal.ts";
import type { Metrics } from "./metrics/instruments.ts";
import type { PushSettings } from "./metrics/push.ts";
import type { Logger } from "./logger.ts";
import type { GuardedFetch } from "./public-fetch.ts";
import type { PriceConfig, Rates } from "./metering/pricing.rules.ts";
import type { SessionTerms } from "./sessions/sessions.machine.ts";
import type { FreeTier } from "./free-tier/pool.rows.ts";

/** The operator's figures that rules and handlers need; sats, ms and USD as named. */
export interface Settings {
  publicOrigin: string;
  evalModel: string;
  workModel: string;
  evalFeeSats: number;
  invoiceExpirySeconds: number;
  requestMaxChars: number;
  price: PriceConfig;
  modelDeadlineMs: number;
  refundDustSats: number;
  refundClaimDays: number;
  refundMaxFeeSats: number;
  payoutTimeoutMs: number;
  /** How long work goes on after its last caller left without any text (ms). */
  graceMs: number;
  freeTier: FreeTier;
  /** What the instance bears in an hour for failures before any text (sats). */
  freeFailures: { satsPerHour: number };
  /** What the operator gives the pool at the first start (sats). */
  poolSeedSats: number;
  bootstrap: BootstrapSettings;
  /** Whether the metrics tell sums of money. */
  metricsMoney: boolean;
  /** Where the metrics are sent; null: nowhere. */
  metricsPush: PushSettings | null;
  /** Demo answers a UTC day in all; 0: none. */
  demoDailyLimit: number;
  sessions: SessionTerms & { minDepositSats: number; maxDepositSats: number };
  /** The least that a 402 challenge asks for (sats). */
  l402DepositSats: number;
  /** Sessions and jobs that may wait for their first payment at once; 0: any number. */
  maxOpenChallenges: number;
  /** No request starts that could not pay for so many output tokens. */
  minOutputTokens: number;
  chatEvaluation: boolean;
  /** Models of /api/v1; the first one is the default. */
  chatModels: readonly string[];
  /** Output tokens held for when a chat names none. */
  chatOutputTokens: number;
}

/** What a node costs, what is ordered for it, and how long each part of its way may take. */
export interface BootstrapSettings {
  feeSats: number;
  /** How long the fee pays the machine (days). */
  days: number;
  /** Steps under way at once. */
  concurrency: number;
  /** How often a machine that is being made is looked at (ms). */
  pollMs: number;
  /** One step before the first boot, its repeats included (ms). */
  stepTimeoutMs: number;
  firstBootTimeoutMs: number;
  /** How long a private key that was handed over can be fetched again (ms). */
  keyWindowMs: number;
  region: string;
  size: string;
  /** 0: none, and the data lie on the machine's own disk of `diskGb`. */
  volumeGb: number;
  diskGb: number;
}

/** Services: what `deps.ts` puts together from the environment, and tests from simulated parts. */
export interface Services {
  store: Store;
  wallet: Wallet;
  /** Written before the wallet pays: it outlives the database. */
  payoutJournal: PayoutJournal;
  model: Model;
  liveText: LiveText;
  btcPrice: BtcPriceFeed;
  /** The only way to hosts that strangers name. */
  publicFetch: GuardedFetch;
  clock: Clock;
  random: Random;
  recordIds: RecordIds;
  /** Where nodes are made; simulated without a provider's token. */
  cloud: Cloud;
  /** The private network that nodes join; null: none. */
  tailnet: Tailnet | null;
  /** Keeps secrets in the store that only this instance can read. */
  sealer: Sealer;
  identityTokens: IdentityTokens;
  /** Signs sign-in challenges, so that none has to be stored before somebody answers it. */
  signInSecret: Uint8Array;
  /** Signs what the instance itself stands for. */
  instanceKey: InstanceKey;
  /** What the machine can prove of itself. */
  attestor: Attestor;
  log: Logger;
  metrics: Metrics;
  settings: Settings;
  /** What a model costs (USD per 1,000 tokens). Rejects with an Error that says what to set, for a model without a price. */
  ratesFor(model: string): Promise<Rates>;
}

/** Which backends are simulated: every answer about what they made says so. */
export const simulatedParts = ({ wallet, model }: Pick<Services, "wallet" | "model">): string[] =>
  [wallet.simulated && "lightning", model.simulated && "model"].filter((name) => name !== false);
