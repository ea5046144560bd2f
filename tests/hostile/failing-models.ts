/** A model server that bills its input and fails before any text, in every way a provider does. */

/** USD per 1,000 tokens, as the instance is told. */
export const LOCAL_RATES = { input: 0.01, output: 0.05 };
export const FAILING_MODELS = ["local/filter", "local/cut", "local/error", "local/abort"] as const;

export interface FailingModels {
  /** For LOCAL_MODEL_BASE_URL. */
  url: string;
  /** What was billed so far. */
  tokens(): { asked: number; inputTokens: number };
  stop(): Promise<void>;
}

/** A tokenizer's own count of English lies near this many characters a token. */
const CHARACTERS_PER_TOKEN = 5;

export function startFailingModels(): FailingModels {
  let asked = 0;
  let inputTokens = 0;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { model, messages, stream } = await request.json() as {
      model: string;
      messages: { content: string }[];
      stream?: boolean;
    };
    const characters = messages.reduce((sum, { content }) => sum + content.length, 0);
    const prompt_tokens = Math.ceil(characters / CHARACTERS_PER_TOKEN);
    asked++;
    inputTokens += prompt_tokens;
    const usage = { prompt_tokens, completion_tokens: 1, total_tokens: prompt_tokens + 1 };
    const reason = { filter: "content_filter", abort: "abort" }[model] ?? null;
    const error = { error: { message: "overloaded, and billed all the same", type: "server_error" } };
    if (!stream) {
      const message = { role: "assistant", content: "" };
      return Response.json({ choices: [{ index: 0, message, finish_reason: reason }], usage });
    }
    const frames = [
      { choices: [{ index: 0, delta: { role: "assistant" }, finish_reason: null }], usage },
      ...(model === "error" ? [error] : []),
      ...(reason === null ? [] : [{ choices: [{ index: 0, delta: {}, finish_reason: reason }], usage }]),
    ];
    const body = frames.map((frame) => `data: ${JSON.stringify(frame)}\n\n`).join("");
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}/v1`,
    tokens: () => ({ asked, inputTokens }),
    stop: () => server.shutdown(),
  };
}
