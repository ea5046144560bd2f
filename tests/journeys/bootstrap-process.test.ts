/** A node's way while the real program is killed inside the steps of its provisioning, at a server that speaks DigitalOcean's API. */
import assert from "node:assert/strict";
import { backUp } from "@/lib/backup/backup.ts";
import { createSimulatedNodes } from "@/lib/cloud/simulated-node.ts";
import { type DigitalOceanServer, startDigitalOcean } from "@/lib/cloud/testing/digitalocean-server.ts";
import { freePort, long, startProcess, thenStops } from "../harness/process.ts";
import { VERSION } from "@/version.ts";
import { createSeededRandom } from "../harness/seeded-random.ts";

/** The node's report, made from nothing but what the droplet was given. */
async function reportFrom(digitalOcean: DigitalOceanServer, url: string): Promise<Response> {
  const [droplet] = digitalOcean.existing("machine");
  const random = createSeededRandom(1);
  const nodes = createSimulatedNodes(random.bytes(32), random);
  const target = nodes.targetOf(String(droplet?.order.user_data));
  assert.ok(droplet && target, "the droplet knows where to report to");
  const { body, token, signature } = nodes.report(droplet, target, Date.now());
  const headers = {
    authorization: `Bearer ${token}`,
    "content-type": "application/json",
    "x-timmy-signature": signature,
  };
  return await fetch(`${url}/api/bootstrap/first-boot`, { method: "POST", headers, body });
}

/** The token by which a node reports, out of the user data. */
function reportToken(digitalOcean: DigitalOceanServer): string {
  const [droplet] = digitalOcean.existing("machine");
  const token = /TIMMY_REPORT_TOKEN='([^']+)'/.exec(String(droplet?.order.user_data))?.[1];
  assert.ok(token, "the droplet has a token to report with");
  return token;
}

/** A backup of the running instance, without its key files, tells none of these. */
async function assertNotIn(dataDir: string, secrets: readonly string[]): Promise<void> {
  const folder = await Deno.makeTempDir();
  const file = `${folder}/backup`;
  try {
    await backUp(dataDir, file, { secrets: false, passphrase: null, now: Date.now(), program: VERSION });
    const text = new TextDecoder("latin1").decode(await Deno.readFile(file));
    assert.ok(text.includes("bootstrap"), "the node's record is in it");
    for (const [i, secret] of secrets.entries()) {
      assert.ok(secret.length >= 22 && !text.includes(secret), `secret ${i} is in a backup`);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

long(
  "bootstrap process: killed inside each call that makes something, and while the node boots, it ends with one of each",
  async () => {
    const digitalOcean = startDigitalOcean({ keyLists: 1_000 });
    // Without a volume: one that is in use would keep the API from making a second droplet.
    const env = {
      PORT: String(freePort()),
      DO_API_TOKEN: digitalOcean.token,
      DO_API_BASE_URL: digitalOcean.url,
      BOOTSTRAP_POLL_MS: "100",
    };
    let timmy = await startProcess(env);
    const again = { ...env, DATA_DIR: timmy.dataDir };
    const { bootstrapJobId, invoice } = (await timmy.call("POST", "/api/bootstrap", {})).body;
    const path = `/api/bootstrap/${bootstrapJobId}`;
    const calls = ["POST /v2/account/keys", "POST /v2/droplets"] as const;
    try {
      for (const [i, call] of calls.entries()) {
        // The droplet's order is carried out only when the next life of the program is under way.
        const lives = Promise.withResolvers<void>();
        const isDroplet = call === "POST /v2/droplets";
        digitalOcean.failNext(call, isDroplet ? { how: "late", until: lives.promise } : { how: "slow", ms: 600_000 });
        const arrived = digitalOcean.arrived(call);
        if (i === 0) await timmy.call("POST", `/api/dev/stub/pay/${invoice.paymentHash}`);
        await arrived;
        await timmy.kill();
        timmy = await startProcess(again);
        lives.resolve();
      }
      const isBooting = ({ steps }: { steps: { name: string }[] }) => steps.at(-1)?.name === "first_boot";
      await timmy.poll(path, isBooting, 60_000);
      await timmy.kill();
      timmy = await startProcess(again);
      await thenStops(timmy, async () => {
        const reported = await reportFrom(digitalOcean, timmy.url);
        assert.equal(reported.status, 200, await reported.text());
        const { credentials } = await timmy.poll(path, ({ state }) => state === "ready");
        assert.ok(credentials.nodeIp && credentials.knownHosts.length > 0);
        await assertNotIn(timmy.dataDir, [
          credentials.sshPrivateKey.split("\n")[3],
          digitalOcean.token,
          reportToken(digitalOcean),
        ]);
        await timmy.poll(path, () => digitalOcean.existing("machine")[0]?.tags.includes("handed-over") ?? false);
        for (const kind of ["machine", "ssh-key"] as const) {
          assert.equal(digitalOcean.made(kind).length, 1, `${kind}: ${digitalOcean.calls}`);
        }
        assert.deepEqual(digitalOcean.violations, []);
      });
    } finally {
      await digitalOcean.close();
    }
  },
);
