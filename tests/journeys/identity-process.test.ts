/** Signing in to the real program: the example as a reader runs it, and what a restart keeps. */
import assert from "node:assert/strict";
import { bytesToHex } from "@noble/hashes/utils.js";
import { ALICE, nostrHeader, sign } from "../fixtures/nostr/sign.ts";
import { type RunningProcess, startProcess } from "../harness/process.ts";

const root = new URL("../../", import.meta.url).pathname;

async function withProcess(fn: (timmy: RunningProcess) => Promise<void>): Promise<void> {
  const timmy = await startProcess();
  try {
    await fn(timmy);
  } finally {
    await timmy.kill().catch(() => {}); // it has ended already
    await Deno.remove(timmy.dataDir.replace(/\/data$/, ""), { recursive: true });
  }
}

Deno.test("examples/sign-in.ts: signs in, pays a job in the key's name, and its trust shows it", async () => {
  await withProcess(async ({ url, output }) => {
    // Through a shell: the gate lets tests start sh, whatever the path of this deno.
    const { code, stdout, stderr } = await new Deno.Command("sh", {
      args: [
        "-c",
        '"$0" run --config dev/deno.json --quiet --no-prompt --allow-net=127.0.0.1 --allow-env examples/sign-in.ts "$1"',
        Deno.execPath(),
        url,
      ],
      cwd: root,
      env: { NO_COLOR: "1" },
      stdin: "null",
    }).output();
    const [said = "", complained] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assert.equal(code, 0, said + complained + output());
    assert.match(said, /^Signed in as [0-9a-f]{64} until 20/);
    assert.match(said, /^Before: new, score 0; the pool pays up to 0 sats more today\.$/m);
    assert.match(said, /^complete: \[simulated\] /m);
    const [, charged, paid] = /^It cost (\d+) sats of (\d+) paid\.$/m.exec(said) ?? [];
    assert.ok(Number(charged) > 0 && Number(charged) <= Number(paid), said);
    assert.match(said, /^After: new, score 1;/m);
    assert.match(said, /^Jobs of this key: complete\.$/m);
    assert.match(said, /^Signed a request: the same key\.$/m);
  });
});

Deno.test("identity: over SIGKILL and rotation tokens go on, what was used stays used; a secret taken out ends its tokens", async () => {
  const seconds = () => Math.floor(Date.now() / 1_000);
  const answer = (origin: string, nonce: string) =>
    sign({ kind: 27_235, created_at: seconds(), tags: [["u", origin]], content: nonce });
  await withProcess(async (first) => {
    const { url, dataDir } = first;
    let renewed = "";
    const { body: used } = await first.call("POST", "/api/identity/challenge");
    const { body: open } = await first.call("POST", "/api/identity/challenge");
    const { body: signedIn } = await first.call("POST", "/api/identity/verify", { event: answer(url, used.nonce) });
    const header = nostrHeader(sign({
      kind: 27_235,
      created_at: seconds(),
      tags: [["u", `${url}/api/identity/me`], ["method", "GET"]],
      content: "",
    }, ALICE));
    const me = async (headers: Record<string, string>) => {
      const response = await fetch(`${url}/api/identity/me`, { headers });
      return { status: response.status, body: await response.json() };
    };
    assert.equal((await me({ authorization: header })).status, 200);
    await first.kill();

    // The secret made at the first start moves into the setting, behind a new one; later the new one stands alone.
    const fileSecret = bytesToHex(await Deno.readFile(`${dataDir}/token.key`));
    const fresh = "ab".repeat(32);
    await restarted(
      { PORT: new URL(url).port, DATA_DIR: dataDir, TIMMY_TOKEN_SECRET: `${fresh},${fileSecret}` },
      async (timmy) => {
        const again = await me({ "x-nostr-token": signedIn.nostr_token });
        assert.deepEqual([again.status, again.body.pubkey], [200, signedIn.pubkey]);
        const replayed = await me({ authorization: header });
        assert.deepEqual([replayed.status, replayed.body.error.code], [401, "nip98_replayed"]);
        const twice = await timmy.call("POST", "/api/identity/verify", { event: answer(url, used.nonce) });
        assert.deepEqual([twice.status, twice.body.error.code], [401, "challenge_used"]);
        const late = await timmy.call("POST", "/api/identity/verify", { event: answer(url, open.nonce) });
        assert.equal(late.status, 200);
        assert.ok(!(first.output() + timmy.output()).includes(signedIn.pubkey), "the log names the key");
        renewed = late.body.nostr_token;
      },
    );
    await restarted({ PORT: new URL(url).port, DATA_DIR: dataDir, TIMMY_TOKEN_SECRET: fresh }, async () => {
      const ended = await me({ "x-nostr-token": signedIn.nostr_token });
      assert.deepEqual([ended.status, ended.body.error.code], [401, "identity_invalid"]);
      assert.equal((await me({ "x-nostr-token": renewed })).status, 200);
    });
  });
});

async function restarted(env: Record<string, string>, fn: (timmy: RunningProcess) => Promise<void>): Promise<void> {
  const timmy = await startProcess(env);
  try {
    await fn(timmy);
    assert.equal(await timmy.stop(), 0, timmy.output());
  } finally {
    await timmy.kill().catch(() => {});
  }
}
