/** Making a backup, reading one, and putting one back. */
import { compareVersions, isVersion } from "@/lib/release/version.rules.ts";
import { AgeError, decrypt, encrypt, isAge } from "./age.ts";
import { archive, BackupError, type BackupHeader, readArchive } from "./archive.ts";
import { pieces, type Restored, RESTORED_FILE, RESTORING_FILE, snapshotOf, writeAll, writeFile } from "./folder.ts";

export { AgeError, BackupError };

/**
 * Backs a folder up, whose instance may be running, into a file: written under another name, read back and held against its sums,
 * and only then given its own.
 * @param options.passphrase null: not encrypted
 * @param options.log2N of the work of a try with the passphrase; tests take less
 * @throws {BackupError} when the file is there already, the folder is no instance's, or what was read back differs
 */
export async function backUp(
  folder: string,
  file: string,
  options: { secrets: boolean; passphrase: string | null; now: number; program: string; log2N?: number },
): Promise<BackupHeader> {
  if (await exists(file)) throw new BackupError(`${file} is there already: nothing is overwritten, name another file`);
  const snapshot = await snapshotOf(folder, options);
  const draft = `${file}.part-${Deno.pid}`;
  try {
    const plain = archive(snapshot.header, snapshot.open);
    const { passphrase, log2N } = options;
    await writeFile(draft, passphrase === null ? plain : encrypt(plain, passphrase, log2N));
    const read = await readBackup(draft, passphrase, options.program);
    if (JSON.stringify(read) !== JSON.stringify(snapshot.header)) {
      throw new BackupError("what was read back is not what was written: check the disk, and back up again");
    }
    // A link and not a rename: that would overwrite a file which came to be there meanwhile.
    await Deno.link(draft, file);
    await syncFolder(file.includes("/") ? file.slice(0, file.lastIndexOf("/")) || "/" : ".");
    return read;
  } finally {
    await Deno.remove(draft).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
    await snapshot.remove();
  }
}

/**
 * Reads a backup to its end.
 * @param passphrase null when none is known
 * @param program the version of this program: what a newer one made is refused, since it may hold what this one does not know
 * @throws {BackupError | AgeError}
 */
export async function readBackup(
  file: string,
  passphrase: string | null,
  program: string,
  take: (name: string, piece: Uint8Array, end: boolean) => Promise<void> = () => Promise.resolve(),
): Promise<BackupHeader> {
  const encrypted = await isEncrypted(file);
  if (encrypted && passphrase === null) {
    throw new BackupError(`${file} is encrypted: give its passphrase in BACKUP_PASSPHRASE`);
  }
  const source = pieces(file);
  try {
    const bytes = encrypted ? decrypt(source, passphrase!) : source;
    return await readArchive(bytes, take, (header) => notNewer(header, program));
  } finally {
    await source.return(undefined); // closes the file when not all of it was read
  }
}

export async function isEncrypted(file: string): Promise<boolean> {
  for await (const piece of pieces(file)) return isAge(piece);
  return false;
}

function notNewer(header: BackupHeader, program: string): void {
  if (!isVersion(header.program)) throw new BackupError("the backup does not say which version of timmy made it");
  if (compareVersions(header.program, program) <= 0) return;
  throw new BackupError(
    `timmy ${header.program} made this backup and this is ${program}: restore it with that version or a later one`,
  );
}

/**
 * Puts a backup into a folder that is empty or not there. A file says until the end that it is half done, and no instance starts
 * beside it; what cannot be read to its end leaves the folder empty again.
 * @param journal a newer journal of payouts, from the disk that was lost or from beside the backups; its entries count too
 * @returns the header, and what the restored instance will read
 * @throws {BackupError | AgeError}
 */
export async function restore(
  file: string,
  folder: string,
  options: { passphrase: string | null; now: number; program: string; journal?: string },
): Promise<{ header: BackupHeader; restored: Restored }> {
  const newer = options.journal === undefined ? null : await Deno.readFile(options.journal);
  await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
  for await (const { name } of Deno.readDir(folder)) {
    throw new BackupError(`${folder} is not empty (${name}): nothing is overwritten. Restore into an empty folder`);
  }
  const written = [RESTORING_FILE];
  await writeFile(`${folder}/${RESTORING_FILE}`, once("a restore is under way, or was broken off\n"));
  let open: Deno.FsFile | null = null;
  try {
    const header = await readBackup(file, options.passphrase, options.program, async (name, piece, end) => {
      if (!open) {
        written.push(name);
        open = await Deno.open(`${folder}/${name}`, { createNew: true, write: true, mode: 0o600 });
      }
      await writeAll(open, piece);
      if (!end) return;
      await open.sync();
      open.close();
      open = null;
    });
    if (newer) await appendTo(`${folder}/payouts.journal`, newer);
    const restored: Restored = { v: 1, backupAt: header.at, restoredAt: options.now, secrets: header.secrets };
    await writeFile(`${folder}/${RESTORED_FILE}`, once(`${JSON.stringify(restored)}\n`));
    await syncFolder(folder);
    await Deno.remove(`${folder}/${RESTORING_FILE}`);
    await syncFolder(folder);
    return { header, restored };
  } catch (error) {
    (open as Deno.FsFile | null)?.close();
    for (const name of written.toReversed()) await Deno.remove(`${folder}/${name}`);
    throw error;
  }
}

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(new TextEncoder().encode(text));
}

async function appendTo(path: string, bytes: Uint8Array): Promise<void> {
  using file = await Deno.open(path, { create: true, append: true, mode: 0o600 });
  await writeAll(file, bytes);
  await file.sync();
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Without it the name of a new file may be gone after a power cut, though its contents were flushed. */
async function syncFolder(path: string): Promise<void> {
  using folder = await Deno.open(path);
  await folder.sync();
}
