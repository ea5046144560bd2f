/**
 * Many nodes at once, from a provider that fails a third of all calls, loses answers and carries orders out after their caller has
 * given up, and from a program that dies at any commit. Each must end ready, or destroyed and paid back to the satoshi; and the
 * provider must be left with one machine, one volume and one key of each that is ready, and with nothing else.
 */
import { sleep } from "@/lib/clock.ts";
import { type Cloud, CloudError, type Order, type Resource } from "@/lib/cloud/port.ts";
import type { SimulatedFaults } from "@/lib/cloud/simulated.ts";
import type { SimulatedFault } from "@/lib/cloud/simulated-faults.ts";
import { type Bootstrap, nameOf } from "@/lib/bootstrap/bootstrap.machine.ts";
import type { Background } from "@/queue.ts";
import { readBooks } from "../books/books.ts";
import { alwaysTrue, taskLaws, trueAtRest } from "../books/laws.ts";
import { isOver, type Ordered, orderNode, OWN_KEY, payNode } from "../harness/bootstrap-payer.ts";
import { createFakeWorld, type FakeWorld } from "../harness/fake-world.ts";
import { payerInvoice } from "../harness/payer.ts";
import { createSeededRandom } from "../harness/seeded-random.ts";
import { TEST_SETTINGS, type WorldOptions } from "../harness/world.ts";
import { must, Violation } from "./violation.ts";

export interface Play {
  seed: number;
  nodes: number;
  /** How many of the provider's calls fail, from 0 to 1. */
  faultRate: number;
  /** The program dies at every so many commits, about; 0: never. */
  commitsALife?: number;
  background?: WorldOptions["background"];
  /** A provider's adapter with a mistake, between the provider and the program. */
  adapter?: (cloud: Cloud) => Cloud;
  /** GiB of each node's volume; 0: none, so that nothing else holds up a machine's end. */
  volumeGb?: number;
  /** How the adapter finds what exists before it orders; a naive one does not. */
  looksFirst?: boolean;
}

export interface Played {
  ready: number;
  refunded: number;
  deaths: number;
  calls: number;
  failedCalls: number;
  /** Orders that were carried out after their caller had given up. */
  late: number;
  /** Time of the world until the last one had ended (ms). */
  tookMs: number;
}

const VOLUME_GB = 100;
const STEP_MS = 1_000;
/** Nothing takes so long (ms). */
const LIMIT_MS = 2 * 3_600_000;
/** An order is carried out so long after its caller gave up, at most (ms): less than what the program waits for it. */
const LATEST_MS = 9_000;

class Player {
  readonly #chance: (of: number) => boolean;
  readonly #number: (below: number) => number;
  readonly #faults: SimulatedFaults;
  readonly #doubles: string[] = [];
  readonly #owed = new Set<string>();
  readonly #played: Played = { ready: 0, refunded: 0, deaths: 0, calls: 0, failedCalls: 0, late: 0, tookMs: 0 };
  #honest = false;
  #dead = false;
  fake!: FakeWorld;

