/** scripts/bitcoin-ln-node/setup: what it makes, what it keeps, what it refuses. */
import assert from "node:assert/strict";
import { Box, SCRIPTS, shell } from "./box.ts";

Deno.test("node scripts: setup makes secrets, configurations and services; a second run changes nothing", async () => {
  await using box = await Box.open();
  const said = await box.ok("setup", ...box.programs);
  assert.match(said, /500 GiB free: blocks are pruned to 200 GiB/);
  for (const file of ["bitcoin-rpc-password", "lnd-wallet-password", "lnbits-password", "lnbits-install-token"]) {
    assert.match(await box.read(`home/.timmy-node/secrets/${file}`), /^[0-9a-f]{48}$/);
    assert.equal(await box.rights(`secrets/${file}`), "600");
  }
  for (const file of ["bitcoin.conf", "lnd.conf", "lnbits.env"]) {
    assert.equal(await box.rights(`config/${file}`), "600");
  }
  for (const folder of ["", "secrets", "config", "lnd", "bitcoin"]) assert.equal(await box.rights(folder), "700");
  const password = await box.read("home/.timmy-node/secrets/bitcoin-rpc-password");
  const bitcoin = await box.read("home/.timmy-node/config/bitcoin.conf");
  assert.match(bitcoin, /^chain=main$/m);
  assert.match(bitcoin, /^prune=204800$/m);
  assert.match(bitcoin, new RegExp(`^rpcpassword=${password}$`, "m"));
  assert.match(bitcoin, /^listen=0$/m);
  const lnd = await box.read("home/.timmy-node/config/lnd.conf");
  assert.match(lnd, new RegExp(`^bitcoind.rpcpass=${password}$`, "m"));
  assert.match(lnd, /^listen=127\.0\.0\.1:9735$/m);
  assert.match(await box.read("home/.timmy-node/config/lnbits.env"), /^LNBITS_ALLOW_NEW_ACCOUNTS=false$/m);
  const unit = await box.read("home/.config/systemd/user/timmy-lnd.service");
  assert.match(unit, new RegExp(`^ExecStart=${box.node}/scripts/run --home ${box.node} lnd$`, "m"));
  assert.match(unit, /^After=timmy-bitcoind\.service$/m);
  for (const name of ["bitcoind", "lnd", "lnbits"]) assert.ok(await box.exists(`enabled/${name}`));

  const before = await box.tree();
  await box.forget();
  assert.equal(await box.ok("setup"), `nothing to change in ${box.node}\n`);
  assert.deepEqual(await box.tree(), before);
  assert.deepEqual((await box.calls()).filter((call) => !/is-enabled|show-user/.test(call)), []);
});

Deno.test("node scripts: a dry run of setup says what it would do and changes nothing, before and after a real one", async () => {
  await using box = await Box.open();
  const said = await box.ok("setup", "--dry-run", ...box.programs);
  assert.match(said, /would make the secret .*lnd-wallet-password/);
  assert.match(said, /would write .*lnd\.conf/);
  assert.match(said, /would write .*timmy-bitcoind\.service/);
  assert.match(said, /dry run: nothing was changed\n$/);
  assert.deepEqual(await box.tree(), {});
  assert.deepEqual((await box.calls()).filter((call) => !/is-enabled|show-user/.test(call)), []);

  await box.ok("setup", ...box.programs);
  await box.write(
    "home/.timmy-node/node.conf",
    (await box.read("home/.timmy-node/node.conf")).replace("ALIAS=timmy-node", "ALIAS=other"),
  );
  const before = await box.tree();
  assert.match(await box.ok("setup", "--dry-run"), /^would update .*lnd\.conf$/m);
  assert.deepEqual(await box.tree(), before);
});

Deno.test("node scripts: a secret that is there stays, an empty one is refused, an open one is closed", async () => {
  await using box = await Box.open();
  await Deno.mkdir(`${box.node}/secrets`, { recursive: true });
  await box.write("home/.timmy-node/secrets/bitcoin-rpc-password", "mine");
  await Deno.chmod(`${box.node}/secrets/bitcoin-rpc-password`, 0o644);
  assert.match(
    await box.ok("setup", ...box.programs),
    /^close .*bitcoin-rpc-password to others$/m,
  );
  assert.equal(await box.read("home/.timmy-node/secrets/bitcoin-rpc-password"), "mine");
  assert.equal(await box.rights("secrets/bitcoin-rpc-password"), "600");
  assert.match(await box.read("home/.timmy-node/config/lnd.conf"), /^bitcoind\.rpcpass=mine$/m);
  await box.write("home/.timmy-node/secrets/lnbits-password", "");
  await box.refuses(/lnbits-password is empty: put the secret back/, "setup");
});

