/** The rules of economy.md §8, as questions to the rows of a database, a wallet's own books and what clients were told. */
import type { TaskRow } from "@/lib/tasks/due.ts";
import type { JobState } from "@/lib/jobs/jobs.machine.ts";
import { readBooks } from "../books/books.ts";
import { alwaysTrue, payoutLaws, taskLaws, trueAtRest } from "../books/laws.ts";
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

/** What must hold at every moment at which no commit is under way. @throws {Violation} */
export async function assertAlways(fake: FakeWorld, history: History, when: string): Promise<void> {
  const { world } = fake;
  try {
    const books = await readBooks(world.rows, world.walletStore);
    payoutLaws(books, must); // before the audit, which would only say that money is missing
    for (const { name, ok, detail } of await world.audit()) must(ok, name, detail);
    alwaysTrue(books, must);
    taskLaws(books, must);
    await assertIndexed(fake);
    await assertSessions(fake, history.sessions);
    await assertReads(fake, history);
    if (history.failures.length > 0) throw history.failures[0];
  } catch (error) {
    if (error instanceof Violation) throw new Violation(error.rule, `${error.detail} (${when})`);
    throw error;
  }
}

/** Every task can be found: exactly one index row points at it. */
async function assertIndexed({ world }: FakeWorld): Promise<void> {
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
  const books = await readBooks(world.rows, world.walletStore);
  trueAtRest(books, must);
  const handles = new Set(books.jobs.map(({ handle }) => handle));
  for (const { id, handle, gone, paymentHashes } of history.jobs) {
    must(handles.has(handle) || gone, "a job that was promised is there", id);
    const paid = [...paymentHashes].some((hash) => books.wallet.received.has(hash));
    must(!gone || !paid, "a job that was paid is never forgotten", id);
  }
  for (const { state, evalInvoice, workInvoice } of books.jobs) {
    if (state !== "awaiting_eval_payment" && state !== "awaiting_work_payment") continue;
    const { expiresAt = 0 } = (state === "awaiting_eval_payment" ? evalInvoice : workInvoice) ?? {};
    must(expiresAt > clock.now() - 65_000, "an unpaid job expires", `it is still ${state}`);
  }
  await assertSessionsAtRest(fake, history.sessions);
  must((await world.rows(["leased"])).length === 0, "nothing runs", "a task is leased");
  const overdue = (await world.rows(["due"])).filter(({ key }) => Number(key[2]) <= clock.now());
  must(overdue.length === 0, "nothing is overdue", overdue.map(({ key }) => key[1]).join(", "));
}
