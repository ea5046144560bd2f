import { createHash } from "node:crypto";
import type { JobBody } from "@/routes/jobs/jobs.routes.ts";
import type { Dice } from "./dice.ts";
import { isOver, type JobRecord, type Plan, type Purpose, type Seen, type Witness } from "./witness.ts";

/** A whole answer; there is none when the call was lost on its way there or back. */
export interface Answer {
  status: number;
  /** Of the request of a session that it belongs to, where the answer's head names one. */
  requestId?: string | null;
  // What the wire says, whatever it is; the witness judges it.
  // deno-lint-ignore no-explicit-any
  body: any;
}

export interface Calls {
  /** One call. @returns null when no answer came: it may have had its effect or not. */
  send(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer | null>;
  pause(ms: number): Promise<void>;
  /** True when the run is over for good: whoever still waits gives up. */
  over(): boolean;
}

export interface PayerCounts {
  answers: number;
  /** Answers 503: the server asked for another try. */
  refusedForNow: number;
}

/** The run ended while a payer was still at it. */
export class RunOver extends Error {}

/** Where a payer walks away without another word. */
type LeavesAt = "created" | "eval-paid" | "quoted" | "work-paid" | "owed" | null;

interface Mood extends Plan {
  leavesAt: LeavesAt;
  /** Sends every call twice at once. */
  double: boolean;
  /** Does not repeat a call whose answer was lost, but walks away. */
  givesUp: boolean;
  /** Claims once more with a new invoice when the answer to the first claim was lost. */
  newInvoice: boolean;
}

/** Draws what a payer will do. @param token names this one attempt. */
export function drawMood(dice: Dice, token: string): Mood {
  const kind = dice.pick(["plain", "plain", "plain", "slow", "slow", "fail-work", "fail-eval", "refuse"]);
  const mark =
    { plain: "", slow: "[slow:200]", "fail-work": "[fail-work]", "fail-eval": "[fail-eval]", refuse: "[refuse]" }[kind];
  return {
    token,
    request: `${token} ${mark} ${"What is a hold invoice? ".repeat(dice.between(1, 6))}`.trim(),
    outcome: kind === "refuse" ? "rejected" : kind.startsWith("fail") ? "failed" : "complete",
    failsAt: kind === "fail-work" ? "work" : kind === "fail-eval" ? "eval" : null,
    leavesAt: dice.chance(0.3) ? dice.pick(["created", "eval-paid", "quoted", "work-paid", "owed"]) : null,
    double: dice.chance(0.15),
    givesUp: dice.chance(0.05),
    newInvoice: dice.chance(0.5),
  };
}

/** One job of one payer, from asking to the refund, over an unreliable line to a server that is killed all the time. */
export async function oneJob(
  { mood, dice, calls, witness, counts }: {
    mood: Mood;
    dice: Dice;
    calls: Calls;
    witness: Witness;
    counts: PayerCounts;
  },
): Promise<void> {
  const record = witness.planned(mood);

  async function once(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer | null> {
    if (calls.over()) throw new RunOver();
    const answer = await calls.send(method, path, body, headers);
    if (answer) counts.answers++;
    return answer;
  }

  /** The very same call until there is an answer. @throws {RunOver} also when this payer gives up. */
  async function repeat(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer> {
    for (;;) {
      const answer = await once(method, path, body, headers);
      if (answer && answer.status < 500) return answer;
      if (answer?.status === 503) counts.refusedForNow++;
      else if (answer) {
        witness.report("unexpected", `${mood.token}: ${method} ${kindOf(path)} was answered ${answer.status}`);
      }
      if (!answer && mood.givesUp) throw new RunOver();
      await calls.pause(dice.between(20, 80));
    }
  }

  /** Once, or (a nervous payer) twice at the same time. */
  const nervously = async (call: () => Promise<void>) =>
    void await Promise.all(mood.double ? [call(), call()] : [call()]);

  async function create(): Promise<void> {
    const answer = await repeat("POST", "/api/jobs", { request: mood.request }, { "Idempotency-Key": mood.token });
    if (answer.status === 201) witness.created(record, answer.body);
    else unexpected("creating it", answer);
  }

  async function pay(purpose: Purpose): Promise<void> {
    const invoice = purpose === "eval" ? record.seen?.evalInvoice : record.seen?.workInvoice;
    if (!invoice) throw new Error("no invoice to pay was ever shown");
    const { status, body } = await repeat("POST", `/api/dev/stub/pay/${invoice.paymentHash}`);
    if (status !== 200) return unexpected(`paying (${purpose})`, { status, body });
    witness.paid(record, purpose);
    if (body.preimage !== undefined && !opens(body.preimage, invoice.paymentHash)) {
      witness.report("contradiction", `${mood.token}: the preimage is not the payment hash's`);
    }
  }

  async function read(): Promise<JobBody["state"]> {
    const before = record.seen;
    const { status, body } = await repeat("GET", `/api/jobs/${record.jobId}`);
    witness.read(record, before, status, body);
    if (status !== 200) throw new RunOver();
    return body.state;
  }

  async function readUntil(wanted: (state: JobBody["state"]) => boolean): Promise<void> {
    while (!wanted(await read())) await calls.pause(dice.between(30, 120));
  }

  async function takeRefund(): Promise<void> {
    const sats = record.seen?.refund?.sats;
    if (sats === undefined) throw new Error("nothing is owed");
    // A nervous payer has two invoices ready and claims with both at the same moment.
    const ready = await Promise.all(mood.double ? [payerInvoice(sats), payerInvoice(sats)] : [payerInvoice(sats)]);
    await Promise.all(ready.map((invoice) => claim(invoice, sats)));
  }

  async function claim(invoice: Awaited<ReturnType<typeof payerInvoice>>, sats: number): Promise<void> {
    for (;;) {
      const before = record.seen;
      witness.claiming(record, invoice.paymentHash);
      const answer = await once("POST", `/api/jobs/${record.jobId}/refund`, { invoice: invoice.paymentRequest });
      if (answer && answer.status !== 503) return noteClaim(before, answer);
      if (answer) counts.refusedForNow++;
      if (!answer && mood.givesUp) throw new RunOver();
      await calls.pause(dice.between(20, 80));
      // An impatient payer tries another invoice: whatever became of the first claim, only one may be paid.
      if (mood.newInvoice) invoice = await payerInvoice(sats);
    }
  }

  async function payerInvoice(amountSats: number): Promise<{ paymentRequest: string; paymentHash: string }> {
    const answer = await repeat("POST", "/api/dev/stub/invoice", { amountSats });
    if (answer.status !== 201) unexpected("making an invoice", answer);
    return answer.body;
  }

  function noteClaim(before: Seen | null, answer: Answer): void {
    const { status, body } = answer;
    if (status === 200 || status === 202) {
      witness.claimed(record, before, { state: body.refundState, hash: body.refundPaymentHash });
    } else if (status === 409 && body.error?.code === "refund_claimed") {
      const { refundState: state, refundPaymentHash: hash } = body.error.details;
      witness.claimed(record, before, { state, hash });
    } else unexpected("claiming the refund", answer);
  }

  function unexpected(what: string, { status, body }: Answer): never {
    witness.report("unexpected", `${mood.token}: ${what} was answered ${status} ${body?.error?.code ?? ""}`);
    throw new RunOver();
  }

  async function life(): Promise<void> {
    await nervously(create);
    if (mood.leavesAt === "created") return;
    await nervously(() => pay("eval"));
    if (mood.leavesAt === "eval-paid") return;
    await readUntil((state) => state !== "awaiting_eval_payment" && state !== "evaluating");
    if (record.seen?.state === "awaiting_work_payment") {
      if (mood.leavesAt === "quoted") return;
      await calls.pause(dice.between(0, 150));
      await nervously(() => pay("work"));
      if (mood.leavesAt === "work-paid") return;
      await readUntil(isOver);
    }
    if (record.seen?.refund?.state !== "pending" || mood.leavesAt === "owed") return;
    await takeRefund();
    await read();
  }

  try {
    await life();
  } catch (error) {
    if (!(error instanceof RunOver)) throw error;
  }
}

/** Reads one job for the record, without repeating. @returns false when no answer came. */
export async function readOnce(calls: Calls, witness: Witness, record: JobRecord): Promise<boolean> {
  const before = record.seen;
  const answer = await calls.send("GET", `/api/jobs/${record.jobId}`);
  if (!answer || answer.status >= 500) return false;
  witness.read(record, before, answer.status, answer.body);
  return true;
}

/** Lightning's own receipt: the preimage of the payment hash. */
const opens = (preimage: string, paymentHash: string) =>
  createHash("sha256").update(preimage, "hex").digest("hex") === paymentHash;

/** A path without what names a job: for messages. */
const kindOf = (path: string) => path.replace(/\/[0-9a-z-]{20,}/, "/…");
