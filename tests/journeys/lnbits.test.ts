/**
 * A whole job over LNbits with the real program as a process: against a real server when TIMMY_TEST_LNBITS_* is set (see
 * lib/lightning/lnbits.real.test.ts), and always against the local one that speaks like it.
 */
import assert from "node:assert/strict";
import { type FlakyProxy, startFlakyProxy } from "../harness/flaky-proxy.ts";
import { type Bank, bankEnv, bankPayer, localBank, realBank } from "../harness/lnbits-bank.ts";
import { freePort, type RunningProcess, startProcess, thenStops } from "../harness/process.ts";

interface Setup {
  timmy: RunningProcess;
  proxy: FlakyProxy;
  payer: ReturnType<typeof bankPayer>;
}

/** Runs `journey` with a program that reaches LNbits through a proxy, and a payer that reaches it directly. */
async function withTimmy(
  bank: Bank,
  journey: (setup: Setup) => Promise<void>,
  env: Record<string, string> = {},
): Promise<void> {
  const proxy = startFlakyProxy(bank.url);
  const payer = bankPayer(bank);
  const timmy = await startProcess({
    ...bankEnv(bank),
    LNBITS_URL: proxy.url,
    LNBITS_DEV_PAYER_KEY: bank.payerKey,
    ...env,
  });
  try {
    await thenStops(timmy, () => journey({ timmy, proxy, payer }));
  } finally {
    await proxy.close();
    await bank.close();
  }
}

async function payTo(
  payer: Setup["payer"],
  invoice: { paymentRequest: string; paymentHash: string; amountSats: number },
) {
  const paid = await payer.pay({ ...invoice, maxFeeSats: 10, timeoutMs: 30_000 });
  assert.equal(paid.state, "paid", JSON.stringify(paid));
}

/** From the question to the finished job; the payer pays directly, and nothing but `pay` and GET is called. */
async function completeJob({ timmy, payer }: Setup) {
  const { body: created, status } = await timmy.call("POST", "/api/jobs", { request: "What is a hold invoice?" });
  assert.equal(status, 201, JSON.stringify(created));
  await payTo(payer, created.evalInvoice);
  const path = `/api/jobs/${created.jobId}`;
  const offered = await timmy.poll(path, (job) => job.state === "awaiting_work_payment");
  await payTo(payer, offered.workInvoice);
  return { path, job: await timmy.poll(path, (job) => job.state === "complete") };
}

async function refundInvoice(payer: Setup["payer"], amountSats: number): Promise<{ invoice: string }> {
  const made = await payer.createInvoice({ amountSats, memo: "refund", expirySeconds: 600 });
  return { invoice: made.paymentRequest };
}

const real = realBank();
const banks: [string, boolean, () => Bank][] = [
  ["local LNbits", false, localBank],
  [real ? "real LNbits" : "real LNbits (set TIMMY_TEST_LNBITS_* to run)", real === null, () => realBank()!],
];

