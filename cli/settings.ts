import { parseEnvFile } from "@/lib/doctor/env-file.rules.ts";
import { error, type Finding, ok, warning } from "@/lib/doctor/finding.ts";
import { EXIT, type Io } from "./command.ts";
import { type Env, ENV_NAMES, EnvError, parseEnv } from "../env.ts";

/** The file of settings when none is named, in the folder where the command is typed. */
export const ENV_FILE = ".env";
/** Read by others than the server: backups, the scripts. */
const OTHERS = /^(BACKUP|TIMMY|DENO)_/;

export type Settings = Readonly<Record<string, string | undefined>>;

/** A file of settings that was read. */
export interface SettingsFile {
  path: string;
  text: string;
  values: Readonly<Record<string, string>>;
  /** Numbers of lines that are no settings. */
  wrong: readonly number[];
}

/** A file of settings that cannot be read or written; the message says which, and why. */
export class SettingsFileError extends Error {
  override name = "SettingsFileError";
}

/** What the system said, as the reason of a {@link SettingsFileError}; anything else goes on. */
export function fileError(what: string, cause: unknown): SettingsFileError {
  const { code } = cause as { code?: unknown };
  if (!(cause instanceof Error) || typeof code !== "string") throw cause;
  return new SettingsFileError(`${what}: ${cause.message}`, { cause });
}

/** @returns null when the file is not there. @throws {SettingsFileError} */
export async function readSettingsFile(path: string): Promise<SettingsFile | null> {
  try {
    const text = await Deno.readTextFile(path);
    return { path, text, ...parseEnvFile(text) };
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return null;
    throw fileError(`${path} cannot be read`, cause);
  }
}

/** Runs a command; a file that cannot be read or written is its refusal. */
export async function refusingFiles(name: string, io: Io, run: () => Promise<number>): Promise<number> {
  try {
    return await run();
  } catch (cause) {
    if (!(cause instanceof SettingsFileError)) throw cause;
    io.err(`timmyctl ${name}: ${cause.message}`);
    return EXIT.refused;
  }
}

/** What a start would see: the file, and before it what this environment sets, as Deno's --env-file reads it. */
export function settingsWith(file: SettingsFile | null): Settings {
  const names = [...ENV_NAMES, "BACKUP_DIR", "BACKUP_EVERY_HOURS"];
  return Object.fromEntries(names.map((name) => [name, Deno.env.get(name) ?? file?.values[name]]));
}

/** Everything that is wrong with settings; none of their values. */
export function problemsOf(settings: Settings): readonly string[] {
  const parsed = usable(settings);
  return parsed instanceof EnvError ? parsed.problems : [];
}

/** The settings as the program uses them, or why it cannot. */
export function usable(settings: Settings): Env | EnvError {
  try {
    return parseEnv(settings);
  } catch (cause) {
    if (cause instanceof EnvError) return cause;
    throw cause;
  }
}

/** All that is wrong with the settings at once. */
export function settingsFindings(settings: Settings, file: SettingsFile | null): Finding[] {
  const where = file?.path ?? "the environment";
  const todo = `correct it in ${where}; .env.example says what each setting may be`;
  const findings = [
    ...problemsOf(settings).map((problem) => error("settings", problem, todo)),
    ...(file?.wrong ?? []).map((line) =>
      error("settings", `line ${line} of ${where} is no NAME=value`, "quote it as 'value', without ' inside")
    ),
    ...Object.keys(file?.values ?? {}).filter((name) => !ENV_NAMES.includes(name) && !OTHERS.test(name)).map((name) =>
      warning(
        "settings",
        `${name} in ${where} is no setting of timmy`,
        "look for a misspelt name; .env.example has them all",
      )
    ),
  ];
  return findings.length > 0 ? findings : [ok("settings", file ? `${where} is usable` : "usable; no file is read")];
}
