/**
 * Mistakes put into free-failures.ts by hand, each seen caught by the tests below: six an hour; one full count not enough; session,
 * key and address counted together; an hour that is a millisecond too long; a cap that is a sat too high, or looks only at what was
 * borne before; a failure that cost nothing, or the operator's own, counted; one that is borne not counted for its payer, or not
 * for the instance; one that is paid counted as free; borne again an hour after the newest; an instance that bears nothing closed
 * for ever; earlier failures forgotten with each new one; rows that go before their hour is over.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { createMemoryStore } from "@/tests/harness/memory-store.ts";
import { taskKey, type TaskRow } from "@/lib/tasks/due.ts";
import { bearFailure, borneSats, failuresBorneAgainAt, FREE_FAILURES_PER_HOUR, type Payers } from "./free-failures.ts";

const HOUR_MS = 3_600_000;
const NOBODY: Payers = { session: null, pubkey: null, caller: null };
const NO_CAP = 1_000_000;

/** Failures that end at a moment of the test's own. */
async function failures(satsPerHour = NO_CAP) {
  const { store, engine } = await createMemoryStore();
  return {
    store,
    engine,
    fail: (payers: Partial<Payers>, { sats = 10, at = 0 } = {}) =>
      store.transact((tx) => bearFailure(tx, { ...NOBODY, ...payers }, { sats, satsPerHour, now: at })),
    againAt: (now: number) => failuresBorneAgainAt(store, satsPerHour, now),
  };
}
/** What each of these would be, one after the other. */
async function inTurn(fns: (() => Promise<boolean>)[]): Promise<boolean[]> {
  const free: boolean[] = [];
  for (const fn of fns) free.push(await fn());
  return free;
}
const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);

for (const kind of ["session", "pubkey", "caller"] as const) {
  Deno.test(`bearFailure: a ${kind} has five free an hour, another ${kind} its own five`, async () => {
    const { fail } = await failures();
    const one = () => fail({ [kind]: "one" });
    assert.deepEqual(await inTurn(times(7, one)), [...times(5, true), false, false]);
    assert.equal(await fail({ [kind]: "other" }), true);
  });
}

Deno.test("bearFailure: the same name as session, key and address is three payers", async () => {
  const { fail } = await failures();
  for (const kind of ["session", "pubkey", "caller"]) {
    assert.deepEqual(await inTurn(times(6, () => fail({ [kind]: "same" }))), [...times(5, true), false]);
  }
});

Deno.test("bearFailure: of session, key and address the first that is full decides, and one that is not free counts nowhere", async () => {
  for (const full of ["session", "pubkey", "caller"] as const) {
    const { fail } = await failures();
    await inTurn(times(5, () => fail({ [full]: "full" })));
    const fresh: Payers = { session: "s", pubkey: "k", caller: "c" };
    for (let i = 0; i < 8; i++) assert.equal(await fail({ ...fresh, [full]: "full" }), false, full);
    // The eight that were paid took nothing from the others' five.
    const others = { ...fresh, [full]: null };
    assert.deepEqual(await inTurn(times(6, () => fail(others))), [...times(5, true), false]);
  }
});

Deno.test("bearFailure: many keys behind one address share the address's five, and one key at many addresses its own", async () => {
  const { fail } = await failures();
  const keys = Array.from({ length: 7 }, (_, i) => () => fail({ pubkey: `k${i}`, caller: "here" }));
  assert.deepEqual(await inTurn(keys), [...times(5, true), false, false]);
  const places = Array.from({ length: 7 }, (_, i) => () => fail({ pubkey: "one", caller: `c${i}` }));
  assert.deepEqual(await inTurn(places), [...times(5, true), false, false]);
});

Deno.test("bearFailure: a failure that cost nothing is free and counts nothing, whoever had his share", async () => {
  const { fail, engine } = await failures();
  const commits = engine.commits();
  for (let i = 0; i < 20; i++) assert.equal(await fail({ session: "s" }, { sats: 0 }), true);
  assert.equal(engine.commits(), commits, "nothing is written for it");
  assert.deepEqual(await inTurn(times(6, () => fail({ session: "s" }))), [...times(5, true), false]);
  assert.equal(await fail({ session: "s" }, { sats: 0 }), true);
});

Deno.test("bearFailure: nobody in particular is the operator, who pays himself and counts nowhere", async () => {
  const { fail, againAt } = await failures(100);
  for (let i = 0; i < 20; i++) assert.equal(await fail({}, { sats: 90 }), true);
  assert.equal(await againAt(0), null);
});

Deno.test("bearFailure: an hour after each it is free again, to the millisecond", async () => {
  const { fail } = await failures();
  const MINUTE_MS = 60_000;
  for (let i = 0; i < FREE_FAILURES_PER_HOUR; i++) {
    assert.equal(await fail({ caller: "c" }, { at: i * MINUTE_MS }), true);
  }
  assert.equal(await fail({ caller: "c" }, { at: HOUR_MS - 1 }), false);
  assert.equal(await fail({ caller: "c" }, { at: HOUR_MS }), true, "the first is an hour old");
  assert.equal(await fail({ caller: "c" }, { at: HOUR_MS + MINUTE_MS - 1 }), false, "the second is not");
  assert.equal(await fail({ caller: "c" }, { at: HOUR_MS + MINUTE_MS }), true);
});

