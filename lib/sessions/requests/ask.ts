import type { ChatMessage } from "@/lib/ai/port.ts";

/** What is asked of a session. */
export type Ask =
  | { mode: "request"; text: string }
  | {
    mode: "chat";
    model: string;
    messages: readonly ChatMessage[];
    temperature?: number;
    stop?: readonly string[];
    /** What the caller said; null: CHAT_OUTPUT_TOKENS. */
    maxTokens: number | null;
    /** Aborted when the caller has gone: the work ends, and what was written until then is paid. */
    gone: AbortSignal;
    /** Each piece as it comes; left out, nobody reads along. */
    onText?: (piece: string) => void;
  };

export type Chat = Extract<Ask, { mode: "chat" }>;

/** Chats that callers of this process wait for, by request. Without one here a chat has lost its caller. */
export type Chats = Map<string, Chat>;

/** Everything the model reads, as one text: what its length is estimated by and what the evaluator judges. */
export function textOf(ask: Ask): string {
  if (ask.mode === "request") return ask.text;
  return ask.messages.map(({ role, text }) => `${role}: ${text}`).join("\n\n");
}
