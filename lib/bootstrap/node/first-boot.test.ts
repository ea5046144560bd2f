/** The first boot, step by step, in a root of its own: what each waits for, what it leaves, and that it may be cut off anywhere. */
import assert from "node:assert/strict";
import { ORDER } from "./testing/order.ts";
import { TemporaryRoot } from "./testing/temporary-root.ts";

const WORDS = Array.from({ length: 24 }, (_, i) => `word${i}`);
const STATE = "GET_v1_state";

/** A node whose secrets and LND are there. */
async function withLnd(state: string, refused = 0): Promise<TemporaryRoot> {
  const root = await TemporaryRoot.create();
  await root.answer(STATE, { state }, refused);
  await root.steps(
    "step_secrets; mkdir -p $DATA/lnd $DATA/lnd-for-lnbits; cp $SECRETS/lnd-wallet-password $DATA/lnd/wallet.password; touch $DATA/lnd/tls.cert",
  );
  return root;
}

Deno.test("wait_for: tries until it holds, and no longer", async () => {
  await using root = await TemporaryRoot.create();
  await root.standIn("probe", '[ "$(grep -c ^probe "$STAND_INS/calls")" -ge 4 ]');
  assert.deepEqual(await root.steps('wait_for 30 "the probe" probe && echo held'), {
    code: 0,
    out: "held\n",
    errors: "",
  });
  assert.equal((await root.calls()).filter((call) => call.startsWith("probe")).length, 4);
});

Deno.test("wait_for: what does not come is named, and the step fails", async () => {
  await using root = await TemporaryRoot.create();
  const { code, errors } = await root.steps('wait_for 0 "the moon" false; echo never');
  assert.deepEqual([code, errors], [1, "timmy-node: waited 0 s for the moon\n"]);
});

Deno.test("packages: only what is missing is installed, and Docker is waited for", async () => {
  await using root = await TemporaryRoot.create();
  await root.standIn("docker", '[ "$(grep -c ^docker "$STAND_INS/calls")" -ge 3 ]');
  assert.equal((await root.steps("step_packages")).code, 0);
  const calls = await root.calls();
  assert.equal(calls.filter((call) => call === "docker info").length, 3);
  const installed = calls.find((call) => call.includes(" install "))?.split(" ") ?? [];
  assert.ok(!installed.includes("curl") && !installed.includes("docker.io"), installed.join(" "));
});

Deno.test("firewall: closed but for SSH and Lightning, and put in force last", async () => {
  await using root = await TemporaryRoot.create();
  await root.steps("step_firewall");
  assert.deepEqual(await root.calls(), [
    "ufw --force default deny incoming",
    "ufw --force default allow outgoing",
    "ufw allow 22/tcp",
    "ufw allow 9735/tcp",
    "ufw --force enable",
  ]);
});

Deno.test("secrets: five, made once, for root only", async () => {
  await using root = await TemporaryRoot.create();
  const all = 'cd "$SECRETS"; for name in *; do echo "$name $(stat -c %a "$name") $(cat "$name")"; done';
  const first = await root.steps(`step_secrets; ${all}`);
  assert.match(first.out, /^([a-z-]+ 600 [0-9a-f]{48}\n){5}$/);
  assert.equal(new Set(first.out.match(/[0-9a-f]{48}/g)).size, 5);
  assert.deepEqual(await root.steps(`step_secrets; ${all}`), first);
});

Deno.test("tailscale: joined with the key from a file, waited for, and the key is gone afterwards", async () => {
  await using root = await TemporaryRoot.create({ ...ORDER, volumeName: null });
  assert.deepEqual(await root.steps("step_tailscale; step_tailscale"), { code: 0, out: "", errors: "" });
  const ups = (await root.calls()).filter((call) => call.startsWith("tailscale up"));
  assert.equal(ups.length, 1);
  assert.ok(!ups[0]!.includes(ORDER.tailscaleAuthKey!), "the key stands in the list of arguments");
  assert.ok(!await root.exists("var/lib/timmy-node/secrets/tailscale-auth-key"));
});

