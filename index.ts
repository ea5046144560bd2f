import { assemble } from "./assemble.ts";
import { auditInstance } from "./audit.ts";
import { type Instance, openInstance, SettingError } from "./deps.ts";
import { type Env, ENV_NAMES, EnvError, parseEnv } from "./env.ts";
import { listenedOn, originOf } from "./env-values.ts";
import { BackupError } from "@/lib/backup/archive.ts";
import { sleep, systemClock } from "@/lib/clock.ts";
import { DataDirError } from "@/lib/store/data-dir.ts";
import { StoreError } from "@/lib/store/store.ts";
import { createLogger } from "@/lib/http/logger-pino.ts";
import type { Logger } from "@/lib/logger.ts";
import { CTL_COMMANDS, isCtlCommand } from "./cli/names.ts";
import { buildInfo } from "./cli/version.ts";
import { COMMIT, VERSION } from "./version.ts";

/** How long running tasks may finish when the process is asked to stop (ms); what does not is taken up at the next start. */
const STOP_GRACE_MS = 8_000;
/** Signals this close together are one (ms). */
const SAME_SIGNAL_MS = 1_000;
/** How long open connections may finish (ms). */
const DRAIN_MS = 3_000;

const USAGE = `timmy ${VERSION}

  timmy            start the server
  timmy audit      prove the ledger, one line a check; exit code 1 when one fails
  timmy health     ask a running server on HOST:PORT; exit code 1 when it does not answer
  timmy version    print the version, with --json also the commit and what it was made with

timmyctl, the program beside this one, has ${
  Object.keys(CTL_COMMANDS).filter((name) => name !== "version" && name !== "help").join(", ")
}.
Settings come from environment variables; .env.example lists them all.
`;

async function main(args: readonly string[]): Promise<number> {
  const command = args[0] ?? "start";
  if (command === "version") return version(args.slice(1));
  if (command === "help") return print(USAGE);
  if (!["start", "audit", "health"].includes(command)) {
    if (!isCtlCommand(command)) return print(USAGE, 2);
    return fail(`${command} is a command of the program beside this one: timmyctl ${command}`, 2);
  }
  let env: Env;
  try {
    env = parseEnv(Object.fromEntries(ENV_NAMES.map((name) => [name, Deno.env.get(name)])));
  } catch (error) {
    if (!(error instanceof EnvError)) throw error;
    return fail(error.message);
  }
  try {
    if (command === "audit") return await auditInstance(env, print);
    if (command === "health") return await health(env);
    return await serve(env);
  } catch (error) {
    if ([DataDirError, StoreError, SettingError, BackupError].some((kind) => error instanceof kind)) {
      return fail((error as Error).message);
    }
    throw error;
  }
}

/** Opens everything, serves until a signal comes, and closes everything in the opposite order. */
async function serve(env: Env): Promise<number> {
  const log = createLogger({ level: env.logLevel });
  const instance = await openInstance(env, log);
  const timmy = assemble({ ...instance, http: env.http, version: VERSION, commit: COMMIT });
  await timmy.start();
  // Simulated nodes report to this instance, and real ones must not be touched before it knows what it has paid.
  timmy.serving.then(() => instance.start());
  let server: Deno.HttpServer;
  try {
    server = Deno.serve(
      { hostname: env.host, port: env.port, onListen: () => summary(env, instance) },
      (request, info) => timmy.app.fetch(request, { remoteAddr: info.remoteAddr as Deno.NetAddr }),
    );
  } catch (error) {
    await timmy.stop(0);
    await instance.close();
    const why = error instanceof Deno.errors.AddrInUse ? "something else listens there" : (error as Error).message;
    return fail(`cannot listen on ${env.host}:${env.port}: ${why}. Set HOST or PORT.`);
  }

  await stopSignal(log);
  await Promise.race([server.shutdown(), sleep(systemClock, DRAIN_MS)]);
  await timmy.stop(STOP_GRACE_MS);
  await instance.close();
  log.info({}, "stopped");
  return 0;
}

/** Resolves at the first SIGINT or SIGTERM; the second one ends the process at once. */
function stopSignal(log: Logger): Promise<void> {
  return new Promise((resolve) => {
    let first = 0;
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      Deno.addSignalListener(signal, () => {
        const now = systemClock.now();
        // One Ctrl-C may arrive twice: from the terminal, and passed on by the task runner that started us.
        if (first > 0 && now - first > SAME_SIGNAL_MS) Deno.exit(1);
        if (first > 0) return;
        first = now;
        log.info({ signal }, "stopping; a second signal ends the process at once");
        resolve();
      });
    }
  });
}

/** For the person who started it: where it listens, what is real, where the data lies. */
function summary(env: Env, instance: Instance): void {
  const { wallet, model, cloud, settings } = instance.services;
  const named = (backend: { name: string; simulated: boolean }) =>
    backend.simulated ? "simulated: no real one is used" : `${backend.name} (real)`;
  print([
    `Timmy ${VERSION} listens on http://${env.host}:${env.port}  (API: ${settings.publicOrigin}/api/reference)`,
    `  Lightning  ${named(wallet)}`,
    `  Nodes      ${named(cloud)}`,
    `  Model      ${named(model)}; ${settings.evalModel} evaluates, ${settings.workModel} works`,
    ...(instance.dev?.localOnly
      ? [`  Development routes are on for this machine: ${dangerOf(wallet)}. NODE_ENV=production ends that`]
      : []),
    `  Process    ${Deno.pid}`,
    `  Data       ${env.kvUrl ? "a KV Connect server; secrets in " : ""}${env.dataDir}`,
  ].join("\n"));
}

const dangerOf = (wallet: { simulated: boolean }) =>
  wallet.simulated ? "they buy a real model's answers with pretended sats" : "they pay invoices with your money";

async function health(env: Env): Promise<number> {
  try {
    const response = await fetch(`${originOf(listenedOn(env.host), env.port)}/api/health`, {
      signal: AbortSignal.timeout(3_000),
    });
    await response.body?.cancel();
    return response.ok ? print("ok") : fail(`answered ${response.status}`);
  } catch {
    return fail("no answer");
  }
}

function print(text: string, code = 0): number {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
  return code;
}

function fail(message: string, code = 1): number {
  Deno.stderr.writeSync(new TextEncoder().encode(`timmy: ${message}\n`));
  return code;
}

/** The bare version, as scripts read it; `--json` all that this program knows of itself. */
function version([flag]: readonly string[]): number {
  if (flag === "--json") return print(JSON.stringify(buildInfo()));
  return flag === undefined ? print(VERSION) : print(USAGE, 2);
}

if (import.meta.main) Deno.exit(await main(Deno.args));
