/** timmyctl doctor: each finding is provoked, and the command is shown to change nothing and to print no secret. */
import assert from "node:assert/strict";
import { systemClock } from "@/lib/clock.ts";
import { type Finding, type Severity, worst } from "@/lib/doctor/finding.ts";
import { systemRandom } from "@/lib/ids.ts";
import { type FakeLnbits, startFakeLnbits } from "@/lib/lightning/testing/fake-lnbits.ts";
import { isTaken, openDataDir } from "@/lib/store/data-dir.ts";
import { freePort, startProcess } from "@/tests/harness/process.ts";
import { VERSION } from "../version.ts";
import type { World } from "./diagnose.ts";
import { doctor } from "./doctor.ts";

const MIB = 1024 * 1024;
const CANARY = "canary-5f1d";
/** Every name is known, and nobody but this machine answers. */
const world: World = {
  reach: {
    clock: systemClock,
    fetch: (url, init) =>
      new URL(String(url)).hostname === "127.0.0.1" ? fetch(url, init) : Promise.reject(new TypeError("refused")),
  },
  resolve: () => Promise.resolve(["192.0.2.1"]),
  freeBytes: () => Promise.resolve(100_000 * MIB),
};

interface Place {
  folder: string;
  data: string;
  env: string;
  port: number;
  envMode?: number;
}

