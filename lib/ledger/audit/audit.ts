import { sha256Hex } from "@/lib/ids.ts";
import type { Key, Versioned } from "@/lib/store/store.ts";
import { type Counters, type Entry, mayBeNegative } from "@/lib/ledger/ledger.rules.ts";
import { type Refund, refundAccount } from "@/lib/payments/refunds.machine.ts";
import { reservedAccount, type SessionRequest } from "@/lib/sessions/requests.machine.ts";
import { type Session, sessionAccount } from "@/lib/sessions/sessions.machine.ts";
import type { TaskRow } from "@/lib/tasks/due.ts";
import type { Invoice } from "@/lib/payments/invoices.rows.ts";
import {
  budgetKey,
  type BudgetRow,
  POOL_ROW,
  type PoolRow,
  subsidizedKey,
  type Subsidy,
} from "@/lib/free-tier/pool.rows.ts";

/** Rows of one consistent copy of the store, in key order. */
export interface AuditSource {
  rows<T extends Versioned>(prefix: Key): AsyncIterable<{ key: Key; value: T }>;
  /** One row by its whole key, which no prefix finds. */
  row<T extends Versioned>(key: Key): Promise<T | null>;
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
  pubkey?: string | null;
  request: string;
  paidSats: number;
  grantedSats: number;
  adviceSats?: number;
  refundId: string | null;
  costSheet: { chargeSats: number; subsidySats: number; refundSats: number; returnedSats: number } | null;
}

const TERMINAL = new Set(["complete", "rejected", "failed", "expired"]);

/** What the entries say of one reservation. `out` may be more than both its parts: then some went elsewhere. */
interface ReservationSums {
  in: number;
  out: number;
  /** To `revenue:session`, and back to a session. */
  debited: number;
  released: number;
}
const NO_RESERVATION: ReservationSums = { in: 0, out: 0, debited: 0, released: 0 };

/** The ledger as its entries tell it. */
interface Ledger {
  balance(account: string): number;
  /** By account. */
  reservations: ReadonlyMap<string, ReservationSums>;
}

type Check = (name: string, wrong: string | null, right: string) => void;

/**
 * Proves, over a consistent copy, what must hold of the ledger (economy.md §2, §8).
 * @param walletSats the wallet's own balance, or null when the backend cannot tell; it must cover what is owed.
 * @returns one line per check, in order; the caller stops at the first that is not ok.
 */
