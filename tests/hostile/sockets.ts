/** Connections that say only what they are told to, as no HTTP client would. */

export interface Wire {
  /** What has come so far. */
  readonly text: string;
  /** The status of the answer; 0 while there is none. */
  readonly status: number;
  /** True once the other side has closed, or the connection is broken. */
  readonly closed: boolean;
  /** Resolves when it is. */
  readonly ended: Promise<void>;
  /** @returns false when the other side takes nothing any more. */
  send(text: string | Uint8Array): Promise<boolean>;
  close(): void;
}

const KEPT = 4_000;

/** Opens a connection and sends `text`; what comes back is read at once. */
export async function openWire(port: number, text: string | Uint8Array): Promise<Wire> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  let got = "";
  let closed = false;
  let open = true;
  const close = () => {
    if (open) connection.close();
    open = false;
  };
  const ended = (async () => {
    const decoder = new TextDecoder();
    const buffer = new Uint8Array(4_096);
    try {
      for (let n = await connection.read(buffer); n !== null; n = await connection.read(buffer)) {
        got = (got + decoder.decode(buffer.subarray(0, n), { stream: true })).slice(0, KEPT);
      }
    } catch {
      // Reset by the other side, or closed here: over in both cases.
    }
    closed = true;
    close();
  })();
  const wire: Wire = {
    get text() {
      return got;
    },
    get status() {
      return Number(/^HTTP\/1\.1 (\d{3})/.exec(got)?.[1] ?? 0);
    },
    get closed() {
      return closed;
    },
    ended,
    async send(more) {
      if (!open) return false;
      let rest = typeof more === "string" ? new TextEncoder().encode(more) : more;
      try {
        while (rest.length > 0) rest = rest.subarray(await connection.write(rest));
        return true;
      } catch {
        return false;
      }
    },
    close,
  };
  await wire.send(text);
  return wire;
}

/** The head of a request, with the blank line that ends it. */
export const head = (line: string, headers: Record<string, string | number> = {}): string =>
  [`${line} HTTP/1.1`, "Host: 127.0.0.1", ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)]
    .join("\r\n") + "\r\n\r\n";
