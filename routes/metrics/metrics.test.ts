import assert from "node:assert/strict";
import { createFakeWorld } from "@/tests/harness/fake-world.ts";
import { claimRefund, paidJob } from "@/tests/harness/payer.ts";

/** The value of the first line that begins so; null where there is none. */
const valueOf = (text: string, start: string): number | null => {
  const line = text.split("\n").find((one) => one.startsWith(start));
  return line === undefined ? null : Number(line.split(" ").at(-1));
};

Deno.test("GET /metrics: what happened is counted, under the pattern of the route and not its path", async () => {
  const { world, call, clock, discard } = await createFakeWorld(1);
  const job = await clock.drive(paidJob(world, world.call, "What is a hold invoice?", 600_000));
  await claimRefund(world, call, job.jobId, job.costLedger.refundAmountSats);
  const { status, headers, body: text } = await call("GET", "/metrics");
  assert.equal(status, 200);
  assert.match(headers.get("content-type") ?? "", /^application\/openmetrics-text; version=1\.0\.0/);
  assert.match(text, /# EOF\n$/);
  assert.equal(valueOf(text, 'timmy_http_requests_total{method="POST",route="/api/jobs",status="201"}'), 1);
  assert.ok((valueOf(text, 'timmy_http_requests_total{method="GET",route="/api/jobs/:id",status="200"}') ?? 0) > 0);
  assert.equal(valueOf(text, 'timmy_model_calls_total{model="claude-sonnet-4-6",call="work",outcome="ok"}'), 1);
  assert.equal(valueOf(text, 'timmy_wallet_invoices_total{outcome="made"}'), 2);
  assert.equal(valueOf(text, 'timmy_wallet_payments_total{outcome="paid"}'), 1);
  assert.ok((valueOf(text, "timmy_store_commits_total") ?? 0) > 5);
  assert.equal(valueOf(text, 'timmy_ready{part="store"}'), 1);
  assert.equal(valueOf(text, "timmy_queue_overdue"), 0);
  assert.doesNotMatch(text, /timmy_money/, "sums of money are not everybody's");
  discard();
});

Deno.test("GET /metrics with METRICS_MONEY: what came in is what was earned, paid out, owed and in the pool", async () => {
  const { world, call, clock, discard } = await createFakeWorld(2, { settings: { metricsMoney: true } });
  const job = await clock.drive(paidJob(world, world.call, "What is a hold invoice?", 600_000));
  const owed = job.costLedger.refundAmountSats;
  const before = (await call("GET", "/metrics")).body;
  assert.equal(valueOf(before, "timmy_money_owed_sats"), owed);
  await claimRefund(world, call, job.jobId, owed);
  const { body: text } = await call("GET", "/metrics");
  const received = valueOf(text, "timmy_money_received_sats_total") ?? 0;
  assert.equal(received, job.evalInvoice.amountSats + job.workInvoice.amountSats);
  assert.equal(valueOf(text, 'timmy_money_earned_sats_total{for="eval"}'), job.evalInvoice.amountSats);
  assert.equal(valueOf(text, "timmy_money_owed_sats"), 0);
  assert.equal(valueOf(text, "timmy_money_wallet_sats"), await world.wallet.balanceSats());
  discard();
});

Deno.test("GET /metrics: a wallet and a model that fail are counted by how, and a method nobody knows as other", async () => {
  const { world, call, clock, walletFaults, discard } = await createFakeWorld(3);
  await clock.drive(paidJob(world, world.call, "[fail-work] nothing", 600_000));
  walletFaults.createInvoice = { kind: "lose" };
  await call("POST", "/api/jobs", { request: "Hello" });
  await call("PROPFIND", "/api/jobs");
  const { body: text } = await call("GET", "/metrics");
  assert.ok((valueOf(text, 'timmy_wallet_invoices_total{outcome="failed"}') ?? 0) >= 1);
  assert.match(text, /timmy_model_calls_total\{model="claude-sonnet-4-6",call="work",outcome="(?!ok)\w+"\} [1-9]/);
  assert.match(text, /timmy_http_requests_total\{method="other",route="[^"]*",status="405"\} 1/);
  discard();
});