async function inFolder<T>(test: (place: Place) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "timmy-doctor-" });
  try {
    return await test({ folder, data: `${folder}/data`, env: `${folder}/.env`, port: freePort() });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const OFFLINE = ["BTC_PRICE_URL", "BTC_PRICE_SECOND_URL", "BTC_PRICE_THIRD_URL"].map((name) =>
  `${name}=http://127.0.0.1:9/`
);

/** What doctor says of these lines of settings. */
async function diagnosed(
  { data, env, port, envMode = 0o600 }: Place,
  lines: readonly string[],
  other: Partial<World> = {},
  ...args: string[]
): Promise<{ code: number; findings: Finding[]; text: string }> {
  const text = [`DATA_DIR=${data}`, `PORT=${port}`, ...OFFLINE, ...lines].join("\n");
  await Deno.writeTextFile(env, text);
  await Deno.chmod(env, envMode);
  let out = "";
  const io = { out: (said: string) => void (out += said), err: (said: string) => void (out += said) };
  const code = await doctor(["--env", env, "--json", ...args], io, { ...world, ...other });
  const { findings, severity } = JSON.parse(out);
  assert.equal(severity, worst(findings));
  assert.equal(code, severity === "error" ? 1 : 0);
  for (const finding of findings as Finding[]) assert.equal(finding.todo === "", finding.severity === "ok", out);
  let plain = "";
  await doctor(["--env", env, ...args], { ...io, out: (said) => void (plain += said) }, { ...world, ...other });
  for (const printed of [out, plain]) assert.ok(!printed.includes(CANARY), printed);
  return { code, findings, text: plain };
}

const has = (findings: readonly Finding[], check: string, severity: Severity, message: RegExp) =>
  assert.ok(
    findings.some((one) => one.check === check && one.severity === severity && message.test(one.message)),
    `no ${severity} of ${check} like ${message}:\n${JSON.stringify(findings, null, 1)}`,
  );
const none = (findings: readonly Finding[], check: string) =>
  assert.deepEqual(findings.filter((one) => one.check === check && one.severity !== "ok"), []);

Deno.test("doctor: with a new machine's defaults nothing is an error, and nothing is made", () =>
  inFolder(async (place) => {
    const { code, findings, text } = await diagnosed(place, []);
    assert.equal(code, 0);
    assert.deepEqual(findings.filter(({ severity }) => severity !== "ok").map(({ check }) => check), ["price"]);
    assert.match(text, /0 errors, 1 warning$/);
    assert.deepEqual((await Array.fromAsync(Deno.readDir(place.folder))).map(({ name }) => name), [".env"]);
  }));

Deno.test("doctor: every bad setting is named at once, lines that are none and misspelt names too", () =>
  inFolder(async (place) => {
    const { findings } = await diagnosed(place, [
      `EVAL_FEE_SATS=${CANARY}`,
      `LNBITS_ADMIN_KEY=${CANARY}`,
      CANARY,
      `LNBITS_ADMINKEY=${CANARY}`,
    ]);
    has(findings, "settings", "error", /^EVAL_FEE_SATS must be a whole number/);
    has(findings, "settings", "error", /^LNBITS_ADMIN_KEY needs LNBITS_URL/);
    has(findings, "settings", "error", /^line 8 of .* is no NAME=value/);
    has(findings, "settings", "warning", /^LNBITS_ADMINKEY in .* is no setting/);
  }));

const lines = (
  { url, merchant }: Pick<FakeLnbits, "url" | "merchant">,
  keys: { api?: string; admin?: string | null } = {},
) => {
  const { api = merchant.invoiceKey, admin = merchant.adminKey } = keys;
  return [`LNBITS_URL=${url}`, `LNBITS_API_KEY=${api}`, ...(admin === null ? [] : [`LNBITS_ADMIN_KEY=${admin}`])];
};

Deno.test("doctor: a wallet that is right is ok, its keys are not printed, and nothing is spent", () =>
  inFolder(async (place) => {
    const lnbits = startFakeLnbits();
    lnbits.merchant.invoiceKey = `${CANARY}-invoice`;
    lnbits.merchant.adminKey = `${CANARY}-admin`;
    lnbits.rows.push({
      checking_id: "a".repeat(64),
      payment_hash: "a".repeat(64),
      wallet_id: lnbits.merchant.walletId,
      amount: 5_000_000,
      fee: 0,
      bolt11: "",
      status: "success",
      preimage: null,
      labels: [],
      expiresAt: 0,
    });
    try {
      const { findings } = await diagnosed(place, lines(lnbits));
      none(findings, "wallet");
      has(findings, "wallet", "ok", /holds 5000 sats/);
      has(findings, "wallet", "ok", /LNBITS_ADMIN_KEY can pay refunds/);
      has(findings, "clock", "ok", /agrees/);
      has(findings, "backup", "warning", /no folder of backups/);
      assert.ok(lnbits.rows.every(({ amount }) => amount > 0), "something was spent");
    } finally {
      await lnbits.close();
    }
  }));

for (
  const [name, change, check, severity, message] of [
    [
      "that is not there",
      (it) => lines({ ...it, url: `http://127.0.0.1:${freePort()}` }),
      "wallet",
      "error",
      /does not answer: nothing listens/,
    ],
    [
      "with an unknown key",
      (it) => lines(it, { api: `${CANARY}-x` }),
      "wallet",
      "error",
      /does not know the key in LNBITS_API_KEY/,
    ],
    ["without an admin key", (it) => lines(it, { admin: null }), "wallet", "warning", /cannot give any back/],
    [
      "with an unknown admin key",
      (it) => lines(it, { admin: `${CANARY}-x` }),
      "wallet",
      "error",
      /does not take LNBITS_ADMIN_KEY/,
    ],
    [
      "with another wallet's admin key",
      (it) => lines(it, { admin: it.payer.adminKey }),
      "wallet",
      "error",
      /of another wallet/,
    ],
    [
      "with the invoice key twice",
      (it) => lines(it, { admin: it.merchant.invoiceKey }),
      "wallet",
      "error",
      /may not spend/,
    ],
    ["with the admin key twice", (it) => lines(it, { api: it.merchant.adminKey }), "wallet", "warning", /it may spend/],
    ["that holds nothing", (it) => lines(it), "wallet", "warning", /holds nothing/],
    [
      "that allows a high fee",
      (it) => {
        it.feeReserveMsat = 11_000;
        return lines(it);
      },
      "wallet",
      "warning",
      /sets 11 sats aside.*REFUND_MAX_FEE_SATS \(10\)/,
    ],
    [
      "whose node is away",
      (it) => {
        for (let i = 0; i < 2; i++) {
          it.failNext("create", {
            how: "instead",
            status: 520,
            body: { detail: `down ${CANARY}-admin` },
          });
        }
        return lines(it, { admin: `${CANARY}-admin` });
      },
      "wallet",
      "error",
      /makes no invoice \(520: down \[key\]\)/,
    ],
    [
      "behind a page",
      (it) => {
        for (let i = 0; i < 2; i++) it.failNext("wallet", { how: "instead", status: 404, body: "<h1>nginx</h1>" });
        return lines(it);
      },
      "wallet",
      "error",
      /is no LNbits/,
    ],
    [
      "before its first set-up",
      (it) => {
        const headers = { location: "/first_install" };
        for (let i = 0; i < 2; i++) it.failNext("wallet", { how: "instead", status: 307, body: "", headers });
        return lines(it);
      },
      "wallet",
      "error",
      /sends callers elsewhere/,
    ],
    [
      "that is another server",
      (it) => {
        for (let i = 0; i < 2; i++) it.failNext("wallet", { how: "instead", status: 200, body: { hello: 1 } });
        return lines(it);
      },
      "wallet",
      "error",
      /does not speak as LNbits does/,
    ],
    [
      "that makes a broken invoice",
      (it) => {
        const body = { payment_hash: "a".repeat(64), bolt11: "lnbc1" };
        for (let i = 0; i < 2; i++) it.failNext("create", { how: "instead", status: 201, body });
        return lines(it);
      },
      "wallet",
      "error",
      /an invoice that is not valid/,
    ],
  ] as const satisfies readonly (readonly [string, (it: FakeLnbits) => string[], string, Severity, RegExp])[]
) {
  Deno.test(`doctor: a wallet ${name} is said`, () =>
    inFolder(async (place) => {
      const lnbits = startFakeLnbits();
      try {
        const { findings } = await diagnosed(place, change(lnbits));
        has(findings, check, severity, message);
        assert.ok(lnbits.rows.every(({ amount }) => amount > 0), "something was spent");
      } finally {
        await lnbits.close();
      }
    }));
}

/** A server of models that knows one key and one model. */
function modelServer(): { url: string; asked: string[]; close(): Promise<void> } {
  const asked: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { pathname } = new URL(request.url);
    asked.push(`${request.method} ${pathname}`);
    const key = request.headers.get("x-api-key") ?? request.headers.get("authorization")?.slice("Bearer ".length);
    if (key !== `${CANARY}-model`) return Response.json({ error: { message: `no ${key}` } }, { status: 401 });
    if (pathname === "/v1/models") return Response.json({ data: [{ id: "claude-haiku-4-5" }, { id: "llama" }] });
    return Response.json({}, { status: pathname.endsWith("claude-sonnet-4-6") ? 200 : 404 });
  });
  return { url: `http://127.0.0.1:${server.addr.port}`, asked, close: () => server.shutdown() };
}

