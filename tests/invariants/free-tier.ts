/**
 * One random history of the free tier: keys of every tier that ask by jobs and from a session, pay, pay late or never, a pool
 * that others drain and fill, a model that fails, days that change, and deaths at any commit. After each step the rules of
 * economy.md §4, §7 and §8 are held against the rows of the program's database. The same case gives the same history.
 */
import { type Account, OPERATOR, POOL, reservedAccount } from "@/lib/ledger/accounts.ts";
import fc from "fast-check";
import type { Model } from "@/lib/ai/port.ts";
import type { SimulatedFault as ModelFault } from "@/lib/ai/simulated.ts";
import type { Services } from "@/lib/services.ts";
import type { Key, Store, Versioned } from "@/lib/store/store.ts";
import { utcDay } from "@/lib/clock.ts";
import type { Refund } from "@/lib/payments/refunds.machine.ts";
import { type SessionRequest } from "@/lib/sessions/requests.machine.ts";
import type { TaskRow } from "@/lib/tasks/due.ts";
import { accountKey, balance, entryKey } from "@/lib/ledger/ledger.rows.ts";
import { type Counters, NO_COUNTERS } from "@/lib/ledger/ledger.rules.ts";
import { type BudgetRow, decideDryRun, getSubsidy, type Subsidy } from "@/lib/free-tier/pool.rows.ts";
import { createBackground } from "@/queue.ts";
import type { Job } from "@/lib/jobs/jobs.machine.ts";
import { createFakeWorld, type FakeWorld } from "../harness/fake-world.ts";
import { keyWith } from "../harness/keys.ts";
import { type PaidSession, paidSession } from "../harness/session-payer.ts";
import { TEST_RATES, TEST_SETTINGS, type WorldOptions } from "../harness/world.ts";
import { deaths } from "./deaths.ts";
import type { Naive } from "./naive.ts";
import { assertAlways, assertAtRest, History } from "./rules.ts";
import { must, Violation } from "./violation.ts";

/** Trust scores of the keys, so far from the next tier's threshold that a history does not reach it, but for the first. */
const SCORES = [9, 12, 60, 230, 55] as const;
/** The most that each may take in a day: the budget of the highest tier it can have. */
const BUDGETS = [50, 50, 200, 1_000, 200] as const;
const REQUESTS = [
  "What is a hold invoice?",
  "hello",
  "[fail-work]",
  "[refuse]",
  "[fail-eval]",
  "[slow:2500] hello",
] as const;
const HOUR = 3_600_000;

/** What is played: the real program, or one with a mistake in it. */
export interface Program {
  background?: Naive;
  /** What a key is told before it asks. Default: the route of estimates, and the dry run behind it. */
  estimate?: (fake: FakeWorld, pubkey: string, auth: Record<string, string>) => Promise<void>;
  /** Looks at the books once everything has come to rest. */
  atRest?: (fake: FakeWorld) => Promise<void>;
}

export type Act =
  /** A key creates a job and pays its evaluation. */
  | { act: "job"; key: number; request: number }
  /** A key asks from the session. */
  | { act: "ask"; key: number; request: number }
  /** The work invoice is paid; `late`: even when it has expired. A job that nobody pays is abandoned. */
  | { act: "pay"; job: number; late: boolean }
  | { act: "drain" | "donate"; sats: number }
  | { act: "model fault"; call: "evaluate" | "work"; fault: ModelFault }
  | { act: "wait"; ms: number }
  | { act: "leap"; to: "invoice expiry" | "midnight" | "next day" | "subsidy expiry" }
  | { act: "crash" }
  | { act: "die at commit"; in: number; when: "before" | "after" };

/** Acts of one step begin at once; the step ends when nothing moves any more without time. */
export interface Case {
  seed: number;
  poolSats: number;
  /** The model is dear and the machine costs nothing: then answers differ in price, and help is often more than is used. */
  dear: boolean;
  steps: Act[][];
}

