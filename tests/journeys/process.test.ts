/** The program as a process: start, stop, kill, restart, audit. With TIMMY_BINARY: the compiled one. */
import assert from "node:assert/strict";
import { freePort, type RunningProcess, startProcess } from "../harness/process.ts";

const root = new URL("../../", import.meta.url).pathname;
const binary = Deno.env.get("TIMMY_BINARY");

async function withProcess(env: Record<string, string>, use: (timmy: RunningProcess) => Promise<void>): Promise<void> {
  const timmy = await startProcess(env);
  try {
    await use(timmy);
  } finally {
    await timmy.kill().catch(() => {}); // it has ended already where the test stopped it
    await Deno.remove(timmy.dataDir.replace(/\/data$/, ""), { recursive: true });
  }
}

/** Runs the program with a command and returns what it said. */
async function run(args: string[], dataDir: string, env: Record<string, string> = {}) {
  const command = new Deno.Command(binary ?? "sh", {
    args: binary ? args : [`${root}scripts/start.sh`, ...args],
    cwd: binary ? dataDir.replace(/\/data$/, "") : root,
    env: { DENO: Deno.execPath(), PORT: String(freePort()), DATA_DIR: binary ? "./data" : dataDir, ...env },
  });
  const { code, stdout, stderr } = await command.output();
  return { code, said: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

const pay = (timmy: RunningProcess, hash: string) => timmy.call("POST", `/api/dev/stub/pay/${hash}`);

Deno.test("process: killed with a job under way, it goes on by itself after the restart, and the audit holds", () =>
  withProcess({}, async (first) => {
    const { body: created } = await first.call("POST", "/api/jobs", { request: "Survive this [slow:1500]" });
    const path = `/api/jobs/${created.jobId}`;
    await pay(first, created.evalInvoice.paymentHash);
    const offered = await first.poll(path, (job) => job.state === "awaiting_work_payment");
    await pay(first, offered.workInvoice.paymentHash);
    await first.poll(path, (job) => job.state === "executing");
    await first.kill();

    const second = await startProcess({ DATA_DIR: first.dataDir });
    try {
      const done = await second.poll(path, (job) => job.state === "complete", 10_000);
      assert.equal(done.costLedger.chargedSats + done.costLedger.refundAmountSats, done.costLedger.paidSats);
      const { body: made } = await second.call("POST", "/api/dev/stub/invoice", {
        amountSats: done.costLedger.refundAmountSats,
      });
      const refund = await second.call("POST", `${path}/refund`, { invoice: made.paymentRequest });
      assert.equal(refund.body.refundState, "paid");
      const live = await run(["audit"], first.dataDir);
      assert.equal(live.code, 0, live.said);
      const lines = live.said.trim().split("\n");
      assert.ok(lines.every((line) => line.startsWith("ok ")), live.said);
      assert.match(live.said, /every job holds what its state says: 1 jobs/);
      assert.match(lines.at(-1) ?? "", /the wallet can pay all that is owed/);
      assert.equal(await second.stop(), 0, second.output());
    } finally {
      await second.kill().catch(() => {});
    }
  }));

Deno.test("process: a second start on the same folder says so and exits non-zero, and the first goes on", () =>
  withProcess({}, async (timmy) => {
    const second = await run([], timmy.dataDir);
    assert.equal(second.code, 1);
    assert.match(second.said, /another Timmy already runs/);
    assert.equal((await timmy.call("GET", "/api/health")).status, 200);
  }));

Deno.test("process: asked to stop while work runs, it finishes the work first", () =>
  withProcess({}, async (timmy) => {
    const { body: created } = await timmy.call("POST", "/api/jobs", { request: "Finish this [slow:800]" });
    const path = `/api/jobs/${created.jobId}`;
    await pay(timmy, created.evalInvoice.paymentHash);
    const offered = await timmy.poll(path, (job) => job.state === "awaiting_work_payment");
    await pay(timmy, offered.workInvoice.paymentHash);
    await timmy.poll(path, (job) => job.state === "executing");
    assert.equal(await timmy.stop(), 0, timmy.output());
    const again = await startProcess({ DATA_DIR: timmy.dataDir });
    try {
      assert.equal((await again.call("GET", path)).body.state, "complete");
    } finally {
      await again.kill();
    }
  }));

Deno.test("process: in production there is no way to pay with pretended sats, and simulated Lightning does not start", async () => {
  const folder = await Deno.makeTempDir({ prefix: "timmy-" });
  try {
    const refused = await run([], `${folder}/data`, { NODE_ENV: "production" });
    assert.equal(refused.code, 1);
    assert.match(refused.said, /LNBITS_URL/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  const production = {
    NODE_ENV: "production",
    LNBITS_URL: "http://127.0.0.1:9",
    LNBITS_API_KEY: "key-that-nobody-has",
  };
  await withProcess(production, async (timmy) => {
    assert.equal((await pay(timmy, "0".repeat(64))).status, 404);
    assert.equal((await timmy.call("POST", "/api/jobs", { request: "hi" })).status, 503);
    const doc = await timmy.call("GET", "/api/doc");
    assert.ok(
      !Object.keys(doc.body.paths).some((path) => path.includes("/dev/")),
      "a development route is in the document",
    );
    assert.ok(!timmy.output().includes("key-that-nobody-has"), "the log holds a key");
  });
});

Deno.test("process: bad settings are all named at once before anything is opened, and no value is shown", async () => {
  const folder = await Deno.makeTempDir({ prefix: "timmy-" });
  try {
    const { code, said } = await run([], `${folder}/data`, { EVAL_FEE_SATS: "s3cret", ORIGINATOR_MARGIN_PCT: "NaN" });
    assert.equal(code, 1);
    assert.match(said, /EVAL_FEE_SATS[\s\S]*ORIGINATOR_MARGIN_PCT/);
    assert.ok(!said.includes("s3cret"));
    await assert.rejects(Deno.stat(`${folder}/data`), Deno.errors.NotFound);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("process: with a real model without a key, only this machine may pay with pretended sats, and only this machine is served", async () => {
  const model = { LOCAL_MODEL_BASE_URL: "http://127.0.0.1:9/v1" };
  await withProcess(model, async (timmy) => {
    assert.match(timmy.output(), /Development routes are on for this machine: .* pretended sats/);
    const invoice = (headers: Record<string, string>) =>
      fetch(`${timmy.url}/api/dev/stub/invoice`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: '{"amountSats":1}',
      }).then(async (response) => (await response.body?.cancel(), response.status));
    assert.equal(await invoice({ origin: "https://evil.example" }), 404);
    assert.equal(await invoice({ "x-forwarded-for": "203.0.113.9" }), 404);
    assert.equal(await invoice({}), 201);
  });
  const folder = await Deno.makeTempDir();
  try {
    const refused = await run([], `${folder}/data`, { ...model, HOST: "0.0.0.0" });
    assert.equal(refused.code, 1);
    assert.match(refused.said, /HOST or PUBLIC_ORIGIN is not loopback while a real model is set/);
    assert.deepEqual([...Deno.readDirSync(folder)], [], "nothing was opened");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("process: addresses that cannot be used are said in plain words, for every command that needs them", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const kv = { KV_URL: "http://127.0.0.1:9/connect", DENO_KV_ACCESS_TOKEN: "token-that-nobody-has" };
    for (const args of [[], ["audit"]]) {
      const page = await run(args, `${folder}/data`, { LNBITS_URL: "http://h/wallet?usr=a", LNBITS_API_KEY: "k" });
      assert.deepEqual([page.code, /^timmy: these settings are not usable:\n {2}LNBITS_URL must be /.test(page.said)], [
        1,
        true,
      ]);
      const away = await run(args, `${folder}/data`, kv);
      assert.equal(away.code, 1);
      // Deno 2.6 opens such a database without asking, and finds out at the first read.
      assert.match(away.said, /^timmy: (KV_URL: no KV Connect server answers there|the database does not answer)/m);
      assert.doesNotMatch(away.said, /Uncaught|token-that-nobody-has/);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("process: a model nobody knows a price of stops the start, and the message says what to set", async () => {
  const folder = await Deno.makeTempDir({ prefix: "timmy-" });
  try {
    const unknown = await run([], `${folder}/data`, { WORK_MODEL: "a-model-of-tomorrow" });
    assert.equal(unknown.code, 1);
    assert.match(unknown.said, /no price is known[\s\S]*WORK_MODEL/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  await withProcess({ WORK_MODEL: "gpt-4o" }, async (timmy) => {
    const { status, body } = await timmy.call("GET", "/api/estimate?request=hello");
    assert.equal(status, 200);
    assert.equal(body.model, "gpt-4o");
  });
});

Deno.test("process: one Ctrl-C that arrives twice still stops gracefully", () =>
  withProcess({}, async (timmy) => {
    timmy.signal("SIGINT");
    timmy.signal("SIGINT");
    assert.equal(await timmy.stop(), 0, timmy.output());
    assert.match(timmy.output(), /"msg":"stopped"/);
  }));

Deno.test("process: a port that is taken is said in one line, and so is a folder without an instance", () =>
  withProcess({}, async (timmy) => {
    const folder = await Deno.makeTempDir({ prefix: "timmy-" });
    const untouched = await Deno.makeTempDir({ prefix: "timmy-" });
    try {
      const taken = await run([], `${folder}/data`, { PORT: new URL(timmy.url).port });
      assert.equal(taken.code, 1);
      assert.match(taken.said, /timmy: cannot listen on 127\.0\.0\.1:\d+: something else listens there/);
      const empty = await run(["audit"], `${untouched}/data`);
      assert.equal(empty.code, 1);
      assert.match(empty.said, /is DATA_DIR the folder of an instance/);
      assert.ok(!/\n\s+at /.test(taken.said + empty.said), "a stack trace instead of a message");
    } finally {
      for (const made of [folder, untouched]) await Deno.remove(made, { recursive: true });
    }
  }));
