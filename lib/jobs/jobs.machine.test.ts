import { type Account, jobAccount, refundAccount, REVENUE } from "@/lib/ledger/accounts.ts";
import assert from "node:assert/strict";
import type { Usage } from "@/lib/ai/port.ts";
import { applyPostings, balanceOf, checkPosting, type Counters } from "@/lib/ledger/ledger.rules.ts";
import { charge, nonZero, type Posting, subsidyUsed } from "@/lib/ledger/postings.ts";
import { costOf, type CostSheet, costSheetOf, type Outcome } from "@/lib/metering/close.rules.ts";
import { testQuote, used } from "@/lib/metering/testing/quotes.ts";
import {
  accepted,
  createJob,
  evalPaid,
  evaluationFailed,
  evaluationRefused,
  invoiceExpired,
  type Job,
  type JobState,
  type NoStep,
  rejected,
  type Step,
  TERMINAL,
  workEnded,
  workPaid,
} from "./jobs.machine.ts";

const NOW = 1_700_000_000_000;
const DAY = 86_400_000;
const HANDLE = "0123456789abc";
const TERMS = { dustSats: 1, claimDays: 30, maxFeeSats: 10 };
const USAGE: Usage = { inputTokens: 60, outputTokens: 100, source: "api" };
const EVAL = { paymentHash: "e".repeat(64), paymentRequest: "lnbcrt-eval", amountSats: 10, expiresAt: NOW + 600_000 };
const WORK = { paymentHash: "f".repeat(64), paymentRequest: "lnbcrt-work", amountSats: 500, expiresAt: NOW + 900_000 };
const QUOTE = { ...testQuote({ evaluation: null }), sats: 500, usd: 0.5 };
const COMPLETE: Outcome = { end: "complete", used: { evaluation: null, work: USAGE }, finish: "stop" };
const FAILED: Outcome = {
  end: "failed",
  by: "provider",
  used: { evaluation: null, work: null },
  errorMessage: "broken",
  failure: null,
};
/** What USAGE costs by QUOTE, by the one formula. */
const ACTUAL = costOf(QUOTE, COMPLETE, true);

/** The work has ended, and was charged as metering charges it: its postings come first. */
function end(job: Job, outcome: Outcome, terms = TERMS): Step | NoStep {
  const costSheet = sheetOf(job, outcome);
  const step = workEnded(job, { outcome, costSheet, grantedSats: job.grantedSats, terms, now: NOW });
  if (step.outcome === "replayed") return step;
  const charged = [
    charge(job.handle, JOB, REVENUE.work, costSheet.chargeSats),
    subsidyUsed(job.handle, JOB, REVENUE.work, costSheet.subsidySats),
  ];
  return { ...step, postings: [...nonZero(charged), ...step.postings] };
}
const sheetOf = ({ paidSats, grantedSats }: Job, outcome: Outcome): CostSheet =>
  costSheetOf(outcome, costOf(QUOTE, outcome, true), { paidSats, grantedSats, poolCreditPct: 10, btcUsd: 100_000 });

const EVAL_FAILED = { message: "broken", usage: null, evalCostSats: 0, terms: TERMS, now: NOW };

/** One of every fact, as it would arrive for the usual job. */
const FACTS = {
  evalPaid: (job: Job) => evalPaid(job, { paymentHash: EVAL.paymentHash, paidSats: 10, now: NOW }),
  accepted: (job: Job) =>
    accepted(job, { reason: "fine", usage: USAGE, evalCostSats: 2, quote: QUOTE, workInvoice: WORK }),
  rejected: (job: Job) => rejected(job, { reason: "no", usage: USAGE, evalCostSats: 2, terms: TERMS, now: NOW }),
  evaluationRefused: (job: Job) =>
    evaluationRefused(job, { reason: "filtered", usage: USAGE, evalCostSats: 2, terms: TERMS, now: NOW }),
  evaluationFailed: (job: Job) => evaluationFailed(job, { ...EVAL_FAILED, keptSats: 0 }),
  workPaid: (job: Job) => workPaid(job, { paymentHash: WORK.paymentHash, paidSats: 500, now: NOW }),
  workDone: (job: Job) => end(job, COMPLETE),
  workFailed: (job: Job) => end(job, FAILED),
  evalExpired: (job: Job) => invoiceExpired(job, { paymentHash: EVAL.paymentHash }),
  workExpired: (job: Job) => invoiceExpired(job, { paymentHash: WORK.paymentHash }),
} satisfies Record<string, (job: Job) => Step | NoStep>;
type Fact = keyof typeof FACTS;

