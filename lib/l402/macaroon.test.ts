import assert from "node:assert/strict";
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import fc from "fast-check";
import npmMacaroon from "macaroon";
import vectors from "@/tests/fixtures/macaroons/vectors.json" with { type: "json" };
import { encodeIdentifier } from "./identifier.ts";
import {
  decode,
  encode,
  fromBase64,
  type Macaroon,
  MacaroonError,
  MAX_CAVEATS,
  MAX_MACAROON_BYTES,
  mint,
  narrow,
  signatureChain,
  toBase64,
  verify,
} from "./macaroon.ts";

const OURS = vectors.timmy;
const ROOT_KEY = hexToBytes(OURS.rootKey);
const TIMMY = mint({
  rootKey: ROOT_KEY,
  identifier: encodeIdentifier(OURS),
  location: OURS.location,
  caveats: OURS.caveats,
});
const SMALL: Macaroon = {
  location: "l",
  identifier: Uint8Array.of(7),
  caveats: ["a", "b"],
  signature: new Uint8Array(32),
};

const text = fc.string({ unit: "binary", maxLength: 150 }).filter((string) => string.isWellFormed());
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const anyMacaroon: fc.Arbitrary<Macaroon> = fc.record({
  location: fc.option(text.filter((location) => location !== "")),
  identifier: fc.uint8Array({ minLength: 1, maxLength: 200 }),
  caveats: fc.array(text, { maxLength: 6 }),
  signature: bytes(32),
});

const same = (a: Macaroon, b: Macaroon) =>
  assert.deepEqual({ ...a, identifier: [...a.identifier], signature: [...a.signature] }, {
    ...b,
    identifier: [...b.identifier],
    signature: [...b.signature],
  });

const refused = (bytes: Uint8Array, why: RegExp, what = String(why)) =>
  assert.throws(() => decode(bytes), (error) => error instanceof MacaroonError && why.test(error.message), what);

Deno.test("mint: this protocol's vector, byte for byte", () => {
  assert.equal(bytesToHex(TIMMY.signature), OURS.signature);
  assert.equal(encode(TIMMY).length, OURS.byteLength);
  assert.equal(toBase64(TIMMY), OURS.base64);
  same(fromBase64(OURS.base64), TIMMY);
});

Deno.test("verify: a chain that starts from the root key itself, underived, does not match", () => {
  const underived = { ...TIMMY, signature: hexToBytes(OURS.signatureWithoutKeyDerivation) };
  assert.equal(verify(underived, ROOT_KEY), null);
  assert.notEqual(verify(TIMMY, ROOT_KEY), null);
});

for (const vector of vectors.libmacaroons) {
  Deno.test(`verify: ${vector.authorized ? "takes" : "refuses"} ${vector.source}`, () => {
    const macaroon = fromBase64(vector.base64);
    assert.equal(macaroon.location, vector.location);
    assert.deepEqual(macaroon.identifier, utf8ToBytes(vector.identifier));
    assert.deepEqual(macaroon.caveats, vector.caveats);
    assert.equal(verify(macaroon, utf8ToBytes(vector.rootKey)) !== null, vector.authorized);
    const standard = vector.base64.replace(/=+$/, "").replaceAll("-", "+").replaceAll("_", "/");
    assert.equal(toBase64(macaroon).replace(/=+$/, ""), standard);
  });
}

Deno.test("signatureChain: the signatures of libmacaroons' README, the identifier's first", () => {
  const { rootKey, identifier, caveats, signatures } = vectors.libmacaroonsReadme;
  const chain = signatureChain(utf8ToBytes(rootKey), utf8ToBytes(identifier), caveats);
  assert.deepEqual(chain.map((signature) => bytesToHex(signature)), signatures);
});

Deno.test("decode: go-macaroon's macaroon with a third-party caveat is refused", () =>
  refused(hexToBytes(vectors.goMacaroonThirdParty.hex), /third-party/));

Deno.test("verify: gives the chain that ends with the macaroon's own signature", () => {
  const chain = verify(TIMMY, ROOT_KEY);
  assert.deepEqual(chain, signatureChain(ROOT_KEY, TIMMY.identifier, TIMMY.caveats));
  assert.deepEqual(chain?.at(-1), TIMMY.signature);
  assert.equal(chain?.length, 1 + OURS.caveats.length);
});

