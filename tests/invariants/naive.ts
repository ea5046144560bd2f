/**
 * Controls: background work as it is often written. Each of these loses or doubles money in a way that the rules of
 * `rules.ts` are there to see; a harness that lets one pass proves nothing about the real code.
 */
import type { Services } from "@/lib/services.ts";
import { createLeapGuard } from "@/lib/leap-guard.ts";
import { idempotencyExpiryTask } from "@/lib/tasks/idempotency.ts";
import type { Tx } from "@/lib/store/store.ts";
import { subsidyExpiryTask } from "@/lib/free-tier/subsidies.tasks.ts";
import type { Payouts } from "@/lib/payments/payouts.ts";
import { createQueue, type TaskSpec } from "@/lib/tasks/queue.ts";
import { payoutClaimed, payoutPaid } from "@/lib/payments/refunds.machine.ts";
import { createSettlements, type InvoiceHandler } from "@/lib/payments/settlements.ts";
import type { SessionRequests } from "@/lib/sessions/requests.ts";
import { holdsLease, type Lease, plan } from "@/lib/tasks/due.ts";
import { rowExpiryTask } from "@/lib/tasks/expiring.ts";
import { type Invoice, invoiceKey } from "@/lib/payments/invoices.rows.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";
import { evalFee, sessionDeposit, workPayment } from "@/lib/ledger/postings.ts";
import { getRefund, payoutKey, type PayoutRow, putRefund } from "@/lib/payments/refunds.rows.ts";
import { createBackground } from "@/queue.ts";
import { freeTierTasks } from "@/lib/free-tier/donations.tasks.ts";
import { jobTasks } from "@/lib/jobs/jobs.tasks.ts";
import { sessionTasks } from "@/lib/sessions/sessions.tasks.ts";

export type Naive = (services: Services) => ReturnType<typeof createBackground>;

/** The real background work with some of its parts changed. */
export function withTasks(
  services: Services,
  change: (spec: TaskSpec) => TaskSpec,
  other: {
    payouts?: (real: Payouts) => Payouts;
    sessionRequests?: SessionRequests;
    jobWork?: (real: InvoiceHandler) => InvoiceHandler;
  } = {},
): ReturnType<Naive> {
  const { store, wallet, clock, random, log } = services;
  const real = createBackground(services, { exclusive: true });
  const jobs = jobTasks(services);
  const sessions = sessionTasks(services);
  const handlers = { ...jobs.handlers, ...sessions.handlers, ...freeTierTasks().handlers };
  handlers["job-work"] = other.jobWork?.(handlers["job-work"]) ?? handlers["job-work"];
  const changed = other.payouts?.(real.payouts) ?? real.payouts;
  const sessionRequests = other.sessionRequests ?? real.sessionRequests;
  const settlements = createSettlements({
    store,
    wallet,
    clock,
    log,
    guard: createLeapGuard({ clock, log }),
    handlers,
  });
  const tasks = [
    ...jobs.tasks,
    sessionRequests.task,
    sessions.expiryTask,
    settlements.expiryTask,
    changed.payoutTask,
    changed.expiryTask,
    idempotencyExpiryTask(store),
    rowExpiryTask(store),
    subsidyExpiryTask(services, { job: jobs.subsidyExpired, request: sessionRequests.subsidyExpired }),
  ]
    .map(change);
  const queue = createQueue({ store, clock, random, log, exclusive: true, tasks });
  return { ...real, queue, settlements, payouts: changed, sessionRequests, modelError: () => null };
}

/** A refund that is paid first and written down afterwards. */
export const paysFirst: Naive = (services) =>
  withTasks(services, (spec) => spec, {
    payouts: (real) => ({
      ...real,
      async claim(refundId, invoice) {
        const { store, wallet, clock } = services;
        const refund = await getRefund(store, refundId);
        if (refund?.state !== "pending") return { outcome: "taken", paymentHash: refund?.payout?.paymentHash ?? null };
        const { paymentHash, amountSats } = invoice;
        const state = await wallet.pay({ ...invoice, maxFeeSats: 10, timeoutMs: 5_000 });
        if (state.state !== "paid") return { outcome: "taken", paymentHash: null };
        const now = clock.now();
        await store.transact(async (tx) => {
          const claimed = payoutClaimed(refund, { ...invoice, claimedAt: now });
          if (claimed.outcome !== "claimed") return;
          const paid = payoutPaid(claimed.refund, {
            paymentHash,
            preimage: state.preimage,
            feeSats: state.feeSats,
            now,
          });
          if (!paid) return;
          await putRefund(tx, paid.refund);
          await post(tx, paid.postings.filter(({ sats }) => sats > 0), now);
          tx.set(payoutKey(paymentHash), { v: 1, paymentHash, refundId, at: now } satisfies PayoutRow);
          await plan(tx, { kind: "refund-expiry", id: refundId, dueAt: null });
          tx.event({ type: "refund_state", handle: refund.source.handle, state: "paid" });
        });
        return { outcome: "claimed" };
      },
    }),
  });

