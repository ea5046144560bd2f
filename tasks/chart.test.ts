import assert from "node:assert/strict";
import { KINDS } from "@/lib/ledger/postings.ts";
import { chartMarkdown, MARKERS, wrongInChart } from "./chart.ts";

const [BEGIN, END] = MARKERS;
const documentOf = (table: string) => `# Ledger\n\n${BEGIN}\n\n${table}\n\n${END}\n\nMore text.\n`;
const rows = () => chartMarkdown().split("\n");

Deno.test("chartMarkdown: one row a kind, with where it goes and what it means", () => {
  assert.deepEqual(rows().slice(0, 3), [
    "| kind | from | to | means |",
    "| --- | --- | --- | --- |",
    "| `eval-fee` | `lightning` | `revenue:eval` | a job's evaluation was paid |",
  ]);
  const charge =
    "| `charge` | `job:<id>`, `reserved:<id>`, `session:<id>` | `revenue:work`, `revenue:session` | what the payer paid in the end |";
  assert.ok(rows().includes(charge));
  assert.equal(rows().length, Object.keys(KINDS).length + 2);
});

Deno.test("wrongInChart: a document with the whole table is right, whatever stands around it", () => {
  assert.equal(wrongInChart(documentOf(chartMarkdown())), null);
  assert.equal(wrongInChart(`${BEGIN}\n${chartMarkdown()}\n${END}`), null);
  assert.equal(wrongInChart(documentOf(chartMarkdown()).replaceAll("\n", "\r\n")), null);
});

const SPOILT: [what: string, document: string, says: RegExp][] = [
  ["no markers", chartMarkdown(), /is missing/],
  ["no end", documentOf(chartMarkdown()).replace(END, ""), /has no <!-- end -->/],
  ["two tables", documentOf(chartMarkdown()).repeat(2), /stands there 2 times/],
  ["no table", documentOf(""), /row 1 is/],
  ["a kind too few", documentOf(rows().slice(0, -1).join("\n")), /row \d+ is missing\nand must be \| `demo`/],
  [
    "a kind too many",
    documentOf([...rows(), "| `gift` | `pool` | `job:<id>` | x |"].join("\n")),
    /too many: \| `gift`/,
  ],
  ["another meaning", documentOf(chartMarkdown().replace("a gift", "a loan")), /a loan.*\n.*a gift/],
  ["another order", documentOf([...rows().slice(0, 2), ...rows().slice(2).reverse()].join("\n")), /row 3 is \| `demo`/],
];
for (const [what, document, says] of SPOILT) {
  Deno.test(`wrongInChart: ${what} is found`, () => {
    assert.match(wrongInChart(document) ?? "", says);
  });
}

Deno.test("deno task chart: prints the table; --check tells by its exit code whether a file has it", async () => {
  const dir = await Deno.makeTempDir();
  const task = async (...args: string[]) => {
    const run = ["run", "--no-prompt", `--allow-read=${dir}`, "tasks/chart.ts", ...args];
    const cwd = new URL("..", import.meta.url);
    // Through a shell: the gate lets tests start sh, whatever the path of this deno.
    const all = ["-c", '"$0" "$@"', Deno.execPath(), ...run];
    const { code, stdout, stderr } = await new Deno.Command("sh", { args: all, cwd }).output();
    return { code, said: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
  };
  try {
    assert.deepEqual(await task(), { code: 0, said: `${chartMarkdown()}\n` });
    await Deno.writeTextFile(`${dir}/good.md`, documentOf(chartMarkdown()));
    await Deno.writeTextFile(`${dir}/bad.md`, documentOf(chartMarkdown().replace("payout", "pay-out")));
    assert.deepEqual(await task("--check", `${dir}/good.md`), { code: 0, said: "" });
    const bad = await task("--check", `${dir}/bad.md`);
    assert.equal(bad.code, 1);
    assert.match(bad.said, /bad\.md: row \d+ is \| `pay-out`[\s\S]*Put there what `deno task chart` prints/);
    for (const args of [["--check"], ["--chek", `${dir}/good.md`]]) assert.equal((await task(...args)).code, 2);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
