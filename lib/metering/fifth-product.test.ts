/**
 * A product that the program does not have: words are counted, each for its price, paid from a prepaid balance. It brings what it
 * would take, how it is done and who pays; quoting, reserving, running and closing are metering's, and the books are right.
 */
import assert from "node:assert/strict";
import { ModelError } from "@/lib/ai/port.ts";
import { REVENUE, sessionAccount } from "@/lib/ledger/accounts.ts";
import { balance } from "@/lib/ledger/ledger.rows.ts";
import { charge } from "@/lib/ledger/postings.ts";
import type { Services } from "@/lib/services.ts";
import type { Reader, Tx, Versioned } from "@/lib/store/store.ts";
import { createFakeWorld } from "@/tests/harness/fake-world.ts";
import { paidSession } from "@/tests/harness/session-payer.ts";
import type { CostSheet } from "./close.rules.ts";
import { type Books, close, type Payer, reserve } from "./metering.ts";
import { quoteOf } from "./quote.rules.ts";
import { failedBy, type Ran, run } from "./run.ts";

// ---- the product: all that a fifth one takes ---------------------------------------------------------------------------

/** A word is a token of output; a text of n words is answered by n. */
const PER_WORD = { inputUsdPer1k: 0, outputUsdPer1k: 1 };
const NEVER = new AbortController().signal;
interface HeldRow extends Versioned {
  v: 1;
  sats: number;
}

/** Counts the words of a text for whoever prepaid `purse`; a word that is `[broken]` breaks the counter. */
async function countWords(services: Services, id: string, purse: string, text: string): Promise<CostSheet | "refused"> {
  const { store, settings, btcPrice, clock } = services;
  const words = text.split(/\s+/).filter((word) => word !== "");
  const [inputTokens, outputTokens] = [0, words.length];
  const limits = { inputTokens, mostInputTokens: 0, outputTokens, maxOutputTokens: outputTokens };
  const btc = btcPrice.current();
  const quote = quoteOf({ ...limits, rates: PER_WORD, evaluation: null, config: settings.price, btc });
  const books: Books = {
    survives: "process",
    subsidyAccount: sessionAccount(purse),
    revenue: REVENUE.session,
    feedsPool: true,
  };
  const payer = payerOf(id, purse);
  const about = { id, session: purse, pubkey: null, requestHash: "" };
  const at = clock.now();
  const reserved = await store.transact((tx) => reserve(tx, settings, payer, about, { quote, books, now: at }));
  if (reserved.outcome !== "reserved") return "refused";
  const { reservedSats: paidSats, grantedSats, adviceSats } = reserved;

  const ran: Ran = await run({
    evaluate: null,
    work: ({ maxOutputTokens }) => {
      const counted = words.slice(0, maxOutputTokens);
      const usage = { inputTokens: 0, outputTokens: counted.length, source: "api" as const };
      if (words.includes("[broken]")) return Promise.reject(new ModelError("no counter", { kind: "broken", usage }));
      return Promise.resolve({ text: String(counted.length), usage, finish: "stop" });
    },
    prompt: () => text,
  }, { quote, fundsSats: paidSats, minOutputTokens: 1, gone: NEVER, stopped: NEVER, triedAgain: false })
    .catch((error) => ({ outcome: failedBy(error), text: "" }));

  return await store.transact(async (tx) => {
    const metered = { ...about, caller: null, at, quote, paidSats, grantedSats, adviceSats };
    const now = clock.now();
    await hold(tx, purse, -paidSats);
    return (await close(tx, settings, payer, metered, { outcome: ran.outcome, books, now })).costSheet;
  });
}

const heldIn = async (reader: Reader, purse: string) => (await reader.get<HeldRow>(["words_held", purse]))?.sats ?? 0;
const hold = async (tx: Tx, purse: string, sats: number) =>
  tx.setVolatile<HeldRow>(["words_held", purse], { v: 1, sats: await heldIn(tx, purse) + sats });

/** Pays from a prepaid balance; what is set aside is gone with the process, as its request is. */
const payerOf = (id: string, purse: string): Payer => ({
  available: async (tx) => ({
    balanceSats: await balance(tx, sessionAccount(purse)) - await heldIn(tx, purse),
    allowanceSats: Infinity,
  }),
  reserve: (tx, sats) => hold(tx, purse, sats),
  earned: (sats) => [charge(id, sessionAccount(purse), REVENUE.session, sats)],
});

// ---- what metering makes of it -----------------------------------------------------------------------------------------

const PURSE_SATS = 500;

/** Counts in a whole instance with a paid purse, and audits what is left. */
function counting(
  name: string,
  fn: (counter: {
    count(text: string): Promise<CostSheet | "refused">;
    countAll(texts: string[]): Promise<(CostSheet | "refused")[]>;
    sats(): Promise<number>;
    services: Services;
  }) => Promise<void>,
): void {
  Deno.test(`a fifth product: ${name}`, async () => {
    const fake = await createFakeWorld(1);
    try {
      const { handle } = await paidSession(fake.world, fake.call, PURSE_SATS);
      let ids = 0;
      const { deps: services, store } = fake.world;
      const count = (text: string) => countWords(services, `words-${++ids}`, handle, text);
      await fn({
        count: (text) => fake.clock.drive(count(text)),
        countAll: (texts) => fake.clock.drive(Promise.all(texts.map(count))),
        sats: () => balance(store, sessionAccount(handle)),
        services,
      });
      const wrong = (await fake.world.audit()).filter(({ ok, name }) => !ok && !name.startsWith("every request "));
      assert.deepEqual(wrong, [], "a product brings its own check of its rows; all others are of the whole instance");
    } finally {
      fake.discard();
    }
  });
}

counting(
  "what it counted is charged with the share and the margin, the pool gets its part, the rest stays",
  async ({ count, sats, services }) => {
    const before = await balance(services.store, "pool");
    const sheet = await count("ten words are ten words however they are laid out");
    assert.ok(sheet !== "refused");
    // 10 words for 0.01 USD and 0.1 USD of the machine, a quarter on top: 137.5 sats.
    assert.deepEqual([sheet.chargeSats, sheet.subsidySats, sheet.refundSats], [138, 0, 0]);
    assert.equal(await sats(), PURSE_SATS - 138);
    assert.equal(await balance(services.store, REVENUE.session) + await balance(services.store, "pool") - before, 138);
    assert.equal(await balance(services.store, "pool") - before, 13);
  },
);

counting(
  "many at once overdraw nothing, and what does not fit is refused before it runs",
  async ({ countAll, sats }) => {
    const sheets = await countAll(Array(6).fill("one two three"));
    const charged = sheets.map((sheet) => sheet === "refused" ? sheet : sheet.chargeSats);
    assert.deepEqual(charged, [129, 129, 129, "refused", "refused", "refused"]);
    assert.equal(await sats(), PURSE_SATS - 3 * 129);
  },
);

counting(
  "a counter that fails costs nobody anything, five times an hour; then each pays what it used",
  async ({ count }) => {
    const charged = [];
    for (let i = 0; i < 7; i++) {
      const sheet = await count("this counter is [broken]");
      charged.push(sheet === "refused" ? sheet : sheet.chargeSats);
    }
    assert.deepEqual(charged, [0, 0, 0, 0, 0, 5, 5]); // 4 words for 0.004 USD and a quarter: 5 sats, without the share
  },
);
