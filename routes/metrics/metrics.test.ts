import assert from "node:assert/strict";
import { createFakeWorld } from "@/tests/harness/fake-world.ts";
import { claimRefund, paidJob, payerInvoice } from "@/tests/harness/payer.ts";

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
  const exact = (valueOf(text, "timmy_store_written_bytes_total") ?? 1) % (1024 * 1024);
  const tokens = [...text.matchAll(/^timmy_model_tokens_total\{.*\} (\d+)$/gm)].map(([, count]) => Number(count));
  assert.deepEqual([exact, tokens], [0, tokens.map(() => 0)], "what one request wrote and read is not either");
  assert.ok(tokens.length > 0);
  discard();
});

Deno.test("GET /metrics with METRICS_MONEY: what came in is what was earned, paid out, owed and in the pool", async () => {
  const { world, call, clock, discard } = await createFakeWorld(2, { settings: { metricsMoney: true } });
  const job = await clock.drive(paidJob(world, world.call, "What is a hold invoice?", 600_000));
  const owed = job.costLedger.refundAmountSats;
  const before = (await call("GET", "/metrics")).body;
  assert.equal(valueOf(before, "timmy_money_owed_sats"), owed);
  await claimRefund(world, call, job.jobId, owed);
  await clock.advance(1_001);
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

Deno.test("GET /metrics: who asks for the older text format gets it, HEAD gets the same head without a body", async () => {
  const { call, discard } = await createFakeWorld(4);
  const old = await call("GET", "/metrics", undefined, { accept: "text/plain;version=0.0.4" });
  assert.match(old.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
  assert.match(old.headers.get("vary") ?? "", /accept/i);
  assert.doesNotMatch(old.body, /# (EOF|UNIT)/);
  assert.match(old.body, /^# TYPE timmy_http_requests_total counter$/m);
  const head = await call("HEAD", "/metrics");
  assert.deepEqual([head.status, head.body], [200, ""]);
  assert.match(head.headers.get("content-type") ?? "", /^application\/openmetrics-text/);
  assert.equal((await call("POST", "/metrics")).status, 405);
  discard();
});

Deno.test("GET /metrics: paths, methods and statuses that strangers choose add a few series at most", async () => {
  const { call, clock, discard } = await createFakeWorld(5);
  const series = async () => {
    await clock.advance(1_001);
    return (await call("GET", "/metrics")).body.split("\n").filter((line: string) => !line.startsWith("#")).length;
  };
  await call("GET", "/none");
  for (const method of ["DELETE", "OPTIONS"]) await call(method, "/none");
  await series(); // asking makes series of its own
  const before = await series();
  for (let i = 0; i < 100; i++) await call("GET", `/none/${i}?a=${i}`);
  for (const method of ["PUT", "PATCH", "REPORT", "X", "LOCK"]) await call(method, "/none");
  const after = await series();
  assert.ok(after - before <= 2, `${before} series became ${after}`);
  discard();
});

Deno.test("GET /metrics: a database that does not answer loses only what is read from it", async () => {
  const { call, clock, engine, discard } = await createFakeWorld(6);
  await call("GET", "/api/health");
  engine.list = () => Promise.reject(new Error("no disk"));
  await clock.advance(1_001);
  const { status, body: text } = await call("GET", "/metrics");
  assert.equal(status, 200);
  assert.equal(valueOf(text, 'timmy_http_requests_total{method="GET",route="/api/health",status="200"}'), 1);
  assert.equal(valueOf(text, "timmy_open_invoices"), 0);
  assert.equal(valueOf(text, "timmy_ready"), null);
  assert.equal(valueOf(text, 'timmy_metrics_unread_total{metric="timmy_ready"}'), 1);
  discard();
});

Deno.test("GET /metrics: the queue is looked at once a collection, however many figures are about it", async () => {
  const { call, clock, world, discard } = await createFakeWorld(7);
  const { queue } = world.deps;
  const status = queue.status;
  let looks = 0;
  queue.status = () => (looks++, status());
  await clock.advance(1_001);
  for (let i = 0; i < 20; i++) await call("GET", "/metrics");
  assert.equal(looks, 1);
  discard();
});

Deno.test("GET /metrics: a payout that nobody knows the end of has an age, until it is known", async () => {
  const { world, call, clock, walletFaults, discard } = await createFakeWorld(8);
  const look = async () => {
    await clock.advance(1_001);
    const { body } = await call("GET", "/metrics");
    const figures = ["timmy_payouts_under_way", "timmy_payout_oldest_seconds"].map((name) => valueOf(body, `${name} `));
    const outcomes = ["paid", "failed", "unknown"].map((outcome) =>
      valueOf(body, `timmy_payouts_total{outcome="${outcome}"}`)
    );
    return { figures, outcomes, nextExpiry: valueOf(body, "timmy_refund_next_expiry_seconds ") };
  };
  const job = await clock.drive(paidJob(world, world.call, "What is a hold invoice?", 600_000));
  const owed = await look();
  assert.deepEqual([owed.figures, owed.outcomes], [[0, 0], [0, 0, 0]]);
  const month = 30 * 86_400;
  assert.ok(owed.nextExpiry !== null && owed.nextExpiry <= month && owed.nextExpiry > month - 600);
  walletFaults.pay = { kind: "drop" };
  walletFaults.lookupPayment = { kind: "lose" };
  const invoice = await payerInvoice(world, job.costLedger.refundAmountSats);
  await call("POST", `/api/jobs/${job.jobId}/refund`, { invoice: invoice.paymentRequest });
  await clock.advance(300_000);
  const stuck = await look();
  assert.equal(stuck.figures[0], 1);
  assert.ok((stuck.figures[1] ?? 0) >= 300, `${stuck.figures[1]} seconds`);
  assert.ok((stuck.outcomes[2] ?? 0) > 1);
  await world.crash();
  await clock.advance(62_000); // it is looked at again within a minute
  const restarted = await look();
  assert.equal(restarted.figures[0], 1, "the next process finds it by itself");
  assert.ok((restarted.figures[1] ?? 0) >= 360);
  walletFaults.pay = undefined;
  walletFaults.lookupPayment = undefined;
  await clock.advance(200_000);
  const { figures, outcomes } = await look();
  assert.deepEqual([figures, outcomes.slice(0, 2)], [[0, 0], [1, 0]]);
  discard();
});

Deno.test("GET /metrics: what the instance bears for failures is told, in sats only with METRICS_MONEY", async () => {
  const settings = { metricsMoney: true, freeFailures: { satsPerHour: 0 } };
  const { call, discard } = await createFakeWorld(9, { settings });
  const { body } = await call("GET", "/metrics");
  assert.equal(valueOf(body, "timmy_money_failures_borne_sats"), 0);
  assert.match(body, /^timmy_free_failures_exhausted [01]$/m);
  discard();
});

Deno.test("METRICS_PUSH_URL: an instance sends its figures, and a collector that hangs is in no payer's way", async () => {
  const sent: { url: string; body: string }[] = [];
  const settings = { metricsPush: { url: "https://otel.example.com/v1/metrics", token: null, everyMs: 10_000 } };
  const publicFetch = () => (url: string, { post }: { post?: { body: Uint8Array } } = {}) => {
    sent.push({ url, body: new TextDecoder().decode(post?.body) });
    return new Promise<never>(() => {});
  };
  const { world, clock, discard } = await createFakeWorld(10, { settings, publicFetch });
  await clock.advance(11_000);
  assert.deepEqual(sent.map(({ url }) => url), ["https://otel.example.com/v1/metrics"]);
  assert.match(sent[0]?.body ?? "", /"name":"timmy_ready"/);
  assert.doesNotMatch(sent[0]?.body ?? "", /timmy_money/);
  const job = await clock.drive(paidJob(world, world.call, "What is a hold invoice?", 600_000));
  assert.equal(job.state, "complete");
  assert.equal(sent.length, 1);
  discard();
});

Deno.test("GET /metrics: the limit of requests holds for it too", async () => {
  const { call, discard } = await createFakeWorld(11, { rateLimitPerMinute: 5 });
  const statuses = [];
  for (let i = 0; i < 7; i++) statuses.push((await call("GET", "/metrics")).status);
  assert.ok(statuses.includes(200) && statuses.includes(429), String(statuses));
  discard();
});
