import assert from "node:assert/strict";
import { createRoute, z } from "@hono/zod-openapi";
import { systemClock } from "@/lib/clock.ts";
import { createApp, createRouter, mount } from "@/lib/http/create-app.ts";
import { errorSchema } from "@/lib/http/errors.ts";
import { systemRandom } from "@/lib/ids.ts";
import { collectingLogger } from "@/lib/logger.ts";
import { parseTrustedProxies } from "./client-address.ts";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { MAX_BODY_BYTES, MAX_CHAT_BODY_BYTES } from "./receive-body.ts";
import { standardMiddlewares, type StandardOptions } from "./standard.ts";

const postEcho = createRoute({
  method: "post",
  path: "/api/jobs/{id}",
  request: {
    params: z.object({ id: z.string() }),
    body: { required: true, content: { "application/json": { schema: z.strictObject({ text: z.string() }) } } },
  },
  responses: {
    200: { description: "length", content: { "application/json": { schema: z.object({ length: z.number() }) } } },
  },
});

function build(options: Partial<StandardOptions> = {}) {
  const log = collectingLogger();
  const clock = { ms: 1_000_000_000, now: () => clock.ms, monotonic: () => clock.ms, after: () => () => {} };
  const app = createApp({
    deps: {},
    log,
    middlewares: standardMiddlewares({
      clock,
      random: systemRandom,
      publicOrigin: "http://127.0.0.1:8080",
      corsOrigins: ["https://shop.example"],
      trustedProxies: parseTrustedProxies(["10.0.0.1"]),
      rateLimitPerMinute: 0,
      ...options,
    }),
  });
  const router = createRouter<unknown>();
  router.openapi(postEcho, (c) => c.json({ length: c.req.valid("json").text.length }, 200));
  router.get("/api/health", (c) => c.text("ok"));
  router.get("/address", (c) => c.text(c.get("clientAddress")));
  router.get("/throw", () => {
    throw new Error("boom");
  });
  mount(app, router);
  return { app, log, clock };
}

const from = (hostname: string) => ({ remoteAddr: { hostname } });
const post = (body: string | ReadableStream<Uint8Array>, headers: Record<string, string> = {}) => ({
  method: "POST",
  body,
  headers: { "Content-Type": "application/json", ...headers },
});

Deno.test("requestId: every answer has its own, the same in header, body and log", async () => {
  const { app, log } = build();
  const ids = new Set<string>();
  for (const path of ["/address", "/throw", "/nowhere"]) {
    const response = await app.request(path);
    const id = response.headers.get("X-Request-Id") ?? "";
    assert.match(id, /^[0-9a-z]{13}$/);
    ids.add(id);
    if (path !== "/address") assert.equal(errorSchema.parse(await response.json()).error.requestId, id);
    const lines = log.lines.filter((line) => line.fields.requestId === id);
    assert.equal(lines.length, path === "/throw" ? 2 : 1, path);
  }
  assert.equal(ids.size, 3);
});

Deno.test("requestId: one from outside counts only from a trusted proxy, and only in a sane form", async () => {
  const { app } = build();
  const given = async (id: string, peer: string) =>
    (await app.request("/address", { headers: { "X-Request-Id": id } }, from(peer))).headers.get("X-Request-Id");
  const fine = "0af7651916cd43dd8448eb211c80319c";
  assert.equal(await given(fine, "10.0.0.1"), fine);
  assert.notEqual(await given(fine, "10.0.0.2"), fine);
  for (const bad of ["short", "x".repeat(41), "0123456789abc-" + "0f".repeat(16), "with space", 'quote"quote']) {
    assert.notEqual(await given(bad, "10.0.0.1"), bad);
  }
});

