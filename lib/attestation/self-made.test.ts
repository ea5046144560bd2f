import assert from "node:assert/strict";
import { certify, curveKey, revoke } from "./testing/certificates.ts";
import {
  AT,
  LIFE,
  selfMadeNitro,
  selfMadeSnp,
  selfMadeTdx,
  SERIALS,
  type SnpChanges,
  type TdxChanges,
} from "./testing/self-made.ts";
import type { RefusalCode } from "./verdict.ts";
import type { VendorRoots } from "./vendor-roots.ts";
import { type Evidence, verifyEvidence } from "./verify.ts";

const YESTERDAY = { from: LIFE.from, to: AT - 86_400_000 };
const TOMORROW = { from: AT + 86_400_000, to: LIFE.to };

/** The reasons, each once. */
async function reasons(evidence: Evidence, roots?: VendorRoots): Promise<RefusalCode[]> {
  const verdict = await verifyEvidence(evidence, { at: AT, reportData: null, policy: null, ...(roots && { roots }) });
  assert.equal(verdict.ok, verdict.refusals.length === 0);
  return [...new Set(verdict.refusals.map(({ code }) => code))];
}

Deno.test("self-made chains: right in everything, refused for their root alone, and accepted only where that root is given", async () => {
  for (const made of [await selfMadeSnp(), await selfMadeTdx(), await selfMadeNitro()]) {
    assert.deepEqual(await reasons(made.evidence, made.roots), [], made.evidence.kind);
    assert.deepEqual(await reasons(made.evidence), ["chain_root"], made.evidence.kind);
  }
});

Deno.test("self-made SNP: each thing that is wrong is refused by its name", async () => {
  const report = (change: (view: DataView, bytes: Uint8Array) => void): SnpChanges => ({
    report: (bytes) => change(new DataView(bytes.buffer), bytes),
  });
  const cases: [string, SnpChanges, RefusalCode[]][] = [
    ["a leaf that has ended", { leaf: YESTERDAY }, ["time"]],
    ["a leaf that has not begun", { leaf: TOMORROW }, ["time"]],
    ["an intermediate that has ended", { ask: YESTERDAY }, ["time"]],
    ["a root that has ended", { ark: YESTERDAY }, ["time"]],
    ["an intermediate without CA bit", { ask: { ca: false } }, ["material_missing"]],
    ["a leaf that is a CA", { leaf: { ca: true } }, ["chain_form"]],
    ["a root that allows nothing below its children", { ark: { pathLength: 0 } }, ["chain_form"]],
    ["an intermediate of another name", { ask: { name: "SEV-Mailand" } }, ["chain_form"]],
    ["a VCEK from the VLEK's authority", { ask: { name: "SEV-VLEK-Milan" } }, ["chain_form", "leaf_mismatch"]],
    ["a leaf of another name", { leaf: { name: "SEV-VLEK" } }, ["chain_form"]],
    ["a leaf without the TCB's numbers", { leaf: { extensions: [] } }, ["leaf_mismatch"]],
    ["a leaf on another curve", { leaf: { key: curveKey("p256") } }, ["signature"]],
    ["debugging allowed", report((view) => view.setBigUint64(8, 0xb0000n, true)), ["debug"]],
    ["a migration agent allowed", report((view) => view.setBigUint64(8, 0x70000n, true)), ["attributes"]],
    ["no policy", report((view) => view.setBigUint64(8, 0n, true)), ["attributes"]],
    ["asked for by the host", report((view) => view.setUint32(0x30, 0xffffffff, true)), ["attributes"]],
    ["firmware that was rolled back", report((_, bytes) => bytes.set([2], 0x180)), ["leaf_mismatch"]],
    ["another chip", report((_, bytes) => bytes.set([8], 0x1a0)), ["leaf_mismatch"]],
    ["signed by a key of the other kind", report((view) => view.setUint32(0x48, 1 << 2, true)), ["leaf_mismatch"]],
    ["another product", report((view, bytes) => (view.setUint32(0, 3, true), bytes.set([0x1a, 2], 0x188))), [
      "leaf_mismatch",
    ]],
    ["a version that nobody knows", report((view) => view.setUint32(0, 4, true)), ["unsupported"]],
    ["bytes that nobody signs", report((_, bytes) => bytes.set([1], 1183)), ["trailing_bytes"]],
    ["a signature of another length", report((_, bytes) => bytes.set([1], 0x2a0 + 71)), ["malformed"]],
  ];
  for (const [what, changes, expected] of cases) {
    const { evidence, roots } = await selfMadeSnp(changes);
    assert.deepEqual(await reasons(evidence, roots), expected, what);
  }
});

