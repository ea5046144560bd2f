/** scripts/bitcoin-ln-node: start, stop, status, get-lnbits-key and uninstall. */
import assert from "node:assert/strict";
import { Box } from "./box.ts";

const order = (calls: string[], ...what: RegExp[]): number[] =>
  what.map((pattern) => calls.findIndex((call) => pattern.test(call)));
const ascending = (numbers: number[]): boolean =>
  numbers.every((number, i) => number >= 0 && (i === 0 || number > (numbers[i - 1] ?? 0)));

Deno.test("node scripts: start goes Bitcoin, LND, LNbits, waits for each, and makes both wallets without asking", async () => {
  await using box = await Box.open();
  await box.ready(false);
  await box.write("warming-up", "");
  const said = await box.ok("start");
  assert.ok(await box.exists("slept"), "it waited while Bitcoin warmed up");
  const calls = await box.calls();
  const steps = order(
    calls,
    /systemctl --user start timmy-bitcoind/,
    /bitcoin-cli getblockchaininfo/,
    /systemctl --user start timmy-lnd/,
    /curl GET 127\.0\.0\.1:8080\/v1\/state/,
    /v1\/genseed/,
    /v1\/initwallet/,
    /v1\/macaroon/,
    /systemctl --user start timmy-lnbits/,
    /api\/v1\/health/,
    /first_install/,
    /curl POST 127\.0\.0\.1:5000\/api\/v1\/wallet/,
  );
  assert.ok(ascending(steps), `${steps} in ${calls.join("\n")}`);
  assert.match(said, /its 24 words go to .*lnd-seed/);
  const seed = (await box.read("home/.timmy-node/secrets/lnd-seed")).trim().split(" ");
  assert.equal(seed.length, 24);
  for (const file of ["lnd-seed", "lnbits.macaroon", "lnbits-keys"]) {
    assert.equal(await box.rights(`secrets/${file}`), "600");
  }
  assert.deepEqual(await Deno.readFile(`${box.node}/secrets/lnbits.macaroon`), new Uint8Array([2, 1, 0, 0x5f]));

  const bodies = await box.read("lnd-bodies");
  const init = JSON.parse(/\/v1\/initwallet (.*)/.exec(bodies)?.[1] ?? "");
  assert.deepEqual(init.cipher_seed_mnemonic, seed);
  assert.equal(atob(init.wallet_password), await box.read("home/.timmy-node/secrets/lnd-wallet-password"));
  const permissions: { entity: string }[] = JSON.parse(/\/v1\/macaroon (.*)/.exec(bodies)?.[1] ?? "").permissions;
  assert.ok(
    permissions.every(({ entity }) => ["info", "offchain", "invoices"].includes(entity)),
    "no key to on-chain coins or peers",
  );
  for (
    const secret of [init.wallet_password, await box.read("home/.timmy-node/secrets/lnbits-password"), seed[3] ?? ""]
  ) {
    assert.ok(
      !calls.some((call) => call.includes(secret)),
      "no secret is an argument, which every user of the machine could read",
    );
    assert.ok(!said.includes(secret));
  }

  const before = await box.tree();
  await box.forget();
  assert.equal(await box.ok("start"), "all runs\n");
  assert.deepEqual(await box.tree(), before);
  assert.ok((await box.calls()).every((call) => !/ start |initwallet|POST/.test(call)));
});

