import { createWorld, TEST_SETTINGS, type World } from "@/tests/harness/world.ts";
import { claimRefund, paidJob } from "@/tests/harness/payer.ts";
import { paidSession } from "@/tests/harness/session-payer.ts";
import { aim, type Bench, type BenchContext, median, number } from "./measure.ts";

const ALONE = 5;
const TOGETHER = 100;
/** Requests of sessions: so many at a time, in so many rounds. */
const AT_ONCE = 64;
const ROUNDS = 4;
const DEPOSIT_SATS = 1_000_000;

/** One stretch of work: what the store counted, and when (ms since the epoch), for whoever counts the calls from outside. */
export interface Stretch {
  /** Whole jobs, or requests. */
  done: number;
  commits: number;
  from: number;
  to: number;
}

export interface Counted {
  alone: Stretch[];
  together: Stretch;
}

/** What is counted, by the name that a process of its own is given. */
export const COUNTED = { jobs: paidJobs, requests: sessionRequests, chats: chatCompletions } as const;

/** Whole paid jobs, refund included: one after another, then all at once, on a file in `path`. */
async function paidJobs(path: string): Promise<Counted> {
  const world = await createWorld({ path, store: { gatherMs: 2 } });
  await wholeJob(world, "Warm up.");
  const alone: Stretch[] = [];
  for (let i = 0; i < ALONE; i++) alone.push(await stretch(world, () => jobsAtOnce(world, 1)));
  const together = await stretch(world, () => jobsAtOnce(world, TOGETHER));
  await world.close();
  return { alone, together };
}

async function jobsAtOnce(world: World, jobs: number): Promise<number> {
  await Promise.all(Array.from({ length: jobs }, (_, i) => wholeJob(world, `Question ${i} of ${jobs}?`)));
  return jobs;
}

async function stretch(world: World, work: () => Promise<number>): Promise<Stretch> {
  const before = world.store.stats().commits;
  const from = Date.now();
  const done = await work();
  return { done, commits: world.store.stats().commits - before, from, to: Date.now() };
}

/** Evaluated and answered requests of one session, as its holder asks them. */
function sessionRequests(path: string): Promise<Counted> {
  return drawn(path, (sessionId) => ({
    path: `/api/sessions/${sessionId}/request`,
    body: { request: "What is a hold invoice?" },
  }));
}

/** Evaluated and answered chats of one session, as OpenAI's clients ask: without a key. */
function chatCompletions(path: string): Promise<Counted> {
  const [model] = TEST_SETTINGS.chatModels;
  const messages = [{ role: "user", content: "What is a hold invoice?" }];
  return drawn(path, () => ({ path: "/api/v1/chat/completions", body: { model, messages } }));
}

/** Calls that draw on one session, on a file in `path`: one after another, then many at a time. */
async function drawn(path: string, callOf: (sessionId: string) => { path: string; body: unknown }): Promise<Counted> {
  const sessions = { ...TEST_SETTINGS.sessions, maxDepositSats: DEPOSIT_SATS };
  const world = await createWorld({ path, store: { gatherMs: 2 }, settings: { sessions } });
  const { sessionId, auth } = await paidSession(world, world.call, DEPOSIT_SATS);
  const call = callOf(sessionId);
  const ask = async (atOnce: number, rounds: number) => {
    for (let round = 0; round < rounds; round++) {
      await Promise.all(Array.from({ length: atOnce }, async () => {
        const { status, body } = await world.call("POST", call.path, call.body, { ...auth });
        if (status !== 200) throw new Error(`it was answered ${status}: ${JSON.stringify(body)}`);
      }));
    }
    return atOnce * rounds;
  };
  await ask(1, 2);
  const alone: Stretch[] = [];
  for (let i = 0; i < ALONE; i++) alone.push(await stretch(world, () => ask(1, 1)));
  const together = await stretch(world, () => ask(AT_ONCE, ROUNDS));
  await world.close();
  return { alone, together };
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
  run: (context) => printed(context, "jobs", { single: 8, shared: 1, atOnce: TOGETHER }),
};

export const sessionCommits: Bench = {
  name: "session-commits",
  title: "durable commits of one request drawn from a session, and of one chat completion; both evaluated first",
  async run(context) {
    for (const [kind, title] of [["requests", "request"], ["chats", "chat"]] as const) {
      await printed(context, kind, { single: 2, shared: 0.5, atOnce: AT_ONCE, title });
    }
  },
};

async function printed(
  { figure, tempDir }: BenchContext,
  kind: keyof typeof COUNTED,
  aims: { single: number; shared: number; atOnce: number; title?: string },
): Promise<void> {
  const { atOnce, title } = aims;
  const name = (what: string) => title ? `${title}: ${what}` : what;
  const { alone, together } = await COUNTED[kind](await tempDir());
  const single = median(alone.map((one) => one.commits));
  const shared = together.commits / together.done;
  figure(name("alone, counted by the store"), number(single), aim(single <= aims.single, `≤ ${aims.single}`));
  figure(
    name(`each of ${atOnce} at once, counted by the store`),
    number(shared),
    aim(shared <= aims.shared, `≤ ${aims.shared}`),
  );
  const calls = await traced(await tempDir(), kind);
  if (typeof calls === "string") return figure(name("fdatasync and fsync calls of the process"), "not measured", calls);
  figure(name("alone, fdatasync and fsync calls on the store's files"), number(calls.alone));
  figure(name(`each of ${atOnce} at once, fdatasync and fsync calls`), number(calls.together));
}

/** The same in a process of its own under strace. @returns why not, or the calls for each. */
async function traced(dir: string, kind: keyof typeof COUNTED): Promise<string | { alone: number; together: number }> {
  const trace = `${dir}/trace`;
  const command = new Deno.Command("strace", {
    args: [
      ...["-f", "-y", "-ttt", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-o", trace],
      ...[
        Deno.execPath(),
        "run",
        "--config",
        new URL("../dev/deno.json", import.meta.url).pathname,
        "--quiet",
        "--no-prompt",
        "--allow-env",
        "--allow-read",
        "--allow-write",
        "--allow-sys",
      ],
      ...[new URL("commits-process.ts", import.meta.url).pathname, `${dir}/data`, kind],
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
  const told = JSON.parse(new TextDecoder().decode(output.stdout)) as Counted;
  const times = syncTimes(await Deno.readTextFile(trace), "/timmy.kv");
  const during = ({ from, to }: Stretch) => times.filter((at) => at >= from && at <= to).length;
  return { alone: median(told.alone.map(during)), together: during(told.together) / told.together.done };
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
