// deno-lint-ignore-file no-console -- a command prints
/** The part of the first-boot trial that runs in its own network namespace: the instance, the boots, and what must be seen. */
import { authorizedKey, type NodeOrder } from "@/lib/bootstrap/node/node-order.rules.ts";
import { Boot, retry, say, sh } from "./machine.ts";

/** Where the instance listens, on loopback. */
export const PORT = 7300;

/** Where the programs are that the stand-ins start. */
export interface Tools {
  lightning: string;
  lnbitsPython: string;
  lnbitsPackage: string;
  /** Folders of this machine that the container sees, read-only: `FOLDER` or `FOLDER:WHERE`. */
  shared: string[];
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

/** The part that runs in the network namespace. */
export async function trial(work: string): Promise<void> {
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
