/** A small reader of one HTTP/1.1 answer (RFC 9112), for connections that carry a single one. */
import { type GuardedAnswer, GuardedFetchError } from "@/lib/public-fetch.ts";

/** Where the bytes come from; null at the end. */
type ReadSome = () => Promise<Uint8Array | null>;

/** Status line and headers, the trailers of a chunked body, and the line of a chunk's size have at most so many bytes. */
const MAX_HEAD = 16_384;
const MAX_LINE = 1_024;
const NO_BODY: ReadonlySet<number> = new Set([204, 304]);

const malformed = (what: string) => new GuardedFetchError("malformed", `the server's answer is no good HTTP: ${what}`);
const cut = () => new GuardedFetchError("cut", "the server's answer was cut off");

/**
 * Reads an answer whole. Anything that two readers could understand differently is refused: two lengths, a length beside chunks,
 * folded headers, encodings that were not asked for.
 * @throws {GuardedFetchError} `malformed`, `cut`, `too_large`
 */
export async function readAnswer(read: ReadSome, maxBytes: number): Promise<GuardedAnswer> {
  const source = createSource(read);
  for (let left = MAX_HEAD;;) {
    const head = await source.until("\r\n\r\n", left);
    const { status, headers } = readHead(head);
    left -= head.length;
    if (status < 200) continue; // an interim answer: the real one follows
    return { status, headers, body: await readBody(source, status, headers, maxBytes) };
  }
}

function readHead(head: string): { status: number; headers: Map<string, string> } {
  const [first = "", ...lines] = head.split("\r\n");
  const status = /^HTTP\/1\.[01] ([1-5]\d\d)(?: |$)/.exec(first)?.[1];
  if (status === undefined) throw malformed("its first line");
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, name, value] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
    if (name === undefined || value === undefined) throw malformed("a header");
    const key = name.toLowerCase();
    const before = headers.get(key);
    headers.set(key, before === undefined ? value : `${before}, ${value}`);
  }
  return { status: Number(status), headers };
}

async function readBody(
  source: Source,
  status: number,
  headers: ReadonlyMap<string, string>,
  maxBytes: number,
): Promise<Uint8Array> {
  const length = headers.get("content-length");
  const coding = headers.get("transfer-encoding");
  const encoding = headers.get("content-encoding") ?? "identity";
  if (encoding.toLowerCase() !== "identity") throw malformed("an encoding that was not asked for");
  if (coding !== undefined && (coding.toLowerCase() !== "chunked" || length !== undefined)) {
    throw malformed("how long its body is");
  }
  if (length !== undefined && !/^\d{1,15}$/.test(length)) throw malformed("how long its body is");
  if (NO_BODY.has(status)) return new Uint8Array();
  if (coding !== undefined) return await readChunks(source, maxBytes);
  if (length === undefined) return await source.rest(maxBytes);
  if (Number(length) > maxBytes) throw tooLarge(maxBytes);
  return await source.exactly(Number(length));
}

async function readChunks(source: Source, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for (let total = 0;;) {
    const size = /^([0-9a-f]{1,8})[ \t]*(?:;|$)/i.exec(await source.until("\r\n", MAX_LINE))?.[1];
    if (size === undefined) throw malformed("a chunk");
    const bytes = parseInt(size, 16);
    if (bytes === 0) break;
    total += bytes;
    if (total > maxBytes) throw tooLarge(maxBytes);
    chunks.push(await source.exactly(bytes));
    if (await source.until("\r\n", 2) !== "") throw malformed("a chunk");
  }
  for (let left = MAX_HEAD;;) {
    const trailer = await source.until("\r\n", left);
    if (trailer === "") return concat(chunks);
    left -= trailer.length + 2;
  }
}

const tooLarge = (maxBytes: number) =>
  new GuardedFetchError("too_large", `the server's answer is larger than ${maxBytes} bytes`);

type Source = ReturnType<typeof createSource>;

/** Bytes that were read and not used yet, and how to get more. However small the pieces come, each byte is looked at once. */
function createSource(read: ReadSome) {
  let buffer = new Uint8Array(MAX_HEAD);
  let start = 0;
  let end = 0;

  async function more(): Promise<boolean> {
    const bytes = await read();
    if (bytes === null) return false;
    if (end + bytes.length > buffer.length) {
      const roomier = new Uint8Array(2 * (end - start + bytes.length));
      roomier.set(buffer.subarray(start, end));
      [buffer, start, end] = [roomier, 0, end - start];
    }
    buffer.set(bytes, end);
    end += bytes.length;
    return true;
  }
  function take(count: number): Uint8Array {
    start += count;
    return buffer.slice(start - count, start);
  }

  return {
    /** Text up to `mark`, which is used up and not part of it; with it at most `max` bytes. */
    async until(mark: string, max: number): Promise<string> {
      for (let at = 0;; at++) {
        if (at + mark.length > max) throw malformed("a line or a head that does not end");
        while (end - start < at + mark.length) if (!(await more())) throw cut();
        if (!Array.from(mark).every((character, i) => buffer[start + at + i] === character.charCodeAt(0))) continue;
        const text = latin1(take(at));
        take(mark.length);
        return text;
      }
    },
    async exactly(count: number): Promise<Uint8Array> {
      while (end - start < count) if (!(await more())) throw cut();
      return take(count);
    },
    async rest(maxBytes: number): Promise<Uint8Array> {
      do {
        if (end - start > maxBytes) throw tooLarge(maxBytes);
      } while (await more());
      return take(end - start);
    },
  };
}

/** One character a byte, whatever the bytes are. */
const latin1 = (bytes: Uint8Array): string => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");

function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
