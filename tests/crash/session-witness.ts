import type { RequestMode, RequestState } from "@/lib/sessions/requests.machine.ts";
import type { SessionState } from "@/lib/sessions/sessions.machine.ts";
import type { RequestBody, SessionBody } from "@/routes/sessions/sessions.routes.ts";
import type { ViolationKind } from "./witness.ts";

/** What a payer asks of its session, and how it may end. */
export interface AskPlan {
  /** Stands in the text and must come back in the answer. */
  token: string;
  mode: RequestMode;
  streamed: boolean;
  /** The Idempotency-Key; null: without one, so a repeat would be another request. */
  key: string | null;
  text: string;
  model: string;
  /** Every end that would be right, whenever the server was killed. `failed`: on purpose, which may cost its tokens. */
  ends: readonly RequestState[];
  /** Hangs up after so many frames; null: reads to the end. */
  hangUpAfter: number | null;
}

/** What an answer says about a request that has ended. */
export interface Ended {
  state: RequestState;
  debitedSats: number;
  /** Null where the answer does not carry it. */
  text: string | null;
}

export interface AskRecord {
  plan: AskPlan;
  /** Null until an answer named it. */
  requestId: string | null;
  /** The longest text that a stream told before it broke. */
  heard: string;
  answer: Ended | null;
  /** Chats of this call that were named and then killed: nothing of them may be kept, or charged. */
  killed: string[];
  repeats: number;
}

/** Everything answers have told about a session so far; replaced, never changed. */
export interface SessionSeen {
  readonly state: SessionState;
  readonly balanceSats: number;
  readonly heldSats: number;
  readonly spentSats: number;
  /** Payment hash of the invoice that it shows as waiting. */
  readonly openInvoice: string | null;
  readonly refund: { state: string; sats: number; hash: string | null } | null;
}

export interface SessionRecord {
  /** Names this one attempt; its Idempotency-Key. */
  token: string;
  sessionId: string | null;
  created: string | null;
  macaroon: string | null;
  seen: SessionSeen | null;
  /** Every invoice of it that was ever shown: payment hash and sats. */
  invoices: Map<string, number>;
  /** Those of which an answer said that they are paid. */
  paid: Set<string>;
  asks: AskRecord[];
  /** Payment hashes of every invoice it asked its balance to be paid to. */
  claims: Set<string>;
  /** Requests of its history that no answer had named before. */
  found: Map<string, Ended>;
}

export type ReportViolation = (kind: ViolationKind, what: string) => void;

/** Notes every answer about sessions, and says which of them cannot be true together. */
export interface SessionWitness {
  readonly records: ReadonlyMap<string, SessionRecord>;
  report: ReportViolation;
  planned(token: string): SessionRecord;
  /** An answer to opening it, the first or a repeat. */
  created(record: SessionRecord, body: Pick<SessionBody, "sessionId" | "invoice">): void;
  /** @param before `record.seen` when the call was sent: an answer is never older than that. */
  read(record: SessionRecord, before: SessionSeen | null, body: SessionBody): void;
  asking(record: SessionRecord, plan: AskPlan): AskRecord;
  /** An answer named the request; one key must always name the same, unless a kill took a chat along that had no end yet. */
  named(ask: AskRecord, requestId: string): void;
  /** An answer said how it ended. */
  answered(ask: AskRecord, requestId: string | null, ended: Ended): void;
  /** The history has a request with this end. @returns its text must have been delivered when it was charged. */
  listed(record: SessionRecord, body: RequestBody): void;
}

const STEPS: Record<SessionState, number> = { awaiting_payment: 0, active: 1, paused: 1, expired: 2, closed: 2 };

export const handleOf = (sessionId: string): string => sessionId.split("-")[0] ?? "";

/** True when an invoice was paid and the session does not show it yet. */
export const awaitsBooking = ({ paid, seen }: SessionRecord): boolean =>
  seen?.openInvoice !== null && seen?.openInvoice !== undefined && paid.has(seen.openInvoice);

/** A chat ends with its process: until an answer has told its end, a kill leaves nothing of it. */
export const mayBeGone = ({ plan, answer }: Pick<AskRecord, "plan" | "answer">): boolean =>
  plan.mode === "chat" && answer === null;

const failsOnPurpose = ({ plan }: AskRecord): boolean => plan.ends.includes("failed");

