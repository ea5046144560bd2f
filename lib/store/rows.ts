import { decode, piecesOf, type Versioned } from "./codec.ts";
import { type Engine, ENGINE_LIMITS, type EngineRow, type Key } from "./engine.ts";
import { pieceKey } from "./keys.ts";
import { UnreadableRow } from "./readable.ts";

/** A committed row: its frozen record (null: absent), the bytes of its JSON, and how many pieces it lies in on disk. */
export interface Cell {
  value: Versioned | null;
  bytes: number;
  pieces: number;
}
const ABSENT: Cell = { value: null, bytes: 0, pieces: 0 };

/** Longer rows are read anew each time (bytes). */
const MAX_CACHED_BYTES = 16 * 1024;
/** Pieces read together with their row. */
const BATCH = ENGINE_LIMITS.getKeys - 1;
/** How often a large row that changes while it is read is read again. */
const MAX_READS = 20;

interface Entry {
  cell: Cell;
  /** When it was put at the end, counted in such moves. */
  moved: number;
}

export interface RowsOptions {
  engine: Pick<Engine, "get">;
  stats: { rowsRead: number };
  maxRows: number;
  /** Bytes of JSON kept in memory. */
  maxBytes: number;
}

/**
 * Committed rows, the recent ones in memory. Reads and commits fill it; what a read found before a commit is not kept after it,
 * so what is in it is what the database holds.
 */
export class Rows {
  readonly #options: RowsOptions;
  /** Oldest first. A row that is used moves to the end only when it is halfway out: nearly as good, and cheaper. */
  readonly #cache = new Map<string, Entry>();
  #bytes = 0;
  #moves = 0;
  /** Counts commits: a row read before one and answered after it is not kept. */
  #era = 0;

  constructor(options: RowsOptions) {
    this.#options = options;
  }

  /** From memory alone. */
  peek(id: string): Cell | undefined {
    return this.#cache.get(id)?.cell;
  }

  /** From memory alone, for use: it is kept longer. */
  recall(id: string): Cell | undefined {
    const entry = this.#cache.get(id);
    if (entry && this.#isAging(entry)) this.#keep(id, entry.cell);
    return entry?.cell;
  }

  /** Read and kept. Up to 10 are of one moment. */
  async load(keys: readonly Key[], ids: readonly string[]): Promise<Cell[]> {
    const before = this.#era;
    const cells = await this.read(keys);
    if (this.#era === before) cells.forEach((cell, i) => this.#keep(ids[i]!, cell));
    return cells;
  }

  /** How many pieces each of these rows lies in. */
  async pieces(keys: readonly Key[]): Promise<number[]> {
    return (await this.#getAll(keys)).map((row) => row ? piecesOf(row.value) : 0);
  }

  /** What a commit made of a row. */
  remember(id: string, cell: Cell): void {
    this.#era++;
    this.#keep(id, cell);
  }

  /** Somebody else has written: nothing in memory can be trusted. */
  clear(): void {
    this.#era++;
    this.#cache.clear();
    this.#bytes = 0;
  }

  /** From the database, whatever is in memory; not kept. Up to 10 are of one moment. */
  async read(keys: readonly Key[]): Promise<Cell[]> {
    const rows = await this.#getAll(keys);
    return await Promise.all(rows.map((row) => row ? this.cellOf(row) : ABSENT));
  }

  /**
   * The whole of a row: of the newest one when it lies in pieces and was rewritten since. Each batch of pieces is read with
   * the row they belong to: all must show the same row, or it was rewritten between.
   * @throws {UnreadableRow} for bytes that are no record.
   */
  async cellOf(row: EngineRow): Promise<Cell> {
    const { key } = row;
    for (let attempt = 0; attempt < MAX_READS; attempt++) {
      const { value } = row;
      const pieces = orUnreadable(key, () => piecesOf(value));
      if (pieces === 0) return { value: recordOf(key, value), bytes: value.length, pieces };
      const parts = await this.#partsOf(row, pieces);
      if (parts) {
        const bytes = parts.reduce((sum, part) => sum + part.length, 0);
        return { value: recordOf(key, value, parts), bytes, pieces };
      }
      const newest = await this.engineRow(key);
      if (!newest) return ABSENT;
      row = newest;
    }
    throw new Error(`the row ${JSON.stringify(key)} was rewritten ${MAX_READS} times while it was read`);
  }

  async engineRow(key: Key): Promise<EngineRow | null> {
    return (await this.#getAll([key]))[0] ?? null;
  }

  /** @returns null when the row was rewritten meanwhile. */
  async #partsOf({ key, versionstamp }: EngineRow, pieces: number): Promise<Uint8Array[] | null> {
    const batches: Promise<(EngineRow | null)[]>[] = [];
    for (let at = 0; at < pieces; at += BATCH) {
      const size = Math.min(BATCH, pieces - at);
      batches.push(this.#getAll([key, ...Array.from({ length: size }, (_, i) => pieceKey(key, at + i))]));
    }
    const answers = await Promise.all(batches);
    if (answers.some(([own]) => own?.versionstamp !== versionstamp)) return null;
    return answers.flatMap(([, ...some]) => some.flatMap((part) => part ? [part.value] : []));
  }

  async #getAll(keys: readonly Key[]): Promise<(EngineRow | null)[]> {
    const { engine, stats } = this.#options;
    const some: Promise<(EngineRow | null)[]>[] = [];
    for (let at = 0; at < keys.length; at += ENGINE_LIMITS.getKeys) {
      some.push(engine.get(keys.slice(at, at + ENGINE_LIMITS.getKeys)));
    }
    stats.rowsRead += keys.length;
    return some.length === 1 ? await some[0]! : (await Promise.all(some)).flat();
  }

  #keep(id: string, cell: Cell): void {
    const entry = this.#cache.get(id);
    if (entry && cell.bytes <= MAX_CACHED_BYTES && !this.#isAging(entry)) {
      this.#bytes += cell.bytes - entry.cell.bytes;
      entry.cell = cell;
    } else {
      this.#forget(id);
      if (cell.bytes > MAX_CACHED_BYTES) return;
      this.#cache.set(id, { cell, moved: this.#moves++ });
      this.#bytes += cell.bytes;
    }
    const { maxRows, maxBytes } = this.#options;
    while (this.#cache.size > maxRows || this.#bytes > maxBytes) {
      const oldest = this.#cache.keys().next();
      if (oldest.done) return;
      this.#forget(oldest.value);
    }
  }

  #isAging(entry: Entry): boolean {
    return this.#moves - entry.moved > this.#cache.size / 2;
  }

  #forget(id: string): void {
    this.#bytes -= this.#cache.get(id)?.cell.bytes ?? 0;
    this.#cache.delete(id);
  }
}

/** @throws {UnreadableRow} for bytes that are no record: null, or without a version, would pass for a row that is not there. */
export function recordOf(key: Key, value: Uint8Array, parts?: readonly Uint8Array[]): Versioned {
  const record = orUnreadable(key, () => decode<Versioned | null>(value, parts));
  if (typeof record !== "object" || record === null) throw new UnreadableRow(key, "it is no record");
  return record;
}

function orUnreadable<T>(key: Key, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new UnreadableRow(key, "it is not the text that was written", { cause });
  }
}
