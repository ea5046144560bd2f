import { LIGHTNING, sessionAccount } from "@/lib/ledger/accounts.ts";
import { balancesOf, type Books, isSent } from "../books/books.ts";
import { handleOf, mayBeGone, type ReportViolation, type SessionRecord } from "./session-witness.ts";

/** Compares, after the end, what holders of sessions were told with the store, the ledger and the wallet. */
export function compareSessions(books: Books, records: readonly SessionRecord[], report: ReportViolation): void {
  const balances = balancesOf(books.entries);
  const into = Map.groupBy(books.entries, ({ to }) => to);
  const byHandle = new Map(records.flatMap((r) => r.sessionId === null ? [] : [[handleOf(r.sessionId), r] as const]));
  const requests = Map.groupBy(books.requests, ({ session }) => session);
  compareOpened(books, records, byHandle, report);
  for (const session of books.sessions) {
    const record = byHandle.get(session.handle);
    if (!record) continue;
    const account = sessionAccount(session.handle);
    compareDeposits(record, into.get(account) ?? [], books, report);
    const balance = balances.get(account) ?? 0;
    if (record.seen && record.seen.balanceSats !== balance) {
      const shown = record.seen.balanceSats;
      report("contradiction", `${record.token}: was shown ${shown} sats at last, the ledger says ${balance}`);
    }
    compareAsks(record, requests.get(session.handle) ?? [], report);
    compareClose(record, session, books, report);
  }
}

/** One key opened one session: the one that was acknowledged. */
function compareOpened(
  { sessions }: Books,
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

/** What was paid for this session is on it, each payment once. */
function compareDeposits(
  { token, invoices, paid }: SessionRecord,
  into: Books["entries"],
  { wallet: { received } }: Books,
  report: ReportViolation,
): void {
  for (const [hash, sats] of invoices) {
    if (paid.has(hash) && !received.has(hash)) report("lost", `${token}: a payment that was acknowledged is gone`);
    if (!received.has(hash)) continue;
    const own = into.filter(({ from, ref }) => from === LIGHTNING && ref === hash)
      .reduce((sum, entry) => sum + entry.sats, 0);
    if (own < sats) report("lost", `${token}: paid ${sats} sats and has ${own} of them`);
    if (own > sats) report("paid twice", `${token}: paid ${sats} sats and was given ${own}`);
  }
}

/**
 * One request for each key, charged what its answer said; the rest are calls that nobody heard the answer of. A chat that was killed
 * is not there, nor charged.
 */
function compareAsks(record: SessionRecord, own: Books["requests"], report: ReportViolation): void {
  const stored = new Map(own.map((request) => [request.id, request]));
  let unnamed = 0;
  for (const ask of record.asks) {
    const { plan, requestId, answer, killed } = ask;
    if (plan.key !== null && own.filter(({ text }) => text?.startsWith(`${plan.token} `)).length > 1) {
      report("contradiction", `${plan.token}: one Idempotency-Key was served twice`);
    }
    for (const id of killed) {
      if (stored.delete(id)) report("contradiction", `${plan.token}: a chat was kept, and its key began another`);
    }
    if (requestId === null) {
      unnamed++;
      continue;
    }
    const request = stored.get(requestId);
    stored.delete(requestId);
    if (!request && !mayBeGone(ask)) report("lost", `${plan.token}: the request that was answered is not in the store`);
    else if (request && answer && (answer.state !== request.state || answer.debitedSats !== request.chargeSats)) {
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
  { refundIds }: Books["sessions"][number],
  { refunds, wallet }: Books,
  report: ReportViolation,
): void {
  const own = refunds.filter(({ id }) => refundIds.includes(id));
  const paid = [...claims].filter((hash) => isSent(wallet, hash));
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
