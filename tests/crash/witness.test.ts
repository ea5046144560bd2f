import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { JobBody } from "@/routes/jobs/jobs.routes.ts";
import { awaitsDelivery, createWitness, type Plan, type ViolationKind } from "./witness.ts";

const PLAN: Plan = { token: "payer1-1", request: "payer1-1 why?", outcome: "complete", failsAt: null };
const JOB_ID = "0123456789abc-00000000000000000000000000000000";
const invoice = (amountSats: number, name: string) => ({
  amountSats,
  paymentHash: name.repeat(64),
  paymentRequest: `lnbcrt1${name}`,
  expiresAt: "2030-01-01T00:00:00.000Z",
});
const EVAL = invoice(10, "e");
const WORK = invoice(150, "f");
const LEDGER: NonNullable<JobBody["costLedger"]> = {
  actualInputTokens: 60,
  actualOutputTokens: 80,
  totalTokens: 140,
  actualCostUsd: 0.001,
  actualAmountSats: 130,
  workAmountSats: 150,
  paidSats: 150,
  chargedSats: 130,
  refundAmountSats: 20,
  refundState: "pending",
  refundPaymentHash: null,
  refundClaimUntil: "2030-01-01T00:00:00.000Z",
  refundFailure: null,
  refundAttempts: [],
  absorbedSats: 0,
  marginPct: 25,
  btcPriceUsd: 100_000,
  btcPriceSource: "test",
  infraUsd: 0.1,
  usageSource: "api",
};
const body = (state: JobBody["state"], more: Partial<JobBody> = {}): JobBody => ({
  jobId: JOB_ID,
  state,
  createdAt: "2029-01-01T00:00:00.000Z",
  trust_tier: "anonymous",
  stubMode: true,
  simulated: [],
  evalInvoice: EVAL,
  ...more,
});
const COMPLETE = body("complete", { workInvoice: WORK, result: "about payer1-1", costLedger: LEDGER });
const withLedger = (more: Partial<typeof LEDGER>) => ({ ...COMPLETE, costLedger: { ...LEDGER, ...more } });

/** A job that was made, and the answers to reading it one after another. @returns the kinds of what was wrong. */
function wrongIn(answers: readonly JobBody[], plan: Plan = PLAN): ViolationKind[] {
  const witness = createWitness();
  const record = witness.planned(plan);
  witness.created(record, { ...body("awaiting_eval_payment"), evalInvoice: EVAL });
  for (const answer of answers) witness.read(record, record.seen, 200, answer);
  return [...new Set(witness.violations.map(({ kind }) => kind))];
}

Deno.test("createWitness: a job that goes its way and whose refund is paid is in order", () => {
  const answers = [
    body("evaluating"),
    body("awaiting_work_payment", { workInvoice: WORK }),
    body("executing", { workInvoice: WORK }),
    COMPLETE,
    withLedger({ refundState: "paying", refundPaymentHash: "ab" }),
    withLedger({ refundState: "paid", refundPaymentHash: "ab" }),
  ];
  deepStrictEqual(wrongIn(answers), []);
});

Deno.test("createWitness: each answer that cannot be true after another is found", () => {
  const paid = withLedger({ refundState: "paid", refundPaymentHash: "ab" });
  const cases: [string, JobBody[], ViolationKind][] = [
    ["back to an earlier state", [body("executing"), body("evaluating")], "contradiction"],
    ["from one end to another", [COMPLETE, body("expired", { workInvoice: WORK })], "contradiction"],
    ["another result", [COMPLETE, { ...COMPLETE, result: "payer1-1 again" }], "contradiction"],
    ["no result any more", [COMPLETE, body("complete", { workInvoice: WORK, costLedger: LEDGER })], "lost"],
    ["another cost", [COMPLETE, withLedger({ actualInputTokens: 61 })], "contradiction"],
    ["another work invoice", [
      body("awaiting_work_payment", { workInvoice: WORK }),
      body("executing", { workInvoice: invoice(150, "a") }),
    ], "contradiction"],
    ["another evaluation invoice", [body("evaluating", { evalInvoice: invoice(10, "a") })], "contradiction"],
    ["a refund that is open again", [paid, COMPLETE], "contradiction"],
    [
      "a refund paid to somebody else",
      [paid, withLedger({ refundState: "paid", refundPaymentHash: "cd" })],
      "contradiction",
    ],
    ["somebody else's job", [{ ...COMPLETE, jobId: "other" }], "contradiction"],
    ["somebody else's result", [{ ...COMPLETE, result: "about payer9-9" }], "lost"],
    ["a refund that is too small", [withLedger({ refundAmountSats: 19 })], "lost"],
    ["a payment that is not booked", [withLedger({ paidSats: 0, chargedSats: 0, refundAmountSats: 0 })], "lost"],
    ["paid work that failed", [
      body("failed", { workInvoice: WORK, costLedger: { ...LEDGER, chargedSats: 0, refundAmountSats: 150 } }),
    ], "lost"],
  ];
  for (const [name, answers, kind] of cases) ok(wrongIn(answers).includes(kind), name);
});

