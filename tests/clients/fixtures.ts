/** What the clients find on the instance: a finished job, a cancelled node, a signed-in key, and a paid session each. */
import assert from "node:assert/strict";
import { finalizeEvent, generateSecretKey } from "nostr-tools/pure";

export interface Fixtures {
  url: string;
  model: string;
  jobId: string;
  /** A node that was ordered and cancelled: its stream of events ends. */
  bootstrapId: string;
  nostrToken: string;
}

export interface ClientSession {
  sessionId: string;
  macaroon: string;
  /** A request that it has made. */
  requestId: string;
  /** What it was charged from here on (sats). */
  spentSats(): Promise<number>;
}

const DEPOSIT_SATS = 10_000;
const REQUEST = "What is a hold invoice?";

// The fixtures read what the wire says, whatever it is.
// deno-lint-ignore no-explicit-any
async function call(url: string, method: string, path: string, body?: unknown, auth = {}): Promise<any> {
  const response = await fetch(url + path, {
    method,
    headers: { "content-type": "application/json", ...auth },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path} answered ${response.status}: ${text}`);
  return JSON.parse(text);
}

// deno-lint-ignore no-explicit-any
async function poll(url: string, path: string, ready: (body: any) => boolean): Promise<any> {
  for (let tries = 0; tries < 500; tries++) {
    const body = await call(url, "GET", path);
    if (ready(body)) return body;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return assert.fail(`${path} was not ready within 10 s`);
}

async function pay(walletUrl: string, { paymentRequest }: { paymentRequest: string }): Promise<void> {
  const paid = await fetch(walletUrl, { method: "POST", body: paymentRequest });
  assert.ok(paid.ok, await paid.text());
}

export async function openFixtures(url: string, walletUrl: string): Promise<Fixtures> {
  const { data: [{ id: model }] } = await call(url, "GET", "/api/v1/models");
  const { nonce } = await call(url, "POST", "/api/identity/challenge");
  const tags = [["u", url], ["method", "POST"]];
  const created_at = Math.floor(Date.now() / 1_000);
  const event = finalizeEvent({ kind: 27_235, created_at, tags, content: nonce }, generateSecretKey());
  const { nostr_token: nostrToken } = await call(url, "POST", "/api/identity/verify", { event });

  const { jobId, evalInvoice } = await call(url, "POST", "/api/jobs", { request: REQUEST, nostr_token: nostrToken });
  await pay(walletUrl, evalInvoice);
  const { workInvoice } = await poll(url, `/api/jobs/${jobId}`, (job) => job.workInvoice !== undefined);
  await pay(walletUrl, workInvoice);
  await poll(url, `/api/jobs/${jobId}`, ({ state }) => state === "complete");
  const { bootstrapJobId: bootstrapId } = await call(url, "POST", "/api/bootstrap", {});
  await call(url, "POST", `/api/bootstrap/${bootstrapId}/cancel`, {});
  return { url, model, jobId, bootstrapId, nostrToken };
}

export async function openSession({ url }: Fixtures, walletUrl: string): Promise<ClientSession> {
  const { sessionId, invoice } = await call(url, "POST", "/api/sessions", { amount_sats: DEPOSIT_SATS });
  await pay(walletUrl, invoice);
  const path = `/api/sessions/${sessionId}`;
  const { macaroon } = await poll(url, path, (session) => session.macaroon !== undefined);
  const auth = { authorization: `Bearer ${macaroon}` };
  const { requestId, balanceRemaining } = await call(url, "POST", `${path}/request`, { request: REQUEST }, auth);
  return {
    sessionId,
    macaroon,
    requestId,
    spentSats: async () => balanceRemaining - (await call(url, "GET", path)).balanceSats,
  };
}
