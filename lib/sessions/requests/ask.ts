import type { ChatMessage } from "@/lib/ai/port.ts";
import type { IdempotencyScope } from "@/lib/tasks/idempotency.ts";
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
  /** Aborted when the caller has gone: the work ends, and what was used until then is charged. */
  gone: AbortSignal;
}

/** Who asks, beside the token: the caller's Idempotency-Key, the key that signed the request, the client's address by name. */
export interface Asking {
  scope?: IdempotencyScope | null;
  pubkey?: string | null;
  caller?: string | null;
}

/** Why a request did not begin. */
export type NotBegun =
  | { outcome: "conflict" }
  | { outcome: "ended"; session: Session | null }
  | { outcome: "short"; paused: boolean; balanceSats: number; priceSats: number; minimumBalanceSats: number }
  | { outcome: "capped"; leftSats: number; priceSats: number }
  | { outcome: "exhausted"; until: number };

/** `known`: what the caller's Idempotency-Key began before. */
export type Begun =
  | { outcome: "begun"; request: SessionRequest }
  | { outcome: "known"; request: SessionRequest }
  | NotBegun;

/** Everything the model reads of a conversation, as one text: what is counted, hashed and judged. */
export const textOf = (messages: readonly ChatMessage[]): string =>
  messages.map(({ role, text }) => `${role}: ${text}`).join("\n\n");
