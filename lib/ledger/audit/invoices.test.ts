import { lateUnclaimed } from "@/lib/ledger/postings.ts";
import { caught, row, write } from "./testing/good-books.ts";

const BOOKED = "every settled invoice is booked once";

caught(
  "a receipt for an invoice that is not settled",
  BOOKED,
  /belong to no settled invoice/,
  (rows) => {
    row(rows, "invoice", ({ settled }) => settled !== null).settled = null;
  },
);
caught("a settlement that was never booked", BOOKED, /is booked with 0/, (rows) => {
  row(rows, "invoice", ({ settled }) => settled === null).settled = { at: 1, paidSats: 10 };
});
caught(
  "a settlement of another amount",
  BOOKED,
  /of 11 sats is booked with 10/,
  (rows) => {
    row(rows, "invoice", ({ purpose, settled }) => purpose === "job-eval" && settled !== null).settled = {
      at: 1,
      paidSats: 11,
    };
  },
);

caught("a settlement that was booked twice", BOOKED, /is booked with \d+$/, (rows) => {
  const { paymentHash, settled } = row(rows, "invoice", (one) => one.settled !== null);
  const { paidSats: sats } = settled as { paidSats: number };
  write(rows, { ...lateUnclaimed({ paymentHash: String(paymentHash), sats }), id: "again" });
});
