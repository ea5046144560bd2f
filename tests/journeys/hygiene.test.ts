import assert from "node:assert/strict";
import { allowedFields } from "@/lib/logger.ts";
import { createFakeWorld } from "../harness/fake-world.ts";
import { assertAudit, claimRefund, createJob, handleOf, paidJob, pay, payerInvoice } from "../harness/payer.ts";

const REQUEST = "Why does the zebra finch sing?";

/** Everything that happens to an instance in a busy hour: good, refused, failing, dying. @returns what must stay secret. */
async function busyHour(fake: Awaited<ReturnType<typeof createFakeWorld>>) {
  const { world, call, clock, walletFaults, modelFaults } = fake;
  const secrets = new Map<string, string>();
  const keep = (what: string, ...values: unknown[]) => {
    for (const value of values) if (typeof value === "string") secrets.set(value, what);
  };
  const ids: string[] = [];
  const jobs = [];
  for (const request of [REQUEST, "[refuse] zebra finch", "[fail-eval] zebra finch", "[fail-work] zebra finch"]) {
    if (request === REQUEST) modelFaults.evaluate.push({ kind: "passing" });
    const job = await clock.drive(paidJob(world, world.call, request, 600_000));
    ids.push(job.jobId);
    jobs.push(job);
    for (const invoice of [job.evalInvoice, job.workInvoice]) {
      if (invoice) keep("an invoice or its hash", invoice.paymentRequest, invoice.paymentHash);
    }
  }
  const [good, , failed] = jobs;
  walletFaults.pay = { kind: "drop" };
  walletFaults.lookupPayment = { kind: "lose" };
  const invoice = await payerInvoice(world, good.costLedger.refundAmountSats);
  keep("a payer's invoice or its hash", invoice.paymentRequest, invoice.paymentHash);
  await call("POST", `/api/jobs/${good.jobId}/refund`, { invoice: invoice.paymentRequest });
  await world.crash();
  walletFaults.pay = undefined;
  walletFaults.lookupPayment = undefined;
  clock.leap(61_000);
  await clock.advance(3_000);
  await claimRefund(world, call, failed.jobId, 10);
  await call("POST", `/api/jobs/${good.jobId}/refund`, { invoice: "lnbcrt1nonsense" });

  // Backends that are away, and callers that are wrong.
  walletFaults.createInvoice = { kind: "lose" };
  await call("POST", "/api/jobs", { request: REQUEST });
  walletFaults.createInvoice = undefined;
  const unpaid = await createJob(call, REQUEST, { "idempotency-key": "my-dear-key" });
  keep("an idempotency key", "my-dear-key");
  ids.push(unpaid.jobId);
  keep("an invoice or its hash", unpaid.evalInvoice.paymentRequest, unpaid.evalInvoice.paymentHash);
  walletFaults.lookupInvoice = { kind: "lose" };
  await pay(world, unpaid.evalInvoice);
  await clock.advance(60_000);
  walletFaults.lookupInvoice = undefined;
  await clock.advance(130_000);
  await call("GET", "/api/jobs/nonsense");
  await call("POST", "/api/jobs", '{"request": "zebra');
  const waiting = await createJob(call, REQUEST);
  ids.push(waiting.jobId);
  return { ids, secrets, unpaidHash: waiting.evalInvoice.paymentHash as string };
}

Deno.test("hygiene: no line of the log holds what identifies a job, an invoice, a payer or a request", async () => {
  const fake = await createFakeWorld(1);
  const { ids, secrets } = await busyHour(fake);
  // As it is written, and as it was before the second line of defence took out what looks like a secret.
  const log = fake.world.log.lines.flatMap(({ level, fields, message }) => [
    JSON.stringify({ level, message, ...allowedFields(fields) }),
    JSON.stringify({ level, message, ...fields, error: Deno.inspect(fields.error) }),
  ]);
  assert.ok(log.length > 60, `only ${log.length} lines`);
  for (const level of ["info", "warn"]) assert.ok(log.some((line) => line.includes(`"level":"${level}"`)), level);
  const secret = [...secrets, ...ids.map((id) => [id, "a job's id"]), ...ids.map((id) => [handleOf(id), "a handle"])];
  const metrics = (await fake.call("GET", "/metrics")).body.split("\n");
  for (const [value = "", what] of [...secret, ["zebra", "a request"], ["simulated] ", "an answer"]]) {
    const line = log.find((one) => one.includes(value));
    assert.equal(line, undefined, `${what} is in the log: ${line}`);
    const figure = metrics.find((one: string) => one.includes(value));
    assert.equal(figure, undefined, `${what} is in the metrics: ${figure}`);
  }
  await fake.clock.settle();
  await assertAudit(fake.world);
  fake.discard();
});

Deno.test("hygiene: the store holds no job id, no idempotency key and no preimage of an unpaid invoice", async () => {
  const fake = await createFakeWorld(1);
  const { ids, unpaidHash } = await busyHour(fake);
  const rows = async (store: typeof fake.world.store, tables: string[]) => {
    const texts: string[] = [];
    for (const table of tables) {
      for (const { key, value } of await store.list([table], { limit: 1_000 })) {
        texts.push(JSON.stringify([key, value]));
      }
    }
    return texts;
  };
  const tables = fake.engine.tables().map(String).filter((table) => table !== "head");
  for (const table of ["job", "invoice", "refund", "payout", "entry", "event", "idempotency"]) {
    assert.ok(tables.includes(table));
  }
  const program = await rows(fake.world.store, tables);
  const wallet = await rows(fake.world.walletStore, ["simulated-wallet"]);
  assert.ok(program.length > 50 && wallet.length > 5);
  for (const id of ids) {
    assert.ok(program.some((row) => row.includes(handleOf(id))), "the record is there");
    assert.equal(program.find((row) => row.includes(id)), undefined, "a job's id is in the store");
    assert.equal(
      program.find((row) => row.includes(id.slice(14))),
      undefined,
      "what makes an id of a handle is in the store",
    );
  }
  assert.equal(program.find((row) => row.includes("my-dear-key")), undefined);

  const before = [...program, ...wallet].join("\n");
  const paid = await fake.world.wallet.payInvoice(unpaidHash);
  assert.ok(paid.ok);
  assert.ok(!before.includes(paid.preimage), "the preimage of an unpaid invoice was in a store");
  await fake.clock.settle();
  assert.ok(
    !(await rows(fake.world.store, tables)).join("\n").includes(paid.preimage),
    "the preimage of our own invoice is kept",
  );
  fake.discard();
});

Deno.test("hygiene: answers about simulated parts say so, and none carries a secret of the wallet's", async () => {
  const fake = await createFakeWorld(1);
  const job = await createJob(fake.call, REQUEST);
  const paid = await fake.world.wallet.payInvoice(job.evalInvoice.paymentHash);
  assert.ok(paid.ok);
  await fake.clock.settle();
  const read = await fake.call("GET", `/api/jobs/${job.jobId}`);
  assert.ok(!JSON.stringify(read.body).includes(paid.preimage));
  for (const body of [job, read.body, (await fake.call("GET", "/api/estimate?request=hello")).body]) {
    assert.equal(body.stubMode, true);
  }
  fake.discard();
});
