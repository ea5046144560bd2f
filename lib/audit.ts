import type { Key, Versioned } from "@/lib/kv.ts";
import { type Counters, type Entry, mayBeNegative } from "@/lib/rules/ledger.ts";
import type { Refund } from "@/lib/rules/refunds.ts";
import type { Invoice } from "@/lib/stores/invoices.ts";

/** Rows of one consistent copy of the store, in key order. */
export interface AuditSource {
  rows<T extends Versioned>(prefix: Key): AsyncIterable<{ key: Key; value: T }>;
}

export interface AuditCheck {
  name: string;
  ok: boolean;
  /** What was counted, or the first thing that is wrong, account included. */
  detail: string;
}

/** The part of a job the audit reads. */
interface JobRow extends Versioned {
  handle: string;
  state: string;
  paidSats: number;
  grantedSats: number;
  refundId: string | null;
  closing: { chargeSats: number; absorbedSats: number; refundSats: number; returnedSats: number } | null;
}

const TERMINAL = new Set(["complete", "rejected", "failed", "expired"]);

/**
 * Proves, over a consistent copy, what must hold of the ledger (economy.md §2, §8).
 * @param walletSats the wallet's own balance, or null when the backend cannot tell; it must cover what is owed.
 * @returns one line per check, in order; the caller stops at the first that is not ok.
 */
export async function audit(source: AuditSource, walletSats: number | null): Promise<AuditCheck[]> {
  const checks: AuditCheck[] = [];
  const check = (name: string, wrong: string | null, right: string) =>
    checks.push({ name, ok: wrong === null, detail: wrong ?? right });

  // Every entry, added up anew.
  const sums = new Map<string, { in: number; out: number }>();
  let entries = 0;
  let badEntry: string | null = null;
  const settledBy = new Map<string, number>();
  const of = (account: string) => {
    const sum = sums.get(account) ?? { in: 0, out: 0 };
    sums.set(account, sum);
    return sum;
  };
  for await (const { value } of source.rows<Entry>(["entry"])) {
    entries++;
    if (!Number.isSafeInteger(value.sats) || value.sats <= 0) badEntry ??= `entry ${value.id} moves ${value.sats} sats`;
    of(value.from).out += value.sats;
    of(value.to).in += value.sats;
    if (value.from === "lightning") settledBy.set(value.ref, (settledBy.get(value.ref) ?? 0) + value.sats);
  }
  check("entries are whole and positive", badEntry, `${entries} entries`);

  let total = 0;
  let wrongCounter: string | null = null;
  const seen = new Set<string>();
  for await (const { key, value } of source.rows<Counters>(["account"])) {
    const account = String(key[1]);
    seen.add(account);
    total += value.in - value.out;
    const sum = sums.get(account) ?? { in: 0, out: 0 };
    if (sum.in !== value.in || sum.out !== value.out) {
      wrongCounter ??=
        `account ${account} counts in ${value.in}, out ${value.out}; its entries say in ${sum.in}, out ${sum.out}`;
    }
  }
  for (const account of sums.keys()) {
    if (!seen.has(account)) wrongCounter ??= `account ${account} has entries and no counters`;
  }
  // Of the counters: entries name both their accounts and could not do otherwise.
  check("all balances add up to zero", total === 0 ? null : `they add up to ${total}`, `${seen.size} accounts`);
  check("every counter equals its entries", wrongCounter, `${seen.size} accounts`);

  const balance = (account: string) => (sums.get(account)?.in ?? 0) - (sums.get(account)?.out ?? 0);
  const negative = [...sums.keys()].find((account) => !mayBeNegative(account) && balance(account) < 0);
  check("no account is overdrawn", negative ? `account ${negative} holds ${balance(negative)} sats` : null, "none");

  let jobs = 0;
  let wrongJob: string | null = null;
  for await (const { value: job } of source.rows<JobRow>(["job"])) {
    jobs++;
    const account = `job:${job.handle}`;
    const held = balance(account);
    const expected = TERMINAL.has(job.state) ? 0 : job.paidSats + job.grantedSats;
    if (held !== expected) {
      wrongJob ??= `account ${account} of a job that is ${job.state} holds ${held} sats, not ${expected}`;
    }
    const parts = job.closing;
    if (
      parts &&
      job.paidSats + job.grantedSats !== parts.chargeSats + parts.absorbedSats + parts.refundSats + parts.returnedSats
    ) {
      wrongJob ??= `account ${account}: paid and granted are not what was charged, absorbed, refunded and returned`;
    }
  }
  check("every job holds what its state says", wrongJob, `${jobs} jobs`);

  let refunds = 0;
  let inFlight = 0;
  let wrongRefund: string | null = null;
  for await (const { value: refund } of source.rows<Refund>(["refund"])) {
    refunds++;
    if (refund.state === "paying") inFlight += refund.sats + (refund.payout?.maxFeeSats ?? 0);
    const account = `refund:${refund.id}`;
    const expected = refund.state === "pending" || refund.state === "paying" ? refund.sats : 0;
    if (balance(account) !== expected) {
      wrongRefund ??= `account ${account} of a refund that is ${refund.state} holds ${
        balance(account)
      } sats, not ${expected}`;
    }
  }
  check("every refund holds what it owes", wrongRefund, `${refunds} refunds`);

  let invoices = 0;
  let wrongInvoice: string | null = null;
  for await (const { value: invoice } of source.rows<Invoice>(["invoice"])) {
    if (!invoice.settled) continue;
    invoices++;
    const booked = settledBy.get(invoice.paymentHash) ?? 0;
    settledBy.delete(invoice.paymentHash);
    if (booked !== invoice.settled.paidSats) {
      wrongInvoice ??=
        `account lightning: a settled invoice of ${invoice.settled.paidSats} sats is booked with ${booked}`;
    }
  }
  if (settledBy.size > 0) wrongInvoice ??= `account lightning: ${settledBy.size} receipts belong to no settled invoice`;
  check("every settled invoice is booked once", wrongInvoice, `${invoices} settled invoices`);

  // A payout under way may have left the wallet already and is booked when the wallet's word has come.
  const owed = -balance("lightning") - inFlight;
  const uncovered = walletSats !== null && owed > walletSats;
  check(
    "the wallet holds what the ledger says",
    uncovered ? `account lightning: the ledger has ${owed} sats in it, the wallet holds only ${walletSats}` : null,
    walletSats === null
      ? `the ledger has ${owed} sats in it; this wallet does not tell its balance`
      : `the ledger has ${owed} sats in it, the wallet holds ${walletSats}`,
  );
  return checks;
}