Deno.test("self-made SNP: s above half of the order is as good, as vendors make both", async () => {
  for (const highS of [false, true]) {
    const { evidence, roots } = await selfMadeSnp({ highS });
    assert.deepEqual(await reasons(evidence, roots), []);
  }
});

Deno.test("self-made SNP: a list of revoked certificates counts when AMD's root signed it, for its time", async () => {
  const { evidence, roots, ark, ask } = await selfMadeSnp();
  const [askSerial, other] = [1, 2];
  const cases: [string, Uint8Array, RefusalCode[]][] = [
    ["nobody revoked", await revoke(ark, [], LIFE), []],
    ["somebody else revoked", await revoke(ark, [other], LIFE), []],
    ["the intermediate revoked", await revoke(ark, [other, askSerial], LIFE), ["revoked"]],
    ["an old list", await revoke(ark, [], YESTERDAY), ["time"]],
    ["a list of another", await revoke(ask, [], LIFE), ["collateral_mismatch", "collateral_signature"]],
    ["a list by another in its name", await revoke({ ...ask, name: ark.name }, [], LIFE), ["collateral_signature"]],
    ["a list that means something else", await revoke(ark, [], LIFE, true), ["unsupported"]],
    ["no list at all", new Uint8Array(100), ["malformed"]],
  ];
  for (const [what, revocationList, expected] of cases) {
    assert.deepEqual(await reasons({ ...evidence, revocationList }, roots), expected, what);
  }
});

Deno.test("self-made SNP: a chain signed by somebody who merely has the right names is refused", async () => {
  const { evidence, roots, ark, leaf } = await selfMadeSnp();
  const impostor = await certify({ name: "SEV-Milan", key: curveKey("p384"), by: ark, ...LIFE, ca: true });
  const other = { ...evidence, chain: [impostor.certificate, ark.certificate] };
  assert.deepEqual(await reasons(other, roots), ["chain_signature"]);
  const orphan = await certify({ name: leaf.name, key: leaf.key, by: { ...ark, name: "Nobody" }, ...LIFE });
  assert.deepEqual(await reasons({ ...evidence, leaf: orphan.certificate }, roots), ["material_missing"]);
});