  constructor(readonly play: Play) {
    const random = createSeededRandom(play.seed ^ 0x5eed);
    this.#number = (below) => {
      const [a = 0, b = 0, c = 0] = random.bytes(3);
      return ((a << 16 | b << 8 | c) / 2 ** 24) * below;
    };
    this.#chance = (of) => this.#number(1) < of;
    const plan = () => this.#fault();
    this.#faults = { ensure: plan, look: plan, list: plan, tag: plan, destroy: plan };
  }

  async begin(): Promise<void> {
    const { seed, background, adapter, volumeGb = VOLUME_GB } = this.play;
    this.fake = await createFakeWorld(seed, {
      settings: { bootstrap: { ...TEST_SETTINGS.bootstrap, volumeGb } },
      cloudFaults: this.#faults,
      cloudTimes: { addressMs: 2_000, activeMs: 3_000, firstBootMs: 5_000, endMs: 20_000 },
      wrapCloud: (cloud) => (adapter ?? ((one) => one))(this.#slowAndForgetful(cloud)),
      ...(background && { background }),
    });
    this.fake.engine.onCut = () => {
      this.#dead = true;
      this.fake.world.kill();
    };
    this.#nextDeath();
  }

  #fault(): SimulatedFault | undefined {
    if (this.#honest) return undefined;
    this.#played.calls++;
    const { faultRate } = this.play;
    if (!this.#chance(faultRate)) return this.#chance(0.1 * faultRate) ? { kind: "errored" } : undefined;
    this.#played.failedCalls++;
    if (this.#chance(0.01)) return { kind: "refuse" };
    const kinds: SimulatedFault[] = [{ kind: "fail" }, { kind: "fail", retryAfterMs: 2_000 }, { kind: "cut" }, {
      kind: "lose",
    }];
    return kinds[Math.floor(this.#number(kinds.length))];
  }

  /**
   * As a provider's API is: it makes two machines of one name when asked twice, an order takes time, and is carried out also when
   * nobody waits for it any more. What would be a second machine is written down.
   */
  #slowAndForgetful(cloud: Cloud): Cloud {
    const { looksFirst = true, faultRate } = this.play;
    const { clock } = this.fake ?? {};
    const machine = async (order: Order): Promise<Resource | undefined> =>
      (await cloud.list(order.name)).find(({ kind }) => kind === "machine");
    const carryOut = async (order: Order): Promise<Resource> => {
      const there = await this.#truth(() => machine(order));
      if (!there) return await cloud.ensure(order);
      this.#doubles.push(order.name);
      return there;
    };
    const wait = (ms: number) => sleep(this.fake?.world.clock ?? clock, ms);
    return {
      ...cloud,
      ensure: async (order) => {
        if (order.kind !== "machine") return await cloud.ensure(order);
        const found = looksFirst ? await machine(order) : undefined;
        if (found) return found;
        const givesUp = this.#chance(faultRate / 4);
        const done = wait(Math.floor(this.#number(givesUp ? LATEST_MS : 3_000))).then(() => carryOut(order));
        if (!givesUp) return await done;
        this.#played.late++;
        done.catch(() => {}); // its caller hears of none of it
        throw new CloudError("the provider did not answer in time", true);
      },
    };
  }

  /** Asks the provider itself, which then tells the truth at once. */
  #truth<T>(ask: () => Promise<T>): Promise<T> {
    const before = this.#honest;
    this.#honest = true;
    try {
      return ask(); // whether it fails is decided when the call begins
    } finally {
      this.#honest = before;
    }
  }

  #nextDeath(): void {
    const { commitsALife = 0 } = this.play;
    const at = this.fake.engine.commits() + 1 + Math.floor(this.#number(2 * commitsALife));
    const when = this.#chance(0.5) ? "before" as const : "after" as const;
    this.fake.engine.cutAt = commitsALife === 0 ? null : (commit) => commit === at ? when : null;
  }

  async #advance(ms: number): Promise<void> {
    await this.fake.clock.advance(ms);
    await this.#revive();
  }

  async #revive(): Promise<void> {
    if (!this.#dead) return;
    this.#dead = false;
    this.#played.deaths++;
    this.fake.engine.cutAt = null;
    await this.fake.world.crash();
    await this.fake.clock.settle();
    this.#nextDeath();
  }

  async run(): Promise<Played> {
    const { world, clock, call } = this.fake;
    this.fake.engine.cutAt = null;
    const ordered: Ordered[] = [];
    for (let i = 0; i < this.play.nodes; i++) {
      ordered.push(await orderNode({ call }, i % 5 === 0 ? { sshPublicKey: OWN_KEY } : {}));
    }
    for (const one of ordered) await payNode(this.fake, one);
    this.#nextDeath();
    for (const [i, { path }] of ordered.entries()) {
      // Some think better of it, most of them too late; what dies with the program is not answered.
      if (i % 11 === 3) void world.call("POST", `${path}/cancel`, {}).catch(() => {});
    }
    const began = clock.now();
    for (let records = await this.#records(); !records.every(isDone); records = await this.#records()) {
      must(clock.now() - began < LIMIT_MS, "a paid node comes to its end", waitingOf(records));
      await this.#advance(STEP_MS);
      await this.#assertAlways();
    }
    this.#played.tookMs = clock.now() - began;
    await this.#comeToRest(ordered);
    return this.#played;
  }

  async #records(): Promise<Bootstrap[]> {
    await this.#revive();
    return (await this.fake.world.rows<Bootstrap>(["bootstrap"])).map(({ value }) => value);
  }

  async #assertAlways(): Promise<void> {
    for (const record of await this.#records()) {
      if (record.refundId === null || this.#owed.has(record.handle)) continue;
      this.#owed.add(record.handle);
      const left = await this.#left(nameOf(record));
      must(
        left.length === 0,
        "nothing is left when the money is owed",
        left.map(({ kind, id }) => `${kind} ${id}`).join(", "),
      );
    }
    must(this.#doubles.length === 0, "one machine each", `ordered twice: ${this.#doubles.join(", ")}`);
  }

  #left(name: string): Promise<Resource[]> {
    return this.fake.clock.drive(this.#truth(() => this.fake.world.cloud.list(name)));
  }

  async #comeToRest(ordered: readonly Ordered[]): Promise<void> {
    const { world, clock } = this.fake;
    this.fake.engine.cutAt = null;
    await this.#revive();
    for (const call of Object.keys(this.#faults) as (keyof SimulatedFaults)[]) delete this.#faults[call];
    await this.#advance(3 * LATEST_MS);
    this.fake.engine.cutAt = null; // of the last life
    await clock.drive((world.deps as unknown as Background).sweeper.once());
    await this.#advance(10_000);
    await this.#claimAll(ordered);
    await this.#advance(120_000); // a late payout, a late mark
    const records = await this.#records();
    must(records.length === ordered.length, "no node is forgotten", `${records.length} of ${ordered.length}`);
    await this.#assertProvider(records);
    const books = await readBooks(world.rows, world.walletStore);
    for (const laws of [alwaysTrue, taskLaws, trueAtRest]) laws(books, must);
    for (const { name, ok, detail } of await world.audit()) must(ok, name, detail);
  }

  async #claimAll(ordered: readonly Ordered[]): Promise<void> {
    const { world, call } = this.fake;
    for (const record of await this.#records()) {
      if (!isOver(record)) continue;
      const path = ordered.find(({ handle }) => handle === record.handle)?.path ?? "";
      const { paymentRequest } = await payerInvoice(world, record.paidSats);
      const { status, body } = await call("POST", `${path}/refund`, { invoice: paymentRequest });
      must(status === 200, "whoever gets no node gets his money", `${status} ${JSON.stringify(body)}`);
      must(body.refundAmountSats === record.feeSats, "whoever gets no node gets his money", `${body.refundAmountSats}`);
    }
  }

  /** One of each for whoever has a node, and nothing for anybody else. */
  async #assertProvider(records: readonly Bootstrap[]): Promise<void> {
    const left = await this.#left("timmy");
    for (const record of records) {
      const own = left.filter(({ name }) => name === nameOf(record));
      const count = (kind: Resource["kind"]) => own.filter((one) => one.kind === kind).length;
      const detail = `${record.state}: ${own.map(({ kind }) => kind).join(", ")}`;
      if (record.state !== "ready") {
        // A key that two nodes of one payer share has the name of the first.
        must(own.every(({ kind }) => kind === "ssh-key" && record.publicKey === ownKey), "0 orphans", detail);
        this.#played.refunded++;
        continue;
      }
      this.#played.ready++;
      const volumes = record.order.volumeGb > 0 ? 1 : 0;
      must(count("machine") === 1 && count("volume") === volumes, "one machine each", detail);
      const marked = own.filter(({ kind }) => kind !== "ssh-key").every(({ tags }) => tags.includes("handed-over"));
      must(marked, "what was handed over is marked", detail);
      must(own.some(({ id }) => id === record.made.machineId), "one machine each", "another than the record names");
    }
    const names = new Set(records.map(nameOf));
    const strangers = left.filter(({ name }) => !names.has(name)).length;
    must(strangers === 0, "0 orphans", `${strangers} of no node`);
  }
}

const waitingOf = (records: readonly Bootstrap[]): string =>
  records.filter((one) => !isDone(one)).map(({ state, steps }) => `${state} ${steps.at(-1)?.name}`).join(", ");
const ownKey = OWN_KEY.split(" ").slice(0, 2).join(" ");
const isDone = (record: Bootstrap) => isOver(record) || (record.state === "ready" && record.handedOver);

/** Plays a case. @throws {Violation} for the first rule that did not hold. */
export async function playBootstraps(play: Play): Promise<Played> {
  const player = new Player(play);
  await player.begin();
  try {
    return await player.run();
  } finally {
    player.fake.discard();
  }
}

export { Violation };
