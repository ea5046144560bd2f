/** deno.json lists what the program runs, dev/deno.json that and what tests and tools need: the program is tested with its own packages. */
import assert from "node:assert/strict";

interface Config {
  imports: Record<string, string>;
  unstable: string[];
  compilerOptions: Record<string, boolean>;
}
interface Lock {
  npm: Record<string, { integrity: string }>;
}
const read = async <T>(path: string): Promise<T> =>
  JSON.parse(await Deno.readTextFile(new URL(`../${path}`, import.meta.url)));

/** Name and version, without the peers it was resolved with: `openai@7.55.0_zod@4.6.7` is `openai@7.55.0`. */
const packagesOf = ({ npm }: Lock) =>
  new Map(Object.entries(npm).map(([id, { integrity }]) => [/^.[^@]*@[^_]*/.exec(id)?.[0] ?? id, integrity]));

Deno.test("packages: dev/deno.json lists all that deno.json does, at the same versions and with the same options", async () => {
  const [program, dev] = await Promise.all([read<Config>("deno.json"), read<Config>("dev/deno.json")]);
  const { "@/": root, ...imports } = program.imports;
  const { "@/": above, ...all } = dev.imports;
  assert.deepEqual([root, above], ["./", "../"]);
  assert.deepEqual(Object.fromEntries(Object.keys(imports).map((name) => [name, all[name]])), imports);
  assert.deepEqual(dev.unstable, program.unstable);
  assert.deepEqual(dev.compilerOptions, program.compilerOptions);
});

Deno.test("packages: what the program's lock pins, the tests' lock pins too, byte for byte", async () => {
  const [program, dev] = (await Promise.all([read<Lock>("deno.lock"), read<Lock>("dev/deno.lock")])).map(packagesOf);
  assert.ok(program && dev && program.size < dev.size);
  for (const [name, integrity] of program) {
    assert.equal(dev.get(name), integrity, `${name} is another in dev/deno.lock`);
  }
});

Deno.test("packages: what timmyctl may load is what the server does and more, each tested as it is", async () => {
  const [program, ctl, dev] = await Promise.all(
    ["deno.json", "ctl/deno.json", "dev/deno.json"].map((path) => read<Config>(path)),
  );
  assert.ok(program && ctl && dev);
  const { "@/": _, ...imports } = program.imports;
  const { "@/": __, ...more } = ctl.imports;
  assert.deepEqual(Object.fromEntries(Object.keys(imports).map((name) => [name, more[name]])), imports);
  assert.deepEqual(Object.fromEntries(Object.keys(more).map((name) => [name, dev.imports[name]])), more);
  assert.deepEqual([ctl.unstable, ctl.compilerOptions], [program.unstable, program.compilerOptions]);
  const locks = await Promise.all(["deno.lock", "ctl/deno.lock", "dev/deno.lock"].map((path) => read<Lock>(path)));
  const [few, some, all] = locks.map(packagesOf);
  assert.ok(few && some && all);
  for (const [name, integrity] of few) assert.equal(some.get(name), integrity, `${name} is another in ctl/deno.lock`);
  for (const [name, integrity] of some) assert.equal(all.get(name), integrity, `${name} is another in dev/deno.lock`);
});

Deno.test("packages: a new machine downloads at most 45 to run the program", async () => {
  const packages = packagesOf(await read<Lock>("deno.lock"));
  assert.ok(packages.size <= 45, `${packages.size} packages: ${[...packages.keys()].join(", ")}`);
});
