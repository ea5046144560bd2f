/** scripts/bitcoin-ln-node on a Mac, and the ways out. */
import assert from "node:assert/strict";
import { Box } from "./box.ts";

Deno.test("node scripts: on a Mac services are launchd's: started, stopped and removed by name", async () => {
  await using box = await Box.open("Darwin");
  await box.ok("setup", ...box.programs);
  const plist = await box.read("home/Library/LaunchAgents/timmy-node.lnd.plist");
  assert.match(plist, /<key>Label<\/key><string>timmy-node\.lnd<\/string>/);
  assert.match(
    plist,
    new RegExp(
      `<array><string>${box.node}/scripts/run</string><string>--home</string><string>${box.node}</string><string>lnd</string></array>`,
    ),
  );
  assert.match(plist, /<key>SuccessfulExit<\/key><false\/>/);
  assert.equal(await box.ok("setup"), `nothing to change in ${box.node}\n`);
  await box.ok("start");
  const bootstraps = (await box.calls()).filter((call) => call.startsWith("launchctl bootstrap"));
  assert.deepEqual(
    bootstraps,
    ["bitcoind", "lnd", "lnbits"].map((name) =>
      `launchctl bootstrap gui/1000 ${box.home}/Library/LaunchAgents/timmy-node.${name}.plist`
    ),
  );
  assert.equal(await box.ok("start"), "all runs\n");
  assert.equal(JSON.parse(await box.ok("status", "--json")).ok, true);
  await box.forget();
  await box.ok("stop");
  const calls = (await box.calls()).filter((call) => /bootout|cli stop/.test(call));
  assert.deepEqual(calls, [
    "launchctl bootout gui/1000/timmy-node.lnbits",
    "lncli stop",
    "launchctl bootout gui/1000/timmy-node.lnd",
    "bitcoin-cli stop",
    "launchctl bootout gui/1000/timmy-node.bitcoind",
  ]);
  // Loaded at login and ended since: kicked, not loaded again, which launchd refuses.
  await box.write("loaded/bitcoind", "");
  await box.ok("start");
  assert.ok((await box.calls()).includes("launchctl kickstart gui/1000/timmy-node.bitcoind"));
  await box.ok("uninstall");
  assert.ok(!await box.exists("home/Library/LaunchAgents/timmy-node.lnd.plist"));
  assert.ok(await box.exists("home/.timmy-node/secrets/lnd-seed"));
});

Deno.test("node scripts: Homebrew brings what a Mac lacks, and LND when it is named", async () => {
  await using box = await Box.open("Darwin", "gpg");
  const args = ["--bitcoin-bin", `${box.root}/programs`, "--lnbits-bin", `${box.root}/programs`];
  assert.match(await box.ok("setup", "--dry-run", "--from-brew", "lnd", ...args), /^would install lnd with Homebrew$/m);
  assert.ok(!(await box.calls()).some((call) => call.startsWith("brew install")));
  await box.ok("setup", "--from-brew", "lnd", ...args);
  assert.ok((await box.calls()).includes("brew install --quiet lnd"));
  assert.match(await box.read("home/.timmy-node/node.conf"), new RegExp(`^LND_BIN=${box.root}/homebrew/bin$`, "m"));
  assert.equal(await box.ok("setup"), `nothing to change in ${box.node}\n`);
  // Bitcoin from its own builders needs gpg; what is refused afterwards must not have installed it.
  await box.refuses(/lnbits 1\.6\.2 has no checksum/, "setup", "--home", `${box.home}/other`, "--from-brew", "lnd");
  assert.ok(!(await box.calls()).includes("brew install --quiet gnupg"));
  const other = ["--home", `${box.home}/other`, "--from-brew", "lnd", "--allow-unpinned", "lnbits"];
  assert.match(await box.ok("setup", "--dry-run", ...other), /^would install gnupg with Homebrew$/m);
});

Deno.test("node scripts: an old macOS, a missing Homebrew, another system and another processor are refused", async () => {
  await using box = await Box.open("Darwin", "brew", "gpg");
  box.env.BOX_MACOS = "12.7.1";
  await box.refuses(/this is macOS 12\.7\.1; .* 13 or newer/, "setup", ...box.programs);
  delete box.env.BOX_MACOS;
  await box.refuses(/--service user: .* on macOS there is no choice/, "setup", "--service", "user", ...box.programs);
  await box.refuses(
    /brew is not installed/,
    "setup",
    ...box.programs.slice(0, 2),
    "--from-brew",
    "lnd",
    "--lnbits-bin",
    `${box.root}/programs`,
  );
  await box.refuses(/gpg is missing and so is Homebrew/, "setup", ...box.programs.slice(2));
  box.env.BOX_OS = "FreeBSD";
  await box.refuses(/this is FreeBSD; these scripts know macOS and Linux/, "setup", ...box.programs);
  Object.assign(box.env, { BOX_OS: "Linux", BOX_ARCH: "armv6l" });
  await box.refuses(/no build of Bitcoin is known here for Linux on armv6l/, "setup", ...box.programs);
});

