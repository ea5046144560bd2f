/** The first boot's steps that make Bitcoin, LND and LNbits, in a root of its own: what each waits for, and what it leaves. */
import assert from "node:assert/strict";
import { scriptTest, TemporaryRoot } from "./testing/temporary-root.ts";

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

scriptTest("bitcoin: the pinned release is installed, pruned by the disk, and its RPC is waited for", async () => {
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

scriptTest("bitcoin: the rpcauth line is the one that bitcoind computes from the password", async () => {
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

scriptTest("bitcoin: a release with another checksum is refused and removed", async () => {
  await using root = await withRelease(true);
  const { code, errors } = await root.steps("wait_for() { return 1; }; step_secrets; step_bitcoin");
  assert.equal(code, 1);
  assert.match(errors, /does not have the pinned checksum/);
  assert.ok(!await root.exists("opt/bitcoin") && !await root.exists("var/lib/timmy-node/bitcoin.tar.gz"));
});

scriptTest("LND: its REST is waited for; everything but Lightning's port listens on loopback", async () => {
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

scriptTest("LND: without its folder (the volume is not there) no container is started", async () => {
  await using root = await TemporaryRoot.create();
  assert.notEqual((await root.steps("run_lnd")).code, 0);
});

scriptTest("wallet: made from a seed that is on the disk first, with the password that unlocks it", async () => {
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

scriptTest(
  "wallet: cut off after the seed was written, the same seed is used; a wallet that exists is not made again",
  async () => {
    await using root = await withLnd("NON_EXISTING");
    await root.write("var/lib/timmy-node/secrets/lnd-seed.json", JSON.stringify(WORDS.toReversed()));
    await root.answer("POST_v1_initwallet", {});
    await root.standIn("sleep", `echo '{"state":"SERVER_ACTIVE"}' >"$STAND_INS/answers/${STATE}"`);
    assert.equal((await root.steps("step_wallet; step_wallet")).code, 0);
    const calls = (await root.calls()).join("\n");
    assert.ok(!calls.includes("genseed"));
    assert.equal(calls.match(/POST_v1_initwallet/g)?.length, 1);
    assert.ok(calls.includes(JSON.stringify(WORDS.toReversed())));
  },
);

scriptTest("wallet: an LND that gives no 24 words makes the step fail before anything is made", async () => {
  await using root = await withLnd("NON_EXISTING");
  await root.answer("GET_v1_genseed", { cipher_seed_mnemonic: WORDS.slice(1) });
  assert.notEqual((await root.steps("step_wallet")).code, 0);
  assert.ok(!(await root.calls()).join("\n").includes("initwallet"));
});

scriptTest(
  "macaroon: admin.macaroon and an answer to it are waited for; LNbits gets one that can pay and receive only",
  async () => {
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
    assert.deepEqual(rights.sort(), [
      "info:read",
      "invoices:read",
      "invoices:write",
      "offchain:read",
      "offchain:write",
    ]);
    assert.equal((await root.read("srv/timmy-node/lnd-for-lnbits/hex")).trim(), "0abc");
  },
);

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

scriptTest("LNbits: on LND's REST, on loopback, waited for; its superuser and first wallet are made once", async () => {
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

scriptTest("LNbits: cut off after its superuser was made, it logs in", async () => {
  await using root = await withLnbits();
  await Deno.remove(`${root.path}/stand-ins/answers/PUT_api_v1_auth_first_install`);
  await root.answer("POST_api_v1_auth", { access_token: "jwt-2" });
  const ran = await root.steps("step_lnbits");
  assert.equal(ran.code, 0, ran.errors);
  assert.match(await root.read("stand-ins/headers"), /^Authorization: Bearer jwt-2$/m);
});

scriptTest("credentials: everything that opens the node, in a file for root only", async () => {
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
