/** A database that was put back from a backup: nothing is paid twice, and nothing that came in since is lost. */
import assert from "node:assert/strict";
import type { Decision } from "@/lib/backup/restored.ts";
import type { JournalEntry } from "@/lib/payments/journal.ts";
import type { Refund } from "@/lib/payments/refunds.machine.ts";
import { createFakeWorld, type FakeWorld } from "@/tests/harness/fake-world.ts";
import { assertAudit, claimRefund, createJob, pay, untilState } from "@/tests/harness/payer.ts";
import { paidSession, settle } from "@/tests/harness/session-payer.ts";
import { type Answer, createMemoryJournal } from "@/tests/harness/world.ts";

const DAY = 86_400_000;
/** What a job whose evaluation failed owes. */
const OWED = 10;
const HELLO = { request: "hello" };

interface Disaster extends FakeWorld {
  /** Copies the database. @returns what puts the copy back; without the journal only what it held at the copy is left */
  backUp(): (options: { journal: boolean; decision?: Decision; caughtUp?: boolean }) => Promise<void>;
  /** A job that owes {@link OWED} sats. @returns its id */
  owedJob(): Promise<string>;
  claim(jobId: string): Promise<Answer>;
  /** Payments that left the wallet, by its own books. */
  left(): Promise<number>;
  refunds(): Promise<Refund[]>;
  codes(): unknown[];
}

function test(name: string, body: (disaster: Disaster) => Promise<void>): void {
  Deno.test(`backup: ${name}`, async () => {
    const journal = createMemoryJournal();
    const fake = await createFakeWorld(7, { payoutJournal: journal });
    const { world, clock } = fake;
    let current = fake.engine;
    // What the operator put in, long ago: refunds never wait for money.
    await pay(world, await world.wallet.createInvoice({ amountSats: 100_000, memo: "funds", expirySeconds: 60 }));
    clock.leap(2 * DAY);
    try {
      await body({
        ...fake,
        backUp() {
          const copy = current.copy();
          clock.waitWhile(copy.busy);
          const [backupAt, held] = [clock.now(), [...journal.written]];
          const old = { ...createMemoryJournal(), entries: () => Promise.resolve<JournalEntry[]>(held) };
          return async ({ journal: whole, decision, caughtUp = true }) => {
            const options = { backupAt, journal: whole ? journal : old, ...(decision && { decision }) };
            clock.leap(60_000);
            current = copy;
            await clock.drive(world.restore(copy, options));
            if (caughtUp) await clock.advance(5_000);
          };
        },
        async owedJob() {
          const { jobId, evalInvoice } = await createJob(fake.call, "[fail-eval]");
          await pay(world, evalInvoice);
          await clock.drive(untilState(world, world.call, jobId, ["failed"]));
          return jobId;
        },
        claim: (jobId) => clock.drive(claimRefund(world, world.call, jobId, OWED)),
        async left() {
          const prefix = ["simulated-wallet", "payment"];
          const rows = await world.walletStore.list<{ v: 1; state: string }>(prefix, { limit: 500 });
          return rows.filter(({ value }) => value.state === "paid").length;
        },
        refunds: async () => (await world.rows<Refund>(["refund"])).map(({ value }) => value),
        codes: () => world.log.lines.map(({ fields }) => fields.code),
      });
      await assertBooks(fake);
    } finally {
      fake.discard();
    }
  });
}

/** The wallet's balance is not held against books that wait for a decision: what left is not in them. */
async function assertBooks({ world }: FakeWorld): Promise<void> {
  const frozen = world.deps.freeze.row() !== null;
  const wrong = (await world.audit()).find(({ ok, name }) => !ok && !(frozen && /^the wallet /.test(name)));
  assert.equal(wrong, undefined, `${wrong?.name}: ${wrong?.detail}`);
}
const failing = (body: { checks: { name: string; ok: boolean }[] }) =>
  body.checks.filter(({ ok }) => !ok).map(({ name }) => name);

