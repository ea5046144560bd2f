import type { Clock } from "@/lib/clock.ts";
import { type Attempt, attempt, textListener } from "./attempt.ts";
import { boundBody, maxAnswerBytes } from "./bounded-body.ts";
import { type Broken, type ChatStreamEvent, createChatStream, type Finish } from "./chat-stream.machine.ts";
import { LOCAL_PREFIX } from "./model-name.ts";
import { saidError } from "./openai-error.rules.ts";
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
import { createUsageMeter } from "./usage.ts";
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
const VERDICT_FORMATS = [
  // OpenAI, vLLM, Ollama, llama.cpp's own server
  { type: "json_schema", json_schema: { name: "verdict", strict: true, schema: VERDICT_JSON_SCHEMA } },
  // llama-cpp-python, which refuses the other with a 500
  { type: "json_object", schema: VERDICT_JSON_SCHEMA },
] as const;

/** How a stream is asked for its usage; some servers (Mistral, older Azure) refuse a field they do not know. */
const STREAM_COUNTS = [{ stream_options: { include_usage: true } }, {}] as const;

/** Two spellings of one wish, of which a server may know only the second. */
interface Choice<S> {
  /** The one that has worked; undefined until then. */
  taken: S | undefined;
  readonly spellings: readonly [S, S];
  /** Whether a refusal seems to be about the first spelling. It may quote the request: the price is one more call. */
  readonly refuses: (posted: { status: number; text: string }) => boolean;
}

