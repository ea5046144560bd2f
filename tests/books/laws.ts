/**
 * The laws of the books (economy.md §4 and §8): what must be true of the rows of a database and of its wallet's own, each written
 * once. Random histories hold them at every step, a run of kills at its end, and the audit's tests over good and spoilt books.
 */
import { jobAccount, LIGHTNING, mayBeNegative, reservedAccount, sessionAccount } from "@/lib/ledger/accounts.ts";
import { TERMINAL } from "@/lib/jobs/jobs.machine.ts";
import { balancesOf, type Books, sumBy } from "./books.ts";

/** Every law, and what has happened to whoever is behind a record that breaks it. */
export const LAWS = {
  "the wallet pays only what was claimed": "unexpected",
  "a refund is paid at most once": "paid twice",
  "a refund is paid exactly": "books",
  "a refund that may have been paid is not open": "books",
  "a refund names the invoice it is paid to": "books",
  "a paid refund was sent": "lost",
  "the fee is booked": "books",

  "no account that may not be negative is": "books",
  "a payment hash settles at most one thing, once": "books",
  "no more is absorbed than was used": "books",
  "what the pool gave is used first": "books",
  "the refund is what was paid less the charge": "books",
  "what was paid and granted is accounted for": "books",
  "the work cost no more than was held": "books",
  "a job that is over holds nothing": "stuck",
  "a node's money waits until it is ready or gone": "stuck",
  "the fee is earned by a node that is ready, and by no other": "books",
  "what is not earned of a fee is owed back": "lost",
  "a request holds what it says": "books",
  "a request is charged once, for what it says": "books",
  "only requests are charged": "books",
  "a failure costs nothing": "lost",
  "an answer that was charged is kept": "lost",
  "a session spent what its requests were charged": "books",
  "a session that is closed is empty": "stuck",

  "a job has the task of its state and no other": "books",
  "a node has its task while there is something to do": "books",
  "a refund has a payout while it is being paid": "books",
  "only what is owed is tried at an address": "books",
  "a refund has an end while it is owed": "books",
  "a settled invoice is not due": "books",
  "a running request has its task, and no other has": "books",
  "a session has an end while it lives": "books",
  "no work is planned for what is over": "books",

  "paid work comes to its end": "stuck",
  "what was paid for goes on": "stuck",
  "a paid node comes to its end": "stuck",
  "every settlement is noticed": "stuck",
  "a claimed refund is paid or open again": "stuck",
  "a request comes to its end": "stuck",
  "nothing stays reserved": "stuck",
  "every receipt is booked": "books",
  "every payout is booked": "books",
  "the ledger is what the wallet holds": "books",
} as const;
export type Law = keyof typeof LAWS;

/** Is told of every law whether it holds; may throw at the first that does not. */
export type Must = (holds: boolean, law: Law, detail: string) => void;

/** At every moment at which no commit is under way. */
export function alwaysTrue(books: Books, must: Must): void {
  payoutLaws(books, must);
  accountLaws(books, must);
  chargeLaws(books, must);
  requestLaws(books, must);
  bootstrapLaws(books, must);
}

/** A payout happens at most once per refund, by the wallet's own books. */
export function payoutLaws({ refunds, claims, wallet }: Books, must: Must): void {
  const byId = new Map(refunds.map((refund) => [refund.id, refund]));
  const live = new Map<string, string>();
  for (const [hash, { state, amountSats }] of wallet.payments) {
    const refund = byId.get(claims.get(hash) ?? "");
    must(refund !== undefined, "the wallet pays only what was claimed", `${hash} was sent for no refund`);
    if (!refund || state === "failed") continue;
    const { id, sats, payout } = refund;
    must(!live.has(id), "a refund is paid at most once", `${sats} sats were sent to ${live.get(id)} and ${hash}`);
    if (live.has(id)) continue;
    live.set(id, hash);
    // What an invoice leaves is for the routing fee: at most 10 sats, or a twentieth.
    const left = sats - amountSats;
    must(left >= 0 && left <= Math.max(10, sats / 20), "a refund is paid exactly", `${amountSats} of ${sats}`);
    const isOpen = refund.state === "pending" || refund.state === "expired";
    must(!isOpen, "a refund that may have been paid is not open", `${refund.state}, sent ${hash} (${state})`);
    const named = payout?.paymentHash;
    must(named === hash, "a refund names the invoice it is paid to", `${named}, not ${hash}`);
  }
  for (const { state, payout, paid } of refunds) {
    if (state !== "paid") continue;
    const payment = wallet.payments.get(payout?.paymentHash ?? "");
    must(payment?.state === "paid", "a paid refund was sent", `${payout?.paymentHash} is ${payment?.state}`);
    if (!payment) continue;
    must(payment.feeSats === paid?.feeSats, "the fee is booked", `${paid?.feeSats} of ${payment.feeSats}`);
  }
}

