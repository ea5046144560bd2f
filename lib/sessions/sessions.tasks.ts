import type { Services } from "@/lib/services.ts";
import { revokeToken } from "./tokens.ts";
import type { Tx } from "@/lib/store/store.ts";
import type { TaskSpec } from "@/lib/tasks/queue.ts";
import {
  depositExpired,
  depositPaid,
  expireSession,
  type NoStep,
  type Session,
  type SessionStep,
  topupExpired,
  topupPaid,
} from "./sessions.machine.ts";
import { tokensOf } from "./open.ts";
import { pendingTopup } from "./topups.rules.ts";
import type { InvoiceHandler } from "@/lib/payments/settlements.ts";
import { holdsLease, type Lease, plan } from "@/lib/tasks/due.ts";
import { lateUnclaimed } from "@/lib/ledger/postings.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";
import { dropInvoiceLater } from "@/lib/payments/invoices.rows.ts";
import { dropSession, getSession, raiseAllowance, spendable, withChats, writeSessionStep } from "./sessions.rows.ts";

/** What settled and expired invoices mean to a session, and the end of its life. */
export function sessionTasks(services: Pick<Services, "store" | "clock" | "settings">): {
  handlers: { "session-deposit": InvoiceHandler; "session-topup": InvoiceHandler };
  expiryTask: TaskSpec;
} {
  const { store, clock, settings } = services;
  const terms = settings.sessions;
  const refundTerms = {
    dustSats: settings.refundDustSats,
    claimDays: settings.refundClaimDays,
    maxFeeSats: settings.refundMaxFeeSats,
  };

  const settled = (
    transition: (session: Session, paid: Parameters<typeof topupPaid>[1]) => SessionStep | NoStep,
  ): InvoiceHandler["settled"] =>
  async (tx, { paymentHash, ref }, paidSats, now) => {
    const session = await getSession(tx, ref);
    if (!session) return await bookToPool(tx, paymentHash, paidSats, now);
    const balanceSats = await spendable(tx, ref);
    const step = transition(session, { paymentHash, paidSats, balanceSats, terms, now });
    const written = await writeSessionStep(tx, session, step, now);
    if (!written) throw new Error("a deposit arrived for a session that had one: refusing to lose it");
    tx.event({ type: "invoice_settled", handle: ref, amountSats: paidSats });
  };

  /** Its session went long ago, unpaid: nobody can be given the money, and it must not be missing in the books either. */
  async function bookToPool(tx: Tx, paymentHash: string, paidSats: number, now: number): Promise<void> {
    await post(tx, [lateUnclaimed({ paymentHash, sats: paidSats })], now);
  }

  async function expire(lease: Lease): Promise<void> {
    const now = clock.now();
    await store.transact(async (tx) => {
      if (!(await holdsLease(tx, lease))) return;
      const found = await getSession(tx, lease.id);
      const session = found && await withChats(tx, found);
      const step = session &&
        expireSession(session, { balanceSats: await spendable(tx, lease.id), terms: refundTerms, now });
      const dueAt = step?.outcome === "wait" ? step.until : null;
      await plan(tx, { kind: lease.kind, id: lease.id, dueAt });
      if (session && step?.outcome === "applied") await writeSessionStep(tx, session, step, now);
    });
  }

  return {
    handlers: {
      "session-deposit": {
        settled: settled(depositPaid),
        async expired(tx, { paymentHash, ref }, now) {
          const session = await getSession(tx, ref);
          if (session) await writeSessionStep(tx, session, depositExpired(session, paymentHash), now);
        },
        async forgotten(tx, { paymentHash, ref }, now) {
          const session = await getSession(tx, ref);
          if (!session || session.depositPaid) return;
          for (const token of tokensOf(session)) revokeToken(tx, token);
          await dropSession(tx, session);
          await dropInvoiceLater(tx, paymentHash, now);
        },
      },
      "session-topup": {
        async settled(tx, invoice, paidSats, now) {
          const session = await getSession(tx, invoice.ref);
          const raises = session && pendingTopup(session, invoice.paymentHash)?.raises;
          await settled(topupPaid)(tx, invoice, paidSats, now);
          if (raises) await raiseAllowance(tx, raises, paidSats);
        },
        async expired(tx, { paymentHash, ref }, now) {
          const session = await getSession(tx, ref);
          if (!session) return;
          const expired = pendingTopup(session, paymentHash);
          await writeSessionStep(tx, session, topupExpired(session, paymentHash), now);
          if (expired) revokeToken(tx, expired.token);
        },
        forgotten: (tx, { paymentHash }, now) => dropInvoiceLater(tx, paymentHash, now),
      },
    },
    expiryTask: {
      kind: "session-expiry",
      concurrency: 16,
      leaseMs: 30_000,
      maxAttempts: Infinity, // the balance is owed back, however often the database fails
      maxDelayMs: 60_000,
      run: expire,
      giveUp: expire,
    },
  };
}
