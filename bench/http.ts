/** A load of HTTP requests by hand over kept-alive sockets: a full client would cost as much as the server that is measured. */
import { timed } from "./measure.ts";

/** The bytes of one request. `body` is sent as JSON. */
export function requestBytes(
  port: number,
  call: { method: string; path: string; headers?: Record<string, string>; body?: unknown },
): Uint8Array {
  const text = call.body === undefined ? "" : JSON.stringify(call.body);
  const headers = Object.entries({
    host: `127.0.0.1:${port}`,
    ...(text !== "" && { "content-type": "application/json", "content-length": String(encoder.encode(text).length) }),
    ...call.headers,
  });
  const head = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return encoder.encode(`${call.method} ${call.path} HTTP/1.1\r\n${head}\r\n${text}`);
}

/**
 * Sends the same request for `ms`, and at least once, over so many connections.
 * @returns answers a second. @throws unless all are answered with `status`.
 */
export async function load(
  port: number,
  request: Uint8Array,
  { connections, ms, status }: { connections: number; ms: number; status: number },
): Promise<number> {
  let answered = 0;
  const until = performance.now() + ms;
  const took = await timed(() =>
    Promise.all(Array.from({ length: connections }, async () => {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port });
      try {
        do {
          await exchange(connection, request, status);
          answered++;
        } while (performance.now() < until);
      } finally {
        connection.close();
      }
    }))
  );
  return answered / took * 1_000;
}

const encoder = new TextEncoder();
/** One character a byte, so that lengths can be compared. */
const decoder = new TextDecoder("latin1");
const LAST_CHUNK = "\r\n0\r\n\r\n";

/** One request and its whole answer: of a length that its head names, or a stream of events that ends as it should. */
async function exchange(connection: Deno.Conn, request: Uint8Array, status: number): Promise<void> {
  await connection.write(request);
  const chunk = new Uint8Array(16 * 1024);
  let text = "";
  for (;;) {
    const read = await connection.read(chunk);
    if (read === null) throw new Error("the server closed the connection");
    text += decoder.decode(chunk.subarray(0, read));
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) continue;
    if (!text.startsWith(`HTTP/1.1 ${status}`)) throw new Error(`not a ${status}: ${text}`);
    const length = /\r\ncontent-length: (\d+)\r\n/i.exec(text)?.[1];
    if (length !== undefined ? text.length < end + 4 + Number(length) : !text.endsWith(LAST_CHUNK)) continue;
    if (length === undefined && !text.includes("data: [DONE]")) throw new Error(`not a whole stream: ${text}`);
    return;
  }
}

/** An answer whose end is not waited for. */
export interface OpenAnswer {
  /** When its head and the first bytes of its body were there (`performance.now()`). */
  firstByteAt: number;
  close(): void;
}

/** Sends a request over a connection of its own. @returns once the first byte of a 200's body is there. */
export async function openStream(port: number, request: Uint8Array): Promise<OpenAnswer> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(request);
  const chunk = new Uint8Array(16 * 1024);
  let text = "";
  for (;;) {
    const read = await connection.read(chunk);
    if (read === null) throw new Error("the server closed the connection");
    const at = performance.now();
    text += decoder.decode(chunk.subarray(0, read));
    if (!text.startsWith("HTTP/1.1 200")) throw new Error(`not a 200: ${text}`);
    if (/\r\n\r\n[\s\S]*data: /.test(text)) return { firstByteAt: at, close: () => connection.close() };
  }
}
