/** A payer's wallet over HTTP, for programs in any language: the instance pays its own invoices, and what was paid is counted. */
import { Invoice } from "@getalby/lightning-tools/bolt11";

/**
 * `POST /` with a BOLT11 invoice as text answers `{ preimage }`; `GET /` answers `{ paidSats }`, all that was paid since the start.
 * @param timmyUrl of a development instance
 */
export function startWallet(timmyUrl: string): { url: string; stop(): Promise<void> } {
  let paidSats = 0;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    if (request.method === "GET") return Response.json({ paidSats });
    const { paymentHash, satoshi } = new Invoice({ pr: await request.text() });
    const paid = await fetch(`${timmyUrl}/api/dev/stub/pay/${paymentHash}`, { method: "POST" });
    if (!paid.ok) return new Response(await paid.text(), { status: 500 });
    paidSats += satoshi;
    return Response.json(await paid.json());
  });
  return { url: `http://127.0.0.1:${server.addr.port}`, stop: () => server.shutdown() };
}
