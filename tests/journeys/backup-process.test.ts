/** Backup and restore of the real program, by the commands that an operator types; against the simulated wallet, a local LNbits and a real one. */
import assert from "node:assert/strict";
import { type Bank, bankEnv, bankPayer, localBank, realBank, withNewWallet } from "../harness/lnbits-bank.ts";
import { long, type RunningProcess, startProcess } from "../harness/process.ts";

const root = new URL("../../", import.meta.url).pathname;
const REFUNDS = Number(Deno.env.get("TIMMY_BACKUP_REFUNDS") ?? 6);
const DEPOSITS = Number(Deno.env.get("TIMMY_BACKUP_DEPOSITS") ?? 4);
/** What a job whose evaluation failed owes (sats). */
const OWED = 10;
/** What is claimed of it: LNbits sends nothing without 2 sats for the fee. */
const CLAIMED = OWED - 2;
/** As many unpaid jobs as come. */
const UNLIMITED = { RATE_LIMIT_CHALLENGES_PER_MINUTE: "0", MAX_OPEN_CHALLENGES: "0" };

async function ctl(folder: string, args: string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await new Deno.Command("deno", {
    args: ["run", "--quiet", "--no-prompt", "--no-check", "-A", `${root}timmyctl.ts`, ...args],
    env: { DATA_DIR: folder, BACKUP_PASSPHRASE: "correct horse", ...env },
    stdin: "null",
  }).output();
  const said = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: said(stdout), err: said(stderr) };
}

/** Pays invoices of the program, and gives invoices to be paid. */
interface Payer {
  env: Record<string, string>;
  pay(
    timmy: RunningProcess,
    invoice: { paymentHash: string; paymentRequest: string; amountSats: number },
  ): Promise<string>;
  invoice(timmy: RunningProcess, amountSats: number): Promise<string>;
  /** What is outside the data folder comes to a restored one. */
  keep(from: string, to: string): Promise<void>;
}

const simulated: Payer = {
  env: UNLIMITED,
  async pay(timmy, { paymentHash }) {
    const { status, body } = await timmy.call("POST", `/api/dev/stub/pay/${paymentHash}`);
    assert.equal(status, 200, JSON.stringify(body));
    return body.preimage;
  },
  async invoice(timmy, amountSats) {
    return (await timmy.call("POST", "/api/dev/stub/invoice", { amountSats })).body.paymentRequest;
  },
  async keep(from, to) {
    for await (const { name } of Deno.readDir(from)) {
      if (name.startsWith("simulated-wallet.")) await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
    }
  },
};

function lnbits(bank: Bank): Payer {
  const payer = bankPayer(bank);
  return {
    env: { ...UNLIMITED, ...bankEnv(bank), NODE_ENV: "production" },
    async pay(_timmy, { paymentHash, paymentRequest, amountSats }) {
      const state = await payer.pay({ paymentHash, paymentRequest, amountSats, maxFeeSats: 100, timeoutMs: 20_000 });
      return state.state === "paid" ? state.preimage : assert.fail(JSON.stringify(state));
    },
    invoice: async (_timmy, amountSats) =>
      (await payer.createInvoice({ amountSats, memo: "refund", expirySeconds: 600 })).paymentRequest,
    keep: () => Promise.resolve(),
  };
}

async function owedJob(timmy: RunningProcess, payer: Payer): Promise<string> {
  const { body } = await timmy.call("POST", "/api/jobs", { request: "[fail-eval]" });
  await payer.pay(timmy, body.evalInvoice);
  await timmy.poll(`/api/jobs/${body.jobId}`, (job) => job.state === "failed", 30_000);
  return body.jobId;
}

async function session(timmy: RunningProcess, payer: Payer, sats: number) {
  const { body } = await timmy.call("POST", "/api/sessions", { amount_sats: sats });
  const preimage = await payer.pay(timmy, body.invoice);
  const path = `/api/sessions/${body.sessionId}`;
  await timmy.poll(path, (one) => one.state === "active", 30_000);
  return { preimage, sats, path };
}

const claim = async (timmy: RunningProcess, payer: Payer, jobId: string) =>
  await timmy.call("POST", `/api/jobs/${jobId}/refund`, { invoice: await payer.invoice(timmy, CLAIMED) });

/** Requests without end, as of a busy day. @returns what stops them and says how many there were */
function busy(timmy: RunningProcess): () => Promise<number> {
  let [going, done] = [true, 0];
  const workers = Promise.all(Array.from({ length: 4 }, async () => {
    for (; going; done++) await timmy.call("POST", "/api/jobs", { request: "hello" });
  }));
  workers.catch(() => {}); // said when they are stopped; a test that failed before stops nobody
  return async () => {
    going = false;
    await workers;
    return done;
  };
}

