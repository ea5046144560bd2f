/**
 * Controls: the real background work with one mistake that is often made. Each loses or doubles money in a way that the rules of
 * `rules.ts` are there to see; a harness that lets one pass proves nothing about the real code.
 */
import type { Services } from "@/lib/services.ts";
import type { Store, Tx, Versioned } from "@/lib/store/store.ts";
import type { PaymentState } from "@/lib/lightning/port.ts";
import { bootstrapTasks } from "@/lib/bootstrap/bootstrap.tasks.ts";
import { freeTierTasks } from "@/lib/free-tier/donations.tasks.ts";
import { subsidyExpiryTask } from "@/lib/free-tier/subsidies.tasks.ts";
import { jobTasks } from "@/lib/jobs/jobs.tasks.ts";
import type { Entry } from "@/lib/ledger/ledger.rules.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";
import { poolDonation } from "@/lib/ledger/postings.ts";
import { type Invoice, invoiceKey } from "@/lib/payments/invoices.rows.ts";
import { getRefund } from "@/lib/payments/refunds.rows.ts";
import { createLeapGuard } from "@/lib/leap-guard.ts";
import { createSettlements } from "@/lib/payments/settlements.ts";
import { sessionTasks } from "@/lib/sessions/sessions.tasks.ts";
import { plan } from "@/lib/tasks/due.ts";
import { rowExpiryTask } from "@/lib/tasks/expiring.ts";
import { idempotencyExpiryTask } from "@/lib/tasks/idempotency.ts";
import { createQueue, type TaskSpec } from "@/lib/tasks/queue.ts";
import { createBackground } from "@/queue.ts";

export type Naive = (services: Services) => ReturnType<typeof createBackground>;

// ---- where a mistake is put in ------------------------------------------------------------------------------------------

/** The same store, whose transactions see and write what `change` makes of them, and what it adds to their end. */
export const changedStore = (
  store: Store,
  change: (tx: Tx, atEnd: (fn: () => Promise<void>) => void) => Tx,
): Store => ({
  ...store,
  transact: (fn) =>
    store.transact(async (tx) => {
      const added: (() => Promise<void>)[] = [];
      const result = await fn(change(tx, (more) => added.push(more)));
      for (const more of added) await more();
      return result;
    }),
});

/** Rows of one table are written as `change` says; null: not at all. */
export const writes = <T extends Versioned>(
  table: string,
  change: (row: T, tx: Tx, atEnd: (fn: () => Promise<void>) => void) => T | null,
) =>
(store: Store): Store =>
  changedStore(store, (tx, atEnd) => {
    const changed = (write: Tx["set"]): Tx["set"] => (key, value) => {
      const row = key[0] === table ? change(value as unknown as T, tx, atEnd) : value;
      if (row) write(key, row);
    };
    return { ...tx, set: changed(tx.set), insert: changed(tx.insert) };
  });

/** Transactions find no row of this table. */
export const forgets = (table: string) => (store: Store): Store =>
  changedStore(store, (tx) => ({ ...tx, get: (key) => key[0] === table ? Promise.resolve(null) : tx.get(key) }));

/** The real background work over another store. */
export const over = (change: (store: Store) => Store): Naive => (services) =>
  createBackground({ ...services, store: change(services.store) }, { exclusive: true });

/** The real background work, put together here so that its tasks can be changed. */
export function withTasks(
  services: Services,
  change: (spec: TaskSpec) => TaskSpec,
): ReturnType<Naive> {
  const { store, wallet, clock, random, log } = services;
  const real = createBackground(services, { exclusive: true });
  const { payouts, sessionRequests } = real;
  const jobs = jobTasks(services);
  const sessions = sessionTasks(services);
  const bootstraps = bootstrapTasks(services);
  const handlers = { ...jobs.handlers, ...sessions.handlers, ...bootstraps.handlers, ...freeTierTasks().handlers };
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
    ...bootstraps.tasks,
    settlements.expiryTask,
    payouts.payoutTask,
    payouts.addressTask,
    payouts.expiryTask,
    idempotencyExpiryTask(store),
    rowExpiryTask(store),
    subsidyExpiryTask(services, { job: jobs.subsidyExpired, request: sessionRequests.subsidyExpired }),
  ].map(change);
  const queue = createQueue({ store, clock, random, log, exclusive: true, tasks });
  return { ...real, queue, settlements, modelError: () => null };
}

