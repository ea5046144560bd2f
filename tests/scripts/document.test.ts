/** docs/operations/node-at-home.md: every command in it does what it says, from a bare machine to an uninstalled node. */
import assert from "node:assert/strict";
import { Box } from "./box.ts";
import { release } from "./release.ts";

const GUIDE = await Deno.readTextFile(new URL("../../docs/operations/node-at-home.md", import.meta.url));
const commands = [...GUIDE.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, block = ""]) =>
  block.trimEnd().split("\n")
)
  .map((line) => {
    const [, command = "", machine = ""] = /^(.*?)\s*(?:# (.*))?$/.exec(line) ?? [];
    return { command, machine };
  });

async function follow(box: Box, machine: string, which: RegExp): Promise<string[]> {
  await release(box);
  await box.install("bore");
  const mine = commands.filter((line) => ["", machine].includes(line.machine) && which.test(line.command));
  for (const { command } of mine) {
    const before = await box.tree();
    const { code, out, err } = await box.shell(command, `${box.root}/timmy`);
    assert.equal(code, 0, `${command}: ${out}${err}`);
    if (command.includes("--dry-run")) assert.deepEqual(await box.tree(), before, command);
  }
  return mine.map(({ command }) => command);
}

for (const [machine, os] of [["Linux", "Linux"], ["macOS", "Darwin"]] as const) {
  Deno.test(`node scripts: the guide's commands, one after the other, on ${machine}`, async () => {
    await using box = await Box.open(os);
    assert.ok((await follow(box, machine, /./)).length >= 15);
    assert.match(await box.read("timmy/.env"), /^LNBITS_URL=.*\nLNBITS_API_KEY=.*\nLNBITS_ADMIN_KEY=.*\n$/);
    assert.ok(
      await box.exists("home/node-backup/channel.backup") && await box.exists("home/.timmy-node/secrets/lnd-seed"),
    );
    assert.ok(!await box.exists("home/.timmy-node/scripts") && !await box.exists("running/bitcoind"));
  });
}

Deno.test("node scripts: the guide's setup on Linux on ARM; each machine that a command is for is one of the three", async () => {
  await using box = await Box.open();
  box.env.BOX_ARCH = "aarch64";
  assert.equal((await follow(box, "Linux on ARM", /bitcoin-ln-node\/setup/)).length, 1);
  assert.deepEqual([...new Set(commands.map(({ machine }) => machine))].sort(), ["", "Linux", "Linux on ARM", "macOS"]);
});

Deno.test("node scripts: the guide names every option that it speaks of as the commands spell it", async () => {
  await using box = await Box.open();
  const help = (await Promise.all(
    ["setup", "start", "stop", "status", "expose", "uninstall"].map((script) => box.ok(script, "--help")),
  )).join("");
  const options = new Set([...GUIDE.matchAll(/--[a-z][a-z-]+/g)].map(([option]) => option));
  assert.ok(options.size > 10);
  // --help is of all, and is not in its own list.
  for (const option of options) assert.ok(option === "--help" || help.includes(option), option);
});
