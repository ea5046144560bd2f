import assert from "node:assert/strict";
import fc from "fast-check";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { BINARY, placeOfFiles, releaseOf, SOURCE } from "@/tests/harness/release.ts";
import { BUNDLE, checkRelease, COSIGN_PUB, MINISIG, MINISIGN_PUB, PROVENANCE, sbomName, SUMS } from "./check.ts";
import { ecdsaPublicOf } from "./cosign.ts";
import { papersOf } from "./make.ts";
import { type MinisignSecretKey, publicKeyOf, writePublicKey } from "./minisign.ts";
import { type Reason, Refused } from "./refused.ts";
import type { ReleaseKey } from "./release-key.ts";
import { ecdsaSecretOf } from "./secret-key.ts";
import { TEST_KEY, TEST_SECRET } from "./test-key.ts";

const SBOM = sbomName(SOURCE.version);
const good = releaseOf();
const check = (files: ReadonlyMap<string, Uint8Array>, only: string | null = null, keys = [TEST_KEY]) =>
  checkRelease(placeOfFiles(files), keys, only);
const without = (...names: string[]) => new Map([...good].filter(([name]) => !names.includes(name)));
const withText = (name: string, change: (text: string) => string) =>
  new Map([...good, [name, utf8ToBytes(change(new TextDecoder().decode(good.get(name))))]]);

async function reasonOf(checking: Promise<unknown>): Promise<Reason | null> {
  try {
    await checking;
    return null;
  } catch (error) {
    if (error instanceof Refused) return error.reason;
    throw error;
  }
}

Deno.test("a release: is good whole, and one file of it with its signature alone", async () => {
  const { version, commit, key, files, also } = await check(good);
  assert.deepEqual([version, commit, key.test, files.size], [SOURCE.version, SOURCE.commit, true, 6]);
  assert.deepEqual(also, ["cosign bundle", "SBOM of 4 components", "provenance"]);
  const alone = new Map([BINARY, SUMS, MINISIG].map((name) => [name, good.get(name)!]));
  assert.deepEqual([...(await check(alone, BINARY)).files.keys()], [BINARY]);
});

Deno.test("a release: every byte of its ELF header, and 10,000 others, are seen when they change", async () => {
  const bytes = good.get(BINARY)!;
  const alone = new Map([SUMS, MINISIG].map((name) => [name, good.get(name)!]));
  const refused = async (position: number, bits: number) => {
    const copy = bytes.slice();
    copy[position]! ^= bits;
    assert.equal(await reasonOf(check(new Map([...alone, [BINARY, copy]]), BINARY)), "changed", `byte ${position}`);
  };
  for (let position = 0; position < 64; position++) await refused(position, 0x80);
  const [anywhere, bits] = [fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 })];
  await fc.assert(fc.asyncProperty(anywhere, bits, refused), { numRuns: 200 });
  // The rest without the signatures, which take a millisecond and do not change.
  const sum = (await check(good, BINARY)).files.get(BINARY);
  const hashed = async (position: number, bits: number) => {
    const copy = bytes.slice();
    copy[position]! ^= bits;
    assert.notEqual(await placeOfFiles(new Map([[BINARY, copy]])).hash(BINARY), sum);
  };
  await fc.assert(fc.asyncProperty(anywhere, bits, hashed), { numRuns: 9_800 });
});

Deno.test("a release: every byte of sums, signature, bundle, keys, SBOM and provenance is seen when it changes", async () => {
  for (const name of [SUMS, MINISIG, BUNDLE, MINISIGN_PUB, COSIGN_PUB, SBOM, PROVENANCE]) {
    const bytes = good.get(name)!;
    // Two bits of each byte, in turn; a signature takes milliseconds, so of long papers every 31st byte.
    const step = bytes.length > 1_000 ? 31 : 1;
    for (let position = 0; position < bytes.length; position += step) {
      const copy = bytes.slice();
      copy[position]! ^= position % 2 === 0 ? 0x01 : 0x20;
      assert.notEqual(await reasonOf(check(new Map([...good, [name, copy]]))), null, `${name}, byte ${position}`);
    }
  }
});

Deno.test("a release: whatever is cut from it or added is refused", async () => {
  for (const name of [SUMS, MINISIG, BUNDLE]) {
    for (const extra of ["\n", " ", "\0", "x"]) {
      assert.notEqual(await reasonOf(check(withText(name, (text) => text + extra))), null, `${name} and ${extra}`);
    }
    assert.notEqual(await reasonOf(check(withText(name, (text) => text.slice(0, -1)))), null, `${name} cut`);
    assert.notEqual(
      await reasonOf(check(withText(name, (text) => text.replaceAll("\n", "\r\n")))),
      null,
      `${name} of Windows`,
    );
    assert.notEqual(await reasonOf(check(withText(name, () => ""))), null, `${name} empty`);
  }
});

