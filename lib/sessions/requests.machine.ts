/**
 * One request of a session (economy.md §6): what is kept of it, how it begins and how it ends. Pure. Money is metered in
 * lib/metering; this is the record that tells of it.
 */
import type { Usage } from "@/lib/ai/port.ts";
import type { CostSheet, Failure, Outcome } from "@/lib/metering/close.rules.ts";
import type { FreeTierView } from "@/lib/metering/metering.ts";
import type { Quote } from "@/lib/metering/quote.rules.ts";

/**
 * `rejected`: refused by the evaluator or the provider. `interrupted`: broken off by either side after something was used.
 * `failed`: before anybody was given anything.
 */
export type RequestState = "running" | "complete" | "rejected" | "failed" | "interrupted";
/** `request`: one text, taken up again after a crash. `chat`: somebody waits for it, so it ends with the process. */
export type RequestMode = "request" | "chat";

export interface SessionRequest {
  v: 1;
  /** Grows with time, so that a session's requests lie in their order. */
  id: string;
  session: string;
  mode: RequestMode;
  state: RequestState;
  at: number;
  endedAt: number | null;
  model: string;
  evalModel: string | null;
  /** The text of a `request`; a chat's messages are not kept. */
  text: string | null;
  quote: Quote;
  /** Set aside from the session's balance (sats). */
  reservedSats: number;
  /** The Nostr key it is asked for, hex; null: nobody in particular. */
  pubkey: string | null;
  /** The client address it came from, under a name that tells nobody the address; null: not known. */
  caller: string | null;
  /** sha256 of what was asked, hex. */
  requestHash: string;
  /** Set aside from the pool when it began, or taken when it ended. */
  grantedSats: number;
  /** The subsidy that was advised: taken when it has ended, as far as it is there then. */
  adviceSats: number;
  freeTier: FreeTierView | null;
  /** Name of the very token that asked (see lib/sessions/tokens.ts), and of the narrowed allowances its spend counts under. */
  token: string;
  allowances: string[];
  evalUsage: Usage | null;
  usage: Usage | null;
  actualSats: number;
  chargeSats: number;
  subsidySats: number;
  /** The session's balance right after it ended (sats). */
  balanceSats: number | null;
  finish: "stop" | "length" | null;
  reason: string | null;
  errorMessage: string | null;
  /** The model call that was to blame; null: none was. */
  failure: Failure | null;
}

/** What is known of a request when it begins. */
export type Beginning = Pick<
  SessionRequest,
  | "id"
  | "session"
  | "mode"
  | "model"
  | "evalModel"
  | "text"
  | "quote"
  | "pubkey"
  | "caller"
  | "requestHash"
  | "token"
  | "allowances"
>;

/** A request as it begins, with nothing set aside yet. @param now ms since the epoch */
export const newRequest = (about: Beginning, now: number): SessionRequest => ({
  v: 1,
  ...about,
  state: "running",
  at: now,
  endedAt: null,
  reservedSats: 0,
  grantedSats: 0,
  adviceSats: 0,
  freeTier: null,
  evalUsage: null,
  usage: null,
  actualSats: 0,
  chargeSats: 0,
  subsidySats: 0,
  balanceSats: null,
  finish: null,
  reason: null,
  errorMessage: null,
  failure: null,
});

const STATE_OF = {
  complete: "complete",
  refused: "rejected",
  left: "interrupted",
  broken: "interrupted",
  failed: "failed",
} as const satisfies Record<Outcome["end"], RequestState>;

/**
 * The record of a request that has ended.
 * @param input.grantedSats what the pool set aside or gave in all
 * @param input.balanceSats of the session, what came back included
 */
export function endedRequest(
  request: SessionRequest,
  { outcome, costSheet, grantedSats, balanceSats, now }: {
    outcome: Outcome;
    costSheet: CostSheet;
    grantedSats: number;
    balanceSats: number;
    now: number;
  },
): SessionRequest {
  const { evalUsage, usage, actualSats, chargeSats, subsidySats } = costSheet;
  return {
    ...request,
    state: STATE_OF[outcome.end],
    endedAt: now,
    grantedSats,
    evalUsage,
    usage,
    actualSats,
    chargeSats,
    subsidySats,
    balanceSats,
    finish: outcome.end === "complete" ? outcome.finish : null,
    reason: outcome.end === "refused" ? outcome.reason : null,
    errorMessage: "errorMessage" in outcome ? withCharge(outcome.errorMessage, chargeSats) : null,
    failure: "failure" in outcome ? outcome.failure : null,
  };
}

/** Whoever reads that something went wrong wants to know first whether it cost anything. */
export const withCharge = (message: string, chargeSats: number): string =>
  `${message} ${
    chargeSats === 0 ? "Nothing was" : chargeSats === 1 ? "1 sat was" : `${chargeSats} sats were`
  } charged.`;
