import { writeAll } from "@/lib/backup/folder.ts";

/**
 * The passphrase of a backup: BACKUP_PASSPHRASE, or what a person types, which is not shown. @param again asks twice, for one that is new
 * @returns null when nobody can be asked, or the two differ
 */
export async function passphraseOf(what: { again: boolean }): Promise<string | null> {
  const given = Deno.env.get("BACKUP_PASSPHRASE");
  if (given !== undefined && given !== "") return given;
  if (!Deno.stdin.isTerminal()) return null;
  const first = await typed("Passphrase of the backup: ");
  if (first === null || first === "" || !what.again) return first || null;
  return await typed("The same again: ") === first ? first : null;
}

/** A line from the terminal, which does not show it. Null: given up with Ctrl-C or Ctrl-D. */
async function typed(question: string): Promise<string | null> {
  const say = (text: string) => writeAll(Deno.stderr, new TextEncoder().encode(text));
  await say(question);
  const bytes: number[] = [];
  Deno.stdin.setRaw(true);
  try {
    const next = new Uint8Array(1);
    while (await Deno.stdin.read(next) === 1) {
      const [byte = 0] = next;
      if (byte === 0x03 || byte === 0x04) return null;
      if (byte === 0x0d || byte === 0x0a) return new TextDecoder().decode(Uint8Array.from(bytes));
      if (byte === 0x7f || byte === 0x08) bytes.pop();
      else bytes.push(byte);
    }
    return null;
  } finally {
    Deno.stdin.setRaw(false);
    await say("\n");
  }
}

export const NO_PASSPHRASE =
  "no passphrase: set BACKUP_PASSPHRASE, or run this in a terminal and type the same one each time it is asked for";
