/**
 * A model server that does nothing: OpenAI's chat completions, the same answer at once. With `stream` it waits for its
 * commander before each of its two frames.
 *
 *   upstream.ts       listens, and says on which port
 */

const ANSWER = JSON.stringify({
  id: "chatcmpl-bench",
  object: "chat.completion",
  created: 1,
  model: "bench",
  choices: [{
    index: 0,
    message: { role: "assistant", content: "A hold invoice is paid, and not settled until its preimage is shown." },
    finish_reason: "stop",
  }],
  usage: { prompt_tokens: 12, completion_tokens: 16, total_tokens: 28 },
});

/** A stream that has begun and has told nothing yet. */
export interface HeldStream {
  /** Writes the first frame. @returns when (`performance.now()`). */
  first(): number;
  end(): void;
}

export interface ModelServer {
  port: number;
  /** For LOCAL_MODEL_BASE_URL. */
  url: string;
  /** The next stream that is asked for. */
  next(): Promise<HeldStream>;
  stop(): Promise<void>;
}

export function startModelServer(): ModelServer {
  const waiting: ((stream: HeldStream) => void)[] = [];
  const arrived: HeldStream[] = [];
  const encoder = new TextEncoder();
  const frames = (...list: string[]) => encoder.encode(list.map((data) => `data: ${data}\n\n`).join(""));
  const chunk = (delta: unknown, finish: string | null = null) =>
    JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] });
  const last = frames(
    chunk({}, "stop"),
    JSON.stringify({ choices: [], usage: { prompt_tokens: 12, completion_tokens: 1, total_tokens: 13 } }),
    "[DONE]",
  );

  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { stream } = await request.json() as { stream?: boolean };
    if (!stream) return new Response(ANSWER, { headers: { "content-type": "application/json" } });
    let held: HeldStream | undefined;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        held = {
          first() {
            const at = performance.now();
            controller.enqueue(frames(chunk({ content: "A " })));
            return at;
          },
          end() {
            controller.enqueue(last);
            controller.close();
          },
        };
      },
    });
    if (held) {
      const taker = waiting.shift();
      if (taker) taker(held);
      else arrived.push(held);
    }
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  });
  const { port } = server.addr;
  return {
    port,
    url: `http://127.0.0.1:${port}/v1`,
    next() {
      const held = arrived.shift();
      return held ? Promise.resolve(held) : new Promise((resolve) => void waiting.push(resolve));
    },
    stop: () => server.shutdown(),
  };
}

if (import.meta.main) {
  const { port } = startModelServer();
  Deno.stdout.writeSync(new TextEncoder().encode(`${port}\n`));
}
