/**
 * Proves, over a consistent copy, what must hold of the ledger (economy.md §2, §8): one file a book, run in an order in which a
 * later book may rely on what the earlier ones have proven.
 */
import type { AuditCheck, AuditSource, Check } from "./book.ts";
import { auditBootstraps } from "./bootstraps.ts";
import { auditEntries } from "./entries.ts";
import { auditInvoices } from "./invoices.ts";
import { auditJobs } from "./jobs.ts";
import { auditPool } from "./pool.ts";
import { auditRefunds } from "./refunds.ts";
import { auditChallenges, auditSessions } from "./sessions.ts";
import { auditSolvency } from "./solvency.ts";
import { BOOTSTRAP } from "@/lib/bootstrap/bootstrap.rows.ts";
import { JOB } from "@/lib/jobs/jobs.rows.ts";
import { COUNTERS } from "@/lib/ledger/ledger.rows.ts";
import { INVOICE } from "@/lib/payments/invoices.rows.ts";
import { REFUND } from "@/lib/payments/refunds.rows.ts";
import { SESSION, SESSION_REQUEST } from "@/lib/sessions/sessions.rows.ts";
import { readable, type Shape, UnreadableRow } from "@/lib/store/readable.ts";
import type { Key, Versioned } from "@/lib/store/store.ts";

export type { AuditCheck, AuditSource } from "./book.ts";

/**
 * @param walletSats the wallet's own balance, or null when the backend cannot tell; it must cover what is owed.
 * @returns one line per check, in order; the caller stops at the first that is not ok.
 */
export async function audit(source: AuditSource, walletSats: number | null): Promise<AuditCheck[]> {
  const checks: AuditCheck[] = [];
  const check: Check = (name, wrong, right) => void checks.push({ name, ok: wrong === null, detail: wrong ?? right });
  try {
    await proveBooks(onlyReadable(source), check, walletSats);
  } catch (error) {
    if (!(error instanceof UnreadableRow)) throw error;
    check("every record can be read", `the row ${JSON.stringify(error.key)}: ${error.fault}`, "");
  }
  return checks;
}

async function proveBooks(source: AuditSource, check: Check, walletSats: number | null): Promise<void> {
  const book = { source, check, ledger: await auditEntries(source, check) };
  const jobs = await auditJobs(book);
  const bootstraps = await auditBootstraps(book);
  const refunds = await auditRefunds(book);
  await auditInvoices(book);
  const sessions = await auditSessions(book, refunds);
  await auditChallenges(book, {
    jobs: jobs.waiting,
    sessions: sessions.waiting,
    bootstraps: bootstraps.waiting,
  });
  await auditPool(book);
  auditSolvency(book, refunds, walletSats);
}

/** Tables whose records are looked at before a book relies on them. */
const SHAPES = new Map<unknown, Shape<Versioned>>([
  ["account", COUNTERS],
  ["bootstrap", BOOTSTRAP],
  ["invoice", INVOICE],
  ["job", JOB],
  ["refund", REFUND],
  ["session", SESSION],
  ["session_request", SESSION_REQUEST],
]);

/** The same rows. @throws {UnreadableRow} at the first that is not what its table holds. */
function onlyReadable(source: AuditSource): AuditSource {
  return {
    row: (key) => source.row(key),
    async *rows<T extends Versioned>(prefix: Key) {
      const shape = SHAPES.get(prefix[0]);
      for await (const row of source.rows<T>(prefix)) {
        if (shape) readable<Versioned>(shape, row.key, row.value);
        yield row;
      }
    },
  };
}
