/** Sessions under repeated, simultaneous and interrupted calls: nothing is charged twice, nothing is lost, nothing is overdrawn. */
import assert from "node:assert/strict";
import { type Model, ModelError, type Usage } from "@/lib/ai/port.ts";
import { createSimulatedModel } from "@/lib/ai/simulated.ts";
import { systemClock } from "@/lib/clock.ts";
import { balance } from "@/lib/ledger/ledger.rows.ts";
import { auditedTests } from "../harness/audited.ts";
import { createFakeWorld, type FakeWorld } from "../harness/fake-world.ts";
import { assertAudit } from "../harness/payer.ts";
import { createSeededRandom } from "../harness/seeded-random.ts";
import { type PaidSession, paidSession, toppedUp } from "../harness/session-payer.ts";
import { createWorld, type WorldOptions } from "../harness/world.ts";

const ASK = { request: "What is a hold invoice?" };
const CHAT = "/api/v1/chat/completions";
const COMPLETION = { model: "claude-sonnet-4-6", messages: [{ role: "user", content: "What is a hold invoice?" }] };

interface Hostile extends FakeWorld {
  it: PaidSession;
  ask(body?: unknown, headers?: Record<string, string>): ReturnType<FakeWorld["call"]>;
  // deno-lint-ignore no-explicit-any
  read(): Promise<any>;
}

const audited = auditedTests("session, hostile: ");

function hostile(
  name: string,
  fn: (hostile: Hostile) => Promise<void>,
  options: Omit<WorldOptions, "clock" | "random"> = {},
): void {
  audited(name, async (fake) => {
    fake.modelFaults.chat = [];
    const it = await paidSession(fake.world, fake.call, 2_000);
    await fn({
      ...fake,
      it,
      ask: (body = ASK, headers = {}) => fake.call("POST", `${it.path}/request`, body, { ...it.auth, ...headers }),
      read: async () => (await fake.call("GET", it.path)).body,
    });
    await fake.clock.settle();
    const { heldSats } = (await fake.call("GET", it.path)).body;
    assert.equal(heldSats, 0, "a hold was left");
  }, options);
}

const key = (name: string) => ({ "idempotency-key": name });

hostile(
  "a repeat with the same key gets the same answer, charged once; another body is 409",
  async ({ ask, read, it, call, world }) => {
    const first = await ask(ASK, key("k"));
    assert.equal(first.status, 200);
    for (let i = 0; i < 3; i++) assert.deepEqual((await ask(ASK, key("k"))).body, first.body);
    const other = await ask({ request: "Something else?" }, key("k"));
    assert.deepEqual([other.status, other.body.error.code], [409, "idempotency_conflict"]);
    assert.equal((await read()).balanceSats, 2_000 - first.body.debitedSats);
    const next = await ask(ASK, key("k2"));
    assert.notEqual(next.body.requestId, first.body.requestId);
    const elsewhere = await paidSession(world, call, 500);
    const theirs = await call("POST", `${elsewhere.path}/request`, ASK, { ...elsewhere.auth, ...key("k") });
    assert.notEqual(theirs.body.requestId, first.body.requestId, "a key is each session's own");
    await call("POST", `${it.path}/close`, {}, it.auth);
    assert.equal(
      (await ask(ASK, key("k"))).body.requestId,
      first.body.requestId,
      "the answer is there after the session, too",
    );
  },
);

hostile(
  "a repeat while the first runs waits for it: one charge, one answer",
  async ({ ask, read, it, world, clock }) => {
    const body = { request: "Slowly. [slow:30000]" };
    const first = world.call("POST", `${it.path}/request`, body, { ...it.auth, ...key("k") });
    await clock.advance(1_000);
    const [second, third] = await Promise.all([
      world.call("POST", `${it.path}/request`, body, { ...it.auth, ...key("k") }),
      ask(body, key("k")),
    ]);
    assert.deepEqual(second?.body, (await first).body);
    assert.deepEqual(third?.body, (await first).body);
    assert.equal((await read()).balanceSats, 2_000 - (await first).body.debitedSats);
  },
);

