/**
 * Kills the real process at random points under load, and compares ledger, wallet and every answer a payer ever got.
 *
 *   deno task crash [--kills N] [--seed S] [--payers N] [--keep] [--binary PATH]
 *   deno task crash --naive      the same against a server with the usual mistakes: must fail
 *   deno task crash --control    passes only when the naive server is fine without kills and caught with them
 */
import { ENV_NAMES } from "@/env.ts";
import { freePort, type Program } from "@/tests/crash/process.ts";
import { SLOW_MODEL } from "@/tests/crash/session-payer.ts";
import { startUpstream } from "@/tests/crash/upstream.ts";
import { isClean, tableOf } from "@/tests/crash/report.ts";
import { type Report, run } from "@/tests/crash/run.ts";

export interface CrashArgs {
  kills: number;
  seed: number;
  payers: number;
  /** The data stays where it is, for a closer look. */
  keep: boolean;
  naive: boolean;
  control: boolean;
  /** A compiled program to kill in place of the sources. */
  binary: string | null;
}

const NUMBERS = { "--kills": "kills", "--seed": "seed", "--payers": "payers" } as const;
const FLAGS = { "--keep": "keep", "--naive": "naive", "--control": "control" } as const;

const DRAIN_MS = 60_000;
/** The naive server's jobs hang for good: there is nothing to wait for. */
const NAIVE_DRAIN_MS = 5_000;
const CONTROL_KILLS = 12;

/** @param seed the seed unless one is named. @throws Error that says which argument is wrong. */
export function parseArgs(args: readonly string[], seed: number): CrashArgs {
  const parsed: CrashArgs = { kills: 50, seed, payers: 24, keep: false, naive: false, control: false, binary: null };
  for (let at = 0; at < args.length; at++) {
    const name = args[at] ?? "";
    if (name in FLAGS) parsed[FLAGS[name as keyof typeof FLAGS]] = true;
    else if (name in NUMBERS) {
      const value = args[++at] ?? "";
      if (!/^\d{1,9}$/.test(value)) throw new Error(`${name} needs a whole number`);
      parsed[NUMBERS[name as keyof typeof NUMBERS]] = Number(value);
    } else if (name === "--binary") {
      parsed.binary = args[++at] ?? null;
      if (!parsed.binary) throw new Error("--binary needs a path");
    } else {
      throw new Error(
        `there is no option ${name}: use --kills N, --seed S, --payers N, --keep, --binary PATH, --naive or --control`,
      );
    }
  }
  if (parsed.payers === 0) throw new Error("--payers needs at least one: without load there is nothing to lose");
  return parsed;
}

const print = (line: string) => void Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));

/** Settings of the run; everything else of this process's environment that is no setting goes along (caches, proxies). */
function environment(settings: Record<string, string>): Record<string, string> {
  const rest = Object.entries(Deno.env.toObject()).filter(([name]) =>
    !ENV_NAMES.includes(name as never) && !/^DENO_KV_/.test(name)
  );
  return { ...Object.fromEntries(rest), ...settings };
}

