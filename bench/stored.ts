import { createWorld, type World } from "@/tests/harness/world.ts";
import { aim, type Bench, ms, number, percentile, timed } from "./measure.ts";
import { wholeJob } from "./commits.ts";
import { seedJobs } from "./seed.ts";

const FEW = 1_000;
const ROUNDS = 10;
const READS = 300;
const JOBS = 12;

interface Side {
  stored: number;
  world: World;
  handles: string[];
  reads: number[];
  jobs: number[];
}

/** Both stores lie side by side and are asked in turns, so that whatever else slows the machine slows both. */
export const stored: Bench = {
  name: "stored",
  title: "the same work with many stored jobs and with few",
  async run({ figure, tempDir, jobs }) {
    const sides: Side[] = [];
    for (const count of [FEW, jobs]) {
      const path = await tempDir();
      let handles: string[] = [];
      const took = await timed(async () => void (handles = await seedJobs(`${path}/timmy.kv`, count)));
      const { size } = await Deno.stat(`${path}/timmy.kv`);
      figure(`${number(count)} jobs written`, ms(took), `${number(size / 1e6)} MB`);
      // Opened anew: nothing of the seed is in memory but what the system keeps of the file.
      const world = await createWorld({ path, store: { gatherMs: 2 } });
      sides.push({ stored: count, world, handles, reads: [], jobs: [] });
    }
    for (let round = 0; round < ROUNDS; round++) {
      for (const side of round % 2 ? sides : [...sides].reverse()) await measure(side, round === 0);
    }
    await checkFew(sides[0]!);
    for (const { world } of sides) await world.close();
    compare("GET /api/jobs/:id of a random stored job, p50", "reads");
    compare("a whole job, creation to paid refund, p50", "jobs");

    function compare(what: string, which: "reads" | "jobs"): void {
      const [few = NaN, many = NaN] = sides.map((side) => percentile(side[which], 0.5));
      for (const side of sides) figure(`${what}, ${number(side.stored)} stored`, ms(percentile(side[which], 0.5)));
      figure("  ratio", number(many / few), aim(many / few <= 1.2, "≤ 1.2"));
    }
  },
};

/** One turn of one store. The first one warms up and does not count. */
async function measure({ world, handles, reads, jobs }: Side, warmUp: boolean): Promise<void> {
  for (let i = 0; i < READS; i++) {
    const handle = handles[Math.floor(Math.random() * handles.length)]!;
    const path = `/api/jobs/${world.deps.capabilities.idOf("job", handle)}`;
    const took = await timed(async () => {
      const { status, body } = await world.call("GET", path);
      if (status !== 200 || body.state !== "complete") throw new Error(`a stored job was answered ${status}`);
    });
    if (!warmUp) reads.push(took);
  }
  for (let i = 0; i < JOBS; i++) {
    const took = await timed(() => wholeJob(world, `What is question ${i}?`));
    if (!warmUp) jobs.push(took);
  }
}

/** The rows the figures rest on must be what the program itself leaves: the audit says so, but for the seed's wallet. */
async function checkFew({ world }: Side): Promise<void> {
  const wrong = (await world.audit()).find(({ ok, name }) => !ok && name !== "the wallet covers what it owes");
  if (wrong) throw new Error(`the seeded rows are not sound: ${wrong.name}: ${wrong.detail}`);
}
