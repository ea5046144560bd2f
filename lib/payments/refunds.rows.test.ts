import assert from "node:assert/strict";
import type { Refund } from "./refunds.machine.ts";
import { createMemoryStore } from "@/tests/harness/memory-store.ts";
import type { TaskRow } from "@/lib/tasks/due.ts";
import { addInvoice } from "./invoices.rows.ts";
import { getRefund, payoutKey, type PayoutRow, putRefund, usedBefore } from "./refunds.rows.ts";

const NOW = 1_700_000_000_000;
const HASH = "ab".repeat(32);
const REFUND: Refund = {
  v: 1,
  id: "r1",
  source: { kind: "job", handle: "h1" },
  sats: 50,
  state: "pending",
  createdAt: NOW,
  claimUntil: NOW + 1_000,
  payout: null,
  paid: null,
  lastFailure: null,
};

Deno.test("putRefund: a new one gets the task that ends it, a changed one does not", async () => {
  const { store } = await createMemoryStore();
  const tasks = async () =>
    (await store.list<TaskRow>(["task"])).map(({ value: { kind, id, dueAt } }) => [kind, id, dueAt]);
  await store.transact((tx) => putRefund(tx, REFUND));
  assert.deepEqual([await getRefund(store, "r1"), await tasks()], [REFUND, []]);
  await store.transact((tx) => putRefund(tx, REFUND, true));
  assert.deepEqual(await tasks(), [["refund-expiry", "r1", REFUND.claimUntil]]);
});

Deno.test("usedBefore: a hash is used by an invoice of ours, and by a payout of another refund", async () => {
  const { store } = await createMemoryStore();
  assert.equal(await usedBefore(store, HASH, "r1"), null);
  await store.transact((tx) =>
    tx.set(payoutKey(HASH), { v: 1, paymentHash: HASH, refundId: "r1", at: NOW } satisfies PayoutRow)
  );
  assert.equal(await usedBefore(store, HASH, "r1"), null, "its own failed attempt may be repeated");
  assert.equal(await usedBefore(store, HASH, "r2"), "payout");
  const ours = "cd".repeat(32);
  const invoice = {
    v: 1,
    paymentHash: ours,
    paymentRequest: "x",
    purpose: "job-eval",
    ref: "h",
    amountSats: 1,
    createdAt: NOW,
    expiresAt: NOW,
    settled: null,
  } as const;
  await store.transact((tx) => addInvoice(tx, invoice));
  assert.equal(await usedBefore(store, ours, "r1"), "invoice");
});
