// deno-lint-ignore-file no-console -- a command prints
/**
 * Makes the release of the last commit twice, as two strangers would, and compares every byte: two clones, two empty caches, other
 * folders, homes, file modes, time zones and languages, one after the other. `deno task release:twice` [--warm]: `--warm` lets both
 * begin with this machine's cache.
 */
import { hashOf } from "../cli/folder.ts";

interface Stranger {
  folder: string;
  umask: string;
  env: Record<string, string>;
}

async function run(command: string, args: string[], cwd: string, env: Record<string, string> = {}): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, { args, cwd, env, stdout: "null" }).output();
  if (!success) throw new Error(`${command} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

async function released({ folder, umask, env }: Stranger): Promise<Map<string, string>> {
  await run("git", ["clone", "--quiet", "--no-hardlinks", Deno.cwd(), `${folder}/source`], Deno.cwd());
  const task = "deno run --quiet --no-prompt --allow-read --allow-write --allow-env --allow-run tasks/release.ts --out";
  const command = `umask ${umask}; ${task.replace("deno", '"$TIMMY_DENO"')} "$TIMMY_OUT"`;
  await run("sh", ["-c", command], `${folder}/source`, {
    ...env,
    TIMMY_DENO: Deno.execPath(),
    TIMMY_OUT: `${folder}/out`,
    DENO_TLS_CA_STORE: Deno.env.get("DENO_TLS_CA_STORE") || "mozilla,system",
    // The real key is not needed to compare, and a test of the bytes has no business with it.
    TIMMY_RELEASE_KEY: "",
  });
  const names = [...Deno.readDirSync(`${folder}/out`)].map(({ name }) => name).toSorted();
  return new Map(await Promise.all(names.map(async (name) => [name, await hashOf(`${folder}/out/${name}`)] as const)));
}

/** What two releases do not have in common. */
export const differences = (a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): string[] =>
  [...new Set([...a.keys(), ...b.keys()])].filter((name) => a.get(name) !== b.get(name)).toSorted();

async function main(args: readonly string[]): Promise<number> {
  const warm = args[0] === "--warm";
  if (args.length > (warm ? 1 : 0)) {
    console.error("usage: deno task release:twice [--warm]");
    return 2;
  }
  const root = await Deno.makeTempDir({ prefix: "timmy twice " });
  try {
    const strangers = [
      { folder: `${root}/a`, umask: "022", env: { TZ: "UTC", LANG: "C" } },
      {
        folder: `${root}/a longer folder/b`,
        umask: "077",
        env: { TZ: "Asia/Tokyo", LANG: "de_DE.UTF-8", LC_ALL: "C.UTF-8" },
      },
    ];
    const made: Map<string, string>[] = [];
    for (const { folder, umask, env } of strangers) {
      await Deno.mkdir(`${folder}/home`, { recursive: true });
      const cache: Record<string, string> = warm ? {} : { DENO_DIR: `${folder}/cache`, HOME: `${folder}/home` };
      const start = performance.now();
      made.push(await released({ folder, umask, env: { ...env, ...cache } }));
      console.log(`made in ${((performance.now() - start) / 1000).toFixed(1)} s`);
    }
    const [first, second] = [made[0]!, made[1]!];
    for (const [name, hash] of first) console.log(`${hash}  ${name}`);
    const other = differences(first, second);
    console.log(other.length === 0 ? `${first.size} files, the same bytes twice` : `DIFFERENT: ${other.join(", ")}`);
    return other.length === 0 ? 0 : 1;
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
