import assert from "node:assert/strict";
import fc from "fast-check";
import type { Store, Tx } from "@/lib/store/store.ts";
import { poolCredit } from "./free-tier.rules.ts";
import { jobAccount, REVENUE } from "@/lib/ledger/accounts.ts";
import { type Entry, LedgerError } from "@/lib/ledger/ledger.rules.ts";
import { charge, nonZero, subsidy, subsidyUsed, workPayment } from "@/lib/ledger/postings.ts";
import type { TaskRow } from "@/lib/tasks/due.ts";
import { createMemoryStore } from "@/tests/harness/memory-store.ts";
import { balance, entryKey, post } from "@/lib/ledger/ledger.rows.ts";
import {
  budgetKey,
  type BudgetRow,
  closeSubsidy,
  creditPool,
  decideAndReserve,
  decideDryRun,
  type FreeTier,
  getSubsidy,
  POOL_ROW,
  poolBalance,
  type PoolRow,
  type Recipient,
  seedPool,
  subsidizedKey,
  subsidizedToday,
  takeSubsidy,
  usedToday,
} from "./pool.rows.ts";
import { trustKey } from "@/lib/identity/trust.rows.ts";

const MIDNIGHT = Date.UTC(2026, 10, 21);
const NOW = MIDNIGHT + 10 * 3_600_000;
const DAY = 86_400_000;
const RULES: FreeTier = {
  config: { dailySats: { new: 0, established: 50, trusted: 200, elite: 1_000 }, poolCreditPct: 10 },
  trust: { established: 10, trusted: 50, elite: 200, decayAfterDays: 30, decayPointsPerDay: 1 },
};
const SCORE = { new: 0, established: 10, trusted: 50, elite: 200 };
const HASH = "ab".repeat(32);
const ALICE = "a".repeat(64);
const BOB = "b".repeat(64);

const recipient = (id: string, pubkey = ALICE): Recipient => ({ id, session: null, pubkey, requestHash: HASH });
const reserving = (id: string, estimateSats: number, now = NOW, pubkey = ALICE) => (tx: Tx) =>
  decideAndReserve(tx, RULES, recipient(id, pubkey), { estimateSats, account: `job:${id}`, now });
const helping = (id: string, adviceSats: number, now = NOW) => (tx: Tx) =>
  takeSubsidy(tx, RULES, recipient(id), { adviceSats, account: `job:${id}`, now });
/** Ends a request: what it absorbed is earned, and its subsidy settled, as the machines do it. */
const ending = (id: string, subsidySats: number, now = NOW) => async (tx: Tx) => {
  if (subsidySats > 0) {
    await post(tx, [subsidyUsed(id, jobAccount(id), REVENUE.work, subsidySats)], now);
  }
  return await closeSubsidy(tx, id, subsidySats, now);
};

/** Work that was paid and charged whole. */
const earned = (id: string, sats: number) =>
  nonZero([workPayment(id, { paymentHash: id, sats }), charge(id, jobAccount(id), REVENUE.work, sats)]);

/** A store with so much in the pool, and ALICE and BOB with their scores. */
async function poolOf(sats: number, alice: keyof typeof SCORE = "trusted"): Promise<Store> {
  const { store } = await createMemoryStore();
  await store.transact(async (tx) => {
    await seedPool(tx, sats, NOW);
    for (const [pubkey, score] of [[ALICE, SCORE[alice]], [BOB, SCORE.trusted]] as const) {
      tx.set(trustKey(pubkey), { v: 1, score, lastSeen: NOW, interactions: 1 });
    }
  });
  return store;
}

const expiries = async (store: Store, kind: string) =>
  (await store.list<TaskRow>(["task", kind])).map(({ value }) => [value.id, value.dueAt]);

/** Everything the free tier holds of a key, to see that nothing changed. */
const standing = async (store: Store, now = NOW) => ({
  pool: await poolBalance(store),
  used: await usedToday(store, ALICE, now),
  granted: await subsidizedToday(store, now),
  subsidies: (await store.list(["subsidy"])).length,
});

