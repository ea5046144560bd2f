import { createSimulatedModel, type SimulatedFaults as ModelFaults } from "@/lib/ai/simulated.ts";
import type { Clock } from "@/lib/clock.ts";
import type { SimulatedFaults as WalletFaults } from "@/lib/lightning/simulated-faults.ts";
import { createFakeClock, type FakeClock } from "./fake-clock.ts";
import { createMemoryEngine, type MemoryEngine } from "./memory-engine.ts";
import { createSeededRandom } from "./seeded-random.ts";
import { type Answer, createWorld, type World, type WorldOptions } from "./world.ts";

export interface LeapingClock extends FakeClock {
  /**
   * Time passes while nothing runs: the wall clock and monotonic time move on, running timers keep their remaining time. A
   * month is then one step and not five million ticks of the sweeper.
   */
  leap(ms: number): void;
  /** The wall clock alone is set, ahead or (below 0) back. */
  jump(ms: number): void;
  /** Time that ran, without leaps and jumps (ms). */
  ran(): number;
}

export function createLeapingClock(): LeapingClock {
  const fake = createFakeClock();
  let leapt = 0;
  let jumped = 0;
  return {
    ...fake,
    now: () => fake.now() + leapt + jumped,
    monotonic: () => fake.monotonic() + leapt,
    leap: (ms) => void (leapt += ms),
    jump: (ms) => void (jumped += ms),
    ran: fake.now,
  };
}

/** A world in which only the test moves time, and the seed decides everything else. */
export interface FakeWorld {
  world: World;
  clock: LeapingClock;
  walletFaults: WalletFaults;
  modelFaults: ModelFaults;
  /** The program's database. */
  engine: MemoryEngine;
  /** A call that may wait for time: moves it until the answer is there. */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** Gives everything back at once, whatever still runs. */
  discard(): void;
}

export async function createFakeWorld(
  seed: number,
  options: Omit<WorldOptions, "clock" | "random"> = {},
): Promise<FakeWorld> {
  const clock = createLeapingClock();
  const random = createSeededRandom(seed);
  const walletFaults: WalletFaults = options.faults ?? {};
  const modelFaults: ModelFaults = { evaluate: [], work: [] };
  const engine = createMemoryEngine(random);
  const walletEngine = createMemoryEngine(random);
  clock.waitWhile(() => engine.busy() || walletEngine.busy());
  const world = await createWorld({
    model: createSimulatedModel({ clock: clock as Clock, faults: modelFaults }),
    ...options,
    clock,
    random,
    faults: walletFaults,
    openEngine: (name) => Promise.resolve(name === "wallet.kv" ? walletEngine : engine),
  });
  await clock.settle();
  return {
    world,
    clock,
    walletFaults,
    modelFaults,
    engine,
    call: (...args) => clock.drive(world.call(...args)),
    discard: () => world.kill(),
  };
}
