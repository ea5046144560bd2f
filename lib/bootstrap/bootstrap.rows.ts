import { post } from "@/lib/ledger/ledger.rows.ts";
import { INVOICE_SUMMARY } from "@/lib/payments/invoices.rows.ts";
import { countChallenge } from "@/lib/payments/open-challenges.rows.ts";
import { putRefund } from "@/lib/payments/refunds.rows.ts";
import { readable, type Shape } from "@/lib/store/readable.ts";
import type { Key, Reader, Tx } from "@/lib/store/store.ts";
import { plan } from "@/lib/tasks/due.ts";
import {
  type Bootstrap,
  BOOTSTRAP_STATES,
  type BootstrapStep,
  currentStep,
  isChallenge,
  type NoStep,
} from "./bootstrap.machine.ts";

export const bootstrapKey = (handle: string): Key => ["bootstrap", handle];

/** Index of a key's bootstraps, oldest first. */
export const identityBootstraps = (pubkey: string): Key => ["identity_bootstrap", pubkey];

/** Its place among those of its key; null for one that nobody in particular asked for. */
const placeOf = ({ pubkey, createdAt, handle }: Bootstrap): Key | null =>
  pubkey === null ? null : [...identityBootstraps(pubkey), createdAt, handle];

export const BOOTSTRAP: Shape<Bootstrap> = {
  handle: "text",
  state: BOOTSTRAP_STATES,
  createdAt: "whole",
  pubkey: "text?",
  simulated: "list",
  lightningAddress: "text?",
  order: { region: "text", size: "text", volumeGb: "count", days: "count" },
  feeSats: "count",
  invoice: INVOICE_SUMMARY,
  paidSats: "count",
  publicKey: "text",
  privateKey: { sealed: "text?", firstDeliveredAt: "whole?", erasedAt: "whole?" },
  steps: "list",
  made: {
    sshKeyId: "text?",
    volumeId: "text?",
    machineId: "text?",
    ipv4: "text?",
    tailnetKeyId: "text?",
    tailnetKey: "text",
  },
  report: {
    "?": { at: "whole", sshHostKeys: "list", nodeKey: "text", tailscaleHostname: "text?", lnbitsUrl: "text?" },
  },
  paidUntil: "whole?",
  cancelled: "flag",
  errorMessage: "text?",
  destroyingSince: "whole?",
  handedOver: "flag",
  refundId: "text?",
};

/** @throws {UnreadableRow} */
export async function getBootstrap(reader: Reader, handle: string): Promise<Bootstrap | null> {
  const key = bootstrapKey(handle);
  return readable(BOOTSTRAP, key, await reader.get<Bootstrap>(key));
}

/** A new one: the row, its place among those of its key, its count among the challenges. */
export async function putNewBootstrap(tx: Tx, bootstrap: Bootstrap): Promise<void> {
  tx.insert(bootstrapKey(bootstrap.handle), bootstrap);
  const place = placeOf(bootstrap);
  if (place) tx.insert(place, { v: 1 });
  await countChallenge(tx, false, isChallenge(bootstrap));
  tx.event({ type: "bootstrap_state", handle: bootstrap.handle, state: bootstrap.state });
}

/** Forgets one that nobody paid. */
export async function dropBootstrap(tx: Tx, bootstrap: Bootstrap): Promise<void> {
  if (bootstrap.paidSats > 0) throw new Error("a bootstrap that was paid is not dropped");
  await countChallenge(tx, isChallenge(bootstrap), false);
  tx.delete(bootstrapKey(bootstrap.handle));
  const place = placeOf(bootstrap);
  if (place) tx.delete(place);
}

/**
 * Writes everything one transition brings: the record and its count, its postings, what it owes, its next task, its event.
 * @returns false when there was nothing to write.
 */
export async function writeStep(
  tx: Tx,
  before: Bootstrap,
  step: BootstrapStep | NoStep,
  now: number,
): Promise<boolean> {
  if (step.outcome === "replayed") return false;
  const { bootstrap } = step;
  const { handle, state } = bootstrap;
  await post(tx, step.postings, now);
  tx.set(bootstrapKey(handle), bootstrap);
  await countChallenge(tx, isChallenge(before), isChallenge(bootstrap));
  if (step.refund) await putRefund(tx, step.refund, true);
  for (const task of step.tasks) await plan(tx, task);
  const current = currentStep(bootstrap);
  tx.event({
    type: "bootstrap_state",
    handle,
    state,
    step: current?.name ?? null,
    startedAt: current?.startedAt ?? null,
  });
  return true;
}

/** Writes what a payer did with the private key: nothing else of the record changes. */
export function putBootstrap(tx: Tx, bootstrap: Bootstrap): void {
  tx.set(bootstrapKey(bootstrap.handle), bootstrap);
}