const key = fc.nat({ max: SCORES.length - 1 });
const request = fc.oneof(
  { weight: 3, arbitrary: fc.nat({ max: 1 }) },
  { weight: 2, arbitrary: fc.nat({ max: REQUESTS.length - 1 }) },
);
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ act: fc.constant("job"), key, request }) },
  { weight: 5, arbitrary: fc.record({ act: fc.constant("ask"), key, request }) },
  { weight: 8, arbitrary: fc.record({ act: fc.constant("pay"), job: fc.nat({ max: 5 }), late: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({ act: fc.constantFrom("drain", "donate"), sats: fc.constantFrom(1, 30, 120, 400, 100_000) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      act: fc.constant("model fault"),
      call: fc.constantFrom("evaluate", "work"),
      fault: fc.oneof(
        fc.constantFrom<ModelFault>({ kind: "passing" }, { kind: "permanent" }, { kind: "hang" }),
        fc.integer({ min: 1, max: 4_000 }).map((ms): ModelFault => ({ kind: "delay", ms })),
      ),
    }),
  },
  { weight: 3, arbitrary: fc.record({ act: fc.constant("wait"), ms: fc.constantFrom(1, 400, 1_500, 6_000) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      act: fc.constant("leap"),
      to: fc.constantFrom("invoice expiry", "midnight", "next day", "subsidy expiry"),
    }),
  },
  ...deaths(3, 6),
) as fc.Arbitrary<Act>;

/** What a key that was offered help and a pool that may not have it any more do. */
const helpAct: fc.Arbitrary<Act> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ act: fc.constant("pay"), job: fc.nat({ max: 2 }), late: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("drain"), sats: fc.constantFrom(30, 120, 100_000) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant("ask"), key, request: fc.nat({ max: 1 }) }) },
  { weight: 6, arbitrary: act },
) as fc.Arbitrary<Act>;
/** Two keys whose budget covers a part: else few histories would come to help. */
const OFFERED: Act[][] = [[{ act: "job", key: 1, request: 0 }, { act: "job", key: 1, request: 1 }, {
  act: "job",
  key: 2,
  request: 0,
}]];

const stepsOf = (one: fc.Arbitrary<Act>, minLength: number, maxLength: number) =>
  fc.array(fc.array(one, { minLength: 1, maxLength: 4 }), { minLength, maxLength, size: "max" });

export const cases: fc.Arbitrary<Case> = fc.record({
  seed: fc.nat({ max: 0x7fffffff }),
  poolSats: fc.constantFrom(0, 40, 130, 260, 500, 2_000, 10_000),
  dear: fc.boolean(),
  steps: fc.oneof(stepsOf(act, 3, 9), stepsOf(helpAct, 2, 7).map((steps) => [...OFFERED, ...steps])),
});

/** What happened in histories, so that nobody is content with a harness in which nothing does. */
export interface Outcome {
  /** Jobs and requests that were served whole, and in part, and not at all. */
  free: number;
  helped: number;
  gate: number;
  /** Advised help that was not there any more when it was paid. */
  drained: number;
  /** Jobs that were advised help and never paid. */
  abandoned: number;
  failed: number;
  deaths: number;
}

function settingsOf({ poolSats, dear }: Case): Pick<WorldOptions, "settings" | "rates"> {
  const settings = {
    poolSeedSats: poolSats,
    modelDeadlineMs: 5_000,
    sessions: { ...TEST_SETTINGS.sessions, expiryMs: 90 * 24 * HOUR },
    ...(dear && { price: { ...TEST_SETTINGS.price, doMonthlyCostUsd: 0 } }),
  };
  const rates = { inputUsdPer1k: TEST_RATES.inputUsdPer1k * 60, outputUsdPer1k: TEST_RATES.outputUsdPer1k * 60 };
  return { settings, ...(dear && { rates }) };
}