const fresh = (): Job =>
  createJob({
    handle: HANDLE,
    request: "hello",
    evalModel: "e",
    workModel: "w",
    simulated: ["lightning"],
    evalInvoice: EVAL,
    now: NOW,
  });

/** A job after these facts, and the accounts after all its postings: an overdraft or a malformed posting throws. */
function after(...facts: Fact[]) {
  let job = fresh();
  let accounts: Map<Account, Counters> = new Map();
  let last: Step | null = null;
  for (const fact of facts) {
    const step = FACTS[fact](job);
    assert.ok(step.outcome === "applied", `${fact} did not apply to a job that is ${job.state}`);
    step.postings.forEach(checkPosting);
    accounts = applyPostings(accounts, step.postings);
    job = step.job;
    last = step;
  }
  const sats = (account: Account) => {
    const counters = accounts.get(account);
    return counters ? balanceOf(counters) : 0;
  };
  return { job, sats, step: last as Step, accounts };
}

const JOB = jobAccount(HANDLE);
const REFUND = refundAccount(HANDLE);

Deno.test("createJob: waits for its evaluation fee, nothing is paid, spent or owed", () => {
  assert.deepEqual(fresh(), {
    v: 1,
    handle: HANDLE,
    state: "awaiting_eval_payment",
    createdAt: NOW,
    pubkey: null,
    caller: null,
    request: "hello",
    evalModel: "e",
    workModel: "w",
    lightningAddress: null,
    simulated: ["lightning"],
    evalInvoice: EVAL,
    evalPaid: false,
    evalFeeSats: 0,
    evalCostSats: 0,
    workInvoice: null,
    quote: null,
    paidSats: 0,
    grantedSats: 0,
    adviceSats: 0,
    freeTier: null,
    evalUsage: null,
    reason: null,
    errorMessage: null,
    costSheet: null,
    interrupted: false,
    refundId: null,
  });
});

// ---- every fact in every state ---------------------------------------------------------------------------------------

const EVALUATED = {
  accepted: "awaiting_work_payment",
  rejected: "rejected",
  evaluationRefused: "rejected",
  evaluationFailed: "failed",
} as const;
/** How each state is reached, and which facts mean something there. All others are replays or came too late. */
const STATES: { name: string; by: Fact[]; state: JobState; takes: Partial<Record<Fact, JobState>> }[] = [
  {
    name: "new",
    by: [],
    state: "awaiting_eval_payment",
    takes: { evalPaid: "evaluating", evalExpired: "expired" },
  },
  {
    name: "evaluating",
    by: ["evalPaid"],
    state: "evaluating",
    takes: EVALUATED,
  },
  {
    name: "awaiting work payment",
    by: ["evalPaid", "accepted"],
    state: "awaiting_work_payment",
    takes: { workPaid: "executing", workExpired: "expired" },
  },
  {
    name: "executing",
    by: ["evalPaid", "accepted", "workPaid"],
    state: "executing",
    takes: { workDone: "complete", workFailed: "failed" },
  },
  { name: "complete", by: ["evalPaid", "accepted", "workPaid", "workDone"], state: "complete", takes: {} },
  { name: "failed in work", by: ["evalPaid", "accepted", "workPaid", "workFailed"], state: "failed", takes: {} },
  { name: "failed in evaluation", by: ["evalPaid", "evaluationFailed"], state: "failed", takes: {} },
  { name: "rejected", by: ["evalPaid", "rejected"], state: "rejected", takes: {} },
  { name: "refused by the provider", by: ["evalPaid", "evaluationRefused"], state: "rejected", takes: {} },
  { name: "expired before evaluation", by: ["evalExpired"], state: "expired", takes: { evalPaid: "evaluating" } },
  {
    name: "expired before work",
    by: ["evalPaid", "accepted", "workExpired"],
    state: "expired",
    takes: { workPaid: "executing" },
  },
  {
    name: "revived by the evaluation",
    by: ["evalExpired", "evalPaid"],
    state: "evaluating",
    takes: EVALUATED,
  },
  {
    name: "revived by the work",
    by: ["evalPaid", "accepted", "workExpired", "workPaid"],
    state: "executing",
    takes: { workDone: "complete", workFailed: "failed" },
  },
];

