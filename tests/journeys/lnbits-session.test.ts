/**
 * A whole session over LNbits with the real program as a process: against a real server when TIMMY_TEST_LNBITS_* is set
 * (see lib/lightning/lnbits.real.test.ts), and always against the local one that speaks like it.
 */
import assert from "node:assert/strict";
import OpenAI from "openai";
import { fetchWithL402 } from "@getalby/lightning-tools/402/l402";
import { fromBase64, narrow, toBase64 } from "@/lib/l402/macaroon.ts";
import { decodeInvoice } from "@/lib/lightning/bolt11.ts";
import { type Bank, bankEnv, bankPayer, localBank, realBank } from "../harness/lnbits-bank.ts";
import { type RunningProcess, startProcess, thenStops } from "../harness/process.ts";
import { bearer, readChallenge } from "../harness/session-payer.ts";

interface Setup {
  timmy: RunningProcess;
  payer: ReturnType<typeof bankPayer>;
  env: Record<string, string>;
}

async function withTimmy(bank: Bank, journey: (setup: Setup) => Promise<void>): Promise<void> {
  const payer = bankPayer(bank);
  const env = bankEnv(bank);
  const timmy = await startProcess(env);
  try {
    await thenStops(timmy, () => journey({ timmy, payer, env }));
  } finally {
    await bank.close();
  }
}

interface OwnInvoice {
  paymentRequest: string;
  paymentHash: string;
  amountSats: number;
}

/** @returns the preimage that the payment revealed. */
async function payTo(payer: Setup["payer"], { paymentRequest, paymentHash, amountSats }: OwnInvoice): Promise<string> {
  const paid = await payer.pay({ paymentRequest, paymentHash, amountSats, maxFeeSats: 10, timeoutMs: 30_000 });
  assert.ok(paid.state === "paid" && paid.preimage, JSON.stringify(paid));
  return paid.preimage;
}

