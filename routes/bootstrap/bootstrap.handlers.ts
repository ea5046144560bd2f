import type { AppDeps } from "@/lib/http/app-deps.ts";
import { addressOf, claimTo } from "@/lib/http/claims.ts";
import type { AppRouteHandler } from "@/lib/http/create-app.ts";
import { badRequest, conflict, gone, notFound, unauthorized, unavailable } from "@/lib/http/errors.ts";
import { type Bootstrap, cancel, reported } from "@/lib/bootstrap/bootstrap.machine.ts";
import { getBootstrap as readBootstrap, writeStep } from "@/lib/bootstrap/bootstrap.rows.ts";
import { acknowledgeKey, handOverKey } from "@/lib/bootstrap/delivery.ts";
import { deliver } from "@/lib/bootstrap/keys/delivery.rules.ts";
import { verifyReport } from "@/lib/bootstrap/keys/first-boot-report.ts";
import { parseSshPublicKey } from "@/lib/bootstrap/keys/ssh-public-key.ts";
import { idempotencyScope } from "@/lib/tasks/idempotency.ts";
import { preimageMatches } from "@/lib/l402/credential.ts";
import { invoiceBody } from "@/lib/payments/invoices.rows.ts";
import { getRefund } from "@/lib/payments/refunds.rows.ts";
import { identityOf } from "@/middlewares/identity.ts";
import { bootstrapBody, type KeyOutcome, machineBody, messageOf } from "./bootstrap.body.ts";
import { type Asked, order } from "./bootstrap.ordering.ts";
import type {
  AcknowledgeBootstrapRoute,
  BootstrapPrivateKeyRoute,
  CancelBootstrapRoute,
  CreateBootstrapRoute,
  GetBootstrapRoute,
  RefundBootstrapRoute,
  ReportFirstBootRoute,
} from "./bootstrap.routes.ts";

export const createBootstrap: AppRouteHandler<CreateBootstrapRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const { sshPublicKey, region, size, nostr_token, lightningAddress: left } = c.req.valid("json");
  const { bootstrap: defaults } = deps.settings;
  const asked: Asked = {
    region: region ?? defaults.region,
    size: size ?? defaults.size,
    sshPublicKey: sshPublicKey === undefined ? null : normalised(sshPublicKey),
    lightningAddress: left === undefined ? null : addressOf(left),
    pubkey: await identityOf(c, nostr_token),
  };
  const key = c.req.valid("header")["idempotency-key"];
  const { pubkey, ...body } = asked;
  const credential = pubkey ?? c.get("clientAddress");
  const scope = key === undefined ? null : idempotencyScope({ route: "POST /api/bootstrap", credential, key, body });
  const bootstrap = scope
    ? await deps.oneAtATime(scope.id, () => order(deps, asked, scope))
    : await order(deps, asked, null);
  return c.json({
    bootstrapJobId: deps.recordIds.idOf("bootstrap", bootstrap.handle),
    state: bootstrap.state,
    createdAt: new Date(bootstrap.createdAt).toISOString(),
    invoice: invoiceBody(bootstrap.invoice),
    machine: machineBody(bootstrap),
    message: messageOf(bootstrap),
    ...(bootstrap.lightningAddress !== null && { lightningAddress: bootstrap.lightningAddress }),
    stubMode: bootstrap.simulated.length > 0,
    simulated: bootstrap.simulated,
  }, 201);
};

/** @throws {ApiError} 400 that says what is wrong with the key, and repeats nothing of it. */
function normalised(sshPublicKey: string): string {
  const parsed = parseSshPublicKey(sshPublicKey);
  if (!parsed.ok) throw badRequest("ssh_public_key", parsed.message);
  return parsed.key;
}

export const getBootstrap: AppRouteHandler<GetBootstrapRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const { id } = c.req.valid("param");
  const bootstrap = await bootstrapOf(deps, id);
  const { clock, settings } = deps;
  const handed = deliver(bootstrap.privateKey, clock.now(), settings.bootstrap.keyWindowMs);
  // The one read that writes, and only once: that the key is handed over is durable before it is told. The framework serves a HEAD
  // by running this and dropping the body: the key would be gone with it.
  const key = bootstrap.state === "ready" && handed.ok && c.req.method === "GET"
    ? await handOverKey(deps, bootstrap.handle, { again: false })
    : handed;
  return c.json(await wholeBody(deps, id, bootstrap, key), 200);
};

async function wholeBody(deps: AppDeps, id: string, bootstrap: Bootstrap, key: KeyOutcome | null) {
  const refund = bootstrap.refundId === null ? null : await getRefund(deps.store, bootstrap.refundId);
  return bootstrapBody(id, { bootstrap, refund, key });
}

