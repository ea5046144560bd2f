import {
  type Bootstrap,
  currentStep,
  type ProvisioningStep,
  type StepName,
} from "@/lib/bootstrap/bootstrap.machine.ts";
import { knownHosts } from "@/lib/bootstrap/keys/first-boot-report.ts";
import type { NoKey } from "@/lib/bootstrap/delivery.ts";
import { attemptsBody } from "@/lib/http/claims.ts";
import { invoiceBody } from "@/lib/payments/invoices.rows.ts";
import type { Refund } from "@/lib/payments/refunds.machine.ts";
import type { BootstrapBody } from "./bootstrap.routes.ts";

const iso = (ms: number) => new Date(ms).toISOString();
const DAY_MS = 86_400_000;

/** What became of the private key in this very answer: the key itself, or why it is not in it. */
export type KeyOutcome = { ok: true; privateKey?: string } | { ok: false; reason: NoKey };

/** The public face of a bootstrap: what its holder may see in its present state, field by field. */
export function bootstrapBody(
  bootstrapJobId: string,
  { bootstrap, refund, key }: { bootstrap: Bootstrap; refund: Refund | null; key: KeyOutcome | null },
): BootstrapBody {
  const { state, createdAt, invoice, errorMessage, simulated } = bootstrap;
  const ready = state === "ready" && credentials(bootstrap, key);
  return {
    bootstrapJobId,
    state,
    createdAt: iso(createdAt),
    invoice: invoiceBody(invoice),
    machine: machineBody(bootstrap),
    steps: bootstrap.steps.map(stepBody),
    message: messageOf(bootstrap, refund),
    ...(ready && { credentials: ready, nextSteps: nextSteps(bootstrap) }),
    ...(errorMessage !== null && { errorMessage }),
    ...refundBody(bootstrap, refund),
    ...(bootstrap.lightningAddress !== null && { lightningAddress: bootstrap.lightningAddress }),
    stubMode: simulated.length > 0,
    simulated,
  };
}

export function machineBody({ order, createdAt, paidUntil }: Bootstrap): BootstrapBody["machine"] {
  const { region, size, volumeGb, days } = order;
  const until = paidUntil ?? createdAt + days * DAY_MS;
  return { region, size, volumeGb, paidDays: days, paidFrom: iso(until - days * DAY_MS), paidUntil: iso(until) };
}

const stepBody = ({ name, startedAt, finishedAt, note }: ProvisioningStep) => ({
  name,
  startedAt: iso(startedAt),
  ...(finishedAt !== null && { finishedAt: iso(finishedAt) }),
  ...(note !== null && { note }),
});

/** What goes on in a step, for whoever does not know the provider's words. */
const UNDER_WAY: Record<StepName, string> = {
  ssh_key: "the provider is given its SSH key",
  tailscale_key: "a key for the private network is made",
  volume: "its volume is made",
  droplet: "the machine is ordered",
  ip: "the machine's public address is awaited",
  first_boot: "it boots for the first time and then reports; that takes some minutes",
  ready: "it is handed over",
};

/**
 * What is going on, in a sentence.
 * @param refund what became of the money that is owed back; null while nothing is owed
 */
export function messageOf(bootstrap: Bootstrap, refund: Refund | null = null): string {
  const step = currentStep(bootstrap)?.name ?? "ssh_key";
  switch (bootstrap.state) {
    case "awaiting_payment":
      return `Pay the invoice of ${bootstrap.feeSats} sats: the node is made as soon as it is paid.`;
    case "provisioning":
      return `The node is being made, step ${step}: ${UNDER_WAY[step]}.`;
    case "ready_unconfirmed":
      return `The machine is there (${bootstrap.made.ipv4}), but it has not reported its first boot in time. It may still do so; or ` +
        "cancel: then it is destroyed and all of the fee is owed back.";
    case "ready":
      return "The node is made and has booted. The Bitcoin chain takes one to two weeks to sync.";
    case "failed":
      return `${bootstrap.cancelled ? "You cancelled it." : "The node could not be made."} ${
        bootstrap.destroyingSince === null
          ? `Everything that was made is destroyed. ${refundWords(refund)}`
          : "What was made is being destroyed; then everything that was paid is owed back."
      }`;
    case "expired":
      return bootstrap.cancelled ? "You cancelled it before it was paid." : "Nobody paid the invoice in time.";
  }
}

