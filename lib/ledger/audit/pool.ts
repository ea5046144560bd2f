/**
 * The book of the pool (economy.md §7): every sat that left it was reserved for a request that runs, or is accounted for by one
 * that ended; budgets and advice count no more and no less; and every charge gave its share.
 */
import { sha256Hex } from "@/lib/ids.ts";
import {
  budgetKey,
  type BudgetRow,
  POOL_ROW,
  type PoolRow,
  subsidizedKey,
  type Subsidy,
} from "@/lib/free-tier/pool.rows.ts";
import type { Job } from "@/lib/jobs/jobs.machine.ts";
import { jobAccount, reservedAccount } from "@/lib/ledger/accounts.ts";
import type { Entry } from "@/lib/ledger/ledger.rules.ts";
import type { SessionRequest } from "@/lib/sessions/requests.machine.ts";
import type { TaskRow } from "@/lib/tasks/due.ts";
import type { Book, SubsidyEntries } from "./book.ts";

type Subsidies = ReadonlyMap<string, Subsidy>;

export async function auditPool(book: Book): Promise<void> {
  const subsidies = new Map<string, Subsidy>();
  for await (const { value } of book.source.rows<Subsidy>(["subsidy"])) subsidies.set(value.id, value);
  auditSubsidies(book, subsidies);
  await auditOwners(book, subsidies);
  await auditBudgets(book, subsidies);
  await auditAdvice(book);
  await auditCredits(book);
}

// ---- subsidies -------------------------------------------------------------------------------------------------------

function auditSubsidies({ ledger, check }: Book, subsidies: Subsidies): void {
  let wrong: string | null = null;
  for (const id of ledger.subsidies.keys()) {
    if (!subsidies.has(id)) wrong ??= `account pool: entries name a subsidy ${id} that does not exist`;
  }
  for (const subsidy of subsidies.values()) wrong ??= wrongInSubsidy(subsidy, ledger.subsidies.get(subsidy.id));
  check("every subsidy is in the ledger, to the end", wrong, `${subsidies.size} subsidies`);
}

function wrongInSubsidy(subsidy: Subsidy, entries: SubsidyEntries | undefined): string | null {
  const { id, session, account, pubkey, requestHash, reservedSats, subsidySats, state } = subsidy;
  const [given, ...more] = entries?.given ?? [];
  if (!given || more.length > 0) return `account ${account}: subsidy ${id} has ${entries?.given.length ?? 0} entries`;
  if (account !== (session === null ? jobAccount(id) : reservedAccount(id)) || given.to !== account) {
    return `account ${account} of subsidy ${id} was given by ${given.from} to ${given.to}`;
  }
  if (given.sats !== reservedSats) {
    return `account ${account} was given ${given.sats} sats, its subsidy reserved ${reservedSats}`;
  }
  if (given.ref !== `${id} ${pubkey} ${requestHash}`) {
    return `account ${account}: its subsidy names another key or request`;
  }
  if (subsidySats < 0 || subsidySats > reservedSats) {
    return `account ${account}: its subsidy of ${reservedSats} sats absorbed ${subsidySats}`;
  }
  const found = [entries?.used, entries?.returned].map((some) => sumFrom(account, some));
  const expected = state === "settled" ? [subsidySats, reservedSats - subsidySats] : [0, 0];
  const stands = state === "settled" || subsidySats === 0;
  if (stands && found.every((sats, i) => sats === expected[i])) return null;
  return `account ${account} of a subsidy that is ${state} gave to revenue and back ${found.join(" and ")} sats, ` +
    `not ${expected.join(" and ")}`;
}

const sumFrom = (account: string, entries: readonly Entry[] = []): number =>
  entries.reduce((sum, { from, sats }) => from === account ? sum + sats : sum, 0);

// ---- whose they are --------------------------------------------------------------------------------------------------

/** A job or a session's request, as far as subsidies go. */
interface Owner {
  runs: boolean;
  pubkey: string | null;
  requestHash: string;
  grantedSats: number;
  subsidySats: number;
}

async function auditOwners({ source, check }: Book, subsidies: Subsidies): Promise<void> {
  const unowned = new Map(subsidies);
  let wrong: string | null = null;
  let owners = 0;
  for await (const { value: job } of source.rows<Job>(["job"])) {
    owners++;
    unowned.delete(job.handle);
    const subsidy = subsidies.get(job.handle);
    const requestHash = subsidy ? sha256Hex(job.request) : "";
    const subsidySats = job.costSheet?.subsidySats ?? 0;
    const runs = job.state === "executing";
    wrong ??= wrongInOwner(jobAccount(job.handle), subsidy, { ...job, runs, requestHash, subsidySats });
  }
  for await (const { value: request } of source.rows<SessionRequest>(["session_request"])) {
    owners++;
    unowned.delete(request.id);
    const runs = request.state === "running";
    wrong ??= wrongInOwner(reservedAccount(request.id), subsidies.get(request.id), { ...request, runs });
  }
  for (const { account } of unowned.values()) wrong ??= `account ${account}: its subsidy belongs to no request`;
  check("every subsidy is that of its request, reserved only while it runs", wrong, `${owners} jobs and requests`);
}

