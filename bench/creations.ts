import { requestBytes } from "./http.ts";
import { interleaved } from "./loaded.ts";
import { type Bench, ms, number, perSecond } from "./measure.ts";
import { startBare, startTimmy } from "./program.ts";

const ROUNDS = 3;
const CONNECTIONS = [16, 64];
const LOAD_MS = 1_500;
const WARM_UP_MS = 1_000;

const BODY = { request: "What is a hold invoice, and who holds what?" };

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
      for (const connections of CONNECTIONS) {
        const targets = servers.map(({ port, pid }) => {
          const request = requestBytes(port, { method: "POST", path: "/api/jobs", body: BODY });
          return { port, pid, request, connections, status: 201 };
        });
        const loaded = await interleaved(targets, { rounds: ROUNDS, ms: LOAD_MS, warmUpMs: WARM_UP_MS });
        const [ours = NaN, least = NaN, withInvoice = NaN] = loaded.map(({ rate }) => rate);
        const [cpu = NaN] = loaded.map(({ cpu }) => cpu);
        const on = `${connections} connections`;
        figure(`Timmy: job, invoice, watch, event, capability; ${on}`, perSecond(ours), `CPU a job ${ms(cpu)}`);
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
