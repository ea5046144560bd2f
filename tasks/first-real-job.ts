// deno-lint-ignore-file no-console -- a command prints
/**
 * One whole job that a real language model answers and a real LNbits settles, with the real program as a process.
 * Prints it as the Markdown of docs/first-real-job.md (`--write` writes it there).
 *
 *   TIMMY_TEST_LNBITS_URL, …_INVOICE_KEY, …_ADMIN_KEY, …_PAYER_KEY   as in lib/lightning/lnbits.real.test.ts
 *   TIMMY_TEST_LOCAL_MODEL_URL, TIMMY_TEST_LOCAL_MODEL_ID            an OpenAI-compatible server, up to /v1, and a model of it
 */
import { systemClock } from "@/lib/clock.ts";
import { createLnbitsWallet } from "@/lib/lightning/lnbits.ts";
import { startProcess } from "../tests/harness/process.ts";

const REQUEST = "What is a lightning invoice?";
/** A very small model's verdict is a coin toss: the request is asked again, in other words, until it accepts. */
const TRIES = 12;

const need = (name: string): string => {
  const value = Deno.env.get(name);
  if (!value) throw new Error(`set ${name}`);
  return value;
};

const url = need("TIMMY_TEST_LNBITS_URL");
const invoiceKey = need("TIMMY_TEST_LNBITS_INVOICE_KEY");
const adminKey = need("TIMMY_TEST_LNBITS_ADMIN_KEY");
const payerKey = need("TIMMY_TEST_LNBITS_PAYER_KEY");
const model = `local/${need("TIMMY_TEST_LOCAL_MODEL_ID")}`;

const payer = createLnbitsWallet({ url, invoiceKey: payerKey, adminKey: payerKey, clock: systemClock });
const timmy = await startProcess({
  LNBITS_URL: url,
  LNBITS_API_KEY: invoiceKey,
  LNBITS_ADMIN_KEY: adminKey,
  LOCAL_MODEL_BASE_URL: need("TIMMY_TEST_LOCAL_MODEL_URL"),
  EVAL_MODEL: model,
  WORK_MODEL: model,
  LOCAL_INPUT_COST_PER_1K_TOKENS: "0.003",
  LOCAL_OUTPUT_COST_PER_1K_TOKENS: "0.015",
});

interface Invoice {
  paymentRequest: string;
  paymentHash: string;
  amountSats: number;
}
async function pay(invoice: Invoice): Promise<void> {
  const paid = await payer.pay({ ...invoice, maxFeeSats: 10, timeoutMs: 30_000 });
  if (paid.state !== "paid") throw new Error(`the payer's wallet did not pay: ${JSON.stringify(paid)}`);
}
const short = (text: string) => text.length > 60 ? `${text.slice(0, 40)}…${text.slice(-8)}` : text;
/** An answer for the page: invoices shortened, the id cut, since it opens the job. */
const shown = (body: unknown) =>
  JSON.stringify(
    body,
    (key, value) => key === "paymentRequest" ? short(value) : key === "jobId" ? `${value.slice(0, 13)}-…` : value,
    2,
  );

const lines: string[] = [];
const say = (...text: string[]) => lines.push(...text);
const block = (language: string, text: string) => say("", "```" + language, text, "```", "");

try {
  const before = await payer.balanceSats();
  let job = null;
  let others = 0;
  let spent = 0;
  for (let attempt = 0; attempt < TRIES && !job; attempt++) {
    const request = attempt === 0 ? REQUEST : `${REQUEST} ${"Please. ".repeat(attempt).trim()}`;
    const { body: created } = await timmy.call("POST", "/api/jobs", { request });
    await pay(created.evalInvoice);
    spent += created.evalInvoice.amountSats;
    const path = `/api/jobs/${created.jobId}`;
    const offered = await timmy.poll(
      path,
      ({ state }) => !["awaiting_eval_payment", "evaluating"].includes(state),
      120_000,
    );
    if (offered.state !== "awaiting_work_payment") {
      others++;
      continue;
    }
    await pay(offered.workInvoice);
    const done = await timmy.poll(
      path,
      ({ state }) => state !== "executing" && state !== "awaiting_work_payment",
      120_000,
    );
    if (done.state !== "complete") throw new Error(`the job ended as ${done.state}: ${done.errorMessage}`);
    spent += done.costLedger.chargedSats;
    if (done.costLedger.refundAmountSats === 0) { // it wrote until the limit: there is no difference to show
      others++;
      continue;
    }
    job = { path, created, offered, done, request };
  }
  if (!job) throw new Error(`in ${TRIES} requests none was accepted and cost less than was paid`);
  const { path, created, offered, done, request } = job;
  const owed = done.costLedger.refundAmountSats;
  const { paymentRequest: invoice } = await payer.createInvoice({
    amountSats: owed,
    memo: "refund",
    expirySeconds: 600,
  });
  const refund = await timmy.call("POST", `${path}/refund`, { invoice });
  if (refund.body.refundState !== "paid") throw new Error(`the refund was not paid: ${JSON.stringify(refund.body)}`);
  const after = await payer.balanceSats();
  const { chargedSats, actualInputTokens, actualOutputTokens, usageSource } = done.costLedger;
  if (done.simulated.length > 0 || usageSource !== "api") {
    throw new Error("something about this job was simulated or estimated");
  }
  if (before === null || after === null || before - after !== spent) {
    throw new Error("the payer's balance does not fit");
  }

  say(
    "# The first real job",
    "",
    "What `tasks/first-real-job.ts` printed: the program as a process, a real LNbits (1.6.2, FakeWallet: its sats move between",
    `wallets of one server), and a real language model, \`${model}\`, on a CPU. Such a small model's answers are real and mostly`,
    "nonsense; the tokens, the prices and the satoshis are what this shows. Invoices are shortened and the job's id is cut.",
    "",
    `The payer's wallet before: ${before} sats. \`POST /api/jobs\` with ${JSON.stringify({ request })}:`,
  );
  block("json", shown(created));
  say(
    `The evaluation is paid${
      others ? ` (after ${others} requests that the model refused, or answered up to the limit)` : ""
    }; the model accepts, and there is a price:`,
  );
  block(
    "json",
    shown({
      state: offered.state,
      reason: offered.reason,
      workInvoice: offered.workInvoice,
      pricingBreakdown: offered.pricingBreakdown,
    }),
  );
  say("The work is paid, and the model writes:");
  block("text", done.result.trim());
  say(`It took ${actualInputTokens} tokens in and ${actualOutputTokens} out, as the model's own server counted them:`);
  block("json", shown(done.costLedger));
  say("The difference is claimed with an invoice of the payer's wallet:");
  block("json", shown(refund.body));
  say(
    `The payer's wallet after: ${after} sats, which is ${before} − ${spent}: this job's evaluation cost ` +
      `${created.evalInvoice.amountSats} and its work ${chargedSats}${
        others ? "; the rest is what the others cost" : ""
      }.`,
  );
  const page = lines.join("\n").replace(/\n{3,}/g, "\n\n") + "\n";
  if (Deno.args.includes("--write")) {
    await Deno.writeTextFile(new URL("../docs/first-real-job.md", import.meta.url), page);
  }
  console.log(page);
} finally {
  await timmy.stop();
  await Deno.remove(timmy.dataDir.replace(/\/data$/, ""), { recursive: true });
}
