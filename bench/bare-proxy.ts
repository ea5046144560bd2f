/**
 * The least that passes a completion on: `Deno.serve` and `fetch`, nothing between. It checks, counts and stores nothing.
 *
 *   bare-proxy.ts UPSTREAM     its base URL, as in http://127.0.0.1:1234/v1
 */
const [upstream] = Deno.args;
if (upstream === undefined) throw new Error("name the upstream's base URL");
const headers = { "content-type": "application/json" };

Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => void Deno.stdout.writeSync(new TextEncoder().encode(`${port}\n`)),
}, async (request) => fetch(`${upstream}/chat/completions`, { method: "POST", headers, body: await request.text() }));
