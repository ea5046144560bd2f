import { utcDay } from "@/lib/clock.ts";
import { plan } from "@/lib/tasks/due.ts";
import type { Key, Reader, Tx } from "@/lib/store/store.ts";
import {
  dailyBudget,
  dayEnd,
  decide,
  type Decision,
  type FreeTierConfig,
  poolCredit as shareOf,
  subsidyOf,
} from "./free-tier.rules.ts";
import { type Account, POOL, type RevenueAccount } from "@/lib/ledger/accounts.ts";
import { nonZero, poolCredit, poolSeed, subsidy as subsidyPosting, subsidyReturned } from "@/lib/ledger/postings.ts";
import type { TrustConfig } from "@/lib/identity/trust.rules.ts";
import { setExpiring } from "@/lib/tasks/expiring.ts";
import { balance, entryKey, post } from "@/lib/ledger/ledger.rows.ts";
import { tierNow } from "@/lib/identity/trust.rows.ts";

/** The rules of the free tier, as settings. */
export interface FreeTier {
  config: FreeTierConfig;
  trust: TrustConfig;
}

/** What was taken from the pool for one request, from the moment it was reserved until what it used is known. */
export interface Subsidy {
  v: 1;
  /** The job's handle or the request's id. */
  id: string;
  /** Handle of the session a request belongs to; null for a job. */
  session: string | null;
  pubkey: string;
  requestHash: string;
  /** UTC day whose budget it draws on. */
  day: string;
  /** Where the sats are while it is reserved. */
  account: Account;
  reservedSats: number;
  subsidySats: number;
  state: "reserved" | "settled";
  at: number;
  /** A request that still runs then is ended, and its reservation with it (ms since the epoch). */
  expiresAt: number;
}

/** Who asks, and for what: part of each subsidy and of its ledger entry. */
export interface Recipient {
  id: string;
  session: string | null;
  pubkey: string;
  /** sha256 of what was asked, hex. */
  requestHash: string;
}

export interface BudgetRow {
  v: 1;
  usedSats: number;
}

/** What charges gave the pool in all, beside its account in the ledger: what the audit compares the two by. */
export interface PoolRow {
  v: 1;
  /** Hundredths of a satoshi that were not paid yet, 0 to 99. */
  carry: number;
  /** Charges that gave, and their shares in hundredths of a satoshi at the per cent of then. */
  chargedSats: number;
  hundredths: number;
  /** The earliest of them (ms since the epoch): charges before were earned without a pool. */
  since: number;
}

export const POOL_ROW: Key = ["pool"];
/** How long a reservation may stand (ms): longer than every attempt of the slowest model takes. */
const SUBSIDY_MS = 6 * 3_600_000;
/** Budgets and day totals are kept this long after their day (ms). */
const KEPT_MS = 7 * 86_400_000;

const subsidyKey = (id: string): Key => ["subsidy", id];
export const budgetKey = (pubkey: string, day: string): Key => ["budget", pubkey, day];
export const subsidizedKey = (day: string): Key => ["subsidized", day];

export const getSubsidy = (reader: Reader, id: string): Promise<Subsidy | null> => reader.get<Subsidy>(subsidyKey(id));

/** What chats that run in this process were promised by the pool: of the pool in all, and of one key's budget of a day. */
const CHATS: Key = ["pool_chats"];
const chatsBudgetKey = (pubkey: string, day: string): Key => ["pool_chats", pubkey, day];
interface PromisedRow {
  v: 1;
  sats: number;
}
const promised = async (reader: Reader, key: Key): Promise<number> => (await reader.get<PromisedRow>(key))?.sats ?? 0;

/** Sats of the pool that nobody was promised yet. */
export const poolBalance = async (reader: Reader): Promise<number> =>
  await balance(reader, POOL) - await promised(reader, CHATS);

/** Sats a key took from its budget on the day of `now`: set aside, or used already. */
export async function usedToday(reader: Reader, pubkey: string, now: number): Promise<number> {
  const day = utcDay(now);
  const used = (await reader.get<BudgetRow>(budgetKey(pubkey, day)))?.usedSats ?? 0;
  return used + await promised(reader, chatsBudgetKey(pubkey, day));
}

/** Sats granted to all keys on the day of `now`, reconciled to what was absorbed. */
export async function subsidizedToday(reader: Reader, now: number): Promise<number> {
  return (await reader.get<BudgetRow>(subsidizedKey(utcDay(now))))?.usedSats ?? 0;
}