Deno.test("node scripts: a wallet whose password is gone stops setup, because a new one would open nothing", async () => {
  await using box = await Box.open();
  await box.ready();
  await box.remove("home/.timmy-node/secrets/lnd-wallet-password");
  await box.refuses(/there is a wallet in .*mainnet, but not its password/, "setup");
});

Deno.test("node scripts: a configuration that its owner changed is kept and the difference shown, without its secret", async () => {
  await using box = await Box.open();
  await box.ready(false);
  const path = "home/.timmy-node/config/bitcoin.conf";
  const mine = `${await box.read(path)}dbcache=2000\n`.replace(/rpcpassword=.*/, "rpcpassword=topsecret");
  await box.write(path, mine);
  const said = await box.ok("setup");
  assert.match(said, /kept .*bitcoin\.conf as you changed it/);
  assert.match(said, /^ {2}-dbcache=2000$/m);
  assert.ok(!said.includes("topsecret"));
  assert.ok(!said.includes(await box.read("home/.timmy-node/secrets/bitcoin-rpc-password")));
  assert.equal(await box.read(path), mine);
});

Deno.test("node scripts: settings of node.conf are the owner's: they are completed, followed and never rewritten", async () => {
  await using box = await Box.open();
  await Deno.mkdir(box.node);
  await box.write("home/.timmy-node/node.conf", "# mine\nLNBITS_PORT=5001\n\nNETWORK=signet");
  await box.ok("setup", ...box.programs);
  const settings = await box.read("home/.timmy-node/node.conf");
  assert.match(settings, /^# mine\nLNBITS_PORT=5001\n\nNETWORK=signet\nIMPLEMENTATION=core\n/);
  assert.match(settings, /^PRUNE_MIB=550$/m);
  assert.match(await box.read("home/.timmy-node/config/bitcoin.conf"), /^\[signet\]$/m);
  await box.write("home/.timmy-node/node.conf", settings.replace("5001", "5002"));
  assert.match(await box.ok("setup"), /^update .*lnbits\.env$/m);
  assert.match(await box.read("home/.timmy-node/config/lnbits.env"), /^PORT=5002$/m);
  assert.equal(await box.ok("setup"), `nothing to change in ${box.node}\n`);
});

Deno.test("node scripts: what setup cannot do is refused by name, before anything is made", async () => {
  await using box = await Box.open();
  const refusals: [RegExp, ...string[]][] = [
    [/unknown option '--nework'/, "--nework", "regtest"],
    [/--network needs a value/, "--network"],
    [/NETWORK is 'testnet', not mainnet, signet or regtest/, "--network", "testnet"],
    [/IMPLEMENTATION is 'btcd', not core or knots/, "--implementation", "btcd"],
    [/--home must be a full path/, "--home", "node"],
    [/choose a folder of letters/, "--home", "/tmp/my node"],
    [/choose a folder of letters/, "--home", "/tmp/$(touch owned)"],
    [/PRUNE_MIB is '1GB', not a number/, "--prune", "1GB"],
    [/PRUNE_MIB is 100; Bitcoin keeps at least 550/, "--prune", "100"],
    [/ALIAS is 'a b'/, "--alias", "a b"],
    [/no program bitcoind in it/, "--bitcoin-bin", "/nowhere"],
    [/on Linux it is user or system/, "--service", "launchd"],
    [/run it with sudo/, "--service", "system", "--home", `${box.home}/x`],
    [/name one of core, knots, lnd, lnbits/, "--allow-unpinned", "tor"],
    [/Homebrew is used on macOS only/, "--from-brew", "lnd"],
    [/knots .* has no checksum here .* that two unrelated sources agree on/, "--implementation", "knots"],
    [/lnbits 1\.6\.2 has no checksum here for lnbits-1\.6\.2/],
    [
      /without a checksum and without signatures nothing would be checked/,
      "--implementation",
      "knots",
      "--allow-unpinned",
      "knots",
      "--allow-unsigned",
      "knots",
    ],
  ];
  for (const [why, ...args] of refusals) {
    // Programs are named only where the refusal is not about them.
    const named = /checksum|signatures|Homebrew|bitcoind in it/.test(why.source) ? [] : box.programs;
    await box.refuses(why, "setup", ...named, ...args);
  }
  assert.ok(!await box.exists("owned"));
});

Deno.test("node scripts: settings that contradict a node that is there are refused", async () => {
  await using box = await Box.open();
  await box.ready(false);
  await box.refuses(/NETWORK is 'mainnet' in .*node\.conf, and 'signet' was asked for/, "setup", "--network", "signet");
  await box.refuses(/SERVICE is 'systemd-user' in/, "setup", "--service", "system", "--home", box.node);
  await box.write("home/.timmy-node/node.conf", "NETWORK=mainnet\nPATH=/tmp\n");
  await box.refuses(/node\.conf line 2: unknown setting 'PATH'/, "setup");
  await box.write("home/.timmy-node/node.conf", "$(touch owned)\n");
  await box.refuses(/node\.conf line 1 is not KEY=value/, "start");
});

Deno.test("node scripts: blocks are pruned by what is free on the disk, and what was chosen once stays", async () => {
  const sizes = [49, 50, 60, 100, 439, 440, 441, 1099, 1100, 4000];
  const rule = `. '${SCRIPTS}/lib.sh'; for gib in ${
    sizes.join(" ")
  }; do echo "$gib $(prune_for $((gib * 1024)) || echo refused)"; done`;
  const chosen = Object.fromEntries((await shell(rule)).out.trim().split("\n").map((line) => line.split(" ")));
  const gib = (blocks: number) => `${blocks * 1024}`;
  assert.deepEqual(chosen, {
    49: "refused",
    50: gib(5),
    60: gib(10),
    100: gib(30),
    439: gib(199.5),
    440: gib(200),
    441: gib(200),
    1099: gib(200),
    1100: "0",
    4000: "0",
  });
  await using box = await Box.open();
  box.env.BOX_FREE_GIB = "49";
  await box.refuses(/49 GiB are free for .*; a pruned node needs at least 50 GiB/, "setup", ...box.programs);
  box.env.BOX_FREE_GIB = "1100";
  assert.match(await box.ok("setup", ...box.programs), /1100 GiB free: the whole chain is kept/);
  box.env.BOX_FREE_GIB = "60";
  assert.equal(await box.ok("setup"), `nothing to change in ${box.node}\n`);
});

Deno.test("node scripts: services of the system run as a user of their own, which owns its data and nothing root writes in", async () => {
  await using box = await Box.open();
  Object.assign(box.env, { BOX_UID: "0", TIMMY_SYSTEMD_DIR: `${box.home}/units` });
  await box.ok("setup", "--service", "system", "--home", `${box.home}/node`, ...box.programs);
  const calls = await box.calls();
  assert.ok(
    calls.some((call) => call === `useradd --system --home-dir ${box.home}/node --shell /usr/sbin/nologin timmy-node`),
  );
  const owned = calls.filter((call) => call.startsWith("chown")).map((call) =>
    call.replace(`chown -h timmy-node ${box.home}/node/`, "")
  );
  assert.deepEqual(
    owned.map((path) => path.replace(/\.new$/, "")).sort(),
    [
      "bitcoin",
      "config/bitcoin.conf",
      "config/lnbits.env",
      "config/lnd.conf",
      "lnbits",
      "lnd",
      "logs",
      "secrets/bitcoin-rpc-password",
      "secrets/lnbits-install-token",
      "secrets/lnbits-password",
      "secrets/lnd-wallet-password",
    ],
  );
  const unit = await box.read("home/units/timmy-lnd.service");
  assert.match(unit, /^User=timmy-node$/m);
  assert.match(unit, /^WantedBy=multi-user\.target$/m);
  assert.ok(calls.every((call) => !call.startsWith("systemctl --user")));
  box.env.BOX_UID = "1000";
  await box.refuses(/belongs to the machine: run this with sudo/, "start", "--home", `${box.home}/node`);
});