Deno.test("verify: any byte of the signature changed, missing or added is refused", () => {
  for (let i = 0; i < 32; i++) {
    const signature = TIMMY.signature.slice();
    signature[i] = (signature[i] ?? 0) ^ 1;
    assert.equal(verify({ ...TIMMY, signature }, ROOT_KEY), null, `byte ${i}`);
  }
  for (const signature of [TIMMY.signature.slice(0, 31), concatBytes(TIMMY.signature, Uint8Array.of(0))]) {
    assert.equal(verify({ ...TIMMY, signature }, ROOT_KEY), null);
  }
});

Deno.test("narrow: needs no key, verifies under the same one and continues the same chain", () =>
  fc.assert(
    fc.property(
      bytes(32),
      fc.array(text, { maxLength: 5 }),
      fc.array(text, { maxLength: 5 }),
      (rootKey, before, more) => {
        const minted = mint({ rootKey, identifier: Uint8Array.of(1), location: "timmy", caveats: before });
        const narrowed = narrow(minted, more);
        assert.deepEqual(narrowed.caveats, [...before, ...more]);
        const chain = verify(decode(encode(narrowed)), rootKey);
        assert.deepEqual(chain?.slice(0, before.length + 1), verify(minted, rootKey));
        same(
          narrowed,
          mint({ rootKey, identifier: Uint8Array.of(1), location: "timmy", caveats: [...before, ...more] }),
        );
      },
    ),
  ));

Deno.test("narrow: leaves the macaroon it was made from as it was", () => {
  const before = toBase64(TIMMY);
  narrow(TIMMY, ["max_sats=1"]);
  assert.equal(toBase64(TIMMY), before);
});

Deno.test("decode: gives back what was encoded", () =>
  fc.assert(fc.property(anyMacaroon, (macaroon) => same(decode(encode(macaroon)), macaroon))));

Deno.test("decode: bytes with anything changed are refused or are the one encoding of what they hold", () =>
  fc.assert(
    fc.property(
      anyMacaroon,
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      (macaroon, changes) => {
        const changed = encode(macaroon);
        for (const [at, value] of changes) changed[at % Math.min(changed.length, at % 2 ? 20 : 4096)] = value;
        try {
          assert.deepEqual(encode(decode(changed)), changed);
        } catch (error) {
          if (!(error instanceof MacaroonError)) throw error;
        }
      },
    ),
    { numRuns: 500 },
  ));

Deno.test("decode: keeps a byte order mark, which is a character of the caveat as any other", () => {
  const marked = mint({ rootKey: ROOT_KEY, identifier: Uint8Array.of(1), location: "timmy", caveats: ["\ufeffjob=1"] });
  assert.deepEqual(decode(encode(marked)).caveats, ["\ufeffjob=1"]);
});

Deno.test("decode: a macaroon of the largest size and number of caveats, not one byte or caveat more", () => {
  const parts = { rootKey: ROOT_KEY, identifier: Uint8Array.of(1), location: "timmy" };
  const bare = encode(mint({ ...parts, caveats: [""] })).length;
  const fits = mint({ ...parts, caveats: ["x".repeat(MAX_MACAROON_BYTES - bare - 1)] });
  assert.equal(encode(fits).length, MAX_MACAROON_BYTES);
  same(fromBase64(toBase64(fits)), fits);
  assert.throws(() => mint({ ...parts, caveats: [`${fits.caveats[0]}x`] }), MacaroonError);
  refused(new Uint8Array(MAX_MACAROON_BYTES + 1).fill(2), /longer than/);
  assert.throws(() => fromBase64("A".repeat(10_000_000)), /longer than/);

  const most = mint({ ...parts, caveats: Array.from({ length: MAX_CAVEATS }, () => "a") });
  same(decode(encode(most)), most);
  assert.throws(() => narrow(most, ["b"]), MacaroonError);
  const encoded = encode(most);
  const before = encoded.length - 35; // the end of the caveats, then the signature: type, length, 32 bytes
  const oneMore = concatBytes(encoded.subarray(0, before), Uint8Array.of(2, 1, 98, 0), encoded.subarray(before));
  refused(oneMore, /more than 32 caveats/);
});