const receiptsOf = ({ entries }: Books) => sumBy(entries.filter(({ from }) => from === LIGHTNING), ({ ref }) => ref);

/** No overdraft; and what is booked of a payment hash is what the wallet received, once. */
function accountLaws(books: Books, must: Must): void {
  for (const [account, sats] of balancesOf(books.entries)) {
    must(sats >= 0 || mayBeNegative(account), "no account that may not be negative is", `${account}: ${sats} sats`);
  }
  for (const [hash, sats] of receiptsOf(books)) {
    const received = books.wallet.received.get(hash) ?? 0;
    must(
      sats === received,
      "a payment hash settles at most one thing, once",
      `${sats} sats are booked for ${hash}, the wallet received ${received}`,
    );
  }
}

interface Parts {
  paidSats: number;
  grantedSats: number;
  actualSats: number;
  chargeSats: number;
  subsidySats: number;
  refundSats: number;
  returnedSats: number;
}

/** economy.md §4, word for word; nothing shared with the code. */
function partLaws(parts: Parts, must: Must): void {
  const { paidSats, grantedSats, actualSats, chargeSats, subsidySats, refundSats, returnedSats } = parts;
  const detail =
    `${paidSats} + ${grantedSats} for ${actualSats}: ${chargeSats}, ${subsidySats}, ${refundSats}, ${returnedSats}`;
  must(subsidySats <= actualSats && subsidySats <= grantedSats, "no more is absorbed than was used", detail);
  must(subsidySats === Math.min(actualSats, grantedSats), "what the pool gave is used first", detail);
  const charge = Math.min(paidSats, Math.max(0, actualSats - subsidySats));
  must(
    chargeSats === charge && refundSats === paidSats - charge,
    "the refund is what was paid less the charge",
    detail,
  );
  must(
    paidSats + grantedSats === chargeSats + subsidySats + refundSats + returnedSats,
    "what was paid and granted is accounted for",
    detail,
  );
}

/** Of jobs and of requests that have ended: paid + granted = charge + absorbed + refund + returned. */
function chargeLaws({ jobs, requests }: Books, must: Must): void {
  for (const { costSheet, paidSats, grantedSats, adviceSats } of jobs) {
    if (!costSheet) continue;
    partLaws({ ...costSheet, paidSats, grantedSats }, must);
    // Where advised help was gone when the job was paid, the operator bears what the smallest useful answer costs more.
    const held = paidSats + grantedSats;
    const within = costSheet.actualSats <= held || grantedSats < adviceSats;
    must(within, "the work cost no more than was held", `${costSheet.actualSats} of ${held}`);
  }
  for (const request of requests) {
    if (request.state === "running") continue;
    const { reservedSats: paidSats, grantedSats, chargeSats, subsidySats } = request;
    const rest = { refundSats: paidSats - chargeSats, returnedSats: grantedSats - subsidySats };
    partLaws({ ...request, ...rest, paidSats }, must);
  }
}

/** Handed over, or gone with all that was made for it. */
const isOver = ({ state, destroyingSince }: Books["bootstraps"][number]) =>
  state === "ready" || (state === "failed" && destroyingSince === null);

/** A fee lies in the node's account until it is earned or owed back: whole, once, and nothing before its time. */
function bootstrapLaws({ bootstraps, refunds, entries }: Books, must: Must): void {
  const balances = balancesOf(entries);
  const earned = sumBy(entries.filter(({ to }) => to === "revenue:bootstrap"), ({ ref }) => ref);
  const owed = sumBy(entries.filter(({ kind }) => kind === "refund-owed"), ({ ref }) => ref);
  for (const bootstrap of bootstraps) {
    const { handle, state, feeSats, paidSats, refundId } = bootstrap;
    const held = balances.get(jobAccount(handle)) ?? 0;
    const over = isOver(bootstrap);
    const waits = over ? 0 : paidSats;
    must(held === waits, "a node's money waits until it is ready or gone", `${state}: ${held} of ${waits} sats`);
    const fee = state === "ready" ? Math.min(feeSats, paidSats) : 0;
    const got = earned.get(handle) ?? 0;
    earned.delete(handle);
    must(got === fee, "the fee is earned by a node that is ready, and by no other", `${state}: ${got} of ${fee} sats`);
    const back = over ? paidSats - fee : 0;
    const refund = refunds.find(({ id }) => id === refundId);
    const says = `${state}: ${owed.get(handle) ?? 0} of ${back} sats, refund ${refund?.sats}`;
    must(
      (owed.get(handle) ?? 0) === back && (refund?.sats ?? 0) === back,
      "what is not earned of a fee is owed back",
      says,
    );
  }
  must(earned.size === 0, "the fee is earned by a node that is ready, and by no other", [...earned.keys()].join(", "));
}