hostile("one that takes longer than a caller waits is answered 202, and fetched when it is there", async (all) => {
  const { it, world, clock, call, modelFaults } = all;
  modelFaults.work.push({ kind: "hang" }); // until its deadline; then it is asked again
  const asked = world.call("POST", `${it.path}/request`, ASK, it.auth);
  await clock.advance(120_000);
  const { status, body } = await clock.drive(asked);
  assert.deepEqual([status, body.state, body.debitedSats], [202, "running", 0]);
  await clock.advance(20_000);
  const done = (await call("GET", `${it.path}/requests/${body.requestId}`, undefined, it.auth)).body;
  assert.equal(done.state, "complete");
  assert.ok(done.debitedSats > 0);
});

hostile(
  "a crash before, during and after the work: charged with an answer that can be fetched, never both lost",
  async (all) => {
    const { ask, it, world, clock, call, read } = all;
    let charged = 0;
    for (const ms of [0, 1, 500, 2_999, 3_001]) {
      const body = { request: `After ${ms} ms. [slow:3000]` };
      const lost = world.call("POST", `${it.path}/request`, body, { ...it.auth, ...key(`k${ms}`) });
      lost.catch(() => {});
      await clock.advance(ms);
      await world.crash();
      await clock.advance(10_000);
      const again = await ask(body, key(`k${ms}`));
      assert.equal(again.status, 200, JSON.stringify(again.body));
      assert.equal(again.body.state, "complete");
      assert.match(again.body.result, new RegExp(`After ${ms} ms`));
      const fetched = await call("GET", `${it.path}/requests/${again.body.requestId}`, undefined, it.auth);
      assert.equal(fetched.body.result, again.body.result);
      charged += again.body.debitedSats;
      assert.equal((await read()).balanceSats, 2_000 - charged, `charged once (${ms} ms)`);
    }
  },
);

hostile(
  "a crash during a stream: nothing is charged for what nobody can read to its end",
  async ({ it, world, clock, call, modelFaults, read }) => {
    const told = Promise.withResolvers<void>();
    modelFaults.chat?.push({
      kind: "steps",
      step: (piece) => piece < 5 ? Promise.resolve() : (told.resolve(), new Promise<void>(() => {})),
    });
    const response = await clock.drive(Promise.resolve(world.app.request(CHAT, {
      method: "POST",
      headers: { "content-type": "application/json", ...it.auth },
      body: JSON.stringify({ ...COMPLETION, stream: true }),
    })));
    assert.equal(response.status, 200);
    const requestId = response.headers.get("x-timmy-request-id");
    await told.promise;
    assert.ok((await read()).heldSats > 0);
    await world.crash();
    await clock.advance(10_000);
    const gone = await call("GET", `${it.path}/requests/${requestId}`, undefined, it.auth);
    assert.equal(gone.status, 404, "a chat that died with its process leaves no history");
    const { balanceSats, heldSats } = await read();
    assert.deepEqual([balanceSats, heldSats], [2_000, 0]);
  },
);

Deno.test("session, hostile: a process cut off at any commit of two requests: each is charged once, with its answer", async () => {
  for (let cutAt = 1; cutAt <= 8; cutAt++) {
    for (const fate of ["before", "after"] as const) {
      const fake = await createFakeWorld(cutAt);
      try {
        const { world, engine, clock, call } = fake;
        const it = await paidSession(world, call, 1_000);
        const from = engine.commits();
        engine.cutAt = (commit) => commit === from + cutAt ? fate : null;
        engine.onCut = () => world.kill();
        const ids = ["a", "b"];
        for (const id of ids) {
          const lost = world.call("POST", `${it.path}/request`, { request: id }, { ...it.auth, ...key(id) });
          lost.catch(() => {});
          await clock.advance(1_000);
        }
        engine.cutAt = null;
        await world.crash();
        await clock.advance(5_000);
        let debited = 0;
        for (const id of ids) {
          const answer = await call("POST", `${it.path}/request`, { request: id }, { ...it.auth, ...key(id) });
          assert.deepEqual([answer.status, answer.body.state], [200, "complete"], `${fate} commit ${cutAt}`);
          debited += answer.body.debitedSats;
        }
        const read = (await call("GET", it.path)).body;
        assert.deepEqual([read.balanceSats, read.heldSats, read.spentSats], [1_000 - debited, 0, debited]);
        await clock.settle();
        await assertAudit(world);
      } finally {
        fake.discard();
      }
    }
  }
});

