/**
 * One random history of an instance: payers, a wallet and a model that fail in every way their ports allow, time, and
 * deaths at any commit. After each step, and after everything was given time to come to rest, the rules of economy.md §8
 * are held against the rows of the program's database and the wallet's own books. The same case gives the same history.
 */
import fc from "fast-check";
import type { SimulatedFault as ModelFault } from "@/lib/ai/simulated.ts";
import type { Fault, PayFault } from "@/lib/lightning/simulated-faults.ts";
import { ADDRESS, type AddressHost, createAddressHost } from "../harness/address-host.ts";
import { createFakeWorld, type FakeWorld } from "../harness/fake-world.ts";
import { payerInvoice } from "../harness/payer.ts";
import type { Answer, WorldOptions } from "../harness/world.ts";
import { deathAtCommit, deaths } from "./deaths.ts";
import { assertAlways, assertAtRest, History, Violation } from "./rules.ts";
import { OPENED, type SessionAct, sessionAct, SessionClients } from "./session-acts.ts";

const REQUESTS = [
  "What is a hold invoice?",
  "hello",
  "[refuse]",
  "[fail-eval]",
  "[fail-work]",
  "[slow:2500] hello",
] as const;

/** A payout call may be on its way to the wallet this long (ms): less than the program's own doubt. */
const SLOWEST_CALL_MS = 45_000;

/** The wall clock jumps ahead by (ms): past an invoice's end, most of a day, past a session's end, past a refund's. */
const LEAPS = {
  "invoice expiry": 601_000,
  "next day": 20 * 3_600_000,
  "session expiry": 25 * 3_600_000,
  "refund expiry": 30 * 86_400_000,
} as const;
type Leap = keyof typeof LEAPS;

type InvoiceKind = "right" | "wrong" | "same" | "foreign" | "short-lived";

export type Act =
  | SessionAct
  /** `address`: with a Lightning address, which its refund goes to by itself. */
  | { act: "create"; request: number; keyed: boolean; address?: true }
  /** What the payer of this job would do next: pay what it asks for, or claim what it owes. */
  | { act: "go on"; job: number }
  | { act: "pay"; job: number; which: "eval" | "work"; times: number }
  | { act: "claim"; job: number; invoices: InvoiceKind[] }
  | { act: "claim by address"; job: number; times: number }
  /** What the address' server does with its next requests. */
  | { act: "address"; says: "error" | "nothing" | "the same" | "something late"; times: number }
  | { act: "wallet fault"; method: "createInvoice" | "lookupInvoice" | "lookupPayment"; fault: Fault; times: number }
  | { act: "payout fault"; fault: PayFault; times: number }
  | { act: "held payments" | "lost hints" | "double hints"; times: number }
  | { act: "release"; how: "good" | "bad" }
  | { act: "lying hint"; job: number }
  | { act: "model fault"; call: "evaluate" | "work" | "chat"; fault: ModelFault }
  | { act: "wallet works again" }
  | { act: "wait"; ms: number }
  | { act: "leap"; to: Leap }
  | { act: "crash" }
  /** The process dies at a commit that is still to come. */
  | { act: "die at commit"; in: number; when: "before" | "after" };

/** Acts of one step begin at once; the step ends when nothing moves any more without time. */
export interface Case {
  seed: number;
  steps: Act[][];
}

const small = fc.nat({ max: 3 });
const times = fc.integer({ min: 1, max: 3 });
const fault: fc.Arbitrary<Fault> = fc.oneof(
  fc.constantFrom<Fault>({ kind: "refuse" }, { kind: "lose" }, { kind: "drop" }),
  fc.integer({ min: 1, max: SLOWEST_CALL_MS }).map((ms): Fault => ({ kind: "delay", ms })),
);

const modelFault: fc.Arbitrary<ModelFault> = fc.oneof(
  fc.constantFrom<ModelFault>({ kind: "passing" }, { kind: "permanent" }, { kind: "hang" }, { kind: "none" }),
  fc.integer({ min: 1, max: 4_000 }).map((ms): ModelFault => ({ kind: "delay", ms })),
);

