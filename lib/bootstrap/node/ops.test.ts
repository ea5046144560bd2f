/** What the owner of a node types, and the report the node sends, against stand-ins and a server on loopback. */
import assert from "node:assert/strict";
import { sampleKeys } from "../keys/testing/sample-keys.ts";
import { ORDER } from "./testing/order.ts";
import { scriptTest, TemporaryRoot } from "./testing/temporary-root.ts";

const DIGEST = `example/lnd:v2@sha256:${"a".repeat(64)}`;

/** A node that runs. */
async function running(): Promise<TemporaryRoot> {
  const root = await TemporaryRoot.create();
  await root.answer("RPC_getblockchaininfo", {
    result: { blocks: 50, headers: 100, verificationprogress: 0.4321, pruned: true },
  });
  await root.answer("GET_v1_state", { state: "SERVER_ACTIVE" });
  await root.answer("GET_v1_getinfo", {
    version: "0.21",
    alias: "n",
    identity_pubkey: "02ab",
    num_peers: 3,
    block_height: 50,
    synced_to_chain: true,
  });
  await root.answer("GET_api_v1_health", {});
  await root.answer("GET_v1_channels", {
    channels: [{ peer_alias: "bob", capacity: "100", local_balance: "60", remote_balance: "40", active: true }],
  });
  await root.answer("GET_v1_balance_blockchain", { confirmed_balance: "7", unconfirmed_balance: "1" });
  await root.answer("GET_v1_balance_channels", { local_balance: { sat: "60" }, remote_balance: { sat: "40" } });
  await root.answer("GET_v1_channels_backup", { multi_chan_backup: { multi_chan_backup: btoa("backup \x00\xff") } });
  await root.answer("POST_v1_channels_backup_verify", {});
  await root.write("var/lib/timmy-node/secrets/lnd-seed.json", JSON.stringify(Array(24).fill("word")));
  for (const name of ["lnd", "lnbits"]) await Deno.mkdir(`${root.path}/srv/timmy-node/${name}`);
  await Deno.mkdir(`${root.path}/srv/timmy-node/lnd-for-lnbits`);
  await root.write("stand-ins/docker-lnd", "running");
  await root.write("stand-ins/docker-lnbits", "running");
  return root;
}

const COMMANDS = ["sync", "lnd", "lnbits", "channels", "balance", "backup", "restore-check", "logs", "update", "help"];

scriptTest("ops.sh help: names every command there is", async () => {
  await using root = await TemporaryRoot.create();
  const { code, out } = await root.ops("help");
  assert.equal(code, 0);
  for (const command of COMMANDS) assert.match(out, new RegExp(`^ {2}${command}\\b`, "m"));
  for (const other of [[], ["--help"], ["-h"]]) {
    assert.deepEqual(await root.ops(...other), { code: 0, out, errors: "" });
  }
});

scriptTest("ops.sh: each command that only looks says how it stands", async () => {
  await using root = await running();
  for (
    const [command, words] of Object.entries({
      sync: [/block 50 of 100, 43\.21 % verified, pruned/, /LND: block 50, synced to the chain/, /Disk: \S+ used/],
      lnd: [/State: SERVER_ACTIVE/, /Key: 02ab/, /Peers: 3/],
      lnbits: [/answers/, /ssh -L 5000:127\.0\.0\.1:5000/],
      channels: [/bob\t100\t60\t40\tyes/],
      balance: [/7 sats confirmed, 1 unconfirmed/, /60 sats can be sent, 40 received/],
      logs: [/a line of the journal/],
    })
  ) {
    const ran = await root.ops(command);
    assert.equal(ran.code, 0, `${command}: ${ran.errors}`);
    for (const word of words) assert.match(ran.out, word);
  }
});
scriptTest("ops.sh: on a node where nothing answers each command says so and none hangs", async () => {
  await using root = await TemporaryRoot.create();
  const { code, out } = await root.ops("sync");
  assert.equal(code, 0);
  assert.match(out, /Bitcoin: does not answer[\s\S]*LND: does not answer/);
  for (const command of ["lnd", "lnbits", "channels", "balance", "backup", "restore-check"]) {
    const ran = await root.ops(command);
    assert.notEqual(ran.code, 0, command);
    assert.ok(!/unbound|syntax|command not found/.test(ran.errors), ran.errors);
  }
  assert.ok(!await root.exists("root/backups/channels-.backup"));
});

scriptTest("ops.sh lnbits: in a tailnet it names the address there", async () => {
  await using root = await running();
  await root.write("stand-ins/joined", "");
  assert.match((await root.ops("lnbits")).out, /http:\/\/node\.tail1\.ts\.net:5000/);
});

