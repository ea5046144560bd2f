// deno-lint-ignore-file no-console -- a command prints
/**
 * Checks where code may stand (docs/README.md): imports go index → assemble → app, queue → routes → middlewares → lib, timmyctl → cli → lib, and inside
 * lib from the bottom up; no files import one another in a circle; rules are pure; a port imports nothing; only deps.ts and
 * contract tests import adapters; HTTP is spoken above the slices of lib; no file is too long.
 *
 *   deno task directions
 */

/** Something that stands where it must not. */
export interface Offence {
  file: string;
  /** The import, the word or the number that breaks the rule. */
  what: string;
  rule: string;
}

/** One import: a path from the root, or a bare specifier. */
export interface Import {
  target: string;
  /** `import type`: gone when the program runs. */
  typeOnly: boolean;
}

const MAX_LINES = 400;
const MAX_LOOSE_FILES = 8;

/**
 * The slices of lib from the bottom up: each imports those of the lines above its own only. Not in it: `lib/services.ts`, which
 * names the parts of every slice, as types; and `lib/http`, which only what speaks HTTP may import.
 */
const ORDER: readonly (readonly string[])[] = [
  ["clock.ts", "ids.ts", "logger.ts", "public-fetch.ts", "sats.rules.ts"],
  ["leap-guard.ts", "ai", "attestation", "btc-price", "cloud", "l402", "lightning", "nostr", "release"],
  ["store", "backup"],
  ["tasks"],
  ["ledger"],
  ["metrics"],
  ["payments"],
  ["identity"],
  ["free-tier"],
  ["metering"],
  ["jobs", "sessions", "demo", "bootstrap"],
  ["ledger/audit", "doctor"],
];

/** What the files of the top level import of one another. */
const TOP: Readonly<Record<string, readonly string[]>> = {
  "index.ts": ["assemble.ts", "audit.ts", "deps.ts", "env.ts", "env-values.ts", "version.ts"],
  "timmyctl.ts": ["version.ts"],
  "assemble.ts": ["app.ts", "queue.ts", "recovery.ts"],
  "audit.ts": ["deps.ts", "env.ts", "wallet-copy.ts"],
  "deps.ts": ["env.ts", "env-values.ts", "version.ts", "wallet-copy.ts"],
  "wallet-copy.ts": ["env.ts"],
  "env.ts": ["env-contradictions.ts", "env-values.ts"],
  "env-contradictions.ts": ["env.ts"],
};

const ADAPTERS =
  /^lib\/(lightning\/(simulated|lnbits)|ai\/(simulated|anthropic|openai-compatible)|btc-price\/sources|cloud\/(simulated|simulated-tailnet|digitalocean|tailscale))\.ts$/;
/** What must not stand in a file of rules: waiting, the outside world, time and chance. */
const IMPURE =
  /(?<![.\w$])(?:await|async|Deno|Date|Temporal|fetch|WebSocket|Worker|console|crypto|performance|process|globalThis|navigator|setTimeout|setInterval|queueMicrotask)\b|\bMath\.random\b|\bimport\.meta\b/;

const isTest = (file: string) =>
  /\.(test|contract)\.ts$|\/testing\//.test(file) || file.startsWith("tests/") || file.startsWith("bench/");
/** Pure by its suffix (money, states, prices), and the chart of accounts. */
const isRules = (file: string) => /\.(rules|machine)\.ts$|^lib\/ledger\/(accounts|postings)\.ts$/.test(file);
const isOurs = (target: string) => target.endsWith(".ts") && !target.includes(":");
const isTop = (target: string) => isOurs(target) && !target.includes("/");
const isProgram = (file: string) => /^(lib|middlewares|routes|cli)\//.test(file) && !isTest(file);
const speaksHttp = (file: string) => /^(lib\/http|middlewares|routes|tasks)\//.test(file) || isTop(file);
const domain = (file: string) => /^routes\/([^/]+)\//.exec(file)?.[1];
/** The slice of a file of lib: its folder, or the file itself where it stands loose. */
const sliceOf = (file: string) => /^lib\/(ledger\/audit(?=\/)|[^/]+)/.exec(file)?.[1];
const rankOf = (slice: string) => ORDER.findIndex((slices) => slices.includes(slice));
/** Files of lib that {@link ORDER} is about. */
const isOrdered = (file: string) => file.startsWith("lib/") && !/^lib\/(http\/|services\.ts$)/.test(file);

