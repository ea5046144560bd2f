import assert from "node:assert/strict";
import { BodyTooLarge, boundBody } from "./bounded-body.ts";

/** A body of these chunks that then waits, and remembers whether it was cancelled. */
function waitingBody(...chunks: string[]) {
  const state = { cancelled: false };
  const body = new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk));
    },
    cancel: () => void (state.cancelled = true),
  });
  return { response: new Response(body, { status: 201, headers: { "x-is": "kept" } }), state };
}

Deno.test("boundBody: an abort ends the reading and cancels the body below, without any help of fetch", async () => {
  const { response, state } = waitingBody("one");
  const controller = new AbortController();
  const bounded = boundBody(response, 100, controller.signal);
  assert.deepEqual([bounded.status, bounded.headers.get("x-is")], [201, "kept"]);
  const reader = bounded.body?.getReader();
  assert.equal(new TextDecoder().decode((await reader?.read())?.value), "one");
  const next = reader?.read();
  controller.abort();
  await assert.rejects(async () => await next, { name: "AbortError" });
  assert.equal(state.cancelled, true);
});

Deno.test("boundBody: a signal that has aborted already lets nothing through", async () => {
  const { response, state } = waitingBody("one");
  await assert.rejects(boundBody(response, 100, AbortSignal.abort()).text(), { name: "AbortError" });
  assert.equal(state.cancelled, true);
});

Deno.test("boundBody: the limit's last byte passes, one more fails and cancels the body below", async () => {
  const { signal } = new AbortController();
  assert.equal(await boundBody(new Response("12345"), 5, signal).text(), "12345");
  const { response, state } = waitingBody("123", "456");
  await assert.rejects(boundBody(response, 5, signal).text(), BodyTooLarge);
  assert.equal(state.cancelled, true);
});

Deno.test("boundBody: a reader that leaves cancels the body below", async () => {
  const { response, state } = waitingBody("one");
  await boundBody(response, 5, new AbortController().signal).body?.cancel();
  assert.equal(state.cancelled, true);
});
