import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { importsOf, offences, sources } from "./directions.ts";

const brokenBy = (files: Record<string, string>) =>
  offences(new Map(Object.entries(files))).map(({ file, what, rule }) => `${file}: ${rule}: ${what}`);
const broken = (file: string, text: string) => offences(new Map([[file, text]])).map(({ rule }) => rule);

Deno.test("directions: everything in this project stands where it may", async () => {
  deepStrictEqual(offences(await sources(".")), []);
});

Deno.test("directions: every rule catches an import that breaks it", () => {
  const below = "a slice imports only slices below it";
  const http = "only what speaks HTTP imports lib/http and hono";
  const services = "services.ts is read as types by jobs, sessions, demo and bootstrap, and imports nothing but types";
  const pure = "rules import only rules, and types";
  const cases: [string, string, string][] = [
    ["lib/jobs/a.ts", `import { x } from "@/routes/jobs/jobs.body.ts";`, "lib imports only lib"],
    ["lib/clock.ts", `import type { X } from "@/middlewares/rate-limit.ts";`, "lib imports only lib"],
    ["lib/release/a.ts", `import { x } from "@/lib/store/store.ts";`, below],
    [
      "cli/a.ts",
      `import { x } from "../index.ts";`,
      "cli imports only itself, lib and the top level below the programs",
    ],
    [
      "cli/a.ts",
      `import { x } from "@/routes/a/b.ts";`,
      "cli imports only itself, lib and the top level below the programs",
    ],
    ["index.ts", `import { x } from "./cli/verify.ts";`, "of cli, the server imports names and version only"],
    ["deps.ts", `import { x } from "./cli/names.ts";`, "of cli, the server imports names and version only"],
    ["timmyctl.ts", `import { x } from "./index.ts";`, "the top level goes one way"],
    ["lib/http/a.ts", `import type { X } from "@/app.ts";`, "lib imports only lib"],
    ["lib/tasks/a.ts", `import { x } from "../../assemble.ts";`, "lib imports only lib"],
    ["lib/store/a.ts", `import type { X } from "@/deps.ts";`, "lib imports only lib"],
    ["lib/store/a.ts", `import { plan } from "@/lib/tasks/due.ts";`, below],
    ["lib/tasks/a.ts", `import type { X } from "@/lib/payments/payouts.ts";`, below],
    ["lib/identity/a.ts", `import { x } from "@/lib/free-tier/pool.rows.ts";`, below],
    ["lib/metering/a.ts", `import type { X } from "@/lib/jobs/jobs.rows.ts";`, below],
    ["lib/jobs/a.ts", `import { x } from "../sessions/sessions.rows.ts";`, below],
    ["lib/sessions/a.ts", `import { x } from "@/lib/demo/demo.rows.ts";`, below],
    ["lib/bootstrap/a.ts", `import type { X } from "@/lib/jobs/jobs.rows.ts";`, below],
    ["lib/ledger/a.ts", `import { x } from "./audit/audit.ts";`, below],
    ["lib/l402/a.ts", `import { x } from "@/lib/ledger/accounts.ts";`, below],
    ["lib/ai/a.ts", `import { x } from "@/lib/lightning/port.ts";`, below],
    ["lib/ids.ts", `import { x } from "./clock.ts";`, below],
    ["lib/ids.ts", `import { x } from "@/lib/store/store.ts";`, below],
    ["lib/metering/a.ts", `import type { Services } from "@/lib/services.ts";`, services],
    ["lib/services.ts", `import { x } from "./store/store.ts";`, services],
    ["lib/tasks/a.ts", `import { conflict } from "@/lib/http/errors.ts";`, http],
    ["lib/payments/a.ts", `import type { X } from "../http/claims.ts";`, http],
    ["lib/services.ts", `import type { X } from "./http/app-env.ts";`, http],
    ["client/a.ts", `import type { X } from "@/lib/http/errors.ts";`, http],
    ["lib/sessions/a.ts", `import { HTTPException } from "hono/http-exception";`, http],
    ["lib/jobs/a.ts", `import { z } from "@hono/zod-openapi";`, http],
    ["middlewares/a.ts", `import { x } from "../routes/jobs/a.ts";`, "middlewares import only middlewares and lib"],
    ["routes/jobs/a.ts", `import { x } from "../demo/b.ts";`, "a domain imports only itself, middlewares and lib"],
    ["routes/jobs/a.ts", `import { x } from "@/deps.ts";`, "a domain imports only itself, middlewares and lib"],
    ["app.ts", `import { x } from "./queue.ts";`, "the top level goes one way"],
    ["assemble.ts", `import type { X } from "./env.ts";`, "the top level goes one way"],
    ["queue.ts", `import { x } from "@/assemble.ts";`, "the top level goes one way"],
    ["routes/jobs/jobs.routes.ts", `export { x } from "./jobs.handlers.ts";`, "a contract never imports its handlers"],
    ["lib/jobs/a.rules.ts", `import { z } from "zod";`, pure],
    ["lib/jobs/a.rules.ts", `import { x } from "@/lib/clock.ts";`, pure],
    ["lib/jobs/a.machine.ts", `export { x } from "./jobs.rows.ts";`, pure],
    ["lib/ledger/accounts.ts", `import { x } from "./ledger.rows.ts";`, pure],
    ["lib/ai/port.ts", `import { x } from "./usage.ts";`, "a port imports nothing"],
    [
      "queue.ts",
      `import { x } from "@/lib/lightning/lnbits.ts";`,
      "only deps.ts, wallet-copy.ts, tests and tasks import adapters",
    ],
  ];
  for (const [file, text, rule] of cases) deepStrictEqual(broken(file, text), [rule], `${file}: ${text}`);
});

