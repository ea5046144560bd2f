import assert from "node:assert/strict";
import type { Refund } from "./refunds.machine.ts";
import { createMemoryStore } from "@/tests/harness/memory-store.ts";
import type { TaskRow } from "@/lib/tasks/due.ts";
import { addInvoice } from "./invoices.rows.ts";
import {
  beginPayout,
  DISTRUST_MS,
  distrustedUntil,
  distrustWallet,
  endPayout,
  getRefund,
  payoutKey,
  type PayoutRow,
  putRefund,
  usedBefore,
} from "./refunds.rows.ts";

const NOW = 1_700_000_000_000;
const HASH = "ab".repeat(32);
const REFUND: Refund = {
  v: 1,
  id: "r1",
  source: { kind: "job", handle: "h1" },
  owner: null,
  sats: 50,
  feeCreditSats: 10,
  state: "pending",
  createdAt: NOW,
  claimUntil: NOW + 1_000,
  payout: null,
  earlier: [],
  paid: null,
  lastFailure: null,
  address: null,
  attempts: [],
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

Deno.test("putRefund: a new one with an address gets the task that pays it there, at once", async () => {
  const { store } = await createMemoryStore();
  await store.transact((tx) => putRefund(tx, { ...REFUND, address: "payer@example.com" }, true));
  const tasks = (await store.list<TaskRow>(["task"])).map(({ value: { kind, id, dueAt } }) => [kind, id, dueAt]);
  assert.deepEqual(tasks, [["refund-address", "r1", NOW], ["refund-expiry", "r1", REFUND.claimUntil]]);
});

Deno.test("getRefund: one that was written before addresses could be left has none, and no tries", async () => {
  const { store } = await createMemoryStore();
  const { address: _, attempts: __, ...old } = REFUND;
  await store.transact((tx) => tx.set(["refund", "r1"], old));
  assert.deepEqual(await getRefund(store, "r1"), REFUND);
});

Deno.test("usedBefore: a hash is used by an invoice of ours, and by a payout of another refund", async () => {
  const { store } = await createMemoryStore();
  const used = (paymentHash: string, refundId: string, amountSats = 50) =>
    usedBefore(store, { paymentHash, amountSats }, refundId);
  assert.equal(await used(HASH, "r1"), null);
  await store.transact((tx) =>
    tx.set(payoutKey(HASH), { v: 1, paymentHash: HASH, refundId: "r1", amountSats: 50, at: NOW } satisfies PayoutRow)
  );
  assert.equal(await used(HASH, "r1"), null, "its own failed attempt may be repeated");
  assert.equal(await used(HASH, "r2"), "payout");
  assert.equal(await used(HASH, "r1", 49), "payout", "a wallet knows one payment for each hash");
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
  assert.equal(await used(ours, "r1"), "invoice");
});

Deno.test("beginPayout: eight of one payer at once; an end makes room, and leaves no row behind", async () => {
  const { store } = await createMemoryStore();
  const of = (id: string, owner: string | null): Refund => ({ ...REFUND, id, owner });
  const begin = (refund: Refund) => store.transact((tx) => beginPayout(tx, refund));
  const end = (refund: Refund) => store.transact((tx) => endPayout(tx, refund));
  for (let i = 0; i < 8; i++) assert.equal(await begin(of(`r${i}`, "key")), true);
  assert.equal(await begin(of("r8", "key")), false);
  assert.equal(await begin(of("r8", "another")), true, "another payer's");
  assert.equal(await begin(of("r8", null)), true, "without a key the record counts");
  await end(of("r8", "key")); // none of the eight
  assert.equal(await begin(of("r9", "key")), false);
  await end(of("r3", "key"));
  assert.equal(await begin(of("r9", "key")), true);
  for (const i of [0, 1, 2, 4, 5, 6, 7, 9]) await end(of(`r${i}`, "key"));
  await end(of("r8", "another"));
  await end(of("r8", null));
  assert.deepEqual(await store.list(["payer_payouts"]), []);
});

Deno.test("distrustWallet: for ten minutes, and no longer when the clock is set back", async () => {
  const { store } = await createMemoryStore();
  assert.equal(await distrustedUntil(store, NOW), null);
  await store.transact((tx) => distrustWallet(tx, NOW));
  assert.equal(await distrustedUntil(store, NOW + DISTRUST_MS - 1), NOW + DISTRUST_MS);
  assert.equal(await distrustedUntil(store, NOW + DISTRUST_MS), null);
  assert.equal(await distrustedUntil(store, NOW - 86_400_000), null);
});
