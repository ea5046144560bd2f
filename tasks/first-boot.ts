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
import { type NodeOrder, nodeUserData } from "@/lib/bootstrap/node/user-data.ts";
import { PINS, type Pins } from "@/lib/bootstrap/node/pins.ts";
import { PORT, type Tools, trial } from "./first-boot-trial.ts";
import { CACHE, makeRoot, onLoopback, say, sh, SUITE, tidy } from "./machine.ts";

const LIMIT_MS = 10 * 60_000;
const STAND_INS = new URL("../lib/bootstrap/node/testing/stand-ins/", import.meta.url).pathname;
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

async function main(): Promise<void> {
  const { values } = parseArgs({
    args: Deno.args,
    options: { print: { type: "boolean" }, inside: { type: "string" } },
  });
  if (values.print) return void Deno.stdout.writeSync(new TextEncoder().encode(nodeUserData(ORDER)));
  if (values.inside) {
    return await trial(values.inside);
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
    const code = await onLoopback(["tasks/first-boot.ts", "--inside", work], LIMIT_MS);
    if (code !== 0) throw new Error("the first boot failed");
  } finally {
    await tidy(work);
  }
}

if (import.meta.main) {
  await main().catch((error: Error) => {
    console.log(error.message);
    Deno.exit(1);
  });
}
