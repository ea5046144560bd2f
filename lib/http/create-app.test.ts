import assert from "node:assert/strict";
import { createRoute, z } from "@hono/zod-openapi";
import { HTTPException } from "hono/http-exception";
import { type AppMiddleware, type AppRouteHandler, createApp, createRouter, mount } from "./create-app.ts";
import { ApiError, conflict, errorResponses, errorSchema, paymentRequired } from "./errors.ts";
import { collectingLogger } from "@/lib/logger.ts";

interface EchoDeps {
  prefix: string;
}

const postEcho = createRoute({
  method: "post",
  path: "/echo/{id}",
  request: {
    params: z.object({ id: z.string().max(8) }),
    body: { required: true, content: { "application/json": { schema: z.strictObject({ text: z.string().min(1) }) } } },
  },
  responses: {
    201: { description: "echo", content: { "application/json": { schema: z.object({ echoed: z.string() }) } } },
    ...errorResponses(400),
  },
});

const echo: AppRouteHandler<typeof postEcho, EchoDeps> = (c) =>
  c.json({ echoed: c.get("deps").prefix + c.req.valid("json").text }, 201);

function build(thrown: () => Error = () => new Error("boom")) {
  const log = collectingLogger();
  const id: AppMiddleware = async (c, next) => {
    c.set("requestId", "req-1");
    await next();
  };
  const app = createApp({ deps: { prefix: "> ", other: 1 }, log, middlewares: [id] });
  const router = createRouter<EchoDeps>();
  router.openapi(postEcho, echo);
  router.get("/throw", () => {
    throw thrown();
  });
  mount(app, router);
  return { app, log };
}

const post = (body: string, headers: Record<string, string> = { "Content-Type": "application/json" }) => ({
  method: "POST",
  body,
  headers,
});

async function error(response: Response) {
  const body = errorSchema.strict().parse(await response.json());
  assert.equal(body.error.requestId, "req-1");
  return body.error;
}

Deno.test("createApp: handlers read the dependencies from the context", async () => {
  const response = await build().app.request("/echo/1", post(`{"text":"hi"}`));
  assert.equal(response.status, 201);
  assert.deepEqual(await response.json(), { echoed: "> hi" });
});

Deno.test("createApp: what does not fit the contract is 400 and names the field", async () => {
  const { app, log } = build();
  const rows: [string, string][] = [
    [`{}`, "text is missing"],
    [`{"text":""}`, "text must not be empty"],
    [`{"text":7}`, "text must be a string"],
    [`{"text":"x","bid":1}`, "bid is not a field of this request; remove it"],
    [`[]`, "the body must be an object"],
  ];
  for (const [body, message] of rows) {
    const response = await app.request("/echo/1", post(body));
    assert.equal(response.status, 400, body);
    const { code, message: said } = await error(response);
    assert.deepEqual([code, said], ["validation_failed", `The request is not valid: ${message}.`]);
  }
  const path = await app.request("/echo/123456789", post(`{"text":"x"}`));
  assert.match((await error(path)).message, /id is too long: at most 8 characters/);
  assert.deepEqual(log.lines, []);
});

Deno.test("createApp: no body, broken JSON and another content type are told apart", async () => {
  const { app } = build();
  const none = await app.request("/echo/1", { method: "POST" });
  assert.deepEqual([none.status, (await error(none)).code], [400, "validation_failed"]);
  for (const broken of ["{", "", "{'text':1}", `{"text":"x"`]) {
    const response = await app.request("/echo/1", post(broken));
    assert.deepEqual([response.status, (await error(response)).code], [400, "invalid_json"], broken);
  }
  const form = await app.request("/echo/1", post("text=x", { "Content-Type": "application/x-www-form-urlencoded" }));
  const { code, message } = await error(form);
  assert.deepEqual([form.status, code], [415, "unsupported_media_type"]);
  assert.match(message, /Content-Type: application\/json/);
});

Deno.test("createApp: an unknown path is 404 in the one shape and does not repeat the path", async () => {
  const response = await build().app.request("/no/such/secret");
  assert.equal(response.status, 404);
  const { code, message } = await error(response);
  assert.equal(code, "not_found");
  assert.ok(!message.includes("secret"));
});

Deno.test("createApp: an ApiError keeps its status, code, details and header lines in order", async () => {
  const challenge = await build(() => paymentRequired("payment_required", "Pay.", ["L402 first", "Other second"])).app
    .request("/throw");
  assert.equal(challenge.status, 402);
  assert.equal(challenge.headers.get("WWW-Authenticate"), "L402 first, Other second");
  const { app, log } = build(() => conflict("refunded", "Already refunded.", { refundPaymentHash: "h" }));
  const refunded = await app.request("/throw");
  assert.equal(refunded.status, 409);
  assert.deepEqual((await error(refunded)).details, { refundPaymentHash: "h" });
  assert.deepEqual(log.lines, []);
});

Deno.test("createApp: the internal cause of an ApiError is logged and not sent", async () => {
  const { app, log } = build(() =>
    new ApiError({ status: 503, code: "down", publicMessage: "Later.", cause: new Error("inner secret") })
  );
  const text = await (await app.request("/throw")).text();
  assert.ok(!text.includes("inner secret"));
  assert.equal(log.lines.length, 1);
  assert.match(JSON.stringify(log.lines[0]?.fields), /inner secret/);
});

Deno.test("createApp: an unexpected error is 500 with nothing but the request id, and logged", async () => {
  const { app, log } = build(() => new Error("the database said secret"));
  const response = await app.request("/throw");
  assert.equal(response.status, 500);
  assert.deepEqual(await response.json(), {
    error: { code: "internal", message: "Internal error. Report the request id if it persists.", requestId: "req-1" },
  });
  assert.equal(log.lines.length, 1);
  assert.equal(log.lines[0]?.level, "error");
  assert.match(JSON.stringify(log.lines[0]?.fields), /the database said secret.*stack/);
});

Deno.test("createApp: hono's own exceptions get the one shape; an unknown one is 500 without its text", async () => {
  const forbidden = await build(() => new HTTPException(403, { message: "inner" })).app.request("/throw");
  assert.deepEqual([forbidden.status, (await error(forbidden)).code], [403, "forbidden"]);
  const teapot = await build(() => new HTTPException(418, { message: "inner" })).app.request("/throw");
  const { code, message } = await error(teapot);
  assert.deepEqual([teapot.status, code], [500, "internal"]);
  assert.ok(!message.includes("inner"));
});

Deno.test("createApp: what fails after the caller went away is not counted as our failure", async () => {
  const { app, log } = build();
  const controller = new AbortController();
  controller.abort();
  const response = await app.request(new Request("http://localhost/throw", { signal: controller.signal }));
  assert.deepEqual([response.status, (await error(response)).code], [408, "request_aborted"]);
  assert.deepEqual(log.lines.map((line) => line.level), ["warn"]);
});
