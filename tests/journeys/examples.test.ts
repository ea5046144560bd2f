/** The examples, as a reader runs them: one after the other against one real program, with its books proved in the end. */
import assert from "node:assert/strict";
import { type RunningProcess, startProcess, thenStops } from "../harness/process.ts";

const root = new URL("../../", import.meta.url).pathname;

/** Runs a command in the repository and returns everything it said. @throws when it fails */
async function run(command: string[], env: Record<string, string> = {}): Promise<string> {
  // Through a shell: the gate lets tests start sh, whatever the path of this deno.
  const { code, stdout, stderr } = await new Deno.Command("sh", {
    args: ["-c", 'exec "$@"', "sh", ...command],
    cwd: root,
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
  }).output();
  const [said, complained] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.equal(code, 0, `${command.join(" ")} ended with ${code}:\n${said}${complained}`);
  return said ?? "";
}

const deno = (file: string, url: string, env?: Record<string, string>) =>
  run([
    Deno.execPath(),
    "run",
    "--quiet",
    "--no-prompt",
    "--allow-net=127.0.0.1",
    "--allow-env",
    "--config",
    "dev/deno.json",
    file,
    url,
  ], env);

/** The numbers that a pattern's groups find, in order. */
function numbers(said: string, pattern: RegExp): number[] {
  const match = pattern.exec(said);
  assert.ok(match, `${pattern} is not in:\n${said}`);
  return match.slice(1).map(Number);
}

const EXAMPLES: [name: string, fn: (timmy: RunningProcess) => Promise<void>][] = [];
const example = (...one: (typeof EXAMPLES)[number]) => void EXAMPLES.push(one);

const COST = /It cost (\d+) sats; (\d+) are left\./;

example("curl.sh: a challenge is paid by hand, and the answer streams", async ({ url }) => {
  const said = await run(["bash", "examples/curl.sh", url]);
  assert.match(said, /^HTTP\/1\.1 402 /);
  assert.match(said, /^\[simulated\] .*What is a hold invoice\?/m);
  const [deposit = 0] = numbers(said, /Invoice of (\d+) sats: lnbcrt/);
  const [cost = 0, left] = numbers(said, COST);
  assert.ok(cost > 0);
  assert.equal(left, deposit - cost);
});

example("openai.ts: the official package, streamed and not", async ({ url }) => {
  const said = await deno("examples/openai.ts", url);
  const answers = said.match(/^\[simulated\] .*What is a hold invoice\?/gm);
  assert.equal(answers?.length, 2, said);
  const costs = [...said.matchAll(new RegExp(COST, "g"))].map(([, cost, left]) => [Number(cost), Number(left)]);
  const [[first = 0, left] = [], [second = 0, rest] = []] = costs;
  assert.ok(first > 0 && second > 0, said);
  assert.deepEqual([left, rest], [1_000 - first, 1_000 - first - second]);
});

example("openai.ts: with a key of one's own nothing is opened or paid", async ({ url, call, poll }) => {
  const { body: opened } = await call("POST", "/api/sessions", { amount_sats: 400 });
  await call("POST", `/api/dev/stub/pay/${opened.invoice.paymentHash}`);
  const session = await poll(`/api/sessions/${opened.sessionId}`, ({ state }) => state === "active");
  const [cost = 0, left] = numbers(await deno("examples/openai.ts", url, { TIMMY_API_KEY: session.macaroon }), COST);
  assert.equal(left, 400 - cost);
});

example("l402.ts: fetchWithL402 pays once and asks twice", async ({ url }) => {
  const said = await deno("examples/l402.ts", url);
  const [deposit = 0] = numbers(said, /^Paid a challenge of (\d+) sats\./);
  const [first = 0, left = 0] = numbers(said, COST);
  const [second = 0, rest] = numbers(said, /Asked again without paying: it cost (\d+) sats; (\d+) are left\./);
  assert.ok(first > 0 && second > 0);
  assert.deepEqual([left, rest], [deposit - first, left - second]);
});

example(
  "sub-agent.ts: a narrowed token spends its 300 sats and no more, and the owner gets the rest",
  async ({ url }) => {
    const said = await deno("examples/sub-agent.ts", url);
    const [owner = 0] = numbers(said, /^The owner asked: (\d+) sats\.$/m);
    const spent = [...said.matchAll(/^The sub-agent asked: (\d+) sats\.$/gm)].map(([, sats]) => Number(sats));
    assert.ok(spent.length > 0, said);
    const sum = spent.reduce((a, b) => a + b);
    const [left = 0, takes = 0] = numbers(
      said,
      /^403 caveat_failed: .* (\d+) of 300 sats are left, it takes (\d+)\.$/m,
    );
    assert.equal(left, 300 - sum);
    assert.ok(left < takes);
    assert.deepEqual(numbers(said, /^Closed: (\d+) sats paid\.$/m), [1_000 - owner - sum]);
  },
);

Deno.test("examples: each does what it says on a program that has served the others, and the audit proves what is left", async (t) => {
  const timmy = await startProcess();
  await thenStops(timmy, async () => {
    for (const [name, fn] of EXAMPLES) assert.ok(await t.step(`examples/${name}`, () => fn(timmy)), name);
    const binary = Deno.env.get("TIMMY_BINARY");
    const audit = binary === undefined
      ? await run(["sh", "scripts/start.sh", "audit"], { DENO: Deno.execPath(), DATA_DIR: timmy.dataDir })
      : await run(["sh", "-c", 'cd "$0/.." && exec "$1" audit', timmy.dataDir, binary], { DATA_DIR: "./data" });
    assert.deepEqual(audit.trim().split("\n").filter((line) => !line.startsWith("ok ")), []);
  });
});
