import assert from "node:assert/strict";
import type { PayoutInvoice } from "./payouts.ts";
import { DOUBT_MS } from "./refunds.machine.ts";
import { balance } from "@/lib/ledger/ledger.rows.ts";
import { plan } from "@/lib/tasks/due.ts";
import type { LeapingClock } from "@/tests/harness/fake-world.ts";
import { OWED_SATS, owedTest as test, payee } from "@/tests/harness/owed.ts";

const SATS = OWED_SATS;

test("payouts: a claim is paid at once, with its preimage, its fee booked to the operator", async (owed) => {
  const { paymentHash } = await owed.claim();
  await owed.clock.settle();
  const refund = await owed.refund();
  assert.deepEqual([refund.state, refund.payout?.paymentHash, refund.paid?.feeSats], ["paid", paymentHash, 2]);
  assert.match(refund.paid?.preimage ?? "", /^[0-9a-f]{64}$/);
  assert.equal(await balance(owed.world.store, "fees:routing"), -2);
  assert.equal(await balance(owed.world.store, `refund:${owed.refundId}`), 0);
  assert.deepEqual(await owed.world.rows(["task"]), []);
}, { feeSats: 2 });

test("payouts: a claim is written before the wallet is called", async (owed) => {
  let release = () => {};
  owed.payFaults.push({ kind: "delay", until: new Promise((resolve) => release = () => resolve()) });
  const { paymentHash } = await owed.claim();
  await owed.clock.settle();
  assert.deepEqual([(await owed.refund()).state, await owed.sent()], ["paying", []]);
  release();
  await owed.clock.settle();
  assert.deepEqual([(await owed.refund()).state, await owed.sent()], ["paid", [paymentHash]]);
});

test("payouts: a second claim while the first is being paid learns its hash and writes nothing", async (owed) => {
  owed.payFaults.push({ kind: "hold" });
  const first = await owed.claim();
  await owed.clock.settle();
  const version = await owed.world.store.version();
  const second = await owed.world.deps.payouts.claim(owed.refundId, await payee(owed.world));
  assert.deepEqual(second, { outcome: "taken", paymentHash: first.paymentHash });
  assert.equal(await owed.world.store.version(), version);
});

test("payouts: a claim on nothing, and one with a used hash, write nothing", async (owed) => {
  const { payouts } = owed.world.deps;
  const version = await owed.world.store.version();
  assert.deepEqual(await payouts.claim("no-such-refund", await payee(owed.world)), { outcome: "none" });
  const [ours] = await owed.world.rows<PayoutInvoice & { v: 1 }>(["invoice"]);
  assert.ok(ours);
  assert.deepEqual(await payouts.claim(owed.refundId, ours.value), { outcome: "used" });
  assert.equal(await owed.world.store.version(), version);
  assert.equal((await owed.refund()).state, "pending");
});

for (const kind of ["refuse", "fail"] as const) {
  test(`payouts: a first call that definitely failed (${kind}) opens the claim again at once`, async (owed) => {
    owed.payFaults.push({ kind });
    await owed.claim();
    await owed.clock.settle();
    const refund = await owed.refund();
    assert.deepEqual([refund.state, refund.payout], ["pending", null]);
    assert.match(refund.lastFailure ?? "", /./);
    assert.deepEqual((await owed.world.rows(["due", "payout"])).length, 0);
    await owed.claim();
    await owed.clock.settle();
    assert.equal((await owed.refund()).state, "paid");
    assert.equal((await owed.sent()).length, 1);
  });
}

test("payouts: of two claims with one invoice at once, the first is still known to be the first call", async (owed) => {
  owed.payFaults.push({ kind: "refuse" });
  const invoice = await payee(owed.world);
  const outcomes = await owed.clock.drive(
    Promise.all([1, 2].map(() => owed.world.deps.payouts.claim(owed.refundId, invoice))),
  );
  assert.deepEqual(outcomes.map(({ outcome }) => outcome), ["claimed", "taken"]);
  await owed.clock.settle();
  assert.equal((await owed.refund()).state, "pending", "nothing else can be under way: no doubt is called for");
});

