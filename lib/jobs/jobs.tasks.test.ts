import assert from "node:assert/strict";
import type { Job } from "./jobs.machine.ts";
import { createFakeWorld } from "@/tests/harness/fake-world.ts";
import { createJob } from "@/tests/harness/payer.ts";

Deno.test("evaluate: a verdict is bought once, however long the wallet makes no invoice and however often the process dies", async () => {
  const fake = await createFakeWorld(7);
  const { world, clock, walletFaults } = fake;
  const job = async () => (await world.rows<Job>(["job"]))[0]?.value ?? assert.fail("no job");
  try {
    const created = await createJob(fake.call, "hello");
    walletFaults.createInvoice = { kind: "refuse" };
    await world.wallet.payInvoice(created.evalInvoice.paymentHash);
    await clock.advance(3_000);
    const kept = await job();
    assert.equal(kept.state, "evaluating");
    assert.ok(kept.evalUsage, "the verdict was not kept");

    // A second evaluation would fail for good: the model refuses to be asked.
    fake.modelFaults.evaluate.push({ kind: "permanent" });
    await clock.advance(60_000);
    await world.crash();
    await clock.advance(60_000);
    assert.equal((await job()).state, "evaluating");

    walletFaults.createInvoice = undefined;
    await clock.advance(10_000);
    assert.equal((await job()).state, "awaiting_work_payment");
    assert.equal(fake.modelFaults.evaluate.length, 1, "the model was asked again");
  } finally {
    fake.discard();
  }
});
