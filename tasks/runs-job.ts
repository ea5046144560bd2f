/** A payer of a trial: a paid job over HTTP against an instance whose money and model are simulated, however slow its processor is. */
import { retry } from "./machine.ts";

// The trial reads what the wire says, whatever it is.
// deno-lint-ignore no-explicit-any
type Body = any;

async function ask(url: string, method: string, path: string, body?: unknown): Promise<Body> {
  const response = await fetch(url + path, {
    method,
    ...(body !== undefined && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    signal: AbortSignal.timeout(30_000),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`);
  return answer;
}

/** Asks until it is ready for work. @param seconds how long it may take @throws with what it said last */
export function untilReady(url: string, seconds: number): Promise<void> {
  return retry(seconds, async () => (await ask(url, "GET", "/api/health/ready")).ready);
}

/** Asks about a job until it is in one of `states`. @throws when it ends in another way, or after `seconds` */
async function untilState(url: string, id: string, states: string[], seconds: number): Promise<Body> {
  let job: Body;
  await retry(seconds, async () => {
    job = await ask(url, "GET", `/api/jobs/${id}`);
    return [...states, "failed", "rejected", "complete"].includes(job.state);
  });
  if (!states.includes(job.state)) throw new Error(`the job is ${job.state}, not ${states.join(" or ")}`);
  return job;
}

/** Asks for an answer that takes `slowMs`, and pays for it. @returns the job's id, once it is being worked on */
export async function beginJob(url: string, slowMs: number, seconds: number): Promise<string> {
  const pay = (invoice: Body) => ask(url, "POST", `/api/dev/stub/pay/${invoice.paymentHash}`);
  const created = await ask(url, "POST", "/api/jobs", { request: `What is a preimage? [slow:${slowMs}]` });
  await pay(created.evalInvoice);
  await pay((await untilState(url, created.jobId, ["awaiting_work_payment"], seconds)).workInvoice);
  await untilState(url, created.jobId, slowMs > 0 ? ["executing"] : ["executing", "complete"], seconds);
  return created.jobId;
}

/** Waits for the answer and takes the difference back. @throws unless every sat is charged or refunded */
export async function finishJob(url: string, id: string, seconds: number): Promise<void> {
  const { result, costLedger: cost } = await untilState(url, id, ["complete"], seconds);
  if (!result || cost.chargedSats + cost.refundAmountSats !== cost.paidSats) throw new Error(JSON.stringify(cost));
  if (cost.refundAmountSats === 0) return;
  const made = await ask(url, "POST", "/api/dev/stub/invoice", { amountSats: cost.refundAmountSats });
  const refund = await ask(url, "POST", `/api/jobs/${id}/refund`, { invoice: made.paymentRequest });
  if (refund.refundState !== "paid") throw new Error(JSON.stringify(refund));
}