for (const journal of [true, false]) {
  const how = journal ? "with" : "without";
  test(`50 refunds paid and 30 deposits taken since: 0 paid again, no deposit lost, ${how} the journal`, async (it) => {
    const { world, call, clock } = it;
    const jobs: string[] = [];
    for (let i = 0; i < 50; i++) jobs.push(await it.owedJob());
    const putBack = it.backUp();
    for (const job of jobs) assert.equal((await it.claim(job)).status, 200);
    await clock.advance(1_000);
    const deposits: { paymentHash: string; amountSats: number; preimage: string }[] = [];
    for (let i = 0; i < 30; i++) {
      const { invoice, preimage } = await paidSession(world, call, 200 + i);
      deposits.push({ ...invoice, preimage });
    }
    assert.equal(await it.left(), 50);

    await putBack({ journal });
    for (const job of jobs) {
      const { status, body } = await it.claim(job);
      assert.deepEqual([status, body.error.code], journal ? [409, "refund_claimed"] : [503, "frozen"]);
    }
    clock.leap(20 * DAY);
    await clock.advance(60_000);
    assert.equal(await it.left(), 50, "nothing is paid a second time");
    const all = await it.refunds();
    const paid = all.filter(({ source, state }) => source.kind === "job" && state === "paid");
    assert.equal(paid.length, journal ? 50 : 0);
    for (const { paymentHash, amountSats } of deposits) {
      const refund = all.find(({ id }) => id === paymentHash);
      assert.deepEqual([refund?.sats, refund?.state, refund?.source.kind], [amountSats, "pending", "recovered"]);
      assert.equal(await world.deps.freeze.covers(paymentHash), false, "it came after all that left");
    }
    for (const { amountSats, preimage } of deposits) {
      const { paymentRequest } = await world.wallet.createExternalInvoice({ amountSats });
      const claimed = await it.call("POST", "/api/refunds/claim", { preimage, invoice: paymentRequest });
      assert.deepEqual([claimed.status, claimed.body.refundAmountSats], [200, amountSats], claimed.body.error?.message);
    }
    assert.equal(await it.left(), 80);
    const { status, body } = await call("GET", "/api/health/ready");
    assert.deepEqual([status, failing(body)], journal ? [200, []] : [503, ["frozen"]]);
    if (journal) await assertAudit(world);
  });
}

test("until it has caught up nothing is served but health, which says why", async (it) => {
  const { world, call, clock, walletFaults } = it;
  const job = await it.owedJob();
  await paidSession(world, call, 300);
  const putBack = it.backUp();
  await it.claim(job);
  walletFaults.listPayments = { kind: "lose" };
  await putBack({ journal: true });
  const asked = [["GET", "/api/openapi.json"], ["GET", "/metrics"], ["POST", "/api/jobs"], ["GET", `/api/jobs/${job}`]];
  for (const [method, path] of [...asked, ["GET", "/"], ["GET", "/none"]] as [string, string][]) {
    const { status, body, headers } = await call(method, path, method === "POST" ? HELLO : undefined);
    assert.deepEqual([status, body.error?.code, headers.get("retry-after")], [503, "recovering", "5"], path);
  }
  assert.equal((await call("GET", "/api/health")).status, 200);
  const { status, body } = await call("GET", "/api/health/ready");
  assert.deepEqual([status, failing(body)[0]], [503, "recovering"]);
  clock.leap(2 * DAY);
  await clock.advance(600_000);
  assert.equal(await it.left(), 1);
  assert.deepEqual((await it.refunds()).map(({ state }) => state), ["pending"]);
  const sessions = await world.rows<{ v: 1; state: string }>(["session"]);
  assert.deepEqual(sessions.map(({ value }) => value.state), ["active"], "no task ran: it would have expired");
  assert.ok(it.codes().includes("recovering"));
  walletFaults.listPayments = undefined;
  await clock.advance(120_000);
  assert.equal((await call("GET", "/api/health/ready")).status, 200);
  assert.ok((await it.refunds()).some(({ source, state }) => source.kind === "job" && state === "paid"));
});

for (const journal of [true, false]) {
  test(`what left before the backup freezes nothing, ${journal ? "with" : "without"} the journal`, async (it) => {
    const job = await it.owedJob();
    await it.claim(job);
    await it.backUp()({ journal });
    assert.equal(it.world.deps.freeze.row(), null);
    assert.equal((await it.call("GET", "/api/health/ready")).status, 200);
    await assertAudit(it.world);
  });
}

