import assert from "node:assert/strict";
import fc from "fast-check";
import { concatBytes, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import * as der from "./der.ts";
import { certificatesOf, pemOf } from "./pem.ts";
import { sequence, tlv } from "./testing/certificates.ts";
import { bytesOf, evidenceOf, textOf, vectorsOf } from "./testing/vectors.ts";
import { Refused } from "./verdict.ts";
import { VENDOR_ROOTS } from "./vendor-roots.ts";
import { type Evidence, verifyEvidence } from "./verify.ts";
import { parseCertificate } from "./x509.ts";

const SEED = { seed: 20_261_128 };
Deno.test("DER: an element has one encoding; every other one is refused", () => {
  assert.deepEqual([...der.element(hexToBytes("040161"), der.OCTET_STRING).content], [0x61]);
  const cases: [string, string][] = [
    ["of another tag", "050161"],
    ["with a byte behind it", "04016100"],
    ["that ends early", "040261"],
    ["without a length", "04"],
    ["of indefinite length", "0480610000"],
    ["whose length could be shorter", "04810161"],
    ["whose length begins with zero", "0482000161"],
    ["whose length has four octets", "048400000001 61".replace(" ", "")],
    ["whose tag goes on", "1f040161"],
    ["that is empty", ""],
  ];
  for (const [what, text] of cases) assert.throws(() => der.element(hexToBytes(text), der.OCTET_STRING), Refused, what);
});

Deno.test("DER: numbers, bits and times have one form too", () => {
  const number = (text: string) =>
    der.smallInteger({ tag: der.INTEGER, content: hexToBytes(text), bytes: hexToBytes("") });
  assert.deepEqual([number("00"), number("7f"), number("0080"), number("00d9")], [0, 127, 128, 217]);
  for (const text of ["", "80", "0000", "007f", "0100000000"]) assert.throws(() => number(text), Refused, text);
  const bits = (text: string) =>
    der.wholeBits({ tag: der.BIT_STRING, content: hexToBytes(text), bytes: hexToBytes("") });
  assert.deepEqual([...bits("0061")], [0x61]);
  for (const text of ["", "0161", "0761"]) assert.throws(() => bits(text), Refused, text);
  const time = (tag: number, text: string) => der.time({ tag, content: utf8ToBytes(text), bytes: hexToBytes("") });
  assert.equal(time(0x17, "491231235959Z"), Date.parse("2049-12-31T23:59:59Z"));
  assert.equal(time(0x17, "500101000000Z"), Date.parse("1950-01-01T00:00:00Z"));
  assert.equal(time(0x18, "20500101000000Z"), Date.parse("2050-01-01T00:00:00Z"));
  for (
    const text of [
      "250229000000Z",
      "251301000000Z",
      "250101240000Z",
      "2501010000Z",
      "250101000000+0000",
      "1".repeat(300_000),
      "250101000000",
    ]
  ) {
    assert.throws(() => time(0x17, text), Refused, text);
  }
});

Deno.test("DER: what the writer of the tests makes, the reader reads; a cut anywhere is refused", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(), (content, at) => {
      const bytes = tlv(der.OCTET_STRING, content);
      assert.deepEqual(der.element(bytes, der.OCTET_STRING).content, content);
      assert.throws(() => der.element(bytes.subarray(0, at % bytes.length), der.OCTET_STRING), Refused);
    }),
    SEED,
  );
});

Deno.test("certificates: random bytes, and random bytes put into a real one, end in a refusal and nothing else", () => {
  const real = bytesOf("sev-snp/milan-v2.vcek.der");
  const parsed = (bytes: Uint8Array) => {
    try {
      return parseCertificate(bytes) !== null;
    } catch (error) {
      assert.ok(error instanceof Refused, String(error));
      return false;
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => !parsed(bytes)), SEED);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 8 }), fc.nat(real.length - 8), (bytes, at) => {
      const changed = real.slice();
      changed.set(bytes, at);
      parsed(changed);
    }),
    SEED,
  );
});

Deno.test("certificates: the signature algorithm outside, which nobody signs, must be the one inside", () => {
  const real = bytesOf("sev-snp/milan-v2.vcek.der");
  const fields = der.sequence(real);
  const [signed, algorithm, signature] = [fields.any(), fields.any(), fields.any()] as const;
  assert.deepEqual(sequence(signed.bytes, algorithm.bytes, signature.bytes), real);
  // The same meaning: a default that is left out.
  const parts = der.fieldsOf(algorithm.content);
  const [name, parameters] = [parts.any().bytes, parts.any().content];
  const other = sequence(name, sequence(parameters.subarray(0, -5)));
  assert.throws(() => parseCertificate(sequence(signed.bytes, other, signature.bytes)), /not the one outside/);
});

Deno.test("pinned roots: the certificates that the vendors publish", () => {
  const { amd, amdIntermediates, intel, aws } = VENDOR_ROOTS;
  const published = ["milan", "genoa", "turin"].map((name) =>
    certificatesOf(textOf(`sev-snp/${name}.ask-ark-asvk.pem`))
  );
  assert.deepEqual(amd, published.map(([, ark]) => ark));
  assert.deepEqual(amdIntermediates, published.flatMap(([ask, , asvk]) => [ask, asvk]));
  assert.deepEqual(intel, [bytesOf("tdx/intel-sgx-root-ca.der")]);
  assert.deepEqual(aws, certificatesOf(textOf("nitro/aws-nitro-root-g1.pem")));
});

