import { streamSSE } from "hono/streaming";
import type { AppDeps } from "@/lib/services.ts";
import { DeadlineExceeded, withDeadline } from "@/lib/clock.ts";
import type { AppRouteHandler } from "@/lib/http/create-app.ts";
import { unavailable } from "@/lib/http/errors.ts";
import { jobBody } from "./jobs.body.ts";
import { jobOf } from "./jobs.handlers.ts";
import { TERMINAL } from "@/lib/jobs/jobs.machine.ts";
import type { JobEventsRoute } from "./jobs.routes.ts";
import { getJob, readWhole } from "@/lib/jobs/jobs.rows.ts";

/** A line now and then keeps proxies from closing a quiet stream (ms). */
const KEEP_ALIVE_MS = 15_000;
/** A client that is this far behind is dropped: what it missed it reads with GET. */
const MAX_BEHIND = 1_000;
const MAX_STREAMS = 1_000;
/** A client that takes nothing for so long is gone, or means harm (ms). */
const WRITE_MS = 10_000;

type Message = { event: "state" | "result_chunk" | "result_restart"; data: Record<string, unknown> };

/** States as they change, the answer as it is written, then the answer and its cost; then the stream ends. */
export function jobEvents(): AppRouteHandler<JobEventsRoute, AppDeps> {
  let streams = 0;
  return async (c) => {
    const deps = c.get("deps");
    const { id } = c.req.valid("param");
    const { handle } = await jobOf(deps, id);
    // Nobody reads the body of an answer to HEAD: a stream would wait for ever.
    if (c.req.method === "HEAD") return c.body(null, 200, { "Content-Type": "text/event-stream" });
    if (streams >= MAX_STREAMS) {
      throw unavailable("too_many_streams", "Too many streams are open. Poll the job instead.", 10);
    }
    streams++;
    return streamSSE(c, async (stream) => {
      const feed = followJob(deps, handle);
      const sent = (writing: Promise<unknown>) => withDeadline(deps.clock, WRITE_MS, "writing to a stream", writing);
      stream.onAbort(feed.end);
      try {
        for await (const { event, data } of feed.messages) {
          if (stream.aborted) return;
          await sent(
            event === null ? stream.write(": still here\n\n") : stream.writeSSE({ event, data: JSON.stringify(data) }),
          );
        }
        const whole = await readWhole(deps.store, handle);
        if (!whole) return;
        const { result: text, finishReason, costLedger } = jobBody(id, { ...whole, tier: "anonymous" });
        if (text !== undefined) {
          await sent(stream.writeSSE({ event: "result", data: JSON.stringify({ result: text, finishReason }) }));
        }
        if (costLedger) await sent(stream.writeSSE({ event: "cost_ledger", data: JSON.stringify(costLedger) }));
      } catch (error) {
        if (!(error instanceof DeadlineExceeded)) throw error;
        stream.abort();
      } finally {
        feed.end();
        streams--;
      }
    });
  };
}

/** What happens to a job from now on, its present state first; ends after a final state. `event: null` only keeps alive. */
function followJob(deps: AppDeps, handle: string) {
  const queue: (Message | { event: null; data: null })[] = [];
  let wake = () => {};
  let over = false;
  let lastState: unknown = null;
  const push = (message: (typeof queue)[number]) => {
    queue.push(message);
    if (queue.length > MAX_BEHIND) over = true;
    wake();
  };
  const pushState = (state: unknown) => {
    if (state === lastState) return;
    lastState = state;
    push({ event: "state", data: { state } });
  };
  const stopEvents = deps.store.onEvent((event) => {
    if (event.type === "job_state" && event.handle === handle) pushState(event.state);
  });
  const stopText = deps.liveText.follow(
    handle,
    (text) => push({ event: "result_chunk", data: { text } }),
    () => push({ event: "result_restart", data: {} }),
  );
  let stopTimer = () => {};
  const keepAlive = () =>
    stopTimer = deps.clock.after(KEEP_ALIVE_MS, () => {
      push({ event: null, data: null });
      keepAlive();
    });
  keepAlive();
  const end = () => {
    over = true;
    stopEvents();
    stopText();
    stopTimer();
    wake();
  };
  async function* messages() {
    // Listening began before this read: a change in between comes twice at most, and is told once.
    const now = (await getJob(deps.store, handle))?.state;
    if (lastState === null) pushState(now);
    while (!over) {
      const next = queue.shift();
      if (!next) {
        await new Promise<void>((resolve) => wake = resolve);
        continue;
      }
      yield next;
      // A final state ends the stream, but not before what was written until then.
      if (next.event === "state" && TERMINAL.has(next.data.state as never)) return;
    }
  }
  return { messages: messages(), end };
}