const adviceKey = (pubkey: string): Key => ["advice", pubkey];

/** Help that a key was advised on invoices it has neither paid nor let expire (sats). */
export async function openAdvice(reader: Reader, pubkey: string): Promise<number> {
  return (await reader.get<{ v: 1; sats: number }>(adviceKey(pubkey)))?.sats ?? 0;
}

/** Counts advice as it is given (above 0), and as its invoice is paid or expires (below 0). */
export async function countAdvice(tx: Tx, pubkey: string, sats: number): Promise<void> {
  // Never below nothing: a count that is off must not keep a payment out of the books. The audit finds it.
  const open = Math.max(0, await openAdvice(tx, pubkey) + sats);
  if (open === 0) tx.delete(adviceKey(pubkey));
  else tx.set(adviceKey(pubkey), { v: 1, sats: open });
}

/** What the rules see of the pool and of a key at this moment. */
async function standing(reader: Reader, rules: FreeTier, pubkey: string, now: number) {
  const tier = await tierNow(reader, pubkey, rules.trust, now);
  return {
    dailySats: dailyBudget(tier, rules.config),
    usedSats: await usedToday(reader, pubkey, now),
    poolSats: await poolBalance(reader),
  };
}

/**
 * The same for a new decision: what the key was advised already is not advised again. Nothing of the pool is set aside by
 * that; but else a key could collect offers for many times its budget and pay them all, and the operator bears what the
 * pool then has not.
 */
async function standingNow(reader: Reader, rules: FreeTier, pubkey: string, now: number) {
  const seen = await standing(reader, rules, pubkey, now);
  return { ...seen, usedSats: seen.usedSats + await openAdvice(reader, pubkey) };
}

/** What would be decided now. Changes nothing: estimates and first looks use it. @param pubkey null: nobody */
export async function decideDryRun(
  reader: Reader,
  rules: FreeTier,
  input: { pubkey: string | null; estimateSats: number; now: number },
): Promise<Decision> {
  const { pubkey, estimateSats, now } = input;
  if (pubkey === null) return { serve: "gate" };
  return decide({ estimateSats, ...await standingNow(reader, rules, pubkey, now) });
}

/**
 * Decides, and takes the whole estimate from the pool when it is `free`. Nothing is reserved otherwise: a pool that was
 * drained since somebody looked makes `partial` or `gate` of it.
 * @param input.account where the sats are until the request has ended.
 */
export async function decideAndReserve(
  tx: Tx,
  rules: FreeTier,
  recipient: Recipient,
  input: { estimateSats: number; account: Account; now: number },
): Promise<Decision> {
  const { estimateSats, account, now } = input;
  const decision = decide({ estimateSats, ...await standingNow(tx, rules, recipient.pubkey, now) });
  if (decision.serve === "free") await reserve(tx, recipient, decision.sats, account, now);
  return decision;
}

/** The same for a chat: what it is promised lasts no longer than this process, as the chat does. */
export async function decideAndPromise(
  tx: Tx,
  rules: FreeTier,
  pubkey: string,
  { estimateSats, now }: { estimateSats: number; now: number },
): Promise<Decision> {
  const decision = decide({ estimateSats, ...await standingNow(tx, rules, pubkey, now) });
  if (decision.serve === "free") await countPromise(tx, pubkey, now, decision.sats);
  return decision;
}

/**
 * A chat that was promised sats has ended: what it used of them leaves the pool, as one subsidy with a whole life.
 * @param input.begunAt when it was promised (ms since the epoch): its budget is that day's.
 */
export async function keepPromise(
  tx: Tx,
  recipient: Recipient,
  input: { promisedSats: number; usedSats: number; account: Account; begunAt: number; now: number },
): Promise<void> {
  const { promisedSats, usedSats, account, begunAt, now } = input;
  await countPromise(tx, recipient.pubkey, begunAt, -promisedSats);
  if (usedSats > 0) await reserve(tx, recipient, usedSats, account, now, utcDay(begunAt));
}

/** Counts a promise (above 0), or its end. @param at when it was given (ms since the epoch) */
async function countPromise(tx: Tx, pubkey: string, at: number, sats: number): Promise<void> {
  for (const key of [CHATS, chatsBudgetKey(pubkey, utcDay(at))]) {
    const left = await promised(tx, key) + sats;
    if (left > 0) tx.setVolatile<PromisedRow>(key, { v: 1, sats: left });
    else tx.deleteVolatile(key);
  }
}