Deno.test("a release: the reason names what is wrong", async () => {
  const cases: [Reason, ReadonlyMap<string, Uint8Array>, (string | null)?][] = [
    ["unsigned", without(MINISIG)],
    ["unsigned", without(MINISIG), BINARY],
    ["unsigned", new Map()],
    ["missing", without(SUMS)],
    ["missing", without(BINARY)],
    ["missing", without(SBOM)],
    ["missing", without(PROVENANCE)],
    ["missing", without(BINARY), BINARY],
    ["unlisted", new Map([...good, ["timmy", new Uint8Array()]])],
    ["unlisted", good, "timmy"],
    ["unlisted", good, SUMS],
    ["changed", withText(SBOM, (text) => text.replace("CycloneDX", "cycloneDX"))],
    ["changed", withText(PROVENANCE, (text) => `${text} `), BINARY],
    ["signature", withText(SUMS, (text) => text.replace(/^./, "g"))],
    ["signature", withText(SUMS, (text) => text.replace(/^.*\n/, ""))],
    ["comment", withText(MINISIG, (text) => text.replace("1.2.3", "1.2.4"))],
    ["comment", withText(MINISIG, (text) => text.replace("; signed by the test key", ""))],
    [
      "comment",
      withText(MINISIG, (text) => text.replace("signature of a timmy release", "signature of a good release")),
    ],
    ["bundle", withText(BUNDLE, (text) => text.replace("SHA2_256", "SHA2_512"))],
    ["public-key", withText(MINISIGN_PUB, (text) => text.replace("RWRURV", "RWRVRV"))],
  ];
  for (const [reason, files, only] of cases) assert.equal(await reasonOf(check(files, only ?? null)), reason);
});

/** Signs anything, as somebody could who has the key and whose tools are not these. */
function signed(change: (papers: Map<string, string>) => void): Map<string, Uint8Array> {
  const files = releaseOf();
  const papers = new Map([SBOM, PROVENANCE].map((name) => [name, new TextDecoder().decode(files.get(name))]));
  change(papers);
  return new Map([...files, ...[...papers].map(([name, text]) => [name, utf8ToBytes(text)] as const)]);
}

Deno.test("a release: papers of another version or commit are refused, even with the right sums", async () => {
  const other = (source: Partial<typeof SOURCE>) => releaseOf({ ...SOURCE, ...source });
  // Sums and hashes of this release, papers of another one: the place says the right hash and reads the wrong text.
  const swapped = (name: string, from: ReadonlyMap<string, Uint8Array>) => ({
    ...placeOfFiles(good),
    read: (asked: string) => Promise.resolve((asked === name ? from : good).get(asked) ?? null),
  });
  const commit = "f".repeat(40);
  const bad = (name: string, from: ReadonlyMap<string, Uint8Array>) =>
    reasonOf(checkRelease(swapped(name, from), [TEST_KEY], null));
  assert.equal(await bad(SBOM, other({ commit })), "sbom");
  assert.equal(await bad(SBOM, signed((papers) => papers.set(SBOM, "{}"))), "sbom");
  assert.equal(await bad(SBOM, signed((papers) => papers.set(SBOM, "not JSON"))), "sbom");
  assert.equal(await bad(PROVENANCE, other({ commit })), "provenance");
  assert.equal(await bad(PROVENANCE, other({ lock: SOURCE.lock.replaceAll("c@1.0.0", "c@1.0.1") })), "provenance");
  assert.equal(await bad(PROVENANCE, signed((papers) => papers.set(PROVENANCE, "[]"))), "provenance");
});

Deno.test("a release: the key decides, not its id; the test key signs for nobody else", async () => {
  const other: MinisignSecretKey = { id: new Uint8Array(8).fill(7), seed: new Uint8Array(32).fill(9) };
  const keyOf = (secret: MinisignSecretKey, test: boolean): ReleaseKey => ({
    name: "a key",
    minisign: writePublicKey(publicKeyOf(secret)),
    ecdsa: ecdsaPublicOf(ecdsaSecretOf(secret)),
    test,
  });
  const signedBy = (secret: MinisignSecretKey, test: boolean) => releaseOf(SOURCE, { secret, test });
  assert.equal(await reasonOf(check(signedBy(other, false))), "unknown-key");
  assert.equal(await reasonOf(check(signedBy({ ...other, id: TEST_SECRET.id }, true))), "signature");
  assert.equal((await check(signedBy(other, false), null, [keyOf(other, false)])).key.test, false);
  assert.equal(await reasonOf(check(good, null, [keyOf(other, false)])), "unknown-key");
  // A key that is not the test key cannot sign as the test key, nor the test key without saying so.
  assert.equal(await reasonOf(check(signedBy(other, true), null, [keyOf(other, false)])), "comment");
  assert.equal(await reasonOf(check(signedBy(TEST_SECRET, false))), "comment");
});

Deno.test("a release: made twice, it is the same", () => {
  const hashes = new Map([["a", "0".repeat(64)]]);
  const make = () => [...papersOf(hashes, SOURCE, { secret: TEST_SECRET, test: true })];
  assert.deepEqual(make(), make());
});
