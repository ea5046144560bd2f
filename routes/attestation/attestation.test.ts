import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { schnorr } from "@noble/curves/secp256k1.js";
import { hexToBytes } from "@noble/hashes/utils.js";
import { HelperError } from "@/lib/attestation/helper.ts";
import type { Attestor } from "@/lib/attestation/port.ts";
import { bindingMessage } from "@/lib/attestation/report-data.ts";
import { simulatedTee } from "@/lib/attestation/testing/simulated-tee.ts";
import { createFakeWorld } from "@/tests/harness/fake-world.ts";

const NONCE = "5f".repeat(32);
const sha512 = (hex: string) => createHash("sha512").update(hexToBytes(hex)).digest("hex");
const attestor = (more: Partial<Attestor>): Attestor => ({
  buildHash: () => Promise.resolve("cd".repeat(32)),
  tlsKeyHash: null,
  quote: () => Promise.resolve(null),
  ...more,
});

Deno.test("GET /api/attestation: off a TEE it says none, without a quote, and still what it would bind", async () => {
  const { world, call, discard } = await createFakeWorld(1);
  const { status, body, headers } = await call("GET", `/api/attestation?nonce=${NONCE}`);
  assert.equal(status, 200, JSON.stringify(body));
  assert.deepEqual([body.kind, body.quote, body.certificates, body.tlsKeyHash], [
    "none",
    undefined,
    undefined,
    undefined,
  ]);
  assert.deepEqual(body.build, { version: "test", commit: "test", sha256: "unknown" });
  assert.equal(body.instanceKey, world.deps.instanceKey.publicKey);
  assert.equal(body.reportData, sha512(NONCE + "00".repeat(32) + body.instanceKey));
  assert.equal(headers.get("cache-control"), "no-store");
  discard();
});

Deno.test("GET /api/attestation: the quote is for nonce, build, instance key and TLS key; the instance's key signs for them", async () => {
  const tlsKeyHash = "0e".repeat(32);
  const asked: Uint8Array[] = [];
  const quote = { kind: "tdx" as const, quote: Uint8Array.of(1, 2, 3), certificates: null };
  const { call, discard } = await createFakeWorld(1, {
    attestor: attestor({ tlsKeyHash, quote: (reportData) => (asked.push(reportData), Promise.resolve(quote)) }),
  });
  const { status, body } = await call("GET", `/api/attestation?nonce=${NONCE.toUpperCase()}`);
  assert.equal(status, 200, JSON.stringify(body));
  assert.deepEqual([body.kind, body.quote, body.tlsKeyHash], ["tdx", "AQID", tlsKeyHash]);
  assert.equal(body.reportData, sha512(NONCE + "cd".repeat(32) + body.instanceKey + tlsKeyHash));
  assert.deepEqual(asked, [hexToBytes(body.reportData)]);
  const message = bindingMessage(hexToBytes(NONCE), hexToBytes(body.reportData));
  assert.ok(schnorr.verify(hexToBytes(body.signature), message, hexToBytes(body.instanceKey)));
  assert.ok(
    !schnorr.verify(hexToBytes(body.signature), hexToBytes(NONCE), hexToBytes(body.instanceKey)),
    "never the nonce itself",
  );
  discard();
});

Deno.test("GET /api/attestation: a simulated TEE says that it is one", async () => {
  const { call, discard } = await createFakeWorld(1, { attestor: (await simulatedTee()).attestor });
  const { body } = await call("GET", `/api/attestation?nonce=${NONCE}`);
  assert.equal(body.kind, "simulated");
  assert.ok(body.quote.length > 1_000 && body.certificates.length > 1_000);
  discard();
});

Deno.test("GET /api/attestation: no nonce or a malformed one is 400, and the hardware is not asked", async () => {
  let asked = 0;
  const { call, discard } = await createFakeWorld(1, {
    attestor: attestor({ quote: () => (asked++, Promise.resolve(null)) }),
  });
  const bad = [
    "",
    "?nonce=",
    `?nonce=${NONCE.slice(2)}`,
    `?nonce=${NONCE}00`,
    `?nonce=${"zz".repeat(32)}`,
    `?nonce=${NONCE}&x=1`,
    `?nonse=${NONCE}`,
  ];
  for (const query of bad) {
    const { status, body } = await call("GET", `/api/attestation${query}`);
    assert.equal(status, 400, query);
    assert.ok(body.error.code, query);
  }
  assert.equal(asked, 0);
  discard();
});

Deno.test("GET /api/attestation: a helper that should answer and does not is 503, never none; what it said stays in the log", async () => {
  const cases: [HelperError, number][] = [[new HelperError("the socket is at /secret/path"), 1], [
    new HelperError("too many", true),
    0,
  ]];
  for (const [error, warnings] of cases) {
    const { world, call, discard } = await createFakeWorld(1, {
      attestor: attestor({ quote: () => Promise.reject(error) }),
    });
    const { status, body, headers } = await call("GET", `/api/attestation?nonce=${NONCE}`);
    assert.deepEqual([status, body.error.code], [503, "attestation_unavailable"]);
    assert.match(headers.get("retry-after") ?? "", /^[1-9]/);
    assert.ok(!JSON.stringify(body).includes("secret"));
    const warned = world.log.lines.filter(({ level, message }) => level === "warn" && message === error.message);
    assert.equal(warned.length, warnings);
    discard();
  }
});

Deno.test("GET /api/build: version, commit and the hash of the file, flat", async () => {
  const { call, discard } = await createFakeWorld(1, { attestor: attestor({}) });
  const { status, body } = await call("GET", "/api/build");
  assert.deepEqual([status, body], [200, { version: "test", commit: "test", sha256: "cd".repeat(32) }]);
  discard();
});

Deno.test("attestation and build: neither writes a row", async () => {
  const { world, call, discard } = await createFakeWorld(1);
  const before = await world.store.version();
  for (const path of [`/api/attestation?nonce=${NONCE}`, "/api/build", "/api/attestation"]) await call("GET", path);
  assert.equal(await world.store.version(), before);
  discard();
});
