/** A model server of the harness: it answers word by word with pauses, so that a stream has a middle to be killed in. */

export interface Upstream {
  /** For LOCAL_MODEL_BASE_URL. */
  url: string;
  /** Streams that it is still writing. */
  open(): number;
  stop(): Promise<void>;
}

const WORDS = "and so on, one word after another, until the whole answer stands there for whoever still reads it".split(
  " ",
);
const PAUSE_MS = 12;

/** OpenAI's streamed chat completions, nothing else. */
export function startUpstream(): Upstream {
  let open = 0;
  const encoder = new TextEncoder();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { messages } = await request.json() as { messages: { content: string }[] };
    const words = [`${messages.at(-1)?.content} `, ...WORDS.map((word) => `${word} `)];
    let timer: ReturnType<typeof setTimeout> | undefined;
    let writing = true;
    const end = () => {
      clearTimeout(timer);
      if (writing) open--;
      writing = false;
    };
    open++;
    request.signal.addEventListener("abort", end, { once: true });
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        const send = (data: string) => controller.enqueue(encoder.encode(`data: ${data}\n\n`));
        const frame = (data: unknown) => send(JSON.stringify(data));
        const next = (n: number) => {
          if (!writing) return;
          const word = words[n];
          if (word !== undefined) {
            frame({ choices: [{ index: 0, delta: { content: word }, finish_reason: null }] });
            timer = setTimeout(() => writeOn(n + 1), PAUSE_MS);
            return;
          }
          frame({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] });
          frame({ choices: [], usage: { prompt_tokens: 40, completion_tokens: words.length, total_tokens: 0 } });
          send("[DONE]");
          end();
          controller.close();
        };
        /** A reader that was killed closes the stream without a word. */
        const writeOn = (n: number) => {
          try {
            next(n);
          } catch (error) {
            end();
            if (!(error instanceof TypeError)) throw error;
          }
        };
        next(0);
      },
      cancel: end,
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}/v1`,
    open: () => open,
    stop: () => server.shutdown(),
  };
}
