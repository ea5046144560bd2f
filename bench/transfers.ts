import { jobAccount } from "@/lib/ledger/accounts.ts";
import { type Posting, refundOwed, workPayment } from "@/lib/ledger/postings.ts";
import { systemClock } from "@/lib/clock.ts";
import { systemRandom } from "@/lib/ids.ts";
import { createStore, type Store } from "@/lib/store/store.ts";
import { openDenoEngine } from "@/lib/store/engines/deno.ts";
import { balance, post } from "@/lib/ledger/ledger.rows.ts";
import { aim, type Bench, median, number, perSecond, timedCalls } from "./measure.ts";

const ROUNDS = 3;
const RUNS = [
  { atOnce: 1, total: 2_000 },
  { atOnce: 16, total: 10_000 },
  { atOnce: 64, total: 20_000 },
];
const NAIVE = { atOnce: 64, total: 500 };
const SOURCE = jobAccount("bench");
const FUNDS = 1_000_000_000;

interface Result {
  perSecond: number;
  /** Commits the store says it made, or tries that the loop needed, for each transfer. */
  commits: number;
}

/**
 * Four rows a transfer, in both: the account everybody takes from, one of a hundred that receive, the ledger's entry, and
 * a receipt. Every run has a database of its own.
 */
export const transfers: Bench = {
  name: "transfers",
  title: "transfers out of one account, four rows each",
  async run({ figure, tempDir }) {
    const dir = await tempDir();
    const ours = RUNS.map((): Result[] => []);
    const naive: Result[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      for (const [i, run] of RUNS.entries()) ours[i]!.push(await serial(`${dir}/serial-${round}-${i}`, run));
      naive.push(await checkAndSet(`${dir}/naive-${round}`, NAIVE));
    }
    const middle = (results: Result[], what: keyof Result) => median(results.map((result) => result[what]));
    for (const [i, { atOnce }] of RUNS.entries()) {
      const results = ours[i]!;
      const commits = `${number(middle(results, "commits"))} commits a transfer`;
      figure(`store.transact + post(), ${atOnce} at a time`, perSecond(middle(results, "perSecond")), commits);
    }
    figure(
      `check-and-set with retries, ${NAIVE.atOnce} at a time`,
      perSecond(middle(naive, "perSecond")),
      `${number(middle(naive, "commits"))} commits tried a transfer`,
    );
    const busiest = ours[RUNS.length - 1]!;
    const ratio = middle(busiest, "perSecond") / middle(naive, "perSecond");
    figure("ratio at 64 at a time", `${number(ratio)} ×`, aim(ratio >= 20, "≥ 20 ×"));
    const fewer = middle(naive, "commits") / middle(busiest, "commits");
    figure("ratio of commits a transfer", `${number(fewer)} ×`, "fewer than check-and-set tries");
  },
};

const posting = (i: number): Posting => ({ ...refundOwed(`${i % 100}`, SOURCE, 1, `${i}`), id: `t:${i}` });

async function serial(path: string, { atOnce, total }: { atOnce: number; total: number }): Promise<Result> {
  const engine = await openDenoEngine(path, { exclusive: true });
  const store = await createStore({ engine, clock: systemClock, random: systemRandom });
  await store.transact((tx) => post(tx, [workPayment("bench", { paymentHash: "funds", sats: FUNDS })], 0));
  const before = store.stats().commits;
  const took = await timedCalls(total, atOnce, (i) => transfer(store, i));
  const commits = store.stats().commits - before;
  if (await balance(store, SOURCE) !== FUNDS - total) throw new Error("the store lost or doubled a transfer");
  await store.close();
  return { perSecond: total / took * 1_000, commits: commits / total };
}

function transfer(store: Store, i: number): Promise<void> {
  const at = Date.now();
  return store.transact(async (tx) => {
    await post(tx, [posting(i)], at);
    tx.set(["receipt", i], { v: 1, at, sats: 1 });
  });
}

interface Counters {
  in: number;
  out: number;
}

/** What one would write on Deno KV without the store: read, check, write, and again when somebody was faster. */
async function checkAndSet(path: string, { atOnce, total }: { atOnce: number; total: number }): Promise<Result> {
  const kv = await Deno.openKv(path);
  await kv.set(["account", SOURCE], { in: FUNDS, out: 0 } satisfies Counters);
  let tries = 0;
  const took = await timedCalls(total, atOnce, async (i) => {
    const { id, from, to, sats } = posting(i);
    for (;;) {
      tries++;
      const [entry, source, sink] = await kv.getMany<[unknown, Counters, Counters]>([
        ["entry", id],
        ["account", from],
        ["account", to],
      ]);
      const held = source.value ?? { in: 0, out: 0 };
      const receives = sink.value ?? { in: 0, out: 0 };
      if (held.in - held.out < sats) throw new Error("overdraft");
      const at = Date.now();
      const result = await kv.atomic()
        .check(entry, source, sink)
        .set(entry.key, { ...posting(i), at })
        .set(source.key, { ...held, out: held.out + sats })
        .set(sink.key, { ...receives, in: receives.in + sats })
        .set(["receipt", i], { at, sats })
        .commit();
      if (result.ok) return;
    }
  });
  const left = await kv.get<Counters>(["account", SOURCE]);
  if (left.value?.out !== total) throw new Error("check-and-set lost or doubled a transfer");
  kv.close();
  return { perSecond: total / took * 1_000, commits: tries / total };
}
