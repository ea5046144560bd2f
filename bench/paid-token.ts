/** A paid session at a program that runs, as whoever pays it gets it. */
const TRIES = 500;

export interface PaidToken {
  sessionId: string;
  headers: { authorization: string };
}

/** Opens a session and pays its deposit with the development route. @throws when the macaroon does not come. */
export async function paidToken(port: number, amountSats: number): Promise<PaidToken> {
  const origin = `http://127.0.0.1:${port}`;
  const send = async (method: string, path: string, body?: unknown) => {
    const response = await fetch(origin + path, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    if (!response.ok) throw new Error(`${method} ${path} was answered ${response.status}: ${await response.text()}`);
    return await response.json();
  };
  const { sessionId, invoice } = await send("POST", "/api/sessions", { amount_sats: amountSats });
  await send("POST", `/api/dev/stub/pay/${invoice.paymentHash}`);
  for (let i = 0; i < TRIES; i++) {
    const { macaroon } = await send("GET", `/api/sessions/${sessionId}`);
    if (macaroon) return { sessionId, headers: { authorization: `Bearer ${macaroon}` } };
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("the deposit was paid and no macaroon came");
}