interface ImportRule {
  name: string;
  /** True when this import breaks the rule. */
  broken(file: string, imported: Import): boolean;
}

const IMPORT_RULES: ImportRule[] = [
  {
    name: "lib imports only lib",
    broken: (file, { target }) => file.startsWith("lib/") && isOurs(target) && !target.startsWith("lib/"),
  },
  {
    name: "a slice imports only slices below it",
    broken: (file, { target }) => {
      const [own, other] = [sliceOf(file), sliceOf(target)];
      if (!own || !other || own === other || !isOrdered(file) || !isOrdered(target)) return false;
      return rankOf(other) < 0 || rankOf(other) >= rankOf(own);
    },
  },
  {
    name: "services.ts is read as types by jobs, sessions, demo and bootstrap, and imports nothing but types",
    broken: (file, { target, typeOnly }) =>
      file === "lib/services.ts"
        ? !typeOnly
        : target === "lib/services.ts" && isOrdered(file) && !/^lib\/(jobs|sessions|demo|bootstrap)\//.test(file),
  },
  {
    name: "only what speaks HTTP imports lib/http and hono",
    broken: (file, { target }) => /^lib\/http\/|^hono\b|^@hono\//.test(target) && !speaksHttp(file),
  },
  {
    name: "middlewares import only middlewares and lib",
    broken: (file, { target }) =>
      file.startsWith("middlewares/") && isOurs(target) && !/^(lib|middlewares)\//.test(target),
  },
  {
    name: "a domain imports only itself, middlewares and lib",
    broken: (file, { target }) =>
      domain(file) !== undefined && isOurs(target) &&
      !/^(lib|middlewares)\//.test(target) && domain(target) !== domain(file),
  },
  {
    name: "the top level goes one way",
    broken: (file, { target }) => isTop(file) && isTop(target) && !TOP[file]?.includes(target),
  },
  {
    name: "cli imports only itself, lib and the top level below the programs",
    broken: (file, { target }) =>
      file.startsWith("cli/") && isOurs(target) && !isTest(file) &&
      (isTop(target) ? /^(index|timmyctl)\.ts$/.test(target) : !/^(cli|lib)\//.test(target)),
  },
  {
    // Else the server would carry code that only works with the other program's permissions.
    name: "of cli, the server imports names and version only",
    broken: (file, { target }) =>
      target.startsWith("cli/") && !/^(cli|tasks)\/|^timmyctl\.ts$/.test(file) && !isTest(file) &&
      !(file === "index.ts" && /^cli\/(names|version)\.ts$/.test(target)),
  },
  {
    name: "a contract never imports its handlers",
    broken: (file, { target }) => file.endsWith(".routes.ts") && target.endsWith(".handlers.ts"),
  },
  {
    name: "rules import only rules, and types",
    broken: (file, { target, typeOnly }) => isRules(file) && !typeOnly && !isRules(target),
  },
  {
    name: "a port imports nothing",
    broken: (file) => /^lib\/[^/]+\/port\.ts$/.test(file),
  },
  {
    name: "only deps.ts, wallet-copy.ts, tests and tasks import adapters",
    broken: (file, { target }) =>
      ADAPTERS.test(target) && !/^(deps|wallet-copy)\.ts$/.test(file) && !file.startsWith("tasks/"),
  },
];

interface TextRule {
  name: string;
  /** What breaks the rule in this file, or nothing. @param code the text without comments and quoted texts */
  broken(file: string, code: string, text: string): string | undefined;
}

const TEXT_RULES: TextRule[] = [
  {
    name: "rules are pure",
    broken: (file, code) => isRules(file) ? IMPURE.exec(code)?.[0] : undefined,
  },
  {
    name: "a slice has its place in the order",
    broken: (file) => isOrdered(file) && rankOf(sliceOf(file) ?? "") < 0 ? sliceOf(file) : undefined,
  },
  {
    name: "only one file sees Deno.openKv",
    broken: (file, code) => file === "lib/store/engines/deno.ts" ? undefined : /\bDeno\.openKv\(/.exec(code)?.[0],
  },
  {
    // An atomic that throws on one of these stores what came before it, and sum wraps below zero.
    name: "the database is written with check, set, delete and enqueue only",
    broken: (_file, code) => /\bDeno\.openKv\(/.test(code) ? /(?<!\bMath)\.(sum|min|max)\(/.exec(code)?.[0] : undefined,
  },
  {
    name: `a file of the program has at most ${MAX_LINES} lines`,
    broken: (file, _code, text) => {
      const lines = text.trimEnd().split("\n").length;
      return isProgram(file) && lines > MAX_LINES ? `${lines} lines` : undefined;
    },
  },
];

/** Imports, exports from elsewhere and dynamic imports of a file's text. */
export function importsOf(file: string, text: string): Import[] {
  const pattern = /^\s*(?:import|export)\s+(type\s+)?(?:[^"';]*?\sfrom\s+)?"([^"]+)"|\bimport\("([^"]+)"\)/gm;
  return [...text.matchAll(pattern)].map(([, type, named, dynamic]) => ({
    target: resolve(file, (named ?? dynamic)!),
    typeOnly: type !== undefined,
  }));
}

/** The text without comments and what stands in quotes; the expressions inside a template stay. */
function codeOf(text: string): string {
  const apart = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`/g;
  return text.replace(apart, (part) => part.startsWith("`") ? part.match(/\$\{[^}]*\}/g)?.join(" ") ?? "" : "");
}

function resolve(file: string, specifier: string): string {
  if (specifier.startsWith("@/")) return specifier.slice(2);
  if (!specifier.startsWith(".")) return specifier;
  const parts = file.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== ".") parts.push(part);
  }
  return parts.join("/");
}

/**
 * Files that import one another in a circle: at least one circle of each knot of them. Types count in lib, middlewares and routes, where a circle of types
 * too means that no file of it can be read alone; elsewhere only what is there when the program runs.
 */
function circles(imports: ReadonlyMap<string, Import[]>): string[][] {
  const found: string[][] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): void => {
    if (path.includes(file)) found.push(path.slice(path.indexOf(file)));
    if (path.includes(file) || done.has(file)) return;
    path.push(file);
    for (const { target, typeOnly } of imports.get(file) ?? []) {
      if (imports.has(target) && (!typeOnly || isProgram(file))) visit(target);
    }
    path.pop();
    done.add(file);
  };
  for (const file of imports.keys()) visit(file);
  return found;
}

/** Everything in these files, tests excepted, that stands where it must not. */
export function offences(files: ReadonlyMap<string, string>): Offence[] {
  const program = [...files].filter(([file]) => !isTest(file));
  const imports = new Map(program.map(([file, text]) => [file, importsOf(file, text)]));
  const found: Offence[] = [];
  for (const [file, text] of program) {
    for (const imported of imports.get(file) ?? []) {
      for (const { name, broken } of IMPORT_RULES) {
        if (broken(file, imported)) found.push({ file, what: imported.target, rule: name });
      }
    }
    const code = codeOf(text);
    for (const { name, broken } of TEXT_RULES) {
      const what = broken(file, code, text);
      if (what !== undefined) found.push({ file, what, rule: name });
    }
  }
  for (const [file, ...others] of circles(imports)) {
    found.push({ file: file!, what: others.join(" → "), rule: "no files import one another in a circle" });
  }
  const loose = program.map(([file]) => file).filter((file) => /^lib\/[^/]+$/.test(file));
  if (loose.length > MAX_LOOSE_FILES) {
    found.push({
      file: "lib",
      what: `${loose.length} files`,
      rule: `at most ${MAX_LOOSE_FILES} files stand loose in lib`,
    });
  }
  return found;
}

/** All TypeScript files below `root`, by their path from it. */
export async function sources(root: string, folder = ""): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for await (const entry of Deno.readDir(`${root}/${folder}`)) {
    const path = folder ? `${folder}/${entry.name}` : entry.name;
    if (entry.isDirectory && !/^(\.|node_modules|data|dist)/.test(entry.name)) {
      for (const [name, text] of await sources(root, path)) files.set(name, text);
    } else if (entry.name.endsWith(".ts")) {
      files.set(path, await Deno.readTextFile(`${root}/${path}`));
    }
  }
  return files;
}

if (import.meta.main) {
  const files = await sources(".");
  const found = offences(files);
  for (const { file, what, rule } of found) console.log(`${file}: ${rule}: ${what}`);
  console.log(`${files.size} files, ${found.length} offences`);
  Deno.exit(found.length > 0 ? 1 : 0);
}
