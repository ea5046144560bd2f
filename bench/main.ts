/**
 * Prints every figure of the documents that this machine can measure. Nothing here passes or fails: a figure beside its
 * aim, measured with everything it is compared with in the same run.
 *
 *   deno task bench [--only NAME] [--jobs N]
 */
import type { Bench } from "./measure.ts";
import { cold } from "./cold.ts";
import { commits } from "./commits.ts";
import { completions } from "./completions.ts";
import { creations } from "./creations.ts";
import { signIn } from "./sign-in.ts";
import { start } from "./start.ts";
import { stored } from "./stored.ts";
import { streams } from "./streams.ts";
import { tokens } from "./tokens.ts";
import { transactions } from "./transactions.ts";
import { transfers } from "./transfers.ts";
import { wake } from "./wake.ts";

const BENCHES: readonly Bench[] = [
  transfers,
  transactions,
  wake,
  signIn,
  creations,
  stored,
  commits,
  completions,
  tokens,
  streams,
  start,
  cold,
];

const WIDTH = 62;

async function main(args: readonly string[]): Promise<number> {
  const options = optionsOf(args);
  if (typeof options === "string") return print(`${options}\n\n${usage()}`, 2);
  const { deno, v8, typescript } = Deno.version;
  print(
    `Deno ${deno} (V8 ${v8}, TypeScript ${typescript}), ${Deno.build.os} ${Deno.build.arch}, ` +
      `${navigator.hardwareConcurrency} cores, load ${Deno.loadavg().map((load) => load.toFixed(2)).join(" ")}`,
  );
  const from = performance.now();
  for (const bench of BENCHES) {
    if (options.only === null || options.only === bench.name) await runOne(bench, options.jobs);
  }
  print(`\n${((performance.now() - from) / 1_000).toFixed(0)} s in all`);
  return 0;
}

async function runOne(bench: Bench, jobs: number): Promise<void> {
  const folders: string[] = [];
  const from = performance.now();
  print(`\n${bench.name}: ${bench.title}`);
  try {
    await bench.run({
      jobs,
      figure: (what, value, note) =>
        void print(`  ${what.padEnd(WIDTH)} ${value.padStart(14)}${note ? `   ${note}` : ""}`),
      async tempDir() {
        const folder = await Deno.makeTempDir({ prefix: "timmy-bench-" });
        folders.push(folder);
        return folder;
      },
    });
  } finally {
    for (const folder of folders) await Deno.remove(folder, { recursive: true });
  }
  print(`  (${((performance.now() - from) / 1_000).toFixed(1)} s)`);
}

/** @returns what is wrong with the arguments, or what they say. */
function optionsOf(args: readonly string[]): { only: string | null; jobs: number } | string {
  let only: string | null = null;
  let jobs = 100_000;
  for (let i = 0; i < args.length; i += 2) {
    const value = args[i + 1];
    if (args[i] === "--only" && BENCHES.some(({ name }) => name === value)) only = value!;
    else if (args[i] === "--jobs" && Number.isSafeInteger(Number(value)) && Number(value) >= 2_000) {
      jobs = Number(value);
    } else return `cannot use ${args.slice(i, i + 2).join(" ")}`;
  }
  return { only, jobs };
}

const usage = () => `deno task bench [--only ${BENCHES.map(({ name }) => name).join("|")}] [--jobs N, at least 2000]`;

function print(text: string, code = 0): number {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
  return code;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
