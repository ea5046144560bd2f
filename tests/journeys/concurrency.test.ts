import assert from "node:assert/strict";
import type { PostingKind } from "@/lib/ledger/postings.ts";
import type { Model } from "@/lib/ai/port.ts";
import { createSimulatedModel } from "@/lib/ai/simulated.ts";
import { systemClock } from "@/lib/clock.ts";
import { createFakeWorld } from "../harness/fake-world.ts";
import { assertAudit, createJob, paidJob, payerInvoice, untilState } from "../harness/payer.ts";
import { createWorld, type World } from "../harness/world.ts";

const REQUEST = "What is a hold invoice?";
const times = <T>(n: number, fn: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => fn(i));

/** The simulated model, counting its calls. */
function countingModel() {
  const model = createSimulatedModel({ clock: systemClock });
  const calls = { evaluate: 0, work: 0 };
  const counting: Model = {
    ...model,
    evaluate: (input) => (calls.evaluate++, model.evaluate(input)),
    work: (input) => (calls.work++, model.work(input)),
  };
  return { model: counting, calls };
}

const entriesOf = async (world: World, kind: PostingKind) =>
  (await world.rows<{ v: 1; kind: string; sats: number }>(["entry"])).filter(({ value }) => value.kind === kind);

/** What left the wallet, by its own books. */
const payments = (world: World) =>
  world.walletStore.list<{ v: 1; amountSats: number; state: string }>(["simulated-wallet", "payment"], { limit: 500 });

Deno.test("at once: 200 clients that pay and poll one job cause one evaluation, one work call and one charge", async () => {
  const { model, calls } = countingModel();
  const world = await createWorld({ model });
  try {
    const job = await createJob(world.call, REQUEST);
    const everybody = async (paymentHash: string, state: string) => {
      const answers = await Promise.all(times(200, async () => {
        const paid = await world.call("POST", `/api/dev/stub/pay/${paymentHash}`);
        await world.deps.settlements.check(paymentHash);
        await world.call("GET", `/api/jobs/${job.jobId}`);
        return paid.status === 200 && paid.body.ok === true;
      }));
      assert.ok(answers.includes(true), "nobody's payment arrived");
      return await untilState(world, world.call, job.jobId, [state]);
    };
    const offered = await everybody(job.evalInvoice.paymentHash, "awaiting_work_payment");
    const done = await everybody(offered.body.workInvoice.paymentHash, "complete");

    assert.deepEqual(calls, { evaluate: 1, work: 1 });
    const charges = await entriesOf(world, "charge");
    assert.deepEqual(charges.map(({ value }) => value.sats), [done.body.costLedger.chargedSats]);
    assert.equal((await entriesOf(world, "eval-fee")).length, 1);
    assert.equal((await entriesOf(world, "work-payment")).length, 1);
    await assertAudit(world);
  } finally {
    await world.close();
  }
});

Deno.test("at once: 50 refund claims with different invoices pay one, and all others learn which", async () => {
  const world = await createWorld();
  try {
    const { jobId, costLedger } = await paidJob(world, world.call, REQUEST);
    const sats = costLedger.refundAmountSats;
    const invoices = await Promise.all(times(50, () => payerInvoice(world, sats)));
    const answers = await Promise.all(
      invoices.map(({ paymentRequest }) =>
        world.call("POST", `/api/jobs/${jobId}/refund`, { invoice: paymentRequest })
      ),
    );
    const paid = answers.filter(({ status }) => status === 200);
    assert.equal(paid.length, 1);
    const hash = paid[0]?.body.refundPaymentHash;
    assert.ok(invoices.some(({ paymentHash }) => paymentHash === hash));
    for (const { status, body } of answers.filter((answer) => answer !== paid[0])) {
      assert.deepEqual([status, body.error.code, body.error.details.refundPaymentHash], [409, "refund_claimed", hash]);
    }
    const left = await payments(world);
    assert.deepEqual(left.map(({ key, value }) => [key[2], value.state, value.amountSats]), [[hash, "paid", sats]]);
    await assertAudit(world);
  } finally {
    await world.close();
  }
});

Deno.test("at once: 50 claims with the same invoice pay it once", async () => {
  const world = await createWorld();
  try {
    const { jobId, costLedger } = await paidJob(world, world.call, REQUEST);
    const { paymentRequest } = await payerInvoice(world, costLedger.refundAmountSats);
    const answers = await Promise.all(
      times(50, () => world.call("POST", `/api/jobs/${jobId}/refund`, { invoice: paymentRequest })),
    );
    assert.equal(answers.filter(({ status }) => status === 200).length, 1);
    assert.equal(answers.filter(({ status }) => status === 409).length, 49);
    assert.equal((await payments(world)).length, 1);
    await assertAudit(world);
  } finally {
    await world.close();
  }
});

