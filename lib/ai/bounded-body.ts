/** Thrown while reading a body that is longer than it may be. */
export class BodyTooLarge extends Error {
  override name = "BodyTooLarge";
  constructor(maxBytes: number) {
    super(`the body is longer than ${maxBytes} bytes`);
  }
}

/**
 * The same response whose body fails with {@link BodyTooLarge} once more than `maxBytes` bytes came, so that a broken
 * or hostile server cannot fill the memory. Nothing is read ahead. `url` and `redirected` are lost.
 * @param signal closes the connection when it aborts, whatever of the answer has come. The signal given to `fetch` is
 * not enough: Deno (2.9.6) forgets it once the Response is garbage, though its body is still being read, and a stream
 * that nobody hears would be generated, and charged, to its end.
 */
export function boundBody(response: Response, maxBytes: number, signal: AbortSignal): Response {
  if (response.body === null) return response;
  const read = readerOf(response.body);
  // A body that has failed or ended cannot be cancelled, and need not be.
  const close = () => void read.cancel().catch(() => {});
  if (signal.aborted) close();
  signal.addEventListener("abort", close, { once: true });
  let seen = 0;
  const bounded = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      const { done, value } = await read.next();
      signal.throwIfAborted();
      if (done || !value) {
        signal.removeEventListener("abort", close);
        return controller.close();
      }
      seen += value.byteLength;
      if (seen > maxBytes) {
        close();
        throw new BodyTooLarge(maxBytes);
      }
      controller.enqueue(value);
    },
    cancel: (reason) => read.cancel(reason),
  }, { highWaterMark: 0 });
  return new Response(bounded, {
    status: response.status,
    statusText: response.statusText,
    headers: response.headers,
  });
}

/** What a stream's reader is given to fill at a time (bytes): a frame of a streamed answer has a few hundred. */
const READ_BYTES = 8 * 1024;

/**
 * Reads into memory of ours, where the stream is the network's: any other reader holds 64 KiB for each answer that is waited for,
 * however little comes. A stream that somebody in this process made has its own pieces.
 */
function readerOf(body: ReadableStream<Uint8Array<ArrayBuffer>>) {
  try {
    const reader = body.getReader({ mode: "byob" });
    return { next: () => reader.read(new Uint8Array(READ_BYTES)), cancel: (reason?: unknown) => reader.cancel(reason) };
  } catch {
    const reader = body.getReader();
    return { next: () => reader.read(), cancel: (reason?: unknown) => reader.cancel(reason) };
  }
}

/**
 * Most bytes an answer of so many output tokens may have. A streamed token takes 200 to 300 bytes on the wire
 * (seen: llama.cpp, Anthropic); the rest is for headers of the stream, long tokens and escapes.
 */
export function maxAnswerBytes(maxOutputTokens: number): number {
  return 262_144 + maxOutputTokens * 1024;
}