/**
 * Takes what is left of an advice, now that the payer has paid: `min(advice, pool, budget left today)`.
 * @returns the sats taken, which may be 0.
 */
export async function takeSubsidy(
  tx: Tx,
  rules: FreeTier,
  recipient: Recipient,
  input: { adviceSats: number; account: Account; now: number },
): Promise<number> {
  const { adviceSats, account, now } = input;
  const sats = subsidyOf({ adviceSats, ...await standing(tx, rules, recipient.pubkey, now) });
  if (sats > 0) await reserve(tx, recipient, sats, account, now);
  return sats;
}

async function reserve(
  tx: Tx,
  recipient: Recipient,
  sats: number,
  account: Account,
  now: number,
  day = utcDay(now),
): Promise<void> {
  const { id, pubkey } = recipient;
  if (await getSubsidy(tx, id)) throw new Error("a request takes from the pool once");
  await post(tx, [subsidyPosting(id, account, sats, recipient)], now);
  tx.set<Subsidy>(subsidyKey(id), {
    v: 1,
    ...recipient,
    day,
    account,
    reservedSats: sats,
    subsidySats: 0,
    state: "reserved",
    at: now,
    expiresAt: now + SUBSIDY_MS,
  });
  await plan(tx, { kind: "subsidy-expiry", id, dueAt: now + SUBSIDY_MS });
  await countUse(tx, pubkey, day, sats, now);
}

/**
 * A request with a subsidy has ended: what it did not absorb goes back to the pool and to the key's budget of that day.
 * @param subsidySats leaves the account by the caller's own postings. @returns the sats returned; 0 without a subsidy.
 */
export async function closeSubsidy(tx: Tx, id: string, subsidySats: number, now: number): Promise<number> {
  const subsidy = await getSubsidy(tx, id);
  if (subsidy?.state !== "reserved") return 0;
  const returned = subsidy.reservedSats - subsidySats;
  if (returned < 0) throw new Error("a request absorbed more than was reserved for it");
  const { account, pubkey, day } = subsidy;
  await post(
    tx,
    nonZero([subsidyReturned(id, account, returned)]),
    now,
  );
  tx.set<Subsidy>(subsidyKey(id), { ...subsidy, subsidySats, state: "settled" });
  await plan(tx, { kind: "subsidy-expiry", id, dueAt: null });
  await countUse(tx, pubkey, day, -returned, now);
  return returned;
}

async function countUse(tx: Tx, pubkey: string, day: string, sats: number, now: number): Promise<void> {
  if (sats === 0) return;
  const until = dayEnd(now) + KEPT_MS;
  for (const key of [budgetKey(pubkey, day), subsidizedKey(day)]) {
    const row = await tx.get<BudgetRow>(key);
    const value: BudgetRow = { v: 1, usedSats: (row?.usedSats ?? 0) + sats };
    if (row) tx.set(key, value);
    else if (sats > 0) await setExpiring(tx, key, value, until);
    // What comes back to a day that is forgotten already is counted nowhere: nobody can take it again.
  }
}

/** Gives the pool its share of a charge that was just earned, in the same commit.
 * @param input.from the revenue account @param input.book how it is posted: `postNew` where the record is certain to be new */
export async function creditPool(
  tx: Tx,
  rules: FreeTier,
  input: { id: string; from: RevenueAccount; chargeSats: number; book?: typeof post; now: number },
): Promise<void> {
  const { id, from, chargeSats, book = post, now } = input;
  if (chargeSats === 0) return;
  const { poolCreditPct } = rules.config;
  const before = await tx.get<PoolRow>(POOL_ROW) ?? { v: 1, carry: 0, chargedSats: 0, hundredths: 0, since: now };
  const { sats, carry } = shareOf(chargeSats, poolCreditPct, before.carry);
  tx.set<PoolRow>(POOL_ROW, {
    v: 1,
    carry,
    chargedSats: before.chargedSats + chargeSats,
    hundredths: before.hundredths + chargeSats * poolCreditPct,
    since: Math.min(before.since, now),
  });
  await book(tx, nonZero([poolCredit(id, from, sats)]), now);
}

/** The operator's gift that the pool begins with, once in the life of an instance. */
export async function seedPool(tx: Tx, sats: number, now: number): Promise<void> {
  const seed = poolSeed(sats);
  if (sats === 0 || await tx.get(entryKey(seed.id))) return;
  await post(tx, [seed], now);
}
