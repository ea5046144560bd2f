import assert from "node:assert/strict";
import { balance } from "@/lib/ledger/ledger.rows.ts";
import { auditedTests } from "../harness/audited.ts";
import { pay, payerInvoice } from "../harness/payer.ts";
import { paidSession } from "../harness/session-payer.ts";

const REQUEST = "What is a hold invoice?";

const journey = auditedTests("session: ");

journey("deposit, three requests, history, close: every satoshi is accounted for", async (fake) => {
  const { world, call } = fake;
  const { sessionId, handle, auth } = await paidSession(world, call, 500);
  const path = `/api/sessions/${sessionId}`;
  let spent = 0;
  for (let i = 0; i < 3; i++) {
    const answer = await call("POST", `${path}/request`, { request: REQUEST }, auth);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    assert.equal(answer.body.state, "complete");
    assert.match(answer.body.result, /What is a hold invoice\?/);
    assert.ok(answer.body.debitedSats > 0);
    spent += answer.body.debitedSats;
    assert.equal(answer.body.balanceRemaining, 500 - spent);
  }
  const read = (await call("GET", path)).body;
  assert.equal(read.balanceSats, 500 - spent);
  assert.equal(read.macaroon, undefined, "the id alone shows no macaroon once it was used");
  const credit = Math.floor(spent / 10); // the pool's tenth
  assert.equal(await balance(world.store, "revenue:session"), spent - credit);
  assert.equal(await balance(world.store, "pool"), 10_000 + credit);

  const short = await call("POST", `${path}/request`, { request: REQUEST }, auth);
  assert.equal(short.status, 402, JSON.stringify(short.body));
  assert.equal(short.body.error.details.balanceSats, 500 - spent);

  const history = (await call("GET", `${path}/requests?limit=2`, undefined, auth)).body;
  assert.equal(history.requests.length, 2);
  const rest = (await call("GET", `${path}/requests?after=${history.next}`, undefined, auth)).body;
  assert.equal(rest.requests.length, 1);
  assert.equal(rest.next, undefined);

  const { paymentRequest, paymentHash } = await payerInvoice(world, 500 - spent);
  const closed = await call("POST", `${path}/close`, { invoice: paymentRequest }, auth);
  assert.equal(closed.status, 200, JSON.stringify(closed.body));
  assert.deepEqual(
    [closed.body.state, closed.body.refundState, closed.body.refundAmountSats, closed.body.refundPaymentHash],
    ["closed", "paid", 500 - spent, paymentHash],
  );
  const again = await call("POST", `${path}/close`, { invoice: paymentRequest }, auth);
  assert.equal(again.status, 409);
  assert.equal(again.body.error.details.refundPaymentHash, paymentHash);
  assert.equal(await balance(world.store, `session:${handle}`), 0);
});

journey("a top-up is offered once at a time and wakes a paused session", async (fake) => {
  const { world, call } = fake;
  const { sessionId, auth } = await paidSession(world, call, 100);
  const path = `/api/sessions/${sessionId}`;
  const offered = await call("POST", `${path}/topup`, { amount_sats: 200 }, auth);
  assert.equal(offered.status, 201, JSON.stringify(offered.body));
  const second = await call("POST", `${path}/topup`, { amount_sats: 300 }, auth);
  assert.equal(second.status, 409);
  assert.equal(second.body.error.details.pendingTopup.paymentHash, offered.body.invoice.paymentHash);
  await pay(world, offered.body.invoice);
  await world.deps.settlements.check(offered.body.invoice.paymentHash);
  const read = (await call("GET", path)).body;
  assert.equal(read.balanceSats, 300);
  assert.equal(read.pendingTopup, undefined);
});
