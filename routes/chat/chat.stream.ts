import type { Clock } from "@/lib/clock.ts";
import { errorBody } from "@/lib/errors.ts";
import { openAiErrorBody } from "@/lib/openai-errors.ts";
import type { SessionRequest } from "@/lib/rules/session-requests.ts";
import { finishReason, headOf, timmyBody, usageBody } from "./chat.body.ts";

/** Bytes a slow reader may be behind; beyond, it is taken for gone. */
const MAX_BEHIND = 512 * 1024;
/** Bytes that wait in a healthy stream. */
const HIGH_WATER = 16 * 1024;
/** A reader that takes nothing for so long is gone, or means harm (ms). */
const STALL_MS = 30_000;
/** A line now and then keeps proxies from closing a quiet stream (ms). */
const KEEP_ALIVE_MS = 15_000;

const encoder = new TextEncoder();

/** One stream of chunks. Whatever ends it early aborts `gone`, so that the work behind it ends too. */
export interface ChunkStream {
  body: ReadableStream<Uint8Array>;
  /** A piece of text, as it comes. */
  piece(text: string): void;
  /** The rest, once the request has been settled. `text`: all of it, when no piece was told. */
  end(ended: SessionRequest, about: { includeUsage: boolean; simulated: readonly string[]; requestId: string }): void;
}

/**
 * Frames as OpenAI's clients read them: the role first, then the text, the finish reason with what it cost, on request
 * the usage with no choices, `[DONE]`. A frame is enqueued whole, so none is ever cut in the middle.
 */
export function chunkStream(request: SessionRequest, clock: Clock, gone: AbortController): ChunkStream {
  let controller: ReadableStreamDefaultController<Uint8Array>;
  let over = false;
  let begun = false;
  let stopTimer = () => {};
  let stopKeepAlive = () => {};
  const chunk = JSON.stringify(headOf(request, "chat.completion.chunk")).slice(0, -1);

  const close = () => {
    over = true;
    stopTimer();
    stopKeepAlive();
  };
  const drop = () => {
    if (over) return;
    close();
    gone.abort(new Error("the reader of the stream is gone"));
    controller.error(new Error("the reader fell too far behind"));
  };
  const body = new ReadableStream<Uint8Array>({
    start: (given) => void (controller = given),
    pull() {
      stopTimer(); // it took something
      stopTimer = () => {};
    },
    cancel() {
      close();
      gone.abort(new Error("the reader of the stream went away"));
    },
  }, new ByteLengthQueuingStrategy({ highWaterMark: HIGH_WATER }));

  function send(text: string): void {
    if (over) return;
    controller.enqueue(encoder.encode(text));
    const room = controller.desiredSize ?? 0;
    if (room < -MAX_BEHIND) return drop();
    if (room <= 0) {
      stopTimer();
      stopTimer = clock.after(STALL_MS, drop);
    }
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
    piece(text) {
      begin();
      choice(`{"content":${JSON.stringify(text)}}`);
    },
    end(ended, { includeUsage, simulated, requestId }) {
      begin();
      const timmy = `,"timmy":${JSON.stringify(timmyBody(ended, simulated))}`;
      if (ended.state === "interrupted" || ended.state === "failed") {
        const message = ended.errorMessage ?? "The answer broke off.";
        const { error } = openAiErrorBody(503, errorBody("upstream_failed", message, requestId));
        frame(`{"error":${JSON.stringify(error)}${timmy}}`);
      } else {
        if (ended.state === "rejected") choice(JSON.stringify({ refusal: ended.reason }));
        if (ended.finish === "length") send(`: the answer was cut at ${ended.usage?.outputTokens ?? 0} tokens\n\n`);
        choice("{}", finishReason(ended), timmy);
        if (includeUsage) frame(`${chunk},"choices":[],"usage":${JSON.stringify(usageBody(ended))}${timmy}}`);
        frame("[DONE]");
      }
      if (over) return;
      close();
      controller.close();
      // What is still queued must be taken, too: a reader that stalls now holds the connection, not the money.
    },
  };
}
