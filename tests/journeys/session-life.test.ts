/** A session's life from its deposit to its last satoshi, in a world whose time only the test moves. */
import assert from "node:assert/strict";
import { balance } from "@/lib/ledger/ledger.rows.ts";
import { auditedTests } from "../harness/audited.ts";
import { type FakeWorld } from "../harness/fake-world.ts";
import { payerInvoice } from "../harness/payer.ts";
import { bearer, paidSession, readChallenge, settle, toppedUp } from "../harness/session-payer.ts";

const ASK = { request: "What is a hold invoice?" };
const HOUR_MS = 3_600_000;

const life = auditedTests("session life: ");

/** Time passes in one step, and everything that fell due is done. */
async function later({ clock }: FakeWorld, ms: number): Promise<void> {
  clock.leap(ms);
  await clock.advance(3_000);
}

life("it waits, lives, pauses below the minimum, and lives again by a top-up", async (fake) => {
  const { world, call } = fake;
  const { body: created } = await call("POST", "/api/sessions", { amount_sats: 160 });
  const path = `/api/sessions/${created.sessionId}`;
  const waiting = (await call("GET", path)).body;
  assert.deepEqual([waiting.state, waiting.balanceSats, waiting.macaroon], ["awaiting_payment", 0, undefined]);
  assert.equal(waiting.invoice.paymentRequest, created.invoice.paymentRequest);
  assert.equal(waiting.expiresAt, null);

  await settle(world, created.invoice);
  const active = (await call("GET", path)).body;
  assert.deepEqual([active.state, active.balanceSats, active.invoice], ["active", 160, undefined]);
  assert.equal(Date.parse(active.expiresAt), fake.clock.now() + 24 * HOUR_MS);
  const auth = bearer(active.macaroon);

  const first = await call("POST", `${path}/request`, ASK, auth);
  assert.equal(first.status, 200, JSON.stringify(first.body));
  const left = 160 - first.body.debitedSats;
  assert.ok(left < 50);
  assert.equal((await call("GET", path)).body.state, "paused");

  const refused = await call("POST", `${path}/request`, ASK, auth);
  assert.equal(refused.status, 402);
  assert.equal(refused.body.error.code, "session_paused");
  assert.match(
    refused.body.error.message,
    /below 50 sats\. Top it up with POST \/api\/sessions\/[0-9a-z-]+\/topup, or/,
  );
  const { balanceSats, priceSats, minimumBalanceSats, topup } = refused.body.error.details;
  assert.deepEqual([balanceSats, minimumBalanceSats, topup.path], [left, 50, `${path}/topup`]);
  assert.ok(priceSats > 0);
  const chat = await call("POST", "/api/v1/chat/completions", {
    model: "claude-sonnet-4-6",
    messages: [{ role: "user", content: "Hello" }],
  }, auth);
  assert.deepEqual([chat.status, chat.body.error.code], [402, "session_paused"]);

  const offered = await call(topup.method, topup.path, topup.body, auth);
  assert.equal(offered.status, 201, JSON.stringify(offered.body));
  assert.deepEqual((await call("GET", path)).body.pendingTopup, offered.body.invoice);
  await settle(world, offered.body.invoice);
  const awake = (await call("GET", path)).body;
  assert.deepEqual(
    [awake.state, awake.balanceSats, awake.pendingTopup],
    ["active", left + topup.body.amount_sats, undefined],
  );
  assert.equal((await call("POST", `${path}/request`, ASK, auth)).status, 200, "the advised top-up was enough");
});

life("a top-up that nobody pays makes room for another when its invoice has expired", async (fake) => {
  const { world, call } = fake;
  const { path, auth } = await paidSession(world, call, 100);
  const first = await call("POST", `${path}/topup`, { amount_sats: 100 }, auth);
  const second = await call("POST", `${path}/topup`, { amount_sats: 200 }, auth);
  assert.deepEqual([second.status, second.body.error.code], [409, "topup_pending"]);
  assert.deepEqual(second.body.error.details.pendingTopup, first.body.invoice);
  await later(fake, 601_000);
  assert.equal((await call("GET", path)).body.pendingTopup, undefined);
  assert.equal((await call("POST", `${path}/topup`, { amount_sats: 200 }, auth)).status, 201);
});

