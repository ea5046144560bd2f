/**
 * A node that somebody pays for, from the invoice until the machine is handed over or all of the money is owed back
 * (docs/spec/bootstrap.md). Pure: each function takes the record and a fact, and returns everything the one transaction writes, or
 * says why nothing changes. One of these steps decides between ready, cancelled and failed: whichever is written first.
 */
import { jobAccount } from "@/lib/ledger/accounts.ts";
import {
  bootstrapFee,
  bootstrapPayment,
  nonZero,
  type Posting,
  refundDust,
  refundOwed,
} from "@/lib/ledger/postings.ts";
import { feeCredit } from "@/lib/payments/fees.rules.ts";
import type { InvoiceSummary } from "@/lib/payments/invoices.rows.ts";
import { newRefund, type Refund } from "@/lib/payments/refunds.machine.ts";
import type { TaskOrder } from "@/lib/tasks/due.ts";
import type { FirstBootReport } from "./keys/first-boot-report.ts";
import type { KeyDelivery } from "./keys/delivery.rules.ts";

export const BOOTSTRAP_STATES = [
  "awaiting_payment",
  "provisioning",
  "ready_unconfirmed",
  "ready",
  "failed",
  "expired",
] as const;
export type BootstrapState = typeof BOOTSTRAP_STATES[number];

/** The way to a node, in this order. From `droplet` on there may be a machine, and with it a cost. */
export const STEP_NAMES = ["ssh_key", "tailscale_key", "volume", "droplet", "ip", "first_boot", "ready"] as const;
export type StepName = typeof STEP_NAMES[number];

export const TERMINAL: ReadonlySet<BootstrapState> = new Set(["ready", "failed", "expired"]);

export interface ProvisioningStep {
  name: StepName;
  /** ms since the epoch. */
  startedAt: number;
  finishedAt: number | null;
  /** What is to be said of it, such as that there was nothing to do. */
  note: string | null;
}

/** What the provider has made and named, so far as its answers came. */
export interface Made {
  sshKeyId: string | null;
  volumeId: string | null;
  machineId: string | null;
  ipv4: string | null;
  /** Id of the key with which the machine joins the tailnet, and the key itself, sealed; "" once the machine has it. */
  tailnetKeyId: string | null;
  tailnetKey: string;
}

/** What the payer ordered, and for how long his fee pays it. */
export interface Order {
  region: string;
  size: string;
  volumeGb: number;
  days: number;
}

export interface Bootstrap {
  v: 1;
  handle: string;
  state: BootstrapState;
  createdAt: number;
  /** The Nostr key that asked, hex; null: nobody in particular. */
  pubkey: string | null;
  /** Backends that were simulated when it was made; every answer about it says so. */
  simulated: string[];
  /** Where a refund goes by itself; null: the payer claims it. */
  lightningAddress: string | null;
  order: Order;
  feeSats: number;
  invoice: InvoiceSummary;
  /** Sats that came in and lie in its account until it ends. */
  paidSats: number;
  /** The machine's SSH key: the payer's own, or one that was made here and is handed over once. */
  publicKey: string;
  privateKey: KeyDelivery;
  steps: ProvisioningStep[];
  made: Made;
  report: FirstBootReport | null;
  /** When the fee's days are over (ms since the epoch); null until the node is ready. */
  paidUntil: number | null;
  cancelled: boolean;
  /** Why it failed, for the payer: no token, no inner address. */
  errorMessage: string | null;
  /** When it failed and what was made began to be destroyed (ms since the epoch); null: nothing is left to destroy. */
  destroyingSince: number | null;
  /** The provider's own mark that nobody may destroy the machine. */
  handedOver: boolean;
  refundId: string | null;
}

/** All that one transition writes. */
export interface BootstrapStep {
  outcome: "applied";
  bootstrap: Bootstrap;
  postings: Posting[];
  tasks: TaskOrder[];
  refund: Refund | null;
}
/** Known already, or too late to mean anything: nothing is written. */
export interface NoStep {
  outcome: "replayed";
}
export const REPLAYED: NoStep = { outcome: "replayed" };

export interface RefundTerms {
  dustSats: number;
  claimDays: number;
  /** The most that the operator pays of a payout's routing fee (sats). */
  maxFeeSats: number;
}

const applied = (bootstrap: Bootstrap, rest: Partial<Omit<BootstrapStep, "outcome" | "bootstrap">> = {}) => ({
  outcome: "applied" as const,
  bootstrap,
  postings: nonZero(rest.postings ?? []),
  tasks: rest.tasks ?? [],
  refund: rest.refund ?? null,
});

/** The name of everything that a provider makes for it, by which it is found again. */
export const nameOf = ({ handle }: Pick<Bootstrap, "handle">): string => `timmy-${handle}`;

/** The task that takes a bootstrap on: it provisions, destroys or hands over, as the record says. */
export const TASK = "bootstrap";
const next = ({ handle }: Bootstrap, dueAt: number | null): TaskOrder => ({ kind: TASK, id: handle, dueAt });

