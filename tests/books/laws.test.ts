import assert from "node:assert/strict";
import { jobAccount, reservedAccount, REVENUE, sessionAccount } from "@/lib/ledger/accounts.ts";
import {
  bootstrapFee,
  charge,
  lateUnclaimed,
  payout,
  refundDust,
  refundOwed,
  reservation,
  subsidy,
  workPayment,
} from "@/lib/ledger/postings.ts";
import { goodBooks, sourceOf } from "@/lib/ledger/audit/testing/good-books.ts";
import { createMemoryStore } from "../harness/memory-store.ts";
import { type Books, readBooks } from "./books.ts";
import { alwaysTrue, type Law, LAWS, taskLaws, trueAtRest } from "./laws.ts";
import { CLOSING, FAILED, HANDLE, REQUEST, settledBootstraps, settledJob, settledSession } from "./settled.ts";

/** The laws that these books break, each once. */
function broken(books: Books, laws = [alwaysTrue, taskLaws, trueAtRest]): Law[] {
  const found = new Set<Law>();
  for (const law of laws) law(books, (holds, name) => holds || found.add(name));
  return [...found];
}

type Spoil = (books: Books) => void;
const [ALICE, JOB] = [{ pubkey: "a", requestHash: "b" }, jobAccount(HANDLE)];
const sheet = ({ jobs }: Books) => jobs[0]!.costSheet!;
const move = ({ wallet }: Books, hash: string, change: Partial<{ amountSats: number; feeSats: number }>) =>
  void wallet.payments.set(hash, { amountSats: 20, feeSats: 0, state: "paid", ...change });