/** Every request held and was charged once, as it says itself, and a charge has its answer. */
function requestLaws({ sessions, requests, results, entries, jobs }: Books, must: Must): void {
  const balances = balancesOf(entries);
  for (const { handle, state } of jobs) {
    const sats = balances.get(jobAccount(handle)) ?? 0;
    must(!TERMINAL.has(state) || sats === 0, "a job that is over holds nothing", `${state} with ${sats} sats`);
  }
  const charged = sumBy(entries.filter(({ to }) => to === "revenue:session"), ({ ref }) => ref);
  const reserved = sumBy(entries.filter(({ kind }) => kind === "reservation"), ({ to }) => to);
  const spent = new Map<string, number>();
  for (const { id, session, mode, state, reservedSats, chargeSats, subsidySats, usage, evalUsage } of requests) {
    const [held, paid] = [reserved.get(reservedAccount(id)) ?? 0, charged.get(id) ?? 0];
    charged.delete(id);
    spent.set(session, (spent.get(session) ?? 0) + chargeSats);
    const expected = mode === "chat" ? 0 : reservedSats; // what a chat sets aside is in memory alone
    must(held === expected, "a request holds what it says", `a ${mode}: ${held} of ${expected}`);
    must(
      paid === chargeSats + subsidySats,
      "a request is charged once, for what it says",
      `a ${mode}: ${paid} of ${chargeSats} + ${subsidySats}`,
    );
    const used = usage !== null || evalUsage !== null; // a payer who fails too often pays for it
    must(state !== "failed" || paid === 0 || used, "a failure costs nothing", `a ${mode}: ${paid}`);
    must(state !== "complete" || results.has(id), "an answer that was charged is kept", `a ${mode}: ${id}`);
  }
  must(charged.size === 0, "only requests are charged", [...charged.keys()].join(", "));
  for (const { handle, state, spentSats } of sessions) {
    const sum = spent.get(handle) ?? 0;
    must(spentSats === sum, "a session spent what its requests were charged", `${spentSats}, not ${sum}`);
    const left = balances.get(sessionAccount(handle)) ?? 0;
    must(state !== "closed" || left === 0, "a session that is closed is empty", `${left} sats`);
  }
}

/** Always, of a program that plans its work: what goes on has its task, and what has come to its end has none. */
export function taskLaws({ jobs, bootstraps, sessions, requests, refunds, invoices, tasks }: Books, must: Must): void {
  const planned = new Set(tasks.map(({ kind, id }) => `${kind} ${id}`));
  for (const { handle, state } of jobs) {
    for (const [kind, active] of [["evaluate", "evaluating"], ["work", "executing"]]) {
      const holds = planned.has(`${kind} ${handle}`) === (state === active);
      must(holds, "a job has the task of its state and no other", `${kind} of a job that is ${state}`);
    }
  }
  for (const { handle, state, destroyingSince, handedOver, report } of bootstraps) {
    // One that waits for a late report, or for its payer's word, is brought forward by that.
    const waits = state === "ready_unconfirmed" && report === null;
    const acts = state === "provisioning" || (state === "ready_unconfirmed" && !waits) ||
      destroyingSince !== null || (state === "ready" && !handedOver);
    const has = planned.has(`bootstrap ${handle}`);
    must(has === acts, "a node has its task while there is something to do", `${state}: ${has}`);
  }
  for (const { id, state } of refunds) {
    const tries = planned.has(`refund-address ${id}`);
    must(!tries || state === "pending", "only what is owed is tried at an address", state);
    must(planned.has(`payout ${id}`) === (state === "paying"), "a refund has a payout while it is being paid", state);
    const owed = state === "pending" || state === "paying";
    must(planned.has(`refund-expiry ${id}`) === owed, "a refund has an end while it is owed", state);
  }
  for (const { paymentHash, purpose, settled } of invoices) {
    must(!settled || !planned.has(`invoice-expiry ${paymentHash}`), "a settled invoice is not due", purpose);
  }
  for (const { id, session, state } of requests) {
    const has = planned.has(`session-request ${session}.${id}`);
    must(has === (state === "running"), "a running request has its task, and no other has", state);
  }
  for (const { handle, state } of sessions) {
    const lives = state === "active" || state === "paused";
    must(planned.has(`session-expiry ${handle}`) === lives, "a session has an end while it lives", state);
  }
}