/** Plays a case. @throws {Violation} for the first rule that did not hold. */
export async function play(one: Case, program: Program = {}): Promise<Outcome> {
  const player = await Player.begin(one, program);
  try {
    for (const [i, step] of one.steps.entries()) {
      await player.step(step);
      await player.check(`step ${i}: ${step.map(({ act }) => act).join(" + ")}`);
    }
    await player.comeToRest();
    await player.check("at rest");
    await player.checkRest();
    await program.atRest?.(player.fake);
    return await player.outcome();
  } finally {
    player.fake.discard();
  }
}

class Player {
  readonly history = new History();
  readonly #program: Program;
  readonly #pubkeys: string[] = [];
  #session: PaidSession | null = null;
  #dead = false;
  #deaths = 0;
  #requests = 0;
  fake!: FakeWorld;

  constructor(program: Program) {
    this.#program = program;
  }

  static async begin(one: Case, program: Program): Promise<Player> {
    const player = new Player(program);
    const background = program.background ?? ((services: Services) => createBackground(services, { exclusive: true }));
    player.fake = await createFakeWorld(one.seed, {
      ...settingsOf(one),
      background: (services) => {
        const model = player.#watched(services.model, services.store);
        return background({ ...services, model });
      },
    });
    const { world } = player.fake;
    const { audit } = world;
    // Draining has no kind: what the audit says of such an entry is left out.
    world.audit = async () => (await audit()).filter(({ detail }) => !/no kind of posting drain$/.test(detail));
    for (const [i, score] of SCORES.entries()) {
      player.#pubkeys.push((await keyWith(player.fake.world, score, i + 1)).pubkey);
    }
    player.#session = await paidSession(player.fake.world, player.fake.call, 3_000);
    player.fake.engine.onCut = () => {
      player.#dead = true;
      player.fake.world.kill();
    };
    return player;
  }

