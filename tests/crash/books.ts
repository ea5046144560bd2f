import { systemClock } from "@/lib/clock.ts";
import { systemRandom } from "@/lib/ids.ts";
import { createStore, type Key, type Store, type Versioned } from "@/lib/store/store.ts";
import { openDenoEngine } from "@/lib/store/engines/deno.ts";
import type { Entry } from "@/lib/ledger/ledger.rules.ts";
import type { Refund } from "@/lib/payments/refunds.machine.ts";
import type { SessionRequest } from "@/lib/sessions/requests.machine.ts";
import type { Session } from "@/lib/sessions/sessions.machine.ts";
import type { Job } from "@/lib/jobs/jobs.machine.ts";
import { compareSessions, type SessionBooks } from "./session-books.ts";
import type { SessionRecord } from "./session-witness.ts";
import { isOver, type JobRecord, type Violation, type ViolationKind } from "./witness.ts";

/** What the wallet itself says happened: the one account nobody in the program can embellish. */
export interface WalletBooks {
  /** Invoices of ours that were paid, by payment hash (sats). */
  received: Map<string, number>;
  /** Payments that left, by payment hash (sats). */
  sent: Map<string, { amountSats: number; feeSats: number }>;
  /** Payments whose outcome the wallet does not know. */
  pending: string[];
  balanceSats: number;
}

export interface Books extends Pick<SessionBooks, "sessions" | "requests" | "results"> {
  jobs: Pick<Job, "handle" | "state" | "request" | "evalInvoice" | "workInvoice">[];
  refunds: Pick<Refund, "id" | "state" | "payout">[];
  entries: Pick<Entry, "id" | "from" | "to" | "sats" | "kind" | "ref">[];
  /** Planned work that should have come to its end: kind and id. */
  tasks: { kind: string; id: string }[];
  wallet: WalletBooks;
}

/** Names of the files, as `deps.ts` gives them, and rows of the simulated wallet, as its adapter writes them. */
const STORE_FILE = "timmy.kv";
const WALLET_FILE = "simulated-wallet.kv";
const WALLET = "simulated-wallet";

type InvoiceRow = Versioned & { state: string; amountSats: number };
type PaymentRow = Versioned & { state: string; amountSats: number; feeSats: number };

/** Reads ledger and wallet out of copies of their files. The server must have ended. @param copyDir an empty folder. */
export async function readBooks(dataDir: string, copyDir: string): Promise<Books> {
  const [store, wallet] = await Promise.all(
    [STORE_FILE, WALLET_FILE].map((name) => openCopy(dataDir, copyDir, name)),
  ) as [
    Store,
    Store,
  ];
  try {
    const [jobs, sessions, requests, results, refunds, entries, tasks] = await Promise.all([
      rows<Job>(store, ["job"]),
      rows<Session>(store, ["session"]),
      rows<SessionRequest>(store, ["session_request"]),
      rows<Versioned>(store, ["session_result"]),
      rows<Refund>(store, ["refund"]),
      rows<Entry>(store, ["entry"]),
      rows<Versioned & { kind: string; id: string }>(store, ["task"]),
    ]);
    return {
      jobs: jobs.map(({ value }) => value),
      sessions: sessions.map(({ value }) => value),
      requests: requests.map(({ value }) => value),
      results: new Set(results.map(({ key }) => String(key[1]))),
      refunds: refunds.map(({ value }) => value),
      entries: entries.map(({ value }) => value),
      tasks: tasks.map(({ value }) => value),
      wallet: await walletBooks(wallet),
    };
  } finally {
    await store.close();
    await wallet.close();
  }
}

async function walletBooks(store: Store): Promise<WalletBooks> {
  const [invoices, payments, balance] = await Promise.all([
    rows<InvoiceRow>(store, [WALLET, "invoice"]),
    rows<PaymentRow>(store, [WALLET, "payment"]),
    store.get<Versioned & { sats: number }>([WALLET, "balance"]),
  ]);
  const hash = (key: Key) => String(key[2]);
  const settled = invoices.filter(({ value }) => value.state === "settled");
  const paid = payments.filter(({ value }) => value.state === "paid");
  return {
    received: new Map(settled.map(({ key, value }) => [hash(key), value.amountSats])),
    sent: new Map(paid.map(({ key, value: { amountSats, feeSats } }) => [hash(key), { amountSats, feeSats }])),
    pending: payments.filter(({ value }) => value.state === "pending").map(({ key }) => hash(key)),
    balanceSats: balance?.sats ?? 0,
  };
}

async function openCopy(dataDir: string, copyDir: string, name: string): Promise<Store> {
  for (const end of ["", "-wal"]) {
    await Deno.copyFile(`${dataDir}/${name}${end}`, `${copyDir}/${name}${end}`).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // a file that was closed has no log beside it
    });
  }
  const engine = await openDenoEngine(`${copyDir}/${name}`, { exclusive: true });
  return await createStore({ engine, clock: systemClock, random: systemRandom });
}

async function rows<T extends Versioned>(store: Store, prefix: Key): Promise<{ key: Key; value: T }[]> {
  const found: { key: Key; value: T }[] = [];
  let after: Key | undefined;
  do {
    const page = await store.list<T>(prefix, { limit: 500, ...(after && { after }) });
    found.push(...page);
    after = page.length === 500 ? page[page.length - 1]?.key : undefined;
  } while (after);
  return found;
}

