import assert from "node:assert/strict";
import { COMMIT_MARK, settled } from "./bundle.ts";

/** A bundle as it is made on a machine whose packages lie in `cache`, with parts named after that path. */
const bundleOf = (cache: string, hash: string) =>
  new Map([
    [`b-${hash}1.js`, `// ${cache}/zod/index.js\nexport const b = "\\u00e9"; // é\n`],
    [`a-${hash}2.js`, `/**\n * é –\n */\nimport "./b-${hash}1.js";\nimport("swagger-ui-dist/x.css")`],
    [
      "index.js",
      `var require_x = __commonJS({ "${cache}/pino/x.js"() {} });\nimport "./a-${hash}2.js";\nvar ${COMMIT_MARK};\n`,
    ],
  ]);
const originOf = (...packages: string[]) => ({ packages, forbidden: packages, commit: "c".repeat(40) });

Deno.test("bundle: two machines make the same files, in the order in which they are named", () => {
  const one = settled(
    bundleOf("../../root/cache/npm/registry.example", "AAAA"),
    originOf("../../root/cache/npm/registry.example"),
  );
  const two = settled(bundleOf("c d/npm/mirror.example", "ZZ"), originOf("c d/npm/mirror.example"));
  assert.deepEqual([...one], [...two]);
  assert.deepEqual([...one.keys()], ["index.js", "part-1.js", "part-2.js"]);
  assert.ok(one.get("index.js")!.includes(`COMMIT = "${"c".repeat(40)}"`));
  assert.ok(one.get("index.js")!.includes('"npm/pino/x.js"'));
  assert.ok(one.get("part-1.js")!.includes('"./swagger-ui-dist/x.css"'));
});

Deno.test("bundle: letters that are not ASCII are left in no comment of a line of its own, and in the code as they are", () => {
  const files = settled(bundleOf("cache", "A"), originOf("cache"));
  assert.ok(files.get("part-1.js")!.startsWith("/**\n * ? ?\n */"));
  assert.ok(files.get("part-2.js")!.includes('"\\u00e9"'));
});

Deno.test("bundle: what would differ from machine to machine is not made", () => {
  const origin = originOf("cache");
  const files = (change: (text: string) => string) => new Map([["index.js", change(`var ${COMMIT_MARK};\n`)]]);
  settled(files((text) => text), origin);
  assert.throws(() => settled(files((text) => `${text}"cache"`), origin), /still names cache/);
  assert.throws(() => settled(files(() => ""), origin), /0 places for the commit/);
  assert.throws(() => settled(files((text) => text + text), origin), /2 places/);
  assert.throws(() => settled(new Map([...files((text) => text), ["other.js", ""]]), origin), /nothing names/);
});

Deno.test("bundle: the commit has its place in version.ts", async () => {
  assert.ok(
    (await Deno.readTextFile(new URL("../version.ts", import.meta.url))).includes(`export const ${COMMIT_MARK};`),
  );
});
