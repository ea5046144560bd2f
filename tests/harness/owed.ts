import assert from "node:assert/strict";
import type { PayFault } from "@/lib/lightning/simulated-faults.ts";
import type { PayoutInvoice } from "@/lib/payments/payouts.ts";
import type { Refund } from "@/lib/payments/refunds.machine.ts";
import { getRefund, putRefund } from "@/lib/payments/refunds.rows.ts";
import { createFakeWorld, type FakeWorld } from "./fake-world.ts";
import { createJob, handleOf, paidJob, pay, payerInvoice, untilState } from "./payer.ts";
import type { World, WorldOptions } from "./world.ts";

/** What a job with a failed evaluation owes. */
export const OWED_SATS = 10;

export interface Owed extends FakeWorld {
  refundId: string;
  refund(): Promise<Refund>;
  /** One more refund that is owed. @returns its id, which is its job's handle, and the job's. */
  another(headers?: Record<string, string>): Promise<{ refundId: string; jobId: string }>;
  /** Claims with a new invoice of the payer. @returns its payment hash. */
  claim(): Promise<PayoutInvoice & { outcome: string }>;
  /** Faults of the next payouts, first one first. */
  payFaults: (PayFault | null)[];
  /** What the wallet sent or may still send, by its own books. */
  sent(): Promise<string[]>;
}

/** A new invoice of the payer for what is owed, or for less. */
export const payee = async (world: World, amountSats = OWED_SATS): Promise<PayoutInvoice> => {
  const { paymentHash, paymentRequest } = await payerInvoice(world, amountSats);
  return { paymentHash, paymentRequest, amountSats };
};

/** A refund that is owed, in a wallet that holds enough to pay it twice. */
export function owedTest(name: string, fn: (owed: Owed) => Promise<void>, options: Partial<WorldOptions> = {}): void {
  Deno.test(name, async () => {
    const fake = await createFakeWorld(1, options);
    const { world } = fake;
    await fake.clock.drive(paidJob(world, world.call, "[refuse]"));
    await fake.clock.drive(paidJob(world, world.call, "[refuse]"));
    const job = await fake.clock.drive(paidJob(world, world.call, "[fail-eval]"));
    const refundId = handleOf(job.jobId);
    await world.store.transact(async (tx) => { // as if the job had earned what its routing fee costs
      putRefund(tx, { ...await getRefund(tx, refundId) ?? assert.fail("nothing is owed"), feeCreditSats: 10 });
    });
    const payFaults: (PayFault | null)[] = [];
    fake.walletFaults.pay = () => payFaults.shift() ?? undefined;
    try {
      await fn({
        ...fake,
        refundId,
        payFaults,
        async refund() {
          return await getRefund(world.store, refundId) ?? assert.fail("the refund is gone");
        },
        async another(headers) {
          const { jobId, evalInvoice } = await createJob(fake.call, "[fail-eval]", headers);
          await pay(world, evalInvoice);
          await fake.clock.drive(untilState(world, world.call, jobId, ["failed"]));
          return { refundId: handleOf(jobId), jobId };
        },
        async claim() {
          const invoice = await payee(world);
          const { outcome } = await world.deps.payouts.claim(refundId, invoice);
          return { ...invoice, outcome };
        },
        async sent() {
          const rows = await world.walletStore.list<{ v: 1; state: string }>(["simulated-wallet", "payment"]);
          return rows.filter(({ value }) => value.state !== "failed").map(({ key }) => String(key[2]));
        },
      });
    } finally {
      fake.discard();
    }
  });
}
