import { notStrictEqual, strictEqual } from "node:assert/strict";
import { createFakeWorld } from "@/tests/harness/fake-world.ts";

Deno.test("createSettlements: after a crash, what was just paid is noticed at once among many open invoices", async () => {
  const { world, clock, call, discard } = await createFakeWorld(1);
  let newest = { jobId: "", paymentHash: "" };
  for (let made = 0; made < 150; made++) {
    const { body } = await call("POST", "/api/jobs", { request: "why?" });
    newest = { jobId: body.jobId, paymentHash: body.evalInvoice.paymentHash };
    if (made % 10 === 8) clock.leap(1_000);
  }
  const state = async () => (await call("GET", `/api/jobs/${newest.jobId}`)).body.state;
  await clock.drive(world.deps.settlements.stop());
  strictEqual((await clock.drive(world.wallet.payInvoice(newest.paymentHash))).ok, true);
  strictEqual(await state(), "awaiting_eval_payment");

  await world.crash();
  // Less than the second between two rounds: the first one must have asked.
  for (let turn = 0; turn < 50; turn++) await clock.advance(10);
  notStrictEqual(await state(), "awaiting_eval_payment");
  discard();
});
