import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { Decrypter, Encrypter } from "age-encryption";
import fc from "fast-check";
import { AgeError, decrypt, encrypt, isAge } from "./age.ts";

/** Little work: what a try costs is not what is tested. */
const LOG2_N = 4;
const CHUNK = 64 * 1024;

async function* cut(bytes: Uint8Array, piece: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += piece) yield await Promise.resolve(bytes.subarray(at, at + piece));
}
async function whole(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(Buffer.concat(await Array.fromAsync(stream)));
}
const filled = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 255);
const sealed = (bytes: Uint8Array) => whole(encrypt(cut(bytes, 1_000), "correct horse", LOG2_N));
const opened = (bytes: Uint8Array, passphrase = "correct horse") => whole(decrypt(cut(bytes, 999), passphrase));

const LENGTHS = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK];

Deno.test("age: what it writes, another program of the format opens; and it opens what that one writes", async () => {
  for (const length of LENGTHS) {
    const bytes = filled(length);
    const theirs = new Decrypter();
    theirs.addPassphrase("correct horse");
    assert.deepEqual(new Uint8Array(await theirs.decrypt(await sealed(bytes))), bytes, `ours, ${length} bytes`);
    const other = new Encrypter();
    other.setPassphrase("correct horse");
    other.setScryptWorkFactor(LOG2_N);
    assert.deepEqual(await opened(await other.encrypt(bytes)), bytes, `theirs, ${length} bytes`);
  }
});

Deno.test("age: a wrong passphrase opens nothing, and nothing of a file is the same twice", async () => {
  const bytes = filled(100);
  const one = await sealed(bytes);
  assert.equal(isAge(one), true);
  assert.notDeepEqual(one.subarray(-16), (await sealed(bytes)).subarray(-16));
  for (const wrong of ["", "correct  horse", "Correct horse"]) {
    await assert.rejects(
      opened(one, wrong),
      (error) => error instanceof AgeError && /passphrase is wrong/.test(error.message),
    );
  }
});

Deno.test("age: cut anywhere, or with more behind it, it is refused", async () => {
  const file = await sealed(filled(2 * CHUNK));
  await fc.assert(
    fc.asyncProperty(fc.nat(file.length - 1), async (length) => {
      await assert.rejects(opened(file.subarray(0, length)), AgeError);
    }),
    { numRuns: 60 },
  );
  // At the bounds of its parts.
  const start = file.length - 2 * (CHUNK + 16);
  for (const length of [start - 16, start, start + CHUNK + 16, file.length - 1]) {
    await assert.rejects(opened(file.subarray(0, length)), AgeError, `${length} bytes`);
  }
  await assert.rejects(opened(new Uint8Array([...file, 0])), AgeError);
});

Deno.test("age: every flipped bit of header and of a short payload is refused", async () => {
  const file = await sealed(filled(40));
  for (let bit = 0; bit < file.length * 8; bit++) {
    const flipped = file.slice();
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    await assert.rejects(opened(flipped), AgeError, `bit ${bit}`);
  }
});

Deno.test("age: chunks in another order are refused", async () => {
  const file = await sealed(filled(3 * CHUNK));
  const start = file.length - 3 * (CHUNK + 16);
  const chunk = (i: number) => file.subarray(start + i * (CHUNK + 16), start + (i + 1) * (CHUNK + 16));
  const mixed = Buffer.concat([file.subarray(0, start), chunk(1), chunk(0), chunk(2)]);
  await assert.rejects(opened(mixed), AgeError);
});

Deno.test("age: a file that asks for more memory than is given is refused before any is taken", async () => {
  const text = new TextDecoder("latin1").decode(await sealed(filled(10)));
  const greedy = Uint8Array.from(text.replace(/ 4\n/, " 30\n"), (letter) => letter.charCodeAt(0));
  await assert.rejects(opened(greedy), /2\^30 KiB/);
});