Deno.test("doctor: a hosted model's key and names are looked at, and no model is asked", () =>
  inFolder(async (place) => {
    const server = modelServer();
    const anthropic = (key: string) => [
      `AI_INTEGRATIONS_ANTHROPIC_API_KEY=${key}`,
      `AI_INTEGRATIONS_ANTHROPIC_BASE_URL=${server.url}`,
    ];
    try {
      const good = await diagnosed(place, anthropic(`${CANARY}-model`));
      none(good.findings, "model");
      has(good.findings, "model", "ok", /takes the key/);
      const key = await diagnosed(place, anthropic(`${CANARY}-other`));
      has(key.findings, "model", "error", /does not take the key in AI_INTEGRATIONS_ANTHROPIC_API_KEY/);
      const name = await diagnosed(place, [
        ...anthropic(`${CANARY}-model`),
        "WORK_MODEL=claude-none",
      ]);
      has(name.findings, "model", "error", /has no model claude-none/);
      has(name.findings, "model", "error", /no price is known for the model "claude-none"/);
      assert.deepEqual(server.asked.filter((one) => !one.startsWith("GET /v1/models")), []);
    } finally {
      await server.close();
    }
    const away = await diagnosed(place, anthropic(`${CANARY}-model`));
    has(away.findings, "model", "error", /Anthropic does not answer/);
  }));

Deno.test("doctor: a local server's key and names are looked at, and it is asked with --spend alone", () =>
  inFolder(async (place) => {
    const server = modelServer();
    const local = (name: string, key = `${CANARY}-model`, path = "/v1") => [
      `LOCAL_MODEL_BASE_URL=${server.url}${path}`,
      `LOCAL_MODEL_API_KEY=${key}`,
      `EVAL_MODEL=local/${name}`,
      `WORK_MODEL=local/${name}`,
    ];
    try {
      none((await diagnosed(place, local("llama"))).findings, "model");
      has((await diagnosed(place, local("gpt"))).findings, "model", "warning", /does not list local\/gpt/);
      has(
        (await diagnosed(place, local("llama", `${CANARY}-x`))).findings,
        "model",
        "error",
        /does not take LOCAL_MODEL_API_KEY/,
      );
      has(
        (await diagnosed(place, local("llama", undefined, "/v2"))).findings,
        "model",
        "warning",
        /does not list models \(404\)/,
      );
      assert.deepEqual(server.asked.filter((one) => one.startsWith("POST")), []);
      const spent = await diagnosed(place, local("llama"), {}, "--spend");
      has(spent.findings, "model", "error", /local\/llama did not evaluate a request/);
      assert.ok(server.asked.includes("POST /v1/chat/completions"));
    } finally {
      await server.close();
    }
    has((await diagnosed(place, local("llama"))).findings, "model", "error", /local model server does not answer/);
  }));