scriptTest(
  "ops.sh backup and restore-check: the backup is written byte for byte, for root only, and shown to LND",
  async () => {
    await using root = await running();
    const { code, out, errors } = await root.ops("backup");
    assert.equal(code, 0, errors);
    const file = /Written: (\S+)/.exec(out)![1]!;
    assert.deepEqual(await Deno.readFile(file), Uint8Array.from("backup \x00\xff", (c) => c.charCodeAt(0)));
    assert.equal((await Deno.stat(file)).mode! & 0o777, 0o600);
    const check = await root.ops("restore-check");
    assert.equal(check.code, 0, check.errors);
    assert.ok(
      (await root.calls()).includes(
        `POST_v1_channels_backup_verify {"multi_chan_backup":{"multi_chan_backup":"${btoa("backup \x00\xff")}"}}`,
      ),
    );
    await Deno.remove(`${root.path}/stand-ins/answers/POST_v1_channels_backup_verify`);
    const refused = await root.ops("restore-check", file);
    assert.notEqual(refused.code, 0);
    assert.match(refused.errors, /cannot read/);
  },
);

scriptTest("ops.sh logs: of Bitcoin, LND, LNbits and the first boot; anything else is refused", async () => {
  await using root = await running();
  for (const what of ["bitcoin", "lnd", "lnbits", "node"]) {
    assert.equal((await root.ops("logs", what, "7")).code, 0, what);
  }
  const calls = await root.calls();
  assert.ok(
    calls.includes("docker logs --tail 7 lnd") && calls.some((call) => call.includes("timmy-bitcoind.service -n 7")),
  );
  for (const args of [["secrets"], ["lnd", "7; reboot"], ["lnd", ""], ["--help"]]) {
    assert.equal((await root.ops("logs", ...args)).code, args[1] === "" ? 0 : 1, args.join(" "));
  }
});

scriptTest("ops.sh update: the system's updates, and what should run is started", async () => {
  await using root = await running();
  const ran = await root.ops("update");
  assert.equal(ran.code, 0, ran.errors);
  const calls = (await root.calls()).join("\n");
  assert.match(
    calls,
    /apt-get .*upgrade[\s\S]*systemctl start timmy-bitcoind.service[\s\S]*--name lnd[\s\S]*--name lnbits/,
  );
});

scriptTest("ops.sh update lnd: by its digest only, after a backup, and it stays chosen", async () => {
  await using root = await running();
  for (const name of ["example/lnd:v2", "example/lnd:latest", DIGEST.slice(0, -1), `${DIGEST};reboot`, ""]) {
    assert.equal((await root.ops("update", "lnd", name)).code, 1, name);
  }
  assert.ok(!(await root.calls()).some((call) => call.startsWith("docker")));
  const ran = await root.ops("update", "lnd", DIGEST);
  assert.equal(ran.code, 0, ran.errors);
  const calls = await root.calls();
  const at = (word: string) => calls.findIndex((call) => call.includes(word));
  assert.ok(at("GET_v1_channels_backup") >= 0 && at("GET_v1_channels_backup") < at(`docker pull --quiet ${DIGEST}`));
  assert.ok(at("docker rm lnd") < at(`docker run`) && calls.at(at("docker run"))!.endsWith(DIGEST));
  assert.equal((await root.steps('echo "$TIMMY_LND_IMAGE"')).out, `${DIGEST}\n`);
});

scriptTest("ops.sh update bitcoin: by its checksum only; another one leaves the node as it was", async () => {
  await using root = await running();
  for (const args of [[], ["https://example.com/b.tar.gz"], ["http://example.com/b.tar.gz", "a".repeat(64)]]) {
    assert.equal((await root.ops("update", "bitcoin", ...args)).code, 1);
  }
  await root.answer("GET_b.tar.gz", "not it");
  const ran = await root.ops("update", "bitcoin", "https://example.com/b.tar.gz", "a".repeat(64));
  assert.equal(ran.code, 1);
  assert.match(ran.errors, /pinned checksum/);
  assert.ok(!await root.exists("opt/timmy-node/pins.env"));
  assert.ok(!(await root.calls()).some((call) => call.includes("restart timmy-bitcoind")));
});

scriptTest("ops.sh: a command that there is not is refused with the list of those there are", async () => {
  await using root = await TemporaryRoot.create();
  for (const command of ["sell", "cmd_sync", "main", "restore_check"]) {
    const { code, errors } = await root.ops(command);
    assert.equal(code, 1, command);
    assert.match(errors, /usage:[\s\S]*there is no command/);
  }
});

/** A report reads the public halves only. */
const HOST_KEY_TYPES = ["ed25519", "rsa"] as const;

/** A node with the real curl, its report going to a server that answers with these in turn. */
async function reporting(
  statuses: number[],
): Promise<
  { root: TemporaryRoot; seen: { headers: Headers; body: string }[]; [Symbol.asyncDispose](): Promise<void> }
