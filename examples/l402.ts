// deno-lint-ignore-file no-console -- an example prints
/**
 * An agent that speaks L402: no account, no session opened beforehand. The first request pays, the next ones use the receipt.
 *
 *   deno run --config dev/deno.json --allow-net --allow-env examples/l402.ts [http://127.0.0.1:8080]
 */
import { fetchWithL402 } from "@getalby/lightning-tools/402/l402";
import { devWallet, instanceUrl } from "./dev-wallet.ts";

const url = instanceUrl();
const wallet = devWallet(url);
const { data: [first] } = await (await fetch(`${url}/api/v1/models`)).json();
const ask = (content: string) => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ model: first.id, max_tokens: 300, messages: [{ role: "user", content }] }),
});
const endpoint = `${url}/api/v1/chat/completions`;

const paid = await fetchWithL402(endpoint, ask("What is a hold invoice?"), { wallet });
if (!paid.ok || !paid.payment) throw new Error(`${paid.status}: ${await paid.text()}`);
const answer = await paid.json();
console.log(`Paid a challenge of ${paid.payment.amountSat} sats.`);
console.log(answer.choices[0].message.content);
console.log(`It cost ${answer.timmy.debitedSats} sats; ${answer.timmy.balanceSats} are left.`);

// With the credentials nothing is paid a second time: they draw on what is left.
const { credentials } = paid.payment;
const again = await fetchWithL402(endpoint, ask("And what is it good for?"), { wallet, credentials });
const { timmy } = await again.json();
console.log(`Asked again without paying: it cost ${timmy.debitedSats} sats; ${timmy.balanceSats} are left.`);
