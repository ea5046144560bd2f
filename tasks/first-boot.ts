// deno-lint-ignore-file no-console -- a command prints
/**
 * A whole first boot of a node, on this machine: a Debian of its own in a container, cloud-init with the user data a payer's node gets, the
 * real LND and LNbits, and an instance that takes the report. Docker, Tailscale, the firewall and bitcoind are stand-ins
 * (lib/bootstrap/node/testing/stand-ins). It is cut off in the middle, booted again, and once more when it is done.
 *
 *   deno task first-boot            needs root, Debian, debootstrap, systemd-container; TIMMY_TOOLS_SRC names the scripts `lightning`, `lnbits`
 *   deno task first-boot --print    the user data of the tests' order, as lib/bootstrap/node/testing/user-data.golden holds it
 *
 * Everything runs in a network namespace that has the loopback interface only. Prints a line for each thing seen and ends with exit code 1
 * at the first that is not as it must be. What can be kept for the next run is in ~/.cache/timmy-tools.
 */
import { parseArgs } from "node:util";
import { ORDER } from "@/lib/bootstrap/node/testing/order.ts";
import { authorizedKey } from "@/lib/bootstrap/node/node-order.rules.ts";
import { type NodeOrder, nodeUserData } from "@/lib/bootstrap/node/user-data.ts";
import { PINS, type Pins } from "@/lib/bootstrap/node/pins.ts";

const SUITE = "bookworm";
const PACKAGES =
  "systemd systemd-sysv dbus cloud-init openssh-client curl jq openssl gnupg iproute2 python3 e2fsprogs ca-certificates";
const LIMIT_MS = 10 * 60_000;
const PORT = 7300;
const STAND_INS = new URL("../lib/bootstrap/node/testing/stand-ins/", import.meta.url).pathname;
const CACHE = Deno.env.get("TIMMY_TOOLS_DIR") ?? `${Deno.env.get("HOME")}/.cache/timmy-tools`;

