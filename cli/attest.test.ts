import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { bytesToHex } from "@noble/hashes/utils.js";
import { pemOf } from "@/lib/attestation/pem.ts";
import { certify, sequence, tlv, webKey } from "@/lib/attestation/testing/certificates.ts";
import { type SimulatedTee, simulatedTee } from "@/lib/attestation/testing/simulated-tee.ts";
import { AT, SNP_MEASUREMENT } from "@/lib/attestation/testing/self-made.ts";
import { vectorsOf } from "@/lib/attestation/testing/vectors.ts";
import { createFakeWorld, type FakeWorld } from "@/tests/harness/fake-world.ts";
import { attest, type AttestIo } from "./attest.ts";
import { getOverOneConnection, type Got } from "./attest-request.ts";

const POLICY = { "sev-snp": { measurements: [SNP_MEASUREMENT], vmpl: [0] } };
const FIXTURES = new URL("../tests/fixtures/attestation/", import.meta.url).pathname;

interface Terminal {
  io: AttestIo;
  /** What was written, one after the other. */
  said(): { out: string; err: string };
}

/** @param files by path; every other one is read from the disk */
function terminal(more: Partial<AttestIo>, files: Record<string, unknown> = {}): Terminal {
  const said = { out: "", err: "" };
  const io: AttestIo = {
    out: (text) => void (said.out += `${text}\n`),
    err: (text) => void (said.err += `${text}\n`),
    readFile(path) {
      const file = files[path];
      return file === undefined ? Deno.readFile(path) : Promise.resolve(new TextEncoder().encode(JSON.stringify(file)));
    },
    get: () => Promise.resolve({ ok: false, message: "nobody is there" }),
    now: () => AT,
    random: (length) => new Uint8Array(length).fill(9),
    ...more,
  };
  return { io, said: () => said };
}

/** An instance, asked without a network; its answer may be changed on the way. */
const asking =
  ({ call }: FakeWorld, tlsKeyHash: string | null, change = (body: Record<string, unknown>) => body) =>
  async (url: URL): Promise<Got> => {
    const { status, body } = await call("GET", `${url.pathname}${url.search}`);
    assert.equal(status, 200, JSON.stringify(body));
    return { ok: true, body: change(body), tlsKeyHash };
  };

interface Asked {
  tee: Parameters<typeof simulatedTee>[0];
  tls?: string | null;
  change?: (body: Record<string, unknown>) => Record<string, unknown>;
  policy?: unknown;
  /** Other roots than the stand-in's: the vendors'. */
  vendorRoots?: boolean;
  args?: string[];
}

/** `attest verify` of an instance in a stand-in for hardware. @returns the exit code and the report */
async function verified({ tee, tls = null, change, policy = POLICY, vendorRoots, args = [] }: Asked) {
  const made: SimulatedTee = await simulatedTee(tee);
  const fake = await createFakeWorld(1, { attestor: made.attestor });
  const { io, said } = terminal({
    get: asking(fake, tls, change),
    ...(!vendorRoots && { roots: made.roots }),
  }, { "policy.json": policy });
  const given = policy === null ? [] : ["--policy", "policy.json"];
  const code = await attest(["verify", "https://timmy.example", ...given, "--json", ...args], io);
  fake.discard();
  const report = said().out === "" ? null : JSON.parse(said().out);
  return { code, report, err: said().err, codes: report?.refusals.map((refusal: { code: string }) => refusal.code) };
}

Deno.test("attest verify: an instance on good hardware, with the policy's measurement and its own key, is accepted", async () => {
  const { code, report, codes } = await verified({ tee: { kind: "sev-snp" } });
  assert.deepEqual([code, codes], [0, []]);
  assert.deepEqual([report.ok, report.kind, report.facts.measurement], [true, "sev-snp", SNP_MEASUREMENT]);
  assert.equal(report.facts["held by who answers"], "the instance's key");
});

Deno.test("attest verify: none and simulated are refused by their names, whatever they bring", async () => {
  const simulated = await verified({ tee: {} });
  assert.deepEqual([simulated.code, simulated.codes], [1, ["simulated"]]);
  const none = await verified({ tee: {}, change: ({ quote: _quote, ...rest }) => ({ ...rest, kind: "none" }) });
  assert.deepEqual([none.code, none.codes], [1, ["no_tee"]]);
});

Deno.test("attest verify: the stand-in's own root is nobody's, and without a policy nothing is good", async () => {
  assert.deepEqual((await verified({ tee: { kind: "sev-snp" }, vendorRoots: true })).codes, ["chain_root"]);
  assert.deepEqual((await verified({ tee: { kind: "sev-snp" }, policy: null })).codes, ["policy_missing"]);
});