test("payouts: the same invoice may claim again after it failed", async (owed) => {
  owed.payFaults.push({ kind: "refuse" });
  const { outcome: _, ...invoice } = await owed.claim();
  await owed.clock.settle();
  assert.deepEqual(await owed.world.deps.payouts.claim(owed.refundId, invoice), {
    outcome: "claimed",
  });
  await owed.clock.settle();
  assert.equal((await owed.refund()).state, "paid");
});

test("payouts: an answer that is lost after the payment is found by looking it up; it is paid once", async (owed) => {
  owed.payFaults.push({ kind: "drop" });
  const { paymentHash } = await owed.claim();
  await owed.clock.settle();
  assert.deepEqual([(await owed.refund()).state, await owed.sent()], ["paying", [paymentHash]]);
  await owed.clock.advance(2_000);
  assert.deepEqual([(await owed.refund()).state, await owed.sent()], ["paid", [paymentHash]]);
});

test("payouts: a call that never arrived is made again with the same invoice", async (owed) => {
  owed.payFaults.push({ kind: "lose" });
  const { paymentHash } = await owed.claim();
  await owed.clock.settle();
  assert.equal((await owed.refund()).state, "paying");
  await owed.clock.advance(2_000);
  assert.deepEqual([(await owed.refund()).state, await owed.sent()], ["paid", [paymentHash]]);
});

test("payouts: a payment in flight is looked up until it is known, however long, and never made again", async (owed) => {
  owed.payFaults.push({ kind: "hold" });
  const { paymentHash } = await owed.claim();
  for (let i = 0; i < 50; i++) {
    owed.clock.leap(61_000);
    await owed.clock.advance(1_000);
  }
  assert.equal((await owed.refund()).state, "paying");
  await owed.world.wallet.releasePayment(paymentHash, "paid");
  owed.clock.leap(61_000);
  await owed.clock.advance(1_000);
  assert.deepEqual([(await owed.refund()).state, await owed.sent()], ["paid", [paymentHash]]);
});

test("payouts: while the wallet does not answer nothing is decided", async (owed) => {
  owed.payFaults.push({ kind: "drop" });
  owed.walletFaults.lookupPayment = { kind: "lose" };
  for (let i = 0; i < 20; i++) owed.payFaults.push({ kind: "lose" });
  await owed.claim();
  for (let i = 0; i < 20; i++) {
    owed.clock.leap(61_000);
    await owed.clock.advance(1_000);
    assert.equal((await owed.refund()).state, "paying");
  }
});

test("payouts: a failure after a doubtful call is believed only when that call can no longer arrive", async (owed) => {
  owed.payFaults.push({ kind: "lose" });
  for (let i = 0; i < 50; i++) owed.payFaults.push({ kind: "refuse" });
  const doubtfulAt = owed.clock.now();
  await owed.claim();
  const states: [number, string][] = [];
  for (let i = 0; i < 45; i++) {
    await owed.clock.advance(3_000);
    states.push([owed.clock.now() - doubtfulAt, (await owed.refund()).state]);
  }
  for (const [age, state] of states) if (age < DOUBT_MS) assert.equal(state, "paying", `after ${age} ms`);
  assert.equal(states.at(-1)?.[1], "pending");
});

test("payouts: the doubt begins when the call was given up, not when it was made", async (owed) => {
  owed.payFaults.push({ kind: "delay", until: new Promise(() => {}) });
  for (let i = 0; i < 50; i++) owed.payFaults.push({ kind: "refuse" });
  await owed.claim();
  await owed.clock.advance(30_000); // the call's own limit
  for (let passed = 0; passed < DOUBT_MS; passed += 2_000) {
    assert.equal((await owed.refund()).state, "paying", `${passed} ms after the call was given up`);
    await owed.clock.advance(2_000);
  }
  await owed.clock.advance(65_000);
  assert.equal((await owed.refund()).state, "pending");
});

