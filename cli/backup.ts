import { AgeError, backUp, BackupError } from "@/lib/backup/backup.ts";
import { pieces, writeAll } from "@/lib/backup/folder.ts";
import { VERSION } from "../version.ts";
import { type Command, EXIT, flagsOf, type Io } from "./command.ts";
import { NO_PASSPHRASE, passphraseOf } from "./passphrase.ts";

export const command: Command = {
  usage: "FILE|- [--with-secrets | --plain]",
  help: `Backs up the instance in DATA_DIR (./data), which may be running, into a FILE that is not there yet, or to
standard output. The databases are copied at one moment each, the journal of payouts after them; it is read
back before FILE gets its name.

It is encrypted with the passphrase in BACKUP_PASSPHRASE, or one that is asked for: \`age -d\` opens it too.
--with-secrets  with the key files. Without them a backup is of no use on a new disk unless you keep these elsewhere.
--plain         not encrypted, and then never with the key files.`,
  run: backup,
};

/** Where the instance's data lies, by the same setting as the server's. */
export const dataFolder = (): string => Deno.env.get("DATA_DIR") || "./data";

async function backup(args: readonly string[], io: Io): Promise<number> {
  const given = flagsOf(args, ["--with-secrets", "--plain"]);
  const [file, ...more] = given?.rest ?? [];
  if (!given || file === undefined || more.length > 0) return EXIT.usage;
  const [secrets, plain] = [given.flags.has("--with-secrets"), given.flags.has("--plain")];
  if (secrets && plain) return refuse(io, "keys are only backed up with a passphrase: leave --plain out");
  if (Deno.env.get("KV_URL")) {
    return refuse(
      io,
      "the database is the server's that KV_URL names: back it up there, and the key files of DATA_DIR by hand",
    );
  }
  const passphrase = plain ? null : await passphraseOf({ again: true });
  if (!plain && passphrase === null) return refuse(io, NO_PASSPHRASE);
  const folder = dataFolder();
  const target = file === "-" ? `${folder}/.backup-${Deno.pid}-out` : file;
  return await orRefused(io, async () => {
    const header = await backUp(folder, target, { secrets, passphrase, now: Date.now(), program: VERSION });
    if (file === "-") await intoPipe(target);
    const bytes = header.files.reduce((sum, { size }) => sum + size, 0);
    io.err(`backed up ${header.files.map(({ name }) => name).join(", ")}: ${bytes} bytes, read back and found good`);
    if (!secrets) io.err("without the key files: keep those of DATA_DIR in another place, or use --with-secrets");
  });
}

async function intoPipe(file: string): Promise<void> {
  try {
    for await (const piece of pieces(file)) await writeAll(Deno.stdout, piece);
  } finally {
    await Deno.remove(file);
  }
}

/** Runs a command and prints why it was refused. A fault of this program is no refusal, and is thrown on. */
export async function orRefused(io: Io, run: () => Promise<void>): Promise<number> {
  try {
    await run();
    return EXIT.ok;
  } catch (error) {
    const known = [
      BackupError,
      AgeError,
      Deno.errors.NotFound,
      Deno.errors.PermissionDenied,
      Deno.errors.NotADirectory,
    ];
    if (!known.some((kind) => error instanceof kind)) throw error;
    return refuse(io, (error as Error).message);
  }
}

export function refuse(io: Io, message: string): number {
  io.err(`REFUSED: ${message}`);
  return EXIT.refused;
}
