/** An LNbits with a wallet for the program and one for a payer: the local one that speaks like it, or a real one. */
import { systemClock } from "@/lib/clock.ts";
import { createLnbitsWallet } from "@/lib/lightning/lnbits.ts";
import { startFakeLnbits } from "@/lib/lightning/testing/fake-lnbits.ts";

export interface Bank {
  url: string;
  invoiceKey: string;
  adminKey: string;
  /** Admin key of a wallet that holds sats. */
  payerKey: string;
  close(): Promise<void>;
}

/** What TIMMY_TEST_LNBITS_* names (see lib/lightning/lnbits.real.test.ts); null: nothing. */
export function realBank(): Bank | null {
  const [url, invoiceKey, adminKey, payerKey] = ["URL", "INVOICE_KEY", "ADMIN_KEY", "PAYER_KEY"]
    .map((name) => Deno.env.get(`TIMMY_TEST_LNBITS_${name}`));
  if (!url || !invoiceKey || !adminKey || !payerKey) return null;
  return { url, invoiceKey, adminKey, payerKey, close: () => Promise.resolve() };
}

/** The same bank with a wallet for the program that nobody has used: what others paid from the old one is no business of a test's. */
export async function withNewWallet(bank: Bank): Promise<Bank> {
  const made = await fetch(`${bank.url}/api/v1/account`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: "timmy" }),
  });
  const { inkey, adminkey }: { inkey: string; adminkey: string } = await made.json();
  return { ...bank, invoiceKey: inkey, adminKey: adminkey };
}

/** A fresh one, its payer with 1,000,000 sats. */
export function localBank(): Bank {
  const { url, merchant, payer, rows, close } = startFakeLnbits();
  rows.push({
    checking_id: "funds",
    payment_hash: "0".repeat(64),
    wallet_id: payer.walletId,
    amount: 1_000_000_000,
    fee: 0,
    bolt11: "",
    status: "success",
    preimage: null,
    labels: [],
    expiresAt: 0,
  });
  return { url, invoiceKey: merchant.invoiceKey, adminKey: merchant.adminKey, payerKey: payer.adminKey, close };
}

/** The settings that make the program use it. */
export const bankEnv = (bank: Bank): Record<string, string> => ({
  LNBITS_URL: bank.url,
  LNBITS_API_KEY: bank.invoiceKey,
  LNBITS_ADMIN_KEY: bank.adminKey,
});

/** The payer's wallet, which needs nothing of the program. */
export const bankPayer = ({ url, payerKey }: Bank) =>
  createLnbitsWallet({ url, invoiceKey: payerKey, adminKey: payerKey, clock: systemClock });
