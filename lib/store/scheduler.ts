import type { Clock } from "@/lib/clock.ts";
import { Group, GroupFull } from "./group.ts";
import type { Member } from "./transaction.ts";
import { StoreError } from "./types.ts";
import type { Watchdog } from "./watchdog.ts";

const MAX_RERUNS = 50;

/** What became of a group: durable, `stale` (somebody else wrote first: nothing of it landed), or its members were told. */
export type CommitOutcome = "durable" | "stale" | "refused";

export interface SchedulerOptions {
  clock: Clock;
  watchdog: Watchdog;
  /** How long a busy store waits for as many members as shared the last commit (ms). */
  gatherMs: number;
  /** Limit of a member's wait for its turn (ms). */
  waitTimeoutMs: number;
  commit(group: Group<Member>): Promise<CommitOutcome>;
}

/** The order of transactions: runs them one after another, in groups that are committed together. */
export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #gathering: Gathering;
  readonly #pending: Member[] = [];
  #loop: Promise<void> = Promise.resolve();
  #isWorking = false;
  #isClosing = false;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#gathering = new Gathering(options.clock, options.gatherMs);
  }

  add(member: Member): void {
    this.#pending.push(member);
    this.#gathering.arrived();
    if (!this.#isWorking) this.#loop = this.#work();
  }

  /** No more waiting for members that may come. @returns when nothing waits and nothing runs. */
  async drain(): Promise<void> {
    this.#isClosing = true;
    this.#gathering.arrived();
    await this.#loop;
  }

  /** Refuses those whose turn has not come. */
  refuseWaiting(error: StoreError): void {
    for (const member of this.#pending.splice(0)) member.reject(error);
  }

  async #work(): Promise<void> {
    const { watchdog } = this.#options;
    this.#isWorking = true; // first of all: a function may ask for another transaction at once
    watchdog.start(() => this.#refuseLate());
    try {
      while (this.#pending.length > 0) await this.#runGroup();
    } finally {
      watchdog.stop();
      this.#isWorking = false;
    }
  }

  #refuseLate(): void {
    const { clock, waitTimeoutMs } = this.#options;
    const now = clock.now();
    for (
      let [first] = this.#pending;
      first && !first.begun && now - first.since >= waitTimeoutMs;
      [first] = this.#pending
    ) {
      this.#pending.shift();
      first.reject(new StoreError("unavailable", "the database is not keeping up; nothing was stored, try again"));
    }
  }

  async #runGroup(): Promise<void> {
    let group = await this.#gather();
    for (let reruns = 0;; reruns++) {
      const outcome = await this.#options.commit(group);
      if (outcome !== "stale") {
        if (group.isDurable) this.#gathering.shared(group.members.length);
        return;
      }
      if (reruns === MAX_RERUNS) return refuse(group);
      group = await this.#runAgain(group.members);
    }
  }

  /** Runs waiting members into a group until none waits, it is full, or enough have gathered. */
  async #gather(): Promise<Group<Member>> {
    const group = new Group<Member>();
    try {
      for (;;) {
        const member = this.#pending.shift();
        if (member) {
          if (await runInto(group, member)) continue;
          this.#pending.unshift(member);
          return group;
        }
        // Without anything to write there is no fsync to share.
        if (!group.isDurable || this.#isClosing || !(await this.#gathering.more(group.members.length))) return group;
      }
    } finally {
      this.#gathering.end();
    }
  }

  /** Those that do not fit any more go to the front of the queue, so that the order stays. */
  async #runAgain(members: readonly Member[]): Promise<Group<Member>> {
    const group = new Group<Member>();
    for (const [i, member] of members.entries()) {
      if (await runInto(group, member)) continue;
      const rest = members.slice(i);
      for (const behind of rest) {
        behind.undo();
        behind.begun = false;
      }
      this.#pending.unshift(...rest);
      break;
    }
    return group;
  }
}

/** @returns false when the group is full and the member waits for the next one. */
async function runInto(group: Group<Member>, member: Member): Promise<boolean> {
  try {
    await member.run(group);
  } catch (error) {
    if (!(error instanceof GroupFull)) throw error;
    member.begun = false;
    return false;
  }
  group.members.push(member);
  return true;
}

function refuse(group: Group<Member>): void {
  const error = new StoreError("unavailable", "another process writes to this database all the time: only one may");
  for (const member of group.members) {
    member.undo();
    member.reject(error);
  }
}

/**
 * How a group waits for more members. An idle store commits at once. A busy one waits, briefly, for as many as shared the
 * last fsync: those come again when they are answered.
 */
class Gathering {
  readonly #clock: Clock;
  readonly #ms: number;
  #lastSize = 0;
  #arrived: (() => void) | null = null;
  #deadline: { isOver: boolean; cancel: () => void } | null = null;

  constructor(clock: Clock, ms: number) {
    this.#clock = clock;
    this.#ms = ms;
  }

  /** Somebody has come, or nobody will. */
  arrived(): void {
    this.#arrived?.();
  }

  /** So many shared a commit. */
  shared(size: number): void {
    this.#lastSize = size;
  }

  /** Waits for somebody. @returns false when enough are there, or the time is over. */
  async more(size: number): Promise<boolean> {
    if (this.#ms <= 0 || this.#lastSize < 2 || size >= this.#lastSize) return false;
    const deadline = this.#deadline ??= this.#start();
    if (deadline.isOver) return false;
    await new Promise<void>((resolve) => this.#arrived = resolve);
    this.#arrived = null;
    return true;
  }

  end(): void {
    this.#deadline?.cancel();
    this.#deadline = null;
  }

  #start() {
    const deadline = { isOver: false, cancel: () => {} };
    deadline.cancel = this.#clock.after(this.#ms, () => {
      deadline.isOver = true;
      this.#arrived?.();
    });
    return deadline;
  }
}
