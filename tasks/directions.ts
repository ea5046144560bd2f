// deno-lint-ignore-file no-console -- a command prints
/**
 * Checks that imports go one way (docs/README.md): index → assemble, deps, env → app, queue → routes → middlewares → lib; domains do not
 * import one another; rules are pure; ports import nothing; only deps.ts and contract tests import adapters.
 *
 *   deno task directions
 */

/** One import that goes the wrong way. */
export interface Offence {
  file: string;
  imports: string;
  rule: string;
}

const ADAPTERS =
  /^lib\/(lightning\/(simulated|lnbits)|ai\/(simulated|anthropic|openai-compatible)|btc-price\/sources)\.ts$/;
const isTest = (file: string) =>
  /\.(test|contract)\.ts$|\/testing\//.test(file) || file.startsWith("tests/") || file.startsWith("bench/");

interface Rule {
  name: string;
  /** True when this import breaks the rule; both are paths from the root, or a bare specifier. */
  broken(file: string, target: string): boolean;
}

/** Pure by its suffix (money, states, prices), and the chart of accounts. */
const isRules = (file: string) => /\.(rules|machine)\.ts$|^lib\/ledger\/(accounts|postings)\.ts$/.test(file);
const domain = (file: string) => /^routes\/([^/]+)\//.exec(file)?.[1];

const RULES: Rule[] = [
  {
    name: "lib imports only lib",
    broken: (file, target) => file.startsWith("lib/") && !isTest(file) && isOurs(target) && !target.startsWith("lib/"),
  },
  {
    name: "middlewares import only middlewares and lib",
    broken: (file, target) =>
      file.startsWith("middlewares/") && !isTest(file) && isOurs(target) && !/^(lib|middlewares)\//.test(target),
  },
  {
    name: "a domain imports only itself, middlewares and lib",
    broken: (file, target) =>
      domain(file) !== undefined && !isTest(file) && isOurs(target) &&
      !/^(lib|middlewares)\//.test(target) && domain(target) !== domain(file),
  },
  {
    name: "a contract never imports its handlers",
    broken: (file, target) => file.endsWith(".routes.ts") && target.endsWith(".handlers.ts"),
  },
  {
    name: "rules import only rules, and types",
    broken: (file, target) => isRules(file) && !isTest(file) && !isRules(target),
  },
  {
    name: "a port imports nothing",
    broken: (file) => /^lib\/[^/]+\/port\.ts$/.test(file),
  },
  {
    name: "only deps.ts, tests and tasks import adapters",
    broken: (file, target) =>
      ADAPTERS.test(target) && file !== "deps.ts" && !isTest(file) && !file.startsWith("tasks/"),
  },
  {
    name: "only one file sees Deno.openKv",
    broken: (file, target) => target === "Deno.openKv" && file !== "lib/store/engines/deno.ts" && !isTest(file),
  },
  {
    // An atomic that throws on one of these stores what came before it, and sum wraps below zero.
    name: "the database is written with check, set, delete and enqueue only",
    broken: (file, target) => target === "Deno.Kv arithmetic" && !isTest(file),
  },
];

const isOurs = (target: string) => target.endsWith(".ts") && !target.includes(":");

/** Imports of a file's text as paths from the root; type-only imports count, except in rules. */
export function importsOf(file: string, text: string): string[] {
  const found: string[] = [];
  const pattern = /^\s*(?:import|export)\s+(type\s+)?(?:[^"';]*?\sfrom\s+)?"([^"]+)"|\bimport\("([^"]+)"\)/gm;
  for (const match of text.matchAll(pattern)) {
    if (match[1] && isRules(file)) continue;
    found.push(resolve(file, (match[2] ?? match[3])!));
  }
  if (/\bDeno\.openKv\(/.test(text)) found.push("Deno.openKv");
  if (/\bDeno\.openKv\(/.test(text) && /(?<!\bMath)\.(sum|min|max)\(/.test(text)) found.push("Deno.Kv arithmetic");
  return found;
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

/** Every import of these files that goes the wrong way. */
export function offences(files: ReadonlyMap<string, string>): Offence[] {
  const found: Offence[] = [];
  for (const [file, text] of files) {
    for (const target of importsOf(file, text)) {
      for (const rule of RULES) {
        if (rule.broken(file, target)) found.push({ file, imports: target, rule: rule.name });
      }
    }
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
  for (const { file, imports, rule } of found) console.log(`${file} imports ${imports}: ${rule}`);
  console.log(`${files.size} files, ${found.length} imports in the wrong direction`);
  Deno.exit(found.length > 0 ? 1 : 0);
}
