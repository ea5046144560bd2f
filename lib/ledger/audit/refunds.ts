/** The book of refunds: what is owed lies in its account until it is paid or given up. */
import { refundAccount } from "@/lib/ledger/accounts.ts";
import type { Refund } from "@/lib/payments/refunds.machine.ts";
import type { Book } from "./book.ts";

export interface Refunds {
  /** The session of each refund that is owed for one, by the refund's id. */
  sessionOf: ReadonlyMap<string, string>;
  /** Sats of payouts under way, and the most that they may cost beside. */
  inFlight: { sats: number; maxFeeSats: number };
}

export async function auditRefunds({ source, ledger, check }: Book): Promise<Refunds> {
  let [refunds, recovered] = [0, 0];
  let wrong: string | null = null;
  const sessionOf = new Map<string, string>();
  const inFlight = { sats: 0, maxFeeSats: 0 };
  for await (const { value: { id, state, sats, source: owedFor, payout } } of source.rows<Refund>(["refund"])) {
    refunds++;
    if (owedFor.kind === "recovered") {
      recovered++;
      if (ledger.recovered.get(id) !== sats) {
        wrong ??= `account ${refundAccount(id)} is owed ${sats} sats that did not come in`;
      }
    }
    if (owedFor.kind === "session") sessionOf.set(id, owedFor.handle);
    if (state === "paying") {
      inFlight.sats += sats;
      inFlight.maxFeeSats += payout?.maxFeeSats ?? 0;
    }
    const account = refundAccount(id);
    const held = ledger.balance(account);
    const expected = state === "pending" || state === "paying" ? sats : 0;
    if (held !== expected) {
      wrong ??= `account ${account} of a refund that is ${state} holds ${held} sats, not ${expected}`;
    }
  }
  if (recovered !== ledger.recovered.size) {
    wrong ??= `account lightning: ${
      ledger.recovered.size - recovered
    } payments came in without a record, and no refund owes them`;
  }
  check("every refund holds what it owes", wrong, `${refunds} refunds`);
  return { sessionOf, inFlight };
}
