import assert from "node:assert/strict";
import { createWorld, type World } from "../harness/world.ts";
import { bearer, paidSession } from "../harness/session-payer.ts";
import { createJob } from "../harness/payer.ts";
import { signIn } from "../harness/identity.ts";

function inWorld(name: string, play: (world: World) => Promise<void>, options: Parameters<typeof createWorld>[0] = {}) {
  Deno.test(name, async () => {
    const world = await createWorld(options);
    try {
      await play(world);
    } finally {
      await world.close();
    }
  });
}

const LOCAL = { settings: { chatModels: ["claude-sonnet-4-6", "local/x", "local/deep/er"] } };
const CHAT = { model: "claude-sonnet-4-6", messages: [{ role: "user", content: "Hello there" }] };

inWorld("a method that a path does not have is 405 with Allow, in the shape of its part of the API", async (world) => {
  const job = await createJob(world.call, "What is a hold invoice?");
  const rows: [string, string, string][] = [
    ["DELETE", "/api/health", "GET, HEAD"],
    ["GET", "/api/jobs", "POST"],
    ["PUT", `/api/jobs/${job.jobId}`, "GET, HEAD"],
    ["GET", `/api/jobs/${job.jobId}/refund`, "POST"],
    ["POST", "/api/doc", "GET, HEAD"],
    ["PATCH", "/api/sessions/x/requests/y", "GET, HEAD"],
    ["POST", "/api/v1/models/local/x", "GET, HEAD"],
    ["GET", "/v1/chat/completions", "POST"],
  ];
  for (const [method, path, allow] of rows) {
    const { status, headers, body } = await world.call(method, path);
    assert.deepEqual(
      [status, headers.get("allow"), body.error.code],
      [405, allow, "method_not_allowed"],
      `${method} ${path}`,
    );
    assert.ok(body.error.message.includes(allow));
    assert.equal("type" in body.error, path.includes("v1"), "OpenAI's shape");
  }
  for (const path of ["/api/health", "/v1/models"]) {
    assert.equal((await world.app.request(path, { method: "HEAD" })).status, 200);
  }
  assert.equal((await world.call("OPTIONS", "/api/jobs")).status, 204);
  for (const path of ["/api/nothing", "/nothing", `/api/jobs/${job.jobId}/x`]) {
    const { status, body, headers } = await world.call("GET", path);
    assert.deepEqual([status, body.error.code, headers.get("allow")], [404, "not_found", null], path);
  }
});

inWorld("an unknown path below /api/v1 or /v1 is 404 in OpenAI's shape, and names what there is", async (world) => {
  for (const path of ["/api/v1", "/v1", "/v1/", "/api/v1/embeddings", "/v1/responses", "/v1/chat", "/v1/models/x/"]) {
    const { status, body } = await world.call("GET", path);
    assert.equal(status, 404, path);
    assert.equal(body.error.type, "invalid_request_error", path);
    if (path.includes("models")) continue;
    for (const route of ["POST /api/v1/chat/completions", "GET /api/v1/models,", "GET /api/v1/models/{id}"]) {
      assert.ok(body.error.message.includes(route), `${path}: ${body.error.message}`);
    }
  }
  for (const path of ["/v1/embeddings", "/v1/completions", "/api/v1/responses", "/v1/audio/speech"]) {
    for (const method of ["POST", "PUT", "DELETE"]) {
      const { status, body } = await world.call(method, path, { model: "x", input: "hello" });
      assert.deepEqual([status, body.error.type], [404, "invalid_request_error"], `${method} ${path}`);
      assert.match(body.error.message, /There is: POST \/api\/v1\/chat\/completions, /);
    }
  }
  assert.equal((await world.call("GET", "/v10/models")).body.error.type, undefined);
});

inWorld("models: /v1 is the same router, and an id may have slashes", async (world) => {
  const { body, status } = await world.call("GET", "/v1/models");
  assert.equal(status, 200);
  assert.deepEqual(body, (await world.call("GET", "/api/v1/models")).body);
  for (
    const path of [
      "/api/v1/models/local/x",
      "/v1/models/local/x",
      "/v1/models/local%2Fx",
      "/api/v1/models/local/deep/er",
    ]
  ) {
    const model = await world.call("GET", path);
    assert.equal(model.status, 200, path);
    assert.equal(model.body.id, path.includes("deep") ? "local/deep/er" : "local/x");
  }
  for (const path of ["/v1/models/local", "/v1/models/local/x/y"]) {
    assert.deepEqual((await world.call("GET", path)).body.error.code, "model_not_found", path);
  }
}, LOCAL);

