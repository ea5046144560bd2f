import assert from "node:assert/strict";
import { bytesToHex } from "@noble/hashes/utils.js";
import fc from "fast-check";
import vectors from "@/tests/fixtures/macaroons/vectors.json" with { type: "json" };
import { decodeIdentifier, encodeIdentifier, tokenHashOf } from "./identifier.ts";

const { paymentHash, tokenId } = vectors.timmy;
const hex = fc.stringMatching(/^[0-9a-f]{64}$/);

Deno.test("encodeIdentifier: version 0 in two bytes, the payment hash, the token id", () =>
  assert.equal(bytesToHex(encodeIdentifier({ paymentHash, tokenId })), `0000${paymentHash}${tokenId}`));

Deno.test("encodeIdentifier: refuses what is not 32 bytes in hex", () => {
  for (const wrong of ["", paymentHash.slice(2), `${paymentHash}00`, `${paymentHash.slice(1)}g`, `${paymentHash}\n`]) {
    assert.throws(() => encodeIdentifier({ paymentHash: wrong, tokenId }), /paymentHash must be 64 hex digits/);
    assert.throws(() => encodeIdentifier({ paymentHash, tokenId: wrong }), /tokenId must be 64 hex digits/);
  }
});

Deno.test("decodeIdentifier: gives back what was encoded, in lower case", () =>
  fc.assert(fc.property(hex, hex, (paymentHash, tokenId) => {
    const upper = { paymentHash: paymentHash.toUpperCase(), tokenId: tokenId.toUpperCase() };
    assert.deepEqual(decodeIdentifier(encodeIdentifier(upper)), { paymentHash, tokenId });
  })));

Deno.test("decodeIdentifier: another length or version is not one of ours", () => {
  const bytes = encodeIdentifier({ paymentHash, tokenId });
  assert.equal(decodeIdentifier(bytes.subarray(0, 65)), null);
  assert.equal(decodeIdentifier(Uint8Array.from([...bytes, 0])), null);
  assert.equal(decodeIdentifier(new Uint8Array()), null);
  for (const at of [0, 1]) {
    const other = bytes.slice();
    other[at] = 1;
    assert.equal(decodeIdentifier(other), null, `version byte ${at}`);
  }
});

Deno.test("tokenHashOf: SHA-256 of the whole identifier in hex", () => {
  // printf '0000%s%s' 02d449… 2222… | xxd -r -p | sha256sum
  assert.equal(
    tokenHashOf(encodeIdentifier({ paymentHash, tokenId })),
    "4c3768b874d7e867b53cadacce19fcf9c27be083e88b46cd28d5f477167d7be0",
  );
});
