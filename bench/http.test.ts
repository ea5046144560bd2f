import assert from "node:assert/strict";
import { load, requestBytes } from "./http.ts";

/** What one request over a kept-alive socket meets: a server that answers these pieces of bytes each time. */
async function loaded(pieces: readonly string[]): Promise<number> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const serving = (async () => {
    using connection = await listener.accept();
    const asked = new Uint8Array(4_096);
    while (await connection.read(asked) !== null) {
      for (const piece of pieces) await connection.write(new TextEncoder().encode(piece));
    }
  })();
  try {
    const request = requestBytes(port, { method: "POST", path: "/", body: {} });
    return await load(port, request, { connections: 1, ms: 5, status: 200 });
  } finally {
    listener.close();
    await serving.catch(() => {});
  }
}

const HEAD = "HTTP/1.1 200 OK\r\n";
const STREAM = `${HEAD}transfer-encoding: chunked\r\n\r\n`;
const DONE = "e\r\ndata: [DONE]\n\n\r\n";

Deno.test("load: an answer of a named length, in bytes, and a whole stream, in whatever pieces they come", async () => {
  for (
    const pieces of [
      [`${HEAD}content-length: 3\r\n\r\n`, "€"],
      [HEAD, "Content-Length: 0\r\n", "\r\n"],
      [STREAM, DONE, "0\r\n\r\n"],
      [STREAM + DONE + "0\r\n", "\r\n"],
    ]
  ) assert.ok(await loaded(pieces) > 0, JSON.stringify(pieces));
});

Deno.test("load: another status, and a stream that ends without its end, are no answers", async () => {
  await assert.rejects(loaded(["HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"]), /not a 200/);
  await assert.rejects(loaded([`${STREAM}0\r\n\r\n`]), /not a whole stream/);
});
