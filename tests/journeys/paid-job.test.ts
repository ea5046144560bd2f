import assert from "node:assert/strict";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import type { Account } from "@/lib/ledger/accounts.ts";
import { balance } from "@/lib/ledger/ledger.rows.ts";
import { auditedTests } from "../harness/audited.ts";
import { type FakeWorld } from "../harness/fake-world.ts";
import {
  assertAudit,
  type Call,
  claimRefund,
  createJob,
  handleOf,
  paidJob,
  pay,
  untilState,
} from "../harness/payer.ts";
import { createWorld, type World } from "../harness/world.ts";

const REQUEST = "What is a hold invoice?";

const journey = auditedTests("paid job: ");

/** Waits for a state while time moves. */
const reach = ({ clock, world }: FakeWorld, jobId: string, ...states: string[]) =>
  clock.drive(untilState(world, world.call, jobId, states, 10 * 60_000));

const readJob = async (fake: FakeWorld, jobId: string) => (await fake.call("GET", `/api/jobs/${jobId}`)).body;
const sats = (fake: FakeWorld, account: Account) => balance(fake.world.store, account);

journey("from question to refund, every figure adds up", async (fake) => {
  const { world, call } = fake;
  const job = await createJob(call, REQUEST);
  assert.equal(job.state, "awaiting_eval_payment");
  assert.equal(job.evalInvoice.amountSats, 10);
  assert.match(job.evalInvoice.paymentRequest, /^lnbcrt100n1/);
  assert.equal(job.stubMode, true);
  assert.deepEqual(job.simulated, ["lightning", "model"]);

  await pay(world, job.evalInvoice);
  const offered = (await reach(fake, job.jobId, "awaiting_work_payment")).body;
  assert.equal(offered.reason, "[simulated] Accepted: no refused phrase was found.");
  assert.equal(offered.result, undefined);
  assert.equal(offered.costLedger, undefined);
  assert.equal(await sats(fake, "revenue:eval"), 10);

  await pay(world, offered.workInvoice);
  const done = (await reach(fake, job.jobId, "complete")).body;
  const { costLedger } = done;
  assert.match(done.result, /What is a hold invoice\?/);
  assert.equal(done.finishReason, "stop");
  assert.equal(costLedger.workAmountSats, offered.workInvoice.amountSats);
  assert.equal(costLedger.paidSats, offered.workInvoice.amountSats);
  assert.equal(costLedger.chargedSats, costLedger.actualAmountSats);
  assert.equal(costLedger.chargedSats + costLedger.refundAmountSats, costLedger.paidSats);
  assert.ok(costLedger.refundAmountSats > 0, "a short answer costs less than the quote");
  assert.equal(costLedger.refundState, "pending");
  assert.equal(costLedger.refundPaymentHash, null);
  assert.equal(costLedger.totalTokens, costLedger.actualInputTokens + costLedger.actualOutputTokens);
  const credit = Math.floor(costLedger.chargedSats / 10); // the pool's tenth
  assert.equal(await sats(fake, "revenue:work"), costLedger.chargedSats - credit);
  assert.equal(await sats(fake, "pool"), 10_000 + credit);
  assert.equal(await sats(fake, `refund:${handleOf(job.jobId)}`), costLedger.refundAmountSats);

  const before = await world.wallet.balanceSats() ?? NaN;
  const invoice = await world.wallet.createExternalInvoice({ amountSats: costLedger.refundAmountSats });
  const refund = await call("POST", `/api/jobs/${job.jobId}/refund`, { invoice: invoice.paymentRequest });
  assert.equal(refund.status, 200);
  assert.deepEqual(refund.body, {
    refundState: "paid",
    refundPaymentHash: invoice.paymentHash,
    refundAmountSats: costLedger.refundAmountSats,
    stubMode: true,
  });
  assert.equal(await world.wallet.balanceSats(), before - costLedger.refundAmountSats);
  const after = await readJob(fake, job.jobId);
  assert.equal(after.costLedger.refundState, "paid");
  assert.equal(after.costLedger.refundPaymentHash, invoice.paymentHash);
  assert.equal(-await sats(fake, "lightning"), await world.wallet.balanceSats());
  assert.deepEqual(await world.rows(["task"]), [], "a job that is over and paid leaves nothing to do");
  assert.deepEqual(await world.rows(["open_invoice"]), []);
});

journey("a second claim, with the same invoice or another, gets the first one's payment hash", async (fake) => {
  const { world, call } = fake;
  const { jobId, costLedger } = await fake.clock.drive(paidJob(world, world.call, REQUEST));
  const first = await claimRefund(world, call, jobId, costLedger.refundAmountSats);
  const second = await claimRefund(world, call, jobId, costLedger.refundAmountSats);
  assert.equal(second.status, 409);
  assert.equal(second.body.error.code, "refund_claimed");
  assert.deepEqual(second.body.error.details, { refundState: "paid", refundPaymentHash: first.body.refundPaymentHash });
});

