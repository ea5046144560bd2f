import { ENV_NAMES } from "@/env.ts";
import { aim, type Bench, ms } from "./measure.ts";
import { startTimmy } from "./program.ts";

const MAX_PACKAGES = 45;

/** Asks the package registry: the figure depends on the network. */
export const cold: Bench = {
  name: "cold",
  title: "`deno task start` → first 200 from /api/health on a machine that has Deno and nothing else",
  async run({ figure, tempDir }) {
    const dir = await tempDir();
    const program = await startTimmy(`${dir}/data`, { env: { ...surroundings(), DENO_DIR: `${dir}/cache` } });
    await program.stop();
    const packages = await downloaded(`${dir}/cache/npm`);
    figure("first start with an empty cache", ms(program.startedAfterMs));
    figure("packages downloaded", String(packages), aim(packages <= MAX_PACKAGES, `≤ ${MAX_PACKAGES}`));
  },
};

/** What tells Deno how to reach the registry here (proxies, certificates), and no setting of Timmy's. */
const surroundings = (): Record<string, string> =>
  Object.fromEntries(Object.entries(Deno.env.toObject()).filter(([name]) => !ENV_NAMES.includes(name)));

/** Deno's cache has a folder per registry, name and version; names with a scope have two parts. */
async function downloaded(cache: string): Promise<number> {
  let count = 0;
  for await (const registry of Deno.readDir(cache)) {
    for (const name of await folders(`${cache}/${registry.name}`)) {
      const scoped = name.startsWith("@") ? await folders(`${cache}/${registry.name}/${name}`) : [""];
      for (const part of scoped) count += (await folders(`${cache}/${registry.name}/${name}/${part}`)).length;
    }
  }
  return count;
}

async function folders(path: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(path)) if (isDirectory) found.push(name);
  return found;
}
