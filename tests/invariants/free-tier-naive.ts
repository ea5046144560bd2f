/**
 * Controls: the mistakes that were made with free tiers before, put back one at a time. Each gives away sats, or forgets where they
 * are, in a way that a rule must see.
 */
import { jobAccount } from "@/lib/ledger/accounts.ts";
import { sha256Hex } from "@/lib/ids.ts";
import type { CostSheet } from "@/lib/metering/close.rules.ts";
import { decideAndReserve, getSubsidy, takeSubsidy } from "@/lib/free-tier/pool.rows.ts";
import { quoteJob } from "@/lib/jobs/job-quote.ts";
import type { Job } from "@/lib/jobs/jobs.machine.ts";
import { getJob, putJob } from "@/lib/jobs/jobs.rows.ts";
import { jobTasks } from "@/lib/jobs/jobs.tasks.ts";
import type { Services } from "@/lib/services.ts";
import { createSessionRequests } from "@/lib/sessions/requests.ts";
import type { Tx } from "@/lib/store/store.ts";
import { plan } from "@/lib/tasks/due.ts";
import type { TaskSpec } from "@/lib/tasks/queue.ts";
import { createBackground } from "@/queue.ts";
import type { Program } from "./free-tier.ts";
import { asItIs, changing, forgets, type Naive, over, writes } from "./naive.ts";

const recipientOf = ({ handle, pubkey, request }: Job) => ({
  id: handle,
  session: null,
  pubkey: pubkey ?? "",
  requestHash: sha256Hex(request),
});

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
const creditsTheAdvice = over(
  writes<Job>(
    "job",
    (job) => job.state === "executing" ? { ...job, grantedSats: job.adviceSats || job.grantedSats } : job,
  ),
);

/** Serves free a key that it saw to be known, whatever pool and budget have by then. */
export const servesWhatItSaw = over(
  writes<Job>("job", (job, tx, atEnd) => {
    if (job.state !== "awaiting_work_payment" || !job.quote || job.adviceSats === 0) return job;
    atEnd(() => plan(tx, { kind: "work", id: job.handle, dueAt: 0 }));
    const freeTier = { serve: "free" as const, absorbSats: job.quote.sats, chargeSats: 0 };
    return { ...job, state: "executing", workInvoice: null, freeTier };
  }),
);

/** Something done in a transaction of its own, before a job is evaluated or after it. */
const beside = (when: "before" | "after", fn: (tx: Tx, job: Job, services: Services) => Promise<void>): Naive =>
  changing("evaluate", (real, services) => {
    const aside = (handle: string) =>
      services.store.transact(async (tx) => {
        const job = await getJob(tx, handle);
        if (job?.pubkey) await fn(tx, job, services);
      });
    return {
      async run(lease, signal) {
        if (when === "before") await aside(lease.id);
        await real.run(lease, signal);
        if (when === "after") await aside(lease.id);
      },
    };
  });

/** Reserves first and starts in a later commit: a start that fails, or a death between the two, keeps the reservation. */
const reservesAndStartsLater = beside("before", async (tx, job, services) => {
  if (job.state !== "evaluating" || await getSubsidy(tx, job.handle)) return;
  const { sats: estimateSats } = await quoteJob(services, job);
  const input = { estimateSats, account: jobAccount(job.handle), now: services.clock.now() };
  await decideAndReserve(tx, services.settings.freeTier, recipientOf(job), input);
});

/** Help that is taken when the invoice is made, for someone who may never pay. */
const helpsAtTheInvoice = beside("after", async (tx, job, { settings, clock }) => {
  if (job.state !== "awaiting_work_payment" || job.adviceSats === 0) return;
  const input = { adviceSats: job.adviceSats, account: jobAccount(job.handle), now: clock.now() };
  putJob(tx, { ...job, grantedSats: await takeSubsidy(tx, settings.freeTier, recipientOf(job), input), adviceSats: 0 });
});

/** A request that ends and has forgotten what the pool set aside for it. */
const forgetsReservations = (kind: string, taskOf: (services: Services) => TaskSpec | undefined): Naive =>
  changing(kind, (_spec, services) => ({ ...taskOf({ ...services, store: forgets("subsidy")(services.store) }) }));

/** Work whose cost sheet says other parts than the rules do. */
const closes = (parts: (job: Job, costSheet: CostSheet) => Partial<CostSheet>): Naive =>
  over(
    writes<Job>("job", (job) =>
      job.costSheet ? { ...job, costSheet: { ...job.costSheet, ...parts(job, job.costSheet) } } : job),
  );

/** The refund is the quote less the cost, as if the payer had paid the quote. */
const refundsFromTheQuote = closes(({ paidSats, quote }, { actualSats }) => {
  const refundSats = Math.min(paidSats, Math.max(0, (quote?.sats ?? 0) - actualSats));
  return { refundSats, chargeSats: paidSats - refundSats };
});

/** All that was granted counts as used. */
const absorbsItAll = closes(({ grantedSats }) => ({ subsidySats: grantedSats, returnedSats: 0 }));

/** Budgets that are told and not kept. */
export const keepsNoBudget: Naive = (services) => {
  const { freeTier } = services.settings;
  const dailySats = { new: 0, established: 5_000, trusted: 5_000, elite: 5_000 };
  const settings = { ...services.settings, freeTier: { ...freeTier, config: { ...freeTier.config, dailySats } } };
  return createBackground({ ...services, settings }, { exclusive: true });
};

/** The real parts, put together here as the others are: nothing may be found wrong with it. */
export const AS_IT_IS: Program = { background: asItIs };

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
    breaks: ["a reservation ends with its request", "nothing is taken for a payer who has not paid"],
  },
  {
    name: "a reservation that ended work leaves behind",
    program: {
      background: forgetsReservations(
        "work",
        (services) => jobTasks(services).tasks.find(({ kind }) => kind === "work"),
      ),
    },
    breaks: ["a reservation ends with its request"],
  },
  {
    name: "a reservation that a session's ended request leaves behind",
    program: { background: forgetsReservations("session-request", (services) => createSessionRequests(services).task) },
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
    breaks: ["the refund is what was paid less the charge", "what is owed is what the cost sheet says"],
  },
  {
    name: "more absorbed than was used",
    program: { background: absorbsItAll },
    breaks: ["no more is absorbed than was used", "every subsidy is that of its request, reserved only while it runs"],
  },
  {
    name: "a budget that is not kept",
    program: { background: keepsNoBudget },
    breaks: ["no key is above its day's budget"],
  },
];