Deno.test("self-made TDX: each thing that is wrong is refused by its name", async () => {
  const body = (change: (bytes: Uint8Array) => void): TdxChanges => ({ body: change });
  const status = (tcbStatus: string) => [{ tcb: { isvsvn: 0 }, tcbStatus }];
  const cases: [string, TdxChanges, RefusalCode[]][] = [
    ["a processor's certificate that has ended", { pck: YESTERDAY }, ["time"]],
    ["a CA that has not begun", { ca: TOMORROW }, ["time"]],
    ["a CA without CA bit", { ca: { ca: false } }, ["chain_form", "collateral_mismatch"]],
    ["a CA whose key may not sign", { ca: { signs: false } }, ["chain_form", "collateral_mismatch"]],
    ["no CA, whose key may sign", { ca: { ca: false, signs: true } }, ["chain_form"]],
    ["bytes behind the chain", { behindChain: Uint8Array.of(0) }, ["malformed"]],
    ["bytes behind the certification", { behindCertification: Uint8Array.of(0) }, ["malformed"]],
    ["a processor revoked", { revokedByCa: [SERIALS.pck] }, ["revoked"]],
    ["another processor revoked", { revokedByCa: [SERIALS.ca, 1] }, []],
    ["its CA revoked", { revokedByRoot: [SERIALS.ca] }, ["revoked"]],
    ["the key that signs TCB info revoked", { revokedByRoot: [SERIALS.signing] }, ["revoked"]],
    ["old lists", { lists: YESTERDAY }, ["time"]],
    ["a list that means something else", { criticalList: true }, ["unsupported"]],
    ["old TCB info", { tcbInfo: { nextUpdate: new Date(YESTERDAY.to).toISOString() } }, ["time"]],
    ["a QE identity yet to come", { qeIdentity: { issueDate: new Date(TOMORROW.from).toISOString() } }, ["time"]],
    ["another processor's TCB info", { tcbInfo: { fmspc: "B0B0B0B0B0B1" } }, ["collateral_mismatch"]],
    ["another PCE", { tcbInfo: { pceId: "0001" } }, ["collateral_mismatch"]],
    ["SGX's TCB info", { tcbInfo: { id: "SGX" } }, ["malformed"]],
    ["the identity of another enclave", { qeIdentity: { id: "QE" } }, ["malformed"]],
    ["an enclave of another signer", { qeIdentity: { mrsigner: "DD".repeat(32) } }, ["quoting_enclave"]],
    ["an enclave of another product", { qeIdentity: { isvprodid: 3 } }, ["quoting_enclave"]],
    ["an enclave with other attributes", { qeIdentity: { attributes: "13" + "00".repeat(15) } }, ["quoting_enclave"]],
    ["an enclave with other miscselect", { qeIdentity: { miscselect: "00000001" } }, ["quoting_enclave"]],
    ["an enclave that vouches for nothing", { qe: (bytes) => void bytes.fill(0, 320, 384) }, ["quoting_enclave"]],
    ["an enclave that vouches for more", { qe: (bytes) => void bytes.set([1], 383) }, ["quoting_enclave"]],
    ["an enclave out of date", { qeIdentity: { tcbLevels: status("OutOfDate") } }, ["tcb"]],
    ["an enclave of no level", { qeIdentity: { tcbLevels: [] } }, ["tcb"]],
    ["a platform of no level", { tcbInfo: { tcbLevels: [] } }, ["tcb"]],
    ["a module that nobody knows", { tcbInfo: { tdxModuleIdentities: [] } }, ["tcb"]],
    ["a module that is too old", body((bytes) => void bytes.set([3], 0)), ["tcb"]],
    ["a platform's module, too old", body((bytes) => void bytes.set([8, 0], 0)), ["tcb"]],
    ["a platform's module", body((bytes) => void bytes.set([9, 0], 0)), []],
    ["a module of another signer", body((bytes) => void bytes.set([1], 64)), ["tcb"]],
    ["a debug TD", body((bytes) => void bytes.set([1], 120)), ["debug"]],
    ["reserved attributes", body((bytes) => void bytes.set([2], 120)), ["attributes"]],
    ["a migratable TD", body((bytes) => void bytes.set([0x30], 123)), ["attributes"]],
    ["protection keys and counters", body((bytes) => (bytes.set([0x50], 123), bytes.set([0x80], 127))), []],
    ["SEPT_VE_DISABLE off", body((bytes) => void bytes.set([0], 123)), ["attributes"]],
  ];
  for (const [what, changes, expected] of cases) {
    const { evidence, roots } = await selfMadeTdx(changes);
    assert.deepEqual(await reasons(evidence, roots), expected, what);
  }
});

Deno.test("self-made TDX: the worst of platform, module and enclave is said, and a policy decides what it accepts", async () => {
  const hardening = { tcbLevels: [{ tcb: { isvsvn: 0 }, tcbStatus: "SWHardeningNeeded" }] };
  const { evidence, roots } = await selfMadeTdx({ qeIdentity: hardening });
  const measurement = { mrtd: "00".repeat(48), rtmr0: "00".repeat(48), rtmr1: "00".repeat(48), rtmr2: "00".repeat(48) };
  const judged = (tcb: ("UpToDate" | "SWHardeningNeeded")[]) =>
    verifyEvidence(evidence, {
      at: AT,
      reportData: null,
      policy: { tdx: { measurements: [measurement], tcb } },
      roots,
    });
  const strict = await judged(["UpToDate"]);
  assert.deepEqual(strict.refusals.map(({ code }) => code), ["tcb"]);
  assert.equal(strict.facts.tcbStatus, "SWHardeningNeeded");
  assert.equal((await judged(["UpToDate", "SWHardeningNeeded"])).ok, true);
});

Deno.test("self-made Nitro: each thing that is wrong is refused by its name", async () => {
  const cases: [string, Parameters<typeof selfMadeNitro>[0], RefusalCode[]][] = [
    ["a leaf that has ended", { leaf: YESTERDAY }, ["time"]],
    ["an authority that has not begun", { ca: TOMORROW }, ["time"]],
    ["an authority without CA bit", { ca: { ca: false } }, ["chain_form"]],
    ["an authority that allows too little", { ca: { pathLength: 0 } }, ["chain_form"]],
    ["a leaf that is a CA", { leaf: { ca: true } }, ["chain_form"]],
    ["PCR0 alone is zero", { pcr0: new Uint8Array(48) }, []],
  ];
  for (const [what, changes, expected] of cases) {
    const { evidence, roots } = await selfMadeNitro(changes);
    assert.deepEqual(await reasons(evidence, roots), expected, what);
  }
});
