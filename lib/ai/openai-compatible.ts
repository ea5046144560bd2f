import { z } from "zod";
import type { Clock } from "@/lib/clock.ts";
import { type Attempt, attempt, textListener } from "./attempt.ts";
import { boundBody, maxAnswerBytes } from "./bounded-body.ts";
import { LOCAL_PREFIX } from "./model-name.ts";
import {
  type ChatInput,
  type ChatMessage,
  type EvaluateInput,
  type Model,
  ModelError,
  type Usage,
  type WorkInput,
  type WorkResult,
} from "./port.ts";
import { encodeRequest, EVALUATION_JSON_PROMPT, WORK_PROMPT } from "./prompts.ts";
import { providerError, refusedByProvider, withText } from "./provider-error.ts";
import { eventData } from "./server-sent-events.ts";
import { createUsageMeter, estimatedUsage } from "./usage.ts";
import { EVALUATION_MAX_OUTPUT_TOKENS, parseVerdictText, VERDICT_JSON_SCHEMA } from "./verdict.ts";

export interface OpenAiCompatibleModelOptions {
  /** With the version, e.g. `http://127.0.0.1:11434/v1`; `/chat/completions` is added. */
  baseURL: string;
  /** Sent as `Authorization: Bearer …`; most local servers want none. */
  apiKey?: string | undefined;
  clock: Clock;
  /** For tests and proxies; the platform's when left out. */
  fetch?: typeof fetch;
}

const PROVIDER = "the local model server";
const ERROR_BODY_MAX_BYTES = 65_536;

/** The two ways servers spell "answer with JSON of this schema". */
type Format = "json_schema" | "json_object";

const RESPONSE_FORMATS: Record<Format, unknown> = {
  // OpenAI, vLLM, Ollama, llama.cpp's own server
  json_schema: { type: "json_schema", json_schema: { name: "verdict", strict: true, schema: VERDICT_JSON_SCHEMA } },
  // llama-cpp-python, which refuses the other with a 500
  json_object: { type: "json_object", schema: VERDICT_JSON_SCHEMA },
};

const usageShape = z.object({ prompt_tokens: z.int().nonnegative(), completion_tokens: z.int().nonnegative() });

const answerShape = z.object({
  choices: z.array(z.object({
    message: z.object({ content: z.string().nullish() }),
    finish_reason: z.string().nullish(),
  })).min(1),
  usage: z.unknown().optional(),
});

const chunkShape = z.object({
  choices: z.array(z.object({
    delta: z.object({ content: z.string().nullish() }).nullish(),
    finish_reason: z.string().nullish(),
  })).optional(),
  usage: z.unknown().optional(),
  error: z.unknown().optional(),
});

const errorShape = z.object({
  error: z.object({
    message: z.string().nullish(),
    type: z.string().nullish(),
    code: z.union([z.string(), z.number()]).nullish(),
  }),
});

/** One answer, however it came. */
interface Answer {
  text: string;
  finishReason: string;
  usage: Usage;
}

/**
 * A model behind the OpenAI chat completions protocol: llama.cpp, Ollama, vLLM. The name's `local/` is taken off before
 * it is sent. Where the server reports no usage (most do not in a stream) the characters are counted: never zero.
 * @throws {Error} when `baseURL` is not an http(s) address.
 */
