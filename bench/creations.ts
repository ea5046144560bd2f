import { type Bench, median, number, perSecond, timed } from "./measure.ts";
import { startBare, startTimmy } from "./program.ts";

const ROUNDS = 3;
const CONNECTIONS = [16, 64];
const LOAD_MS = 1_500;
const WARM_UP_MS = 1_000;

const BODY = JSON.stringify({ request: "What is a hold invoice, and who holds what?" });

/** Over sockets, server and load each in a process of its own. What it costs to do it safely, against the least one can do. */
export const creations: Bench = {
  name: "creations",
  title: "job creations a second over HTTP, against bare Hono and one Deno KV commit a request",
  async run({ figure, tempDir }) {
    const dir = await tempDir();
    const timmy = await startTimmy(`${dir}/data`);
    const bare = await startBare([`${dir}/bare.kv`]);
    const signing = await startBare([`${dir}/signing.kv`, "invoice"]);
    const servers = [timmy, bare, signing];
    try {
      for (const { port } of servers) await load(port, 16, WARM_UP_MS);
      for (const connections of CONNECTIONS) {
        const rates = servers.map((): number[] => []);
        for (let round = 0; round < ROUNDS; round++) {
          for (const [i, { port }] of servers.entries()) rates[i]!.push(await load(port, connections, LOAD_MS));
        }
        const [ours = NaN, least = NaN, withInvoice = NaN] = rates.map(median);
        const on = `${connections} connections`;
        figure(`Timmy: job, invoice, watch, event, capability; ${on}`, perSecond(ours));
        figure(`bare Hono + one Deno KV commit; ${on}`, perSecond(least));
        figure(`the same + a signed invoice; ${on}`, perSecond(withInvoice));
        figure(
          `ratio, ${on}`,
          number(ours / least),
          `with a signed invoice on both sides: ${number(ours / withInvoice)}`,
        );
      }
    } finally {
      for (const server of servers) await server.stop();
    }
  },
};

/** Creates jobs for `ms` over so many kept-alive connections. @returns jobs a second. @throws unless all are answered 201. */
async function load(port: number, connections: number, ms: number): Promise<number> {
  const request = new TextEncoder().encode(
    `POST /api/jobs HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\ncontent-type: application/json\r\n` +
      `content-length: ${BODY.length}\r\n\r\n${BODY}`,
  );
  let created = 0;
  const until = performance.now() + ms;
  const took = await timed(() =>
    Promise.all(Array.from({ length: connections }, async () => {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port });
      try {
        for (; performance.now() < until; created++) await exchange(connection, request);
      } finally {
        connection.close();
      }
    }))
  );
  return created / took * 1_000;
}

const decoder = new TextDecoder();

/** One request and its whole answer, by hand: a full client would cost as much as the server that is measured. */
async function exchange(connection: Deno.Conn, request: Uint8Array): Promise<void> {
  await connection.write(request);
  const chunk = new Uint8Array(16 * 1024);
  let text = "";
  for (;;) {
    const read = await connection.read(chunk);
    if (read === null) throw new Error("the server closed the connection");
    text += decoder.decode(chunk.subarray(0, read));
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) continue;
    const length = /\r\ncontent-length: (\d+)\r\n/i.exec(text)?.[1];
    if (!text.startsWith("HTTP/1.1 201") || length === undefined) throw new Error(`not a 201 with a length: ${text}`);
    if (text.length >= end + 4 + Number(length)) return;
  }
}
