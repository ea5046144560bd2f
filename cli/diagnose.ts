import { lookup } from "node:dns/promises";
import { systemClock } from "@/lib/clock.ts";
import { ask, type Reach } from "@/lib/doctor/ask.ts";
import { clockFinding } from "@/lib/doctor/clock.rules.ts";
import { error, type Finding, ok, warning } from "@/lib/doctor/finding.ts";
import { checkAnthropic, checkEvaluation, checkLocalModel, type ModelChecked } from "@/lib/doctor/model.ts";
import { checkBackup, checkCompiledPlace, checkDisk, checkPermissions, type FreeBytes } from "@/lib/doctor/place.ts";
import { checkDns, checkOrigin, checkPort, type PortChecked, type Resolve, whoAnswers } from "@/lib/doctor/reach.ts";
import { checkLnbits, type WalletChecked } from "@/lib/doctor/wallet.ts";
import { freeBytes, isTaken } from "@/lib/store/data-dir.ts";
import { isLocalModel } from "@/lib/ai/model-name.ts";
import { auditChecks, openOnce } from "../audit.ts";
import { openModel, ratesFor, SettingError, STORE_FILE } from "../deps.ts";
import { type Env, EnvError } from "../env.ts";
import { listenedOn, originOf } from "../env-values.ts";
import { VERSION } from "../version.ts";
import { type Settings, type SettingsFile, settingsFindings, usable } from "./settings.ts";

/** What is outside: this machine's, or a test's. */
export interface World {
  reach: Reach;
  resolve: Resolve;
  freeBytes: FreeBytes;
}

export const thisWorld: World = {
  reach: { clock: systemClock, fetch },
  resolve: async (name) => (await lookup(name, { all: true })).map(({ address }) => address),
  freeBytes,
};

/** A copy of the database must leave this much room (bytes). */
const ROOM_BESIDE_COPY = 64 * 1024 * 1024;
const SIMULATED = "set it before anybody else is served: `timmyctl init`";

/** Everything, in the order in which it is told. */
export async function diagnose(
  settings: Settings,
  { file, audit, spend }: { file: SettingsFile | null; audit: boolean; spend: boolean },
  world: World,
): Promise<Finding[]> {
  const findings = settingsFindings(settings, file);
  const env = usable(settings);
  if (env instanceof EnvError) return findings;
  const [wallet, model, price, dns, disk, port] = await Promise.all([
    walletChecked(env, world),
    modelChecked(env, world),
    priceChecked(env, world),
    checkDns(hostsOf(settings), world.resolve),
    placeChecked(env, world),
    portChecked(env, world),
  ]);
  const skews = [wallet.skewMs, model.skewMs, ...price.skews].filter((skew) => skew !== null);
  return [
    ...findings,
    ok("version", `timmyctl ${VERSION}, Deno ${Deno.version.deno}, ${Deno.build.arch}`),
    ...wallet.findings,
    ...model.findings,
    ...(spend ? [await checkEvaluation(await openModel(env, systemClock), env.settings.evalModel)] : []),
    ...price.findings,
    clockFinding(world.reach.clock.now(), skews),
    ...disk,
    ...await checkPermissions(env.dataDir, file?.path ?? null),
    ...port.findings,
    ...await checkOrigin(env.settings.publicOrigin, isSet(settings), port.own, world.reach),
    ...dns,
    ...await databaseFindings(env, settings, world, audit),
    ...await backupFindings(settings, world),
  ];
}

const isSet = ({ PUBLIC_ORIGIN }: Settings) => PUBLIC_ORIGIN !== undefined && PUBLIC_ORIGIN.trim() !== "";

export async function walletChecked(env: Env, { reach }: World): Promise<WalletChecked> {
  const { lightning, settings } = env;
  if (lightning.kind === "lnbits") return await checkLnbits(lightning, settings.refundMaxFeeSats, reach);
  return { findings: [simulated("wallet", "Lightning is simulated: no real money moves", env)], skewMs: null };
}

/** While only this machine is served, that is how one begins. */
function simulated(check: "wallet" | "model", message: string, { settings }: Env): Finding {
  const { hostname } = new URL(settings.publicOrigin);
  return /^(localhost|127\.|\[::1\])/.test(hostname) ? ok(check, message) : warning(check, message, SIMULATED);
}

export async function modelChecked(env: Env, { reach }: World): Promise<ModelChecked> {
  const { anthropic, localModel, settings } = env;
  const names = [...new Set([settings.evalModel, settings.workModel, ...settings.chatModels])];
  const [local, hosted] = [names.filter(isLocalModel), names.filter((name) => !isLocalModel(name))];
  const checked = await Promise.all([
    anthropic && checkAnthropic(anthropic, hosted, reach),
    localModel && checkLocalModel(localModel, local, reach),
  ]);
  const found = checked.filter((one) => one !== undefined);
  const pretended = !anthropic && hosted.length > 0
    ? [simulated("model", `the model is simulated (${hosted.join(", ")}): answers are invented`, env)]
    : [];
  return {
    findings: [...found.flatMap(({ findings }) => findings), ...pretended, ...await unpriced(names, env)],
    ids: found.flatMap(({ ids }) => ids),
    skewMs: found.map((one) => one.skewMs).find((skew) => skew !== null) ?? null,
  };
}

