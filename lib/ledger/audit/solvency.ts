/** The last book: the wallet holds what the ledger says, and can pay all that is owed (economy.md §2). */
import { isLiability, POOL } from "@/lib/ledger/accounts.ts";
import type { Check, Ledger } from "./book.ts";
import { inWallet } from "./entries.ts";
import type { Refunds } from "./refunds.ts";

/**
 * @param walletSats the wallet's own balance, or null when it does not tell. A payout under way may have left it already and is
 * booked when its outcome is known, so each comparison leaves out what is in flight.
 */
export function auditSolvency(
  { ledger, check }: { ledger: Ledger; check: Check },
  { inFlight }: Pick<Refunds, "inFlight">,
  walletSats: number | null,
): void {
  const holds = walletSats === null ? "this wallet does not tell its balance" : `the wallet holds ${walletSats}`;
  const least = inWallet(ledger) - inFlight.sats - inFlight.maxFeeSats;
  check(
    "the wallet holds what the ledger says",
    walletSats !== null && least > walletSats
      ? `account lightning: the ledger has ${least} sats in it, the wallet holds only ${walletSats}`
      : null,
    `the ledger has ${least} sats in it, ${holds}`,
  );
  // Not the fee of a payout: when it was paid, those sats are gone and pay nobody.
  const owed = liabilities(ledger) - inFlight.sats;
  const pool = `the pool of ${ledger.balance(POOL)} is owed to nobody`;
  check(
    "the wallet can pay all that is owed",
    walletSats !== null && owed > walletSats
      ? `account lightning: ${owed} sats are owed to payers, the wallet holds only ${walletSats}; ${pool}`
      : null,
    `${owed} sats are owed to payers, ${holds}; ${pool}`,
  );
}

/** What payers may take back. A subsidy lies in the account of a job or a request and is the pool's until it is used. */
function liabilities(ledger: Ledger): number {
  let sats = -ledger.subsidiesHeld;
  for (const account of ledger.accounts()) if (isLiability(account)) sats += ledger.balance(account);
  return sats;
}