Deno.test("decideDryRun: says what would be decided, for any tier and for nobody, and leaves the version as it was", async () => {
  for (const [tier, serve] of [["new", "gate"], ["established", "partial"], ["trusted", "free"]] as const) {
    const store = await poolOf(10_000, tier);
    const before = await store.version();
    const decision = await decideDryRun(store, RULES, { pubkey: ALICE, estimateSats: 130, now: NOW });
    assert.equal(decision.serve, serve);
    assert.deepEqual(await decideDryRun(store, RULES, { pubkey: null, estimateSats: 1, now: NOW }), { serve: "gate" });
    assert.equal(await store.version(), before);
  }
});

Deno.test("decideAndReserve: free takes the whole estimate from pool and budget, with identity and request in the ledger", async () => {
  const store = await poolOf(10_000);
  assert.deepEqual(await store.transact(reserving("j1", 130)), { serve: "free", sats: 130 });
  assert.deepEqual(await standing(store), { pool: 9_870, used: 130, granted: 130, subsidies: 1 });
  assert.equal(await balance(store, "job:j1"), 130);
  const entry = await store.get<Entry>(entryKey("subsidy:j1"));
  assert.deepEqual([entry?.kind, entry?.ref], ["subsidy", `j1 ${ALICE} ${HASH}`]);
  const subsidy = await getSubsidy(store, "j1");
  assert.deepEqual(
    [subsidy?.state, subsidy?.reservedSats, subsidy?.subsidySats, subsidy?.day],
    ["reserved", 130, 0, "2026-11-21"],
  );
  assert.deepEqual(await expiries(store, "subsidy-expiry"), [["j1", subsidy?.expiresAt]]);
});

Deno.test("decideAndReserve: partial and gate reserve nothing", async () => {
  const store = await poolOf(10_000);
  const before = await standing(store);
  assert.deepEqual(await store.transact(reserving("j1", 201)), { serve: "partial", adviceSats: 200 });
  assert.deepEqual(await standing(store), before);
  const empty = await poolOf(0);
  assert.deepEqual(await empty.transact(reserving("j1", 1)), { serve: "gate" });
  assert.deepEqual([await standing(empty), await expiries(empty, "subsidy-expiry")], [{ ...before, pool: 0 }, []]);
});

Deno.test("decideAndReserve: a pool that was drained since somebody looked makes partial of what was free", async () => {
  const store = await poolOf(200);
  const look = await decideDryRun(store, RULES, { pubkey: ALICE, estimateSats: 130, now: NOW });
  assert.equal(look.serve, "free");
  await store.transact(reserving("other", 130, NOW, BOB));
  assert.deepEqual(await store.transact(reserving("j1", 130)), { serve: "partial", adviceSats: 70 });
  assert.equal(await getSubsidy(store, "j1"), null);
});

Deno.test("decideAndReserve: budgets are of one key and one UTC day", async () => {
  const store = await poolOf(10_000);
  await store.transact(reserving("j1", 180));
  assert.equal((await store.transact(reserving("j2", 180))).serve, "partial");
  assert.equal((await store.transact(reserving("j3", 180, NOW, BOB))).serve, "free");
  assert.equal((await store.transact(reserving("j4", 180, MIDNIGHT + DAY - 1))).serve, "partial");
  assert.equal((await store.transact(reserving("j5", 180, MIDNIGHT + DAY))).serve, "free");
  assert.deepEqual([await usedToday(store, ALICE, NOW), await subsidizedToday(store, NOW)], [180, 360]);
});

Deno.test("decideAndReserve: a request takes once; the second time is a mistake of the program and takes nothing", async () => {
  const store = await poolOf(10_000);
  await store.transact(reserving("j1", 10));
  const before = await standing(store);
  await assert.rejects(store.transact(reserving("j1", 10)), /takes from the pool once/);
  assert.deepEqual(await standing(store), before);
});

