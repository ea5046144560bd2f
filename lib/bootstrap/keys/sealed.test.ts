import assert from "node:assert/strict";
import { inspect } from "node:util";
import fc from "fast-check";
import { systemRandom } from "@/lib/ids.ts";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";
import { createSealer, SealedError } from "./sealed.ts";

const ABOUT = "bootstrap:0123:ssh-key";
const SECRET = "-----BEGIN OPENSSH PRIVATE KEY-----";
const sealer = createSealer(systemRandom.bytes(32), systemRandom);
const whole = fc.string({ unit: "grapheme", maxLength: 200 });

/** Fails to open, with the one error, which shows neither the text nor what it is about. */
function staysShut(sealed: string, about = ABOUT, by = sealer) {
  assert.throws(() => by.open(sealed, about), (error) => {
    assert.ok(error instanceof SealedError, inspect(error));
    assert.equal(error.message, new SealedError().message);
    assert.equal(error.cause, undefined);
    return true;
  });
}

Deno.test("seal: what was sealed is opened with the same key and the same about, and never shows itself", () => {
  fc.assert(fc.property(whole, whole, (text, about) => {
    const sealed = sealer.seal(text, about);
    assert.equal(sealer.open(sealed, about), text);
    assert.match(sealed, /^timmy-sealed-v1:[A-Za-z0-9+/]{32}:[A-Za-z0-9+/]+=*$/);
    assert.notEqual(sealer.seal(text, about), sealed, "another nonce each time");
  }));
  const key = systemRandom.bytes(32);
  const before = createSealer(key, systemRandom).seal(SECRET, ABOUT);
  assert.equal(createSealer(key.slice(), systemRandom).open(before, ABOUT), SECRET, "after a restart");
  assert.equal(sealer.open(sealer.seal("\ufeff\0a", ABOUT), ABOUT), "\ufeff\0a");
});

Deno.test("open: any bit changed, any other key, any other about is the one error", () => {
  fc.assert(fc.property(whole, whole, whole, fc.nat(), fc.nat(5), (text, about, other, at, bit) => {
    const sealed = sealer.seal(text, about);
    if (other !== about) staysShut(sealed, other);
    staysShut(sealed, about, createSealer(systemRandom.bytes(32), systemRandom));
    const place = at % sealed.length;
    const changed = String.fromCharCode(sealed.charCodeAt(place) ^ (1 << bit));
    staysShut(sealed.slice(0, place) + changed + sealed.slice(place + 1), about);
  }));
});

Deno.test("open: each character of one sealed text changed, cut off or put behind it", () => {
  const sealed = sealer.seal(SECRET, ABOUT);
  for (let at = 0; at < sealed.length; at++) {
    staysShut(sealed.slice(0, at));
    for (const other of ["A", "B", "/", ":", "=", " "]) {
      if (other !== sealed[at]) staysShut(sealed.slice(0, at) + other + sealed.slice(at + 1));
    }
  }
  for (
    const wrong of [`${sealed}:`, `${sealed}\n`, ` ${sealed}`, `${sealed}AAAA`, sealed.toUpperCase(), "", "::", ":"]
  ) {
    staysShut(wrong);
  }
  const [version, nonce] = sealed.split(":");
  staysShut(sealed.replace(version!, "timmy-sealed-v2"));
  staysShut(`${version}:${nonce}:`);
  staysShut(`${version}:${nonce}:${btoa("short")}`);
  staysShut(sealed, "\ud800");
});

Deno.test("seal: nonces come from the given source, and what would come back changed is refused unshown", () => {
  const key = systemRandom.bytes(32);
  const sealWith = (seed: number) => createSealer(key, createSeededRandom(seed)).seal(SECRET, ABOUT);
  assert.equal(sealWith(1), sealWith(1));
  assert.notEqual(sealWith(1), sealWith(2));
  for (
    const [text, about] of [[`${SECRET}\ud83d`, ABOUT], [SECRET, "a\udc00"], ["x".repeat(16_385), ABOUT]] as const
  ) {
    assert.throws(
      () => sealer.seal(text, about),
      (error: Error) => error instanceof RangeError && !error.message.includes("OPENSSH"),
    );
  }
  for (const length of [0, 16, 31, 33, 64]) {
    assert.throws(() => createSealer(systemRandom.bytes(length), systemRandom), RangeError);
  }
});