Deno.test("doctor: what is simulated is a warning as soon as others are served", () =>
  inFolder(async (place) => {
    const { findings } = await diagnosed(place, ["PUBLIC_ORIGIN=https://timmy.example"]);
    has(findings, "wallet", "warning", /Lightning is simulated/);
    has(findings, "model", "warning", /model is simulated/);
  }));

Deno.test("doctor: a clock that is wrong is measured against the wallet's, ahead and behind, and before 2026 by itself", () =>
  inFolder(async (place) => {
    const lnbits = startFakeLnbits();
    const off = (ms: number) => ({
      reach: { ...world.reach, clock: { ...systemClock, now: () => systemClock.now() + ms } },
    });
    try {
      const asked = async (ms: number) => (await diagnosed(place, lines(lnbits), off(ms))).findings;
      // A Date header has whole seconds, and a busy machine answers late.
      has(await asked(70_000), "clock", "error", /(6[5-9]|7[0-5]) s ahead/);
      has(await asked(-70_000), "clock", "error", /(6[5-9]|7[0-5]) s behind/);
      has(await asked(-30_000), "clock", "warning", /(2[5-9]|3[0-5]) s behind/);
      none(await asked(2_000), "clock");
      has((await diagnosed(place, [], off(-systemClock.now()))).findings, "clock", "error", /before 2026/);
    } finally {
      await lnbits.close();
    }
  }));

Deno.test("doctor: a full disk, one that is nearly full, and one that does not tell", () =>
  inFolder(async (place) => {
    const free = async (bytes: number | null) =>
      (await diagnosed(place, [], { freeBytes: () => Promise.resolve(bytes) })).findings;
    has(await free(63 * MIB), "disk", "error", /63 MiB are free/);
    has(await free(64 * MIB), "disk", "warning", /64 MiB are free/);
    has(await free(null), "disk", "warning", /does not tell/);
    none(await free(1024 * MIB), "disk");
  }));

Deno.test("doctor: a data folder that is a file, or would lie below one, is said", () =>
  inFolder(async (place) => {
    await Deno.writeTextFile(place.data, "");
    for (const data of [place.data, `${place.data}/`, `${place.data}/below/it`]) {
      has((await diagnosed({ ...place, data }, [])).findings, "disk", "error", /cannot be written/);
    }
  }));

Deno.test({
  name: "doctor: a locked data folder is said (needs a user who is not root)",
  ignore: Deno.uid() === 0,
  fn: () =>
    inFolder(async (place) => {
      await Deno.mkdir(place.data, { mode: 0o500 });
      has((await diagnosed(place, [])).findings, "disk", "error", /cannot be written/);
    }),
});

Deno.test("doctor: what others may read is said, file by file", () =>
  inFolder(async (place) => {
    await Deno.mkdir(place.data, { mode: 0o700 });
    for (const name of ["token.key", "simulated-wallet.seed", "other.kv-wal", "readme"]) {
      await Deno.writeTextFile(`${place.data}/${name}`, "");
      await Deno.chmod(`${place.data}/${name}`, 0o600);
    }
    none((await diagnosed(place, [])).findings, "permissions");
    for (const name of ["token.key", "simulated-wallet.seed", "other.kv-wal", "readme"]) {
      await Deno.chmod(`${place.data}/${name}`, 0o640);
    }
    await Deno.chmod(place.data, 0o755);
    const { findings } = await diagnosed({ ...place, envMode: 0o604 }, []);
    assert.deepEqual(
      findings.filter(({ check }) => check === "permissions").map(({ todo }) => todo).toSorted(),
      [
        `chmod 600 ${place.env}`,
        `chmod 600 ${place.data}/token.key`,
        `chmod 600 ${place.data}/simulated-wallet.seed`,
        `chmod 600 ${place.data}/other.kv-wal`,
        `chmod 700 ${place.data}`,
      ].toSorted(),
    );
  }));

/** Something that says it is healthy, with this process's start. */
const healthy = (version: string, startedAt: string) =>
  Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) =>
      new URL(request.url).pathname === "/metrics"
        ? new Response(`process_start_time_seconds ${startedAt}\n`)
        : Response.json({ status: "ok", version }),
  );

