import { assemble, type Timmy } from "@/assemble.ts";
import { parseEnv } from "@/env.ts";
import type { Background } from "@/queue.ts";
import { createSealer } from "@/lib/bootstrap/keys/sealed.ts";
import type { Cloud } from "@/lib/cloud/port.ts";
import type { Tailnet } from "@/lib/cloud/tailnet.ts";
import {
  createSimulatedCloud,
  type SimulatedCloud,
  type SimulatedFaults as SimulatedCloudFaults,
} from "@/lib/cloud/simulated.ts";
import type { SimulatedAccount, SimulatedTimes } from "@/lib/cloud/simulated-defaults.ts";
import { createSimulatedModel } from "@/lib/ai/simulated.ts";
import type { Model } from "@/lib/ai/port.ts";
import type { AppDeps } from "@/lib/http/app-deps.ts";
import type { Services, Settings } from "@/lib/services.ts";
import { audit, type AuditCheck, type AuditSource } from "@/lib/ledger/audit/audit.ts";
import type { AfterRestore, Decision } from "@/lib/backup/restored.ts";
import type { Restored } from "@/lib/backup/folder.ts";
import { type Clock, systemClock } from "@/lib/clock.ts";
import { createIdentityTokens } from "@/lib/identity/identity-token.ts";
import { createRecordIds, type Random, systemRandom } from "@/lib/ids.ts";
import { createStore, type Key, type Store, type StoreOptions, type Versioned } from "@/lib/store/store.ts";
import { openDenoEngine } from "@/lib/store/engines/deno.ts";
import type { Engine } from "@/lib/store/engine.ts";
import { createSimulatedWallet, type SimulatedWallet } from "@/lib/lightning/simulated.ts";
import type { SimulatedFaults } from "@/lib/lightning/simulated-faults.ts";
import type { Attestor } from "@/lib/attestation/port.ts";
import { createInstanceKey } from "@/lib/nostr/instance-key.ts";
import { createMetrics } from "@/lib/metrics/instruments.ts";
import { createLiveText } from "@/lib/metering/live-text.ts";
import type { Wallet } from "@/lib/lightning/port.ts";
import type { JournalEntry, PayoutJournal } from "@/lib/payments/journal.ts";
import type { LogFields, Logger } from "@/lib/logger.ts";
import { type GuardedFetch, GuardedFetchError } from "@/lib/public-fetch.ts";
import type { Rates } from "@/lib/metering/pricing.rules.ts";

const DEFAULTS = parseEnv({});
/** Of the default work model. */
export const TEST_RATES: Rates = DEFAULTS.modelRates.sonnet;
/** Those of an empty environment. */
export const TEST_SETTINGS: Settings = DEFAULTS.settings;

const NO_TEE: Attestor = {
  buildHash: () => Promise.resolve("unknown"),
  tlsKeyHash: null,
  quote: () => Promise.resolve(null),
};

export interface LogLine {
  level: string;
  fields: LogFields;
  message: string;
}

/** Without hosts of the test's own, the public internet is empty. */
const NOBODY = new GuardedFetchError("unreachable", "the host does not answer");

/** A journal on a disk that nothing happens to. */
export function createMemoryJournal(): PayoutJournal & { written: JournalEntry[] } {
  const written: JournalEntry[] = [];
  return {
    written,
    append: (entry) => Promise.resolve(void written.push(entry)),
    entries: () => Promise.resolve([...written]),
  };
}

