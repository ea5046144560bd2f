import type { JobBody } from "@/routes/jobs/jobs.routes.ts";

/** What a run must not show; the table counts each kind. */
export type ViolationKind =
  /** Something acknowledged is gone: a job, a payment, a result, an outcome that was paid for. */
  | "lost"
  /** Paid for, and neither finished nor waiting for the payer. */
  | "stuck"
  | "paid twice"
  /** Two answers that cannot both be true. */
  | "contradiction"
  /** Ledger and wallet differ. */
  | "books"
  | "audit"
  /** Paid work taken up too late after a restart. */
  | "late"
  /** An answer or an end of the process that nothing explains. */
  | "unexpected";

export interface Violation {
  kind: ViolationKind;
  what: string;
  /** It is about a session, not about a job. */
  session?: true;
}

export type Purpose = "eval" | "work";
export type Outcome = "complete" | "rejected" | "failed";

/** What a payer asks for, and how it must end once it is paid. */
export interface Plan {
  /** Stands in the request, so that every record and answer can be traced to this one attempt. */
  token: string;
  request: string;
  outcome: Outcome;
  /** The step that fails, for an outcome `failed`. */
  failsAt: Purpose | null;
}

type CostLedger = NonNullable<JobBody["costLedger"]>;
type InvoiceBody = NonNullable<JobBody["evalInvoice"]>;
type Created = Pick<JobBody, "createdAt" | "state"> & { jobId: string; evalInvoice: InvoiceBody };

/** Everything answers have told about a job so far; replaced, never changed, so that a reader can keep what it knew. */
export interface Seen {
  readonly state: JobBody["state"];
  readonly evalInvoice: InvoiceBody;
  readonly workInvoice: InvoiceBody | null;
  readonly result: string | null;
  /** Figures of the terminal state, without what a refund changes. */
  readonly figures: string | null;
  readonly refund: { state: CostLedger["refundState"]; hash: string | null; sats: number } | null;
}

/** One plan and what became of it. */
export interface JobRecord {
  plan: Plan;
  /** Null until an answer named it. */
  jobId: string | null;
  created: string | null;
  seen: Seen | null;
  /** Invoices of which an answer said that they are paid. */
  paid: Set<Purpose>;
  /** Payment hashes of every invoice the payer asked the refund to be paid to. */
  claims: Set<string>;
}

const STEPS: Record<JobBody["state"], number> = {
  awaiting_eval_payment: 0,
  evaluating: 1,
  awaiting_work_payment: 2,
  executing: 3,
  complete: 4,
  rejected: 4,
  failed: 4,
  expired: 4,
};
const REFUND_STEPS: Record<CostLedger["refundState"], number> = {
  not_applicable: 0,
  pending: 0,
  paying: 1,
  paid: 2,
  expired: 2,
};

export const isOver = (state: JobBody["state"]): boolean => STEPS[state] === 4;

/** True when the payer has paid for something that the job has not delivered yet. */
export function awaitsDelivery(record: JobRecord): boolean {
  const step = record.seen ? STEPS[record.seen.state] : 0;
  const claimed = record.seen?.refund?.state === "paying";
  return claimed || step === 1 || step === 3 || (step < 1 && record.paid.has("eval")) ||
    (step < 3 && record.paid.has("work"));
}

/** A number that grows with every delivery: to notice that a job has gone on. */
export function progressOf(record: JobRecord): number {
  const { seen } = record;
  return seen ? STEPS[seen.state] * 10 + REFUND_STEPS[seen.refund?.state ?? "not_applicable"] : -1;
}

/** Notes every answer any payer got, and says which of them cannot be true together. */
export interface Witness {
  readonly violations: readonly Violation[];
  readonly records: ReadonlyMap<string, JobRecord>;
  report(kind: ViolationKind, what: string): void;
  /** A payer is about to ask for this. */
  planned(plan: Plan): JobRecord;
  /** An answer to creating it, the first or a repeat. */
  created(record: JobRecord, body: Created): void;
  /**
   * An answer to reading it. @param before `record.seen` when the call was sent: an answer may be older than what other
   * calls learned meanwhile, never older than that.
   */
  read(record: JobRecord, before: Seen | null, status: number, body: JobBody): void;
  paid(record: JobRecord, purpose: Purpose): void;
  /** The payer is about to ask for the refund to be paid to this invoice. */
  claiming(record: JobRecord, paymentHash: string): void;
  /** An answer to a claim that says where the refund goes, and whether it has gone. */
  claimed(
    record: JobRecord,
    before: Seen | null,
    answer: { state: CostLedger["refundState"]; hash: string | null },
  ): void;
}

