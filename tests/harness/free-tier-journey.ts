/** The way of a Nostr key through the free tier of the real program over HTTP, whatever money it runs on. */
import assert from "node:assert/strict";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { generateSecretKey } from "nostr-tools/pure";
import { nostrHeader, sign } from "../fixtures/nostr/sign.ts";
import { freePort, type RunningProcess, startProcess, thenStops } from "./process.ts";

export interface OwnInvoice {
  paymentRequest: string;
  paymentHash: string;
  amountSats: number;
}

/** Who pays, and is paid back. */
export interface Payer {
  pay(invoice: OwnInvoice): Promise<void>;
  /** A BOLT11 invoice of the payer's own. */
  invoice(amountSats: number): Promise<string>;
  /** What the payer's wallet holds (sats); null: it does not tell. */
  balanceSats(): Promise<number | null>;
}

export interface Setup {
  timmy: RunningProcess;
  /** The settings it was started with. */
  env: Record<string, string>;
  payer: Payer;
}

/** Two paid jobs establish a key, a third makes it trusted; the pool holds less at first than one job costs. */
const SETTINGS = {
  TRUST_ESTABLISHED: "2",
  TRUST_TRUSTED: "3",
  FREE_TIER_NEW_SATS: "0",
  FREE_TIER_ESTABLISHED_SATS: "50",
  FREE_TIER_TRUSTED_SATS: "1000",
  POOL_SEED_SATS: "60",
  POOL_CREDIT_PCT: "10",
};
const GIFT_SATS = 1_000;
const QUESTION = "What is a hold invoice?";
const root = new URL("../../", import.meta.url).pathname;

/**
 * Starts the program, runs `journey` and stops the program.
 * @param payerOf is given the program's address.
 */
export async function withFreeTier(
  money: Record<string, string>,
  payerOf: (timmy: RunningProcess) => Payer,
  journey: (setup: Setup) => Promise<void>,
): Promise<void> {
  const env = { ...SETTINGS, ...money };
  const timmy = await startProcess(env);
  await thenStops(timmy, () => journey({ timmy, env, payer: payerOf(timmy) }));
}

/** What the program's own audit says of its wallet; fails with the first check that does not hold. */
async function audited({ timmy: { dataDir }, env }: Setup): Promise<{ ledgerSats: number; walletSats: number }> {
  const binary = Deno.env.get("TIMMY_BINARY");
  const { code, stdout, stderr } = await new Deno.Command(binary ?? "sh", {
    args: binary ? ["audit"] : [`${root}scripts/start.sh`, "audit"],
    cwd: binary ? dataDir.replace(/\/data$/, "") : root,
    env: { ...env, DENO: Deno.execPath(), PORT: String(freePort()), DATA_DIR: binary ? "./data" : dataDir },
    stdin: "null",
  }).output();
  const said = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("");
  assert.equal(code, 0, said);
  const [, ledger, wallet] = /the ledger has (\d+) sats in it, the wallet holds (\d+)/.exec(said) ??
    assert.fail(`the audit does not tell what the wallet holds:\n${said}`);
  return { ledgerSats: Number(ledger), walletSats: Number(wallet) };
}

