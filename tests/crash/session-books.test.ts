import { deepStrictEqual } from "node:assert/strict";
import { reservedAccount, REVENUE, sessionAccount } from "@/lib/ledger/accounts.ts";
import {
  charge,
  type Posting,
  refundDust,
  refundOwed,
  reservation,
  reservationReleased,
  sessionDeposit,
  sessionTopup,
} from "@/lib/ledger/postings.ts";
import { compareSessions, type SessionBooks } from "./session-books.ts";
import { createSessionWitness, type SessionRecord } from "./session-witness.ts";
import type { ViolationKind } from "./witness.ts";

const HANDLE = "0123456789abc";
const ID = `${HANDLE}-1`;
const summary = (paymentHash: string, amountSats: number) => ({
  paymentHash,
  amountSats,
  paymentRequest: "lnbcrt1",
  expiresAt: 0,
});

/** A session that was paid and topped up, asked once, closed and paid out, as its holder and its books have it. */
function settled(): { books: SessionBooks & { entries: Posting[] }; record: SessionRecord } {
  const witness = createSessionWitness(() => {});
  const record = witness.planned("payer1-0");
  record.sessionId = `${HANDLE}-00`;
  record.invoices.set("d", 500).set("t", 300).set("unpaid", 100);
  record.paid.add("d").add("t");
  record.claims.add("out").add("second");
  record.seen = {
    state: "closed",
    balanceSats: 0,
    heldSats: 0,
    spentSats: 126,
    openInvoice: null,
    refund: { state: "paid", sats: 674, hash: "out" },
  };
  const token = "payer1-0-ask0";
  const plan = { token, mode: "request", streamed: false, key: token, model: "m", hangUpAfter: null } as const;
  const ask = witness.asking(record, { ...plan, text: `${token} why?`, ends: ["complete"] });
  ask.requestId = "r1";
  ask.answer = { state: "complete", debitedSats: 126, text: "" };
  return {
    record,
    books: {
      sessions: [{
        handle: HANDLE,
        state: "closed",
        deposit: summary("d", 500),
        topups: [],
        running: 0,
        reservedSats: 0,
        spentSats: 126,
        refundIds: [ID],
      }],
      requests: [{
        id: "r1",
        session: HANDLE,
        mode: "request",
        state: "complete",
        text: `${token} why?`,
        reservedSats: 139,
        chargeSats: 126,
      }],
      results: new Set(["r1"]),
      refunds: [{
        id: ID,
        state: "paid",
        payout: { paymentHash: "out" } as NonNullable<SessionBooks["refunds"][number]["payout"]>,
      }],
      entries: [
        sessionDeposit(HANDLE, { paymentHash: "d", sats: 500 }),
        sessionTopup(HANDLE, { paymentHash: "t", sats: 300 }),
        reservation("r1", HANDLE, 139),
        charge("r1", reservedAccount("r1"), REVENUE.session, 126),
        reservationReleased("r1", HANDLE, 13),
        refundOwed(ID, sessionAccount(HANDLE), 674, HANDLE),
      ],
      received: new Map([["d", 500], ["t", 300]]),
      sent: new Set(["out"]),
    },
  };
}

type Settled = ReturnType<typeof settled>;

function kinds({ books, record }: Settled, records = [record]): ViolationKind[] {
  const found = new Set<ViolationKind>();
  compareSessions(books, records, (kind) => void found.add(kind));
  return [...found].sort();
}