Deno.test("at once: claims on 30 jobs with one invoice pay it for one of them, and the others stay owed", async () => {
  const world = await createWorld();
  try {
    const jobs = await Promise.all(times(30, (i) => paidJob(world, world.call, `[fail-eval] ${i}`)));
    const { paymentRequest } = await payerInvoice(world, 10);
    const answers = await Promise.all(
      jobs.map(({ jobId }) => world.call("POST", `/api/jobs/${jobId}/refund`, { invoice: paymentRequest })),
    );
    assert.equal(answers.filter(({ status }) => status === 200).length, 1);
    assert.equal(answers.filter(({ body }) => body.error?.code === "invoice_used").length, 29);
    const refunds = await world.rows<{ v: 1; state: string }>(["refund"]);
    assert.equal(refunds.filter(({ value }) => value.state === "pending").length, 29);
    assert.equal((await payments(world)).length, 1);
    await assertAudit(world);
  } finally {
    await world.close();
  }
});

Deno.test("Idempotency-Key: the same key and body 20 times at once make one job", async () => {
  const world = await createWorld();
  try {
    const headers = { "idempotency-key": "key-1" };
    const answers = await Promise.all(times(20, () => world.call("POST", "/api/jobs", { request: REQUEST }, headers)));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([201]));
    assert.equal(new Set(answers.map(({ body }) => JSON.stringify(body))).size, 1);
    assert.equal((await world.rows(["job"])).length, 1);
    assert.equal((await world.rows(["invoice"])).length, 1);
    assert.equal((await world.walletStore.list(["simulated-wallet", "invoice"])).length, 1);
  } finally {
    await world.close();
  }
});

Deno.test("Idempotency-Key: the same answer later, in another process too, whatever became of the job", async () => {
  const fake = await createFakeWorld(1);
  const headers = { "idempotency-key": "key-1" };
  const first = await fake.call("POST", "/api/jobs", { request: REQUEST }, headers);
  await fake.world.wallet.payInvoice(first.body.evalInvoice.paymentHash);
  await fake.clock.settle();
  await fake.world.crash();
  await fake.clock.advance(1_000);
  const again = await fake.call("POST", "/api/jobs", { request: REQUEST }, headers);
  assert.deepEqual([again.status, again.body], [201, first.body]);
  fake.discard();
});

Deno.test("Idempotency-Key: the same key with another body is refused and makes nothing", async () => {
  const fake = await createFakeWorld(1);
  const headers = { "idempotency-key": "key-1" };
  await fake.call("POST", "/api/jobs", { request: REQUEST }, headers);
  const version = await fake.world.store.version();
  const other = await fake.call("POST", "/api/jobs", { request: `${REQUEST}?` }, headers);
  assert.deepEqual([other.status, other.body.error.code], [409, "idempotency_conflict"]);
  assert.equal(await fake.world.store.version(), version);
  fake.discard();
});

Deno.test("Idempotency-Key: of two bodies at once under one key one makes a job, the other is refused", async () => {
  const world = await createWorld();
  try {
    const headers = { "idempotency-key": "key-1" };
    const answers = await Promise.all(
      ["a", "b", "a", "b"].map((request) => world.call("POST", "/api/jobs", { request }, headers)),
    );
    assert.deepEqual(answers.map(({ status }) => status), [201, 409, 201, 409]);
    assert.equal((await world.rows(["job"])).length, 1);
  } finally {
    await world.close();
  }
});

Deno.test("Idempotency-Key: it is forgotten after 24 hours, with its row", async () => {
  const fake = await createFakeWorld(1);
  const headers = { "idempotency-key": "key-1" };
  const first = await fake.call("POST", "/api/jobs", { request: REQUEST }, headers);
  fake.clock.leap(24 * 3_600_000 - 5_000);
  await fake.clock.advance(1_000);
  assert.equal((await fake.call("POST", "/api/jobs", { request: REQUEST }, headers)).body.jobId, first.body.jobId);
  await fake.clock.advance(10_000);
  assert.deepEqual(await fake.world.rows(["idempotency"]), []);
  const second = await fake.call("POST", "/api/jobs", { request: REQUEST }, headers);
  assert.notEqual(second.body.jobId, first.body.jobId);
  fake.discard();
});

Deno.test("Idempotency-Key: another client's key is another key", async () => {
  const world = await createWorld();
  try {
    const from = async (hostname: string) => {
      const response = await world.app.request("/api/jobs", {
        method: "POST",
        headers: { "content-type": "application/json", "idempotency-key": "key-1" },
        body: JSON.stringify({ request: REQUEST }),
      }, { remoteAddr: { hostname } });
      return await response.json();
    };
    const [mine, theirs] = [await from("198.51.100.1"), await from("198.51.100.2")];
    assert.notEqual(mine.jobId, theirs.jobId);
    assert.equal((await from("198.51.100.1")).jobId, mine.jobId);
  } finally {
    await world.close();
  }
});
