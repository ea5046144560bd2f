import type { Clock } from "@/lib/clock.ts";
import { encode, Utf8Writer, type Versioned } from "./codec.ts";
import { type Commit, type Engine, ENGINE_LIMITS, type Key } from "./engine.ts";
import type { Fence } from "./fence.ts";
import { type Announced, eventText, type Group, piecesFor } from "./group.ts";
import type { Head } from "./head.ts";
import { pieceKey } from "./keys.ts";
import { unavailable } from "./limits.ts";
import type { Rows } from "./rows.ts";
import type { CommitOutcome } from "./scheduler.ts";
import type { Member } from "./transaction.ts";
import { type StoredEvent, StoreError, type StoreStats } from "./types.ts";

export interface CommitterOptions {
  engine: Pick<Engine, "exclusive" | "commit">;
  clock: Clock;
  head: Head;
  rows: Rows;
  fence: Fence;
  bell: Bell;
  /** Committed volatile rows: what a group leaves of them is put here. */
  volatile: Map<string, Versioned>;
  stats: StoreStats;
  eventLogSize: number;
  /** How long callers wait while an outcome is being found out (ms). */
  unknownAfterMs: number;
  newId(): string;
  /** Hears each event once, in order, after its callers were answered. */
  tell(event: StoredEvent): void;
}

/** The engine's own bell. One is enough until it arrives: whoever hears it looks for everything. */
export class Bell {
  #isOut = false;

  /** Whether a commit of these members at `now` (ms) should ring it. */
  isWanted(members: readonly Member[], now: number): boolean {
    return !this.#isOut && members.some(({ bellAt }) => bellAt <= now);
  }
  rung(): void {
    this.#isOut = true;
  }
  arrived(): void {
    this.#isOut = false;
  }
}

/** Brings one group to the engine, finds out what became of it, and tells everybody. */
export class Committer {
  readonly #options: CommitterOptions;

  constructor(options: CommitterOptions) {
    this.#options = options;
  }

  async commit(group: Group<Member>): Promise<CommitOutcome> {
    if (!group.isDurable) return await this.#confirmReads(group);
    const { engine, clock, head, rows, bell, stats } = this.#options;
    const id = this.#options.newId();
    const at = clock.now();
    const events = group.members.flatMap((member) => member.events);
    const next = head.afterGroup(id, head.seq + events.length);
    const { set, remove } = this.#mutations(group, events, at);
    set.push(next.set);
    const rings = bell.isWanted(group.members, at);
    const firstSeq = head.seq + 1;

    try {
      const result = await engine.commit({ check: head.check, set, delete: remove, bell: rings });
      if (result) {
        next.landed(result.versionstamp);
      } else {
        // Somebody else has written, or the engine's client sent this twice by itself and the first time landed.
        await head.load();
        if (!head.hasLanded(id)) return this.#stale();
      }
    } catch (cause) {
      if (!(await this.#findOut(group, id, cause))) return "refused";
    }

    const isNewest = head.group === id;
    if (!isNewest) rows.clear(); // others have committed on top of it
    else {
      for (const [name, { value, valueBytes }] of group.writes) {
        rows.remember(name, { value, bytes: valueBytes, pieces: piecesFor(valueBytes) });
      }
    }
    stats.commits++;
    stats.rowsWritten += set.length + remove.length;
    for (const { value } of set) stats.bytesWritten += value.length;
    if (rings) bell.rung();
    this.#finish(group, events.map(({ body }, i) => ({ ...body, v: 1, seq: firstSeq + i, at })));
    return "durable";
  }

  /** Nothing to write: on a database others may write to, what was read must still be the newest. */
  async #confirmReads(group: Group<Member>): Promise<CommitOutcome> {
    const { engine, head } = this.#options;
    if (!engine.exclusive && group.members.length > 0) {
      const before = head.versionstamp;
      try {
        await head.load();
      } catch (error) {
        refuse(group, unavailable(error));
        return "refused";
      }
      if (head.versionstamp !== before) return this.#stale();
    }
    this.#finish(group, []);
    return "durable";
  }

  /** What is known is stale, but the head: it was just read. */
  #stale(): "stale" {
    this.#options.stats.reruns++;
    this.#options.rows.clear();
    return "stale";
  }

  /** Volatile rows apply with their group, callers hear, and then everybody else. */
  #finish(group: Group<Member>, events: readonly StoredEvent[]): void {
    const { volatile, stats, tell } = this.#options;
    for (const [name, value] of group.volatile) {
      if (value) volatile.set(name, value);
      else volatile.delete(name);
    }
    stats.transactions += group.members.length;
    for (const member of group.members) member.settle();
    for (const event of events) tell(event);
    for (const member of group.members) member.afterCommit();
  }

  #mutations(group: Group<Member>, events: readonly Announced[], at: number) {
    const { head, eventLogSize } = this.#options;
    const set: { key: Key; value: Uint8Array }[] = [];
    const remove: Key[] = [];
    let bytes = 0;
    for (const { valueBytes } of events) bytes += valueBytes;
    for (const { valueBytes } of group.writes.values()) bytes += valueBytes;
    const writer = new Utf8Writer(bytes);
    for (const [i, event] of events.entries()) {
      const seq = head.seq + 1 + i;
      set.push({ key: ["event", seq], value: writer.write(eventText(event, seq, at)) });
      if (seq > eventLogSize) remove.push(["event", seq - eventLogSize]);
    }
    for (const { key, text, had } of group.writes.values()) {
      let pieces = 0;
      if (text === null) {
        remove.push(key);
      } else {
        const row = encode(writer.write(text), ENGINE_LIMITS.valueBytes);
        pieces = row.pieces.length;
        set.push({ key, value: row.value });
        for (const [i, value] of row.pieces.entries()) set.push({ key: pieceKey(key, i), value });
      }
      for (let i = pieces; i < had; i++) remove.push(pieceKey(key, i));
    }
    return { set, remove } satisfies { set: Commit["set"]; remove: Commit["delete"] };
  }

  /**
   * A commit was rejected. Whoever waits for a turn is refused in time by the scheduler; the members of this group get
   * `unknown` after a while, although the search goes on.
   * @returns whether it has landed; when it never will, or nobody can tell any more, its members have heard.
   */
  async #findOut(group: Group<Member>, id: string, cause: unknown): Promise<boolean> {
    const { clock, fence, rows, stats, unknownAfterMs } = this.#options;
    stats.fences++;
    const tellUnknown = () => {
      const error = new StoreError(
        "unknown",
        "the database does not answer; whether this was stored is not known yet",
        { cause },
      );
      for (const member of group.members) member.reject(error);
    };
    const cancel = clock.after(unknownAfterMs, tellUnknown);
    const fate = await fence.settle(id);
    cancel();
    if (fate === "landed") return true;
    if (fate === "unknown") {
      tellUnknown();
    } else {
      rows.clear();
      refuse(group, new StoreError("unavailable", "the database refused the write; nothing was stored", { cause }));
    }
    return false;
  }
}

function refuse(group: Group<Member>, error: Error): void {
  for (const member of group.members) {
    member.undo();
    member.reject(error);
  }
}