life("of many top-ups at once one is offered, and all others are shown that one", async ({ world, call, clock }) => {
  const { path, auth } = await paidSession(world, call, 100);
  const answers = await clock.drive(Promise.all(
    Array.from({ length: 20 }, (_, i) => world.call("POST", `${path}/topup`, { amount_sats: 100 + i }, auth)),
  ));
  const offered = answers.filter(({ status }) => status === 201);
  assert.equal(offered.length, 1);
  const hash = offered[0]?.body.invoice.paymentHash;
  for (const { status, body } of answers.filter(({ status }) => status !== 201)) {
    assert.deepEqual([status, body.error.details.pendingTopup.paymentHash], [409, hash]);
  }
});

life(
  "24 hours after the last success it expires, and its balance is claimed with the token, or with token and preimage",
  async (fake) => {
    const { world, call } = fake;
    for (const claim of ["token", "preimage"] as const) {
      const { path, auth, macaroon, preimage } = await paidSession(world, call, 500);
      await later(fake, 23 * HOUR_MS);
      const success = await call("POST", `${path}/request`, ASK, auth);
      assert.equal(success.status, 200, JSON.stringify(success.body));
      await later(fake, 23 * HOUR_MS);
      assert.equal((await call("GET", path)).body.state, "active", "a success renews its life");
      const failed = await call("POST", `${path}/request`, { request: "[fail-eval]" }, auth);
      assert.deepEqual([failed.status, failed.body.state, failed.body.debitedSats], [200, "failed", 0]);
      await later(fake, HOUR_MS);
      const left = 500 - success.body.debitedSats;
      const over = (await call("GET", path)).body;
      assert.deepEqual([over.state, over.balanceSats, over.heldSats], ["expired", 0, 0]);
      assert.deepEqual([over.refund.refundState, over.refund.refundAmountSats], ["pending", left]);

      const late = await call("POST", `${path}/request`, ASK, auth);
      assert.deepEqual([late.status, late.body.error.code], [401, "session_ended"]);
      assert.equal((await call("POST", `${path}/topup`, { amount_sats: 100 }, auth)).status, 409);
      const nobody = await call("POST", `${path}/close`, {});
      assert.equal(nobody.status, 401, "an id alone claims nothing");

      const { paymentRequest, paymentHash } = await payerInvoice(world, left);
      const credential = claim === "token" ? auth : { authorization: `L402 ${macaroon}:${preimage}` };
      const claimed = await call("POST", `${path}/close`, { invoice: paymentRequest }, credential);
      assert.deepEqual(
        [claimed.status, claimed.body.state, claimed.body.refundState, claimed.body.refundAmountSats],
        [200, "expired", "paid", left],
      );
      const again = await call("POST", `${path}/close`, { invoice: paymentRequest }, credential);
      assert.deepEqual([again.status, again.body.error.details.refundPaymentHash], [409, paymentHash]);
    }
  },
);

life("between the end of its time and the sweep nothing can be asked, and it is closed as usual", async (fake) => {
  const { world, call, clock } = fake;
  const { path, auth } = await paidSession(world, call, 500);
  clock.leap(24 * HOUR_MS);
  const ask = await world.call("POST", `${path}/request`, ASK, auth);
  assert.deepEqual([ask.status, ask.body.error.code], [401, "session_ended"]);
  const { paymentRequest } = await payerInvoice(world, 500);
  const closed = await call("POST", `${path}/close`, { invoice: paymentRequest }, auth);
  assert.deepEqual([closed.status, closed.body.refundAmountSats], [200, 500], JSON.stringify(closed.body));
});

