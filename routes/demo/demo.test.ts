import assert from "node:assert/strict";
import { createSimulatedModel } from "@/lib/ai/simulated.ts";
import type { Model } from "@/lib/ai/port.ts";
import type { Entry } from "@/lib/ledger/ledger.rules.ts";
import { balance } from "@/lib/ledger/ledger.rows.ts";
import { auditedTests } from "@/tests/harness/audited.ts";
import { createFakeWorld, type FakeWorld } from "@/tests/harness/fake-world.ts";
import { assertAudit } from "@/tests/harness/payer.ts";
import type { Answer, World } from "@/tests/harness/world.ts";

const SEED = 10_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const HERE = "203.0.113.7";

/** Runs `fn` in a world whose time only it moves, and audits what is left. The day begins at midnight UTC. */
const withDemo = auditedTests("GET /api/demo: ");

/** Asks from an address, without moving time. */
async function asked(world: World, request: string, address = HERE, method = "GET"): Promise<Answer> {
  const path = `/api/demo?request=${encodeURIComponent(request)}`;
  const response = await world.app.request(path, { method }, { remoteAddr: { hostname: address } });
  const text = await response.text();
  return { status: response.status, body: text && JSON.parse(text), headers: response.headers };
}
const ask = ({ world, clock }: FakeWorld, request = "What is a pool?", address?: string) =>
  clock.drive(asked(world, request, address));

const entries = async ({ world }: FakeWorld) =>
  (await world.rows<Entry>(["entry"])).map(({ value }) => value).filter(({ kind }) => kind === "demo");
const operator = ({ world }: FakeWorld) => balance(world.store, "operator");

/** One answer in the one error shape. @returns Retry-After */
function assertError({ status, body, headers }: Answer, wanted: number, code: string): number {
  assert.deepEqual([status, body.error?.code], [wanted, code], JSON.stringify(body));
  return Number(headers.get("retry-after"));
}

/** A model that notes what it was asked. */
function noting(inner: Model, seen: [what: string, model: string, limit: number | null][]): Model {
  return {
    ...inner,
    evaluate(input) {
      seen.push(["evaluate", input.model, null]);
      return inner.evaluate(input);
    },
    work(input) {
      seen.push(["work", input.model, input.maxOutputTokens]);
      return inner.work(input);
    },
  };
}

withDemo("a short answer for nothing, whose price the operator has paid when it arrives", async (fake) => {
  const { world } = fake;
  const events: unknown[] = [];
  world.store.onEvent(({ type, state, sats }) => type === "demo" && events.push([state, sats]));
  const { status, body, headers } = await ask(fake);
  assert.equal(status, 200, JSON.stringify(body));
  const { result, costSats } = body;
  assert.match(result, /\[simulated\].*What is a pool\?/);
  assert.ok(costSats > 125, "infrastructure and margin included");
  assert.deepEqual(body, {
    state: "complete",
    result,
    finishReason: "stop",
    costSats,
    usageSource: "estimated",
    remainingThisHour: 4,
    remainingToday: 49,
    stubMode: true,
    simulated: ["model"],
  });
  assert.equal(headers.get("cache-control"), "no-store");
  const [entry, ...others] = await entries(fake);
  assert.deepEqual(others, []);
  assert.deepEqual([entry?.from, entry?.to, entry?.sats], ["operator", "revenue:work", costSats]);
  assert.deepEqual(events, [["complete", costSats]]);
  assert.equal(await operator(fake), -SEED - costSats);
  assert.equal(await balance(world.store, "revenue:work"), costSats);
  assert.equal(await balance(world.store, "pool"), SEED, "the operator's own money is no charge that feeds the pool");
});

