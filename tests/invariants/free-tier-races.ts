/** Many ask at once for what the pool, or a key's budget, has for a few (economy.md §7). */
import type { Model, Usage, WorkResult } from "@/lib/ai/port.ts";
import { type Clock, sleep } from "@/lib/clock.ts";
import { decode } from "@/lib/store/codec.ts";
import type { Engine } from "@/lib/store/engine.ts";
import { balanceOf, type Counters } from "@/lib/ledger/ledger.rules.ts";
import type { SessionRequest } from "@/lib/sessions/requests.machine.ts";
import { balance } from "@/lib/ledger/ledger.rows.ts";
import { type Subsidy, usedToday } from "@/lib/free-tier/pool.rows.ts";
import type { Job } from "@/lib/jobs/jobs.machine.ts";
import { createFakeWorld, type FakeWorld } from "../harness/fake-world.ts";
import { keyWith, SCORE, type TestKey } from "../harness/keys.ts";
import { type Dice, diceOf } from "./rush.ts";
import { paidSession } from "../harness/session-payer.ts";
import { TEST_SETTINGS, type WorldOptions } from "../harness/world.ts";
import type { Naive } from "./naive.ts";
import { assertAlways, assertAtRest, History } from "./rules.ts";
import { must } from "./violation.ts";

export const POOL_SATS = 1_000;
const CALLERS = 500;
const KEYS = 25;
export const BUDGET_PAYS_FOR = 4;
const CALLERS_OF_ONE = 200;
/** Longer than every decision of a round takes: nothing comes back to the pool while somebody still asks (ms). */
const WORK_MS = 20_000;
const SESSION_SATS = 5_000;

/** How those who asked were served: from the pool, in part, or not; `refused` had no balance for the rest (402). */
export interface Raced {
  free: number;
  partial: number;
  gate: number;
  refused: number;
  grantedSats: number;
}

/** A model that takes its time, and less than it may, as the dice say. */
function modelOf(below: Dice, clock: () => Clock): Model {
  const usage = (inputs: number, outputs: number): Usage => ({
    inputTokens: 1 + below(inputs),
    outputTokens: 1 + below(outputs),
    source: "api",
  });
  const write = async (
    { maxOutputTokens, signal }: { maxOutputTokens: number; signal: AbortSignal },
  ): Promise<WorkResult> => {
    await sleep(clock(), WORK_MS, signal);
    return { text: "an answer", usage: usage(50, maxOutputTokens), finish: "stop" };
  };
  return {
    name: "dice",
    simulated: true,
    can: () => false,
    evaluate: async ({ signal }) => {
      await sleep(clock(), below(3) * below(50), signal);
      return { accepted: true, reason: "the dice say so", usage: usage(400, 100) };
    },
    work: write,
    chat: write,
  };
}

/** Looks at every commit: a pool below zero is found at the very moment, not only in the end. */
function watching(engine: Engine, below: (sats: number) => void): Engine {
  const commit: Engine["commit"] = (one) => {
    for (const { key, value } of one.set) {
      if (key[0] !== "account" || key[1] !== "pool") continue;
      const sats = balanceOf(decode<Counters>(value));
      if (sats < 0) below(sats);
    }
    return engine.commit(one);
  };
  return new Proxy(engine, { get: (target, name) => name === "commit" ? commit : Reflect.get(target, name) });
}

interface Round {
  fake: FakeWorld;
  below: Dice;
  /** A job of this key, its evaluation paid. */
  job(key: TestKey, request: string): Promise<void>;
  ask(key: TestKey, request: string): Promise<void>;
  /** Lets everybody ask, and counts when all is decided and before any work is done. */
  decided(asked: Promise<void>[]): Promise<Raced>;
}

