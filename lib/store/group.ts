import { keyBytes, toText, utf8Bytes } from "./codec.ts";
import { ENGINE_LIMITS, type Key } from "./engine.ts";
import { type Cell, keyText, type Rows } from "./rows.ts";
import { type EventBody, type Slot, type StoredEvent, StoreError, type Versioned } from "./types.ts";
import type { Lease } from "@/lib/tasks/due.ts";

/** What transactions that are committed together have in common, and how much of one commit each takes. */

/** What something takes of one commit. */
export interface Cost {
  mutations: number;
  valueBytes: number;
  keyBytes: number;
}
/** The head row and, as the engine counts it, the bell. */
export const FIXED_COST: Cost = { mutations: 2, valueBytes: 4 * 1024, keyBytes: 64 };

export const plus = (a: Cost, b: Cost, sign: 1 | -1 = 1): Cost => ({
  mutations: a.mutations + sign * b.mutations,
  valueBytes: a.valueBytes + sign * b.valueBytes,
  keyBytes: a.keyBytes + sign * b.keyBytes,
});
export const fits = (cost: Cost): boolean =>
  cost.mutations <= ENGINE_LIMITS.mutations && cost.valueBytes <= ENGINE_LIMITS.commitBytes &&
  cost.keyBytes <= ENGINE_LIMITS.keyBytes;

/** A row set or deleted, with its pieces and those of the row it replaces. */
export function costOf({ key, text, had }: Write): Cost {
  const valueBytes = text === null ? 0 : utf8Bytes(text);
  const pieces = valueBytes <= ENGINE_LIMITS.valueBytes ? 0 : Math.ceil(valueBytes / ENGINE_LIMITS.valueBytes);
  const beside = Math.max(pieces, had);
  const own = keyBytes(key);
  return {
    mutations: 1 + beside,
    valueBytes: valueBytes + (pieces > 0 ? 64 : 0),
    keyBytes: own + beside * (own + 16),
  };
}

/** An event and what it takes, together with the old one it pushes out. */
export interface Announced {
  body: EventBody;
  cost: Cost;
}
export interface Write {
  key: Key;
  text: string | null;
  /** Pieces the committed row lies in now: those the new one does not overwrite are deleted with it. */
  had: number;
  /** The caller vouches that this key was never written before: there are no pieces to look for. */
  isNew?: boolean;
}
export interface Member {
  run(group: Group): Promise<void>;
  /** Runs the function for nothing but the rows it asks for. */
  rehearse(read: (key: Key) => Promise<Cell>): Promise<void>;
  /** Since when it waits (ms of the clock). */
  since: number;
  /** What the caller gets once the group is durable. */
  settle(): void;
  reject(error: unknown): void;
  slots: { slot: Slot; lease: Lease }[];
  rings: { kind: string; dueAt: number }[];
  events: Announced[];
  begun: boolean;
}

/** Writes of the members that have run and wait for the commit. */
export class Group {
  readonly writes = new Map<string, Write>();
  /** Volatile rows set, or (null) deleted. */
  readonly volatile = new Map<string, Versioned | null>();
  /** Members that ran; one that threw or only read is among them, since its answer rests on this group too. */
  readonly members: Member[] = [];
  events = 0;
  cost: Cost = FIXED_COST;

  /** Whether anything of it goes to the engine. */
  get isDurable(): boolean {
    return this.writes.size > 0 || this.events > 0;
  }
}

/** Thrown inside to move a member that no longer fits to the next group. */
export class GroupFull extends Error {}

/**
 * An event as it was when `tx.event` was called.
 * @param now ms since the epoch
 * @throws {TypeError | StoreError} when it cannot be stored.
 */
export function announce(body: EventBody, now: number): Announced {
  const event: StoredEvent = { ...body, v: 1, seq: Number.MAX_SAFE_INTEGER, at: now };
  const text = toText(event);
  const valueBytes = utf8Bytes(text);
  if (valueBytes > ENGINE_LIMITS.valueBytes) {
    throw new StoreError("too_large", `an event of ${valueBytes} bytes: the log takes ${ENGINE_LIMITS.valueBytes}`);
  }
  return { body: JSON.parse(text) as EventBody, cost: { mutations: 2, valueBytes, keyBytes: 64 } };
}

/** How many reads that follow from reads a rehearsal foresees. */
const REHEARSAL_ROUNDS = 6;
/** Steps of the members' promises until each has asked for a row that is not in memory; reads of those that are take some. */
const STEPS = 64;

async function letThemAsk(): Promise<void> {
  for (let i = 0; i < STEPS; i++) await null;
}

/**
 * Members run one after another, and each would wait for the rows it reads. Where several wait, a rehearsal whose writes
 * count for nothing finds out which rows those are, so that they are read together.
 */
export async function rehearse(members: readonly Member[], rows: Rows): Promise<void> {
  if (members.length < 2) return;
  let wanted = new Map<string, Key>();
  let answers: (() => void)[] = [];
  let over = false;
  const read = async (key: Key): Promise<Cell> => {
    const id = keyText(key);
    // A rehearsal that is late must not go on beside, or after, the run that counts: what both assign outside would be its.
    if (over) return await new Promise<never>(() => {});
    if (!rows.peek(id)) {
      wanted.set(id, key);
      await new Promise<void>((resolve) => answers.push(resolve));
    }
    if (over) return await new Promise<never>(() => {});
    return rows.peek(id) ?? { text: null, pieces: 0 };
  };
  // Whatever a rehearsal throws is thrown again, and told, when the member runs.
  for (const member of members) member.rehearse(read).catch(() => {});
  await letThemAsk();
  for (let round = 0; round < REHEARSAL_ROUNDS && wanted.size > 0; round++) {
    const [keys, waiting] = [wanted, answers];
    wanted = new Map();
    answers = [];
    await rows.prefetch(keys);
    for (const answer of waiting) answer();
    await letThemAsk();
  }
  over = true;
}