function refundWords(refund: Refund | null): string {
  switch (refund?.state) {
    case "pending":
      return refund.address === null
        ? "Everything that was paid is owed back: claim it with an invoice or a Lightning address at POST …/refund."
        : "Everything that was paid is owed back: it goes to your Lightning address by itself, or is claimed at POST …/refund.";
    case "paying":
      return "The refund is being paid.";
    case "paid":
      return "Everything that was paid has gone back.";
    case "expired":
      return "Nobody claimed the refund in time.";
    case undefined:
      return "What was paid is too little to be paid back.";
  }
}

const KEY_NOTES: Record<NoKey, string> = {
  none: "The node takes the key that you sent; no other exists.",
  delivered:
    "The key was handed over before. If that answer was lost, POST the invoice's preimage to …/key soon: then the key is erased.",
  not_delivered: "The key is not handed over yet.",
  not_due: "The key was handed over before.",
  gone: "The key was handed over and is erased here.",
  unreadable:
    "The key cannot be opened at the moment: the operator must restore what seals it. It stays yours; ask again later.",
};

function credentials({ made, report, publicKey }: Bootstrap, key: KeyOutcome | null): BootstrapBody["credentials"] {
  if (made.ipv4 === null || report === null) return undefined;
  return {
    nodeIp: made.ipv4,
    tailscaleHostname: report.tailscaleHostname,
    lnbitsUrl: report.lnbitsUrl,
    sshPublicKey: publicKey,
    sshPrivateKey: key?.ok ? key.privateKey ?? null : null,
    ...(key && !key.ok && { sshKeyNote: KEY_NOTES[key.reason] }),
    knownHosts: knownHosts(made.ipv4, report.sshHostKeys),
  };
}

/** Only what exists on the node (lib/bootstrap/node). */
function nextSteps({ made, report, paidUntil }: Bootstrap): string[] {
  const lnbits = report?.tailscaleHostname
    ? `Open LNbits from your tailnet: ${report.lnbitsUrl ?? `http://${report.tailscaleHostname}:5000`}.`
    : `Open LNbits through SSH: ssh -L 5000:127.0.0.1:5000 root@${made.ipv4}, then http://127.0.0.1:5000.`;
  return [
    "Write the knownHosts lines into ~/.ssh/known_hosts; then your first login needs no trust.",
    `Log in: ssh root@${made.ipv4}. The node's own passwords are in /root/node-credentials.txt.`,
    "Watch the sync: bash /opt/timmy-node/ops.sh sync. It takes one to two weeks to 100 %.",
    lnbits,
    "Write the seed's 24 words from /root/node-credentials.txt on paper: without them no backup helps.",
    "After every channel you open: bash /opt/timmy-node/ops.sh backup, and copy the file that it names off the machine.",
    "When it is synced, open a channel: bash /opt/timmy-node/ops.sh channels shows what you have.",
    `The fee pays the machine until ${paidUntil === null ? "its days are over" : iso(paidUntil)}.`,
  ];
}

function refundBody(bootstrap: Bootstrap, refund: Refund | null) {
  const owed = bootstrap.state === "failed" && bootstrap.destroyingSince !== null ? bootstrap.paidSats : 0;
  return {
    refundState: refund?.state ?? (owed > 0 ? "pending" as const : "not_applicable" as const),
    refundAmountSats: refund?.sats ?? owed,
    refundPaymentHash: refund?.payout?.paymentHash ?? null,
    refundClaimUntil: refund ? iso(refund.claimUntil) : null,
    refundFailure: refund?.lastFailure ?? null,
    refundAttempts: attemptsBody(refund),
  };
}