/** One kind of task with some of its parts changed. */
export const changing =
  (kind: string, parts: (spec: TaskSpec, services: Services) => Partial<TaskSpec>): Naive => (services) =>
    withTasks(services, (spec) => spec.kind === kind ? { ...spec, ...parts(spec, services) } : spec);

// ---- the mistakes -------------------------------------------------------------------------------------------------------

/** A refund is paid first, and claimed afterwards: two who claim it at once are both paid. */
const paysFirst: Naive = (services) => {
  const real = createBackground(services, { exclusive: true });
  const claim: typeof real.payouts.claim = async (refundId, invoice) => {
    const refund = await getRefund(services.store, refundId);
    const call = { ...invoice, amountSats: refund?.sats ?? 0, maxFeeSats: 10, timeoutMs: 5_000 };
    if (refund?.state === "pending") await services.wallet.pay(call);
    return await real.payouts.claim(refundId, invoice);
  };
  return { ...real, payouts: { ...real.payouts, claim } };
};

/** A payout whose outcome is not known counts as failed, and the claim is open again. */
const unknownIsFailed: Naive = (services) => {
  const { wallet } = services;
  const pay: typeof wallet.pay = async (input): Promise<PaymentState> => {
    const state = await wallet.pay(input);
    return state.state === "unknown" ? { state: "failed", reason: state.reason } : state;
  };
  const guessing = new Proxy(wallet, { get: (target, name) => name === "pay" ? pay : Reflect.get(target, name) });
  return createBackground({ ...services, wallet: guessing }, { exclusive: true });
};

/** What the wallet tells of is booked each time it tells of it. */
const booksEachHint: Naive = (services) => {
  const { store, wallet, clock } = services;
  let hints = 0;
  wallet.watch((paymentHash) => {
    store.transact(async (tx) => {
      const invoice = await tx.get<Invoice>(invoiceKey(paymentHash));
      const again = { ...poolDonation({ paymentHash, sats: invoice?.amountSats ?? 0 }), id: `hint:${++hints}` };
      if (invoice) await post(tx, [again], clock.now());
    });
  }, new AbortController().signal);
  return createBackground(services, { exclusive: true });
};

/** Settlements are noticed only when somebody asks for the job: here, nobody ever does. */
const onlyWhenPolled: Naive = (services) => {
  const real = createBackground(services, { exclusive: true });
  return { ...real, settlements: { ...real.settlements, start: () => {} } };
};

/** What fails is dropped from the queue, and nobody is told. */
export const dropsFailed = (kind: string): Naive =>
  changing(kind, (_spec, { store }) => {
    const drop = ({ id }: { id: string }) => store.transact((tx) => plan(tx, { kind, id, dueAt: null }));
    return { maxAttempts: 1, giveUp: drop };
  });

/** The state is written in one commit and its money in the next. */
export const moneyInASecondCommit: Naive = (services) => {
  const { store, clock } = services;
  const apart: Store = {
    ...store,
    async transact(fn) {
      let entries: Entry[] = [];
      const result = await store.transact((tx) => {
        entries = [];
        const apart = (write: Tx["set"]): Tx["set"] => (key, value) => {
          if (key[0] === "entry") entries.push(value as unknown as Entry);
          else if (key[0] !== "account") write(key, value);
        };
        return fn({ ...tx, set: apart(tx.set), insert: apart(tx.insert) });
      });
      for (const entry of entries) await store.transact((tx) => post(tx, [entry], clock.now()));
      return result;
    },
  };
  return over(() => apart)(services);
};

/** The real parts, put together here as the changed ones are: nothing may be found wrong with it. */
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
    name: "a settlement that is booked on each hint",
    background: booksEachHint,
    breaks: ["every settled invoice is booked once"],
  },
  { name: "settlements noticed only when polled", background: onlyWhenPolled, breaks: ["every settlement is noticed"] },
  {
    name: "failed work that is dropped silently",
    background: dropsFailed("work"),
    breaks: ["a job has the task of its state and no other", "paid work comes to its end"],
  },
  {
    name: "a state and its money in two commits",
    background: moneyInASecondCommit,
    breaks: ["every job holds what its state says", "every settled invoice is booked once"],
  },
];
