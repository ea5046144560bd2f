import { type Clock, sleep } from "@/lib/clock.ts";
import type { Random } from "@/lib/ids.ts";
import type { Logger } from "@/lib/logger.ts";
import { type Store, StoreError, UnreadableRow } from "@/lib/store/store.ts";
import { getTask, type Lease, releaseLease, renewLease, takeLease } from "./due.ts";
import { type Runner, setRunner, type Slot } from "./runner.ts";
import { bytesToHex } from "@noble/hashes/utils.js";

/**
 * What an error may say about itself, whoever threw it. Anything else counts as passing.
 * `permanent`: trying again cannot help. `retryAfterMs`: the backend asked for that much time.
 */
interface TaskTrouble {
  permanent?: boolean;
  retryAfterMs?: number | undefined;
}

/** One kind of background work. */
export interface TaskSpec {
  kind: string;
  /** How many run at once. */
  concurrency: number;
  /** How long a lease lasts before it must be renewed (ms); renewal happens at a third of it. */
  leaseMs: number;
  /** Failed attempts after which the task is given up; Infinity for what must not end without an answer. */
  maxAttempts: number;
  /** Longest delay between attempts (ms). */
  maxDelayMs: number;
  /**
   * Does the work and closes the task in the transaction that records its outcome: checks the lease there, ends the task
   * or plans it anew. A task that finds nothing to do ends itself. Runs at least once per task. `signal` aborts when the
   * lease is lost or the process stops.
   */
  run(lease: Lease, signal: AbortSignal): Promise<void>;
  /** Records the outcome of a task that failed for good, money included, and ends the task, in one transaction. */
  giveUp(lease: Lease, cause: unknown): Promise<void>;
}

interface QueueStatus {
  /** Tasks whose time has come and that no one runs; counted up to 1,000 a kind, without those set aside. */
  overdue: number;
  oldestOverdueMs: number;
  running: number;
  /** Tasks that a record nobody can read stopped when they were last tried. */
  setAside: number;
}

export interface Queue {
  /** Starts sweeping: what an earlier process left is taken over at once. */
  start(): void;
  status(): Promise<QueueStatus>;
  /** Takes no new work, gives what runs `graceMs` to finish, then aborts it and gives the leases back. */
  stop(graceMs: number): Promise<void>;
}

export interface QueueOptions {
  store: Store;
  clock: Clock;
  random: Random;
  log: Logger;
  tasks: readonly TaskSpec[];
  /** True when no other process can run tasks: leases of other owners are then void at once, not when they run out. */
  exclusive: boolean;
  /** Time between two sweeps (ms), at most 1,000. */
  tickMs?: number;
}

const FIRST_DELAY_MS = 1_000;
const STORE_RETRY_MS = 1_000;
const LEASED_BATCH = 2_000;
/** How long a task waits that a record nobody can read has stopped (ms). */
const SET_ASIDE_MS = 60_000;
/** How many of those are looked at each time they are counted. */
const ASIDE_LOOKS = 20;

/**
 * The delay before attempt number `attempt` + 1: 1 s, 4 s, 16 s, … up to `maxMs`, less up to a quarter at random so that
 * what failed together does not come back together; never less than what the backend asked for.
 */
export function retryDelayMs(attempt: number, maxMs: number, random: Random, askedMs = 0): number {
  const full = Math.min(maxMs, FIRST_DELAY_MS * 4 ** Math.min(attempt, 10));
  const [byte = 0] = random.bytes(1);
  return Math.max(askedMs, Math.round(full * (1 - byte / 1024)));
}

