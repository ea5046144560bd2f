/** What payers were told, what the ledger says and what the wallet did, compared after the end of a run. */
import { systemClock } from "@/lib/clock.ts";
import { systemRandom } from "@/lib/ids.ts";
import { createStore, type Store } from "@/lib/store/store.ts";
import { openDenoEngine } from "@/lib/store/engines/deno.ts";
import { type Books, isSent, listOf, readBooks } from "../books/books.ts";
import { alwaysTrue, LAWS, type Must, trueAtRest } from "../books/laws.ts";
import { compareSessions } from "./session-books.ts";
import type { SessionRecord } from "./session-witness.ts";
import type { JobRecord, Violation, ViolationKind } from "./witness.ts";

/** Names of the files, as `deps.ts` gives them. */
const STORE_FILE = "timmy.kv";
const WALLET_FILE = "simulated-wallet.kv";

/** Reads ledger and wallet out of copies of their files. The server must have ended. @param copyDir an empty folder. */
export async function readCopies(dataDir: string, copyDir: string): Promise<Books> {
  const [store, wallet] = [
    await openCopy(dataDir, copyDir, STORE_FILE),
    await openCopy(dataDir, copyDir, WALLET_FILE),
  ];
  try {
    return await readBooks(listOf(store), wallet);
  } finally {
    await store.close();
    await wallet.close();
  }
}

async function openCopy(dataDir: string, copyDir: string, name: string): Promise<Store> {
  for (const end of ["", "-wal"]) {
    await Deno.copyFile(`${dataDir}/${name}${end}`, `${copyDir}/${name}${end}`).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // a file that was closed has no log beside it
    });
  }
  const engine = await openDenoEngine(`${copyDir}/${name}`, { exclusive: true });
  return await createStore({ engine, clock: systemClock, random: systemRandom });
}

/** Holds the books against the laws, and against what payers and holders of sessions were told. */
export function compareBooks(
  books: Books,
  records: Iterable<JobRecord>,
  sessions: Iterable<SessionRecord> = [],
): Violation[] {
  const found: Violation[] = [];
  const report = (kind: ViolationKind, what: string) => void found.push({ kind, what });
  const must: Must = (holds, law, detail) => {
    const session = /session|request|reserved/.test(law) && { session: true as const };
    if (!holds) found.push({ kind: LAWS[law], what: `${law}: ${detail}`, ...session });
  };
  alwaysTrue(books, must);
  trueAtRest(books, must);
  const [payers, holders] = [[...records], [...sessions]];
  compareJobs(books, payers, report);
  comparePayouts(books, payers, holders, report);
  compareSessions(books, holders, (kind, what) => void found.push({ kind, what, session: true }));
  return found;
}

type Report = (kind: ViolationKind, what: string) => void;

/** Every key made exactly one job, the one that was acknowledged. */
function compareJobs(books: Books, records: readonly JobRecord[], report: Report): void {
  const byToken = Map.groupBy(books.jobs, (job) => job.request.split(" ")[0] ?? "");
  for (const { plan, jobId, claims: _ } of records) {
    const made = byToken.get(plan.token) ?? [];
    byToken.delete(plan.token);
    if (made.length > 1) report("contradiction", `${plan.token}: one Idempotency-Key made ${made.length} jobs`);
    if (jobId !== null && !made.some((job) => jobId.startsWith(`${job.handle}-`))) {
      report("lost", `${plan.token}: the acknowledged job is not in the store`);
    }
  }
  for (const token of byToken.keys()) report("unexpected", `the store has a job that no payer asked for (${token})`);
}

/** What left the wallet went to invoices that payers sent, and each was paid what it was told. */
function comparePayouts(
  { wallet }: Books,
  records: readonly JobRecord[],
  sessions: readonly SessionRecord[],
  report: Report,
): void {
  const claimed = new Set(sessions.flatMap(({ claims }) => [...claims]));
  for (const { plan, claims, seen } of records) {
    const paid = [...claims].filter((hash) => isSent(wallet, hash));
    for (const hash of claims) claimed.add(hash);
    if (paid.length > 1) report("paid twice", `${plan.token}: ${paid.length} payments left for one refund`);
    if (seen?.refund?.state === "paid" && !paid.includes(seen.refund.hash ?? "")) {
      report("lost", `${plan.token}: its refund was said to be paid, and the wallet never paid it`);
    }
  }
  for (const hash of wallet.payments.keys()) {
    if (isSent(wallet, hash) && !claimed.has(hash)) report("unexpected", "a payout went to an invoice nobody sent");
  }

  const received = [...wallet.received.values()].reduce((sum, sats) => sum + sats, 0);
  const sent = [...wallet.payments.values()]
    .filter(({ state }) => state === "paid")
    .reduce((sum, { amountSats, feeSats }) => sum + amountSats + feeSats, 0);
  if (wallet.balanceSats !== received - sent) {
    report("books", "the wallet's own balance is not what it received less what it paid");
  }
}