Deno.test("tailscale: without a key nothing of it is touched; a package key with another fingerprint is refused", async () => {
  await using root = await TemporaryRoot.create();
  await root.steps("step_tailscale");
  assert.deepEqual(await root.calls(), []);
  await root.answer("GET_stable_ubuntu_noble.noarmor.gpg", "a key");
  await root.write("etc/os-release", "ID=ubuntu\nVERSION_CODENAME=noble\n");
  await Deno.mkdir(`${root.path}/usr/share/keyrings`, { recursive: true });
  await root.standIn("gpg", `printf 'pub:::::::\\nfpr:::::::::%s:\\n' ${"0".repeat(40)}`);
  const { code, errors } = await root.steps("install_tailscale");
  assert.equal(code, 1);
  assert.match(errors, /is not 2596A99EAAB33821893C0A79458CA832957F5868/);
  assert.ok(!await root.exists("usr/share/keyrings/tailscale-archive-keyring.gpg"));
});

/** A volume as `blkid` and `wipefs` see it. */
async function withVolume(kind: string, signatures = ""): Promise<TemporaryRoot> {
  const root = await TemporaryRoot.create({ ...ORDER, tailscaleAuthKey: null });
  await Deno.mkdir(`${root.path}/dev/disk/by-id`, { recursive: true });
  await root.write(`dev/disk/by-id/scsi-0DO_Volume_${ORDER.volumeName}`, "");
  await root.write("stand-ins/kind", kind);
  await root.standIn(
    "blkid",
    `case "$*" in *TYPE*) cat "$STAND_INS/kind"; [ -s "$STAND_INS/kind" ] ;; *UUID*) echo 1111-2222 ;; esac`,
  );
  await root.standIn("wipefs", `printf '%s' '${signatures}'`);
  await root.standIn("mkfs.ext4", 'printf ext4 >"$STAND_INS/kind"');
  await root.standIn("mountpoint", '[ -e "$STAND_INS/mounted" ]');
  await root.standIn("mount", 'touch "$STAND_INS/mounted"');
  return root;
}
const formats = async (root: TemporaryRoot) => (await root.calls()).filter((call) => call.startsWith("mkfs")).length;

Deno.test("volume: a blank one gets a file system, once, and is mounted by its UUID at every boot", async () => {
  await using root = await withVolume("");
  assert.deepEqual(await root.steps("step_volume; step_volume"), { code: 0, out: "", errors: "" });
  assert.equal(await formats(root), 1);
  const mounts = (await root.read("etc/fstab")).split("\n").filter((line) => line.startsWith("UUID=1111-2222 "));
  assert.equal(mounts.length, 1);
  assert.match(mounts[0]!, / ext4 \S*nofail/);
  assert.match(
    await root.read("etc/systemd/system/docker.service.d/timmy-volume.conf"),
    /RequiresMountsFor=.*\/srv\/timmy-node/,
  );
  assert.equal((await root.calls()).filter((call) => call.startsWith("mount ")).length, 1);
});

for (const kind of ["ext4", "xfs"]) {
  Deno.test(`volume: one that holds ${kind} is mounted as it is`, async () => {
    await using root = await withVolume(kind);
    assert.equal((await root.steps("step_volume")).code, 0);
    assert.equal(await formats(root), 0);
    assert.match(await root.read("etc/fstab"), new RegExp(`UUID=1111-2222 \\S+ ${kind} `));
  });
}

for (
  const [what, kind, signatures] of [["an encrypted disk", "crypto_LUKS", ""], ["btrfs", "btrfs", ""], [
    "a partition table",
    "",
    "dos",
  ], ["a RAID member", "", "linux_raid_member"]] as const
) {
  Deno.test(`volume: one that holds ${what} is left alone`, async () => {
    await using root = await withVolume(kind, signatures);
    const { code, errors } = await root.steps("step_volume");
    assert.equal(code, 1);
    assert.match(errors, /left as it is/);
    assert.equal(await formats(root), 0);
    assert.ok(!await root.exists("stand-ins/mounted"));
  });
}

