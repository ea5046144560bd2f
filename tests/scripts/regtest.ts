// deno-lint-ignore-file no-console -- a command prints
/**
 * The node's scripts for real: a systemd of its own, LND and LNbits, on regtest. Bitcoin is a stand-in made of btcd
 * (standins/regtest), because bitcoind is not everywhere; so bitcoind's own options and the real LND's connection to it are not tried
 * here. Everything happens in a temporary folder and on 127.0.0.1, and nothing is installed.
 *
 *   deno task node-scripts
 *
 * It needs Linux, root (for a mount namespace in which systemd finds itself at home), curl, openssl, and three folders:
 *   NODE_LND_BIN      with lnd and lncli
 *   NODE_BTCD_BIN     with btcd and btcctl (default: NODE_LND_BIN)
 *   NODE_LNBITS_BIN   the bin folder of a Python environment with LNbits
 */
import assert from "node:assert/strict";

const ROOT = new URL("../../", import.meta.url).pathname;
const STANDINS = `${ROOT}tests/scripts/standins/regtest`;
const { NODE_LND_BIN: lnd = "", NODE_BTCD_BIN: btcd = lnd, NODE_LNBITS_BIN: lnbits = "" } = Deno.env.toObject();

async function output(command: string, args: string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await new Deno.Command(command, { args, env, stdin: "null" }).output();
  return { code, out: new TextDecoder().decode(stdout), err: new TextDecoder().decode(stderr) };
}
async function missing(): Promise<string[]> {
  const has = (path: string) => Deno.stat(path).then(() => true, () => false);
  const checks: [string, boolean][] = [
    ["Linux", Deno.build.os === "linux"],
    ["root", Deno.uid() === 0],
    [
      "unshare and nsenter (util-linux)",
      (await output("sh", ["-c", "command -v unshare && command -v nsenter"])).code === 0,
    ],
    ["systemd (/lib/systemd/systemd)", await has("/lib/systemd/systemd")],
    ["curl and openssl", (await output("sh", ["-c", "command -v curl && command -v openssl"])).code === 0],
    ["NODE_LND_BIN: a folder with lnd and lncli", lnd !== "" && await has(`${lnd}/lnd`) && await has(`${lnd}/lncli`)],
    [
      "NODE_BTCD_BIN: a folder with btcd and btcctl",
      btcd !== "" && await has(`${btcd}/btcd`) && await has(`${btcd}/btcctl`),
    ],
    ["NODE_LNBITS_BIN: a folder with a python that has LNbits", lnbits !== "" && await has(`${lnbits}/python`)],
  ];
  return checks.filter(([, there]) => !there).map(([what]) => what);
}

/** Ports that nobody has: all are held until the last is known. */
function freePorts(count: number): number[] {
  const held = Array.from({ length: count }, () => Deno.listen({ hostname: "127.0.0.1", port: 0 }));
  const ports = held.map(({ addr }) => (addr as Deno.NetAddr).port);
  for (const listener of held) listener.close();
  return ports;
}

const needs = await missing();
if (needs.length > 0) {
  console.error(
    `node-scripts needs what is not here, and installs nothing:\n${needs.map((what) => `  - ${what}`).join("\n")}`,
  );
  Deno.exit(2);
}

const work = await Deno.makeTempDir({ prefix: "node-" });
const node = `${work}/node`;
const runtime = `${work}/run`;
await Deno.mkdir(runtime, { mode: 0o700 });
const env = {
  HOME: work,
  XDG_RUNTIME_DIR: runtime,
  XDG_CONFIG_HOME: `${work}/config`,
  BTCD_BIN: btcd,
  REAL_LND_BIN: lnd,
};
const systemd = new Deno.Command("unshare", {
  args: [
    "-m",
    "sh",
    "-c",
    "mount -t tmpfs tmpfs /run/systemd && mkdir /run/systemd/system && exec /lib/systemd/systemd --user",
  ],
  env,
  stdin: "null",
  stdout: "null",
  stderr: "null",
}).spawn();

/** systemctl takes a machine for one without systemd where it does not see the mounts that systemd was given. */
const inside = (command: string, ...args: string[]) =>
  output("nsenter", ["--target", `${systemd.pid}`, "--mount", command, ...args], env);

let step = 0;
const done = (what: string) => console.log(`${++step}. ${what}`);
const run = async (script: string, ...args: string[]) => {
  const result = await inside(`${ROOT}scripts/bitcoin-ln-node/${script}`, "--home", node, ...args);
  return { ...result, said: `${script}: ${result.out}${result.err}` };
};
const ok = async (script: string, ...args: string[]): Promise<string> => {
  const { code, out, said } = await run(script, ...args);
  assert.equal(code, 0, said);
  return out;
};
const status = async () => JSON.parse((await run("status", "--json")).out);
async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 120; tries++) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error(`waited in vain for ${what}`);
}