const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      act: fc.constant("create"),
      request: fc.nat({ max: REQUESTS.length - 1 }),
      keyed: fc.boolean(),
    }),
  },
  { weight: 12, arbitrary: fc.record({ act: fc.constant("go on"), job: small }) },
  {
    weight: 2,
    arbitrary: fc.record({ act: fc.constant("pay"), job: small, which: fc.constantFrom("eval", "work"), times }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      act: fc.constant("claim"),
      job: small,
      invoices: fc.array(fc.constantFrom<InvoiceKind>("right", "right", "wrong", "same", "foreign", "short-lived"), {
        minLength: 1,
        maxLength: 3,
      }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      act: fc.constant("wallet fault"),
      method: fc.constantFrom("createInvoice", "lookupInvoice", "lookupPayment"),
      fault,
      times,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      act: fc.constant("payout fault"),
      fault: fc.oneof(fault, fc.constantFrom<PayFault>({ kind: "fail" }, { kind: "hold" })),
      times,
    }),
  },
  { weight: 2, arbitrary: fc.record({ act: fc.constantFrom("held payments", "lost hints", "double hints"), times }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("release"), how: fc.constantFrom("good", "bad") }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant("lying hint"), job: small }) },
  {
    weight: 2,
    arbitrary: fc.record({
      act: fc.constant("model fault"),
      call: fc.constantFrom("evaluate", "work"),
      fault: modelFault,
    }),
  },
  { weight: 1, arbitrary: fc.record({ act: fc.constant("wallet works again") }) },
  {
    weight: 5,
    arbitrary: fc.record({ act: fc.constant("wait"), ms: fc.constantFrom(1, 400, 1_500, 6_000, 20_000, 65_000) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      act: fc.constant("leap"),
      to: fc.constantFrom("invoice expiry", "next day", "refund expiry"),
    }),
  },
  ...deaths(4, 4),
) as fc.Arbitrary<Act>;

/** What a payer who wants the difference back, and a wallet that will not have it, do. */
const payoutAct: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      act: fc.constant("claim"),
      job: fc.nat({ max: 1 }),
      invoices: fc.array(fc.constantFrom<InvoiceKind>("right", "right", "same", "foreign", "short-lived"), {
        minLength: 1,
        maxLength: 2,
      }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      act: fc.constant("payout fault"),
      fault: fc.oneof(fault, fc.constantFrom<PayFault>({ kind: "fail" }, { kind: "hold" })),
      times: fc.constant(1),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ act: fc.constant("wallet fault"), method: fc.constant("lookupPayment"), fault, times }),
  },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("release"), how: fc.constantFrom("good", "bad") }) },
  {
    weight: 5,
    arbitrary: fc.record({ act: fc.constant("wait"), ms: fc.constantFrom(1, 1_500, 6_000, 20_000, 65_000) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ act: fc.constant("leap"), to: fc.constantFrom("invoice expiry", "refund expiry") }),
  },
  ...deaths(3, 2),
) as fc.Arbitrary<Act>;

/** The same payer with a Lightning address, and a server of it that has troubles of its own. */
const addressAct: fc.Arbitrary<Act> = fc.oneof(
  { weight: 8, arbitrary: payoutAct },
  {
    weight: 4,
    arbitrary: fc.record({
      act: fc.constant("address"),
      says: fc.constantFrom("error", "nothing", "the same", "something late"),
      times,
    }),
  },
  { weight: 3, arbitrary: fc.record({ act: fc.constant("claim by address"), job: fc.nat({ max: 1 }), times }) },
  { weight: 4, arbitrary: fc.record({ act: fc.constant("wait"), ms: fc.constantFrom(400, 6_000, 65_000) }) },
  {
    weight: 2,
    arbitrary: fc.record({ act: fc.constant("leap"), to: fc.constantFrom<Leap>("invoice expiry", "next day") }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      act: fc.constant("create"),
      request: fc.constantFrom(3, 3, 0),
      keyed: fc.boolean(),
      address: fc.constant(true),
    }),
  },
  { weight: 4, arbitrary: fc.record({ act: fc.constant("go on"), job: small }) },
) as fc.Arbitrary<Act>;