journey("a refused request ends with its reason, the fee is kept, nothing is owed", async (fake) => {
  const job = await fake.clock.drive(paidJob(fake.world, fake.world.call, "[refuse] please"));
  assert.equal(job.state, "rejected");
  assert.match(job.reason, /Refused/);
  assert.equal(job.workInvoice, undefined);
  assert.equal(await sats(fake, "revenue:eval"), 10);
  assert.equal((await claimRefund(fake.world, fake.call, job.jobId, 10)).body.error.code, "no_refund");
});

journey("an evaluation that fails for good gives the fee back", async (fake) => {
  const job = await fake.clock.drive(paidJob(fake.world, fake.world.call, "[fail-eval]"));
  assert.equal(job.state, "failed");
  assert.match(job.errorMessage, /evaluation failed/);
  assert.equal(job.costLedger.refundAmountSats, 10);
  assert.equal(await sats(fake, "revenue:eval"), 0);
  const refund = await claimRefund(fake.world, fake.call, job.jobId, 10);
  assert.equal(refund.body.refundState, "paid");
  assert.equal(await sats(fake, "lightning"), 0);
});

journey("a work that fails for good gives back all that was paid for it, the evaluation stays earned", async (fake) => {
  const job = await fake.clock.drive(paidJob(fake.world, fake.world.call, "[fail-work]"));
  assert.equal(job.state, "failed");
  assert.match(job.errorMessage, /^It failed: .*\[fail-work\]/);
  assert.equal(job.result, undefined);
  assert.equal(job.costLedger.actualAmountSats, 0);
  assert.equal(job.costLedger.refundAmountSats, job.workInvoice.amountSats);
  assert.equal(await sats(fake, "revenue:work"), 0);
  assert.equal(await sats(fake, "revenue:eval"), 10);
  const refund = await claimRefund(fake.world, fake.call, job.jobId, job.costLedger.refundAmountSats);
  assert.equal(refund.body.refundState, "paid");
  assert.equal(await fake.world.wallet.balanceSats(), 10);
});

journey("a model that fails three times and then answers costs the payer nothing but time", async (fake) => {
  fake.modelFaults.evaluate.push({ kind: "passing" }, { kind: "passing" }, { kind: "passing" });
  fake.modelFaults.work.push({ kind: "passing" }, { kind: "hang" }, { kind: "passing" });
  const job = await fake.clock.drive(paidJob(fake.world, fake.world.call, REQUEST, 10 * 60_000));
  assert.equal(job.state, "complete");
  assert.equal(await sats(fake, "revenue:eval"), 10);
});

journey("a model that fails a fourth time is given up and the money comes back", async (fake) => {
  for (let i = 0; i < 4; i++) fake.modelFaults.evaluate.push({ kind: "passing" });
  const job = await fake.clock.drive(paidJob(fake.world, fake.world.call, REQUEST, 10 * 60_000));
  assert.equal(job.state, "failed");
  assert.equal(job.costLedger.refundAmountSats, 10);
});

journey("a payment of the evaluation that arrives after the invoice expired revives the job", async (fake) => {
  const { world, clock, call } = fake;
  const job = await createJob(call, REQUEST);
  clock.leap(600_000);
  await clock.advance(2_000);
  assert.equal((await readJob(fake, job.jobId)).state, "expired");
  await world.wallet.payInvoice(job.evalInvoice.paymentHash, { late: true });
  const offered = (await reach(fake, job.jobId, "awaiting_work_payment")).body;
  await pay(world, offered.workInvoice);
  assert.equal((await reach(fake, job.jobId, "complete")).body.state, "complete");
});

journey(
  "a payment of the work that arrives after the invoice expired revives the job, even if no hint comes",
  async (fake) => {
    const { world, clock, call } = fake;
    const job = await createJob(call, REQUEST);
    await pay(world, job.evalInvoice);
    const offered = (await reach(fake, job.jobId, "awaiting_work_payment")).body;
    clock.leap(600_000);
    await clock.advance(2_000);
    assert.equal((await readJob(fake, job.jobId)).state, "expired");
    clock.leap(23 * 3_600_000);
    fake.walletFaults.hints = { kind: "lose" };
    await world.wallet.payInvoice(offered.workInvoice.paymentHash, { late: true });
    assert.equal((await reach(fake, job.jobId, "complete")).body.state, "complete");
  },
);

journey("a settled payment is noticed without anybody asking, whether or not the wallet pushes it", async (fake) => {
  const { world, clock, call } = fake;
  const job = await createJob(call, REQUEST);
  fake.walletFaults.hints = { kind: "lose" };
  await pay(world, job.evalInvoice);
  await clock.advance(65_000);
  const stored = await world.rows<{ v: number; state: string }>(["job"]);
  assert.deepEqual(stored.map(({ value }) => value.state), ["awaiting_work_payment"]);
});

