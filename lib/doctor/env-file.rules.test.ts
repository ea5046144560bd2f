import assert from "node:assert/strict";
import fc from "fast-check";
import { parseEnvFile, quoted, withSettings } from "./env-file.rules.ts";

const SEED = Number(Deno.env.get("TIMMY_SEED") ?? Date.now() % 2 ** 31);

/** What a shell and Deno's --env-file read of a file, beside us. */
async function readByOthers(text: string, name: string): Promise<string[]> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/.env`, text);
    await Deno.writeTextFile(
      `${folder}/a.ts`,
      `Deno.stdout.writeSync(new TextEncoder().encode(Deno.env.get("${name}")));`,
    );
    const run = async (command: string) => {
      const { stdout } = await new Deno.Command("sh", {
        args: ["-c", command],
        cwd: folder,
        env: { DENO: Deno.execPath() },
      }).output();
      return new TextDecoder().decode(stdout);
    };
    return await Promise.all([
      run(`set -a; . ./.env; printf %s "$${name}"`),
      run(`"$DENO" run --quiet --no-config --env-file=.env --allow-env a.ts`),
    ]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("env file: what is written is what a shell, Deno and we read", async () => {
  const values = [
    "sk-ant-api03_x.y",
    "a b",
    "a#b",
    'say "hi"',
    "$HOME `id` $(id)",
    "a=b,c;d&e|f<g>h!*?",
    "ü",
    "/var/lib/timmy data",
  ];
  const text = withSettings("", values.map((value, i) => ({ name: `V${i}`, value, comment: "x" })));
  for (const [i, value] of values.entries()) {
    assert.equal(parseEnvFile(text).values[`V${i}`], value);
    assert.deepEqual(await readByOthers(text, `V${i}`), [value, value]);
  }
});

Deno.test("env file: any text is read back as it was written, or not taken", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (value) => {
      const written = quoted(value);
      if (written === null) return /['\n\r\\]/.test(value);
      return parseEnvFile(`A=${written}`).values.A === value;
    }),
    { seed: SEED, numRuns: 1_000 },
  );
});

Deno.test("env file: comments, export, quotes and blanks are read, and lines that are none are counted", () => {
  const { values, wrong } = parseEnvFile(
    "# A=0\n\n  export A=1\nB='2 # two' # three\nC=\"3\"\r\nD = 4\nE=\nF=a#b # c\nG='open\nnothing\n",
  );
  assert.deepEqual(values, { A: "1", B: "2 # two", C: "3", E: "", F: "a#b" });
  assert.deepEqual(wrong, [6, 9, 10]);
});

Deno.test("env file: a setting is changed where it stands, once, and everything else stays", () => {
  const text = "# mine\nA=1\nX='kept as it is'   # so\nA=2\nexport B=1\n\n# end\n";
  const changed = withSettings(text, [
    { name: "A", value: "3", comment: "a" },
    { name: "B", value: null, comment: "b" },
    { name: "C", value: "c d", comment: "new" },
    { name: "D", value: null, comment: "d" },
  ]);
  assert.equal(changed, "# mine\nA=3\nX='kept as it is'   # so\n\n# end\n# new\nC='c d'\n");
  assert.equal(withSettings(changed, [{ name: "A", value: "3", comment: "a" }]), changed);
  assert.throws(() => withSettings("", [{ name: "A", value: "it's", comment: "" }]), RangeError);
});