test("what was recovered once is not owed anew when a backup of after that is put back", async (it) => {
  const { world, call, clock } = it;
  const putBack = it.backUp();
  await paidSession(world, call, 250);
  await putBack({ journal: true });
  const [before] = await it.refunds();
  clock.leap(DAY / 4);
  await it.backUp()({ journal: true });
  assert.deepEqual(await it.refunds(), [before]);
  await assertAudit(world);
});

test("a crash anywhere in it begins it again, and changes nothing twice", async (it) => {
  const { world, call, clock } = it;
  const jobs = [await it.owedJob(), await it.owedJob()];
  const waiting = (await call("POST", "/api/sessions", { amount_sats: 300 })).body;
  const putBack = it.backUp();
  for (const job of jobs) await it.claim(job);
  await settle(world, waiting.invoice);
  await paidSession(world, call, 250);
  await putBack({ journal: true, caughtUp: false });
  for (let crash = 0; crash < 60; crash++) {
    for (let turn = 0; turn < crash * 2; turn++) await Promise.resolve();
    world.kill();
    await clock.settle();
    await clock.drive(world.crash());
  }
  await clock.advance(120_000);
  assert.equal(await it.left(), 2);
  const found = (await it.refunds()).map(({ source, state, sats }) => `${source.kind} ${state} ${sats}`).toSorted();
  assert.deepEqual(found, ["job paid 10", "job paid 10", "recovered pending 250"]);
  assert.equal((await call("GET", `/api/sessions/${waiting.sessionId}`)).body.state, "active");
  await assertAudit(world);
});

test("an invoice of the backup that was paid since is settled for its job and its session", async (it) => {
  const { world, call, clock } = it;
  const job = await createJob(call, "hello");
  const session = (await call("POST", "/api/sessions", { amount_sats: 300 })).body;
  const putBack = it.backUp();
  await pay(world, job.evalInvoice);
  await settle(world, session.invoice);
  await putBack({ journal: true });
  await clock.drive(untilState(world, world.call, job.jobId, ["awaiting_work_payment"]));
  assert.equal((await call("GET", `/api/sessions/${session.sessionId}`)).body.balanceSats, 300);
  await assertAudit(world);
});

test("a payout still under way is looked up until the wallet knows; a failed one opens the claim again", async (it) => {
  const { world, clock, walletFaults } = it;
  for (const [outcome, state, paid] of [["paid", "paid", 1], ["failed", "pending", 1]] as const) {
    const job = await it.owedJob();
    const putBack = it.backUp();
    walletFaults.pay = { kind: "hold" };
    assert.equal((await it.claim(job)).status, 202);
    walletFaults.pay = undefined;
    await putBack({ journal: true });
    const own = async () => (await it.refunds()).find(({ id }) => job.startsWith(id)) ?? assert.fail();
    const { state: before, payout } = await own();
    assert.equal(before, "paying");
    assert.equal(await world.wallet.releasePayment(payout!.paymentHash, outcome), true);
    await clock.advance(300_000);
    assert.deepEqual([(await own()).state, await it.left()], [state, paid]);
  }
});

test("frozen: nothing of the backup is paid, spent, closed or given up; what is new is served", async (it) => {
  const { world, call, clock } = it;
  const [paidSince, open] = [await it.owedJob(), await it.owedJob()];
  const session = await paidSession(world, call, 300);
  const waiting = await createJob(call, "hello");
  const putBack = it.backUp();
  await it.claim(paidSince!);
  await putBack({ journal: false });
  await pay(world, waiting.evalInvoice);

  const refused = async (path: string, body: unknown) => {
    const answer = await call("POST", path, body, session.auth);
    assert.deepEqual([answer.status, answer.body.error?.code], [503, "frozen"], path);
  };
  await refused(`${session.path}/request`, HELLO);
  await refused(`${session.path}/close`, {});
  await refused("/api/v1/chat/completions", {
    model: "claude-sonnet-4-6",
    messages: [{ role: "user", content: "hi" }],
  });
  assert.equal((await it.claim(open!)).status, 503);
  assert.equal((await call("GET", session.path, undefined, session.auth)).body.balanceSats, 300, "it can be read");
  clock.leap(40 * DAY);
  await clock.advance(3_600_000);
  assert.deepEqual((await it.refunds()).map(({ state }) => state), ["pending", "pending"]);
  assert.equal((await call("GET", session.path)).body.state, "active");
  assert.equal((await call("GET", `/api/jobs/${waiting.jobId}`)).body.state, "evaluating", "what it owes may be paid");

  const fresh = await it.owedJob();
  assert.equal((await it.claim(fresh)).status, 200, "what began after the restore is not held back");
  assert.equal(await it.left(), 2);
});