export function createOpenAiCompatibleModel(options: OpenAiCompatibleModelOptions): Model {
  const { clock, apiKey } = options;
  const endpoint = endpointOf(options.baseURL);
  const call = options.fetch ?? fetch;
  const memory: FormatMemory = { format: "json_schema", confirmed: false };

  const headers: Record<string, string> = { "content-type": "application/json" };
  if (apiKey !== undefined && apiKey !== "") headers["authorization"] = `Bearer ${apiKey}`;

  /** Posts a call. @returns the response of a success, or the refusal with what its body says. */
  async function post(current: Attempt, body: Record<string, unknown>, maxOutputTokens: number): Promise<Posted> {
    let response: Response;
    try {
      response = await call(endpoint, {
        method: "POST",
        headers,
        body: JSON.stringify({ ...body, max_tokens: maxOutputTokens }),
        signal: current.signal,
        // A redirect would carry the key and the prompt to an address nobody configured.
        redirect: "manual",
      });
    } catch {
      throw new ModelError(`${PROVIDER} could not be reached: see that it runs at LOCAL_MODEL_BASE_URL`, {
        permanent: false,
      });
    }
    if (response.ok) {
      return { ok: true, response: boundBody(response, maxAnswerBytes(maxOutputTokens), current.signal) };
    }
    const text = await boundBody(response, ERROR_BODY_MAX_BYTES, current.signal).text().catch(() => "");
    const said = errorShape.safeParse(parseJson(text));
    const { message, type, code } = said.success ? said.data.error : { message: text, type: null, code: null };
    const error = providerError({
      provider: PROVIDER,
      status: response.status,
      type: typeof code === "string" ? code : type,
      message,
      headers: response.headers,
      nowMs: clock.now(),
    });
    return { ok: false, status: response.status, text, error };
  }

  async function postOrThrow(current: Attempt, body: Record<string, unknown>, maxOutputTokens: number) {
    const posted = await post(current, body, maxOutputTokens);
    if (!posted.ok) throw posted.error;
    return posted.response;
  }

  /** Asks for one answer, streamed when somebody listens. */
  async function complete(current: Attempt, input: ChatInput): Promise<WorkResult> {
    const { messages, temperature, stop = [] } = input;
    const streamed = input.onText !== undefined;
    const prompt = () => messages.map(({ text }) => text).join("");
    const response = await postOrThrow(current, {
      model: localId(input.model),
      messages: messages.map(({ role, text }) => ({ role, content: text })),
      ...(temperature === undefined ? {} : { temperature }),
      ...(stop.length === 0 ? {} : { stop }),
      stream: streamed,
      ...(streamed ? { stream_options: { include_usage: true } } : {}),
    }, input.maxOutputTokens);
    const { text, usage, finishReason } = streamed
      ? await readStream(current, response, prompt, textListener(input.onText, current.signal))
      : await readAnswer(current, response, prompt);
    if (finishReason === "content_filter") throw refusedByProvider(PROVIDER, usage);
    return { text, usage, finish: finishReason === "length" ? "length" : "stop" };
  }

  return {
    name: "local",
    simulated: false,

    evaluate(input: EvaluateInput) {
      return attempt(clock, PROVIDER, input, async (current) => {
        const asked = (format: Format) => ({
          model: localId(input.model),
          messages: [
            { role: "system", content: EVALUATION_JSON_PROMPT },
            { role: "user", content: encodeRequest(input.request) },
          ],
          temperature: 0,
          stream: false,
          response_format: RESPONSE_FORMATS[format],
        });
        const first = memory.format;
        let posted = await post(current, asked(first), EVALUATION_MAX_OUTPUT_TOKENS);
        let used = first;
        if (!posted.ok && first === "json_schema" && !memory.confirmed && refusesFormat(posted)) {
          used = "json_object";
          posted = await post(current, asked(used), EVALUATION_MAX_OUTPUT_TOKENS);
        }
        if (!posted.ok) throw posted.error;
        const answer = await readAnswer(current, posted.response, () => EVALUATION_JSON_PROMPT + input.request);
        current.usage = () => answer.usage;
        if (answer.finishReason === "content_filter") throw refusedByProvider(PROVIDER, answer.usage);
        const verdict = parseVerdictText(answer.text);
        if (!verdict) {
          throw new ModelError(`${PROVIDER} gave no verdict: its answer is not JSON of the schema it was given`, {
            permanent: false,
            usage: answer.usage,
          });
        }
        // Two calls may run at once: what one has confirmed, the other must not take back.
        if (!memory.confirmed) Object.assign(memory, { format: used, confirmed: true });
        return { ...verdict, usage: answer.usage };
      });
    },

    work(input: WorkInput) {
      const messages: ChatMessage[] = [{ role: "system", text: WORK_PROMPT }, { role: "user", text: input.request }];
      return attempt(
        clock,
        PROVIDER,
        input,
        async (current) => withText(PROVIDER, await complete(current, { ...input, messages })),
      );
    },

    chat(input: ChatInput) {
      return attempt(clock, PROVIDER, input, (current) => complete(current, input));
    },
  };
}

type Posted =
  | { ok: true; response: Response }
  | { ok: false; status: number; text: string; error: ModelError };

/** Which format the server takes; `confirmed` once a verdict came by it. */
interface FormatMemory {
  format: Format;
  confirmed: boolean;
}

