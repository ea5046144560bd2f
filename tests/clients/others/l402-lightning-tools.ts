/**
 * An agent with a wallet: what is refused costs nothing, one payment is used up, a top-up goes on with what was left. Afterwards
 * the same with a top-up of an amount of its own, asked for with our own client.
 */
import assert from "node:assert/strict";
import { fetchWithL402, parseL402 } from "@getalby/lightning-tools/402/l402";
import { createTimmy } from "@/client/mod.ts";

const need = (name: string) => Deno.env.get(name) ?? assert.fail(`set ${name}`);
const [url, walletUrl, model] = [need("TIMMY_URL"), need("TIMMY_WALLET"), need("TIMMY_MODEL")];
const wallet = {
  payInvoice: async ({ invoice }: { invoice: string }): Promise<{ preimage: string }> =>
    await (await fetch(walletUrl, { method: "POST", body: invoice })).json(),
};
const paidSats = async (): Promise<number> => (await (await fetch(walletUrl)).json()).paidSats;
const endpoint = `${url}/api/v1/chat/completions`;
const post = (body: unknown) => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});
const ask = (content: string, more = {}) => post({ model, messages: [{ role: "user", content }], ...more });
const question = "What is a hold invoice? ".repeat(400);

const before = await paidSats();
const refused: [number[], RequestInit][] = [
  [[404], post({ model: "a-model-of-tomorrow", messages: [{ role: "user", content: "hi" }] })],
  [[400], post({})],
  [[413], ask("word ".repeat(400_000))],
];
for (const [statuses, request] of refused) {
  const { status } = await fetchWithL402(endpoint, request, { wallet });
  assert.ok(statuses.includes(status), `${String(request.body).slice(0, 60)} was answered ${status}`);
  assert.equal(await paidSats(), before, `${String(request.body).slice(0, 60)} was paid for and then refused`);
}
for (const request of [ask("hi", { max_tokens: 20_000 }), ask("word ".repeat(120_000))]) {
  const sent = await paidSats();
  const answer = await fetchWithL402(endpoint, request, { wallet });
  assert.ok(answer.ok || await paidSats() === sent, `paid for and then refused: ${await answer.text()}`);
}

const sent = await paidSats();
const opened = await fetchWithL402(endpoint, ask(question), { wallet });
const { credentials, amountSat } = opened.payment ?? assert.fail(`${opened.status}: ${await opened.text()}`);
assert.equal(await paidSats() - sent, amountSat);
let { timmy } = await opened.json();
let short: Response;
for (;;) {
  const answer = await fetchWithL402(endpoint, ask(question), { wallet, credentials });
  if (!answer.ok) {
    short = answer;
    break;
  }
  ({ timmy } = await answer.json());
}
assert.equal(short.status, 402);
assert.equal(await paidSats() - sent, amountSat, "one payment until it was used up");

const { error } = await short.json();
const { sessionId } = error.details;
const own = createTimmy({ baseUrl: url, macaroon: credentials.value.replace(/^L402 /, "") });
await wallet.payInvoice({ invoice: (await own.topUp(sessionId, 1_000)).invoice.paymentRequest });
const afterOwn = await (await fetchWithL402(endpoint, ask(question), { wallet, credentials })).json();
assert.equal(afterOwn.timmy.balanceSats, timmy.balanceSats + 1_000 - afterOwn.timmy.debitedSats);

({ timmy } = afterOwn);
for (;;) {
  short = await fetchWithL402(endpoint, ask(question), { wallet, credentials });
  if (!short.ok) break;
  ({ timmy } = await short.json());
}
const challenge = short.headers.get("www-authenticate");
assert.ok(challenge, `the 402 of a used-up token has no challenge: ${await short.text()}`);
const paid = await paidSats();
await wallet.payInvoice(parseL402(challenge));
const afterChallenge = await (await fetchWithL402(endpoint, ask(question), { wallet, credentials })).json();
const toppedUp = await paidSats() - paid;
assert.equal(afterChallenge.timmy.balanceSats, timmy.balanceSats + toppedUp - afterChallenge.timmy.debitedSats);
