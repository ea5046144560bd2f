/**
 * What the HTTP benchmark compares with: Hono, and one Deno KV commit a request, nothing else.
 *
 *   bare-server.ts DATABASE [invoice]     with `invoice` it also signs one as the simulated wallet does
 */
import { createSimulatedWallet } from "@/lib/lightning/simulated.ts";
import { systemClock } from "@/lib/clock.ts";
import { systemRandom } from "@/lib/ids.ts";
import { memoryStore } from "@/lib/lightning/testing/memory-store.ts";
import { Hono } from "hono";

const [path, invoice] = Deno.args;
if (path === undefined) throw new Error("name the file for the database");
const kv = await Deno.openKv(path);
const wallet = createSimulatedWallet({
  store: memoryStore(),
  seed: systemRandom.bytes(32),
  clock: systemClock,
  random: systemRandom,
});

const app = new Hono();
app.post("/api/jobs", async (c) => {
  const { request } = await c.req.json<{ request: string }>();
  const evalInvoice = invoice
    ? await wallet.createInvoice({ amountSats: 10, memo: "bench", expirySeconds: 600 })
    : null;
  const job = {
    jobId: crypto.randomUUID(),
    state: "awaiting_eval_payment",
    createdAt: Date.now(),
    request,
    evalInvoice,
  };
  await kv.set(["job", job.jobId], job);
  return c.json(job, 201);
});

Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => void Deno.stdout.writeSync(new TextEncoder().encode(`${port}\n`)),
}, app.fetch);
