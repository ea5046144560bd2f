import { reservedAccount, sessionAccount } from "@/lib/ledger/accounts.ts";
import type { Entry } from "@/lib/ledger/ledger.rules.ts";
import type { Refund } from "@/lib/payments/refunds.machine.ts";
import { type SessionRequest } from "@/lib/sessions/requests.machine.ts";
import { type Session } from "@/lib/sessions/sessions.machine.ts";
import { handleOf, type ReportViolation, type SessionRecord } from "./session-witness.ts";

export interface SessionBooks {
  sessions: Pick<
    Session,
    "handle" | "state" | "deposit" | "topups" | "running" | "reservedSats" | "spentSats" | "refundIds"
  >[];
  requests: Pick<SessionRequest, "id" | "session" | "mode" | "state" | "text" | "reservedSats" | "chargeSats">[];
  /** Requests whose text is kept. */
  results: ReadonlySet<string>;
  refunds: Pick<Refund, "id" | "state" | "payout">[];
  entries: Pick<Entry, "from" | "to" | "sats" | "kind" | "ref">[];
  received: ReadonlyMap<string, number>;
  sent: ReadonlySet<string>;
}

/** Compares, after the end, what holders of sessions were told with the store, the ledger and the wallet. */
export function compareSessions(books: SessionBooks, records: readonly SessionRecord[], report: ReportViolation): void {
  const accounts = balancesOf(books.entries);
  const into = Map.groupBy(books.entries, ({ to }) => to);
  const outOf = Map.groupBy(books.entries, ({ from }) => from);
  const byHandle = new Map(records.flatMap((r) => r.sessionId === null ? [] : [[handleOf(r.sessionId), r] as const]));
  const requests = Map.groupBy(books.requests, ({ session }) => session);
  compareOpened(books, records, byHandle, report);
  for (const session of books.sessions) {
    const record = byHandle.get(session.handle);
    const own = requests.get(session.handle) ?? [];
    const name = record?.token ?? "a session that nobody was told of";
    compareSession(session, own, accounts.get(sessionAccount(session.handle)) ?? 0, { books, name, report });
    if (!record) continue;
    const account = sessionAccount(session.handle);
    compareDeposits(record, into.get(account) ?? [], books, report);
    const balance = accounts.get(account) ?? 0;
    if (record.seen && record.seen.balanceSats !== balance) {
      const shown = record.seen.balanceSats;
      report("contradiction", `${name}: was shown ${shown} sats at last, the ledger says ${balance}`);
    }
    compareAsks(record, own, report);
    compareClose(record, session, books, report);
  }
  for (const request of books.requests) {
    const account = reservedAccount(request.id);
    compareHold(request, { in: into.get(account) ?? [], out: outOf.get(account) ?? [] }, books.results, report);
  }
  for (const [account, sats] of accounts) {
    if (account.startsWith("reserved:") && sats !== 0) report("stuck", `${sats} sats are left reserved`);
  }
}

function balancesOf(entries: SessionBooks["entries"]): Map<string, number> {
  const sums = new Map<string, number>();
  for (const { from, to, sats } of entries) {
    sums.set(from, (sums.get(from) ?? 0) - sats);
    sums.set(to, (sums.get(to) ?? 0) + sats);
  }
  return sums;
}

/** One key opened one session: the one that was acknowledged. */
function compareOpened(
  { sessions }: SessionBooks,
  records: readonly SessionRecord[],
  byHandle: ReadonlyMap<string, SessionRecord>,
  report: ReportViolation,
): void {
  const stored = new Set(sessions.map(({ handle }) => handle));
  for (const [handle, { token }] of byHandle) {
    if (!stored.has(handle)) report("lost", `${token}: the acknowledged session is not in the store`);
  }
  const unknown = sessions.filter(({ handle }) => !byHandle.has(handle)).length;
  const unanswered = records.filter(({ sessionId }) => sessionId === null).length;
  if (unknown > unanswered) {
    report("contradiction", `${unknown} sessions that nobody was told of, and ${unanswered} unanswered calls`);
  }
}

/** A session at rest: nothing held, nothing running, its figures those of its requests. */
function compareSession(
  session: SessionBooks["sessions"][number],
  own: SessionBooks["requests"],
  balanceSats: number,
  { books, name, report }: { books: SessionBooks; name: string; report: ReportViolation },
): void {
  const { state, deposit, topups, running, reservedSats, spentSats } = session;
  if (running !== 0 || reservedSats !== 0) {
    report("stuck", `${name}: ${running} running, ${reservedSats} sats reserved at the end`);
  }
  if (state === "awaiting_payment" && books.received.has(deposit.paymentHash)) {
    report("stuck", `${name}: still waits for its deposit, although the wallet was paid`);
  }
  if (topups.some(({ invoice }) => books.received.has(invoice.paymentHash))) {
    report("stuck", `${name}: still waits for its top-up, although the wallet was paid`);
  }
  const debited = sumOf(own.map(({ chargeSats: sats }) => ({ sats })));
  if (spentSats !== debited) report("books", `${name}: spent ${spentSats} sats, its requests say ${debited}`);
  if (balanceSats < 0) report("books", `${name}: its balance is ${balanceSats} sats`);
  if (state === "closed" && balanceSats !== 0) report("stuck", `${name}: closed with ${balanceSats} sats in it`);
}

