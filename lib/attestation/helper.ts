import { type Clock, withDeadline } from "@/lib/clock.ts";
import { MAX_ANSWER, parseAnswer, questionLine, readLine, writeAll } from "./helper-protocol.ts";
import type { Quote } from "./port.ts";

/** The helper cannot be used. The message is for the log; nothing of it comes from a caller. */
export class HelperError extends Error {
  override name = "HelperError";
  /** True when only too many ask at once. */
  constructor(message: string, readonly busy = false, options?: ErrorOptions) {
    super(message, options);
  }
}

interface Connection {
  read(into: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  close(): void;
}

interface HelperOptions {
  /** Path of the Unix socket. */
  socket: string;
  clock: Clock;
  /** Default: the socket. */
  connect?: () => Promise<Connection>;
  /** How long one question may take (ms). */
  deadlineMs?: number;
  /** Questions that may wait for their turn. */
  maxWaiting?: number;
}

/**
 * Asks the helper for evidence, one question after another: a secure processor serves one at a time, and its host slows down a guest
 * that asks without end. @throws HelperError
 */
export function createHelper(options: HelperOptions): (reportData: Uint8Array) => Promise<Quote> {
  const { socket, clock, deadlineMs = 5_000, maxWaiting = 16 } = options;
  const { connect = () => Deno.connect({ transport: "unix", path: socket }) } = options;
  let turn: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  return (reportData) => {
    if (waiting >= maxWaiting) return Promise.reject(new HelperError("too many ask for evidence at once", true));
    waiting++;
    const answer = turn.then(() => ask({ socket, clock, deadlineMs, connect }, reportData)).finally(() => waiting--);
    turn = answer.catch(() => {}); // whoever asked hears of it; the next one starts anew
    return answer;
  };
}

async function ask(options: Required<Omit<HelperOptions, "maxWaiting">>, reportData: Uint8Array): Promise<Quote> {
  const { socket, clock, deadlineMs, connect } = options;
  let connection: Connection | null = null;
  let over = false;
  const exchange = async () => {
    const opened = await connect();
    connection = opened;
    if (over) return opened.close();
    await writeAll(opened, questionLine(reportData));
    return await readLine(opened, MAX_ANSWER);
  };
  let line: string | null | void;
  try {
    line = await withDeadline(clock, deadlineMs, "the attestation helper", exchange());
  } catch (cause) {
    throw new HelperError(`the attestation helper at ${socket} does not answer: ${(cause as Error).message}`, false, {
      cause,
    });
  } finally {
    over = true;
    (connection as Connection | null)?.close();
  }
  const answer = line ? parseAnswer(line) : null;
  if (!answer) throw new HelperError(`the attestation helper at ${socket} answered with something else`);
  if ("error" in answer) throw new HelperError(`the attestation helper: ${answer.error}`);
  return answer;
}