journey("a process that dies at every step in turn finishes the job once it is back", async (fake) => {
  const { world, clock, call } = fake;
  const job = await createJob(call, REQUEST);
  await world.crash();
  await pay(world, job.evalInvoice);
  world.kill(); // the hint was on its way
  await world.crash();
  const offered = (await reach(fake, job.jobId, "awaiting_work_payment")).body;
  await world.crash();
  await pay(world, offered.workInvoice);
  await clock.settle();
  await world.crash();
  const done = (await reach(fake, job.jobId, "complete")).body;
  await world.crash();
  const claiming = claimRefund(world, world.call, job.jobId, done.costLedger.refundAmountSats);
  claiming.catch(() => {});
  const paying = () =>
    world.rows<{ v: number; state: string }>(["refund"]).then((rows) => rows[0]?.value.state === "paying");
  while (!(await paying())) await Promise.resolve();
  await world.crash();
  await clock.advance(5_000);
  const after = await readJob(fake, job.jobId);
  assert.equal(after.costLedger.refundState, "paid");
  assert.equal(-await sats(fake, "lightning"), await world.wallet.balanceSats());
});

journey("a paid work is running again within 5 s of a restart", async (fake) => {
  const { world, clock, call } = fake;
  const job = await createJob(call, `${REQUEST} [slow:3000]`);
  await pay(world, job.evalInvoice);
  const offered = (await reach(fake, job.jobId, "awaiting_work_payment")).body;
  await pay(world, offered.workInvoice);
  await clock.advance(1_000);
  assert.equal((await readJob(fake, job.jobId)).state, "executing");
  await world.crash();
  await clock.advance(5_000);
  assert.equal((await readJob(fake, job.jobId)).state, "complete");
});

/** A world on a file, as in earnest, with the store's own gathering of commits. */
async function onDisk(fn: (world: World) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempDir();
  const world = await createWorld({ path, store: { gatherMs: 2 } });
  try {
    await fn(world);
    await assertAudit(world);
  } finally {
    await world.close();
    await Deno.remove(path, { recursive: true });
  }
}

async function paidAndRefunded(world: World, call: Call, request: string): Promise<void> {
  const job = await paidJob(world, call, request);
  assert.equal(job.state, "complete");
  const refund = await claimRefund(world, call, job.jobId, job.costLedger.refundAmountSats);
  assert.equal(refund.body.refundState, "paid");
}

Deno.test("commits: a whole paid job with its refund takes at most 8", async () => {
  await onDisk(async (world) => {
    const before = world.store.stats().commits;
    await paidAndRefunded(world, world.call, REQUEST);
    const commits = world.store.stats().commits - before;
    assert.ok(commits >= 7 && commits <= 8, `${commits} commits`); // seven transitions, none of them shared
  });
});

Deno.test("commits: 100 jobs at once take at most one each, refunds included", async () => {
  await onDisk(async (world) => {
    const before = world.store.stats().commits;
    await Promise.all(Array.from({ length: 100 }, (_, i) => paidAndRefunded(world, world.call, `${REQUEST} (${i})`)));
    const commits = world.store.stats().commits - before;
    assert.ok(commits <= 100, `${commits} commits`);
    assert.equal(
      (await world.rows<{ v: number; state: string }>(["refund"])).filter(({ value }) => value.state === "paid").length,
      100,
    );
  });
});

Deno.test("commits: reading a job, an estimate and readiness takes none", async () => {
  await onDisk(async (world) => {
    const job = await paidJob(world, world.call, REQUEST);
    const before = [world.store.stats().commits, await world.store.version()];
    for (const path of [`/api/jobs/${job.jobId}`, "/api/estimate?request=hello", "/api/health", "/api/health/ready"]) {
      assert.equal((await world.call("GET", path)).status, 200, path);
    }
    assert.deepEqual([world.store.stats().commits, await world.store.version()], before);
  });
});

Deno.test("paid job: the whole way over a socket, paid by the development routes; the preimage is the real one", async () => {
  const world = await createWorld();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, world.app.fetch);
  const call: Call = async (method, path, body, headers = {}) => {
    const response = await fetch(`http://127.0.0.1:${server.addr.port}${path}`, {
      method,
      headers: { ...headers, ...(body !== undefined && { "content-type": "application/json" }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json(), headers: response.headers };
  };
  try {
    const job = await createJob(call, REQUEST);
    const paid = await call("POST", `/api/dev/stub/pay/${job.evalInvoice.paymentHash}`);
    assert.equal(paid.status, 200);
    assert.equal(bytesToHex(sha256(hexToBytes(paid.body.preimage))), job.evalInvoice.paymentHash);
    const offered = (await untilState(world, call, job.jobId, ["awaiting_work_payment"])).body;
    await call("POST", `/api/dev/stub/pay/${offered.workInvoice.paymentHash}`);
    const done = (await untilState(world, call, job.jobId, ["complete"])).body;
    const invoice = await call("POST", "/api/dev/stub/invoice", { amountSats: done.costLedger.refundAmountSats });
    const refund = await call("POST", `/api/jobs/${job.jobId}/refund`, { invoice: invoice.body.paymentRequest });
    assert.deepEqual([refund.status, refund.body.refundState], [200, "paid"]);
    assert.equal(refund.body.refundPaymentHash, invoice.body.paymentHash);
    await assertAudit(world);
  } finally {
    await server.shutdown();
    await world.close();
  }
});
