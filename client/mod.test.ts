import assert from "node:assert/strict";
import { readCaveats } from "@/lib/l402/caveats.ts";
import { fromBase64, MacaroonError } from "@/lib/l402/macaroon.ts";
import { assertAudit, pay, payerInvoice } from "@/tests/harness/payer.ts";
import { createWorld, type World } from "@/tests/harness/world.ts";
import { createTimmy, narrow, type Timmy, TimmyError } from "./mod.ts";

const REQUEST = "What is a hold invoice?";
const MODEL = "claude-sonnet-4-6";

interface Paid {
  world: World;
  sessionId: string;
  macaroon: string;
  timmy(macaroon?: string): Timmy;
}

/** Runs `fn` with a paid session of 500 sats, and audits what is left. */
function withSession(name: string, fn: (paid: Paid) => Promise<void>): void {
  Deno.test(name, async () => {
    const world = await createWorld();
    const timmy = (macaroon?: string) =>
      createTimmy({
        baseUrl: "http://timmy.test",
        ...(macaroon !== undefined && { macaroon }),
        fetch: async (request) => await world.app.fetch(request),
      });
    try {
      const { sessionId, invoice } = await timmy().open(500);
      await pay(world, invoice);
      await world.deps.settlements.check(invoice.paymentHash);
      const { macaroon } = await timmy().read(sessionId);
      assert.ok(macaroon);
      await fn({ world, sessionId, macaroon, timmy });
      await assertAudit(world);
    } finally {
      await world.close();
    }
  });
}

const failsWith = (status: number, code: string) => (error: unknown) =>
  error instanceof TimmyError && error.status === status && error.code === code;

withSession("createTimmy: open, ask, read, history, close", async ({ world, sessionId, macaroon, timmy }) => {
  const mine = timmy(macaroon);
  const first = await mine.ask(sessionId, REQUEST);
  assert.equal(first.state, "complete");
  assert.match(first.result ?? "", /What is a hold invoice/);
  const second = await mine.ask(sessionId, REQUEST);
  const page = await mine.history(sessionId, { limit: 1 });
  assert.deepEqual(page.requests.map(({ requestId }) => requestId), [second.requestId]);
  assert.ok(page.next);
  const rest = await mine.history(sessionId, { limit: 1, after: page.next });
  assert.deepEqual(rest.requests.map(({ requestId }) => requestId), [first.requestId]);
  assert.equal((await mine.request(sessionId, first.requestId)).result, first.result);

  const left = 500 - first.debitedSats - second.debitedSats;
  assert.equal((await mine.read(sessionId)).balanceSats, left);
  const { paymentRequest, paymentHash } = await payerInvoice(world, left);
  const closed = await mine.close(sessionId, paymentRequest);
  assert.deepEqual([closed.refundState, closed.refundPaymentHash], ["paid", paymentHash]);
});

withSession("createTimmy: an idempotency key gets the same answer and opens no second session", async (paid) => {
  const mine = paid.timmy(paid.macaroon);
  const [first, again] = [
    await mine.ask(paid.sessionId, REQUEST, { idempotencyKey: "one" }),
    await mine.ask(paid.sessionId, REQUEST, { idempotencyKey: "one" }),
  ];
  assert.equal(again.requestId, first.requestId);
  assert.equal((await mine.read(paid.sessionId)).balanceSats, 500 - first.debitedSats);
  const opened = await mine.open(100, { idempotencyKey: "two" });
  assert.equal((await mine.open(100, { idempotencyKey: "two" })).sessionId, opened.sessionId);
});

withSession("createTimmy: what is refused is an error with its status, code and details", async (paid) => {
  const { sessionId, macaroon, timmy } = paid;
  const { invoice } = await timmy(macaroon).topUp(sessionId, 200);
  await assert.rejects(timmy(macaroon).topUp(sessionId, 200), (error) => {
    assert.ok(failsWith(409, "topup_pending")(error));
    const { pendingTopup } = (error as TimmyError).details as { pendingTopup: { paymentHash: string } };
    return pendingTopup.paymentHash === invoice.paymentHash;
  });
  await assert.rejects(
    timmy().ask(sessionId, REQUEST),
    (error) => failsWith(402, "payment_required")(error) && /^L402 /.test((error as TimmyError).challenge ?? ""),
  );
  await assert.rejects(timmy("AAAA").ask(sessionId, REQUEST), failsWith(401, "invalid_token"));
  await assert.rejects(timmy().open(1), failsWith(400, "amount_out_of_range"));
});