export function createSessionWitness(report: ReportViolation): SessionWitness {
  const records = new Map<string, SessionRecord>();

  function named(ask: AskRecord, requestId: string): void {
    if (ask.requestId !== null && ask.requestId !== requestId) {
      if (mayBeGone(ask)) {
        ask.killed.push(ask.requestId);
        ask.heard = "";
      } else report("contradiction", `${ask.plan.token}: one Idempotency-Key made two requests`);
    }
    ask.requestId = requestId;
  }

  function answered(ask: AskRecord, requestId: string | null, ended: Ended): void {
    const { plan, answer: before } = ask;
    if (requestId !== null) named(ask, requestId);
    if (before && (before.state !== ended.state || before.debitedSats !== ended.debitedSats)) {
      const was = `${before.state} for ${before.debitedSats} sats`;
      report("contradiction", `${plan.token}: was ${was}, then ${ended.state} for ${ended.debitedSats}`);
    }
    if (before && before.text !== null && ended.text !== null && before.text !== ended.text) {
      report("contradiction", `${plan.token}: its answer changed`);
    }
    ask.answer = { ...ended, text: ended.text ?? before?.text ?? null };
    if (!plan.ends.includes(ended.state)) return report("lost", `${plan.token}: ended ${ended.state}`);
    judge(plan.token, ended, failsOnPurpose(ask));
    if (ended.text === null) return;
    if (ended.state === "complete" && !ended.text.includes(plan.token)) {
      report("lost", `${plan.token}: complete without its own answer`);
    }
    if (ended.state !== "failed" && !ended.text.startsWith(ask.heard)) {
      report("contradiction", `${plan.token}: the stream told something else than the answer that is kept`);
    }
  }

  /** What is charged must have been delivered, and what was delivered whole is charged. */
  function judge(name: string, { state, debitedSats }: Ended, mayCost: boolean): void {
    if (state === "failed" && debitedSats !== 0 && !mayCost) {
      report("lost", `${name}: failed, and ${debitedSats} sats were charged`);
    }
    if ((state === "complete" || state === "rejected") && debitedSats <= 0) {
      report("unexpected", `${name}: ${state} for nothing`);
    }
  }

  return {
    records,
    report,
    planned(token) {
      const record: SessionRecord = {
        token,
        sessionId: null,
        created: null,
        macaroon: null,
        seen: null,
        invoices: new Map(),
        paid: new Set(),
        asks: [],
        claims: new Set(),
        found: new Map(),
      };
      records.set(token, record);
      return record;
    },
    created(record, { sessionId, invoice }) {
      const text = JSON.stringify([sessionId, invoice]);
      if (record.created !== null && record.created !== text) {
        return report("contradiction", `${record.token}: opening it was answered differently the second time`);
      }
      if (record.created !== null || !invoice) return;
      record.sessionId = sessionId;
      record.created = text;
      record.invoices.set(invoice.paymentHash, invoice.amountSats);
      record.seen = {
        state: "awaiting_payment",
        balanceSats: 0,
        heldSats: 0,
        spentSats: 0,
        openInvoice: invoice.paymentHash,
        refund: null,
      };
    },
    read(record, before, body) {
      const { token } = record;
      const { state, balanceSats, heldSats, spentSats, refund } = body;
      const open = body.invoice ?? body.pendingTopup ?? null;
      if (body.macaroon) record.macaroon = body.macaroon;
      if (open) record.invoices.set(open.paymentHash, open.amountSats);
      const now: SessionSeen = {
        state,
        balanceSats,
        heldSats,
        spentSats,
        openInvoice: open?.paymentHash ?? null,
        refund: refund
          ? { state: refund.refundState, sats: refund.refundAmountSats, hash: refund.refundPaymentHash }
          : null,
      };
      if (balanceSats < 0 || heldSats < 0) report("books", `${token}: ${balanceSats} sats, ${heldSats} held`);
      if (state === "expired") report("lost", `${token}: expired although its time was not over`);
      if (before && STEPS[state] < STEPS[before.state]) {
        report("contradiction", `${token}: was ${before.state}, then ${state}`);
      }
      if (before && spentSats < before.spentSats) {
        report("contradiction", `${token}: had spent ${before.spentSats} sats, then ${spentSats}`);
      }
      if (before?.refund && (!now.refund || now.refund.sats !== before.refund.sats)) {
        report("contradiction", `${token}: what it is owed changed`);
      }
      if (before?.refund?.hash && before.refund.hash !== now.refund?.hash) {
        report("contradiction", `${token}: its balance goes to another invoice than before`);
      }
      record.seen = now;
    },
    asking(record, plan) {
      const ask: AskRecord = { plan, requestId: null, heard: "", answer: null, killed: [], repeats: 0 };
      record.asks.push(ask);
      return ask;
    },
    named,
    answered,
    listed(record, { requestId, state, debitedSats, result, reason }) {
      const ended: Ended = { state, debitedSats, text: result ?? null };
      const ask = record.asks.find((one) => one.requestId === requestId);
      if (state === "running") return report("stuck", `${record.token}: a request is still running at the end`);
      if (state === "complete" && ended.text === null) {
        report("lost", `${record.token}: a request was charged and its answer is gone`);
      }
      if (state === "rejected" && reason === undefined) report("lost", `${record.token}: rejected without a reason`);
      if (ask) return answered(ask, requestId, ended);
      judge(record.token, ended, record.asks.some(failsOnPurpose));
      record.found.set(requestId, ended);
    },
  };
}
