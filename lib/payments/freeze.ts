/** What stands still after a restore because nobody knows whether it was paid out before. */
import type { Key, Reader, Store, Tx } from "@/lib/store/store.ts";
import { holdsLease, plan } from "@/lib/tasks/due.ts";
import { getRefund } from "./refunds.rows.ts";
import type { TaskSpec } from "@/lib/tasks/queue.ts";

/** Payments that left the wallet and cannot be matched with a refund of the backup. */
export interface FrozenRow {
  v: 1;
  /** Records made before this are from the backup (ms since the epoch). */
  at: number;
  /** Every record of the backup; else only those of `handles`, which the journal names. */
  everything: boolean;
  handles: string[];
  /**
   * Money that came in up to then and that no record knows (ms since the epoch): one of the payments may have given it back. 0: none.
   */
  cameInUntil: number;
  /** How many payments, their sum, and the first of them. */
  count: number;
  sats: number;
  payments: { paymentHash: string; amountSats: number; at: number }[];
}

const FROZEN: Key = ["frozen"];
/** Handles and payments that are named one by one; with more handles, everything stands still. */
export const MAX_NAMED = 200;
/** How long a frozen task waits until it looks again (ms). */
export const FROZEN_MS = 600_000;

export const getFrozen = (reader: Reader): Promise<FrozenRow | null> => reader.get<FrozenRow>(FROZEN);
export const putFrozen = (tx: Tx, row: FrozenRow): void => tx.set(FROZEN, row);
export const endFrozen = (tx: Tx): void => tx.delete(FROZEN);

export interface Freeze {
  /** Reads what is frozen: only a start changes it. */
  load(): Promise<void>;
  row(): FrozenRow | null;
  /** Whether nothing may be paid out, spent or closed of this record. @param handle of a job, session or bootstrap */
  covers(handle: string): Promise<boolean>;
  /** The same task, which waits while its record is frozen. */
  held(task: TaskSpec): TaskSpec;
}

/** @param createdAt when the record of this handle was made (ms since the epoch); null: there is none */
export function createFreeze(
  { store, now, createdAt }: { store: Store; now(): number; createdAt(handle: string): Promise<number | null> },
): Freeze {
  let row: FrozenRow | null = null;

  async function covers(handle: string): Promise<boolean> {
    if (row === null) return false;
    if (row.handles.includes(handle)) return true;
    const made = await createdAt(handle);
    if (made !== null) return row.everything && made < row.at;
    const refund = await getRefund(store, handle);
    return refund?.source.kind === "recovered" && refund.createdAt <= row.cameInUntil;
  }

  return {
    async load() {
      row = await getFrozen(store);
    },
    row: () => row,
    covers,
    held(task) {
      const unless = (run: TaskSpec["giveUp"]): TaskSpec["giveUp"] => async (lease, ...rest) => {
        if (!await covers(handleIn(lease.id))) return await run(lease, ...rest);
        await store.transact(async (tx) => {
          if (await holdsLease(tx, lease)) await plan(tx, { kind: lease.kind, id: lease.id, dueAt: now() + FROZEN_MS });
        });
      };
      return { ...task, run: unless(task.run as TaskSpec["giveUp"]) as TaskSpec["run"], giveUp: unless(task.giveUp) };
    },
  };
}

/** The record's handle in the id of a task or refund: `<handle>`, `<handle>-<number of its refund>`, `<handle>.<request>`. */
export const handleIn = (id: string): string => /^[0-9a-z]+/.exec(id)?.[0] ?? id;
