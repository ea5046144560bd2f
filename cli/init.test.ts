/** timmyctl init without a terminal, and what it writes. At a terminal: tests/journeys/newcomer.test.ts. */
import assert from "node:assert/strict";
import { systemClock } from "@/lib/clock.ts";
import { parseEnvFile } from "@/lib/doctor/env-file.rules.ts";
import { startFakeLnbits } from "@/lib/lightning/testing/fake-lnbits.ts";
import { freePort } from "@/tests/harness/process.ts";
import { parseEnv } from "../env.ts";
import type { World } from "./diagnose.ts";
import { init } from "./init.ts";
import type { Terminal } from "./terminal.ts";

const CANARY = "canary-7c2e";
const world: World = {
  reach: {
    clock: systemClock,
    fetch: (url, init) =>
      new URL(String(url)).hostname === "127.0.0.1" ? fetch(url, init) : Promise.reject(new TypeError("refused")),
  },
  resolve: () => Promise.resolve(["192.0.2.1"]),
  freeBytes: () => Promise.resolve(2 ** 40),
};

async function inFolder(test: (folder: string, path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "timmy-init-" });
  try {
    await test(folder, `${folder}/.env`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What `init` prints with these options. The canary stands for every secret, and no printed line may hold it. */
async function ran(args: readonly string[], terminal: Terminal | null = null): Promise<{ code: number; said: string }> {
  let said = "";
  const io = { out: (text: string) => void (said += `${text}\n`), err: (text: string) => void (said += `${text}\n`) };
  const code = await init(args, io, terminal, world);
  assert.ok(!said.includes(CANARY), said);
  return { code, said };
}

/** With these variables in the environment, as a script would set them. */
async function withKeys(keys: Record<string, string>, test: () => Promise<void>): Promise<void> {
  for (const [name, value] of Object.entries(keys)) Deno.env.set(name, value);
  try {
    await test();
  } finally {
    for (const name of Object.keys(keys)) Deno.env.delete(name);
  }
}

const there = (path: string) => Deno.stat(path).then(() => true, () => false);
const textOf = (path: string) => Deno.readTextFile(path);

Deno.test("init: without a terminal it wants --yes or an answer to each question, and writes nothing otherwise", () =>
  inFolder(async (folder, path) => {
    const answers = ["--data-dir", `${folder}/d`, "--wallet", "simulated", "--model", "simulated", "--origin", "none"];
    const { code, said } = await ran(["--env", path, ...answers]);
    assert.deepEqual([code, await there(path)], [2, false]);
    assert.match(said, /add --yes, or answer each question/);
    const port = String(freePort());
    assert.equal((await ran(["--env", path, ...answers, "--port", port])).code, 0);
    const { values } = parseEnvFile(await textOf(path));
    assert.deepEqual(values, { DATA_DIR: `${folder}/d`, PORT: port });
    assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
  }));

Deno.test("init: --yes takes a free port, and every default passes its own check", () =>
  inFolder(async (folder, path) => {
    const { code, said } = await ran(["--env", path, "--yes", "--data-dir", `${folder}/d`]);
    assert.equal(code, 0, said);
    assert.equal(said.match(/^\d\/5 /gm)?.length, 5);
    assert.doesNotThrow(() => parseEnv(parseEnvFile(Deno.readTextFileSync(path)).values));
  }));

Deno.test("init: an answer that is wrong ends it where nobody can be asked again, and writes nothing", () =>
  inFolder(async (folder, path) => {
    await Deno.writeTextFile(`${folder}/file`, "");
    for (
      const [wrong, why] of [
        [["--data-dir", `${folder}/file/d`], /cannot be written/],
        [["--data-dir", "it's"], /holds ', /],
        [["--wallet", "http://127.0.0.1:9"], /LNBITS_URL and LNBITS_API_KEY belong together/],
        [["--model", "gpt"], /LOCAL_MODEL_BASE_URL must be/],
        [["--model", "http://127.0.0.1:9/v1"], /does not answer/],
        [["--port", "0"], /PORT must be/],
        [["--origin", "http://timmy.example"], /not encrypted/],
        [["--origin", "timmy.example"], /PUBLIC_ORIGIN must be/],
      ] as const
    ) {
      const { code, said } = await ran(["--env", path, "--yes", "--data-dir", `${folder}/d`, ...wrong]);
      assert.deepEqual([code, await there(path)], [1, false], said);
      assert.match(said, why);
      assert.match(said, /nothing was written/);
    }
    for (const place of [folder, `${folder}/file/.env`, `${folder}/none/.env`]) {
      const { code, said } = await ran(["--env", place, "--yes", "--data-dir", `${folder}/d`]);
      assert.equal(code, 1, said);
      assert.match(said, /cannot be (read|written)/);
    }
    for (const args of [["--none"], ["x"], ["--port"]]) assert.equal((await ran(args)).code, 2);
  }));

Deno.test("init: keys come from the environment, go into the file and nowhere else; with a public address it is production", () =>
  inFolder(async (folder, path) => {
    const lnbits = startFakeLnbits();
    lnbits.merchant.invoiceKey = `${CANARY}-invoice`;
    lnbits.merchant.adminKey = `${CANARY}-admin`;
    const answers = ["--env", path, "--yes", "--data-dir", `${folder}/d`, "--wallet", lnbits.url];
    try {
      await withKeys({ LNBITS_API_KEY: `${CANARY}-invoice`, LNBITS_ADMIN_KEY: `${CANARY}-admin` }, async () => {
        const { code, said } = await ran([...answers, "--origin", "https://timmy.example"]);
        assert.equal(code, 0, said);
        const { PORT: _port, ...values } = parseEnvFile(await textOf(path)).values;
        assert.deepEqual(values, {
          DATA_DIR: `${folder}/d`,
          LNBITS_URL: lnbits.url,
          LNBITS_API_KEY: `${CANARY}-invoice`,
          LNBITS_ADMIN_KEY: `${CANARY}-admin`,
          PUBLIC_ORIGIN: "https://timmy.example",
          NODE_ENV: "production",
        });
      });
      // Without them the ones of the file are kept.
      const before = await textOf(path);
      assert.equal((await ran(["--env", path, "--yes"])).code, 0);
      assert.equal(await textOf(path), before);
    } finally {
      await lnbits.close();
    }
  }));

Deno.test("init: a file that is there is changed with --overwrite alone; one with a fault that init does not ask about is refused", () =>
  inFolder(async (folder, path) => {
    const text = `EVAL_FEE_SATS=12\nDATA_DIR=${folder}/d\nPORT=${freePort()}\nPUBLIC_ORIGIN=https://old.example\n`;
    await Deno.writeTextFile(path, text);
    const same = await ran(["--env", path, "--yes"]);
    assert.match(same.said, /says all of it already/);
    assert.equal(await textOf(path), text);
    const change = ["--env", path, "--yes", "--origin", "none"];
    const left = await ran(change);
    assert.deepEqual([left.code, await textOf(path)], [1, text]);
    assert.match(left.said, /was left as it is/);
    assert.equal((await ran([...change, "--overwrite"])).code, 0);
    assert.equal(await textOf(path), text.replace(/PUBLIC_ORIGIN.*\n/, ""));
    for (const bad of ["EVAL_FEE_SATS=-1\n", "what is this\n"]) {
      await Deno.writeTextFile(path, bad);
      const { code, said } = await ran(["--env", path, "--yes", "--overwrite"]);
      assert.deepEqual([code, await textOf(path)], [1, bad]);
      assert.match(said, /correct/);
    }
  }));

/** Somebody who types these lines, and what they were asked. */
function typist(lines: string[]): Terminal & { asked: string[] } {
  const asked: string[] = [];
  const next = (prompt: string) => (asked.push(prompt), Promise.resolve(lines.shift() ?? null));
  return { asked, line: next, secret: next };
}

Deno.test("init: of a local server the first model that it lists is proposed, and another may be named", () =>
  inFolder(async (folder, path) => {
    const server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      () => Response.json({ data: [{ id: "llama" }, { id: "qwen" }] }),
    );
    const address = `http://127.0.0.1:${server.addr.port}/v1`;
    const answered = async (...lines: string[]) => {
      await Deno.remove(path).catch(() => {});
      const terminal = typist([`${folder}/d`, "", address, ...lines, "", ""]);
      const { code, said } = await ran(["--env", path], terminal);
      assert.equal(code, 0, said);
      assert.ok(terminal.asked.some((prompt) => prompt.includes("(llama, qwen) [llama]")));
      const { EVAL_MODEL, WORK_MODEL, LOCAL_MODEL_BASE_URL } = parseEnvFile(await textOf(path)).values;
      assert.equal(LOCAL_MODEL_BASE_URL, address);
      assert.equal(EVAL_MODEL, WORK_MODEL);
      return EVAL_MODEL;
    };
    try {
      assert.equal(await answered("", ""), "local/llama");
      assert.equal(await answered("", "qwen"), "local/qwen");
      // A real model behind pretended sats is for this machine alone.
      const open = await ran(["--env", path, "--yes", "--overwrite", "--origin", "https://timmy.example"]);
      assert.equal(open.code, 1);
      assert.match(open.said, /5\/5[\s\S]*pretended sats[\s\S]*correct PUBLIC_ORIGIN[\s\S]*nothing was written/);
      // Back to simulated: nothing of the server stays.
      assert.equal((await ran(["--env", path, "--yes", "--overwrite", "--model", "simulated"])).code, 0);
      assert.doesNotMatch(await textOf(path), /^(LOCAL_|EVAL_|WORK_)/m);
    } finally {
      await server.shutdown();
    }
  }));

Deno.test("init: whoever ends the input at any question leaves nothing behind", () =>
  inFolder(async (folder, path) => {
    const lines = [`${folder}/d`, "", "", String(freePort()), ""];
    for (let given = 0; given < lines.length; given++) {
      const terminal = typist(lines.slice(0, given));
      assert.equal((await ran(["--env", path], terminal)).code, 1);
      assert.equal(terminal.asked.length, given + 1);
      assert.deepEqual(await Array.fromAsync(Deno.readDir(folder)), []);
    }
  }));

Deno.test("init: every question has a default that it shows, a check, and an option", () =>
  inFolder(async (folder, path) => {
    const terminal = typist(["", "", "", "", ""]);
    await ran(["--env", path, "--data-dir", `${folder}/d`], terminal);
    assert.equal(terminal.asked.length, 4);
    for (const prompt of terminal.asked) assert.match(prompt, /^\n[2-5]\/5 {2}.* \[[^\]]+\]: $/);
  }));

Deno.test("init: deno task ctl has the permissions of the compiled program", async () => {
  const read = (path: string) => Deno.readTextFile(new URL(`../${path}`, import.meta.url));
  const [, permissions = ""] = /TIMMYCTL_PERMISSIONS="([^"]*)"/.exec(await read("scripts/permissions.sh")) ?? [];
  const { ctl } = JSON.parse(await read("deno.json")).tasks;
  assert.ok(permissions !== "" && ctl.command.includes(` ${permissions} timmyctl.ts`));
});