/** Plays one round, and holds the rules against its end. @throws {Violation} */
async function round(
  seed: number,
  options: Pick<WorldOptions, "settings" | "background">,
  play: (round: Round) => Promise<Raced>,
): Promise<Raced> {
  const below = diceOf(seed);
  const overdrawn: number[] = [];
  let fake: FakeWorld | null = null;
  fake = await createFakeWorld(seed, {
    ...options,
    model: modelOf(below, () => (fake as FakeWorld).clock),
    wrapEngine: (engine) => watching(engine, (sats) => overdrawn.push(sats)),
  });
  const { world, clock, call } = fake;
  try {
    const session = await paidSession(world, call, SESSION_SATS);
    let refused = 0;
    const decided = async (asked: Promise<void>[]): Promise<Raced> => {
      const all = Promise.all(asked);
      all.catch(() => {}); // awaited below
      await clock.advance(WORK_MS / 2);
      const jobs = (await world.rows<Job>(["job"])).map(({ value }) => value);
      const requests = (await world.rows<SessionRequest>(["session_request"])).map(({ value }) => value);
      const subsidies = (await world.rows<Subsidy>(["subsidy"])).map(({ value }) => value);
      must(jobs.every(({ state }) => state !== "evaluating"), "everything is decided", "a job is still evaluated");
      must(
        subsidies.every(({ state }) => state === "reserved"),
        "everything is decided",
        "a subsidy is settled already",
      );
      await clock.advance(WORK_MS * 4); // no more than 32 work at once
      await all;
      const served = (serve: string) => [...jobs, ...requests].filter(({ freeTier }) => freeTier?.serve === serve);
      const whole = served("free").every(({ grantedSats, freeTier }) => grantedSats === freeTier?.absorbSats);
      must(whole, "free is the whole price", `${served("free").length} free`);
      return {
        free: served("free").length,
        partial: served("partial").length,
        gate: served("gate").length,
        refused,
        grantedSats: subsidies.reduce((sum, { reservedSats }) => sum + reservedSats, 0),
      };
    };
    const raced = await play({
      fake,
      below,
      decided,
      async job({ auth }, request) {
        const { status, body } = await world.call("POST", "/api/jobs", { request }, auth);
        must(status === 201, "creating a job is answered", String(status));
        await world.wallet.payInvoice(body.evalInvoice.paymentHash);
      },
      async ask({ auth }, request) {
        const { status } = await world.call("POST", `${session.path}/request`, { request }, {
          ...session.auth,
          ...auth,
        });
        must(status === 200 || status === 202 || status === 402, "a request is answered", String(status));
        if (status === 402) refused++;
      },
    });
    must(overdrawn.length === 0, "the pool never goes below zero", overdrawn.join(", "));
    await assertAlways(fake, new History(), `seed ${seed}`);
    await assertAtRest(fake, new History());
    return raced;
  } finally {
    fake.discard();
  }
}

/**
 * Five hundred ask at once, of a pool of 1,000 sats: from the session, every fifth round a hundred of them by jobs, and in
 * every hundredth all of them.
 */
export function drainRace(seed: number, background?: Naive): Promise<Raced> {
  const settings = { poolSeedSats: POOL_SATS };
  return round(seed, { settings, ...(background && { background }) }, async ({ fake, below, job, ask, decided }) => {
    const { world, clock } = fake;
    const keys: TestKey[] = [];
    for (let n = 1; n <= KEYS; n++) keys.push(await keyWith(world, below(4) === 0 ? SCORE.trusted : SCORE.elite, n));
    const jobs = seed % 100 === 99 ? CALLERS : seed % 5 === 0 ? 100 : 0;
    const raced = await decided(Array.from({ length: CALLERS }, (_, i) => {
      const key = keys[below(KEYS)] as TestKey;
      const request = "x".repeat(1 + below(400));
      return i < jobs ? job(key, request) : ask(key, request);
    }));
    must(raced.grantedSats <= POOL_SATS, "no more is granted than the pool has", `${raced.grantedSats} sats`);
    const all = raced.free + raced.partial + raced.gate + raced.refused;
    must(all === CALLERS, "everybody is served free, in part, or pays", `${all} of ${CALLERS}`);
    for (const { pubkey } of keys) {
      const used = await usedToday(world.store, pubkey, clock.now());
      must(used <= TEST_SETTINGS.freeTier.config.dailySats.elite, "no key is above its day's budget", `${used} sats`);
    }
    return raced;
  });
}

/** What one request of this kind is estimated to cost (sats). */
async function priceOf(kind: "job" | "ask", request: string): Promise<number> {
  let sats = 0;
  await round(1, {}, async ({ fake, job, ask, decided }) => {
    const key = await keyWith(fake.world, SCORE.elite);
    const raced = await decided([kind === "job" ? job(key, request) : ask(key, request)]);
    sats = raced.grantedSats;
    return raced;
  });
  return sats;
}

/** Two hundred requests of one key at once, with a budget for four of them and a bit. */
export async function budgetRace(seed: number, kind: "job" | "ask", background?: Naive): Promise<Raced> {
  const request = "What is a hold invoice?";
  const sats = await priceOf(kind, request);
  const { freeTier } = TEST_SETTINGS;
  const budget = BUDGET_PAYS_FOR * sats + seed % sats;
  const config = { ...freeTier.config, dailySats: { ...freeTier.config.dailySats, trusted: budget } };
  const settings = { poolSeedSats: 100_000, freeTier: { ...freeTier, config } };
  return await round(seed, { settings, ...(background && { background }) }, async ({ fake, job, ask, decided }) => {
    const key = await keyWith(fake.world, SCORE.trusted);
    const raced = await decided(
      Array.from({ length: CALLERS_OF_ONE }, () => kind === "job" ? job(key, request) : ask(key, request)),
    );
    must(raced.grantedSats <= budget, "no key is above its day's budget", `${raced.grantedSats} of ${budget}`);
    must(raced.free <= BUDGET_PAYS_FOR, "no more is free than the budget pays for", `${raced.free} free`);
    must(await balance(fake.world.store, "pool") >= 0, "the pool never goes below zero", "");
    return raced;
  });
}
