import assert from "node:assert/strict";
import { type Clock, systemClock } from "@/lib/clock.ts";
import { createApp, createRouter, mount } from "@/lib/http/create-app.ts";
import { collectingLogger } from "@/lib/logger.ts";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { BODY_LIMITS, type BodyLimits, dropUnread, receiveBody } from "./receive-body.ts";

/** A server that answers with how many bytes came; `/hold` answers when `release` is called. */
function serve(limits: Partial<BodyLimits>, clock: Clock = systemClock) {
  const log = collectingLogger();
  const held = Promise.withResolvers<void>();
  let arrived = () => {};
  const app = createApp({
    deps: {},
    log,
    middlewares: [
      async (c, next) => {
        c.set("clientAddress", c.req.header("x-from") ?? "somebody");
        await next();
      },
      dropUnread(clock),
      receiveBody(systemClock, { ...BODY_LIMITS, ...limits }),
    ],
  });
  const router = createRouter<unknown>();
  router.post("/size", (c) => c.text(String(c.get("rawBody")?.length)));
  router.post("/hold", async (c) => {
    arrived();
    await held.promise;
    return c.text("done");
  });
  mount(app, router);
  const stop = new AbortController();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {}, signal: stop.signal },
    (request) => app.fetch(request),
  );
  return {
    log,
    port: server.addr.port,
    release: held.resolve,
    holding: () => new Promise<void>((resolve) => arrived = resolve),
    [Symbol.asyncDispose]: () => {
      stop.abort();
      return server.finished;
    },
  };
}

const encode = (text: string) => new TextEncoder().encode(text);

async function send(port: number, text: string): Promise<Deno.TcpConn> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(encode(text));
  return connection;
}

/** All that comes until the other end closes the connection. */
async function untilClosed(connection: Deno.TcpConn): Promise<string> {
  let text = "";
  const waited = setTimeout(() => connection.close(), 5_000); // which fails the test: the other end did not
  try {
    for await (const bytes of connection.readable) text += new TextDecoder().decode(bytes);
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
  } finally {
    clearTimeout(waited);
  }
  return text;
}

