/** The data folder as a backup sees it: what is copied, and how it is put back. */
import { createHash } from "node:crypto";
import type { BackupHeader } from "./archive.ts";
import { BackupError } from "./archive.ts";
import { copyDatabase } from "./copy.ts";

/** Where a restored instance reads that it was restored, until it has caught up with its wallet. */
export const RESTORED_FILE = "restored.json";
/** Is there while a restore is under way: what lies beside it is half a data folder. */
export const RESTORING_FILE = "restoring";

/** In this order: what a later one says may be newer than the earlier ones, never older. */
const DATABASES = ["timmy.kv", "simulated-wallet.kv"];
const JOURNAL = "payouts.journal";
const KEY_FILE = /^[a-z-]+\.(?:key|seed)$/;
const COPY_PREFIX = ".backup-";
/** Copies that a backup left behind which was killed (ms). */
const LEFT_BEHIND_MS = 3_600_000;
const PIECE = 256 * 1024;

/** What `restored.json` says. */
export interface Restored {
  v: 1;
  /** When the copies of the backup were begun (ms since the epoch). */
  backupAt: number;
  restoredAt: number;
  /** Whether the key files came with it. */
  secrets: boolean;
}

/** Consistent copies beside the originals, which a running instance goes on writing. */
export interface Snapshot {
  header: BackupHeader;
  open(name: string): AsyncGenerator<Uint8Array>;
  /** Removes the copies. */
  remove(): Promise<void>;
}

/**
 * Copies the databases, the journal after them (so that it knows every payout that they know), and the keys when asked for.
 * @throws {BackupError} when the folder is no instance's
 */
export async function snapshotOf(
  folder: string,
  options: { secrets: boolean; now: number; program: string },
): Promise<Snapshot> {
  await removeLeftBehind(folder, options.now);
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).toSorted();
  if (!names.includes(DATABASES[0]!)) {
    throw new BackupError(`${folder} has no ${DATABASES[0]}: is DATA_DIR the folder of an instance?`);
  }
  if ([RESTORED_FILE, RESTORING_FILE].some((name) => names.includes(name))) {
    throw new BackupError(`${folder} was restored and has not caught up with its wallet: back it up once it serves`);
  }
  const copies = new Map<string, string>();
  const remove = async () => {
    for (const copy of copies.values()) await Deno.remove(copy);
  };
  try {
    for (const name of DATABASES.filter((name) => names.includes(name))) {
      const copy = `${folder}/${COPY_PREFIX}${Deno.pid}-${name}`;
      copies.set(name, copy);
      await copyDatabase(`${folder}/${name}`, copy);
    }
    for (const name of names.filter((name) => name === JOURNAL || (options.secrets && KEY_FILE.test(name)))) {
      const copy = `${folder}/${COPY_PREFIX}${Deno.pid}-${name}`;
      copies.set(name, copy);
      await Deno.copyFile(`${folder}/${name}`, copy);
    }
    const files: BackupHeader["files"] = [];
    for (const [name, copy] of copies) files.push({ name, ...await sizeAndSum(copy) });
    const { now: at, program, secrets } = options;
    return { header: { at, program, secrets, files }, open: (name) => pieces(copies.get(name)!), remove };
  } catch (error) {
    await remove().catch(() => {}); // the first error says what is wrong; what is left goes at the next backup
    throw error;
  }
}

async function removeLeftBehind(folder: string, now: number): Promise<void> {
  for await (const { name } of Deno.readDir(folder)) {
    if (!name.startsWith(COPY_PREFIX)) continue;
    const { mtime } = await Deno.stat(`${folder}/${name}`);
    if (mtime && now - mtime.getTime() > LEFT_BEHIND_MS) await Deno.remove(`${folder}/${name}`);
  }
}

async function sizeAndSum(path: string): Promise<{ size: number; sha256: string }> {
  const hash = createHash("sha256");
  let size = 0;
  for await (const piece of pieces(path)) {
    hash.update(piece);
    size += piece.length;
  }
  return { size, sha256: hash.digest("hex") };
}

/** A file piece by piece. */
export async function* pieces(path: string): AsyncGenerator<Uint8Array> {
  using file = await Deno.open(path);
  for (;;) {
    const piece = new Uint8Array(PIECE);
    const length = await file.read(piece);
    if (length === null) return;
    yield piece.subarray(0, length);
  }
}

/** Writes all of it and waits for the disk. @param mode of the file, which must not be there yet */
export async function writeFile(path: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  using file = await Deno.open(path, { createNew: true, write: true, mode: 0o600 });
  for await (const piece of bytes) await writeAll(file, piece);
  await file.sync();
}

export async function writeAll(file: { write(bytes: Uint8Array): Promise<number> }, bytes: Uint8Array): Promise<void> {
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await file.write(rest));
}
