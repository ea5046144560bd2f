import { deepStrictEqual } from "node:assert/strict";
import { sessionAccount } from "@/lib/ledger/accounts.ts";
import { refundDust } from "@/lib/ledger/postings.ts";
import type { Books } from "../books/books.ts";
import { CLOSING, HANDLE, REQUEST, settledSession } from "../books/settled.ts";
import { compareSessions } from "./session-books.ts";
import { type AskRecord, createSessionWitness, type SessionRecord } from "./session-witness.ts";
import type { ViolationKind } from "./witness.ts";

/** A session that was paid and topped up, asked once, closed and paid out, as its holder and its books have it. */
function settled(): { books: Books; record: SessionRecord } {
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
  ask.requestId = REQUEST;
  ask.answer = { state: "complete", debitedSats: 126, text: "" };
  return { record, books: settledSession() };
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
    ["a deposit that is not on it", ({ books }) => void books.entries.shift(), ["contradiction", "lost"]],
    ["a top-up that was booked twice", ({ books }) => {
      books.entries.push(books.entries[1]!, refundDust(CLOSING, sessionAccount(HANDLE), 300, HANDLE));
    }, ["paid twice"]],
    ["a payment that the wallet does not know", ({ books }) => void books.wallet.received.delete("t"), ["lost"]],
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
    ["shown another balance", ({ record }) => void (record.seen = { ...record.seen!, balanceSats: 1 }), [
      "contradiction",
    ]],
    ["paid out twice", ({ books }) => {
      books.wallet.payments.set("second", { amountSats: 1, feeSats: 0, state: "paid" });
    }, ["paid twice"]],
    ["said to be paid out", ({ books }) => books.wallet.payments.clear(), ["lost"]],
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

Deno.test("compareSessions: a chat that was killed is not there; kept beside another of its key it was charged twice", () => {
  const killed = (mode: "chat" | "request", spoil: (ask: AskRecord) => void) => {
    const all = settled();
    const ask = all.record.asks[0]!;
    all.record.asks.push({ ...ask, plan: { ...ask.plan, mode }, requestId: "r0", answer: null, killed: [] });
    spoil(all.record.asks[1]!);
    return kinds(all);
  };
  deepStrictEqual(killed("chat", () => {}), []);
  deepStrictEqual(killed("request", () => {}), ["lost"]);
  deepStrictEqual(killed("chat", (ask) => void ask.killed.push("r-1")), []);
  deepStrictEqual(
    killed("chat", (ask) => void (ask.answer = { state: "complete", debitedSats: 1, text: null })),
    ["lost"],
  );
  const all = settled();
  all.record.asks[0] = { ...all.record.asks[0]!, requestId: null, answer: null, killed: [REQUEST] };
  deepStrictEqual(kinds(all), ["contradiction"]);
});

Deno.test("compareSessions: a session whose opening was not answered may be there", () => {
  const all = settled();
  const unanswered = createSessionWitness(() => {}).planned("payer2-0");
  all.books.sessions.push({ ...all.books.sessions[0]!, handle: "zzzzzzzzzzzzz", spentSats: 0, refundIds: [] });
  deepStrictEqual(kinds(all, [all.record, unanswered]), []);
});