Deno.test("directions: a rule that waits, or looks at time, chance or the world, is found by its word", () => {
  for (
    const [text, word] of [
      ["export const x = async () => {};", "async"],
      ["export const x = await y;", "await"],
      ["const now = Date.now();", "Date"],
      ["const day = new Date(now);", "Date"],
      ["const x = Math.random();", "Math.random"],
      ["const text = `${Deno.cwd()}`;", "Deno"],
      ["fetch(url);", "fetch"],
      ["const x = globalThis.fetch;", "globalThis"],
      ["console.log(1);", "console"],
      ["const x = process.env.A;", "process"],
      ["if (import.meta.main) x();", "import.meta"],
      ["setTimeout(x, 1);", "setTimeout"],
      ["crypto.getRandomValues(x);", "crypto"],
    ] as const
  ) {
    for (const file of ["lib/jobs/a.rules.ts", "lib/jobs/a.machine.ts", "lib/ledger/postings.ts"]) {
      deepStrictEqual(brokenBy({ [file]: text }), [`${file}: rules are pure: ${word}`]);
    }
    deepStrictEqual(broken("lib/jobs/a.rows.ts", text), [], "only rules must be pure");
  }
});

Deno.test("directions: a circle is found once, by its path, and through types too", () => {
  const rule = "no files import one another in a circle";
  const three = {
    "lib/jobs/a.ts": `import { b } from "./b.ts";`,
    "lib/jobs/b.ts": `import type { C } from "./c.ts";`,
    "lib/jobs/c.ts": `export * from "@/lib/jobs/a.ts";`,
    "lib/jobs/d.ts": `import { a } from "./a.ts";`,
  };
  deepStrictEqual(brokenBy(three), [`lib/jobs/a.ts: ${rule}: lib/jobs/b.ts → lib/jobs/c.ts`]);
  deepStrictEqual(brokenBy({ "client/a.ts": `import "./b.ts";`, "client/b.ts": `import "./a.ts";` }), [
    `client/a.ts: ${rule}: client/b.ts`,
  ]);
  const types = { "client/a.ts": `import "./b.ts";`, "client/b.ts": `import type { A } from "./a.ts";` };
  deepStrictEqual(brokenBy(types), [], "a circle of types outside lib, middlewares and routes");
});

