import assert from "node:assert/strict";
import { systemClock } from "@/lib/clock.ts";
import { createApp, mount } from "@/lib/http/create-app.ts";
import { errorSchema } from "@/lib/http/errors.ts";
import { collectingLogger } from "@/lib/logger.ts";
import type { HealthDeps, Readiness } from "./health.handlers.ts";
import { healthRouter } from "./health.index.ts";

function build(deps: Partial<HealthDeps>) {
  const log = collectingLogger();
  const all: HealthDeps = {
    clock: systemClock,
    version: "1.2.3",
    readiness: () => Promise.reject(new Error("must not be asked")),
    ...deps,
  };
  const app = createApp({ deps: all, log, middlewares: [] });
  mount(app, healthRouter());
  return { app, log };
}

const good: Readiness = {
  ready: true,
  checks: { store: { ok: true }, queue: { ok: true, depth: 3, oldestDueMs: 12, detail: "draining", inner: { a: 1 } } },
};

Deno.test("GET /api/health: answers without asking anything else", async () => {
  const { app, log } = build({});
  const response = await app.request("/api/health");
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), { status: "ok", version: "1.2.3" });
  assert.deepEqual(log.lines, []);
});

Deno.test("GET /api/health/ready: 200 with every check", async () => {
  const { app } = build({ readiness: () => Promise.resolve(good) });
  const response = await app.request("/api/health/ready");
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), {
    ready: true,
    checks: [
      { name: "store", ok: true },
      { name: "queue", ok: true, detail: "draining", facts: { depth: 3, oldestDueMs: 12 } },
    ],
  });
});

Deno.test("GET /api/health/ready: 503 with Retry-After, the checks and the error shape", async () => {
  const readiness = () =>
    Promise.resolve({
      ready: false,
      checks: { ...good.checks, lightning: { ok: false, detail: "LNbits answers 500" } },
    });
  const response = await build({ readiness }).app.request("/api/health/ready");
  assert.equal(response.status, 503);
  assert.match(response.headers.get("Retry-After") ?? "", /^[1-9]\d*$/);
  const body = await response.json();
  assert.equal(body.ready, false);
  assert.deepEqual(body.checks[2], { name: "lightning", ok: false, detail: "LNbits answers 500" });
  const { error } = errorSchema.parse(body);
  assert.equal(error.code, "not_ready");
  assert.match(error.message, /lightning/);
  assert.ok(!error.message.includes("queue"));
});

Deno.test("GET /api/health/ready: a failed check is never ready, nor an instance that says it is not", async () => {
  const failed = () => Promise.resolve({ ready: true, checks: { store: { ok: false } } });
  assert.equal((await build({ readiness: failed }).app.request("/api/health/ready")).status, 503);
  const stopping = () => Promise.resolve({ ready: false, checks: { store: { ok: true } } });
  assert.equal((await build({ readiness: stopping }).app.request("/api/health/ready")).status, 503);
});

Deno.test("GET /api/health/ready: a check that breaks is 503, logged, and its text stays inside", async () => {
  const { app, log } = build({ readiness: () => Promise.reject(new Error("secret path")) });
  const response = await app.request("/api/health/ready");
  assert.equal(response.status, 503);
  assert.ok(!(await response.text()).includes("secret path"));
  assert.deepEqual(log.lines.map((line) => line.level), ["error"]);
});

Deno.test("GET /api/health/ready: a check that hangs is 503 after the deadline", async () => {
  // Every deadline is over at once on this clock.
  const clock = {
    now: () => 0,
    monotonic: () => 0,
    after: (_ms: number, fn: () => void) => {
      queueMicrotask(fn);
      return () => {};
    },
  };
  const { app } = build({ clock, readiness: () => new Promise(() => {}) });
  assert.equal((await app.request("/api/health/ready")).status, 503);
});