// The stand-ins above say what is believed of blkid and wipefs; here they are themselves, on disk images.
const REAL = "/usr/sbin/mkfs.ext4";
const real = await Deno.stat(REAL).then(() => true, () => false);
Deno.test({
  name: `volume: blkid, wipefs and mkfs.ext4 themselves tell blank from full${
    real ? "" : ` (NOT RUN: ${REAL} is not there)`
  }`,
  ignore: !real,
  fn: async () => {
    const image = `"$NODE_ROOT/dev/disk/by-id/scsi-0DO_Volume_${ORDER.volumeName}"`;
    const make = `dd if=/dev/zero of=${image} bs=1M count=16 status=none`;
    const contents: [what: string, fill: string, taken: boolean][] = [
      ["nothing", make, true],
      ["ext4", `${make}; ${REAL} -q ${image}`, true],
      ["swap", `${make}; /usr/sbin/mkswap ${image}`, false],
      // The two bytes at the end of its first sector, and one entry that names sectors 1 to 4096.
      [
        "a partition table",
        `${make}; printf '\\0\\0\\2\\0\\203\\0\\2\\0\\1\\0\\0\\0\\0\\20\\0\\0' | dd of=${image} bs=1 seek=446 conv=notrunc status=none; printf '\\125\\252' | dd of=${image} bs=1 seek=510 conv=notrunc status=none`,
        false,
      ],
    ];
    for (const [what, fill, taken] of contents) {
      await using root = await withVolume("");
      for (const name of ["blkid", "wipefs", "mkfs.ext4"]) await root.standIn(name, `exec /usr/sbin/${name} "$@"`);
      await root.bash("-c", fill);
      const before = await root.bash("-c", `sha256sum <${image}`);
      const ran = await root.steps("step_volume; step_volume");
      assert.equal(ran.code, taken ? 0 : 1, `${what}: ${ran.errors}`);
      assert.equal(await formats(root), what === "nothing" ? 1 : 0, what);
      if (what !== "nothing") assert.deepEqual(await root.bash("-c", `sha256sum <${image}`), before, what);
      if (taken) assert.match(await root.read("etc/fstab"), /^UUID=[0-9a-f-]{36} \S+ ext4 /m);
    }
  },
});

Deno.test("volume: it is waited for, by the order's name", async () => {
  await using root = await withVolume("ext4");
  const device = `${root.path}/dev/disk/by-id/scsi-0DO_Volume_${ORDER.volumeName}`;
  await Deno.remove(device);
  await root.standIn("sleep", `[ "$(grep -c ^sleep "$STAND_INS/calls")" -lt 3 ] || touch '${device}'`);
  assert.equal((await root.steps("step_volume")).code, 0);
  assert.equal((await root.calls()).filter((call) => call.startsWith("sleep")).length, 3);
});

/** A node to which Bitcoin's release comes. @param spoiled it is not the one whose checksum is pinned */
async function withRelease(spoiled = false): Promise<TemporaryRoot> {
  const root = await TemporaryRoot.create();
  const made = await root.bash(
    "-c",
    `mkdir -p "$NODE_ROOT/r/bitcoin-1/bin" && echo '#!/bin/sh' >"$NODE_ROOT/r/bitcoin-1/bin/bitcoind" && chmod +x "$NODE_ROOT/r/bitcoin-1/bin/bitcoind" &&
    tar -czf "$STAND_INS/answers/GET_bitcoin.tar.gz" -C "$NODE_ROOT/r" bitcoin-1 && sha256sum "$STAND_INS/answers/GET_bitcoin.tar.gz"`,
  );
  const sum = spoiled ? "0".repeat(64) : made.out.slice(0, 64);
  const pin = ["X86_64", "AARCH64"].map((name) =>
    `TIMMY_BITCOIN_URL_${name}=https://example.com/bitcoin.tar.gz\nTIMMY_BITCOIN_SHA256_${name}=${sum}\n`
  );
  await root.write("opt/timmy-node/pins.env", pin.join(""));
  return root;
}

