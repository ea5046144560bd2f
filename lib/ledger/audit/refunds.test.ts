import { caught, row } from "./testing/good-books.ts";

const HOLDS = "every refund holds what it owes";

caught(
  "a refund that says it was paid and was not",
  HOLDS,
  /paid holds 10 sats, not 0/,
  (rows, books) => {
    row(rows, "refund", ({ id }) => id === books.failed).state = "paid";
  },
);
caught(
  "a refund that was paid and says it is owed",
  HOLDS,
  /pending holds 0 sats, not/,
  (rows, books) => {
    row(rows, "refund", ({ id }) => id === books.done).state = "pending";
  },
);

caught(
  "a recovered refund that came in with less than it owes",
  HOLDS,
  /is owed 10 sats that did not come in/,
  (rows, books) => {
    row(rows, "refund", ({ id }) => id === books.failed).source = { kind: "recovered", handle: "x" };
  },
);
