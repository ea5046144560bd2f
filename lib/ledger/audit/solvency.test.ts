import assert from "node:assert/strict";
import { jobAccount, REVENUE, sessionAccount } from "@/lib/ledger/accounts.ts";
import {
  charge,
  demoAnswer,
  evalFee,
  lateUnclaimed,
  overpaid,
  payout,
  poolCredit,
  poolDonation,
  poolSeed,
  type Posting,
  refundDust,
  refundOwed,
  reservation,
  routingFee,
  sessionDeposit,
  subsidy,
  subsidyReturned,
  subsidyUsed,
  workPayment,
} from "@/lib/ledger/postings.ts";
import type { AuditCheck } from "./book.ts";
import { auditEntries } from "./entries.ts";
import { auditSolvency } from "./solvency.ts";
import { type Change, failing, type Row, row, type Rows, sourceOf } from "./testing/good-books.ts";

Deno.test("audit: a payout that was made twice shows in the wallet's balance alone", async () => {
  assert.deepEqual(await failing(() => {}), []);
  const wrong = await failing(() => {}, -1);
  assert.deepEqual(wrong.map(({ name }) => name), ["the wallet holds what the ledger says"]);
  assert.match(wrong[0]?.detail ?? "", /account lightning: the ledger has \d+ sats in it, the wallet holds only \d+/);
});
Deno.test("audit: a wallet may hold more, and one that cannot tell is no error", async () => {
  assert.deepEqual(await failing(() => {}, 1_000), []);
  assert.deepEqual(await failing(() => {}, null), []);
});
Deno.test("audit: a payout under way may have left the wallet before it is booked, with its highest fee and not a satoshi more", async () => {
  const change: Change = (rows, books) => {
    const refund = row(rows, "refund", ({ id }) => id === books.failed);
    refund.state = "paying";
    refund.payout = { paymentHash: "h", paymentRequest: "ln", amountSats: 10, maxFeeSats: 3, claimedAt: 1 };
  };
  assert.deepEqual(await failing(change, -13), []);
  assert.equal((await failing(change, -14)).length, 1);
});

// ---- what is owed ------------------------------------------------------------------------------------------------------

const SOLVENT = "the wallet can pay all that is owed";

/** The check over a ledger of these postings alone. @param inFlight sats of payouts under way, and their highest fees. */
async function solvency(postings: Posting[], walletSats: number | null, inFlight = { sats: 0, maxFeeSats: 0 }) {
  const entries = postings.map((posting) => ({
    key: ["entry", posting.id],
    value: { v: 1, at: 1, ...posting } as Row,
  }));
  const rows: Rows = new Map([["entry", entries]]);
  const checks: AuditCheck[] = [];
  const ledger = await auditEntries(sourceOf(rows), () => {});
  const check = (name: string, wrong: string | null, right: string) =>
    void checks.push({ name, ok: wrong === null, detail: wrong ?? right });
  auditSolvency({ ledger, check }, { inFlight }, walletSats);
  return checks.find(({ name }) => name === SOLVENT) ?? assert.fail("not checked");
}
const ABOUT = { pubkey: "a", requestHash: "b" };

/** Twenty sessions of 100 sats that were closed to invoices whose last hop takes 10, and one of 1,000 that lives. */
const feesTaken = (): Posting[] => [
  sessionDeposit("honest", { paymentHash: "honest", sats: 1_000 }),
  ...Array.from({ length: 20 }, (_, i) => [
    sessionDeposit(`s${i}`, { paymentHash: `in${i}`, sats: 100 }),
    refundOwed(`s${i}-1`, sessionAccount(`s${i}`), 100, `s${i}`),
    payout(`s${i}-1`, { paymentHash: `out${i}`, sats: 100 }),
    routingFee({ paymentHash: `out${i}`, sats: 10 }),
  ]).flat(),
];

Deno.test("audit: 1,000 owed and 800 there is found, though the ledger agrees with the wallet", async () => {
  const { ok, detail } = await solvency(feesTaken(), 800);
  assert.equal(ok, false);
  assert.match(detail, /account lightning: 1000 sats are owed to payers, the wallet holds only 800; the pool of 0 is/);
  assert.equal((await solvency(feesTaken(), 999)).ok, false);
  assert.equal((await solvency(feesTaken(), 1_000)).ok, true);
});

const OWED: [what: string, owed: number, postings: Posting[]][] = [
  ["the balance of a session and what is reserved of it", 300, [
    sessionDeposit("s", { paymentHash: "d", sats: 300 }),
    reservation("r", "s", 120),
  ]],
  ["what was paid for a job that runs", 150, [workPayment("j", { paymentHash: "w", sats: 150 })]],
  ["what was paid beyond a fee, and not the fee", 5, [
    evalFee({ paymentHash: "e", sats: 10 }),
    overpaid("j", { paymentHash: "e", sats: 5 }),
  ]],
  ["a refund until it is paid", 20, [
    workPayment("j", { paymentHash: "w", sats: 150 }),
    charge("j", jobAccount("j"), REVENUE.work, 130),
    poolCredit("j", REVENUE.work, 13),
    refundOwed("j", jobAccount("j"), 20, "j"),
  ]],
  ["nothing of the pool, wherever it came from", 0, [
    poolSeed(10_000),
    poolDonation({ paymentHash: "g", sats: 50 }),
    lateUnclaimed({ paymentHash: "l", sats: 100 }),
    sessionDeposit("s", { paymentHash: "d", sats: 7 }),
    refundDust("s-1", sessionAccount("s"), 7, "s"),
    demoAnswer("x", 3),
  ]],
  ["no subsidy that is set aside for a job or a request, used or returned", 100, [
    poolSeed(10_000),
    workPayment("j", { paymentHash: "w", sats: 100 }),
    subsidy("j", jobAccount("j"), 50, ABOUT),
    subsidy("r", "reserved:r", 140, ABOUT),
    subsidy("k", jobAccount("k"), 60, ABOUT),
    subsidyUsed("k", jobAccount("k"), REVENUE.work, 40),
    subsidyReturned("k", jobAccount("k"), 20),
  ]],
];
for (const [what, owed, postings] of OWED) {
  Deno.test(`audit: owed to payers is ${what}`, async () => {
    assert.match(
      (await solvency(postings, owed)).detail,
      new RegExp(`^${owed} sats are owed to payers, the wallet holds`),
    );
    assert.equal((await solvency(postings, owed)).ok, true);
    assert.equal((await solvency(postings, owed - 1)).ok, false);
  });
}

Deno.test("audit: a payout under way may have left already: its sats are not owed twice, its fee is nobody's", async () => {
  const paying = [
    sessionDeposit("s", { paymentHash: "d", sats: 300 }),
    refundOwed("s-1", sessionAccount("s"), 100, "s"),
  ];
  const inFlight = { sats: 100, maxFeeSats: 10 };
  assert.equal((await solvency(paying, 200, inFlight)).ok, true);
  assert.equal((await solvency(paying, 199, inFlight)).ok, false, "a fee was paid out of what another payer is owed");
  assert.equal((await solvency(paying, 299)).ok, false, "nothing is under way");
});

Deno.test("audit: what is owed is told where a wallet cannot tell what it holds", async () => {
  const { ok, detail } = await solvency(feesTaken(), null);
  assert.equal(ok, true);
  assert.match(
    detail,
    /^1000 sats are owed to payers, this wallet does not tell its balance; the pool of 0 is owed to/,
  );
});