Deno.test("GET /api/demo: EVAL_MODEL judges first, WORK_MODEL then writes at most 150 tokens; a refusal asks no more", async () => {
  const seen: [string, string, number | null][] = [];
  const settings = { evalModel: "claude-haiku-test", workModel: "claude-sonnet-test" };
  // Simulated answers need no time, so this model's clock may be the machine's.
  const model = noting(
    createSimulatedModel({ clock: { now: () => 0, monotonic: () => 0, after: () => () => {} } }),
    seen,
  );
  const fake = await createFakeWorld(1, { settings, model });
  assert.equal((await ask(fake)).body.state, "complete");
  assert.deepEqual(seen, [["evaluate", "claude-haiku-test", null], ["work", "claude-sonnet-test", 150]]);
  seen.length = 0;
  const { status, body } = await ask(fake, "[refuse] this");
  assert.equal(status, 200);
  assert.deepEqual(Object.keys(body).sort(), [
    "costSats",
    "reason",
    "remainingThisHour",
    "remainingToday",
    "simulated",
    "state",
    "stubMode",
    "usageSource",
  ]);
  assert.equal(body.state, "rejected");
  assert.match(body.reason, /\[refuse\]/);
  assert.equal(body.remainingThisHour, 3, "a refusal counts");
  assert.deepEqual(seen, [["evaluate", "claude-haiku-test", null]]);
  assert.ok(body.costSats >= 1 && body.costSats < 20, "the evaluation alone, without the machine's share");
  const paid = (await entries(fake)).map(({ sats }) => sats);
  assert.equal(await operator(fake), -SEED - paid.reduce((sum, sats) => sum + sats, 0));
  await assertAudit(fake.world);
  fake.discard();
});

withDemo("an answer that would be longer is cut, and says so", async (fake) => {
  const { status, body } = await ask(fake);
  assert.equal(status, 200);
  assert.equal(body.finishReason, "length");
  assert.equal(body.result.length, 600);
}, {
  model: {
    ...createSimulatedModel({ clock: { now: () => 0, monotonic: () => 0, after: () => () => {} } }),
    work: ({ maxOutputTokens }) =>
      Promise.resolve({
        text: "x".repeat(maxOutputTokens * 4),
        usage: { inputTokens: 50, outputTokens: maxOutputTokens, source: "api" },
        finish: "length",
      }),
  },
});

withDemo("the request is checked as a job's is, and a bad one uses nothing up", async (fake) => {
  const { world } = fake;
  const before = await world.store.version();
  assertError(await ask(fake, ""), 400, "request_empty");
  assertError(await ask(fake, "  \n "), 400, "request_empty");
  assertError(await ask(fake, "é".repeat(501)), 400, "request_too_long");
  const get = async (path: string) => {
    const response = await world.app.request(path, {}, { remoteAddr: { hostname: HERE } });
    return { status: response.status, body: await response.json(), headers: response.headers };
  };
  assertError(await get("/api/demo"), 400, "validation_failed");
  assertError(await get("/api/demo?request=Hello&model=big"), 400, "validation_failed");
  assert.equal(await world.store.version(), before);
  assert.equal((await ask(fake, "😀".repeat(500))).status, 200, "500 characters, whatever they take");
});

withDemo("HEAD asks no model and costs nothing", async (fake) => {
  const before = await fake.world.store.version();
  const { status, body } = await asked(fake.world, "What is a pool?", HERE, "HEAD");
  assert.deepEqual([status, body], [200, ""]);
  assert.equal(await fake.world.store.version(), before);
});

withDemo(
  "five an hour for an address: the sixth waits until the first is an hour old, to the millisecond",
  async (fake) => {
    const { clock } = fake;
    for (let i = 0; i < 5; i++) {
      const { status, body } = await ask(fake);
      assert.deepEqual([status, body.remainingThisHour], [200, 4 - i]);
      clock.leap(10 * MINUTE_MS);
    }
    const before = await fake.world.store.version();
    assert.equal(assertError(await ask(fake), 429, "demo_hourly_limit"), 10 * 60);
    assert.equal(await fake.world.store.version(), before, "a refusal writes nothing");
    clock.leap(10 * MINUTE_MS - 1);
    assert.equal(assertError(await ask(fake), 429, "demo_hourly_limit"), 1);
    assert.equal((await ask(fake, "Hello", "203.0.113.8")).status, 200, "another address is another caller");
    clock.leap(1);
    assert.equal((await ask(fake)).status, 200);
    assert.equal(assertError(await ask(fake), 429, "demo_hourly_limit"), 10 * 60, "the second one is next");
    assert.equal((await entries(fake)).length, 7);
  },
);

withDemo("IPv6 addresses of one /64 are one caller, v4 in v6 is v4", async (fake) => {
  for (let i = 1; i <= 5; i++) assert.equal((await ask(fake, "Hello", `2001:db8:0:1::${i}`)).status, 200);
  assertError(await ask(fake, "Hello", "2001:db8:0:1:ffff:ffff:ffff:ffff"), 429, "demo_hourly_limit");
  assert.equal((await ask(fake, "Hello", "2001:db8:0:2::1")).status, 200);
  for (let i = 0; i < 5; i++) assert.equal((await ask(fake, "Hello", i % 2 ? HERE : `::ffff:${HERE}`)).status, 200);
  assertError(await ask(fake, "Hello", HERE), 429, "demo_hourly_limit");
});

