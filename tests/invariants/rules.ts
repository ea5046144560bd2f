/** The rules of economy.md §8, as questions to the rows of a database, a wallet's own books and what clients were told. */
import type { Versioned } from "@/lib/store/store.ts";
import type { Refund } from "@/lib/payments/refunds.machine.ts";
import { balance } from "@/lib/ledger/ledger.rows.ts";
import type { TaskRow } from "@/lib/tasks/due.ts";
import type { Invoice } from "@/lib/payments/invoices.rows.ts";
import type { PayoutRow } from "@/lib/payments/refunds.rows.ts";
import { type Job, type JobState, TERMINAL } from "@/lib/jobs/jobs.machine.ts";
import type { FakeWorld } from "../harness/fake-world.ts";
import type { Answer } from "../harness/world.ts";
import { assertSessions, assertSessionsAtRest, readSessions, SessionHistory } from "./session-rules.ts";
import { must, Violation } from "./violation.ts";

export { Violation };

/** States a job may be in later, when it was seen in one. */
const LATER: Record<JobState, readonly JobState[]> = {
  awaiting_eval_payment: [
    "expired",
    "evaluating",
    "awaiting_work_payment",
    "executing",
    "complete",
    "rejected",
    "failed",
  ],
  evaluating: ["expired", "awaiting_work_payment", "executing", "complete", "rejected", "failed"],
  awaiting_work_payment: ["expired", "executing", "complete", "failed"],
  executing: ["complete", "failed"],
  expired: ["evaluating", "awaiting_work_payment", "executing", "complete", "rejected", "failed"],
  complete: [],
  rejected: [],
  failed: [],
};

export interface KnownJob {
  id: string;
  handle: string;
  paymentHashes: Set<string>;
  /** Invoices its payer sent, oldest first. */
  claims: string[];
  seen: JobState;
  result: string | undefined;
  /** The payment hash that an answer called paid. */
  paidTo: string | null;
  /** Nobody ever paid it, and a day after its invoice expired it was forgotten. */
  gone: boolean;
}

/** What clients did and were told: an instance must never take back an answer. */
export class History {
  readonly jobs: KnownJob[] = [];
  readonly sessions = new SessionHistory();
  readonly failures: unknown[] = [];
  lastClaim: string | undefined;

  job = (index: number): KnownJob | undefined => this.jobs[index % Math.max(1, this.jobs.length)];
  byId = (id: string | undefined): KnownJob | undefined => this.jobs.find((job) => job.id === id);

  created({ status, body }: Answer): void {
    must(status === 201 || status === 503, "creating a job is answered", `${status} ${JSON.stringify(body)}`);
    if (status !== 201 || this.byId(body.jobId)) return;
    this.jobs.push({
      id: body.jobId,
      handle: body.jobId.slice(0, 13),
      paymentHashes: new Set([body.evalInvoice.paymentHash]),
      claims: [],
      seen: "awaiting_eval_payment",
      result: undefined,
      paidTo: null,
      gone: false,
    });
  }

  read(job: KnownJob, answer: Answer): Answer {
    const { status, body } = answer;
    if (status === 404 && this.forgotten(job)) return answer;
    must(status === 200 && !job.gone, "a job that was made can be read", `${status} ${JSON.stringify(body)}`);
    const state: JobState = body.state;
    must(job.seen === state || LATER[job.seen].includes(state), "a job goes forward", `${job.seen}, later ${state}`);
    must(job.result === undefined || job.result === body.result, "an answer that was read stays", `${job.result}`);
    const { refundState, refundPaymentHash } = body.costLedger ?? {};
    must(
      !job.paidTo || (refundState === "paid" && refundPaymentHash === job.paidTo),
      "a refund that was called paid stays paid",
      `${job.paidTo}, later ${refundState} ${refundPaymentHash}`,
    );
    job.seen = state;
    job.result = body.result;
    if (body.workInvoice) job.paymentHashes.add(body.workInvoice.paymentHash);
    if (refundState === "paid") job.paidTo = refundPaymentHash;
    return answer;
  }

  /** A 404 that may be: nobody is known to have paid it. Whether that is so, the wallet tells in the end. */
  private forgotten(job: KnownJob): boolean {
    job.gone = job.paymentHashes.size === 1 && (job.seen === "awaiting_eval_payment" || job.seen === "expired");
    return job.gone;
  }

  claiming(job: KnownJob, paymentRequest: string): void {
    job.claims.push(paymentRequest);
    this.lastClaim = paymentRequest;
  }