hostile("refused pays its evaluation alone, failed nothing, and both say why", async ({ ask, read, call, it }) => {
  const refused = await ask({ request: "[refuse] this" });
  assert.deepEqual([refused.status, refused.body.state], [200, "rejected"]);
  assert.match(refused.body.reason, /Refused/);
  assert.ok(refused.body.debitedSats > 0 && refused.body.debitedSats < 10, String(refused.body.debitedSats));
  assert.ok(refused.body.evaluationUsage.inputTokens > 0);
  assert.equal(refused.body.usage, undefined);
  let left = 2_000 - refused.body.debitedSats;
  assert.deepEqual([refused.body.balanceRemaining, (await read()).balanceSats], [left, left]);
  for (const request of ["[fail-eval] this", "[fail-work] this"]) {
    const failed = await ask({ request });
    assert.deepEqual([failed.status, failed.body.state, failed.body.debitedSats], [200, "failed", 0]);
    assert.match(failed.body.errorMessage, /Nothing was charged/);
    assert.equal((await read()).balanceSats, left);
  }
  const { requests } = (await call("GET", `${it.path}/requests`, undefined, it.auth)).body;
  assert.deepEqual(requests.map(({ state }: { state: string }) => state).toSorted(), ["failed", "failed", "rejected"]);
  const done = await ask();
  left -= done.body.debitedSats;
  assert.equal(done.body.balanceRemaining, left);
});

hostile(
  "a model that fails for a while is asked again, and the evaluation is bought once",
  async ({ ask, modelFaults, read }) => {
    modelFaults.evaluate.push({ kind: "passing" }, { kind: "none" }, { kind: "permanent" });
    modelFaults.work.push({ kind: "passing" }, { kind: "passing" });
    const { status, body } = await ask();
    assert.deepEqual([status, body.state], [200, "complete"], JSON.stringify(body));
    assert.equal(modelFaults.evaluate.length, 1, "the evaluator was asked again for the same request");
    assert.equal((await read()).balanceSats, 2_000 - body.debitedSats);
  },
);

hostile("the hold is the worst case, and what is not used comes back", async ({ it, world, clock, read }) => {
  const asked = world.call("POST", `${it.path}/request`, { request: "Slowly. [slow:1000]" }, it.auth);
  await clock.advance(500);
  const during = await read();
  const { body } = await clock.drive(asked);
  assert.ok(during.heldSats >= body.debitedSats);
  assert.equal(during.balanceSats, 2_000 - during.heldSats);
  assert.equal(body.heldSats, during.heldSats);
  assert.equal((await read()).balanceSats, 2_000 - body.debitedSats);
});

for (const [what, path, body] of [["requests", "/request", ASK], ["completions", CHAT, COMPLETION]] as const) {
  Deno.test(`session, hostile: 200 ${what} at once on a balance for three: at most three are served, the others are told the price`, async () => {
    const world = await createWorld();
    try {
      const it = await paidSession(world, world.call, 480);
      const to = path === CHAT ? CHAT : it.path + path;
      const answers = await Promise.all(Array.from({ length: 200 }, () => world.call("POST", to, body, it.auth)));
      const served = answers.filter(({ status }) => status === 200);
      assert.ok(served.length >= 1 && served.length <= 3, String(served.length));
      for (const { status, body } of answers.filter(({ status }) => status !== 200)) {
        assert.equal(status, 402, JSON.stringify(body));
        const { balanceSats, priceSats } = body.error.details;
        assert.ok(balanceSats >= 0 && (balanceSats < priceSats || body.error.code === "session_paused"));
      }
      const read = (await world.call("GET", it.path)).body;
      assert.equal(read.balanceSats, 480 - read.spentSats);
      assert.equal(await balance(world.store, `session:${it.handle}`), read.balanceSats);
      await assertAudit(world);
    } finally {
      await world.close();
    }
  });
}

