import assert from "node:assert/strict";
import { schnorr } from "@noble/curves/secp256k1.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { nsecEncode } from "nostr-tools/nip19";
import { getPublicKey } from "nostr-tools/pure";
import { createInstanceKey, parsePrivateKey } from "./instance-key.ts";

const SECRET = new Uint8Array(32).fill(7);

Deno.test("instance key: the Nostr key of its secret, and signatures that others verify", () => {
  const key = createInstanceKey(SECRET);
  assert.equal(key.publicKey, getPublicKey(SECRET));
  const message = new Uint8Array(32).fill(1);
  assert.ok(schnorr.verify(hexToBytes(key.sign(message)), message, hexToBytes(key.publicKey)));
  for (const length of [0, 31, 33]) assert.throws(() => key.sign(new Uint8Array(length)), RangeError);
});

Deno.test("instance key: a secret that is no key stops the start", () => {
  for (const secret of [new Uint8Array(32), new Uint8Array(32).fill(0xff), new Uint8Array(31).fill(1)]) {
    assert.throws(() => createInstanceKey(secret));
  }
});

Deno.test("private keys: hex and nsec are the same key; everything else is none", () => {
  assert.deepEqual(parsePrivateKey(bytesToHex(SECRET)), SECRET);
  assert.deepEqual(parsePrivateKey(nsecEncode(SECRET)), SECRET);
  const wrong = [
    "",
    "07",
    "zz".repeat(32),
    "00".repeat(32),
    "ff".repeat(32),
    nsecEncode(SECRET).slice(0, -1),
    "nsec1",
    "npub1x",
  ];
  for (const text of wrong) assert.equal(parsePrivateKey(text), null, text);
});
