import assert from "node:assert/strict";
import type { World } from "./world.ts";
import type { Call } from "./payer.ts";

/** A paid session and the token that opens it. */
export interface PaidSession {
  sessionId: string;
  handle: string;
  macaroon: string;
  /** Of the deposit's invoice: it proves the payment. */
  preimage: string;
  /** The deposit's invoice. */
  invoice: { paymentHash: string; paymentRequest: string; amountSats: number };
  /** `/api/sessions/{id}`. */
  path: string;
  /** `Authorization: Bearer …`. */
  auth: { authorization: string };
}

export const bearer = (macaroon: string) => ({ authorization: `Bearer ${macaroon}` });

/** Pays an invoice and has the program notice. @returns the preimage. */
export async function settle(world: World, invoice: { paymentHash: string }): Promise<string> {
  const paid = await world.wallet.payInvoice(invoice.paymentHash);
  if (!paid.ok) return assert.fail(`the payer's payment did not arrive: ${paid.reason}`);
  await world.deps.settlements.check(invoice.paymentHash);
  return paid.preimage;
}

/** Opens a session, pays its deposit and reads its macaroon. */
export async function paidSession(world: World, call: Call, amountSats: number): Promise<PaidSession> {
  const created = await call("POST", "/api/sessions", { amount_sats: amountSats });
  assert.equal(created.status, 201, JSON.stringify(created.body));
  const { sessionId, invoice } = created.body;
  const preimage = await settle(world, invoice);
  const path = `/api/sessions/${sessionId}`;
  const { macaroon } = (await call("GET", path)).body;
  assert.ok(macaroon, "a paid session shows its macaroon");
  return { sessionId, handle: sessionId.slice(0, 13), macaroon, preimage, invoice, path, auth: bearer(macaroon) };
}

/** Tops a session up with its own token. */
export async function toppedUp(
  world: World,
  call: Call,
  { path, auth }: Pick<PaidSession, "path" | "auth">,
  sats: number,
): Promise<void> {
  const offered = await call("POST", `${path}/topup`, { amount_sats: sats }, auth);
  assert.equal(offered.status, 201, JSON.stringify(offered.body));
  await settle(world, offered.body.invoice);
}

export interface OpenedByChallenge {
  macaroon: string;
  preimage: string;
  sessionId: string;
  path: string;
  /** `Authorization: L402 <macaroon>:<preimage>`. */
  auth: { authorization: string };
}

/** What an L402 client does: asks without a credential, reads the challenge, pays, and has a credential. */
export async function opened(
  world: World,
  call: Call,
  ask: { method: string; path: string; body?: unknown },
): Promise<OpenedByChallenge> {
  const { status, headers, body } = await call(ask.method, ask.path, ask.body);
  assert.equal(status, 402, JSON.stringify(body));
  const { macaroon } = readChallenge(headers);
  const { sessionId, invoice } = body.error.details;
  const preimage = await settle(world, invoice);
  return {
    macaroon,
    preimage,
    sessionId,
    path: `/api/sessions/${sessionId}`,
    auth: { authorization: `L402 ${macaroon}:${preimage}` },
  };
}

/** The challenge that stands first, which must look exactly like this (wire.md §2). */
export function readChallenge(headers: Headers): { macaroon: string; invoice: string } {
  const header = headers.get("www-authenticate") ?? "";
  const match = /^L402 macaroon="([A-Za-z0-9+/]+=*)", invoice="(ln\w+)", version="0", token="([A-Za-z0-9+/]+=*)"$/
    .exec(header);
  assert.ok(match, `no challenge: ${header}`);
  const [, macaroon, invoice, token] = match as unknown as [string, string, string, string];
  assert.equal(token, macaroon);
  return { macaroon, invoice };
}
