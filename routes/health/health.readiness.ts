import type { Readiness } from "@/lib/http/app-deps.ts";
import type { Store } from "@/lib/store/store.ts";
import type { Queue } from "@/lib/tasks/queue.ts";
import type { Settlements } from "@/lib/payments/settlements.ts";

/** Below this much free disk an instance is not ready: a full disk stops a Deno KV process (bytes). */
const MIN_FREE_BYTES = 64 * 1024 * 1024;
/** Work that waited longer than this past its time says that the queue does not drain (ms). */
const MAX_OVERDUE_MS = 30_000;

interface ReadinessSources {
  store: Store;
  queue: Queue;
  settlements: Settlements;
  walletName: string;
  /** Why the wallet gave no usable answer when it was last called; null when it did. */
  walletError(): string | null;
  modelName: string;
  modelError(): string | null;
  cloudName: string;
  /** Why the last call to the cloud failed; null when it did not. */
  cloudError(): string | null;
  /** Whether a restored database has still to catch up with its wallet, and what it waits for. */
  recovery: { recovering(): boolean; problem(): string | null };
  /** What stands still after a restore until the operator decides; null: nothing. */
  frozen(): { count: number; sats: number; everything: boolean } | null;
  /** Free bytes where the data lies; null when nobody can tell. */
  freeBytes(): Promise<number | null>;
}

/** What is known of the parts, without asking a backend for anything that costs: no invoice, no model call. */
export async function readinessOf(sources: ReadinessSources): Promise<Readiness> {
  const { store, queue, settlements } = sources;
  const [status, free] = await Promise.all([queue.status(), sources.freeBytes()]);
  const { pushConnected, openInvoices, setAside } = settlements.status();
  const walletError = sources.walletError();
  const modelError = sources.modelError();
  const cloudError = sources.cloudError();
  const frozen = sources.frozen();
  const checks: Readiness["checks"] = {
    ...(sources.recovery.recovering() && {
      recovering: {
        ok: false,
        detail: sources.recovery.problem() ?? "restored from a backup: asking the wallet what it did since",
      },
    }),
    ...(frozen && {
      frozen: {
        ok: false,
        detail:
          "payments left the wallet that the restored books do not explain: the operator must decide (timmyctl recover)",
        payments: frozen.count,
        everything: frozen.everything,
      },
    }),
    store: { ok: store.healthy(), ...(store.healthy() ? {} : { detail: "the database does not answer" }) },
    queue: {
      ok: status.oldestOverdueMs < MAX_OVERDUE_MS,
      overdue: status.overdue,
      oldestOverdueMs: status.oldestOverdueMs,
      running: status.running,
      setAside: status.setAside, // not a reason to send everybody else away
    },
    lightning: {
      ok: walletError === null,
      ...(walletError !== null && { detail: walletError }),
      backend: sources.walletName,
      pushConnected,
      openInvoices,
      setAside,
    },
    model: {
      ok: modelError === null,
      ...(modelError !== null && { detail: modelError }),
      backend: sources.modelName,
    },
    // Whoever asks for an answer needs no cloud: this is said, and sends nobody away.
    cloud: { ok: true, backend: sources.cloudName, ...(cloudError !== null && { detail: cloudError }) },
    disk: { ok: free === null || free >= MIN_FREE_BYTES, ...(free !== null && { freeBytes: free }) },
  };
  return { ready: Object.values(checks).every((check) => check.ok), checks };
}
