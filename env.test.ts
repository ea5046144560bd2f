import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import { ENV_DEFAULTS, ENV_NAMES, EnvError, parseEnv, secretsOf } from "./env.ts";

/** The problems of an environment, or none. */
function problemsOf(record: Record<string, string>): readonly string[] {
  try {
    parseEnv(record);
    return [];
  } catch (error) {
    if (error instanceof EnvError) return error.problems;
    throw error;
  }
}

Deno.test("parseEnv: without any variable everything has the documented default, simulated and on loopback", () => {
  const env = parseEnv({});
  strictEqual(env.host, "127.0.0.1");
  strictEqual(env.port, 8080);
  strictEqual(env.publicOrigin, "http://127.0.0.1:8080");
  deepStrictEqual(env.lightning, { kind: "simulated" });
  strictEqual(env.models.anthropic, undefined);
  strictEqual(env.evalFeeSats, 10);
  strictEqual(env.price.marginPct, 25);
  deepStrictEqual(env.modelRates.sonnet, { inputUsdPer1k: 0.003, outputUsdPer1k: 0.015 });
  deepStrictEqual(env.refunds, { maxFeeSats: 10, dustSats: 1, claimDays: 30 });
  strictEqual(env.btc.maxAgeMs, 3_600_000);
});

Deno.test("parseEnv: every bad variable is named at once, and no value is repeated", () => {
  const bad = {
    PORT: "hunter2",
    EVAL_FEE_SATS: "1.5",
    ORIGINATOR_MARGIN_PCT: "NaN",
    LNBITS_URL: "ftp://s3cret",
    NODE_ENV: "sandbox",
  };
  throws(() => parseEnv({ ...bad, LNBITS_API_KEY: "k" }), (error) => {
    ok(error instanceof EnvError);
    for (const name of Object.keys(bad)) match(error.message, new RegExp(`\\b${name}\\b`));
    for (const value of Object.values(bad)) ok(!error.message.includes(value), `the message repeats ${value}`);
    return true;
  });
});

Deno.test("parseEnv: prices and fees must be finite numbers in their range", () => {
  for (const value of ["NaN", "Infinity", "-1", "1e3", "0x10", "12abc", "1,5"]) {
    strictEqual(problemsOf({ DO_MONTHLY_COST_USD: value }).length, 1, value);
    strictEqual(problemsOf({ SONNET_OUTPUT_COST_PER_1K_TOKENS: value }).length, 1, value);
  }
  for (const value of ["0", "-5", "2.5", "100000001", "9007199254740993"]) {
    strictEqual(problemsOf({ EVAL_FEE_SATS: value }).length, 1, value);
  }
  strictEqual(parseEnv({ ORIGINATOR_MARGIN_PCT: "12.5" }).price.marginPct, 12.5);
});

Deno.test("parseEnv: a variable set to nothing counts as not set", () => {
  strictEqual(parseEnv({ PORT: "", LNBITS_URL: "  ", LNBITS_API_KEY: "" }).port, 8080);
});

Deno.test("parseEnv: settings that contradict each other are refused with what to do", () => {
  const cases: [Record<string, string>, RegExp][] = [
    [{ LNBITS_URL: "http://127.0.0.1:5000" }, /LNBITS_API_KEY/],
    [{ LNBITS_API_KEY: "k" }, /LNBITS_URL/],
    [{ LNBITS_ADMIN_KEY: "k" }, /LNBITS_ADMIN_KEY needs LNBITS_URL/],
    [{ WORK_MODEL: "local/x" }, /LOCAL_MODEL_BASE_URL/],
    [{ AI_INTEGRATIONS_ANTHROPIC_BASE_URL: "http://127.0.0.1:1" }, /AI_INTEGRATIONS_ANTHROPIC_API_KEY/],
    [{ KV_URL: "http://127.0.0.1:4512" }, /KV_URL needs DENO_KV_ACCESS_TOKEN/],
    [{ SHORT_MAX_CHARS: "400" }, /SHORT_MAX_CHARS/],
    [{ TRUSTED_PROXIES: "10.0.0.0/8,nonsense" }, /TRUSTED_PROXIES/],
    [{ NODE_ENV: "production" }, /NODE_ENV is production/],
    [{ HOST: "0.0.0.0", AI_INTEGRATIONS_ANTHROPIC_API_KEY: "k" }, /HOST or PUBLIC_ORIGIN is not loopback/],
    [{ DENO_KV_DB_MODE: "memory" }, /DENO_KV_DB_MODE must not be set/],
    [{ DENO_KV_PATH_PREFIX: "" }, /DENO_KV_PATH_PREFIX must not be set/],
    [{ DENO_KV_DEFAULT_PATH: "/x" }, /DENO_KV_DEFAULT_PATH must not be set/],
  ];
  for (const [record, expected] of cases) {
    const problems = problemsOf(record);
    strictEqual(problems.length, 1, JSON.stringify(record));
    match(problems[0] ?? "", expected);
  }
});