Deno.test("requestLog: one line per request with the route's pattern, and nothing of the path", async () => {
  const { app, log } = build();
  const id = "0123456789abc-" + "0f".repeat(16);
  await app.request(`/api/jobs/${id}?token=${id}`, post(`{"text":"hi"}`));
  await app.request(`/api/jobs/${id}`, post(`{"bad":"hi"}`));
  await app.request(`/nowhere/${id}`);
  assert.deepEqual(
    log.lines.map(({ level, message, fields: { method, route, status } }) => [level, message, method, route, status]),
    [
      ["info", "request", "POST", "/api/jobs/:id", 200],
      ["info", "request", "POST", "/api/jobs/:id", 400],
      ["info", "request", "GET", "/*", 404],
    ],
  );
  assert.ok(log.lines.every((line) => typeof line.fields.ms === "number"));
  assert.ok(!JSON.stringify(log.lines).includes(id));
});

Deno.test("requestLog: liveness is logged at debug", async () => {
  const { app, log } = build();
  await app.request("/api/health");
  assert.deepEqual(log.lines.map((line) => line.level), ["debug"]);
});

Deno.test("security headers: on every answer, errors too; HSTS only on https", async () => {
  const { app } = build();
  for (const path of ["/address", "/throw", "/nowhere"]) {
    const { headers } = await app.request(path);
    assert.equal(headers.get("X-Content-Type-Options"), "nosniff");
    assert.equal(headers.get("Referrer-Policy"), "no-referrer");
    assert.equal(headers.get("X-Frame-Options"), "DENY");
    const policy = headers.get("Content-Security-Policy") ?? "";
    assert.match(policy, /default-src 'none'/);
    assert.match(policy, /script-src 'self';/);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.ok(!policy.includes("unsafe"));
    assert.equal(headers.get("Strict-Transport-Security"), null);
  }
  const secure = await build({ publicOrigin: "https://timmy.example" }).app.request("/address");
  assert.equal(secure.headers.get("Strict-Transport-Security"), "max-age=15552000");
});

Deno.test("CORS: configured origins may read answers, refusals too; others may not", async () => {
  const { app } = build({ rateLimitPerMinute: 1 });
  const origin = async (value: string, path = "/address") =>
    (await app.request(path, { headers: { Origin: value } })).headers.get("Access-Control-Allow-Origin");
  assert.equal(await origin("https://shop.example"), "https://shop.example");
  const refused = await app.request("/address", { headers: { Origin: "https://shop.example" } });
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get("Access-Control-Allow-Origin"), "https://shop.example");
  assert.match(refused.headers.get("Access-Control-Expose-Headers") ?? "", /Retry-After/);
  assert.equal(await origin("https://evil.example"), null);
  assert.equal(refused.headers.get("Access-Control-Allow-Credentials"), null);

  const preflight = await app.request("/api/jobs/1", {
    method: "OPTIONS",
    headers: {
      Origin: "https://shop.example",
      "Access-Control-Request-Method": "POST",
      "Access-Control-Request-Headers": "authorization,idempotency-key,x-stainless-os",
    },
  });
  assert.equal(preflight.status, 204);
  assert.match(preflight.headers.get("Access-Control-Allow-Headers") ?? "", /idempotency-key/);
});

Deno.test("rate limit: per address, 429 with Retry-After in the one shape, free again after that time", async () => {
  const { app, clock } = build({ rateLimitPerMinute: 2 });
  const call = (peer: string, path = "/address") => app.request(path, {}, from(peer));
  assert.deepEqual([(await call("1.1.1.1")).status, (await call("1.1.1.1")).status], [200, 200]);
  const refused = await call("1.1.1.1");
  assert.equal(refused.status, 429);
  assert.equal(errorSchema.parse(await refused.json()).error.code, "rate_limited");
  const seconds = Number(refused.headers.get("Retry-After"));
  assert.ok(Number.isInteger(seconds) && seconds >= 1 && seconds <= 65);
  assert.equal((await call("1.1.1.2")).status, 200);
  assert.equal((await call("::ffff:1.1.1.1")).status, 429);
  assert.equal((await call("1.1.1.1", "/api/health")).status, 200);
  assert.equal((await call("1.1.1.1", "/nowhere")).status, 429);
  clock.ms += seconds * 1000;
  assert.equal((await call("1.1.1.1")).status, 200);
});