Deno.test("doctor: a port is free, ours, another Timmy's or somebody else's", () =>
  inFolder(async (place) => {
    const at = async (port: number) => (await diagnosed({ ...place, port }, [])).findings;
    const other = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => new Response("hello"));
    const mute = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const cutting = (async () => {
      for await (const connection of mute) connection.close();
    })();
    const [old, same] = [healthy("0.0.1", "1"), healthy(VERSION, "1")];
    try {
      none(await at(place.port), "port");
      has(await at(other.addr.port), "port", "error", /something else listens/);
      has(await at(mute.addr.port), "port", "error", /gives no answer/);
      has(await at(same.addr.port), "port", "error", /another Timmy listens/);
      const dir = await openDataDir(place.data, systemRandom);
      has(await at(place.port), "port", "error", /an instance has DATA_DIR and does not listen/);
      has(await at(old.addr.port), "version", "warning", /timmy 0\.0\.1 runs/);
      none(await at(same.addr.port), "port");
      dir.release();
    } finally {
      mute.close();
      await Promise.all([cutting, other.shutdown(), old.shutdown(), same.shutdown()]);
    }
  }));

Deno.test("doctor: the public address must be encrypted and lead to this very instance", () =>
  inFolder(async (place) => {
    const own = healthy(VERSION, "1");
    const dir = await openDataDir(place.data, systemRandom);
    const asked = async (origin: string, answers: Record<string, Response> | null, running = true) => {
      const reach: World["reach"] = {
        ...world.reach,
        fetch: (url, init) => {
          const { hostname, pathname } = new URL(String(url));
          if (hostname === "127.0.0.1") return fetch(url, init);
          const answer = answers?.[pathname]?.clone();
          return answer ? Promise.resolve(answer) : Promise.reject(new TypeError("connection refused"));
        },
      };
      const port = running ? own.addr.port : place.port;
      return (await diagnosed({ ...place, port }, [`PUBLIC_ORIGIN=${origin}`], { reach })).findings;
    };
    const timmy = (version: string, startedAt: string) => ({
      "/api/health": Response.json({ status: "ok", version }),
      "/metrics": new Response(`process_start_time_seconds ${startedAt}\n`),
    });
    const https = "https://timmy.example";
    try {
      none(await asked(https, timmy(VERSION, "1")), "origin");
      has(await asked("http://timmy.example", timmy(VERSION, "1")), "origin", "error", /not encrypted/);
      has(await asked("http://192.168.1.7:8080", timmy(VERSION, "1")), "origin", "warning", /not encrypted/);
      none(await asked("http://timmyabc.onion", timmy(VERSION, "1")), "origin");
      has(await asked("http://0.0.0.0:8080", null), "origin", "warning", /leads nowhere/);
      has(await asked(https, null), "origin", "error", /does not answer from here/);
      has(await asked(https, { "/api/health": new Response("hi") }), "origin", "error", /no Timmy/);
      has(await asked(https, timmy(VERSION, "2")), "origin", "error", /another Timmy/);
      has(await asked(https, timmy("0.0.1", "1")), "origin", "error", /another Timmy/);
      dir.release();
      has(await asked(https, null, false), "origin", "warning", /does not answer from here/);
      has(await asked(https, timmy(VERSION, "1"), false), "origin", "warning", /none of this data folder runs/);
    } finally {
      await own.shutdown();
    }
  }));

Deno.test("doctor: names that nobody knows are said, with the settings they stand in", () =>
  inFolder(async (place) => {
    const settings = ["PUBLIC_ORIGIN=https://timmy.example", "LNBITS_URL=https://wallet.example", "LNBITS_API_KEY=k"];
    const unknown = (...names: string[]) => ({
      resolve: (name: string) =>
        names.includes(name) ? Promise.reject(new Error("ENOTFOUND")) : Promise.resolve(["192.0.2.1"]),
    });
    const one = await diagnosed(place, settings, unknown("wallet.example"));
    has(one.findings, "dns", "error", /^the name wallet\.example of LNBITS_URL is not known/);
    const all = await diagnosed(place, settings, { resolve: () => Promise.resolve([]) });
    has(all.findings, "dns", "error", /^not one of 2 names/);
    none((await diagnosed(place, settings)).findings, "dns");
  }));

Deno.test("doctor: a price source that answers is counted, and its address is not printed", () =>
  inFolder(async (place) => {
    const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => new Response("{}"));
    try {
      const url = `http://127.0.0.1:${server.addr.port}/?key=${CANARY}`;
      const { findings } = await diagnosed(place, [`BTC_PRICE_URL='${url}'`]);
      has(findings, "price", "ok", /^1 of 3 sources/);
      has(findings, "clock", "ok", /agrees/);
    } finally {
      await server.shutdown();
    }
  }));

