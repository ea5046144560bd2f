import assert from "node:assert/strict";
import fc from "fast-check";
import { parseSshPublicKey } from "./ssh-public-key.ts";
import { fromStrictBase64, toBase64, writeSsh } from "./ssh-wire.ts";
import { ED25519_KEY, F4, lineOf, modulus, P256_KEY, sampleKeys } from "./testing/sample-keys.ts";

const SAMPLES = sampleKeys();
const LINES = Object.values(SAMPLES);
const ED25519 = SAMPLES["ssh-ed25519"];
const RSA = SAMPLES["ssh-rsa"];

const key = (text: string) => {
  const parsed = parseSshPublicKey(text);
  return parsed.ok ? parsed.key : assert.fail(`${parsed.message} ${text}`);
};
/** Why it is refused. No message may show a piece of what was sent: it may be a secret. */
const fault = (text: string) => {
  const parsed = parseSshPublicKey(text);
  if (parsed.ok) assert.fail(`taken: ${text}`);
  for (const word of text.split(/[^A-Za-z0-9+/=]+/)) assert.ok(word.length < 24 || !parsed.message.includes(word));
  return parsed.message;
};
const blobOf = (line: string) => fromStrictBase64(line.split(" ")[1]!)!;
const withBlob = (line: string, blob: Uint8Array) => `${line.split(" ")[0]} ${toBase64(blob)}`;
/** A point of the other half of P-256's x coordinates: one byte of y changed. */
const offCurve = P256_KEY.with(64, P256_KEY[64]! ^ 1);

Deno.test("parseSshPublicKey: each kind is kept as type and base64, without comment and white space", () => {
  for (const line of LINES) {
    for (const around of [line, `${line}\n`, `${line}\r\n`, `  ${line} `, `\n${line}`, line.replace(" ", "\t")]) {
      assert.equal(key(around), line);
    }
    for (const comment of ["me@laptop", "my key of 2024", "jürgen@büro 🔑", 'odd "quotes" \\ ', "private key"]) {
      assert.equal(key(`${line} ${comment}`), line);
    }
  }
});

Deno.test("parseSshPublicKey: the fingerprint is the one ssh-keygen -l prints", () => {
  const parsed = parseSshPublicKey(
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPYGCsUMVBlV9pjCGBRq6v7TGA6kslsBg0a8E5nJ3/Jn me@laptop",
  );
  assert.equal(parsed.ok && parsed.fingerprint, "SHA256:tI6rJoQKqS+BBMN/NuqtjOCqwQn09YU15bL6GEIyrfM");
});

Deno.test("parseSshPublicKey: a private key is refused before anything else is said", () => {
  for (
    const text of [
      "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ\n-----END OPENSSH PRIVATE KEY-----",
      "-----BEGIN RSA PRIVATE KEY-----",
      "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE",
      "-----BEGIN PRIVATE KEY-----",
      "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----",
      "MHcCAQEEIBase64\n-----END EC PRIVATE KEY-----",
      "PuTTY-User-Key-File-3: ssh-ed25519",
      "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ",
      `${ED25519}\n-----BEGIN OPENSSH PRIVATE KEY-----`,
      `-----BEGIN RSA PRIVATE KEY-----\n${"A".repeat(20_000)}`,
    ]
  ) assert.match(fault(text), /^This is a PRIVATE key\. Do not send it to anybody/, text.slice(0, 40));
});

