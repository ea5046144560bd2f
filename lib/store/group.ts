import { ENGINE_LIMITS, type Key } from "./engine.ts";
import { seal, utf8Bytes, type Versioned } from "./codec.ts";
import { type EventBody, StoreError } from "./types.ts";

/** What transactions that are committed together have in common, and how much of one commit each takes. */

/** What something takes of one commit. */
interface Cost {
  mutations: number;
  valueBytes: number;
  keyBytes: number;
}
/** The head row and, as the engine counts it, the bell. */
const fixedCost = (): Cost => ({ mutations: 2, valueBytes: 4 * 1024, keyBytes: 64 });
/** The header of a row in pieces, and what the key of a piece has more than the row's. */
const HEADER_BYTES = 64;
const PIECE_KEY_BYTES = 16;
/** `v`, `seq` and `at` of an event, and the key of its row together with that of the old one it pushes out. */
const EVENT_FIELDS_BYTES = 64;
const EVENT_KEY_BYTES = 64;

/** A row set, or (`value` and `text` null) deleted. */
export interface Write {
  key: Key;
  keyBytes: number;
  value: Versioned | null;
  /** JSON of the value. */
  text: string | null;
  valueBytes: number;
  /** The caller vouches that no row has this key: there are no pieces to look for. */
  isNew: boolean;
  /** Pieces the committed row lies in: those the new one does not overwrite are deleted with it. */
  had: number;
}

/** An event as it was when `tx.event` was called. */
export interface Announced {
  body: EventBody;
  /** JSON of the body. */
  text: string;
  /** Of the whole event, at most. */
  valueBytes: number;
}

/** What one run of a transaction wants written. */
export interface Wanted {
  writes: ReadonlyMap<string, Write>;
  /** Volatile rows set, or (null) taken away. */
  volatile: ReadonlyMap<string, Versioned | null>;
  events: readonly Announced[];
}

/** Thrown inside to move a member that no longer fits to the next group. */
export class GroupFull extends Error {}

/** Writes of the members that have run and wait for the commit. */
export class Group<M> {
  readonly writes = new Map<string, Write>();
  readonly volatile = new Map<string, Versioned | null>();
  /** Those that ran; one that threw or only read is among them, since its answer rests on this group too. */
  readonly members: M[] = [];
  #events = 0;
  #cost = fixedCost();

  /** Whether anything of it goes to the engine. */
  get isDurable(): boolean {
    return this.writes.size > 0 || this.#events > 0;
  }

  /**
   * Adds what a member wants, all of it or nothing.
   * @throws {GroupFull} when it does not fit any more, {StoreError} `too_large` when it never will.
   */
  take({ writes, volatile, events }: Wanted): void {
    const own = fixedCost();
    const together = { ...this.#cost };
    for (const event of events) {
      addEvent(own, event);
      addEvent(together, event);
    }
    for (const [id, write] of writes) {
      addWrite(own, write, 1);
      addWrite(together, write, 1);
      const replaced = this.writes.get(id);
      if (replaced) addWrite(together, replaced, -1);
    }
    if (!fits(together)) {
      if (fits(own)) throw new GroupFull();
      throw new StoreError(
        "too_large",
        `a transaction writes ${own.mutations} rows, ${own.valueBytes} bytes and ${own.keyBytes} bytes of keys: ` +
          "more than one commit holds",
      );
    }
    for (const [id, write] of writes) this.writes.set(id, write);
    for (const [id, value] of volatile) this.volatile.set(id, value);
    this.#events += events.length;
    this.#cost = together;
  }
}

/** How many pieces lie beside a row of so many bytes. */
export const piecesFor = (valueBytes: number): number =>
  valueBytes <= ENGINE_LIMITS.valueBytes ? 0 : Math.ceil(valueBytes / ENGINE_LIMITS.valueBytes);

/** A row with its pieces and those of the row it replaces. */
function addWrite(total: Cost, { keyBytes, valueBytes, had }: Write, sign: 1 | -1): void {
  const pieces = piecesFor(valueBytes);
  const beside = Math.max(pieces, had);
  total.mutations += sign * (1 + beside);
  total.valueBytes += sign * (valueBytes + (pieces > 0 ? HEADER_BYTES : 0));
  total.keyBytes += sign * (keyBytes + beside * (keyBytes + PIECE_KEY_BYTES));
}

function addEvent(total: Cost, { valueBytes }: Announced): void {
  total.mutations += 2;
  total.valueBytes += valueBytes;
  total.keyBytes += EVENT_KEY_BYTES;
}

const fits = (cost: Cost): boolean =>
  cost.mutations <= ENGINE_LIMITS.mutations && cost.valueBytes <= ENGINE_LIMITS.commitBytes &&
  cost.keyBytes <= ENGINE_LIMITS.keyBytes;

/**
 * An event as it is now; `v`, `seq` and `at` are the store's own fields.
 * @throws {TypeError | StoreError} when it cannot be stored.
 */
export function announce({ v: _v, seq: _seq, at: _at, ...given }: EventBody): Announced {
  if (typeof given.type !== "string") throw new TypeError("an event must have a type");
  const { value, text } = seal(given as EventBody);
  const valueBytes = utf8Bytes(text) + EVENT_FIELDS_BYTES;
  if (valueBytes > ENGINE_LIMITS.valueBytes) {
    throw new StoreError("too_large", `an event of ${valueBytes} bytes: the log takes ${ENGINE_LIMITS.valueBytes}`);
  }
  return { body: value, text, valueBytes };
}

/** JSON of an event in the log. `text` is that of its body, which has a type and so is not empty. */
export const eventText = ({ text }: Announced, seq: number, at: number): string =>
  `${text.slice(0, -1)},"v":1,"seq":${seq},"at":${at}}`;