  /** The model, which looks into the books before it works: every request has a text of its own. */
  #watched(model: Model, store: Store): Model {
    return {
      ...model,
      work: async (input) => {
        try {
          await assertPaidFor(store, input.request);
        } catch (error) {
          this.history.failures.push(error);
        }
        return await model.work(input);
      },
    };
  }

  /** A token of this key; the last one may have expired with the day. */
  #auth(index: number): Record<string, string> {
    const { deps, clock } = this.fake.world;
    return { "x-nostr-token": deps.identityTokens.issue(this.#pubkeys[index] ?? "", clock.now()).token };
  }

  async step(acts: readonly Act[]): Promise<void> {
    for (const one of acts) await this.#begin(one);
    await this.#settle();
  }

  async #settle(): Promise<void> {
    await this.fake.clock.settle();
    while (this.#dead) {
      this.#dead = false;
      this.#deaths++;
      this.fake.engine.cutAt = null;
      await this.fake.world.crash();
      await this.fake.clock.settle();
    }
  }

  async #advance(ms: number): Promise<void> {
    await this.fake.clock.advance(ms);
    await this.#settle();
  }

  /** Starts what a client does. Its answer may never come. */
  #later(fn: () => Promise<void>): void {
    fn().catch((error) => this.history.failures.push(error));
  }

  async #begin(one: Act): Promise<void> {
    const { fake } = this;
    const { world, clock, engine } = fake;
    switch (one.act) {
      case "job":
        return this.#later(() => this.#job(one.key, this.#text(one.request)));
      case "ask":
        return this.#later(() => this.#ask(one.key, this.#text(one.request)));
      case "pay":
        return this.#later(() => this.#pay(one.job, one.late));
      case "drain":
        return this.#later(() => this.#drain(one.sats));
      case "donate":
        return this.#later(async () => {
          const { body } = await world.call("POST", "/api/free-tier/donate", { amount_sats: one.sats });
          await world.wallet.payInvoice(body.invoice.paymentHash);
        });
      case "model fault":
        return void fake.modelFaults[one.call].push(one.fault);
      case "wait":
        return await this.#advance(one.ms);
      case "leap": {
        await this.#settle(); // what was asked today was signed today
        const untilMidnight = 24 * HOUR - clock.now() % (24 * HOUR);
        clock.leap(
          {
            "invoice expiry": 601_000,
            midnight: untilMidnight - 200,
            "next day": 24 * HOUR,
            "subsidy expiry": 6 * HOUR + 1_000,
          }[one.to],
        );
        return await this.#advance(1_500);
      }
      case "crash":
        world.kill();
        return void (this.#dead = true);
      case "die at commit": {
        const at = engine.commits() + one.in;
        engine.cutAt = (commit) => commit === at ? one.when : null;
      }
    }
  }

  #text = (index: number): string => `${REQUESTS[index]} ${this.#requests++}`;

  async #job(index: number, request: string): Promise<void> {
    const created = await this.fake.world.call("POST", "/api/jobs", { request }, this.#auth(index));
    this.history.created(created);
    if (created.status === 201) await this.fake.world.wallet.payInvoice(created.body.evalInvoice.paymentHash);
  }

  async #ask(index: number, request: string): Promise<void> {
    const session = this.#session as PaidSession;
    const auth = { ...session.auth, ...this.#auth(index) };
    const { status, body } = await this.fake.world.call("POST", `${session.path}/request`, { request }, auth);
    must([200, 202, 402, 503].includes(status), "a request is answered", `${status} ${JSON.stringify(body)}`);
  }

  async #pay(index: number, late: boolean): Promise<void> {
    const { world, clock } = this.fake;
    const job = this.history.job(index);
    if (!job) return;
    const { status, body } = await world.call("GET", `/api/jobs/${job.id}`);
    const invoice = status === 200 ? body.workInvoice : null;
    if (!invoice) return;
    // Nobody's payment is under way for longer: after a day the program stops asking (lib/payments/settlements.ts).
    if (clock.now() > Date.parse(invoice.expiresAt) + 23 * HOUR) return;
    await world.wallet.payInvoice(invoice.paymentHash, { late });
  }

  /**
   * Somebody else takes from the pool, to the operator's account. There is no kind of posting for that, so the entry and its
   * counters are written here, past the ledger.
   */
  async #drain(most: number): Promise<void> {
    const { world, clock } = this.fake;
    const [id, now] = [`drain:${this.#requests++}`, clock.now()];
    await world.store.transact(async (tx) => {
      const sats = Math.min(most, await balance(tx, POOL));
      if (sats === 0) return;
      const counters = async (account: Account) => await tx.get<Counters>(accountKey(account)) ?? NO_COUNTERS;
      const [pool, operator] = [await counters(POOL), await counters(OPERATOR)];
      tx.set(accountKey(POOL), { ...pool, out: pool.out + sats });
      tx.set(accountKey(OPERATOR), { ...operator, in: operator.in + sats });
      tx.set(entryKey(id), { v: 1, id, from: POOL, to: OPERATOR, sats, kind: "drain", ref: id, at: now });
    });
  }

  async check(when: string): Promise<void> {
    const { fake, history } = this;
    try {
      if (history.failures.length > 0) throw history.failures[0];
      await assertFreeTier(fake, this.#pubkeys);
      await this.#assertEstimates();
    } catch (error) {
      if (error instanceof Violation) throw new Violation(error.rule, `${error.detail} (${when})`);
      throw error;
    }
    await assertAlways(fake, history, when);
  }

  async #assertEstimates(): Promise<void> {
    const { world } = this.fake;
    const before = await world.store.version();
    const ask = this.#program.estimate ?? estimate;
    for (const [i, pubkey] of this.#pubkeys.entries()) await ask(this.fake, pubkey, this.#auth(i));
    must(await world.store.version() === before, "an estimate moves nothing", "the store's version changed");
  }

  /** Everybody gets the time that the longest wait between two attempts takes. */
  async comeToRest(): Promise<void> {
    const { clock, engine, modelFaults } = this.fake;
    for (const faults of [modelFaults.evaluate, modelFaults.work]) faults.length = 0;
    engine.cutAt = null;
    await this.#advance(6_000);
    for (let i = 0; i < 6; i++) {
      clock.leap(61_000);
      await this.#advance(1_500);
    }
  }

  async checkRest(): Promise<void> {
    await assertAtRest(this.fake, this.history);
    for (const { value } of await this.fake.world.rows<Subsidy>(["subsidy"])) {
      must(value.state === "settled", "nothing stays reserved", `${value.reservedSats} sats in ${value.account}`);
    }
  }

  async outcome(): Promise<Outcome> {
    const { world } = this.fake;
    const jobs = (await world.rows<Job>(["job"])).map(({ value }) => value);
    const requests = (await world.rows<SessionRequest>(["session_request"])).map(({ value }) => value);
    const served = [...jobs, ...requests];
    const count = (all: readonly unknown[]) => all.length;
    const paid = jobs.filter(({ state }) => state === "complete" || state === "failed");
    return {
      free: count(served.filter(({ freeTier }) => freeTier?.serve === "free")),
      helped: count(served.filter(({ adviceSats, grantedSats }) => adviceSats > 0 && grantedSats > 0)),
      gate: count(served.filter(({ freeTier }) => freeTier?.serve === "gate")),
      drained: count(paid.filter(({ adviceSats, grantedSats }) => adviceSats > 0 && grantedSats < adviceSats)),
      abandoned: count(jobs.filter(({ adviceSats, paidSats }) => adviceSats > 0 && paidSats === 0)),
      failed: count(served.filter(({ state, grantedSats }) => state === "failed" && grantedSats > 0)),
      deaths: this.#deaths,
    };
  }
}

