import assert from "node:assert/strict";
import type { Key, Versioned } from "@/lib/store/store.ts";
import { createFakeWorld, type FakeWorld } from "@/tests/harness/fake-world.ts";
import { keyWith, SCORE } from "@/tests/harness/keys.ts";
import { claimRefund, createJob, handleOf, paidJob, pay, payerInvoice, untilState } from "@/tests/harness/payer.ts";
import { type PaidSession, paidSession } from "@/tests/harness/session-payer.ts";
import type { Answer } from "@/tests/harness/world.ts";

/** What a damaged disk, or another version of the program, makes of a record. */
type Damage = (record: Record<string, unknown>) => Record<string, unknown>;
const without = (field: string): Damage => ({ [field]: _, ...rest }) => rest;
const withField = (field: string, value: unknown): Damage => (record) => ({ ...record, [field]: value });

function test(name: string, fn: (fake: FakeWorld) => Promise<void>): void {
  Deno.test(name, async () => {
    const fake = await createFakeWorld(6);
    try {
      await fn(fake);
    } finally {
      fake.discard();
    }
  });
}

/** Spoils one row. @returns what gives it back as it was. */
async function damage({ world, clock }: FakeWorld, key: Key, how: Damage): Promise<() => Promise<void>> {
  const before = await clock.drive(world.store.get<Versioned & Record<string, unknown>>(key));
  assert.ok(before, `there is a row ${JSON.stringify(key)} to spoil`);
  const write = (row: Versioned) => clock.drive(world.store.transact((tx) => tx.set(key, row)));
  await write(how(before) as unknown as Versioned);
  return () => write(before);
}

function assertUnreadable({ status, body, headers }: Answer): void {
  assert.equal(status, 503, JSON.stringify(body));
  assert.equal(body.error.code, "record_unreadable");
  assert.match(body.error.message, /nothing is lost.*operator/);
  assert.equal(body.error.requestId, headers.get("x-request-id"));
  assert.ok(Number(headers.get("retry-after")) >= 60);
}

async function assertAuditNames({ world, clock }: FakeWorld, key: Key): Promise<void> {
  const wrong = (await clock.drive(world.audit())).find(({ ok }) => !ok);
  assert.equal(wrong?.name, "every record can be read");
  assert.ok(wrong.detail.includes(JSON.stringify(key)), wrong.detail);
}

const alarms = ({ world }: FakeWorld, code: string) =>
  world.log.lines.filter(({ level, fields }) => level === "error" && fields.code === code).length;
const readiness = async ({ call }: FakeWorld) => {
  const { body } = await call("GET", "/api/health/ready");
  const of = (name: string) => {
    const { ok, facts } = body.checks.find((check: { name: string }) => check.name === name);
    return { ok, setAside: facts.setAside };
  };
  return { queue: of("queue"), lightning: of("lightning") };
};

// ---- each over its routes ------------------------------------------------------------------------------------------

const SESSION_DAMAGE: readonly [what: string, table: (handle: string) => Key, how: Damage][] = [
  ["without what is reserved of its balance", (handle) => ["session", handle], without("reservedSats")],
  ["whose spending is a text", (handle) => ["session", handle], withField("spentSats", "12")],
  ["of version 99", (handle) => ["session", handle], withField("v", 99)],
  ["in a state nobody knows", (handle) => ["session", handle], withField("state", "asleep")],
  ["whose balance lost a side", (handle) => ["account", `session:${handle}`], without("in")],
];
for (const [what, keyOf, how] of SESSION_DAMAGE) {
  test(`unreadable: a session ${what} is 503 on each of its routes, and its neighbour is served`, async (fake) => {
    const { world, call, clock } = fake;
    const open = (): Promise<PaidSession> => clock.drive(paidSession(world, world.call, 500));
    const [damaged, healthy] = [await open(), await open()];
    const mend = await damage(fake, keyOf(damaged.handle), how);
    const ask = ({ path, auth }: PaidSession) => call("POST", `${path}/request`, { request: "hello" }, auth);
    const read = ({ path, auth }: PaidSession) => call("GET", path, undefined, auth);
    assertUnreadable(await read(damaged));
    assertUnreadable(await ask(damaged));
    assertUnreadable(await call("POST", `${damaged.path}/close`, {}, damaged.auth));
    const chat = { model: "claude-sonnet-4-6", messages: [{ role: "user", content: "hello" }] };
    assert.equal((await call("POST", "/api/v1/chat/completions", chat, damaged.auth)).status, 503);
    const more = await call("POST", `${damaged.path}/topup`, { amount_sats: 500 }, damaged.auth);
    if (keyOf("")[0] === "session") assertUnreadable(more);
    else assert.equal(more.status, 201, "what does not touch the balance works");
    assert.equal((await read(healthy)).status, 200);
    assert.equal((await ask(healthy)).status, 200);
    assert.ok(alarms(fake, "record_unreadable") >= 3);
    await assertAuditNames(fake, keyOf(damaged.handle));
    await mend();
    assert.equal((await read(damaged)).body.balanceSats, 500, "nothing was lost");
    assert.equal((await ask(damaged)).status, 200);
  });
}