Deno.test("bitcoin: the pinned release is installed, pruned by the disk, and its RPC is waited for", async () => {
  await using root = await withRelease();
  await root.answer("RPC_getblockchaininfo", { result: { blocks: 1 } }, 3);
  const ran = await root.steps("step_secrets; step_bitcoin");
  assert.equal(ran.code, 0, ran.errors);
  assert.ok(await root.exists("opt/bitcoin/bin/bitcoind"));
  const conf = await root.read("srv/timmy-node/bitcoin/bitcoin.conf");
  for (const line of ["prune=114440", "dbcache=1989", "rpcbind=127.0.0.1", "rpcallowip=127.0.0.1"]) {
    assert.ok(conf.split("\n").includes(line), `${line}\n${conf}`);
  }
  const password = (await root.read("var/lib/timmy-node/secrets/bitcoin-rpc-password")).trim();
  assert.ok(!conf.includes(password), "the password stands in the configuration");
  const calls = await root.calls();
  assert.equal(calls.filter((call) => call.startsWith("RPC_")).length, 4);
  assert.ok(!calls.join("\n").includes(password), "the password stands in a list of arguments");
  assert.equal(await root.mode("var/lib/timmy-node/secrets/bitcoin-rpc.curl"), "600");
  // Again, as after a reboot: nothing is fetched and the configuration stays.
  await root.steps("step_bitcoin");
  assert.equal((await root.calls()).filter((call) => call.startsWith("GET_bitcoin")).length, 1);
  assert.equal(await root.read("srv/timmy-node/bitcoin/bitcoin.conf"), conf);
});

Deno.test("bitcoin: the rpcauth line is the one that bitcoind computes from the password", async () => {
  await using root = await TemporaryRoot.create();
  const { out } = await root.steps("step_secrets; bitcoin_conf");
  const [, salt, hash] = /^rpcauth=timmy:([0-9a-f]{32})\$([0-9a-f]{64})$/m.exec(out)!;
  const key = await crypto.subtle.importKey(
    "raw",
    new TextEncoder().encode(salt),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  const password = (await root.read("var/lib/timmy-node/secrets/bitcoin-rpc-password")).trim();
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(password)));
  assert.equal(mac.toHex(), hash);
});

Deno.test("bitcoin: a release with another checksum is refused and removed", async () => {
  await using root = await withRelease(true);
  const { code, errors } = await root.steps("step_secrets; step_bitcoin");
  assert.equal(code, 1);
  assert.match(errors, /does not have the pinned checksum/);
  assert.ok(!await root.exists("opt/bitcoin") && !await root.exists("var/lib/timmy-node/bitcoin.tar.gz"));
});

Deno.test("LND: its REST is waited for; everything but Lightning's port listens on loopback", async () => {
  await using root = await TemporaryRoot.create();
  await root.answer(STATE, { state: "WAITING_TO_START" }, 2);
  await root.standIn(
    "sleep",
    `[ "$(grep -c ^sleep "$STAND_INS/calls")" -lt 4 ] || echo '{"state":"NON_EXISTING"}' >"$STAND_INS/answers/${STATE}"`,
  );
  const ran = await root.steps("step_secrets; step_lnd");
  assert.equal(ran.code, 0, ran.errors);
  const conf = await root.read("srv/timmy-node/lnd/lnd.conf");
  assert.deepEqual(conf.match(/^\w*listen=.*/gm), [
    "listen=0.0.0.0:9735",
    "restlisten=127.0.0.1:8080",
    "rpclisten=127.0.0.1:10009",
  ]);
  assert.match(conf, /^wallet-unlock-password-file=\/root\/.lnd\/wallet.password$/m);
  assert.equal(await root.mode("srv/timmy-node/lnd/lnd.conf"), "600");
  assert.equal(await root.mode("srv/timmy-node/lnd/wallet.password"), "600");
  const run = (await root.calls()).find((call) => call.startsWith("docker run"))!;
  assert.match(run, /--network host .*--mount type=bind,src=\S+\/lnd,dst=\/root\/.lnd .*@sha256:[0-9a-f]{64}$/);
  assert.ok(!/ -p | --publish | -v | --volume /.test(run), run);
});

