import type { WalletHistory } from "./port.ts";
import { type InvoiceRow, INVOICES, type PaymentRow, PAYMENTS, type SimStore } from "./simulated-rows.ts";

const PAGE = 500;

/** What the simulated wallet took in and paid since then (ms since the epoch). */
export async function listedPayments(store: SimStore, sinceMs: number): Promise<WalletHistory> {
  const history: WalletHistory = { incoming: [], outgoing: [] };
  for await (const { hash, row } of rowsOf<InvoiceRow>(store, INVOICES)) {
    const at = row.settledAt ?? row.createdAt;
    if (row.state !== "settled" || at < sinceMs) continue;
    history.incoming.push({ paymentHash: hash, paidSats: row.amountSats, at });
  }
  for await (const { hash, row } of rowsOf<PaymentRow>(store, PAYMENTS)) {
    const { amountSats, feeSats, at } = row;
    if (at < sinceMs) continue;
    history.outgoing.push({
      paymentHash: hash,
      amountSats,
      feeSats,
      state: row.calledFailed ? "failed" : row.state,
      at,
    });
  }
  return history;
}

async function* rowsOf<T extends { v: number }>(store: SimStore, prefix: readonly string[]) {
  let after: readonly (string | number)[] | undefined;
  for (;;) {
    const page = await store.list<T>(prefix, { limit: PAGE, ...(after && { after }) });
    for (const { key, value } of page) yield { hash: String(key.at(-1)), row: value };
    if (page.length < PAGE) return;
    after = page.at(-1)!.key;
  }
}
