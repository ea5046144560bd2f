import assert from "node:assert/strict";
import type { Wallet } from "@/lib/lightning/port.ts";
import type { SimulatedWallet } from "@/lib/lightning/simulated.ts";
import type { Invoice } from "./invoices.rows.ts";
import { balance } from "@/lib/ledger/ledger.rows.ts";
import type { Job } from "@/lib/jobs/jobs.machine.ts";
import { createFakeWorld, type FakeWorld } from "@/tests/harness/fake-world.ts";
import { createJob } from "@/tests/harness/payer.ts";

interface Watched extends FakeWorld {
  paymentHash: string;
  /** The one job's state. */
  state(): Promise<string>;
  /** Tells the program what a push channel would: it may be a lie. */
  hint(paymentHash: string): void;
  /** Questions the wallet was asked about the invoice so far. */
  asked(): number;
  /** Lets hours go by in steps of half a minute, in which everything that is due gets its turn. */
  hours(n: number): Promise<void>;
}

/** A job that waits for its evaluation fee. */
function test(name: string, fn: (watched: Watched) => Promise<void>): void {
  Deno.test(name, async () => {
    let onHint: (paymentHash: string) => void = () => {};
    let asked = 0;
    const wrapWallet = (wallet: SimulatedWallet): Wallet => ({
      ...wallet,
      watch: (hint, signal, onState) => {
        onHint = hint;
        return wallet.watch(hint, signal, onState);
      },
      lookupInvoice: (hash) => (asked++, wallet.lookupInvoice(hash)),
    });
    const fake = await createFakeWorld(1, { wrapWallet });
    const job = await createJob(fake.call, "hello");
    try {
      await fn({
        ...fake,
        paymentHash: job.evalInvoice.paymentHash,
        hint: (hash) => onHint(hash),
        asked: () => asked,
        state: async () => (await fake.world.rows<Job>(["job"]))[0]?.value.state ?? "none",
        async hours(n) {
          // Half a minute at a time; what is longer than an hour is gone through in steps of two.
          const stepMs = n > 1 ? 120_000 : 30_000;
          for (let left = n * 3_600_000; left > 0; left -= stepMs) {
            fake.clock.leap(stepMs - 1_500);
            await fake.clock.advance(1_500);
          }
        },
      });
    } finally {
      fake.discard();
    }
  });
}

const fee = (watched: Watched) => balance(watched.world.store, "revenue:eval");

test("settlements: a hint that is a lie changes nothing", async (watched) => {
  const version = await watched.world.store.version();
  watched.hint(watched.paymentHash);
  watched.hint("ab".repeat(32));
  await watched.clock.settle();
  assert.equal(await watched.world.store.version(), version);
  assert.equal(watched.asked(), 1, "the wallet is asked about our own invoices only");
});

test("settlements: a hint that comes many times is booked once", async (watched) => {
  watched.walletFaults.hints = { kind: "twice" };
  await watched.world.wallet.payInvoice(watched.paymentHash);
  for (let i = 0; i < 20; i++) watched.hint(watched.paymentHash);
  await watched.clock.settle();
  for (let i = 0; i < 20; i++) watched.hint(watched.paymentHash);
  await watched.clock.settle();
  assert.equal(await fee(watched), 10);
});

test("settlements: an early hint does not hide the settlement after it", async (watched) => {
  let release = () => {};
  watched.walletFaults.lookupInvoice = { kind: "delay", until: new Promise((resolve) => release = () => resolve()) };
  watched.hint(watched.paymentHash);
  await watched.clock.settle();
  watched.walletFaults.lookupInvoice = undefined;
  await watched.world.wallet.payInvoice(watched.paymentHash);
  release();
  await watched.clock.advance(45_000);
  assert.equal(await fee(watched), 10);
});

test("settlements: a payment whose hint was lost is found by asking, within a minute", async (watched) => {
  watched.walletFaults.hints = { kind: "lose" };
  await watched.world.wallet.payInvoice(watched.paymentHash);
  await watched.clock.settle();
  assert.equal(await watched.state(), "awaiting_eval_payment");
  await watched.clock.advance(60_000);
  assert.equal(await fee(watched), 10);
});

test("settlements: what settled while the process was down is found when it is back", async (watched) => {
  watched.world.kill();
  await watched.world.wallet.payInvoice(watched.paymentHash);
  await watched.world.crash();
  await watched.clock.advance(1_000);
  assert.equal(await fee(watched), 10);
});

test("settlements: a hint that cannot be confirmed is asked about again, and readiness says so meanwhile", async (watched) => {
  const { settlements } = watched.world.deps;
  watched.walletFaults.lookupInvoice = { kind: "lose" };
  await watched.world.wallet.payInvoice(watched.paymentHash);
  await watched.clock.advance(60_000);
  assert.equal(await watched.state(), "awaiting_eval_payment");
  assert.match(settlements.status().lastWalletError ?? "", /not reached/);
  assert.equal((await watched.world.call("GET", "/api/health/ready")).status, 503);
  watched.walletFaults.lookupInvoice = undefined;
  await watched.clock.advance(125_000);
  assert.equal(await fee(watched), 10);
  assert.equal(settlements.status().lastWalletError, null);
  assert.equal((await watched.world.call("GET", "/api/health/ready")).status, 200);
});

