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

export interface AnthropicUsage {
  input_tokens: number;
  output_tokens: number;
}

/** How the server answers one request. What a step leaves out has a plausible default. */
export type AnthropicStep =
  | TransportStep
  /** The forced tool call. `input` replaces the verdict, to send a malformed one. */
  | { kind: "verdict"; accepted: boolean; reason: string; input?: unknown; usage?: AnthropicUsage | null }
  /** These blocks as they are. */
  | { kind: "content"; content: unknown[]; stopReason?: string; usage?: AnthropicUsage | null }
  /** Text, cut at the request's `stop_sequences` and `max_tokens` as the real one cuts. */
  | { kind: "text"; text: string; stopReason?: string; usage?: AnthropicUsage | null }
  /** The beginning of the answer, then the connection ends. In a stream: the start, this text, the end. */
  | { kind: "cut-mid-stream"; text: string; inputTokens?: number }
  /** In a stream: the start, this text, then nothing until the client leaves. */
  | { kind: "stall-mid-stream"; text: string; inputTokens?: number }
  /** A stream that ends in order, but without a stop reason. */
  | { kind: "unfinished-stream"; text: string; inputTokens?: number }
  /** In a stream: the start, this text, then an `error` event. */
  | { kind: "stream-error"; text: string; type: string; inputTokens?: number };

export interface AnthropicServer extends ScriptedServer {
  /** The next answers, first one first; push to it at any time. Empty: verdicts accept, work says "ok". */
  readonly script: AnthropicStep[];
}

/** A local server that speaks Anthropic's Messages API, whole and streamed, as far as an adapter needs it. */
export function startAnthropicServer(): AnthropicServer {
  const script: AnthropicStep[] = [];
  const server = startScriptedServer(async (request, out) => {
    const body = JSON.parse(request.body) as RequestBody;
    if (request.method !== "POST" || request.path !== "/v1/messages") {
      return await out.send(404, JSON_TYPE, JSON.stringify(PROTOCOL.errorBody("not_found_error", "no such path")));
    }
    const step = script.shift() ??
      (body.tool_choice
        ? { kind: "verdict" as const, accepted: true, reason: "fine" }
        : { kind: "text" as const, text: "ok" });
    if (await playTransportStep(step, request, out, PROTOCOL)) return;
    await play(step as Exclude<AnthropicStep, TransportStep>, request, out, body);
  });
  return { ...server, script };
}

interface RequestBody {
  max_tokens: number;
  stop_sequences?: string[];
  tool_choice?: { name: string };
}

const JSON_TYPE = { "content-type": "application/json" };

const PROTOCOL = {
  errorBody: (type: string, message: string) => ({ type: "error", error: { type, message } }),
  beginning: event({ type: "message_start", message: message([], null, { input_tokens: 25, output_tokens: 1 }) }),
};

async function play(
  step: Exclude<AnthropicStep, TransportStep>,
  request: RecordedRequest,
  out: Answer,
  body: RequestBody,
): Promise<void> {
  const counted = { input_tokens: scriptedTokens(request.body), output_tokens: 20 };
  switch (step.kind) {
    case "verdict": {
      const input = step.input ?? { accepted: step.accepted, reason: step.reason };
      const content = [{ type: "tool_use", id: "toolu_1", name: body.tool_choice?.name ?? "none", input }];
      return await whole(out, content, "tool_use", step.usage === undefined ? counted : step.usage);
    }
    case "content":
      return await whole(out, step.content, step.stopReason ?? "end_turn", step.usage ?? counted);
    case "text": {
      const { text: wanted, stoppedBy } = cutAtStop(step.text, body.stop_sequences);
      const text = wanted.slice(0, body.max_tokens * CHARACTERS_PER_TOKEN);
      const stop = text.length < wanted.length
        ? "max_tokens"
        : stoppedBy === null
        ? step.stopReason ?? "end_turn"
        : "stop_sequence";
      const usage = step.usage === undefined ? { ...counted, output_tokens: scriptedTokens(text) } : step.usage;
      if (!isStreamed(request)) return await whole(out, [{ type: "text", text }], stop, usage);
      await out.begin(200, STREAM_HEAD);
      for (const frame of anthropicFrames(text, usage, stop)) await out.write(frame);
      return await out.end();
    }
    case "cut-mid-stream":
      if (!isStreamed(request)) {
        return await out.sendHalf(
          200,
          JSON_TYPE,
          JSON.stringify(message([{ type: "text", text: step.text }], "end_turn", counted)),
        );
      }
      return await beginStream(out, { input_tokens: step.inputTokens ?? 25, output_tokens: 1 }, step.text);
    case "stall-mid-stream":
      await beginStream(out, { input_tokens: step.inputTokens ?? 25, output_tokens: 1 }, step.text);
      return await request.closedByClient;
    case "unfinished-stream":
      await beginStream(out, { input_tokens: step.inputTokens ?? 25, output_tokens: 1 }, step.text);
      return await out.end();
    case "stream-error":
      await beginStream(out, { input_tokens: step.inputTokens ?? 25, output_tokens: 1 }, step.text);
      await out.write(event(PROTOCOL.errorBody(step.type, "scripted")));
      return await out.end();
  }
}

function message(content: unknown[], stopReason: string | null, usage: AnthropicUsage | null) {
  return {
    id: "msg_1",
    type: "message",
    role: "assistant",
    model: "scripted",
    content,
    stop_reason: stopReason,
    stop_sequence: null,
    ...(usage === null ? {} : { usage }),
  };
}

async function whole(out: Answer, content: unknown[], stopReason: string, usage: AnthropicUsage | null) {
  await out.send(200, { ...JSON_TYPE, "request-id": "req_1" }, JSON.stringify(message(content, stopReason, usage)));
}

async function beginStream(out: Answer, usage: AnthropicUsage | null, text: string): Promise<void> {
  await out.begin(200, STREAM_HEAD);
  for (const frame of beginningOf(usage, text)) await out.write(frame);
}

const STREAM_HEAD = { "content-type": "text/event-stream", "request-id": "req_1" };

function beginningOf(usage: AnthropicUsage | null, text: string): string[] {
  return [
    event({ type: "message_start", message: message([], null, usage) }),
    event({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }),
    event({ type: "ping" }),
    ...piecesOf(text).map((piece) =>
      event({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: piece } })
    ),
  ];
}

/** Every frame of a stream that says this text: the input is counted in the first, the output in the last but one. */
export function anthropicFrames(text: string, usage: AnthropicUsage | null, stopReason = "end_turn"): string[] {
  return [
    ...beginningOf(usage === null ? null : { ...usage, output_tokens: 1 }, text),
    event({ type: "content_block_stop", index: 0 }),
    event({
      type: "message_delta",
      delta: { stop_reason: stopReason, stop_sequence: null },
      ...(usage === null ? {} : { usage: { output_tokens: usage.output_tokens } }),
    }),
    event({ type: "message_stop" }),
  ];
}

function event(data: { type: string; [field: string]: unknown }): string {
  return `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
}