Deno.test("takeSubsidy: the advice, what is left of it, or nothing at all", async () => {
  const store = await poolOf(60);
  assert.equal(await store.transact(helping("j1", 50)), 50);
  assert.equal(await store.transact(helping("j2", 50)), 10);
  const before = await standing(store);
  assert.equal(await store.transact(helping("j3", 50)), 0);
  assert.deepEqual(await standing(store), before);
  assert.equal(await getSubsidy(store, "j3"), null);
});

Deno.test("takeSubsidy: budget and tier are those of the moment it is paid", async () => {
  const store = await poolOf(10_000);
  await store.transact(reserving("j1", 180));
  assert.equal(await store.transact(helping("j2", 50)), 20);
  assert.equal(await store.transact(helping("j3", 50, MIDNIGHT + DAY)), 50);
  await store.transact((tx) => tx.set(trustKey(ALICE), { v: 1, score: 9, lastSeen: NOW, interactions: 1 }));
  assert.equal(await store.transact(helping("j4", 50, MIDNIGHT + 2 * DAY)), 0);
});

Deno.test("closeSubsidy: what was not absorbed goes back to the pool, to the budget and to the day, and the timer ends", async () => {
  const store = await poolOf(10_000);
  await store.transact(reserving("j1", 130));
  assert.equal(await store.transact(ending("j1", 90)), 40);
  assert.deepEqual(await standing(store), { pool: 9_910, used: 90, granted: 90, subsidies: 1 });
  assert.equal(await balance(store, "job:j1"), 0);
  const subsidy = await getSubsidy(store, "j1");
  assert.deepEqual([subsidy?.state, subsidy?.reservedSats, subsidy?.subsidySats], ["settled", 130, 90]);
  assert.deepEqual(await expiries(store, "subsidy-expiry"), []);
});

Deno.test("closeSubsidy: all of it, or none, may be absorbed; without a subsidy, or twice, it changes nothing", async () => {
  const store = await poolOf(10_000);
  await store.transact(reserving("j1", 100));
  await store.transact(reserving("j2", 100));
  assert.equal(await store.transact(ending("j1", 100)), 0);
  assert.equal(await store.transact(ending("j2", 0)), 100);
  const before = await standing(store);
  assert.deepEqual(before, { pool: 9_900, used: 100, granted: 100, subsidies: 2 });
  assert.equal(await store.transact((tx) => closeSubsidy(tx, "j2", 0, NOW)), 0);
  assert.equal(await store.transact((tx) => closeSubsidy(tx, "nobody", 0, NOW)), 0);
  assert.deepEqual(await standing(store), before);
});

Deno.test("closeSubsidy: absorbing more than was reserved is a mistake of the program and leaves no trace", async () => {
  const store = await poolOf(10_000);
  await store.transact(reserving("j1", 100));
  const before = await standing(store);
  await assert.rejects(store.transact((tx) => closeSubsidy(tx, "j1", 101, NOW)), /absorbed more than was reserved/);
  assert.deepEqual(await standing(store), before);
});

Deno.test("closeSubsidy: after midnight what comes back belongs to the day it was taken on", async () => {
  const store = await poolOf(10_000);
  const tomorrow = MIDNIGHT + DAY + 5;
  await store.transact(reserving("j1", 130));
  await store.transact(reserving("j2", 60, tomorrow));
  await store.transact(ending("j1", 30, tomorrow));
  assert.deepEqual([await usedToday(store, ALICE, NOW), await usedToday(store, ALICE, tomorrow)], [30, 60]);
  assert.deepEqual([await subsidizedToday(store, NOW), await subsidizedToday(store, tomorrow)], [30, 60]);
});