Deno.test("parseSshPublicKey: what is no single line of a public key, and what to do instead", () => {
  for (
    const [text, words] of [
      ["", /is empty/],
      [" \r\n\t", /is empty/],
      ["x".repeat(16_385), /at most 16384/],
      [`${ED25519} ${"c".repeat(16_384)}`, /at most 16384/],
      ["ssh-ed25519", /is not base64/],
      ["hello world", /begins with its type/],
      ["# my key", /begins with its type/],
      [ED25519.split(" ")[1]!, /begins with its type/],
      ["ssh-rsa-cert-v01@openssh.com AAAA", /SSH certificate/],
      ["sk-ssh-ed25519-cert-v01@openssh.com AAAA", /SSH certificate/],
      ["ssh-dss AAAAB3NzaC1kc3M=", /too weak/],
      ["ssh-ed448 AAAA", /begins with its type/],
      ["rsa-sha2-512 AAAA", /begins with its type/],
      [ED25519.replace("ssh-", "SSH-"), /begins with its type/],
      ["toString AAAA", /begins with its type/],
      ["-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA", /Convert it/],
      ["---- BEGIN SSH2 PUBLIC KEY ----", /Convert it/],
      [`command="/bin/sh" ${RSA}`, /without anything before it/],
      [`restrict,pty ${ED25519} me`, /without anything before it/],
      [`10.0.0.1 ${ED25519}`, /without anything before it/],
      [`3072 ${RSA}`, /without anything before it/],
      [`${ED25519} ${ED25519}`, /one SSH public key only/],
      [`${ED25519} me ${RSA}`, /one SSH public key only/],
      [`${ED25519}\n${RSA}`, /on one line/],
      [`${ED25519}\r${RSA}`, /on one line/],
      [`${ED25519} me\u2028${RSA}`, /on one line/],
      [`${ED25519} me\u0085`, /on one line/],
      [ED25519.replace(" ", "\r\n"), /on one line/],
      [`${ED25519}\0`, /on one line/],
      [`\0${ED25519}`, /on one line/],
      [`${ED25519} me\x1b[2J`, /on one line/],
      [ED25519.replace("s", "ѕ"), /not plain ASCII/], // the Cyrillic letter
      [ED25519.replace("-", "‐"), /not plain ASCII/],
      [ED25519.replace("ssh", "\uff53\uff53\uff48"), /not plain ASCII/],
      [`\u200b${ED25519}`, /not plain ASCII|without anything/],
      [ED25519.replace(" ", "\u00a0"), /not plain ASCII/],
      [ED25519.replace("AAAAC3", "АAAAC3"), /is not base64/],
    ] as const
  ) assert.match(fault(text), words, JSON.stringify(text.slice(0, 60)));
});

Deno.test("parseSshPublicKey: base64 has one spelling", () => {
  for (const line of LINES) {
    const bare = line.replace(/=+$/, "");
    for (
      const other of [
        `${line}=`,
        `${line}A`,
        line.slice(0, -1),
        `${line.slice(0, -4)}-_==`,
        `${line.slice(0, 40)}=${line.slice(41)}`,
        `${line},`,
        ...(bare === line ? [] : [bare]),
      ]
    ) assert.match(fault(other), /is not base64|is not a usable|Copy the line/, other);
  }
  const padded = LINES.find((line) => line.endsWith("="))!;
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const at = padded.indexOf("=") - 1; // its last bits stand for nothing, and decoders skip them
  const spelling = padded.slice(0, at) + alphabet[alphabet.indexOf(padded[at]!) + 1] + padded.slice(at + 1);
  assert.deepEqual(Uint8Array.from(atob(spelling.split(" ")[1]!), (c) => c.charCodeAt(0)), blobOf(padded));
  assert.match(fault(spelling), /is not base64/);
});

Deno.test("parseSshPublicKey: the blob holds what its type announces, whole and nothing behind it", () => {
  for (const line of LINES) {
    const blob = blobOf(line);
    for (let length = 0; length < blob.length; length++) fault(withBlob(line, blob.subarray(0, length)));
    assert.match(fault(withBlob(line, Uint8Array.of(...blob, 0))), /something stands behind its end/);
    assert.match(fault(withBlob(line, Uint8Array.of(...blob, ...blob))), /something stands behind its end/);
    for (const other of LINES) if (other !== line) assert.match(fault(withBlob(other, blob)), /what .* announces/);
    assert.match(fault(withBlob(line, Uint8Array.of(255, 255, 255, 255, ...blob.subarray(4)))), /cut off/);
  }
});

Deno.test("parseSshPublicKey: RSA has 3072 to 16384 bits, an odd modulus and an exponent that is neither tiny nor vast", () => {
  const rsa = (exponent: number[], number = modulus(3072)) => lineOf("ssh-rsa", Uint8Array.from(exponent), number);
  for (const bits of [3072, 3073, 4096, 8192]) assert.ok(key(lineOf("ssh-rsa", F4, modulus(bits))));
  for (const exponent of [[17], [35], [37], [1, 0, 1], [0, 0x80, 0, 0, 0, 0, 0, 0, 1]]) assert.ok(key(rsa(exponent)));
  for (const bits of [3071, 3065, 3064, 2048, 1024, 8]) {
    assert.match(
      fault(lineOf("ssh-rsa", F4, modulus(bits))),
      new RegExp(`it has ${bits} bits, and 3072 are the least`),
    );
  }
  assert.ok(key(lineOf("ssh-rsa", F4, modulus(16_384))));
  assert.match(fault(lineOf("ssh-rsa", F4, modulus(16_385))), /16384 are the most/);

  const even = modulus(3072);
  even[even.length - 1]! &= 0xfe;
  assert.match(fault(rsa([1, 0, 1], even)), /modulus is even/);
  for (const exponent of [[1], [3], [15], [16], [18], [1, 0, 0]]) {
    assert.match(fault(rsa(exponent)), /even or below 17/);
  }
  assert.match(fault(rsa([1, 0, 0, 0, 0, 0, 0, 0, 1])), /exponent is too large/);
});

