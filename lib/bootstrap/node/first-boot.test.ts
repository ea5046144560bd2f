/** The first boot's steps up to the volume, its loops, and their order, in a root of its own: it may be cut off anywhere. */
import assert from "node:assert/strict";
import { ORDER } from "./testing/order.ts";
import { scriptTest, TemporaryRoot } from "./testing/temporary-root.ts";

scriptTest("wait_for: tries until it holds, and no longer", async () => {
  await using root = await TemporaryRoot.create();
  await root.standIn("probe", '[ "$(grep -c ^probe "$STAND_INS/calls")" -ge 4 ]');
  assert.deepEqual(await root.steps('wait_for 30 "the probe" probe && echo held'), {
    code: 0,
    out: "held\n",
    errors: "",
  });
  assert.equal((await root.calls()).filter((call) => call.startsWith("probe")).length, 4);
});

scriptTest("wait_for: what does not come is named, and the step fails", async () => {
  await using root = await TemporaryRoot.create();
  const { code, errors } = await root.steps('wait_for 0 "the moon" false; echo never');
  assert.deepEqual([code, errors], [1, "timmy-node: waited 0 s for the moon\n"]);
});

scriptTest("packages: only what is missing is installed, and Docker is waited for", async () => {
  await using root = await TemporaryRoot.create();
  await root.standIn("docker", '[ "$(grep -c ^docker "$STAND_INS/calls")" -ge 3 ]');
  assert.equal((await root.steps("step_packages")).code, 0);
  const calls = await root.calls();
  assert.equal(calls.filter((call) => call === "docker info").length, 3);
  const installed = calls.find((call) => call.includes(" install "))?.split(" ") ?? [];
  assert.ok(!installed.includes("curl") && !installed.includes("docker.io"), installed.join(" "));
});

scriptTest("firewall: closed but for SSH and Lightning, and put in force last", async () => {
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

scriptTest("secrets: five, made once, for root only", async () => {
  await using root = await TemporaryRoot.create();
  const all = 'cd "$SECRETS"; for name in *; do echo "$name $(stat -c %a "$name") $(cat "$name")"; done';
  const first = await root.steps(`step_secrets; ${all}`);
  assert.match(first.out, /^([a-z-]+ 600 [0-9a-f]{48}\n){5}$/);
  assert.equal(new Set(first.out.match(/[0-9a-f]{48}/g)).size, 5);
  assert.deepEqual(await root.steps(`step_secrets; ${all}`), first);
});

scriptTest("tailscale: joined with the key from a file, waited for, and the key is gone afterwards", async () => {
  await using root = await TemporaryRoot.create({ ...ORDER, volumeName: null });
  assert.deepEqual(await root.steps("step_tailscale; step_tailscale"), { code: 0, out: "", errors: "" });
  const ups = (await root.calls()).filter((call) => call.startsWith("tailscale up"));
  assert.equal(ups.length, 1);
  assert.ok(!ups[0]!.includes(ORDER.tailscaleAuthKey!), "the key stands in the list of arguments");
  assert.ok(!await root.exists("var/lib/timmy-node/secrets/tailscale-auth-key"));
});

scriptTest(
  "tailscale: without a key nothing of it is touched; a package key with another fingerprint is refused",
  async () => {
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
  },
);

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

scriptTest("volume: a blank one gets a file system, once, and is mounted by its UUID at every boot", async () => {
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
  scriptTest(`volume: one that holds ${kind} is mounted as it is`, async () => {
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
  scriptTest(`volume: one that holds ${what} is left alone`, async () => {
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

scriptTest("volume: it is waited for, by the order's name", async () => {
  await using root = await withVolume("ext4");
  const device = `${root.path}/dev/disk/by-id/scsi-0DO_Volume_${ORDER.volumeName}`;
  await Deno.remove(device);
  await root.standIn("sleep", `[ "$(grep -c ^sleep "$STAND_INS/calls")" -lt 3 ] || touch '${device}'`);
  assert.equal((await root.steps("step_volume")).code, 0);
  assert.equal((await root.calls()).filter((call) => call.startsWith("sleep")).length, 3);
});

scriptTest("tailscale: its name in the tailnet is waited for", async () => {
  await using root = await TemporaryRoot.create({ ...ORDER, volumeName: null });
  await root.standIn(
    "tailscale",
    `[ "$1" != status ] || [ "$(grep -c '^tailscale status' "$STAND_INS/calls")" -lt 4 ] || echo '{"Self":{"DNSName":"n.ts.net."}}'`,
  );
  assert.deepEqual(await root.steps("step_tailscale"), { code: 0, out: "", errors: "" });
  assert.equal((await root.calls()).filter((call) => call === "tailscale status --json").length, 4);
});

scriptTest("report: sent until it is taken; a last refusal is shown and the step fails", async () => {
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
  scriptTest(`${step}: when ${what} does not come in ${seconds} s, the step fails and says so`, async () => {
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

scriptTest(
  "all steps: one that is done is not done again, and the first that fails is where the next start begins",
  async () => {
    await using root = await TemporaryRoot.create();
    const all = "packages secrets firewall tailscale volume bitcoin lnd wallet macaroon lnbits credentials report"
      .split(
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
  },
);