Deno.test("directions: what a file itself says can break a rule", () => {
  const cases: [string, string, string][] = [
    ["lib/store/store.ts", `const kv = await Deno.openKv("x");`, "only one file sees Deno.openKv"],
    [
      "lib/store/engines/deno.ts",
      `const kv = await Deno.openKv("x"); kv.atomic().sum(["a"], 1n); Math.min(1, 2);`,
      "the database is written with check, set, delete and enqueue only",
    ],
    ["lib/new-slice/a.ts", `export {};`, "a slice has its place in the order"],
    ["routes/jobs/a.ts", "x();\n".repeat(401), "a file of the program has at most 400 lines"],
    ["middlewares/a.ts", "x();\n".repeat(401), "a file of the program has at most 400 lines"],
    ["lib/jobs/a.ts", "x();\n".repeat(401), "a file of the program has at most 400 lines"],
  ];
  for (const [file, text, rule] of cases) deepStrictEqual(broken(file, text), [rule], file);
  const loose = Array.from({ length: 9 }, (_, i) => [`lib/clock.ts`, `lib/ids.ts`][i] ?? `lib/${i}.ts`);
  const rules = offences(new Map(loose.map((file) => [file, ""]))).map(({ rule }) => rule);
  strictEqual(rules.at(-1), "at most 8 files stand loose in lib");
  strictEqual(
    offences(new Map(loose.slice(1).map((file) => [file, ""]))).map(({ rule }) => rule).includes(rules.at(-1)!),
    false,
  );
});

Deno.test("directions: what is allowed is not reported", () => {
  const allowed: [string, string][] = [
    ["deps.ts", `import { x } from "@/lib/lightning/lnbits.ts";`],
    ["lib/lightning/lnbits.test.ts", `import { x } from "./lnbits.ts";`],
    ["routes/jobs/a.ts", `import { x } from "./b.rules.ts";\nimport { y } from "@/lib/store/store.ts";`],
    ["lib/jobs/a.rules.ts", `import type { Usage } from "@/lib/ai/port.ts";\nimport { y } from "./b.rules.ts";`],
    ["lib/store/engines/deno.ts", `const kv = await Deno.openKv("x"); Math.min(1, 2);`],
    [
      "lib/jobs/a.rules.ts",
      `/** Waits for no Date: await. */ const x = "fetch"; // console\nconst y = a.process + z.Date;`,
    ],
    ["app.ts", `import { x } from "@/routes/jobs/jobs.index.ts";`],
    ["index.ts", `import { x } from "./cli/names.ts";\nimport { y } from "./cli/version.ts";`],
    ["timmyctl.ts", `import { x } from "./cli/verify.ts";\nimport { y } from "./version.ts";`],
    [
      "cli/a.ts",
      `import { x } from "@/lib/release/a.ts";\nimport { y } from "../env.ts";\nimport { z } from "./b.ts";`,
    ],
    ["assemble.ts", `import { x } from "./app.ts";`],
    ["lib/services.ts", `import type { X } from "./sessions/sessions.machine.ts";`],
    ["lib/sessions/a.ts", `import type { Services } from "@/lib/services.ts";`],
    ["lib/bootstrap/a.ts", `import type { Services } from "@/lib/services.ts";`],
    ["lib/sessions/a.ts", `import { x } from "@/lib/metering/metering.ts";\nimport { y } from "./b.ts";`],
    ["lib/ledger/audit/a.ts", `import { x } from "@/lib/jobs/jobs.machine.ts";`],
    ["lib/http/a.ts", `import { x } from "@/lib/sessions/open.ts";\nimport { z } from "@hono/zod-openapi";`],
    ["lib/jobs/a.test.ts", `import { x } from "@/tests/harness/world.ts";\n${"x();\n".repeat(500)}`],
    ["lib/jobs/a.ts", "x();\n".repeat(400)],
  ];
  for (const [file, text] of allowed) deepStrictEqual(broken(file, text), [], `${file}: ${text}`);
});

Deno.test("importsOf: sees imports over several lines, exports, side effects and dynamic ones", () => {
  const text =
    `import {\n  a,\n  b,\n} from "./one.ts";\nexport * from "../two.ts";\nimport "./three.ts";\nawait import("./four.ts");`;
  const targets = (file: string, text: string) => importsOf(file, text).map(({ target }) => target);
  deepStrictEqual(targets("lib/x/y.ts", text), ["lib/x/one.ts", "lib/two.ts", "lib/x/three.ts", "lib/x/four.ts"]);
  deepStrictEqual(targets("lib/a.ts", `const text = "no import";`), []);
  deepStrictEqual(importsOf("a.ts", `import type { A } from "./b.ts";\nimport { type C, d } from "zod";`), [
    { target: "b.ts", typeOnly: true },
    { target: "zod", typeOnly: false },
  ]);
});