withDemo("DEMO_DAILY_LIMIT for all together, until midnight UTC", async (fake) => {
  const { clock } = fake;
  for (let i = 1; i <= 3; i++) {
    const { status, body } = await ask(fake, "Hello", `203.0.113.${i}`);
    assert.deepEqual([status, body.remainingToday], [200, 3 - i]);
  }
  assert.equal(assertError(await ask(fake, "Hello", "203.0.113.9"), 429, "demo_daily_limit"), DAY_MS / 1_000);
  clock.leap(DAY_MS - 1);
  assert.equal(assertError(await ask(fake, "Hello", "203.0.113.9"), 429, "demo_daily_limit"), 1);
  clock.leap(1);
  const { status, body } = await ask(fake, "Hello", "203.0.113.9");
  assert.deepEqual([status, body.remainingToday], [200, 2]);
}, { settings: { demoDailyLimit: 3 } });

withDemo("an hour's five do not begin anew at midnight", async (fake) => {
  const { clock } = fake;
  clock.leap(DAY_MS - MINUTE_MS);
  for (let i = 0; i < 5; i++) assert.equal((await ask(fake)).status, 200);
  clock.leap(2 * MINUTE_MS);
  assert.equal(assertError(await ask(fake), 429, "demo_hourly_limit"), 58 * 60);
});

withDemo("asked at once, no more than the limits are served", async (fake) => {
  const { world, clock } = fake;
  const own = await clock.drive(Promise.all(Array.from({ length: 20 }, () => asked(world, "Hello"))));
  assert.deepEqual(own.map(({ status }) => status).sort(), [...Array(5).fill(200), ...Array(15).fill(429)]);
  const all = await clock.drive(
    Promise.all(Array.from({ length: 40 }, (_, i) => asked(world, "Hello", `198.51.100.${i}`))),
  );
  assert.equal(all.filter(({ status }) => status === 200).length, 15);
  assert.equal((await entries(fake)).length, 20);
}, { settings: { demoDailyLimit: 20 } });

withDemo("a limit of 0: there is no demo, and nothing is written", async (fake) => {
  const before = await fake.world.store.version();
  assertError(await ask(fake), 404, "demo_off");
  assert.equal(await fake.world.store.version(), before);
}, { settings: { demoDailyLimit: 0 } });

withDemo("both limits survive a crash, and the rows go when their time is over", async (fake) => {
  const { world, clock, engine } = fake;
  for (let i = 0; i < 5; i++) assert.equal((await ask(fake)).status, 200);
  assert.equal((await ask(fake, "Hello", "203.0.113.8")).status, 200);
  await world.crash();
  assertError(await ask(fake), 429, "demo_hourly_limit");
  assertError(await ask(fake, "Hello", "203.0.113.9"), 429, "demo_daily_limit");
  clock.leap(HOUR_MS);
  await clock.advance(2 * MINUTE_MS);
  assert.ok(!engine.tables().includes("demo_address"), "nobody's address is kept longer than its hour");
  assert.ok(engine.tables().includes("demo_day"));
  clock.leap(DAY_MS);
  await clock.advance(2 * MINUTE_MS);
  assert.ok(!engine.tables().includes("demo_day"));
}, { settings: { demoDailyLimit: 6 } });

withDemo("a crash while the model writes costs the caller one try and nobody a satoshi", async (fake) => {
  const { world, clock, modelFaults } = fake;
  modelFaults.work.push({ kind: "delay", ms: 5_000 });
  const lost = asked(world, "Hello");
  lost.catch(() => {});
  await clock.advance(1_000);
  assert.deepEqual(await entries(fake), []);
  await world.crash();
  await clock.advance(10_000);
  assert.deepEqual(await entries(fake), [], "what nobody was told is not booked");
  await assertAudit(world);
  const { body } = await ask(fake);
  assert.deepEqual([body.remainingThisHour, body.remainingToday], [3, 48]);
  assert.equal((await entries(fake)).length, 1);
});