async function journey(payer: Payer, journal: boolean): Promise<void> {
  const first = await startProcess(payer.env);
  const away = await Deno.makeTempDir();
  const running = [first];
  try {
    await session(first, payer, 5_000); // somebody else's money, so that the wallet can pay
    const jobs: string[] = [];
    for (let i = 0; i < REFUNDS; i++) jobs.push(await owedJob(first, payer));
    const stop = busy(first);
    const file = `${away}/b.tmb`;
    const made = await ctl(first.dataDir, ["backup", file, "--with-secrets"]);
    assert.ok(await stop() > 0);
    assert.equal(made.code, 0, made.err);
    assert.equal((await ctl(first.dataDir, ["backup", file, "--with-secrets"])).code, 1, "nothing is overwritten");

    for (const job of jobs) assert.equal((await claim(first, payer, job)).status, 200);
    const deposits = [];
    for (let i = 0; i < DEPOSITS; i++) deposits.push(await session(first, payer, 200 + i));
    await first.kill();

    const folder = `${away}/new/data`;
    const left = `${first.dataDir}/payouts.journal`;
    const drilled = await ctl(first.dataDir, [
      "restore",
      file,
      "--drill",
      ...(journal ? [] : ["--journal", "/dev/null"]),
    ], payer.env);
    assert.equal(drilled.code, 0, drilled.err);
    assert.match(drilled.out, /the books are right/);
    assert.match(
      drilled.out,
      new RegExp(`${journal ? REFUNDS : 0} payouts by the journal, 0 invoices.* ${DEPOSITS} payments that nothing`),
    );
    assert.match(
      drilled.out,
      journal ? /nothing would be frozen/ : /every open refund and session of the backup would be frozen/,
    );

    const wrong = await ctl(folder, ["restore", file], { BACKUP_PASSPHRASE: "wrong" });
    assert.deepEqual([wrong.code, wrong.err.includes("passphrase is wrong")], [1, true], wrong.err);
    const back = await ctl(folder, ["restore", file, ...(journal ? ["--journal", left] : [])]);
    assert.equal(back.code, 0, back.err);
    assert.equal((await ctl(folder, ["restore", file])).code, 1, "nothing is overwritten");
    await payer.keep(first.dataDir, folder);

    const second = await startProcess({ ...payer.env, DATA_DIR: folder });
    running.push(second);
    const ready = await readiness(second);
    assert.deepEqual(ready, journal ? [] : ["frozen"], second.output());
    for (const job of jobs) {
      const { status, body } = await claim(second, payer, job);
      assert.deepEqual([status, body.error?.code], journal ? [409, "refund_claimed"] : [503, "frozen"]);
    }
    for (const { preimage, sats } of deposits) {
      const invoice = await payer.invoice(second, sats);
      const { status, body } = await second.call("POST", "/api/refunds/claim", { preimage, invoice });
      assert.deepEqual([status, body.error?.code, body.error?.details.refundAmountSats], [
        409,
        "preimage_too_early",
        sats,
      ]);
    }
    const state = await ctl(folder, ["recover"]);
    assert.match(
      state.out,
      journal ? /nothing is frozen/ : new RegExp(`frozen: every .* ${REFUNDS} payments of ${REFUNDS * CLAIMED} sats`),
    );
    assert.equal((await ctl(folder, ["recover", "--release"])).code, journal ? 1 : 0);
    assert.equal((await ctl(folder, ["recover", "--accept"])).code, 1, "nothing waits for that");
    if (journal) return;
    await second.stop();
    const third = await startProcess({ ...payer.env, DATA_DIR: folder });
    running.push(third);
    assert.deepEqual(await readiness(third), []);
  } finally {
    for (const process of running) await process.kill().catch(() => {}); // killed before
    await Deno.remove(away, { recursive: true });
    await Deno.remove(first.dataDir.replace(/\/data$/, ""), { recursive: true });
  }
}

/** Waits until it has caught up. @returns the checks that fail then */
async function readiness(timmy: RunningProcess): Promise<string[]> {
  const caughtUp = (body: { checks: { name: string; ok: boolean }[] }) =>
    !body.checks.some(({ name }) => name === "recovering");
  const body = await timmy.poll("/api/health/ready", caughtUp, 30_000);
  return body.checks.filter(({ ok }: { ok: boolean }) => !ok).map(({ name }: { name: string }) => name);
}

Deno.test("backup: the real program, the simulated wallet, without the journal", () => journey(simulated, false));
// tests/journeys/backup.test.ts has the same without processes.
long("backup: the real program, the simulated wallet, with the journal", () => journey(simulated, true));
long("backup: the real program, a local LNbits, with the journal", async () => {
  const bank = localBank();
  try {
    await journey(lnbits(bank), true);
  } finally {
    await bank.close();
  }
});
const real = realBank();
for (const journal of [true, false]) {
  Deno.test(
    `backup: the real program, a real LNbits (set TIMMY_TEST_LNBITS_* to run), ${
      journal ? "with" : "without"
    } the journal`,
    { ignore: real === null },
    async () => await journey(lnbits(await withNewWallet(real!)), journal),
  );
}

Deno.test("backup: the server backs itself up below its data folder, and what it made can be restored", async () => {
  const home = await Deno.makeTempDir();
  const folder = `${home}/data/backups`;
  const timmy = await startProcess({
    DATA_DIR: `${home}/data`,
    BACKUP_DIR: folder,
    BACKUP_PASSPHRASE: "correct horse",
  });
  try {
    const made = async () =>
      (await Array.fromAsync(Deno.readDir(folder))).filter(({ name }) => /^timmy-.*Z\.tmb$/.test(name));
    await timmy.poll("/api/health", () => timmy.output().includes("backed up"), 20_000);
    const [file, ...more] = await made();
    assert.ok(file && more.length === 0);
    const back = await ctl(`${home}/new`, ["restore", `${folder}/${file.name}`]);
    assert.equal(back.code, 0, back.err);
    assert.match(back.out, /capability\.key/);
  } finally {
    await timmy.kill();
    await Deno.remove(home, { recursive: true });
  }
});

Deno.test("backup: a folder that the server may not write to ends its start and says where it may", async () => {
  const refused = startProcess({ BACKUP_DIR: "/var/backups/timmy" });
  await assert.rejects(refused, /BACKUP_DIR: \/var\/backups\/timmy cannot be written .* below .*data/s);
});
