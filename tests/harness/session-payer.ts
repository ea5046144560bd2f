import assert from "node:assert/strict";
import type { World } from "./world.ts";
import { type Call, pay } from "./payer.ts";

/** A paid session and the token that opens it. */
export interface PaidSession {
  sessionId: string;
  handle: string;
  macaroon: string;
  /** `Authorization: Bearer …`. */
  auth: { authorization: string };
}

/** Opens a session, pays its deposit and reads its macaroon. */
export async function paidSession(world: World, call: Call, amountSats: number): Promise<PaidSession> {
  const created = await call("POST", "/api/sessions", { amount_sats: amountSats });
  assert.equal(created.status, 201, JSON.stringify(created.body));
  const { sessionId, invoice } = created.body;
  await pay(world, invoice);
  await world.deps.settlements.check(invoice.paymentHash);
  const { macaroon } = (await call("GET", `/api/sessions/${sessionId}`)).body;
  assert.ok(macaroon, "a paid session shows its macaroon");
  return { sessionId, handle: sessionId.slice(0, 13), macaroon, auth: { authorization: `Bearer ${macaroon}` } };
}
