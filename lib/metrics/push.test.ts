import assert from "node:assert/strict";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { collectingLogger } from "@/lib/logger.ts";
import { type GuardedAnswer, type GuardedFetch, GuardedFetchError } from "@/lib/public-fetch.ts";
import { createMetricsPush } from "./push.ts";
import { createRegistry } from "./registry.ts";

const URL = "https://otel.example.com:4318/v1/metrics";
const OK: GuardedAnswer = { status: 200, headers: new Map(), body: new Uint8Array() };

/** A push every minute to a collector of this test. */
function pushTo(collector: GuardedFetch, token: string | null = null) {
  const clock = createFakeClock();
  const log = collectingLogger();
  const registry = createRegistry(clock);
  const settings = { url: URL, token, everyMs: 60_000 };
  const push = createMetricsPush({
    settings,
    registry,
    publicFetch: collector,
    clock,
    log,
    version: "1",
    instance: "i",
  });
  const outcomes = async () => {
    const text = await registry.text("openmetrics");
    return ["sent", "failed"].map((outcome) =>
      Number(new RegExp(`pushes_total\\{outcome="${outcome}"\\} (\\d+)`).exec(text)?.[1])
    );
  };
  return { clock, log, registry, push, outcomes };
}

Deno.test("push: every interval the figures go to the collector, with the token, as OTLP in JSON", async () => {
  const sent: Parameters<GuardedFetch>[] = [];
  const { clock, registry, push, outcomes, log } = pushTo((...args) => {
    sent.push(args);
    return Promise.resolve(OK);
  }, "t0ken");
  registry.gauge("timmy_known", "Known", () => 7);
  push.start();
  push.start();
  await clock.advance(59_000);
  assert.equal(sent.length, 0);
  await clock.advance(62_000);
  assert.equal(sent.length, 2, "one an interval, however often it is started");
  const [url, options] = sent[0] ?? [];
  assert.equal(url, URL);
  assert.deepEqual(options?.ports, [4318]);
  assert.deepEqual(options?.post?.headers, { "Content-Type": "application/json", Authorization: "Bearer t0ken" });
  const body = JSON.parse(new TextDecoder().decode(options?.post?.body));
  const names = body.resourceMetrics[0].scopeMetrics[0].metrics.map(({ name }: { name: string }) => name);
  assert.ok(names.includes("timmy_known"), String(names));
  push.stop();
  await clock.advance(600_000);
  assert.equal(sent.length, 2, "nothing is sent after the end");
  assert.deepEqual(await outcomes(), [2, 0]);
  assert.deepEqual(log.lines, []);
});

Deno.test("push: what fails is counted each time and logged once an hour, without address or token, and goes on", async () => {
  let down = true;
  const answers = [
    () => Promise.reject(new GuardedFetchError("unreachable", "the host does not answer")),
    () => Promise.resolve({ ...OK, status: 401 }),
    () => Promise.resolve({ ...OK, status: 307 }),
    () => Promise.reject(new Error("a defect")),
  ];
  let asked = 0;
  const { clock, push, outcomes, log } = pushTo(() => down ? answers[asked++ % 4]!() : Promise.resolve(OK), "t0ken");
  push.start();
  await clock.advance(59 * 60_000);
  assert.equal(log.lines.length, 1);
  assert.match(String(log.lines[0]?.fields.reason), /^unreachable: the host does not answer$/);
  await clock.advance(3 * 60_000);
  assert.equal(log.lines.length, 2);
  assert.equal(log.lines[1]?.fields.count, 60, "how many failed since the last line");
  assert.doesNotMatch(JSON.stringify(log.lines), /t0ken|otel/);
  down = false;
  const failed = asked;
  await clock.advance(62_000);
  assert.deepEqual(await outcomes(), [1, failed]);
});

Deno.test("push: without a token no credential is sent; a slow collector is waited for, never asked twice at once", async () => {
  const sent: Parameters<GuardedFetch>[] = [];
  let answer = (_: GuardedAnswer) => {};
  const { clock, push } = pushTo((...args) => {
    sent.push(args);
    return new Promise((resolve) => answer = resolve);
  });
  push.start();
  await clock.advance(600_000);
  assert.equal(sent.length, 1);
  assert.deepEqual(sent[0]?.[1]?.post?.headers, { "Content-Type": "application/json" });
  answer(OK);
  await clock.advance(61_000);
  assert.equal(sent.length, 2);
});
