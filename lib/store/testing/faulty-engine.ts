import type { Commit, Engine, EngineRow, Key } from "@/lib/store/engine.ts";

/**
 * What goes wrong with one commit:
 * - `refuse`: nothing is written, the answer is an error (disk full);
 * - `lose`: it is written, the answer is an error (connection cut after the write);
 * - `deny`: it is written, the answer says that the check failed (a client that sent it twice by itself);
 * - `hang`: nothing is written and no answer comes;
 * - `lose-and-hang`: it is written and no answer comes;
 * - `late`: the answer is an error at once, the write reaches the database at {@link FaultyEngine.release};
 * - `hold`: write and answer come at {@link FaultyEngine.release} (a slow database, or one that lands what was given up).
 */
export type CommitFault = "refuse" | "lose" | "deny" | "hang" | "lose-and-hang" | "late" | "hold";
/** A read that is refused, never answered, or answered at {@link FaultyEngine.release} with the rows of that moment or this. */
export type ReadFault = "refuse" | "hang" | "hold" | "hold-answer";

export interface FaultyEngine extends Engine {
  /** Faults of the next commits (reads), one each, in order; `null`: none. When empty, the standing fault applies. */
  readonly nextCommits: (CommitFault | null)[];
  readonly nextReads: (ReadFault | null)[];
  /** The fault of every other commit (read). */
  standing: { commit: CommitFault | null; read: ReadFault | null };
  /** Every commit that was asked for, whatever became of it. */
  readonly asked: Commit[];
  /** Rows read so far, also those whose answer did not arrive. */
  rowsRead(): number;
  /** Lets what is held through, in order. Resolves with the outcome of each held commit that reached the database. */
  release(): Promise<({ versionstamp: string } | null)[]>;
  /** Calls now held. */
  held(): number;
  /** Calls on their way in the real engine: a fake clock waits for them. */
  inFlight(): number;
  /** No more faults; what is held stays held. */
  heal(): void;
}

/** What a fault answers with. */
export class InjectedFault extends Error {
  override name = "InjectedFault";
}

/** An engine over `inner` whose calls fail as told; without instructions it does what `inner` does. */
export function createFaultyEngine(inner: Engine): FaultyEngine {
  const nextCommits: (CommitFault | null)[] = [];
  const nextReads: (ReadFault | null)[] = [];
  const asked: Commit[] = [];
  const held: (() => Promise<{ versionstamp: string } | null | undefined>)[] = [];
  let inFlight = 0;
  let rowsRead = 0;

  const never = <T>() => new Promise<T>(() => {});
  const track = async <T>(promise: Promise<T>): Promise<T> => {
    inFlight++;
    try {
      return await promise;
    } finally {
      inFlight--;
    }
  };
  const commitNow = (commit: Commit) => track(inner.commit(commit));
  const cut = () => new InjectedFault("injected: the connection was cut");
  const full = () => new InjectedFault("injected: the disk is full");

  async function read<T>(fn: () => Promise<T>): Promise<T> {
    const fault = nextReads.length > 0 ? nextReads.shift() : engine.standing.read;
    if (fault === "refuse") throw new InjectedFault("injected: the disk cannot be read");
    if (fault === "hang") return never();
    if (fault === "hold") {
      return await new Promise<T>((resolve, reject) =>
        held.push(() => track(fn()).then(resolve, reject) as Promise<undefined>)
      );
    }
    const answer = await track(fn());
    if (fault === "hold-answer") {
      await new Promise<void>((resolve) => held.push(() => (resolve(), Promise.resolve(undefined))));
    }
    return answer;
  }

  const engine: FaultyEngine = {
    exclusive: inner.exclusive,
    nextCommits,
    nextReads,
    standing: { commit: null, read: null },
    asked,
    get(keys) {
      rowsRead += keys.length;
      return read(() => inner.get(keys));
    },
    list(prefix, options) {
      return read(() => inner.list(prefix, options));
    },
    async commit(commit) {
      asked.push(commit);
      const fault = nextCommits.length > 0 ? nextCommits.shift() : engine.standing.commit;
      switch (fault) {
        case "refuse":
          throw full();
        case "lose":
          await commitNow(commit);
          throw cut();
        case "deny":
          await commitNow(commit);
          return null;
        case "hang":
          return never();
        case "lose-and-hang":
          await commitNow(commit);
          return never();
        case "late":
          held.push(() => commitNow(commit));
          throw cut();
        case "hold":
          return await new Promise((resolve, reject) =>
            held.push(() => {
              const result = commitNow(commit);
              result.then(resolve, reject);
              return result;
            })
          );
        default:
          return await commitNow(commit);
      }
    },
    rowsRead: () => rowsRead,
    async release() {
      const outcomes: ({ versionstamp: string } | null)[] = [];
      for (const go of held.splice(0)) {
        const outcome = await go();
        if (outcome !== undefined) outcomes.push(outcome);
      }
      return outcomes;
    },
    held: () => held.length,
    inFlight: () => inFlight,
    heal() {
      nextCommits.length = 0;
      nextReads.length = 0;
      engine.standing = { commit: null, read: null };
    },
    onBell: (ring) => inner.onBell(ring),
    close: () => inner.close(),
  };
  return engine;
}

/** Every key under `prefix`: many tests share one database that cannot be made anew for each. */
export function prefixEngine(inner: Engine, prefix: string): Engine {
  const under = (key: Key): Key => [prefix, ...key];
  const bare = (row: EngineRow): EngineRow => ({ ...row, key: row.key.slice(1) });
  return {
    exclusive: inner.exclusive,
    get: async (keys) => (await inner.get(keys.map(under))).map((row) => row && bare(row)),
    list: async (key, { after, ...options }) =>
      (await inner.list(under(key), { ...options, ...(after && { after: under(after) }) })).map(bare),
    commit: ({ check, set, delete: remove, bell }) =>
      inner.commit({
        check: { ...check, key: under(check.key) },
        set: set.map(({ key, value }) => ({ key: under(key), value })),
        delete: remove.map(under),
        bell,
      }),
    onBell: (ring) => inner.onBell(ring),
    close: () => inner.close(),
  };
}

/** An engine that says whether others may write, whatever `inner` says. */
export function asShared(inner: Engine): Engine {
  return { ...inner, exclusive: false };
}