test("payouts: a payout that fails after it was in flight opens the claim again, and the next one pays", async (owed) => {
  owed.payFaults.push({ kind: "hold" });
  const first = await owed.claim();
  await owed.clock.settle();
  await owed.world.wallet.releasePayment(first.paymentHash, "failed");
  for (let i = 0; i < 3; i++) {
    owed.clock.leap(61_000);
    await owed.clock.advance(1_000);
  }
  assert.equal((await owed.refund()).state, "pending");
  const second = await owed.claim();
  await owed.clock.settle();
  assert.deepEqual([(await owed.refund()).payout?.paymentHash, await owed.sent()], [second.paymentHash, [
    second.paymentHash,
  ]]);
});

test("payouts: a process that died between claim and call goes on with the same invoice", async (owed) => {
  owed.engine.cutAt = () => "after";
  owed.engine.onCut = owed.world.kill;
  const invoice = await payee(owed.world);
  owed.world.deps.payouts.claim(owed.refundId, invoice);
  await owed.clock.settle();
  owed.engine.cutAt = null;
  await owed.world.crash();
  await owed.clock.advance(1_000);
  assert.deepEqual([(await owed.refund()).state, await owed.sent()], ["paid", [invoice.paymentHash]]);
});

test("payouts: after a death a failure is in doubt, since the dead process may have called", async (owed) => {
  owed.payFaults.push({ kind: "delay", ms: 25_000 }, { kind: "refuse" }, { kind: "refuse" }, { kind: "refuse" });
  const { paymentHash } = await owed.claim();
  await owed.clock.settle();
  await owed.world.crash();
  await owed.clock.advance(10_000);
  assert.equal((await owed.refund()).state, "paying");
  await owed.clock.advance(90_000);
  assert.deepEqual([(await owed.refund()).state, await owed.sent()], ["paid", [paymentHash]]);
});

test("payouts: a repeated call is written down before it is made: a death during it is no reason to believe a failure", async (owed) => {
  // Four calls that got lost, then one that is slow: when its process dies, the last known doubt is a minute old.
  const lost = { kind: "lose" } as const;
  let arrive = () => {};
  owed.payFaults.push(lost, lost, lost, lost, {
    kind: "delay",
    until: new Promise((resolve) => arrive = () => resolve()),
  });
  const first = await owed.claim();
  while (owed.payFaults.length > 0) await owed.clock.advance(500);
  owed.world.kill();
  await owed.clock.advance(20_000);
  owed.payFaults.push({ kind: "refuse" }, { kind: "refuse" }, { kind: "refuse" });
  await owed.world.crash();
  await owed.clock.advance(2_000);
  const open = (await owed.refund()).state === "pending";
  owed.payFaults.length = 0;
  arrive();
  await owed.clock.settle();
  if (open) await owed.claim();
  await owed.clock.advance(120_000);
  assert.deepEqual(await owed.sent(), [first.paymentHash], "paid to two invoices");
  assert.equal((await owed.refund()).state, "paid");
});

test("payouts: what nobody claims in 30 days is no longer owed, and goes to the pool", async (owed) => {
  const before = await balance(owed.world.store, "pool");
  owed.clock.leap(30 * 86_400_000 - 10_000);
  await owed.clock.advance(1_000);
  assert.equal((await owed.refund()).state, "pending");
  await owed.clock.advance(12_000);
  assert.equal((await owed.refund()).state, "expired");
  assert.equal(await balance(owed.world.store, "pool"), before + SATS);
  assert.deepEqual(await owed.world.rows(["task"]), []);
  const version = await owed.world.store.version();
  assert.equal((await owed.claim()).outcome, "expired");
  assert.equal(await owed.world.store.version(), version);
});

test("payouts: a refund does not expire while it is being paid, and after a failure there is a day to claim again", async (owed) => {
  owed.clock.leap(30 * 86_400_000 - 10_000);
  owed.payFaults.push({ kind: "hold" });
  const { paymentHash } = await owed.claim();
  await owed.clock.advance(20_000);
  assert.equal((await owed.refund()).state, "paying");
  await owed.world.wallet.releasePayment(paymentHash, "failed");
  for (let i = 0; i < 3; i++) {
    owed.clock.leap(61_000);
    await owed.clock.advance(1_000);
  }
  assert.equal((await owed.refund()).state, "pending");
  owed.clock.leap(86_400_000);
  await owed.clock.advance(1_000);
  assert.equal((await owed.refund()).state, "expired");
});