Deno.test("closeSubsidy: a day whose counts are forgotten gets none below zero, and still the sats come back", async () => {
  const store = await poolOf(10_000);
  await store.transact(reserving("j1", 130));
  const keys = [budgetKey(ALICE, "2026-11-21"), subsidizedKey("2026-11-21")];
  await store.transact((tx) => keys.forEach((key) => tx.delete(key)));
  assert.equal(await store.transact(ending("j1", 30, NOW + 30 * DAY)), 100);
  assert.equal(await poolBalance(store), 9_970);
  assert.deepEqual(await store.getMany(keys), [null, null]);
});

Deno.test("reserve: the counts of a day are forgotten a week after it", async () => {
  const store = await poolOf(10_000);
  await store.transact(reserving("j1", 10));
  await store.transact(reserving("j2", 10, NOW + 1_000));
  const until = MIDNIGHT + 8 * DAY;
  assert.deepEqual((await expiries(store, "row-expiry")).sort(), [
    [JSON.stringify(budgetKey(ALICE, "2026-11-21")), until],
    [JSON.stringify(subsidizedKey("2026-11-21")), until],
  ]);
});

Deno.test("creditPool: the share of every charge, small ones by their sum, under a name of its own", async () => {
  const store = await poolOf(0);
  const earn = (id: string, sats: number, rules = RULES, now = NOW) =>
    store.transact(async (tx) => {
      await post(tx, earned(id, sats), now);
      await creditPool(tx, rules, { id, from: "revenue:work", chargeSats: sats, now });
    });
  await earn("j1", 125);
  assert.equal(await poolBalance(store), 12);
  assert.deepEqual(
    [(await store.get<Entry>(entryKey("pool-credit:j1")))?.sats, await balance(store, "revenue:work")],
    [12, 113],
  );
  await earn("j2", 4);
  assert.equal(await store.get(entryKey("pool-credit:j2")), null, "less than a satoshi is carried");
  await earn("j3", 1, RULES, NOW - 5);
  assert.equal(await poolBalance(store), 13);
  await earn("j4", 0);
  await earn("j5", 10, { ...RULES, config: { ...RULES.config, poolCreditPct: 50 } });
  assert.deepEqual(await store.get<PoolRow>(POOL_ROW), {
    v: 1,
    carry: 0,
    chargedSats: 140,
    hundredths: 1_800,
    since: NOW - 5,
  });
  assert.equal(await poolBalance(store), 18);
});

Deno.test("seedPool: once in the life of an instance", async () => {
  const { store } = await createMemoryStore();
  for (const sats of [1_000, 1_000, 500]) await store.transact((tx) => seedPool(tx, sats, NOW));
  assert.deepEqual([await poolBalance(store), await balance(store, "operator")], [1_000, -1_000]);
});

Deno.test("seedPool: nothing is seeded with nothing, and a later start may still do it", async () => {
  const { store } = await createMemoryStore();
  await store.transact((tx) => seedPool(tx, 0, NOW));
  assert.equal(await poolBalance(store), 0);
  await store.transact((tx) => seedPool(tx, 5, NOW));
  assert.equal(await poolBalance(store), 5);
});

// ---- any history ---------------------------------------------------------------------------------------------------

type Act =
  | { act: "free" | "help"; who: 0 | 1; sats: number }
  | { act: "end"; which: number; part: number }
  | { act: "tomorrow" };

const anyAct: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      act: fc.constantFrom("free", "help"),
      who: fc.constantFrom(0 as const, 1 as const),
      sats: fc.integer({ min: 1, max: 250 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ act: fc.constant("end"), which: fc.nat(), part: fc.integer({ min: 0, max: 100 }) }),
  },
  { weight: 1, arbitrary: fc.constant({ act: "tomorrow" }) },
) as fc.Arbitrary<Act>;

