/** Attacks on the operator's money: fees that the payee chooses, and failures that the payer chooses. */
import { ROUTING_FEES } from "@/lib/ledger/accounts.ts";
import type { RouteHop } from "@/lib/lightning/route-hints.ts";
import { balancesOf, type Books } from "../books/books.ts";
import { type Attack, attackersInvoice, callerNo, openSession, rounds, tally } from "./attack.ts";
import { FAILING_MODELS, type FailingModels, LOCAL_RATES } from "./failing-models.ts";

const CHAT = "/api/v1/chat/completions";

const hop = (feeBaseMsat: number, feePpm = 0): RouteHop => ({
  nodeId: `02${"9e".repeat(32)}`,
  shortChannelId: "1x1x1",
  feeBaseMsat,
  feePpm,
  cltvDelta: 40,
});
/** Ten sats a payment, spelled in four ways. */
const GREEDY: readonly (readonly RouteHop[])[] = [
  [hop(10_000)],
  [hop(0, 100_000)],
  [hop(5_000), hop(5_000)],
  [hop(10_000, 1)],
];
const DEPOSIT = 100;
/** What a payer may leave for the fee of a deposit that bought nothing (sats). */
const LEFT = 10;

/** The payee of a refund chooses the last hop's fee: for a deposit that bought nothing the operator pays none of it. */
export const feeAttack: Attack = {
  name: "fees: open, deposit 100, close to an invoice that asks 10,000 msat",
  limitMs: 120_000,
  async run(target) {
    const full: string[] = [];
    const less: string[] = [];
    const refusals: string[] = [];
    const done = await rounds(1_000, 8, 75_000, async (n) => {
      const from = callerNo(n);
      const { path, headers } = await openSession(target, DEPOSIT, from);
      const close = (sats: number) => {
        const invoice = attackersInvoice(sats, [GREEDY[n % GREEDY.length] ?? []]);
        return target.call("POST", `${path}/close`, { body: { invoice }, headers, from });
      };
      const whole = await close(DEPOSIT);
      full.push(`${whole.status}`);
      if (whole.body?.error) refusals.push(whole.body.error.code);
      less.push(`${(await close(DEPOSIT - LEFT - 1)).status} / ${(await close(DEPOSIT - LEFT)).status}`);
    });
    return {
      ok: done >= 200 && full.every((status) => status.startsWith("4")),
      figures: `${done} rounds; in full ${tally(full)} (${tally(refusals)}); leaving 11 / 10 sats ${tally(less)}`,
    };
  },
  judge(books, { ok, figures }) {
    const loss = -(balancesOf(books.entries).get(ROUTING_FEES) ?? 0);
    const feesTaken = [...books.wallet.payments.values()].filter(({ state }) => state === "paid")
      .reduce((sum, { feeSats }) => sum + feeSats, 0);
    return {
      ok: ok && loss === 0,
      figures: `${figures}; the network took ${feesTaken} sats, the operator paid ${loss} of them (0)`,
    };
  },
};

const ROUNDS = 200;
/** FREE_FAILURES_SATS_PER_HOUR, as it is unless set. */
const HOURLY_SATS = 1_000;
const HAIKU = { input: 0.0008, output: 0.004 };
const BTC_USD = 100_000;
type Usage = NonNullable<Books["requests"][number]["usage"]>;
/** What the provider bills (sats, not rounded). */
const billSats = (usage: Usage | null, rates: { input: number; output: number }): number =>
  usage === null ? 0 : (usage.inputTokens * rates.input + usage.outputTokens * rates.output) / 1_000 / BTC_USD * 1e8;

/** About 40,000 characters of plain English: enough that every failure costs something. */
const LONG = "What does a routing node earn from a payment that it forwards? ".repeat(640);

/** A whole sat that the charge does not cover; fractions are rounding. */
const uncoveredSats = ({ usage, evalUsage, chargeSats }: Books["requests"][number]): number =>
  Math.max(0, billSats(usage, LOCAL_RATES) + billSats(evalUsage, HAIKU) - chargeSats);

/** How many rounds run at the same time: that many may have begun before the instance bears no more. */
const AT_ONCE = 8;

function refusalAttack(
  name: string,
  models: FailingModels,
  { callers, mostFree, firstIsFree }: {
    callers: (n: number) => string;
    /** Failures that the operator may bear in all; the sats of an hour bound them too. */
    mostFree: number;
    /** Each caller fails once: what the instance no longer bears is refused before, and not charged (economy.md §4a). */
    firstIsFree: boolean;
  },
): Attack {
  let billed = 0;
  return {
    name,
    limitMs: 100_000,
    async run(target) {
      const answers: string[] = [];
      const before = models.tokens();
      const kinds = [...FAILING_MODELS, "[fail-work]", "[fail-eval]"];
      const done = await rounds(ROUNDS, AT_ONCE, 70_000, async (n) => {
        const from = callers(n);
        const { headers } = await openSession(target, 2_000, from);
        const kind = kinds[n % kinds.length] ?? "[fail-work]";
        const marked = kind.startsWith("[");
        const { status, body } = await target.call("POST", CHAT, {
          from,
          headers,
          body: {
            model: marked ? "claude-sonnet-4-6" : kind,
            max_tokens: 100,
            messages: [{ role: "user", content: `${LONG}${marked ? kind : ""}` }],
            stream: Math.floor(n / kinds.length) % 2 === 0,
          },
        });
        answers.push(`${status} ${body?.error?.code ?? ""}`.trim());
      });
      const after = models.tokens();
      billed = after.inputTokens - before.inputTokens;
      const asked = after.asked - before.asked;
      const figures = `${done} rounds (${tally(answers)}), ${asked} of them billed by the provider, ${billed} tokens`;
      return { ok: done === ROUNDS && asked > 0, figures };
    },
    judge(books, { ok, figures }) {
      const free = books.requests.map(uncoveredSats).filter((sats) => sats >= 1);
      const sats = Math.ceil(free.reduce((sum, one) => sum + one, 0));
      const known = books.requests.reduce((sum, { usage }) => sum + (usage?.inputTokens ?? 0), 0);
      const charged = books.requests.filter(({ state, chargeSats }) => state === "failed" && chargeSats > 0).length;
      const tooMany = firstIsFree && charged > AT_ONCE;
      return {
        ok: ok && free.length <= mostFree && sats <= HOURLY_SATS && known === billed && !tooMany,
        figures: `${figures}; not covered: ${free.length} requests${firstIsFree ? "" : ` (≤ ${mostFree})`}, ` +
          `${sats} sats (≤ ${HOURLY_SATS})` +
          (firstIsFree ? `; ${charged} callers paid for their first failure (≤ ${AT_ONCE}, in flight)` : "") +
          (known === billed ? "" : `; THE BOOKS KNOW ${known} TOKENS`),
      };
    },
  };
}

/** 200 sessions of one address. @param models the provider, who bills. */
export const refusalsOfOne = (models: FailingModels): Attack =>
  refusalAttack("refusals: 200 fresh sessions of one address, each failing on purpose", models, {
    callers: () => "192.0.2.9",
    mostFree: 5,
    firstIsFree: false,
  });

/** As many addresses as sessions: each has its free failures, and the instance bears so much in all. */
export const refusalsOfMany = (models: FailingModels): Attack =>
  refusalAttack("refusals: 200 fresh sessions of 200 addresses, each failing on purpose", models, {
    callers: callerNo,
    mostFree: Infinity,
    firstIsFree: true,
  });