/** What the route of estimates tells a key, and the decision behind it. */
async function estimate({ world, clock }: FakeWorld, pubkey: string, auth: Record<string, string>): Promise<void> {
  const { status } = await world.call("GET", "/api/estimate?request=hello", undefined, auth);
  must(status === 200, "an estimate is answered", String(status));
  const { freeTier: rules } = world.deps.settings;
  await decideDryRun(world.store, rules, { pubkey, estimateSats: 130, now: clock.now() });
}

async function allRows<T extends Versioned>(store: Store, prefix: Key): Promise<T[]> {
  return (await store.list<T>(prefix, { limit: 500 })).map(({ value }) => value);
}

/** At the moment a model begins to work: what it may cost lies in the account of who asked, and free work's in a reservation. */
async function assertPaidFor(store: Store, text: string): Promise<void> {
  const job = (await allRows<Job>(store, ["job"])).find(({ request }) => request === text);
  const rule = "free work begins with its whole price reserved";
  if (job?.state === "executing" && job.quote) {
    const held = await balance(store, `job:${job.handle}`);
    const subsidy = await getSubsidy(store, job.handle);
    if (job.freeTier?.serve === "free") {
      const holds = subsidy?.state === "reserved" && subsidy.reservedSats >= job.quote.sats && held >= job.quote.sats;
      must(holds, rule, `a job of ${job.quote.sats} sats holds ${held}, ${subsidy?.reservedSats} reserved`);
    } else must(held >= (job.workInvoice?.amountSats ?? Infinity), "work begins when it is paid", `${held} sats held`);
  }
  const asked = (await allRows<SessionRequest>(store, ["session_request"])).find((one) => one.text === text);
  if (asked?.state === "running") {
    const held = await balance(store, reservedAccount(asked.id));
    const subsidy = await getSubsidy(store, asked.id);
    const { freeTier, reservedSats } = asked;
    if (freeTier?.serve === "free") {
      const holds = subsidy?.state === "reserved" && subsidy.reservedSats >= freeTier.absorbSats &&
        held >= freeTier.absorbSats;
      must(holds, rule, `a request of ${freeTier.absorbSats} sats holds ${held}, ${subsidy?.reservedSats} reserved`);
    } else must(reservedSats > 0 && held >= reservedSats, "work begins when it is paid", `${held} sats held`);
  }
}

