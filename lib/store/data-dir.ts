import type { Random } from "@/lib/ids.ts";
import { openDenoEngine, overridingVariables } from "./engines/deno.ts";
import type { Engine } from "./engine.ts";
import { type JournalFile, openJournalFile } from "./journal-file.ts";
import { PROBE_TABLE } from "./keys.ts";

/** Where the instance's data lies: the database file, its lock and the secrets. */
export interface DataDir {
  readonly path: string;
  /** The secret of this name: `length` random bytes, made on first use, kept 0600, never in the database. */
  secret(name: string, length: number): Promise<Uint8Array>;
  /** Opens the database file `name`, makes sure that it really lies on the disk, and that a write makes it grow. */
  openEngine(name: string): Promise<Engine>;
  /** The file `name`, which only grows, for its owner alone. It stands beside the database and is no part of it. */
  openJournal(name: string): Promise<JournalFile>;
  /** Free bytes on the disk, or null when the system does not tell. */
  freeBytes(): Promise<number | null>;
  /** Gives the folder free for another process. */
  release(): void;
}

/** The data folder cannot be used; the message says why and what to do. */
export class DataDirError extends Error {
  override name = "DataDirError";
}

const PROBE = [PROBE_TABLE];
/** How long a start waits for somebody who only looks at the lock (ms). */
const LOOK_MS = 100;

/**
 * Makes the folder when it is missing and takes its lock: one process per folder, since two would run the same work.
 * The lock is the operating system's, so a killed process leaves none behind.
 * @throws {DataDirError}
 */
export async function openDataDir(path: string, random: Random): Promise<DataDir> {
  const overriding = overridingVariables((name) => Deno.env.get(name));
  if (overriding.length > 0) {
    throw new DataDirError(`unset ${overriding.join(", ")}: with it the database would not be the file in ${path}`);
  }
  let lock: { release(): void } | null;
  try {
    await Deno.mkdir(path, { recursive: true, mode: 0o700 });
    lock = await takeLock(`${path}/lock`);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) {
      throw new DataDirError(
        `this program was started without permission to write to ${path}: use ./data, or allow the folder with ` +
          `--allow-read=${path} --allow-write=${path}`,
        { cause },
      );
    }
    throw new DataDirError(`the data folder ${path} cannot be written: ${(cause as Error).message}`, { cause });
  }
  if (!lock) {
    throw new DataDirError(`another Timmy already runs on ${path}: stop it, or set DATA_DIR to another folder`);
  }

  const readOrMakeSecret = async (name: string, length: number): Promise<Uint8Array> => {
    const file = `${path}/${name}`;
    try {
      const bytes = await Deno.readFile(file);
      await keepPrivate(file);
      if (bytes.length !== length) {
        throw new DataDirError(`${file} has ${bytes.length} bytes, expected ${length}: restore it from your backup`);
      }
      return bytes;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    const bytes = random.bytes(length);
    // Written whole and flushed under another name first: a crash leaves either no secret or all of it.
    const draft = await Deno.open(`${file}.new`, { create: true, write: true, truncate: true, mode: 0o600 });
    await draft.write(bytes);
    await draft.syncData();
    draft.close();
    await Deno.rename(`${file}.new`, file);
    return bytes;
  };

  // One after another: two that find none at the same moment would each make one, and one of them would be lost.
  let turn: Promise<unknown> = Promise.resolve();
  const secret = (name: string, length: number): Promise<Uint8Array> => {
    const bytes = turn.then(() => readOrMakeSecret(name, length));
    turn = bytes.catch(() => {});
    return bytes;
  };

  return {
    path,
    secret,
    openEngine: (name) => openFileEngine(`${path}/${name}`),
    async openJournal(name) {
      await makePrivate(`${path}/${name}`);
      await keepPrivate(`${path}/${name}`);
      await syncFolder(path);
      return openJournalFile(`${path}/${name}`);
    },
    freeBytes: () => freeBytes(path),
    release: () => lock.release(),
  };
}

/**
 * An operating-system lock without waiting: SQLite's own, on an empty database, since `Deno.FsFile.tryLock` is younger
 * than the oldest Deno this runs on. @returns null when somebody else has it.
 */
async function takeLock(file: string): Promise<{ release(): void } | null> {
  const { DatabaseSync } = await import("node:sqlite");
  await makePrivate(file);
  const database = new DatabaseSync(file);
  try {
    // Whoever only asks with isTaken has it for an instant.
    database.exec(`PRAGMA busy_timeout = ${LOOK_MS}`);
    database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    return { release: () => database.close() };
  } catch (error) {
    database.close();
    if (/locked|busy/i.test((error as Error).message)) return null;
    throw error;
  }
}

/** Whether a process has the folder. Takes nothing: it tries to read what the owner of the lock lets nobody read. */
export async function isTaken(path: string): Promise<boolean> {
  const { DatabaseSync } = await import("node:sqlite");
  const file = `${path}/lock`;
  if (!await Deno.stat(file).then(() => true, () => false)) return false;
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    database.exec("PRAGMA busy_timeout = 0; SELECT count(*) FROM sqlite_master");
    return false;
  } catch (error) {
    if (/locked|busy/i.test((error as Error).message)) return true;
    throw error;
  } finally {
    database.close();
  }
}

/**
 * Makes the file, for its owner alone, when it is missing. One that is there is not opened: closing any handle of a file
 * gives up all locks this process has on it (POSIX).
 */
async function makePrivate(file: string): Promise<void> {
  try {
    (await Deno.open(file, { createNew: true, write: true, mode: 0o600 })).close();
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
}

/** Takes away what others may do with a file, as with one that was copied back. */
async function keepPrivate(file: string): Promise<void> {
  const { mode } = await Deno.stat(file);
  if (mode !== null && (mode & 0o077) !== 0) await Deno.chmod(file, 0o600);
}

/** Without it the name of a new file may be gone after a power cut, though its contents were flushed. */
async function syncFolder(path: string): Promise<void> {
  using folder = await Deno.open(path);
  await folder.sync();
}

async function openFileEngine(file: string): Promise<Engine> {
  // Before SQLite sees it: the files it puts beside get the same mode, and they hold the same data.
  await makePrivate(file);
  await keepPrivate(file);
  let engine: Engine;
  try {
    engine = await openDenoEngine(file, { exclusive: true });
  } catch (cause) {
    const why = (cause as Error).message;
    throw new DataDirError(`${file} cannot be opened (${why}): restore it from your backup, or move it away`, {
      cause,
    });
  }
  // SQLite writes to the log beside the file first: both together must have grown by what was written.
  const size = async () => (await sizeOf(file)) + (await sizeOf(`${file}-wal`));
  const [row] = await engine.get([PROBE]);
  const before = row ? 0 : await size();
  if (!row) {
    await engine.commit({
      check: { key: PROBE, versionstamp: null },
      set: [{ key: PROBE, value: new TextEncoder().encode(JSON.stringify({ v: 1, text: "x".repeat(8192) })) }],
      delete: [],
      bell: false,
    });
  }
  if (await size() <= before) {
    engine.close();
    throw new DataDirError(`${file} did not grow when written to: the database is not on this disk`);
  }
  return engine;
}

async function sizeOf(file: string): Promise<number> {
  try {
    return (await Deno.stat(file)).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

/** Free bytes where a path lies, for who is no superuser; null when the system does not tell. */
export async function freeBytes(path: string): Promise<number | null> {
  const { statfs } = await import("node:fs/promises");
  try {
    const stat = await statfs(path);
    return Number(stat.bavail) * Number(stat.bsize);
  } catch {
    return null;
  }
}