Deno.test("PEM: only the text that encoding again gives", () => {
  const text = textOf("sev-snp/milan.ask-ark-asvk.pem");
  const certificates = certificatesOf(text);
  assert.equal(certificates.length, 3);
  assert.equal(certificates.map(pemOf).join(""), text);
  const others: [string, string][] = [
    ["carriage returns", text.replaceAll("\n", "\r\n")],
    ["an empty line", text.replace("\n-----END", "\n\n-----END")],
    ["blanks", text.replace("\n-----END", " \n-----END")],
    ["longer lines", text.replace(/\n(?=[A-Za-z0-9])/, "")],
    ["words before it", `x\n${text}`],
    ["words behind it", `${text}x`],
    ["one line feed more", `${text}\n`],
    ["no certificate", ""],
    ["another label", text.replace("BEGIN CERTIFICATE", "BEGIN X509 CERTIFICATE")],
  ];
  for (const [what, other] of others) assert.throws(() => certificatesOf(other), Refused, what);
  assert.equal(certificatesOf(text.slice(0, -1)).length, 3, "the very last line feed may be missing");
});

/** The reasons for which evidence is refused at a vector's time. */
async function reasons(evidence: Evidence, at: string) {
  const verdict = await verifyEvidence(evidence, { at: Date.parse(at), reportData: null, policy: null });
  return [...new Set(verdict.refusals.map(({ code }) => code))];
}

Deno.test("Nitro: tagged or not; any other frame is refused", async () => {
  const vector = vectorsOf("nitro").find(({ name }) => name === "2026-indefinite")!;
  const evidence = evidenceOf(vector);
  assert.ok(evidence.kind === "nitro");
  const { document } = evidence;
  const framed = (bytes: Uint8Array) => reasons({ kind: "nitro", document: bytes }, vector.at);
  assert.equal(document[0], 0x84);
  assert.deepEqual(await framed(concatBytes(Uint8Array.of(0xd2), document)), []);
  const at = (index: number, value: number) => {
    const changed = document.slice();
    changed[index] = value;
    return changed;
  };
  const cases: [string, Uint8Array][] = [
    ["the unprotected header as an array", at(6, 0x80)],
    ["the unprotected header as a simple value", at(6, 0xe0)],
    [
      "an indefinite unprotected header",
      concatBytes(document.subarray(0, 6), Uint8Array.of(0xbf, 0xff), document.subarray(7)),
    ],
    ["another algorithm", at(5, 0x23)],
    ["two tags", concatBytes(Uint8Array.of(0xd2, 0xd2), document)],
    ["an array of five", at(0, 0x85)],
    ["a byte behind it", concatBytes(document, Uint8Array.of(0))],
    ["a byte less", document.subarray(0, -1)],
    [
      "a longer form of the payload's length",
      concatBytes(document.subarray(0, 7), Uint8Array.of(0x5a, 0, 0), document.subarray(8)),
    ],
    ["nothing", new Uint8Array()],
  ];
  for (const [what, bytes] of cases) assert.deepEqual(await framed(bytes), ["malformed"], what);
});

Deno.test("TDX: zeros behind a quote are its buffer's, anything else is refused; a quote cut short too", async () => {
  const vector = vectorsOf("tdx")[0]!;
  const evidence = evidenceOf(vector);
  assert.ok(evidence.kind === "tdx");
  const { quote } = evidence;
  const changed = (bytes: Uint8Array) => reasons({ ...evidence, quote: bytes }, vector.at);
  assert.deepEqual(await changed(quote.subarray(0, -70)), []);
  assert.deepEqual(await changed(concatBytes(quote, new Uint8Array(10))), []);
  assert.deepEqual(await changed(concatBytes(quote, Uint8Array.of(1))), ["trailing_bytes"]);
  for (const length of [0, 47, 48, 631, 632, 636, 1_257, 4_000, quote.length - 71]) {
    assert.deepEqual(await changed(quote.subarray(0, length)), ["malformed"], `${length} bytes`);
  }
});

Deno.test("evidence: random bytes in place of any part of it are refused, whatever they are", async () => {
  const [snp, tdx, nitro] = (["sev-snp", "tdx", "nitro"] as const).map((kind) => vectorsOf(kind)[0]!) as [
    ReturnType<typeof vectorsOf>[number],
    ReturnType<typeof vectorsOf>[number],
    ReturnType<typeof vectorsOf>[number],
  ];
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 1_200 }), async (bytes) => {
      const text = new TextDecoder("latin1").decode(bytes);
      const made: [Evidence, string][] = [
        [{ ...evidenceOf(snp), report: bytes } as Evidence, snp.at],
        [{ ...evidenceOf(snp), leaf: bytes } as Evidence, snp.at],
        [{ ...evidenceOf(tdx), quote: bytes } as Evidence, tdx.at],
        [{ ...evidenceOf(tdx), collateral: text } as Evidence, tdx.at],
        [{ kind: "nitro", document: bytes }, nitro.at],
      ];
      for (const [evidence, at] of made) assert.ok((await reasons(evidence, at)).length > 0, evidence.kind);
    }),
    { ...SEED, numRuns: 30 },
  );
});