/** What happens around a session: its clients, a model and a wallet with troubles of their own, time and death. */
const aroundSession: fc.Arbitrary<Act> = fc.oneof(
  { weight: 20, arbitrary: sessionAct },
  { weight: 4, arbitrary: act },
  {
    weight: 2,
    arbitrary: fc.record({
      act: fc.constant("model fault"),
      call: fc.constantFrom("work", "chat"),
      fault: modelFault,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      act: fc.constant("leap"),
      to: fc.constantFrom<Leap>("invoice expiry", "next day", "next day", "session expiry"),
    }),
  },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("wait"), ms: fc.constantFrom(1, 1_500, 6_000, 20_000) }) },
  deathAtCommit(4, 3),
) as fc.Arbitrary<Act>;

/** A job whose payer has come as far as being owed something: else hardly any history would be about refunds. */
const OWED: Act[][] = [
  [{ act: "create", request: 3, keyed: false }],
  [{ act: "pay", job: 0, which: "eval", times: 1 }],
];
const DONE: Act[][] = [
  [{ act: "create", request: 0, keyed: false }],
  [{ act: "pay", job: 0, which: "eval", times: 1 }],
  [{ act: "pay", job: 0, which: "work", times: 1 }],
];
const OWED_TO_ADDRESS: Act[][] = [
  [{ act: "create", request: 3, keyed: false, address: true }],
  [{ act: "pay", job: 0, which: "eval", times: 1 }],
];
/** Its first payout fails, its first invoice is late, or never comes. */
const TROUBLES: Act[][] = [
  [{ act: "payout fault", fault: { kind: "fail" }, times: 1 }],
  [{ act: "payout fault", fault: { kind: "hold" }, times: 1 }],
  [{ act: "wait", ms: 1 }],
];
const NEW: Act[][] = [[{ act: "create", request: 0, keyed: false }]];

const stepsOf = (one: fc.Arbitrary<Act>, minLength: number, maxLength: number) =>
  fc.array(fc.array(one, { minLength: 1, maxLength: 3 }), { minLength, maxLength, size: "max" });

const caseOf = (steps: fc.Arbitrary<Act[][]>): fc.Arbitrary<Case> =>
  fc.record({ seed: fc.nat({ max: 0x7fffffff }), steps });

/** Histories of jobs; of sessions, and whatever else happens around them; of both. */
export const jobCases = caseOf(fc.oneof(
  stepsOf(act, 5, 20).map((steps) => [...NEW, ...steps]),
  fc.tuple(fc.constantFrom(OWED, DONE), stepsOf(fc.oneof(payoutAct, payoutAct, act), 5, 18))
    .map(([before, steps]) => [...before, ...steps]),
));
export const sessionCases = caseOf(stepsOf(aroundSession, 5, 18).map((steps) => [...OPENED, ...steps]));
export const addressCases = caseOf(
  fc.tuple(fc.constantFrom(...TROUBLES), stepsOf(addressAct, 5, 18))
    .map(([trouble, steps]) => [OWED_TO_ADDRESS[0]!, trouble, ...OWED_TO_ADDRESS.slice(1), ...steps]),
);
export const cases = fc.oneof(jobCases, sessionCases, addressCases);

export interface Outcome {
  jobs: number;
  complete: number;
  refundsPaid: number;
  deaths: number;
  /** Requests of sessions: begun in all, and those that were answered. */
  asked: number;
  answered: number;
  /** Chats that were answered whole. */
  chats: number;
}