/** One thing that is spoilt in settled books, and a law that this breaks. */
const JOBS: [Law, Spoil][] = [
  ["the wallet pays only what was claimed", (books) => move(books, "stranger", {})],
  ["the wallet pays only what was claimed", ({ claims }) => void claims.delete("out")],
  ["a refund is paid at most once", (books) => move(books, "second", {})],
  ["a refund is paid at most once", ({ wallet }) => {
    wallet.payments.set("second", { amountSats: 20, feeSats: 0, state: "pending" });
  }],
  ["a refund is paid exactly", (books) => move(books, "out", { amountSats: 21 })],
  ["a refund that may have been paid is not open", ({ refunds }) => void (refunds[0]!.state = "pending")],
  ["a refund that may have been paid is not open", ({ refunds }) => void (refunds[0]!.state = "expired")],
  ["a refund names the invoice it is paid to", ({ refunds }) => {
    refunds[0]!.payout = { paymentHash: "second" };
  }],
  ["a paid refund was sent", ({ wallet }) => wallet.payments.clear()],
  ["a paid refund was sent", ({ refunds }) => void (refunds[0]!.payout = null)],
  ["the fee is booked", (books) => move(books, "out", { feeSats: 1 })],
  ["no account that may not be negative is", ({ entries }) => void entries.splice(1, 1)],
  ["a payment hash settles at most one thing, once", ({ entries }) => {
    entries.push({ ...entries[0]!, id: "again" });
  }],
  ["a payment hash settles at most one thing, once", ({ entries }) => {
    entries.push(lateUnclaimed({ paymentHash: "w", sats: 150 }));
  }],
  ["a payment hash settles at most one thing, once", ({ wallet }) => void wallet.received.delete("e")],
  ["no more is absorbed than was used", (books) => {
    Object.assign(books.jobs[0]!, { grantedSats: 140 });
    Object.assign(sheet(books), { subsidySats: 140, chargeSats: 0, refundSats: 150 });
  }],
  ["what the pool gave is used first", (books) => {
    Object.assign(books.jobs[0]!, { grantedSats: 50 });
    Object.assign(sheet(books), { returnedSats: 50 });
  }],
  ["the refund is what was paid less the charge", (books) => {
    Object.assign(sheet(books), { chargeSats: 131, refundSats: 19 });
  }],
  ["what was paid and granted is accounted for", (books) => void sheet(books).returnedSats++],
  ["the work cost no more than was held", (books) => void (sheet(books).actualSats = 151)],
  ["a job that is over holds nothing", ({ entries }) => {
    entries.push(subsidy(HANDLE, JOB, 5, ALICE));
  }],
  ["a job has the task of its state and no other", ({ tasks }) => void tasks.push({ kind: "work", id: HANDLE })],
  ["a job has the task of its state and no other", ({ jobs }) => void (jobs[0]!.state = "evaluating")],
  ["a refund has a payout while it is being paid", ({ refunds }) => void (refunds[0]!.state = "paying")],
  ["a refund has a payout while it is being paid", ({ tasks }) => void tasks.push({ kind: "payout", id: HANDLE })],
  ["only what is owed is tried at an address", ({ tasks }) => void tasks.push({ kind: "refund-address", id: HANDLE })],
  ["a refund has an end while it is owed", ({ tasks }) => void tasks.push({ kind: "refund-expiry", id: HANDLE })],
  ["a settled invoice is not due", ({ tasks }) => void tasks.push({ kind: "invoice-expiry", id: "w" })],
  ["no work is planned for what is over", ({ tasks }) => void tasks.push({ kind: "evaluate", id: "forgotten" })],
  ["paid work comes to its end", ({ jobs }) => void (jobs[0]!.state = "executing")],
  ["what was paid for goes on", ({ jobs }) => void (jobs[0]!.state = "awaiting_work_payment")],
  ["what was paid for goes on", ({ jobs }) => void (jobs[0]!.state = "awaiting_eval_payment")],
  ["every settlement is noticed", ({ invoices }) => void (invoices[0]!.settled = null)],
  ["every settlement is noticed", ({ wallet }) => void wallet.received.delete("w")],
  ["a claimed refund is paid or open again", ({ refunds }) => void (refunds[0]!.state = "paying")],
  ["a claimed refund is paid or open again", ({ wallet }) => {
    wallet.payments.set("second", { amountSats: 20, feeSats: 0, state: "pending" });
  }],
  ["every receipt is booked", ({ entries }) => void entries.shift()],
  ["every payout is booked", ({ entries }) => void entries.pop()],
  ["every payout is booked", ({ entries }) => void entries.push(payout(HANDLE, { paymentHash: "x", sats: 1 }))],
  ["every payout is booked", (books) => move(books, "out", { feeSats: 1 })],
  ["the ledger is what the wallet holds", ({ wallet }) => void wallet.balanceSats--],
];
const SESSIONS: [Law, Spoil][] = [
  ["what was paid and granted is accounted for", ({ requests }) => void (requests[0]!.grantedSats = NaN)],
  ["the refund is what was paid less the charge", ({ requests }) => void requests[0]!.chargeSats--],
  ["a request holds what it says", ({ requests }) => void requests[0]!.reservedSats++],
  ["a request holds what it says", ({ entries }) => {
    entries.push({ ...reservation(REQUEST, HANDLE, 1), id: "again" });
  }],
  ["a request is charged once, for what it says", ({ entries }) => {
    entries.push({ ...charge(REQUEST, reservedAccount(REQUEST), REVENUE.session, 126), id: "again" });
  }],
  ["a request is charged once, for what it says", ({ entries }) => void entries.splice(3, 1)],
  ["only requests are charged", ({ requests }) => void requests.pop()],
  ["only requests are charged", ({ entries }) => {
    entries.push(charge("r2", sessionAccount(HANDLE), REVENUE.session, 1));
  }],
  ["a failure costs nothing", ({ requests }) => void Object.assign(requests[0]!, { state: "failed", usage: null })],
  ["an answer that was charged is kept", (books) => void (books.results = new Set())],
  ["a session spent what its requests were charged", ({ sessions }) => void sessions[0]!.spentSats--],
  ["a session that is closed is empty", ({ entries }) => {
    entries.splice(5, 1);
  }],
  ["a session that is closed is empty", ({ entries }) => {
    entries.push(refundDust(CLOSING, sessionAccount(HANDLE), 1, HANDLE));
  }],
  ["a running request has its task, and no other has", ({ requests }) => void (requests[0]!.state = "running")],
  ["a running request has its task, and no other has", ({ tasks }) => {
    tasks.push({ kind: "session-request", id: `${HANDLE}.${REQUEST}` });
  }],
  ["a session has an end while it lives", ({ sessions }) => void (sessions[0]!.state = "paused")],
  ["a session has an end while it lives", ({ tasks }) => void tasks.push({ kind: "session-expiry", id: HANDLE })],
  ["what was paid for goes on", ({ sessions }) => void (sessions[0]!.state = "awaiting_payment")],
  [
    "what was paid for goes on",
    ({ sessions }) => void void (sessions[0]!.topups = [{ invoice: { paymentHash: "t" } }]),
  ],
  ["a request comes to its end", ({ requests }) => void (requests[0]!.state = "running")],
  ["a request comes to its end", ({ sessions }) => void (sessions[0]!.running = 1)],
  ["a request comes to its end", ({ sessions }) => void (sessions[0]!.reservedSats = 1)],
  ["nothing stays reserved", ({ entries }) => void entries.splice(4, 1)],
];

