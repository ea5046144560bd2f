import assert from "node:assert/strict";
import { collectingLogger } from "@/lib/logger.ts";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { createBtcPriceFeed } from "./feed.ts";
import type { BtcPriceSource } from "./port.ts";
import { coinbase, coingecko, kraken } from "./sources.ts";

const START_MS = 1_700_000_000_000;
const MAX_AGE_MS = 3_600_000;
const REFRESH_MS = 60_000;
const TIMEOUT_MS = 5_000;
const FALLBACK_USD = 100_000;
const ALL = "coinbase+coingecko+kraken";

/** A source that does as told: a number is its price, an Error its failure, "silent" no answer until aborted. */
class ScriptedSource implements BtcPriceSource {
  asked = 0;
  aborted = 0;
  constructor(readonly name: string, public answer: number | Error | "silent") {}
  fetchUsd(signal: AbortSignal): Promise<number> {
    this.asked++;
    const { answer } = this;
    if (typeof answer === "number") return Promise.resolve(answer);
    if (answer instanceof Error) return Promise.reject(answer);
    return new Promise((_, reject) =>
      signal.addEventListener("abort", () => {
        this.aborted++;
        reject(new Error("aborted"));
      }, { once: true })
    );
  }
}

/** By default they name 97,000, 97,500 and 98,000 USD: the median is the second's. */
function setUp(
  first: ScriptedSource["answer"] = 97_000,
  second: ScriptedSource["answer"] = 97_500,
  third: ScriptedSource["answer"] = 98_000,
) {
  const clock = createFakeClock(START_MS);
  const log = collectingLogger();
  const one = new ScriptedSource("coingecko", first);
  const two = new ScriptedSource("coinbase", second);
  const three = new ScriptedSource("kraken", third);
  const feed = createBtcPriceFeed({
    sources: [one, two, three],
    clock,
    maxAgeMs: MAX_AGE_MS,
    fallbackUsd: FALLBACK_USD,
    log,
    refreshMs: REFRESH_MS,
    timeoutMs: TIMEOUT_MS,
  });
  return { clock, log, one, two, three, feed };
}

/** Serves one answer a path on a local port: what the real services send. */
function priceServer(answers: Record<string, () => Response>) {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => answers[new URL(request.url).pathname]?.() ?? new Response(null, { status: 404 }),
  );
  return { base: `http://127.0.0.1:${server.addr.port}`, stop: () => server.shutdown() };
}

Deno.test("createBtcPriceFeed: current answers with the fallback before the first answer, and asks nobody", () => {
  const { feed, one, two, three } = setUp();
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(feed.current(), { usd: FALLBACK_USD, source: "fallback", at: START_MS });
  }
  assert.equal(one.asked + two.asked + three.asked, 0);
});

Deno.test("createBtcPriceFeed: the median of all sources counts, with their names and the time they were read", async () => {
  const { feed, clock } = setUp();
  await feed.refresh();
  await clock.advance(REFRESH_MS);
  assert.deepEqual(feed.current(), { usd: 97_500, source: ALL, at: START_MS });
});

Deno.test("createBtcPriceFeed: all are asked at once, and those that answer do for those that do not", async () => {
  const { feed, clock, one, two, three } = setUp("silent", "silent");
  const round = feed.refresh();
  await clock.settle();
  assert.deepEqual([one.asked, two.asked, three.asked], [1, 1, 1]);
  await clock.advance(TIMEOUT_MS);
  await round;
  assert.deepEqual(
    feed.current(),
    { usd: 98_000, source: "kraken", at: START_MS },
    "read before the others were given up",
  );
});

Deno.test("createBtcPriceFeed: one source that lies changes nothing, and with the others down the last good price stays", async () => {
  const { feed, one, two, three, log } = setUp();
  await feed.refresh();
  for (const lie of [999_999_999, 60_000_000, 1_000, 0, NaN]) {
    [one.answer, two.answer, three.answer] = [lie, 97_500, 98_000];
    await feed.refresh();
    const { usd } = feed.current();
    assert.ok(usd >= 97_500 && usd <= 98_000, `${lie}: ${usd}`);
    [two.answer, three.answer] = [new Error("down"), new Error("down")];
    await feed.refresh();
    assert.equal(feed.current().usd, usd, String(lie));
  }
  const doubts = log.lines.filter(({ message }) => message.includes("jumped"));
  assert.equal(doubts.length, 5, "said once each time it begins");
});

Deno.test("createBtcPriceFeed: a crash of 30 % that two sources confirm counts at once", async () => {
  const { feed, one, two, three } = setUp();
  await feed.refresh();
  [one.answer, two.answer, three.answer] = [68_000, 68_300, new Error("down")];
  await feed.refresh();
  assert.deepEqual(feed.current(), { usd: 68_150, source: "coinbase+coingecko", at: START_MS });
});

Deno.test("createBtcPriceFeed: a crash that one source alone names waits until the last good price is too old", async () => {
  const { feed, clock, one, two, three } = setUp();
  await feed.refresh();
  [one.answer, two.answer, three.answer] = [68_000, new Error("down"), new Error("down")];
  await clock.advance(MAX_AGE_MS - 1);
  await feed.refresh();
  assert.equal(feed.current().usd, 97_500);
  await clock.advance(1);
  assert.equal(feed.current().source, "fallback");
  await feed.refresh();
  assert.equal(feed.current().usd, 68_000);
});