/** The task runner: one due index, leases with fences, a sweeper, and a bell that saves the wait for it. */
export function createQueue(options: QueueOptions): Queue {
  const { store, clock, random, log, exclusive } = options;
  const tickMs = Math.min(options.tickMs ?? 500, 1_000);
  const specs = new Map(options.tasks.map((spec) => [spec.kind, spec]));
  const owner = bytesToHex(random.bytes(8));
  const places = new Map<string, number>(options.tasks.map((spec) => [spec.kind, 0]));
  const running = new Map<string, { done: Promise<void>; abort: AbortController }>();
  /** Tasks that a record nobody can read has stopped, by name: until when they are left alone (ms since the epoch). */
  const setAside = new Map<string, number>();
  const stopper = new AbortController();
  let leases = 0;
  let started = false;
  let sweeping: Promise<void> | null = null;
  let again = false;
  let wakeAt = Infinity;

  const name = (kind: string, id: string) => `${kind}\n${id}`;

  function reserve(kind: string): Slot | null {
    const spec = specs.get(kind);
    if (!spec || !started || stopper.signal.aborted) return null;
    const taken = places.get(kind) ?? 0;
    if (taken >= spec.concurrency) return null;
    places.set(kind, taken + 1);
    let held = true;
    const release = () => {
      if (held) places.set(kind, (places.get(kind) ?? 1) - 1);
      held = false;
    };
    return {
      owner,
      token: `${owner}-${++leases}`,
      until: clock.now() + spec.leaseMs,
      release,
      start: (lease) => run(spec, lease, release),
    };
  }

  function run(spec: TaskSpec, lease: Lease, release: () => void): void {
    const id = name(lease.kind, lease.id);
    const abort = new AbortController();
    const before = running.get(id)?.done;
    /** Whether others may have waited for this place, or this task comes again: only then there is something to look for. */
    let look = false;
    const done = (async () => {
      // A lease taken over from this very process: its former run must have noticed before the new one begins.
      await before;
      const stopRenewing = keepLease(spec, lease, abort);
      try {
        await spec.run(lease, abort.signal);
        setAside.delete(id);
      } catch (error) {
        look = true;
        await failed(spec, lease, error);
      } finally {
        stopRenewing();
        look ||= (places.get(spec.kind) ?? 0) >= spec.concurrency;
        release();
      }
      await leftOpen(lease);
    })().catch(async (error) => {
      look = true;
      log.error({ task: lease.kind, error }, "a task could not record how it ended; it will run again");
      // Its lease counts as void once it does not run: without a pause it would be taken over as fast as the machine can.
      await sleep(clock, STORE_RETRY_MS, stopper.signal);
    }).finally(() => {
      if (running.get(id)?.done === done) running.delete(id);
      if (look) sweepSoon();
    });
    running.set(id, { done, abort });
  }

  /** Renews the lease until the returned function is called; aborts the run when it was lost. */
  function keepLease(spec: TaskSpec, lease: Lease, abort: AbortController): () => void {
    let cancel = () => {};
    let over = false;
    const plan = () => {
      cancel = clock.after(spec.leaseMs / 3, async () => {
        try {
          const held = await store.transact((tx) => renewLease(tx, lease, clock.now() + spec.leaseMs));
          if (!held) return abort.abort(new Error("the lease was lost"));
        } catch (error) {
          log.warn({ task: lease.kind, error }, "a lease could not be renewed");
        }
        if (!over) plan();
      });
    };
    plan();
    return () => {
      over = true;
      cancel();
    };
  }

  async function failed(spec: TaskSpec, lease: Lease, error: unknown): Promise<void> {
    const now = clock.now();
    if (stopper.signal.aborted) {
      await store.transact((tx) => releaseLease(tx, lease, now, lease.attempt));
      return;
    }
    if (error instanceof StoreError && (error.code === "unavailable" || error.code === "unknown")) {
      // The database's trouble is not the task's: it costs no attempt.
      await sleep(clock, STORE_RETRY_MS, stopper.signal);
      await store.transact((tx) => releaseLease(tx, lease, clock.now(), lease.attempt));
      return;
    }
    if (error instanceof UnreadableRow) return await putOff(lease, error);
    const trouble = (error ?? {}) as TaskTrouble;
    const attempt = lease.attempt + 1;
    if (trouble.permanent === true || attempt >= spec.maxAttempts) {
      log.warn({ task: lease.kind, attempt, error }, "a task failed for good");
      await giveUp(spec, lease, error);
      return;
    }
    const delay = retryDelayMs(lease.attempt, spec.maxDelayMs, random, trouble.retryAfterMs);
    log.info({ task: lease.kind, attempt, delayMs: delay, error }, "a task failed and will be tried again");
    await store.transact((tx) => releaseLease(tx, lease, now + delay, attempt));
    wake(now + delay);
  }

  /** A task whose end cannot be recorded is not dropped: it comes again, each time as late as any other that failed. */
  async function giveUp(spec: TaskSpec, lease: Lease, cause: unknown): Promise<void> {
    try {
      await spec.giveUp(lease, cause);
    } catch (error) {
      if (error instanceof StoreError) throw error;
      if (error instanceof UnreadableRow) return await putOff(lease, error);
      log.error({ task: lease.kind, error }, "a task that failed for good could not record it; it will run again");
      const delay = retryDelayMs(lease.attempt, spec.maxDelayMs, random);
      await store.transact((tx) => releaseLease(tx, lease, clock.now() + delay, lease.attempt));
    }
  }

  /** A record that nobody can read is not the task's failure: it costs no attempt, and the task waits until it is mended. */
  async function putOff(lease: Lease, error: unknown): Promise<void> {
    putAside(lease.kind, lease.id, error, 0);
    await store.transact((tx) => releaseLease(tx, lease, clock.now() + SET_ASIDE_MS, lease.attempt));
  }

  /** An alarm once, and a count. @param until in memory alone, for a task whose own row cannot say it (ms since the epoch) */
  function putAside(kind: string, id: string, error: unknown, until: number): void {
    if (!setAside.has(name(kind, id))) {
      log.error(
        { code: "task_set_aside", task: kind, error },
        "a task was stopped by a record that cannot be read: it is set aside and tried again every minute; run the audit",
      );
    }
    setAside.set(name(kind, id), until);
  }

  const isAside = (kind: string, id: string): boolean => (setAside.get(name(kind, id)) ?? 0) > clock.now();

  /** What is next in the index of a kind, up to `limit`; those set aside take nobody's place. */
  async function nextDue(kind: string, limit: number): Promise<{ id: string; dueAt: number }[]> {
    const keys = await store.keys(["due", kind], { limit: limit + setAside.size });
    return keys.map(([, , dueAt, id]) => ({ dueAt: dueAt as number, id: id as string }))
      .filter(({ id }) => !isAside(kind, id)).slice(0, limit);
  }

  /** How many are set aside; one that somebody else ended meanwhile is forgotten. */
  async function countAside(): Promise<number> {
    for (const task of [...setAside.keys()].slice(0, ASIDE_LOOKS)) {
      const [kind = "", id = ""] = task.split("\n");
      const row = await getTask(store, kind, id).catch((error) => error);
      if (!row) setAside.delete(task);
    }
    return setAside.size;
  }

  /** A run that returned without closing its task is a defect: say so, and do not let the task hang on a dead lease. */
  async function leftOpen(lease: Lease): Promise<void> {
    const row = await getTask(store, lease.kind, lease.id);
    if (row?.lease?.token !== lease.token) return;
    log.error({ task: lease.kind }, "a task ended without closing itself; it will run again");
    await store.transact((tx) => releaseLease(tx, lease, clock.now() + STORE_RETRY_MS, lease.attempt));
  }

  // ---- finding work ----------------------------------------------------------------------------------------------

  function wake(at: number): void {
    // What is further off than a tick, the tick finds: a timer cannot even be set for 30 days.
    if (at >= wakeAt || !started || at - clock.now() >= tickMs) return;
    wakeAt = at;
    clock.after(Math.max(0, at - clock.now()), () => {
      wakeAt = Infinity;
      sweepSoon();
    });
  }

  function sweepSoon(): void {
    if (!started || stopper.signal.aborted) return;
    if (sweeping) {
      again = true;
      return;
    }
    sweeping = sweep()
      .catch((error) => log.warn({ error }, "looking for due work failed; it is tried again"))
      .finally(() => {
        sweeping = null;
        if (again) {
          again = false;
          sweepSoon();
        }
      });
  }

  async function sweep(): Promise<void> {
    for (const key of await store.keys(["leased"], { limit: LEASED_BATCH })) {
      const [, kind, id] = key as [string, string, string];
      if (!running.has(name(kind, id)) && !isAside(kind, id)) await take(kind, id);
    }
    for (const spec of specs.values()) {
      const free = spec.concurrency - (places.get(spec.kind) ?? 0);
      if (free <= 0) continue;
      const now = clock.now();
      const due = await nextDue(spec.kind, free);
      await Promise.all(due.filter(({ dueAt }) => dueAt <= now).map(({ id }) => take(spec.kind, id)));
      const next = due.find(({ dueAt }) => dueAt > now);
      if (next && next.dueAt - now < tickMs) wake(next.dueAt);
    }
  }

  async function take(kind: string, id: string): Promise<void> {
    const slot = reserve(kind);
    if (!slot) return;
    try {
      const isVoid = (other: string) => other !== owner ? exclusive : !running.has(name(kind, id));
      const lease = await store.transact((tx) => takeLease(tx, { kind, id, slot, now: clock.now(), isVoid }));
      if (lease) slot.start(lease);
      else slot.release();
    } catch (error) {
      slot.release();
      if (!(error instanceof UnreadableRow)) throw error;
      putAside(kind, id, error, clock.now() + SET_ASIDE_MS);
    }
  }

  const runner: Runner = {
    reserve: (kind, dueAt) => dueAt <= clock.now() ? reserve(kind) : null,
    ring: (_kind, dueAt) => dueAt <= clock.now() ? sweepSoon() : wake(dueAt),
  };

  function tick(): void {
    if (stopper.signal.aborted) return;
    sweepSoon();
    clock.after(tickMs, tick);
  }

  return {
    start() {
      started = true;
      setRunner(store.identity, runner);
      store.onBell(sweepSoon);
      tick();
    },
    async status() {
      const now = clock.now();
      let overdue = 0;
      let oldest = now;
      for (const kind of specs.keys()) {
        // Most looks find nothing overdue: one row tells.
        const [first] = await nextDue(kind, 1);
        if (!first || first.dueAt > now) continue;
        const late = (await nextDue(kind, 1_000)).map(({ dueAt }) => dueAt).filter((dueAt) => dueAt <= now);
        overdue += late.length;
        oldest = Math.min(oldest, ...late.slice(0, 1));
      }
      return { overdue, oldestOverdueMs: now - oldest, running: running.size, setAside: await countAside() };
    },
    async stop(graceMs) {
      stopper.abort();
      await sweeping;
      const all = () => Promise.all([...running.values()].map(({ done }) => done));
      await Promise.race([all(), sleep(clock, graceMs)]);
      for (const { abort } of running.values()) abort.abort(new Error("the process is stopping"));
      await all();
    },
  };
}
