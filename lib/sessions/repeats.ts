/**
 * Which request a call asks for again, and what becomes of work that nobody waits for (wire.md §1, economy.md §4a). Clients
 * repeat a call whose answer they did not get: it is to be answered once and paid once. Kept in memory: what ran in a process that
 * died is forgotten with it.
 */
import { type Clock, sleep } from "@/lib/clock.ts";

/** How long after its caller left, or after its end, a request is still found by a repeat (ms). */
export const REPEAT_MS = 60_000;
/** How long work goes on after the last caller left without any text, unless a test says otherwise (ms). */
export const GRACE_MS = 15_000;
/** Requests that are remembered after their end: with their keys about 10 MB. */
const MAX_ENDED = 20_000;
/** Of equal calls the newest are looked at: looking must not cost more with each one that was made. */
const MAX_EQUAL = 64;

/** What a call says about itself. */
export interface Repeat {
  /** The body without its text: equal calls have equal ones. */
  rest: string;
  /** Its client says that it is a repeat. */
  said: boolean;
}

/** Who waits for one request. */
export class Attendance {
  readonly #clock: Clock;
  readonly #graceMs: number;
  readonly #stays: boolean;
  readonly #gone = new AbortController();
  #present = 0;
  /** Somebody was given text of it. */
  #read = false;
  #over = false;
  /** When the last caller left (monotonic ms); null while somebody is there. */
  #leftAt: number | null = null;
  #stopGrace = () => {};
  #cameBack = () => {};

  /**
   * @param graceMs how long work goes on with nobody there
   * @param stays the work is worth finishing with nobody there: its caller has another way to come back for it
   */
  constructor(clock: Clock, { graceMs, stays }: { graceMs: number; stays: boolean }) {
    this.#clock = clock;
    this.#graceMs = graceMs;
    this.#stays = stays;
  }

  /** Aborted when nobody waits, and nobody is waited for. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Whether somebody waits for it, or has text of it. */
  get read(): boolean {
    return this.#present > 0 || this.#read || this.#stays;
  }

  /** One more caller waits. @returns what to call when that caller has the answer, or left @see Leave */
  join(): Leave {
    this.#present++;
    this.#leftAt = null;
    this.#stopGrace();
    this.#cameBack();
    let here = true;
    return (withText) => {
      if (!here) return;
      here = false;
      this.#present--;
      this.#read ||= withText;
      if (this.#present === 0) this.#deserted();
    };
  }

  /** Whether an unasked call with the same body is this one again: its caller left without text a moment ago. */
  leftEmpty(): boolean {
    return this.#leftAt !== null && !this.#read && this.#clock.monotonic() - this.#leftAt < REPEAT_MS;
  }

  /** The work is over. @returns whether somebody takes its answer; with nobody there, once nobody comes back for it. */
  async taken(stopped: AbortSignal): Promise<boolean> {
    this.#over = true;
    this.#stopGrace();
    if (this.read || stopped.aborted || this.#leftAt === null) return this.read;
    const back = new AbortController();
    this.#cameBack = () => back.abort();
    const leftMs = this.#clock.monotonic() - this.#leftAt;
    await sleep(this.#clock, REPEAT_MS - leftMs, AbortSignal.any([stopped, back.signal]));
    return this.read;
  }

  #deserted(): void {
    this.#leftAt = this.#clock.monotonic();
    if (this.#over || this.#stays) return;
    const stop = () => this.#gone.abort(new Error("nobody waits for the answer"));
    if (this.#read) stop();
    else this.#stopGrace = this.#clock.after(this.#graceMs, stop);
  }
}

/** Called once, when a caller has the answer or left. @param withText whether it was given any of it */
export type Leave = (withText: boolean) => void;

/** A request that a call asks for again. */
export interface Found<T> {
  session: string;
  id: string;
  /** While it runs, what its caller waits for; null: it is complete, and in the store. */
  running: (T & { attendance: Attendance }) | null;
}

export interface Repeats<T> {
  /** The request that a call with this key asks for again; null: it is one of its own. */
  find(key: string, said: boolean): Found<T> | null;
  /** A request began. @returns what to call at its end: only a `complete` one is found afterwards */
  began(
    key: string,
    names: { session: string; id: string },
    running: T & { attendance: Attendance },
  ): (complete: boolean) => void;
}

interface Entry<T> extends Found<T> {
  key: string;
  /** When it ended (monotonic ms); null while it runs. */
  endedAt: number | null;
  /** It ended with a caller who had left without any text. */
  leftEmpty: boolean;
}

export function createRepeats<T>(clock: Clock): Repeats<T> {
  const byKey = new Map<string, Set<Entry<T>>>();
  /** Those that have ended, the oldest first. */
  const ended = new Set<Entry<T>>();

  function forget(entry: Entry<T>): void {
    ended.delete(entry);
    const same = byKey.get(entry.key);
    same?.delete(entry);
    if (same?.size === 0) byKey.delete(entry.key);
  }
  function forgetOld(): void {
    for (const entry of ended) {
      const old = clock.monotonic() - (entry.endedAt ?? 0) >= REPEAT_MS;
      if (!old && ended.size <= MAX_ENDED) return;
      forget(entry);
    }
  }

  return {
    find(key, said) {
      forgetOld();
      const same = byKey.get(key);
      if (!same) return null;
      let newest: Entry<T> | null = null;
      for (const entry of same) {
        // First those whose caller left: of several equal calls that gave up, each repeat takes another one.
        if (entry.running?.attendance.leftEmpty() ?? entry.leftEmpty) {
          entry.leftEmpty = false;
          return entry;
        }
        newest = entry;
      }
      return said ? newest : null;
    },
    began(key, names, running) {
      const entry: Entry<T> = { key, ...names, running, endedAt: null, leftEmpty: false };
      const same = byKey.get(key) ?? new Set();
      byKey.set(key, same.add(entry));
      const [oldest] = same;
      if (same.size > MAX_EQUAL && oldest) same.delete(oldest);
      return (complete) => {
        if (!complete) return forget(entry);
        entry.leftEmpty = running.attendance.leftEmpty();
        entry.running = null; // the store has the answer
        entry.endedAt = clock.monotonic();
        ended.add(entry);
        forgetOld();
      };
    },
  };
}

/** The name that equal calls of one token share. */
export const callOf = (token: { session: string; name: string }, requestHash: string, repeat: Repeat | null): string =>
  JSON.stringify([token.session, token.name, requestHash, repeat?.rest]);

/** What a call asks for again; null: nothing. A caller who names his calls by an Idempotency-Key says himself which are one. */
export const askedAgain = <T>(
  repeats: Repeats<T>,
  call: string,
  { repeat, scope }: { repeat: Repeat | null; scope: object | null },
): Found<T> | null => repeat && !scope ? repeats.find(call, repeat.said) : null;