/** As `timmy.call`, with a credential. @param status what is expected. */
async function send(
  { timmy }: Setup,
  [method, path]: readonly [method: string, path: string],
  status: number,
  { body, headers }: { body?: unknown; headers?: Record<string, string> } = {},
) {
  const response = await fetch(timmy.url + path, {
    method,
    headers: { ...(body !== undefined && { "content-type": "application/json" }), ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const answer = await response.json();
  assert.equal(response.status, status, `${method} ${path}: ${JSON.stringify(answer)}`);
  return answer;
}

const seconds = () => Math.floor(Date.now() / 1_000);

/** A new key's signer: signs in, and signs single requests (NIP-98). */
function newSigner(setup: Setup) {
  const secretKey = new Uint8Array(generateSecretKey());
  const origin = setup.timmy.url;
  const signed = (tags: string[][], content: string) =>
    sign({ kind: 27_235, created_at: seconds(), tags, content }, secretKey);
  return {
    /** @returns the header that names the key from then on. */
    async signIn(): Promise<{ "x-nostr-token": string }> {
      const { nonce } = await send(setup, ["POST", "/api/identity/challenge"], 200);
      const event = signed([["u", origin], ["method", "POST"]], nonce);
      const { nostr_token } = await send(setup, ["POST", "/api/identity/verify"], 200, { body: { event } });
      return { "x-nostr-token": nostr_token };
    },
    /** The header that names it for this request alone. */
    signs: (method: string, path: string, body: unknown) => ({
      authorization: nostrHeader(signed([
        ["u", origin + path],
        ["method", method],
        ["payload", bytesToHex(sha256(utf8ToBytes(JSON.stringify(body))))],
      ], "")),
    }),
  };
}

/**
 * Sign in → pay until established → a job that the pool helps with → trusted, a gift to the pool → a free job → a stranger's
 * job refills the pool; every refund is paid out. After each step the pool is what the amounts told so far make it, and in
 * the end ledger, pool and both wallets agree to the satoshi.
 */
export async function freeTierJourney(setup: Setup): Promise<void> {
  const { timmy, payer } = setup;
  const signer = newSigner(setup);
  const auth = await signer.signIn();
  const start = await audited(setup);
  const payerBefore = await payer.balanceSats();
  assert.equal(start.ledgerSats, 0, "a new instance");

  /** What the program earned and was given, and what it charged for work: the pool has its share of that. */
  const sums = { evaluations: 0, charges: 0, gifts: 0, absorbed: 0 };
  const expectedPool = () =>
    Number(SETTINGS.POOL_SEED_SATS) + sums.gifts - sums.absorbed + Math.floor(sums.charges / 10);
  const poolSats = async () => (await send(setup, ["GET", "/api/free-tier"], 200)).pool.balanceSats;
  const me = () => send(setup, ["GET", "/api/identity/me"], 200, { headers: auth });
  const preview = async () =>
    (await send(setup, ["GET", `/api/estimate?request=${encodeURIComponent(QUESTION)}`], 200, { headers: auth }))
      .identity.free_tier;

  /** A job from its question to its end and its refund, with all that is asked paid. */
  async function job(headers: Record<string, string>) {
    const body = { request: QUESTION };
    const created = await send(setup, ["POST", "/api/jobs"], 201, { body, headers });
    await payer.pay(created.evalInvoice);
    const path = `/api/jobs/${created.jobId}`;
    const offered = await timmy.poll(path, ({ state }) => ["awaiting_work_payment", "complete"].includes(state));
    if (offered.workInvoice) {
      assert.equal(await poolSats(), expectedPool(), "nothing is reserved for who may never pay");
      await payer.pay(offered.workInvoice);
    }
    const done = await timmy.poll(path, ({ state }) => state === "complete");
    const { chargedSats, absorbedSats, paidSats, refundAmountSats } = done.costLedger;
    assert.equal(paidSats, offered.workInvoice?.amountSats ?? 0);
    assert.equal(chargedSats + refundAmountSats, paidSats);
    assert.equal(chargedSats + absorbedSats, done.costLedger.actualAmountSats);
    if (refundAmountSats > 0) {
      const claim = { invoice: await payer.invoice(refundAmountSats) };
      await timmy.call("POST", `${path}/refund`, claim);
      await timmy.poll(path, ({ costLedger }) => costLedger.refundState === "paid");
    }
    sums.evaluations += done.evalInvoice.amountSats;
    sums.charges += chargedSats;
    sums.absorbed += absorbedSats;
    assert.equal(await poolSats(), expectedPool());
    return done;
  }

  for (let paid = 1; paid <= 2; paid++) {
    const done = await job(auth);
    assert.deepEqual([done.free_tier.serve, done.absorbed_sats, done.costLedger.chargedSats > 0], ["gate", 0, true]);
    assert.equal((await me()).trust.score, paid);
  }
  const { trust, budget } = await me();
  assert.deepEqual([trust.tier, budget.dailySats, budget.usedSats], ["established", 50, 0]);

  const offer = await preview();
  assert.deepEqual([offer.serve, offer.absorbSats], ["partial", 50]);
  const helped = await job(auth);
  assert.deepEqual(helped.free_tier, offer, "what the estimate told");
  assert.deepEqual([helped.workInvoice.amountSats, helped.absorbed_sats], [offer.chargeSats, 50]);
  assert.ok(helped.costLedger.chargedSats > 0, "the payer's part raises the trust");

  const trusted = await me();
  assert.deepEqual([trusted.trust.tier, trusted.budget.dailySats], ["trusted", 1_000]);
  assert.equal((await preview()).serve, "partial", "the pool holds less than a job costs");
  const { invoice } = await send(setup, ["POST", "/api/free-tier/donate"], 201, { body: { amount_sats: GIFT_SATS } });
  await payer.pay(invoice);
  await timmy.poll("/api/free-tier", ({ pool }) => pool.balanceSats > GIFT_SATS);
  sums.gifts += GIFT_SATS;
  assert.equal(await poolSats(), expectedPool());

  assert.equal((await preview()).serve, "free");
  const free = await job(signer.signs("POST", "/api/jobs", { request: QUESTION }));
  assert.deepEqual([free.free_tier.serve, free.free_tier.chargeSats], ["free", 0]);
  const { workAmountSats, chargedSats, refundState } = free.costLedger;
  assert.deepEqual([free.workInvoice, workAmountSats, chargedSats, refundState], [undefined, 0, 0, "not_applicable"]);
  assert.ok(free.absorbed_sats > 50 && typeof free.result === "string");
  const after = await me();
  assert.deepEqual(after.trust, { ...trusted.trust, interactionCount: 4 }, "what was free earns no trust");

  const emptied = await poolSats();
  const stranger = await job({});
  assert.deepEqual([stranger.free_tier, stranger.trust_tier], [undefined, "anonymous"]);
  assert.ok(await poolSats() >= emptied + Math.floor(stranger.costLedger.chargedSats / 10), "it fills again");

  // Budgets are a UTC day's: whoever runs this over midnight has begun another one.
  if (after.budget.resetsAt === budget.resetsAt) {
    assert.equal(after.budget.usedSats, sums.absorbed);
    assert.equal((await send(setup, ["GET", "/api/free-tier"], 200)).grantedTodaySats, sums.absorbed);
  }
  const earned = sums.evaluations + sums.charges + sums.gifts;
  const end = await audited(setup);
  assert.equal(end.ledgerSats, earned);
  assert.equal(end.walletSats - start.walletSats, earned, "the wallet has what the ledger says, and nothing else");
  if (payerBefore !== null) assert.equal(await payer.balanceSats(), payerBefore - earned);
  assert.ok(!timmy.output().includes(after.pubkey), "the log names the key");
}