  claimed(job: KnownJob, { status, body }: Answer): void {
    if (status === 404 && this.forgotten(job)) return;
    must([200, 202, 400, 409, 503].includes(status), "a claim is answered", `${status} ${JSON.stringify(body)}`);
    const paidTo: string | null = status === 200
      ? body.refundPaymentHash
      : status === 409 && body.error.details?.refundState === "paid"
      ? body.error.details.refundPaymentHash
      : null;
    if (paidTo === null) return;
    must(
      job.paidTo === null || job.paidTo === paidTo,
      "a refund is paid to one invoice",
      `${job.paidTo} and ${paidTo}`,
    );
    job.paidTo = paidTo;
  }
}

interface WalletPayment extends Versioned {
  amountSats: number;
  feeSats: number;
  state: "pending" | "paid" | "failed";
}

/** What the wallet really sent, by payment hash. */
async function walletPayments({ world }: FakeWorld): Promise<Map<string, WalletPayment>> {
  const rows = await world.walletStore.list<WalletPayment>(["simulated-wallet", "payment"], { limit: 1_000 });
  return new Map(rows.map(({ key, value }) => [String(key[2]), value]));
}

/** What must hold at every moment at which no commit is under way. @throws {Violation} */
export async function assertAlways(fake: FakeWorld, history: History, when: string): Promise<void> {
  try {
    await assertPayouts(fake); // before the books, which would only say that money is missing
    await assertBooks(fake);
    await assertTasks(fake);
    await assertSessions(fake, history.sessions);
    await assertReads(fake, history);
    if (history.failures.length > 0) throw history.failures[0];
  } catch (error) {
    if (error instanceof Violation) throw new Violation(error.rule, `${error.detail} (${when})`);
    throw error;
  }
}

/** §8.1, 2, 3, 6: the audit of the ledger, with the wallet's balance. */
async function assertBooks({ world }: FakeWorld): Promise<void> {
  for (const { name, ok, detail } of await world.audit()) must(ok, name, detail);
  for (const { value: job } of await world.rows<Job>(["job"])) {
    const { costSheet, paidSats, grantedSats } = job;
    if (!costSheet) continue;
    const parts = costSheet.chargeSats + costSheet.subsidySats + costSheet.refundSats + costSheet.returnedSats;
    must(
      parts === paidSats + grantedSats,
      "what was paid and granted is accounted for",
      `${paidSats} + ${grantedSats}, not ${parts}`,
    );
    must(
      costSheet.actualSats <= paidSats + grantedSats,
      "the work cost no more than was held",
      `${costSheet.actualSats} of ${paidSats}`,
    );
  }
}

/** §8.4, by the wallet's own books. */
async function assertPayouts(fake: FakeWorld): Promise<void> {
  const sent = await walletPayments(fake);
  const refunds = new Map((await fake.world.rows<Refund>(["refund"])).map(({ value }) => [value.id, value]));
  const claims = await fake.world.rows<PayoutRow>(["payout"]);
  const refundOf = new Map(claims.map(({ value }) => [value.paymentHash, value.refundId]));
  const live = new Map<string, string>();
  for (const [hash, { state, amountSats }] of sent) {
    const refund = refunds.get(refundOf.get(hash) ?? "");
    must(refund !== undefined, "the wallet pays only what was claimed", `${hash} was sent for no refund`);
    if (!refund || state === "failed") continue;
    must(
      !live.has(refund.id),
      "a refund is paid at most once",
      `${refund.sats} sats were sent to ${live.get(refund.id)} and ${hash}`,
    );
    live.set(refund.id, hash);
    must(amountSats === refund.sats, "a refund is paid exactly", `${amountSats} of ${refund.sats}`);
    const isOpen = refund.state === "pending" || refund.state === "expired";
    must(!isOpen, "a refund that may have been paid is not open", `${refund.state}, sent ${hash} (${state})`);
    must(
      refund.payout?.paymentHash === hash,
      "a refund names the invoice it is paid to",
      `${refund.payout?.paymentHash}, not ${hash}`,
    );
  }
  for (const refund of refunds.values()) {
    if (refund.state !== "paid") continue;
    const payment = sent.get(refund.payout?.paymentHash ?? "");
    must(payment?.state === "paid", "a paid refund was sent", `${refund.payout?.paymentHash} is ${payment?.state}`);
    must(
      payment?.feeSats === refund.paid?.feeSats,
      "the fee is booked",
      `${refund.paid?.feeSats} of ${payment?.feeSats}`,
    );
  }
}