Deno.test("rate limit: a v6 caller cannot escape within its /64, nor any caller by a forged header", async () => {
  const { app } = build({ rateLimitPerMinute: 1 });
  const call = (peer: string, forwarded: string) =>
    app.request("/address", { headers: { "X-Forwarded-For": forwarded } }, from(peer));
  assert.equal((await call("2001:db8::1", "1.2.3.4")).status, 200);
  assert.equal((await call("2001:db8::2", "1.2.3.5")).status, 429);
  assert.equal((await call("10.0.0.1", "6.6.6.1, 7.7.7.7")).status, 200);
  assert.equal((await call("10.0.0.1", "6.6.6.2, 7.7.7.7")).status, 429);
});

Deno.test("rate limit: 0 switches it off", async () => {
  const { app } = build({ rateLimitPerMinute: 0 });
  for (let i = 0; i < 500; i++) assert.equal((await app.request("/address")).status, 200);
});

Deno.test("body limit: exactly the limit passes, one byte more is 413, declared or not", async () => {
  const { app } = build();
  const bodyOf = (bytes: number) => `{"text":"${"x".repeat(bytes - 11)}"}`;
  const streamed = (text: string) => new Blob([text]).stream();
  for (
    const send of [
      (text: string) => post(text, { "Content-Length": String(text.length) }),
      (text: string) => post(streamed(text)),
    ]
  ) {
    assert.equal((await app.request("/api/jobs/1", send(bodyOf(MAX_BODY_BYTES)))).status, 200);
    const refused = await app.request("/api/jobs/1", send(bodyOf(MAX_BODY_BYTES + 1)));
    assert.equal(refused.status, 413);
    assert.equal(errorSchema.parse(await refused.json()).error.code, "payload_too_large");
  }
});

Deno.test("body limit: a conversation may be longer, up to its own limit", async () => {
  const { app } = build();
  const sent = async (path: string, bytes: number) => (await app.request(path, post("x".repeat(bytes)))).status;
  assert.equal(await sent("/api/v1/chat/completions", MAX_CHAT_BODY_BYTES), 404);
  assert.equal(await sent("/api/v1/chat/completions", MAX_CHAT_BODY_BYTES + 1), 413);
  assert.equal(await sent("/api/v2", MAX_BODY_BYTES + 1), 413);
});

for (
  const [name, head] of [
    ["of a declared length", "Content-Length: 1000\r\n\r\n"],
    ["of unknown length", "Transfer-Encoding: chunked\r\n\r\n5\r\n"],
  ]
) {
  Deno.test(`over a real socket: a body ${name} that does not arrive is given up after 30 seconds`, async () => {
    const clock = createFakeClock();
    const { app, log } = build({ clock });
    const reached = Promise.withResolvers<void>();
    const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
      const answer = app.fetch(request);
      reached.resolve();
      return answer;
    });
    try {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port: server.addr.port });
      const start = `POST /api/jobs/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${head}{"tex`;
      await connection.write(new TextEncoder().encode(start));
      await reached.promise;
      await clock.advance(29_999);
      assert.ok(clock.pending() > 0, "it waits");
      await clock.advance(1);
      const buffer = new Uint8Array(4096);
      const answer = new TextDecoder().decode(buffer.subarray(0, await connection.read(buffer) ?? 0));
      connection.close();
      assert.match(answer, /^HTTP\/1\.1 408 /);
      assert.match(answer, /request_timeout/);
      assert.ok(!log.lines.some((line) => line.level === "error"));
    } finally {
      await server.shutdown();
    }
  });
}

