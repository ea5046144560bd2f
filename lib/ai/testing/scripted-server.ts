/**
 * A small HTTP/1.1 server on a bare socket, one request per connection. Bare, because a server that must cut a
 * connection before the first header, or leave an answer half sent, cannot be written on `Deno.serve`.
 */

/** A request as it came in. */
export interface RecordedRequest {
  method: string;
  path: string;
  headers: Headers;
  body: string;
  /** Resolves when the client has closed the connection: at once after an abort, else after the answer. */
  closedByClient: Promise<void>;
}

/** The answer's side of the connection. */
export interface Answer {
  /** A whole answer. */
  send(status: number, headers: Record<string, string>, body: string): Promise<void>;
  /** The head of a chunked answer; then {@link Answer.write} and {@link Answer.end}. */
  begin(status: number, headers: Record<string, string>): Promise<void>;
  write(chunk: string): Promise<void>;
  end(): Promise<void>;
  /** Promises a body of this length and sends only its first half. */
  sendHalf(status: number, headers: Record<string, string>, body: string): Promise<void>;
}

export interface ScriptedServer {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  /** Every request so far, oldest first. */
  readonly requests: RecordedRequest[];
  /** Resolves with the n-th request (from 1) as soon as it has come in whole. */
  received(n: number): Promise<RecordedRequest>;
  /** Cuts what is open and waits until all is gone. */
  close(): Promise<void>;
}

/** Starts a server that answers with `answer`; whatever it leaves unsent when it returns is cut. */
export function startScriptedServer(
  answer: (request: RecordedRequest, out: Answer) => Promise<void>,
): ScriptedServer {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const requests: RecordedRequest[] = [];
  let waiting: { n: number; resolve: (request: RecordedRequest) => void }[] = [];
  const open = new Map<Deno.TcpConn, Promise<void>>();

  const serve = async (connection: Deno.TcpConn): Promise<void> => {
    const closed = Promise.withResolvers<void>();
    let watching: Promise<void> | undefined;
    try {
      const request = await readRequest(connection, closed.promise);
      if (!request) return;
      watching = watchForClose(connection).then(closed.resolve);
      requests.push(request);
      waiting = waiting.filter(({ n, resolve }) => n !== requests.length || (resolve(request), false));
      await answer(request, answerOn(connection));
    } catch (error) {
      // The client may leave at any time; whatever else went wrong is a mistake of the script.
      if (!isGone(error)) throw error;
    } finally {
      close(connection);
      await watching;
      open.delete(connection);
    }
  };

  const accepting = (async () => {
    for await (const connection of listener) open.set(connection, serve(connection));
  })();

  return {
    url: `http://127.0.0.1:${listener.addr.port}`,
    requests,
    received(n) {
      const request = requests[n - 1];
      if (request) return Promise.resolve(request);
      return new Promise((resolve) => waiting.push({ n, resolve }));
    },
    async close() {
      listener.close();
      await accepting;
      const served = [...open.values()];
      for (const connection of open.keys()) close(connection);
      await Promise.all(served);
    },
  };
}

async function readRequest(
  connection: Deno.TcpConn,
  closedByClient: Promise<void>,
): Promise<RecordedRequest | null> {
  const decoder = new TextDecoder();
  let bytes = new Uint8Array(0);
  for (;;) {
    const text = decoder.decode(bytes);
    const headEnd = text.indexOf("\r\n\r\n");
    if (headEnd >= 0) {
      const [first = "", ...lines] = text.slice(0, headEnd).split("\r\n");
      const headers = new Headers(
        lines.map((line): [string, string] => [
          line.slice(0, line.indexOf(":")),
          line.slice(line.indexOf(":") + 1).trim(),
        ]),
      );
      // The head is ASCII, so its length in characters is its length in bytes.
      const body = bytes.subarray(headEnd + 4);
      if (body.length >= Number(headers.get("content-length") ?? 0)) {
        const [method = "", path = ""] = first.split(" ");
        return { method, path, headers, body: decoder.decode(body), closedByClient };
      }
    }
    const chunk = new Uint8Array(65_536);
    const read = await connection.read(chunk);
    if (read === null) return null;
    const joined = new Uint8Array(bytes.length + read);
    joined.set(bytes);
    joined.set(chunk.subarray(0, read), bytes.length);
    bytes = joined;
  }
}