/** Whether nobody has paid it yet, and still may: it counts as a challenge. */
export const isChallenge = ({ state }: Pick<Bootstrap, "state">): boolean => state === "awaiting_payment";

/** What is to be done now; null when nothing is. */
export const currentStep = ({ state, steps }: Pick<Bootstrap, "state" | "steps">): ProvisioningStep | null =>
  state === "provisioning" || state === "ready_unconfirmed" ? steps.at(-1) ?? null : null;

const NOTHING_MADE: Made = {
  sshKeyId: null,
  volumeId: null,
  machineId: null,
  ipv4: null,
  tailnetKeyId: null,
  tailnetKey: "",
};

/** A new one waits for its fee. */
export const newBootstrap = (
  input: Pick<
    Bootstrap,
    | "handle"
    | "pubkey"
    | "simulated"
    | "lightningAddress"
    | "order"
    | "feeSats"
    | "invoice"
    | "publicKey"
    | "privateKey"
    | "createdAt"
  >,
): Bootstrap => ({
  v: 1,
  state: "awaiting_payment",
  ...input,
  paidSats: 0,
  steps: [],
  made: NOTHING_MADE,
  report: null,
  paidUntil: null,
  cancelled: false,
  errorMessage: null,
  destroyingSince: null,
  handedOver: false,
  refundId: null,
});

/** The fee was paid: provisioning begins. One that had expired comes back to life; one that was cancelled owes it back at once. */
export function feePaid(
  bootstrap: Bootstrap,
  input: { paymentHash: string; paidSats: number; terms: RefundTerms; now: number },
): BootstrapStep | NoStep {
  const { paymentHash, paidSats, terms, now } = input;
  if (bootstrap.paidSats > 0 || paymentHash !== bootstrap.invoice.paymentHash) return REPLAYED;
  const paid = { ...bootstrap, paidSats };
  const postings = [bootstrapPayment(bootstrap.handle, { paymentHash, sats: paidSats })];
  if (!bootstrap.cancelled) {
    const begun: Bootstrap = { ...paid, state: "provisioning", steps: [begin("ssh_key", now)] };
    return applied(begun, { postings, tasks: [next(begun, now)] });
  }
  const owed = giveBack({ ...paid, state: "failed", errorMessage: CANCELLED }, paidSats, terms, now);
  return { ...owed, postings: [...postings, ...owed.postings] };
}

/** Nobody paid in time. A payment that still comes revives it. */
export function invoiceExpired(bootstrap: Bootstrap, paymentHash: string): BootstrapStep | NoStep {
  if (bootstrap.state !== "awaiting_payment" || paymentHash !== bootstrap.invoice.paymentHash) return REPLAYED;
  return applied({ ...bootstrap, state: "expired" });
}

const begin = (name: StepName, now: number): ProvisioningStep => ({
  name,
  startedAt: now,
  finishedAt: null,
  note: null,
});

/**
 * A step is done: what it made is written down, and the next one begins in the same commit, so that whoever finds the record after a
 * crash knows that a call of the next step may already have been made.
 * @param input.firstBootMs how long the node's own report may take (ms): it brings the task forward.
 */
export function stepDone(
  bootstrap: Bootstrap,
  name: StepName,
  input: { made?: Partial<Made>; note?: string | null; now: number; firstBootMs: number },
): BootstrapStep | NoStep {
  const step = currentStep(bootstrap);
  const following = STEP_NAMES[STEP_NAMES.indexOf(name) + 1];
  if (bootstrap.state !== "provisioning" || step?.name !== name || !following) return REPLAYED;
  const { made = {}, note = null, now, firstBootMs } = input;
  const done = { ...step, finishedAt: now, note };
  const after: Bootstrap = {
    ...bootstrap,
    made: { ...bootstrap.made, ...made },
    steps: [...bootstrap.steps.slice(0, -1), done, begin(following, now)],
  };
  const waits = following === "first_boot" && after.report === null;
  return applied(after, { tasks: [next(after, waits ? now + firstBootMs : now)] });
}

/** The node reported its first boot. Before its address is known the report is kept until then. */
export function reported(
  bootstrap: Bootstrap,
  input: { report: FirstBootReport; now: number },
): BootstrapStep | NoStep | { outcome: "contradicted" } | { outcome: "over" } {
  const { report, now } = input;
  if (bootstrap.report) {
    return bootstrap.report.nodeKey === report.nodeKey ? REPLAYED : { outcome: "contradicted" };
  }
  const step = currentStep(bootstrap);
  if (!step || STEP_NAMES.indexOf(step.name) < STEP_NAMES.indexOf("droplet")) return { outcome: "over" };
  const told = { ...bootstrap, report };
  return applied(told, { tasks: step.name === "first_boot" ? [next(told, now)] : [] });
}

/** No report came in time: the payer is told what is known, and may wait on or have it all destroyed and his money back. */
export function unconfirmed(bootstrap: Bootstrap): BootstrapStep | NoStep {
  if (bootstrap.state !== "provisioning" || currentStep(bootstrap)?.name !== "first_boot" || bootstrap.report) {
    return REPLAYED;
  }
  const waiting: Bootstrap = { ...bootstrap, state: "ready_unconfirmed" };
  return applied(waiting, { tasks: [next(waiting, null)] });
}

