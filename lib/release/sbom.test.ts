import assert from "node:assert/strict";
import { SOURCE } from "@/tests/harness/release.ts";
import { checkSbom, writeSbom } from "./sbom.ts";

const lock = await Deno.readTextFile(new URL("../../deno.lock", import.meta.url));
const about = { ...SOURCE, lock: undefined };
const sbom = JSON.parse(writeSbom(lock, about));

Deno.test("sbom: every package of the program's lock is there once, with its hash and what it needs", () => {
  const locked = Object.entries(JSON.parse(lock).npm as Record<string, { integrity: string; dependencies?: string[] }>);
  const libraries = sbom.components.filter((it: { type: string }) => it.type === "library");
  assert.equal(libraries.length, locked.length);
  const noble = libraries.filter((it: { name: string }) => it.name === "@noble/hashes");
  assert.deepEqual(noble.map((it: { purl: string }) => it.purl), [
    "pkg:npm/%40noble/hashes@2.0.1",
    "pkg:npm/%40noble/hashes@2.4.0",
  ]);
  for (const { hashes: [hash] } of libraries) {
    const [, { integrity }] = locked.find(([, { integrity }]) =>
      integrity.slice(7) === Uint8Array.fromHex(hash.content).toBase64()
    )!;
    assert.ok(hash.alg === "SHA-512" && integrity.startsWith("sha512-"));
  }
  const edges = sbom.dependencies.reduce((sum: number, it: { dependsOn: string[] }) => sum + it.dependsOn.length, 0);
  const wanted = locked.reduce((sum, [, { dependencies = [] }]) => sum + dependencies.length, 0);
  assert.equal(edges, wanted + JSON.parse(lock).workspace.dependencies.length);
});

Deno.test("sbom: the same lock gives the same text, another lock another number", () => {
  assert.equal(writeSbom(lock, about), writeSbom(lock, about));
  assert.match(sbom.serialNumber, /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  const other = JSON.parse(writeSbom(SOURCE.lock, about));
  assert.notEqual(other.serialNumber, sbom.serialNumber);
  assert.ok(!JSON.stringify(sbom).includes("timestamp"));
});

Deno.test("sbom: what is incomplete or of something else is refused", () => {
  checkSbom(JSON.stringify(sbom), about);
  const bad: [RegExp, (it: typeof sbom) => void][] = [
    [/CycloneDX/, (it) => it.specVersion = "1.4"],
    [/not of timmy/, (it) => it.metadata.component.version = "1.2.4"],
    [/not of timmy/, (it) => it.metadata.component.name = "other"],
    [/commit/, (it) => it.metadata.properties[0].value = "f".repeat(40)],
    [/which lock/, (it) => it.metadata.properties.pop()],
    [/lists nothing/, (it) => it.components = []],
    [/no hash/, (it) => it.components[9].hashes = []],
    [/twice/, (it) => it.components.push(it.components[3])],
    [/does not list it/, (it) => it.components.pop()],
  ];
  for (const [what, change] of bad) {
    const copy = structuredClone(sbom);
    change(copy);
    assert.throws(() => checkSbom(JSON.stringify(copy), about), what);
  }
  for (const text of ["", "null", "[]", "1"]) assert.throws(() => checkSbom(text, about), { name: "Refused" });
});

Deno.test("sbom: a lock that misses something, or is of another version, is not described", () => {
  const broken = (change: (lock: { version: string; npm: Record<string, { integrity: string }> }) => void) => {
    const copy = JSON.parse(SOURCE.lock);
    change(copy);
    return () => writeSbom(JSON.stringify(copy), about);
  };
  assert.throws(broken((it) => delete it.npm["c@1.0.0"]), /does not have it/);
  assert.throws(broken((it) => it.npm["c@1.0.0"]!.integrity = "sha1-AAAA"), /no SHA-512/);
  assert.throws(broken((it) => it.version = "6"), /version 6/);
});