Deno.test("LND: without its folder (the volume is not there) no container is started", async () => {
  await using root = await TemporaryRoot.create();
  assert.notEqual((await root.steps("run_lnd")).code, 0);
});

Deno.test("wallet: made from a seed that is on the disk first, with the password that unlocks it", async () => {
  await using root = await withLnd("NON_EXISTING", 2);
  await root.answer("GET_v1_genseed", { cipher_seed_mnemonic: WORDS });
  await root.answer("POST_v1_initwallet", {});
  await root.standIn(
    "sleep",
    `[ ! -e "$SECRETS/lnd-seed.json" ] || echo '{"state":"RPC_ACTIVE"}' >"$STAND_INS/answers/${STATE}"`,
  );
  const ran = await root.steps("export SECRETS; step_wallet");
  assert.equal(ran.code, 0, ran.errors);
  const sent = JSON.parse(
    (await root.calls()).find((call) => call.startsWith("POST_v1_initwallet"))!.split(/ (.*)/s)[1]!,
  );
  assert.deepEqual(sent.cipher_seed_mnemonic, WORDS);
  assert.equal(atob(sent.wallet_password), await root.read("srv/timmy-node/lnd/wallet.password"));
  assert.equal(await root.mode("var/lib/timmy-node/secrets/lnd-seed.json"), "600");
});

Deno.test("wallet: cut off after the seed was written, the same seed is used; a wallet that exists is not made again", async () => {
  await using root = await withLnd("NON_EXISTING");
  await root.write("var/lib/timmy-node/secrets/lnd-seed.json", JSON.stringify(WORDS.toReversed()));
  await root.answer("POST_v1_initwallet", {});
  await root.standIn("sleep", `echo '{"state":"SERVER_ACTIVE"}' >"$STAND_INS/answers/${STATE}"`);
  assert.equal((await root.steps("step_wallet; step_wallet")).code, 0);
  const calls = (await root.calls()).join("\n");
  assert.ok(!calls.includes("genseed"));
  assert.equal(calls.match(/POST_v1_initwallet/g)?.length, 1);
  assert.ok(calls.includes(JSON.stringify(WORDS.toReversed())));
});

Deno.test("wallet: an LND that gives no 24 words makes the step fail before anything is made", async () => {
  await using root = await withLnd("NON_EXISTING");
  await root.answer("GET_v1_genseed", { cipher_seed_mnemonic: WORDS.slice(1) });
  assert.notEqual((await root.steps("step_wallet")).code, 0);
  assert.ok(!(await root.calls()).join("\n").includes("initwallet"));
});

Deno.test("macaroon: admin.macaroon and an answer to it are waited for; LNbits gets one that can pay and receive only", async () => {
  await using root = await withLnd("RPC_ACTIVE");
  await root.answer("GET_v1_getinfo", {}, 2);
  await root.answer("POST_v1_macaroon", { macaroon: "0abc" });
  await root.standIn("sleep", `printf '\\001\\377' >"$NODE_ROOT/srv/timmy-node/lnd/admin.macaroon"`);
  const ran = await root.steps("step_macaroon");
  assert.equal(ran.code, 0, ran.errors);
  assert.match(await root.read("stand-ins/headers"), /^Grpc-Metadata-macaroon: 01ff$/m);
  const { permissions } = JSON.parse(
    (await root.calls()).find((call) => call.startsWith("POST_v1_macaroon"))!.split(/ (.*)/s)[1]!,
  );
  const rights = permissions.map(({ entity, action }: Record<string, string>) => `${entity}:${action}`);
  assert.deepEqual(rights.sort(), ["info:read", "invoices:read", "invoices:write", "offchain:read", "offchain:write"]);
  assert.equal((await root.read("srv/timmy-node/lnd-for-lnbits/hex")).trim(), "0abc");
});