Deno.test("decode: refuses each way to write the same or nearly the same macaroon", () => {
  const [signature, end] = [[6, 32, ...SMALL.signature], 0];
  const location = [1, 1, 108];
  const identifier = [2, 1, 7];
  const caveats = [2, 1, 97, end, 2, 1, 98, end];
  const whole = [2, ...location, ...identifier, end, ...caveats, end, ...signature];
  assert.deepEqual(encode(SMALL), Uint8Array.from(whole), "the usual way");
  const cases: [string, number[], RegExp][] = [
    ["nothing", [], /cut off/],
    ["version 1", [1, ...whole.slice(1)], /version 2/],
    ["JSON", [...utf8ToBytes('{"v":2,"i":"x"}')], /version 2/],
    ["an empty location", [2, 1, 0, ...identifier, end, end, ...signature], /location is empty/],
    ["two locations", [2, ...location, ...location, ...identifier, end, end, ...signature], /order/],
    ["no identifier", [2, ...location, end, end, ...signature], /order/],
    ["an empty identifier", [2, ...location, 2, 0, end, end, ...signature], /identifier is empty/],
    ["the location after the identifier", [2, ...identifier, ...location, end, end, ...signature], /order/],
    ["a length in two bytes that fits one", [2, 1, 0x81, 0, 108, ...identifier, end, end, ...signature], /not minimal/],
    ["a length in three bytes", [2, 1, 0x81, 0x80, 0, 108, ...identifier, end, end, ...signature], /not minimal/],
    ["a length beyond the end", [2, 1, 0xff, 0x7f, 108], /cut off/],
    ["a caveat with a location", [2, ...identifier, end, ...location, 2, 1, 97, end, end, ...signature], /third-party/],
    [
      "a caveat with a verification id",
      [2, ...identifier, end, 2, 1, 97, 4, 1, 0, end, end, ...signature],
      /third-party/,
    ],
    ["an empty verification id", [2, ...identifier, end, 2, 1, 97, 4, 0, end, end, ...signature], /third-party/],
    ["an unknown field", [2, ...identifier, end, 2, 1, 97, 9, 0, end, end, ...signature], /order/],
    ["a caveat that is not UTF-8", [2, ...identifier, end, 2, 1, 0xff, end, end, ...signature], /UTF-8/],
    ["a location that is not UTF-8", [2, 1, 2, 0xc0, 0x80, ...identifier, end, end, ...signature], /UTF-8/],
    ["no signature", [2, ...identifier, end, end], /cut off/],
    ["a short signature", [2, ...identifier, end, end, 6, 31, ...SMALL.signature.slice(1)], /32 bytes/],
    ["an end too many", [...whole, end], /after the macaroon/],
    ["two macaroons", [...whole, ...whole], /after the macaroon/],
  ];
  for (const [what, given, why] of cases) refused(Uint8Array.from(given), why, what);
  for (let length = 0; length < whole.length; length++) refused(Uint8Array.from(whole.slice(0, length)), /cut off/);
});

Deno.test("encode: refuses what decode would refuse, and text that UTF-8 cannot hold", () => {
  const broken: Partial<Macaroon>[] = [
    { location: "" },
    { identifier: new Uint8Array() },
    { signature: new Uint8Array(31) },
    { caveats: Array.from({ length: MAX_CAVEATS + 1 }, () => "") },
    { caveats: ["x".repeat(20_000)] },
    { caveats: ["\ud800"] },
    { location: "\udc00" },
  ];
  for (const part of broken) assert.throws(() => encode({ ...SMALL, ...part }), MacaroonError, JSON.stringify(part));
  const rootKey = ROOT_KEY;
  assert.throws(() => mint({ rootKey, identifier: Uint8Array.of(1), location: "", caveats: [] }), MacaroonError);
  assert.throws(() => narrow(SMALL, ["\ud800"]), MacaroonError);
});

Deno.test("fromBase64: both alphabets, padded or not, are the same macaroon", () =>
  fc.assert(fc.property(anyMacaroon, (macaroon) => {
    const standard = toBase64(macaroon);
    assert.match(standard, /^[A-Za-z0-9+/]+={0,2}$/);
    assert.equal(standard.length % 4, 0);
    const url = standard.replaceAll("+", "-").replaceAll("/", "_");
    for (const form of [standard, url]) {
      same(fromBase64(form), macaroon);
      same(fromBase64(form.replace(/=+$/, "")), macaroon);
    }
  })));