/** A logger that keeps its lines. */
export function createLogCollector(): Logger & { lines: LogLine[] } {
  const lines: LogLine[] = [];
  const at = (level: string) => (fields: LogFields, message: string) => void lines.push({ level, fields, message });
  return { lines, debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

export interface WorldOptions {
  clock?: Clock;
  random?: Random;
  settings?: Partial<Settings>;
  /** Of every model; default: {@link TEST_RATES}. */
  rates?: Rates;
  /** Where nodes are made; default: the simulated cloud, whose nodes report to this instance. */
  cloud?: Cloud;
  /** What goes wrong at the simulated cloud, and how long things take there. */
  cloudFaults?: SimulatedCloudFaults;
  cloudTimes?: Partial<SimulatedTimes>;
  cloudAccount?: Partial<SimulatedAccount>;
  /** Wraps the cloud the program sees. */
  wrapCloud?: (cloud: Cloud) => Cloud;
  tailnet?: Tailnet;
  /** Given the wallet's clock; default: the simulated one. */
  model?: Model;
  faults?: SimulatedFaults;
  feeSats?: number;
  store?: Partial<StoreOptions>;
  rateLimitPerMinute?: number;
  challengesPerMinute?: number;
  /** The development routes answer only callers on this machine, as they do where real money is behind them. */
  devLocalOnly?: boolean;
  /** What is on the public internet; default: nothing answers there. */
  publicFetch?: (clock: Clock) => GuardedFetch;
  /** Wraps the wallet the program sees, e.g. with a defect that the harness must catch. */
  wrapWallet?: (wallet: SimulatedWallet) => Wallet;
  /** Default: one in memory, which outlives every crash. */
  payoutJournal?: PayoutJournal;
  /** Wraps the database the program sees. */
  wrapEngine?: (engine: Engine) => Engine;
  /** Background work in place of the real one: a naive one, which the harness must catch. */
  background?: (services: Services) => Background;
  /** Where the data lies; default: memory. */
  path?: string;
  /** Default: a machine without a TEE. */
  attestor?: Attestor;
  /** Opens the databases in place of Deno KV. */
  openEngine?: (name: "timmy.kv" | "wallet.kv") => Promise<Engine>;
}

export interface Answer {
  status: number;
  // The tests read what the wire says, whatever it is.
  // deno-lint-ignore no-explicit-any
  body: any;
  headers: Headers;
}

/** A whole instance in this process, over HTTP without a socket, with the real code and simulated services. */
export interface World {
  readonly store: Store;
  readonly deps: AppDeps;
  readonly app: Timmy["app"];
  readonly wallet: SimulatedWallet;
  /** The wallet's own database: what it really did, whatever the program believes. */
  readonly walletStore: Store;
  /** What the provider really has, whatever the program believes. */
  readonly cloud: Cloud;
  readonly log: ReturnType<typeof createLogCollector>;
  readonly clock: Clock;
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** The state is lost as by SIGKILL: calls of the old process never come back; the databases stay. Then starts anew. */
  crash(): Promise<void>;
  /**
   * The database is lost and one that was copied before takes its place, as after a restore; the wallet and the journal stay. The
   * instance is then recovering until it has caught up.
   * @param options.journal what is left of the journal; default: all of it
   */
  restore(engine: Engine, options: { backupAt: number; journal?: PayoutJournal; decision?: Decision }): Promise<void>;
  /** The operator's word, which the next start reads. */
  decide(decision: Decision): void;
  /** The first half of {@link crash}; the second one is `crash` itself. Until then nothing answers. */
  kill(): void;
  /** Every check of the audit, over this moment. Nothing may be writing meanwhile. */
  audit(): Promise<AuditCheck[]>;
  rows<T extends Versioned>(prefix: Key): Promise<{ key: Key; value: T }[]>;
  close(): Promise<void>;
}

/**
 * One life of a process: after `kill` its calls to the database, the wallet and the model neither answer nor begin, and
 * its timers do not fire. What had reached the wallet before goes on there.
 */
function mortal(engine: Engine, clock: Clock): {
  engine: Engine;
  clock: Clock;
  /** A backend as this life sees it. All its methods return promises, but for a model's `can`, which asks nobody. */
  tied<T extends object>(backend: T): T;
  tiedCall<A extends unknown[], T>(call: (...args: A) => Promise<T>): (...args: A) => Promise<T>;
  kill(): void;
  /** Rejects when it ends: a caller's connection breaks then. */
  ended: Promise<never>;
} {
  let alive = true;
  const end = Promise.withResolvers<never>();
  end.promise.catch(() => {}); // mostly nobody is connected
  const never = new Promise<never>(() => {});
  const living = <T>(fn: () => Promise<T>): Promise<T> => {
    if (!alive) return never;
    return fn().then((value) => alive ? value : never, (error) => alive ? Promise.reject(error) : never);
  };
  return {
    kill() {
      alive = false;
      end.reject(new Error("the connection broke"));
    },
    ended: end.promise,
    clock: { ...clock, after: (ms, fn) => clock.after(ms, () => alive && fn()) },
    tied: <T extends object>(backend: T): T =>
      new Proxy(backend, {
        get(target, name) {
          const member = Reflect.get(target, name);
          if (typeof member !== "function" || name === "can") return member;
          return (...args: unknown[]) => living(() => Reflect.apply(member, target, args));
        },
      }),
    tiedCall: (call) => (...args) => living(() => call(...args)),
    engine: {
      exclusive: engine.exclusive,
      get: (keys) => living(() => engine.get(keys)),
      list: (prefix, options) => living(() => engine.list(prefix, options)),
      commit: (commit) => living(() => engine.commit(commit)),
      onBell: () => {}, // the sweeper does without
      close: () => {}, // the world closes what the lives share
    },
  };
}

export async function createWorld(options: WorldOptions = {}): Promise<World> {
  const clock = options.clock ?? systemClock;
  const random = options.random ?? systemRandom;
  const settings = { ...TEST_SETTINGS, ...options.settings };
  const open = options.openEngine ??
    ((name) => openDenoEngine(options.path ? `${options.path}/${name}` : ":memory:", { exclusive: true }));
  const base = await open("timmy.kv");
  let engine = options.wrapEngine?.(base) ?? base;
  const walletStore = await createStore({ engine: await open("wallet.kv"), clock, random, gatherMs: 0 });
  const wallet = createSimulatedWallet({
    store: walletStore,
    seed: random.bytes(32),
    clock,
    random,
    ...(options.faults && { faults: options.faults }),
    ...(options.feeSats !== undefined && { feeSats: options.feeSats }),
  });
  const model = options.model ?? createSimulatedModel({ clock });
  const secret = random.bytes(32);
  const cloud = options.cloud ?? createSimulatedCloud({
    clock,
    random,
    seed: secret,
    ...(options.cloudFaults && { faults: options.cloudFaults }),
    ...(options.cloudTimes && { times: options.cloudTimes }),
    ...(options.cloudAccount && { account: options.cloudAccount }),
    async send({ url, token, body, signature }) {
      const headers = { authorization: `Bearer ${token}`, "x-timmy-signature": signature };
      return await Promise.race([now.life.ended, world.call("POST", new URL(url).pathname, body, headers)]);
    },
  });
  const log = createLogCollector();
  let journal = options.payoutJournal ?? createMemoryJournal();
  let restored: Restored | null = null;
  let decision: Decision | null = null;
  const afterRestore: AfterRestore = {
    restored: () => Promise.resolve(restored),
    caughtUp: () => Promise.resolve(void (restored = null)),
    decision: () => Promise.resolve(decision),
    decided: () => Promise.resolve(void (decision = null)),
  };

  async function start() {
    const life = mortal(engine, clock);
    const store = await createStore({ engine: life.engine, clock: life.clock, random, gatherMs: 0, ...options.store });
    const services = {
      store,
      wallet: life.tied(options.wrapWallet?.(wallet) ?? wallet),
      payoutJournal: life.tied(journal),
      model: life.tied(model),
      liveText: createLiveText(),
      btcPrice: { current: () => ({ usd: 100_000, source: "test", at: clock.now() }) },
      cloud: life.tied(options.wrapCloud?.(cloud) ?? cloud),
      tailnet: options.tailnet ? life.tied(options.tailnet) : null,
      sealer: createSealer(secret, random),
      publicFetch: life.tiedCall(
        options.publicFetch?.(life.clock) ?? (() => Promise.reject(NOBODY)),
      ),
      clock: life.clock,
      random,
      recordIds: createRecordIds(secret),
      identityTokens: createIdentityTokens({ secrets: [secret], instance: settings.publicOrigin, ttlMs: 86_400_000 }),
      signInSecret: secret,
      instanceKey: createInstanceKey(secret),
      attestor: options.attestor ?? NO_TEE,
      log,
      metrics: createMetrics(life.clock, { exact: settings.metricsMoney }),
      settings,
      ratesFor: () => Promise.resolve(options.rates ?? TEST_RATES),
    };
    const timmy = assemble({
      services,
      exclusive: true,
      version: "test",
      commit: "test",
      http: {
        ...DEFAULTS.http,
        rateLimitPerMinute: options.rateLimitPerMinute ?? 0,
        challengesPerMinute: options.challengesPerMinute ?? 0,
      },
      dev: {
        localOnly: options.devLocalOnly ?? false,
        pay: async (invoice) => {
          const paid = await wallet.payInvoice(invoice.paymentHash);
          return paid.ok ? { outcome: "paid", preimage: paid.preimage } : { outcome: "refused", reason: paid.reason };
        },
        payerInvoice: (amountSats) => wallet.createExternalInvoice({ amountSats }),
      },
      freeBytes: () => Promise.resolve(null),
      afterRestore,
      ...(options.background && { background: options.background }),
    });
    await timmy.start();
    return { life, store, ...timmy };
  }

  let now = await start();

  const world: World = {
    get store() {
      return now.store;
    },
    get deps() {
      return now.deps;
    },
    get app() {
      return now.app;
    },
    wallet,
    walletStore,
    cloud,
    log,
    clock,
    async call(method, path, body, headers = {}) {
      const response = await now.app.request(path, {
        method,
        headers: { ...(body !== undefined && { "content-type": "application/json" }), ...headers },
        ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      const json = text !== "" && response.headers.get("content-type")?.includes("json"); // a HEAD has no body
      return { status: response.status, body: json ? JSON.parse(text) : text, headers: response.headers };
    },
    kill: () => now.life.kill(),
    async restore(copy, { backupAt, journal: left = journal, decision: decided = null }) {
      now.life.kill();
      [engine, journal, decision] = [copy, left, decided];
      restored = { v: 1, backupAt, restoredAt: clock.now(), secrets: true };
      now = await start();
    },
    decide: (decided) => void (decision = decided),
    async crash() {
      now.life.kill();
      now = await start();
    },
    async rows<T extends Versioned>(prefix: Key) {
      const found: { key: Key; value: T }[] = [];
      let after: Key | undefined;
      do {
        const page = await now.store.list<T>(prefix, { limit: 500, ...(after && { after }) });
        found.push(...page);
        after = page.length === 500 ? page[page.length - 1]?.key : undefined;
      } while (after);
      return found;
    },
    async audit() {
      const source: AuditSource = {
        async *rows<T extends Versioned>(prefix: Key) {
          yield* await world.rows<T>(prefix);
        },
        row: (key) => now.store.get(key),
      };
      return await audit(source, await wallet.balanceSats());
    },
    async close() {
      if (!options.cloud) (cloud as SimulatedCloud).close();
      await now.stop(1_000);
      await now.store.close();
      await walletStore.close();
      base.close();
    },
  };
  return world;
}
