import assert from "node:assert/strict";
import { createSimulatedModel, type SimulatedFaults } from "@/lib/ai/simulated.ts";
import { systemClock } from "@/lib/clock.ts";
import { createFakeWorld } from "@/tests/harness/fake-world.ts";
import { createJob, paidJob, pay, payerInvoice, untilState } from "@/tests/harness/payer.ts";
import { createWorld } from "@/tests/harness/world.ts";

interface Check {
  name: string;
  ok: boolean;
  detail?: string;
}
const failed = (body: { checks: Check[] }) => body.checks.filter((check) => !check.ok);

Deno.test("readiness: a model that failed when it was last used is said, and no more once it answers", async () => {
  const faults: SimulatedFaults = {
    evaluate: [{ kind: "permanent" }, { kind: "none" }, { kind: "permanent", as: "refused" }],
    work: [],
  };
  const world = await createWorld({ model: createSimulatedModel({ clock: systemClock, faults }) });
  const evaluated = async (request: string) => {
    const job = await createJob(world.call, request);
    await pay(world, job.evalInvoice);
    await untilState(world, world.call, job.jobId, ["failed", "rejected", "awaiting_work_payment"]);
    return (await world.call("GET", "/api/health/ready")).body;
  };
  try {
    assert.deepEqual(failed(await evaluated("the key was revoked")).map(({ name }) => name), ["model"]);
    assert.deepEqual(failed(await evaluated("the key is back")), []);
    // A request that brought the failure on itself says nothing about the model.
    assert.deepEqual(failed(await evaluated("how to pick a lock")), []);
  } finally {
    await world.close();
  }
});

Deno.test("readiness: a wallet that did not answer when it was last called is said, whatever it was called for", async () => {
  const { world, call, clock, walletFaults: faults, discard } = await createFakeWorld(1);
  const notReady = async () => {
    const { status, body } = await call("GET", "/api/health/ready");
    assert.equal(status, failed(body).length > 0 ? 503 : 200);
    return failed(body).map(({ name }) => name);
  };
  const { jobId, costLedger } = await clock.drive(paidJob(world, world.call, "hello", 600_000));
  assert.deepEqual(await notReady(), []);
  // No invoice is open: nobody but the payer calls.
  faults.createInvoice = { kind: "lose" };
  assert.equal((await call("POST", "/api/jobs", { request: "hello" })).status, 503);
  assert.deepEqual(await notReady(), ["lightning"]);
  faults.createInvoice = undefined;
  await createJob(call, "hello");
  assert.deepEqual(await notReady(), []);
  for (
    const [path, body] of [
      ["/api/sessions", { amount_sats: 500 }],
      ["/api/free-tier/donate", { amount_sats: 500 }],
      ["/api/v1/chat/completions", { model: "claude-sonnet-4-6", messages: [{ role: "user", content: "hello" }] }],
    ] as const
  ) {
    faults.createInvoice = { kind: "lose" };
    assert.equal((await call("POST", path, body)).status, 503, path);
    assert.deepEqual(await notReady(), ["lightning"], path);
    faults.createInvoice = undefined;
    assert.ok([201, 402].includes((await call("POST", path, body)).status), path);
    assert.deepEqual(await notReady(), [], path);
  }

  faults.pay = { kind: "drop" };
  faults.lookupPayment = { kind: "lose" };
  const { paymentRequest } = await payerInvoice(world, costLedger.refundAmountSats);
  await call("POST", `/api/jobs/${jobId}/refund`, { invoice: paymentRequest });
  assert.deepEqual(await notReady(), ["lightning"]);
  discard();
});