Deno.test("session, hostile: a provider that writes on and on is cut off, whole or streamed, and the hold is settled", async () => {
  const endless: Model = {
    ...createSimulatedModel({ clock: systemClock }),
    chat({ signal, onText }) {
      let written = 0;
      for (; onText && !signal.aborted && written < 50_000_000; written += 10_000) onText("€".repeat(10_000));
      if (signal.aborted) return Promise.reject(new ModelError("cut off", { kind: "aborted" }));
      const usage: Usage = { inputTokens: 9, outputTokens: 9, source: "api" };
      return Promise.resolve({ text: "€".repeat(2_000_000), finish: "stop", usage });
    },
  };
  const world = await createWorld({ model: endless });
  try {
    const it = await paidSession(world, world.call, 2_000);
    for (const stream of [true, false]) {
      const { status, body } = await world.call("POST", CHAT, { ...COMPLETION, stream }, it.auth);
      assert.equal(status, 200);
      if (stream) assert.ok(body.length < 1_000_000 && body.includes("broke off") && !body.includes("[DONE]"));
      else assert.equal(body.choices[0].message.content.length, 100_000);
    }
    const read = (await world.call("GET", it.path)).body;
    assert.equal(read.heldSats, 0);
    assert.equal(read.balanceSats, 2_000 - read.spentSats);
    await assertAudit(world);
  } finally {
    await world.close();
  }
});

Deno.test("session, hostile: rounds of everything at once, at random: the books are right after each", async () => {
  const seed = Number(Deno.env.get("TIMMY_SEED") ?? 4);
  const random = createSeededRandom(seed);
  const below = (n: number) => (random.bytes(1)[0] as number) % n;
  const fake = await createFakeWorld(seed);
  const { world, clock, call } = fake;
  try {
    for (let round = 0; round < 25; round++) {
      const it = await paidSession(world, call, 100 + below(200) * 4);
      const calls = Array.from({ length: 12 }, async () => {
        switch (below(5)) {
          case 0:
            return await world.call("POST", `${it.path}/request`, {
              request: ["hi", "[refuse]", "[fail-work]"][below(3)],
            }, it.auth);
          case 1:
            return await world.call("POST", CHAT, { ...COMPLETION, max_tokens: 1 + below(200) }, it.auth);
          case 2:
            return await world.call("POST", `${it.path}/close`, {}, it.auth);
          case 3:
            return await world.call("POST", `${it.path}/topup`, { amount_sats: 100 + below(100) }, it.auth);
          default:
            return await world.call("POST", `${it.path}/request`, ASK, { ...it.auth, ...key("same") });
        }
      });
      for (const { status, body } of await clock.drive(Promise.all(calls))) {
        assert.ok([200, 201, 401, 402, 409].includes(status), `seed ${seed}, round ${round}: ${JSON.stringify(body)}`);
      }
      await clock.advance(2_000);
      await assertAudit(world);
      const read = (await call("GET", it.path)).body;
      assert.equal(read.heldSats, 0);
      if (read.state === "active") await toppedUpOnce(fake, it, read.pendingTopup);
    }
    assert.ok(!world.log.lines.some(({ level }) => level === "error"));
  } finally {
    fake.discard();
  }
});

async function toppedUpOnce({ world, call }: FakeWorld, it: PaidSession, pending: unknown): Promise<void> {
  if (!pending) await toppedUp(world, call, it, 100);
}