function programOf(args: CrashArgs, naive: boolean, folder: string, port: number, modelUrl: string): Program {
  const root = `${import.meta.dirname}/..`;
  const env = environment({
    DENO: Deno.execPath(),
    NO_COLOR: "1",
    DATA_DIR: `${folder}/data`,
    PORT: String(port),
    LOG_LEVEL: "warn",
    RATE_LIMIT_PER_MINUTE: "0",
    RATE_LIMIT_CHALLENGES_PER_MINUTE: "0",
    INVOICE_EXPIRY_SECONDS: "86400",
    LOCAL_MODEL_BASE_URL: modelUrl,
    LOCAL_INPUT_COST_PER_1K_TOKENS: "0.01",
    LOCAL_OUTPUT_COST_PER_1K_TOKENS: "0.05",
    CHAT_MODELS: `claude-sonnet-4-6,${SLOW_MODEL}`,
    // Nobody listens there: the run asks no one outside this machine for a price.
    BTC_PRICE_URL: "http://127.0.0.1:9/",
    BTC_PRICE_SECOND_URL: "http://127.0.0.1:9/",
    BTC_PRICE_THIRD_URL: "http://127.0.0.1:9/",
  });
  const start = ["sh", "scripts/start.sh"] as const;
  if (naive) {
    const permissions = ["--allow-net=127.0.0.1", "--allow-env", `--allow-read=${folder}`, `--allow-write=${folder}`];
    const serve = [
      Deno.execPath(),
      "run",
      "--config",
      "dev/deno.json",
      "--quiet",
      "--no-prompt",
      "--frozen",
      ...permissions,
      "tests/crash/naive.ts",
    ] as const;
    return { serve, audit: [...start, "audit"], env, cwd: root };
  }
  if (args.binary === null) return { serve: start, audit: [...start, "audit"], env, cwd: root };
  // The permissions of a binary name ./data: it is started beside its own.
  const binary = Deno.realPathSync(args.binary);
  return { serve: [binary], audit: [binary, "audit"], env: { ...env, DATA_DIR: "./data" }, cwd: folder };
}

async function attempt(args: CrashArgs, naive: boolean, kills: number): Promise<Report> {
  const folder = await Deno.makeTempDir({ prefix: "timmy-crash-" });
  const port = freePort();
  const copyDir = `${folder}/copy`;
  await Deno.mkdir(copyDir);
  const upstream = startUpstream();
  try {
    return await run({
      program: programOf(args, naive, folder, port, upstream.url),
      upstream,
      origin: `http://127.0.0.1:${port}`,
      dataDir: `${folder}/data`,
      copyDir,
      kills,
      seed: args.seed,
      payers: args.payers,
      drainMs: naive ? NAIVE_DRAIN_MS : DRAIN_MS,
      print,
    });
  } finally {
    await upstream.stop();
    if (args.keep) print(`the data lies in ${folder}`);
    else await Deno.remove(folder, { recursive: true });
  }
}

/** The harness itself on trial: the naive server is fine while it lives, and found out when it is killed. */
async function control(args: CrashArgs): Promise<boolean> {
  const calm = await attempt(args, true, 0);
  print(`${tableOf(calm, 0)}\n`);
  if (!isClean(calm, 0)) {
    print("CONTROL FAILED: the naive server was accused although nobody killed it");
    return false;
  }
  const killed = await attempt(args, true, CONTROL_KILLS);
  print(`${tableOf(killed, CONTROL_KILLS)}\n`);
  const kindsOf = (sessions: boolean) =>
    new Set(killed.violations.filter(({ session }) => (session ?? false) === sessions).map(({ kind }) => kind));
  const isCaught = (kinds: Set<string>) =>
    kinds.has("stuck") && (["paid twice", "books", "contradiction", "audit"] as const).some((kind) => kinds.has(kind));
  const [jobs, sessions] = [kindsOf(false), kindsOf(true)];
  const caught = isCaught(jobs) && isCaught(sessions);
  const found = `jobs: ${[...jobs].join(", ") || "nothing"}; sessions: ${[...sessions].join(", ") || "nothing"}`;
  print(
    caught
      ? `control: the naive server was caught (${found})`
      : `CONTROL FAILED: the naive server was not caught (${found})`,
  );
  return caught;
}

async function main(): Promise<number> {
  let args: CrashArgs;
  try {
    args = parseArgs(Deno.args, crypto.getRandomValues(new Uint16Array(1))[0] ?? 1);
  } catch (error) {
    print((error as Error).message);
    return 2;
  }
  if (args.control) return await control(args) ? 0 : 1;
  const report = await attempt(args, args.naive, args.kills);
  print(`\n${tableOf(report, args.kills)}`);
  return isClean(report, args.kills) ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