Deno.test("node scripts: expose says what each way reveals before it opens it, and opens nothing unless it is agreed to", async () => {
  const ways: [string, string[], RegExp, RegExp][] = [
    ["tailscale", [], /everybody on the internet can open this address/, /^tailscale funnel --bg 5000$/],
    [
      "tailscale",
      ["--private"],
      /the devices of your tailnet can open this address, nobody else/,
      /^tailscale serve --bg 5000$/,
    ],
    [
      "cloudflared",
      [],
      /Cloudflare ends the encryption: it can read/,
      /^systemctl --user start timmy-tunnel\.service$/,
    ],
    ["bore", [], /there is NO encryption/, /^systemctl --user start timmy-tunnel\.service$/],
  ];
  for (const [name, args, reveals, opens] of ways) {
    await using box = await Box.open();
    await box.ready();
    await box.install(name);
    await box.write(
      "on-start-tunnel",
      `echo "listening at bore.pub:4321 https://a-b-c.trycloudflare.com" | grep -oE "${
        name === "bore" ? "bore.*:[0-9]+" : "https.*"
      }" >>"$HOME/.timmy-node/logs/tunnel.log"`,
    );
    await box.refuses(/nobody is here to agree: run it again with --yes/, "expose", ...args);
    const before = await box.tree();
    const dry = await box.ok("expose", "--dry-run", ...args);
    assert.match(dry, reveals);
    assert.match(dry, /LNbits tells an invoice's preimage to anybody/);
    assert.deepEqual(await box.tree(), before);
    assert.ok(!(await box.calls()).some((call) => opens.test(call)));
    const said = await box.ok("expose", "--yes", ...args);
    assert.match(said, reveals);
    assert.ok((await box.calls()).some((call) => opens.test(call)), name);
    const { tunnel } = JSON.parse(await box.ok("status", "--json"));
    const url = {
      tailscale: "https://home.tail1234.ts.net",
      cloudflared: "https://a-b-c.trycloudflare.com",
      bore: "bore.pub:4321",
    }[name];
    assert.deepEqual(tunnel, { kind: args.length > 0 ? "tailnet" : name, running: true, url });
    if (name === "bore") {
      assert.match(await box.ok("expose", "--yes", ...args), /is exposed already/);
      await box.refuses(/exposes something already .*: close it first/, "expose", "--yes", "--port", "8000", ...args);
    }
    await box.ok("expose", "--off");
    assert.match(await box.ok("expose", "--off"), /nothing is exposed/);
    assert.ok(!await box.exists("tailscale"));
    assert.ok(
      !await box.exists("home/.config/systemd/user/timmy-tunnel.service") && !await box.exists("running/tunnel"),
    );
  }
});

Deno.test("node scripts: expose never opens the ports that hold the money, nor what its owner serves already, nor without a tool", async () => {
  await using box = await Box.open();
  await box.ready();
  await box.refuses(/none of tailscale, cloudflared and bore is installed/, "expose", "--yes");
  await box.install("tailscale");
  for (const port of ["8332", "10009", "8080"]) {
    await box.refuses(/holds all your money: it is not exposed/, "expose", "--yes", "--port", port);
  }
  for (const port of ["0", "65536", "x", "-1"]) await box.refuses(/--port is/, "expose", "--yes", "--port", port);
  await box.refuses(/--with is 'ngrok'/, "expose", "--yes", "--with", "ngrok");
  await box.refuses(/bore is not installed/, "expose", "--yes", "--with", "bore");
  await box.install("bore");
  await box.refuses(/--private is something only Tailscale does/, "expose", "--yes", "--with", "bore", "--private");
  await box.write("tailscale", "|-- / proxy http://127.0.0.1:3000\n");
  await box.refuses(/Tailscale serves something on this machine already/, "expose", "--yes");
  assert.ok(
    !/LNbits tells/.test(await box.ok("expose", "--dry-run", "--port", "8000", "--with", "bore")),
    "that is said of LNbits' port only",
  );
});
