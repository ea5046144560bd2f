/** The real program, with its own permissions, asked what it is. */
import assert from "node:assert/strict";
import { attest } from "@/cli/attest.ts";
import { getOverOneConnection } from "@/cli/attest-request.ts";
import { AT, SNP_MEASUREMENT } from "@/lib/attestation/testing/self-made.ts";
import { startProcess } from "../harness/process.ts";

const NONCE = "a1".repeat(32);
const STAND_IN = new URL("../../lib/attestation/testing/stand-in-helper.ts", import.meta.url).pathname;

/** `attest verify` of a running instance. @returns exit code and refusals */
async function judged(url: string) {
  let out = "";
  const policy = JSON.stringify({ "sev-snp": { measurements: [SNP_MEASUREMENT], vmpl: [0] } });
  const code = await attest(["verify", url, "--policy", "policy.json", "--json"], {
    out: (text) => void (out += text),
    err: (text) => assert.fail(text),
    readFile: () => Promise.resolve(new TextEncoder().encode(policy)),
    get: getOverOneConnection,
    now: () => AT,
    random: (length) => new Uint8Array(length).fill(3),
  });
  return [code, JSON.parse(out).refusals.map(({ code }: { code: string }) => code)];
}

Deno.test("attestation: on an ordinary machine the program says none, and its key lies in the data folder, for ever and for its owner", async () => {
  const first = await startProcess();
  const { body: before } = await first.call("GET", `/api/attestation?nonce=${NONCE}`);
  assert.deepEqual([before.kind, before.quote, before.build.sha256.length], ["none", undefined, "unknown".length]);
  assert.deepEqual(await judged(first.url), [1, ["no_tee"]]);
  const { size, mode } = await Deno.stat(`${first.dataDir}/instance.key`);
  assert.deepEqual([size, (mode ?? 0) & 0o777], [32, 0o600]);
  await first.kill();

  const again = await startProcess({ DATA_DIR: first.dataDir });
  const { body: after } = await again.call("GET", `/api/attestation?nonce=${NONCE}`);
  assert.equal(after.instanceKey, before.instanceKey);
  await again.kill();

  const given = await startProcess({ DATA_DIR: first.dataDir, NOSTR_PRIVATE_KEY: "07".repeat(32) });
  const { body: other } = await given.call("GET", `/api/attestation?nonce=${NONCE}`);
  assert.equal(other.instanceKey, "989c0b76cb563971fdc9bef31ec06c3560f3249d6ee9e5d83c57625596e05f6f");
  await given.kill();
  await Deno.remove(first.dataDir.replace(/\/data$/, ""), { recursive: true });
});

Deno.test("attestation: over a helper's socket in the data folder; a simulated TEE is refused, and a helper that left is 503", async () => {
  const folder = await Deno.makeTempDir({ prefix: "timmy-" });
  const dataDir = `${folder}/data`;
  await Deno.mkdir(dataDir);
  const helper = new Deno.Command("deno", {
    args: ["run", "--config", "dev/deno.json", "--quiet", "--no-prompt", "-A", STAND_IN, `${dataDir}/attestation.sock`],
    stdout: "piped",
  }).spawn();
  const reader = helper.stdout.getReader();
  assert.match(new TextDecoder().decode((await reader.read()).value), /^listening/);
  reader.releaseLock();
  const timmy = await startProcess({ DATA_DIR: dataDir, ATTESTATION_SOCKET: "attestation.sock" });
  const { body } = await timmy.call("GET", `/api/attestation?nonce=${NONCE}`);
  assert.equal(body.kind, "simulated", JSON.stringify(body));
  assert.deepEqual(await judged(timmy.url), [1, ["simulated"]]);

  helper.kill("SIGKILL");
  await helper.status;
  await helper.stdout.cancel();
  const { status, body: none } = await timmy.call("GET", `/api/attestation?nonce=${NONCE}`);
  assert.deepEqual([status, none.error.code], [503, "attestation_unavailable"]);
  assert.deepEqual(await judged(timmy.url), [1, ["answer"]]);
  await timmy.kill();
  await Deno.remove(folder, { recursive: true });
});
