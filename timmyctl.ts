import { type Command, EXIT, type Io } from "./cli/command.ts";
import { CTL_COMMANDS, type CtlCommand, isCtlCommand } from "./cli/names.ts";
import { VERSION } from "./version.ts";

/** Each command is loaded when it is asked for. */
const COMMANDS: Readonly<Record<CtlCommand, () => Promise<Command>>> = {
  init: async () => (await import("./cli/init.ts")).command,
  doctor: async () => (await import("./cli/doctor.ts")).command,
  verify: async () => (await import("./cli/verify.ts")).command,
  attest: async () => (await import("./cli/attest.ts")).command,
  backup: async () => (await import("./cli/backup.ts")).command,
  restore: async () => (await import("./cli/restore.ts")).command,
  recover: async () => (await import("./cli/recover.ts")).command,
  version: async () => (await import("./cli/version.ts")).command,
  completions: async () => (await import("./cli/completions.ts")).command,
  help: () => Promise.resolve({ usage: "[COMMAND]", help: "", run: help }),
};

const overview = (): string => {
  const width = Math.max(...Object.keys(CTL_COMMANDS).map((name) => name.length));
  const lines = Object.entries(CTL_COMMANDS).map(([name, summary]) => `  ${name.padEnd(width)}  ${summary}`);
  return `timmyctl ${VERSION}: what an operator of timmy does beside running it

${lines.join("\n")}

\`timmyctl help COMMAND\` explains one. Exit codes: 0 done or good, 1 refused or failed, 2 not understood.`;
};

async function explained(name: CtlCommand): Promise<string> {
  const { usage, help } = await COMMANDS[name]();
  return `timmyctl ${name} ${usage}`.trimEnd() + `\n\n${CTL_COMMANDS[name]}.${help === "" ? "" : `\n\n${help}`}`;
}

async function help([name, ...more]: readonly string[], io: Io): Promise<number> {
  if (name === undefined) io.out(overview());
  else if (isCtlCommand(name) && more.length === 0) io.out(await explained(name));
  else return EXIT.usage;
  return EXIT.ok;
}

/** Runs a command. @returns the exit code */
export async function main([name = "help", ...args]: readonly string[], io: Io): Promise<number> {
  if (["--help", "-h", "--version"].includes(name)) return await main([name === "--version" ? "version" : "help"], io);
  if (!isCtlCommand(name)) {
    io.err(`timmyctl: there is no command ${name}. \`timmyctl help\` lists them; \`timmy\` is the server.`);
    return EXIT.usage;
  }
  if (args.includes("--help")) return await help([name], io);
  const command = await COMMANDS[name]();
  const code = await command.run(args, io);
  if (code === EXIT.usage) io.err(`usage: timmyctl ${name} ${command.usage}\n\`timmyctl help ${name}\` explains it.`);
  return code;
}

if (import.meta.main) {
  const write = (to: { writeSync(bytes: Uint8Array): number }) => (text: string) => {
    // A pipe may take less than all of it at once.
    for (let rest = new TextEncoder().encode(`${text}\n`); rest.length > 0;) rest = rest.subarray(to.writeSync(rest));
  };
  Deno.exit(await main(Deno.args, { out: write(Deno.stdout), err: write(Deno.stderr) }));
}
