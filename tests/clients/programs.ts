/**
 * The programs that use the clients: where they are, what they need, and how each language's ordinary client installs it.
 * A program is one file of `conversations/` or `others/`. Its first lines say `needs: PACKAGE…` with exact versions, and where
 * it holds a conversation `sends: PARAMETER…`; `direct` after `needs` leaves the recorder out.
 */

type Language = "py" | "mjs" | "go" | "ts";

export interface Program {
  /** The file's name without its ending. */
  name: string;
  file: string;
  language: Language;
  needs: readonly string[];
  sends: readonly string[];
  conversation: boolean;
  /** It speaks to the instance itself, without the recorder between. */
  direct: boolean;
}

/** This machine lacks a language, or its registries a package. */
export class Unavailable extends Error {}

const LIMIT_MS = 120_000;
/** Node's versions before this are too old for the newest packages: the registry's own Node is used there. */
const NODE_MAJOR = 22;
const NODE_PACKAGE = "node@22.23.3";

export async function findPrograms(folder: string): Promise<Program[]> {
  const found: Program[] = [];
  for (const kind of ["conversations", "others"]) {
    const names = [...Deno.readDirSync(`${folder}/${kind}`)].map(({ name }) => name).sort();
    for (const fileName of names) {
      const file = `${folder}/${kind}/${fileName}`;
      const head = (await Deno.readTextFile(file)).split("\n", 4).join("\n");
      const words = (label: string) => new RegExp(`${label}: (.*)`).exec(head)?.[1]?.trim().split(/\s+/) ?? [];
      const needs = words("needs");
      found.push({
        name: fileName.replace(/\.\w+$/, ""),
        file,
        language: fileName.split(".").pop() as Language,
        needs: needs.filter((word) => word !== "direct"),
        sends: words("sends"),
        conversation: kind === "conversations",
        direct: needs.includes("direct"),
      });
    }
  }
  return found;
}

/**
 * Installs what a program needs into its folder of the cache, unless it is there, and copies the program beside it.
 * @returns the folder. @throws {Unavailable}
 */
export async function installed({ name, file, language, needs }: Program): Promise<string> {
  const cache = Deno.env.get("TIMMY_CLIENTS_DIR") || `${Deno.env.get("HOME")}/.cache/timmy-clients`;
  const folder = `${cache}/${name}`;
  const done = `${folder}/installed`;
  const all = language === "mjs" && await nodeMajor() < NODE_MAJOR ? [...needs, NODE_PACKAGE] : needs;
  if (await Deno.readTextFile(done).catch(() => "") !== all.join(" ")) {
    await Deno.remove(folder, { recursive: true }).catch(() => {}); // there is none yet
    await Deno.mkdir(folder, { recursive: true });
    await INSTALL[language](folder, all);
    await Deno.writeTextFile(done, all.join(" "));
  }
  await Deno.copyFile(file, `${folder}/program.${language}`);
  if (language === "go") await must(folder, ["go", "build", "-o", "program", "program.go"]);
  return folder;
}

const INSTALL: Record<Language, (folder: string, needs: readonly string[]) => Promise<void>> = {
  async py(folder, needs) {
    await must(folder, ["python3", "-m", "venv", "."]);
    await must(folder, ["bin/python", "-m", "pip", "install", "--quiet", ...needs]);
  },
  async mjs(folder, needs) {
    await Deno.writeTextFile(`${folder}/package.json`, '{ "private": true }\n');
    await must(folder, ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--save-exact", ...needs]);
  },
  async go(folder, needs) {
    await must(folder, ["go", "mod", "init", "program"]);
    await must(folder, ["go", "get", ...needs]);
  },
  // These are this repository's own, with its own packages.
  ts: () => Promise.resolve(),
};

/** Runs an installed program. @returns its exit code and everything it wrote */
export async function runProgram({ file, language }: Program, folder: string, env: Record<string, string>) {
  const root = new URL("../../", import.meta.url).pathname;
  const deno = [Deno.execPath(), "run", "--quiet", "--no-prompt", "--allow-net=127.0.0.1", "--allow-env"];
  const commands: Record<Language, string[]> = {
    py: ["bin/python", "program.py"],
    mjs: ["node", "program.mjs"],
    go: ["./program"],
    ts: [...deno, "--config", `${root}dev/deno.json`, file],
  };
  return await run(folder, commands[language], env);
}

async function nodeMajor(): Promise<number> {
  const { code, said } = await run("/", ["node", "--version"]);
  return code === 0 ? Number(/\d+/.exec(said)?.[0]) : 0;
}

async function must(folder: string, command: string[]): Promise<void> {
  const { code, said } = await run(folder, command);
  if (code !== 0) throw new Unavailable(`${command.join(" ")}: ${said.trim().split("\n").slice(-3).join(" ")}`);
}

/** Runs a command with the folder's own programs first on its path; one that is not there, or is too slow, has failed. */
async function run(folder: string, [command = "", ...args]: string[], env: Record<string, string> = {}) {
  const seconds = Number(Deno.env.get("TIMMY_FUZZ_SECONDS") ?? 180);
  try {
    const { code, stdout, stderr } = await new Deno.Command("sh", {
      args: ["-c", 'exec "$0" "$@"', command, ...args],
      cwd: folder,
      env: {
        ...env,
        PATH: `${folder}/bin:${folder}/node_modules/.bin:${Deno.env.get("PATH")}`,
        TIMMY_FUZZ_SECONDS: String(seconds),
        NO_COLOR: "1",
      },
      stdin: "null",
      signal: AbortSignal.timeout(LIMIT_MS + seconds * 1_000),
    }).output();
    const decoder = new TextDecoder();
    return { code, said: decoder.decode(stdout) + decoder.decode(stderr) };
  } catch (error) {
    return { code: 127, said: String(error) };
  }
}
