/** Jobs that nobody pays: they count as challenges do, and are forgotten as sessions are. */
import assert from "node:assert/strict";
import { balance } from "@/lib/ledger/ledger.rows.ts";
import { auditedTests } from "../harness/audited.ts";
import type { FakeWorld } from "@/tests/harness/fake-world.ts";
import { keyWith, SCORE } from "@/tests/harness/keys.ts";
import { assertAudit, pay, untilState } from "@/tests/harness/payer.ts";
import type { Answer, WorldOptions } from "@/tests/harness/world.ts";

interface Unpaid extends FakeWorld {
  ask(request?: string, headers?: Record<string, string>): Promise<Answer>;
  /** Hours go by, one at a step. */
  hours(n: number): Promise<void>;
  counted(): Promise<number>;
}

const audited = auditedTests("unpaid jobs: ");

function unpaid(
  name: string,
  fn: (it: Unpaid) => Promise<void>,
  options: Omit<WorldOptions, "clock" | "random"> = {},
): void {
  audited(name, (fake) =>
    fn({
      ...fake,
      ask: (request = "hello", headers = {}) => fake.call("POST", "/api/jobs", { request }, headers),
      async hours(n) {
        for (let hour = 0; hour < n; hour++) {
          fake.clock.leap(3_600_000);
          await fake.clock.advance(3_000);
        }
      },
      counted: async () => (await fake.world.store.get<{ v: 1; count: number }>(["open_challenges"]))?.count ?? 0,
    }), options);
}

const refusal = ({ status, body }: Answer) => [status, body.error?.code];
const FULL = [503, "too_many_open_challenges"];
const LIMITED = [429, "too_many_challenges"];
const CHAT = ["POST", "/api/v1/chat/completions", {
  model: "claude-sonnet-4-6",
  messages: [{ role: "user", content: "hello" }],
}] as const;
const SESSION = ["POST", "/api/sessions", { amount_sats: 100 }] as const;

unpaid("of 300 in a minute from one address, as many are made as challenges are allowed", async ({ ask, world }) => {
  let made = 0;
  for (let i = 0; i < 300; i++) {
    const answer = await ask();
    if (answer.status === 201) made++;
    else assert.deepEqual(refusal(answer), LIMITED);
  }
  assert.equal(made, 60);
  assert.equal((await world.rows(["invoice"])).length, 60, "what is refused costs no invoice");
}, { challengesPerMinute: 60 });

unpaid("jobs, sessions and 402s share one limit, whichever comes last; Retry-After tells the truth", async (it) => {
  assert.equal((await it.ask()).status, 201);
  assert.equal((await it.call(...SESSION)).status, 201);
  const refused = await it.ask();
  assert.deepEqual(refusal(refused), LIMITED);
  assert.deepEqual(refusal(await it.call(...SESSION)), LIMITED);
  assert.deepEqual(refusal(await it.call(...CHAT)), LIMITED);
  it.clock.leap(Number(refused.headers.get("retry-after")) * 1_000);
  assert.equal((await it.ask()).status, 201);
}, { challengesPerMinute: 2 });

unpaid("with MAX_OPEN_CHALLENGES waiting a job is 503, and a job keeps a session out", async (it) => {
  const first = (await it.ask()).body;
  assert.equal((await it.call(...SESSION)).status, 201);
  const full = async () => {
    for (const refused of [await it.ask(), await it.call(...SESSION)]) {
      assert.deepEqual(refusal(refused), FULL);
      assert.ok(Number(refused.headers.get("retry-after")) > 0);
    }
  };
  await full();
  await pay(it.world, first.evalInvoice);
  await it.clock.drive(untilState(it.world, it.world.call, first.jobId, ["awaiting_work_payment"]));
  assert.equal((await it.ask()).status, 201, "a paid evaluation makes room");
  await full();
  it.clock.leap(601_000);
  await it.clock.advance(3_000);
  assert.equal(await it.counted(), 0, "so does an expiry");
  assert.equal((await it.ask()).status, 201);
}, { settings: { maxOpenChallenges: 2 } });

unpaid("of many at once no more are made than may wait", async ({ world, clock }) => {
  const post = () => world.call("POST", "/api/jobs", { request: "hello" });
  const answers = await clock.drive(Promise.all(Array.from({ length: 40 }, post)));
  assert.equal(answers.filter(({ status }) => status === 201).length, 5);
  assert.equal(answers.filter((answer) => String(refusal(answer)) === String(FULL)).length, 35);
}, { settings: { maxOpenChallenges: 5 } });

unpaid("an Idempotency-Key that made one is answered the same though no more may wait", async ({ ask }) => {
  const key = { "idempotency-key": "key-1" };
  const first = await ask("hello", key);
  assert.deepEqual(refusal(await ask()), FULL);
  const again = await ask("hello", key);
  assert.deepEqual([again.status, again.body.jobId], [201, first.body.jobId]);
}, { settings: { maxOpenChallenges: 1 } });

for (const whose of ["nobody's", "a key's"] as const) {
  unpaid(`a day after its expiry ${whose} has left its invoice alone, and after a month no row`, async (it) => {
    const auth = whose === "a key's" ? (await keyWith(it.world, SCORE.established, 1)).auth : {};
    const rows = async () => {
      const names = it.engine.tables().filter((name) => !["event", "open_challenges"].includes(String(name)));
      return Object.fromEntries(
        await Promise.all(names.map(async (name) => [name, (await it.world.rows([name])).length])),
      );
    };
    await it.hours(1);
    const before = await rows();
    const { jobId } = (await it.ask("hello", auth)).body;
    const path = `/api/jobs/${jobId}`;
    assert.equal((await rows()).identity_job ?? 0, whose === "a key's" ? 1 : 0);
    await it.hours(1);
    assert.equal((await it.call("GET", path)).body.state, "expired");
    await it.hours(25);
    assert.deepEqual(refusal(await it.call("GET", path)), [404, "job_not_found"]);
    assert.deepEqual(await rows(), { ...before, invoice: 1, task: 1, due: 1 });
    it.clock.leap(31 * 86_400_000);
    await it.clock.advance(3_000);
    assert.deepEqual(await rows(), before);
  });
}

unpaid("one that is paid when it is long gone is in the books: it feeds the pool", async ({ ask, ...it }) => {
  const { evalInvoice } = (await ask()).body;
  const before = await balance(it.world.store, "pool");
  await it.hours(27);
  await it.world.wallet.payInvoice(evalInvoice.paymentHash, { late: true });
  await it.clock.advance(3_000);
  assert.equal(await balance(it.world.store, "pool"), before + evalInvoice.amountSats);
  assert.equal(await balance(it.world.store, "revenue:eval"), 0);
  it.clock.leap(60 * 86_400_000);
  await it.clock.advance(3_000);
  await assertAudit(it.world); // its invoice is kept: a receipt without one would be found
});

unpaid("one that is paid within the day lives again and is kept, and so is one whose work nobody paid", async (it) => {
  const [late, paid] = [(await it.ask()).body, (await it.ask()).body];
  await pay(it.world, paid.evalInvoice);
  await it.hours(23);
  assert.equal(await it.counted(), 0);
  await it.world.wallet.payInvoice(late.evalInvoice.paymentHash, { late: true });
  await it.clock.advance(3_000);
  assert.equal(await it.counted(), 0, "an expired job that lives again waits for no evaluation");
  await it.hours(60);
  for (const { jobId } of [late, paid]) {
    const { status, body } = await it.call("GET", `/api/jobs/${jobId}`);
    assert.deepEqual([status, body.state, "workInvoice" in body], [200, "expired", true]);
  }
});
