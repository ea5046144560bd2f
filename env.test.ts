import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import { ENV_DEFAULTS, ENV_NAMES, EnvError, parseEnv, secretsOf } from "./env.ts";

const REAL_WALLET = { LNBITS_URL: "http://127.0.0.1:5000", LNBITS_API_KEY: "k" };
/** Ways to have a model that is not the simulated one. */
const REAL_MODELS = {
  "a hosted model": { AI_INTEGRATIONS_ANTHROPIC_API_KEY: "k" },
  "a local model with a key": { LOCAL_MODEL_BASE_URL: "http://127.0.0.1:1/v1", LOCAL_MODEL_API_KEY: "k" },
  "a local model without a key": { LOCAL_MODEL_BASE_URL: "http://127.0.0.1:1/v1" },
  "a local model that works": { LOCAL_MODEL_BASE_URL: "http://127.0.0.1:1/v1", WORK_MODEL: "local/x" },
};

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
  strictEqual(env.settings.publicOrigin, "http://127.0.0.1:8080");
  deepStrictEqual(env.lightning, { kind: "simulated" });
  strictEqual(env.anthropic, undefined);
  strictEqual(env.settings.evalFeeSats, 10);
  strictEqual(env.settings.price.marginPct, 25);
  deepStrictEqual(env.modelRates.sonnet, { inputUsdPer1k: 0.003, outputUsdPer1k: 0.015 });
  const { refundMaxFeeSats, refundDustSats, refundClaimDays, freeFailures, chatModels } = env.settings;
  deepStrictEqual([refundMaxFeeSats, refundDustSats, refundClaimDays], [10, 1, 30]);
  deepStrictEqual(freeFailures, { satsPerHour: 1_000 });
  deepStrictEqual(chatModels, ["claude-sonnet-4-6", "claude-haiku-4-5"]);
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
  strictEqual(parseEnv({ ORIGINATOR_MARGIN_PCT: "12.5" }).settings.price.marginPct, 12.5);
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
    [{ LOCAL_MODEL_API_KEY: "k" }, /LOCAL_MODEL_API_KEY needs LOCAL_MODEL_BASE_URL/],
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
  for (const [what, model] of Object.entries(REAL_MODELS)) {
    for (const HOST of ["127.0.0.1", "localhost", "::1"]) {
      strictEqual(problemsOf({ HOST, ...model }).length, 0, `${what}, ${HOST}`);
    }
    for (const HOST of ["0.0.0.0", "::", "192.0.2.1", "127.0.0.1.example.com"]) {
      match(problemsOf({ HOST, ...model })[0] ?? "", /^HOST or PUBLIC_ORIGIN is not loopback/, `${what}, ${HOST}`);
      deepStrictEqual(problemsOf({ HOST, ...model, ...REAL_WALLET }), [], `${what}, ${HOST}, and a real wallet`);
    }
    match(problemsOf({ PUBLIC_ORIGIN: "https://timmy.example", ...model })[0] ?? "", /^HOST or PUBLIC_ORIGIN/, what);
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
  deepStrictEqual(parseEnv({ CORS_ORIGINS: "https://a.example, http://localhost:3000" }).http.corsOrigins, [
    "https://a.example",
    "http://localhost:3000",
  ]);
  for (const value of [",", "*,https://a.example", "a.example", "https://a.example/", "https://*.example.com/x"]) {
    strictEqual(problemsOf({ CORS_ORIGINS: value }).length, 1, value);
  }
});

Deno.test("parseEnv: where anything is real, nobody but this machine may pay invoices through the development routes", () => {
  strictEqual(parseEnv({}).devRoutes, "anyone");
  strictEqual(parseEnv({ HOST: "0.0.0.0" }).devRoutes, "anyone");
  for (const [what, model] of Object.entries(REAL_MODELS)) {
    strictEqual(parseEnv(model).devRoutes, "this-machine", what);
    strictEqual(parseEnv({ ...model, ...REAL_WALLET, HOST: "0.0.0.0" }).devRoutes, "off", what);
  }
  strictEqual(parseEnv(REAL_WALLET).devRoutes, "this-machine");
  strictEqual(parseEnv({ ...REAL_WALLET, HOST: "0.0.0.0" }).devRoutes, "off");
  strictEqual(parseEnv({ ...REAL_WALLET, PUBLIC_ORIGIN: "https://timmy.example" }).devRoutes, "off");
  strictEqual(parseEnv({ ...REAL_WALLET, NODE_ENV: "production" }).devRoutes, "off");
});

