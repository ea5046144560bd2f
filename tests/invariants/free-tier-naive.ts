/**
 * Controls: the mistakes that were made with free tiers before, put back. Each gives away sats, or forgets where they are,
 * in a way that a rule must see.
 */
import { charge, nonZero, refundOwed, subsidyUsed } from "@/lib/ledger/postings.ts";
import { jobAccount, REVENUE } from "@/lib/ledger/accounts.ts";
import type { Services } from "@/lib/services.ts";
import { sha256Hex } from "@/lib/ids.ts";
import type { Store } from "@/lib/store/store.ts";
import { quote as quotePrice } from "@/lib/metering/pricing.rules.ts";
import { newRefund } from "@/lib/payments/refunds.machine.ts";
import { createSessionRequests } from "@/lib/sessions/requests.ts";
import type { TaskSpec } from "@/lib/tasks/queue.ts";
import { holdsLease, type Lease } from "@/lib/tasks/due.ts";
import { decideAndReserve, decideDryRun, getSubsidy, takeSubsidy } from "@/lib/free-tier/pool.rows.ts";
import { acceptedFree, type CostSheet, type Job, type Quote, workDone } from "@/lib/jobs/jobs.machine.ts";
import { getJob, putJob, putResult, writeStep } from "@/lib/jobs/jobs.rows.ts";
import { jobTasks } from "@/lib/jobs/jobs.tasks.ts";
import type { Program } from "./free-tier.ts";
import { type Naive, withTasks } from "./naive.ts";

const change = (kind: string, other: (spec: TaskSpec) => Partial<TaskSpec>) => (spec: TaskSpec): TaskSpec =>
  spec.kind === kind ? { ...spec, ...other(spec) } : spec;

const recipientOf = (job: Job) => ({
  id: job.handle,
  session: null,
  pubkey: job.pubkey ?? "",
  requestHash: sha256Hex(job.request),
});
const accountOf = (job: Job) => jobAccount(job.handle);

/** The price of a job as it stands before anything was decided. */
async function quoteOf({ settings, btcPrice, ratesFor }: Services, job: Job): Promise<Quote> {
  const [rates, btc, config] = [await ratesFor(job.workModel), btcPrice.current(), settings.price];
  const { inputTokens, outputTokens, totalUsd, sats } = quotePrice({
    request: job.request,
    rates,
    config,
    btcUsd: btc.usd,
  });
  return { inputTokens, outputTokens, maxOutputTokens: outputTokens, rates, config, btc, usd: totalUsd, sats };
}

/** An estimate that reserves what it tells. */
const reservingEstimate: Program["estimate"] = async ({ world, clock }, pubkey) => {
  const { freeTier: rules } = world.deps.settings;
  const now = clock.now();
  const recipient = { id: `estimate-${now}`, session: null, pubkey, requestHash: "" };
  await world.store.transact(async (tx) => {
    if (await getSubsidy(tx, recipient.id)) return;
    await decideAndReserve(tx, rules, recipient, { estimateSats: 130, account: `job:${recipient.id}`, now });
  });
};

/** A job that is told the help that was advised, whatever could be taken. */
const creditsTheAdvice: Naive = (services) =>
  withTasks(services, (spec) => spec, {
    jobWork: (real) => ({
      ...real,
      async settled(tx, invoice, paidSats, now) {
        await real.settled(tx, invoice, paidSats, now);
        const job = await getJob(tx, invoice.ref);
        if (job && job.adviceSats > 0) putJob(tx, { ...job, grantedSats: job.adviceSats });
      },
    }),
  });

/**
 * Evaluates with a decision made before, and starts the work by `start`.
 * @param before what happens outside the transaction that starts the work; false: it is not free
 */
const decidesBefore = (
  before: (services: Services, lease: Lease, job: Job, quote: Quote) => Promise<boolean>,
  subsidy: (
    services: Services,
    tx: Parameters<Parameters<Store["transact"]>[0]>[0],
    job: Job,
    quote: Quote,
  ) => Promise<number>,
): Naive =>
(services) =>
  withTasks(
    services,
    change("evaluate", (real) => ({
      async run(lease, signal) {
        const { store, model, clock, settings } = services;
        const asked = await getJob(store, lease.id);
        if (asked?.state !== "evaluating" || asked.pubkey === null) return await real.run(lease, signal);
        const quote = await quoteOf(services, asked);
        if (!await before(services, lease, asked, quote)) return await real.run(lease, signal);
        const { evalModel, request } = asked;
        const deadlineMs = settings.modelDeadlineMs;
        const verdict = await model.evaluate({ model: evalModel, request, signal, deadlineMs });
        if (!verdict.accepted) return await real.run(lease, signal);
        const now = clock.now();
        await store.transact(async (tx) => {
          const job = await getJob(tx, lease.id);
          if (!job || !(await holdsLease(tx, lease))) return;
          const step = acceptedFree(job, { reason: verdict.reason, usage: verdict.usage, quote, now });
          if (step.outcome === "replayed") return;
          const grantedSats = await subsidy(services, tx, job, quote);
          await writeStep(tx, { ...step, job: { ...step.job, grantedSats } }, settings.freeTier, now);
        });
      },
    })),
  );