Deno.test("doctor: the age of the newest backup", () =>
  inFolder(async (place) => {
    const folder = `${place.folder}/backups`;
    const asked = async (...more: string[]) => (await diagnosed(place, [`BACKUP_DIR=${folder}`, ...more])).findings;
    has(await asked(), "backup", "error", /BACKUP_DIR cannot be read/);
    await Deno.mkdir(folder);
    has(await asked(), "backup", "error", /there is no backup/);
    for (const [name, hours] of [["old", 900], ["new", 49]] as const) {
      await Deno.writeTextFile(`${folder}/${name}`, "");
      const at = new Date(Date.now() - hours * 3_600_000);
      await Deno.utime(`${folder}/${name}`, at, at);
    }
    has(await asked(), "backup", "error", /is 49 h old/);
    has(await asked("BACKUP_EVERY_HOURS=25"), "backup", "ok", /is 49 h old/);
  }));

Deno.test("doctor: a database that cannot be read is said, and one without room for its copy is left alone", () =>
  inFolder(async (place) => {
    await Deno.mkdir(place.data, { mode: 0o700 });
    await Deno.writeTextFile(`${place.data}/timmy.kv`, "this is no database at all ".repeat(200), { mode: 0o600 });
    has((await diagnosed(place, [])).findings, "database", "error", /not a database|cannot be/);
    const little = { freeBytes: () => Promise.resolve(64 * MIB) };
    has((await diagnosed(place, [], little)).findings, "database", "warning", /no room for a copy/);
    const left = (await Array.fromAsync(Deno.readDir(place.data))).map(({ name }) => name);
    assert.deepEqual(left, ["timmy.kv"]);
  }));

Deno.test("doctor: a running instance is found, proven and left alone, and may be started while it is looked at", () =>
  inFolder(async (place) => {
    const timmy = await startProcess({ DATA_DIR: place.data, PORT: String(place.port) });
    try {
      const { findings } = await diagnosed(place, [], {}, "--audit");
      has(findings, "port", "ok", /this instance listens/);
      has(findings, "database", "ok", /can be read/);
      has(findings, "audit", "ok", /the ledger is right/);
      assert.equal((await timmy.call("POST", "/api/jobs", { request: "hello" })).status, 201);
      assert.equal(await timmy.stop(), 0);
    } finally {
      await timmy.kill().catch(() => {});
    }
  }));

Deno.test("doctor: an instance may be started while its lock is looked at without end", () =>
  inFolder(async ({ data }) => {
    (await openDataDir(data, systemRandom)).release();
    const looking = new Deno.Command("sh", {
      args: ["-c", 'exec "$DENO" run --quiet --no-prompt --config "$ROOT/deno.json" --allow-read --allow-write -'],
      env: { DENO: Deno.execPath(), ROOT: new URL("..", import.meta.url).pathname },
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const script = `import { isTaken } from "${new URL("../lib/store/data-dir.ts", import.meta.url)}";
      await isTaken("${data}");
      console.log("looking");
      for (;;) await isTaken("${data}");`;
    const writer = looking.stdin.getWriter();
    await writer.write(new TextEncoder().encode(script));
    await writer.close();
    const reader = looking.stdout.getReader();
    await reader.read();
    try {
      for (let start = 0; start < 50; start++) {
        const dir = await openDataDir(data, systemRandom);
        assert.equal(await isTaken(data), true);
        dir.release();
      }
    } finally {
      looking.kill("SIGKILL");
      await reader.cancel();
      await looking.status;
    }
    assert.equal(await isTaken(data), false);
  }));

Deno.test("doctor: a file that is not there, and options that are none", () =>
  inFolder(async ({ folder, data }) => {
    let err = "";
    const io = { out: () => assert.fail("something was printed"), err: (said: string) => void (err += said) };
    assert.equal(await doctor(["--env", "/none/.env"], io, world), 1);
    assert.match(err, /there is no file \/none\/\.env/);
    await Deno.writeTextFile(data, "");
    for (const path of [folder, `${data}/.env`]) {
      assert.equal(await doctor(["--env", path], io, world), 1);
      assert.ok(err.includes(`${path} cannot be read: `), err);
    }
    for (const args of [["--none"], ["x"], ["--env"], ["--json=1"]]) assert.equal(await doctor(args, io, world), 2);
  }));
