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
  /** 0–2 as on OpenAI's scale; an adapter whose provider knows less of it says so with a ModelError `invalid`. */
  temperature?: number;
  /** 0–1, of the likeliest tokens. Only for a model that can: see {@link Model.can}; so is `seed`, any whole number. */
  topP?: number;
  seed?: number;
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

/** What some models know and others do not: whoever asks for it looks first whether the model can. */
export type ChatAbility = "top_p" | "seed";

export interface Model {
  /** e.g. "simulated", "anthropic", "local": for the start-up summary and readiness. */
  readonly name: string;
  /** True when no model is asked: every answer it wrote then says so. */
  readonly simulated: boolean;
  /** Whether a chat with this model may ask for it. What nobody knows for certain is no. */
  can(model: string, ability: ChatAbility): boolean;
  /** @throws {ModelError} and nothing else. */
  evaluate(input: EvaluateInput): Promise<Evaluation>;
  /** @throws {ModelError} and nothing else. */
  work(input: WorkInput): Promise<WorkResult>;
  /** @throws {ModelError} and nothing else; its `usage` says what was written before it broke, if anything was. */
  chat(input: ChatInput): Promise<WorkResult>;
}

/**
 * Why a model call gave no usable answer. The first five would fail again the same way, the others may pass.
 * - `refused`: the provider's filter or the model itself declined to answer. Caused by the request.
 * - `too_long`: the request, with the output it asks for, does not fit the model. Caused by the request.
 * - `invalid`: the provider does not take the call as it is made. Caused by the request only where it is sure that the
 *   payer chose what is not taken; a status 400 alone may as well be our own mistake.
 * - `not_found`: the provider knows no such model, or nothing is at its configured address.
 * - `own_key`: the provider refuses our key, what the key may do, or our account's credit.
 * - `overloaded`: the provider has no room just now, or limits our rate; `retryAfterMs` where it said how long.
 * - `broken`: the provider could not be reached, failed, or its answer is cut, malformed or empty.
 * - `timeout`: no whole answer came in the time the call had, by our deadline or by the provider's.
 * - `aborted`: the caller's own signal ended the call.
 */
export type ModelErrorKind =
  | "refused"
  | "too_long"
  | "invalid"
  | "not_found"
  | "own_key"
  | "overloaded"
  | "broken"
  | "timeout"
  | "aborted";

const PERMANENT: ReadonlySet<ModelErrorKind> = new Set(["refused", "too_long", "invalid", "not_found", "own_key"]);
const CAUSED_BY_REQUEST: ReadonlySet<ModelErrorKind> = new Set(["refused", "too_long"]);

/** A model call that gave no usable answer. `message` is safe to log: no prompt, no key, no provider body. */
export class ModelError extends Error {
  override name = "ModelError";
  readonly kind: ModelErrorKind;
  /** True: the same call would fail again, so it is not retried. Follows from the kind. */
  readonly permanent: boolean;
  /** True: the request itself is to blame, so it is charged and counts against the identity's trust. */
  readonly causedByRequest: boolean;
  /** Milliseconds the provider asked to wait, in `retry-after`; never of a permanent failure. */
  readonly retryAfterMs: number | undefined;
  /** Tokens used although the call failed; undefined when nothing was counted or written. */
  readonly usage: Usage | undefined;
  constructor(message: string, about: {
    kind: ModelErrorKind;
    /** Only for `invalid`, where it is false when left out; every other kind says it itself. */
    causedByRequest?: boolean | undefined;
    retryAfterMs?: number | undefined;
    usage?: Usage | undefined;
    cause?: unknown;
  }) {
    super(message, { cause: about.cause });
    this.kind = about.kind;
    this.permanent = PERMANENT.has(about.kind);
    this.causedByRequest = CAUSED_BY_REQUEST.has(about.kind) ||
      (about.kind === "invalid" && about.causedByRequest === true);
    this.retryAfterMs = this.permanent ? undefined : about.retryAfterMs;
    this.usage = about.usage;
  }
}