const began = performance.now();
const say = (text: string) => console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${text}`);

async function sh(script: string, env: Record<string, string> = {}): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("bash", { args: ["-euo", "pipefail", "-c", script], env })
    .output();
  const [out, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (code !== 0) throw new Error(`exit code ${code} from: ${script}\n${errors}${out}`);
  return out!.trim();
}

/** Where the programs are that the stand-ins start. */
interface Tools {
  lightning: string;
  lnbitsPython: string;
  lnbitsPackage: string;
  /** Folders of this machine that the container sees, read-only: `FOLDER` or `FOLDER:WHERE`. */
  shared: string[];
}

async function installTools(): Promise<Tools> {
  const source = Deno.env.get("TIMMY_TOOLS_SRC") ?? new URL("../../shared/tools", import.meta.url).pathname;
  await sh(`"$TOOLS/lightning" install >&2 && "$TOOLS/lnbits" install >&2`, { TOOLS: source });
  const lightning = await sh(`dirname "$(ls -t ${CACHE}/lightning-*/bin/.complete | head -n 1)"`);
  const venv = await sh(`dirname "$(ls -t ${CACHE}/lnbits-*/.complete | head -n 1)"`);
  const python = `${venv}/bin/python`;
  const [base, site] = (await sh(
    `${python} -c 'import sys, sysconfig; print(sys.base_prefix); print(sysconfig.get_paths()["purelib"])'`,
  )).split("\n");
  // A virtual environment works at its own place only; btcd's user may not look below /root.
  const shared = [`${lightning}:/opt/lightning`, venv, ...(base === "/usr" ? [] : [base!])];
  return { lightning: "/opt/lightning", lnbitsPython: python, lnbitsPackage: `${site}/lnbits`, shared };
}

/** A Debian with systemd and cloud-init, kept as an archive: made in about a minute, unpacked in seconds. */
async function makeRoot(root: string): Promise<void> {
  const archive = `${CACHE}/first-boot-${SUITE}-${(await sh(`printf %s "${PACKAGES}" | sha256sum`)).slice(0, 12)}.tar`;
  await sh(
    `
    if [ ! -s "$ARCHIVE" ]; then
      mkdir -p "$(dirname "$ARCHIVE")"
      mirror=$(apt-cache policy | sed -nE 's#^ *[0-9]+ (https?://[^ ]+) ${SUITE}/main .*#\\1#p' | head -n 1)
      debootstrap --variant=minbase --include=ca-certificates ${SUITE} "$ROOT" "$mirror" >&2
      cp /etc/resolv.conf "$ROOT/etc/resolv.conf"
      DEBIAN_FRONTEND=noninteractive chroot "$ROOT" sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends ${PACKAGES} && apt-get clean' >&2
      : >"$ROOT/etc/resolv.conf"
      tar --numeric-owner -cf "$ARCHIVE.new" -C "$ROOT" .
      mv "$ARCHIVE.new" "$ARCHIVE"
    else
      mkdir -p "$ROOT"
      tar --numeric-owner -xpf "$ARCHIVE" -C "$ROOT"
    fi`,
    { ROOT: root, ARCHIVE: archive },
  );
}

/** The order of this trial: the pinned images, and a stand-in where bitcoind's release would come from. */
async function trialOrder(work: string): Promise<{ order: NodeOrder; pins: Pins }> {
  await sh(
    `mkdir -p "$W/release/trial/bin" && cp "$S/bitcoind" "$W/release/trial/bin/" && tar -czf "$W/bitcoin.tar.gz" -C "$W/release" trial`,
    {
      W: work,
      S: STAND_INS,
    },
  );
  const release = {
    url: `http://127.0.0.1:${PORT}/bitcoin.tar.gz`,
    sha256: (await sh(`sha256sum "$W/bitcoin.tar.gz"`, { W: work })).slice(0, 64),
  };
  const pins: Pins = { ...PINS, core: { ...PINS.core!, value: { x86_64: release, aarch64: release } } };
  const order: NodeOrder = {
    ...ORDER,
    volumeName: null,
    report: { url: `http://127.0.0.1:${PORT}/api/bootstrap/first-boot`, token: ORDER.report.token },
    images: { ...ORDER.images, bitcoin: pins.core!.value },
  };
  return { order, pins };
}

/** Puts the seed for cloud-init and the stand-ins into the root. */
async function prepareRoot(root: string, tools: Tools, userData: string, tailscaleKey: string): Promise<void> {
  const seed = `${root}/var/lib/cloud/seed/nocloud`;
  await Deno.mkdir(seed, { recursive: true });
  await Deno.writeTextFile(`${seed}/user-data`, userData);
  await Deno.writeTextFile(`${seed}/meta-data`, "instance-id: first-boot-trial\n");
  await Deno.writeTextFile(
    `${root}/etc/cloud/cloud.cfg.d/99-trial.cfg`,
    "datasource_list: [NoCloud]\nnetwork: {config: disabled}\n",
  );
  await Deno.mkdir(`${root}/opt/stand-ins`, { recursive: true });
  await Deno.writeTextFile(`${root}/opt/stand-ins/tools.json`, JSON.stringify(tools));
  await Deno.writeTextFile(`${root}/opt/stand-ins/tailscale-key`, tailscaleKey);
  await sh(
    `install -m 0755 "$S/docker" "$S/tailscale" "$S/ufw" "$R/usr/local/bin/"
    install -m 0644 "$S/docker.service" "$S/btcd.service" "$R/etc/systemd/system/"
    mkdir -p "$R/var/log/journal"
    echo "127.0.0.1 localhost" >"$R/etc/hosts"
    systemctl --root="$R" enable -q docker.service btcd.service`,
    { S: STAND_INS, R: root },
  );
}

interface Report {
  at: string;
  sshHostKeys: string[];
  nodeKey: string;
  tailscaleHostname: string | null;
  lnbitsUrl: string | null;
  services: Record<string, string>;
}

