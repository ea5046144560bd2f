/** The task runner as a transaction that plans work sees it. */
export interface Runner {
  /** A free place for a task of this kind that is due at `dueAt` (ms since the epoch); null when it is not due yet, too. */
  reserve(kind: string, dueAt: number): Slot | null;
  /** Work was committed that nobody has claimed, due at `dueAt`. */
  ring(kind: string, dueAt: number): void;
}

/** The right to run one task until `until`. `token` is the fence: a closing transaction compares it. */
export interface Lease {
  kind: string;
  id: string;
  attempt: number;
  token: string;
  owner: string;
  until: number;
}

/** A place in the runner, and the lease that goes with it. */
export interface Slot {
  owner: string;
  token: string;
  until: number;
  /** The commit is durable: run the task. */
  start(lease: Lease): void;
  /** The transaction came to nothing: give the place back. */
  release(): void;
}

/**
 * Which runner works for which store. Whoever plans work has only `tx` at hand, deep inside a rule's transaction: handing a
 * runner down to each of them would put it into every signature of every slice, and a runner kept by the store would make
 * the store know tasks. So a transaction names its store, and the runner that was started on that store is found here. Two
 * stores in one process never meet, and a store that is forgotten takes its entry along.
 */
const runners = new WeakMap<object, Runner>();

/** From now on `runner` works for this store; the one before it does not. @param store {@link Store.identity} */
export const setRunner = (store: object, runner: Runner): void => void runners.set(store, runner);

/** The runner of a store, if one was started. @param store {@link Tx.store} */
export const runnerOf = (store: object): Runner | undefined => runners.get(store);
