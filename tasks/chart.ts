// deno-lint-ignore-file no-console -- a command prints
/**
 * The chart of accounts as a Markdown table, one line a kind of posting; with `--check FILE`, whether the table that stands in that
 * document between its two marker comments is the same.
 *
 *   deno task chart
 *   deno task chart --check docs/spec/economy.md
 */
import type { AccountClass } from "@/lib/ledger/accounts.ts";
import { KINDS } from "@/lib/ledger/postings.ts";

export const MARKERS = ["<!-- deno task chart -->", "<!-- end -->"] as const;

const isRecord = (name: AccountClass) => ["job", "session", "reserved", "refund"].includes(name);
const code = (text: string) => "`" + text + "`";
const accounts = (names: readonly AccountClass[]) =>
  names.map((name) => code(isRecord(name) ? `${name}:<id>` : name)).join(", ");

/** @returns the table, without an end of line after its last row. */
export function chartMarkdown(): string {
  const rows = Object.entries(KINDS).map((
    [kind, { from, to, means }],
  ) => [code(kind), accounts(from), accounts(to), means.replaceAll("|", "\\|")]);
  const lines = [["kind", "from", "to", "means"], ["---", "---", "---", "---"], ...rows];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/**
 * @param document Markdown in which the table stands between the two {@link MARKERS}.
 * @returns the first thing that is wrong, and null when the document says what the program does.
 */
export function wrongInChart(document: string): string | null {
  const [begin, end] = MARKERS;
  const [, after, ...again] = document.split(begin);
  if (after === undefined) return `${begin} is missing`;
  if (again.length > 0) return `${begin} stands there ${again.length + 1} times`;
  if (!after.includes(end)) return `${begin} has no ${end} after it`;
  const found = after.slice(0, after.indexOf(end)).trim().split("\n").map((line) => line.trim());
  const expected = chartMarkdown().split("\n");
  const at = expected.findIndex((line, i) => line !== found[i]);
  if (at >= 0) return `row ${at + 1} is ${found[at] ?? "missing"}\nand must be ${expected[at]}`;
  return found.length > expected.length ? `row ${expected.length + 1} is too many: ${found[expected.length]}` : null;
}

if (import.meta.main) {
  const [option, file, ...rest] = Deno.args;
  if (option === undefined) console.log(chartMarkdown());
  else if (option !== "--check" || file === undefined || rest.length > 0) {
    console.error("deno task chart [--check FILE]: there is no other argument");
    Deno.exit(2);
  } else {
    const wrong = wrongInChart(await Deno.readTextFile(file));
    if (wrong !== null) {
      console.error(`${file}: ${wrong}\nPut there what \`deno task chart\` prints.`);
      Deno.exit(1);
    }
  }
}
