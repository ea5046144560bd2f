import { z } from "zod";
import { type Clock, sleep } from "@/lib/clock.ts";
import type { Random } from "@/lib/ids.ts";
import { Hash, parse } from "./lnbits-answers.ts";

const MAX_FRAME_LENGTH = 64 * 1024;
const Frame = z.object({ payment: z.object({ payment_hash: Hash, amount: z.number().positive() }) });

/** A reconnect waits 0.5 s, then twice as long each time up to 30 s, less up to half of it at random. */
const FIRST_RECONNECT_MS = 500;
const LONGEST_RECONNECT_MS = 30_000;
/** A socket that stood this long was a good one: the delays start small again (ms). */
const STABLE_MS = 5_000;

interface SocketOptions {
  /** The address of the websocket, key included. */
  url: string;
  clock: Clock;
  /** Spreads reconnects. */
  random: Random;
  timeouts: { connectMs: number; silentMs: number };
  log: (level: "info", message: string, fields: Record<string, number>) => void;
}

/** Opens a websocket again and again, until `signal` aborts: hints of payments, as the port has it. */
export async function watchSocket(
  options: SocketOptions,
  onHint: (paymentHash: string) => void,
  signal: AbortSignal,
  onState: (connected: boolean) => void = () => {},
): Promise<void> {
  const { clock, random, log } = options;
  let failures = 0;
  while (!signal.aborted) {
    let openedAt: number | null = null;
    const end = await listen(options, onHint, signal, () => {
      openedAt = clock.now();
      tell(onState, true);
    });
    if (end === "silent") continue;
    tell(onState, false);
    if (end === "aborted") return;
    failures = openedAt !== null && clock.now() - openedAt >= STABLE_MS ? 0 : failures + 1;
    const delay = Math.min(LONGEST_RECONNECT_MS, FIRST_RECONNECT_MS * 2 ** Math.max(0, failures - 1));
    const jitter = (random.bytes(1)[0] ?? 0) / 512;
    log("info", "LNbits' websocket is closed; reconnecting", { inMs: Math.round(delay * (1 - jitter)), failures });
    await sleep(clock, delay * (1 - jitter), signal);
  }
}

/** One websocket, until it closes, falls silent or `signal` aborts. */
function listen(
  { url, clock, timeouts }: SocketOptions,
  onHint: (paymentHash: string) => void,
  signal: AbortSignal,
  onOpen: () => void,
): Promise<"closed" | "silent" | "aborted"> {
  return new Promise((resolve) => {
    const socket = new WebSocket(url);
    let end: "closed" | "silent" | "aborted" = "closed";
    let cancelTimer = () => {};
    const close = (why: typeof end) => {
      end = why;
      cancelTimer();
      // A peer that is gone never confirms the close: do not wait for it long.
      cancelTimer = clock.after(1_000, finish);
      socket.close();
    };
    const waitUntilSilent = () => {
      cancelTimer();
      cancelTimer = clock.after(timeouts.silentMs, () => close("silent"));
    };
    const onAbort = () => close("aborted");
    function finish(): void {
      cancelTimer();
      signal.removeEventListener("abort", onAbort);
      resolve(end);
    }
    signal.addEventListener("abort", onAbort, { once: true });
    cancelTimer = clock.after(timeouts.connectMs, () => close("closed"));
    socket.onopen = () => {
      if (signal.aborted) return;
      waitUntilSilent();
      onOpen();
    };
    socket.onmessage = ({ data }) => {
      if (signal.aborted || end !== "closed") return;
      waitUntilSilent();
      if (typeof data !== "string" || data.length > MAX_FRAME_LENGTH) return;
      const frame = Frame.safeParse(parse(data));
      if (frame.success) tell(onHint, frame.data.payment.payment_hash);
    };
    // An error is always followed by close.
    socket.onclose = finish;
  });
}

/** Calls a listener whose failure must not end the watch. */
function tell<T>(listener: (value: T) => void, value: T): void {
  try {
    listener(value);
  } catch {
    // The listener's own affair: the reconciler finds what it missed.
  }
}
