/** Thrown while reading a body that is longer than it may be. */
export class BodyTooLarge extends Error {
  override name = "BodyTooLarge";
  constructor(maxBytes: number) {
    super(`the body is longer than ${maxBytes} bytes`);
  }
}

/**
 * The same response whose body fails with {@link BodyTooLarge} once more than `maxBytes` bytes came, so that a broken
 * or hostile server cannot fill the memory. `url` and `redirected` are lost.
 */
export function boundBody(response: Response, maxBytes: number): Response {
  if (response.body === null) return response;
  let seen = 0;
  const bounded = response.body.pipeThrough(
    new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform(chunk, controller) {
        seen += chunk.byteLength;
        if (seen > maxBytes) throw new BodyTooLarge(maxBytes);
        controller.enqueue(chunk);
      },
    }),
  );
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
