import { bootstrapFee } from "@/lib/ledger/postings.ts";
import { add, caught, erase, type Row, row, type Rows, without, write } from "./testing/good-books.ts";

const HOLDS = "every bootstrap holds what its state says";
const node = (rows: Rows, handle: string): Row => row(rows, "bootstrap", (value) => value.handle === handle);

caught("a node that is ready and holds its fee", HOLDS, /ready holds 10000 sats, not 0/, (rows, { ready }) => {
  erase(rows, `bootstrap-fee:${ready}`);
});
caught(
  "a fee that was earned before the node was ready",
  HOLDS,
  /provisioning holds 0 sats, not 10000/,
  (rows, { making }) => {
    write(rows, bootstrapFee(making, 10_000));
  },
);
caught("a fee that nobody's node earned", HOLDS, /revenue:bootstrap holds 10000 sats.* earned 0/, (rows, { ready }) => {
  without(rows, "bootstrap", ({ handle }) => handle === ready);
});
caught("a refund before anything was destroyed", HOLDS, /failed holds 0 sats, not 10000/, (rows, { gone }) => {
  node(rows, gone).destroyingSince = 1;
});
caught("a refund of a node that is being made", HOLDS, /is owed before anything was destroyed/, (rows, { making }) => {
  node(rows, making).refundId = making;
});
caught("a refund of less than was paid", HOLDS, /is owed 9999 sats, not 10000/, (rows, { gone }) => {
  add(row(rows, "refund", ({ id }) => id === gone), "sats", -1);
});
caught("a refund that no node is named by", HOLDS, /is owed to no bootstrap/, (rows, { gone }) => {
  node(rows, gone).refundId = null;
});
caught(
  "a node that waits and is gone",
  "what awaits its first payment is counted",
  /counts 3, 1 jobs, 1 sessions and 0 bootstraps await/,
  (rows, { ordered }) => without(rows, "bootstrap", ({ handle }) => handle === ordered),
);