Deno.test("attest verify: evidence of another moment, build or key, and a key that is not held, are refused", async () => {
  const swap = (name: string, value: unknown) => (body: Record<string, unknown>) => ({ ...body, [name]: value });
  const build = { version: "0.1.0", commit: "x", sha256: "ef".repeat(32) };
  const other = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
  const kind = "sev-snp" as const;
  const cases: [string, Asked, string[]][] = [
    ["another build is claimed", { tee: { kind }, change: swap("build", build) }, [
      "report_data",
      "binding",
      "report_data",
    ]],
    ["another key is claimed", { tee: { kind }, change: swap("instanceKey", other) }, [
      "report_data",
      "binding",
      "report_data",
    ]],
    ["a TLS key is added", { tee: { kind }, change: swap("tlsKeyHash", "11".repeat(32)) }, [
      "report_data",
      "binding",
      "report_data",
    ]],
    ["no signature and no TLS key", { tee: { kind }, change: swap("signature", undefined) }, ["binding"]],
    ["a signature of something else", { tee: { kind }, change: swap("signature", "11".repeat(64)) }, ["binding"]],
    ["the TLS key of somebody in between", { tee: { kind, tlsKeyHash: "11".repeat(32) }, tls: "22".repeat(32) }, [
      "binding",
    ]],
    ["a debug guest", { tee: { kind, changes: { report: (bytes) => void bytes.set([0x0b], 10) } } }, ["debug"]],
    ["no quote", { tee: { kind }, change: swap("quote", undefined) }, ["answer"]],
    ["not an answer", { tee: { kind }, change: () => ({ hello: 1 }) }, ["answer"]],
    ["a kind nobody knows", { tee: { kind }, change: swap("kind", "sgx") }, ["answer"]],
    ["TDX without collateral", { tee: { kind }, change: swap("kind", "tdx") }, ["material_missing"]],
    ["no certificate of the chip", { tee: { kind }, change: swap("certificates", undefined) }, ["material_missing"]],
    ["a table that is none", { tee: { kind }, change: swap("certificates", "AQID") }, ["malformed"]],
    ["another measurement", { tee: { kind }, policy: { "sev-snp": { measurements: ["00".repeat(48)], vmpl: [0] } } }, [
      "measurement",
    ]],
    ["another build in the policy", { tee: { kind }, policy: { ...POLICY, builds: ["00".repeat(32)] } }, ["policy"]],
    ["another instance in the policy", { tee: { kind }, policy: { ...POLICY, instanceKeys: [other] } }, ["policy"]],
  ];
  for (const [what, asked, expected] of cases) {
    const { code, codes } = await verified(asked);
    assert.deepEqual([code, codes], [1, expected], what);
  }
});

Deno.test("attest verify: the TLS key alone is enough where it is the attested one", async () => {
  const tls = "33".repeat(32);
  const { code, report } = await verified({
    tee: { kind: "sev-snp", tlsKeyHash: tls },
    tls,
    change: ({ signature: _signature, ...rest }) => rest,
  });
  assert.deepEqual([code, report.facts["held by who answers"]], [0, "the TLS key"]);
});

Deno.test("attest verify: a TLS key that is attested and was not seen counts for nothing", async () => {
  const tee = { kind: "sev-snp" as const, tlsKeyHash: "33".repeat(32) };
  const { code, report } = await verified({ tee });
  assert.deepEqual([code, report.facts["TLS key"]], [0, "attested, not seen"]);
  const { codes } = await verified({ tee, change: ({ signature: _signature, ...rest }) => rest });
  assert.deepEqual(codes, ["binding"]);
});

Deno.test("attest verify: an instance that does not answer is refused, and said in words", async () => {
  const { io, said } = terminal({});
  assert.equal(await attest(["verify", "http://127.0.0.1:1"], io), 1);
  assert.match(said().out, /^REFUSED/);
  assert.match(said().out, /\(answer\): nobody is there/);
});

Deno.test("attest: a command that cannot be meant is exit code 2 and the usage, and nothing is asked", async () => {
  const { io, said } = terminal({ get: () => Promise.reject(new Error("asked")) }, { "bad.json": { tpm: {} } });
  const bad = [
    [],
    ["verify"],
    ["verify", "ftp://x"],
    ["verify", "timmy.example"],
    ["verify", "http://x", "y"],
    ["verify", "http://x", "--kind", "tdx"],
    ["verify", "http://x", "--polcy", "x"],
    ["check"],
    ["check", "--kind", "sgx"],
    ["check", "--kind", "tdx", "--quote", "x"],
    ["check", "--kind", "nitro", "--doc", "x", "--report", "x"],
    ["check", "--kind", "nitro", "--doc", "/nonexistent"],
    ["check", "--kind", "nitro", "--doc", `${FIXTURES}nitro/2022-nonce.doc.cbor`, "--at", "yesterday"],
    ["check", "--kind", "nitro", "--doc", `${FIXTURES}nitro/2022-nonce.doc.cbor`, "--policy", "bad.json"],
  ];
  for (const args of bad) assert.equal(await attest(args, io), 2, args.join(" "));
  assert.equal(said().out, "");
  assert.equal(said().err.split("attest verify URL [--policy").length, bad.length + 1);
});