/** The rules of the free tier over the rows, before the audit, which would only say that money is missing. */
async function assertFreeTier({ world, clock }: FakeWorld, pubkeys: readonly string[]): Promise<void> {
  must(await balance(world.store, "pool") >= 0, "the pool never goes below zero", "");
  const subsidies = new Map((await world.rows<Subsidy>(["subsidy"])).map(({ value }) => [value.id, value]));
  const jobs = (await world.rows<Job>(["job"])).map(({ value }) => value);
  const requests = (await world.rows<SessionRequest>(["session_request"])).map(({ value }) => value);
  for (const { handle, state, grantedSats } of jobs) {
    const nothing = grantedSats === 0 && !subsidies.has(handle);
    const rule = "nothing is taken for a payer who has not paid";
    if (UNPAID.includes(state)) {
      must(nothing, rule, `${subsidies.get(handle)?.reservedSats} sats for a job that is ${state}`);
    }
  }
  const running = new Set([
    ...jobs.filter(({ state }) => state === "executing").map(({ handle }) => handle),
    ...requests.filter(({ state }) => state === "running").map(({ id }) => id),
  ]);
  const timers = new Set((await world.rows<TaskRow>(["task", "subsidy-expiry"])).map(({ value }) => value.id));
  for (const { id, state, account } of subsidies.values()) {
    const reserved = state === "reserved";
    must(reserved === running.has(id), "a reservation ends with its request", `${account} is ${state}`);
    must(timers.has(id) === reserved, "a reservation has a timer while it stands", `${account} is ${state}`);
  }
  for (const job of jobs) {
    const refund = await world.store.get<Refund>(["refund", job.refundId ?? ""]);
    assertJob(job, subsidies.get(job.handle) ?? null, refund);
  }
  for (const request of requests) assertRequest(request, subsidies.get(request.id) ?? null);
  for (const { key, value } of await world.rows<BudgetRow>(["budget"])) {
    const most = BUDGETS[pubkeys.indexOf(String(key[1]))] ?? 0;
    const within = value.usedSats >= 0 && value.usedSats <= most && String(key[2]) <= utcDay(clock.now());
    must(within, "no key is above its day's budget", `${value.usedSats} of ${most} on ${key[2]}`);
  }
}

/** States in which nobody has paid for work, though it may be offered: nothing of the pool is there for it. */
const UNPAID: readonly Job["state"][] = ["awaiting_eval_payment", "awaiting_work_payment", "expired"];

function assertJob(job: Job, subsidy: Subsidy | null, refund: Refund | null): void {
  const { state, freeTier, adviceSats, grantedSats, paidSats, quote, costSheet } = job;
  must(
    (subsidy?.reservedSats ?? 0) === grantedSats,
    "what a job says it was granted was reserved",
    `${grantedSats} of ${subsidy?.reservedSats}`,
  );
  if (freeTier?.serve === "free") {
    must(
      grantedSats === quote?.sats && job.workInvoice === null,
      "free is the whole price",
      `${grantedSats} of ${quote?.sats}`,
    );
  } else must(grantedSats <= adviceSats, "no more is taken than was advised", `${grantedSats} of ${adviceSats}`);
  const owed = refund?.sats ?? 0;
  if (state === "failed" && quote) {
    must(owed === paidSats, "failed work gives all back that was paid", `${owed} of ${paidSats}`);
  }
  if (!costSheet) return;
  must(
    owed === costSheet.refundSats,
    "what is owed is what the cost sheet says",
    `${owed}, not ${costSheet.refundSats}`,
  );
}

function assertRequest(request: SessionRequest, subsidy: Subsidy | null): void {
  const { state, freeTier, adviceSats, grantedSats, reservedSats: paidSats } = request;
  must(
    (subsidy?.reservedSats ?? 0) === grantedSats,
    "what a request says it was granted was reserved",
    `${grantedSats} of ${subsidy?.reservedSats}`,
  );
  const most = freeTier?.serve === "free"
    ? freeTier.absorbSats
    : state === "running"
    ? 0
    : Math.min(adviceSats, request.actualSats);
  must(grantedSats <= most, "no more is taken than was advised", `${grantedSats} of ${most}`);
  if (freeTier?.serve === "free") {
    must(paidSats === 0 && grantedSats === most, "free is the whole price", `${grantedSats} of ${most}`);
  }
}