/** The instance: it gives out the release, is out of order for the first report, and takes a signed one once. */
function serveInstance(work: string, token: string): { taken: Promise<Report>; close(): Promise<void> } {
  const taken = Promise.withResolvers<Report>();
  let calls = 0;
  let spent = false;
  const server = Deno.serve({ hostname: "127.0.0.1", port: PORT, onListen: () => {} }, async (request) => {
    if (new URL(request.url).pathname === "/bitcoin.tar.gz") {
      return new Response(await Deno.readFile(`${work}/bitcoin.tar.gz`));
    }
    calls++;
    if (calls === 1) return new Response("not now", { status: 503 });
    if (spent || request.headers.get("authorization") !== `Bearer ${token}`) {
      return new Response("token", { status: 401 });
    }
    const body = await request.text();
    const report: Report = JSON.parse(body);
    await Deno.writeTextFile(`${work}/body`, body);
    await Deno.writeTextFile(`${work}/body.sig`, atob(request.headers.get("x-timmy-signature") ?? ""));
    await Deno.writeTextFile(`${work}/signers`, `node ${report.nodeKey}\n`);
    await sh(`ssh-keygen -Y verify -f "$W/signers" -I node -n timmy-first-boot -s "$W/body.sig" <"$W/body"`, {
      W: work,
    });
    spent = true;
    taken.resolve(report);
    return Response.json({ ok: true }, { status: 201 });
  });
  return { taken: taken.promise, close: () => server.shutdown() };
}

/** One boot of the container. */
class Boot {
  readonly #process: Deno.ChildProcess;
  readonly #root: string;

  constructor(root: string, shared: readonly string[], log: string, group: string) {
    this.#root = root;
    const binds = shared.map((folder) => `--bind-ro=${folder}`).join(" ");
    // A control group of its own: two systems that manage the same one take each other's processes for theirs.
    const script = `for all in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
        if [ -e $all/cgroup.procs ]; then mkdir -p "$all/$G" && echo $$ >"$all/$G/cgroup.procs"; fi
      done
      exec systemd-nspawn -q --register=no --keep-unit -b --link-journal=no --console=pipe -D "$R" ${binds} >>"$L" 2>&1`;
    this.#process = new Deno.Command("bash", {
      args: ["-c", script],
      env: { R: root, L: log, G: group },
      stdin: "null",
    }).spawn();
  }

  /** Runs a script inside, as a person who has logged in would. */
  async inside(script: string): Promise<string> {
    return await sh(
      `nsenter -t ${await this
        .#leader()} -m -u -i -p -r -w env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root bash -c "$SCRIPT"`,
      { SCRIPT: script },
    );
  }

  async until(path: string, seconds: number): Promise<void> {
    const end = performance.now() + seconds * 1000;
    while (performance.now() < end) {
      const there = await Deno.stat(`${this.#root}/${path}`).catch(() => null);
      if (there && there.size > 0) return;
      await new Promise((wake) => setTimeout(wake, 25));
    }
    throw new Error(`after ${seconds} s there is no ${path}`);
  }

  /** As if the power went: its first process ends at once, and every other one in there with it. */
  async cut(): Promise<void> {
    await sh(`kill -KILL ${await this.#leader()}`);
    await this.#process.status;
  }

  #leader(): Promise<string> {
    return sh(`pgrep -P ${this.#process.pid} | head -n 1`);
  }

  async powerOff(): Promise<void> {
    await this.inside("systemctl --no-block poweroff");
    const timer = setTimeout(() => void this.cut(), 60_000);
    await this.#process.status;
    clearTimeout(timer);
  }
}