> {
  const seen: { headers: Headers; body: string }[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    seen.push({ headers: request.headers, body: await request.text() });
    const status = statuses[seen.length - 1] ?? 500;
    return new Response(status === 204 ? null : "no\u0007t so", { status });
  });
  const report = { url: `http://127.0.0.1:${server.addr.port}/api/bootstrap/first-boot`, token: ORDER.report.token };
  const root = await TemporaryRoot.create({ ...ORDER, tailscaleAuthKey: null, volumeName: null, report });
  await Deno.remove(`${root.path}/stand-ins/bin/curl`);
  for (const type of HOST_KEY_TYPES) {
    await root.write(`etc/ssh/ssh_host_${type}_key.pub`, `${sampleKeys()[`ssh-${type}`]} root@host\n`);
  }
  return {
    root,
    seen,
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      await root[Symbol.asyncDispose]();
    },
  };
}
const send = (root: TemporaryRoot) => root.bash(`${root.path}/opt/timmy-node/report.sh`);

scriptTest("report.sh: what it sends is signed by the key it names, for this purpose only", async () => {
  await using node = await reporting([201]);
  const { root, seen } = node;
  const ran = await send(root);
  assert.deepEqual([ran.code, ran.errors], [0, ""]);
  const { headers, body } = seen[0]!;
  assert.equal(headers.get("authorization"), `Bearer ${ORDER.report.token}`);
  const report = JSON.parse(body);
  assert.deepEqual(Object.keys(report), ["at", "sshHostKeys", "nodeKey", "tailscaleHostname", "lnbitsUrl", "services"]);
  assert.ok(Math.abs(Date.parse(report.at) - Date.now()) < 60_000);
  const hostKeys = await Promise.all(
    HOST_KEY_TYPES.map(async (type) =>
      (await root.read(`etc/ssh/ssh_host_${type}_key.pub`)).split(" ").slice(0, 2).join(" ")
    ),
  );
  assert.deepEqual(report.sshHostKeys.sort(), hostKeys.sort());
  assert.deepEqual([report.tailscaleHostname, report.lnbitsUrl], [null, "http://127.0.0.1:5000"]);
  assert.deepEqual(report.services, { bitcoin: "active", lnd: "absent", lnbits: "absent" });

  await root.write("body", body);
  await root.write("body.sig", atob(headers.get("x-timmy-signature")!));
  await root.write("signers", `node ${report.nodeKey}\n`);
  const verify = (namespace: string) =>
    root.bash(
      "-c",
      `ssh-keygen -Y verify -f "$NODE_ROOT/signers" -I node -n ${namespace} -s "$NODE_ROOT/body.sig" <"$NODE_ROOT/body"`,
    );
  assert.equal((await verify("timmy-first-boot")).code, 0);
  assert.notEqual((await verify("file")).code, 0);
  await root.write("body", body.replace("5000", "5001"));
  assert.notEqual((await verify("timmy-first-boot")).code, 0);
});

scriptTest(
  "report.sh: exits 0 for a 2xx only, is sent again with the same key, and leaves nothing of the token behind",
  async () => {
    const statuses = [500, 401, 302, 404, 429, 204];
    await using node = await reporting(statuses);
    const { root, seen } = node;
    for (const status of statuses) {
      const { code, out, errors } = await send(root);
      assert.equal(code, status === 204 ? 0 : 1, String(status));
      assert.match(out + errors, new RegExp(String(status)));
      assert.ok(!(out + errors).includes(ORDER.report.token) && !(out + errors).includes("\u0007"), errors);
    }
    assert.equal(new Set(seen.map(({ body }) => JSON.parse(body).nodeKey)).size, 1);
    assert.equal(await root.mode("var/lib/timmy-node/report-key"), "600");
    assert.deepEqual(
      [...Deno.readDirSync(`${root.path}/var/lib/timmy-node`)].filter(({ name }) => name.startsWith("report.")),
      [],
    );
  },
);

scriptTest("report.sh: without a server, or before the node has SSH host keys, it fails and says why", async () => {
  await using node = await reporting([200]);
  const { root, seen } = node;
  await root.bash("-c", 'rm "$NODE_ROOT"/etc/ssh/*');
  const without = await send(root);
  assert.deepEqual([without.code, seen.length], [1, 0]);
  assert.match(without.errors, /no SSH host keys/);
  await root.write("opt/timmy-node/node.env", "TIMMY_REPORT_URL=http://127.0.0.1:1/\nTIMMY_REPORT_TOKEN=t\n");
  await root.write("etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAA root@host\n");
  const unreachable = await send(root);
  assert.equal(unreachable.code, 1);
  assert.match(unreachable.errors, /does not answer/);
});

scriptTest("report.sh: in a tailnet it names the node's name there", async () => {
  await using node = await reporting([200]);
  await node.root.write("stand-ins/joined", "");
  await node.root.write("stand-ins/docker-lnd", "running");
  assert.equal((await send(node.root)).code, 0);
  const report = JSON.parse(node.seen[0]!.body);
  assert.deepEqual([report.tailscaleHostname, report.lnbitsUrl], [
    "node.tail1.ts.net",
    "http://node.tail1.ts.net:5000",
  ]);
  assert.equal(report.services.lnd, "running");
});