/** §8.7, and that every task can be found: exactly one index row points at it. */
async function assertTasks({ world }: FakeWorld): Promise<void> {
  const tasks = (await world.rows<TaskRow>(["task"])).map(({ value }) => value);
  const indexed = new Map<string, number>();
  const point = (kind: unknown, id: unknown) => indexed.set(`${kind} ${id}`, (indexed.get(`${kind} ${id}`) ?? 0) + 1);
  for (const { key } of await world.rows(["due"])) point(key[1], key[3]);
  for (const { key } of await world.rows(["leased"])) point(key[1], key[2]);
  const total = [...indexed.values()].reduce((sum, count) => sum + count, 0);
  must(total === tasks.length, "every index row is of a task", `${total} index rows, ${tasks.length} tasks`);
  for (const { kind, id } of tasks) {
    must(indexed.get(`${kind} ${id}`) === 1, "every task can be found", `${kind} is not indexed`);
  }

  const planned = new Set(tasks.map(({ kind, id }) => `${kind} ${id}`));
  for (const { value: { handle, state } } of await world.rows<Job>(["job"])) {
    for (const kind of ["evaluate", "work"]) {
      const active = (kind === "evaluate" && state === "evaluating") || (kind === "work" && state === "executing");
      must(
        planned.has(`${kind} ${handle}`) === active,
        "a job has the task of its state and no other",
        `${kind} of a job that is ${state}`,
      );
    }
    if (!TERMINAL.has(state)) continue;
    must(await balance(world.store, `job:${handle}`) === 0, "a job that is over holds nothing", state);
  }
  for (const { value: { id, state } } of await world.rows<Refund>(["refund"])) {
    must(planned.has(`payout ${id}`) === (state === "paying"), "a refund has a payout while it is being paid", state);
    const owed = state === "pending" || state === "paying";
    must(planned.has(`refund-expiry ${id}`) === owed, "a refund has an end while it is owed", state);
  }
  for (const { value: invoice } of await world.rows<Invoice>(["invoice"])) {
    must(
      !invoice.settled || !planned.has(`invoice-expiry ${invoice.paymentHash}`),
      "a settled invoice is not due",
      invoice.purpose,
    );
  }
}

/** §8.8, over every job and session a client knows. */
async function assertReads(fake: FakeWorld, history: History): Promise<void> {
  const { world } = fake;
  const before = await world.store.version();
  for (const job of history.jobs) history.read(job, await world.call("GET", `/api/jobs/${job.id}`));
  await readSessions(fake, history.sessions);
  for (const path of ["/api/estimate?request=hello", "/api/health"]) {
    const { status } = await world.call("GET", path);
    must(status === 200, "an instance can be read", `${path}: ${status}`);
  }
  must(await world.store.version() === before, "a read writes nothing", "the store's version changed");
}

/** §8.5 and 9: nothing is stuck, and the ledger is what the wallet holds, to the satoshi. @throws {Violation} */
export async function assertAtRest(fake: FakeWorld, history: History): Promise<void> {
  const { world, clock } = fake;
  const jobs = new Map((await world.rows<Job>(["job"])).map(({ value }) => [value.handle, value]));
  for (const { id, handle, gone, paymentHashes } of history.jobs) {
    must(jobs.has(handle) || gone, "a job that was promised is there", id);
    if (!gone) continue;
    const [hash = ""] = paymentHashes;
    const { state } = await world.wallet.lookupInvoice(hash);
    must(state !== "settled", "a job that was paid is never forgotten", id);
  }
  for (const { state } of jobs.values()) {
    must(state !== "evaluating" && state !== "executing", "paid work comes to its end", `a job is ${state}`);
  }
  for (const { value: refund } of await world.rows<Refund>(["refund"])) {
    must(
      refund.state !== "paying",
      "a claimed refund is paid or open again",
      `${refund.sats} sats are still being paid`,
    );
  }
  for (const { value: invoice } of await world.rows<Invoice>(["invoice"])) {
    const { state } = await world.wallet.lookupInvoice(invoice.paymentHash);
    must(
      (state === "settled") === (invoice.settled !== null),
      "every settlement is noticed",
      `${invoice.purpose}: the wallet says ${state}`,
    );
    const job = jobs.get(invoice.ref);
    if (job?.state === "awaiting_eval_payment" || job?.state === "awaiting_work_payment") {
      const awaited = job.state === "awaiting_eval_payment" ? job.evalInvoice : job.workInvoice;
      must((awaited?.expiresAt ?? 0) > clock.now() - 65_000, "an unpaid job expires", `it is still ${job.state}`);
    }
  }
  await assertSessionsAtRest(fake, history.sessions);
  must((await world.rows(["leased"])).length === 0, "nothing runs", "a task is leased");
  const overdue = (await world.rows(["due"])).filter(({ key }) => Number(key[2]) <= clock.now());
  must(overdue.length === 0, "nothing is overdue", overdue.map(({ key }) => key[1]).join(", "));
  const [held, owed] = [await world.wallet.balanceSats(), -await balance(world.store, "lightning")];
  must(held === owed, "the ledger is what the wallet holds", `the wallet holds ${held}, the ledger says ${owed}`);
}