const head = (path: string, declared: number, from = "somebody") =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\nX-From: ${from}\r\nContent-Length: ${declared}\r\n\r\n`;

/** One answer's head and body. */
async function answerTo(port: number, text: string): Promise<string> {
  const connection = await send(port, text);
  const buffer = new Uint8Array(4096);
  const answer = new TextDecoder().decode(buffer.subarray(0, await connection.read(buffer) ?? 0));
  connection.close();
  return answer;
}

Deno.test("slow bodies: 300 of them cost what they sent, are answered 408 at the deadline, and are closed", async () => {
  await using server = serve({ arrivalMs: 2_000 });
  const start = (path: string) => head(path, MIB) + `{"messages"`;
  // The first ones pay for what every later one finds there: compiled code, pools.
  for (let i = 0; i < 30; i++) (await send(server.port, start("/api/v1/x"))).close();
  const before = Deno.memoryUsage().rss;
  const connections: Deno.TcpConn[] = [];
  for (let i = 0; i < 300; i++) connections.push(await send(server.port, start("/api/v1/x")));
  const grown = Deno.memoryUsage().rss - before;
  const buffer = new Uint8Array(1024);
  for (const connection of connections) {
    const answer = new TextDecoder().decode(buffer.subarray(0, await connection.read(buffer) ?? 0));
    assert.match(answer, /^HTTP\/1\.1 408 /);
    await connection.write(encode("x")); // it goes on trickling
  }
  const rest = await Promise.all(connections.map(untilClosed));
  assert.deepEqual(new Set(rest.map((text) => text.includes("HTTP/1.1"))), new Set([false]));
  assert.ok(grown < 20 * 1e6, `${Math.round(grown / 1e6)} MB while they waited`);
  assert.deepEqual(
    server.log.lines.filter(({ level }) => level === "error"),
    [],
    "nor is a caller who left an error of ours",
  );
});

const MIB = 1024 * 1024;

for (
  const [name, request] of [
    ["declared too large", head("/size", 70_000) + "x"],
    [
      "too large when it comes",
      `POST /size HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n11170\r\n${"x".repeat(70_000)}`,
    ],
  ]
) {
  Deno.test(`a refused body: ${name}: 413, then the connection is closed though the caller waits`, async () => {
    await using server = serve({});
    const text = await untilClosed(await send(server.port, request!));
    assert.match(text, /^HTTP\/1\.1 413 /);
    assert.match(text, /payload_too_large/);
  });
}

for (const [name, declared] of [["declared", true], ["in pieces", false]] as const) {
  Deno.test(`a refused body, ${name}: a caller who goes on sending it after the answer reads 413, and no reset`, async () => {
    const clock = createFakeClock();
    await using server = serve({}, clock);
    const body = encode("[".repeat(MIB));
    const connection = await send(
      server.port,
      declared
        ? head("/size", body.length)
        : `POST /size HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n`,
    );
    const write = async (from: number, to: number) => {
      for (let sent = from; sent < to;) sent += await connection.write(body.subarray(sent, to));
    };
    await write(0, 600_000);
    const buffer = new Uint8Array(64);
    const answer = new TextDecoder().decode(buffer.subarray(0, await connection.read(buffer) ?? 0));
    assert.match(answer, /^HTTP\/1\.1 413 /);
    await clock.advance(1_000); // its rest comes long after the answer left
    await write(600_000, body.length);
    const rest = await readSome(connection);
    assert.match(rest, /payload_too_large/);
    connection.close();
  });
}

/** @throws {Deno.errors.ConnectionReset} */
async function readSome(connection: Deno.TcpConn): Promise<string> {
  const buffer = new Uint8Array(1024);
  return new TextDecoder().decode(buffer.subarray(0, await connection.read(buffer) ?? 0));
}

Deno.test("a refused body that goes on for ever: the connection is closed", async () => {
  await using server = serve({});
  const connection = await send(server.port, head("/size", 2 ** 40));
  const piece = encode("[".repeat(MIB));
  let sent = 0;
  const sending = (async () => {
    for (;;) sent += await connection.write(piece);
  })();
  await assert.rejects(sending);
  connection.close();
  assert.ok(sent < 64 * MIB, `${sent} bytes were taken`);
});

Deno.test("bodies in flight: more than its share is 429 for an address, and nobody else's trouble", async () => {
  await using server = serve({ inFlightPerAddress: 1_000 });
  const holding = server.holding();
  const first = await send(server.port, head("/hold", 800, "a") + "x".repeat(800));
  await holding;
  const refused = await answerTo(server.port, head("/size", 201, "a") + "x".repeat(201));
  assert.match(refused, /^HTTP\/1\.1 429 [^]*retry-after: \d/i);
  assert.match(refused, /"code":"too_many_bodies"/);
  // Declaring much is not having sent it.
  assert.match(await answerTo(server.port, head("/size", 200, "a") + "x".repeat(200)), /200$/);
  assert.match(await answerTo(server.port, head("/size", 1_000, "b") + "x".repeat(1_000)), /1000$/);
  server.release();
  const buffer = new Uint8Array(1024);
  await first.read(buffer);
  first.close();
  assert.match(await answerTo(server.port, head("/size", 1_000, "a") + "x".repeat(1_000)), /1000$/);
});

Deno.test("bodies in flight: more than all may have together is 503 with Retry-After", async () => {
  await using server = serve({ inFlight: 1_000 });
  const holding = server.holding();
  const first = await send(server.port, head("/hold", 800, "a") + "x".repeat(800));
  await holding;
  const refused = await answerTo(server.port, head("/size", 201, "b") + "x".repeat(201));
  assert.match(refused, /^HTTP\/1\.1 503 [^]*retry-after: \d/i);
  server.release();
  const buffer = new Uint8Array(1024);
  await first.read(buffer);
  first.close();
  assert.match(await answerTo(server.port, head("/size", 1_000, "b") + "x".repeat(1_000)), /1000$/);
});

Deno.test("a body comes whole whatever its size and pieces", async () => {
  await using server = serve({});
  for (const size of [1, 1_023, 1_024, 1_025, 4_096, 65_535, 65_536]) {
    const url = `http://127.0.0.1:${server.port}/size`;
    const sent = await fetch(url, { method: "POST", body: "x".repeat(size) });
    assert.equal(await sent.text(), String(size));
    const pieces = new Blob(["y".repeat(size)]).stream();
    assert.equal(await (await fetch(url, { method: "POST", body: pieces })).text(), String(size), "in chunks");
  }
});