function wrongInOwner(account: string, subsidy: Subsidy | undefined, owner: Owner): string | null {
  const { runs, pubkey, requestHash, grantedSats, subsidySats } = owner;
  if (!subsidy) {
    return grantedSats === 0 ? null : `account ${account} says it was granted ${grantedSats} sats; no subsidy was`;
  }
  if (subsidy.account !== account) return `account ${account}: its subsidy is that of ${subsidy.account}`;
  if (subsidy.pubkey !== pubkey || subsidy.requestHash !== requestHash) {
    return `account ${account}: its subsidy is that of another key or request`;
  }
  if (subsidy.reservedSats !== grantedSats || subsidy.subsidySats !== subsidySats) {
    return `account ${account} says it was granted ${grantedSats} sats and absorbed ${subsidySats}, ` +
      `its subsidy says ${subsidy.reservedSats} and ${subsidy.subsidySats}`;
  }
  if ((subsidy.state === "reserved") === runs) return null;
  return `account ${account}: its subsidy is ${subsidy.state}, though it ${runs ? "runs" : "has ended"}`;
}

// ---- what limits them ------------------------------------------------------------------------------------------------

/** What the subsidies of a day took, by key and in all, is what its counts say: reserved, or absorbed once settled. */
async function auditBudgets({ source, check }: Book, subsidies: Subsidies): Promise<void> {
  const taken = new Map<string, number>();
  for (const { pubkey, day, state, reservedSats, subsidySats } of subsidies.values()) {
    const sats = state === "reserved" ? reservedSats : subsidySats;
    for (const key of [budgetKey(pubkey, day), subsidizedKey(day)]) {
      const name = JSON.stringify(key);
      taken.set(name, (taken.get(name) ?? 0) + sats);
    }
  }
  /** Counts that have not been forgotten yet; a week after its day one is. */
  const kept = new Set<string>();
  for await (const { value: { kind, id } } of source.rows<TaskRow>(["task", "row-expiry"])) {
    if (kind === "row-expiry" && taken.has(id)) kept.add(id);
  }
  let wrong: string | null = null;
  let counts = 0;
  for (const table of ["budget", "subsidized"]) {
    for await (const { key, value } of source.rows<BudgetRow>([table])) {
      counts++;
      const name = JSON.stringify(key);
      const sats = taken.get(name) ?? 0;
      if (value.usedSats !== sats) {
        wrong ??= `account pool: ${name} counts ${value.usedSats} sats, its subsidies took ${sats}`;
      }
      if (!kept.delete(name)) wrong ??= `account pool: nothing will ever forget ${name}`;
    }
  }
  for (const name of kept) wrong ??= `account pool: the count ${name} was lost`;
  check("every budget counts what its subsidies took", wrong, `${counts} counts`);
}

/** Advice is no money: but uncounted, a key could be promised many times its budget. */
async function auditAdvice({ source, check }: Book): Promise<void> {
  const advised = new Map<string, number>();
  for await (const { value: { state, pubkey, adviceSats } } of source.rows<Job>(["job"])) {
    if (state !== "awaiting_work_payment" || !pubkey || !adviceSats) continue;
    advised.set(pubkey, (advised.get(pubkey) ?? 0) + adviceSats);
  }
  let wrong: string | null = null;
  const keys = advised.size;
  for await (const { key, value } of source.rows<{ v: 1; sats: number }>(["advice"])) {
    const pubkey = String(key[1]);
    const expected = advised.get(pubkey) ?? 0;
    advised.delete(pubkey);
    if (value.sats !== expected) {
      wrong ??= `advice of ${value.sats} sats is counted for a key, its offers make ${expected}`;
    }
  }
  if (advised.size > 0) wrong ??= `advice of ${advised.size} keys is not counted`;
  check("every offer of help is counted while it waits", wrong, `${keys} keys`);
}

// ---- what fills it ---------------------------------------------------------------------------------------------------

const NO_SHARES: PoolRow = { v: 1, carry: 0, chargedSats: 0, hundredths: 0, since: Infinity };

async function auditCredits({ source, ledger, check }: Book): Promise<void> {
  const { carry, chargedSats, hundredths, since } = await source.row<PoolRow>(POOL_ROW) ?? NO_SHARES;
  let wrong: string | null = null;
  let credited = 0;
  for (const [ref, { sats, from }] of ledger.credits) {
    credited += sats;
    const charge = ledger.charges.get(ref);
    if (!charge || charge.sats < sats || from !== charge.to) {
      wrong ??= `account pool: a credit of ${sats} sats is the share of no charge (${ref})`;
    }
  }
  let charged = 0;
  for (const { sats, at } of ledger.charges.values()) if (at >= since) charged += sats;
  if (charged !== chargedSats) {
    wrong ??= `account pool: ${charged} sats were earned, it had its share of ${chargedSats}`;
  }
  if (carry < 0 || carry >= 100 || credited * 100 + carry !== hundredths) {
    wrong ??=
      `account pool was credited ${credited} sats and carries ${carry} hundredths, its shares are ${hundredths}`;
  }
  check("the pool had its share of every charge", wrong, `${credited} sats of ${chargedSats}`);
}
