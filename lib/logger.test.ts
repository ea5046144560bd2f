import assert from "node:assert/strict";
import { allowedFields, collectingLogger, type LogFields, withFields } from "./logger.ts";

const JOB_ID = "0123456789abc-" + "0f".repeat(16);
const HASH = "ab".repeat(32);

Deno.test("allowedFields: drops a value of another type than the field's", () => {
  assert.deepEqual(allowedFields({ status: "200", route: { toString: () => JOB_ID }, count: 2, constructor: "x" }), {
    count: 2,
  });
});

Deno.test("allowedFields: an unexpected error keeps name, message, stack and cause", () => {
  const fields = allowedFields({ error: new TypeError("outer", { cause: new Error("inner") }) });
  const error = fields.error as { name: string; message: string; stack: string; cause: { message: string } };
  assert.equal(error.name, "TypeError");
  assert.equal(error.message, "outer");
  assert.match(error.stack, /logger\.test\.ts/);
  assert.equal(error.cause.message, "inner");
});

Deno.test("allowedFields: what opens something is taken out of error texts", () => {
  const secrets = [
    JOB_ID,
    HASH,
    "lnbcrt10u1pabcdefghijklmnopqrstuvwxyz0234",
    "nsec1qqqqqqqqqqqqqqqqqqqqqqqqqqqqq",
    "sk-ant-api03-abcdefgh",
    "Bearer abcdefghijkl",
    "AgEFdGltbXkCQgAAAtRJox+7JnyPNS6ZaKeePl/JXBu+qlAv1kVOveWkvtwiIiIiIiIi+/IiIiIiIiIi".replace(/[+/]/g, "x"),
    "https://user:password@lnbits.example/x",
    "https://lnbits.example/api?api-key=topsecret",
  ];
  for (const secret of secrets) {
    const error = new Error(`before ${secret} after`);
    const logged = JSON.stringify(allowedFields({ error, reason: `before ${secret} after` }));
    assert.ok(!logged.includes(secret), `${secret} in ${logged}`);
    assert.ok(logged.includes("before") && logged.includes("after"));
  }
  assert.ok(!JSON.stringify(allowedFields({ reason: secrets[7] })).includes("password"));
  assert.ok(!JSON.stringify(allowedFields({ reason: secrets[8] })).includes("topsecret"));
});

Deno.test("allowedFields: long texts are cut", () => {
  const reason = allowedFields({ reason: "x".repeat(10_000) }).reason;
  assert.ok(typeof reason === "string" && reason.length < 600);
});

Deno.test("collectingLogger: keeps what the real one would write, and drops what it would drop", () => {
  const log = collectingLogger();
  const careless: object = { path: `/api/jobs/${JOB_ID}`, status: 404 };
  log.info(careless as LogFields, "request");
  assert.deepEqual(log.lines, [{ level: "info", message: "request", fields: { status: 404 } }]);
});

Deno.test("withFields: adds fields to every line, the call's own win", () => {
  const log = collectingLogger();
  withFields(log, { requestId: "r1", count: 1 }).warn({ count: 2 }, "m");
  assert.deepEqual(log.lines, [{ level: "warn", message: "m", fields: { requestId: "r1", count: 2 } }]);
});
