import { aim, type Bench, median, ms, number } from "./measure.ts";
import { residentMegabytes, startTimmy } from "./program.ts";

const STARTS = 5;
const FRESH = 3;
const IDLE_MS = 5_000;
/** What a clone has and the program does not need. */
const LEFT_OUT = new Set([".git", "data", "dist", "coverage", "tests", "bench", "docs", "node_modules"]);

export const start: Bench = {
  name: "start",
  title: "`deno task start` → first 200 from /api/health, dependencies cached, empty data folder",
  async run({ figure, tempDir }) {
    const dir = await tempDir();
    const fresh: number[] = [];
    for (let i = 0; i < FRESH; i++) {
      const clone = `${dir}/clone-${i}`;
      await copy(new URL("../", import.meta.url).pathname.replace(/\/$/, ""), clone);
      const program = await startTimmy(`${clone}/data`, { root: clone });
      fresh.push(program.startedAfterMs);
      await program.stop();
      await forgetCompiled(clone);
    }
    const clones = median(fresh);
    figure("first start of a fresh clone", ms(clones), aim(clones <= 1_000, "≤ 1 s"));

    const again: number[] = [];
    let memory: number | null = null;
    for (let i = 0; i < STARTS; i++) {
      const program = await startTimmy(`${dir}/data-${i}`);
      again.push(program.startedAfterMs);
      if (i === STARTS - 1) {
        await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
        memory = await residentMegabytes(program.pid);
      }
      await program.stop();
    }
    figure("later starts", ms(median(again)));
    if (memory === null) return figure("resident memory", "not measured", "no /proc");
    figure(`resident memory after ${IDLE_MS / 1_000} s idle`, `${number(memory)} MB`, aim(memory <= 80, "≤ 80 MB"));
  },
};

async function copy(from: string, to: string): Promise<void> {
  await Deno.mkdir(to);
  for await (const { name, isDirectory, isFile } of Deno.readDir(from)) {
    if (LEFT_OUT.has(name)) continue;
    if (isDirectory) await copy(`${from}/${name}`, `${to}/${name}`);
    else if (isFile) await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}

/** Deno keeps what it compiled by path: without this every run would leave the clones' code behind. */
async function forgetCompiled(folder: string): Promise<void> {
  const info = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"], stderr: "null" }).output();
  const { typescriptCache } = JSON.parse(new TextDecoder().decode(info.stdout)) as { typescriptCache: string };
  await Deno.remove(`${typescriptCache}/file${folder}`, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}
