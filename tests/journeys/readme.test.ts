/** The README's own commands, as a reader would type them. */
import assert from "node:assert/strict";
import { ENV_DEFAULTS } from "@/env.ts";
import { VERSION } from "@/version.ts";
import { startProcess } from "../harness/process.ts";

const readme = await Deno.readTextFile(new URL("../../README.md", import.meta.url));
/** The documents for those who pay and who operate, beside the README. */
const GUIDES = ["sessions", "identity", "free-tier", "bootstrap", "spec/economy"] as const;
const guides = await Promise.all(
  GUIDES.map((name) => Deno.readTextFile(new URL(`../../docs/${name}.md`, import.meta.url))),
);

/** The blocks that are marked as run, in order. */
const blocks = [...readme.matchAll(/readme\.test\.ts runs this block -->\n```sh\n([\s\S]*?)```/g)].map(([, text]) =>
  text ?? ""
);
/** `deno` of the text, whichever runs this test. Permissions are the reader's to give; a test has nobody to ask. */
const DENO = `deno() { local task=$1; shift; "$DENO" "$task" --quiet --no-prompt "$@"; }\n`;

/** Types the block that `names` into a shell, with a program of its own, and returns what it said. */
async function typed(names: string): Promise<string> {
  const block = blocks.find((text) => text.includes(names)) ?? assert.fail(`no block has ${names}`);
  assert.ok(block.includes("T=http://127.0.0.1:8080\n"));
  const timmy = await startProcess();
  try {
    const script = DENO + block.replace("T=http://127.0.0.1:8080", `T=${timmy.url}`);
    const { code, stdout, stderr } = await new Deno.Command("bash", {
      args: ["-euc", script],
      cwd: new URL("../../", import.meta.url).pathname,
      env: { DENO: Deno.execPath(), NO_COLOR: "1" },
    }).output();
    const said = new TextDecoder().decode(stdout);
    assert.equal(code, 0, said + new TextDecoder().decode(stderr) + timmy.output());
    assert.equal(await timmy.stop(), 0);
    return said;
  } catch (error) {
    await timmy.kill().catch(() => {});
    throw error;
  } finally {
    await Deno.remove(timmy.dataDir.replace(/\/data$/, ""), { recursive: true });
  }
}
const lastLine = (said: string) => JSON.parse(said.trim().split("\n").at(-1) ?? "");

Deno.test("README: its first paid job, typed into a shell, ends with the refund paid", async () => {
  const said = await typed("/api/jobs");
  assert.equal(lastLine(said).refundState, "paid");
  assert.match(said, /\[simulated\]/);
});

Deno.test("README: its session, typed into a shell, answers OpenAI's clients and gives the rest back", async () => {
  const said = await typed("/api/sessions");
  assert.equal(said.match(/\[simulated\] .*What is a hold invoice\?/g)?.length, 3, said);
  const [first = 0, ...others] = [...said.matchAll(/"debitedSats":(\d+)|It cost (\d+) sats/g)].map(([, a, b]) =>
    Number(a ?? b)
  );
  assert.ok(first > 0 && others.length === 2, said);
  const { state, refundState, refundAmountSats } = lastLine(said);
  assert.deepEqual([state, refundState], ["closed", "paid"]);
  assert.equal(refundAmountSats, 500 - others.reduce((a, b) => a + b, first));
});

Deno.test("README: its sign-in, typed into a shell, earns a point and shows the pool and a free answer", async () => {
  const said = await typed("examples/sign-in.ts");
  assert.match(said, /After: new, score 1;/);
  assert.match(said, /^\{"pool":\{"balanceSats":\d+\}/m);
  const { state, remainingThisHour } = lastLine(said);
  assert.deepEqual([state, remainingThisHour], ["complete", 4]);
});

Deno.test("README: its node, typed into a shell, is paid and being made", async () => {
  const said = await typed("/api/bootstrap");
  assert.match(said, /^data: \{"state":"provisioning","step":"ip",/m);
  assert.match(said.trim().split("\n").at(-1) ?? "", /^The node is being made, step ip: /);
});

Deno.test("README: every marked block is run by a test", () => assert.equal(blocks.length, 4));

Deno.test("README and guides: each default in their tables is the program's", () => {
  const rows = [
    ...[readme, ...guides].join("\n").matchAll(/^\| (`[A-Z][A-Z0-9_]+`(?:, `[A-Z][A-Z0-9_]+`)*) \| ([^|]+) \|/gm),
  ];
  const defaults = rows.flatMap(([, names = "", values = ""]) => {
    const given = values.split(", ").map((value) => value.replaceAll("`", ""));
    return names.split(", ").map((name, i) => [name.replaceAll("`", ""), given[i]] as const);
  });
  const compared = defaults.filter(([, value]) => value && /^[\w./]+$/.test(value));
  assert.ok(compared.length > 40, `only ${compared.length} rows were found`);
  for (const [name, value] of compared) assert.equal(ENV_DEFAULTS[name], value, name);
  for (const [name, value] of defaults) if (value === "–") assert.equal(ENV_DEFAULTS[name], null, name);
});

/** The program's own files, tests left out. */
async function sources(folder: string): Promise<string> {
  const texts: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(new URL(`../../${folder}/`, import.meta.url))) {
    if (isDirectory) texts.push(await sources(`${folder}/${name}`));
    else if (name.endsWith(".ts") && !/\.(test|contract)\.ts$/.test(name)) {
      texts.push(await Deno.readTextFile(new URL(`../../${folder}/${name}`, import.meta.url)));
    }
  }
  return texts.join("\n");
}

Deno.test("guides: each error code in their tables is one that the program answers with", async () => {
  const program = (await Promise.all(["lib", "middlewares", "routes"].map(sources))).join("\n");
  const codes = guides.flatMap((text) =>
    [...text.matchAll(/^\| [45]\d\d \| ([^|]+) \|/gm)].flatMap(([, cell = ""]) =>
      [...cell.matchAll(/`([a-z0-9_]+_[a-z0-9_]*[a-z0-9])`/g)].map(([, code = ""]) => code)
    )
  );
  assert.ok(codes.length > 50, `only ${codes.length} codes were found`);
  for (const code of codes) {
    // Some are put together from a fixed beginning and what is wrong.
    const parts = [...code.matchAll(/_/g)].some(({ index }) =>
      program.includes(`\`${code.slice(0, index)}_\${`) && program.includes(`"${code.slice(index + 1)}"`)
    );
    assert.ok(parts || new RegExp(`\\b${code}\\b`).test(program), `no error is called ${code}`);
  }
});

Deno.test("CHANGELOG: its newest version is the program's", async () => {
  const changelog = await Deno.readTextFile(new URL("../../CHANGELOG.md", import.meta.url));
  assert.equal(/^## (\d+\.\d+\.\d+)/m.exec(changelog)?.[1], VERSION);
});
