/** What a newcomer types, at a terminal: from `timmyctl init` to the first paid job. With TIMMY_CTL_BINARY and TIMMY_BINARY: the compiled programs. */
import assert from "node:assert/strict";
import { startFakeLnbits } from "@/lib/lightning/testing/fake-lnbits.ts";
import { freePort } from "../harness/process.ts";
import { atTerminal, hasTerminal } from "../harness/terminal.ts";

const root = new URL("../../", import.meta.url).pathname;
const binary = Deno.env.get("TIMMY_BINARY");
const ctl = Deno.env.get("TIMMY_CTL_BINARY");
const LIMIT_MS = 60_000;

const kept = Object.fromEntries(
  ["PATH", "HOME", "DENO_DIR", "TMPDIR"].flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value]];
  }),
);
/** Nothing outside this machine is asked. */
const OFFLINE = Object.fromEntries(
  ["BTC_PRICE_URL", "BTC_PRICE_SECOND_URL", "BTC_PRICE_THIRD_URL"].map((name) => [name, "http://127.0.0.1:9/"]),
);
const env: Record<string, string> = { ...kept, ...OFFLINE, NO_COLOR: "1" };
const PERMISSIONS = /TIMMYCTL_PERMISSIONS="([^"]*)"/.exec(await Deno.readTextFile(`${root}scripts/permissions.sh`))
  ?.[1];
const timmyctl = ctl
  ? [ctl]
  : [Deno.execPath(), "run", "--quiet", "--no-prompt", ...PERMISSIONS!.split(" "), `${root}timmyctl.ts`];

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "timmy-newcomer-" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The server, started with the settings of `folder/.env` alone. */
function started(folder: string): Deno.ChildProcess {
  const command = binary
    ? new Deno.Command("sh", {
      args: ["-c", 'set -a; . ./.env; set +a; exec "$BINARY"'],
      cwd: folder,
      clearEnv: true,
      env: { ...env, BINARY: binary },
    })
    : new Deno.Command("sh", {
      args: [`${root}scripts/start.sh`],
      clearEnv: true,
      env: { ...env, DENO: Deno.execPath(), TIMMY_ENV_FILE: `${folder}/.env` },
    });
  return command.spawn();
}

// The tests read what the wire says, whatever it is.
// deno-lint-ignore no-explicit-any
async function said(url: string, body?: unknown): Promise<any> {
  const response = await fetch(url, {
    ...(body !== undefined && {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    }),
  });
  return await response.json();
}