test("settlements: an invoice nobody pays expires, and is expired only when the wallet says so", async (watched) => {
  watched.walletFaults.lookupInvoice = { kind: "lose" };
  watched.clock.leap(601_000);
  await watched.clock.advance(5_000);
  assert.equal(await watched.state(), "awaiting_eval_payment");
  watched.walletFaults.lookupInvoice = undefined;
  await watched.clock.advance(125_000);
  assert.equal(await watched.state(), "expired");
  assert.deepEqual(await watched.world.rows(["task"]), []);
});

test("settlements: a payment that is held when the invoice expires keeps the job open until it is decided", async (watched) => {
  watched.walletFaults.settle = { kind: "hold" };
  await watched.world.wallet.payInvoice(watched.paymentHash);
  watched.clock.leap(601_000);
  await watched.clock.advance(30_000);
  assert.equal(await watched.state(), "awaiting_eval_payment");
  await watched.world.wallet.releaseInvoice(watched.paymentHash, "settle");
  await watched.clock.settle();
  assert.equal(await fee(watched), 10);
  assert.equal(
    (await watched.world.rows(["due", "invoice-expiry"])).filter(({ key }) => key[3] === watched.paymentHash).length,
    0,
  );
});

test("settlements: a held payment that is cancelled lets the job expire", async (watched) => {
  watched.walletFaults.settle = { kind: "hold" };
  await watched.world.wallet.payInvoice(watched.paymentHash);
  watched.clock.leap(601_000);
  await watched.clock.advance(30_000);
  await watched.world.wallet.releaseInvoice(watched.paymentHash, "cancel");
  await watched.clock.advance(70_000);
  assert.equal(await watched.state(), "expired");
});

test("settlements: a payment in the very moment of expiry counts as paid", async (watched) => {
  watched.walletFaults.hints = { kind: "lose" };
  watched.clock.leap(599_000);
  await watched.world.wallet.payInvoice(watched.paymentHash, { late: true });
  await watched.clock.advance(3_000);
  assert.notEqual(await watched.state(), "expired");
  assert.equal(await fee(watched), 10);
});

test("settlements: a payment within a day of the expiry is found even if its hint was lost", async (watched) => {
  await watched.hours(23.5);
  assert.equal(await watched.state(), "expired");
  watched.walletFaults.hints = { kind: "lose" };
  await watched.world.wallet.payInvoice(watched.paymentHash, { late: true });
  await watched.hours(30);
  assert.equal(await fee(watched), 10, "paid money was ignored");
});

test("settlements: an invoice whose payment is held when its day is over is found when it settles, its hint lost", async (watched) => {
  watched.walletFaults.settle = { kind: "hold" };
  await watched.world.wallet.payInvoice(watched.paymentHash);
  await watched.hours(30);
  watched.walletFaults.hints = { kind: "lose" };
  const before = watched.asked();
  await watched.hours(1);
  assert.ok(watched.asked() - before < 80, "a held payment is asked about all the time");
  assert.ok(await watched.world.wallet.releaseInvoice(watched.paymentHash, "settle"));
  await watched.hours(1);
  assert.equal(await fee(watched), 10);
});

test("settlements: an invoice that is expired for more than a day is asked about no more", async (watched) => {
  await watched.hours(60);
  assert.deepEqual(await watched.world.rows(["open_invoice"]), []);
  const asked = watched.asked();
  await watched.hours(2);
  assert.equal(watched.asked(), asked);
  assert.equal(watched.world.deps.settlements.status().openInvoices, 0);
  const [row] = await watched.world.rows<Invoice>(["invoice"]);
  assert.equal(row?.value.settled, null, "the invoice itself is kept");
});

test("settlements: a hint finds even what is asked about no more; its job is forgotten, so it feeds the pool", async (watched) => {
  await watched.hours(60);
  const pool = await balance(watched.world.store, "pool");
  await watched.world.wallet.payInvoice(watched.paymentHash, { late: true });
  await watched.clock.settle();
  assert.deepEqual([await fee(watched), await balance(watched.world.store, "pool")], [0, pool + 10]);
});

// ---- what anybody says ---------------------------------------------------------------------------------------------

/** Posts what a webhook would, and lets what follows from it happen. */
async function post({ world, clock }: Watched, ...hashes: string[]): Promise<void> {
  for (const payment_hash of hashes) {
    const { status } = await clock.drive(world.call("POST", "/api/lightning/webhook", { payment_hash }));
    assert.equal(status, 204);
  }
  await clock.settle();
}
/** Hashes of jobs that wait. */
async function unpaid({ call }: Watched, count: number): Promise<string[]> {
  const hashes: string[] = [];
  for (let i = 0; i < count; i++) hashes.push((await createJob(call, "hello")).evalInvoice.paymentHash);
  return hashes;
}