Deno.test("pool: after any history the pool has what it gave less what came back, and each count is the sum of its subsidies", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 700 }), fc.array(anyAct, { maxLength: 25 }), async (seed, acts) => {
      const store = await poolOf(seed);
      const open: string[] = [];
      /** By key and day, and by day. */
      const counted = new Map<string, number>();
      const count = (name: string, sats: number) => counted.set(name, (counted.get(name) ?? 0) + sats);
      let [now, pool, n] = [NOW, seed, 0];
      const dayOf = new Map<string, string>();
      for (const act of acts) {
        const day = new Date(now).toISOString().slice(0, 10);
        if (act.act === "tomorrow") now += DAY;
        else if (act.act === "end") {
          const id = open.splice(act.which % Math.max(1, open.length), 1)[0];
          if (id === undefined) continue;
          const { reservedSats = 0, pubkey } = await getSubsidy(store, id) ?? {};
          const absorbed = Math.floor(reservedSats * act.part / 100);
          const returned = await store.transact(ending(id, absorbed, now));
          assert.equal(returned, reservedSats - absorbed);
          pool += returned;
          for (const name of [`${pubkey} ${dayOf.get(id)}`, dayOf.get(id) ?? ""]) count(name, -returned);
        } else {
          const [id, pubkey] = [`j${n++}`, act.who === 0 ? ALICE : BOB];
          const input = { account: jobAccount(id), now };
          const taken = await store.transact(async (tx) => {
            if (act.act === "help") {
              return await takeSubsidy(tx, RULES, recipient(id, pubkey), { ...input, adviceSats: act.sats });
            }
            const decision = await decideAndReserve(tx, RULES, recipient(id, pubkey), {
              ...input,
              estimateSats: act.sats,
            });
            return decision.serve === "free" ? decision.sats : 0;
          });
          if (act.act === "free") assert.ok(taken === 0 || taken === act.sats);
          assert.ok(taken <= act.sats);
          if (taken > 0) open.push(id);
          pool -= taken;
          dayOf.set(id, day);
          for (const name of [`${pubkey} ${day}`, day]) count(name, taken);
        }
        assert.ok(pool >= 0);
        assert.equal(await poolBalance(store), pool);
        for (const [name, sats] of counted) {
          const [first = "", second] = name.split(" ");
          const key = second === undefined ? subsidizedKey(first) : budgetKey(first, second);
          assert.equal((await store.get<BudgetRow>(key))?.usedSats ?? 0, sats);
          if (second !== undefined) assert.ok(sats >= 0 && sats <= 200, "no key above its day's budget");
        }
      }
      assert.equal((await store.list(["task", "subsidy-expiry"], { limit: 100 })).length, open.length);
    }),
    { numRuns: 40 },
  );
});

Deno.test("creditPool: any charges give the pool floor(per cent of their sum), as one after the other or many at once", async () => {
  const charges = fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(charges, fc.integer({ min: 0, max: 100 }), fc.boolean(), async (all, poolCreditPct, atOnce) => {
      const store = await poolOf(0);
      const rules = { ...RULES, config: { ...RULES.config, poolCreditPct } };
      const earn = (chargeSats: number, i: number) =>
        store.transact(async (tx) => {
          const id = `j${i}`;
          await post(tx, earned(id, chargeSats), NOW);
          await creditPool(tx, rules, { id, from: "revenue:work", chargeSats, now: NOW });
        });
      if (atOnce) await Promise.all(all.map(earn));
      else for (const [i, charge] of all.entries()) await earn(charge, i);
      const sum = all.reduce((a, b) => a + b, 0);
      assert.equal(await poolBalance(store), Math.floor(poolCreditPct * sum / 100));
      assert.equal((await store.get<PoolRow>(POOL_ROW))?.carry ?? 0, poolCredit(sum, poolCreditPct, 0).carry);
    }),
    { numRuns: 30 },
  );
});

Deno.test("pool: an overdraft is refused by the ledger too, whoever asks", async () => {
  const store = await poolOf(10);
  const about = { pubkey: ALICE, requestHash: HASH };
  await assert.rejects(
    store.transact((tx) => post(tx, [subsidy("j1", jobAccount("j1"), 11, about)], NOW)),
    LedgerError,
  );
  assert.equal(await poolBalance(store), 10);
});