test("unreadable: a job, its refund and its refund's claim are 503, and another job is served", async (fake) => {
  const { world, call, clock } = fake;
  const done = await clock.drive(paidJob(world, world.call, "What is a hold invoice?", 600_000));
  const other = await createJob(call, "hello");
  const [path, handle] = [`/api/jobs/${done.jobId}`, handleOf(done.jobId)];
  const sats = done.costLedger.refundAmountSats;
  const cases: [Key, Damage][] = [
    [["job", handle], without("paidSats")],
    [["job", handle], withField("state", 3)],
    [["job", handle], withField("v", 99)],
    [["refund", handle], without("sats")],
    [["refund", handle], withField("state", "lost")],
    [["refund", handle], withField("source", null)],
  ];
  for (const [key, how] of cases) {
    const mend = await damage(fake, key, how);
    assertUnreadable(await call("GET", path));
    assertUnreadable(await clock.drive(claimRefund(world, world.call, done.jobId, sats)));
    assert.equal((await call("GET", `/api/jobs/${other.jobId}`)).status, 200);
    await assertAuditNames(fake, key);
    await mend();
  }
  assert.equal((await clock.drive(claimRefund(world, world.call, done.jobId, sats))).status, 200, "nothing was lost");
});

test("unreadable: one of a session's requests is 503 where it is shown, and the session goes on", async (fake) => {
  const { world, call, clock } = fake;
  const { path, auth, handle } = await clock.drive(paidSession(world, world.call, 500));
  const ask = (request: string) => call("POST", `${path}/request`, { request }, auth);
  const [damaged, healthy] = [(await ask("hello one")).body.requestId, (await ask("hello two")).body.requestId];
  const key = ["session_request", handle, damaged];
  const mend = await damage(fake, key, without("chargeSats"));
  assertUnreadable(await call("GET", `${path}/requests/${damaged}`, undefined, auth));
  assertUnreadable(await call("GET", `${path}/requests`, undefined, auth));
  assert.equal((await call("GET", `${path}/requests/${healthy}`, undefined, auth)).status, 200);
  assert.equal((await ask("hello three")).status, 200);
  await assertAuditNames(fake, key);
  await mend();
  assert.equal((await call("GET", `${path}/requests`, undefined, auth)).body.requests.length, 3);
});

test("unreadable: a key's lists are 503 while one of what they show cannot be read", async (fake) => {
  const { world, call, clock } = fake;
  const { auth } = await clock.drive(keyWith(world, SCORE.established, 1));
  const { jobId } = await createJob(call, "hello", auth);
  const { sessionId } = (await call("POST", "/api/sessions", { amount_sats: 500 }, auth)).body;
  for (
    const [list, key] of [["jobs", ["job", handleOf(jobId)]], ["sessions", ["session", handleOf(sessionId)]]] as const
  ) {
    const look = () => call("GET", `/api/identity/${list}`, undefined, auth);
    assert.equal((await look()).body[list].length, 1);
    for (const how of [without("createdAt"), withField("createdAt", "then"), withField("v", 99)]) {
      const mend = await damage(fake, key, how);
      assertUnreadable(await look());
      await mend();
    }
    assert.equal((await look()).status, 200);
  }
});

// ---- in a round with a healthy neighbour ---------------------------------------------------------------------------