/** The data folder, and whether the server beside this program may write to it. */
export async function placeChecked({ dataDir }: Env, { freeBytes }: World): Promise<Finding[]> {
  const compiled = Deno.build.standalone ? checkCompiledPlace(dataDir, Deno.cwd()) : [];
  return [...await checkDisk(dataDir, freeBytes), ...compiled];
}

/** Models that nobody knows a price of: a start is refused with one. */
async function unpriced(names: readonly string[], env: Env): Promise<Finding[]> {
  const found = await Promise.all(names.map(async (name) => {
    try {
      await ratesFor(name, env);
      return [];
    } catch (cause) {
      if (!(cause instanceof SettingError)) throw cause;
      return [error("model", cause.message, "timmy does not start without a price: set it, or name another model")];
    }
  }));
  return found.flat();
}

async function priceChecked(
  { btc }: Env,
  { reach }: World,
): Promise<{ findings: Finding[]; skews: (number | null)[] }> {
  const heard = await Promise.all(Object.values(btc.urls).map((url) => ask(reach, url)));
  const good = heard.filter((one) => !("silent" in one) && one.status === 200).length;
  return {
    findings: [
      good > 0 ? ok("price", `${good} of ${heard.length} sources of the bitcoin price answer`) : warning(
        "price",
        `no source of the bitcoin price answers: ${btc.fallbackUsd} USD is used`,
        "look at BTC_PRICE_URL and the two beside it, or set BTC_PRICE_USD_FALLBACK to what a bitcoin costs",
      ),
    ],
    skews: heard.map((one) => "silent" in one ? null : one.skewMs),
  };
}

export async function portChecked(env: Env, { reach }: World): Promise<PortChecked> {
  const at = await whoAnswers(originOf(listenedOn(env.host), env.port), reach);
  // A lock that may not be read is told of by the checks of permissions and the disk.
  const taken = await isTaken(env.dataDir).catch(() => false);
  return checkPort({ host: env.host, port: env.port, version: VERSION }, at, taken);
}

export async function originChecked(env: Env, settings: Settings, world: World): Promise<Finding[]> {
  const { own } = await portChecked(env, world);
  return await checkOrigin(env.settings.publicOrigin, isSet(settings), own, world.reach);
}

/** The hosts that settings name, with the names of those settings. */
function hostsOf(settings: Settings): Map<string, string[]> {
  const hosts = new Map<string, string[]>();
  for (const [name, value] of Object.entries(settings)) {
    const url = /_(URL|ORIGIN)$/.test(name) && value ? URL.parse(value.trim()) : null;
    if (url) hosts.set(url.hostname, [...hosts.get(url.hostname) ?? [], name]);
  }
  return hosts;
}

async function databaseFindings(env: Env, settings: Settings, world: World, audit: boolean): Promise<Finding[]> {
  const todo = "restore it from your backup (docs/operations/backup.md), or update the program if it is the older one";
  let size = 0;
  try {
    if (!env.kvUrl) ({ size } = await Deno.stat(`${env.dataDir}/${STORE_FILE}`));
  } catch (cause) {
    const { NotFound, NotADirectory } = Deno.errors;
    if (cause instanceof NotFound) return [ok("database", "there is none yet: the first start makes it")];
    const why = cause instanceof Error ? cause.name : "unknown";
    const folder = cause instanceof NotADirectory ? "correct DATA_DIR" : "run this as the user that runs timmy";
    return [error("database", `it cannot be looked at: ${why}`, folder)];
  }
  const free = env.kvUrl ? null : await world.freeBytes(env.dataDir);
  if (free !== null && free < size + ROOM_BESIDE_COPY) {
    return [warning("database", "not looked at: there is no room for a copy of it", "make room, then ask again")];
  }
  const { DENO_KV_ACCESS_TOKEN: token } = settings;
  // Deno looks for it in the environment alone.
  if (env.kvUrl && token) Deno.env.set("DENO_KV_ACCESS_TOKEN", token);
  try {
    await openOnce(env);
    if (!audit) return [ok("database", "it can be read")];
    const checks = await auditChecks(env);
    const failed = checks.filter((check) => !check.ok).map(({ name, detail }) =>
      error("audit", `${name}: ${detail}`, "stop taking payments, keep a copy of DATA_DIR, and find out why")
    );
    return [
      ok("database", "it can be read"),
      ...(failed.length > 0 ? failed : [ok("audit", `the ledger is right: ${checks.length} checks`)]),
    ];
  } catch (cause) {
    return [error("database", cause instanceof Error ? cause.message : "it cannot be read", todo)];
  }
}

async function backupFindings(settings: Settings, { reach }: World): Promise<Finding[]> {
  const { BACKUP_DIR: folder, BACKUP_EVERY_HOURS: hours } = settings;
  if (folder) return [await checkBackup(folder, Number(hours) || 24, reach.clock.now())];
  if (!settings.LNBITS_URL) return [];
  return [warning("backup", "no folder of backups is set", "copy DATA_DIR away regularly (docs/operations/backup.md)")];
}