export const fetchKey: AppRouteHandler<BootstrapPrivateKeyRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const bootstrap = await bootstrapOf(deps, c.req.valid("param").id);
  mustMatch(c.req.valid("json").preimage, bootstrap);
  const handed = await handOverKey(deps, bootstrap.handle, { again: true });
  if (handed.ok) return c.json({ sshPrivateKey: handed.privateKey }, 200);
  if (handed.reason === "gone") throw gone("key_erased", "The key is erased here: nobody can be given it any more.");
  if (handed.reason === "unreadable") {
    const message = "The key cannot be opened at the moment: the operator must restore what seals it. Nothing is lost.";
    throw unavailable("key_unreadable", message, 3_600);
  }
  throw handed.reason === "none"
    ? conflict("no_private_key", "The node takes the key that you sent; no other exists.")
    : conflict("not_ready", "The node is not ready yet, so there is no key to hand over.");
};

export const acknowledge: AppRouteHandler<AcknowledgeBootstrapRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const bootstrap = await bootstrapOf(deps, c.req.valid("param").id);
  const { preimage } = c.req.valid("json");
  if (preimage !== undefined) mustMatch(preimage, bootstrap);
  const refused = await acknowledgeKey(deps, bootstrap.handle);
  if (refused === "none") throw conflict("no_private_key", "The node takes the key that you sent; no other exists.");
  if (refused) throw conflict("key_not_delivered", "The key was not handed over yet: nobody would have it.");
  return c.json({ erased: true as const }, 200);
};

/** @throws {ApiError} 401 */
function mustMatch(preimage: string, { invoice }: Bootstrap): void {
  if (!preimageMatches(preimage.toLowerCase(), invoice.paymentHash)) {
    throw unauthorized(
      "wrong_preimage",
      "This is not the preimage of the fee's invoice. Your wallet shows it with the payment.",
    );
  }
}

export const cancelBootstrap: AppRouteHandler<CancelBootstrapRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const { id } = c.req.valid("param");
  const { handle } = await bootstrapOf(deps, id);
  const now = deps.clock.now();
  const tooLate = await deps.store.transact(async (tx) => {
    const before = await readBootstrap(tx, handle);
    const step = before && cancel(before, now);
    if (!step || step.outcome === "too_late") return before?.state ?? "expired";
    await writeStep(tx, before, step, now);
    return null;
  });
  if (tooLate !== null) throw conflict("too_late", TOO_LATE[tooLate] ?? messageOf(await bootstrapOf(deps, id)));
  return c.json(await wholeBody(deps, id, await bootstrapOf(deps, id), null), 202);
};

/** Why a node in this state cannot be cancelled. */
const TOO_LATE: Partial<Record<Bootstrap["state"], string>> = {
  provisioning:
    "The machine is being made, so this cannot be cancelled any more. Should it fail, all of the fee is owed back.",
  ready: "The node is yours already: there is nothing to cancel.",
  failed: "The node has failed by itself: there is nothing to cancel, and all of the fee is owed back.",
};

export const refundBootstrap: AppRouteHandler<RefundBootstrapRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const bootstrap = await bootstrapOf(deps, c.req.valid("param").id);
  const refund = bootstrap.refundId === null ? null : await getRefund(deps.store, bootstrap.refundId);
  if (!refund) {
    throw bootstrap.destroyingSince === null
      ? conflict("no_refund", "Nothing is owed: only a paid node that failed or was cancelled gives its fee back.")
      : conflict(
        "refund_not_ready",
        "What was made is still being destroyed. The refund can be claimed as soon as nothing is left.",
      );
  }
  const about = { ownInvoice: bootstrap.invoice.paymentRequest, simulated: bootstrap.simulated };
  const { status, body } = await claimTo(deps, refund, c.req.valid("json"), about);
  return c.json(body, status);
};

export const reportFirstBoot: AppRouteHandler<ReportFirstBootRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const token = /^Bearer ([\w-]{22,200})$/.exec(c.req.header("authorization") ?? "")?.[1];
  const handle = token === undefined ? null : deps.recordIds.handleOf("first-boot", token);
  if (handle === null) throw unauthorized("report_token", "This is not the token of a node that was ordered here.");
  const now = deps.clock.now();
  const checked = verifyReport(
    c.get("rawBody") ?? new Uint8Array(),
    c.req.valid("header")["x-timmy-signature"] ?? "",
    now,
  );
  if (!checked.ok) throw badRequest(checked.code, checked.message);
  const outcome = await deps.store.transact(async (tx) => {
    const before = await readBootstrap(tx, handle);
    if (!before) return "over";
    const step = reported(before, { report: checked.report, now });
    if (step.outcome === "over" || step.outcome === "contradicted") return step.outcome;
    await writeStep(tx, before, step, now);
    return "accepted";
  });
  if (outcome === "accepted") return c.json({ accepted: true as const }, 200);
  throw outcome === "over"
    ? conflict("not_awaited", "No first boot is awaited for this node.")
    : conflict("report_used", "This node has reported before, with another key. The token is good once.");
};

/** The bootstrap an id opens. An id that was not made here and one whose record is gone look the same. */
export async function bootstrapOf(deps: AppDeps, id: string): Promise<Bootstrap> {
  const handle = deps.recordIds.handleOf("bootstrap", id);
  const bootstrap = handle === null ? null : await readBootstrap(deps.store, handle);
  if (bootstrap) return bootstrap;
  throw notFound("There is no such node. Check the id that ordering it returned.", "bootstrap_not_found");
}
