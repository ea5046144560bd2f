import assert from "node:assert/strict";
import type { Job } from "./jobs.machine.ts";
import { readWhole } from "./jobs.rows.ts";
import { countedTokens } from "@/lib/ai/tokens.rules.ts";
import type { Refund } from "@/lib/payments/refunds.machine.ts";
import { createFakeWorld, type FakeWorld } from "@/tests/harness/fake-world.ts";
import { keyWith, SCORE } from "@/tests/harness/keys.ts";
import { assertAudit, createJob } from "@/tests/harness/payer.ts";

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

/** Creates a job of this key, pays its evaluation and lets it end. */
async function evaluated(fake: FakeWorld, auth: Record<string, string>): Promise<Job> {
  const before = new Set((await fake.world.rows<Job>(["job"])).map(({ value }) => value.handle));
  const created = await createJob(fake.call, "hello", auth);
  await fake.world.wallet.payInvoice(created.evalInvoice.paymentHash);
  await fake.clock.advance(60_000);
  const job = (await fake.world.rows<Job>(["job"])).find(({ value }) => !before.has(value.handle));
  return job?.value ?? assert.fail("no job");
}
/** 0.8 × 0.003 + 0.16 × 0.015 USD and a quarter: 6 of the fee's 10 sats. */
const COUNTED = { inputTokens: 800, outputTokens: 160, source: "api" } as const;

Deno.test("evaluate: refused by the provider, the request is to blame: the fee stays earned and the reason says whose refusal it was", async () => {
  const fake = await createFakeWorld(8);
  try {
    const { auth } = await keyWith(fake.world, SCORE.trusted);
    for (const as of ["refused", "too_long"] as const) {
      fake.modelFaults.evaluate.push({ kind: "permanent", as, usage: COUNTED });
      const { state, reason, refundId, evalUsage } = await evaluated(fake, auth);
      assert.deepEqual([state, refundId, evalUsage], ["rejected", null, COUNTED]);
      assert.match(reason ?? "", /^The model's provider refused to judge it/);
    }
    await assertAudit(fake.world);
  } finally {
    fake.discard();
  }
});

Deno.test("evaluate: a failure that is nobody's fault gives the fee back, five times an hour; then it pays its tokens; what counted none is free", async () => {
  const fake = await createFakeWorld(9);
  try {
    const { auth } = await keyWith(fake.world, SCORE.trusted);
    const refundAfter = async (usage?: typeof COUNTED) => {
      fake.modelFaults.evaluate.push({ kind: "permanent", as: "not_found", ...(usage && { usage }) });
      const { state, handle } = await evaluated(fake, auth);
      assert.equal(state, "failed");
      return (await fake.world.store.get<Refund>(["refund", handle]))?.sats ?? 0;
    };
    const refunds: number[] = [];
    for (let i = 0; i < 7; i++) refunds.push(await refundAfter(COUNTED));
    assert.deepEqual(refunds, [10, 10, 10, 10, 10, 4, 4]);
    assert.equal(await refundAfter(), 10);
    await assertAudit(fake.world);
  } finally {
    fake.discard();
  }
});

Deno.test("work: broken off while somebody reads along it is complete and interrupted, and pays the delivered tokens alone", async () => {
  const fake = await createFakeWorld(10);
  try {
    const { world, clock, call, modelFaults } = fake;
    const created = await createJob(call, "hello");
    await world.wallet.payInvoice(created.evalInvoice.paymentHash);
    await clock.advance(3_000);
    const offered = (await world.rows<Job>(["job"]))[0]?.value ?? assert.fail("no job");
    modelFaults.work.push({ kind: "break", afterPieces: 4 }, { kind: "permanent" });
    let told = "";
    world.deps.liveText.follow(offered.handle, (piece) => void (told += piece), () => assert.fail("it began anew"));
    await world.wallet.payInvoice(offered.workInvoice?.paymentHash ?? "");
    await clock.advance(60_000);
    const { state, interrupted, costSheet } = (await world.rows<Job>(["job"]))[0]?.value ?? assert.fail("no job");
    assert.deepEqual([state, interrupted, modelFaults.work.length], ["complete", true, 1], "not tried again");
    assert.deepEqual(costSheet?.usage, { inputTokens: 0, outputTokens: countedTokens(told), source: "estimated" });
    assert.equal(costSheet?.chargeSats, 1);
    assert.equal((await readWhole(world.store, offered.handle))?.result?.text, told);
    await assertAudit(world);
  } finally {
    fake.discard();
  }
});
