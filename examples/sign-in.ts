// deno-lint-ignore-file no-console -- an example prints
/**
 * Signs in with a Nostr key and has a job done in its name. Paid work makes a key trusted, and trusted keys are helped by the
 * instance's free tier. The key is new with each run; NOSTR_SECRET_KEY (64 hex digits) uses your own.
 *
 *   deno run --config dev/deno.json --allow-net --allow-env examples/sign-in.ts [http://127.0.0.1:8080]
 *
 * The address must be the instance's public one (PUBLIC_ORIGIN): it is part of what is signed.
 */
import { hexToBytes } from "@noble/hashes/utils.js";
import { finalizeEvent, generateSecretKey } from "nostr-tools/pure";
import { devWallet, instanceUrl } from "./dev-wallet.ts";

const origin = new URL(instanceUrl()).origin;
const wallet = devWallet(origin);
const given = Deno.env.get("NOSTR_SECRET_KEY");
if (given && !/^[0-9a-f]{64}$/i.test(given)) throw new Error("NOSTR_SECRET_KEY must be 64 hex digits, not an nsec1…");
const secretKey = given ? hexToBytes(given) : generateSecretKey();

async function call(method: "GET" | "POST", path: string, body?: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(origin + path, {
    method,
    headers: { "content-type": "application/json", ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${await response.text()}`);
  return await response.json();
}

// 1. A nonce, 2. signed with the key (in a browser a NIP-07 extension does this), 3. gives a token.
const { nonce } = await call("POST", "/api/identity/challenge");
const event = finalizeEvent({
  kind: 27235,
  created_at: Math.floor(Date.now() / 1_000),
  tags: [["u", origin], ["method", "POST"]],
  content: nonce,
}, secretKey);
const { nostr_token, expiresAt } = await call("POST", "/api/identity/verify", { event });
const auth = { "X-Nostr-Token": nostr_token };
console.log(`Signed in as ${event.pubkey} until ${expiresAt}.`);

async function standing(): Promise<string> {
  const { trust, budget } = await call("GET", "/api/identity/me", undefined, auth);
  const left = Math.max(0, budget.dailySats - budget.usedSats);
  return `${trust.tier}, score ${trust.score}; the pool pays up to ${left} sats more today.`;
}
console.log(`Before: ${await standing()}`);

// A job of this key: with the token in the header, paid as any other.
const { jobId, evalInvoice } = await call("POST", "/api/jobs", { request: "What is a hold invoice?" }, auth);
await wallet.payInvoice({ invoice: evalInvoice.paymentRequest });
let job = await call("GET", `/api/jobs/${jobId}`);
for (let paid = false; !["complete", "rejected", "failed", "expired"].includes(job.state);) {
  if (job.state === "awaiting_work_payment" && !paid) {
    await wallet.payInvoice({ invoice: job.workInvoice.paymentRequest });
    paid = true;
  }
  await new Promise((resolve) => setTimeout(resolve, 200));
  job = await call("GET", `/api/jobs/${jobId}`);
}
console.log(`${job.state}: ${job.result ?? job.reason ?? job.errorMessage}`);
if (job.costLedger) console.log(`It cost ${job.costLedger.chargedSats} sats of ${job.costLedger.paidSats} paid.`);
console.log(`After: ${await standing()}`);

const { jobs } = await call("GET", "/api/identity/jobs?limit=3", undefined, auth);
console.log(`Jobs of this key: ${jobs.map(({ state }: { state: string }) => state).join(", ")}.`);

// Without a token: one request, signed by itself (NIP-98).
const url = `${origin}/api/identity/me`;
const signed = finalizeEvent({
  kind: 27235,
  created_at: Math.floor(Date.now() / 1_000),
  tags: [["u", url], ["method", "GET"], ["nonce", crypto.randomUUID()]],
  content: "",
}, secretKey);
const me = await call("GET", "/api/identity/me", undefined, { Authorization: `Nostr ${btoa(JSON.stringify(signed))}` });
console.log(`Signed a request: ${me.pubkey === event.pubkey ? "the same key" : "another key"}.`);
