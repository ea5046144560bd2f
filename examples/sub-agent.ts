// deno-lint-ignore-file no-console -- an example prints
/**
 * A budget for somebody else: a session's token, narrowed offline, lets a sub-agent spend 300 sats and not one more.
 *
 *   deno run --config dev/deno.json --allow-net --allow-env examples/sub-agent.ts [http://127.0.0.1:8080]
 */
import { createTimmy, narrow, TimmyError } from "../client/mod.ts";
import { devWallet, instanceUrl, openPaidSession } from "./dev-wallet.ts";

const baseUrl = instanceUrl();
const { sessionId, macaroon } = await openPaidSession(baseUrl, 1_000);
const mine = createTimmy({ baseUrl, macaroon });
// Use a token before you give anything narrowed from it away: until then the session's id, which is in it, shows it whole.
console.log(`The owner asked: ${(await mine.ask(sessionId, "What is a hold invoice?")).debitedSats} sats.`);

// No network is needed for this. The time also makes the token one of its own: equal ones would share their count.
const validUntil = new Date(Date.now() + 3_600_000);
const narrowed = narrow(macaroon, { maxSats: 300, validUntil });

const agent = createTimmy({ baseUrl, macaroon: narrowed });
for (let asked = 1; asked <= 10; asked++) {
  try {
    const { debitedSats } = await agent.ask(sessionId, `What is a hold invoice? Try number ${asked}.`);
    console.log(`The sub-agent asked: ${debitedSats} sats.`);
  } catch (error) {
    if (!(error instanceof TimmyError) || error.status !== 403) throw error;
    const { leftSats, priceSats } = error.details;
    console.log(`403 ${error.code}: ${error.message} ${leftSats} of 300 sats are left, it takes ${priceSats}.`);
    break;
  }
}

// The rest is still the owner's, who takes it back.
const { balanceSats } = await mine.read(sessionId);
const { refundState, refundAmountSats } = await mine.close(
  sessionId,
  await devWallet(baseUrl).makeInvoice(balanceSats),
);
console.log(`Closed: ${refundAmountSats} sats ${refundState}.`);
