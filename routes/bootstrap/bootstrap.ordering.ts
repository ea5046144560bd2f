/** What happens between the order of a node and its invoice. */
import type { AppDeps } from "@/lib/http/app-deps.ts";
import { refuseUnpayable } from "@/lib/http/claims.ts";
import { badRequest, keyTaken, unavailable } from "@/lib/http/errors.ts";
import { invoiceOver } from "@/lib/http/invoices.ts";
import { type Bootstrap, newBootstrap } from "@/lib/bootstrap/bootstrap.machine.ts";
import { bootstrapKey, getBootstrap, putNewBootstrap } from "@/lib/bootstrap/bootstrap.rows.ts";
import { newDelivery } from "@/lib/bootstrap/keys/delivery.rules.ts";
import { newSshKeyPair } from "@/lib/bootstrap/keys/ssh-key-pair.ts";
import { objectionToNodes, sealedAs } from "@/lib/bootstrap/provisioning.ts";
import { CloudError, type Refusal } from "@/lib/cloud/port.ts";
import { type IdempotencyScope, recall, remember } from "@/lib/tasks/idempotency.ts";
import { newHandle } from "@/lib/ids.ts";
import { tooManyOpenChallenges } from "@/lib/http/spending.ts";
import { addInvoice, type InvoiceSummary, newInvoice } from "@/lib/payments/invoices.rows.ts";
import { challengesFull } from "@/lib/payments/open-challenges.rows.ts";

/** A public key of the right form, to judge whether a node could be made at all. Everybody knows its private half; no node gets it. */
const someKey = () => newSshKeyPair(new Uint8Array(32), "nobody").publicKey;

/** What a payer asks for, checked and completed with the defaults. */
export interface Asked {
  region: string;
  size: string;
  sshPublicKey: string | null;
  lightningAddress: string | null;
  pubkey: string | null;
}

/**
 * Writes the order down with its invoice, or finds what the same Idempotency-Key made before. What can be refused is refused before
 * there is an invoice; the invoice is made before the transaction, which waits for no wallet.
 * @throws {ApiError} 400, 409, 429, 503
 */
export async function order(deps: AppDeps, asked: Asked, scope: IdempotencyScope | null): Promise<Bootstrap> {
  const { store, clock, settings } = deps;
  const before = scope && await recall(store, scope, clock.now());
  if (before?.outcome === "known") return await known(deps, before.ref);
  if (before?.outcome === "conflict") throw keyTaken("node");
  if (await challengesFull(store, settings.maxOpenChallenges)) throw tooManyOpenChallenges();
  await refuseWhatCannotBeMade(deps, asked);
  if (asked.lightningAddress !== null) await refuseUnpayable(deps, asked.lightningAddress);
  const invoice = await invoiceOver(deps, settings.bootstrap.feeSats, "Timmy: a Bitcoin and Lightning node");
  const bootstrap = newOrder(deps, asked, invoice);
  const outcome = await store.transact(async (tx) => {
    const taken = scope && await recall(tx, scope, bootstrap.createdAt);
    if (taken && taken.outcome !== "new") return taken;
    if (await tx.get(bootstrapKey(bootstrap.handle))) throw new Error("two bootstraps drew the same handle");
    if (await challengesFull(tx, settings.maxOpenChallenges)) return { outcome: "full" as const };
    await putNewBootstrap(tx, bootstrap);
    await addInvoice(tx, newInvoice("bootstrap", bootstrap.handle, bootstrap.invoice, bootstrap.createdAt));
    if (scope) await remember(tx, scope, bootstrap.handle, bootstrap.createdAt);
    return { outcome: "created" as const };
  });
  if (outcome.outcome === "created") return bootstrap;
  if (outcome.outcome === "known") return await known(deps, outcome.ref);
  if (outcome.outcome === "full") throw tooManyOpenChallenges();
  throw keyTaken("node");
}

/**
 * The fee is one, so the size is one: whoever could choose would choose the dearest for the same sats.
 * @throws {ApiError} 400 for what nobody sells there, 503 for what the account cannot make just now.
 */
async function refuseWhatCannotBeMade({ cloud, wallet, settings, log }: AppDeps, asked: Asked): Promise<void> {
  const { region, size } = asked;
  if (cloud.simulated && !wallet.simulated) {
    throw unavailable("bootstrap_unavailable", "This instance sells no nodes: no cloud provider is set.", 3_600);
  }
  // Where the payer sent none any key will do: its form alone matters here, and it takes room in the user data.
  const objection = objectionToNodes(settings, asked.sshPublicKey ?? someKey());
  if (objection !== null) {
    log.error({ code: "bootstrap_unavailable", reason: objection }, "this program cannot make a node: none is sold");
    throw unavailable(
      "bootstrap_unavailable",
      "This instance can make no nodes at the moment. Nothing was charged.",
      3_600,
    );
  }
  const { size: sold } = settings.bootstrap;
  if (size !== sold) {
    throw badRequest("cloud_size", `The fee buys a machine of the size ${sold}, not ${size}. Leave size out.`, {
      size: sold,
    });
  }
  let refusal: Refusal | null;
  try {
    refusal = await cloud.refusal({ region, size, volumeGb: settings.bootstrap.volumeGb });
  } catch (cause) {
    if (!(cause instanceof CloudError)) throw cause;
    throw unavailable("cloud_unavailable", "The cloud provider does not answer. Try again shortly.", 30, { cause });
  }
  if (!refusal) return;
  const { code, message } = refusal;
  if (code === "size" || code === "region") throw badRequest(`cloud_${code}`, message);
  throw unavailable(`cloud_${code}`, `${message} Nothing was charged; try again later.`, 3_600);
}

function newOrder({ settings, clock, random, sealer, wallet, cloud }: AppDeps, asked: Asked, invoice: InvoiceSummary) {
  const handle = newHandle(random);
  const { volumeGb, days, feeSats } = settings.bootstrap;
  const pair = asked.sshPublicKey === null ? newSshKeyPair(random.bytes(32), `timmy-${handle}`) : null;
  return newBootstrap({
    handle,
    pubkey: asked.pubkey,
    simulated: [wallet.simulated && "lightning", cloud.simulated && "cloud"].filter((name) => name !== false),
    lightningAddress: asked.lightningAddress,
    order: { region: asked.region, size: asked.size, volumeGb, days },
    feeSats,
    invoice,
    publicKey: pair?.publicKey ?? asked.sshPublicKey ?? "",
    privateKey: newDelivery(pair && sealer.seal(pair.privateKey, sealedAs("private key", { handle }))),
    createdAt: clock.now(),
  });
}

/** What an idempotency key made, as it was when it was made: the same answer again. */
async function known(deps: AppDeps, handle: string): Promise<Bootstrap> {
  const bootstrap = await getBootstrap(deps.store, handle);
  if (!bootstrap) throw new Error("an idempotency key names a bootstrap that does not exist");
  return { ...bootstrap, state: "awaiting_payment", paidUntil: null };
}