for (const [name, ignore, open] of banks) {
  Deno.test(`${name}: create, pay the evaluation, pay the work, and the difference comes back to the payer's wallet`, {
    ignore,
  }, () =>
    withTimmy(open(), async (setup) => {
      const { timmy, proxy, payer } = setup;
      await timmy.poll("/api/health/ready", () => proxy.websockets() > 0);
      const before = await payer.balanceSats() ?? assert.fail("LNbits tells its balance");
      const { path, job } = await completeJob(setup);
      assert.deepEqual(job.simulated, ["model"]);
      const owed = job.costLedger.refundAmountSats;
      assert.ok(owed > 0);
      const claim = await refundInvoice(payer, owed);
      const refunded = await timmy.call("POST", `${path}/refund`, claim);
      assert.equal(refunded.status, 200, JSON.stringify(refunded.body));
      assert.equal(await payer.balanceSats(), before - job.evalInvoice.amountSats - job.costLedger.chargedSats);
      const again = await timmy.call("POST", `${path}/refund`, claim);
      assert.equal(again.status, 409);
      assert.equal(again.body.error.details.refundPaymentHash, refunded.body.refundPaymentHash);
      assert.ok(!timmy.output().includes(job.jobId), "the log holds a job id");
    }));

  Deno.test(
    `${name}: with the websocket cut, the reconciler notices both payments`,
    { ignore },
    () =>
      withTimmy(open(), async (setup) => {
        setup.proxy.cutWebsockets(true);
        await setup.timmy.poll("/api/health/ready", () => setup.proxy.websockets() === 0);
        const { job } = await completeJob(setup);
        assert.equal(job.state, "complete");
      }),
  );

  Deno.test(`${name}: while it answers 500, creating says 503, readiness says so, and paid work resumes by itself`, {
    ignore,
  }, () =>
    withTimmy(open(), async (setup) => {
      const { timmy, proxy, payer } = setup;
      const { body: created } = await timmy.call("POST", "/api/jobs", { request: "Still there?" });
      proxy.fault = () => "error-before";
      const refused = await timmy.call("POST", "/api/jobs", { request: "And now?" });
      assert.equal(refused.status, 503);
      assert.ok(Number(refused.headers.get("retry-after")) > 0);
      await payTo(payer, created.evalInvoice);
      const sick = await timmy.poll("/api/health/ready", (body) => body.ready === false);
      assert.deepEqual(
        sick.checks.filter((check: { ok: boolean }) => !check.ok).map((check: { name: string }) => check.name),
        ["lightning"],
      );
      proxy.fault = null;
      await timmy.poll(`/api/jobs/${created.jobId}`, (job) => job.state === "awaiting_work_payment");
      await timmy.poll("/api/health/ready", (body) => body.ready === true);
    }));

  Deno.test(
    `${name}: when the answer to a payout is lost, the refund is paid once and ends as paid`,
    { ignore },
    () =>
      withTimmy(open(), async (setup) => {
        const { timmy, proxy, payer } = setup;
        const { path, job } = await completeJob(setup);
        const owed = job.costLedger.refundAmountSats;
        const before = await payer.balanceSats() ?? 0;
        let lost = 0;
        proxy.fault = ({ method, body }) =>
          method === "POST" && /"out":\s*true/.test(body) && lost++ === 0 ? "lose-after" : null;
        const claimed = await timmy.call("POST", `${path}/refund`, await refundInvoice(payer, owed));
        assert.ok([200, 202].includes(claimed.status), JSON.stringify(claimed.body));
        const second = await timmy.call("POST", `${path}/refund`, await refundInvoice(payer, owed));
        assert.equal(second.status, 409);
        const after = await timmy.poll(path, (body) => body.costLedger.refundState === "paid");
        assert.equal(after.costLedger.refundPaymentHash, claimed.body.refundPaymentHash);
        assert.equal(await payer.balanceSats(), before + owed);
        assert.ok(lost > 0, "the proxy lost no answer");
      }),
  );

  Deno.test(`${name}: killed after the payment, the program finishes the job when it is back`, { ignore }, () => {
    const bank = open();
    return withTimmy(bank, async ({ timmy, proxy, payer }) => {
      const { body: created } = await timmy.call("POST", "/api/jobs", { request: "Will you survive?" });
      await timmy.kill();
      await payTo(payer, created.evalInvoice);
      const again = await startProcess({
        DATA_DIR: timmy.dataDir,
        LNBITS_URL: proxy.url,
        LNBITS_API_KEY: bank.invoiceKey,
        LNBITS_ADMIN_KEY: bank.adminKey,
      });
      Object.assign(timmy, again, { output: again.output });
      await timmy.poll(`/api/jobs/${created.jobId}`, (job) => job.state === "awaiting_work_payment");
    });
  });
}

Deno.test("real LNbits: with the websocket cut, its webhook is the hint", { ignore: real === null }, async () => {
  const port = String(freePort());
  await withTimmy(realBank()!, async (setup) => {
    setup.proxy.cutWebsockets(true);
    await completeJob(setup);
    const heard = setup.timmy.output().split("\n").filter((line) => line.includes("/api/lightning/webhook"));
    assert.ok(heard.length >= 2 && heard.every((line) => line.includes('"status":204')), heard.join("\n"));
  }, { PORT: port, LNBITS_WEBHOOK_URL: `http://127.0.0.1:${port}/api/lightning/webhook` });
});

/** A shell command that stops that very LNbits and starts it again. */
const restart = Deno.env.get("TIMMY_TEST_LNBITS_RESTART");

Deno.test("real LNbits: restarted under a running job, it costs the job nothing but time", {
  ignore: real === null || !restart,
}, () =>
  withTimmy(realBank()!, async (setup) => {
    const { timmy, payer } = setup;
    const { body: created } = await timmy.call("POST", "/api/jobs", { request: "Back already? [slow:3000]" });
    await payTo(payer, created.evalInvoice);
    const path = `/api/jobs/${created.jobId}`;
    const offered = await timmy.poll(path, (job) => job.state === "awaiting_work_payment", 60_000);
    await payTo(payer, offered.workInvoice); // before the restart: FakeWallet forgets invoices that nobody has paid
    const { code } = await new Deno.Command("bash", { args: ["-c", restart!] }).output();
    assert.equal(code, 0);
    const done = await timmy.poll(path, (job) => job.state === "complete", 60_000);
    const refund = await timmy.call(
      "POST",
      `${path}/refund`,
      await refundInvoice(payer, done.costLedger.refundAmountSats),
    );
    assert.equal(refund.body.refundState, "paid", JSON.stringify(refund.body));
  }));
