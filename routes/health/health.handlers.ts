import { type Clock, withDeadline } from "@/lib/clock.ts";
import type { AppRouteHandler } from "@/lib/http/create-app.ts";
import { errorBody } from "@/lib/http/errors.ts";
import type { GetHealthRoute, GetReadinessRoute } from "./health.routes.ts";

/** One check. What it has besides `ok` and `detail` is shown as `facts` where it is a text, a number or a boolean. */
type ReadinessCheck = { ok: boolean; detail?: string } & Record<string, unknown>;

export interface Readiness {
  ready: boolean;
  checks: Record<string, ReadinessCheck>;
}

export interface HealthDeps {
  clock: Clock;
  version: string;
  /** Looks at what is known; never spends money, never changes anything that counts. Holds no secret. */
  readiness(): Promise<Readiness>;
}

/** A supervisor waits a few seconds for an answer; no answer would be a worse one. */
const DEADLINE_MS = 3_000;
const RETRY_AFTER_SECONDS = 5;

export const getHealth: AppRouteHandler<GetHealthRoute, HealthDeps> = (c) =>
  c.json({ status: "ok" as const, version: c.get("deps").version }, 200);

export const getReadiness: AppRouteHandler<GetReadinessRoute, HealthDeps> = async (c) => {
  const { clock, readiness } = c.get("deps");
  let result: Readiness;
  try {
    result = await withDeadline(clock, DEADLINE_MS, "readiness", readiness());
  } catch (error) {
    c.get("log").error({ error }, "readiness could not be determined");
    result = { ready: false, checks: { readiness: { ok: false, detail: "could not be determined; see the log" } } };
  }
  const checks = Object.entries(result.checks).map(([name, check]) => shown(name, check));
  // A failed check is never ready, whatever the sum says.
  if (result.ready && checks.every((check) => check.ok)) return c.json({ ready: true, checks }, 200);

  const failed = checks.filter((check) => !check.ok).map((check) => check.name);
  const message = `Not ready: ${
    failed.join(", ") || "starting or stopping"
  }. Try again in ${RETRY_AFTER_SECONDS} seconds.`;
  c.header("Retry-After", String(RETRY_AFTER_SECONDS));
  return c.json({ ready: false, checks, ...errorBody("not_ready", message, c.get("requestId")) }, 503);
};

function shown(name: string, check: ReadinessCheck) {
  const { ok, detail, ...rest } = check;
  const facts: Record<string, string | number | boolean> = {};
  for (const [key, value] of Object.entries(rest)) {
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") facts[key] = value;
  }
  return {
    name,
    ok,
    ...(detail === undefined ? {} : { detail }),
    ...(Object.keys(facts).length === 0 ? {} : { facts }),
  };
}
