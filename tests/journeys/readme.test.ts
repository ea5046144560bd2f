/** The README's own commands, as a reader would type them. */
import assert from "node:assert/strict";
import { VERSION } from "@/version.ts";
import { startProcess } from "../harness/process.ts";

const readme = await Deno.readTextFile(new URL("../../README.md", import.meta.url));
const config = JSON.parse(await Deno.readTextFile(new URL("../../deno.json", import.meta.url)));

Deno.test("README: its first paid job, typed into a shell, ends with the refund paid", async () => {
  const block = /readme\.test\.ts runs this block -->\n```sh\n([\s\S]*?)```/.exec(readme)?.[1] ??
    assert.fail("no block");
  const timmy = await startProcess();
  try {
    assert.ok(block.includes("T=http://127.0.0.1:8080\n"));
    const script = block.replace("T=http://127.0.0.1:8080", `T=${timmy.url}`);
    const { code, stdout, stderr } = await new Deno.Command("bash", { args: ["-euc", script] }).output();
    const said = new TextDecoder().decode(stdout);
    assert.equal(code, 0, said + new TextDecoder().decode(stderr) + timmy.output());
    const last = JSON.parse(said.trim().split("\n").at(-1) ?? "");
    assert.equal(last.refundState, "paid");
    assert.match(said, /\[simulated\]/);
    assert.equal(await timmy.stop(), 0);
  } catch (error) {
    await timmy.kill().catch(() => {});
    throw error;
  } finally {
    await Deno.remove(timmy.dataDir.replace(/\/data$/, ""), { recursive: true });
  }
});

Deno.test("README: every task it names exists, and every file it links to", async () => {
  const tasks = [...readme.matchAll(/\btask (\w+)/g)].map((match) => match[1] ?? "");
  assert.ok(tasks.includes("start") && tasks.includes("test"));
  for (const task of tasks) assert.ok(config.tasks[task], `deno.json has no task ${task}`);
  for (const [, file] of readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
    await Deno.stat(new URL(`../../${file}`, import.meta.url));
  }
});

Deno.test("CHANGELOG: its newest version is the program's", async () => {
  const changelog = await Deno.readTextFile(new URL("../../CHANGELOG.md", import.meta.url));
  assert.equal(/^## (\d+\.\d+\.\d+)/m.exec(changelog)?.[1], VERSION);
});