for (const { name, by, state, takes } of STATES) {
  for (const fact of Object.keys(FACTS) as Fact[]) {
    const to = takes[fact];
    Deno.test(`a job ${name}: ${fact} ${to ? `makes it ${to}` : "changes nothing"}`, () => {
      const { job } = after(...by);
      assert.equal(job.state, state);
      const before = structuredClone(job);
      const step = FACTS[fact](job);
      assert.deepEqual(job, before, "the record that was read is left as it was");
      if (to) {
        assert.ok(step.outcome === "applied");
        assert.equal(step.job.state, to);
      } else {
        assert.deepEqual(step, { outcome: "replayed" });
      }
    });
  }
  if (TERMINAL.has(state)) {
    Deno.test(`a job ${name}: its account is empty`, () => assert.equal(after(...by).sats(JOB), 0));
  }
}

Deno.test("facts about another invoice's hash change nothing", () => {
  const other = { paymentHash: "0".repeat(64), paidSats: 10, now: NOW };
  assert.equal(evalPaid(fresh(), other).outcome, "replayed");
  assert.equal(evalPaid(fresh(), { ...other, paymentHash: WORK.paymentHash }).outcome, "replayed");
  assert.equal(workPaid(after("evalPaid", "accepted").job, other).outcome, "replayed");
  assert.equal(
    workPaid(after("evalPaid", "accepted").job, { ...other, paymentHash: EVAL.paymentHash }).outcome,
    "replayed",
  );
  assert.equal(invoiceExpired(fresh(), other).outcome, "replayed");
});

// ---- what each transition writes -------------------------------------------------------------------------------------

Deno.test("evalPaid: the fee is earned and the evaluation planned for now", () => {
  const { job, step, sats } = after("evalPaid");
  assert.equal(job.evalPaid, true);
  assert.equal(job.paidSats, 0);
  assert.deepEqual(step.tasks, [{ kind: "evaluate", id: HANDLE, dueAt: NOW }]);
  assert.deepEqual([sats("lightning"), sats("revenue:eval")], [-10, 10]);
  assert.deepEqual(step.postings.map(({ id, ref }) => [id, ref]), [[`settle:${EVAL.paymentHash}`, EVAL.paymentHash]]);
  assert.equal(step.refund, null);
});

Deno.test("evalPaid: what was paid beyond the fee stays the payer's", () => {
  const step = evalPaid(fresh(), { paymentHash: EVAL.paymentHash, paidSats: 13, now: NOW }) as Step;
  assert.equal(step.job.paidSats, 3);
  assert.deepEqual(step.postings.map(({ from, to, sats }) => [from, to, sats]), [
    ["lightning", "revenue:eval", 10],
    ["lightning", JOB, 3],
  ]);
  const refused = rejected(step.job, { reason: "no", usage: USAGE, evalCostSats: 2, terms: TERMS, now: NOW }) as Step;
  assert.equal(refused.refund?.sats, 3);
  assert.deepEqual(refused.postings.map(({ from, to, sats }) => [from, to, sats]), [[JOB, REFUND, 3]]);
});