Deno.test("node scripts: a dry run of start and stop changes nothing", async () => {
  await using box = await Box.open();
  await box.ready(false);
  const before = await box.tree();
  const said = await box.ok("start", "--dry-run");
  assert.deepEqual(said.split("\n").filter((line) => /^would start/.test(line)), [
    "would start bitcoind",
    "would start lnd",
    "would start lnbits",
  ]);
  assert.match(said, /would make LND's wallet/);
  assert.deepEqual(await box.tree(), before);
  await box.ok("start");
  await box.forget();
  assert.equal(
    await box.ok("stop", "--dry-run"),
    "would stop lnbits\nwould stop lnd\nwould stop bitcoind\ndry run: nothing was changed\n",
  );
  assert.ok((await box.calls()).every((call) => /is-active/.test(call)));
});

Deno.test("node scripts: power that fails between seed and wallet leaves a seed, and the next start uses that one", async () => {
  await using box = await Box.open();
  await box.ready(false);
  await box.write("power-cut", "");
  assert.notEqual((await box.run("start")).code, 0);
  const seed = await box.read("home/.timmy-node/secrets/lnd-seed");
  assert.equal(seed.trim().split(" ").length, 24);
  await box.forget();
  await box.ok("start");
  assert.ok(!(await box.calls()).some((call) => call.includes("genseed")));
  assert.equal(await box.read("home/.timmy-node/secrets/lnd-seed"), seed);
});

Deno.test("node scripts: a start that was interrupted in LNbits goes on: the first installation is not done twice", async () => {
  await using box = await Box.open();
  await box.ready(false);
  await box.write("no-wallet", "");
  assert.match((await box.run("start")).err, /LNbits made no wallet; see .*lnbits\.log/);
  await box.remove("no-wallet");
  await box.ok("start");
  assert.match(await box.read("home/.timmy-node/secrets/lnbits-keys"), /^LNBITS_API_KEY=invoice0123$/m);
  const installs = [
    ...(await box.read("lnbits-bodies")).matchAll(/first_install.*"first_install_token":"([0-9a-f]+)"/g),
  ];
  assert.equal(installs[0]?.[1], await box.read("home/.timmy-node/secrets/lnbits-install-token"));
});

Deno.test("node scripts: a wallet that is locked is opened with the password of the file", async () => {
  await using box = await Box.open();
  await box.ready();
  await box.ok("stop");
  await box.write("lnd-state", "LOCKED");
  await box.ok("start");
  const [, body = ""] = /\/v1\/unlockwallet (.*)/.exec(await box.read("lnd-bodies")) ?? [];
  assert.equal(atob(JSON.parse(body).wallet_password), await box.read("home/.timmy-node/secrets/lnd-wallet-password"));
  // LND was quicker than start, and says so with an error.
  await box.ok("stop");
  await box.write("lnd-state", "LOCKED");
  await box.write("opens-itself", "");
  await box.ok("start");
  await box.write("lnd-state", "LOCKED");
  await box.write("other-password", "");
  assert.match((await box.run("start")).err, /does not open with .*lnd-wallet-password; put that file back/);
});

Deno.test("node scripts: what never answers is named after the time that was given, with where its log is", async () => {
  await using box = await Box.open();
  await box.ready(false);
  await box.write("on-start-bitcoind", 'rm -f "$BOX/running/bitcoind"');
  assert.match(
    (await box.run("start", "--timeout", "3")).err,
    /waited 3 s for Bitcoin in vain; see the logs in .*logs/,
  );
  assert.ok(
    !(await box.calls()).some((call) => call.includes("start timmy-lnd")),
    "LND is not started on a Bitcoin that does not answer",
  );
  await box.refuses(/--timeout is 'soon', not a number/, "start", "--timeout", "soon");
});

Deno.test("node scripts: stop asks LNbits, LND and Bitcoin in this order, and the manager only after each has ended", async () => {
  await using box = await Box.open();
  await box.ready();
  assert.equal(await box.ok("stop"), "stop lnbits\nstop lnd\nstop bitcoind\nall is stopped\n");
  const calls = await box.calls();
  const steps = order(
    calls,
    /systemctl --user stop timmy-lnbits/,
    /^lncli stop/,
    /systemctl --user stop timmy-lnd/,
    /^bitcoin-cli stop/,
    /systemctl --user stop timmy-bitcoind/,
  );
  assert.ok(ascending(steps), `${steps} in ${calls.join("\n")}`);
  assert.equal(await box.ok("stop"), "nothing was running\n");
});

Deno.test("node scripts: LND that does not take the command is ended by the service manager, still before Bitcoin", async () => {
  await using box = await Box.open();
  await box.ready();
  await box.write("lncli-refuses", "");
  await box.ok("stop");
  assert.ok(ascending(order(await box.calls(), /^lncli stop/, /stop timmy-lnd/, /^bitcoin-cli stop/)));
  assert.ok(!await box.exists("running/lnd"));
});

Deno.test("node scripts: status says the same as a page and as JSON", async () => {
  await using box = await Box.open();
  await box.ready();
  assert.deepEqual(JSON.parse(await box.ok("status", "--json")), {
    ok: true,
    network: "mainnet",
    bitcoin: {
      running: true,
      blocks: 800000,
      headers: 900000,
      syncPercent: 87.65,
      pruned: true,
      diskBytes: 12345678901,
    },
    lightning: {
      running: true,
      state: "SERVER_ACTIVE",
      pubkey: "02ab",
      syncedToChain: true,
      syncedToGraph: false,
      peers: 4,
      channels: { active: 2, inactive: 3, pending: 1 },
      sats: { canSend: 70, canReceive: 30, onchain: 5, unconfirmed: 7 },
    },
    lnbits: { running: true, http: 200, url: "http://127.0.0.1:5000" },
    tunnel: { kind: null, running: null, url: null },
  });
  const page = await box.ok("status");
  for (
    const line of [
      "87.65 % (block 800000 of 900000)",
      "12.3 GB of blocks, pruned",
      "2 active, 3 inactive, 1 pending",
      "70 sats",
      "30 sats",
      "http://127.0.0.1:5000 answers",
    ]
  ) {
    assert.ok(page.includes(line), `${line} in ${page}`);
  }
});

Deno.test("node scripts: a node that is down, half up or nearly synced has a status too, of the same keys", async () => {
  await using box = await Box.open();
  await box.ready();
  const keysOf = (value: unknown): string[] =>
    typeof value !== "object" || value === null
      ? []
      : Object.entries(value).flatMap(([key, inner]) => [key, ...keysOf(inner).map((k) => `${key}.${k}`)]);
  const all = keysOf(JSON.parse(await box.ok("status", "--json")));
  await box.write(
    "chain.json",
    '{"blocks":5,"headers":5,"verificationprogress":0.99999999,"initialblockdownload":true}',
  );
  assert.equal(JSON.parse(await box.ok("status", "--json")).bitcoin.syncPercent, 99.99, "not yet 100");
  await box.write("chain.json", '{"blocks":5,"headers":5,"verificationprogress":9.1e-07,"initialblockdownload":true}');
  assert.equal(JSON.parse(await box.ok("status", "--json")).bitcoin.syncPercent, 0);
  await box.write("chain.json", '{"blocks":5,"headers":5,"verificationprogress":0.9999,"initialblockdownload":false}');
  assert.equal(JSON.parse(await box.ok("status", "--json")).bitcoin.syncPercent, 100);
  await box.write("lnd-state", "LOCKED");
  const locked = await box.run("status", "--json");
  assert.equal(locked.code, 1);
  assert.deepEqual(JSON.parse(locked.out).lightning.state, "LOCKED");
  await box.ok("stop");
  const down = await box.run("status", "--json");
  assert.equal(down.code, 1);
  const status = JSON.parse(down.out);
  assert.deepEqual(keysOf(status), all);
  assert.deepEqual([
    status.ok,
    status.bitcoin.running,
    status.bitcoin.syncPercent,
    status.lightning.sats.canSend,
    status.lnbits.http,
  ], [false, false, null, null, 0]);
  assert.match((await box.run("status")).out, /not running: start it, or see .*bitcoind\.log/);
});

Deno.test("node scripts: get-lnbits-key prints the three lines for .env and nothing else, and says when a key is not known", async () => {
  await using box = await Box.open();
  await box.ready(false);
  await box.refuses(/there are no keys yet/, "get-lnbits-key");
  await box.ok("start");
  const lines = "LNBITS_URL=http://127.0.0.1:5000\nLNBITS_API_KEY=invoice0123\nLNBITS_ADMIN_KEY=admin0123\n";
  assert.equal(await box.ok("get-lnbits-key"), lines);
  assert.ok(!(await box.calls()).some((call) => call.includes("invoice0123")));
  await box.ok("stop");
  const unchecked = await box.run("get-lnbits-key");
  assert.equal(unchecked.out, lines);
  assert.match(unchecked.err, /printed unchecked/);
  await box.ok("start");
  await box.write("home/.timmy-node/secrets/lnbits-keys", "LNBITS_URL=x\nLNBITS_API_KEY=gone\nLNBITS_ADMIN_KEY=gone\n");
  await box.refuses(/LNbits does not know the key in/, "get-lnbits-key");
});

Deno.test("node scripts: uninstall stops the node and keeps every wallet and secret; setup finds them again", async () => {
  await using box = await Box.open();
  await box.ready();
  await Deno.mkdir(`${box.node}/bitcoin/blocks`);
  const before = await box.tree();
  await box.ok("uninstall", "--dry-run", "--delete-chain");
  assert.deepEqual(await box.tree(), before);
  const said = await box.ok("uninstall");
  assert.match(said, /stop lnbits\nstop lnd\nstop bitcoind\n/);
  const after = await box.tree();
  for (const [path, content] of Object.entries(before)) {
    if (/^\.timmy-node\/(secrets|lnd|lnbits|config|bitcoin)\//.test(path)) assert.equal(after[path], content, path);
  }
  assert.ok(!await box.exists("home/.config/systemd/user/timmy-lnd.service"));
  assert.ok(!await box.exists("enabled/lnd"));
  assert.ok(!await box.exists("home/.timmy-node/scripts"));
  await box.ok("uninstall", "--delete-chain");
  assert.ok(!await box.exists("home/.timmy-node/bitcoin/blocks"));
  await box.ok("setup");
  await box.ok("start");
  assert.equal((await box.tree())[".timmy-node/secrets/lnd-seed"], before[".timmy-node/secrets/lnd-seed"]);
});

Deno.test("node scripts: every command asks for setup first, and explains itself", async () => {
  await using box = await Box.open();
  for (const script of ["start", "stop", "status", "expose", "get-lnbits-key", "uninstall"]) {
    await box.refuses(/no node in .*\.timmy-node: run setup first/, script);
  }
  for (const script of ["setup", "start", "stop", "status", "expose", "get-lnbits-key", "uninstall"]) {
    assert.match(await box.ok(script, "--help"), new RegExp(`^[A-Z][\\s\\S]*\\n +${script} \\[`));
    await box.refuses(/unknown option '--now'/, script, "--now");
  }
});