/** Once everything had time to come to its end: nothing is stuck, and ledger and wallet agree to the satoshi. */
export function trueAtRest(books: Books, must: Must): void {
  const { jobs, bootstraps, sessions, requests, refunds, invoices, wallet } = books;
  for (const { paymentHash, purpose, settled } of invoices) {
    const received = wallet.received.has(paymentHash);
    must(received === (settled !== null), "every settlement is noticed", `${purpose}: paid ${received}`);
  }
  const waiting = (paymentHash: string | undefined) => paymentHash !== undefined && wallet.received.has(paymentHash);
  for (const { handle, state, evalInvoice, workInvoice } of jobs) {
    const works = state === "evaluating" || state === "executing";
    must(!works, "paid work comes to its end", `job ${handle} is ${state}`);
    const awaited = { awaiting_eval_payment: evalInvoice, awaiting_work_payment: workInvoice }[state as string];
    must(!waiting(awaited?.paymentHash), "what was paid for goes on", `job ${handle} is ${state}`);
  }
  for (const bootstrap of bootstraps) {
    const { handle, state, paidSats, invoice } = bootstrap;
    const ended = paidSats === 0 || isOver(bootstrap) || state === "ready_unconfirmed";
    must(ended, "a paid node comes to its end", `node ${handle} is ${state}`);
    must(paidSats > 0 || !waiting(invoice.paymentHash), "what was paid for goes on", `node ${handle} is ${state}`);
  }
  for (const { handle, state, deposit, topups, running, reservedSats } of sessions) {
    const awaits = state === "awaiting_payment" && waiting(deposit.paymentHash);
    must(!awaits, "what was paid for goes on", `session ${handle} waits for its deposit`);
    const topup = topups.some(({ invoice }) => waiting(invoice.paymentHash));
    must(!topup, "what was paid for goes on", `session ${handle} waits for its top-up`);
    const detail = `${running} of session ${handle} run, ${reservedSats} sats reserved`;
    must(running === 0 && reservedSats === 0, "a request comes to its end", detail);
  }
  for (const { id, state } of requests) must(state !== "running", "a request comes to its end", id);
  for (const { state, sats } of refunds) {
    must(state !== "paying", "a claimed refund is paid or open again", `${sats} sats are still being paid`);
  }
  walletLaws(books, must);
  leftoverLaws(books, must);
}

function leftoverLaws({ jobs, refunds, requests, tasks }: Books, must: Must): void {
  const going = new Set([
    ...jobs.flatMap(({ handle, state }) => state === "evaluating" || state === "executing" ? [handle] : []),
    ...refunds.flatMap(({ id, state }) => state === "paying" ? [id] : []),
    ...requests.flatMap(({ id, session, state }) => state === "running" ? [`${session}.${id}`] : []),
  ]);
  for (const { kind, id } of tasks) {
    const works = ["evaluate", "work", "payout", "session-request"].includes(kind);
    must(!works || going.has(id), "no work is planned for what is over", `${kind} ${id}`);
  }
}

/** What came and went by the wallet's word is what the ledger booked. */
function walletLaws(books: Books, must: Must): void {
  const { entries, wallet } = books;
  const balances = balancesOf(entries);
  for (const [account, sats] of balances) {
    must(!account.startsWith("reserved:") || sats === 0, "nothing stays reserved", `${sats} sats in ${account}`);
  }
  const receipts = receiptsOf(books);
  for (const [hash, sats] of wallet.received) {
    must(receipts.get(hash) === sats, "every receipt is booked", `${receipts.get(hash) ?? 0} of ${sats} sats`);
  }
  const payouts = sumBy(entries.filter(({ to }) => to === LIGHTNING), ({ ref }) => ref);
  for (const [hash, { state, amountSats, feeSats }] of wallet.payments) {
    must(state !== "pending", "a claimed refund is paid or open again", `${amountSats} sats are under way`);
    const sent = state === "paid" ? amountSats + feeSats : 0;
    const booked = payouts.get(hash) ?? 0;
    payouts.delete(hash);
    must(booked === sent, "every payout is booked", `${booked} of ${sent} sats`);
  }
  must(payouts.size === 0, "every payout is booked", `${[...payouts.values()].join(", ")} sats that never left`);
  const owed = -(balances.get(LIGHTNING) ?? 0);
  must(
    wallet.balanceSats === owed,
    "the ledger is what the wallet holds",
    `the wallet holds ${wallet.balanceSats}, the ledger says ${owed}`,
  );
}
