/** What documents and comments point at is there: files, sections, links, folders, exported names and the tests that they name. */
import assert from "node:assert/strict";
import { wrongInChart } from "../tasks/chart.ts";

const ROOT = new URL("../", import.meta.url).pathname;
const IGNORED = /^(\.git|data|dist|coverage|node_modules)$/;
const read = (path: string) => Deno.readTextFile(ROOT + path);

/** Paths from the root: files, and folders with a slash at their end. */
async function pathsBelow(folder = ""): Promise<string[]> {
  const paths: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(ROOT + folder)) {
    if (IGNORED.test(name)) continue;
    if (isDirectory) paths.push(`${folder}${name}/`, ...await pathsBelow(`${folder}${name}/`));
    else paths.push(folder + name);
  }
  return paths;
}
const paths = new Set(await pathsBelow());
const files = [...paths].filter((path) => !path.endsWith("/"));
const textOf = new Map(
  await Promise.all(
    files.filter((path) => /\.(md|ts|sh)$|^\.ci\/run$|^\.env\.example$|^Dockerfile$/.test(path))
      .map(async (path) => [path, await read(path)] as const),
  ),
);
const documents = [...textOf].filter(([path]) => path.endsWith(".md"));
const text = (path: string): string => textOf.get(path) ?? assert.fail(`${path} is missing`);

/** Where a document lies that is cited by its name, or by a path from the root. */
const placeOf = (cited: string): string | undefined =>
  [cited, `docs/${cited}`, `docs/spec/${cited}`].find((path) => paths.has(path));

