import assert from "node:assert/strict";
import { hexToBytes } from "@noble/hashes/utils.js";
import { parsePolicy, type Policy } from "./policy.ts";
import { evidenceOf, type Vector, vectorsOf } from "./testing/vectors.ts";
import { type Hardware, inWords, type RefusalCode } from "./verdict.ts";
import { VENDOR_ROOTS } from "./vendor-roots.ts";
import { verifyEvidence } from "./verify.ts";

const KINDS: Hardware[] = ["sev-snp", "tdx", "nitro"];
const ALL = KINDS.flatMap(vectorsOf);
const good = (kind: Hardware) => vectorsOf(kind).filter(({ expect }) => expect === "ok");

function verified(vector: Vector, more: { at?: number; policy?: Policy | null; reportData?: Uint8Array | null } = {}) {
  const expected = { at: Date.parse(vector.at), policy: null, reportData: null, ...more };
  return verifyEvidence(evidenceOf(vector), expected);
}

/** What the vectors' words for a reason are as a code. */
const CODE_OF: [RegExp, RefusalCode][] = [
  [/^debug/, "debug"],
  [/^signature of/, "chain_signature"],
  [/^TCB \d|^chip id/, "leaf_mismatch"],
  [/^report signature/, "signature"],
  [/^trailing/, "trailing_bytes"],
  [/^SEPT_VE/, "attributes"],
  [/^no TCB level|OutOfDate$/, "tcb"],
  [/time/, "time"],
  [/^FMSPC/, "collateral_mismatch"],
];
const codeOf = (reason: string) => CODE_OF.find(([pattern]) => pattern.test(reason))?.[1];

Deno.test("vectors: each ends as its expect says at its date, for the reasons it names and no others", async () => {
  assert.equal(ALL.length, 22);
  for (const vector of ALL) {
    const verdict = await verified(vector);
    const what = `${vector.kind} ${vector.name} at ${vector.at}: ${inWords(verdict)}`;
    assert.equal(verdict.ok, vector.expect === "ok", what);
    const codes = [...new Set(verdict.refusals.map(({ code }) => code))].sort();
    assert.deepEqual(codes, [...new Set((vector.refusedFor ?? []).map(codeOf))].sort(), what);
  }
});

Deno.test("vectors: what they measure is read as it stands in them", async () => {
  // What is of no certificate at all has no fields of its own.
  for (const vector of ALL.filter(({ name }) => !name.startsWith("bad-"))) {
    const { facts } = await verified(vector);
    const names = { "sev-snp": ["measurement", "reportData"], tdx: ["mrtd", "reportData"], nitro: ["moduleId"] };
    for (const name of names[vector.kind]) assert.equal(facts[name], vector[name], `${vector.name} ${name}`);
    if (vector.kind === "sev-snp") {
      assert.deepEqual([facts.vmpl, facts.policy], [String(vector.vmpl), vector.policy], vector.name);
    }
    if (vector.kind === "tdx") {
      const rtmr = [0, 1, 2, 3].map((i) => facts[`rtmr${i}`]);
      assert.deepEqual([rtmr, facts.tcbStatus === "none"], [vector.rtmr, vector.tcbStatus === "none"], vector.name);
    }
    if (vector.kind === "nitro") {
      const registers = Object.entries(facts).filter(([name]) => name.startsWith("pcr"));
      assert.deepEqual(Object.fromEntries(registers.map(([name, value]) => [name.slice(3), value])), vector.pcrs);
    }
  }
});

Deno.test("vectors: ten years later, and ten before, each is refused for its time", async () => {
  for (const vector of KINDS.flatMap(good)) {
    for (const years of [10, -10]) {
      const verdict = await verified(vector, { at: Date.parse(vector.at) + years * 365.25 * 86_400_000 });
      assert.ok(verdict.refusals.some(({ code }) => code === "time"), `${vector.name} after ${years} years`);
    }
  }
});

Deno.test("vectors: other report data than expected is refused", async () => {
  for (const vector of KINDS.flatMap(good)) {
    const signed = hexToBytes(String(vector.reportData ?? vector.userData ?? "").replace("null", ""));
    assert.equal((await verified(vector, { reportData: signed })).ok, true, vector.name);
    for (const other of [new Uint8Array(64).fill(1), new Uint8Array([...signed, 0])]) {
      const { refusals } = await verified(vector, { reportData: other });
      assert.deepEqual(refusals.map(({ code }) => code), ["report_data"], vector.name);
    }
  }
});

Deno.test("vectors: the roots of one vendor are no good for another, nor is one of its intermediate certificates", async () => {
  const { amd, amdIntermediates, intel, aws } = VENDOR_ROOTS;
  const roots = { amdIntermediates: [...amdIntermediates, ...amd], amd: amdIntermediates, intel: aws, aws: intel };
  for (const vector of KINDS.flatMap(good)) {
    const expected = { at: Date.parse(vector.at), policy: null, reportData: null, roots };
    const verdict = await verifyEvidence(evidenceOf(vector), expected);
    assert.deepEqual([...new Set(verdict.refusals.map(({ code }) => code))], ["chain_root"], vector.name);
  }
});