/** Plays a case. @throws {Violation} for the first rule that did not hold. */
export async function play(
  { seed, steps }: Case,
  { atRest, ...options }: Pick<WorldOptions, "background"> & { atRest?: (fake: FakeWorld) => Promise<void> } = {},
): Promise<Outcome> {
  const player = await Player.begin(seed, options);
  try {
    for (const [i, step] of steps.entries()) {
      await player.step(step);
      await assertAlways(player.fake, player.history, `step ${i}: ${step.map((one) => one.act).join(" + ")}`);
    }
    await player.comeToRest();
    await assertAlways(player.fake, player.history, "at rest");
    await assertAtRest(player.fake, player.history);
    await atRest?.(player.fake);
    return await player.outcome();
  } finally {
    player.fake.discard();
  }
}

class Player {
  readonly history = new History();
  readonly #hints = new Set<(paymentHash: string) => void>();
  readonly #queues: Record<"createInvoice" | "lookupInvoice" | "lookupPayment", Fault[]> = {
    createInvoice: [],
    lookupInvoice: [],
    lookupPayment: [],
  };
  readonly #payFaults: PayFault[] = [];
  readonly #incoming = { hold: 0, lose: 0, twice: 0 };
  /** Until then a call may be on its way to the wallet: by time that ran, leaps left out. */
  #callsUntil = 0;
  #dead = false;
  #deaths = 0;
  #key = 0;
  fake!: FakeWorld;
  readonly #host: AddressHost = createAddressHost();
  #clients!: SessionClients;

  static async begin(seed: number, options: Pick<WorldOptions, "background">): Promise<Player> {
    const player = new Player();
    player.fake = await createFakeWorld(seed, {
      ...options,
      settings: { modelDeadlineMs: 5_000, payoutTimeoutMs: 5_000 },
      feeSats: seed % 3,
      faults: player.#faults(),
      publicFetch: player.#host.publicFetch,
      wrapWallet: (wallet) => ({
        ...wallet,
        watch: (onHint, signal, onState) => {
          player.#hints.add(onHint);
          return wallet.watch(onHint, signal, onState);
        },
      }),
    });
    player.#host.wallet = player.fake.world.wallet;
    player.#clients = new SessionClients(player.fake, player.history.sessions);
    player.fake.engine.onCut = () => {
      player.#dead = true;
      player.fake.world.kill();
    };
    return player;
  }

  #faults() {
    const planned = <F extends PayFault>(queue: F[]) => () => {
      const next = queue.shift();
      if (next?.kind === "delay" && "ms" in next) {
        this.#callsUntil = Math.max(this.#callsUntil, this.fake.clock.ran() + next.ms + 1);
      }
      return next;
    };
    return {
      createInvoice: planned(this.#queues.createInvoice),
      lookupInvoice: planned(this.#queues.lookupInvoice),
      lookupPayment: planned(this.#queues.lookupPayment),
      pay: planned(this.#payFaults),
      settle: () => this.#incoming.hold-- > 0 ? { kind: "hold" as const } : undefined,
      hints: () =>
        this.#incoming.lose-- > 0
          ? { kind: "lose" as const }
          : this.#incoming.twice-- > 0
          ? { kind: "twice" as const }
          : undefined,
    };
  }

  #clearFaults(): void {
    for (const queue of [...Object.values(this.#queues), this.#payFaults]) queue.length = 0;
    this.#host.next.length = 0;
    Object.assign(this.#incoming, { hold: 0, lose: 0, twice: 0 });
  }

  async step(acts: readonly Act[]): Promise<void> {
    for (const one of acts) await this.#begin(one);
    await this.#settle();
  }

  async #settle(): Promise<void> {
    await this.fake.clock.settle();
    if (this.#dead) await this.#restart();
  }

  async #restart(): Promise<void> {
    this.#dead = false;
    this.#deaths++;
    this.fake.engine.cutAt = null;
    await this.fake.world.crash();
    await this.fake.clock.settle();
  }

  async #advance(ms: number): Promise<void> {
    await this.fake.clock.advance(ms);
    if (this.#dead) await this.#restart();
  }

  /** Begins an act; what takes time goes on by itself. */
  async #begin(one: Act): Promise<void> {
    const { fake, history } = this;
    const { world, clock } = fake;
    switch (one.act) {
      case "create":
        return this.#create(REQUESTS[one.request] ?? "hello", one.keyed, one.address);
      case "go on":
        return this.#later(() => this.#goOn(one.job));
      case "pay":
        for (let i = 0; i < one.times; i++) this.#later(() => this.#pay(history.job(one.job)?.id, one.which, true));
        return;
      case "claim":
        for (const kind of one.invoices) this.#later(() => this.#claim(history.job(one.job)?.id, kind));
        return;
      case "claim by address":
        for (let i = 0; i < one.times; i++) this.#later(() => this.#claimByAddress(history.job(one.job)?.id));
        return;
      case "address":
        for (let i = 0; i < one.times; i++) this.#host.next.push(this.#addressSays(one.says));
        return;
      case "wallet fault":
        for (let i = 0; i < one.times; i++) this.#queues[one.method].push(one.fault);
        return;
      case "payout fault":
        for (let i = 0; i < one.times; i++) this.#payFaults.push(one.fault);
        return;
      case "held payments":
        this.#incoming.hold = one.times;
        return;
      case "lost hints":
        this.#incoming.lose = one.times;
        return;
      case "double hints":
        this.#incoming.twice = one.times;
        return;
      case "release":
        return await this.#release(one.how);
      case "lying hint": {
        const job = history.job(one.job);
        for (const hint of this.#hints) if (job) { for (const hash of job.paymentHashes) hint(hash); }
        return;
      }
      case "model fault":
        return void (fake.modelFaults[one.call] ??= []).push(one.fault);
      case "wallet works again":
        return this.#clearFaults();
      case "wait":
        return await this.#advance(one.ms);
      case "leap": {
        // A suspended machine suspends no call that is on its way: let those arrive first.
        await this.#advance(Math.max(0, this.#callsUntil - clock.ran()));
        clock.leap(LEAPS[one.to]);
        return await this.#advance(1_500);
      }
      case "crash":
        world.kill();
        return void (this.#dead = true);
      case "die at commit": {
        const at = fake.engine.commits() + one.in;
        fake.engine.cutAt = (commit) => commit === at ? one.when : null;
        return;
      }
      default:
        for (const part of this.#clients.begin(one)) this.#later(part);
    }
  }

  /** Starts what a client does. Its answer may never come; what it says is remembered when it does. */
  #later(fn: () => Promise<void>): void {
    fn().catch((error) => this.history.failures.push(error));
  }

  #call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer> {
    return this.fake.world.call(method, path, body, headers);
  }

  #create(request: string, keyed: boolean, address = false): void {
    this.#later(async () => {
      const headers = keyed ? { "idempotency-key": `key-${this.#key++}` } : undefined;
      const body = { request, ...(address && { lightningAddress: ADDRESS }) };
      const ask = () => this.#call("POST", "/api/jobs", body, headers);
      const answers = keyed ? await Promise.all([ask(), ask()]) : [await ask()];
      for (const answer of answers) {
        if (!(address && /^address_/.test(answer.body.error?.code))) this.history.created(answer);
      }
    });
  }

  async #goOn(index: number): Promise<void> {
    const job = this.history.job(index);
    if (!job) return;
    const { body } = this.history.read(job, await this.#call("GET", `/api/jobs/${job.id}`));
    if (body.state === "awaiting_eval_payment") await this.#pay(job.id, "eval", false);
    if (body.state === "awaiting_work_payment") await this.#pay(job.id, "work", false);
    if (body.costLedger?.refundState === "pending") await this.#claim(job.id, "right");
  }

  async #pay(id: string | undefined, which: "eval" | "work", late: boolean): Promise<void> {
    const job = this.history.byId(id);
    if (!job) return;
    const { body } = this.history.read(job, await this.#call("GET", `/api/jobs/${job.id}`));
    const invoice = which === "eval" ? body.evalInvoice : body.workInvoice;
    if (!invoice) return;
    // Nobody's payment is under way for longer: after a day the program stops asking (lib/payments/settlements.ts).
    if (this.fake.clock.now() > Date.parse(invoice.expiresAt) + 23 * 3_600_000) return;
    await this.fake.world.wallet.payInvoice(invoice.paymentHash, { late });
  }

  async #claim(id: string | undefined, kind: InvoiceKind): Promise<void> {
    const { history, fake } = this;
    const job = history.byId(id);
    if (!job) return;
    const { body } = history.read(job, await this.#call("GET", `/api/jobs/${job.id}`));
    const sats: number = body.costLedger?.refundAmountSats || 5;
    const before = kind === "same" ? job.claims.at(-1) : kind === "foreign" ? history.lastClaim : undefined;
    const paymentRequest = before ??
      (kind === "short-lived"
        ? (await fake.world.wallet.createExternalInvoice({ amountSats: sats, expirySeconds: 20 })).paymentRequest
        : (await payerInvoice(fake.world, kind === "wrong" ? sats + 1 : sats)).paymentRequest);
    history.claiming(job, paymentRequest);
    history.claimed(job, await this.#call("POST", `/api/jobs/${job.id}/refund`, { invoice: paymentRequest }));
  }

  async #claimByAddress(id: string | undefined): Promise<void> {
    const job = this.history.byId(id);
    if (!job) return;
    const answer = await this.#call("POST", `/api/jobs/${job.id}/refund`, { lightningAddress: ADDRESS });
    this.history.claimed(job, answer);
  }

  #addressSays(what: (Act & { act: "address" })["says"]): AddressHost["next"][number] {
    return async (url, honest) => {
      if (what === "error") return { status: "ERROR", reason: "no" };
      if (what === "nothing") return null;
      const said = await honest(url);
      if (what === "something late") await new Promise<void>((resolve) => this.fake.clock.after(2_000, resolve));
      if (url.pathname === "/pay" && what === "the same") return this.#lastInvoice ?? said;
      if (url.pathname === "/pay") this.#lastInvoice = said;
      return said;
    };
  }
  #lastInvoice: Awaited<ReturnType<AddressHost["next"][number]>> = null;

  /** Ends what the wallet holds, either way. */
  async #release(how: "good" | "bad"): Promise<void> {
    const { wallet, walletStore } = this.fake.world;
    for (const [what, state] of [["invoice", "held"], ["payment", "pending"]] as const) {
      for (
        const { key, value } of await walletStore.list<{ v: 1; state: string }>(["simulated-wallet", what], {
          limit: 500,
        })
      ) {
        if (value.state !== state) continue;
        const hash = String(key[2]);
        if (what === "invoice") await wallet.releaseInvoice(hash, how === "good" ? "settle" : "cancel");
        else await wallet.releasePayment(hash, how === "good" ? "paid" : "failed");
      }
    }
  }

  /** The faults are over and everybody gets the time that the longest wait between two attempts takes. */
  async comeToRest(): Promise<void> {
    const { clock, engine } = this.fake;
    this.#clearFaults();
    for (const queue of Object.values(this.fake.modelFaults)) queue.length = 0;
    engine.cutAt = null;
    await this.#advance(Math.max(6_000, this.#callsUntil - clock.ran()));
    await this.#release(this.history.jobs.length % 2 ? "good" : "bad");
    for (let i = 0; i < 6; i++) {
      clock.leap(61_000);
      await this.#advance(3_000);
    }
    if (this.history.failures.length > 0) {
      throw new Violation("a client's call failed", String(this.history.failures[0]));
    }
  }

  async outcome(): Promise<Outcome> {
    const states = await this.fake.world.rows<{ v: 1; state: string }>(["job"]);
    const refunds = await this.fake.world.rows<{ v: 1; state: string }>(["refund"]);
    const requests = await this.fake.world.rows<{ v: 1; state: string; mode: string }>(["session_request"]);
    return {
      jobs: states.length,
      complete: states.filter(({ value }) => value.state === "complete").length,
      refundsPaid: refunds.filter(({ value }) => value.state === "paid").length,
      deaths: this.#deaths,
      asked: requests.length,
      answered: requests.filter(({ value }) => value.state === "complete").length,
      chats: requests.filter(({ value }) => value.state === "complete" && value.mode === "chat").length,
    };
  }
}
