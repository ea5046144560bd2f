import { concatBytes } from "@noble/hashes/utils.js";
import type { Clock } from "@/lib/clock.ts";
import { errorBody } from "@/lib/http/errors.ts";
import { openAiErrorBody } from "@/lib/http/openai-errors.ts";
import type { SessionRequest } from "@/lib/sessions/requests.machine.ts";
import { finishReason, headOf, timmyBody, usageBody } from "./chat.body.ts";

/** Bytes a slow reader may be behind; beyond, it is taken for gone. */
const MAX_BEHIND = 512 * 1024;
/** Most bytes handed over at once. */
const MAX_HANDED = 64 * 1024;
/** A reader that takes nothing for so long, though there is something, is gone or means harm (ms). */
const STALL_MS = 30_000;
/** A line now and then keeps proxies from closing a quiet stream (ms). */
const KEEP_ALIVE_MS = 15_000;

const encoder = new TextEncoder();

/** One stream of chunks. Whatever ends it early calls `hangUp`, so that the work behind it ends too. */
export interface ChunkStream {
  body: ReadableStream<Uint8Array>;
  /** Begins although there is no text yet. */
  open(): void;
  /** A piece of text, as it comes. */
  piece(text: string): void;
  /** The rest, once the request has been settled; `ended` null: nobody knows how it ended. */
  end(
    ended: SessionRequest | null,
    about: { includeUsage: boolean; simulated: readonly string[]; requestId: string },
  ): void;
}

/**
 * Frames as OpenAI's clients read them: the role first, then the text, the finish reason, on request the usage with no
 * choices, `[DONE]`; the last one before it says what it cost. A frame is enqueued whole, so none is ever cut in the middle.
 */
export function chunkStream(request: SessionRequest, clock: Clock, hangUp: () => void): ChunkStream {
  let controller: ReadableStreamDefaultController<Uint8Array>;
  /** Frames that the reader has not asked for yet. */
  const waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  /** It has taken all there was and wants more. */
  let hungry = false;
  let over = false;
  let begun = false;
  let stopStall = () => {};
  let stopKeepAlive = () => {};
  const chunk = JSON.stringify(headOf(request, "chat.completion.chunk")).slice(0, -1);

  const close = () => {
    over = true;
    stopKeepAlive();
  };
  /** Nobody reads what would still come. */
  const leave = () => {
    close();
    stopStall();
    waiting.length = 0;
    hangUp();
  };
  const drop = () => {
    leave();
    controller.error(new Error("the reader fell too far behind"));
  };
  // No buffer but our own, and `pull` once for all that was handed over: so it is known what the reader has taken.
  const body = new ReadableStream<Uint8Array>({
    start: (given) => void (controller = given),
    pull() {
      hungry = true;
      hand();
    },
    cancel: leave,
  }, new ByteLengthQueuingStrategy({ highWaterMark: 0 }));

  /** Gives a reader that asks what there is, whole frames in one piece. */
  function hand(): void {
    if (!hungry) return;
    stopStall();
    if (waiting.length > 0) {
      let bytes = 0;
      let frames = 0;
      for (const { length } of waiting) {
        if (frames > 0 && bytes + length > MAX_HANDED) break;
        bytes += length;
        frames++;
      }
      waitingBytes -= bytes;
      hungry = false;
      controller.enqueue(concatBytes(...waiting.splice(0, frames)));
    }
    if (waiting.length > 0) stopStall = clock.after(STALL_MS, drop);
    else if (over) controller.close();
  }
  function send(text: string): void {
    if (over) return;
    const bytes = encoder.encode(text);
    waiting.push(bytes);
    waitingBytes += bytes.length;
    if (waitingBytes > MAX_BEHIND) return drop();
    if (waiting.length === 1) stopStall = clock.after(STALL_MS, drop);
    hand();
  }
  const frame = (data: string) => send(`data: ${data}\n\n`);
  const choice = (delta: string, finish: string | null = null, more = "") =>
    frame(
      `${chunk},"choices":[{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${
        finish === null ? "null" : `"${finish}"`
      }}]${more}}`,
    );
  function begin(): void {
    if (begun) return;
    begun = true;
    choice(`{"role":"assistant","content":"","refusal":null}`);
    keepAlive();
  }
  function keepAlive(): void {
    stopKeepAlive = clock.after(KEEP_ALIVE_MS, () => {
      send(": still here\n\n");
      if (!over) keepAlive();
    });
  }

  return {
    body,
    open: begin,
    piece(text) {
      begin();
      choice(`{"content":${JSON.stringify(text)}}`);
    },
    end(ended, { includeUsage, simulated, requestId }) {
      begin();
      if (ended === null || isBroken(ended)) {
        const message = ended?.errorMessage ?? ended?.reason ??
          `The answer broke off. Whether it was charged is told by GET /api/sessions/{id}/requests/${request.id}.`;
        const { error } = openAiErrorBody(503, errorBody("upstream_failed", message, requestId));
        const account = ended && ended.state !== "running"
          ? `,"timmy":${JSON.stringify(timmyBody(ended, simulated))}`
          : "";
        frame(`{"error":${JSON.stringify(error)}${account}}`);
      } else {
        const timmy = `,"timmy":${JSON.stringify(timmyBody(ended, simulated))}`;
        if (ended.state === "rejected") choice(JSON.stringify({ refusal: ended.reason }));
        if (ended.finish === "length") send(`: ${whyCut(ended)}\n\n`);
        // The account stands in one chunk alone: a client that adds up what its chunks say must not count it twice.
        choice("{}", finishReason(ended), includeUsage ? "" : timmy);
        if (includeUsage) frame(`${chunk},"choices":[],"usage":${JSON.stringify(usageBody(ended))}${timmy}}`);
        frame("[DONE]");
      }
      if (over) return;
      close();
      // A reader that has not taken everything yet gets it as it asks; one that asks no more loses it with the stall.
      if (hungry) controller.close();
    },
  };
}

/** Whether an answer that began on the wire must end with an error: it broke off, or nothing came of it. */
const isBroken = ({ state, failure }: SessionRequest): boolean =>
  state === "running" || state === "interrupted" || state === "failed" ||
  (state === "rejected" && failure !== null && failure.kind !== "refused");

/** Why an answer ends at its length: what the caller allowed, or what the balance could pay for. */
function whyCut({ usage, quote, balanceSats }: SessionRequest): string {
  const tokens = usage?.outputTokens ?? 0;
  return tokens < quote.outputTokens
    ? `the balance ran low: the answer was cut at ${tokens} of ${quote.outputTokens} tokens; ${balanceSats} sats are left, top up to get longer ones`
    : `the answer was cut at ${tokens} tokens, as asked`;
}