Deno.test("bearFailure: what is counted is kept until the newest of it is an hour old", async () => {
  const { fail, store } = await failures();
  await fail({ caller: "c" }, { at: 1 });
  await fail({ caller: "c" }, { at: 7 });
  for (const key of [["free_failures", "caller", "c"], ["free_failures", "all"]]) {
    const task = await store.get<TaskRow>(taskKey("row-expiry", JSON.stringify(key)));
    assert.equal(task?.dueAt, 7 + HOUR_MS);
  }
});

Deno.test("bearFailure: the instance bears so many sats an hour for all together, and never more", async () => {
  const { fail, againAt } = await failures(100);
  assert.equal(await fail({ session: "a" }, { sats: 60, at: 1 }), true);
  assert.equal(await fail({ session: "b" }, { sats: 41, at: 2 }), false, "one sat above");
  assert.equal(await againAt(3), 1 + HOUR_MS, "nothing new begins, so that nobody else is charged for a failure");
  assert.equal(
    await fail({ session: "b" }, { sats: 40, at: 3 }),
    true,
    "smaller ones that were under way are still borne",
  );
  assert.equal(await againAt(4), 1 + HOUR_MS, "full, until the oldest is an hour old");
  assert.equal(await fail({ session: "c" }, { sats: 1, at: HOUR_MS }), false);
  assert.equal(await againAt(1 + HOUR_MS), null);
  assert.equal(await fail({ session: "c" }, { sats: 60, at: 1 + HOUR_MS }), true);
});

Deno.test("failuresBorneAgainAt: an instance that bears nothing begins all the same, and each failure is paid", async () => {
  const { fail, againAt } = await failures(0);
  assert.equal(await againAt(0), null);
  assert.equal(await fail({ session: "a" }, { sats: 1 }), false);
});

Deno.test("bearFailure: 100 that end at once, and five of them are free", async () => {
  const { fail, store } = await failures();
  const free = await Promise.all(times(100, null).map(() => fail({ session: "s", caller: "c" })));
  assert.deepEqual(free, [...times(5, true), ...times(95, false)], "in the order they end");
  await store.close();
});

Deno.test("bearFailure: 100 payers whose failures end at once, and the instance bears no more than its cap", async () => {
  const { fail, againAt } = await failures(205);
  const free = await Promise.all(Array.from({ length: 100 }, (_, i) => fail({ session: `s${i}` }, { sats: 20 })));
  assert.deepEqual(free, [...times(10, true), ...times(90, false)]);
  assert.equal(await againAt(0), HOUR_MS, "what is left is less than one of these: nothing new begins");
});

Deno.test("property: in any hour no payer has more than five free, and the instance bears no more than its cap", async () => {
  const name = (kind: string) => fc.option(fc.integer({ min: 0, max: 2 }).map((n) => `${kind}${n}`));
  const event = fc.record({
    gap: fc.integer({ min: 0, max: HOUR_MS / 4 }),
    sats: fc.integer({ min: 0, max: 40 }),
    payers: fc.record({ session: name("s"), pubkey: name("k"), caller: name("c") }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 40 }), fc.integer({ min: 0, max: 300 }), async (all, cap) => {
      const { fail } = await failures(cap);
      const borne: { at: number; sats: number; names: (string | null)[] }[] = [];
      let at = 1;
      for (const { gap, sats, payers } of all) {
        at += gap;
        const names = Object.values(payers).filter((name) => name !== null);
        const since = borne.filter((one) => one.at > at - HOUR_MS);
        const isFull = names.some((name) => since.filter((one) => one.names.includes(name)).length >= 5);
        const bears = since.reduce((sum, one) => sum + one.sats, 0) + sats <= cap;
        const free = await fail(payers, { sats, at });
        assert.equal(free, sats === 0 || names.length === 0 || (!isFull && bears));
        if (free && sats > 0 && names.length > 0) borne.push({ at, sats, names });
      }
    }),
  );
});

Deno.test("borneSats: what the instance bore in the last hour, for all payers, and nothing that was charged or is older", async () => {
  const { store, fail } = await failures(25);
  assert.equal(await borneSats(store, 0), 0);
  await fail({ session: "one" }, { sats: 10, at: 0 });
  await fail({ pubkey: "two" }, { sats: 7, at: 60_000 });
  assert.equal(await fail({ caller: "three" }, { sats: 9, at: 60_001 }), false);
  assert.deepEqual([await borneSats(store, 60_001), await borneSats(store, HOUR_MS)], [17, 7]);
  assert.equal(await borneSats(store, 60_000 + HOUR_MS), 0);
});
