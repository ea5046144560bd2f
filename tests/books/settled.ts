/** Books in which everything has come to its end and agrees, for tests that spoil one thing in them. */
import { jobAccount, reservedAccount, REVENUE, sessionAccount } from "@/lib/ledger/accounts.ts";
import {
  bootstrapFee,
  bootstrapPayment,
  charge,
  evalFee,
  payout,
  refundOwed,
  reservation,
  reservationReleased,
  sessionDeposit,
  sessionTopup,
  workPayment,
} from "@/lib/ledger/postings.ts";
import type { Invoice } from "@/lib/payments/invoices.rows.ts";
import type { Books } from "./books.ts";

export const HANDLE = "0123456789abc";
export const REQUEST = "r1";
/** The refund of what a session had left when it was closed. */
export const CLOSING = `${HANDLE}-1`;

const settled = (purpose: Invoice["purpose"], paymentHash: string, paidSats: number) => ({
  paymentHash,
  purpose,
  settled: { at: 0, paidSats },
});
const paidRefund = (id: string, sats: number): Books["refunds"][number] => ({
  id,
  state: "paid",
  sats,
  payout: { paymentHash: "out" },
  paid: { feeSats: 0 },
});
const NOTHING: Omit<Books, "wallet"> = {
  jobs: [],
  bootstraps: [],
  sessions: [],
  requests: [],
  results: new Set(),
  refunds: [],
  claims: new Map(),
  invoices: [],
  entries: [],
  tasks: [],
};

/** A job that was paid, done and refunded. */
export const settledJob = (): Books => ({
  ...NOTHING,
  jobs: [{
    handle: HANDLE,
    state: "complete",
    request: "payer1-1 why?",
    evalInvoice: { paymentHash: "e", expiresAt: 0 },
    workInvoice: { paymentHash: "w", expiresAt: 0 },
    paidSats: 150,
    grantedSats: 0,
    adviceSats: 0,
    costSheet: { actualSats: 130, chargeSats: 130, subsidySats: 0, refundSats: 20, returnedSats: 0 },
  }],
  refunds: [paidRefund(HANDLE, 20)],
  claims: new Map([["out", HANDLE], ["second", HANDLE]]),
  invoices: [settled("job-eval", "e", 10), settled("job-work", "w", 150)],
  entries: [
    evalFee({ paymentHash: "e", sats: 10 }),
    workPayment(HANDLE, { paymentHash: "w", sats: 150 }),
    charge(HANDLE, jobAccount(HANDLE), REVENUE.work, 130),
    refundOwed(HANDLE, jobAccount(HANDLE), 20, HANDLE),
    payout(HANDLE, { paymentHash: "out", sats: 20 }),
  ],
  tasks: [{ kind: "idempotency-expiry", id: "x" }],
  wallet: {
    received: new Map([["e", 10], ["w", 150]]),
    payments: new Map([["out", { amountSats: 20, feeSats: 0, state: "paid" }]]),
    balanceSats: 140,
  },
});

/** A session that was paid and topped up, asked once, closed and paid out. */
export const settledSession = (): Books => ({
  ...NOTHING,
  sessions: [{
    handle: HANDLE,
    state: "closed",
    deposit: { paymentHash: "d" },
    topups: [],
    running: 0,
    reservedSats: 0,
    spentSats: 126,
    refundIds: [CLOSING],
  }],
  requests: [{
    id: REQUEST,
    session: HANDLE,
    mode: "request",
    state: "complete",
    text: "payer1-0-ask0 why?",
    reservedSats: 139,
    grantedSats: 0,
    actualSats: 126,
    chargeSats: 126,
    subsidySats: 0,
    usage: { inputTokens: 40, outputTokens: 20, source: "api" },
    evalUsage: null,
  }],
  results: new Set([REQUEST]),
  refunds: [paidRefund(CLOSING, 674)],
  claims: new Map([["out", CLOSING], ["second", CLOSING]]),
  invoices: [settled("session-deposit", "d", 500), settled("session-topup", "t", 300)],
  entries: [
    sessionDeposit(HANDLE, { paymentHash: "d", sats: 500 }),
    sessionTopup(HANDLE, { paymentHash: "t", sats: 300 }),
    reservation(REQUEST, HANDLE, 139),
    charge(REQUEST, reservedAccount(REQUEST), REVENUE.session, 126),
    reservationReleased(REQUEST, HANDLE, 13),
    refundOwed(CLOSING, sessionAccount(HANDLE), 674, HANDLE),
    payout(CLOSING, { paymentHash: "out", sats: 674 }),
  ],
  wallet: {
    received: new Map([["d", 500], ["t", 300]]),
    payments: new Map([["out", { amountSats: 674, feeSats: 0, state: "paid" }]]),
    balanceSats: 126,
  },
});

/** The handle of a node that could not be made; that of one that is ready is {@link HANDLE}. */
export const FAILED = "failed9876543";

/** A node that was paid, made and handed over; and one that was paid, given up, destroyed and paid back. */
export const settledBootstraps = (): Books => ({
  ...NOTHING,
  bootstraps: ([[HANDLE, "ready", "b"], [FAILED, "failed", "c"]] as const).map(([handle, state, paymentHash]) => ({
    handle,
    state,
    feeSats: 1_000,
    paidSats: 1_000,
    cancelled: false,
    destroyingSince: null,
    handedOver: state === "ready",
    refundId: state === "ready" ? null : handle,
    invoice: { paymentHash },
    report: null,
  })),
  refunds: [paidRefund(FAILED, 1_000)],
  claims: new Map([["out", FAILED]]),
  invoices: [settled("bootstrap", "b", 1_000), settled("bootstrap", "c", 1_000)],
  entries: [
    bootstrapPayment(HANDLE, { paymentHash: "b", sats: 1_000 }),
    bootstrapFee(HANDLE, 1_000),
    bootstrapPayment(FAILED, { paymentHash: "c", sats: 1_000 }),
    refundOwed(FAILED, jobAccount(FAILED), 1_000, FAILED),
    payout(FAILED, { paymentHash: "out", sats: 1_000 }),
  ],
  wallet: {
    received: new Map([["b", 1_000], ["c", 1_000]]),
    payments: new Map([["out", { amountSats: 1_000, feeSats: 0, state: "paid" }]]),
    balanceSats: 1_000,
  },
});