life("a deposit that arrives after its invoice expired opens the session all the same", async (fake) => {
  const { world, call } = fake;
  const { body: created } = await call("POST", "/api/sessions", { amount_sats: 300 });
  const path = `/api/sessions/${created.sessionId}`;
  await world.wallet.payInvoice(created.invoice.paymentHash); // and nobody has noticed yet
  await later(fake, 601_000);
  const read = (await call("GET", path)).body;
  assert.deepEqual([read.state, read.balanceSats], ["active", 300]);
});

life("a top-up paid too late brings an expired session back, and every satoshi can be claimed once", async (fake) => {
  const { world, call, clock } = fake;
  const { path, auth, handle } = await paidSession(world, call, 300);
  clock.leap(24 * HOUR_MS - 60_000);
  await clock.advance(1_000);
  const offered = await call("POST", `${path}/topup`, { amount_sats: 200 }, auth);
  assert.equal(offered.status, 201);
  await later(fake, 60_000);
  assert.equal((await call("GET", path)).body.state, "expired");
  await settle(world, offered.body.invoice);
  const back = (await call("GET", path)).body;
  assert.deepEqual([back.state, back.balanceSats, back.pendingTopup], ["active", 200, undefined]);

  // Two amounts are owed in the end: each is claimed by an invoice for it, in any order.
  const claim = async (sats: number) =>
    await call("POST", `${path}/close`, { invoice: (await payerInvoice(world, sats)).paymentRequest }, auth);
  const second = await claim(200);
  assert.deepEqual([second.status, second.body.state, second.body.refundAmountSats], [200, "closed", 200]);
  assert.equal((await claim(200)).body.error.code, "invoice_wrong_amount");
  const first = await claim(300);
  assert.deepEqual([first.status, first.body.refundAmountSats], [200, 300], JSON.stringify(first.body));
  assert.equal((await claim(300)).status, 409);
  assert.equal(await balance(world.store, `session:${handle}`), 0);
});

life("while a request runs it cannot be closed; afterwards it can", async (fake) => {
  const { world, call, clock } = fake;
  const { path, auth } = await paidSession(world, call, 500);
  const running = world.call("POST", `${path}/request`, { request: "Slowly. [slow:5000]" }, auth);
  await clock.advance(1_000);
  const read = (await call("GET", path)).body;
  assert.ok(read.heldSats > 0);
  assert.equal(read.balanceSats + read.heldSats, 500);
  for (const body of [{}, { invoice: (await payerInvoice(world, read.balanceSats)).paymentRequest }]) {
    const refused = await call("POST", `${path}/close`, body, auth);
    assert.deepEqual([refused.status, refused.body.error.code], [409, "session_busy"]);
  }
  const { body: done } = await clock.drive(running);
  assert.equal(done.state, "complete");
  const closed = await call("POST", `${path}/close`, {}, auth);
  assert.deepEqual([closed.status, closed.body.refundAmountSats], [200, done.balanceRemaining]);
});

life(
  "closed without an invoice, its balance is claimed by a second call; its id alone shows no token",
  async (fake) => {
    const { world, call } = fake;
    const { path, auth } = await paidSession(world, call, 400);
    const closed = await call("POST", `${path}/close`, {}, auth);
    assert.deepEqual(
      [
        closed.status,
        closed.body.state,
        closed.body.refundState,
        closed.body.refundAmountSats,
        closed.body.refundPaymentHash,
      ],
      [200, "closed", "pending", 400, null],
    );
    assert.deepEqual((await call("POST", `${path}/close`, {}, auth)).body, closed.body, "twice is once");
    await world.crash();
    assert.equal((await call("GET", path)).body.macaroon, undefined, "also after a restart");
    const { paymentRequest } = await payerInvoice(world, 400);
    const claimed = await call("POST", `${path}/close`, { invoice: paymentRequest }, auth);
    assert.deepEqual([claimed.status, claimed.body.refundState], [200, "paid"]);
  },
);

