/** timmyctl, as a person uses it: main() with what is typed, and what is printed. */
import assert from "node:assert/strict";
import { hasProgram, shell } from "@/tests/harness/shell.ts";
import { BINARY, releaseOf, SOURCE } from "@/tests/harness/release.ts";
import { main } from "../timmyctl.ts";
import { TEST_KEY } from "@/lib/release/test-key.ts";
import type { Io } from "./command.ts";
import { CTL_COMMANDS } from "./names.ts";
import { verify } from "./verify.ts";

interface Said {
  code: number;
  out: string;
  err: string;
}

async function heard(run: (io: Io) => Promise<number>): Promise<Said> {
  let [out, err] = ["", ""];
  const code = await run({ out: (text) => out += `${text}\n`, err: (text) => err += `${text}\n` });
  return { code, out, err };
}
const typed = (...args: string[]) => heard((io) => main(args, io));
/** `timmyctl verify` of a program that takes the test key. */
const verified = (...args: string[]) => heard((io) => verify(args, io, [TEST_KEY]));

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  for (const [name, bytes] of releaseOf()) await Deno.writeFile(`${folder}/${name}`, bytes);
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("timmyctl: without a command, and with help, it lists every command", async () => {
  for (const args of [[], ["help"], ["--help"], ["-h"]]) {
    const { code, out } = await typed(...args);
    assert.equal(code, 0);
    for (const name of Object.keys(CTL_COMMANDS)) assert.match(out, new RegExp(`^  ${name} `, "m"));
  }
});

Deno.test("timmyctl: help explains each command, and so does --help behind it", async () => {
  for (const name of Object.keys(CTL_COMMANDS)) {
    const { code, out } = await typed("help", name);
    assert.deepEqual([code, out.startsWith(`timmyctl ${name}`)], [0, true]);
    assert.equal((await typed(name, "--help")).out, out);
  }
});

Deno.test("timmyctl: what it does not understand is answered with 2 and what to type instead", async () => {
  for (
    const args of [["none"], ["toString"], ["verify"], ["verify", "--none", "x"], ["version", "x"], ["completions"], [
      "completions",
      "ksh",
    ], ["help", "none"]]
  ) {
    const { code, out, err } = await typed(...args);
    assert.deepEqual([code, out], [2, ""], args.join(" "));
    assert.match(err, /timmyctl help/);
  }
});

Deno.test("timmyctl: each file of its folder that is a command is one of them", async () => {
  const files = await Array.fromAsync(Deno.readDir(new URL(".", import.meta.url)));
  const texts = await Promise.all(
    files.filter(({ name }) => !name.endsWith(".test.ts")).map(async ({ name }) =>
      [name, await Deno.readTextFile(new URL(name, import.meta.url))] as const
    ),
  );
  const commands = texts.filter(([, text]) => /^export const command: Command/m.test(text)).map(([name]) =>
    name.slice(0, -3)
  );
  assert.deepEqual([...commands, "help"].toSorted(), Object.keys(CTL_COMMANDS).toSorted());
});

Deno.test("verify: a folder and a file of it are good, and it says that the test key signed", () =>
  inFolder(async (folder) => {
    for (const path of [folder, `${folder}/${BINARY}`]) {
      const { code, out } = await verified(path);
      assert.equal(code, 0);
      assert.match(out, new RegExp(`timmy ${SOURCE.version}, commit ${SOURCE.commit}`));
      assert.match(out, /signed by the test key RW/);
      assert.match(out, /^WARNING/m);
    }
    const { out } = await verified("--json", `${folder}/${BINARY}`);
    const { ok, version, signedBy } = JSON.parse(out);
    assert.deepEqual([ok, version, signedBy.test], [true, SOURCE.version, true]);
  }));

Deno.test("verify: a changed, an unsigned and a missing file are refused with the reason, each of several by itself", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/${BINARY}`, "another program");
    const other = BINARY.replace("timmy", "timmyctl");
    const { code, out, err } = await verified(`${folder}/${BINARY}`, `${folder}/${other}`);
    assert.equal(code, 1);
    assert.match(err, /^REFUSED .*\(changed\)\n$/);
    assert.match(out, new RegExp(`^good +${folder}/${other}`));
    const reason = async (path: string) => {
      const { code, out } = await verified("--json", path);
      return [code, JSON.parse(out).reason];
    };
    assert.deepEqual(await reason(`${folder}/none`), [1, "missing"]);
    assert.deepEqual(await reason(`${folder}/${other}/none`), [1, "missing"]);
    await Deno.writeTextFile(`${folder}/extra`, "");
    assert.deepEqual(await reason(`${folder}/extra`), [1, "unlisted"]);
    await Deno.remove(`${folder}/SHA256SUMS.minisig`);
    assert.deepEqual(await reason(folder), [1, "unsigned"]);
    assert.deepEqual(await reason(`${folder}/${other}`), [1, "unsigned"]);
  }));

Deno.test("version: for a person and for a program", async () => {
  const { version, commit, signature, releaseKeys } = JSON.parse((await typed("version", "--json")).out);
  assert.deepEqual([commit, signature, releaseKeys.length > 0], ["unknown", "unknown", true]);
  assert.ok((await typed("--version")).out.startsWith(`timmyctl ${version}, commit unknown`));
  const readme = await Deno.readTextFile(new URL("../README.md", import.meta.url));
  for (const { minisign } of releaseKeys) assert.ok(readme.includes(minisign), `README does not print ${minisign}`);
});

Deno.test("timmy: a command of the other program is answered with its name, version with all it knows", async () => {
  const start = async (...args: string[]) => {
    const { code, stdout, stderr } = await new Deno.Command("sh", {
      args: [new URL("../scripts/start.sh", import.meta.url).pathname, ...args],
      env: { DENO: Deno.execPath() },
    }).output();
    return { code, out: new TextDecoder().decode(stdout), err: new TextDecoder().decode(stderr) };
  };
  const { code, err } = await start("verify", "x");
  assert.deepEqual([code, err.includes("timmyctl verify")], [2, true]);
  assert.equal((await start("version", "--json")).out, (await typed("version", "--json")).out);
});

for (
  const [shellName, check] of Object.entries({
    bash: `source ./c && COMP_WORDS=(timmyctl ver) COMP_CWORD=1 && _timmyctl && echo "\${COMPREPLY[*]}"`,
    zsh: `autoload -Uz compinit && compinit -u -d ./dump && source ./c && echo "\${_comps[timmyctl]}"`,
    fish: `source ./c; complete -C 'timmyctl ver'`,
  })
) {
  Deno.test({
    name: `completions: ${shellName} completes with them (needs ${shellName})`,
    ignore: !hasProgram(shellName),
    async fn() {
      const folder = await Deno.makeTempDir();
      await Deno.writeTextFile(`${folder}/c`, (await typed("completions", shellName)).out);
      await Deno.writeTextFile(`${folder}/check`, check);
      const out = await shell(`${shellName} ./check`, folder);
      assert.match(out, shellName === "zsh" ? /_timmyctl/ : /verify[\s\S]*version/);
      await Deno.remove(folder, { recursive: true });
    },
  });
}
