import assert from "node:assert/strict";
import { createSimulatedModel, type SimulatedFaults } from "@/lib/ai/simulated.ts";
import { systemClock } from "@/lib/clock.ts";
import { createJob, pay, untilState } from "@/tests/harness/payer.ts";
import { createWorld } from "@/tests/harness/world.ts";

interface Check {
  name: string;
  ok: boolean;
  detail?: string;
}
const failed = (body: { checks: Check[] }) => body.checks.filter((check) => !check.ok);

Deno.test("readiness: a model that failed when it was last used is said, and no more once it answers", async () => {
  const faults: SimulatedFaults = { evaluate: [{ kind: "permanent" }], work: [] };
  const world = await createWorld({ model: createSimulatedModel({ clock: systemClock, faults }) });
  const evaluated = async (request: string) => {
    const job = await createJob(world.call, request);
    await pay(world, job.evalInvoice);
    await untilState(world, world.call, job.jobId, ["failed", "awaiting_work_payment"]);
    return (await world.call("GET", "/api/health/ready")).body;
  };
  try {
    assert.deepEqual(failed(await evaluated("the key was revoked")).map(({ name }) => name), ["model"]);
    assert.deepEqual(failed(await evaluated("the key is back")), []);
    // A request that brought the failure on itself says nothing about the model.
    assert.deepEqual(failed(await evaluated("[fail-eval]")), []);
  } finally {
    await world.close();
  }
});
