import { deepStrictEqual } from "node:assert/strict";
import { evalFee, payout, workPayment } from "@/lib/ledger/postings.ts";
import { type Books, compareBooks } from "./books.ts";
import { createWitness, type JobRecord, type ViolationKind } from "./witness.ts";

const HANDLE = "0123456789abc";
const summary = (paymentHash: string, amountSats: number) => ({
  paymentHash,
  amountSats,
  paymentRequest: "lnbcrt1",
  expiresAt: 0,
});

/** A job that was paid, done and refunded, in all three books. */
function settledBooks(): Books {
  return {
    jobs: [{
      handle: HANDLE,
      state: "complete",
      request: "payer1-1 why?",
      evalInvoice: summary("e", 10),
      workInvoice: summary("w", 150),
    }],
    sessions: [],
    requests: [],
    results: new Set(),
    refunds: [{ id: HANDLE, state: "paid", payout: null }],
    entries: [
      evalFee({ paymentHash: "e", sats: 10 }),
      workPayment(HANDLE, { paymentHash: "w", sats: 150 }),
      payout(HANDLE, { paymentHash: "out", sats: 20 }),
    ],
    tasks: [{ kind: "idempotency-expiry", id: "x" }],
    wallet: {
      received: new Map([["e", 10], ["w", 150]]),
      sent: new Map([["out", { amountSats: 20, feeSats: 0 }]]),
      pending: [],
      balanceSats: 140,
    },
  };
}

function record(): JobRecord {
  const made = createWitness().planned({
    token: "payer1-1",
    request: "payer1-1 why?",
    outcome: "complete",
    failsAt: null,
  });
  made.jobId = `${HANDLE}-00`;
  made.claims.add("out").add("second");
  return made;
}

const kinds = (
  books: Books,
  records = [record()],
) => [...new Set(compareBooks(books, records).map(({ kind }) => kind))];

Deno.test("compareBooks: ledger, wallet and answers that fit are in order", () => {
  deepStrictEqual(kinds(settledBooks()), []);
});

Deno.test("compareBooks: each way in which the books can differ is found", () => {
  const cases: [string, (books: Books) => void, ViolationKind[]][] = [
    ["a receipt that is not booked", ({ entries }) => void entries.shift(), ["books"]],
    [
      "a receipt booked twice",
      ({ entries }) => void entries.push({ ...entries[0]!, id: "again" }),
      ["books"],
    ],
    ["a booking that the wallet never received", ({ wallet }) => void wallet.received.delete("e"), ["books"]],
    ["a payout that is not booked", ({ entries }) => void entries.pop(), ["books"]],
    ["a booked payout that never left", ({ wallet }) => void wallet.sent.delete("out"), ["books"]],
    ["a balance that is not what came and went", ({ wallet }) => void (wallet.balanceSats = 120), ["books"]],
    ["two payments for one refund", (books) => {
      books.wallet.sent.set("second", { amountSats: 20, feeSats: 0 });
      books.wallet.balanceSats -= 20;
      books.entries.push(payout(HANDLE, { paymentHash: "second", sats: 20 }));
    }, ["paid twice"]],
    ["a payment to a stranger", (books) => {
      books.wallet.sent.set("stranger", { amountSats: 1, feeSats: 0 });
      books.wallet.balanceSats -= 1;
      books.entries.push(payout(HANDLE, { paymentHash: "stranger", sats: 1 }));
    }, ["unexpected"]],
    ["a payout under way", ({ wallet }) => void wallet.pending.push("x"), ["stuck"]],
    ["a refund still being paid", ({ refunds }) => void (refunds[0]!.state = "paying"), ["stuck"]],
    ["work that nobody does", ({ jobs }) => void (jobs[0]!.state = "executing"), ["stuck"]],
    ["a paid job that waits for its payment", ({ jobs }) => void (jobs[0]!.state = "awaiting_work_payment"), ["stuck"]],
    ["a job that is gone", ({ jobs }) => void jobs.pop(), ["lost"]],
    ["two jobs of one key", ({ jobs }) => void jobs.push({ ...jobs[0]!, handle: "zzzzzzzzzzzzz" }), ["contradiction"]],
    ["a job of nobody", ({ jobs }) => void jobs.push({ ...jobs[0]!, request: "payer9-9 hm" }), ["unexpected"]],
    ["work planned for a job that is over", ({ tasks }) => void tasks.push({ kind: "work", id: HANDLE }), ["books"]],
    ["a payout planned for a refund that is paid", ({ tasks }) => void tasks.push({ kind: "payout", id: HANDLE }), [
      "books",
    ]],
  ];
  for (const [name, spoil, expected] of cases) {
    const books = settledBooks();
    spoil(books);
    deepStrictEqual(kinds(books), expected, name);
  }
});

Deno.test("compareBooks: a refund that was said to be paid and never left the wallet is lost", () => {
  const told = record();
  const refund = { state: "paid" as const, hash: "second", sats: 20 };
  const evalInvoice = { paymentHash: "e", amountSats: 10, paymentRequest: "lnbcrt1", expiresAt: "" };
  told.seen = { state: "complete", evalInvoice, workInvoice: null, result: "", figures: "", refund };
  deepStrictEqual(kinds(settledBooks(), [told]), ["lost"]);
});
