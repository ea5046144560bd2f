/** Two hundred requests at once on a balance that pays for three, with costs that only the seed knows (economy.md §6). */
import { type Model, ModelError, type Usage } from "@/lib/ai/port.ts";
import { type Clock, sleep } from "@/lib/clock.ts";
import { decode } from "@/lib/store/codec.ts";
import type { Engine } from "@/lib/store/engine.ts";
import { balanceOf, type Counters } from "@/lib/ledger/ledger.rules.ts";
import { price, type PriceConfig, type Rates } from "@/lib/metering/pricing.rules.ts";
import { createFakeWorld, type FakeWorld } from "../harness/fake-world.ts";
import { createSeededRandom } from "../harness/seeded-random.ts";
import { paidSession } from "../harness/session-payer.ts";
import { type Answer, TEST_SETTINGS } from "../harness/world.ts";
import type { Naive } from "./naive.ts";
import { assertAlways, assertAtRest, History } from "./rules.ts";
import { must } from "./violation.ts";

export const CALLERS = 200;
const PAYS_FOR = 3;
const BTC_USD = 100_000;

export interface Rushed {
  served: number;
  /** Refused by the evaluator, or failed: they cost little or nothing, and answer nobody. */
  other: number;
  /** 402. */
  unpaid: number;
}

/** A number below `limit` that the seed alone decides. */
export type Dice = (limit: number) => number;
export function diceOf(seed: number): Dice {
  const random = createSeededRandom(seed);
  return (limit) => {
    const [a = 0, b = 0, c = 0] = random.bytes(3);
    return (a | (b << 8) | (c << 16)) % limit;
  };
}

/** What one round costs: the infrastructure share most of it, so that three answers can be paid and never four. */
interface Costs {
  config: PriceConfig;
  rates: Rates;
  depositSats: number;
}

function costsOf(below: Dice): Costs {
  const config = { ...TEST_SETTINGS.price, doMonthlyCostUsd: 50 + below(250), marginPct: below(50) };
  const rates = { inputUsdPer1k: below(2_000) / 1e6, outputUsdPer1k: below(8_000) / 1e6 };
  const leastSats = price({ inputTokens: 0, outputTokens: 0, rates, config, btcUsd: BTC_USD }).sats;
  const from = Math.ceil(leastSats * 3.2);
  return { config, rates, depositSats: from + below(PAYS_FOR * leastSats + leastSats - from) };
}

/**
 * A model that takes what the dice say, within the limit it is handed, and as long as they say. In every fourth round it
 * refuses some, and fails at some.
 */
function modelOf(below: Dice, clock: () => Clock): Model {
  const troubles = below(4) === 0;
  const trouble = () => troubles && below(10) === 0;
  const usage = (inputs: number, outputs: number): Usage => ({
    inputTokens: 1 + below(inputs),
    outputTokens: 1 + below(outputs),
    source: "api",
  });
  const write = async ({ maxOutputTokens, signal }: { maxOutputTokens: number; signal: AbortSignal }) => {
    await sleep(clock(), below(3) * below(40), signal);
    if (trouble()) throw new ModelError("the dice say so", { kind: "invalid" });
    return { text: "an answer", usage: usage(50, maxOutputTokens), finish: "stop" as const };
  };
  return {
    name: "dice",
    simulated: true,
    can: () => false,
    evaluate: async ({ signal }) => {
      await sleep(clock(), below(3) * below(20), signal);
      return { accepted: !trouble(), reason: "the dice say so", usage: usage(400, 100) };
    },
    work: write,
    chat: write,
  };
}

/** Looks at every commit: a balance below zero is found at the very moment, not only in the end. */
function watching(engine: Engine, below: (account: string) => void): Engine {
  const commit: Engine["commit"] = (one) => {
    for (const { key, value } of one.set) {
      if (key[0] !== "account" || !/^(session|reserved):/.test(String(key[1]))) continue;
      if (balanceOf(decode<Counters>(value)) < 0) below(String(key[1]));
    }
    return engine.commit(one);
  };
  return new Proxy(engine, { get: (target, name) => name === "commit" ? commit : Reflect.get(target, name) });
}

/** Plays one round. @throws {Violation} for the first rule that did not hold. */
export async function rush(seed: number, options: { background?: Naive } = {}): Promise<Rushed> {
  const below = diceOf(seed);
  const { config, rates, depositSats } = costsOf(below);
  const overdrawn: string[] = [];
  let fake: FakeWorld | null = null;
  fake = await createFakeWorld(seed, {
    ...options,
    settings: { price: config },
    rates,
    model: modelOf(below, () => (fake as FakeWorld).clock),
    wrapEngine: (engine) => watching(engine, (account) => overdrawn.push(account)),
  });
  try {
    const { world, clock, call } = fake;
    const { sessionId, handle, auth } = await paidSession(world, call, depositSats);
    const path = `/api/sessions/${sessionId}`;
    const answers = await clock.drive(Promise.all(
      Array.from({ length: CALLERS }, () => {
        const request = "x".repeat(1 + below(400));
        return world.call("POST", `${path}/request`, { request }, auth);
      }),
    ));
    const rushed = judge(answers);
    must(overdrawn.length === 0, "a session is never below zero", overdrawn.join(", "));
    const debited = answers.reduce((sum, { body }) => sum + (body.debitedSats ?? 0), 0);
    const { balanceSats, heldSats } = (await call("GET", path)).body;
    must(
      balanceSats + debited === depositSats && heldSats === 0,
      "what was paid is what is left and what was debited",
      `${depositSats}, not ${balanceSats} and ${debited}, ${heldSats} held of ${handle}`,
    );
    await assertAlways(fake, new History(), `seed ${seed}`);
    await assertAtRest(fake, new History());
    return rushed;
  } finally {
    fake.discard();
  }
}

/** Every one of them is answered, and no more are served than the balance pays for. */
function judge(answers: readonly Answer[]): Rushed {
  const rushed: Rushed = { served: 0, other: 0, unpaid: 0 };
  for (const { status, body } of answers) {
    const said = `${status} ${JSON.stringify(body)}`;
    must(status === 200 || status === 402, "a request is answered", said);
    if (status === 200) {
      if (body.state === "complete") rushed.served++;
      else rushed.other++;
      continue;
    }
    rushed.unpaid++;
    const { balanceSats, priceSats, minimumBalanceSats } = body.error.details;
    must(
      balanceSats >= 0 && priceSats > 0 && (balanceSats < priceSats || balanceSats < minimumBalanceSats),
      "a 402 says balance and price",
      said,
    );
  }
  must(
    rushed.served <= PAYS_FOR,
    "no more are served than the balance pays for",
    `${rushed.served} of ${answers.length}`,
  );
  return rushed;
}