/** Compares, after the end of a run, what payers were told, what the ledger says and what the wallet did. */
export function compareBooks(
  books: Books,
  records: Iterable<JobRecord>,
  sessions: Iterable<SessionRecord> = [],
): Violation[] {
  const found: Violation[] = [];
  const report = (kind: ViolationKind, what: string) => void found.push({ kind, what });
  const holders = [...sessions];
  compareJobs(books, [...records], report);
  compareReceipts(books, report);
  comparePayouts(books, [...records], holders, report);
  leftovers(books, report);
  const { received, sent } = books.wallet;
  compareSessions({ ...books, received, sent: new Set(sent.keys()) }, holders, (kind, what) => {
    found.push({ kind, what, session: true });
  });
  return found;
}

type Report = (kind: ViolationKind, what: string) => void;

/** Every key made exactly one job, the one that was acknowledged; what the wallet received is in no waiting job. */
function compareJobs(books: Books, records: readonly JobRecord[], report: Report): void {
  const byToken = Map.groupBy(books.jobs, (job) => job.request.split(" ")[0] ?? "");
  for (const { plan, jobId, claims: _ } of records) {
    const made = byToken.get(plan.token) ?? [];
    byToken.delete(plan.token);
    if (made.length > 1) report("contradiction", `${plan.token}: one Idempotency-Key made ${made.length} jobs`);
    if (jobId !== null && !made.some((job) => jobId.startsWith(`${job.handle}-`))) {
      report("lost", `${plan.token}: the acknowledged job is not in the store`);
    }
  }
  for (const token of byToken.keys()) report("unexpected", `the store has a job that no payer asked for (${token})`);
  for (const { state, request, evalInvoice, workInvoice } of books.jobs) {
    const token = request.split(" ")[0];
    const awaited = state === "awaiting_eval_payment"
      ? evalInvoice
      : state === "awaiting_work_payment"
      ? workInvoice
      : null;
    if (state === "evaluating" || state === "executing") report("stuck", `${token}: still ${state} at the end`);
    else if (awaited && books.wallet.received.has(awaited.paymentHash)) {
      report("stuck", `${token}: still ${state} at the end, although the wallet was paid`);
    }
  }
}

/** What the wallet took in is what the ledger booked, invoice by invoice. */
function compareReceipts({ entries, wallet }: Books, report: Report): void {
  const booked = sumBy(entries.filter(({ from }) => from === "lightning"), ({ ref }) => ref);
  for (const [hash, sats] of wallet.received) {
    if (booked.get(hash) !== sats) {
      report("books", `the wallet received ${sats} sats, the ledger booked ${booked.get(hash) ?? 0}`);
    }
    booked.delete(hash);
  }
  for (const sats of booked.values()) report("books", `the ledger booked ${sats} sats that the wallet never received`);
}

/** What left the wallet is what the ledger booked, and at most one payment for each job. */
function comparePayouts(
  { entries, wallet }: Books,
  records: readonly JobRecord[],
  sessions: readonly SessionRecord[],
  report: Report,
): void {
  const out = entries.filter(({ to }) => to === "lightning");
  const booked = sumBy(out, ({ ref }) => ref);
  for (const [hash, { amountSats, feeSats }] of wallet.sent) {
    const sats = amountSats + feeSats;
    if (booked.get(hash) !== sats) {
      report("books", `the wallet paid ${sats} sats out, the ledger booked ${booked.get(hash) ?? 0}`);
    }
    booked.delete(hash);
  }
  for (const sats of booked.values()) {
    report("books", `the ledger booked a payout of ${sats} sats that the wallet never made`);
  }
  if (wallet.pending.length > 0) report("stuck", `${wallet.pending.length} payouts are under way at the end`);

  const claimed = new Set(sessions.flatMap(({ claims }) => [...claims]));
  for (const { plan, claims, seen } of records) {
    const paid = [...claims].filter((hash) => wallet.sent.has(hash));
    for (const hash of claims) claimed.add(hash);
    if (paid.length > 1) report("paid twice", `${plan.token}: ${paid.length} payments left for one refund`);
    if (seen?.refund?.state === "paid" && !paid.includes(seen.refund.hash ?? "")) {
      report("lost", `${plan.token}: its refund was said to be paid, and the wallet never paid it`);
    }
  }
  for (const hash of wallet.sent.keys()) {
    if (!claimed.has(hash)) report("unexpected", "a payout went to an invoice nobody sent");
  }

  const received = [...wallet.received.values()].reduce((sum, sats) => sum + sats, 0);
  const sent = [...wallet.sent.values()].reduce((sum, { amountSats, feeSats }) => sum + amountSats + feeSats, 0);
  const owed = entries.reduce(
    (sum, { from, to, sats }) => sum + (from === "lightning" ? sats : to === "lightning" ? -sats : 0),
    0,
  );
  if (wallet.balanceSats !== received - sent) {
    report("books", "the wallet's own balance is not what it received less what it paid");
  }
  if (wallet.balanceSats !== owed) {
    report("books", `the wallet holds ${wallet.balanceSats} sats, the ledger says ${owed}`);
  }
}

/** Nothing goes on for what has come to its end (economy.md §8, 7). */
function leftovers({ jobs, refunds, tasks }: Books, report: Report): void {
  const over = new Set(jobs.filter(({ state }) => isOver(state)).map(({ handle }) => handle));
  const paying = new Set(refunds.filter(({ state }) => state === "paying").map(({ id }) => id));
  for (const id of paying) report("stuck", `the refund ${id} is still being paid at the end`);
  for (const { kind, id } of tasks) {
    const stale = (kind === "evaluate" || kind === "work")
      ? over.has(id)
      : kind === "session-request" || (kind === "payout" && !paying.has(id)); // by now every request has ended
    if (stale) report("books", `a task "${kind}" is still planned for a record that is over`);
  }
}

function sumBy<T extends { sats: number }>(list: readonly T[], name: (item: T) => string): Map<string, number> {
  const sums = new Map<string, number>();
  for (const item of list) sums.set(name(item), (sums.get(name(item)) ?? 0) + item.sats);
  return sums;
}
