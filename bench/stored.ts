import { createWorld, type World } from "@/tests/harness/world.ts";
import { aim, type Bench, ms, number, percentile, timed } from "./measure.ts";
import { wholeJob } from "./commits.ts";
import { seedJobs } from "./seed.ts";

const FEW = 1_000;
/** Short turns, many of them: what slows the machine for a second or two slows both sides alike. */
const ROUNDS = 120;
const WARM_UP_ROUNDS = 20;
const READS = 25;

interface Side {
  stored: number;
  world: World;
  handles: string[];
  server: Deno.HttpServer<Deno.NetAddr>;
  /** Milliseconds of each: over a socket as clients read, the same inside the process, and of whole jobs. */
  reads: number[];
  inside: number[];
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
      const server = Deno.serve(
        { hostname: "127.0.0.1", port: 0, onListen: () => {} },
        (request, info) => world.app.fetch(request, { remoteAddr: info.remoteAddr }),
      );
      sides.push({ stored: count, world, handles, server, reads: [], inside: [], jobs: [] });
    }
    for (let round = 0; round < ROUNDS; round++) {
      for (const side of round % 2 ? sides : [...sides].reverse()) await measure(side, round < WARM_UP_ROUNDS);
    }
    await checkFew(sides[0]!);
    for (const { world, server } of sides) {
      await server.shutdown();
      await world.close();
    }
    compare("GET /api/jobs/:id over HTTP, random stored job, p50", "reads", true);
    compare("the same without a socket, p50", "inside", false);
    compare("a whole job, creation to paid refund, p50", "jobs", true);

    function compare(what: string, which: "reads" | "inside" | "jobs", aimed: boolean): void {
      const [few = NaN, many = NaN] = sides.map((side) => percentile(side[which], 0.5));
      for (const side of sides) figure(`${what}, ${number(side.stored)} stored`, ms(percentile(side[which], 0.5)));
      figure("  ratio", number(many / few), aimed ? aim(many / few <= 1.2, "≤ 1.2") : "");
    }
  },
};

/** One turn of one store. Those that warm up do not count. */
async function measure({ world, handles, server, reads, inside, jobs }: Side, warmUp: boolean): Promise<void> {
  const keep = (values: number[], took: number) => void (warmUp || values.push(took));
  for (let i = 0; i < READS; i++) {
    const path = () =>
      `/api/jobs/${world.deps.recordIds.idOf("job", handles[Math.floor(Math.random() * handles.length)]!)}`;
    keep(
      reads,
      await timed(async () => await expectComplete(await fetch(`http://127.0.0.1:${server.addr.port}${path()}`))),
    );
    keep(inside, await timed(async () => await expectComplete(await world.app.request(path()))));
  }
  keep(jobs, await timed(() => wholeJob(world, "What is a hold invoice?")));
}

async function expectComplete(response: Response): Promise<void> {
  const body = await response.json();
  if (body.state !== "complete") throw new Error(`a stored job was answered ${response.status} ${body.state}`);
}

/** The rows the figures rest on must be what the program itself leaves: the audit says so, but for the seed's wallet. */
async function checkFew({ world }: Side): Promise<void> {
  const wrong = (await world.audit()).find(({ ok, name }) => !ok && !name.startsWith("the wallet "));
  if (wrong) throw new Error(`the seeded rows are not sound: ${wrong.name}: ${wrong.detail}`);
}
