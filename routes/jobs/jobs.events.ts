import type { AppDeps } from "@/lib/http/app-deps.ts";
import type { AppRouteHandler } from "@/lib/http/create-app.ts";
import { createEventStreams, type EventSource, type StreamedEvent } from "@/lib/http/event-stream.ts";
import { jobBody } from "./jobs.body.ts";
import { jobOf } from "./jobs.handlers.ts";
import { TERMINAL } from "@/lib/jobs/jobs.machine.ts";
import type { JobEventsRoute } from "./jobs.routes.ts";
import { getJob, readWhole } from "@/lib/jobs/jobs.rows.ts";

/** A client that is this far behind is dropped: what it missed it reads with GET. */
const MAX_BEHIND = 1_000;

/** States as they change, the answer as it is written, then the answer and its cost; then the stream ends. */
export function jobEvents(): AppRouteHandler<JobEventsRoute, AppDeps> {
  const streams = createEventStreams();
  return async (c) => {
    const deps = c.get("deps");
    const { id } = c.req.valid("param");
    const { handle } = await jobOf(deps, id);
    return streams.answer(c, handle, () => followJob(deps, id, handle));
  };
}

/** What happens to a job from now on, its present state first; after a final state the answer and its cost, and the end. */
function followJob(deps: AppDeps, id: string, handle: string): EventSource {
  const queue: StreamedEvent[] = [];
  let wake = () => {};
  let over = false;
  let lastState: unknown = null;
  let final: StreamedEvent | null = null;
  const push = (message: StreamedEvent) => {
    queue.push(message);
    if (queue.length > MAX_BEHIND) over = true;
    wake();
  };
  const pushState = (state: unknown) => {
    if (state === lastState) return;
    lastState = state;
    const message = { event: "state", data: { state } };
    if (TERMINAL.has(state as never)) final = message;
    push(message);
  };
  const stopEvents = deps.store.onEvent((event) => {
    if (event.type === "job_state" && event.handle === handle) pushState(event.state);
  });
  const stopText = deps.liveText.follow(
    handle,
    (text) => push({ event: "result_chunk", data: { text } }),
    () => push({ event: "result_restart", data: {} }),
  );
  const end = () => {
    over = true;
    stopEvents();
    stopText();
    wake();
  };
  async function* events(): AsyncGenerator<StreamedEvent> {
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
      if (next === final) return yield* outcome(deps, id, handle);
    }
  }
  return { events: events(), end };
}

/** The answer of a job that has ended, and what it cost. */
async function* outcome(deps: AppDeps, id: string, handle: string): AsyncGenerator<StreamedEvent> {
  const whole = await readWhole(deps.store, handle);
  if (!whole) return;
  const { result, finishReason, costLedger } = jobBody(id, { ...whole, tier: "anonymous" });
  if (result !== undefined) yield { event: "result", data: { result, finishReason } };
  if (costLedger) yield { event: "cost_ledger", data: costLedger };
}