Deno.test("over a real socket: the caller's address, and a chunked body that never ends is cut off", async () => {
  const { app, log } = build({ clock: systemClock });
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, app.fetch);
  const origin = `http://127.0.0.1:${server.addr.port}`;
  try {
    assert.equal(await (await fetch(`${origin}/address`)).text(), "127.0.0.1");

    const connection = await Deno.connect({ hostname: "127.0.0.1", port: server.addr.port });
    const head =
      "POST /api/jobs/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    await connection.write(new TextEncoder().encode(head));
    const chunk = new TextEncoder().encode("4000\r\n" + "x".repeat(0x4000) + "\r\n"); // 16 KiB; no last chunk ever follows
    for (let i = 0; i < 5; i++) {
      for (let sent = 0; sent < chunk.length;) sent += await connection.write(chunk.subarray(sent));
    }
    const buffer = new Uint8Array(4096);
    const read = await connection.read(buffer);
    const answer = new TextDecoder().decode(buffer.subarray(0, read ?? 0));
    connection.close();
    assert.match(answer, /^HTTP\/1\.1 413 /);
    assert.match(answer, /payload_too_large/);
    assert.equal(await fetch(`${origin}/address`).then((r) => r.text()), "127.0.0.1"); // still serving
    assert.ok(!log.lines.some((line) => line.level === "error"));
  } finally {
    await server.shutdown();
  }
});

Deno.test("over a real socket: a length that is declared twice is no way around the limit", async () => {
  const { app } = build();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, app.fetch);
  try {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port: server.addr.port });
    const size = MAX_BODY_BYTES + 1;
    const length = `Content-Length: ${size}\r\n`; // the same twice, which HTTP allows; the header reads "65537, 65537"
    const head = `POST /api/jobs/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${length}${length}\r\n`;
    const bytes = new TextEncoder().encode(head + "x".repeat(size));
    for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
    const buffer = new Uint8Array(4096);
    const answer = new TextDecoder().decode(buffer.subarray(0, await connection.read(buffer) ?? 0));
    connection.close();
    assert.match(answer, /^HTTP\/1\.1 413 /);
  } finally {
    await server.shutdown();
  }
});

/** The first line of the answer to raw bytes, and what follows it. */
async function raw(port: number, text: string): Promise<string> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new TextEncoder().encode(text));
  const buffer = new Uint8Array(4096);
  const answer = new TextDecoder().decode(buffer.subarray(0, await connection.read(buffer) ?? 0));
  connection.close();
  return answer;
}

Deno.test("over a real socket: a Host that is not host[:port] is 400, whatever path it would make", async () => {
  const { app, log } = build({ clock: systemClock });
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, app.fetch);
  const { port } = server.addr;
  const get = (host: string, target = "/address") => raw(port, `GET ${target} HTTP/1.1\r\n${host}\r\n`);
  try {
    const bad = [
      "x/api/health?",
      "x y",
      "[::1",
      "x:99999",
      "",
      "x#",
      "u@x",
      "x:",
      "[x]",
      "x\\y",
      "a,b",
      "x:80:80",
      "[::1]x",
    ];
    for (const host of bad) {
      const answer = await get(`Host: ${host}\r\n`);
      assert.match(answer, /^HTTP\/1\.1 400 /, host);
      assert.match(answer, /"code":"invalid_host"/, host);
    }
    assert.match(await get("Host: a\r\nHost: b\r\n"), /^HTTP\/1\.1 400 /);
    assert.match(await get("Host: a\r\n", "http://x?/address"), /^HTTP\/1\.1 400 [^]*invalid_host/);
    for (
      const host of [
        "x",
        "x:8080",
        "Sub_1.example.com",
        "127.0.0.1:1",
        "[::1]",
        "[2001:db8::1]:65535",
        "xn--bcher-kva.example",
      ]
    ) {
      assert.match(await get(`Host: ${host}\r\n`), /^HTTP\/1\.1 200 /, host);
    }
    assert.ok(!log.lines.some((line) => line.level === "error"));
  } finally {
    await server.shutdown();
  }
});
