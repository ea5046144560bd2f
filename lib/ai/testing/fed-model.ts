/** Adapters that are fed bytes instead of a connection. */
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { assertConsistent } from "../model.contract.ts";
import { type Model, ModelError, type Usage } from "../port.ts";
import { countedTokens } from "../tokens.rules.ts";

/** What the fake upstream answers. */
export interface Fed {
  status: number;
  headers: Record<string, string>;
  /** The body, in the pieces in which it comes. */
  pieces: Uint8Array<ArrayBuffer>[];
}

export const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);

/** The answer that these frames make; `@STATUS name=value … BODY` as the first is an answer of that status. */
export function fedOfFrames(frames: readonly string[], cuts: readonly number[] = []): Fed {
  const [, status, headers = "", body = ""] = /^@(\d+) ((?:[\w-]+=\S+ )*)([^]*)$/.exec(frames[0] ?? "") ?? [];
  if (status === undefined) return { status: 200, headers: {}, pieces: cutAt(encode(frames.join("")), cuts) };
  const pairs = headers.trim().split(" ").filter((pair) => pair !== "").map((pair) => pair.split("="));
  return { status: Number(status), headers: Object.fromEntries(pairs), pieces: cutAt(encode(body), cuts) };
}

/** A fetch that answers every call with this. */
export function feeding({ status, headers, pieces }: Fed): typeof fetch {
  return () => Promise.resolve(new Response(ReadableStream.from(pieces), { status, headers }));
}

const PROMPT = "p".repeat(400);
/** What our own counter takes for the input of every conversation here. */
export const PROMPT_TOKENS = countedTokens(PROMPT);

function conversation(onText: (piece: string) => void, signal: AbortSignal) {
  const messages = [{ role: "user", text: PROMPT }] as const;
  return { model: "m", messages, maxOutputTokens: 1000, signal, deadlineMs: 30_000, onText };
}

/** The pieces that a listener is told who aborts at the first, and the failure. */
export async function abortAtFirstPiece(model: Model): Promise<{ told: string[]; error: unknown }> {
  const controller = new AbortController();
  const told: string[] = [];
  const onText = (piece: string) => {
    told.push(piece);
    controller.abort();
  };
  const error: unknown = await model.chat(conversation(onText, controller.signal)).catch((error) => error);
  return { told, error };
}

/** An outcome of chat-shapes.ts as {@link outcomeOf} words it: each `~` is counted, and a `~` before the usage marks it. */
export function inNumbers(outcome: string): string {
  const [end, text = "", usage = ""] = outcome.split("|");
  const [, input, before = "0", written] = /^(~|\d+)\/(?:(\d+)\+)?~([^]*)$/.exec(usage) ?? [];
  if (input === undefined) return outcome;
  const outputTokens = Math.max(1, Number(before) + countedTokens(written || text));
  return `${end}|${text}|~${input === "~" ? PROMPT_TOKENS : input}/${outputTokens}`;
}

/**
 * What one streamed conversation comes to: `END|TEXT|USAGE` with the usage in numbers, marked `~` when it is estimated.
 * @throws what is no ModelError.
 */
export async function outcomeOf(modelOver: (clock: ReturnType<typeof createFakeClock>) => Model): Promise<string> {
  const clock = createFakeClock();
  let told = "";
  const input = conversation((piece) => void (told += piece), new AbortController().signal);
  const inWords = (end: string, usage: Usage | undefined) =>
    `${end}|${told}|${usage ? `${usage.source === "api" ? "" : "~"}${usage.inputTokens}/${usage.outputTokens}` : "-"}`;
  try {
    const { finish, text, usage } = await modelOver(clock).chat(input);
    if (text !== told) throw new Error(`the answer is ${text}, but ${told} was told`);
    return inWords(finish, usage);
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    assertConsistent(error);
    // An error that nobody foresaw is a mistake of the adapter, though its callers see a ModelError.
    if (/failed \(\w*Error\)/.test(error.message)) return inWords(`unexpected: ${error.message}`, error.usage);
    return inWords(error.kind + (error.retryAfterMs === undefined ? "" : `+${error.retryAfterMs}`), error.usage);
  }
}

/** The bytes, cut at these positions. */
export function cutAt(bytes: Uint8Array<ArrayBuffer>, cuts: readonly number[]): Uint8Array<ArrayBuffer>[] {
  const edges = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return edges.slice(1).map((edge, i) => bytes.slice(edges[i], edge));
}
