import assert from "node:assert/strict";
import fc from "fast-check";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { hasProgram, shell } from "@/tests/harness/shell.ts";
import { base64Of, bytesOfBase64, Refused } from "./refused.ts";
import {
  keyIdOf,
  publicKeyFile,
  publicKeyOf,
  readPublicKey,
  signMinisign,
  verifyMinisign,
  writePublicKey,
} from "./minisign.ts";
import { ecdsaSecretOf, readSecretKey, SecretKeyError } from "./secret-key.ts";

const secret = { id: new Uint8Array([1, 2, 3, 4, 5, 6, 7, 0xab]), seed: new Uint8Array(32).fill(5) };
const key = publicKeyOf(secret);
const file = utf8ToBytes("a file\n");
const signature = signMinisign(secret, file, "a comment");

function reasonOf(checking: () => unknown): string | null {
  try {
    checking();
    return null;
  } catch (error) {
    if (error instanceof Refused) return error.reason;
    throw error;
  }
}

Deno.test("minisign: what was signed verifies, and says by which key and with which comment", () => {
  const { key: by, comment } = verifyMinisign([readPublicKey(writePublicKey(key))], file, signature);
  assert.deepEqual([keyIdOf(by), comment], ["AB07060504030201", "a comment"]);
  assert.equal(signMinisign(secret, file, "a comment"), signature);
  const ids = [[1, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0x0a], [0, 0, 0, 0, 0, 0, 0, 0]];
  assert.deepEqual(ids.map((id) => keyIdOf({ id: new Uint8Array(id) })), ["1", "A00000000000000", "0"]);
});

Deno.test("minisign: a file, a comment or a signature with one bit changed is refused", () => {
  fc.assert(fc.property(fc.nat(file.length * 8 - 1), (bit) => {
    const copy = file.slice();
    copy[bit >> 3]! ^= 1 << (bit & 7);
    assert.equal(reasonOf(() => verifyMinisign([key], copy, signature)), "signature");
  }));
  for (let at = 0; at < signature.length; at++) {
    for (const bit of [1, 32]) {
      const other = signature.slice(0, at) + String.fromCharCode(signature.charCodeAt(at) ^ bit) +
        signature.slice(at + 1);
      assert.notEqual(reasonOf(() => verifyMinisign([key], file, other)), null, `letter ${at}`);
    }
  }
});

Deno.test("minisign: two signatures of one key cannot be mixed, nor lines be added", () => {
  const other = signMinisign(secret, file, "another comment").split("\n");
  const lines = signature.split("\n");
  const mixed = (...from: number[]) => lines.map((line, i) => from.includes(i) ? other[i] : line).join("\n");
  assert.equal(reasonOf(() => verifyMinisign([key], file, mixed(2))), "comment");
  assert.equal(reasonOf(() => verifyMinisign([key], file, mixed(3))), "comment");
  assert.equal(reasonOf(() => verifyMinisign([key], file, mixed(2, 3))), null);
  for (
    const text of [`${signature}\n`, `\n${signature}`, signature.trimEnd(), signature.replaceAll("\n", "\r\n"), ""]
  ) {
    assert.equal(reasonOf(() => verifyMinisign([key], file, text)), "signature");
  }
  assert.throws(() => signMinisign(secret, file, "two\nlines"), /one line/);
});

Deno.test("minisign: another key, an old form and a form of nobody's are refused by name", () => {
  const withBytes = (change: (bytes: Uint8Array) => void) => {
    const lines = signature.split("\n");
    const bytes = bytesOfBase64(lines[1]!)!;
    change(bytes);
    return [lines[0], base64Of(bytes), ...lines.slice(2)].join("\n");
  };
  const other = publicKeyOf({ ...secret, id: new Uint8Array(8) });
  assert.equal(reasonOf(() => verifyMinisign([other], file, signature)), "unknown-key");
  assert.equal(reasonOf(() => verifyMinisign([], file, signature)), "unknown-key");
  assert.equal(reasonOf(() => verifyMinisign([key], file, withBytes((it) => it[2]! ^= 1))), "unknown-key");
  assert.equal(
    reasonOf(() => verifyMinisign([key], file, withBytes((it) => it.set(utf8ToBytes("Ed"))))),
    "legacy-signature",
  );
  assert.equal(reasonOf(() => verifyMinisign([key], file, withBytes((it) => it.set(utf8ToBytes("EX"))))), "signature");
  for (
    const text of [
      "",
      "RW",
      `${writePublicKey(key)}\n`,
      writePublicKey(key).replace("RW", "RX"),
      writePublicKey(key).slice(4),
    ]
  ) {
    assert.equal(reasonOf(() => readPublicKey(text)), "public-key", text);
  }
});

