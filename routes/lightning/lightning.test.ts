import { strictEqual } from "node:assert/strict";
import { createJob, pay, untilState } from "@/tests/harness/payer.ts";
import { createWorld } from "@/tests/harness/world.ts";

const PATH = "/api/lightning/webhook";

Deno.test("webhook: a payment whose push was lost is found at once, as an object or as LNbits' string of JSON", async () => {
  for (const wrap of [(payment: unknown) => payment, (payment: unknown) => JSON.stringify(payment)]) {
    const world = await createWorld({ faults: { hints: { kind: "lose" } } });
    try {
      const job = await createJob(world.call, "Did you hear?");
      await pay(world, job.evalInvoice);
      const body = JSON.stringify(
        wrap({ payment_hash: job.evalInvoice.paymentHash, amount: 10_000, status: "success" }),
      );
      strictEqual((await world.call("POST", PATH, body)).status, 204);
      // The reconciler's first look at a new invoice comes 20 s after it was made: this is the webhook's doing.
      strictEqual((await untilState(world, world.call, job.jobId, ["awaiting_work_payment"], 5_000)).status, 200);
    } finally {
      await world.close();
    }
  }
});

Deno.test("webhook: a lie about an unpaid invoice, and a stranger's hash, change nothing and are answered the same", async () => {
  const world = await createWorld();
  try {
    const job = await createJob(world.call, "Nobody paid");
    const before = await world.store.version();
    for (const payment_hash of [job.evalInvoice.paymentHash, "ab".repeat(32)]) {
      strictEqual((await world.call("POST", PATH, { payment_hash, paid: true })).status, 204);
    }
    strictEqual(await world.deps.settlements.check(job.evalInvoice.paymentHash), "open");
    strictEqual(await world.store.version(), before);
    strictEqual((await world.call("GET", `/api/jobs/${job.jobId}`)).body.state, "awaiting_eval_payment");
  } finally {
    await world.close();
  }
});

Deno.test("webhook: a body without a payment hash is refused", async () => {
  const world = await createWorld();
  try {
    for (const body of [{}, { payment_hash: "short" }, [], "not JSON inside", JSON.stringify({ payment_hash: 5 })]) {
      strictEqual((await world.call("POST", PATH, JSON.stringify(body))).status, 400, JSON.stringify(body));
    }
  } finally {
    await world.close();
  }
});