Deno.test("createBtcPriceFeed: the three real answer shapes over HTTP", async () => {
  const server = priceServer({
    "/simple": () => Response.json({ bitcoin: { usd: 97_123.4 } }),
    "/spot": () => Response.json({ data: { amount: "97200.50", base: "BTC", currency: "USD" } }),
    "/ticker": () => Response.json({ error: [], result: { XXBTZUSD: { c: ["97150.1", "0.1"] } } }),
  });
  try {
    const feed = createBtcPriceFeed({
      sources: [
        coingecko({ url: `${server.base}/simple` }),
        coinbase({ url: `${server.base}/spot` }),
        kraken({ url: `${server.base}/ticker` }),
      ],
      clock: createFakeClock(START_MS),
      maxAgeMs: MAX_AGE_MS,
      fallbackUsd: FALLBACK_USD,
      log: collectingLogger(),
    });
    await feed.refresh();
    assert.deepEqual(feed.current(), { usd: 97_150.1, source: ALL, at: START_MS });
  } finally {
    await server.stop();
  }
});

Deno.test("createBtcPriceFeed: a source that does not answer in time is given up and told so", async () => {
  const { feed, clock, one, log } = setUp("silent");
  const round = feed.refresh();
  await clock.advance(TIMEOUT_MS - 1);
  assert.equal(one.aborted, 0);
  await clock.advance(1);
  await round;
  assert.equal(one.aborted, 1);
  assert.deepEqual(feed.current(), { usd: 97_750, source: "coinbase+kraken", at: START_MS });
  assert.match(String(log.lines[0]?.fields.reason), /coingecko took longer than 5000 ms/);
  assert.equal(clock.pending(), 0, "no timer is left behind");
});

Deno.test("createBtcPriceFeed: the last good price stays with its source and time until it is too old", async () => {
  const { feed, clock, one, two, three } = setUp();
  await feed.refresh();
  one.answer = two.answer = three.answer = new Error("down");
  await clock.advance(MAX_AGE_MS - 1);
  await feed.refresh();
  assert.deepEqual(feed.current(), { usd: 97_500, source: ALL, at: START_MS });
  await clock.advance(1);
  assert.deepEqual(feed.current(), { usd: FALLBACK_USD, source: "fallback", at: START_MS + MAX_AGE_MS });
  await clock.advance(5);
  assert.equal(feed.current().at, START_MS + MAX_AGE_MS + 5);
});

Deno.test("createBtcPriceFeed: a source that comes back replaces the fallback", async () => {
  const { feed, one } = setUp(new Error("down"), new Error("down"), new Error("down"));
  await feed.refresh();
  assert.equal(feed.current().source, "fallback");
  one.answer = 98_000;
  await feed.refresh();
  assert.deepEqual(feed.current(), { usd: 98_000, source: "coingecko", at: START_MS });
});

Deno.test("createBtcPriceFeed: refreshes asked for at the same time share one round", async () => {
  const { feed, one } = setUp();
  await Promise.all(Array.from({ length: 20 }, () => feed.refresh()));
  assert.equal(one.asked, 1);
  await feed.refresh();
  assert.equal(one.asked, 2);
});

Deno.test("createBtcPriceFeed: start asks at once and then every minute, however often it is called", async () => {
  const { feed, clock, one, two } = setUp();
  feed.start();
  feed.start();
  await clock.settle();
  assert.equal(one.asked, 1);
  for (let minute = 1; minute <= 3; minute++) {
    two.answer = 97_500 + minute;
    await clock.advance(REFRESH_MS - 1);
    assert.equal(one.asked, minute, "not before the minute is over");
    await clock.advance(1);
    assert.equal(one.asked, minute + 1);
    assert.equal(clock.pending(), 1, "one loop");
    assert.equal(feed.current().usd, 97_500 + minute);
  }
  await feed.stop();
});

Deno.test("createBtcPriceFeed: stop ends a round under way and leaves no timer", async () => {
  const { feed, clock, one, log } = setUp("silent");
  feed.start();
  await clock.settle();
  assert.equal(clock.pending(), 1, "the limit of the one that is silent");
  await feed.stop();
  assert.equal(one.aborted, 1);
  assert.equal(clock.pending(), 0);
  await clock.advance(10 * REFRESH_MS);
  assert.equal(one.asked, 1);
  assert.deepEqual(log.lines, [], "an end that was asked for is no failure");
});

Deno.test("createBtcPriceFeed: a failing source is named once, and once more when it answers again", async () => {
  const { feed, log, one } = setUp(new Error("503"));
  await feed.refresh();
  await feed.refresh();
  one.answer = 98_000;
  await feed.refresh();
  assert.deepEqual(log.lines.map(({ level, fields }) => [level, fields.backend]), [
    ["warn", "coingecko"],
    ["info", "coingecko"],
  ]);
});

Deno.test("createBtcPriceFeed: a key in a source's address does not get into the log", async () => {
  const server = priceServer({});
  await server.stop();
  const log = collectingLogger();
  const feed = createBtcPriceFeed({
    sources: [coingecko({ url: `${server.base}/simple?x_cg_demo_api_key=CG-s3cretkey` })],
    clock: createFakeClock(START_MS),
    maxAgeMs: MAX_AGE_MS,
    fallbackUsd: FALLBACK_USD,
    log,
  });
  await feed.refresh();
  assert.equal(log.lines.length, 1);
  assert.ok(!JSON.stringify(log.lines).includes("s3cretkey"), JSON.stringify(log.lines));
});
