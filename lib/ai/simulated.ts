import { type Clock, sleep } from "@/lib/clock.ts";
import { type Attempt, attempt, textListener } from "./attempt.ts";
import {
  type ChatInput,
  type EvaluateInput,
  type Model,
  ModelError,
  type Usage,
  type WorkInput,
  type WorkResult,
} from "./port.ts";
import { EVALUATION_TOOL_PROMPT, WORK_PROMPT } from "./prompts.ts";
import { createTokenCounter } from "./tokens.rules.ts";
import { createUsageMeter, estimatedUsage, firstCharacters } from "./usage.ts";

/**
 * What the simulated model refuses: a request that contains one of these, whatever the case, as whole words with any
 * blanks between them. A visible rule for trying things out, not a filter: nothing is behind it but this list.
 */
export const REFUSED_PHRASES: readonly string[] = [
  "build a bomb",
  "make a bomb",
  "pipe bomb",
  "nerve agent",
  "chemical weapon",
  "biological weapon",
  "write malware",
  "write ransomware",
  "phishing email",
  "phishing page",
  "stolen credit card",
  "kill someone",
  "hurt someone",
  "kill myself",
  "poison someone",
];

/** Longest delay of `[slow:MS]`, in milliseconds. */
export const SLOW_MAX_MS = 60_000;

const PHRASE_PATTERNS = REFUSED_PHRASES.map((phrase) => ({
  phrase,
  pattern: new RegExp(`(?<![\\p{L}\\p{N}])${phrase.replaceAll(" ", "\\s+")}(?![\\p{L}\\p{N}])`, "iu"),
}));

/** What a test makes the next call do. `none` lets that one call through. */
export type SimulatedFault =
  | { kind: "none" }
  /** `overloaded`, unless `as` names another. */
  | { kind: "passing"; retryAfterMs?: number; usage?: Usage; as?: "broken" | "timeout" }
  /** `invalid`, unless `as` names another. */
  | {
    kind: "permanent";
    causedByRequest?: boolean;
    usage?: Usage;
    as?: "refused" | "too_long" | "not_found" | "own_key";
  }
  /** Answers nothing until the caller aborts or the deadline passes. */
  | { kind: "hang" }
  /** Answers as usual, after so many milliseconds of the clock. */
  | { kind: "delay"; ms: number };

/** What a test makes the next call that writes text do. Pieces are words with the blanks behind them. */
export type SimulatedTextFault =
  | SimulatedFault
  /** Breaks off with a passing error after so many pieces, which it has used. */
  | { kind: "break"; afterPieces: number }
  /** Each piece (from 0) waits for its step; an abort ends the waiting. */
  | { kind: "steps"; step: (piece: number) => Promise<void> };

/** Faults of the next calls, first one first. The arrays are the caller's: push to them at any time. */
export interface SimulatedFaults {
  evaluate: SimulatedFault[];
  work: SimulatedTextFault[];
  chat?: SimulatedTextFault[];
}

export interface SimulatedModelOptions {
  clock: Clock;
  /** For tests; each call takes the first fault of its method. */
  faults?: SimulatedFaults;
}

/**
 * A model that asks nobody: the same request always gets the same answer, and every answer says that it is simulated.
 * It obeys the markers of wire.md §5 in a request: `[refuse]`, `[fail-eval]`, `[fail-work]` (permanent, blamed on the
 * provider) and `[slow:MS]` (delays the work alone, at most {@link SLOW_MAX_MS}); in a conversation the last message of
 * the user is the request.
 */