/** Numbers of a document's sections: "4a" of "## 4a. Title". */
const sectionsOf = (document: string): Set<string> =>
  new Set([...document.matchAll(/^## (\d+[a-z]?)\. /gm)].map(([, number = ""]) => number));

const URLS = /[a-z]+:\/\/\S+/g;
const CITED = /(?<![\w./-])([\w][\w./-]*\.md)\b((?:(?:,| and)? ?§\d+[a-z]?)*)/g;

/** What of a program's text is comments; code alone would be full of names of files. */
const commentsOf = (path: string, source: string): string =>
  path.endsWith(".ts")
    ? [...source.replace(URLS, "").matchAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm)].map(([comment]) => comment).join("\n")
    : source.replace(URLS, "").replaceAll(/^[^#]*$/gm, "");

/** Every document that comments cite and that is not there, or has no such section. */
function danglingIn(comments: string): string[] {
  return [...comments.matchAll(CITED)].flatMap(([, cited = "", sections = ""]) => {
    const place = placeOf(cited);
    if (place === undefined) return [cited];
    const known = sectionsOf(text(place));
    return [...sections.matchAll(/§(\d+[a-z]?)/g)].filter(([, number = ""]) => !known.has(number))
      .map(([section]) => `${cited} ${section}`);
  });
}

Deno.test("comments: every document and section that they cite is there", () => {
  // This file cites what is missing on purpose.
  const programs = [...textOf].filter(([path]) => !path.endsWith(".md") && path !== "tests/documents.test.ts");
  const dangling = programs.flatMap(([path, source]) =>
    danglingIn(commentsOf(path, source)).map((cited) => `${path} cites ${cited}`)
  );
  assert.deepEqual(dangling, []);
});

Deno.test("comments: a citation of a document or section that is missing is found, however it is written", () => {
  const ours =
    "See economy.md §4a, wire.md §1 and §2, docs/spec/economy.md §8, docs/README.md and https://example.org/x.md.";
  assert.deepEqual(danglingIn(commentsOf("a.ts", `/** ${ours} */`)), []);
  const theirs =
    "/** economy.md §4b */ a; // (wire.md §1, §77)\n// no-such.md §1, docs/none.md\n/* economy.md §1 and §0 */";
  assert.deepEqual(danglingIn(commentsOf("a.ts", theirs)), [
    "economy.md §4b",
    "wire.md §77",
    "no-such.md",
    "docs/none.md",
    "economy.md §0",
  ]);
  assert.deepEqual(danglingIn(commentsOf("a.sh", 'x "none.md"\n# none.md §1\n')), ["none.md"]);
});

/** The anchors of a document's headings, as GitHub makes them. */
const anchorsOf = (document: string): Set<string> =>
  new Set(
    [...document.matchAll(/^#+ (.+)$/gm)].map(([, title = ""]) =>
      title.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").trim().replace(/\s/g, "-")
    ),
  );

/** Links between documents that lead nowhere. @param from path of the document */
function deadLinksOf(from: string, document: string): string[] {
  const prose = document.replace(/^```[\s\S]*?^```$/gm, "");
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target)
    .filter((target) => !/^[a-z]+:/.test(target)).filter((target) => {
      const { pathname, hash } = new URL(target, `file:///${from}`);
      const path = target.startsWith("#") ? from : decodeURIComponent(pathname.slice(1));
      if (!paths.has(path) && !paths.has(`${path}/`)) return true;
      return hash !== "" && !anchorsOf(text(path)).has(hash.slice(1));
    });
}

Deno.test("documents: every link between them leads somewhere, to the very heading", () => {
  assert.deepEqual(documents.flatMap(([path, it]) => deadLinksOf(path, it).map((to) => `${path}: ${to}`)), []);
});

Deno.test("documents: a link to a file, a folder or a heading that is missing is found", () => {
  const links =
    "[a](spec/economy.md#4a-who-pays-by-how-it-ended) [b](../lib) [c](https://example.org/none.md) [d](#map-of-the-code)";
  assert.deepEqual(deadLinksOf("docs/README.md", links), []);
  const dead = "[a](economy.md) [b](spec/economy.md#4b) [c](../none) [d](#none)";
  assert.deepEqual(deadLinksOf("docs/README.md", dead), ["economy.md", "spec/economy.md#4b", "../none", "#none"]);
});

/** Paths in code spans, beginning with a folder of ours, that are not there; `x.test.ts` and the like are patterns. */
const missingPathsIn = (document: string): string[] =>
  [...document.matchAll(/`([\w.-]+\/[\w./-]*)`/g)].map(([, path = ""]) => path)
    .filter((path) => paths.has(`${path.split("/")[0]}/`) && !paths.has(path) && !paths.has(`${path}/`))
    .filter((path) => !/^(data|dist)\//.test(path));

Deno.test("documents: every file and folder that they name is there", () => {
  assert.deepEqual(documents.flatMap(([path, it]) => missingPathsIn(it).map((missing) => `${path}: ${missing}`)), []);
  assert.deepEqual(missingPathsIn("`lib/none.ts` `lib/ids.ts` `lib/store` `lib/none/` `application/json`"), [
    "lib/none.ts",
    "lib/none/",
  ]);
});

Deno.test("documents: every task that they name is one of deno.json", async () => {
  const { tasks } = JSON.parse(await read("deno.json"));
  const named = documents.flatMap(([path, it]) =>
    [...it.matchAll(/\bdeno(?:@[\d.]+)? task ([\w:-]*\w)/g)].map(([, task = ""]) => [path, task] as const)
  );
  assert.ok(named.length > 30, `only ${named.length} were found`);
  assert.deepEqual(named.filter(([, task]) => !Object.hasOwn(tasks, task)), []);
});

/** Cells of a Markdown table's rows, without its head. */
const rowsOf = (section: string): string[][] =>
  [...section.matchAll(/^\| (.+) \|$/gm)].map(([, row = ""]) => row.split(/ \| /)).filter(([first]) =>
    !/^-+$/.test(first ?? "")
  );
const spansOf = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, span = ""]) => span);

Deno.test("the map: it names every folder of the tree, and no other", () => {
  const [, map = ""] = /## The tree\n([\s\S]*?)\n## /.exec(text("docs/README.md")) ?? [];
  const named = rowsOf(map).flatMap(([folders = ""]) => spansOf(folders)).filter((path) => path.endsWith("/"));
  const tree = [...paths].filter((path) => path.endsWith("/"));
  assert.deepEqual(named.toSorted(), tree.toSorted());
});

Deno.test("the map: its table of rows names every key of the store, and no other", () => {
  const [, table = ""] = /## Rows\n([\s\S]*?)\n## /.exec(text("docs/README.md")) ?? [];
  const program = [...textOf].filter(([path]) =>
    path.startsWith("lib/") && !/\.(test|contract)\.ts$|testing/.test(path)
  );
  const source = program.map(([, it]) => it).join("\n");
  const keys = new Set([...source.matchAll(/\bKey (?:=>|=) \["([a-z_]+)"/g)].map(([, key = ""]) => key));
  const named = rowsOf(table).flatMap(([cell = ""]) => spansOf(cell)).filter((span) => /^[a-z_]+$/.test(span));
  assert.ok(keys.size > 30, `only ${keys.size} keys were found`);
  assert.deepEqual([...keys].filter((key) => !named.includes(key)), []);
  assert.deepEqual(named.filter((key) => !source.includes(`"${key}"`)), []);
});

/** Names in the tables of a walk through the code that their file does not export. */
function notExported(walk: string): string[] {
  return rowsOf(walk).flatMap(([files = "", names = ""]) => {
    const [file = ""] = spansOf(files);
    return spansOf(names).filter((name) =>
      !new RegExp(`^export (?:async )?(?:function|const|class|interface|type) ${name}\\b`, "m").test(
        textOf.get(file) ?? "",
      )
    ).map((name) => `${file}: ${name}`);
  });
}

Deno.test("the map: each file of its walks exports what they name", () => {
  const walks = [...text("docs/README.md").matchAll(/^## Follow [\s\S]*?(?=^## (?!Follow))/gm)].map(([it]) => it);
  const rows = walks.flatMap(rowsOf).filter(([file = ""]) => file.startsWith("`"));
  assert.ok(rows.length >= 25, `only ${rows.length} steps were found`);
  assert.deepEqual(walks.flatMap(notExported), []);
  assert.deepEqual(notExported("| `lib/ids.ts` | `newHandle`, `noSuchName` | x |"), ["lib/ids.ts: noSuchName"]);
  assert.deepEqual(notExported("| `lib/none.ts` | `newHandle` | x |"), ["lib/none.ts: newHandle"]);
});

Deno.test("docs/spec/economy.md: its table of postings is the program's", () => {
  assert.equal(wrongInChart(text("docs/spec/economy.md")), null);
});

const TRIALS = [["M", 14], ["D", 7], ["U", 8], ["R", 12]] as const;
const TRIAL_TEST = /`([\w./-]+\.ts)` "([^"]+)"/g;

/** Tests that a table of trials names and that are not there; a row that is not open must name one. */
function wrongInTrials(table: string): string[] {
  return rowsOf(table).filter(([id = ""]) => /^[MDUR]\d+$/.test(id)).flatMap(([id, ...cells]) => {
    const row = cells.join(" | ");
    const named = [...row.matchAll(TRIAL_TEST)];
    if (named.length === 0) return /\bopen\b/.test(row) ? [] : [`${id} names no test and is not open`];
    return named.filter(([, file = "", title = ""]) => !textOf.get(file)?.includes(title))
      .map(([, file, title]) => `${id}: ${file} has no "${title}"`);
  });
}

Deno.test("docs/trials.md: a row for each trial, and each test that it names is there", () => {
  const table = text("docs/trials.md");
  const ids = rowsOf(table).map(([id = ""]) => id).filter((id) => /^[MDUR]\d+$/.test(id));
  assert.deepEqual(ids, TRIALS.flatMap(([letter, n]) => Array.from({ length: n }, (_, i) => `${letter}${i + 1}`)));
  assert.deepEqual(wrongInTrials(table), []);
});

Deno.test("docs/trials.md: a row without a test, or with one that is missing, is found", () => {
  const row = (test: string) => wrongInTrials(`| M1 | cause | mend | ${test} |`);
  assert.deepEqual(row("open"), []);
  assert.deepEqual(row("–"), ["M1 names no test and is not open"]);
  assert.deepEqual(row('`tests/documents.test.ts` "is found"'), []);
  assert.deepEqual(row('`tests/none.test.ts` "is found"'), ['M1: tests/none.test.ts has no "is found"']);
  assert.deepEqual(row('`lib/ids.test.ts` "never written"'), ['M1: lib/ids.test.ts has no "never written"']);
});

Deno.test("docs/decisions: numbered without a gap, each with its number in its title", () => {
  const names = files.filter((path) => path.startsWith("docs/decisions/")).toSorted();
  names.forEach((path, i) => {
    assert.ok(path.startsWith(`docs/decisions/${String(i + 1).padStart(4, "0")}-`), path);
    assert.ok(text(path).startsWith(`# ${i + 1}. `), path);
  });
});