Deno.test("evalPaid: less than the fee is earned as far as it goes", () => {
  const step = evalPaid(fresh(), { paymentHash: EVAL.paymentHash, paidSats: 7, now: NOW }) as Step;
  assert.equal(step.job.paidSats, 0);
  assert.deepEqual(step.postings.map(({ to, sats }) => [to, sats]), [["revenue:eval", 7]]);
});

Deno.test("accepted: keeps the reason, the quote and the invoice, ends the evaluation, moves nothing", () => {
  const { job, step } = after("evalPaid", "accepted");
  assert.deepEqual([job.reason, job.quote, job.workInvoice, job.evalUsage], ["fine", QUOTE, WORK, USAGE]);
  assert.deepEqual(step.tasks, [{ kind: "evaluate", id: HANDLE, dueAt: null }]);
  assert.deepEqual(step.postings, []);
  assert.equal(step.refund, null);
});

for (const [fact, reason] of [["rejected", "no"], ["evaluationRefused", "filtered"]] as const) {
  Deno.test(`${fact}: keeps the reason and the fee, owes nothing, and the key is to blame`, () => {
    const { job, step, sats } = after("evalPaid", fact);
    assert.deepEqual([job.reason, job.evalUsage, job.refundId, job.errorMessage], [reason, USAGE, null, null]);
    assert.deepEqual(step.tasks, [{ kind: "evaluate", id: HANDLE, dueAt: null }]);
    assert.equal(step.refund, null);
    assert.equal(sats("revenue:eval"), 10);
    assert.deepEqual(step.trust, { kind: "failure" });
  });
}

Deno.test("evaluationFailed: the fee goes back and can be claimed for 30 days", () => {
  const { job, step, sats } = after("evalPaid", "evaluationFailed");
  assert.deepEqual([job.errorMessage, job.refundId], ["broken", HANDLE]);
  assert.deepEqual([sats("revenue:eval"), sats(REFUND)], [0, 10]);
  assert.deepEqual([step.refund?.sats, step.refund?.state, step.refund?.claimUntil], [10, "pending", NOW + 30 * DAY]);
  assert.deepEqual(step.tasks, [{ kind: "evaluate", id: HANDLE, dueAt: null }]);
  assert.equal(step.trust, null, "the request is not to blame");
});

Deno.test("evaluationFailed: beyond the free failures what it took is kept of the fee, and never more than the fee", () => {
  const { job } = after("evalPaid");
  const cases: [keptSats: number, refundSats: number | undefined, moved: number][] = [
    [0, 10, 10],
    [3, 7, 7],
    [10, undefined, 0],
    [50, undefined, 0],
  ];
  for (const [keptSats, refundSats, moved] of cases) {
    const step = evaluationFailed(job, { ...EVAL_FAILED, keptSats }) as Step;
    assert.equal(step.job.state, "failed");
    assert.equal(step.refund?.sats, refundSats);
    const returned = step.postings.filter(({ from }) => from === REVENUE.eval).reduce((sum, { sats }) => sum + sats, 0);
    assert.equal(returned, moved);
  }
});

Deno.test("workPaid: the sats are the job's, and the work is planned for now", () => {
  const { job, step, sats } = after("evalPaid", "accepted", "workPaid");
  assert.equal(job.paidSats, 500);
  assert.equal(sats(JOB), 500);
  assert.deepEqual(step.tasks, [{ kind: "work", id: HANDLE, dueAt: NOW }]);
  assert.deepEqual(step.postings.map(({ id }) => id), [`settle:${WORK.paymentHash}`]);
});