const sumOf = (entries: readonly { sats: number }[]) => entries.reduce((sum, { sats }) => sum + sats, 0);

/** What was paid for this session is on it, each payment once. */
function compareDeposits(
  { token, invoices, paid }: SessionRecord,
  into: SessionBooks["entries"],
  { received }: SessionBooks,
  report: ReportViolation,
): void {
  for (const [hash, sats] of invoices) {
    if (paid.has(hash) && !received.has(hash)) report("lost", `${token}: a payment that was acknowledged is gone`);
    if (!received.has(hash)) continue;
    const own = sumOf(into.filter(({ from, ref }) => from === "lightning" && ref === hash));
    if (own < sats) report("lost", `${token}: paid ${sats} sats and has ${own} of them`);
    if (own > sats) report("paid twice", `${token}: paid ${sats} sats and was given ${own}`);
  }
}

/** Every request held and charged once, as it says itself, and a charge has its answer. */
function compareHold(
  { id, state, mode, reservedSats, chargeSats }: SessionBooks["requests"][number],
  entries: { in: SessionBooks["entries"]; out: SessionBooks["entries"] },
  results: ReadonlySet<string>,
  report: ReportViolation,
): void {
  if (state === "running") report("stuck", `a ${mode} is still running at the end`);
  // What a pool grants is not the session's: only its own sats are counted here.
  const held = sumOf(entries.in.filter(({ from }) => from.startsWith("session:")));
  const charged = sumOf(entries.out.filter(({ kind }) => kind === "charge" || kind === "evaluation-charge"));
  if (held !== reservedSats) report("books", `a ${mode} says it held ${reservedSats} sats, the ledger ${held}`);
  if (charged !== chargeSats) report("books", `a ${mode} says it cost ${chargeSats} sats, the ledger ${charged}`);
  if (state === "complete" && !results.has(id)) report("lost", `a ${mode} was charged and its answer is gone`);
  if (state === "failed" && charged !== 0) report("lost", `a ${mode} failed and was charged ${charged} sats`);
}

/** One request for each key, charged what its answer said; the rest are calls that nobody heard the answer of. */
function compareAsks(record: SessionRecord, own: SessionBooks["requests"], report: ReportViolation): void {
  const stored = new Map(own.map((request) => [request.id, request]));
  let unnamed = 0;
  for (const { plan, requestId, answer } of record.asks) {
    if (plan.key !== null && own.filter(({ text }) => text?.startsWith(`${plan.token} `)).length > 1) {
      report("contradiction", `${plan.token}: one Idempotency-Key was served twice`);
    }
    if (requestId === null) {
      unnamed++;
      continue;
    }
    const request = stored.get(requestId);
    stored.delete(requestId);
    if (!request) report("lost", `${plan.token}: the request that was answered is not in the store`);
    else if (answer && (answer.state !== request.state || answer.debitedSats !== request.chargeSats)) {
      const kept = `${request.state} for ${request.chargeSats}`;
      report("contradiction", `${plan.token}: said ${answer.state} for ${answer.debitedSats} sats, the store ${kept}`);
    }
  }
  if (stored.size > unnamed) {
    const calls = `${unnamed} calls whose answer named none`;
    report("contradiction", `${record.token}: ${stored.size} requests that nobody knows, ${calls}`);
  }
}

/** What was left of it was paid at most once for each time it ended, and to the holder's invoices only. */
function compareClose(
  { token, claims, seen }: SessionRecord,
  { refundIds }: SessionBooks["sessions"][number],
  { refunds, sent }: SessionBooks,
  report: ReportViolation,
): void {
  const own = refunds.filter(({ id }) => refundIds.includes(id));
  const paid = [...claims].filter((hash) => sent.has(hash));
  if (paid.length > own.length) report("paid twice", `${token}: ${paid.length} payments for ${own.length} closings`);
  for (const { state, payout } of own) {
    if (state === "paid" && !(payout && paid.includes(payout.paymentHash))) {
      report("lost", `${token}: its balance was said to be paid, and the wallet never paid it`);
    }
  }
  if (seen?.refund?.state === "paid" && !paid.includes(seen.refund.hash ?? "")) {
    report("lost", `${token}: its balance was shown as paid, and the wallet never paid it`);
  }
}
