import assert from "node:assert/strict";
import { createMemoryJournal } from "@/tests/harness/world.ts";
import { owedTest as test } from "@/tests/harness/owed.ts";
import { readEntry } from "./journal.ts";

/** A journal whose disk is full while `full`. */
function filling() {
  const journal = createMemoryJournal();
  const disk = { full: false };
  const append = (entry: Parameters<typeof journal.append>[0]) =>
    disk.full ? Promise.reject(new Error("no space left on device")) : journal.append(entry);
  return { disk, journal: { ...journal, append } };
}

{
  const journal = createMemoryJournal();
  test("payouts: hash, refund and amount stand in the journal before the wallet is called", async (owed) => {
    let release = () => {};
    owed.payFaults.push({ kind: "delay", until: new Promise((resolve) => release = () => resolve()) });
    const { paymentHash, amountSats } = await owed.claim();
    await owed.clock.settle();
    assert.deepEqual(await owed.sent(), []);
    const [{ at: _, ...entry }, ...more] = journal.written.splice(0) as [typeof journal.written[0]];
    assert.deepEqual([entry, more], [{ v: 1, paymentHash, amountSats, refundId: owed.refundId }, []]);
    release();
    await owed.clock.settle();
    assert.deepEqual(await owed.sent(), [paymentHash]);
  }, { payoutJournal: journal });
}

{
  const { disk, journal } = filling();
  test(
    "payouts: while the journal cannot be written nothing is paid; it is said, and paid once it can",
    async (owed) => {
      disk.full = true;
      const { paymentHash } = await owed.claim();
      await owed.clock.advance(30_000);
      assert.deepEqual([(await owed.refund()).state, await owed.sent()], ["paying", []]);
      assert.ok(owed.world.log.lines.some(({ fields }) => fields.code === "journal_unwritable"));
      disk.full = false;
      await owed.clock.advance(120_000);
      assert.deepEqual([(await owed.refund()).state, await owed.sent()], ["paid", [paymentHash]]);
      assert.deepEqual(journal.written.map((entry) => entry.paymentHash), [paymentHash]);
    },
    { payoutJournal: journal },
  );
}

{
  const { disk, journal } = filling();
  test(
    "payouts: a journal that cannot be written holds back a repeated call as well, after a crash too",
    async (owed) => {
      owed.payFaults.push({ kind: "lose" });
      const { paymentHash } = await owed.claim();
      await owed.clock.settle();
      disk.full = true;
      await owed.world.crash();
      await owed.clock.advance(180_000);
      assert.deepEqual([(await owed.refund()).state, await owed.sent()], ["paying", []]);
      disk.full = false;
      await owed.clock.advance(180_000);
      assert.deepEqual([(await owed.refund()).state, await owed.sent()], ["paid", [paymentHash]]);
      assert.equal(journal.written.length, 2, "each call is written down");
    },
    { payoutJournal: journal },
  );
}

Deno.test("journal: a line that a crash cut short, or that is none, is no entry", () => {
  const line = JSON.stringify({ v: 1, at: 5, paymentHash: "ab", refundId: "r", amountSats: 7 });
  assert.deepEqual(readEntry(line), { v: 1, at: 5, paymentHash: "ab", refundId: "r", amountSats: 7 });
  for (let end = 0; end < line.length; end++) assert.equal(readEntry(line.slice(0, end)), null, line.slice(0, end));
  for (const other of ["null", "[]", "7", '{"v":2}', line.replace('"v":1', '"v":2')]) {
    assert.equal(readEntry(other), null);
  }
});
