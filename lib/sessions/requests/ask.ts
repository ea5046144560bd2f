import type { ChatMessage } from "@/lib/ai/port.ts";
import type { Quote } from "@/lib/metering/quote.rules.ts";
import type { IdempotencyScope } from "@/lib/tasks/idempotency.ts";
import type { Repeat } from "../repeats.ts";
import type { SessionRequest } from "../requests.machine.ts";
import type { Session } from "../sessions.machine.ts";

/** A conversation that somebody waits for. */
export interface Chat {
  model: string;
  messages: readonly ChatMessage[];
  temperature?: number;
  topP?: number;
  seed?: number;
  stop?: readonly string[];
  /** What the caller said; null: CHAT_OUTPUT_TOKENS. */
  maxTokens: number | null;
  /** Whether each piece is handed on as it comes (`Services.liveText`, under the request's id). */
  streamed: boolean;
}

/** Who asks, beside the token: the caller's Idempotency-Key, the key that signed the request, the client's address by name. */
export interface Asking {
  /** Left out, the call is a request of its own, whatever ran before. */
  repeat?: Repeat;
  scope?: IdempotencyScope | null;
  pubkey?: string | null;
  caller?: string | null;
}

/** Why a request did not begin. */
export type NotBegun =
  | { outcome: "conflict" }
  | { outcome: "ended"; session: Session | null }
  /** `balanceSats`: what the token could spend. A top-up mends it. */
  | {
    outcome: "short";
    paused: boolean;
    balanceSats: number;
    priceSats: number;
    minimumBalanceSats: number;
    quote: Quote;
  }
  /** A limit that a holder of the token added: no payment mends it. */
  | { outcome: "capped"; leftSats: number; priceSats: number }
  | { outcome: "exhausted"; until: number };

/** `known`: what the caller's Idempotency-Key, or the call that this one repeats, began before. */
export type Begun =
  | { outcome: "begun"; request: SessionRequest }
  | { outcome: "known"; request: SessionRequest }
  | NotBegun;

/** Everything the model reads of a conversation, as one text: what is counted, hashed and judged. */
export const textOf = (messages: readonly ChatMessage[]): string =>
  messages.map(({ role, text }) => `${role}: ${text}`).join("\n\n");
