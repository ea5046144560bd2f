import { error, type Finding } from "@/lib/doctor/finding.ts";
import { isLocalModel, LOCAL_PREFIX } from "@/lib/ai/model-name.ts";
import { checkLocalModel } from "@/lib/doctor/model.ts";
import { type Env, EnvError } from "../env.ts";
import { lnbits, modelServer } from "../env-values.ts";
import { modelChecked, originChecked, placeChecked, portChecked, walletChecked, type World } from "./diagnose.ts";
import { type Settings, usable } from "./settings.ts";
import type { Terminal } from "./terminal.ts";

/** What an answer sets; null takes a setting out. */
export type Patch = Readonly<Record<string, string | null>>;

/** One of the questions of `init`. */
export interface Question {
  /** The option that answers it. */
  flag: "data-dir" | "wallet" | "model" | "port" | "origin";
  text: string;
  /** What Enter means. @param settings what was answered so far, and what the file says */
  proposed(settings: Settings, world: World): Promise<string> | string;
  /**
   * An answer as settings. Keys that belong to it are asked from `terminal`, or taken from `settings` where nobody types.
   * @returns null when the input has ended
   */
  patch(answer: string, settings: Settings, terminal: Terminal | null, world: World): Promise<Patch | null>;
  /** The settings that are looked at together: those that this question is about. */
  about: readonly string[];
  /** Looks at the answer, as `doctor` does. */
  check(env: Env, settings: Settings, world: World): Promise<readonly Finding[]>;
}

const SIMULATED = "simulated";
const NONE = "none";
const PORTS = 20;

/** A key that is typed unseen; Enter keeps the one that is there. Null: the input has ended. */
async function keyOf(
  name: string,
  what: string,
  settings: Settings,
  terminal: Terminal | null,
): Promise<Patch | null> {
  const old = settings[name] ?? null;
  if (!terminal) return { [name]: old };
  const empty = old === null ? "Enter: none" : "Enter: keep it";
  const typed = await terminal.secret(`   ${what} (not shown; ${empty}): `);
  return typed === null ? null : { [name]: typed.trim() || old };
}

const dataDir: Question = {
  flag: "data-dir",
  text: "Where shall the data lie? A folder",
  proposed: ({ DATA_DIR }) => DATA_DIR ?? "./data",
  // A shell would have put the home folder in place of ~; the server does not.
  patch: (answer) => Promise.resolve({ DATA_DIR: answer.replace(/^~(?=\/|$)/, Deno.env.get("HOME") ?? "~") }),
  about: ["DATA_DIR"],
  check: (env, _settings, world) => placeChecked(env, world),
};

const wallet: Question = {
  flag: "wallet",
  text: `Lightning: the address of your LNbits server, or ${SIMULATED}`,
  proposed: ({ LNBITS_URL }) => LNBITS_URL ?? SIMULATED,
  async patch(answer, settings, terminal) {
    if (answer === SIMULATED) return { LNBITS_URL: null, LNBITS_API_KEY: null, LNBITS_ADMIN_KEY: null };
    if (!lnbits.safeParse(answer).success) return { LNBITS_URL: answer };
    const invoice = await keyOf("LNBITS_API_KEY", "the wallet's invoice/read key", settings, terminal);
    const admin = invoice && await keyOf("LNBITS_ADMIN_KEY", "its admin key, which pays refunds", settings, terminal);
    return admin && { LNBITS_URL: answer, ...invoice, ...admin };
  },
  about: ["LNBITS_URL", "LNBITS_API_KEY", "LNBITS_ADMIN_KEY", "REFUND_MAX_FEE_SATS"],
  check: async (env, _settings, world) => (await walletChecked(env, world)).findings,
};

const ANTHROPIC_KEY = "AI_INTEGRATIONS_ANTHROPIC_API_KEY";

