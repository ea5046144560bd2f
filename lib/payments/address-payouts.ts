/** Refunds that go to the Lightning address their payer left, by themselves. */
import type { Clock } from "@/lib/clock.ts";
import { decodeInvoice } from "@/lib/lightning/bolt11.ts";
import type { GuardedFetch } from "@/lib/public-fetch.ts";
import type { Store, Tx } from "@/lib/store/store.ts";
import { holdsLease, type Lease, plan } from "@/lib/tasks/due.ts";
import { FROZEN_MS } from "./freeze.ts";
import type { TaskSpec } from "@/lib/tasks/queue.ts";
import { type AddressInvoice, invoiceOfAddress, LnurlError } from "./lnurl.ts";
import { addressAskSats, addressFailed, nextAddressTry, type Refund } from "./refunds.machine.ts";
import { distrustedUntil, getRefund, putRefund } from "./refunds.rows.ts";

export interface AddressOptions {
  publicFetch: GuardedFetch;
  /** An invoice of ours for the same record: its network is the one that payouts are made on. Null: the record is gone. */
  ownInvoice(source: Refund["source"]): Promise<string | null>;
}

/** `claim` of payouts.ts: `taken`, `expired` and `none` mean that there is nothing to pay any more. */
type Claim = (
  refundId: string,
  invoice: AddressInvoice & { way: "lightning_address" },
  lease: Lease,
) => Promise<
  | { outcome: "distrusted"; until: number }
  | { outcome: "claimed" | "taken" | "expired" | "none" | "frozen" | keyof typeof UNCLAIMED }
>;

/** How long a try waits that this instance had no room for (ms). */
const BUSY_MS = 10_000;

/** Why an invoice of the address' could not be claimed with, for the payer. */
const UNCLAIMED = {
  used: "The Lightning address gave an invoice that was used before.",
  crowded: "As many refunds as may be at once are being paid to this payer.",
  too_many: "Too many invoices for this refund could not be paid.",
};

/**
 * Gets an invoice of the address and claims with it, like anybody else: that commit ends the task, and a payout that fails plans it
 * anew. A claim by hand in between wins. A try that comes to no claim is one commit: what went wrong, and when it is tried again.
 */
export function addressTask(options: AddressOptions & { store: Store; clock: Clock; claim: Claim }): TaskSpec {
  const { store, clock, publicFetch, ownInvoice, claim } = options;

  /** Runs `record` under the lease, which must plan or end the task. */
  const close = (lease: Lease, record: (tx: Tx) => Promise<void>): Promise<void> =>
    store.transact(async (tx) => {
      if (await holdsLease(tx, lease)) await record(tx);
    });
  const planAt = (lease: Lease, dueAt: number | null) =>
    close(lease, (tx) => plan(tx, { kind: lease.kind, id: lease.id, dueAt }));

  const failed = (lease: Lease, reason: string): Promise<void> =>
    close(lease, async (tx) => {
      const now = clock.now();
      const refund = await getRefund(tx, lease.id);
      const next = refund && addressFailed(refund, reason, now);
      if (next) await putRefund(tx, next);
      await plan(tx, { kind: lease.kind, id: lease.id, dueAt: next && nextAddressTry(next, now) });
    });

  async function invoiceFor(refund: Refund, address: string) {
    const own = await ownInvoice(refund.source);
    if (own === null) throw new Error("a refund's record is gone");
    const { sats: owedSats, feeCreditSats } = refund;
    const wanted = { owedSats, askSats: addressAskSats(refund), feeCreditSats, prefix: decodeInvoice(own).prefix };
    return await invoiceOfAddress(publicFetch, address, wanted, () => clock.now());
  }

  async function run(lease: Lease): Promise<void> {
    const refund = await getRefund(store, lease.id);
    if (refund?.state !== "pending" || refund.address === null) return await planAt(lease, null);
    const until = await distrustedUntil(store, clock.now());
    if (until !== null) return await planAt(lease, until);
    try {
      const invoice = await invoiceFor(refund, refund.address);
      const claimed = await claim(refund.id, { ...invoice, way: "lightning_address" }, lease);
      if (claimed.outcome === "claimed") return;
      if (claimed.outcome === "distrusted") return await planAt(lease, claimed.until);
      if (claimed.outcome === "frozen") return await planAt(lease, clock.now() + FROZEN_MS);
      if (!(claimed.outcome in UNCLAIMED)) return await planAt(lease, null);
      await failed(lease, UNCLAIMED[claimed.outcome as keyof typeof UNCLAIMED]);
    } catch (error) {
      if (!(error instanceof LnurlError)) throw error;
      if (error.code === "busy") return await planAt(lease, clock.now() + BUSY_MS);
      await failed(lease, error.reason);
    }
  }

  return {
    kind: "refund-address",
    concurrency: 32,
    leaseMs: 60_000,
    maxAttempts: 3,
    maxDelayMs: 60_000,
    run,
    giveUp: (lease) => failed(lease, "It could not be tried: an error of this instance."),
  };
}