/** A payout whose outcome is not known counts as failed, and the claim is open again. */
export const unknownIsFailed: Naive = (services) => {
  const guessing: Services = {
    ...services,
    wallet: new Proxy(services.wallet, {
      get(target, name) {
        const member = Reflect.get(target, name);
        if (name !== "pay") return member;
        return async (input: Parameters<typeof target.pay>[0]) => {
          const state = await target.pay(input);
          return state.state === "unknown" ? { state: "failed", reason: state.reason } : state;
        };
      },
    }),
  };
  return createBackground(guessing, { exclusive: true });
};

/** A settlement that is booked each time the wallet tells of it. */
export const chargesEachHint: Naive = (services) => {
  const { store, wallet, clock } = services;
  const real = createBackground(services, { exclusive: true });
  const stopper = new AbortController();
  let hints = 0;
  const book = async (tx: Tx, invoice: Invoice) => {
    const paid = { paymentHash: invoice.paymentHash, sats: invoice.amountSats };
    const posting = invoice.purpose === "job-eval"
      ? evalFee(paid)
      : (invoice.purpose === "job-work" ? workPayment : sessionDeposit)(invoice.ref, paid);
    await post(tx, [{ ...posting, id: `hint:${++hints}:${paid.paymentHash}` }], clock.now());
  };
  return {
    ...real,
    settlements: {
      ...real.settlements,
      start() {
        real.settlements.start();
        wallet.watch((paymentHash) => {
          store.transact(async (tx) => {
            const invoice = await tx.get<Invoice>(invoiceKey(paymentHash));
            if (invoice) await book(tx, invoice);
          });
        }, stopper.signal);
      },
    },
  };
};

/** Settlements are noticed only when somebody asks for the job: here, nobody ever does. */
export const onlyWhenPolled: Naive = (services) => {
  const real = createBackground(services, { exclusive: true });
  return { ...real, settlements: { ...real.settlements, start: () => {} } };
};

/** Work that failed for good is dropped from the queue and nobody is told. */
export const dropsFailedWork: Naive = (services) =>
  withTasks(services, (spec) => {
    if (spec.kind !== "work") return spec;
    return {
      ...spec,
      giveUp: async (lease: Lease) => {
        await services.store.transact(async (tx) => {
          if (await holdsLease(tx, lease)) await plan(tx, { kind: lease.kind, id: lease.id, dueAt: null });
        });
      },
    };
  });

/** The state is written in one commit and its money in the next. */
export const moneyInASecondCommit: Naive = (services) => {
  const { store } = services;
  const late = (handler: InvoiceHandler): InvoiceHandler => ({
    ...handler,
    settled: (tx, invoice, paidSats, now) => {
      const stop = store.onEvent((event) => {
        if (event.type !== "invoice_settled" || event.handle !== invoice.ref) return;
        stop();
        const posting = workPayment(invoice.ref, { paymentHash: invoice.paymentHash, sats: paidSats });
        store.transact((second) => post(second, [posting], now));
      });
      return handler.settled(withoutMoney(tx), invoice, paidSats, now);
    },
  });
  return withTasks(services, (spec) => spec, { jobWork: late });
};

const withoutMoney = (tx: Tx): Tx => ({
  ...tx,
  set: (key, value) => key[0] === "entry" || key[0] === "account" ? undefined : tx.set(key, value),
});

/** The real parts, put together here as the naive ones are: nothing may be found wrong with it. */
export const asItIs: Naive = (services) => withTasks(services, (spec) => spec);

/** Each with the rules of which one must be the first to break. */
export const NAIVE: readonly { name: string; background: Naive; breaks: readonly string[] }[] = [
  {
    name: "a refund that is paid first and written afterwards",
    background: paysFirst,
    breaks: ["a refund is paid at most once", "the wallet pays only what was claimed"],
  },
  {
    name: "an unknown payout that counts as failed",
    background: unknownIsFailed,
    breaks: ["a refund is paid at most once", "a refund that may have been paid is not open"],
  },
  {
    name: "a settlement that charges on each hint",
    background: chargesEachHint,
    breaks: ["every settled invoice is booked once"],
  },
  { name: "settlements noticed only when polled", background: onlyWhenPolled, breaks: ["every settlement is noticed"] },
  {
    name: "failed work that is dropped silently",
    background: dropsFailedWork,
    breaks: ["a job has the task of its state and no other", "paid work comes to its end"],
  },
  {
    name: "a state and its money in two commits",
    background: moneyInASecondCommit,
    breaks: ["every job holds what its state says"],
  },
];