test("frozen: the operator's release is read at the next start, once, and everything moves again", async (it) => {
  const { world, call, clock } = it;
  const [paidSince, open] = [await it.owedJob(), await it.owedJob()];
  const session = await paidSession(world, call, 300);
  const putBack = it.backUp();
  await it.claim(paidSince!);
  await putBack({ journal: false, decision: "release" });
  assert.equal((await it.claim(open!)).status, 503, "a decision from before anything was frozen is none");
  await clock.drive(world.crash());
  assert.equal((await it.claim(open!)).status, 503, "it stays frozen over a restart");
  world.decide("release");
  await clock.drive(world.crash());
  assert.ok(it.codes().includes("released"));
  assert.equal((await it.claim(open!)).status, 200);
  assert.equal((await call("POST", `${session.path}/close`, {}, session.auth)).status, 200);
  assert.equal((await call("GET", "/api/health/ready")).status, 200);
});

test("a payout that the journal knows and whose refund is not in the backup freezes its record alone", async (it) => {
  const { world, call } = it;
  const [session, other] = [await paidSession(world, call, 300), await paidSession(world, call, 200)];
  const putBack = it.backUp();
  const { paymentRequest } = await world.wallet.createExternalInvoice({ amountSats: 300 });
  const closed = await it.call("POST", `${session.path}/close`, { invoice: paymentRequest }, session.auth);
  assert.equal(closed.body.refundState, "paid");
  await putBack({ journal: true });
  assert.equal((await call("POST", `${session.path}/close`, {}, session.auth)).body.error?.code, "frozen");
  assert.equal((await call("POST", `${other.path}/close`, {}, other.auth)).status, 200);
  assert.equal(await it.left(), 1);
});

for (const journal of [true, false]) {
  const how = journal ? "with" : "without";
  test(`a deposit that was taken and given back since is not given back again, ${how} the journal`, async (it) => {
    const { world, call, clock } = it;
    const putBack = it.backUp();
    const session = await paidSession(world, call, 300);
    await clock.advance(1_000);
    const { paymentRequest } = await world.wallet.createExternalInvoice({ amountSats: 300 });
    await it.call("POST", `${session.path}/close`, { invoice: paymentRequest }, session.auth);
    await clock.advance(1_000);
    const later = await paidSession(world, call, 200);
    await putBack({ journal });
    assert.equal(await world.deps.freeze.covers(session.invoice.paymentHash), true);
    assert.equal(await world.deps.freeze.covers(later.invoice.paymentHash), false);
  });
}

test("a wallet that cannot list its payments is waited for until the operator accepts that", async (it) => {
  const { world, call, clock } = it;
  const job = await it.owedJob();
  const putBack = it.backUp();
  const { listPayments } = world.wallet;
  world.wallet.listPayments = () => Promise.resolve(null);
  await putBack({ journal: true });
  await clock.advance(600_000);
  const { body } = await call("GET", "/api/health/ready");
  assert.match(body.checks[0].detail, /timmyctl recover --accept/);
  world.decide("accept");
  await clock.drive(world.crash());
  await clock.advance(5_000);
  assert.equal((await call("GET", "/api/health/ready")).status, 200);
  assert.equal((await it.claim(job)).status, 200);
  world.wallet.listPayments = listPayments;
});

test("an audit that fails after a restore holds it back, and is made again", async (it) => {
  const { world, call, clock } = it;
  const putBack = it.backUp();
  await paidSession(world, call, 300);
  const { balanceSats } = world.wallet;
  world.wallet.balanceSats = () => Promise.resolve(5);
  await putBack({ journal: true });
  const { status, body } = await call("GET", "/api/health/ready");
  world.wallet.balanceSats = balanceSats;
  assert.equal(status, 503);
  assert.match(body.checks[0].detail, /the audit fails after the restore/);
  await clock.advance(120_000);
  assert.equal((await call("GET", "/api/health/ready")).status, 200, "it looks again by itself");
});