/** A policy that accepts this vector. */
function policyOf(vector: Vector): Record<string, Record<string, unknown>> {
  const [rtmr0, rtmr1, rtmr2] = (vector.rtmr ?? []) as string[];
  const pcrs = (vector.pcrs ?? {}) as Record<string, string>;
  switch (vector.kind) {
    case "sev-snp":
      return { "sev-snp": { measurements: [vector.measurement], vmpl: [vector.vmpl] } };
    case "tdx":
      return { tdx: { measurements: [{ mrtd: vector.mrtd, rtmr0, rtmr1, rtmr2 }] } };
    case "nitro":
      return { nitro: { measurements: [{ pcr0: pcrs[0], pcr1: pcrs[1], pcr2: pcrs[2] }] } };
  }
}
function usable(policy: unknown): Policy {
  const parsed = parsePolicy(JSON.stringify(policy));
  assert.ok(parsed.ok, parsed.ok ? "" : parsed.message);
  return parsed.policy;
}

Deno.test("policy: its measurement and nothing else is accepted", async () => {
  for (const vector of KINDS.flatMap(good)) {
    const policy = policyOf(vector);
    assert.equal((await verified(vector, { policy: usable(policy) })).ok, true, vector.name);
    const turned = JSON.stringify(policy).replace(
      /[0-9a-f]{96}/,
      (hex) => hex[0] === "0" ? `1${hex.slice(1)}` : `0${hex.slice(1)}`,
    );
    const { refusals } = await verified(vector, { policy: usable(JSON.parse(turned)) });
    assert.deepEqual(refusals.map(({ code }) => code), ["measurement"], vector.name);
  }
});

Deno.test("policy: a kind it does not name, another VMPL, host data, older firmware and old material are refused", async () => {
  const [snp, vlek, tdx, nitro] = ["milan-v2", "milan-v3-vlek", "v4-a", "2024-publickey"].map((name) =>
    ALL.find((vector) => vector.name === name)!
  ) as [Vector, Vector, Vector, Vector];
  const codes = async (vector: Vector, policy: unknown) =>
    (await verified(vector, { policy: usable(policy) })).refusals.map(({ code }) => code);
  assert.deepEqual(await codes(snp, policyOf(tdx)), ["policy"]);
  assert.deepEqual(await codes(nitro, policyOf(snp)), ["policy"]);
  assert.deepEqual(await codes(vlek, { "sev-snp": { ...policyOf(vlek)["sev-snp"], vmpl: [0] } }), ["policy"]);
  const own = policyOf(snp)["sev-snp"];
  assert.deepEqual(await codes(snp, { "sev-snp": { ...own, hostData: ["11".repeat(32)] } }), ["policy"]);
  assert.deepEqual(await codes(snp, { "sev-snp": { ...own, hostData: ["00".repeat(32)] } }), []);
  assert.deepEqual(await codes(snp, { "sev-snp": { ...own, minimumTcb: { snp: 9 } } }), ["tcb"]);
  assert.deepEqual(await codes(snp, { "sev-snp": { ...own, minimumTcb: { snp: 8, microcode: 115 } } }), []);
  assert.deepEqual(await codes(tdx, { ...policyOf(tdx), maxMaterialAgeDays: 100 }), []);
  assert.deepEqual(
    await codes(tdx, { ...policyOf(tdx), maxMaterialAgeDays: 90 }),
    ["time"],
    "the root's list has 91 days",
  );
});

Deno.test("policy: a file that cannot be meant is refused with what is wrong", () => {
  const cases: [string, RegExp][] = [
    ["{", /not JSON/],
    ["[]", /not usable/],
    ["{}", /accepts nothing/],
    ['{"builds":["' + "00".repeat(32) + '"]}', /accepts nothing/],
    ['{"sev-snp":{"measurements":["00"],"vmpl":[0]}}', /measurements/],
    ['{"sev-snp":{"measurements":[],"vmpl":[0]}}', /measurements/],
    [`{"sev-snp":{"measurements":["${"00".repeat(48)}"]}}`, /vmpl/],
    [`{"sev-snp":{"measurements":["${"00".repeat(48)}"],"vmpl":[4]}}`, /vmpl/],
    [`{"sev-snp":{"measurements":["${"AA".repeat(48)}"],"vmpl":[0]}}`, /hex/],
    [`{"sev_snp":{}}`, /sev_snp/],
    [`{"tdx":{"measurements":[{"mrtd":"${"00".repeat(48)}"}]}}`, /rtmr0/],
    [`{"nitro":{"measurements":[{"pcr4":"${"00".repeat(48)}"}]}}`, /nitro/],
  ];
  for (const [text, expected] of cases) {
    const parsed = parsePolicy(text);
    assert.ok(!parsed.ok && expected.test(parsed.message), `${text}: ${JSON.stringify(parsed)}`);
  }
});

Deno.test("material: its dates and its age at the time of the check are said", async () => {
  const vector = ALL.find(({ name }) => name === "v4-a")!;
  const { materials } = await verified(vector);
  const named = Object.fromEntries(materials.map(({ name, ageDays }) => [name, ageDays]));
  assert.deepEqual(named, {
    "revocation list of Intel SGX Root CA": 91,
    "revocation list of Intel SGX PCK Platform CA": 0,
    "TCB info": 0,
    "QE identity": 0,
  });
});
