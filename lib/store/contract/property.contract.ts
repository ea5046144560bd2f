import assert from "node:assert/strict";
import fc from "fast-check";
import type { CommitFault, ReadFault } from "@/lib/store/testing/faulty-engine.ts";
import { add, Bench, codeOf, type Count, count, type OpenDatabase, outcome } from "@/lib/store/testing/bench.ts";
import type { Store, Tx } from "@/lib/store/store.ts";

interface Transfer {
  from: number;
  to: number;
  sats: number;
}
interface Step {
  transfers: Transfer[];
  commits: (CommitFault | null)[];
  reads: (ReadFault | null)[];
  rival: Transfer | null;
  release: boolean;
}
const ACCOUNTS = 4;
const EACH = 100;

const transfers = fc.record({
  from: fc.nat(ACCOUNTS - 1),
  to: fc.nat(ACCOUNTS - 1),
  sats: fc.integer({ min: 1, max: 60 }),
});
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    transfers: fc.array(transfers, { minLength: 1, maxLength: 5 }),
    commits: fc.array(
      fc.constantFrom<(CommitFault | null)[]>(
        null,
        null,
        "refuse",
        "lose",
        "deny",
        "hang",
        "lose-and-hang",
        "late",
        "hold",
      ),
      { maxLength: 3 },
    ),
    reads: fc.array(fc.constantFrom<(ReadFault | null)[]>(null, null, null, "refuse", "hang", "hold-answer"), {
      maxLength: 3,
    }),
    rival: fc.option(transfers, { nil: null, freq: 2 }),
    release: fc.boolean(),
  }),
  { minLength: 1, maxLength: 8 },
);

/**
 * Transfers in random interleavings with random faults and another process: the sum stays, a transfer that was confirmed
 * is applied exactly once, one that was refused never. A failure prints the seed and the shortest history.
 */
export function storeProperty(name: string, openDatabase: OpenDatabase, runs: number): void {
  Deno.test(`store on ${name}: random transfers, faults and foreign writes keep the sum and apply each transfer once or never`, async () => {
    await fc.assert(fc.asyncProperty(steps, (history) => transferHistory(openDatabase, history)), { numRuns: runs });
  });
}

async function transferHistory(openDatabase: OpenDatabase, history: Step[]): Promise<void> {
  const bench = await Bench.open(openDatabase, { cacheRows: 5 });
  try {
    const rival = await bench.rival();
    await rival.run((tx) => {
      for (let account = 0; account < ACCOUNTS; account++) tx.set(["account", account], count(EACH));
    });
    const made: { transfer: Transfer; result: string }[] = [];
    const transfer = ({ from, to, sats }: Transfer, id: number) => async (tx: Tx) => {
      const purse = (await tx.get<Count>(["account", from]))!.n;
      if (purse < sats) throw new Error("poor");
      tx.set(["account", from], count(purse - sats));
      await add(["account", to], sats)(tx);
      await add(["applied", id])(tx);
      tx.event({ type: "moved", id });
    };
    const track = async (store: Store, what: Transfer) => {
      const id = made.length;
      const entry = { transfer: what, result: "waiting" };
      made.push(entry);
      entry.result = codeOf(await outcome(store.transact(transfer(what, id))));
    };
    for (const step of history) {
      bench.engine.nextCommits.push(...step.commits);
      bench.engine.nextReads.push(...step.reads);
      const all = step.transfers.map((what) => track(bench.store, what));
      if (step.rival) all.push(track(rival.store, step.rival));
      if (step.release) {
        await bench.clock.advance(1);
        await bench.engine.release();
      }
      await bench.drive(Promise.all(all));
    }
    bench.engine.heal();
    await bench.engine.release();
    await bench.run((tx) => tx.get(["account", 0])); // an outcome still being found out is known after this

    const balances = Array<number>(ACCOUNTS).fill(EACH);
    let applied = 0;
    for (const [id, { transfer: { from, to, sats }, result }] of made.entries()) {
      const times = (await bench.onDisk<Count>(["applied", id]))?.n ?? 0;
      const allowed = result === "ok" ? [1] : result === "unknown" ? [0, 1] : [0];
      assert.ok(allowed.includes(times), `transfer ${id} was answered ${result} and applied ${times} times`);
      assert.ok(["ok", "unknown", "unavailable", "Error: poor"].includes(result), result);
      if (times === 0) continue;
      applied++;
      balances[from]! -= sats;
      balances[to]! += sats;
    }
    const stored = await Promise.all(balances.map((_, account) => bench.onDisk<Count>(["account", account])));
    assert.deepEqual(stored.map((row) => row?.n), balances);
    assert.ok(balances.every((balance) => balance >= 0));
    assert.deepEqual(
      (await bench.keysOnDisk(["event"])).map((key) => key[1]),
      Array.from({ length: applied }, (_, i) => i + 1),
    );
  } finally {
    await bench.close();
  }
}