try {
  await until(
    "systemd",
    async () => (await inside("systemctl", "--user", "is-system-running")).out.trim() === "running",
  );
  const [rpc, block, tx, grpc, rest, p2p, http] = freePorts(7);
  await Deno.mkdir(node);
  await Deno.writeTextFile(
    `${node}/node.conf`,
    `NETWORK=regtest\nBITCOIN_RPC_PORT=${rpc}\nZMQ_BLOCK_PORT=${block}\nZMQ_TX_PORT=${tx}\nLND_RPC_PORT=${grpc}\nLND_REST_PORT=${rest}\nLND_LISTEN=127.0.0.1:${p2p}\nLNBITS_PORT=${http}\n`,
  );
  const programs = ["--bitcoin-bin", STANDINS, "--lnd-bin", STANDINS, "--lnbits-bin", lnbits];
  await ok("setup", ...programs);
  assert.equal(await ok("setup"), `nothing to change in ${node}\n`);
  done("setup made the node; a second run changed nothing");

  await ok("start", "--timeout", "120");
  assert.equal(await ok("start"), "all runs\n");
  const first = await status();
  assert.equal(first.ok, true);
  const cli = (...args: string[]) =>
    output(`${STANDINS}/bitcoin-cli`, [`-conf=${node}/config/bitcoin.conf`, `-datadir=${node}/bitcoin`, ...args], env);
  assert.equal((await cli("generate", "3")).code, 0);
  await until("LND to follow the chain", async () => (await status()).lightning.syncedToChain === true);
  const synced = await status();
  assert.deepEqual([synced.bitcoin.blocks, synced.bitcoin.syncPercent, synced.lightning.state], [
    3,
    100,
    "SERVER_ACTIVE",
  ]);
  done(`start made the wallets; status: ${JSON.stringify(synced)}`);

  const keys = Object.fromEntries((await ok("get-lnbits-key")).trim().split("\n").map((line) => line.split("=")));
  assert.deepEqual(Object.keys(keys), ["LNBITS_URL", "LNBITS_API_KEY", "LNBITS_ADMIN_KEY"]);
  const lnbitsCall = async (path: string, key: string, body?: unknown) => {
    const answer = await fetch(`${keys.LNBITS_URL}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { "X-Api-Key": key, "Content-Type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: answer.status, body: await answer.json() };
  };
  const invoice = await lnbitsCall("/api/v1/payments", keys.LNBITS_API_KEY, {
    out: false,
    amount: 21,
    memo: "node-scripts",
  });
  assert.equal(invoice.status, 201);
  assert.match(invoice.body.bolt11, /^lnbcrt210n/, "an invoice of LND's, so LNbits has the key that was baked for it");
  const stranger = await fetch(`${keys.LNBITS_URL}/api/v1/account`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: '{"name":"x"}',
  });
  await stranger.body?.cancel();
  assert.ok(stranger.status >= 400, "nobody else can open an account");
  done("LNbits makes invoices of LND's with the printed keys, and opens no account for a stranger");

  const macaroon = [...await Deno.readFile(`${node}/secrets/lnbits.macaroon`)].map((byte) =>
    byte.toString(16).padStart(2, "0")
  ).join("");
  const asLnbits = (path: string) =>
    output("curl", [
      "-s",
      "--cacert",
      `${node}/lnd/tls.cert`,
      "-H",
      `Grpc-Metadata-macaroon: ${macaroon}`,
      `https://127.0.0.1:${rest}${path}`,
    ]);
  assert.match((await asLnbits("/v1/balance/channels")).out, /local_balance/);
  assert.match((await asLnbits("/v1/balance/blockchain")).out, /permission denied/);
  done("LNbits' key reads channels and not the on-chain wallet");

  const modes = await output("find", [node, "-type", "f", "-path", "*/secrets/*", "!", "-perm", "600"]);
  assert.equal(modes.out, "");
  await ok("stop", "--timeout", "60");
  const stopped = await run("status", "--json");
  assert.deepEqual([stopped.code, JSON.parse(stopped.out).bitcoin.running, JSON.parse(stopped.out).lightning.running], [
    1,
    false,
    false,
  ]);
  const log = await Deno.readTextFile(`${node}/logs/lnd.log`);
  assert.match(log, /Shutdown complete/);
  done("stop ended all three gracefully");

  await ok("start", "--timeout", "120");
  const again = await status();
  assert.equal(again.lightning.pubkey, synced.lightning.pubkey);
  assert.equal((await lnbitsCall(`/api/v1/payments/${invoice.body.payment_hash}`, keys.LNBITS_API_KEY)).status, 200);
  done("a restart opened the same wallet by itself and LNbits still knows its invoice");

  await ok("uninstall", "--timeout", "60");
  assert.ok(!await Deno.stat(`${work}/config/systemd/user/timmy-lnd.service`).then(() => true, () => false));
  await ok("setup", ...programs);
  await ok("start", "--timeout", "120");
  assert.equal((await status()).lightning.pubkey, synced.lightning.pubkey);
  done("uninstall kept the wallets: set up again, it is the same node");
  console.log("node-scripts: all good");
} finally {
  await run("stop", "--timeout", "60");
  systemd.kill("SIGTERM");
  await systemd.status;
  await Deno.remove(work, { recursive: true });
}
