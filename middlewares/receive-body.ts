import { concatBytes } from "@noble/hashes/utils.js";
import { type Clock, DeadlineExceeded, sleep, withDeadline } from "@/lib/clock.ts";
import type { AppMiddleware } from "@/lib/http/create-app.ts";
import {
  ApiError,
  payloadTooLarge,
  requestAborted,
  requestTimeout,
  tooManyRequests,
  unavailable,
} from "@/lib/http/errors.ts";
import { isOpenAiPath } from "@/lib/http/openai-errors.ts";
import { createShares } from "@/lib/http/shares.ts";

/** The largest body any route takes, in bytes; a conversation may be longer than that. */
export const MAX_BODY_BYTES = 64 * 1024;
export const MAX_CHAT_BODY_BYTES = 1024 * 1024;

export interface BodyLimits {
  /** How long a body may take to arrive (ms). */
  arrivalMs: number;
  /** Bytes of all bodies together that arrive or are being answered, and of one address's. */
  inFlight: number;
  inFlightPerAddress: number;
}

export const BODY_LIMITS: BodyLimits = {
  arrivalMs: 30_000,
  inFlight: 32 * 1024 * 1024,
  inFlightPerAddress: 4 * 1024 * 1024,
};

/** Memory for a body before anything of it has come (bytes). */
const FIRST_BYTES = 1024;
/** A read has room for this much at least (bytes). */
const MIN_READ = 128;
/** How long an answer has to leave before the rest of its request is given up (ms). */
const ANSWER_MS = 100;
/** So much of a refused body in one read (bytes) is a caller who is still sending: its body is read on and thrown away, for so long. */
const STILL_SENDING = 8 * 1024;
const LINGER_MS = 2_000;
const LINGER_BYTES = 4 * 1024 * 1024;
/** When to try again after too many bytes were in flight (seconds). */
const RETRY_SECONDS = 5;

/**
 * Gives up what nobody has read of a request's body once it is answered, so that Deno closes the connection: at once when something
 * waits to be read, otherwise with the next byte, since a read that waits cannot be taken back. The order matters: without a read
 * before the answer, or given up before the answer has left, the connection stays open for as long as the caller likes. A caller that
 * is still sending a long body would meet a reset connection before it has read the answer: that body is thrown away for a while.
 */
export function dropUnread(clock: Clock): AppMiddleware {
  return async (c, next) => {
    const { body } = c.req.raw;
    await next();
    if (!body || c.get("rawBody")) return;
    // A caller who is gone makes a read fail: there is nobody left to tell.
    drop(clock, body, byteReader(body)).catch(() => {});
  };
}

async function drop(
  clock: Clock,
  body: ReadableStream<Uint8Array>,
  reader: ReadableStreamBYOBReader | null,
): Promise<void> {
  const end = clock.monotonic() + LINGER_MS;
  const answered = sleep(clock, ANSWER_MS);
  let sending = false;
  for (let bytes = 0; reader && bytes < LINGER_BYTES && clock.monotonic() < end;) {
    const { done, value } = await reader.read(new Uint8Array(STILL_SENDING));
    if (done) return;
    bytes += value.byteLength;
    sending ||= value.byteLength === STILL_SENDING;
    if (!sending) break;
  }
  await answered;
  await (reader ?? body).cancel();
}

/**
 * Takes the whole body in before anything else happens. What counts is what has come, not what was declared:
 * - 413 above the limit, as soon as that is known;
 * - 408 for one that does not arrive in time, since a caller that trickles it must not hold memory for ever;
 * - 503 and 429 while too much of all callers, or of this address, is in flight. A body is in flight until its answer begins.
 */