Deno.test("workEnded: what it cost is earned, the rest is owed, to the satoshi", () => {
  const { job, step, sats } = after("evalPaid", "accepted", "workPaid", "workDone");
  assert.ok(ACTUAL.sats > 0 && ACTUAL.sats < 500);
  assert.deepEqual(job.costSheet, {
    evalUsage: null,
    usage: USAGE,
    modelCostUsd: ACTUAL.modelCostUsd,
    infraUsd: ACTUAL.infraUsd,
    actualSats: ACTUAL.sats,
    chargeSats: ACTUAL.sats,
    subsidySats: 0,
    refundSats: 500 - ACTUAL.sats,
    returnedSats: 0,
    modelCostSats: 2, // 0.00168 USD at 0.001 USD a sat, rounded up
    poolShareSats: Math.ceil(ACTUAL.sats / 10),
  });
  assert.deepEqual([sats(JOB), sats("revenue:work"), sats(REFUND)], [0, ACTUAL.sats, 500 - ACTUAL.sats]);
  assert.equal(step.refund?.sats, 500 - ACTUAL.sats);
  assert.deepEqual([job.refundId, job.interrupted, job.errorMessage], [HANDLE, false, null]);
  assert.deepEqual(step.tasks, [{ kind: "work", id: HANDLE, dueAt: null }]);
});

const NONE = { evaluation: null, work: null };
const ENDS: [outcome: Outcome, state: JobState, interrupted: boolean][] = [
  [COMPLETE, "complete", false],
  [{ end: "broken", used: NONE, deliveredTokens: 320, errorMessage: "cut", failure: null }, "complete", true],
  [{ end: "left", used: NONE, delivered: true, errorMessage: "gone" }, "complete", true],
  [
    { end: "refused", by: "provider", used: NONE, delivered: true, reason: "filtered", failure: null },
    "complete",
    true,
  ],
  [
    { end: "refused", by: "provider", used: { ...NONE, work: USAGE }, delivered: false, reason: "no", failure: null },
    "failed",
    false,
  ],
  [{ end: "left", used: NONE, delivered: false, errorMessage: "gone" }, "failed", false],
  [FAILED, "failed", false],
  [{ ...FAILED, by: "us" }, "failed", false],
];
for (const [outcome, state, interrupted] of ENDS) {
  const what = `${outcome.end}${"by" in outcome ? ` by ${outcome.by}` : ""}${interrupted ? " after text" : ""}`;
  Deno.test(`workEnded: ${what} makes it ${state}${interrupted ? " and interrupted" : ""}, with all that is not charged owed`, () => {
    const { job } = after("evalPaid", "accepted", "workPaid");
    const { chargeSats, refundSats } = sheetOf(job, outcome);
    const step = end(job, outcome) as Step;
    assert.deepEqual([step.job.state, step.job.interrupted], [state, interrupted]);
    assert.equal(step.refund?.sats, refundSats);
    assert.equal(chargeSats + refundSats, 500);
    assert.deepEqual(step.tasks, [{ kind: "work", id: HANDLE, dueAt: null }]);
    const why = outcome.end === "refused" ? outcome.reason : "errorMessage" in outcome ? outcome.errorMessage : null;
    assert.equal(step.job.reason, outcome.end === "refused" ? why : "fine", "whose refusal it was");
    if (why === null) return assert.equal(step.job.errorMessage, null);
    assert.ok(step.job.errorMessage?.startsWith(why), "why it ended");
    assert.equal(step.job.errorMessage?.includes(`${chargeSats} sats were charged`), chargeSats > 0, "what it cost");
    assert.match(step.job.errorMessage ?? "", /\/refund/, "and how to take the rest back");
  });
}

Deno.test("workEnded: a cost above what was paid is the operator's loss, never a debt", () => {
  const { job } = after("evalPaid", "accepted", "workPaid");
  const step = end(job, { ...COMPLETE, used: { evaluation: null, work: used(60, 1_000_000) } } as Outcome) as Step;
  assert.equal(step.job.costSheet?.chargeSats, 500);
  assert.ok((step.job.costSheet?.actualSats ?? 0) > 500);
  assert.equal(step.refund, null);
  assert.equal(step.job.refundId, null);
  assert.deepEqual(step.postings.map(({ to, sats }) => [to, sats]), [["revenue:work", 500]]);
});