export async function audit(source: AuditSource, walletSats: number | null): Promise<AuditCheck[]> {
  const checks: AuditCheck[] = [];
  const check: Check = (name, wrong, right) => void checks.push({ name, ok: wrong === null, detail: wrong ?? right });

  // Every entry, added up anew.
  const sums = new Map<string, { in: number; out: number }>();
  let entries = 0;
  let badEntry: string | null = null;
  const settledBy = new Map<string, number>();
  const reservations = new Map<string, ReservationSums>();
  const given: Given = { bySubsidy: new Map(), credits: new Map(), earned: new Map() };
  const of = (account: string) => {
    const sum = sums.get(account) ?? { in: 0, out: 0 };
    sums.set(account, sum);
    return sum;
  };
  for await (const { value } of source.rows<Entry>(["entry"])) {
    entries++;
    if (!Number.isSafeInteger(value.sats) || value.sats <= 0) badEntry ??= `entry ${value.id} posts ${value.sats} sats`;
    of(value.from).out += value.sats;
    of(value.to).in += value.sats;
    if (value.from === "lightning") settledBy.set(value.ref, (settledBy.get(value.ref) ?? 0) + value.sats);
    addToReservations(reservations, value);
    addToGiven(given, value);
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
    const parts = job.costSheet;
    if (
      parts &&
      job.paidSats + job.grantedSats !== parts.chargeSats + parts.subsidySats + parts.refundSats + parts.returnedSats
    ) {
      wrongJob ??= `account ${account}: paid and granted are not what was charged, absorbed, refunded and returned`;
    }
  }
  check("every job holds what its state says", wrongJob, `${jobs} jobs`);

  let refunds = 0;
  let inFlight = 0;
  const sessionOf = new Map<string, string>();
  let wrongRefund: string | null = null;
  for await (const { value: refund } of source.rows<Refund>(["refund"])) {
    refunds++;
    if (refund.source.kind === "session") sessionOf.set(refund.id, refund.source.handle);
    if (refund.state === "paying") {
      inFlight += (refund.payout?.amountSats ?? refund.sats) + (refund.payout?.maxFeeSats ?? 0);
    }
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

  await auditSessions(source, { balance, reservations }, sessionOf, check);
  await auditSubsidies(source, given, check);

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

function addToReservations(reservations: Map<string, ReservationSums>, { from, to, sats }: Entry): void {
  const of = (account: string) => reservations.get(account) ?? NO_RESERVATION;
  if (to.startsWith("reserved:")) reservations.set(to, { ...of(to), in: of(to).in + sats });
  if (!from.startsWith("reserved:")) return;
  const sums = of(from);
  reservations.set(from, {
    ...sums,
    out: sums.out + sats,
    debited: sums.debited + (to === "revenue:session" ? sats : 0),
    released: sums.released + (to.startsWith("session:") ? sats : 0),
  });
}

/** What the requests of one session, or under one narrowing of a token, hold and were debited. */
interface Drawn {
  running: number;
  reservedSats: number;
  spentSats: number;
}
const NOTHING_DRAWN: Drawn = { running: 0, reservedSats: 0, spentSats: 0 };

const addedTo = (drawn: Drawn | undefined, { state, reservedSats, chargeSats }: SessionRequest): Drawn => {
  const before = drawn ?? NOTHING_DRAWN;
  return state === "running"
    ? { ...before, running: before.running + 1, reservedSats: before.reservedSats + reservedSats }
    : { ...before, spentSats: before.spentSats + chargeSats };
};

type DrawnBy = Map<string, Drawn>;

/**
 * The same for sessions (economy.md §6): every request is there to the satoshi in the ledger, in its session and under
 * each narrowing of the token it came with.
 * @param sessionOf the session of each refund that is owed for one.
 */
async function auditSessions(
  source: AuditSource,
  ledger: Ledger,
  sessionOf: ReadonlyMap<string, string>,
  check: Check,
): Promise<void> {
  const { bySession, byAllowance } = await auditRequests(source, ledger, check);
  const { waiting } = await auditSessionRows(source, ledger, { bySession, sessionOf }, check);
  await auditAllowances(source, byAllowance, check);
  const counted = (await source.row<{ v: 1; count: number }>(["open_challenges"]))?.count ?? 0;
  check(
    "sessions that await payment are counted",
    counted === waiting ? null : `open_challenges counts ${counted}, ${waiting} sessions await payment`,
    `${waiting} sessions`,
  );
}

async function auditRequests(
  source: AuditSource,
  ledger: Ledger,
  check: Check,
): Promise<{ bySession: DrawnBy; byAllowance: DrawnBy }> {
  const bySession: DrawnBy = new Map();
  const byAllowance: DrawnBy = new Map();
  const strayReservations = new Set(ledger.reservations.keys());
  let requests = 0;
  let wrongReservation: string | null = null;
  let wrongDebit: string | null = null;
  for await (const { value: request } of source.rows<SessionRequest>(["session_request"])) {
    requests++;
    strayReservations.delete(reservedAccount(request.id));
    bySession.set(request.session, addedTo(bySession.get(request.session), request));
    for (const name of request.allowances) byAllowance.set(name, addedTo(byAllowance.get(name), request));
    wrongReservation ??= wrongInReservation(request, ledger);
    wrongDebit ??= wrongInDebit(request, ledger);
  }
  for (const account of strayReservations) wrongReservation ??= `account ${account} belongs to no request`;
  check("every reservation is that of a running request", wrongReservation, `${requests} requests`);
  check("every request was charged from its reservation and the rest released", wrongDebit, `${requests} requests`);
  return { bySession, byAllowance };
}

async function auditSessionRows(
  source: AuditSource,
  ledger: Ledger,
  { bySession, sessionOf }: { bySession: DrawnBy; sessionOf: ReadonlyMap<string, string> },
  check: Check,
): Promise<{ waiting: number }> {
  const strayRequests = new Map(bySession);
  const strayRefunds = new Set(sessionOf.keys());
  let sessions = 0;
  let waiting = 0;
  let wrongRunning: string | null = null;
  let wrongSpent: string | null = null;
  let wrongEnded: string | null = null;
  let wrongRefund: string | null = null;
  for await (const { value: session } of source.rows<Session>(["session"])) {
    const { handle, state, running, reservedSats, spentSats, refundIds } = session;
    const account = sessionAccount(handle);
    const drawn = bySession.get(handle) ?? NOTHING_DRAWN;
    strayRequests.delete(handle);
    sessions++;
    if (state === "awaiting_payment") waiting++;
    if (running !== drawn.running || reservedSats !== drawn.reservedSats) {
      wrongRunning ??= `account ${account} counts ${running} running requests that hold ${reservedSats} sats, ` +
        `not ${drawn.running} that hold ${drawn.reservedSats}`;
    }
    if (spentSats !== drawn.spentSats) {
      wrongSpent ??= `account ${account} counts ${spentSats} sats spent, its requests were debited ${drawn.spentSats}`;
    }
    const left = ledger.balance(account);
    if (state !== "active" && state !== "paused" && left !== 0) {
      wrongEnded ??= `account ${account} of a session that is ${state} holds ${left} sats, not 0`;
    }
    for (const id of refundIds) {
      if (sessionOf.get(id) !== handle) wrongRefund ??= `account ${account} names a refund ${id} that is not its own`;
      strayRefunds.delete(id);
    }
  }
  for (const handle of strayRequests.keys()) {
    wrongRunning ??= `account ${sessionAccount(handle)} has requests and no session`;
  }
  for (const id of strayRefunds) wrongRefund ??= `account ${refundAccount(id)} is of no session that names it`;
  check("every session holds what its running requests may cost", wrongRunning, `${sessions} sessions`);
  check("every session spent what its requests were debited", wrongSpent, `${sessions} sessions`);
  check("every session that is not open is empty", wrongEnded, `${sessions} sessions`);
  check("every refund of a session is named by it", wrongRefund, `${sessionOf.size} refunds`);
  return { waiting };
}

async function auditAllowances(source: AuditSource, byAllowance: DrawnBy, check: Check): Promise<void> {
  const uncounted = new Map(byAllowance);
  let allowances = 0;
  let wrong: string | null = null;
  for await (const { key, value } of source.rows<Drawn & Versioned>(["allowance"])) {
    const name = String(key[1]);
    const drawn = byAllowance.get(name) ?? NOTHING_DRAWN;
    uncounted.delete(name);
    allowances++;
    if (value.reservedSats !== drawn.reservedSats || value.spentSats !== drawn.spentSats) {
      wrong ??= `allowance ${name} counts ${value.reservedSats} sats held and ${value.spentSats} spent, ` +
        `its requests hold ${drawn.reservedSats} and were debited ${drawn.spentSats}`;
    }
  }
  for (const name of uncounted.keys()) wrong ??= `allowance ${name} has requests and no count`;
  check("every narrowed token counts what was drawn under it", wrong, `${allowances} narrowed tokens`);
}

function wrongInReservation(request: SessionRequest, ledger: Ledger): string | null {
  const account = reservedAccount(request.id);
  const held = ledger.balance(account);
  const expected = request.state === "running" ? request.reservedSats + request.grantedSats : 0;
  if (held === expected) return null;
  return `account ${account} of a request that is ${request.state} holds ${held} sats, not ${expected}`;
}

function wrongInDebit(request: SessionRequest, ledger: Ledger): string | null {
  const { state, reservedSats, grantedSats, chargeSats, subsidySats } = request;
  const account = reservedAccount(request.id);
  const sums = ledger.reservations.get(account) ?? NO_RESERVATION;
  if (sums.in !== reservedSats + grantedSats) {
    return `account ${account} took in ${sums.in} sats, its request held ${reservedSats} and was granted ${grantedSats}`;
  }
  if (chargeSats < 0 || chargeSats > reservedSats) {
    return `account ${account} held ${reservedSats} sats, its request was debited ${chargeSats}`;
  }
  if (subsidySats < 0 || subsidySats > grantedSats) {
    return `account ${account} was granted ${grantedSats} sats, its request absorbed ${subsidySats}`;
  }
  const over = state !== "running";
  const [debited, released] = over ? [chargeSats + subsidySats, reservedSats - chargeSats] : [0, 0];
  const out = over ? reservedSats + grantedSats : 0; // what was granted and not absorbed went back to the pool
  if (sums.debited === debited && sums.released === released && sums.out === out) return null;
  return `account ${account} of a request that is ${state} gave ${sums.debited} sats to revenue and ${sums.released} ` +
    `back, ${sums.out} in all, not ${debited}, ${released} and ${out}`;
}

/** What the entries say of the pool's subsidies and credits. */
interface Given {
  /** By the id of a subsidy. */
  bySubsidy: Map<string, SubsidyEntries>;
  /** Credits of the pool, and what was earned for work, by job or request. */
  credits: Map<string, Entry>;
  earned: Map<string, Entry>;
}
interface SubsidyEntries {
  reserved: Entry[];
  absorbed: Entry[];
  returned: Entry[];
}

function addToGiven({ bySubsidy, credits, earned }: Given, entry: Entry): void {
  const { kind, ref } = entry;
  const of = (id: string): SubsidyEntries => {
    const entries = bySubsidy.get(id) ?? { reserved: [], absorbed: [], returned: [] };
    bySubsidy.set(id, entries);
    return entries;
  };
  if (kind === "subsidy") of(ref.split(" ")[0] ?? "").reserved.push(entry);
  else if (kind === "subsidy-returned") of(ref).returned.push(entry);
  else if (kind === "work-subsidy" || kind === "session-subsidy") of(ref).absorbed.push(entry);
  else if (kind === "pool-credit") credits.set(ref, entry);
  else if (kind === "work" || kind === "session-request") earned.set(ref, entry);
}

/** A job or a session's request, as far as subsidies go. */
interface Owner {
  runs: boolean;
  pubkey: string | null;
  requestHash: string;
  grantedSats: number;
  subsidySats: number;
}

/**
 * The same for the pool (economy.md §7): every sat that left it was reserved for a request that runs, or is accounted for
 * by one that ended; budgets count no more and no less; and every charge gave its share.
 */
async function auditSubsidies(source: AuditSource, given: Given, check: Check): Promise<void> {
  const subsidies = new Map<string, Subsidy>();
  for await (const { value } of source.rows<Subsidy>(["subsidy"])) subsidies.set(value.id, value);
  auditSubsidyEntries(subsidies, given, check);
  await auditOwners(source, subsidies, check);
  await auditBudgets(source, subsidies, check);
  await auditAdvice(source, check);
  await auditCredits(source, given, check);
}

/** Advice is no money: but uncounted, a key could be promised many times its budget. */
async function auditAdvice(source: AuditSource, check: Check): Promise<void> {
  const advised = new Map<string, number>();
  for await (const { value: job } of source.rows<JobRow>(["job"])) {
    const sats = job.state === "awaiting_work_payment" ? job.adviceSats ?? 0 : 0;
    if (sats > 0 && job.pubkey) advised.set(job.pubkey, (advised.get(job.pubkey) ?? 0) + sats);
  }
  let wrong: string | null = null;
  const keys = advised.size;
  for await (const { key, value } of source.rows<{ v: 1; sats: number }>(["advice"])) {
    const expected = advised.get(String(key[1])) ?? 0;
    if (value.sats !== expected) {
      wrong ??= `advice of ${value.sats} sats is counted for a key, its offers make ${expected}`;
    }
    advised.delete(String(key[1]));
  }
  if (advised.size > 0) wrong ??= `advice of ${advised.size} keys is not counted`;
  check("every offer of help is counted while it waits", wrong, `${keys} keys`);
}

function auditSubsidyEntries(subsidies: ReadonlyMap<string, Subsidy>, { bySubsidy }: Given, check: Check): void {
  let wrong: string | null = null;
  for (const id of bySubsidy.keys()) {
    if (!subsidies.has(id)) wrong ??= `account pool: entries name a subsidy ${id} that does not exist`;
  }
  for (const subsidy of subsidies.values()) wrong ??= wrongInSubsidy(subsidy, bySubsidy.get(subsidy.id));
  check("every subsidy is in the ledger, to the end", wrong, `${subsidies.size} subsidies`);
}

function wrongInSubsidy(subsidy: Subsidy, entries: SubsidyEntries | undefined): string | null {
  const { id, session, account, pubkey, requestHash, reservedSats, subsidySats, state } = subsidy;
  const [reserved, ...more] = entries?.reserved ?? [];
  if (!reserved || more.length > 0) return `account ${account}: subsidy ${id} has ${more.length} entries`;
  const { from, to, sats, ref } = reserved;
  if (account !== (session === null ? `job:${id}` : reservedAccount(id)) || from !== "pool" || to !== account) {
    return `account ${account} of subsidy ${id} was given by ${from} to ${to}`;
  }
  if (sats !== reservedSats) return `account ${account} was given ${sats} sats, its subsidy reserved ${reservedSats}`;
  if (ref !== `${id} ${pubkey} ${requestHash}`) return `account ${account}: its subsidy names another key or request`;
  if (subsidySats < 0 || subsidySats > reservedSats) {
    return `account ${account}: its subsidy of ${reservedSats} sats absorbed ${subsidySats}`;
  }
  const settled = state === "settled";
  const toRevenue = sumOf(entries?.absorbed, (entry) => entry.from === account && entry.to.startsWith("revenue:"));
  const toPool = sumOf(entries?.returned, (entry) => entry.from === account && entry.to === "pool");
  const expected = settled ? { absorbed: subsidySats, returned: reservedSats - subsidySats } : NOTHING_GIVEN;
  if (toRevenue === expected.absorbed && toPool === expected.returned && (settled || subsidySats === 0)) return null;
  return `account ${account} of a subsidy that is ${state} gave ${toRevenue} sats to revenue and ${toPool} back, ` +
    `not ${expected.absorbed} and ${expected.returned}`;
}
const NOTHING_GIVEN = { absorbed: 0, returned: 0 };

/** The sum of entries; NaN when one of them goes another way. */
const sumOf = (entries: readonly Entry[] = [], goesRight: (entry: Entry) => boolean): number =>
  entries.reduce((sum, entry) => goesRight(entry) ? sum + entry.sats : NaN, 0);

async function auditOwners(source: AuditSource, subsidies: ReadonlyMap<string, Subsidy>, check: Check): Promise<void> {
  const unowned = new Set(subsidies.keys());
  let wrong: string | null = null;
  let owners = 0;
  for await (const { value: job } of source.rows<JobRow>(["job"])) {
    owners++;
    unowned.delete(job.handle);
    const subsidy = subsidies.get(job.handle);
    wrong ??= wrongInOwner(`job:${job.handle}`, subsidy, {
      runs: job.state === "executing",
      pubkey: job.pubkey ?? null,
      requestHash: subsidy ? sha256Hex(job.request) : "",
      grantedSats: job.grantedSats,
      subsidySats: job.costSheet?.subsidySats ?? 0,
    });
  }
  for await (const { value: request } of source.rows<SessionRequest>(["session_request"])) {
    owners++;
    unowned.delete(request.id);
    const runs = request.state === "running";
    wrong ??= wrongInOwner(reservedAccount(request.id), subsidies.get(request.id), { ...request, runs });
  }
  for (const id of unowned) wrong ??= `account ${subsidies.get(id)?.account}: its subsidy belongs to no request`;
  check("every subsidy is that of its request, reserved only while it runs", wrong, `${owners} jobs and requests`);
}

function wrongInOwner(account: string, subsidy: Subsidy | undefined, owner: Owner): string | null {
  const { runs, pubkey, requestHash, grantedSats, subsidySats } = owner;
  if (!subsidy) {
    return grantedSats === 0 ? null : `account ${account} says it was granted ${grantedSats} sats; no subsidy was`;
  }
  if (subsidy.account !== account) return `account ${account}: its subsidy is that of ${subsidy.account}`;
  if (subsidy.pubkey !== pubkey || subsidy.requestHash !== requestHash) {
    return `account ${account}: its subsidy is that of another key or request`;
  }
  if (subsidy.reservedSats !== grantedSats || subsidy.subsidySats !== subsidySats) {
    return `account ${account} says it was granted ${grantedSats} sats and absorbed ${subsidySats}, ` +
      `its subsidy says ${subsidy.reservedSats} and ${subsidy.subsidySats}`;
  }
  if ((subsidy.state === "reserved") === runs) return null;
  return `account ${account}: its subsidy is ${subsidy.state}, though it ${runs ? "runs" : "has ended"}`;
}

/** What the subsidies of a day took, by key and in all, is what its counts say: reserved, or absorbed once settled. */
async function auditBudgets(source: AuditSource, subsidies: ReadonlyMap<string, Subsidy>, check: Check): Promise<void> {
  const taken = new Map<string, number>();
  for (const { pubkey, day, state, reservedSats, subsidySats } of subsidies.values()) {
    const sats = state === "reserved" ? reservedSats : subsidySats;
    for (const key of [budgetKey(pubkey, day), subsidizedKey(day)]) {
      const name = JSON.stringify(key);
      taken.set(name, (taken.get(name) ?? 0) + sats);
    }
  }
  /** Counts that have not been forgotten yet; a week after its day one is. */
  const kept = new Set<string>();
  for await (const { value: { kind, id } } of source.rows<TaskRow>(["task", "row-expiry"])) {
    if (kind === "row-expiry" && taken.has(id)) kept.add(id);
  }
  let wrong: string | null = null;
  let counts = 0;
  for (const table of ["budget", "subsidized"]) {
    for await (const { key, value } of source.rows<BudgetRow>([table])) {
      counts++;
      const name = JSON.stringify(key);
      const sats = taken.get(name) ?? 0;
      if (value.usedSats !== sats) {
        wrong ??= `account pool: ${name} counts ${value.usedSats} sats, its subsidies took ${sats}`;
      }
      if (!kept.delete(name)) wrong ??= `account pool: nothing will ever forget ${name}`;
    }
  }
  for (const name of kept) wrong ??= `account pool: the count ${name} was lost`;
  check("every budget counts what its subsidies took", wrong, `${counts} counts`);
}

async function auditCredits(source: AuditSource, { credits, earned }: Given, check: Check): Promise<void> {
  const row = await source.row<PoolRow>(POOL_ROW) ?? { v: 1, carry: 0, chargedSats: 0, hundredths: 0, since: Infinity };
  const { carry, chargedSats, hundredths, since } = row;
  let wrong: string | null = null;
  let credited = 0;
  for (const [ref, { sats, from, to }] of credits) {
    credited += sats;
    const charge = earned.get(ref);
    if (!charge || charge.sats < sats || from !== charge.to || to !== "pool") {
      wrong ??= `account pool: a credit of ${sats} sats is the share of no charge (${ref})`;
    }
  }
  let charged = 0;
  for (const { sats, at } of earned.values()) if (at >= since) charged += sats;
  if (charged !== chargedSats) {
    wrong ??= `account pool: ${charged} sats were earned, it had its share of ${chargedSats}`;
  }
  if (carry < 0 || carry >= 100 || credited * 100 + carry !== hundredths) {
    wrong ??=
      `account pool was credited ${credited} sats and carries ${carry} hundredths, its shares are ${hundredths}`;
  }
  check("the pool had its share of every charge", wrong, `${credited} sats of ${chargedSats}`);
}