Deno.test("compareSessions: books that agree, and every single thing that may be wrong with them", () => {
  deepStrictEqual(kinds(settled()), []);
  const cases: [string, (all: Settled) => void, ViolationKind[]][] = [
    ["a session that is gone", ({ books }) => void books.sessions.pop(), ["lost"]],
    ["two sessions of one key", ({ books }) => {
      books.sessions.push({ ...books.sessions[0]!, handle: "zzzzzzzzzzzzz", spentSats: 0 });
    }, ["contradiction"]],
    ["a deposit that is not on it", ({ books }) => void books.entries.shift(), [
      "books",
      "contradiction",
      "lost",
      "stuck",
    ]],
    ["a top-up that was booked twice", ({ books, record }) => {
      books.entries.push(books.entries[1]!);
      books.entries.push(refundDust(ID, sessionAccount(HANDLE), 300, HANDLE));
      record.seen = { ...record.seen!, balanceSats: 0 };
    }, ["paid twice"]],
    ["a payment that the wallet does not know", ({ books }) => void (books.received = new Map([["d", 500]])), ["lost"]],
    ["a paid session that waits for its deposit", ({ books }) => {
      books.sessions[0]!.state = "awaiting_payment";
    }, ["stuck"]],
    ["a paid top-up that still waits", ({ books }) => {
      const token = { tokenHash: "k", tokenId: "t" };
      books.sessions[0]!.topups = [{ invoice: summary("t", 300), token, by: "owner", asked: true, raises: null }];
    }, ["stuck"]],
    ["a request that still runs", ({ books }) => void (books.requests[0]!.state = "running"), [
      "contradiction",
      "stuck",
    ]],
    ["a session that counts one", ({ books }) => void (books.sessions[0]!.running = 1), ["stuck"]],
    ["a hold that was forgotten", ({ books }) => void books.entries.splice(4, 1), ["books", "contradiction", "stuck"]],
    ["a charge that was not made", ({ books }) => void books.entries.splice(3, 1), ["books", "stuck"]],
    ["a charge that was made twice", ({ books }) => void books.entries.push(books.entries[3]!), ["books", "stuck"]],
    ["a hold of nothing", ({ books }) => void (books.requests[0]!.reservedSats = 0), ["books"]],
    ["spent otherwise than charged", ({ books }) => void (books.sessions[0]!.spentSats = 125), ["books"]],
    ["charged, and the answer is gone", ({ books }) => void (books.results = new Set()), ["lost"]],
    ["failed, and charged", ({ books, record }) => {
      books.requests[0]!.state = "failed";
      record.asks[0]!.answer!.state = "failed";
    }, ["lost"]],
    ["another price than was said", ({ record }) => void (record.asks[0]!.answer!.debitedSats = 125), [
      "contradiction",
    ]],
    ["an answered request that is gone", ({ record }) => void (record.asks[0]!.requestId = "r0"), [
      "contradiction",
      "lost",
    ]],
    ["one key served twice", ({ books }) => {
      books.requests.push({ ...books.requests[0]!, id: "r2", chargeSats: 0, reservedSats: 0 });
      books.results = new Set(["r1", "r2"]);
    }, ["contradiction"]],
    ["closed with something in it", ({ books, record }) => {
      books.entries.pop();
      record.seen = { ...record.seen!, balanceSats: 674 };
    }, ["stuck"]],
    ["shown another balance", ({ record }) => void (record.seen = { ...record.seen!, balanceSats: 1 }), [
      "contradiction",
    ]],
    ["paid out twice", ({ books }) => void (books.sent = new Set(["out", "second"])), ["paid twice"]],
    ["said to be paid out", ({ books }) => void (books.sent = new Set()), ["lost"]],
  ];
  for (const [name, spoil, expected] of cases) {
    const all = settled();
    spoil(all);
    deepStrictEqual(kinds(all), expected, name);
  }
});

Deno.test("compareSessions: a request whose answer nobody heard is in order, one more than calls is not", () => {
  const all = settled();
  all.record.asks[0]!.requestId = null;
  all.record.asks[0]!.answer = null;
  deepStrictEqual(kinds(all), []);
  all.record.asks.pop();
  deepStrictEqual(kinds(all), ["contradiction"]);
});

Deno.test("compareSessions: a session whose opening was not answered may be there", () => {
  const all = settled();
  const unanswered = createSessionWitness(() => {}).planned("payer2-0");
  all.books.sessions.push({ ...all.books.sessions[0]!, handle: "zzzzzzzzzzzzz", spentSats: 0, refundIds: [] });
  deepStrictEqual(kinds(all, [all.record, unanswered]), []);
});