Deno.test({
  name: "minisign: the program of this name takes what is signed here (needs minisign)",
  ignore: !hasProgram("minisign"),
  async fn() {
    const folder = await Deno.makeTempDir();
    await Deno.writeFile(`${folder}/f`, file);
    await Deno.writeTextFile(`${folder}/f.minisig`, signature);
    await Deno.writeTextFile(`${folder}/k.pub`, publicKeyFile(key));
    assert.match(
      await shell("minisign -V -m f -p k.pub", folder),
      /Signature and comment signature verified\nTrusted comment: a comment/,
    );
    assert.match(await shell(`minisign -V -m f -P ${writePublicKey(key)}`, folder), /comment signature verified/);
    await Deno.writeTextFile(`${folder}/f`, "another file\n");
    await assert.rejects(shell("minisign -V -m f -p k.pub", folder), /Signature verification failed/);
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test({
  name: "minisign: what the program of this name signs is taken, its old form refused, its keys read (needs minisign)",
  ignore: !hasProgram("minisign"),
  async fn() {
    const folder = await Deno.makeTempDir();
    const read = (name: string) => Deno.readTextFile(`${folder}/${name}`);
    await Deno.writeFile(`${folder}/f`, file);
    await shell("minisign -G -W -p k.pub -s k.key && minisign -S -s k.key -m f -t 'a trusted comment'", folder);
    const theirs = readPublicKey((await read("k.pub")).split("\n")[1]!);
    assert.equal(verifyMinisign([key, theirs], file, await read("f.minisig")).comment, "a trusted comment");
    assert.equal(await read("k.pub"), publicKeyFile(theirs));

    await shell("minisign -S -l -s k.key -m f", folder);
    const old = await read("f.minisig");
    assert.equal(reasonOf(() => verifyMinisign([theirs], file, old)), "legacy-signature");

    const found = readSecretKey(await read("k.key"), null);
    assert.deepEqual(publicKeyOf(found), theirs);
    await Deno.writeTextFile(`${folder}/f.minisig`, signMinisign(found, file, "x"));
    await shell("minisign -V -m f -p k.pub", folder);
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test({
  name:
    "secret key: one with a password opens with that password alone (needs minisign; set TIMMY_SLOW_TESTS: takes 1 GB)",
  ignore: !hasProgram("minisign") || !Deno.env.get("TIMMY_SLOW_TESTS"),
  async fn() {
    const folder = await Deno.makeTempDir();
    await shell("printf 'a password\na password\n' | minisign -G -p k.pub -s k.key", folder);
    const text = await Deno.readTextFile(`${folder}/k.key`);
    const theirs = readPublicKey((await Deno.readTextFile(`${folder}/k.pub`)).split("\n")[1]!);
    assert.deepEqual(publicKeyOf(readSecretKey(text, "a password")), theirs);
    assert.throws(() => readSecretKey(text, "another"), /password is another/);
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test("secret key: a damaged one, and none at all, say so", () => {
  assert.throws(() => readSecretKey("", null), SecretKeyError);
  assert.throws(() => readSecretKey(`comment\n${base64Of(new Uint8Array(158))}\n`, null), /damaged/);
  const locked = new Uint8Array(158);
  locked.set(utf8ToBytes("EdScB2"));
  assert.throws(() => readSecretKey(`comment\n${base64Of(locked)}\n`, null), /TIMMY_RELEASE_KEY_PASSWORD/);
  new DataView(locked.buffer).setBigUint64(46, 1n << 60n, true);
  new DataView(locked.buffer).setBigUint64(38, 1n << 40n, true);
  assert.throws(() => readSecretKey(`comment\n${base64Of(locked)}\n`, "x"), /more memory/);
});

Deno.test("secret key: the second key is another for each first one, and the same each time", () => {
  const other = { ...secret, seed: new Uint8Array(32).fill(6) };
  assert.deepEqual(ecdsaSecretOf(secret), ecdsaSecretOf(secret));
  assert.notDeepEqual(ecdsaSecretOf(secret), ecdsaSecretOf(other));
});