life("two closes at once: one is paid, the other learns which", async ({ world, call, clock }) => {
  const { path, auth } = await paidSession(world, call, 400);
  const invoices = await Promise.all(Array.from({ length: 8 }, () => payerInvoice(world, 400)));
  const answers = await clock.drive(Promise.all(
    invoices.map(({ paymentRequest }) => world.call("POST", `${path}/close`, { invoice: paymentRequest }, auth)),
  ));
  const paid = answers.filter(({ status }) => status === 200);
  assert.equal(paid.length, 1, JSON.stringify(answers.map(({ body }) => body)));
  for (const { status, body } of answers.filter(({ status }) => status !== 200)) {
    assert.deepEqual([status, body.error.details.refundPaymentHash], [409, paid[0]?.body.refundPaymentHash]);
  }
  const left = await world.walletStore.list<{ v: 1 }>(["simulated-wallet", "payment"], { limit: 10 });
  assert.equal(left.length, 1);
});

life(
  "less than the dust limit is not owed: an invoice for it moves nothing, and it is closed without one",
  async (fake) => {
    const { world, call } = fake;
    const { path, auth } = await paidSession(world, call, 100);
    const { paymentRequest } = await payerInvoice(world, 100);
    const refused = await call("POST", `${path}/close`, { invoice: paymentRequest }, auth);
    assert.deepEqual([refused.status, refused.body.error.code], [409, "no_refund"]);
    assert.equal((await call("GET", path)).body.state, "active", "nothing moved");
    const closed = await call("POST", `${path}/close`, {}, auth);
    assert.deepEqual(
      [closed.body.state, closed.body.refundState, closed.body.refundAmountSats],
      ["closed", "not_applicable", 0],
    );
  },
  { settings: { refundDustSats: 101 } },
);

life("what nobody claims within the claim days is no longer owed, and says so", async (fake) => {
  const { world, call } = fake;
  const { path, auth } = await paidSession(world, call, 400);
  await call("POST", `${path}/close`, {}, auth);
  await later(fake, 30 * 24 * HOUR_MS);
  assert.equal((await call("GET", path)).body.refund.refundState, "expired");
  const { paymentRequest } = await payerInvoice(world, 400);
  const claimed = await call("POST", `${path}/close`, { invoice: paymentRequest }, auth);
  assert.deepEqual([claimed.status, claimed.body.error.code], [409, "refund_expired"]);
});

life(
  "topping up by the challenge alone: whoever knows the id may pay in, and may spend what that paid and no more",
  async (fake) => {
    const { world, call } = fake;
    const owner = await paidSession(world, call, 1_000);
    const asked = await call("POST", `${owner.path}/request`, ASK);
    assert.equal(asked.status, 402);
    const { macaroon } = readChallenge(asked.headers);
    const preimage = await settle(world, asked.body.error.details.invoice);
    const guest = { authorization: `L402 ${macaroon}:${preimage}` };
    let spent = 0;
    for (;;) {
      const answer = await call("POST", `${owner.path}/request`, ASK, guest);
      if (answer.status !== 200) {
        assert.deepEqual([answer.status, answer.body.error.code], [402, "insufficient_balance"]);
        assert.equal(
          answer.body.error.details.balanceSats,
          500 - spent,
          "what it may still spend, not what lies there",
        );
        break;
      }
      spent += answer.body.debitedSats;
    }
    assert.ok(spent > 0 && spent <= 500, String(spent));
    assert.equal((await call("GET", owner.path)).body.balanceSats, 1_500 - spent);
    assert.equal((await call("POST", `${owner.path}/close`, {}, guest)).status, 403);
    assert.equal((await call("GET", `${owner.path}/requests`, undefined, guest)).status, 403);
    await toppedUp(world, call, owner, 100);
  },
);