Deno.test("attest check: each vector from its files, as its expect says", async () => {
  const option = { "sev-snp": ["report", "leaf", "chain"], tdx: ["quote", "collateral"], nitro: ["doc", "root"] };
  for (const vector of (["sev-snp", "tdx", "nitro"] as const).flatMap(vectorsOf)) {
    const { kind, at, expect } = vector;
    const files = option[kind].flatMap((name) => [`--${name}`, `${FIXTURES}${kind}/${vector[name]}`]);
    const { io, said } = terminal({});
    const code = await attest(["check", "--kind", kind, "--at", at, "--json", ...files], io);
    assert.deepEqual(
      [code, JSON.parse(said().out).ok],
      expect === "ok" ? [0, true] : [1, false],
      `${kind} ${vector.name}`,
    );
  }
});

Deno.test("attest check: another root than the vendor's is trusted only where it is named", async () => {
  const files = [
    "--report",
    `${FIXTURES}sev-snp/milan-v2.report.bin`,
    "--leaf",
    `${FIXTURES}sev-snp/milan-v2.vcek.der`,
  ];
  const at = ["--at", "2024-01-01T00:00:00Z"];
  const run = async (...more: string[]) =>
    await attest(["check", "--kind", "sev-snp", ...files, ...at, ...more], terminal({}).io);
  assert.equal(await run(), 0, "AMD's published chain is known");
  assert.equal(await run("--root", `${FIXTURES}tdx/intel-sgx-root-ca.der`), 1);
});

/** A server of HTTPS or HTTP on this machine. */
function served(answer: () => Response, tls?: { cert: string; key: string }) {
  const options = { hostname: "127.0.0.1", port: 0, onListen: () => {}, ...tls };
  const server = Deno.serve(options, answer);
  return { server, url: new URL(`${tls ? "https" : "http"}://127.0.0.1:${server.addr.port}/api/attestation`) };
}

Deno.test("the request: the answer and the TLS key come from one connection", async () => {
  const key = await webKey();
  const [now, day] = [Date.now(), 86_400_000];
  const address: [string, Uint8Array] = ["2.5.29.17", sequence(tlv(0x87, Uint8Array.of(127, 0, 0, 1)))];
  const life = { from: now - day, to: now + day };
  const root = await certify({ name: "a test's root", key: await webKey(), ...life, ca: true });
  const { certificate } = await certify({ name: "a test's server", key, by: root, ...life, extensions: [address] });
  const ca = pemOf(root.certificate);
  const cert = pemOf(certificate);
  const { server, url } = served(() => Response.json({ a: 1 }), { cert, key: key.pem });
  // An older Deno does not tell whose key it spoke to, and nobody may take that for a key.
  const told = !Deno.version.deno.startsWith("2.6.");
  const spki = createHash("sha256").update(key.spki).digest();
  assert.deepEqual(await getOverOneConnection(url, { ca }), {
    ok: true,
    body: { a: 1 },
    tlsKeyHash: told ? bytesToHex(spki) : null,
  });
  const untrusted = await getOverOneConnection(url);
  assert.ok(!untrusted.ok && /cannot be reached/.test(untrusted.message), JSON.stringify(untrusted));
  await server.shutdown();
});

Deno.test("the request: without TLS there is no key; whatever is no answer is said", async () => {
  const large = "x".repeat(2_000_000);
  const cases: [string, () => Response, Got | RegExp][] = [
    ["JSON", () => Response.json([1]), { ok: true, body: [1], tlsKeyHash: null }],
    ["text", () => new Response("hello"), /not JSON/],
    ["an error", () => new Response("{}", { status: 503 }), /answered 503/],
    ["elsewhere", () => Response.redirect("http://127.0.0.1:1/", 302), /answered 302/],
    ["too much", () => Response.json(large), /too large/],
  ];
  for (const [what, answer, expected] of cases) {
    const { server, url } = served(answer);
    const got = await getOverOneConnection(url);
    if (expected instanceof RegExp) assert.ok(!got.ok && expected.test(got.message), `${what}: ${JSON.stringify(got)}`);
    else assert.deepEqual(got, expected, what);
    await server.shutdown();
  }
  const silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = silent.addr as Deno.NetAddr;
  const late = await getOverOneConnection(new URL(`http://127.0.0.1:${port}/`), { deadlineMs: 100 });
  assert.ok(!late.ok && /in time/.test(late.message), JSON.stringify(late));
  silent.close();
});
