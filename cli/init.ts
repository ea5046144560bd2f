import { quoted, type Setting, withSettings } from "@/lib/doctor/env-file.rules.ts";
import { type Finding, worst } from "@/lib/doctor/finding.ts";
import { argumentsOf, type Command, EXIT, type Io } from "./command.ts";
import { thisWorld, type World } from "./diagnose.ts";
import { doctor, linesOf } from "./doctor.ts";
import { lookedAt, type Patch, type Question, QUESTIONS } from "./questions.ts";
import {
  ENV_FILE,
  fileError,
  problemsOf,
  readSettingsFile,
  refusingFiles,
  type Settings,
  type SettingsFile,
} from "./settings.ts";
import { type Terminal, thisTerminal } from "./terminal.ts";

export const command: Command = {
  usage: "[--env FILE] [--yes] [--overwrite] [--data-dir FOLDER] [--wallet URL|simulated]\n" +
    "         [--model anthropic|URL|simulated] [--port NUMBER] [--origin https://…|none]",
  help:
    `Asks five questions, each with a default (Enter), and looks at each answer at once: where the data lies, the Lightning
wallet, the model, the port, the public address. Then it writes FILE (without it .env here), for its owner alone, keeps what
else stood in it, has \`timmyctl doctor\` look at all of it, and says how to start.

  --yes        takes every default; needs no terminal
  --overwrite  changes a FILE that is there without asking

An option answers its question beforehand. Keys are typed and not shown, never given as options,
which others see in the list of processes: without a terminal they come from the environment
(LNBITS_API_KEY, LNBITS_ADMIN_KEY, LOCAL_MODEL_API_KEY, AI_INTEGRATIONS_ANTHROPIC_API_KEY) or from
FILE.

Exit codes: 0 written, and no error was found; 1 not written, or there are errors; 2 not understood.`,
  run: (args, io) => init(args, io, thisTerminal(), thisWorld),
};

const KEYS = ["LNBITS_API_KEY", "LNBITS_ADMIN_KEY", "LOCAL_MODEL_API_KEY", "AI_INTEGRATIONS_ANTHROPIC_API_KEY"];

/** What stands above each setting in a new file. */
const COMMENTS: Readonly<Record<string, string>> = {
  DATA_DIR: "Database, lock and keys: back up all of it",
  LNBITS_URL: "The LNbits server; without it Lightning is simulated",
  LNBITS_API_KEY: "The wallet's invoice/read key: takes money",
  LNBITS_ADMIN_KEY: "The admin key of the same wallet: pays refunds",
  AI_INTEGRATIONS_ANTHROPIC_API_KEY: "Anthropic's API key; without it its models are simulated",
  LOCAL_MODEL_BASE_URL: "An OpenAI-compatible server, for models named local/…",
  LOCAL_MODEL_API_KEY: "Its key",
  EVAL_MODEL: "Who decides whether a request is taken",
  WORK_MODEL: "Who answers it",
  PORT: "Where it listens, on 127.0.0.1 unless HOST says otherwise",
  PUBLIC_ORIGIN: "The address that people use; changing it ends the tokens of those who signed in",
  NODE_ENV: "No development routes, which would pay invoices with your money",
};
const HEAD = "# Settings of Timmy, written by timmyctl init. Keys stand here: it is for its owner alone.\n" +
  "# .env.example lists every other setting; add what you need.\n\n";

/** @param terminal null where nobody types */
export const init = (args: readonly string[], io: Io, terminal: Terminal | null, world: World): Promise<number> =>
  refusingFiles("init", io, () => ask(args, io, terminal, world));

async function ask(args: readonly string[], io: Io, terminal: Terminal | null, world: World): Promise<number> {
  const given = argumentsOf(args, {
    env: "text",
    yes: "flag",
    overwrite: "flag",
    "data-dir": "text",
    wallet: "text",
    model: "text",
    port: "text",
    origin: "text",
  });
  if (!given) return EXIT.usage;
  const { env: path = ENV_FILE, yes = false, overwrite = false } = given;
  const asked = yes ? null : terminal;
  const refuse = (why: string): number => {
    io.err(`timmyctl init: ${why}`);
    return EXIT.refused;
  };
  if (!yes && !terminal && QUESTIONS.some(({ flag }) => given[flag] === undefined)) {
    io.err(
      "timmyctl init: nobody can be asked, since this is no terminal: add --yes, or answer each question by its option",
    );
    return EXIT.usage;
  }
  const file = await readSettingsFile(path);
  if (file && file.wrong.length > 0) {
    return refuse(`line ${file.wrong[0]} of ${path} is no NAME=value: correct it first`);
  }
  let settings = startingWith(file, asked === null);
  const unasked = problemsOf(settings).filter((text) =>
    !QUESTIONS.some(({ about }) => about.some((name) => text.includes(name)))
  );
  if (unasked.length > 0) return refuse(`correct this in ${path} first:\n  ${unasked.join("\n  ")}`);

  const patch: Record<string, string | null> = {};
  for (const [i, question] of QUESTIONS.entries()) {
    const title = `${i + 1}/${QUESTIONS.length}  ${question.text}`;
    const answered = await answer(question, title, given[question.flag], settings, { io, terminal: asked, world });
    if (!answered) return refuse(`nothing was written`);
    Object.assign(patch, answered);
    settings = patched(settings, answered);
  }
  if (patch.LNBITS_URL && patch.PUBLIC_ORIGIN && settings.NODE_ENV === undefined) patch.NODE_ENV = "production";

  const text = textOf(file, patch);
  if (text !== file?.text) {
    if (
      file && !overwrite && !await agreed(asked, `${path} is there. Change it, and keep what else it says? [y/N]: `)
    ) {
      return refuse(`${path} is there and was left as it is: answer y, or add --overwrite`);
    }
    await written(path, text);
  }
  io.out(`\n${path} ${text === file?.text ? "says all of it already" : "is written"}. What timmyctl doctor says:\n`);
  const code = await doctor(["--env", path], io, world);
  io.out(code === EXIT.ok ? nextSteps(path, settings) : "\nCorrect the errors, then run `timmyctl doctor` again.");
  return code;
}

