import assert from "node:assert/strict";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { createApp, createRouter, mount } from "./create-app.ts";
import { createEventStreams, type EventSource } from "./event-stream.ts";
import { collectingLogger } from "@/lib/logger.ts";

/** `GET /:topic` streams until `end`; `x-from` says who asks. */
function build(limits = { all: 4, address: 3, topic: 2 }) {
  const clock = createFakeClock();
  const log = collectingLogger();
  const app = createApp({
    deps: { clock },
    log,
    middlewares: [async (c, next) => {
      c.set("clientAddress", c.req.header("x-from") ?? "a");
      await next();
    }],
  });
  const streams = createEventStreams(limits);
  const router = createRouter<{ clock: typeof clock }>();
  let ended = 0;
  router.get("/:topic", (c) =>
    streams.answer(c, c.req.param("topic"), (): EventSource => {
      const over = Promise.withResolvers<void>();
      async function* events() {
        yield { event: "first", data: { n: 1 } };
        await over.promise;
      }
      return {
        events: events(),
        end() {
          ended++;
          over.resolve();
        },
      };
    }));
  mount(app, router);
  const open = (topic: string, from = "a") => app.request(`/${topic}`, { headers: { "x-from": from } });
  return { clock, app, open, ended: () => ended };
}

const code = async (response: Response) => (await response.json()).error.code;

Deno.test("event streams: one topic, one address and all have their share; what ends makes room", async () => {
  const { open, clock } = build();
  const first = await open("x");
  const opened = [first, await open("x"), await open("y")];
  const topic = await open("x", "b");
  assert.deepEqual([topic.status, topic.headers.get("retry-after"), await code(topic)], [
    429,
    "10",
    "too_many_streams",
  ]);
  const address = await open("z");
  assert.deepEqual([address.status, await code(address)], [429, "too_many_streams"]);
  opened.push(await open("z", "b"));
  const all = await open("z", "c");
  assert.deepEqual([all.status, all.headers.get("retry-after"), await code(all)], [503, "10", "too_many_streams"]);
  await first.body?.cancel();
  await clock.settle();
  const again = await open("x", "c");
  assert.equal(again.status, 200, "a refused stream took nothing, and a closed one gave its place back");
  for (const response of [...opened.slice(1), again]) await response.body?.cancel();
  await clock.settle();
});

Deno.test("event streams: HEAD takes no place", async () => {
  const { app } = build();
  for (let i = 0; i < 5; i++) {
    const response = await app.request("/x", { method: "HEAD" });
    assert.equal(response.status, 200);
    assert.match(response.headers.get("content-type") ?? "", /^text\/event-stream/);
  }
});

Deno.test("event streams: a quiet one says that it is there; a reader that takes nothing is dropped, and its place is free", async () => {
  const { open, clock, ended } = build({ all: 1, address: 1, topic: 1 });
  const response = await open("x");
  const reader = response.body!.getReader();
  const text = async () => new TextDecoder().decode((await reader.read()).value);
  assert.equal(await text(), 'event: first\ndata: {"n":1}\n\n');
  await clock.advance(15_000);
  assert.equal(await text(), ": still here\n\n");
  assert.equal(ended(), 0);
  await clock.advance(120_000);
  assert.ok(ended() > 0);
  const next = await open("x");
  assert.equal(next.status, 200);
  await next.body?.cancel();
  await clock.settle();
});