Deno.test("createWitness: failed work must give all of it back, and a failed evaluation the fee", () => {
  const work: Plan = { ...PLAN, outcome: "failed", failsAt: "work" };
  const failed = (more: Partial<typeof LEDGER>) =>
    body("failed", { workInvoice: WORK, costLedger: { ...LEDGER, chargedSats: 0, ...more } });
  deepStrictEqual(wrongIn([failed({ refundAmountSats: 150 })], work), []);
  deepStrictEqual(wrongIn([failed({ refundAmountSats: 20 })], work), ["lost"]);
  const evaluation: Plan = { ...PLAN, outcome: "failed", failsAt: "eval" };
  const refused = (sats: number) =>
    body("failed", { costLedger: { ...LEDGER, paidSats: 0, chargedSats: 0, refundAmountSats: sats } });
  deepStrictEqual(wrongIn([refused(10)], evaluation), []);
  deepStrictEqual(wrongIn([refused(0)], evaluation), ["lost"]);
});

Deno.test("createWitness: a job that was acknowledged and is not found is lost", () => {
  const witness = createWitness();
  const record = witness.planned(PLAN);
  witness.created(record, body("awaiting_eval_payment") as Parameters<typeof witness.created>[1]);
  witness.read(record, record.seen, 404, body("expired"));
  deepStrictEqual(witness.violations.map(({ kind }) => kind), ["lost"]);
});

Deno.test("createWitness: an answer sent before a later one was known may be older", () => {
  const witness = createWitness();
  const record = witness.planned(PLAN);
  witness.created(record, body("awaiting_eval_payment") as Parameters<typeof witness.created>[1]);
  const before = record.seen;
  witness.read(record, before, 200, COMPLETE);
  witness.read(record, before, 200, body("evaluating"));
  deepStrictEqual(witness.violations, []);
  strictEqual(record.seen?.state, "complete");
});

Deno.test("createWitness: one key that made two jobs, or whose repeat is answered differently, is found", () => {
  const witness = createWitness();
  const record = witness.planned(PLAN);
  const made = body("awaiting_eval_payment") as Parameters<typeof witness.created>[1];
  witness.created(record, made);
  witness.created(record, made);
  strictEqual(witness.violations.length, 0);
  witness.created(record, { ...made, evalInvoice: invoice(10, "a") });
  witness.created(record, { ...made, jobId: "other" });
  deepStrictEqual(witness.violations.map(({ kind }) => kind), ["contradiction", "contradiction"]);
});

Deno.test("createWitness: a claim may only go to an invoice of this payer, and to the same one for good", () => {
  const witness = createWitness();
  const record = witness.planned(PLAN);
  witness.created(record, body("awaiting_eval_payment") as Parameters<typeof witness.created>[1]);
  witness.read(record, record.seen, 200, COMPLETE);
  witness.claiming(record, "aa");
  witness.claiming(record, "bb");
  witness.claimed(record, record.seen, { state: "paying", hash: "aa" });
  witness.claimed(record, record.seen, { state: "paid", hash: "aa" });
  strictEqual(witness.violations.length, 0);
  witness.claimed(record, record.seen, { state: "paid", hash: "bb" });
  witness.claimed(record, null, { state: "paid", hash: "cc" });
  deepStrictEqual(witness.violations.map(({ kind }) => kind), ["contradiction", "contradiction"]);
});

Deno.test("awaitsDelivery: true from a payment to what it paid for, and while a refund is under way", () => {
  const witness = createWitness();
  const record = witness.planned(PLAN);
  witness.created(record, body("awaiting_eval_payment") as Parameters<typeof witness.created>[1]);
  const after = (answer: JobBody) => (witness.read(record, record.seen, 200, answer), awaitsDelivery(record));
  strictEqual(awaitsDelivery(record), false);
  witness.paid(record, "eval");
  strictEqual(awaitsDelivery(record), true);
  strictEqual(after(body("evaluating")), true);
  strictEqual(after(body("awaiting_work_payment", { workInvoice: WORK })), false);
  witness.paid(record, "work");
  strictEqual(awaitsDelivery(record), true);
  strictEqual(after(COMPLETE), false);
  strictEqual(after(withLedger({ refundState: "paying", refundPaymentHash: "ab" })), true);
  strictEqual(after(withLedger({ refundState: "paid", refundPaymentHash: "ab" })), false);
});