export function receiveBody(clock: Clock, limits: BodyLimits): AppMiddleware {
  const all = createShares(limits.inFlight);
  const addresses = createShares(limits.inFlightPerAddress);
  return async (c, next) => {
    const { body, headers } = c.req.raw;
    if (!body) return await next();
    const maxBytes = isOpenAiPath(c.req.path) ? MAX_CHAT_BODY_BYTES : MAX_BODY_BYTES;
    const declared = headers.has("transfer-encoding") ? null : declaredLength(headers);
    if (declared !== null && declared > maxBytes) throw payloadTooLarge(maxBytes);
    const address = c.get("clientAddress");
    let size = 0;
    const arrived = (bytes: number) => {
      if (size + bytes > maxBytes) throw payloadTooLarge(maxBytes);
      if (!all.take("", bytes)) throw busy();
      if (!addresses.take(address, bytes)) {
        all.give("", bytes);
        throw tooMuchAtOnce(limits.inFlightPerAddress);
      }
      size += bytes;
    };
    try {
      const bytes = await readInTime(clock, limits.arrivalMs, body, declared ?? maxBytes, arrived);
      c.req.raw = new Request(c.req.raw, { body: bytes });
      c.set("rawBody", bytes);
      await next();
    } finally {
      all.give("", size);
      addresses.give(address, size);
    }
  };
}

const busy = () =>
  unavailable(
    "too_many_bodies",
    "Too many requests with large bodies arrive at once. Try again shortly.",
    RETRY_SECONDS,
  );
const tooMuchAtOnce = (maxBytes: number) =>
  tooManyRequests(
    "too_many_bodies",
    `Bodies of more than ${maxBytes} bytes together are in flight from this address. Wait for the answers to some of them.`,
    RETRY_SECONDS,
  );

/** The body's length in bytes; null when none is declared, or in a form that tells nothing ("5, 5" of two lines). */
function declaredLength(headers: Headers): number | null {
  const text = headers.get("content-length") ?? "";
  return /^\d+$/.test(text) ? Number(text) : null;
}

type Bytes = Uint8Array<ArrayBuffer>;

/** @param arrived is told of each piece, and throws when it is too much. @throws {ApiError} */
async function readInTime(
  clock: Clock,
  ms: number,
  body: ReadableStream<Uint8Array>,
  maxBytes: number,
  arrived: (bytes: number) => void,
): Promise<Bytes> {
  const reader = byteReader(body);
  try {
    const reading = reader ? readInto(reader, maxBytes, arrived) : collect(body, arrived);
    return await withDeadline(clock, ms, "reading the body", reading);
  } catch (error) {
    if (error instanceof DeadlineExceeded) throw requestTimeout(ms);
    if (error instanceof ApiError) throw error;
    throw requestAborted(error); // what else can fail is the connection
  } finally {
    reader?.releaseLock(); // ends a read that still waits
  }
}

/**
 * A reader that fills memory of ours, as the bodies of a server's requests allow; any other reader brings 64 KiB for each
 * connection, however little comes. null for a stream that somebody in this process made.
 */
function byteReader(body: ReadableStream<Uint8Array>): ReadableStreamBYOBReader | null {
  try {
    return body.getReader({ mode: "byob" });
  } catch {
    return null;
  }
}

/** Reads into memory that doubles when it is full. */
async function readInto(
  reader: ReadableStreamBYOBReader,
  maxBytes: number,
  arrived: (bytes: number) => void,
): Promise<Bytes> {
  let size = 0;
  let memory = new ArrayBuffer(FIRST_BYTES);
  for (;;) {
    const { done, value } = await reader.read(new Uint8Array(memory, size));
    if (done) return new Uint8Array(value?.buffer ?? memory, 0, size);
    arrived(value.byteLength);
    size += value.byteLength;
    memory = value.buffer;
    // There is room beyond the largest body, to see that one is too long. Deno 2.9.6 never ends a read of a chunked body into a
    // few bytes.
    if (memory.byteLength - size < MIN_READ) memory = memory.transfer(Math.min(size * 2, maxBytes) + FIRST_BYTES);
  }
}

async function collect(body: ReadableStream<Uint8Array>, arrived: (bytes: number) => void): Promise<Bytes> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) {
    arrived(piece.length);
    pieces.push(piece);
  }
  return concatBytes(...pieces) as Bytes;
}