/** The part that runs in the network namespace. */
async function trial(work: string): Promise<void> {
  const { tools, order }: { tools: Tools; order: NodeOrder } = JSON.parse(
    await Deno.readTextFile(`${work}/trial.json`),
  );
  const root = `${work}/root`;
  let boots = 0;
  const group = work.split("/").at(-1);
  const boot = () => new Boot(root, tools.shared, `${work}/console.log`, `${group}-${++boots}`);
  const instance = serveInstance(work, order.report.token);
  const check = (held: boolean, what: string) => {
    if (!held) throw new Error(`not so: ${what}`);
    say(`ok: ${what}`);
  };

  let node = boot();
  try {
    say("first boot begins");
    await node.until("var/lib/timmy-node/secrets/lnd-seed.json", 90);
    await node.cut();
    say("cut off while the wallet was being made");
    const seed = await Deno.readTextFile(`${root}/var/lib/timmy-node/secrets/lnd-seed.json`);

    node = boot();
    await node.until("var/lib/timmy-node/steps/report", 240);
    const report = await instance.taken;
    check(
      true,
      `the report was refused once with 503, sent again, and is signed by the node's key: ${
        JSON.stringify(report.services)
      }`,
    );
    check(report.sshHostKeys.length > 0, `it carries ${report.sshHostKeys.length} SSH host keys`);
    const hostKey = (await Deno.readTextFile(`${root}/etc/ssh/ssh_host_ed25519_key.pub`)).split(" ").slice(0, 2).join(
      " ",
    );
    check(report.sshHostKeys.includes(hostKey), "among them the one in /etc/ssh");
    check(report.lnbitsUrl === `http://${report.tailscaleHostname}:5000`, `lnbitsUrl is ${report.lnbitsUrl}`);
    const cloudInit = JSON.parse(await Deno.readTextFile(`${root}/var/lib/cloud/data/result.json`));
    check(cloudInit.v1.errors.length === 0, `cloud-init has no errors (${cloudInit.v1.datasource})`);
    const modes = await node.inside(
      "stat -c '%a %U' /root/node-credentials.txt /opt/timmy-node/node.env; find /var/lib/timmy-node/secrets /srv/timmy-node/lnd -maxdepth 1 -type f -perm /077 ! -name tls.cert ! -name '*.macaroon' | wc -l",
    );
    check(modes === "600 root\n600 root\n0", "credentials and node.env are 0600, and no secret is for others to read");
    const credentials = await Deno.readTextFile(`${root}/root/node-credentials.txt`);
    const words: string[] = JSON.parse(seed);
    check(
      words.every((word, i) => credentials.includes(`${i + 1}. ${word}`)),
      "the seed is that of before the cut, and stands in the credentials",
    );

    check(
      await node.inside("cat /root/.ssh/authorized_keys; hostname") ===
        `${authorizedKey(order.sshPublicKey)}\n${order.name}`,
      "the payer's key, and no other, lets root in, and the host has the node's name",
    );
    check(
      (await node.inside("bash /opt/timmy-node/ops.sh lnd")).includes("State: RPC_ACTIVE"),
      "all this while the chain has not come yet (LND: RPC_ACTIVE)",
    );

    const key = /wallet admin key: (\w+)/.exec(credentials)![1];
    const invoice = () =>
      node.inside(
        `curl -sf -H 'X-Api-Key: ${key}' -H 'Content-Type: application/json' -d '{"out":false,"amount":21}' http://127.0.0.1:5000/api/v1/payments | jq -r .bolt11`,
      );
    await Deno.writeTextFile(`${root}/opt/stand-ins/synced`, "");
    await node.inside("systemctl restart timmy-bitcoind.service");
    await retry(60, async () => (await invoice()).startsWith("lnbcrt210n"));
    check(true, "the chain comes, and LNbits makes an invoice of the node's LND (lnbcrt210n…)");
    const refused = await node.inside(
      `curl -s --cacert /srv/timmy-node/lnd/tls.cert -H "Grpc-Metadata-macaroon: $(cat /srv/timmy-node/lnd-for-lnbits/hex)" https://127.0.0.1:8080/v1/newaddress`,
    );
    check(refused.includes("permission denied"), "LNbits' macaroon gets no on-chain address");
    const listening = await sh("ss -Htln | awk '{ print $4 }' | sort -u");
    check(
      !/^(?!127\.|\[::1\])/m.test(listening),
      `nothing listens beyond loopback: ${listening.replaceAll("\n", " ")}`,
    );
    for (
      const command of [
        "sync",
        "lnd",
        "lnbits",
        "channels",
        "balance",
        "backup",
        "restore-check",
        "logs node 5",
        "logs lnd 2",
        "help",
      ]
    ) {
      const out = await node.inside(`bash /opt/timmy-node/ops.sh ${command}`);
      say(`ok: ops.sh ${command}\n${out.replace(/^/gm, "            ")}`);
    }
    await node.powerOff();
    say("powered off");

    await Deno.writeTextFile(`${root}/opt/stand-ins/synced`, "");
    node = boot();
    await retry(
      90,
      async () => (await node.inside("bash /opt/timmy-node/ops.sh lnd")).includes("State: SERVER_ACTIVE"),
    );
    await retry(90, async () => (await invoice()).startsWith("lnbcrt"));
    check(true, "booted again: LND has unlocked itself and LNbits makes invoices");
    check(
      (await node.inside("systemctl show -p ConditionResult --value timmy-node.service")) === "no",
      "the first boot is not made again",
    );
    await node.powerOff();
    say("steps, as the node tells them:");
    console.log(
      await sh(
        `journalctl -q -D "$R/var/log/journal" -u timmy-node.service -o cat | grep -E ': (begins|done)$|is made$|waited|timmy-node:|report:'`,
        { R: root },
      ),
    );
    say("ready");
  } catch (error) {
    console.log(
      await sh(`journalctl -q -D "$R/var/log/journal" -n 60 -o cat || true; tail -n 20 "$L"`, {
        R: root,
        L: `${work}/console.log`,
      }),
    );
    await node.cut().catch(() => {});
    throw error;
  } finally {
    await instance.close();
  }
}

