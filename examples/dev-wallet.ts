/**
 * A wallet for trying things out: a development instance pays its own invoices when asked to, so no sats and no node are
 * needed. Against an instance with real money put your own wallet in its place (NWC, for example).
 */
import { Invoice } from "@getalby/lightning-tools/bolt11";
import { createTimmy } from "../client/mod.ts";

/** The first argument, or `TIMMY_URL`, or the address of an instance started without settings. */
export const instanceUrl = (): string => (Deno.args[0] ?? Deno.env.get("TIMMY_URL") ?? "http://127.0.0.1:8080");

export function devWallet(baseUrl: string) {
  const call = async (path: string, body?: unknown) => {
    const response = await fetch(`${baseUrl}/api/dev/stub/${path}`, {
      method: "POST",
      ...(body !== undefined && { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`the development wallet answered ${response.status}: ${await response.text()}`);
    return await response.json();
  };
  return {
    /** Pays a BOLT11 invoice of the instance. The preimage is the receipt. */
    async payInvoice({ invoice }: { invoice: string }): Promise<{ preimage: string }> {
      const { preimage } = await call(`pay/${new Invoice({ pr: invoice }).paymentHash}`);
      return { preimage };
    },
    /** An invoice to be paid back with. */
    async makeInvoice(amountSats: number): Promise<string> {
      return (await call("invoice", { amountSats })).paymentRequest;
    },
  };
}

/** Opens a session, pays its deposit and returns its id and its token. */
export async function openPaidSession(baseUrl: string, amountSats: number) {
  const timmy = createTimmy({ baseUrl });
  const { sessionId, invoice } = await timmy.open(amountSats);
  await devWallet(baseUrl).payInvoice({ invoice: invoice.paymentRequest });
  for (;;) {
    const { macaroon } = await timmy.read(sessionId);
    if (macaroon !== undefined) return { sessionId, macaroon };
    await new Promise((resolve) => setTimeout(resolve, 200)); // a real wallet takes a moment to say that it is paid
  }
}
