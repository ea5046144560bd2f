import { deepStrictEqual } from "node:assert/strict";
import type { Books } from "../books/books.ts";
import { HANDLE, settledJob } from "../books/settled.ts";
import { compareBooks } from "./books.ts";
import { createWitness, type JobRecord, type ViolationKind } from "./witness.ts";

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
) => [...new Set(compareBooks(books, records).map(({ kind }) => kind))].sort();

Deno.test("compareBooks: ledger, wallet and answers that fit are in order", () => {
  deepStrictEqual(kinds(settledJob()), []);
});

Deno.test("compareBooks: each way in which the books can differ is found", () => {
  const cases: [string, (books: Books) => void, ViolationKind[]][] = [
    ["a law of the books that does not hold", ({ entries }) => void entries.shift(), ["books"]],
    ["a balance that is not what came and went", ({ wallet }) => void (wallet.balanceSats = 120), ["books"]],
    ["two payments for one refund", (books) => {
      books.wallet.payments.set("second", { amountSats: 20, feeSats: 0, state: "paid" });
    }, ["books", "paid twice"]],
    ["a payment to a stranger", (books) => {
      books.wallet.payments.set("stranger", { amountSats: 1, feeSats: 0, state: "paid" });
    }, ["books", "unexpected"]],
    ["work that nobody does", ({ jobs }) => void (jobs[0]!.state = "executing"), ["stuck"]],
    ["a job that is gone", ({ jobs }) => void jobs.pop(), ["lost"]],
    ["two jobs of one key", ({ jobs }) => void jobs.push({ ...jobs[0]!, handle: "zzzzzzzzzzzzz" }), ["contradiction"]],
    ["a job of nobody", ({ jobs }) => void jobs.push({ ...jobs[0]!, request: "payer9-9 hm" }), ["unexpected"]],
  ];
  for (const [name, spoil, expected] of cases) {
    const books = settledJob();
    spoil(books);
    deepStrictEqual(kinds(books), expected, name);
  }
});

Deno.test("compareBooks: a refund that was said to be paid and never left the wallet is lost", () => {
  const told = record();
  const refund = { state: "paid" as const, hash: "second", sats: 20 };
  const evalInvoice = { paymentHash: "e", amountSats: 10, paymentRequest: "lnbcrt1", expiresAt: "" };
  told.seen = { state: "complete", evalInvoice, workInvoice: null, result: "", figures: "", refund };
  deepStrictEqual(kinds(settledJob(), [told]), ["lost"]);
});