test("settlements: 250 webhooks of one hash are one question a second, in any spelling, and the last is not lost", async (watched) => {
  const before = watched.asked();
  const same = (count: number) =>
    Array.from({ length: count }, (_, i) => i % 2 ? watched.paymentHash : watched.paymentHash.toUpperCase());
  await post(watched, ...same(250));
  assert.equal(watched.asked() - before, 1);
  await watched.clock.advance(2_100);
  assert.equal(watched.asked() - before, 2, "what came meanwhile is one more question");
  watched.walletFaults.hints = { kind: "lose" };
  await post(watched, watched.paymentHash);
  await watched.world.wallet.payInvoice(watched.paymentHash);
  await post(watched, watched.paymentHash);
  assert.equal(await fee(watched), 0);
  await watched.clock.advance(2_100);
  assert.equal(await fee(watched), 10);
});

test("settlements: webhooks of many hashes are 20 questions a second in all; the others have their turn after it", async (watched) => {
  const hashes = await unpaid(watched, 50);
  const before = watched.asked();
  await post(watched, ...hashes, ...hashes);
  assert.equal(watched.asked() - before, 20);
  let last = watched.asked();
  for (let second = 0; second < 4; second++) {
    await watched.clock.advance(1_000);
    assert.ok(watched.asked() - last <= 20, `${watched.asked() - last} questions in a second`);
    last = watched.asked();
  }
  assert.ok(last - before >= 50, `${last - before} of 50 were asked about`);
});

test("settlements: webhooks of hashes that are unknown or settled cost no question, and take none from others", async (watched) => {
  const [settled = ""] = await unpaid(watched, 1);
  await watched.world.wallet.payInvoice(settled);
  await watched.clock.settle();
  const before = watched.asked();
  await post(watched, ...Array.from({ length: 30 }, (_, i) => `${i}`.padStart(64, "0")), settled, settled);
  assert.equal(watched.asked(), before);
  watched.walletFaults.hints = { kind: "lose" };
  await watched.world.wallet.payInvoice(watched.paymentHash);
  await post(watched, watched.paymentHash);
  assert.equal(await fee(watched), 20);
});

test("settlements: what the wallet itself says waits for no webhook", async (watched) => {
  await post(watched, ...await unpaid(watched, 30), watched.paymentHash);
  await watched.world.wallet.payInvoice(watched.paymentHash);
  await watched.clock.settle();
  assert.equal(await fee(watched), 10);
});

test("settlements: a wallet is not asked all the time about an invoice that nobody pays", async (watched) => {
  const hours = 600 / 3_600;
  await watched.hours(hours - 0.01);
  assert.ok(watched.asked() <= 12, `${watched.asked()} questions in ten minutes`);
  assert.ok(watched.asked() >= 2, "what the push lost must be found");
});

test("check: says what the wallet says, and records it", async (watched) => {
  const { settlements } = watched.world.deps;
  assert.equal(await settlements.check("ab".repeat(32)), "unknown");
  assert.equal(await settlements.check(watched.paymentHash), "open");
  watched.walletFaults.hints = { kind: "lose" };
  await watched.world.wallet.payInvoice(watched.paymentHash);
  assert.equal(await settlements.check(watched.paymentHash), "settled");
  assert.equal(await fee(watched), 10);
  const asked = watched.asked();
  assert.equal(await settlements.check(watched.paymentHash), "settled");
  assert.equal(watched.asked(), asked, "what is settled needs no question");
  watched.walletFaults.lookupInvoice = { kind: "lose" };
  const other = await createJob(watched.call, "another");
  await assert.rejects(settlements.check(other.evalInvoice.paymentHash), /not reached/);
});

test("stop: ends the watch, nothing is asked afterwards", async (watched) => {
  await watched.world.deps.settlements.stop();
  const asked = watched.asked();
  await watched.world.wallet.payInvoice(watched.paymentHash);
  watched.hint(watched.paymentHash);
  await watched.clock.advance(120_000);
  assert.equal(watched.asked(), asked);
  assert.equal(watched.world.deps.settlements.status().pushConnected, false);
});

test("settlements: a day's old invoices do not accumulate in memory", async (watched) => {
  await watched.world.wallet.payInvoice(watched.paymentHash);
  await watched.clock.advance(2_000);
  assert.equal(watched.world.deps.settlements.status().openInvoices, 1, "the work invoice alone");
  await watched.hours(1);
  assert.equal(watched.world.deps.settlements.status().openInvoices, 1);
});

test("settlements: a clock that jumps a month forgets no invoice, and what is paid for it still counts", async (watched) => {
  watched.clock.leap(600_000);
  await watched.clock.advance(1_000);
  watched.clock.jump(31 * 86_400_000);
  for (let i = 0; i < 5; i++) {
    watched.clock.leap(3_600_000);
    await watched.clock.advance(2_000);
  }
  assert.equal(watched.world.deps.settlements.status().openInvoices, 1);
  await watched.world.wallet.payInvoice(watched.paymentHash, { late: true });
  await watched.clock.settle();
  assert.equal(await fee(watched), 10);
});