/** A node whose LNbits can be made. */
async function withLnbits(): Promise<TemporaryRoot> {
  const root = await withLnd("SERVER_ACTIVE");
  await root.write("srv/timmy-node/lnd-for-lnbits/hex", "0abc");
  await root.write("var/lib/timmy-node/secrets/lnd-seed.json", JSON.stringify(WORDS));
  await root.answer("GET_api_v1_health", {}, 2);
  await root.answer("PUT_api_v1_auth_first_install", { access_token: "jwt-1" });
  await root.answer("POST_api_v1_wallet", { id: "w", adminkey: "aaaa", inkey: "iiii" });
  return root;
}

Deno.test("LNbits: on LND's REST, on loopback, waited for; its superuser and first wallet are made once", async () => {
  await using root = await withLnbits();
  const ran = await root.steps("step_lnbits; step_lnbits");
  assert.equal(ran.code, 0, ran.errors);
  const env = await root.read("var/lib/timmy-node/secrets/lnbits.env");
  for (
    const line of [
      "LNBITS_HOST=127.0.0.1",
      "LNBITS_BACKEND_WALLET_CLASS=LndRestWallet",
      "LND_REST_MACAROON=0abc",
      "LNBITS_ALLOW_NEW_ACCOUNTS=false",
    ]
  ) {
    assert.ok(env.split("\n").includes(line), line);
  }
  const calls = await root.calls();
  assert.equal(calls.filter((call) => call.startsWith("PUT_api_v1_auth_first_install")).length, 1);
  assert.equal(calls.filter((call) => call.startsWith("POST_api_v1_wallet")).length, 1);
  const password = (await root.read("var/lib/timmy-node/secrets/lnbits-superuser-password")).trim();
  assert.ok(password.length <= 50, "LNbits takes no longer one");
  assert.ok(
    calls.some((call) => call.includes(`"password":"${password}"`) && call.includes('"first_install_token":"')),
  );
  assert.ok(!await root.exists("var/lib/timmy-node/secrets/lnbits-token.header"));
  assert.equal(await root.mode("var/lib/timmy-node/secrets/lnbits-wallet.json"), "600");
});

Deno.test("LNbits: cut off after its superuser was made, it logs in", async () => {
  await using root = await withLnbits();
  await Deno.remove(`${root.path}/stand-ins/answers/PUT_api_v1_auth_first_install`);
  await root.answer("POST_api_v1_auth", { access_token: "jwt-2" });
  const ran = await root.steps("step_lnbits");
  assert.equal(ran.code, 0, ran.errors);
  assert.match(await root.read("stand-ins/headers"), /^Authorization: Bearer jwt-2$/m);
});

Deno.test("credentials: everything that opens the node, in a file for root only", async () => {
  await using root = await withLnbits();
  const ran = await root.steps("step_lnbits; step_credentials");
  assert.equal(ran.code, 0, ran.errors);
  assert.equal(await root.mode("root/node-credentials.txt"), "600");
  const text = await root.read("root/node-credentials.txt");
  for (const [i, word] of WORDS.entries()) assert.ok(text.includes(`${i + 1}. ${word}`), word);
  for (const name of ["lnd-wallet-password", "lnbits-superuser-password", "bitcoin-rpc-password"]) {
    assert.ok(text.includes((await root.read(`var/lib/timmy-node/secrets/${name}`)).trim()), name);
  }
  assert.match(text, /ssh -L 5000:127\.0\.0\.1:5000/);
  assert.ok(!ran.out.includes(WORDS[0]!) && !ran.errors.includes(WORDS[0]!));
});