/** One answer, however it came. */
interface Answer {
  text: string;
  finish: Finish;
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
  const format: Choice<unknown> = { taken: undefined, spellings: VERDICT_FORMATS, refuses: refusesFormat };
  const counting: Choice<object> = { taken: undefined, spellings: STREAM_COUNTS, refuses: refusesStreamOptions };

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
        kind: "broken",
      });
    }
    if (response.ok) {
      return { ok: true, response: boundBody(response, maxAnswerBytes(maxOutputTokens), current.signal) };
    }
    const text = await boundBody(response, ERROR_BODY_MAX_BYTES, current.signal).text().catch(() => "");
    const { types, message } = saidError(parseJson(text) ?? text);
    const error = providerError({
      provider: PROVIDER,
      status: response.status,
      types,
      message,
      headers: response.headers,
      nowMs: clock.now(),
    });
    return { ok: false, status: response.status, text, error };
  }

  /**
   * Posts a call in the spelling that the server takes: while none has worked, the other one is tried once when the
   * server seems to refuse the first.
   */
  async function postSpelled<S>(
    current: Attempt,
    { taken, spellings: [first, second], refuses }: Choice<S>,
    body: (spelling: S) => Record<string, unknown>,
    maxOutputTokens: number,
  ): Promise<Posted & { spelling: S }> {
    const spelling = taken ?? first;
    const posted = await post(current, body(spelling), maxOutputTokens);
    if (posted.ok || taken !== undefined || !refuses(posted)) return { ...posted, spelling };
    return { ...await post(current, body(second), maxOutputTokens), spelling: second };
  }

  /** Reads the answer of a response, and tells its text. @throws {ModelError} with what was used, unless it is whole. */
  async function read(
    current: Attempt,
    response: Response,
    prompt: () => string,
    tell: (piece: string) => void = () => {},
  ): Promise<Answer> {
    const meter = createUsageMeter(prompt);
    current.usage = meter.soFar;
    const reader = response.body?.getReader();
    const stream = createChatStream();
    let finish: Finish | undefined;
    const take = (event: ChatStreamEvent) => {
      if (event.kind === "text") {
        meter.add(event.text);
        tell(event.text);
      } else if (event.kind === "hidden") meter.addHidden(event.text);
      else if (event.kind === "usage") meter.count(event);
      else if (event.kind === "broken") throw brokenAnswer(event, clock.now(), meter.soFar());
      else {
        finish = event.finish;
        current.answered(() => void reader?.cancel().catch(() => {}));
      }
    };
    while (reader && !stream.over) {
      // A connection that breaks is the end of what came; whether that is an answer, the machine knows.
      const { done, value } = await reader.read().catch(() => ({ done: true as const, value: undefined }));
      if (done) break;
      stream.push(value).forEach(take);
    }
    stream.end().forEach(take);
    if (finish === undefined) throw brokenAnswer({ why: "cut" }, clock.now(), meter.soFar());
    return { text: meter.text, finish, usage: meter.total() };
  }

  /** Asks for one answer, streamed when somebody listens. */
  async function complete(current: Attempt, input: ChatInput): Promise<WorkResult> {
    const { messages, temperature, topP, seed, stop = [] } = input;
    const asked = (rest: Record<string, unknown>) => ({
      model: localId(input.model),
      messages: messages.map(({ role, text }) => ({ role, content: text })),
      ...(temperature === undefined ? {} : { temperature }),
      ...(topP === undefined ? {} : { top_p: topP }),
      ...(seed === undefined ? {} : { seed }),
      ...(stop.length === 0 ? {} : { stop }),
      ...rest,
    });
    const posted = input.onText
      ? await postSpelled(current, counting, (rest) => asked({ stream: true, ...rest }), input.maxOutputTokens)
      : { ...await post(current, asked({ stream: false }), input.maxOutputTokens), spelling: undefined };
    if (!posted.ok) throw posted.error;
    counting.taken ??= posted.spelling;
    const prompt = () => messages.map(({ text }) => text).join("");
    const tell = textListener(input.onText, current.signal);
    const { text, usage, finish } = await read(current, posted.response, prompt, tell);
    if (finish === "refused") throw refusedByProvider(PROVIDER, usage);
    return { text, usage, finish };
  }

  return {
    name: "local",
    simulated: false,
    can: () => true, // llama.cpp, Ollama and vLLM take both

    evaluate(input: EvaluateInput) {
      return attempt(clock, PROVIDER, input, async (current) => {
        const posted = await postSpelled(current, format, (response_format) => ({
          model: localId(input.model),
          messages: [
            { role: "system", content: EVALUATION_JSON_PROMPT },
            { role: "user", content: encodeRequest(input.request) },
          ],
          temperature: 0,
          stream: false,
          response_format,
        }), EVALUATION_MAX_OUTPUT_TOKENS);
        if (!posted.ok) throw posted.error;
        const answer = await read(current, posted.response, () => EVALUATION_JSON_PROMPT + input.request);
        if (answer.finish === "refused") throw refusedByProvider(PROVIDER, answer.usage);
        const verdict = parseVerdictText(answer.text);
        if (!verdict) {
          throw new ModelError(`${PROVIDER} gave no verdict: its answer is not JSON of the schema it was given`, {
            kind: "broken",
            usage: answer.usage,
          });
        }
        // Two calls may run at once: what one has confirmed, the other must not take back.
        format.taken ??= posted.spelling;
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
    kind: "not_found",
  });
}

/** llama-cpp-python refuses `json_schema` with a 500 (seen: "Input should be 'text' or 'json_object'"). */
function refusesFormat(posted: { status: number; text: string }): boolean {
  return [400, 422, 500, 501].includes(posted.status) && /response_format|json_schema|json_object/.test(posted.text);
}

function refusesStreamOptions(posted: { status: number; text: string }): boolean {
  return [400, 422].includes(posted.status) && /stream_options|include_usage/.test(posted.text);
}

/** The error for an answer that is not whole. */
function brokenAnswer(broken: Broken | { why: "cut" }, nowMs: number, usage: Usage | undefined): ModelError {
  if (broken.why === "error") {
    return providerError({ provider: PROVIDER, status: broken.said.status, ...broken.said, nowMs, usage });
  }
  const what = {
    cut: "broke its answer off before it was complete",
    not_a_chunk: "sent a piece of an answer that is not a chat completion",
    finish_reason: "ended its answer for a reason that is no natural end",
  }[broken.why];
  return new ModelError(`${PROVIDER} ${what}`, { kind: "broken", usage });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