async function retry(seconds: number, held: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const failure = await held().then((yes) => yes ? undefined : new Error("not yet"), (error: Error) => error);
    if (!failure) return;
    if (performance.now() > end) throw failure;
    await new Promise((wake) => setTimeout(wake, 500));
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    args: Deno.args,
    options: { print: { type: "boolean" }, inside: { type: "string" } },
  });
  if (values.print) return void Deno.stdout.writeSync(new TextEncoder().encode(nodeUserData(ORDER)));
  if (values.inside) {
    const limit = setTimeout(() => {
      say(`not done after ${LIMIT_MS / 1000} s`);
      Deno.exit(1);
    }, LIMIT_MS);
    await trial(values.inside);
    return clearTimeout(limit);
  }
  const work = await Deno.makeTempDir({ prefix: "timmy-first-boot-" });
  try {
    const tools = await installTools();
    say("LND, btcd and LNbits are there");
    await makeRoot(`${work}/root`);
    say(`a Debian ${SUITE} is there`);
    const { order, pins } = await trialOrder(work);
    await prepareRoot(`${work}/root`, tools, nodeUserData(order, pins), order.tailscaleAuthKey!);
    await Deno.writeTextFile(`${work}/trial.json`, JSON.stringify({ tools, order }));
    const again = [
      Deno.execPath(),
      "run",
      "--config",
      "dev/deno.json",
      "--no-prompt",
      "--allow-net=127.0.0.1",
      "--allow-env",
      "--allow-read",
      "--allow-write",
      "--allow-run",
      "tasks/first-boot.ts",
      "--inside",
      work,
    ];
    const { code } = await new Deno.Command("unshare", {
      args: [
        "--net",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
        "sh",
        "-c",
        'ip link set lo up && exec "$@"',
        "sh",
        ...again,
      ],
      stdin: "null",
    }).spawn().status;
    if (code !== 0) throw new Error("the first boot failed");
  } finally {
    await sh(`rm -rf --one-file-system "$W"`, { W: work });
  }
}

if (import.meta.main) {
  await main().catch((error: Error) => {
    console.log(error.message);
    Deno.exit(1);
  });
}
