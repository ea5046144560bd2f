/** The commands of timmyctl, in the order in which help lists them: all that the other program knows of them. */
export const CTL_COMMANDS = {
  init: "ask five questions, check each answer, and write the settings to .env",
  doctor: "look at settings, wallet, model, clock, disk and network, and say what to do",
  verify: "check a release, or one file of it: signature, sums, SBOM, provenance",
  attest: "check that a running instance is the program it says, on the hardware it says",
  backup: "back up the instance in DATA_DIR, which may be running, into one file",
  restore: "put a backup back into an empty DATA_DIR",
  recover: "say what a restored instance waits for, and decide it",
  version: "print the version, the commit, and whose releases this program takes",
  completions: "print completions for bash, zsh or fish",
  help: "explain a command",
} as const;

export type CtlCommand = keyof typeof CTL_COMMANDS;

/** Not `toString` and what else every object has. */
export const isCtlCommand = (name: string): name is CtlCommand => Object.hasOwn(CTL_COMMANDS, name);
