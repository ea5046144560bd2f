import assert from "node:assert/strict";
import vectors from "@/tests/fixtures/macaroons/vectors.json" with { type: "json" };
import { parseAuthorization, preimageMatches } from "./credential.ts";
import { MAX_MACAROON_BYTES } from "./macaroon.ts";

const { base64: macaroon, preimage, paymentHash } = vectors.timmy;
const mixedCase = "aB".repeat(32);
const longest = "A".repeat(Math.ceil(MAX_MACAROON_BYTES / 3) * 4);

const taken = (header: string, expected: { macaroon?: string; preimage: string | null }) =>
  assert.deepEqual(parseAuthorization(header), { kind: "l402", macaroon, ...expected }, header);
const malformed = (header: string) =>
  assert.equal(parseAuthorization(header).kind, "malformed", JSON.stringify(header));

Deno.test("parseAuthorization: L402 and LSAT with macaroon and preimage, whatever the case of scheme and hex", () => {
  for (const scheme of ["L402", "l402", "LSAT", "lsat", "Lsat"]) {
    taken(`${scheme} ${macaroon}:${preimage}`, { preimage });
    taken(`${scheme}   ${macaroon}:${mixedCase}  `, { preimage: mixedCase.toLowerCase() });
  }
});

Deno.test("parseAuthorization: Bearer with or without the preimage", () => {
  for (const scheme of ["Bearer", "bearer", "BEARER"]) {
    taken(`${scheme} ${macaroon}`, { preimage: null });
    taken(`${scheme} ${macaroon}:${mixedCase}`, { preimage: mixedCase.toLowerCase() });
  }
});

Deno.test("parseAuthorization: both alphabets, padded or not", () => {
  for (const text of ["ab+/cQ==", "ab-_cQ==", "ab-_cQ", "ab+/cQ"]) {
    taken(`Bearer ${text}`, { macaroon: text, preimage: null });
    taken(`L402 ${text}:${preimage}`, { macaroon: text, preimage });
  }
});

Deno.test("parseAuthorization: no header, an empty one and NIP-98 are none", () => {
  for (
    const header of [undefined, "", "   ", "Nostr eyJpZCI6IiJ9", "nostr eyJpZCI6IiJ9", `Nostr ${longest}${longest}`]
  ) {
    assert.deepEqual(parseAuthorization(header), { kind: "none" }, header ?? "no header");
  }
});

Deno.test("parseAuthorization: another scheme is malformed, not nobody", () => {
  for (
    const header of [
      `Basic ${macaroon}`,
      "Digest a=b",
      `L4020 ${macaroon}:${preimage}`,
      macaroon,
      `${macaroon}:${preimage}`,
      "Nostrx a",
    ]
  ) {
    malformed(header);
  }
  const bare = parseAuthorization(macaroon);
  assert.match(bare.kind === "malformed" ? bare.message : "", /Send Bearer <macaroon>/);
});

Deno.test("parseAuthorization: a macaroon without its parts is malformed", () => {
  const headers = [
    "L402",
    "Bearer",
    "L402 ",
    `L402 ${macaroon}`,
    `LSAT ${macaroon}:`,
    `Bearer ${macaroon}:`,
    `Bearer :${preimage}`,
    `L402 :${preimage}`,
    `L402 ${macaroon}:${preimage.slice(1)}`,
    `L402 ${macaroon}:${preimage}1`,
    `L402 ${macaroon}:${preimage.slice(1)}g`,
    `L402 ${macaroon}:${preimage}:${preimage}`,
    `L402 ${macaroon}===:${preimage}`,
    `L402 ab==cd:${preimage}`,
    `L402 macaroon="${macaroon}" preimage="${preimage}"`,
    `L402 ${macaroon} :${preimage}`,
    `L402\t${macaroon}:${preimage}`,
    `Bearer ${macaroon}\u00e9`,
  ];
  for (const header of headers) malformed(header);
});

Deno.test("parseAuthorization: several credentials, or several macaroons in one, are malformed", () => {
  const one = `L402 ${macaroon}:${preimage}`;
  for (
    const header of [
      `${one}, ${one}`,
      `${one},`,
      `L402 ${macaroon},${macaroon}:${preimage}`,
      `Nostr abc, ${one}`,
      `${one} ${one}`,
    ]
  ) malformed(header);
});

Deno.test("parseAuthorization: longer than the longest macaroon is malformed", () => {
  taken(`Bearer ${longest}`, { macaroon: longest, preimage: null });
  taken(`L402 ${longest}:${preimage}`, { macaroon: longest, preimage });
  malformed(`L402 ${longest}A:${preimage}`);
  malformed(`Bearer ${"A".repeat(1_000_000)}`);
});

Deno.test("parseAuthorization: the message repeats nothing of what was sent", () => {
  for (
    const header of [
      `L402 ${macaroon}`,
      `Basic ${macaroon}`,
      `L402 ${macaroon}:${preimage.slice(1)}`,
      `L402 ${macaroon},x`,
    ]
  ) {
    const read = parseAuthorization(header);
    assert.ok(read.kind === "malformed" && read.message.length > 20);
    assert.ok(!read.message.includes(macaroon.slice(0, 10)) && !read.message.includes(preimage.slice(0, 10)));
  }
});

Deno.test("preimageMatches: the vector's preimage is its payment hash's, in any case of the hex", () => {
  assert.equal(preimageMatches(preimage, paymentHash), true);
  assert.equal(preimageMatches(preimage, paymentHash.toUpperCase()), true);
  const hashOfMixed = "9a2db2e23f1504cd056606553ac049c5e718e8f9ce9233876df1a7a1821af885";
  assert.equal(preimageMatches(mixedCase, hashOfMixed), true);
});

Deno.test("preimageMatches: anything else is not", () => {
  for (const other of [`${preimage.slice(1)}2`, paymentHash, "", preimage.slice(2), `${preimage}11`, "zz".repeat(32)]) {
    assert.equal(preimageMatches(other, paymentHash), false, other);
  }
  for (const hash of ["", paymentHash.slice(2), `${paymentHash.slice(1)}d`]) {
    assert.equal(preimageMatches(preimage, hash), false);
  }
});
