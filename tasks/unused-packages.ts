// deno-lint-ignore-file no-console -- a command prints
/**
 * Which npm packages a program does not use: all of those in the lock end up in a compiled binary, the tests' too.
 *
 *   deno info --json index.ts | deno run --allow-read tasks/unused-packages.ts CACHE-FOLDER
 */

interface Info {
  modules: { npmPackage?: string }[];
  npmPackages: Record<string, { name: string; version: string; dependencies?: string[] }>;
}

/** Name and version of each package that no module of the program asks for, not even through another package. */
export function unusedPackages(info: Info): { name: string; version: string }[] {
  const used = new Set<string>();
  const open = info.modules.flatMap(({ npmPackage }) => npmPackage ?? []);
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    if (used.has(id)) continue;
    used.add(id);
    open.push(...info.npmPackages[id]?.dependencies ?? []);
  }
  const kept = new Set([...used].map((id) => folderOf(info.npmPackages[id])));
  // The same version may stand in the lock twice, with other peers: its folder is one.
  return Object.values(info.npmPackages).filter((found) => !kept.has(folderOf(found)));
}

const folderOf = (found: { name: string; version: string } | undefined) => found && `${found.name}/${found.version}`;

if (import.meta.main) {
  const [cache = ""] = Deno.args;
  const info = JSON.parse(await new Response(Deno.stdin.readable).text()) as Info;
  const registries = [...Deno.readDirSync(cache)].filter(({ isDirectory }) => isDirectory).map(({ name }) => name);
  for (const unused of unusedPackages(info)) {
    for (const registry of registries) console.log(`${cache}/${registry}/${folderOf(unused)}`);
  }
}
