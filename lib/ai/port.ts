/**
 * What Timmy needs from a language model: judge a request, then do the work. Adapters: Anthropic, OpenAI-compatible
 * (a local model) and simulated. An adapter makes one attempt per call: retries belong to the task that called it.
 */

/** Tokens of one call. `source` is `estimated` when the provider sent no usage and characters were counted (4 a token). */
export interface Usage {
  inputTokens: number;
  outputTokens: number;
  source: "api" | "estimated";
}

export interface Evaluation {
  accepted: boolean;
  /** Shown to the payer; at most 500 characters. */
  reason: string;
  usage: Usage;
}

export interface WorkResult {
  text: string;
  usage: Usage;
  /** `length`: the output limit cut the answer. */
  finish: "stop" | "length";
}

export interface EvaluateInput {
  model: string;
  /** Data, never instructions: nothing in it may change how the verdict is reached. */
  request: string;
  /** Aborts the call upstream. */
  signal: AbortSignal;
  /** Milliseconds the whole call may take. */
  deadlineMs: number;
}

export interface WorkInput extends EvaluateInput {
  /** Hard limit handed to the model: what the hold pays for. */
  maxOutputTokens: number;
  /** Called with each piece of text as it is generated, where the provider streams. */
  onText?: (piece: string) => void;
}

/** One turn of a conversation; text only. */
export interface ChatMessage {
  role: "system" | "user" | "assistant";
  text: string;
}

/** A conversation in the payer's own words: no instructions of ours are added. */
export interface ChatInput {
  model: string;
  /** At least one; the roles may come in any order. */
  messages: readonly ChatMessage[];
  /** 0–2 as on OpenAI's scale; an adapter whose provider knows less of it says so with a permanent ModelError. */
  temperature?: number;
  /** The answer ends before the first of these; at most 4. */
  stop?: readonly string[];
  /** Hard limit handed to the model: what the hold pays for. */
  maxOutputTokens: number;
  /** Aborts the call upstream. The error then carries the usage of what was written until then. */
  signal: AbortSignal;
  /** Milliseconds the whole call may take. */
  deadlineMs: number;
  /** Called with each piece of text as it is generated. Without it the answer may be asked for in one piece. */
  onText?: (piece: string) => void;
}

export interface Model {
  /** e.g. "simulated", "anthropic", "local": for the start-up summary and readiness. */
  readonly name: string;
  /** True when no model is asked: every answer it wrote then says so. */
  readonly simulated: boolean;
  /** @throws {ModelError} and nothing else. */
  evaluate(input: EvaluateInput): Promise<Evaluation>;
  /** @throws {ModelError} and nothing else. */
  work(input: WorkInput): Promise<WorkResult>;
  /** @throws {ModelError} and nothing else; its `usage` says what was written before it broke, if anything was. */
  chat(input: ChatInput): Promise<WorkResult>;
}

/** A model call that gave no usable answer. `message` is safe to log: no prompt, no key, no provider body. */
export class ModelError extends Error {
  override name = "ModelError";
  readonly permanent: boolean;
  readonly causedByRequest: boolean;
  readonly retryAfterMs: number | undefined;
  readonly usage: Usage | undefined;
  constructor(message: string, about: {
    /** True: the same call would fail again (bad request, bad key, unknown model). */
    permanent: boolean;
    /** True: the request itself is to blame (the provider refuses it), so it counts against the identity's trust. */
    causedByRequest?: boolean;
    /** What the provider asked for in `retry-after`. */
    retryAfterMs?: number | undefined;
    /** Tokens the provider charged for although the call failed. */
    usage?: Usage | undefined;
    cause?: unknown;
  }) {
    super(message, { cause: about.cause });
    this.permanent = about.permanent;
    this.causedByRequest = about.causedByRequest ?? false;
    this.retryAfterMs = about.retryAfterMs;
    this.usage = about.usage;
  }
}
