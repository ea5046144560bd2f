/** Servers under load side by side: answers a second, and what each answer takes of the processor. */
import { load } from "./http.ts";
import { median } from "./measure.ts";
import { cpuMs } from "./program.ts";

export interface Target {
  port: number;
  /** The process whose processor time counts: the server itself. */
  pid: number;
  request: Uint8Array;
  connections: number;
  status: number;
}

export interface Loaded {
  /** Answers a second. */
  rate: number;
  /** Processor time of the process (user and system, all its threads) for each answer (ms); NaN: the system does not tell. */
  cpu: number;
}

/**
 * Loads one target after another, in as many rounds, so that whatever else slows the machine slows all of them.
 * @returns medians of the rounds, in the order of `targets`. @throws when an answer is not what its target names.
 */
export async function interleaved(
  targets: readonly Target[],
  { rounds, ms, warmUpMs }: { rounds: number; ms: number; warmUpMs: number },
): Promise<Loaded[]> {
  for (const target of targets) await load(target.port, target.request, { ...target, ms: warmUpMs });
  const measured = targets.map((): Loaded[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, target] of targets.entries()) measured[i]!.push(await once(target, ms));
  }
  return measured.map((of) => ({ rate: median(of.map(({ rate }) => rate)), cpu: median(of.map(({ cpu }) => cpu)) }));
}

async function once(target: Target, ms: number): Promise<Loaded> {
  const before = await cpuMs(target.pid);
  const from = performance.now();
  const rate = await load(target.port, target.request, { ...target, ms });
  const answers = rate * (performance.now() - from) / 1_000;
  return { rate, cpu: (await cpuMs(target.pid) - before) / answers };
}
