/** What an instance does before it serves when its database was put back from a backup. */
import type { AfterRestore } from "@/lib/backup/restored.ts";
import { sleep } from "@/lib/clock.ts";
import { audit } from "@/lib/ledger/audit/audit.ts";
import { recordMadeAt } from "@/lib/ledger/audit/records.ts";
import { sourceOf } from "@/lib/ledger/audit/source.ts";
import { endFrozen, type Freeze, getFrozen } from "@/lib/payments/freeze.ts";
import { catchUp, type Recovered } from "@/lib/payments/recovery.ts";
import type { Settlements } from "@/lib/payments/settlements.ts";
import type { Services } from "@/lib/services.ts";

/** First and longest wait before the wallet is asked again (ms). */
const WAIT_MS = { first: 2_000, longest: 60_000 };

type RecoveryDeps = Pick<Services, "store" | "wallet" | "payoutJournal" | "clock" | "log" | "settings"> & {
  settlements: Pick<Settlements, "check">;
  freeze: Freeze;
};

export interface Recovery {
  /** True until the instance may serve. */
  recovering(): boolean;
  /** What it waits for, in words; null: nothing. */
  problem(): string | null;
  /**
   * Looks whether there is anything to catch up with. @returns null: no, the instance may serve
   * @throws {BackupError} for half a restore, and for a decision that cannot be read
   */
  begin(): Promise<{ caughtUp: Promise<void> } | null>;
  /** Gives up until the next start: what was done is not done again. */
  stop(): Promise<void>;
}

export function createRecovery(deps: RecoveryDeps, after: AfterRestore): Recovery {
  const { store, clock, log, freeze } = deps;
  const stopper = new AbortController();
  let recovering = false;
  let running: Promise<void> = Promise.resolve();
  let problem: string | null = null;

  /** @returns whether the instance may serve */
  async function attempt(backupAt: number, accepted: boolean): Promise<boolean> {
    const found = await catchUp(optionsOf(deps), backupAt, clock.now());
    if (!found && !accepted) {
      problem =
        "this wallet cannot list its payments, so only the operator can say that nothing was paid since the backup: " +
        "stop, run timmyctl recover --accept, and start again";
      return false;
    }
    const wrong = await firstWrong(found);
    if (wrong !== null && !accepted) {
      problem = `the audit fails after the restore (${wrong}): timmyctl recover --accept serves all the same`;
      return false;
    }
    report(found, wrong);
    return true;
  }

  /** Payments that nothing knows are missing in the books until the operator decides, so the wallet's balance is not held against them. */
  async function firstWrong(found: Recovered | null): Promise<string | null> {
    const sats = found === null || found.frozen || await getFrozen(store) ? null : await deps.wallet.balanceSats();
    const failed = (await audit(sourceOf(store), sats)).find(({ ok }) => !ok);
    return failed ? `${failed.name}: ${failed.detail}` : null;
  }

  function report(found: Recovered | null, wrong: string | null): void {
    if (wrong !== null) {
      log.error({ code: "recovered_unproven", reason: wrong }, "the operator accepts an audit that fails");
    }
    if (!found) {
      return log.error(
        { code: "recovered_unasked" },
        "the operator accepts a restore that the wallet was not asked about",
      );
    }
    const { paying, settled, recovered, frozen } = found;
    log.info(
      { code: "recovered" },
      `the restored database has caught up with its wallet: ${paying} payouts and ${settled} settlements found, ${recovered} payments that nothing knows`,
    );
    if (!frozen) return;
    const { count, sats, everything } = frozen;
    log.error(
      { code: "frozen" },
      `${count} payments of ${sats} sats left the wallet that the restored books do not explain: ` +
        `${
          everything ? "every refund and session of the backup" : "what they were for"
        } is frozen until the operator decides`,
    );
  }

  async function obey(decision: "release" | "accept", restored: boolean): Promise<boolean> {
    const released = decision === "release" && !restored && await getFrozen(store) !== null;
    if (released) {
      await store.transact(endFrozen);
      log.warn({ code: "released" }, "the operator has released what was frozen");
    }
    const accepted = decision === "accept" && restored;
    // An acceptance counts until it has caught up, so that a crash in between needs no second one.
    if (!accepted) await after.decided();
    if (!released && !accepted) log.warn({ reason: decision }, "there was nothing to decide: the decision is dropped");
    return accepted;
  }

  async function begin() {
    const restored = await after.restored();
    const decision = await after.decision();
    const accepted = decision !== null && await obey(decision, restored !== null);
    if (!restored) {
      await freeze.load();
      return null;
    }
    recovering = true;
    if (!restored.secrets) {
      log.warn(
        { code: "restored_without_keys" },
        "the backup had no key files: without those of before no id and no token of before opens anything",
      );
    }
    return { caughtUp: running = untilCaughtUp(restored.backupAt, accepted) };
  }

  async function untilCaughtUp(backupAt: number, accepted: boolean): Promise<void> {
    for (let waitMs = WAIT_MS.first; !stopper.signal.aborted; waitMs = Math.min(waitMs * 2, WAIT_MS.longest)) {
      try {
        if (await attempt(backupAt, accepted)) {
          await after.caughtUp(clock.now());
          if (accepted) await after.decided();
          await freeze.load();
          recovering = false;
          return;
        }
      } catch (error) {
        problem = `the wallet or the database does not answer (${(error as Error).message}); it is asked again`;
      }
      log.error(
        { code: "recovering", reason: problem ?? "" },
        "nothing is served until the restored database has caught up",
      );
      await sleep(clock, waitMs, stopper.signal);
    }
  }

  return {
    recovering: () => recovering,
    problem: () => problem,
    begin,
    async stop() {
      stopper.abort();
      await running;
    },
  };
}

const optionsOf = ({ store, wallet, payoutJournal, settlements, settings }: RecoveryDeps) => ({
  store,
  wallet,
  journal: payoutJournal,
  check: settlements.check,
  createdAt: (handle: string) => recordMadeAt(store, handle),
  claimDays: settings.refundClaimDays,
});
