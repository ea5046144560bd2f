import assert from "node:assert/strict";
import { createMemoryStore } from "@/tests/harness/memory-store.ts";
import type { TaskRow } from "@/lib/tasks/due.ts";
import { addInvoice, getInvoice, type Invoice, OPEN_INVOICES, settleInvoice, stopWatching } from "./invoices.rows.ts";

const NOW = 1_700_000_000_000;
const HASH = "ab".repeat(32);
const INVOICE: Invoice = {
  v: 1,
  paymentHash: HASH,
  paymentRequest: "lnbcrt1",
  purpose: "job-eval",
  ref: "h1",
  amountSats: 10,
  createdAt: NOW,
  expiresAt: NOW + 600_000,
  settled: null,
};

async function withInvoice() {
  const { store } = await createMemoryStore();
  await store.transact((tx) => addInvoice(tx, INVOICE));
  return {
    store,
    watched: async () => (await store.list(OPEN_INVOICES)).map(({ key }) => key),
    tasks: () => store.list<TaskRow>(["task"]),
  };
}

Deno.test("addInvoice: it is kept, watched, and looked at when it expires", async () => {
  const { store, watched, tasks } = await withInvoice();
  assert.deepEqual(await getInvoice(store, HASH), INVOICE);
  assert.deepEqual(await watched(), [["open_invoice", INVOICE.expiresAt, HASH]]);
  assert.deepEqual((await tasks()).map(({ value: { kind, id, dueAt } }) => [kind, id, dueAt]), [[
    "invoice-expiry",
    HASH,
    INVOICE.expiresAt,
  ]]);
});

Deno.test("settleInvoice: once; then nothing watches it any more", async () => {
  const { store, watched, tasks } = await withInvoice();
  const settled = { ...INVOICE, settled: { at: NOW + 5, paidSats: 11 } };
  const first = await store.transact((tx) => settleInvoice(tx, HASH, 11, NOW + 5));
  assert.deepEqual(first, { outcome: "settled", invoice: settled });
  assert.deepEqual(await getInvoice(store, HASH), settled);
  assert.deepEqual([await watched(), await tasks()], [[], []]);
  const version = await store.version();
  assert.deepEqual(await store.transact((tx) => settleInvoice(tx, HASH, 99, NOW + 9)), { outcome: "replayed" });
  assert.deepEqual(await store.transact((tx) => settleInvoice(tx, "cd".repeat(32), 1, NOW)), { outcome: "unknown" });
  assert.equal(await store.version(), version);
});

Deno.test("stopWatching: the invoice stays, and a settlement still counts", async () => {
  const { store, watched } = await withInvoice();
  await store.transact((tx) => stopWatching(tx, INVOICE));
  assert.deepEqual(await watched(), []);
  assert.equal((await store.transact((tx) => settleInvoice(tx, HASH, 10, NOW))).outcome, "settled");
});
