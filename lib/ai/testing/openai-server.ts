import {
  type Answer,
  CHARACTERS_PER_TOKEN,
  cutAtStop,
  isStreamed,
  piecesOf,
  playTransportStep,
  type RecordedRequest,
  type ScriptedServer,
  scriptedTokens,
  startScriptedServer,
  type TransportStep,
} from "./scripted-server.ts";

export interface OpenAiUsage {
  prompt_tokens: number;
  completion_tokens: number;
}

/** How the server answers one request. `usage: null` leaves it out; in a stream it is left out unless given. */
export type OpenAiStep =
  | TransportStep
  | { kind: "verdict"; accepted: boolean; reason: string; usage?: OpenAiUsage | null }
  /** Text, cut at the request's `stop` and `max_tokens` as the real ones cut. */
  | { kind: "text"; text: string; finishReason?: string; usage?: OpenAiUsage | null }
  /** The beginning of the answer, then the connection ends. */
  | { kind: "cut-mid-stream"; text: string }
  /** In a stream: this text, then nothing until the client leaves. */
  | { kind: "stall-mid-stream"; text: string }
  /** A stream that ends in order, but without a finish reason and without `[DONE]`. */
  | { kind: "unfinished-stream"; text: string }
  /** In a stream: this text, then an error object. */
  | { kind: "stream-error"; text: string };

export interface OpenAiServer extends ScriptedServer {
  /** The next answers, first one first; push to it at any time. Empty: verdicts accept, work says "ok". */
  readonly script: OpenAiStep[];
}

export interface OpenAiServerOptions {
  /** `json_object`: refuses `json_schema` with the 500 that llama-cpp-python sends. */
  takes?: "both" | "json_object";
}

/** A local server that speaks OpenAI's chat completions, whole and streamed, as far as an adapter needs it. */
export function startOpenAiServer({ takes = "both" }: OpenAiServerOptions = {}): OpenAiServer {
  const script: OpenAiStep[] = [];
  const server = startScriptedServer(async (request, out) => {
    const body = JSON.parse(request.body) as RequestBody;
    if (request.method !== "POST" || request.path !== "/v1/chat/completions") {
      return await out.send(404, JSON_TYPE, JSON.stringify({ detail: "Not Found" }));
    }
    if (takes === "json_object" && body.response_format?.type === "json_schema") {
      const said = `1 validation error:\n  {'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), ` +
        `'msg': "Input should be 'text' or 'json_object'", 'input': 'json_schema'}`;
      return await out.send(500, JSON_TYPE, JSON.stringify(PROTOCOL.errorBody("internal_server_error", said)));
    }
    const step = script.shift() ??
      (body.response_format
        ? { kind: "verdict" as const, accepted: true, reason: "fine" }
        : { kind: "text" as const, text: "ok" });
    if (await playTransportStep(step, request, out, PROTOCOL)) return;
    await play(step as Exclude<OpenAiStep, TransportStep>, request, out, body);
  });
  return { ...server, script };
}

interface RequestBody {
  max_tokens: number;
  stop?: string[];
  response_format?: { type: string };
}

const JSON_TYPE = { "content-type": "application/json" };

const PROTOCOL = {
  errorBody: (type: string, message: string, code?: string) => ({
    error: { message, type, param: null, code: code ?? null },
  }),
  beginning: chunk({ role: "assistant" }, null),
};

async function play(
  step: Exclude<OpenAiStep, TransportStep>,
  request: RecordedRequest,
  out: Answer,
  body: RequestBody,
): Promise<void> {
  const whole = (text: string, finish: string, usage: OpenAiUsage | null | undefined) =>
    JSON.stringify({
      id: "chatcmpl-1",
      object: "chat.completion",
      choices: [{ index: 0, message: { role: "assistant", content: text }, finish_reason: finish }],
      ...(usage === null ? {} : {
        usage: usage ??
          { prompt_tokens: scriptedTokens(request.body), completion_tokens: scriptedTokens(text) },
      }),
    });
  switch (step.kind) {
    case "verdict": {
      const text = JSON.stringify({ accepted: step.accepted, reason: step.reason });
      return await out.send(200, JSON_TYPE, whole(text, "stop", step.usage));
    }
    case "text": {
      const wanted = cutAtStop(step.text, body.stop).text;
      const text = wanted.slice(0, body.max_tokens * CHARACTERS_PER_TOKEN);
      const finish = text.length < wanted.length ? "length" : step.finishReason ?? "stop";
      if (!isStreamed(request)) return await out.send(200, JSON_TYPE, whole(text, finish, step.usage));
      await out.begin(200, STREAM_HEAD);
      for (const frame of openAiFrames(text, step.usage ?? null, finish)) await out.write(frame);
      return await out.end();
    }
    case "cut-mid-stream":
      if (!isStreamed(request)) return await out.sendHalf(200, JSON_TYPE, whole(step.text, "stop", undefined));
      return await beginStream(out, step.text);
    case "stall-mid-stream":
      await beginStream(out, step.text);
      return await request.closedByClient;
    case "unfinished-stream":
      await beginStream(out, step.text);
      return await out.end();
    case "stream-error":
      await beginStream(out, step.text);
      await out.write(`data: ${JSON.stringify(PROTOCOL.errorBody("server_error", "scripted"))}\n\n`);
      return await out.end();
  }
}

async function beginStream(out: Answer, text: string): Promise<void> {
  await out.begin(200, STREAM_HEAD);
  for (const frame of beginningOf(text)) await out.write(frame);
}

const STREAM_HEAD = { "content-type": "text/event-stream" };

function beginningOf(text: string): string[] {
  return [chunk({ role: "assistant" }, null), ...piecesOf(text).map((piece) => chunk({ content: piece }, null))];
}

/** Every frame of a stream that says this text; the usage, if any, comes after the last choice. */
export function openAiFrames(text: string, usage: OpenAiUsage | null, finishReason = "stop"): string[] {
  return [
    ...beginningOf(text),
    chunk({}, finishReason),
    ...(usage === null ? [] : [`data: ${JSON.stringify({ choices: [], usage })}\n\n`]),
    "data: [DONE]\n\n",
  ];
}

function chunk(delta: { role?: string; content?: string }, finish: string | null): string {
  return `data: ${
    JSON.stringify({ object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: finish }] })
  }\n\n`;
}
