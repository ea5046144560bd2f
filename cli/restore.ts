import { isEncrypted, restore as putBack } from "@/lib/backup/backup.ts";
import { VERSION } from "../version.ts";
import { dataFolder, orRefused, refuse } from "./backup.ts";
import { type Command, EXIT, type Io, optionsOf } from "./command.ts";
import { NO_PASSPHRASE, passphraseOf } from "./passphrase.ts";

export const command: Command = {
  usage: "FILE [--journal FILE] [--drill]",
  help: `Puts a backup into DATA_DIR (./data), which must be empty or not there. The passphrase is in
BACKUP_PASSPHRASE, or asked for. A damaged backup, or one of a newer version, is refused and leaves nothing.

The next start asks the wallet what it did since the backup, and serves only then. Without what the journal of payouts
knows (payouts.journal of the old data folder) it may have to freeze refunds until you decide: give the newest copy you
have with --journal. Never start the old data folder again beside the restored one.

--drill  restores into a temporary folder, audits it, asks the wallet for its list of payments, and says what a
recovery would do. Nothing else is touched: do it with every new kind of backup, and now and then.`,
  run: restore,
};

async function restore(args: readonly string[], io: Io): Promise<number> {
  const given = optionsOf(args, ["--drill"], ["--journal"]);
  const [file, ...more] = given?.rest ?? [];
  if (!given || file === undefined || more.length > 0) return EXIT.usage;
  const journal = given.values.get("--journal");
  let code: number = EXIT.ok;
  const refused = await orRefused(io, async () => {
    const encrypted = await isEncrypted(file);
    const passphrase = encrypted ? await passphraseOf({ again: false }) : null;
    if (encrypted && passphrase === null) return void (code = refuse(io, NO_PASSPHRASE));
    const folder = dataFolder();
    if (given.flags.has("--drill")) {
      const { drill } = await import("./drill.ts");
      if (!await drill(io, file, { folder, passphrase, journal })) code = EXIT.refused;
      return;
    }
    const options = { passphrase, now: Date.now(), program: VERSION, ...(journal !== undefined && { journal }) };
    const { header } = await putBack(file, folder, options);
    io.out(
      `restored ${header.files.map(({ name }) => name).join(", ")} into ${folder}, of ${
        new Date(header.at).toISOString()
      }`,
    );
    if (!header.secrets) {
      io.err(
        `the backup has no key files: put those of before into ${folder} before you start, or no id and no token works`,
      );
    }
    io.err("the next start catches up with the wallet before it serves: /api/health/ready says what it waits for");
  });
  return refused || code;
}