inWorld("chat: /v1 takes the body, the token and the stream as /api/v1 does", async (world) => {
  const unpaid = await world.call("POST", "/v1/chat/completions", CHAT);
  assert.deepEqual([unpaid.status, unpaid.body.error.type], [402, "payment_required"]);
  assert.match(unpaid.headers.get("www-authenticate") ?? "", /^L402 macaroon="/);
  const { macaroon } = await paidSession(world, world.call, 1_000);
  const whole = await world.call("POST", "/v1/chat/completions", CHAT, bearer(macaroon));
  assert.equal(whole.status, 200);
  assert.ok(whole.body.choices[0].message.content.length > 0);
  const streamed = await world.call("POST", "/v1/chat/completions", { ...CHAT, stream: true }, bearer(macaroon));
  assert.match(streamed.headers.get("content-type") ?? "", /^text\/event-stream/);
  assert.deepEqual(
    [streamed.headers.get("x-accel-buffering"), streamed.headers.get("cache-control")],
    ["no", "no-store"],
  );
  assert.match(streamed.body, /data: \[DONE\]\n\n$/);
  // Up to a conversation's own limit, not that of other bodies.
  const long = { ...CHAT, messages: [{ role: "user", content: "x".repeat(100_000) }] };
  assert.notEqual((await world.call("POST", "/v1/chat/completions", long, bearer(macaroon))).status, 413);
});

inWorld("what is private is not stored on its way; what is public may be", async (world) => {
  const { macaroon, sessionId } = await paidSession(world, world.call, 500);
  const { auth } = await signIn(world, world.call);
  const job = await createJob(world.call, "What is a hold invoice?");
  const kept = async (method: string, path: string, body?: unknown, headers = {}) =>
    (await world.call(method, path, body, headers)).headers.get("cache-control");
  const private_: Parameters<typeof kept>[] = [
    ["GET", `/api/sessions/${sessionId}`],
    ["POST", "/api/sessions", { amount_sats: 100 }],
    ["GET", `/api/sessions/${sessionId}/requests`, undefined, bearer(macaroon)],
    ["POST", `/api/sessions/${sessionId}/macaroon`, { preimage: "00".repeat(32) }],
    ["POST", "/api/jobs", { request: "What is a hold invoice?" }],
    ["GET", `/api/jobs/${job.jobId}`],
    ["HEAD", `/api/jobs/${job.jobId}/events`],
    ["GET", "/api/identity/me", undefined, auth],
    ["POST", "/api/identity/challenge"],
    ["POST", "/api/v1/chat/completions", CHAT], // a challenge holds a macaroon
    ["POST", "/v1/chat/completions", CHAT, bearer(macaroon)],
    ["GET", "/api/estimate?request=a", undefined, auth],
    ["POST", `/api/dev/stub/pay/${job.evalInvoice.paymentHash}`], // a preimage
    ["GET", "/api/v1/models/nothing"],
    ["GET", "/api/nothing"],
  ];
  for (const row of private_) assert.equal(await kept(...row), "no-store", row.slice(0, 2).join(" "));
  for (const path of ["/api/doc", "/api/reference", "/v1/models", "/api/v1/models/claude-sonnet-4-6"]) {
    assert.notEqual(await kept("GET", path), "no-store", path);
  }
  assert.equal(await kept("GET", "/api/reference/init.js"), "public, max-age=86400");
});

inWorld("every stream of events says that no proxy is to collect it first, and no other answer does", async (world) => {
  const job = await createJob(world.call, "What is a hold invoice?");
  const { macaroon } = await paidSession(world, world.call, 1_000);
  const answered = async (path: string, body?: unknown) => {
    const headers = { "content-type": "application/json", ...bearer(macaroon) };
    const response = await world.app.request(path, body ? { method: "POST", headers, body: JSON.stringify(body) } : {});
    await response.body?.cancel();
    return [response.status, response.headers.get("x-accel-buffering")];
  };
  const stream = { ...CHAT, stream: true };
  assert.deepEqual(await answered(`/api/jobs/${job.jobId}/events`), [200, "no"]);
  assert.deepEqual(await answered("/api/v1/chat/completions", stream), [200, "no"]);
  assert.deepEqual(await answered("/v1/chat/completions", { ...stream, max_tokens: 5 }), [200, "no"]);
  assert.deepEqual(await answered("/api/v1/chat/completions", CHAT), [200, null]);
  assert.deepEqual(await answered("/api/v1/chat/completions", { ...stream, n: 2 }), [400, null]);
  assert.deepEqual(await answered(`/api/jobs/${job.jobId}`), [200, null]);
});

inWorld("job events: five streams on a job are enough; its payer still reads it", async (world) => {
  const job = await createJob(world.call, "What is a hold invoice?");
  const path = `/api/jobs/${job.jobId}/events`;
  const open = [];
  for (let i = 0; i < 5; i++) open.push(await world.app.request(path));
  assert.deepEqual(open.map(({ status }) => status), [200, 200, 200, 200, 200]);
  const refused = await world.call("GET", path);
  assert.deepEqual([refused.status, refused.body.error.code], [429, "too_many_streams"]);
  assert.ok(Number(refused.headers.get("retry-after")) > 0);
  assert.equal((await world.call("GET", `/api/jobs/${job.jobId}`)).status, 200);
  for (const { body } of open) await body?.cancel();
});
