// deno-lint-ignore-file no-console -- a command prints
/**
 * Puts the program and what it loads of its packages into a few files that are the same wherever they are made: no path, no
 * registry's name, no time. `scripts/compile.sh` makes the binary of them.
 *
 *   deno run tasks/bundle.ts ENTRY FOLDER COMMIT
 */
import { relative } from "node:path";

/** What a bundle is made of; what is here must be true of every machine that makes it. */
export interface Origin {
  /** Paths, absolute and relative, of folders that differ from machine to machine: the npm cache with its registry's name first. */
  packages: readonly string[];
  /** Words that must not be left in any file. */
  forbidden: readonly string[];
  /** The commit the program is made from. */
  commit: string;
}

/** Where `version.ts` keeps its place for the commit; a test holds the two together. */
export const COMMIT_MARK = 'COMMIT = "unknown"';
const ENTRY = "index.js";

/**
 * The files of a bundle under names that depend on their place alone, without paths of the machine. A bundler writes the path of
 * each file it read into comments, and names parts after a hash of these paths.
 *
 * @throws when something of the machine is left, or the commit has no place or more than one
 */
export function settled(files: ReadonlyMap<string, string>, origin: Origin): Map<string, string> {
  const names = inOrderOfUse(files);
  const renamed = new Map(names.map((name, i) => [name, name === ENTRY ? ENTRY : `part-${i}.js`]));
  const placed = new Map(names.map((name) => {
    let text = files.get(name)!;
    for (const path of origin.packages) text = text.replaceAll(`${path}/`, "npm/");
    for (const [from, to] of renamed) text = text.replaceAll(`"./${from}"`, `"./${to}"`);
    // A text with one letter that is not ASCII takes twice the memory; the bundler escapes all but those of comments.
    text = text.replace(/^\s*(?:\/\/|\/?\*).*$/gm, (comment) => comment.replace(/\P{ASCII}/gu, "?"));
    // Files that a bundle does not take in lie beside it.
    text = text.replaceAll('"swagger-ui-dist/', '"./swagger-ui-dist/');
    return [renamed.get(name)!, text];
  }));
  const marks = [...placed.values()].reduce((sum, text) => sum + text.split(COMMIT_MARK).length - 1, 0);
  if (marks !== 1) throw new Error(`the bundle has ${marks} places for the commit, not one`);
  const done = new Map(
    [...placed].map(([name, text]) => [name, text.replace(COMMIT_MARK, `COMMIT = "${origin.commit}"`)]),
  );
  for (const [name, text] of done) {
    const left = origin.forbidden.find((word) => text.includes(word));
    if (left !== undefined) throw new Error(`${name} still names ${left}: two machines would make two binaries`);
  }
  return done;
}

/** Names of the files, the entry first, then each where it is first named. */
function inOrderOfUse(files: ReadonlyMap<string, string>): string[] {
  const order = [ENTRY];
  for (const name of order) {
    const text = files.get(name) ?? "";
    for (const [, other = ""] of text.matchAll(/"\.\/([\w.-]+\.js)"/g)) {
      if (files.has(other) && !order.includes(other)) order.push(other);
    }
  }
  if (order.length !== files.size) throw new Error("the bundle has a part that nothing names");
  return order;
}

/** Texts that the program loads beside its code, as the specifiers in the bundle name them. */
const textsNamedIn = (files: ReadonlyMap<string, string>) =>
  new Set(
    [...files.values()].flatMap((text) =>
      [...text.matchAll(/"\.\/swagger-ui-dist\/([\w.-]+)"/g)].map(([, name]) => name!)
    ),
  );

async function bundled(entry: string, folder: string): Promise<Map<string, string>> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "bundle",
      "--quiet",
      "--frozen",
      "--platform=deno",
      "--code-splitting",
      "--external=swagger-ui-dist/*",
      `--outdir=${folder}`,
      entry,
    ],
    stdout: "null",
  }).output();
  if (!success) throw new Error(`deno bundle: ${new TextDecoder().decode(stderr)}`);
  const files = new Map<string, string>();
  for (const { name } of Deno.readDirSync(folder)) {
    files.set(name.replace(entry.replace(/\.ts$/, ".js"), ENTRY), await Deno.readTextFile(`${folder}/${name}`));
  }
  return files;
}

/** Where packages lie on this machine, in each form in which a bundler may write it. */
async function originOf(commit: string): Promise<Origin> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"], stderr: "null" }).output();
  const { npmCache, denoDir }: { npmCache: string; denoDir: string } = JSON.parse(new TextDecoder().decode(stdout));
  const caches = [...new Set([npmCache, await Deno.realPath(npmCache)])];
  const hosts = caches.flatMap((cache) =>
    [...Deno.readDirSync(cache)].filter(({ isDirectory }) => isDirectory).map(({ name }) => `${cache}/${name}`)
  );
  const roots = [...new Set([Deno.cwd(), await Deno.realPath(".")])];
  const packages = hosts.flatMap((host) => [...roots.map((root) => relative(root, host)), host]);
  const names = hosts.map((host) => host.slice(host.lastIndexOf("/") + 1));
  return { packages, forbidden: [...new Set([...packages, ...names, ...caches, denoDir, ...roots])], commit };
}

async function main([entry, folder, commit]: string[]): Promise<number> {
  if (!entry || !folder || !commit) {
    console.error("usage: bundle ENTRY FOLDER COMMIT");
    return 2;
  }
  const raw = await Deno.makeTempDir({ prefix: "timmy-bundle-" });
  try {
    const files = settled(await bundled(entry, raw), await originOf(commit));
    const { unstable } = JSON.parse(await Deno.readTextFile("deno.json"));
    files.set("deno.json", JSON.stringify({ unstable }));
    for (const name of textsNamedIn(files)) {
      const { default: text } = await import(`swagger-ui-dist/${name}`, { with: { type: "text" } });
      files.set(`swagger-ui-dist/${name}`, text);
    }
    for (const [name, text] of files) {
      const path = `${folder}/${name}`;
      await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
      await Deno.writeTextFile(path, text, { mode: 0o644 });
      // The time of each file ends up in the binary.
      await Deno.utime(path, 0, 0);
    }
  } finally {
    await Deno.remove(raw, { recursive: true });
  }
  return 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