Deno.test("tailscale: its name in the tailnet is waited for", async () => {
  await using root = await TemporaryRoot.create({ ...ORDER, volumeName: null });
  await root.standIn(
    "tailscale",
    `[ "$1" != status ] || [ "$(grep -c '^tailscale status' "$STAND_INS/calls")" -lt 4 ] || echo '{"Self":{"DNSName":"n.ts.net."}}'`,
  );
  assert.deepEqual(await root.steps("step_tailscale"), { code: 0, out: "", errors: "" });
  assert.equal((await root.calls()).filter((call) => call === "tailscale status --json").length, 4);
});

Deno.test("report: sent until it is taken; a last refusal is shown and the step fails", async () => {
  await using root = await TemporaryRoot.create();
  await root.write(
    "opt/timmy-node/report.sh",
    'echo try >>"$STAND_INS/calls"; [ "$(grep -c try "$STAND_INS/calls")" -ge 3 ]',
  );
  assert.deepEqual(await root.steps("step_report"), { code: 0, out: "", errors: "" });
  assert.equal((await root.calls()).length, 3);
  await root.write("opt/timmy-node/report.sh", "echo refused with 401 >&2; exit 1");
  const { code, errors } = await root.steps("wait_for() { return 1; }; step_report");
  assert.deepEqual([code, errors], [1, "refused with 401\n"]);
});

// What never comes: the loop itself is tested above, here that its end is the step's end, and what it was that did not come.
for (
  const [step, what, seconds] of [
    ["packages", "Docker", 120],
    ["tailscale", "a name in the tailnet", 60],
    ["volume", `the volume ${ORDER.volumeName}`, 120],
    ["bitcoin", "Bitcoin's RPC", 900],
    ["lnd", "LND's REST", 600],
    ["wallet", "LND's REST", 600],
    ["macaroon", "admin.macaroon", 300],
    ["lnbits", "LNbits", 900],
  ] as const
) {
  Deno.test(`${step}: when ${what} does not come in ${seconds} s, the step fails and says so`, async () => {
    await using root = await TemporaryRoot.create(ORDER);
    const prepared =
      "step_secrets; mkdir -p $DATA/lnd $DATA/lnd-for-lnbits; touch $DATA/lnd/tls.cert $DATA/lnd-for-lnbits/hex";
    const givesUp = 'wait_for() { echo "gave up after $1 s: $2"; return 1; }; install_bitcoin() { :; }';
    const { code, out } = await root.steps(`${prepared}; ${givesUp}; step_${step}; echo went on`);
    assert.deepEqual([code, out.split("\n").filter((line) => /gave up|went on/.test(line))], [1, [
      `gave up after ${seconds} s: ${what}`,
    ]]);
  });
}

Deno.test("all steps: one that is done is not done again, and the first that fails is where the next start begins", async () => {
  await using root = await TemporaryRoot.create();
  const all = "packages secrets firewall tailscale volume bitcoin lnd wallet macaroon lnbits credentials report".split(
    " ",
  );
  const fakes = all.map((step) => `step_${step}() { echo "did ${step}"; [ ${step} != "$FAILS" ]; }`).join("\n");
  const run = (fails: string) => root.steps(`FAILS=${fails}\n${fakes}\nmain`);
  const done = ({ out }: { out: string }) => [...out.matchAll(/^did (\w+)$/gm)].map(([, step]) => step);
  const first = await run("wallet");
  assert.notEqual(first.code, 0);
  assert.deepEqual(done(first), all.slice(0, 8));
  const second = await run("report");
  assert.notEqual(second.code, 0);
  assert.deepEqual(done(second), all.slice(7));
  const third = await run("nothing");
  assert.equal(third.code, 0, third.errors);
  assert.deepEqual(done(third), ["report"]);
  assert.deepEqual(done(await run("nothing")), []);
  assert.equal(await root.mode("var/lib/timmy-node"), "700");
});
