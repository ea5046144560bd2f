/** What an instance's database and its wallet's own say, as plain rows: all that the laws of the books are about. */
import type { Key, Store, Versioned } from "@/lib/store/store.ts";
import type { Bootstrap } from "@/lib/bootstrap/bootstrap.machine.ts";
import type { Job } from "@/lib/jobs/jobs.machine.ts";
import type { Entry } from "@/lib/ledger/ledger.rules.ts";
import type { CostSheet } from "@/lib/metering/close.rules.ts";
import type { Posting } from "@/lib/ledger/postings.ts";
import type { Invoice } from "@/lib/payments/invoices.rows.ts";
import type { Refund } from "@/lib/payments/refunds.machine.ts";
import type { PayoutRow } from "@/lib/payments/refunds.rows.ts";
import type { SessionRequest } from "@/lib/sessions/requests.machine.ts";
import type { Session } from "@/lib/sessions/sessions.machine.ts";

/** What the wallet itself says happened: the one account nobody in the program can embellish. */
export interface WalletBooks {
  /** Invoices of ours that were paid, by payment hash (sats). */
  received: Map<string, number>;
  /** Payments that left or were tried, by payment hash. */
  payments: Map<string, { amountSats: number; feeSats: number; state: "pending" | "paid" | "failed" }>;
  balanceSats: number;
}

interface Hash {
  paymentHash: string;
}
type Amounts = "actualSats" | "chargeSats" | "subsidySats" | "refundSats" | "returnedSats";

/** The parts of rows that laws ask about. */
export interface Books {
  jobs: (Pick<Job, "handle" | "state" | "request" | "paidSats" | "grantedSats" | "adviceSats"> & {
    evalInvoice: Hash & { expiresAt: number };
    workInvoice: (Hash & { expiresAt: number }) | null;
    costSheet: Pick<CostSheet, Amounts> | null;
  })[];
  sessions: (Pick<Session, "handle" | "state" | "running" | "reservedSats" | "spentSats" | "refundIds"> & {
    deposit: Hash;
    topups: readonly { invoice: Hash }[];
  })[];
  requests: (
    & Pick<
      SessionRequest,
      "id" | "session" | "mode" | "state" | "text" | "reservedSats" | "grantedSats" | "usage" | "evalUsage"
    >
    & Pick<SessionRequest, "actualSats" | "chargeSats" | "subsidySats">
  )[];
  bootstraps: (
    & Pick<Bootstrap, "handle" | "state" | "feeSats" | "paidSats" | "cancelled" | "destroyingSince" | "handedOver">
    & Pick<Bootstrap, "refundId">
    & { invoice: Hash; report: object | null }
  )[];
  /** Requests whose text is kept, and is not empty. */
  results: ReadonlySet<string>;
  refunds: (Pick<Refund, "id" | "state" | "sats"> & { payout: Hash | null; paid: { feeSats: number } | null })[];
  /** The refund that each invoice was sent for, by payment hash. */
  claims: Map<string, string>;
  invoices: Pick<Invoice, "paymentHash" | "purpose" | "settled">[];
  entries: Posting[];
  /** Planned work: kind and id. */
  tasks: { kind: string; id: string }[];
  wallet: WalletBooks;
}

/** Every row under a prefix. */
export type List = <T extends Versioned>(prefix: Key) => Promise<{ key: Key; value: T }[]>;

export const listOf = (store: Store): List => async <T extends Versioned>(prefix: Key) => {
  const found: { key: Key; value: T }[] = [];
  let after: Key | undefined;
  do {
    const page = await store.list<T>(prefix, { limit: 500, ...(after && { after }) });
    found.push(...page);
    after = page.length === 500 ? page[page.length - 1]?.key : undefined;
  } while (after);
  return found;
};

export async function readBooks(list: List, wallet: Store): Promise<Books> {
  const rows = async <T extends Versioned>(table: string) => (await list<T>([table])).map(({ value }) => value);
  const [jobs, bootstraps, sessions, requests, refunds, invoices, entries, tasks, results, payouts, walletBooks] =
    await Promise
      .all([
        rows<Job>("job"),
        rows<Bootstrap>("bootstrap"),
        rows<Session>("session"),
        rows<SessionRequest>("session_request"),
        rows<Refund>("refund"),
        rows<Invoice>("invoice"),
        rows<Entry>("entry"),
        rows<Versioned & { kind: string; id: string }>("task"),
        list<Versioned & { text: string }>(["session_result"]),
        rows<PayoutRow>("payout"),
        readWallet(wallet),
      ]);
  return {
    jobs,
    bootstraps,
    sessions,
    requests,
    results: new Set(results.filter(({ value }) => value.text !== "").map(({ key }) => String(key[1]))),
    refunds,
    claims: new Map(payouts.map(({ paymentHash, refundId }) => [paymentHash, refundId])),
    invoices,
    entries,
    tasks,
    wallet: walletBooks,
  };
}

/** Rows of the simulated wallet, as its adapter writes them. */
const WALLET = "simulated-wallet";
type InvoiceRow = Versioned & { state: string; amountSats: number };
type PaymentRow = Versioned & { state: "pending" | "paid" | "failed"; amountSats: number; feeSats: number };

async function readWallet(store: Store): Promise<WalletBooks> {
  const list = listOf(store);
  const hash = (key: Key) => String(key[2]);
  const [invoices, payments, balance] = await Promise.all([
    list<InvoiceRow>([WALLET, "invoice"]),
    list<PaymentRow>([WALLET, "payment"]),
    store.get<Versioned & { sats: number }>([WALLET, "balance"]),
  ]);
  const settled = invoices.filter(({ value }) => value.state === "settled");
  return {
    received: new Map(settled.map(({ key, value }) => [hash(key), value.amountSats])),
    payments: new Map(payments.map(({ key, value }) => [hash(key), value])),
    balanceSats: balance?.sats ?? 0,
  };
}

/** Whether the wallet paid an invoice. */
export const isSent = ({ payments }: WalletBooks, hash: string): boolean => payments.get(hash)?.state === "paid";

/** The sum for each name (sats). */
export function sumBy<T extends { sats: number }>(list: readonly T[], name: (item: T) => string): Map<string, number> {
  const sums = new Map<string, number>();
  for (const item of list) sums.set(name(item), (sums.get(name(item)) ?? 0) + item.sats);
  return sums;
}

/** What each account holds, by the entries alone. */
export function balancesOf(entries: Books["entries"]): Map<string, number> {
  const balances = sumBy(entries, ({ to }) => to);
  for (const [account, sats] of sumBy(entries, ({ from }) => from)) {
    balances.set(account, (balances.get(account) ?? 0) - sats);
  }
  return balances;
}
