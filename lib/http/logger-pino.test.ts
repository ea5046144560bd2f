import assert from "node:assert/strict";
import type { LogFields, LogLevel } from "@/lib/logger.ts";

const JOB_ID = "0123456789abc-" + "0f".repeat(16);

// pino asks for the host's name when it is loaded, so it is loaded only where that is allowed.
const ignore = Deno.permissions.querySync({ name: "sys", kind: "hostname" }).state !== "granted";

async function written(level: LogLevel) {
  const { createLogger } = await import("./logger-pino.ts");
  const lines: Record<string, unknown>[] = [];
  return { lines, log: createLogger({ level, destination: { write: (line) => void lines.push(JSON.parse(line)) } }) };
}

Deno.test({
  name: "createLogger: writes one JSON line with level, time, message and the allowed fields",
  ignore,
  fn: async () => {
    const { lines, log } = await written("info");
    log.info({ method: "GET", route: "/api/jobs/:id", status: 200, ms: 3 }, "request");
    assert.equal(lines.length, 1);
    const { time, ...rest } = lines[0] ?? {};
    assert.deepEqual(rest, {
      level: "info",
      msg: "request",
      method: "GET",
      route: "/api/jobs/:id",
      status: 200,
      ms: 3,
    });
    assert.match(String(time), /^\d{4}-\d\d-\d\dT/);
  },
});

Deno.test({
  name: "createLogger: drops every field that is not on the list, whatever the caller passes",
  ignore,
  fn: async () => {
    const { lines, log } = await written("info");
    const careless: object = {
      path: `/api/jobs/${JOB_ID}`,
      jobId: JOB_ID,
      headers: { authorization: "x" },
      prompt: "p",
    };
    log.info({ ...careless, status: 200 } as LogFields, "request");
    assert.deepEqual(Object.keys(lines[0] ?? {}).sort(), ["level", "msg", "status", "time"]);
  },
});

Deno.test({
  name: "createLogger: says nothing below its level",
  ignore,
  fn: async () => {
    const { lines, log } = await written("warn");
    log.debug({}, "a");
    log.info({}, "b");
    log.warn({}, "c");
    log.error({}, "d");
    assert.deepEqual(lines.map((line) => line.msg), ["c", "d"]);
  },
});
