import { z } from "zod";
import { Row } from "./lnbits-answers.ts";
import type { LnbitsCalls } from "./lnbits-calls.ts";
import { WalletError, type WalletHistory } from "./port.ts";

/** Rows of one answer: a few hundred kilobytes, since each carries its invoice. LNbits gives at most 1,000. */
const PAGE = 250;
const MAX_PAGE_BYTES = 8 * 1024 * 1024;

/** `time` is when LNbits made the row: an invoice's own time, not that of its payment. */
const ListedRow = Row.extend({ time: z.string().transform((text) => Date.parse(text)).pipe(z.number().int()) });
type ListedRow = z.infer<typeof ListedRow>;

/**
 * The rows of the wallet since then, newest first, page by page. Rows that are made meanwhile come before those that were read, so
 * that a page may repeat some and leaves none out.
 * @param sinceMs ms since the epoch
 * @throws {WalletError}
 */
export async function listedPayments(ask: LnbitsCalls["ask"], sinceMs: number): Promise<WalletHistory> {
  const found = new Map<string, ListedRow>();
  for (let offset = 0;; offset += PAGE) {
    const path = `/payments?limit=${PAGE}&offset=${offset}&sortby=time&direction=desc`;
    const read = z.array(ListedRow).safeParse((await ask("GET", path, undefined, { maxBytes: MAX_PAGE_BYTES })).body);
    if (!read.success) throw new WalletError("LNbits' list of payments has another shape than known", true);
    for (const row of read.data) {
      // A wallet that paid its own invoice has two rows of one hash.
      const name = `${row.amount < 0 ? "out" : "in"} ${row.payment_hash}`;
      if (row.time >= sinceMs && !found.has(name)) found.set(name, row);
    }
    if (read.data.length < PAGE || read.data.some((row) => row.time < sinceMs)) return historyOf([...found.values()]);
  }
}

function historyOf(rows: readonly ListedRow[]): WalletHistory {
  const history: WalletHistory = { incoming: [], outgoing: [] };
  for (const { payment_hash: paymentHash, amount, fee, status, time: at } of rows) {
    if (amount < 0) {
      const state = status === "success" ? "paid" : status;
      // Parts of a sat count as one, as in `paymentState`.
      const feeSats = Math.ceil(Math.abs(fee) / 1_000);
      history.outgoing.push({ paymentHash, amountSats: Math.ceil(-amount / 1_000), feeSats, state, at });
    } else if (status === "success") {
      history.incoming.push({ paymentHash, paidSats: Math.floor(amount / 1_000), at });
    }
  }
  return history;
}
