import { currentStep, TERMINAL } from "@/lib/bootstrap/bootstrap.machine.ts";
import { getBootstrap } from "@/lib/bootstrap/bootstrap.rows.ts";
import type { AppDeps } from "@/lib/http/app-deps.ts";
import type { AppRouteHandler } from "@/lib/http/create-app.ts";
import { createEventStreams, type EventSource, type StreamedEvent } from "@/lib/http/event-stream.ts";
import { bootstrapOf } from "./bootstrap.handlers.ts";
import type { BootstrapEventsRoute } from "./bootstrap.routes.ts";

/** States and steps as they change; the stream ends with the last state. No secret is ever in it. */
export function bootstrapEvents(): AppRouteHandler<BootstrapEventsRoute, AppDeps> {
  const streams = createEventStreams();
  return async (c) => {
    const deps = c.get("deps");
    const { handle } = await bootstrapOf(deps, c.req.valid("param").id);
    return streams.answer(c, handle, () => follow(deps, handle));
  };
}

interface Told {
  state: unknown;
  /** What is under way, and since when (ISO 8601); null when nothing is. */
  step: unknown;
  startedAt: string | null;
}

const told = (state: unknown, step: { name: unknown; startedAt: unknown } | null): Told => ({
  state,
  step: step?.name ?? null,
  startedAt: typeof step?.startedAt === "number" ? new Date(step.startedAt).toISOString() : null,
});

/** The present state first, then each change. What happens faster than it is read is told as its newest state. */
function follow({ store }: AppDeps, handle: string): EventSource {
  let newest: Told | null = null;
  let over = false;
  let wake = () => {};
  const stop = store.onEvent((event) => {
    if (event.type !== "bootstrap_state" || event.handle !== handle) return;
    newest = told(event.state, { name: event.step, startedAt: event.startedAt });
    wake();
  });
  const end = () => {
    over = true;
    stop();
    wake();
  };
  async function* events(): AsyncGenerator<StreamedEvent> {
    // Listening began before this read: a change in between is told once.
    const now = await getBootstrap(store, handle);
    newest ??= told(now?.state, now && currentStep(now));
    while (!over) {
      const next: Told | null = newest;
      if (!next) {
        await new Promise<void>((resolve) => wake = resolve);
        continue;
      }
      newest = null;
      yield { event: "state", data: next };
      if (TERMINAL.has(next.state as never)) return;
    }
  }
  return { events: events(), end };
}
