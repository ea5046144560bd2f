/**
 * Proves, over a consistent copy, what must hold of the ledger (economy.md §2, §8): one file a book, run in an order in which a
 * later book may rely on what the earlier ones have proven.
 */
import type { AuditCheck, AuditSource, Check } from "./book.ts";
import { auditEntries } from "./entries.ts";
import { auditInvoices } from "./invoices.ts";
import { auditJobs } from "./jobs.ts";
import { auditPool } from "./pool.ts";
import { auditRefunds } from "./refunds.ts";
import { auditChallenges, auditSessions } from "./sessions.ts";
import { auditSolvency } from "./solvency.ts";

export type { AuditCheck, AuditSource } from "./book.ts";

/**
 * @param walletSats the wallet's own balance, or null when the backend cannot tell; it must cover what is owed.
 * @returns one line per check, in order; the caller stops at the first that is not ok.
 */
export async function audit(source: AuditSource, walletSats: number | null): Promise<AuditCheck[]> {
  const checks: AuditCheck[] = [];
  const check: Check = (name, wrong, right) => void checks.push({ name, ok: wrong === null, detail: wrong ?? right });
  const book = { source, check, ledger: await auditEntries(source, check) };
  const jobs = await auditJobs(book);
  const refunds = await auditRefunds(book);
  await auditInvoices(book);
  const sessions = await auditSessions(book, refunds);
  await auditChallenges(book, { jobs: jobs.waiting, sessions: sessions.waiting });
  await auditPool(book);
  auditSolvency(book, refunds, walletSats);
  return checks;
}