export function createSimulatedModel({ clock, faults }: SimulatedModelOptions): Model {
  const provider = "the simulated model";

  /** Writes the answer to `request`, word by word. */
  async function write(
    current: Attempt,
    method: "work" | "chat",
    input: Pick<ChatInput, "maxOutputTokens" | "onText" | "stop">,
    request: string,
    prompt: () => string,
  ): Promise<WorkResult> {
    const { signal } = current;
    const fault: SimulatedTextFault = faults?.[method]?.shift() ?? { kind: "none" };
    await suffer(clock, fault, signal);
    const delay = /\[slow:(\d{1,9})\]/.exec(request)?.[1];
    if (delay !== undefined) await sleep(clock, Math.min(Number(delay), SLOW_MAX_MS), signal);
    if (request.includes("[fail-work]")) throw markedFailure("[fail-work]");

    const whole = untilStop(answerTo(request), input.stop ?? []);
    const text = firstTokens(whole, input.maxOutputTokens);
    const meter = createUsageMeter(prompt);
    current.usage = meter.soFar;
    const tell = textListener(input.onText, signal);
    const pieces = text.match(/\S+\s*|\s+/gu) ?? [];
    const stopped = fault.kind === "steps" ? aborted(signal) : undefined;
    for (const [index, piece] of pieces.entries()) {
      if (fault.kind === "steps") await Promise.race([fault.step(index), stopped]);
      if (signal.aborted || (fault.kind === "break" && index >= fault.afterPieces)) break;
      meter.add(piece);
      tell(piece);
    }
    if (fault.kind === "break") {
      throw new ModelError(`${provider} broke off as a test asked`, { kind: "broken", usage: meter.soFar() });
    }
    return { text, usage: meter.total(), finish: text === whole ? "stop" : "length" };
  }

  return {
    name: "simulated",
    simulated: true,
    can: () => true, // its answers are the same each time, whatever is wished for

    evaluate(input: EvaluateInput) {
      return attempt(clock, provider, input, async ({ signal }) => {
        await suffer(clock, faults?.evaluate.shift() ?? { kind: "none" }, signal);
        if (input.request.includes("[fail-eval]")) throw markedFailure("[fail-eval]");
        const why = refusalOf(input.request);
        const reason = why === null
          ? "[simulated] Accepted: no refused phrase was found."
          : `[simulated] Refused: the request contains "${why}".`;
        return {
          accepted: why === null,
          reason,
          usage: estimatedUsage(EVALUATION_TOOL_PROMPT + input.request, reason),
        };
      });
    },

    work(input: WorkInput) {
      return attempt(clock, provider, input, (current) => {
        return write(current, "work", input, input.request, () => WORK_PROMPT + input.request);
      });
    },

    chat(input: ChatInput) {
      return attempt(clock, provider, input, (current) => {
        const asked = input.messages.findLast(({ role }) => role === "user")?.text ?? "";
        return write(current, "chat", input, asked, () => input.messages.map(({ text }) => text).join(""));
      });
    },
  };
}

/** The marker or the phrase for which a request is refused, or null. */
function refusalOf(request: string): string | null {
  if (request.includes("[refuse]")) return "[refuse]";
  return PHRASE_PATTERNS.find(({ pattern }) => pattern.test(request))?.phrase ?? null;
}

function answerTo(request: string): string {
  const quoted = firstCharacters(request.replace(/\s+/g, " ").trim(), 200);
  return `[simulated] No language model is configured, so nobody thought about this answer. ` +
    `The request was: "${quoted}". ` +
    `A real model would now do what it asks; this text only stands in its place, with a length that costs something. ` +
    `Set an API key or a local model to get real answers.`;
}

/** The text before the first of these sequences. */
function untilStop(text: string, stop: readonly string[]): string {
  const ends = stop.map((sequence) => sequence === "" ? -1 : text.indexOf(sequence)).filter((end) => end >= 0);
  return ends.length === 0 ? text : text.slice(0, Math.min(...ends));
}

/** Resolves when the signal aborts. */
function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** The longest beginning of a text that our own counter takes for at most `limit` tokens; characters stay whole. */
function firstTokens(text: string, limit: number): string {
  const counter = createTokenCounter();
  let end = 0;
  for (const character of text) {
    counter.add(character);
    if (counter.tokens > limit) break;
    end += character.length;
  }
  return text.slice(0, end);
}

function markedFailure(marker: string): ModelError {
  return new ModelError(`the simulated model failed because the request contains ${marker}`, {
    kind: "invalid",
  });
}

async function suffer(clock: Clock, fault: SimulatedTextFault, signal: AbortSignal): Promise<void> {
  if (fault.kind === "delay") await sleep(clock, fault.ms, signal);
  if (fault.kind === "hang") await new Promise<never>(() => {});
  if (fault.kind === "passing" || fault.kind === "permanent") {
    throw new ModelError(`the simulated model failed as a test asked (${fault.kind})`, {
      kind: fault.as ?? (fault.kind === "passing" ? "overloaded" : "invalid"),
      causedByRequest: fault.kind === "permanent" && fault.causedByRequest,
      retryAfterMs: fault.kind === "passing" ? fault.retryAfterMs : undefined,
      usage: fault.usage,
    });
  }
}
