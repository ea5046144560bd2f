import { decode, pieceKey, piecesOf } from "./codec.ts";
import { type Engine, ENGINE_LIMITS, type EngineRow, type Key } from "./engine.ts";

/** A committed row: its JSON (null: absent), and how many pieces it lies in on disk. */
export interface Cell {
  text: string | null;
  pieces: number;
}

/** Names a row in maps. */
export const keyText = (key: Key): string => JSON.stringify(key);

/** Longer rows are read anew each time (characters). */
const MAX_CACHED_TEXT = 16 * 1024;
/** Pieces read together with their row. */
const BATCH = ENGINE_LIMITS.getKeys - 1;
/** How often a large row that changes while it is read is read again. */
const MAX_READS = 20;

export interface RowsOptions {
  engine: Engine;
  /** Puts the limit of time on an engine call. */
  call: <T>(what: string, promise: Promise<T>) => Promise<T>;
  stats: { rowsRead: number; rowsFromCache: number };
  maxRows: number;
  /** Characters of JSON kept in memory. */
  maxText: number;
}

/**
 * Committed rows, the recent ones in memory. Only transactions and commits fill the memory, and they come one after another,
 * so what is in it is what the database holds.
 */
export interface Rows {
  /** For a running transaction: from memory, or read and kept. */
  committed(key: Key, id: string): Promise<Cell>;
  /** From memory alone. */
  peek(id: string): Cell | undefined;
  /** Reads rows that are not in memory into it, together. Failures are left to whoever needs the row. */
  prefetch(keys: ReadonlyMap<string, Key>): Promise<void>;
  /** What a commit made of a row. */
  remember(id: string, cell: Cell): void;
  /** Somebody else has written: nothing in memory can be trusted. */
  clear(): void;
  /** From the database, whatever is in memory; not kept. Up to 10 are of one moment. */
  read(keys: readonly Key[]): Promise<Cell[]>;
  /** The whole of a row: of the newest one when it lies in pieces and was rewritten since. */
  cellOf(row: EngineRow): Promise<Cell>;
  engineRow(key: Key): Promise<EngineRow | null>;
}

export function createRows({ engine, call, stats, maxRows, maxText }: RowsOptions): Rows {
  const cache = new Map<string, Cell>();
  let cached = 0;
  /** Counts commits: a row read before one and answered after it (a read nobody awaited) is not kept. */
  let era = 0;

  async function getAll(keys: readonly Key[]): Promise<(EngineRow | null)[]> {
    const some: Promise<(EngineRow | null)[]>[] = [];
    for (let at = 0; at < keys.length; at += ENGINE_LIMITS.getKeys) {
      some.push(call("reading rows", engine.get(keys.slice(at, at + ENGINE_LIMITS.getKeys))));
    }
    stats.rowsRead += keys.length;
    return (await Promise.all(some)).flat();
  }

  /** Each batch of pieces is read with the row they belong to: all must show the same row, or it was rewritten between. */
  async function cellOf(row: EngineRow): Promise<Cell> {
    const { key } = row;
    for (let attempt = 0; attempt < MAX_READS; attempt++) {
      const pieces = piecesOf(row.value);
      if (pieces === 0) return { text: decode(row.value), pieces };
      const batches: Promise<(EngineRow | null)[]>[] = [];
      for (let at = 0; at < pieces; at += BATCH) {
        const size = Math.min(BATCH, pieces - at);
        batches.push(getAll([key, ...Array.from({ length: size }, (_, i) => pieceKey(key, at + i))]));
      }
      const parts: Uint8Array[] = [];
      let same = true;
      for (const [own, ...some] of await Promise.all(batches)) {
        if (own?.versionstamp !== row.versionstamp) same = false;
        for (const part of some) if (part) parts.push(part.value);
      }
      if (same) return { text: decode(row.value, parts), pieces };
      const newest = (await getAll([key]))[0];
      if (!newest) return { text: null, pieces: 0 };
      row = newest;
    }
    throw new Error(`the row ${keyText(key)} was rewritten ${MAX_READS} times while it was read`);
  }

  const cellOrNone = async (row: EngineRow | null): Promise<Cell> =>
    row ? await cellOf(row) : { text: null, pieces: 0 };
  const read = async (keys: readonly Key[]): Promise<Cell[]> => await Promise.all((await getAll(keys)).map(cellOrNone));

  function forget(id: string): void {
    cached -= cache.get(id)?.text?.length ?? 0;
    cache.delete(id);
  }

  function keep(id: string, cell: Cell): void {
    forget(id);
    const length = cell.text?.length ?? 0;
    if (length > MAX_CACHED_TEXT) return;
    cache.set(id, cell);
    cached += length;
    while (cache.size > maxRows || cached > maxText) {
      const oldest = cache.keys().next().value;
      if (oldest === undefined || oldest === id) return;
      forget(oldest);
    }
  }

  return {
    async committed(key, id) {
      const hit = cache.get(id);
      if (hit) {
        stats.rowsFromCache++;
        cache.delete(id);
        cache.set(id, hit);
        return hit;
      }
      const before = era;
      const [cell = { text: null, pieces: 0 }] = await read([key]);
      if (era === before) keep(id, cell);
      return cell;
    },
    peek: (id) => cache.get(id),
    async prefetch(wanted) {
      const missing = [...wanted].filter(([id]) => !cache.has(id));
      const rows = await getAll(missing.map(([, key]) => key)).catch(() => []);
      for (let i = 0; i < rows.length; i++) {
        const [id] = missing[i] as [string, Key];
        const row = rows[i] ?? null;
        // A large row is read when it is needed: its pieces would not be kept.
        if (!row || piecesOf(row.value) === 0) keep(id, await cellOrNone(row));
      }
    },
    remember(id, cell) {
      era++;
      keep(id, cell);
    },
    clear() {
      era++;
      cache.clear();
      cached = 0;
    },
    read,
    cellOf,
    engineRow: async (key) => (await getAll([key]))[0] ?? null,
  };
}
