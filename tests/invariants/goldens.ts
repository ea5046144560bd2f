/**
 * What 200 seeded histories come to: every kind of posting with its count and its sats, and what each job and request of a
 * session was charged. A change that is meant to move nothing must leave these figures alone; one that moves something says
 * why in its commit.
 */
import fc from "fast-check";
import type { Entry } from "@/lib/ledger/ledger.rules.ts";
import type { SessionRequest } from "@/lib/sessions/requests.machine.ts";
import type { Job } from "@/lib/jobs/jobs.machine.ts";
import type { FakeWorld } from "../harness/fake-world.ts";
import { cases as freeTierCases, play as playFreeTier } from "./free-tier.ts";
import { type Case, jobCases, play, sessionCases } from "./interleavings.ts";

/** The figures of one history: a line for each kind of posting, for each way a job ended and for each way a request did. */
export type Golden = Record<string, string>;

const SEED = 20_261_128;
const EACH = { jobs: 80, sessions: 60, "free tier": 60 } as const;

/**
 * One act after another, so that no figure depends on which of two calls the database happened to answer first; and no death
 * at the commit of a certain number, since how many commits there are is no figure either.
 */
const calm = <A extends { act: string }>(steps: A[][]): A[][] =>
  steps.flat().filter(({ act }) => act !== "die at commit").map((act) => [act]);

/** Plays all of them, or the first ones of each kind. @param part of them, 1 is all @returns by the name of each history */
export async function goldens(part = 1): Promise<Record<string, Golden>> {
  const found: Record<string, Golden> = {};
  const into = (name: string) => async (fake: FakeWorld) => void (found[name] = await figuresOf(fake));
  const calmed = (one: Case): Case => ({ ...one, steps: calm(one.steps) });
  for (const [i, one] of fc.sample(jobCases, { seed: SEED, numRuns: EACH.jobs * part }).entries()) {
    await play(calmed(one), { atRest: into(`jobs ${i}`) });
  }
  for (const [i, one] of fc.sample(sessionCases, { seed: SEED, numRuns: EACH.sessions * part }).entries()) {
    await play(calmed(one), { atRest: into(`sessions ${i}`) });
  }
  for (const [i, one] of fc.sample(freeTierCases, { seed: SEED, numRuns: EACH["free tier"] * part }).entries()) {
    await playFreeTier({ ...one, steps: calm(one.steps) }, { atRest: into(`free tier ${i}`) });
  }
  return found;
}

async function figuresOf({ world }: FakeWorld): Promise<Golden> {
  const lines: string[] = [];
  for (const { value } of await world.rows<Entry>(["entry"])) {
    const [from, to] = [value.from, value.to].map((account) =>
      account.replace(/^(job|session|reserved|refund):.*/, "$1")
    );
    lines.push(`posting ${value.kind} ${from} ${to} ${value.sats}`);
  }
  for (const { value: job } of await world.rows<Job>(["job"])) {
    const { chargeSats = 0, subsidySats = 0, refundSats = 0, returnedSats = 0 } = job.costSheet ?? {};
    lines.push(
      `job ${job.state} paid ${job.paidSats} granted ${job.grantedSats} ${chargeSats}/${subsidySats}/${refundSats}/${returnedSats}`,
    );
  }
  for (const { value: request } of await world.rows<SessionRequest>(["session_request"])) {
    const { state, reservedSats, grantedSats, chargeSats, subsidySats } = request;
    lines.push(`request ${state} reserved ${reservedSats} granted ${grantedSats} ${chargeSats}/${subsidySats}`);
  }
  const golden: Golden = {};
  for (const line of lines.sort()) golden[line] = String(Number(golden[line] ?? 0) + 1);
  return golden;
}

if (import.meta.main) {
  // A line for each history, so that a difference names it.
  const lines = Object.entries(await goldens()).map(([name, golden]) =>
    `${JSON.stringify(name)}: ${JSON.stringify(golden)}`
  );
  const file = Deno.args[0] ?? new URL("../fixtures/goldens.json", import.meta.url);
  await Deno.writeTextFile(file, `{\n${lines.join(",\n")}\n}\n`);
}
