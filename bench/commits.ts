import { createWorld, type World } from "@/tests/harness/world.ts";
import { claimRefund, paidJob } from "@/tests/harness/payer.ts";
import { aim, type Bench, median, number } from "./measure.ts";

const ALONE = 5;
const TOGETHER = 100;

/** One stretch of jobs: what the store counted, and when (ms since the epoch), for whoever counts the calls from outside. */
export interface Stretch {
  jobs: number;
  commits: number;
  from: number;
  to: number;
}

/** Whole paid jobs, refund included: one after another, then all at once, on a file in `path`. */
export async function paidJobs(path: string): Promise<{ alone: Stretch[]; together: Stretch }> {
  const world = await createWorld({ path, store: { gatherMs: 2 } });
  await wholeJob(world, "Warm up.");
  const alone: Stretch[] = [];
  for (let i = 0; i < ALONE; i++) alone.push(await stretch(world, 1));
  const together = await stretch(world, TOGETHER);
  await world.close();
  return { alone, together };
}

async function stretch(world: World, jobs: number): Promise<Stretch> {
  const before = world.store.stats().commits;
  const from = Date.now();
  await Promise.all(Array.from({ length: jobs }, (_, i) => wholeJob(world, `Question ${i} of ${jobs}?`)));
  return { jobs, commits: world.store.stats().commits - before, from, to: Date.now() };
}

/** Create, pay, evaluate, pay, work, refund. @throws when a step does not end as it should. */
export async function wholeJob(world: World, request: string): Promise<void> {
  const job = await paidJob(world, world.call, request);
  const owed = job.costLedger?.refundAmountSats;
  if (job.state !== "complete" || !(owed > 0)) throw new Error(`the job is ${job.state} and owes ${owed} sats`);
  const refund = await claimRefund(world, world.call, job.jobId, owed);
  if (refund.status !== 200) throw new Error(`the refund was answered ${refund.status}`);
}

export const commits: Bench = {
  name: "commits",
  title: "durable commits of a whole paid job with its refund (the simulated wallet's own are not ours)",
  async run({ figure, tempDir }) {
    const { alone, together } = await paidJobs(await tempDir());
    const single = median(alone.map((one) => one.commits));
    const shared = together.commits / TOGETHER;
    figure("alone, counted by the store", number(single), aim(single <= 8, "≤ 8"));
    figure(`each of ${TOGETHER} at once, counted by the store`, number(shared), aim(shared <= 1, "≤ 1"));

    const calls = await traced(await tempDir());
    if (typeof calls === "string") return figure("fdatasync and fsync calls of the process", "not measured", calls);
    figure("alone, fdatasync and fsync calls on the store's files", number(calls.alone));
    figure(`each of ${TOGETHER} at once, fdatasync and fsync calls`, number(calls.together));
  },
};

/** The same in a process of its own under strace. @returns why not, or the calls a job. */
async function traced(dir: string): Promise<string | { alone: number; together: number }> {
  const trace = `${dir}/trace`;
  const command = new Deno.Command("strace", {
    args: [
      ...["-f", "-y", "-ttt", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-o", trace],
      ...[
        Deno.execPath(),
        "run",
        "--quiet",
        "--no-prompt",
        "--allow-env",
        "--allow-read",
        "--allow-write",
        "--allow-sys",
      ],
      ...[new URL("commits-process.ts", import.meta.url).pathname, `${dir}/data`],
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
  let output;
  try {
    await Deno.mkdir(`${dir}/data`);
    output = await command.output();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "no strace";
    throw error;
  }
  if (!output.success) return `strace: ${new TextDecoder().decode(output.stderr).trim().split("\n").pop()}`;
  const told = JSON.parse(new TextDecoder().decode(output.stdout)) as Awaited<ReturnType<typeof paidJobs>>;
  const times = syncTimes(await Deno.readTextFile(trace), "/timmy.kv");
  const during = ({ from, to }: Stretch) => times.filter((at) => at >= from && at <= to).length;
  return { alone: median(told.alone.map(during)), together: during(told.together) / TOGETHER };
}

/** When (ms since the epoch) a file whose path contains `file` was flushed, by the lines of `strace -f -y -ttt`. */
export function syncTimes(trace: string, file: string): number[] {
  const times: number[] = [];
  for (const line of trace.split("\n")) {
    const match = /^\d+\s+(\d+\.\d+) (?:fsync|fdatasync)\(\d+<([^>]*)>/.exec(line);
    if (match?.[2]?.includes(file)) times.push(Number(match[1]) * 1_000);
  }
  return times;
}
