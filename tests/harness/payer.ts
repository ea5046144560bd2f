import assert from "node:assert/strict";
import { waitForEvent } from "@/lib/store/events.ts";
import type { Answer, World } from "./world.ts";

/** The way a payer talks to an instance: with or without a socket, with or without moving time. */
export type Call = (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>;

/** Waits until a job is in one of `states`, by the event that announces it. @throws after `ms` of the world's clock. */
export async function untilState(
  world: World,
  call: Call,
  jobId: string,
  states: string[],
  ms = 20_000,
): Promise<Answer> {
  const handle = handleOf(jobId);
  const wait = waitForEvent(
    world.store,
    world.clock,
    (event) => event.type === "job_state" && event.handle === handle && states.includes(String(event.state)),
    ms,
  );
  try {
    const now = await call("GET", `/api/jobs/${jobId}`);
    if (states.includes(now.body.state)) return now;
    assert.ok(
      await wait.event,
      `the job did not become ${states.join(" or ")} within ${ms} ms; it was ${now.body.state}`,
    );
    return await call("GET", `/api/jobs/${jobId}`);
  } finally {
    wait.cancel();
  }
}

export const handleOf = (jobId: string): string => jobId.slice(0, 13);

export async function createJob(
  call: Call,
  request: string,
  headers?: Record<string, string>,
): Promise<Answer["body"]> {
  const created = await call("POST", "/api/jobs", { request }, headers);
  assert.equal(created.status, 201, JSON.stringify(created.body));
  return created.body;
}

/**
 * Create, pay the evaluation, pay the work, and wait for its end, at most `ms` for each of the two.
 * @returns the finished job as its holder reads it.
 */
export async function paidJob(world: World, call: Call, request: string, ms?: number): Promise<Answer["body"]> {
  const job = await createJob(call, request);
  await pay(world, job.evalInvoice);
  const offered = await untilState(world, call, job.jobId, ["awaiting_work_payment", "rejected", "failed"], ms);
  if (offered.body.state !== "awaiting_work_payment") return offered.body;
  await pay(world, offered.body.workInvoice);
  return (await untilState(world, call, job.jobId, ["complete", "failed"], ms)).body;
}

export async function pay(world: World, invoice: { paymentHash: string }): Promise<void> {
  const paid = await world.wallet.payInvoice(invoice.paymentHash);
  assert.deepEqual(paid.ok, true, "the payer's payment did not arrive");
}

/** An invoice of the payer's own node. */
export const payerInvoice = (world: World, amountSats: number | null) =>
  world.wallet.createExternalInvoice({ amountSats, memo: "refund" });

/** Claims all that a job owes. */
export async function claimRefund(world: World, call: Call, jobId: string, sats: number): Promise<Answer> {
  const { paymentRequest } = await payerInvoice(world, sats);
  return await call("POST", `/api/jobs/${jobId}/refund`, { invoice: paymentRequest });
}

/** Fails with the first check of the audit that does not hold. */
export async function assertAudit(world: World): Promise<void> {
  const wrong = (await world.audit()).find((check) => !check.ok);
  assert.equal(wrong, undefined, `${wrong?.name}: ${wrong?.detail}`);
}
