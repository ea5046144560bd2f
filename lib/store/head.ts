import { StoreError } from "./types.ts";
import { utf8, type Versioned } from "./codec.ts";
import type { Commit, EngineRow, Key } from "./engine.ts";
import { recordOf, type Rows } from "./rows.ts";

const HEAD: Key = ["head"];
/** How many processes the head row remembers. */
const KNOWN_PROCESSES = 16;

/**
 * The layout of the whole database: the head row's `v`, which every commit writes. It goes up when rows of any table change in a
 * way that programs of the layout before cannot read, or that this one cannot read of them.
 */
export const LAYOUT = 1;

/** `last` has the last group of each process, which has one under way at most: a fence finds its own, however many others built on it. */
interface HeadRow extends Versioned {
  v: typeof LAYOUT;
  seq: number;
  group: string;
  last: [process: string, group: string][];
}

/** The one row that every group checks and rewrites, as it was last read or written. */
export class Head {
  readonly #rows: Rows;
  /** This process among those that write to the database. */
  readonly #self: string;
  #row: HeadRow = { v: LAYOUT, seq: 0, group: "", last: [] };
  #versionstamp: string | null = null;

  constructor(rows: Rows, self: string) {
    this.#rows = rows;
    this.#self = self;
  }

  /** Number of the newest event. */
  get seq(): number {
    return this.#row.seq;
  }
  /** The newest group or fence. */
  get group(): string {
    return this.#row.group;
  }
  /** Names the state: changes with every commit. */
  get versionstamp(): string | null {
    return this.#versionstamp;
  }
  /** What a commit on top of this state checks. */
  get check(): Commit["check"] {
    return { key: HEAD, versionstamp: this.#versionstamp };
  }

  /** As it lies in the database; what is known of it stays. */
  read(): Promise<EngineRow | null> {
    return this.#rows.engineRow(HEAD);
  }

  async load(): Promise<void> {
    const row = await this.read();
    this.#row = row ? recordOf(HEAD, row.value) as HeadRow : { v: LAYOUT, seq: 0, group: "", last: [] };
    this.#versionstamp = row?.versionstamp ?? null;
  }

  /** @param name of the database. @throws {StoreError} `layout` when it is of another layout than this program's. */
  checkLayout(name: string): void {
    const { v } = this.#row;
    if (v === LAYOUT) return;
    throw new StoreError(
      "layout",
      `${name} is of layout ${
        JSON.stringify(v)
      }, and this program reads layout ${LAYOUT}: start the version of Timmy that ` +
        "wrote it, or restore a backup of this one's",
    );
  }

  /** Whether this process's group `id` is part of what the head row, as last read, stands for. */
  hasLanded(id: string): boolean {
    return (this.#row.last ?? []).some(([process, group]) => process === this.#self && group === id);
  }

  /** The head row after group `id`, whose last event is `seq`. `landed` is for when the engine has taken it. */
  afterGroup(id: string, seq: number): HeadWrite {
    const others = (this.#row.last ?? []).filter(([process]) => process !== this.#self);
    return this.#write({ v: LAYOUT, seq, group: id, last: [...others.slice(1 - KNOWN_PROCESSES), [this.#self, id]] });
  }

  /** The head row after a fence: as it is, so that what landed before is still seen, under another group. */
  afterFence(id: string): HeadWrite {
    return this.#write({ ...this.#row, group: id });
  }

  #write(next: HeadRow): HeadWrite {
    return {
      set: { key: HEAD, value: utf8(JSON.stringify(next)) },
      landed: (versionstamp) => {
        this.#row = next;
        this.#versionstamp = versionstamp;
      },
    };
  }
}

export interface HeadWrite {
  set: { key: Key; value: Uint8Array };
  landed(versionstamp: string): void;
}