Deno.test("createTimmy: an answer that is not Timmy's is an error that names the address", async () => {
  const answers = (response: Response) => () => Promise.resolve(response);
  const page = createTimmy({ baseUrl: "http://x", fetch: answers(new Response("<html>", { status: 502 })) });
  await assert.rejects(page.open(100), failsWith(502, "unknown"));
  const empty = createTimmy({ baseUrl: "http://x", fetch: answers(new Response(null, { status: 204 })) });
  await assert.rejects(empty.open(100), failsWith(204, "unknown"));
});

withSession("narrow: a sub-agent spends up to max_sats and no further", async ({ sessionId, macaroon, timmy }) => {
  const price = (await timmy(macaroon).ask(sessionId, REQUEST)).debitedSats;
  const agent = timmy(narrow(macaroon, { maxSats: 2 * price }));
  const { debitedSats } = await agent.ask(sessionId, REQUEST);
  assert.equal(debitedSats, price);
  await assert.rejects(async () => {
    for (let i = 0; i < 3; i++) await agent.ask(sessionId, REQUEST);
  }, failsWith(403, "caveat_failed"));
  assert.ok(500 - (await agent.read(sessionId)).balanceSats <= 3 * price);
});

withSession("narrow: another model and a time that is over are refused", async ({ sessionId, macaroon, timmy }) => {
  await assert.rejects(
    timmy(narrow(macaroon, { model: "claude-haiku-4-5" })).ask(sessionId, REQUEST),
    failsWith(403, "caveat_failed"),
  );
  await assert.rejects(
    timmy(narrow(macaroon, { validUntil: new Date(1_000) })).ask(sessionId, REQUEST),
    failsWith(401, "token_expired"),
  );
  const fine = narrow(macaroon, { model: [MODEL], validUntil: new Date(Date.now() + 60_000) });
  assert.equal((await timmy(fine).ask(sessionId, REQUEST)).state, "complete");
});

withSession("narrow: tokens with different times have counts of their own", async ({ sessionId, macaroon, timmy }) => {
  const price = (await timmy(macaroon).ask(sessionId, REQUEST)).debitedSats;
  const until = (seconds: number) => new Date(Math.floor(Date.now() / 1_000 + seconds) * 1_000);
  const [one, two] = [60, 61].map((seconds) => narrow(macaroon, { maxSats: price + 10, validUntil: until(seconds) }));
  assert.equal((await timmy(one).ask(sessionId, REQUEST)).state, "complete");
  await assert.rejects(timmy(one).ask(sessionId, REQUEST), failsWith(403, "caveat_failed"));
  assert.equal((await timmy(two).ask(sessionId, REQUEST)).state, "complete");
});

withSession("narrow: the time comes before the limit, and what it writes is read as it was meant", (paid) => {
  const validUntil = new Date(1_893_456_000_999);
  const narrowed = fromBase64(narrow(paid.macaroon, { maxSats: 100, model: ["a", "b"], validUntil }));
  assert.deepEqual(narrowed.caveats.slice(-3), ["timmy_valid_until=1893456000", "model=a,b", "max_sats=100"]);
  assert.equal(readCaveats(narrowed.caveats, 1_893_455_999).ok, true);
  return Promise.resolve();
});

withSession("narrow: nothing at all, a wider limit, a preimage and no macaroon are refused", (paid) => {
  const small = narrow(paid.macaroon, { maxSats: 100 });
  assert.throws(() => narrow(small, { maxSats: 101 }), RangeError);
  assert.throws(() => narrow(narrow(small, { model: MODEL }), { model: "another" }), RangeError);
  assert.throws(() => narrow(small, {}), RangeError);
  assert.throws(() => narrow(small, { maxSats: 0.5 }), RangeError);
  assert.throws(() => narrow(small, { validUntil: new Date(NaN) }), RangeError);
  assert.throws(() => narrow(`${small}:${"11".repeat(32)}`, { maxSats: 10 }), /preimage/);
  assert.throws(() => narrow("sk-nothing", { maxSats: 10 }), MacaroonError);
  return Promise.resolve();
});
