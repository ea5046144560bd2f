import assert from "node:assert/strict";
import { audit } from "./audit.ts";
import { goodBooks, sourceOf } from "./testing/good-books.ts";

const ALL = [
  "entries are whole and positive",
  "every posting goes where its kind goes",
  "all balances add up to zero",
  "every counter equals its entries",
  "no account is overdrawn",
  "every job holds what its state says",
  "every bootstrap holds what its state says",
  "every refund holds what it owes",
  "every settled invoice is booked once",
  "every reservation is that of a running request",
  "every request was charged from its reservation and the rest released",
  "every session holds what its running requests may cost",
  "every session spent what its requests were debited",
  "every session that is not open is empty",
  "every refund of a session is named by it",
  "every narrowed token counts what was drawn under it",
  "what awaits its first payment is counted",
  "every subsidy is in the ledger, to the end",
  "every subsidy is that of its request, reserved only while it runs",
  "every budget counts what its subsidies took",
  "every offer of help is counted while it waits",
  "the pool had its share of every charge",
  "the wallet holds what the ledger says",
  "the wallet can pay all that is owed",
];

Deno.test("audit: good books pass every check, each with what was counted", async () => {
  const { rows, walletSats } = await goodBooks();
  const checks = await audit(sourceOf(rows), walletSats);
  assert.deepEqual(checks.map(({ name }) => name), ALL);
  assert.deepEqual(checks.filter(({ ok }) => !ok), []);
  const details = checks.map(({ detail }) => detail);
  assert.deepEqual(details.slice(5, 9), ["6 jobs", "4 bootstraps", "5 refunds", "12 settled invoices"]);
  assert.deepEqual(details.slice(9, -3), [
    "5 requests",
    "5 requests",
    "3 sessions",
    "3 sessions",
    "3 sessions",
    "1 refunds",
    "1 narrowed tokens",
    "1 jobs, 1 sessions, 1 bootstraps",
    "4 subsidies",
    "11 jobs and requests",
    "3 counts",
    "0 keys",
  ]);
  assert.match(details.at(-3) ?? "", /^\d\d sats of \d{3}$/);
});

Deno.test("audit: empty books pass", async () => {
  const checks = await audit(sourceOf(new Map()), 0);
  assert.deepEqual(checks.filter(({ ok }) => !ok), []);
});