/** What the file says; where nobody types, keys of the environment too. */
function startingWith(file: SettingsFile | null, fromEnvironment: boolean): Settings {
  const keys = fromEnvironment ? KEYS.map((name) => [name, Deno.env.get(name)] as const) : [];
  return { ...file?.values, ...Object.fromEntries(keys.filter(([, value]) => value !== undefined)) };
}

const patched = (settings: Settings, patch: Patch): Settings => ({
  ...settings,
  ...Object.fromEntries(Object.entries(patch).map(([name, value]) => [name, value ?? undefined])),
});

interface Asking {
  io: Io;
  terminal: Terminal | null;
  world: World;
}

/**
 * Asks until an answer is good. What an option answered is looked at once.
 * @returns null when it is not, or the input has ended
 */
async function answer(
  question: Question,
  title: string,
  option: string | undefined,
  settings: Settings,
  { io, terminal, world }: Asking,
): Promise<Patch | null> {
  const proposed = option ?? await question.proposed(settings, world);
  const asks = option === undefined && terminal !== null;
  for (;;) {
    const typed = asks ? await terminal.line(`\n${title} [${proposed}]: `) : proposed;
    if (typed === null) return null;
    if (!asks) io.out(`\n${title}: ${proposed}`);
    const patch = await question.patch(typed.trim() || proposed, settings, terminal, world);
    if (patch === null) return null;
    const unkept = Object.entries(patch).find(([, value]) => value !== null && quoted(value) === null);
    const findings: Finding[] = unkept
      ? [{
        check: "settings",
        severity: "error",
        message: `${unkept[0]} holds ', \\ or a line break`,
        todo: "use another",
      }]
      : await lookedAt(question, patch, patched(settings, patch), world);
    for (const line of linesOf(findings)) io.out(line);
    if (worst(findings) !== "error") return patch;
    if (!asks) return null;
  }
}

async function agreed(terminal: Terminal | null, prompt: string): Promise<boolean> {
  return /^y(es)?$/i.test((await terminal?.line(`\n${prompt}`))?.trim() ?? "");
}

function textOf(file: SettingsFile | null, patch: Patch): string {
  const settings: Setting[] = Object.entries(patch).map(([name, value]) => ({
    name,
    value,
    comment: COMMENTS[name] ?? name,
  }));
  return withSettings(file?.text ?? HEAD, settings);
}

/** Written whole and flushed under another name first: a crash leaves the old file or the new one. @throws {SettingsFileError} */
async function written(path: string, text: string): Promise<void> {
  const draft = `${path}.new`;
  try {
    await Deno.remove(draft).catch((cause) => {
      if (!(cause instanceof Deno.errors.NotFound)) throw cause;
    });
    using file = await Deno.open(draft, { createNew: true, write: true, mode: 0o600 });
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
    await file.syncData();
    await Deno.rename(draft, path);
  } catch (cause) {
    throw fileError(`${path} cannot be written`, cause);
  }
}

function nextSteps(path: string, { PORT }: Settings): string {
  const root = new URL("../", import.meta.url).pathname;
  const place = path.includes("/") ? path : `./${path}`;
  const start = Deno.build.standalone
    ? `set -a; . ${place}; set +a; ./timmy`
    : path === ENV_FILE && root === `${Deno.cwd()}/`
    ? "deno task start"
    : `TIMMY_ENV_FILE=${path.startsWith("/") ? path : `${Deno.cwd()}/${path}`} sh ${root}scripts/start.sh`;
  return `
Next, start it:
  ${start}
then see it work: http://127.0.0.1:${PORT}/api/reference; docs/install.md leads to the first paid job.`;
}