Deno.test("parseEnv: a real model with simulated Lightning is fine on loopback only", () => {
  for (const HOST of ["127.0.0.1", "localhost", "::1"]) {
    strictEqual(problemsOf({ HOST, AI_INTEGRATIONS_ANTHROPIC_API_KEY: "k" }).length, 0, HOST);
  }
  for (const HOST of ["0.0.0.0", "::", "192.0.2.1", "127.0.0.1.example.com"]) {
    strictEqual(problemsOf({ HOST, AI_INTEGRATIONS_ANTHROPIC_API_KEY: "k" }).length, 1, HOST);
  }
});

Deno.test("parseEnv: no problem repeats the value of any variable, whichever holds it", () => {
  const canary = "s3cr3t väl ue";
  const bad = Object.fromEntries(ENV_NAMES.map((name) => [name, `${canary} ${"x".repeat(3_000)}`]));
  throws(() => parseEnv(bad), (error) => {
    ok(error instanceof EnvError);
    strictEqual(error.problems.filter((problem) => !ENV_NAMES.some((name) => problem.startsWith(name))).length, 0);
    for (const name of ENV_NAMES) ok(error.problems.some((problem) => problem.startsWith(`${name} `)), name);
    ok(!Deno.inspect(error, { depth: 10 }).includes("s3cr3t"));
    return true;
  });
});

Deno.test("parseEnv: a key that no header can carry is refused at the start", () => {
  for (const value of ["two words", "line\nbreak", "schlüssel"]) {
    const problems = problemsOf({ AI_INTEGRATIONS_ANTHROPIC_API_KEY: value });
    strictEqual(problems.length, 1, JSON.stringify(value));
    match(problems[0] ?? "", /^AI_INTEGRATIONS_ANTHROPIC_API_KEY must be a key/);
  }
});

Deno.test("parseEnv: an address with a user or password in it is refused", () => {
  for (
    const value of ["http://user:word@127.0.0.1:1", "https://user@example.com/", "ftp://example.com", "example.com"]
  ) {
    strictEqual(problemsOf({ BTC_PRICE_URL: value }).length, 1, value);
  }
});

Deno.test("parseEnv: CORS_ORIGINS is * or a list of exact origins", () => {
  deepStrictEqual(parseEnv({ CORS_ORIGINS: "https://a.example, http://localhost:3000" }).corsOrigins, [
    "https://a.example",
    "http://localhost:3000",
  ]);
  for (const value of [",", "*,https://a.example", "a.example", "https://a.example/", "https://*.example.com/x"]) {
    strictEqual(problemsOf({ CORS_ORIGINS: value }).length, 1, value);
  }
});

Deno.test("parseEnv: with a real wallet, nobody but this machine may pay invoices through the development routes", () => {
  const real = { LNBITS_URL: "http://127.0.0.1:5000", LNBITS_API_KEY: "k" };
  strictEqual(parseEnv({}).devRoutes, true);
  strictEqual(parseEnv({ HOST: "0.0.0.0" }).devRoutes, true);
  strictEqual(parseEnv(real).devRoutes, true);
  strictEqual(parseEnv({ ...real, HOST: "0.0.0.0" }).devRoutes, false);
  strictEqual(parseEnv({ ...real, PUBLIC_ORIGIN: "https://timmy.example" }).devRoutes, false);
  strictEqual(parseEnv({ ...real, NODE_ENV: "production" }).devRoutes, false);
});

Deno.test("secretsOf: names every key there is", () => {
  const keys = {
    LNBITS_API_KEY: "a1",
    LNBITS_ADMIN_KEY: "b2",
    LNBITS_DEV_PAYER_KEY: "c3",
    AI_INTEGRATIONS_ANTHROPIC_API_KEY: "d4",
  };
  const local = { LOCAL_MODEL_BASE_URL: "http://127.0.0.1:1/v1", LOCAL_MODEL_API_KEY: "e5" };
  deepStrictEqual(secretsOf(parseEnv({ LNBITS_URL: "http://127.0.0.1:5000", ...keys, ...local })).sort(), [
    "a1",
    "b2",
    "c3",
    "d4",
    "e5",
  ]);
});

Deno.test(".env.example: lists every setting with its default, and nothing else", async () => {
  const lines = (await Deno.readTextFile(new URL(".env.example", import.meta.url))).split("\n");
  const listed = Object.fromEntries(lines.flatMap((line) => {
    const found = /^(# )?([A-Z][A-Z0-9_]+)=(.*)$/.exec(line);
    return found ? [[found[2], found[1] ? null : found[3]?.replace(/^"(.*)"$/, "$1")]] : [];
  }));
  deepStrictEqual(listed, ENV_DEFAULTS);
  parseEnv(
    Object.fromEntries(
      Object.entries(listed).flatMap(([name, value]) => value === null ? [] : [[name, value as string]]),
    ),
  );
});

Deno.test("permissions: the program may read its settings and what its libraries ask for, nothing else", async () => {
  const script = await Deno.readTextFile(new URL("scripts/permissions.sh", import.meta.url));
  const allowed = new Set(/^TIMMY_ENV=(\S+)$/m.exec(script)?.[1]?.split(","));
  for (const name of ENV_NAMES) ok(allowed.has(name), `scripts/permissions.sh does not allow ${name}`);
});