Deno.test("parseSshPublicKey: a number in another spelling, below zero or zero is refused", () => {
  const number = modulus(3072);
  for (
    const line of [
      lineOf("ssh-rsa", F4, Uint8Array.of(0, ...number)),
      lineOf("ssh-rsa", F4, number.subarray(1)), // its first bit set: below zero
      lineOf("ssh-rsa", Uint8Array.of(0, ...F4), number),
      lineOf("ssh-rsa", Uint8Array.of(0x80), number),
      lineOf("ssh-rsa", Uint8Array.of(0), number),
      lineOf("ssh-rsa", F4, Uint8Array.of(0)),
    ]
  ) assert.match(fault(line), /not written as SSH writes numbers/);
  assert.match(fault(lineOf("ssh-rsa", new Uint8Array(), number)), /exponent|number/);
  assert.match(fault(lineOf("ssh-rsa", F4, new Uint8Array())), /0 bits|number/);
});

Deno.test("parseSshPublicKey: points stand on their curve, uncompressed, and are no key of everybody", () => {
  const ecdsa = (curve: string, point: Uint8Array, type = "ecdsa-sha2-nistp256") => lineOf(type, curve, point);
  assert.match(fault(ecdsa("nistp256", offCurve)), /not on its curve/);
  assert.match(fault(ecdsa("nistp256", new Uint8Array(65).with(0, 4))), /not on its curve/);
  assert.match(fault(ecdsa("nistp256", new Uint8Array(65).fill(255).with(0, 4))), /not on its curve/);
  assert.match(fault(ecdsa("nistp256", Uint8Array.of(2, ...P256_KEY.subarray(1, 33)))), /no uncompressed point/);
  assert.match(fault(ecdsa("nistp256", Uint8Array.of(0))), /no uncompressed point/);
  assert.match(fault(ecdsa("nistp256", P256_KEY.with(0, 6))), /no uncompressed point/);
  assert.match(fault(ecdsa("nistp384", P256_KEY)), /names another curve/);
  assert.match(fault(ecdsa("nistp384", P256_KEY, "ecdsa-sha2-nistp384")), /no uncompressed point/);
  assert.match(fault(lineOf("sk-ecdsa-sha2-nistp256@openssh.com", "nistp256", offCurve, "ssh:")), /not on its curve/);

  const ed = (point: Uint8Array) => lineOf("ssh-ed25519", point);
  assert.match(fault(ed(ED25519_KEY.subarray(1))), /32 bytes/);
  assert.match(fault(ed(Uint8Array.of(...ED25519_KEY, 0))), /32 bytes/);
  const zero = new Uint8Array(32);
  for (const point of [zero, zero.with(0, 1), zero.with(31, 0x80), zero.with(0, 2), new Uint8Array(32).fill(255)]) {
    assert.match(fault(ed(point)), /no point of its curve that a key can be/);
  }
  assert.match(fault(lineOf("sk-ssh-ed25519@openssh.com", zero, "ssh:")), /no point/);
  assert.match(fault(lineOf("sk-ssh-ed25519@openssh.com", ED25519_KEY, "")), /names no application/);
  assert.match(fault(lineOf("sk-ssh-ed25519@openssh.com", ED25519_KEY, "ssh:\n")), /not plain text/);
});

Deno.test("parseSshPublicKey: never throws, and what it takes is read again as the same", () => {
  const blob = fc.constantFrom(...LINES).chain((line) =>
    fc.tuple(fc.nat(blobOf(line).length - 1), fc.nat(255)).map(([at, byte]) =>
      withBlob(line, blobOf(line).with(at, byte))
    )
  );
  const text = fc.oneof(
    blob,
    fc.string({ unit: "binary", maxLength: 200 }),
    fc.tuple(fc.constantFrom(...Object.keys(SAMPLES)), fc.uint8Array({ maxLength: 90 })).map(([type, bytes]) =>
      withBlob(type, Uint8Array.of(...writeSsh(type), ...bytes))
    ),
  );
  fc.assert(fc.property(text, (text) => {
    const parsed = parseSshPublicKey(text);
    if (parsed.ok) assert.deepEqual(parseSshPublicKey(parsed.key), parsed);
  }));
});
