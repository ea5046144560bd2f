import { jobAccount } from "./accounts.ts";
import { type Posting, refundOwed, workPayment } from "./postings.ts";
import assert from "node:assert/strict";
import { type Entry, LedgerError } from "./ledger.rules.ts";
import { createMemoryStore } from "@/tests/harness/memory-store.ts";
import { balance, post } from "./ledger.rows.ts";

const NOW = 1_700_000_000_000;
const posting = (part: Partial<Posting> = {}): Posting => ({
  ...workPayment("abc", { paymentHash: "r", sats: 10 }),
  id: "m1",
  ...part,
});
const refunding = (sats: number, id: string): Posting => ({ ...refundOwed("abc", jobAccount("abc"), sats, "abc"), id });
const withCode = (code: LedgerError["code"]) => (error: unknown) => error instanceof LedgerError && error.code === code;

Deno.test("post: an entry and both accounts are written in one commit", async () => {
  const { store, engine } = await createMemoryStore();
  await store.transact((tx) => post(tx, [posting()], NOW));
  assert.equal(engine.commits(), 1);
  assert.deepEqual(await store.get<Entry>(["entry", "m1"]), { v: 1, ...posting(), at: NOW });
  assert.deepEqual([await balance(store, "lightning"), await balance(store, "job:abc")], [-10, 10]);
  assert.equal(await balance(store, "job:nobody"), 0);
});

Deno.test("post: a repeat is recognised by its id and changes nothing, at another time too", async () => {
  const { store } = await createMemoryStore();
  await store.transact((tx) => post(tx, [posting()], NOW));
  const version = await store.version();
  await store.transact((tx) => post(tx, [posting()], NOW + 5));
  assert.equal(await store.version(), version);
  assert.equal((await store.get<Entry>(["entry", "m1"]))?.at, NOW);
});

Deno.test("post: of old and new postings together the new ones alone apply", async () => {
  const { store } = await createMemoryStore();
  await store.transact((tx) => post(tx, [posting()], NOW));
  await store.transact((tx) => post(tx, [posting(), posting({ id: "m2", sats: 5 })], NOW));
  assert.equal(await balance(store, "job:abc"), 15);
});

Deno.test("post: an id that stands for another posting is a conflict, and nothing of the whole is written", async () => {
  const { store } = await createMemoryStore();
  await store.transact((tx) => post(tx, [posting()], NOW));
  const version = await store.version();
  for (const part of [{ sats: 11 }, { to: jobAccount("xyz") }, { ref: "other" }]) {
    await assert.rejects(
      store.transact((tx) => post(tx, [posting({ id: "m2" }), posting(part)], NOW)),
      withCode("conflict"),
    );
  }
  assert.equal(await store.version(), version);
});

Deno.test("post: an overdraft or a malformed posting leaves no trace of its transaction", async () => {
  const { store } = await createMemoryStore();
  await store.transact((tx) => post(tx, [posting()], NOW));
  const version = await store.version();
  const out = (sats: number) => refunding(sats, "m2");
  await assert.rejects(
    store.transact(async (tx) => {
      tx.set(["x"], { v: 1 });
      await post(tx, [out(11)], NOW);
    }),
    withCode("overdraft"),
  );
  await assert.rejects(store.transact((tx) => post(tx, [posting({ id: "m3" }), out(1.5)], NOW)), withCode("malformed"));
  assert.equal(await store.version(), version);
});

Deno.test("post: transactions at once never overdraw an account: of 20 that take 1 sat from 10, ten succeed", async () => {
  const { store } = await createMemoryStore();
  await store.transact((tx) => post(tx, [posting()], NOW));
  const results = await Promise.allSettled(
    Array.from(
      { length: 20 },
      (_, i) => store.transact((tx) => post(tx, [refunding(1, `out${i}`)], NOW)),
    ),
  );
  assert.equal(results.filter(({ status }) => status === "fulfilled").length, 10);
  assert.deepEqual([await balance(store, "job:abc"), await balance(store, "refund:abc")], [0, 10]);
});

Deno.test("post: the same posting from many at once applies once", async () => {
  const { store } = await createMemoryStore();
  await Promise.all(Array.from({ length: 20 }, () => store.transact((tx) => post(tx, [posting()], NOW))));
  assert.equal(await balance(store, "job:abc"), 10);
});

Deno.test("post: no postings write nothing", async () => {
  const { store } = await createMemoryStore();
  await store.transact((tx) => post(tx, [], NOW));
  assert.equal(store.stats().commits, 0);
});
