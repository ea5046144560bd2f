/** scripts/bitcoin-ln-node: what is downloaded is checked, by checksum and by its builders' signatures, or it is not installed. */
import assert from "node:assert/strict";
import { Box, SCRIPTS, shell } from "./box.ts";
import { CORE, release } from "./release.ts";

const ARGS = ["--allow-unpinned", "lnbits"];
const table = async (name: string): Promise<string[][]> => {
  const { out } = await shell(`. '${SCRIPTS}/versions.sh'; ${name}`);
  return out.trim().split("\n").map((row) => row.split("|"));
};
const ownerOf = (source: string | undefined): string => source?.split("/")[0] ?? "";

Deno.test("node scripts: every pinned checksum and key has two sources of different owners", async () => {
  const [pins, signers, unpinned] = await Promise.all(["pins", "signers", "unpinned"].map(table));
  assert.ok(pins && signers && unpinned);
  for (const [component, platform, file, sha, one, other, ...rest] of pins) {
    assert.match(sha ?? "", /^[0-9a-f]{64}$/, `${component} ${platform}`);
    assert.ok(
      file && ownerOf(one) && ownerOf(other) && ownerOf(one) !== ownerOf(other),
      `${component} ${platform}: ${one}, ${other}`,
    );
    assert.deepEqual(rest, []);
  }
  for (const [component, name, fingerprint, , one, other] of signers) {
    assert.match(fingerprint ?? "", /^[0-9A-F]{40}$/, `${component} ${name}`);
    assert.ok(ownerOf(one) && ownerOf(other) && ownerOf(one) !== ownerOf(other), `${component} ${name}`);
  }
  const wanted =
    (await shell(`. '${SCRIPTS}/versions.sh'; echo $CORE_MIN_SIGNATURES $KNOTS_MIN_SIGNATURES $LND_MIN_SIGNATURES`)).out
      .trim().split(" ").map(Number);
  for (const [i, component] of ["core", "knots", "lnd"].entries()) {
    assert.ok(
      (wanted[i] ?? 0) >= 1 && signers.filter(([name]) => name === component).length >= (wanted[i] ?? 0),
      component,
    );
  }
  const rows = [...pins, ...unpinned].map(([component, platform]) => `${component} ${platform}`);
  assert.equal(new Set(rows).size, rows.length, "what is unpinned is not pinned too");
  for (const component of ["core", "lnd", "knots"]) {
    for (const platform of ["linux-x86_64", "linux-aarch64", "darwin-arm64", "darwin-x86_64"]) {
      assert.ok(rows.includes(`${component} ${platform}`));
    }
  }
});

Deno.test("node scripts: what has no pair is refused by name on every platform, with what can be done", async () => {
  await using box = await Box.open("Darwin");
  for (const arch of ["arm64", "x86_64"]) {
    box.env.BOX_ARCH = arch;
    const said = await box.refuses(
      /lnd v0\.21\.3-beta has no checksum here for lnd-darwin-a\w+64-v0\.21\.3-beta\.tar\.gz/,
      "setup",
      ...ARGS,
    );
    for (const way of ["--lnd-bin FOLDER", "--from-brew lnd", "--allow-unpinned lnd"]) {
      assert.ok(said.includes(way), way);
    }
  }
  assert.deepEqual((await box.calls()).filter((call) => call.startsWith("curl")), []);
});

Deno.test("node scripts: setup installs what is signed and pinned; a second run downloads nothing", async () => {
  await using box = await Box.open();
  await release(box);
  assert.deepEqual(
    await box.ok("setup", "--dry-run", ...ARGS).then((out) => out.match(/would (?:download|install) \S+/g)),
    [
      `would download ${CORE}`,
      "would download lnd-linux-amd64-v0.21.3-beta.tar.gz",
      "would install lnbits",
    ],
  );
  assert.deepEqual(await box.tree(), {});
  const said = await box.ok("setup", ...ARGS);
  assert.match(said, /core 31\.1: signed by 3 known builders/);
  assert.match(said, /lnd v0\.21\.3-beta: signed by 2 known builders/);
  for (
    const program of [
      "core-31.1/bin/bitcoind",
      "core-31.1/bin/bitcoin-cli",
      "lnd-v0.21.3-beta/bin/lncli",
      "lnbits-1.6.2/bin/python",
    ]
  ) {
    assert.equal(await box.rights(`programs/${program}`), "755", program);
  }
  const pip = (await box.calls()).filter((call) => call.startsWith("pip"));
  assert.equal(pip.length, 1);
  assert.match(pip[0] ?? "", /--constraint .*lnbits-constraints\.txt lnbits==1\.6\.2$/);
  await box.forget();
  await box.ok("setup", ...ARGS);
  assert.deepEqual((await box.calls()).filter((call) => /curl|pip/.test(call)), []);
  await box.ok("start");
});