export function createWitness(): Witness {
  const violations: Violation[] = [];
  const records = new Map<string, JobRecord>();
  const report = (kind: ViolationKind, what: string) => void violations.push({ kind, what });

  /** The parts of a job that never change once they were shown. */
  function sameAsBefore(record: JobRecord, before: Seen | null, now: Seen): void {
    const differs = (name: string) => report("contradiction", `${record.plan.token}: its ${name} changed`);
    if (!before) return;
    if (!sameInvoice(before.evalInvoice, now.evalInvoice)) differs("evaluation invoice");
    if (before.workInvoice && !sameInvoice(before.workInvoice, now.workInvoice)) differs("work invoice");
    if (STEPS[now.state] < STEPS[before.state] || (isOver(before.state) && now.state !== before.state)) {
      report("contradiction", `${record.plan.token}: was ${before.state}, then ${now.state}`);
    }
    if (before.result !== null && now.result === null) report("lost", `${record.plan.token}: its result is gone`);
    else if (before.result !== null && before.result !== now.result) differs("result");
    if (before.figures !== null && before.figures !== now.figures) differs("cost ledger");
    refundAsBefore(record, before.refund, now.refund);
  }

  function refundAsBefore(record: JobRecord, before: Seen["refund"], now: Seen["refund"]): void {
    if (!before) return;
    if (!now || REFUND_STEPS[now.state] < REFUND_STEPS[before.state]) {
      return report(
        "contradiction",
        `${record.plan.token}: its refund was ${before.state}, then ${now?.state ?? "gone"}`,
      );
    }
    if (before.hash !== null && before.hash !== now.hash) {
      report("contradiction", `${record.plan.token}: its refund goes to another invoice than before`);
    }
  }

  /** How a job that is over must have ended, and where the money in it must be. */
  function asPlanned(record: JobRecord, body: JobBody): void {
    const { plan } = record;
    if (!isOver(body.state)) return;
    if (body.state === "expired") {
      if (record.paid.has("work") || (record.paid.has("eval") && !body.workInvoice)) {
        report("lost", `${plan.token}: expired although it was paid`);
      }
      return;
    }
    if (body.state !== plan.outcome) return report("lost", `${plan.token}: ended ${body.state}, not ${plan.outcome}`);
    if (body.state === "complete" && !body.result?.includes(plan.token)) {
      report("lost", `${plan.token}: complete without its own result`);
    }
    const ledger = body.costLedger;
    if (!ledger) {
      if (plan.outcome !== "rejected") report("lost", `${plan.token}: ${body.state} without a cost ledger`);
      return;
    }
    const owed = plan.failsAt === "eval" ? body.evalInvoice?.amountSats ?? NaN : ledger.paidSats - ledger.chargedSats;
    if (ledger.refundAmountSats !== owed) {
      report("lost", `${plan.token}: owes ${ledger.refundAmountSats} sats back, not ${owed}`);
    }
    const price = plan.failsAt === "eval" ? 0 : body.workInvoice?.amountSats;
    if (ledger.paidSats !== price) report("lost", `${plan.token}: booked ${ledger.paidSats} of ${price} sats paid`);
    if (plan.failsAt === "work" && ledger.chargedSats !== 0) report("lost", `${plan.token}: failed and charged`);
  }

  /** What is known after an answer: the further of the two, whichever came first. */
  function learn(record: JobRecord, now: Seen): void {
    const old = record.seen;
    const newer = !old || STEPS[now.state] > STEPS[old.state] ||
      (now.state === old.state && refundStep(now) >= refundStep(old));
    if (newer) record.seen = now;
  }

  return {
    violations,
    records,
    report,
    planned(plan) {
      const record: JobRecord = { plan, jobId: null, created: null, seen: null, paid: new Set(), claims: new Set() };
      records.set(plan.token, record);
      return record;
    },
    created(record, body) {
      const { jobId, createdAt, evalInvoice } = body;
      const text = JSON.stringify([jobId, createdAt, evalInvoice]);
      if (record.jobId !== null && record.jobId !== jobId) {
        report("contradiction", `${record.plan.token}: one Idempotency-Key made two jobs`);
      } else if (record.created !== null && record.created !== text) {
        report("contradiction", `${record.plan.token}: creating it was answered differently the second time`);
      }
      if (record.created !== null) return;
      record.jobId = jobId;
      record.created = text;
      record.seen = { state: body.state, evalInvoice, workInvoice: null, result: null, figures: null, refund: null };
    },
    read(record, before, status, body) {
      if (status === 404) return report("lost", `${record.plan.token}: the job is gone`);
      if (status !== 200) return report("unexpected", `${record.plan.token}: reading it was answered ${status}`);
      if (body.jobId !== record.jobId || !body.evalInvoice) {
        return report("contradiction", `${record.plan.token}: another job answered`);
      }
      const now: Seen = {
        state: body.state,
        evalInvoice: body.evalInvoice,
        workInvoice: body.workInvoice ?? null,
        result: body.result ?? null,
        figures: isOver(body.state) ? figuresOf(body) : null,
        refund: refundOf(body),
      };
      sameAsBefore(record, before, now);
      asPlanned(record, body);
      learn(record, now);
    },
    paid: (record, purpose) => void record.paid.add(purpose),
    claiming: (record, paymentHash) => void record.claims.add(paymentHash),
    claimed(record, before, { state, hash }) {
      if (hash === null || !record.claims.has(hash)) {
        report("contradiction", `${record.plan.token}: its refund goes to an invoice that is not the payer's`);
      }
      const known = record.seen;
      if (!known?.refund) return report("contradiction", `${record.plan.token}: claimed before anything was owed`);
      const now = { ...known.refund, state, hash };
      refundAsBefore(record, before?.refund ?? null, now);
      learn(record, { ...known, refund: now });
    },
  };
}

const refundStep = (seen: Seen) => REFUND_STEPS[seen.refund?.state ?? "not_applicable"];

const sameInvoice = (a: InvoiceBody | null, b: InvoiceBody | null) => JSON.stringify(a) === JSON.stringify(b);

function figuresOf({ costLedger, reason, errorMessage, finishReason }: JobBody): string {
  const { refundState: _state, refundPaymentHash: _hash, refundFailure: _why, ...fixed } = costLedger ??
    {} as CostLedger;
  return JSON.stringify([fixed, reason, errorMessage, finishReason]);
}

function refundOf({ costLedger }: JobBody): Seen["refund"] {
  if (!costLedger || costLedger.refundState === "not_applicable") return null;
  const { refundState: state, refundPaymentHash: hash, refundAmountSats: sats } = costLedger;
  return { state, hash: state === "pending" ? null : hash, sats };
}
