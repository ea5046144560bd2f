/**
 * A model server that does nothing: OpenAI's chat completions, the same answer at once.
 *
 *   upstream.ts       listens, and says on which port. A stream is one body of 40 deltas, made beforehand: what calls it
 *                     is measured, and has the processor for itself.
 *
 * Inside another program (`startModelServer`) a stream waits for its commander before each of its two frames.
 */

export const DELTAS = 40;

const encoder = new TextEncoder();
const JSON_TYPE = { headers: { "content-type": "application/json" } };
const STREAM_TYPE = { headers: { "content-type": "text/event-stream" } };
const USAGE = { prompt_tokens: 12, completion_tokens: 16, total_tokens: 28 };

const ANSWER = encoder.encode(JSON.stringify({
  id: "chatcmpl-bench",
  object: "chat.completion",
  created: 1,
  model: "bench",
  choices: [{
    index: 0,
    message: { role: "assistant", content: "A hold invoice is paid, and not settled until its preimage is shown." },
    finish_reason: "stop",
  }],
  usage: USAGE,
}));

const frames = (...list: string[]) => encoder.encode(list.map((data) => `data: ${data}\n\n`).join(""));
const frame = { id: "chatcmpl-bench", object: "chat.completion.chunk", created: 1, model: "bench" };
const chunk = (delta: unknown, finish: string | null = null) =>
  JSON.stringify({ ...frame, choices: [{ index: 0, delta, finish_reason: finish }] });
const LAST_FRAMES = frames(chunk({}, "stop"), JSON.stringify({ ...frame, choices: [], usage: USAGE }), "[DONE]");

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
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { stream } = await request.json() as { stream?: boolean };
    if (!stream) return new Response(ANSWER, JSON_TYPE);
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
            controller.enqueue(LAST_FRAMES);
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
    return new Response(body, STREAM_TYPE);
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
  const deltas = Array.from({ length: DELTAS }, () => chunk({ content: "invoice " }));
  const stream = new Uint8Array([...frames(...deltas), ...LAST_FRAMES]);
  Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: ({ port }) => void Deno.stdout.writeSync(encoder.encode(`${port}\n`)),
  }, async (request) => {
    const streamed = (await request.text()).includes('"stream":true');
    return streamed ? new Response(stream, STREAM_TYPE) : new Response(ANSWER, JSON_TYPE);
  });
}