const INVOICE_DAMAGE: readonly [what: string, keyOf: (hash: string, handle: string) => Key, how: Damage][] = [
  ["invoice lost its amount", (hash) => ["invoice", hash], without("amountSats")],
  ["invoice is for nothing known", (hash) => ["invoice", hash], withField("purpose", "gift")],
  ["job cannot be read", (_, handle) => ["job", handle], without("evalFeeSats")],
  ["account cannot be read", () => ["account", "lightning"], withField("out", -1)],
  ["look at its expiry cannot be read", (hash) => ["task", "invoice-expiry", hash], without("lease")],
];
for (const [what, keyOf, how] of INVOICE_DAMAGE) {
  test(`unreadable: a payment whose ${what} is set aside with one alarm, and the rounds go on`, async (fake) => {
    const { world, call, clock, walletFaults } = fake;
    await clock.drive(paidJob(world, world.call, "hello", 600_000)); // the shared accounts are there
    walletFaults.hints = { kind: "lose" }; // the reconciler alone notices
    const [damaged, healthy] = [await createJob(call, "hello one"), await createJob(call, "hello two")];
    const key = keyOf(damaged.evalInvoice.paymentHash, handleOf(damaged.jobId));
    const mend = await damage(fake, key, how);
    const isShared = key[0] === "account";
    await pay(world, damaged.evalInvoice);
    await clock.advance(300_000);
    if (isShared) await mend();
    await pay(world, healthy.evalInvoice);
    await clock.drive(untilState(world, world.call, healthy.jobId, ["awaiting_work_payment"], 300_000));
    assert.equal(alarms(fake, "invoice_set_aside"), 1, "said once");
    const { queue, lightning } = await readiness(fake);
    assert.deepEqual(lightning, { ok: true, setAside: 1 }, "counted, and no reason to send everybody else away");
    assert.ok(queue.ok);
    if (!isShared) await clock.advance(1_300_000);
    assert.equal(alarms(fake, "invoice_set_aside"), 1, "said once, however often it is tried");
    await mend();
    await clock.drive(untilState(world, world.call, damaged.jobId, ["awaiting_work_payment"], 900_000));
    assert.equal((await readiness(fake)).lightning.setAside, 0);
  });
}

const TASK_DAMAGE: readonly [what: string, keyOf: (handle: string) => Key, how: Damage][] = [
  ["job", (handle) => ["job", handle], without("workModel")],
  ["own row", (handle) => ["task", "work", handle], without("dueAt")],
  ["own row, of version 99,", (handle) => ["task", "work", handle], withField("v", 99)],
];
for (const [what, keyOf, how] of TASK_DAMAGE) {
  test(`unreadable: a task whose ${what} cannot be read is neither lost nor spins, and its neighbours run`, async (fake) => {
    const { world, call, clock, modelFaults } = fake;
    const offered = async (request: string) => {
      const job = await createJob(call, request);
      await pay(world, job.evalInvoice);
      return (await clock.drive(untilState(world, world.call, job.jobId, ["awaiting_work_payment"], 300_000))).body;
    };
    const [damaged, healthy] = [await offered("hello one"), await offered("hello two")];
    modelFaults.work = [{ kind: "passing", retryAfterMs: 20_000 }];
    await pay(world, damaged.workInvoice);
    await clock.drive(untilState(world, world.call, damaged.jobId, ["executing"], 60_000));
    await clock.advance(500); // the first try has failed, the next one waits
    const key = keyOf(handleOf(damaged.jobId));
    const mend = await damage(fake, key, how);
    await clock.advance(60_000);
    await pay(world, healthy.workInvoice);
    await clock.drive(untilState(world, world.call, healthy.jobId, ["complete"], 60_000));
    const { commits } = world.store.stats();
    const lines = world.log.lines.length;
    await clock.advance(600_000);
    assert.equal(alarms(fake, "task_set_aside"), 1, "said once");
    assert.ok(world.log.lines.length - lines < 5, "ten minutes of it are no flood");
    assert.ok(world.store.stats().commits - commits < 40, "nor of writes");
    assert.deepEqual((await readiness(fake)).queue, { ok: true, setAside: 1 });
    await mend();
    await clock.drive(untilState(world, world.call, damaged.jobId, ["complete"], 300_000));
    assert.equal((await readiness(fake)).queue.setAside, 0);
  });
}

test("unreadable: a refund that is being paid waits for its record, and another one is paid", async (fake) => {
  const { world, call, clock, walletFaults } = fake;
  const owed = async () => {
    const { jobId, costLedger } = await clock.drive(paidJob(world, world.call, "hello", 600_000));
    return { jobId, handle: handleOf(jobId), sats: costLedger.refundAmountSats };
  };
  const [damaged, healthy] = [await owed(), await owed()];
  walletFaults.pay = { kind: "lose" };
  const { paymentRequest } = await payerInvoice(world, damaged.sats);
  await call("POST", `/api/jobs/${damaged.jobId}/refund`, { invoice: paymentRequest });
  const mend = await damage(fake, ["refund", damaged.handle], without("feeCreditSats"));
  walletFaults.pay = undefined;
  await clock.advance(200_000);
  assert.equal(alarms(fake, "task_set_aside"), 1);
  assert.equal((await clock.drive(claimRefund(world, world.call, healthy.jobId, healthy.sats))).status, 200);
  await assertAuditNames(fake, ["refund", damaged.handle]);
  await mend();
  await clock.advance(200_000);
  const refund = await clock.drive(world.store.get<Versioned & { state: string }>(["refund", damaged.handle]));
  assert.equal(refund?.state, "paid");
});
