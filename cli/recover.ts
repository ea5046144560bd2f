import { decide } from "@/lib/backup/restored.ts";
import { RESTORED_FILE } from "@/lib/backup/folder.ts";
import { type FrozenRow, getFrozen } from "@/lib/payments/freeze.ts";
import { dataFolder, orRefused, refuse } from "./backup.ts";
import { type Command, EXIT, flagsOf, type Io } from "./command.ts";
import { withStoreCopy } from "./store-copy.ts";

export const command: Command = {
  usage: "[--release | --accept]",
  help: `Without a flag it says what the instance in DATA_DIR waits for, and lists the payments that froze it.
--release  these payments were no refunds of this instance, or you pay their receivers again: nothing is frozen any more.
--accept   serve without having asked the wallet: for one that cannot list its payments, when you know that nothing
           was paid out since the backup; also when the audit after a restore fails and you know why.
A decision is read at the next start of the instance, once.`,
  run: recover,
};

async function recover(args: readonly string[], io: Io): Promise<number> {
  const given = flagsOf(args, ["--release", "--accept"]);
  if (!given || given.rest.length > 0 || given.flags.size > 1) return EXIT.usage;
  const folder = dataFolder();
  let code: number = EXIT.ok;
  const refused = await orRefused(io, async () => {
    if (!await Deno.stat(`${folder}/timmy.kv`).then(() => true, () => false)) {
      return void (code = refuse(io, `${folder} has no timmy.kv: is DATA_DIR the folder of an instance?`));
    }
    const recovering = await Deno.stat(`${folder}/${RESTORED_FILE}`).then(() => true, () => false);
    const frozen = await withStoreCopy(`${folder}/timmy.kv`, getFrozen);
    if (given.flags.size === 0) return say(io, { recovering, frozen });
    const release = given.flags.has("--release");
    if (release && (recovering || !frozen)) {
      code = refuse(
        io,
        recovering ? "it has not caught up with its wallet yet: start it, and decide then" : "nothing is frozen",
      );
    } else if (!release && !recovering) code = refuse(io, "it is not recovering: there is nothing to accept");
    else {
      await decide(folder, release ? "release" : "accept");
      io.out("written down: restart the instance, which reads it at its start");
    }
  });
  return refused || code;
}

function say(io: Io, { recovering, frozen }: { recovering: boolean; frozen: FrozenRow | null }): void {
  if (recovering) io.out("recovering: restored, and not yet caught up with the wallet; nothing is served until it has");
  if (!frozen) return io.out(recovering ? "nothing is frozen so far" : "nothing is frozen, and nothing waits for you");
  const what = frozen.everything ? "every open refund and session of the backup" : `${frozen.handles.length} records`;
  io.out(`frozen: ${what}, for ${frozen.count} payments of ${frozen.sats} sats that the books do not explain:`);
  for (const { paymentHash, amountSats, at } of frozen.payments) {
    io.out(`  ${new Date(at).toISOString()}  ${String(amountSats).padStart(9)} sats  ${paymentHash}`);
  }
}
