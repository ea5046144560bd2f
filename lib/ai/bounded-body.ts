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
  const reader = response.body.getReader();
  // A body that has failed or ended cannot be cancelled, and need not be.
  const close = () => void reader.cancel().catch(() => {});
  if (signal.aborted) close();
  signal.addEventListener("abort", close, { once: true });
  let seen = 0;
  const bounded = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      const { done, value } = await reader.read();
      signal.throwIfAborted();
      if (done) {
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
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
  return new Response(bounded, {
    status: response.status,
    statusText: response.statusText,
    headers: response.headers,
  });
}

/**
 * Most bytes an answer of so many output tokens may have. A streamed token takes 200 to 300 bytes on the wire
 * (seen: llama.cpp, Anthropic); the rest is for headers of the stream, long tokens and escapes.
 */
export function maxAnswerBytes(maxOutputTokens: number): number {
  return 262_144 + maxOutputTokens * 1024;
}