/** Looks, and serves what it saw: in the transaction it takes what there is by then. */
export const servesWhatItSaw = decidesBefore(
  async ({ store, settings, clock }, _lease, { pubkey }, { sats: estimateSats }) =>
    (await decideDryRun(store, settings.freeTier, { pubkey, estimateSats, now: clock.now() })).serve === "free",
  ({ settings, clock }, tx, job, quote) =>
    takeSubsidy(tx, settings.freeTier, recipientOf(job), {
      adviceSats: quote.sats,
      account: accountOf(job),
      now: clock.now(),
    }),
);

/** Reserves first and starts in a later commit: a start that fails, or a death between the two, keeps the reservation. */
const reservesAndStartsLater = decidesBefore(
  ({ store, settings, clock }, lease, { handle }, { sats: estimateSats }) =>
    store.transact(async (tx) => {
      const job = await getJob(tx, handle);
      if (!job || !(await holdsLease(tx, lease)) || await getSubsidy(tx, handle)) return false;
      const input = { estimateSats, account: accountOf(job), now: clock.now() };
      return (await decideAndReserve(tx, settings.freeTier, recipientOf(job), input)).serve === "free";
    }),
  async (_backends, tx, job) => (await getSubsidy(tx, job.handle))?.reservedSats ?? 0,
);

/** The store of someone who has forgotten that there are subsidies. */
const forgetful = (store: Store): Store =>
  new Proxy(store, {
    get(target, name) {
      const member = Reflect.get(target, name);
      if (name !== "transact") return typeof member === "function" ? member.bind(target) : member;
      return (fn: Parameters<Store["transact"]>[0]) =>
        target.transact((tx) =>
          fn({ ...tx, get: (key) => key[0] === "subsidy" ? Promise.resolve(null) : tx.get(key) })
        );
    },
  });

/** Work that fails for good gives the payer's sats back and forgets the pool's. */
const keepsFailedReservations: Naive = (services) => {
  const blind = { ...services, store: forgetful(services.store) };
  const giveUp = jobTasks(blind).tasks.find(({ kind }) => kind === "work")?.giveUp;
  return withTasks(services, change("work", (spec) => ({ giveUp: giveUp ?? spec.giveUp })));
};
/** The same for a session's request. */
const keepsFailedRequests: Naive = (services) => {
  const { giveUp } = createSessionRequests({ ...services, store: forgetful(services.store) }).task;
  return withTasks(services, change("session-request", () => ({ giveUp })));
};

/** Help that is taken when the invoice is made, for someone who may never pay. */
const helpsAtTheInvoice: Naive = (services) =>
  withTasks(
    services,
    change("evaluate", (real) => ({
      async run(lease, signal) {
        await real.run(lease, signal);
        const { store, settings, clock } = services;
        const now = clock.now();
        await store.transact(async (tx) => {
          const job = await getJob(tx, lease.id);
          if (job?.state !== "awaiting_work_payment" || job.adviceSats === 0) return;
          const input = { adviceSats: job.adviceSats, account: accountOf(job), now };
          const grantedSats = await takeSubsidy(tx, settings.freeTier, recipientOf(job), input);
          putJob(tx, { ...job, grantedSats, adviceSats: 0 });
        });
      },
    })),
  );

type Parts = Pick<CostSheet, "chargeSats" | "subsidySats" | "refundSats" | "returnedSats">;

