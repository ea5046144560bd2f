import { createWorld, TEST_SETTINGS, type World, type WorldOptions } from "@/tests/harness/world.ts";
import { keyWith, SCORE } from "@/tests/harness/keys.ts";
import { claimRefund, createJob, paidJob, pay, untilState } from "@/tests/harness/payer.ts";
import { paidSession } from "@/tests/harness/session-payer.ts";
import { aim, type Bench, type BenchContext, median, number } from "./measure.ts";

const ALONE = 5;
/** So many at a time, in so many rounds. */
const AT_ONCE = 64;
const ROUNDS = 2;
const DEPOSIT_SATS = 1_000_000;
/** Whatever a piece of work commits after its answer is counted with it (ms). */
const SETTLE_MS = 20;

/** One stretch of work: what the store counted, and when (ms since the epoch), for whoever counts the calls from outside. */
export interface Stretch {
  /** Whole jobs, or requests. */
  done: number;
  commits: number;
  /** Rows set and deleted, the store's own head row among them. */
  rows: number;
  from: number;
  to: number;
}

export interface Counted {
  alone: Stretch[];
  together: Stretch;
}

/** What is counted, by the name that a process of its own is given; each on a database in the folder `path`. */
export const COUNTED = {
  chats: chatCompletions,
  requests: sessionRequests,
  jobs: paidJobs,
  free: (path: string) => freeJobs(path, SCORE.trusted, "free"),
  partial: (path: string) => freeJobs(path, SCORE.established, "partial"),
} as const;
export type Kind = keyof typeof COUNTED;

/** One at a time, then many at once: `work` is given a number of its own each time. */
async function counted(world: World, work: (i: number) => Promise<unknown>): Promise<Counted> {
  let begun = 0;
  const stretch = async (atOnce: number, rounds: number): Promise<Stretch> => {
    const { commits, rowsWritten } = world.store.stats();
    const from = Date.now();
    for (let round = 0; round < rounds; round++) {
      await Promise.all(Array.from({ length: atOnce }, () => work(begun++)));
    }
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const after = world.store.stats();
    const [done, rows] = [atOnce * rounds, after.rowsWritten - rowsWritten];
    return { done, commits: after.commits - commits, rows, from, to: Date.now() };
  };
  await stretch(1, 2);
  const alone: Stretch[] = [];
  for (let i = 0; i < ALONE; i++) alone.push(await stretch(1, 1));
  const together = await stretch(AT_ONCE, ROUNDS);
  await world.close();
  return { alone, together };
}

const worldOn = (path: string, settings: NonNullable<WorldOptions["settings"]> = {}) =>
  createWorld({ path, store: { gatherMs: 2 }, settings });

/** Whole paid jobs, refund included. */
async function paidJobs(path: string): Promise<Counted> {
  const world = await worldOn(path);
  return await counted(world, (i) => wholeJob(world, `Question ${i}?`));
}

/** Whole jobs of signed-in keys, each of a key of its own with this trust, which the pool pays wholly or in part. */
async function freeJobs(path: string, score: number, serve: string): Promise<Counted> {
  const world = await worldOn(path, { poolSeedSats: DEPOSIT_SATS });
  const keys = await Promise.all(
    Array.from({ length: 2 + ALONE + AT_ONCE * ROUNDS }, (_, i) => keyWith(world, score, i + 1)),
  );
  return await counted(world, async (i) => {
    const { jobId, evalInvoice } = await createJob(world.call, "hello", keys[i]!.auth);
    await pay(world, evalInvoice);
    const { body } = await untilState(world, world.call, jobId, ["awaiting_work_payment", "complete"]);
    if (body.workInvoice) await pay(world, body.workInvoice);
    const ended = (await untilState(world, world.call, jobId, ["complete", "failed"])).body;
    if (ended.state !== "complete" || ended.free_tier.serve !== serve) {
      throw new Error(`a job that was to be ${serve} is ${ended.state}: ${JSON.stringify(ended.free_tier)}`);
    }
  });
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

/** Calls that draw on one session. */
async function drawn(path: string, callOf: (sessionId: string) => { path: string; body: unknown }): Promise<Counted> {
  const world = await worldOn(path, { sessions: { ...TEST_SETTINGS.sessions, maxDepositSats: DEPOSIT_SATS } });
  const { sessionId, auth } = await paidSession(world, world.call, DEPOSIT_SATS);
  const call = callOf(sessionId);
  return await counted(world, async () => {
    const { status, body } = await world.call("POST", call.path, call.body, { ...auth });
    if (status !== 200) throw new Error(`it was answered ${status}: ${JSON.stringify(body)}`);
  });
}

/** Create, pay, evaluate, pay, work, refund. @throws when a step does not end as it should. */
export async function wholeJob(world: World, request: string): Promise<void> {
  const job = await paidJob(world, world.call, request);
  const owed = job.costLedger?.refundAmountSats;
  if (job.state !== "complete" || !(owed > 0)) throw new Error(`the job is ${job.state} and owes ${owed} sats`);
  const refund = await claimRefund(world, world.call, job.jobId, owed);
  if (refund.status !== 200) throw new Error(`the refund was answered ${refund.status}`);
}

/** At most so many: commits alone and each of many at once, and the same of rows. */
type Aims = Partial<Record<"commits" | "rows", [alone: number, together?: number]>>;

const WORK: readonly [Kind, string, Aims][] = [
  ["chats", "chat", { commits: [1, 0.05], rows: [11, 6] }],
  ["requests", "session request", { commits: [2, 0.5] }],
  ["jobs", "whole paid job with its refund", { commits: [7, 1] }],
  ["free", "free job", { commits: [6] }],
  ["partial", "partly free job", { commits: [6] }],
];

export const commits: Bench = {
  name: "commits",
  title: `durable commits, rows written and flushes, alone and each of ${AT_ONCE} at once; all evaluated first ` +
    "(the simulated wallet's own are not ours)",
  async run(context) {
    for (const [kind, title, aims] of WORK) await printed(context, kind, title, aims);
  },
};

async function printed({ figure, tempDir }: BenchContext, kind: Kind, title: string, aims: Aims): Promise<void> {
  const { alone, together } = await COUNTED[kind](await tempDir());
  for (const what of ["commits", "rows"] as const) {
    const [single, shared] = [median(alone.map((one) => one[what])), together[what] / together.done];
    const [most, mostShared] = aims[what] ?? [];
    const note = (value: number, limit?: number) => limit === undefined ? "" : aim(value <= limit, `≤ ${limit}`);
    figure(`${title}: ${what}, alone`, number(single), note(single, most));
    figure(`  each of ${AT_ONCE} at once`, number(shared), note(shared, mostShared));
  }
  const calls = await traced(await tempDir(), kind);
  if (typeof calls === "string") return figure("  fdatasync and fsync calls", "not measured", calls);
  const both = `${number(calls.alone)} / ${number(calls.together)}`;
  figure(`  fdatasync and fsync calls on the store's files, alone / at once`, both);
}

/** The same in a process of its own under strace. @returns why not, or the calls for each. */
async function traced(dir: string, kind: Kind): Promise<string | { alone: number; together: number }> {
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