/** The node has an address and has reported: the fee is earned, what was paid beyond it is owed back. */
export function becameReady(bootstrap: Bootstrap, terms: RefundTerms, now: number): BootstrapStep | NoStep {
  const step = currentStep(bootstrap);
  if (step?.name !== "first_boot" || !bootstrap.report || !bootstrap.made.ipv4) return REPLAYED;
  const earned = Math.min(bootstrap.feeSats, bootstrap.paidSats);
  const done = { ...step, finishedAt: now };
  const ready: Bootstrap = {
    ...bootstrap,
    state: "ready",
    steps: [...bootstrap.steps.slice(0, -1), done, { ...begin("ready", now), finishedAt: now }],
    paidUntil: now + bootstrap.order.days * 86_400_000,
  };
  const owed = giveBack(ready, bootstrap.paidSats - earned, terms, now);
  return {
    ...owed,
    postings: [bootstrapFee(bootstrap.handle, earned), ...owed.postings],
    tasks: [next(ready, now)],
  };
}

/** The machine carries the provider's mark that it was handed over: there is nothing more to do. */
export function markedHandedOver(bootstrap: Bootstrap): BootstrapStep | NoStep {
  if (bootstrap.state !== "ready" || bootstrap.handedOver) return REPLAYED;
  return applied({ ...bootstrap, handedOver: true }, { tasks: [next(bootstrap, null)] });
}

const CANCELLED = "You cancelled it.";

/**
 * The payer wants it no more. Possible until the commit before the call that makes the machine, and again once a machine has not
 * reported in time.
 */
export function cancel(bootstrap: Bootstrap, now: number): BootstrapStep | NoStep | { outcome: "too_late" } {
  const { state } = bootstrap;
  if (bootstrap.cancelled) return REPLAYED;
  if (state === "awaiting_payment" || state === "expired") {
    return applied({ ...withoutKey(bootstrap, now), state: "expired", cancelled: true });
  }
  const step = currentStep(bootstrap);
  const before = step !== null && STEP_NAMES.indexOf(step.name) < STEP_NAMES.indexOf("droplet");
  if (state !== "ready_unconfirmed" && !before) return { outcome: "too_late" };
  return failed({ ...bootstrap, cancelled: true }, CANCELLED, now);
}

/** A private key that nobody will be given is kept by nobody. */
const withoutKey = (bootstrap: Bootstrap, now: number): Bootstrap => ({
  ...bootstrap,
  ...(bootstrap.privateKey.sealed !== null && { privateKey: { ...bootstrap.privateKey, sealed: null, erasedAt: now } }),
});

/** It failed for good: what was made is destroyed, and only then the money is owed back. */
export function failed(bootstrap: Bootstrap, errorMessage: string, now: number): BootstrapStep | NoStep {
  if (bootstrap.state !== "provisioning" && bootstrap.state !== "ready_unconfirmed") return REPLAYED;
  const { steps, made } = bootstrap;
  const note = bootstrap.cancelled ? "cancelled" : "failed";
  const over: Bootstrap = {
    ...withoutKey(bootstrap, now),
    state: "failed",
    errorMessage,
    destroyingSince: now,
    steps: steps.map((step) => step.finishedAt === null ? { ...step, finishedAt: now, note } : step),
    made: { ...made, tailnetKey: "" },
  };
  return applied(over, { tasks: [next(over, now)] });
}

/** The provider says that nothing of it is left: everything that was paid is owed back. */
export function destroyed(bootstrap: Bootstrap, terms: RefundTerms, now: number): BootstrapStep | NoStep {
  if (bootstrap.state !== "failed" || bootstrap.destroyingSince === null) return REPLAYED;
  const owed = giveBack({ ...bootstrap, destroyingSince: null }, bootstrap.paidSats, terms, now);
  return { ...owed, tasks: [next(bootstrap, null)] };
}

/** The account is emptied: `sats` become a refund, or are too few to be one. Paid sats that were not earned have nowhere else to go. */
function giveBack(bootstrap: Bootstrap, sats: number, terms: RefundTerms, now: number): BootstrapStep {
  const { handle, pubkey, state, feeSats } = bootstrap;
  const chargesSats = state === "ready" ? feeSats : 0;
  const credit = { maxFeeSats: terms.maxFeeSats, chargesSats, modelCostSats: 0, poolShareSats: 0, feesSats: 0 };
  const refund = newRefund({
    id: handle,
    source: { kind: "bootstrap", handle },
    owner: pubkey,
    sats,
    feeCreditSats: feeCredit(credit),
    address: bootstrap.lightningAddress,
    ...terms,
    now,
  });
  const from = jobAccount(handle);
  const rest = refund ? refundOwed(refund.id, from, sats, handle) : refundDust(handle, from, sats, handle);
  return applied({ ...bootstrap, refundId: refund?.id ?? null }, { postings: [rest], refund });
}