const DAY_MS = 86_400_000;
/** The process has run for a while, so only jumps of its clock are in doubt. */
const ranFor2Hours = async ({ clock }: { clock: LeapingClock }) => {
  clock.leap(2 * 3_600_000);
  await clock.advance(1_000);
};

test("payouts: a clock that jumps 31 days expires nothing; a day later it is believed", async (owed) => {
  await ranFor2Hours(owed);
  owed.clock.jump(31 * DAY_MS);
  await owed.clock.advance(2_000);
  assert.equal((await owed.refund()).state, "pending");
  for (let hours = 0; hours < 23; hours++) {
    owed.clock.leap(3_600_000);
    await owed.clock.advance(1_000);
    assert.equal((await owed.refund()).state, "pending", `after ${hours} hours`);
  }
  assert.equal(owed.world.log.lines.filter(({ fields }) => fields.code === "clock_jumped").length, 1);
  owed.clock.leap(2 * 3_600_000);
  await owed.clock.advance(1_000);
  assert.equal((await owed.refund()).state, "expired");
});

test("payouts: after a jump a refund can still be claimed, and is paid", async (owed) => {
  await ranFor2Hours(owed);
  owed.clock.jump(31 * DAY_MS);
  await owed.clock.advance(2_000);
  const { outcome } = await owed.claim();
  await owed.clock.settle();
  assert.deepEqual([outcome, (await owed.refund()).state], ["claimed", "paid"]);
});

test("payouts: a clock that jumps ahead and is set right again has ended nothing", async (owed) => {
  await ranFor2Hours(owed);
  owed.clock.jump(31 * DAY_MS);
  await owed.clock.advance(2_000);
  owed.clock.jump(-31 * DAY_MS);
  owed.clock.leap(29 * DAY_MS);
  await owed.clock.advance(2_000);
  assert.equal((await owed.refund()).state, "pending");
  owed.clock.leap(3 * DAY_MS);
  await owed.clock.advance(2_000);
  assert.equal((await owed.refund()).state, "expired");
});

test("payouts: 31 days that passed while the process was down expire a refund an hour after it is back", async (owed) => {
  owed.world.kill();
  owed.clock.leap(31 * DAY_MS);
  await owed.world.crash();
  await owed.clock.advance(2_000);
  assert.equal((await owed.refund()).state, "pending", "its clock may have been wrong when it began");
  owed.clock.leap(3_600_000);
  await owed.clock.advance(2_000);
  assert.equal((await owed.refund()).state, "expired");
});

for (const wrong of [31 * DAY_MS, -31 * DAY_MS]) {
  test(`payouts: a process that begins with a clock that is ${wrong / DAY_MS} days wrong ends nothing when it is set`, async (owed) => {
    owed.world.kill();
    owed.clock.jump(wrong);
    await owed.world.crash();
    await owed.clock.advance(2_000);
    owed.clock.jump(-wrong);
    for (let hours = 0; hours < 3; hours++) {
      owed.clock.leap(3_600_000);
      await owed.clock.advance(2_000);
      assert.equal((await owed.refund()).state, "pending", `after ${hours} hours`);
    }
  });
}

test("payouts: one under way has an age; one that another process has ended is forgotten ten minutes later", async (owed) => {
  const { clock, world, refundId } = owed;
  const status = () => world.deps.payouts.status();
  assert.deepEqual(status(), { underWay: 0, oldestMs: 0 });
  owed.payFaults.push({ kind: "hold" });
  await owed.claim();
  await clock.advance(5_000);
  assert.deepEqual(status(), { underWay: 1, oldestMs: 5_000 });
  await world.store.transact((tx) => plan(tx, { kind: "payout", id: refundId, dueAt: null }));
  await clock.advance(5_000);
  clock.leap(590_000);
  assert.equal(status().underWay, 1);
  clock.leap(11_000);
  assert.deepEqual(status(), { underWay: 0, oldestMs: 0 });
});