Deno.test("node scripts: an installation that was interrupted is done again, and only that", async () => {
  await using box = await Box.open();
  await release(box);
  await box.write("no-index", "");
  assert.notEqual((await box.run("setup", ...ARGS)).code, 0);
  assert.ok(!await box.exists("home/.timmy-node/programs/lnbits-1.6.2/.complete"));
  await box.remove("no-index");
  await box.remove("home/.timmy-node/programs/lnd-v0.21.3-beta/.complete");
  await box.forget();
  await box.ok("setup", ...ARGS);
  const calls = (await box.calls()).filter((call) => /curl|pip/.test(call));
  assert.ok(calls.some((call) => call.startsWith("pip")) && calls.some((call) => call.includes("lnd-linux")));
  assert.ok(!calls.some((call) => call.includes(CORE)));
});

Deno.test("node scripts: a download with another checksum, too few signatures or none that is known is not installed", async () => {
  await using box = await Box.open();
  const { web, gnupg } = await release(box);
  const sign = (who: string) =>
    shell(
      `cd '${web}'; gpg --homedir '${gnupg}' --batch --yes --quiet --armor --detach-sign ${who} -o SHA256SUMS.asc SHA256SUMS`,
    );
  const refused = async (why: RegExp, ...args: string[]) => {
    const { code, err } = await box.run("setup", ...ARGS, ...args);
    assert.notEqual(code, 0, `${why}`);
    assert.match(err, why);
    assert.ok(!await box.exists("home/.timmy-node/programs/core-31.1"), `${why}`);
    assert.ok(
      !(await Array.fromAsync(Deno.readDir(box.root))).some(({ name }) => name.startsWith("timmy-node.")),
      "no half download is left",
    );
  };
  await sign("-u anna -u bela");
  await refused(/core 31\.1: 2 of its known builders signed the list of checksums, 3 are wanted/);
  await sign("-u anna -u bela -u stranger");
  await refused(/2 of its known builders/);
  // One builder who signs twice is one.
  await shell(
    `cd '${web}'; for who in anna bela; do gpg --homedir '${gnupg}' --batch --yes --quiet --detach-sign -u $who -o $who.sig SHA256SUMS; done
     cat anna.sig anna.sig bela.sig >SHA256SUMS.asc`,
  );
  await refused(/2 of its known builders/);
  // A key that comes under a builder's name and is not his.
  await shell(`cd '${web}'; cp cora.gpg cora.kept; gpg --homedir '${gnupg}' --batch --export stranger >cora.gpg`);
  await sign("-u anna -u bela -u stranger");
  await refused(/2 of its known builders/);
  await shell(`cd '${web}'; mv cora.kept cora.gpg`);
  await sign("-u anna -u bela -u cora");
  await shell(`cd '${web}'; echo "# more" >>SHA256SUMS`);
  await refused(/0 of its known builders/);
  await shell(`cd '${web}'; printf '%064d  ${CORE}\\n' 0 >SHA256SUMS`);
  await sign("-u anna -u bela -u cora");
  await refused(/is not what the signed list of checksums names/);
  await Deno.remove(`${web}/SHA256SUMS.asc`);
  await refused(/could not download .*SHA256SUMS\.asc/);
  await shell(`cd '${web}'; echo more >>${CORE}`);
  await refused(/has another checksum than the pinned one .* it was thrown away/, "--allow-unsigned", "core");
  await Deno.remove(`${web}/${CORE}`);
  await refused(/could not download https:\/\/bitcoincore\.org\/bin\/bitcoin-core-31\.1\/bitcoin-31\.1/);
});

Deno.test("node scripts: without gpg nothing is taken unless it is told so by name", async () => {
  await using box = await Box.open("Linux", "gpg");
  await release(box);
  await box.refuses(/gpg is missing, so nobody's signature on core 31\.1 can be checked/, "setup", ...ARGS);
  await box.refuses(/signature on lnd v0\.21\.3-beta can be checked/, "setup", ...ARGS, "--allow-unsigned", "core");
  const { out, err } = await box.run("setup", ...ARGS, "--allow-unsigned", "core", "--allow-unsigned", "lnd");
  assert.match(out, /the node is set up/);
  assert.match(err, /core: signatures not checked, as you asked/);
});

Deno.test("node scripts: what has no checksum is held against its signatures alone when that is allowed by name", async () => {
  await using box = await Box.open();
  const { scripts } = await release(box);
  const versions = await Deno.readTextFile(`${scripts}/versions.sh`);
  await Deno.writeTextFile(
    `${scripts}/versions.sh`,
    `${versions}\npins() { :; }\nunpinned() { printf '%s\\n' 'core|linux-x86_64|${CORE}' 'lnd|linux-x86_64|lnd-linux-amd64-v0.21.3-beta.tar.gz'; }\n`,
  );
  await box.refuses(/core 31\.1 has no checksum here/, "setup", ...ARGS);
  await box.ok("setup", ...ARGS, "--allow-unpinned", "core", "--allow-unpinned", "lnd");
});