withDemo("a crash at each of its commits leaves a used count at most, and books that balance", async (fake) => {
  const { world, engine, clock } = fake;
  const left: number[] = [];
  for (const [commit, cut] of [[1, "before"], [1, "after"], [2, "before"], [2, "after"]] as const) {
    const first = engine.commits();
    let died = false;
    engine.cutAt = (n) => n >= first + commit ? cut : null;
    engine.onCut = () => {
      died = true;
      world.kill();
    };
    asked(world, "Hello").catch(() => {});
    await clock.advance(2_000);
    assert.ok(died, `it has a commit ${commit}`);
    engine.cutAt = null;
    await world.crash();
    await clock.advance(2_000);
    await assertAudit(world);
    left.push((await entries(fake)).length);
  }
  assert.deepEqual(left, [0, 0, 0, 1], "booked only by the commit that books");
  const { body } = await ask(fake);
  assert.equal(body.remainingThisHour, 1, "three counts landed, the fourth did not");
});

withDemo("a model that fails is 503: nothing is booked, the try is used up", async (fake) => {
  const { modelFaults } = fake;
  modelFaults.evaluate.push({ kind: "passing", retryAfterMs: 7_000 });
  assert.equal(assertError(await ask(fake), 503, "model_unavailable"), 7);
  modelFaults.work.push({ kind: "permanent" });
  assert.equal(assertError(await ask(fake), 503, "model_unavailable"), 30);
  modelFaults.work.push({ kind: "hang" });
  assertError(await ask(fake), 503, "model_unavailable");
  modelFaults.work.push({
    kind: "passing",
    as: "broken",
    usage: { inputTokens: 900, outputTokens: 90, source: "api" },
  });
  assert.equal(assertError(await ask(fake), 503, "model_unavailable"), 30);
  assert.deepEqual(await entries(fake), []);
  assert.equal(await operator(fake), -SEED);
  const { body } = await ask(fake);
  assert.deepEqual([body.remainingThisHour, body.remainingToday], [0, 45]);
});

withDemo(
  "what the provider refuses is refused: the operator pays what it counted, without the machine's share",
  async (fake) => {
    const { modelFaults } = fake;
    const costs: number[] = [];
    const refusedIn = async (request = "What is a pool?") => {
      const { status, body } = await ask(fake, request);
      assert.deepEqual([status, body.state], [200, "rejected"], JSON.stringify(body));
      assert.match(body.reason, /^The model's provider refused it/);
      costs.push(body.costSats);
    };
    const usage = { inputTokens: 40_000, outputTokens: 1_000, source: "api" as const };
    modelFaults.evaluate.push({ kind: "permanent", as: "refused", usage });
    await refusedIn();
    modelFaults.work.push({ kind: "permanent", as: "too_long", usage });
    await refusedIn();
    modelFaults.work.push({ kind: "permanent", as: "refused" });
    await refusedIn();
    modelFaults.evaluate.push({ kind: "permanent", as: "refused" });
    await refusedIn();
    const [judging = 0, writing = 0, uncounted, none] = costs;
    assert.ok(judging > 100 && writing > judging, `${costs}`);
    assert.ok(uncounted !== undefined && uncounted > 0 && uncounted < 20, "its evaluation alone");
    assert.equal(none, 0);
    assert.deepEqual((await entries(fake)).map(({ sats }) => sats).sort(), [judging, writing, uncounted].sort());
  },
);

withDemo("a database that dies before the price is booked is 503, and no answer is given for it", async (fake) => {
  const { world, clock, modelFaults } = fake;
  modelFaults.work.push({ kind: "delay", ms: 1_000 });
  const waiting = asked(world, "Hello");
  await clock.advance(500);
  await world.store.close();
  assertError(await clock.drive(waiting), 503, "database_unavailable");
  await world.crash();
  assert.deepEqual(await entries(fake), []);
});

withDemo("no row holds an address, a request or an answer", async (fake) => {
  const { world, engine } = fake;
  assert.equal((await ask(fake, "Why do zebras stand?", HERE)).status, 200);
  assert.equal((await ask(fake, "Why do zebras stand?", "2001:db8:0:1::5")).status, 200);
  let rows = 0;
  for (const table of engine.tables()) {
    for (const row of await world.rows([table])) {
      rows++;
      const text = JSON.stringify(row);
      for (const secret of [HERE, "2001:db8", "zebras", "simulated]"]) assert.ok(!text.includes(secret), text);
    }
  }
  assert.ok(rows > 10, `${rows} rows were looked at`);
  assert.equal((await world.rows(["demo_address"])).length, 2);
});