Deno.test("parseEnv: an address with parts it must not have is a bad setting, by name, whatever they are", () => {
  const others = { LNBITS_API_KEY: "k", DENO_KV_ACCESS_TOKEN: "k" };
  const strange = [
    "http://h/x?usr=a",
    "http://h?",
    "http://h/#top",
    "http://a b",
    "http:/\\h",
    "http://",
    "h:5000",
    "http://h:99999",
  ];
  const cases: Record<string, string[]> = {
    LNBITS_URL: [
      ...strange,
      ...["http://h/wallet?usr=a", "http://h/wallet", "http://h/wallet/", "http://h/sub/wallet/x", "http://h/api/v1"],
    ],
    KV_URL: strange,
    LOCAL_MODEL_BASE_URL: [...strange, "http://h/v1/chat/completions", "http://h/v1/models/"],
    AI_INTEGRATIONS_ANTHROPIC_BASE_URL: strange,
    PUBLIC_ORIGIN: [...strange, "http://h/x", "http://h/x/", "http://u:p@h", "ftp://h", "null", "*"],
    BTC_PRICE_THIRD_URL: ["http://h/#top", "http://a b", "http://u@h", "file:///etc/passwd"],
    HOST: ["a:b:c", "h/x", "::1::", "300.1.1.1", "0x7g.1"],
  };
  for (const [name, values] of Object.entries(cases)) {
    for (const value of values) {
      const problems = problemsOf({ ...others, [name]: value });
      ok(
        problems.some((problem) => problem.startsWith(`${name} must be `)),
        `${name}=${value}: ${problems.join("; ")}`,
      );
    }
  }
});

Deno.test("parseEnv: what a bad value seems to contradict is not held against the others", () => {
  deepStrictEqual(
    problemsOf({ LNBITS_URL: "http://h/wallet?usr=a", LNBITS_API_KEY: "k", NODE_ENV: "production" }).length,
    1,
  );
  deepStrictEqual(problemsOf({ LOCAL_MODEL_BASE_URL: "h", WORK_MODEL: "local/x", LOCAL_MODEL_API_KEY: "k" }).length, 1);
  const both = problemsOf({ PORT: "x", LNBITS_ADMIN_KEY: "k" });
  deepStrictEqual(both.map((problem) => problem.split(" ")[0]), ["PORT", "LNBITS_ADMIN_KEY"]);
});

Deno.test("parseEnv: an address is taken in the one form that is compared and extended later", () => {
  const { lightning, localModel, settings } = parseEnv({
    LNBITS_URL: "HTTPS://LNbits.Example:443/sub/",
    LNBITS_API_KEY: "k",
    LOCAL_MODEL_BASE_URL: "http://127.0.0.1:11434/v1/",
    PUBLIC_ORIGIN: "https://Timmy.example:443/",
  });
  strictEqual(lightning.kind === "lnbits" && lightning.url, "https://lnbits.example/sub");
  strictEqual(localModel?.baseURL, "http://127.0.0.1:11434/v1");
  strictEqual(settings.publicOrigin, "https://timmy.example");
  strictEqual(parseEnv({ HOST: "::1", PORT: "80" }).settings.publicOrigin, "http://[::1]");
});

Deno.test("parseEnv: what failed requests may cost is a whole number of sats, and may be none", () => {
  deepStrictEqual(parseEnv({ FREE_FAILURES_SATS_PER_HOUR: "0" }).settings.freeFailures, { satsPerHour: 0 });
  for (const value of ["-1", "1.5", "many"]) {
    match(problemsOf({ FREE_FAILURES_SATS_PER_HOUR: value })[0] ?? "", /^FREE_FAILURES_SATS_PER_HOUR /, value);
  }
});