const model: Question = {
  flag: "model",
  text: `Model: anthropic, the address of an OpenAI-compatible server (http://127.0.0.1:11434/v1), or ${SIMULATED}`,
  proposed: (settings) => settings.LOCAL_MODEL_BASE_URL ?? (settings[ANTHROPIC_KEY] ? "anthropic" : SIMULATED),
  async patch(answer, settings, terminal, world) {
    const hosted = (name: "EVAL_MODEL" | "WORK_MODEL") => {
      const value = settings[name];
      return value === undefined || isLocalModel(value) ? null : value;
    };
    const without = {
      LOCAL_MODEL_BASE_URL: null,
      LOCAL_MODEL_API_KEY: null,
      EVAL_MODEL: hosted("EVAL_MODEL"),
      WORK_MODEL: hosted("WORK_MODEL"),
    };
    if (answer === SIMULATED) return { ...without, [ANTHROPIC_KEY]: null };
    if (answer === "anthropic") {
      const key = await keyOf(ANTHROPIC_KEY, "Anthropic's API key", settings, terminal);
      return key && { ...without, ...key };
    }
    if (!modelServer.safeParse(answer).success) return { LOCAL_MODEL_BASE_URL: answer };
    const key = await keyOf("LOCAL_MODEL_API_KEY", "its key", settings, terminal);
    const name = key && await localModelOf(answer, key.LOCAL_MODEL_API_KEY, settings, terminal, world);
    return name === null || key === null ? null : {
      [ANTHROPIC_KEY]: settings[ANTHROPIC_KEY] ?? null,
      LOCAL_MODEL_BASE_URL: answer,
      ...key,
      EVAL_MODEL: name,
      WORK_MODEL: name,
    };
  },
  about: [
    ANTHROPIC_KEY,
    "AI_INTEGRATIONS_ANTHROPIC_BASE_URL",
    "LOCAL_MODEL_BASE_URL",
    "LOCAL_MODEL_API_KEY",
    "EVAL_MODEL",
    "WORK_MODEL",
    "CHAT_MODELS",
  ],
  check: async (env, _settings, world) => (await modelChecked(env, world)).findings,
};

/** The model that is asked at a server: the one that is set, else the first that it lists. Null: the input has ended. */
async function localModelOf(
  address: string,
  apiKey: string | null | undefined,
  settings: Settings,
  terminal: Terminal | null,
  world: World,
): Promise<string | null> {
  const server = { baseURL: modelServer.parse(address), ...(apiKey && { apiKey }) };
  const { ids } = await checkLocalModel(server, [], world.reach);
  const set = settings.WORK_MODEL?.startsWith(LOCAL_PREFIX)
    ? settings.WORK_MODEL.slice(LOCAL_PREFIX.length)
    : undefined;
  const known = set !== undefined && (ids.length === 0 || ids.includes(set)) ? set : ids[0] ?? "default";
  // One that does not answer is refused anyway: its model is not asked for.
  if (!terminal || ids.length === 0) return LOCAL_PREFIX + known;
  const typed = await terminal.line(`   which of its models (${ids.slice(0, 8).join(", ")}) [${known}]: `);
  return typed === null ? null : LOCAL_PREFIX + (typed.trim() || known);
}

const port: Question = {
  flag: "port",
  text: "Which port shall it listen on?",
  async proposed(settings, world) {
    if (settings.PORT !== undefined) return settings.PORT;
    for (let port = 8_080; port < 8_080 + PORTS; port++) {
      const env = usable({ HOST: settings.HOST, DATA_DIR: settings.DATA_DIR, PORT: String(port) });
      if (env instanceof EnvError) break;
      const { findings } = await portChecked(env, world);
      if (findings.every(({ severity }) => severity !== "error")) return String(port);
    }
    return "8080";
  },
  patch: (answer) => Promise.resolve({ PORT: answer }),
  about: ["HOST", "PORT", "DATA_DIR"],
  check: async (env, _settings, world) => (await portChecked(env, world)).findings,
};

const origin: Question = {
  flag: "origin",
  text: `The address that people will use (https://…), or ${NONE} for this machine alone`,
  proposed: ({ PUBLIC_ORIGIN }) => PUBLIC_ORIGIN ?? NONE,
  patch: (answer) => Promise.resolve({ PUBLIC_ORIGIN: answer === NONE ? null : answer }),
  about: ["HOST", "PORT", "DATA_DIR", "PUBLIC_ORIGIN"],
  check: originChecked,
};

export const QUESTIONS: readonly Question[] = [dataDir, wallet, model, port, origin];

/**
 * Looks at one answer: what is wrong with it by itself and beside the other settings, and then what the world says to it.
 * @param settings with the answer in it
 */
export async function lookedAt(question: Question, patch: Patch, settings: Settings, world: World): Promise<Finding[]> {
  const todo = `correct ${Object.keys(patch).join(", ")}`;
  const own = usable(Object.fromEntries(question.about.map((name) => [name, settings[name]])));
  const all = usable(settings);
  const said = all instanceof EnvError ? all.problems : [];
  const beside = said.filter((problem) => Object.keys(patch).some((name) => problem.includes(name)));
  const problems = new Set([...own instanceof EnvError ? own.problems : [], ...beside]);
  if (problems.size > 0 || own instanceof EnvError) {
    return [...problems].map((problem) => error("settings", problem, todo));
  }
  return [...await question.check(own, settings, world)];
}