async function until<T>(look: () => Promise<T | null>): Promise<T> {
  for (const end = performance.now() + LIMIT_MS; performance.now() < end;) {
    const found = await look().catch(() => null);
    if (found !== null) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error("it did not come");
}

/** A paid job, as the README says it. */
async function paidJob(origin: string): Promise<string> {
  const { jobId, evalInvoice } = await said(`${origin}/api/jobs`, { request: "What is a hold invoice?" });
  const job = () => said(`${origin}/api/jobs/${jobId}`);
  await said(`${origin}/api/dev/stub/pay/${evalInvoice.paymentHash}`, {});
  const { workInvoice } = await until(async () => (await job()).workInvoice ? await job() : null);
  await said(`${origin}/api/dev/stub/pay/${workInvoice.paymentHash}`, {});
  const { result } = await until(async () => (await job()).state === "complete" ? await job() : null);
  return result;
}

Deno.test({
  name: "newcomer: init with Enter five times, start, and a paid job, in less than a minute (needs python3)",
  ignore: !hasTerminal,
  fn: () =>
    inFolder(async (folder) => {
      const begun = performance.now();
      const port = freePort();
      const { code, said, left } = await atTerminal([...timmyctl, "init"], { cwd: folder, env }, [
        ["1/5", binary ? "\r" : `${folder}/data\r`],
        ["2/5", "\r"],
        ["3/5", "\r"],
        ["4/5", `${port}\r`],
        ["5/5", "\r"],
      ]);
      assert.deepEqual([code, left], [0, []], said);
      assert.match(
        said,
        ctl ? /set -a; \. \.\/\.env; set \+a; \.\/timmy/ : /TIMMY_ENV_FILE=\S+\/\.env sh \S+start\.sh/,
      );
      const timmy = started(folder);
      try {
        const origin = `http://127.0.0.1:${port}`;
        await until(async () => (await fetch(`${origin}/api/health`)).json());
        assert.match(await paidJob(origin), /\[simulated\]/);
        const took = performance.now() - begun;
        assert.ok(took < LIMIT_MS, `it took ${took} ms`);
        const doctor = await atTerminal([...timmyctl, "doctor", "--audit"], { cwd: folder, env }, []);
        assert.equal(doctor.code, 0, doctor.said);
        assert.match(doctor.said, /this instance listens on 127\.0\.0\.1/);
        assert.match(doctor.said, /audit +the ledger is right: \d+ checks/);
        assert.equal((await fetch(`${origin}/api/health`).then((response) => response.json())).status, "ok");
      } finally {
        timmy.kill("SIGTERM");
        await timmy.status;
      }
    }),
});

Deno.test({
  name: "newcomer: each wrong answer is met with what to do and asked again, and no key is shown (needs python3)",
  ignore: !hasTerminal,
  fn: () =>
    inFolder(async (folder) => {
      const lnbits = startFakeLnbits();
      const taken = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => new Response("other"));
      const [free, dead] = [freePort(), freePort()];
      const { invoiceKey, adminKey } = lnbits.merchant;
      const WRONG = "a-wrong-canary-key";
      await Deno.writeTextFile(`${folder}/file`, "");
      try {
        const { code, said, left } = await atTerminal([...timmyctl, "init"], { cwd: folder, env }, [
          ["1/5", `${folder}/file/data\r`],
          ["1/5", `${folder}/data\r`],
          ["2/5", "ftp://wallet\r"],
          ["2/5", `http://127.0.0.1:${dead}\r`],
          ["key (", `${WRONG}\r`],
          ["admin key", "\r"],
          ["2/5", `${lnbits.url}\r`],
          ["key (", `${WRONG}\r`],
          ["admin key", `${adminKey}\r`],
          ["2/5", `${lnbits.url}\r`],
          ["key (", `${invoiceKey}x\x7f\r`],
          ["admin key", `${invoiceKey}\r`],
          ["2/5", `${lnbits.url}\r`],
          ["key (", `${invoiceKey}\r`],
          ["admin key", `${adminKey}\r`],
          ["3/5", "gpt\r"],
          ["3/5", `http://127.0.0.1:${dead}/v1\r`],
          ["its key", "\r"],
          ["3/5", "simulated\r"],
          ["4/5", "99999\r"],
          ["4/5", `${taken.addr.port}\r`],
          ["4/5", `${free}\r`],
          ["5/5", "example.org\r"],
          ["5/5", "http://example.org\r"],
          ["5/5", "\r"],
        ]);
        assert.deepEqual([code, left], [0, []], said);
        for (
          const [wrong, todo] of [
            [/data cannot be written/, /give the folder/],
            [/LNBITS_URL must be the address/, /correct LNBITS_URL/],
            [/LNbits does not answer: nothing listens/, /look at LNBITS_URL/],
            [/does not know the key in LNBITS_API_KEY/, /copy the wallet's invoice\/read key/],
            [/LNBITS_ADMIN_KEY may not spend/, /copy the admin key/],
            [/LOCAL_MODEL_BASE_URL must be/, /correct LOCAL_MODEL_BASE_URL/],
            [/local model server does not answer/, /start it/],
            [/PORT must be a whole number/, /correct PORT/],
            [/something else listens/, /set another PORT/],
            [/PUBLIC_ORIGIN must be an origin/, /correct PUBLIC_ORIGIN/],
            [/http:\/\/example\.org is not encrypted/, /put a proxy with a certificate/],
          ] as const
        ) {
          assert.match(said, wrong);
          assert.match(said, todo);
        }
        for (const key of [WRONG, invoiceKey, adminKey]) assert.ok(!said.includes(key), `${key} is shown`);
        const path = `${folder}/.env`;
        const text = await Deno.readTextFile(path);
        assert.match(
          text,
          new RegExp(`^LNBITS_API_KEY=${invoiceKey}\nLNBITS_ADMIN_KEY=${adminKey}$`.replace("\n", "\n(?:#.*\n)*"), "m"),
        );
        assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
        assert.ok(lnbits.rows.every(({ amount }) => amount === 1_000), "something was spent");
      } finally {
        await taken.shutdown();
        await lnbits.close();
      }
    }),
});

Deno.test({
  name: "newcomer: a file that is there is changed after a yes only, keeping what init does not know (needs python3)",
  ignore: !hasTerminal,
  fn: () =>
    inFolder(async (folder) => {
      const path = `${folder}/.env`;
      const text = `# mine\nEVAL_FEE_SATS=12\n\nPORT=1 # old\nDATA_DIR='${folder}/my data'\nPORT=8080\n`;
      await Deno.writeTextFile(path, text);
      const port = freePort();
      const typed = (last: string) =>
        atTerminal([...timmyctl, "init"], { cwd: folder, env }, [
          ["my data]", "\r"],
          ["2/5", "\r"],
          ["3/5", "\r"],
          ["4/5", `${port}\r`],
          ["5/5", "\r"],
          ["[y/N]", last],
        ]);
      const no = await typed("\r");
      assert.deepEqual([no.code, await Deno.readTextFile(path)], [1, text], no.said);
      // Ctrl-C and end of input write nothing either.
      for (const key of ["\x03", "\x04"]) assert.notEqual((await typed(key)).code, 0);
      assert.equal(await Deno.readTextFile(path), text);
      const yes = await typed("y\r");
      assert.equal(yes.code, 0, yes.said);
      assert.equal(
        await Deno.readTextFile(path),
        `# mine\nEVAL_FEE_SATS=12\n\nPORT=${port}\nDATA_DIR='${folder}/my data'\n`,
      );
      assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
    }),
});

Deno.test({
  name: "newcomer: Ctrl-C while a key is typed ends it, and the terminal shows what is typed again (needs python3)",
  ignore: !hasTerminal,
  fn: () =>
    inFolder(async (folder) => {
      const line = `${timmyctl.map((part) => `'${part}'`).join(" ")} init; echo "code $?"; stty -a; read -r x`;
      const { said, left } = await atTerminal(["sh", "-c", line], { cwd: folder, env }, [
        ["1/5", `${folder}/data\r`],
        ["2/5", "http://127.0.0.1:9\r"],
        ["key (", "half-a-canary\x03"],
        ["code 130", "\r"],
      ]);
      assert.deepEqual(left, [], said);
      assert.match(said, /(?<!-)\becho\b[\s\S]*(?<!-)\bicanon\b|(?<!-)\bicanon\b[\s\S]*(?<!-)\becho\b/);
      assert.ok(!said.includes("half-a-canary"));
    }),
});