/** The second one in the books could not be made. */
const BOOTSTRAPS: [Law, Spoil][] = [
  ["a node's money waits until it is ready or gone", ({ bootstraps }) => void (bootstraps[0]!.state = "provisioning")],
  ["a node's money waits until it is ready or gone", ({ bootstraps }) => void (bootstraps[1]!.destroyingSince = 1)],
  ["a node's money waits until it is ready or gone", ({ entries }) => void entries.splice(1, 1)],
  ["the fee is earned by a node that is ready, and by no other", ({ entries }) => {
    entries[3] = bootstrapFee(FAILED, 1_000);
  }],
  ["the fee is earned by a node that is ready, and by no other", ({ entries }) => {
    entries.push(bootstrapFee("nobody", 1));
  }],
  ["what is not earned of a fee is owed back", ({ refunds }) => void refunds[0]!.sats--],
  ["what is not earned of a fee is owed back", ({ bootstraps }) => void (bootstraps[1]!.refundId = null)],
  ["what is not earned of a fee is owed back", ({ entries }) => {
    entries.splice(1, 1, refundOwed(HANDLE, jobAccount(HANDLE), 1_000, HANDLE));
  }],
  ["a node has its task while there is something to do", ({ tasks }) => {
    tasks.push({ kind: "bootstrap", id: FAILED });
  }],
  ["a node has its task while there is something to do", ({ bootstraps }) => void (bootstraps[0]!.handedOver = false)],
  ["a node has its task while there is something to do", ({ bootstraps }) => {
    Object.assign(bootstraps[0]!, { state: "ready_unconfirmed", report: {} });
  }],
  ["a paid node comes to its end", ({ bootstraps }) => void (bootstraps[0]!.state = "provisioning")],
  ["a paid node comes to its end", ({ bootstraps }) => void (bootstraps[1]!.destroyingSince = 1)],
  ["what was paid for goes on", ({ bootstraps }) => {
    Object.assign(bootstraps[0]!, { state: "awaiting_payment", paidSats: 0 });
  }],
];

Deno.test("laws: settled books keep them all", () => {
  assert.deepEqual(broken(settledBootstraps()), []);
  assert.deepEqual(broken(settledJob()), []);
  assert.deepEqual(broken(settledSession()), []);
});

for (
  const [from, cases] of [[settledJob, JOBS], [settledSession, SESSIONS], [settledBootstraps, BOOTSTRAPS]] as const
) {
  for (const [i, [law, spoil]] of cases.entries()) {
    Deno.test(`laws: "${law}" is broken by books that break it (${from.name} ${i})`, () => {
      const books = from();
      spoil(books);
      assert.ok(broken(books).includes(law), `broken are: ${broken(books).join(", ")}`);
    });
  }
}

Deno.test("laws: each has books that break it", () => {
  const known = new Set([...JOBS, ...SESSIONS, ...BOOTSTRAPS].map(([law]) => law));
  assert.deepEqual(Object.keys(LAWS).filter((law) => !known.has(law as Law)), []);
});

Deno.test("laws: work may cost more than was held where advised help was gone when the job was paid", () => {
  const books = settledJob();
  Object.assign(books.jobs[0]!, { adviceSats: 30 });
  Object.assign(sheet(books), { actualSats: 170, chargeSats: 150, refundSats: 0 });
  assert.ok(!broken(books).includes("the work cost no more than was held"));
  Object.assign(books.jobs[0]!, { grantedSats: 30, paidSats: 120 });
  Object.assign(sheet(books), { actualSats: 170, chargeSats: 120, subsidySats: 30 });
  assert.ok(broken(books).includes("the work cost no more than was held"));
});

Deno.test("laws: the books that the audit's tests find good keep every law that always holds", async () => {
  const { rows, wallet } = await goodBooks();
  const { store } = await createMemoryStore();
  await store.transact((tx) => Promise.resolve(wallet.forEach(({ key, value }) => tx.set(key, value))));
  const books = await readBooks((prefix) => Array.fromAsync(sourceOf(rows).rows(prefix)), store);
  assert.ok(
    books.jobs.length > 0 && books.requests.length > 0 && books.bootstraps.length > 0 && books.wallet.received.size > 0,
  );
  assert.deepEqual(broken(books, [alwaysTrue, taskLaws]), []);
  books.entries.push(workPayment(books.jobs[0]!.handle, { paymentHash: "never", sats: 1 }));
  assert.deepEqual(broken(books, [alwaysTrue, taskLaws]).slice(0, 1), [
    "a payment hash settles at most one thing, once",
  ]);
});