function endpointOf(baseURL: string): string {
  const parsed = URL.parse(baseURL);
  if (!parsed || !/^https?:$/.test(parsed.protocol)) {
    throw new Error(
      "the local model's base URL is not an http(s) address: set LOCAL_MODEL_BASE_URL, e.g. to http://127.0.0.1:11434/v1",
    );
  }
  if (parsed.username !== "" || parsed.password !== "") {
    throw new Error("the local model's base URL (LOCAL_MODEL_BASE_URL) must not hold a user name or password");
  }
  parsed.pathname = `${parsed.pathname.replace(/\/+$/, "")}/chat/completions`;
  return parsed.href;
}

function localId(model: string): string {
  const id = model.startsWith(LOCAL_PREFIX) ? model.slice(LOCAL_PREFIX.length) : model;
  if (id.trim() !== "") return id;
  throw new ModelError(`the model's name has nothing after ${LOCAL_PREFIX}: name the model of the local server`, {
    permanent: true,
  });
}

/**
 * True when the server seems not to know `json_schema`. llama-cpp-python says so with a 500 (seen: "Input should be
 * 'text' or 'json_object'"). Bodies may quote the request, so this may be wrong; the price is one more call.
 */
function refusesFormat(posted: { status: number; text: string }): boolean {
  return [400, 422, 500, 501].includes(posted.status) && /response_format|json_schema|json_object/.test(posted.text);
}

/** A whole answer. Usage that is absent, malformed or all zeros is counted from the characters instead. */
async function readAnswer(current: Attempt, response: Response, prompt: () => string): Promise<Answer> {
  const parsed = answerShape.safeParse(parseJson(await bodyText(current, response)));
  if (!parsed.success) {
    throw new ModelError(`${PROVIDER} sent an answer that is not a chat completion`, {
      permanent: false,
      usage: estimatedUsage(prompt(), ""),
    });
  }
  const [choice] = parsed.data.choices;
  const text = choice?.message.content ?? "";
  return {
    text,
    finishReason: choice?.finish_reason ?? "stop",
    usage: usageOf(parsed.data.usage, text) ?? estimatedUsage(prompt(), text),
  };
}

/** A streamed answer. One that ends without a finish reason and without `[DONE]` was cut. */
async function readStream(
  current: Attempt,
  response: Response,
  prompt: () => string,
  tell: (piece: string) => void,
): Promise<Answer> {
  const meter = createUsageMeter(prompt);
  current.usage = meter.soFar;
  let finishReason: string | undefined;
  const broken = (what: string) => new ModelError(`${PROVIDER} ${what}`, { permanent: false, usage: meter.soFar() });
  if (!response.body) throw broken("sent no body");
  try {
    for await (const data of eventData(response.body)) {
      if (data === "[DONE]") {
        finishReason ??= "stop";
        break;
      }
      const chunk = chunkShape.safeParse(parseJson(data));
      if (!chunk.success) throw broken("sent a piece of a stream that is not a chat completion chunk");
      if (chunk.data.error !== undefined && chunk.data.error !== null) throw broken("reported an error in its stream");
      const choice = chunk.data.choices?.[0];
      finishReason = choice?.finish_reason ?? finishReason;
      const piece = choice?.delta?.content ?? "";
      meter.add(piece);
      const counted = usageOf(chunk.data.usage, meter.text);
      if (counted) meter.count(counted);
      tell(piece);
    }
  } catch (error) {
    if (error instanceof ModelError) throw error;
    if (finishReason === undefined) throw broken("broke its stream off"); // else all was said
  }
  if (finishReason === undefined) throw broken("ended its stream before the answer was complete");
  return { text: meter.text, finishReason, usage: meter.total() };
}

async function bodyText(current: Attempt, response: Response): Promise<string> {
  try {
    return await response.text();
  } catch {
    throw new ModelError(`${PROVIDER} broke its answer off`, { permanent: false, usage: current.usage() });
  }
}

/** Undefined when it is no usage, or one that cannot be: no tokens at all, or none for a text that is there. */
function usageOf(value: unknown, text: string): Usage | undefined {
  const parsed = usageShape.safeParse(value);
  if (!parsed.success) return undefined;
  const { prompt_tokens, completion_tokens } = parsed.data;
  if (prompt_tokens === 0 || (completion_tokens === 0 && text !== "")) return undefined;
  return { inputTokens: prompt_tokens, outputTokens: completion_tokens, source: "api" };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
