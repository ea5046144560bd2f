/** One file that holds several: a header that names each with its size and SHA-256, then their contents one after another. */
import { createHash } from "node:crypto";
import { ByteReader } from "./byte-reader.ts";

const MAGIC = "timmy-backup";
/** Of the layout of this file. */
const FORMAT = 1;
/** A header has a few hundred bytes. */
const MAX_HEADER = 64 * 1024;
const PIECE = 256 * 1024;
/** What a file in a backup may be called: it is written into the data folder under this name. */
const NAME = /^[a-z][a-z0-9.-]{0,63}$/;

export interface BackupHeader {
  /** When the copies were begun (ms since the epoch): all that was written before is in them. */
  at: number;
  /** Version of the program that made it. */
  program: string;
  /** Whether the key files are in it. */
  secrets: boolean;
  files: { name: string; size: number; sha256: string }[];
}

/** It is no backup, a damaged one, or one of a newer program; the message says what to do. */
export class BackupError extends Error {
  override name = "BackupError";
}

/** @param open the contents of a file of the header, which must be what the header says */
export async function* archive(
  header: BackupHeader,
  open: (name: string) => AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const head = `${MAGIC} ${FORMAT}\n${JSON.stringify(header)}\n`;
  yield new TextEncoder().encode(`${head}${sha256(head)}\n`);
  for (const { name } of header.files) yield* open(name);
}

/**
 * Reads a backup to its end and holds each file against its sum.
 * @param take given every file's bytes in order; the last call for a file has `end`
 * @param mayRead throws for a header whose contents are not wanted, before any of them is read
 * @throws {BackupError}
 */
export async function readArchive(
  bytes: AsyncIterable<Uint8Array>,
  take: (name: string, piece: Uint8Array, end: boolean) => Promise<void>,
  mayRead: (header: BackupHeader) => void = () => {},
): Promise<BackupHeader> {
  const reader = new ByteReader(bytes);
  const header = await readHeader(reader);
  mayRead(header);
  for (const { name, size, sha256: expected } of header.files) {
    const hash = createHash("sha256");
    for (let left = size;;) {
      const piece = await reader.upTo(Math.min(PIECE, left));
      if (piece.length === 0 && left > 0) {
        throw new BackupError(`the backup is cut short within ${name}: take another copy`);
      }
      hash.update(piece);
      left -= piece.length;
      await take(name, piece, left === 0);
      if (left === 0) break;
    }
    if (hash.digest("hex") !== expected) throw new BackupError(`${name} in the backup is damaged: take another copy`);
  }
  if (!await reader.atEnd()) throw new BackupError("there is more behind the backup's end: take another copy");
  return header;
}

async function readHeader(reader: ByteReader): Promise<BackupHeader> {
  const first = await reader.line(64);
  const [, format] = /^timmy-backup ([1-9]\d{0,5})$/.exec(first ?? "") ?? [];
  if (!format) throw new BackupError("this is no backup of timmy, or its beginning is damaged");
  if (Number(format) > FORMAT) {
    throw new BackupError(
      `a newer timmy made this backup (format ${format}): restore it with that version or a later one`,
    );
  }
  const [json, sum] = [await reader.line(MAX_HEADER), await reader.line(65)];
  if (json === null || sum !== sha256(`${first}\n${json}\n`)) {
    throw new BackupError("the backup's header is damaged: take another copy");
  }
  return checkedHeader(JSON.parse(json));
}

/** The sum says that it is what was written; this, that a program like this one has written it. */
function checkedHeader({ at, program, secrets, files }: BackupHeader): BackupHeader {
  const size = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
  const good = size(at) && typeof program === "string" && typeof secrets === "boolean" && Array.isArray(files) &&
    files.every((file) => NAME.test(file.name) && size(file.size) && /^[0-9a-f]{64}$/.test(file.sha256)) &&
    new Set(files.map(({ name }) => name)).size === files.length;
  if (!good) throw new BackupError("the backup's header says something that no backup says");
  return { at, program, secrets, files };
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
