import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { bindingMessage, type Bound, reportDataOf } from "./report-data.ts";

const part = fc.uint8Array({ minLength: 32, maxLength: 32 });
const bound = fc.record<Bound>({
  nonce: part,
  build: fc.option(part),
  instanceKey: part,
  tlsKeyHash: fc.option(part),
});
const hash = (name: string, ...parts: Uint8Array[]) =>
  new Uint8Array(parts.reduce((sum, one) => sum.update(one), createHash(name)).digest());

Deno.test("reportData: sha512 of nonce, build, instance key and TLS key hash, in this order", () => {
  const [nonce, build, instanceKey, tlsKeyHash] = [1, 2, 3, 4].map((byte) => new Uint8Array(32).fill(byte)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  const zeros = new Uint8Array(32);
  assert.deepEqual(
    reportDataOf({ nonce, build, instanceKey, tlsKeyHash }),
    hash("sha512", nonce, build, instanceKey, tlsKeyHash),
  );
  assert.deepEqual(
    reportDataOf({ nonce, build: null, instanceKey, tlsKeyHash: null }),
    hash("sha512", nonce, zeros, instanceKey),
  );
});

Deno.test("reportData: no two sets of parts share it", () => {
  fc.assert(
    fc.property(bound, bound, (a, b) => {
      const same = JSON.stringify(a) === JSON.stringify(b);
      assert.equal(equal(reportDataOf(a), reportDataOf(b)), same);
      // Whatever is changed in one of them shows.
      for (const name of ["nonce", "build", "instanceKey", "tlsKeyHash"] as const) {
        const other = { ...a, [name]: b[name] };
        const kept = JSON.stringify(other) === JSON.stringify(a);
        assert.equal(equal(reportDataOf(other), reportDataOf(a)), kept, name);
      }
    }),
    { seed: 20_261_128 },
  );
});
const equal = (a: Uint8Array, b: Uint8Array) => a.every((byte, i) => byte === b[i]);

Deno.test("reportData: a part of another length is refused, whichever it is", () => {
  const good = new Uint8Array(32);
  const parts = { nonce: good, build: good, instanceKey: good, tlsKeyHash: good };
  for (const name of Object.keys(parts)) {
    for (const length of [0, 31, 33, 64]) {
      assert.throws(
        () => reportDataOf({ ...parts, [name]: new Uint8Array(length) }),
        RangeError,
        `${name} of ${length}`,
      );
    }
  }
});

Deno.test("binding: the instance signs a tagged hash, never the caller's own bytes", () => {
  const [nonce, reportData] = [new Uint8Array(32).fill(5), new Uint8Array(64).fill(6)];
  const tag = hash("sha256", new TextEncoder().encode("timmy/attestation"));
  assert.deepEqual(bindingMessage(nonce, reportData), hash("sha256", tag, tag, nonce, reportData));
});
