import { type Finding, worst } from "@/lib/doctor/finding.ts";
import { VERSION } from "../version.ts";
import { argumentsOf, type Command, EXIT, type Io } from "./command.ts";
import { diagnose, thisWorld, type World } from "./diagnose.ts";
import { ENV_FILE, readSettingsFile, refusingFiles, settingsWith } from "./settings.ts";

export const command: Command = {
  usage: "[--env FILE] [--audit] [--spend] [--json]",
  help:
    `Looks at the settings (FILE, without it .env here if there is one; what the environment sets counts before it), the wallet,
the model, the clock, the disk, permissions, the port, PUBLIC_ORIGIN, names, the database and backups, and says what to do.

Type it in the folder where timmy starts, since DATA_DIR may be relative. The instance may be running: nothing is stopped, locked
or spent. LNbits makes one invoice over 1 sat that is shown to nobody; models are listed and not asked. Then
  --audit  proves the ledger over a copy of the database, as \`timmy audit\` does
  --spend  has the model evaluate one request, which costs some hundred tokens
  --json   { version, severity, findings: [{ check, severity, message, todo }] }

Exit codes: 0 all is well or there are warnings, 1 there are errors, 2 not understood.
Nothing it prints holds a key.`,
  run: (args, io) => doctor(args, io, thisWorld),
};

/** @param world what the checks reach */
export const doctor = (args: readonly string[], io: Io, world: World): Promise<number> =>
  refusingFiles("doctor", io, () => examine(args, io, world));

async function examine(args: readonly string[], io: Io, world: World): Promise<number> {
  const given = argumentsOf(args, { env: "text", audit: "flag", spend: "flag", json: "flag" });
  if (!given) return EXIT.usage;
  const file = await readSettingsFile(given.env ?? ENV_FILE);
  if (!file && given.env !== undefined) {
    io.err(`timmyctl doctor: there is no file ${given.env}`);
    return EXIT.refused;
  }
  const { audit = false, spend = false } = given;
  const findings = await diagnose(settingsWith(file), { file, audit, spend }, world);
  const severity = worst(findings);
  io.out(given.json ? JSON.stringify({ version: VERSION, severity, findings }) : reportOf(findings));
  return severity === "error" ? EXIT.refused : EXIT.ok;
}

const WORD = { ok: "ok     ", warning: "WARNING", error: "ERROR  " } as const;

/** One line a finding, what to do under it. */
export const linesOf = (findings: readonly Finding[]): string[] =>
  findings.flatMap(({ check, severity, message, todo }) => [
    `${WORD[severity]}  ${check.padEnd(11)}  ${message}`,
    ...(todo === "" ? [] : [`${" ".repeat(22)}→ ${todo}`]),
  ]);

function reportOf(findings: readonly Finding[]): string {
  const count = (severity: Finding["severity"], word: string) => {
    const { length } = findings.filter((finding) => finding.severity === severity);
    return `${length} ${word}${length === 1 ? "" : "s"}`;
  };
  return [...linesOf(findings), `${count("error", "error")}, ${count("warning", "warning")}`].join("\n");
}
