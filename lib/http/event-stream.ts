import type { Context } from "hono";
import { streamSSE } from "hono/streaming";
import { type Clock, DeadlineExceeded, withDeadline } from "@/lib/clock.ts";
import type { AppEnv } from "./app-env.ts";
import { tooManyRequests, unavailable } from "./errors.ts";
import { createShares } from "./shares.ts";

/** Streams that may be open at a time: in all, from one address, and about one topic (a job). */
const STREAM_LIMITS = { all: 1_000, address: 20, topic: 5 };

/** A line now and then keeps proxies from closing a quiet stream (ms). */
const KEEP_ALIVE_MS = 15_000;
/** A client that takes nothing for so long is gone, or means harm (ms). */
const WRITE_MS = 10_000;
/** When to try again after too many were open (seconds). */
const RETRY_SECONDS = 10;

export interface StreamedEvent {
  event: string;
  /** Sent as JSON. */
  data: unknown;
}

/** What a stream tells. */
export interface EventSource {
  events: AsyncIterable<StreamedEvent>;
  /** Ends `events` and lets go of whatever they come from; called once or more, whoever ends the stream. */
  end(): void;
}

interface EventStreams {
  /**
   * Answers with the events of a source until it ends, the client leaves, or takes nothing for ten seconds.
   * @param topic what it is about: each has a share
   * @param open is called when there is room for one more stream
   * @throws {ApiError} 429 when this address or this topic has its share already, 503 when all are taken
   */
  answer<D extends { clock: Clock }>(c: Context<AppEnv<D>>, topic: string, open: () => EventSource): Response;
}

/** Server-sent events with a limit for how many are open. One of these for a process: its limits are for all routes together. */
export function createEventStreams(limits = STREAM_LIMITS): EventStreams {
  const all = createShares(limits.all);
  const addresses = createShares(limits.address);
  const topics = createShares(limits.topic);
  /** Takes a place in each, or none. @returns what gives them back */
  function takePlace(address: string, topic: string): () => void {
    if (!all.take("", 1)) {
      throw unavailable("too_many_streams", "Too many streams are open. Poll instead.", RETRY_SECONDS);
    }
    if (!addresses.take(address, 1)) {
      all.give("", 1);
      throw tooMany(`${limits.address} streams are open from this address`);
    }
    if (!topics.take(topic, 1)) {
      all.give("", 1);
      addresses.give(address, 1);
      throw tooMany(`${limits.topic} streams are open on this`);
    }
    return () => {
      all.give("", 1);
      addresses.give(address, 1);
      topics.give(topic, 1);
    };
  }

  return {
    answer(c, topic, open) {
      // Nobody reads the body of an answer to HEAD: a stream would wait for ever.
      if (c.req.method === "HEAD") return c.body(null, 200, { "Content-Type": "text/event-stream" });
      const { clock } = c.get("deps");
      const leave = takePlace(c.get("clientAddress"), topic);
      return streamSSE(c, async (stream) => {
        const source = open();
        const sent = (writing: Promise<unknown>) => withDeadline(clock, WRITE_MS, "writing to a stream", writing);
        const drop = (error: unknown) => {
          if (!(error instanceof DeadlineExceeded)) c.get("log").error({ error }, "an event stream broke off");
          source.end();
          stream.abort();
        };
        let stopTimer = () => {};
        const keepAlive = () => {
          stopTimer = clock.after(KEEP_ALIVE_MS, () => {
            keepAlive();
            sent(stream.write(": still here\n\n")).catch(drop);
          });
        };
        keepAlive();
        stream.onAbort(source.end);
        try {
          for await (const { event, data } of source.events) {
            if (stream.aborted) return;
            await sent(stream.writeSSE({ event, data: JSON.stringify(data) }));
          }
        } catch (error) {
          drop(error);
        } finally {
          stopTimer();
          source.end();
          leave();
        }
      });
    },
  };
}

const tooMany = (what: string) =>
  tooManyRequests("too_many_streams", `${what}. Close one of them, or poll instead.`, RETRY_SECONDS);
