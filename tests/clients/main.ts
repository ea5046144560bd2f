/**
 * Other people's clients, in their default settings, against the real program with its simulated wallet and model.
 *
 *   deno task clients [--only NAME]
 *
 * TIMMY_CLIENTS_DIR (default ~/.cache/timmy-clients) keeps what was installed; TIMMY_FUZZ_SECONDS (default 180) is how long
 * schemathesis asks. A client whose language or packages are not to be had here is skipped, with the reason. Prints a line
 * for each and ends "N passed, N failed, N skipped"; exit code 1 when one failed.
 */
import { startProcess } from "../harness/process.ts";
import { faultsOf } from "./conversation.ts";
import { type Fixtures, openFixtures, openSession } from "./fixtures.ts";
import { findPrograms, installed, type Program, runProgram, Unavailable } from "./programs.ts";
import { type Exchange, record } from "./recorder.ts";
import { startWallet } from "./wallet.ts";

const root = new URL("../../", import.meta.url).pathname;
const TAIL = 6_000;

/** No limit stands between a client and what it is tried for: they have tests of their own. */
const SETTINGS = {
  LOG_LEVEL: "warn",
  NO_COLOR: "1",
  RATE_LIMIT_PER_MINUTE: "0",
  RATE_LIMIT_CHALLENGES_PER_MINUTE: "0",
  MAX_OPEN_CHALLENGES: "1000000",
  FREE_FAILURES_SATS_PER_HOUR: "1000000",
};

const print = (line: string) => void Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
const indented = (text: string) => text.trimEnd().replace(/^/gm, "  | ");

type Verdict = "passed" | "failed" | "skipped";

/** One client from its installation to the verdict. @returns it with everything that is wrong */
async function tryOut(program: Program, timmy: Fixtures, walletUrl: string): Promise<[Verdict, string]> {
  let folder: string;
  try {
    folder = await installed(program);
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    return ["skipped", error.message];
  }
  const session = await openSession(timmy, walletUrl);
  const recorder = record(timmy.url);
  try {
    const { code, said } = await runProgram(program, folder, {
      TIMMY_URL: program.direct ? timmy.url : recorder.url,
      TIMMY_WALLET: walletUrl,
      TIMMY_MODEL: timmy.model,
      TIMMY_JOB: timmy.jobId,
      TIMMY_BOOTSTRAP: timmy.bootstrapId,
      TIMMY_SESSION: session.sessionId,
      TIMMY_REQUEST: session.requestId,
      TIMMY_NOSTR_TOKEN: timmy.nostrToken,
      OPENAI_BASE_URL: `${recorder.url}/api/v1`,
      OPENAI_API_KEY: session.macaroon,
    });
    const exchanges = await recorder.exchanges();
    const faults = code === 0 ? [] : [`ended with ${code}`];
    if (program.conversation) faults.push(...faultsOf(exchanges, program.sends, await session.spentSats()));
    if (faults.length === 0) return ["passed", said.split("\n").filter((line) => line.startsWith("note:")).join("\n")];
    return [
      "failed",
      [...faults, ...exchanges.filter(({ status }) => status >= 400).map(shown), said.slice(-TAIL)].join("\n"),
    ];
  } finally {
    await recorder.stop();
  }
}

const shown = ({ method, path, body, status, answer }: Exchange) =>
  `${method} ${path} ${body.slice(0, 2_000)}\n  answered ${status}: ${answer.slice(0, 1_000)}`;

/** What the program's own audit says is wrong after everything. */
async function auditOf(dataDir: string): Promise<string[]> {
  const { stdout, stderr } = await new Deno.Command("sh", {
    args: [`${root}scripts/start.sh`, "audit"],
    cwd: root,
    env: { DENO: Deno.execPath(), DATA_DIR: dataDir, NO_COLOR: "1" },
  }).output();
  const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  return said.trim().split("\n").filter((line) => !line.startsWith("ok "));
}

async function main(args: readonly string[]): Promise<number> {
  const all = await findPrograms(`${root}tests/clients`);
  const [flag, only] = args;
  if (args.length > 0 && (flag !== "--only" || args.length !== 2 || !all.some(({ name }) => name === only))) {
    print(`deno task clients [--only NAME], and NAME is one of: ${all.map(({ name }) => name).join(", ")}`);
    return 2;
  }
  const counts: Record<Verdict, number> = { passed: 0, failed: 0, skipped: 0 };
  const tell = (verdict: Verdict, what: string, since: number, details: string) => {
    counts[verdict]++;
    const seconds = `${((performance.now() - since) / 1_000).toFixed(1)} s`;
    print(`${verdict.padEnd(7)} ${seconds.padStart(8)}  ${what}${verdict === "skipped" ? `: ${details}` : ""}`);
    if (verdict !== "skipped" && details !== "") print(indented(details));
  };
  const timmy = await startProcess(SETTINGS);
  const wallet = startWallet(timmy.url);
  try {
    const fixtures = await openFixtures(timmy.url, wallet.url);
    for (const program of all.filter(({ name }) => only === undefined || name === only)) {
      const since = performance.now();
      const [verdict, details] = await tryOut(program, fixtures, wallet.url);
      tell(verdict, [program.name, ...program.needs].join(" "), since, details);
    }
    const since = performance.now();
    const wrong = await auditOf(timmy.dataDir);
    tell(wrong.length === 0 ? "passed" : "failed", "the books after all of them", since, wrong.join("\n"));
  } finally {
    await wallet.stop();
    await timmy.kill();
    await Deno.remove(timmy.dataDir.replace(/\/data$/, ""), { recursive: true });
  }
  print(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  return counts.failed === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