/** Nothing more is expected from the client, so a read ends when it leaves (or when we close). */
async function watchForClose(connection: Deno.TcpConn): Promise<void> {
  const nothing = new Uint8Array(1024);
  try {
    while (await connection.read(nothing) !== null);
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}

function answerOn(connection: Deno.TcpConn): Answer {
  const encoder = new TextEncoder();
  const put = async (text: string) => {
    const bytes = encoder.encode(text);
    for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
  };
  const head = (status: number, headers: Record<string, string>) =>
    `HTTP/1.1 ${status} Scripted\r\nconnection: close\r\n` +
    Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("") + "\r\n";
  const sized = (headers: Record<string, string>, body: string) => ({
    ...headers,
    "content-length": String(encoder.encode(body).length),
  });
  return {
    send: (status, headers, body) => put(head(status, sized(headers, body)) + body),
    sendHalf: (status, headers, body) =>
      put(head(status, sized(headers, body)) + body.slice(0, Math.floor(body.length / 2))),
    begin: (status, headers) => put(head(status, { ...headers, "transfer-encoding": "chunked" })),
    write: (chunk) => put(`${encoder.encode(chunk).length.toString(16)}\r\n${chunk}\r\n`),
    end: () => put("0\r\n\r\n"),
  };
}

function isGone(error: unknown): boolean {
  return error instanceof Deno.errors.BadResource || error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.Interrupted ||
    error instanceof Deno.errors.NotConnected;
}

function close(connection: Deno.TcpConn): void {
  try {
    connection.close();
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}

/** Ways to answer that have nothing to do with a protocol. */
export type TransportStep =
  /** A status with the protocol's error body. */
  | { kind: "error"; status: number; type?: string; code?: string; message?: string; headers?: Record<string, string> }
  | { kind: "redirect"; location: string }
  /** 200 with exactly this body. */
  | { kind: "raw"; body: string; contentType?: string }
  /** The connection ends before the first byte of the answer. */
  | { kind: "cut-before-headers" }
  /** No byte of an answer until the client leaves. */
  | { kind: "hang" }
  /** The head and the beginning of an answer, then nothing until the client leaves. */
  | { kind: "slow-body" }
  /** A success whose body has so many bytes of nothing in it. */
  | { kind: "endless"; bytes: number }
  /**
   * These pieces of a stream, one write each, `before` awaited before each (from 0). Then the stream ends in order, the
   * connection ends, or nothing more comes until the client leaves.
   */
  | {
    kind: "frames";
    frames: readonly string[];
    before?: (index: number) => Promise<void>;
    then: "end" | "cut" | "stall";
  };

/** Plays a step that needs no protocol. @returns false when the step is another one. */
export async function playTransportStep(
  step: { kind: string } | TransportStep,
  request: RecordedRequest,
  out: Answer,
  protocol: { errorBody(type: string, message: string, code?: string): unknown; beginning: string },
): Promise<boolean> {
  if (!isTransportStep(step)) return false;
  switch (step.kind) {
    case "error": {
      const body = protocol.errorBody(step.type ?? "api_error", step.message ?? "scripted", step.code);
      await out.send(step.status, { "content-type": "application/json", ...step.headers }, JSON.stringify(body));
      break;
    }
    case "redirect":
      await out.send(307, { location: step.location }, "");
      break;
    case "raw":
      await out.send(200, { "content-type": step.contentType ?? "application/json" }, step.body);
      break;
    case "cut-before-headers":
      break;
    case "hang":
      await request.closedByClient;
      break;
    case "slow-body":
      await out.begin(200, { "content-type": contentTypeOf(request) });
      await out.write(protocol.beginning);
      await request.closedByClient;
      break;
    case "endless":
      await out.begin(200, { "content-type": contentTypeOf(request) });
      for (let left = step.bytes; left > 0; left -= 65_536) await out.write(" ".repeat(Math.min(left, 65_536)));
      await out.end();
      break;
    case "frames":
      await out.begin(200, { "content-type": "text/event-stream" });
      for (const [index, frame] of step.frames.entries()) {
        await step.before?.(index);
        await out.write(frame);
      }
      if (step.then === "end") await out.end();
      if (step.then === "stall") await request.closedByClient;
      break;
  }
  return true;
}

function isTransportStep(step: { kind: string }): step is TransportStep {
  return ["error", "redirect", "raw", "cut-before-headers", "hang", "slow-body", "endless", "frames"].includes(
    step.kind,
  );
}

function contentTypeOf(request: RecordedRequest): string {
  return isStreamed(request) ? "text/event-stream" : "application/json";
}

/** Whether the request's JSON body asks for a stream. */
export function isStreamed(request: RecordedRequest): boolean {
  const body: unknown = JSON.parse(request.body);
  return typeof body === "object" && body !== null && "stream" in body && body.stream === true;
}

/** The text before the first of these sequences, as providers cut it, and which one it was. */
export function cutAtStop(text: string, stop: readonly string[] = []): { text: string; stoppedBy: string | null } {
  let end = text.length;
  let stoppedBy: string | null = null;
  for (const sequence of stop) {
    const at = text.indexOf(sequence);
    if (at >= 0 && at < end) [end, stoppedBy] = [at, sequence];
  }
  return { text: text.slice(0, end), stoppedBy };
}

/** Pieces of a text as a stream would bring them: a few characters each. */
export function piecesOf(text: string): string[] {
  return text.match(/[\s\S]{1,7}/gu) ?? [];
}

/** Characters of one token for the scripted servers: a provider's tokenizer is not our own counter. */
export const CHARACTERS_PER_TOKEN = 4;

/** The tokens of a text as the scripted servers count them. */
export function scriptedTokens(text: string): number {
  return Math.ceil(text.length / CHARACTERS_PER_TOKEN);
}