Deno.test("fromBase64: refuses every other text of the same bytes", () => {
  // 0xfb, 0xef and 0xff bytes give both characters in which the alphabets differ; the length leaves two characters of padding.
  const macaroon: Macaroon = {
    ...SMALL,
    identifier: new Uint8Array(11).fill(0xfb),
    signature: new Uint8Array(32).fill(0xff),
  };
  const standard = toBase64(macaroon);
  assert.match(standard, /\+.*\/w==$/);
  const url = standard.replaceAll("+", "-").replaceAll("/", "_");
  const spare = standard.slice(0, -3);
  const others = [
    "",
    "=",
    standard.replace("+", "-"),
    url.replace("_", "/"),
    standard.slice(0, -1),
    `${standard}=`,
    ` ${standard}`,
    `${standard}\n`,
    `${standard.slice(0, 8)}\n${standard.slice(8)}`,
    `${standard.slice(0, 8)} ${standard.slice(8)}`,
    `${standard.slice(0, 8)}==${standard.slice(8)}`,
    encodeURIComponent(standard),
    standard.slice(0, -2) + "A",
    standard.replaceAll("/", "\uff0f"),
    `"${standard}"`,
    // The last byte is 0xff, "/w==": these spell it with bits left over.
    ...[..."xyz0123456789+/"].map((last) => `${spare}${last}==`),
  ];
  same(fromBase64(standard), macaroon);
  for (const other of others) assert.throws(() => fromBase64(other), MacaroonError, JSON.stringify(other));
});

Deno.test("MacaroonError: its message holds nothing of the token", () => {
  for (const secret of ["c2VjcmV0c2VjcmV0", OURS.base64.slice(0, 60), `${OURS.base64.slice(0, -4)}*`]) {
    assert.throws(() => fromBase64(secret), (error: Error) => !error.message.includes(secret.slice(0, 8)));
  }
});

/** What of npm `macaroon` is used here; it ships no types. */
interface NpmMacaroon {
  readonly location: string;
  readonly identifier: Uint8Array;
  readonly signature: Uint8Array;
  readonly caveats: { identifier: Uint8Array }[];
  addFirstPartyCaveat(caveat: string): void;
  exportBinary(): Uint8Array;
  verify(rootKey: Uint8Array, check: (condition: string) => string | null): void;
}
interface NpmModule {
  newMacaroon(input: { version: 2; rootKey: Uint8Array; identifier: Uint8Array; location: string }): NpmMacaroon;
  importMacaroon(bytes: Uint8Array | string): NpmMacaroon;
}
const npm: NpmModule = npmMacaroon;

const caveatText = fc.stringMatching(/^[a-z_]{1,10}=[ -~é]{0,10}$/);
const mintInput = (caveats: number) =>
  fc.record({
    rootKey: bytes(32),
    identifier: bytes(66),
    location: fc.stringMatching(/^[a-z:/.]{1,8}$/),
    caveats: fc.array(caveatText, { maxLength: caveats }),
  });

Deno.test("mint: npm macaroon imports what we mint and narrow, and verifies it with the right key only", () =>
  fc.assert(
    fc.property(mintInput(8), fc.array(caveatText, { maxLength: 4 }), (input, more) => {
      const theirs = npm.importMacaroon(toBase64(narrow(mint(input), more)));
      assert.equal(theirs.location, input.location);
      const seen: string[] = [];
      theirs.verify(input.rootKey, (condition) => {
        seen.push(condition);
        return null;
      });
      assert.deepEqual(seen, [...input.caveats, ...more]);
      const otherKey = input.rootKey.map((byte) => byte ^ 1);
      assert.throws(() => theirs.verify(otherKey, () => null), /signature mismatch/);
    }),
    { numRuns: 50 },
  ));

Deno.test("decode: reads and verifies what npm macaroon mints, byte for byte what we would mint", () =>
  // npm macaroon 3.0.4 doubles its buffer with every field it writes: a fourth caveat is beyond what can be allocated.
  fc.assert(
    fc.property(mintInput(2), (input) => {
      const theirs = npm.newMacaroon({ version: 2, ...input });
      for (const caveat of input.caveats) theirs.addFirstPartyCaveat(caveat);
      const macaroon = decode(theirs.exportBinary());
      assert.deepEqual(macaroon.caveats, input.caveats);
      assert.notEqual(verify(macaroon, input.rootKey), null);
      same(macaroon, mint(input));
    }),
    { numRuns: 25 },
  ));

Deno.test("verify: takes what a holder narrowed with npm macaroon", () => {
  const parts = { rootKey: ROOT_KEY, identifier: Uint8Array.of(1), location: "timmy" };
  const minted = mint({ ...parts, caveats: ["services=timmy:0"] });
  const theirs = npm.importMacaroon(toBase64(minted));
  theirs.addFirstPartyCaveat("max_sats=100");
  const narrowed = decode(theirs.exportBinary());
  assert.deepEqual(narrowed.caveats, ["services=timmy:0", "max_sats=100"]);
  assert.notEqual(verify(narrowed, ROOT_KEY), null);
});