/** Ends work with other parts than the rules say; what it writes agrees with itself. */
const closes = (parts: (job: Job, costSheet: CostSheet, quote: Quote) => Parts): Naive => (services) =>
  withTasks(
    services,
    change("work", (real) => ({
      async run(lease, signal) {
        const { store, model, clock, settings } = services;
        const asked = await getJob(store, lease.id);
        if (asked?.state !== "executing" || !asked.quote) return await real.run(lease, signal);
        const { request, workModel, quote } = asked;
        const { maxOutputTokens } = quote;
        const deadlineMs = settings.modelDeadlineMs;
        const { text, usage, finish } = await model.work({
          model: workModel,
          request,
          maxOutputTokens,
          signal,
          deadlineMs,
        });
        const now = clock.now();
        const terms = { dustSats: settings.refundDustSats, claimDays: settings.refundClaimDays, maxFeeSats: 10 };
        await store.transact(async (tx) => {
          const job = await getJob(tx, lease.id);
          if (!job || !(await holdsLease(tx, lease))) return;
          const step = workDone(job, { usage, terms, now });
          if (step.outcome === "replayed" || !step.job.costSheet) return;
          const costSheet = { ...step.job.costSheet, ...parts(job, step.job.costSheet, quote) };
          const { handle } = job;
          const refund = newRefund({
            id: handle,
            source: { kind: "job", handle },
            owner: null,
            feeCreditSats: 0,
            sats: costSheet.refundSats,
            ...terms,
            now,
          });
          const from = accountOf(job);
          const postings = nonZero([
            charge(handle, from, REVENUE.work, costSheet.chargeSats),
            subsidyUsed(handle, from, REVENUE.work, costSheet.subsidySats),
            refundOwed(handle, from, costSheet.refundSats, handle),
          ]);
          const next = { ...step.job, costSheet, refundId: refund?.id ?? null };
          const { subsidySats: absorbed, chargeSats: earnedSats } = costSheet;
          await writeStep(tx, { ...step, job: next, postings, refund, absorbed, earnedSats }, settings.freeTier, now);
          putResult(tx, handle, { text, finish });
        });
      },
    })),
  );

/** The refund is the quote less the cost, as if the payer had paid the quote. */
const refundsFromTheQuote = closes((job, costSheet, quote) => {
  const refundSats = Math.min(job.paidSats, Math.max(0, quote.sats - costSheet.actualSats));
  return { ...costSheet, refundSats, chargeSats: job.paidSats - refundSats };
});

/** All that was granted counts as used. */
const absorbsItAll = closes((job, costSheet) => {
  const chargeSats = Math.min(job.paidSats, Math.max(0, costSheet.actualSats - job.grantedSats));
  return { chargeSats, refundSats: job.paidSats - chargeSats, subsidySats: job.grantedSats, returnedSats: 0 };
});

/** Budgets that are told and not kept. */
export const keepsNoBudget: Naive = (services) => {
  const { freeTier } = services.settings;
  const dailySats = { new: 0, established: 5_000, trusted: 5_000, elite: 5_000 };
  const settings = { ...services.settings, freeTier: { ...freeTier, config: { ...freeTier.config, dailySats } } };
  return withTasks({ ...services, settings }, (spec) => spec);
};

/** The real parts, put together here as the others are: nothing may be found wrong with it. */
export const AS_IT_IS: Program = { background: (services) => withTasks(services, (spec) => spec) };

/** Each with the rules of which one must be the first to break. */
export const MISTAKES: readonly { name: string; program: Program; breaks: readonly string[] }[] = [
  {
    name: "an estimate that moves the pool",
    program: { estimate: reservingEstimate },
    breaks: ["an estimate moves nothing"],
  },
  {
    name: "the advice credited instead of what was reserved",
    program: { background: creditsTheAdvice },
    breaks: ["what a job says it was granted was reserved"],
  },
  {
    name: "free although the pool raced to less",
    program: { background: servesWhatItSaw },
    breaks: ["free work begins with its whole price reserved"],
  },
  {
    name: "a reservation that a failed start, or a death before it, leaves behind",
    program: { background: reservesAndStartsLater },
    breaks: ["a reservation ends with its request"],
  },
  {
    name: "a reservation that failed work leaves behind",
    program: { background: keepsFailedReservations },
    breaks: ["a reservation ends with its request"],
  },
  {
    name: "a reservation that a session's failed request leaves behind",
    program: { background: keepsFailedRequests },
    breaks: ["a reservation ends with its request"],
  },
  {
    name: "help taken when the invoice is made",
    program: { background: helpsAtTheInvoice },
    breaks: ["nothing is taken for a payer who has not paid"],
  },
  {
    name: "a refund computed from the quote",
    program: { background: refundsFromTheQuote },
    breaks: ["the refund is what was paid less the charge"],
  },
  {
    name: "more absorbed than was used",
    program: { background: absorbsItAll },
    breaks: ["no more is absorbed than was used"],
  },
  {
    name: "a budget that is not kept",
    program: { background: keepsNoBudget },
    breaks: ["no key is above its day's budget"],
  },
];
