import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { importsOf, offences, sources } from "./directions.ts";

const broken = (file: string, text: string) => offences(new Map([[file, text]])).map((offence) => offence.rule);

Deno.test("directions: this project's imports all go the right way", async () => {
  deepStrictEqual(offences(await sources(".")), []);
});

Deno.test("directions: every rule catches an import that breaks it", () => {
  const cases: [string, string, string][] = [
    ["lib/a.ts", `import { x } from "@/routes/jobs/jobs.body.ts";`, "lib imports only lib"],
    ["lib/a.ts", `import { x } from "@/middlewares/rate-limit.ts";`, "lib imports only lib"],
    ["middlewares/a.ts", `import { x } from "../routes/jobs/a.ts";`, "middlewares import only middlewares and lib"],
    ["routes/jobs/a.ts", `import { x } from "../demo/b.ts";`, "a domain imports only itself, middlewares and lib"],
    ["routes/jobs/a.ts", `import { x } from "@/deps.ts";`, "a domain imports only itself, middlewares and lib"],
    ["routes/jobs/jobs.routes.ts", `export { x } from "./jobs.handlers.ts";`, "a contract never imports its handlers"],
    ["lib/x/a.rules.ts", `import { z } from "zod";`, "rules import only rules, and types"],
    ["lib/x/a.rules.ts", `import { x } from "@/lib/clock.ts";`, "rules import only rules, and types"],
    ["lib/ai/port.ts", `import { x } from "./usage.ts";`, "a port imports nothing"],
    ["queue.ts", `import { x } from "@/lib/lightning/lnbits.ts";`, "only deps.ts, tests and tasks import adapters"],
    ["lib/store/store.ts", `await Deno.openKv("x");`, "only one file sees Deno.openKv"],
    [
      "lib/store/engines/deno.ts",
      `const kv = await Deno.openKv("x"); kv.atomic().sum(["a"], 1n); Math.min(1, 2);`,
      "the database is written with check, set, delete and enqueue only",
    ],
  ];
  for (const [file, text, rule] of cases) deepStrictEqual(broken(file, text), [rule], `${file}: ${text}`);
});

Deno.test("directions: what is allowed is not reported", () => {
  const allowed: [string, string][] = [
    ["deps.ts", `import { x } from "@/lib/lightning/lnbits.ts";`],
    ["lib/lightning/lnbits.test.ts", `import { x } from "./lnbits.ts";`],
    ["routes/jobs/a.ts", `import { x } from "./b.rules.ts";\nimport { y } from "@/lib/store/store.ts";`],
    ["lib/x/a.rules.ts", `import type { Usage } from "@/lib/ai/port.ts";\nimport { y } from "./b.rules.ts";`],
    ["lib/store/engines/deno.ts", `const kv = await Deno.openKv("x"); Math.min(1, 2);`],
    ["app.ts", `import { x } from "@/routes/jobs/jobs.index.ts";`],
  ];
  for (const [file, text] of allowed) deepStrictEqual(broken(file, text), [], `${file}: ${text}`);
});

Deno.test("importsOf: sees imports over several lines, exports, side effects and dynamic ones", () => {
  const text =
    `import {\n  a,\n  b,\n} from "./one.ts";\nexport * from "../two.ts";\nimport "./three.ts";\nawait import("./four.ts");`;
  deepStrictEqual(importsOf("lib/x/y.ts", text), ["lib/x/one.ts", "lib/two.ts", "lib/x/three.ts", "lib/x/four.ts"]);
  strictEqual(importsOf("lib/a.ts", `const text = "no import";`).length, 0);
});