Deno.test("parseEnv: metrics are sent to an https address on the public internet only", () => {
  strictEqual(parseEnv({}).settings.metricsPush, null);
  const url = "https://otel.example.com:4318/v1/metrics";
  deepStrictEqual(
    parseEnv({ METRICS_PUSH_URL: url, METRICS_PUSH_TOKEN: "t0ken", METRICS_PUSH_SECONDS: "10" }).settings.metricsPush,
    {
      url,
      token: "t0ken",
      everyMs: 10_000,
    },
  );
  strictEqual(parseEnv({ METRICS_PUSH_URL: url }).settings.metricsPush?.token, null);
  const wrong = [
    "http://otel.example.com/",
    "https://localhost/",
    "https://127.0.0.1/",
    "https://[::1]/",
    "https://10.0.0.1/",
  ];
  wrong.push(
    "https://2130706433/",
    "https://0x7f.1/",
    "https://[::ffff:127.0.0.1]/",
    "https://collector/",
    "https://otel.lan/",
  );
  wrong.push(
    "https://a:b@otel.example.com/",
    "otel.example.com",
    "https://169.254.169.254/",
    "https://otel.example.com/#x",
  );
  for (const value of wrong) {
    match(problemsOf({ METRICS_PUSH_URL: value })[0] ?? "", /^METRICS_PUSH_URL must be/, value);
  }
  for (const value of ["9", "86401", "1.5"]) {
    match(problemsOf({ METRICS_PUSH_SECONDS: value })[0] ?? "", /^METRICS_PUSH_SECONDS /, value);
  }
  deepStrictEqual(problemsOf({ METRICS_PUSH_TOKEN: "k" }), ["METRICS_PUSH_TOKEN needs METRICS_PUSH_URL"]);
});

Deno.test("parseEnv: the attestation helper's socket lies in the data folder, or where its path says", () => {
  strictEqual(parseEnv({}).attestationSocket, undefined);
  for (const DATA_DIR of ["/data", "/data/"]) {
    strictEqual(parseEnv({ DATA_DIR, ATTESTATION_SOCKET: "a.sock" }).attestationSocket, "/data/a.sock");
  }
  strictEqual(parseEnv({ ATTESTATION_SOCKET: "./x/a.sock" }).attestationSocket, "./x/a.sock");
  for (const value of ["two words", "x".repeat(101)]) {
    match(problemsOf({ ATTESTATION_SOCKET: value })[0] ?? "", /^ATTESTATION_SOCKET must be/, value);
  }
});

Deno.test("parseEnv: the instance's key is 64 hex digits or nsec, and a key", () => {
  const nsec = "nsec1qurswpc8qurswpc8qurswpc8qurswpc8qurswpc8qurswpc8qursl6edet";
  const key = new Uint8Array(32).fill(7);
  deepStrictEqual(parseEnv({ NOSTR_PRIVATE_KEY: "07".repeat(32) }).nostrPrivateKey, key);
  deepStrictEqual(parseEnv({ NOSTR_PRIVATE_KEY: nsec }).nostrPrivateKey, key);
  strictEqual(parseEnv({}).nostrPrivateKey, undefined);
  for (const value of ["07", "00".repeat(32), "ff".repeat(32), nsec.slice(0, -1), "npub1x"]) {
    match(problemsOf({ NOSTR_PRIVATE_KEY: value })[0] ?? "", /^NOSTR_PRIVATE_KEY must be/, value);
  }
});

Deno.test("secretsOf: names every key there is", () => {
  const keys = {
    LNBITS_API_KEY: "a1",
    LNBITS_ADMIN_KEY: "b2",
    LNBITS_DEV_PAYER_KEY: "c3",
    AI_INTEGRATIONS_ANTHROPIC_API_KEY: "d4",
    NOSTR_PRIVATE_KEY: "07".repeat(32),
  };
  const local = { LOCAL_MODEL_BASE_URL: "http://127.0.0.1:1/v1", LOCAL_MODEL_API_KEY: "e5" };
  const push = { METRICS_PUSH_URL: "https://otel.example.com/", METRICS_PUSH_TOKEN: "f6" };
  deepStrictEqual(secretsOf(parseEnv({ LNBITS_URL: "http://127.0.0.1:5000", ...keys, ...local, ...push })).sort(), [
    "07".repeat(32),
    "a1",
    "b2",
    "c3",
    "d4",
    "e5",
    "f6",
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