/** As `timmy.call`, with a credential. */
async function send(
  timmy: RunningProcess,
  method: string,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
) {
  const response = await fetch(timmy.url + path, {
    method,
    headers: { ...(body !== undefined && { "content-type": "application/json" }), ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json(), headers: response.headers };
}

const ASK = { request: "What is a hold invoice?" };
const COMPLETION = {
  model: "claude-sonnet-4-6",
  messages: [{ role: "user" as const, content: "What is a hold invoice?" }],
};
const CHAT = "/api/v1/chat/completions";

async function paidSession({ timmy, payer }: Setup, amountSats: number) {
  const { status, body } = await timmy.call("POST", "/api/sessions", { amount_sats: amountSats });
  assert.equal(status, 201, JSON.stringify(body));
  const preimage = await payTo(payer, body.invoice);
  const path = `/api/sessions/${body.sessionId}`;
  const { macaroon } = await timmy.poll(path, ({ state }) => state === "active");
  return { path, preimage, macaroon, sessionId: body.sessionId as string };
}

const real = realBank();
const banks: [string, boolean, () => Bank][] = [
  ["local LNbits", false, localBank],
  [real ? "real LNbits" : "real LNbits (set TIMMY_TEST_LNBITS_* to run)", real === null, () => realBank()!],
];

for (const [name, ignore, open] of banks) {
  Deno.test(
    `${name}: a session from its deposit over requests, streams, a sub-agent and a top-up to its last satoshi`,
    {
      ignore,
    },
    () =>
      withTimmy(open(), async (setup) => {
        const { timmy, payer } = setup;
        const before = await payer.balanceSats() ?? assert.fail("LNbits tells its balance");
        const { path, macaroon, preimage, sessionId } = await paidSession(setup, 1_000);
        const auth = bearer(macaroon);
        let spent = 0;

        const asked = await send(timmy, "POST", `${path}/request`, ASK, auth);
        assert.deepEqual([asked.status, asked.body.state], [200, "complete"], JSON.stringify(asked.body));
        assert.deepEqual(asked.body.simulated, ["model"], "the wallet is a real one");
        spent += asked.body.debitedSats;

        const client = new OpenAI({ baseURL: `${timmy.url}/api/v1`, apiKey: macaroon, maxRetries: 0 });
        for await (const chunk of await client.chat.completions.create({ ...COMPLETION, stream: true })) {
          spent += (chunk as unknown as { timmy?: { debitedSats: number } }).timmy?.debitedSats ?? 0;
        }
        const helper = bearer(toBase64(narrow(fromBase64(macaroon), ["max_sats=200"])));
        const helped = await send(timmy, "POST", `${path}/request`, ASK, helper);
        assert.equal(helped.status, 200);
        spent += helped.body.debitedSats;
        assert.equal((await send(timmy, "POST", `${path}/request`, ASK, helper)).body.error.code, "caveat_failed");

        const topup = await send(timmy, "POST", `${path}/topup`, { amount_sats: 300 }, auth);
        await payTo(payer, topup.body.invoice);
        const left = 1_300 - spent;
        await timmy.poll(path, ({ balanceSats }) => balanceSats === left);
        const { requests } = (await send(timmy, "GET", `${path}/requests`, undefined, auth)).body;
        assert.equal(
          requests.reduce((sum: number, { debitedSats }: { debitedSats: number }) => sum + debitedSats, 0),
          spent,
        );

        const { paymentRequest, paymentHash } = await payer.createInvoice({
          amountSats: left,
          memo: "rest",
          expirySeconds: 600,
        });
        const closed = await send(timmy, "POST", `${path}/close`, { invoice: paymentRequest }, auth);
        assert.ok([200, 202].includes(closed.status), JSON.stringify(closed.body));
        const over = await timmy.poll(path, ({ refund }) => refund?.refundState === "paid");
        assert.deepEqual([over.state, over.refund.refundPaymentHash, over.refund.refundAmountSats], [
          "closed",
          paymentHash,
          left,
        ]);
        assert.equal(await payer.balanceSats(), before - spent, "the payer has lost what was spent, and no more");
        const again = await send(timmy, "POST", `${path}/close`, { invoice: paymentRequest }, auth);
        assert.deepEqual([again.status, again.body.error.details.refundPaymentHash], [409, paymentHash]);
        for (const secret of [macaroon, preimage, sessionId]) {
          assert.ok(!timmy.output().includes(secret), "the log holds a secret");
        }
      }),
  );

  Deno.test(
    `${name}: an L402 client that has no account pays a challenge and goes on with its token`,
    { ignore },
    () =>
      withTimmy(open(), async ({ timmy, payer }) => {
        const challenged = await send(timmy, "POST", CHAT, COMPLETION);
        assert.equal(challenged.status, 402);
        const { macaroon, invoice } = readChallenge(challenged.headers);
        assert.equal(invoice, challenged.body.error.details.invoice.paymentRequest);
        const paidFor: number[] = [];
        const wallet = {
          async payInvoice({ invoice }: { invoice: string }) {
            const { paymentHash, amountSats } = decodeInvoice(invoice);
            assert.ok(amountSats);
            paidFor.push(amountSats);
            return { preimage: await payTo(payer, { paymentRequest: invoice, paymentHash, amountSats }) };
          },
        };
        const request = () => ({
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(COMPLETION),
        });
        const first = await fetchWithL402(timmy.url + CHAT, request(), { wallet });
        assert.equal(first.status, 200, await first.clone().text());
        await first.body?.cancel();
        const credentials = first.payment?.credentials ?? assert.fail("it tells its credential");
        const second = await fetchWithL402(timmy.url + CHAT, request(), { wallet, credentials });
        assert.equal(second.status, 200);
        const { timmy: account } = await second.json();
        assert.ok(account.balanceSats < 500 && account.balanceSats > 0);
        assert.deepEqual(paidFor, [500]);
        // LNbits knows every preimage before anybody pays: an unpaid challenge's is told by nothing of ours.
        const hex = JSON.stringify(challenged.body).match(/[0-9a-f]{64}/g);
        assert.deepEqual(hex, [challenged.body.error.details.invoice.paymentHash]);
        const unpaid = await send(timmy, "POST", CHAT, COMPLETION, {
          authorization: `L402 ${macaroon}:${"0".repeat(64)}`,
        });
        assert.equal(unpaid.status, 401);
      }),
  );

  Deno.test(`${name}: killed while a request runs and while its top-up is paid, the session goes on where it was`, {
    ignore,
  }, () =>
    withTimmy(open(), async (setup) => {
      const { timmy, payer, env } = setup;
      const { path, macaroon } = await paidSession(setup, 1_000);
      const auth = { ...bearer(macaroon), "idempotency-key": "k" };
      const topup = await send(timmy, "POST", `${path}/topup`, { amount_sats: 200 }, auth);
      const body = { request: "Will you survive? [slow:1500]" };
      const lost = send(timmy, "POST", `${path}/request`, body, auth).catch(() => null);
      await timmy.poll(path, ({ heldSats }) => heldSats > 0);
      await timmy.kill();
      await lost;
      await payTo(payer, topup.body.invoice);
      const again = await startProcess({ ...env, DATA_DIR: timmy.dataDir });
      Object.assign(timmy, again, { output: again.output });
      const answer = await send(timmy, "POST", `${path}/request`, body, auth);
      assert.deepEqual([answer.status, answer.body.state], [200, "complete"], JSON.stringify(answer.body));
      const read = await timmy.poll(path, ({ pendingTopup }) => pendingTopup === undefined);
      assert.deepEqual([read.balanceSats, read.heldSats], [1_200 - answer.body.debitedSats, 0]);
    }));
}
