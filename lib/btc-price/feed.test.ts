import assert from "node:assert/strict";
import { collectingLogger } from "@/lib/http/logger.ts";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { createBtcPriceFeed } from "./feed.ts";
import type { BtcPriceSource } from "./port.ts";
import { coinbase, coingecko } from "./sources.ts";

const START_MS = 1_700_000_000_000;
const MAX_AGE_MS = 3_600_000;
const REFRESH_MS = 60_000;
const TIMEOUT_MS = 5_000;
const FALLBACK_USD = 100_000;

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

function setUp(first: ScriptedSource["answer"] = 97_000, second: ScriptedSource["answer"] = 97_500) {
  const clock = createFakeClock(START_MS);
  const log = collectingLogger();
  const one = new ScriptedSource("coingecko", first);
  const two = new ScriptedSource("coinbase", second);
  const feed = createBtcPriceFeed({
    sources: [one, two],
    clock,
    maxAgeMs: MAX_AGE_MS,
    fallbackUsd: FALLBACK_USD,
    log,
    refreshMs: REFRESH_MS,
    timeoutMs: TIMEOUT_MS,
  });
  return { clock, log, one, two, feed };
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
  const { feed, one, two } = setUp();
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(feed.current(), { usd: FALLBACK_USD, source: "fallback", at: START_MS });
  }
  assert.equal(one.asked + two.asked, 0);
});

Deno.test("createBtcPriceFeed: the first source's price counts, with its name and the time it was read", async () => {
  const { feed, clock, two } = setUp();
  await feed.refresh();
  await clock.advance(REFRESH_MS);
  assert.deepEqual(feed.current(), { usd: 97_000, source: "coingecko", at: START_MS });
  assert.equal(two.asked, 0);
});

Deno.test("createBtcPriceFeed: the second source is asked when the first fails", async () => {
  const { feed } = setUp(new Error("503"));
  await feed.refresh();
  assert.deepEqual(feed.current(), { usd: 97_500, source: "coinbase", at: START_MS });
});

Deno.test("createBtcPriceFeed: both real answer shapes over HTTP, the second after the first one's error", async () => {
  let broken = false;
  const server = priceServer({
    "/simple": () => broken ? new Response("busy", { status: 503 }) : Response.json({ bitcoin: { usd: 97_123.4 } }),
    "/spot": () => Response.json({ data: { amount: "97200.50", base: "BTC", currency: "USD" } }),
  });
  try {
    const feed = createBtcPriceFeed({
      sources: [coingecko({ url: `${server.base}/simple` }), coinbase({ url: `${server.base}/spot` })],
      clock: createFakeClock(START_MS),
      maxAgeMs: MAX_AGE_MS,
      fallbackUsd: FALLBACK_USD,
      log: collectingLogger(),
    });
    await feed.refresh();
    assert.deepEqual(feed.current(), { usd: 97_123.4, source: "coingecko", at: START_MS });
    broken = true;
    await feed.refresh();
    assert.deepEqual(feed.current(), { usd: 97_200.5, source: "coinbase", at: START_MS });
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
  assert.deepEqual(feed.current(), { usd: 97_500, source: "coinbase", at: START_MS + TIMEOUT_MS });
  assert.match(String(log.lines[0]?.fields.reason), /coingecko took longer than 5000 ms/);
  assert.equal(clock.pending(), 0, "no timer is left behind");
});

Deno.test("createBtcPriceFeed: the last good price stays with its source and time until it is too old", async () => {
  const { feed, clock, one, two } = setUp();
  await feed.refresh();
  one.answer = two.answer = new Error("down");
  await clock.advance(MAX_AGE_MS - 1);
  await feed.refresh();
  assert.deepEqual(feed.current(), { usd: 97_000, source: "coingecko", at: START_MS });
  await clock.advance(1);
  assert.deepEqual(feed.current(), { usd: FALLBACK_USD, source: "fallback", at: START_MS + MAX_AGE_MS });
  await clock.advance(5);
  assert.equal(feed.current().at, START_MS + MAX_AGE_MS + 5);
});

Deno.test("createBtcPriceFeed: a source that comes back replaces the fallback", async () => {
  const { feed, one } = setUp(new Error("down"), new Error("down"));
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
  const { feed, clock, one } = setUp();
  feed.start();
  feed.start();
  await clock.settle();
  assert.equal(one.asked, 1);
  for (let minute = 1; minute <= 3; minute++) {
    one.answer = 97_000 + minute;
    await clock.advance(REFRESH_MS - 1);
    assert.equal(one.asked, minute, "not before the minute is over");
    await clock.advance(1);
    assert.equal(one.asked, minute + 1);
    assert.equal(clock.pending(), 1, "one loop");
    assert.equal(feed.current().usd, 97_000 + minute);
  }
  await feed.stop();
});

Deno.test("createBtcPriceFeed: stop ends a round under way and leaves no timer", async () => {
  const { feed, clock, one, two, log } = setUp("silent");
  feed.start();
  await clock.settle();
  assert.equal(clock.pending(), 1);
  await feed.stop();
  assert.equal(one.aborted, 1);
  assert.equal(two.asked, 0);
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