Deno.test("workEnded: less than dust is not refunded and does not stay in the job", () => {
  const { job } = after("evalPaid", "accepted", "workPaid");
  const owed = 500 - ACTUAL.sats;
  const dusty = end(job, COMPLETE, { ...TERMS, dustSats: owed + 1 }) as Step;
  assert.equal(dusty.refund, null);
  assert.deepEqual(dusty.postings.map(({ to, sats }) => [to, sats]), [["revenue:work", ACTUAL.sats], ["pool", owed]]);
  const exact = end(job, COMPLETE, { ...TERMS, dustSats: owed }) as Step;
  assert.equal(exact.refund?.sats, owed);
});

Deno.test("workEnded: a subsidy is used up before the payer's money, and the payer gets the difference", () => {
  const { job } = after("evalPaid", "accepted", "workPaid");
  const step = end({ ...job, grantedSats: 20 }, COMPLETE) as Step;
  const costSheet = step.job.costSheet;
  assert.deepEqual([costSheet?.subsidySats, costSheet?.chargeSats], [20, ACTUAL.sats - 20]);
  const out = step.postings.filter(({ from }) => from === JOB).reduce(
    (sum: number, { sats }: Posting) => sum + sats,
    0,
  );
  assert.equal(out, 520 - (costSheet?.returnedSats ?? NaN));
});

Deno.test("workEnded: a failure before any text owes all that was paid for the work, the evaluation stays earned", () => {
  const { job, step, sats } = after("evalPaid", "accepted", "workPaid", "workFailed");
  assert.deepEqual([job.costSheet?.actualSats, job.costSheet?.refundSats], [0, 500]);
  assert.deepEqual([sats(JOB), sats(REFUND), sats("revenue:eval")], [0, 500, 10]);
  assert.equal(step.refund?.sats, 500);
});

Deno.test("invoiceExpired: an overpaid fee does not stay in a job that is over", () => {
  const paid = evalPaid(fresh(), { paymentHash: EVAL.paymentHash, paidSats: 13, now: NOW }) as Step;
  const offered = FACTS.accepted(paid.job) as Step;
  const step = FACTS.workExpired(offered.job) as Step;
  assert.equal(step.job.paidSats, 0);
  assert.deepEqual(step.postings.map(({ from, to, sats }) => [from, to, sats]), [[JOB, "pool", 3]]);
  assert.deepEqual(FACTS.evalExpired(fresh()), {
    ...FACTS.evalExpired(fresh()),
    postings: [],
    tasks: [],
    refund: null,
  });
});

Deno.test("workPaid: a job that expired before and comes back holds only what came now", () => {
  const { job, sats } = after("evalPaid", "accepted", "workExpired", "workPaid");
  assert.equal(job.paidSats, 500);
  assert.equal(sats(JOB), 500);
});

Deno.test("every posting has an id of its own: a repeat of the whole history is recognised", () => {
  for (const { by } of STATES) {
    const ids: string[] = [];
    let job = fresh();
    for (const fact of by) {
      const step = FACTS[fact](job) as Step;
      ids.push(...step.postings.map(({ id }) => id));
      job = step.job;
    }
    assert.equal(new Set(ids).size, ids.length);
  }
});

Deno.test("evaluationFailed: gives back what was paid of the fee, not what was asked", () => {
  const paid = evalPaid(fresh(), { paymentHash: EVAL.paymentHash, paidSats: 7, now: NOW });
  assert.equal(paid.outcome, "applied");
  if (paid.outcome !== "applied") return;
  const failed = evaluationFailed(paid.job, { ...EVAL_FAILED, keptSats: 0 });
  assert.equal(failed.outcome === "applied" && failed.refund?.sats, 7);
});
