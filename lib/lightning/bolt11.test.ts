import assert from "node:assert/strict";
import bolt11 from "bolt11";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { decodeInvoice, encodeInvoice, InvoiceError, type InvoiceToSign, MAX_INVOICE_LENGTH } from "./bolt11.ts";

/** The key, payment hash and secret that all examples of BOLT11 use. */
const KEY = hexToBytes("e126f68f7eafcc8b74f54d269fe206be715000f94dac067d1c04a8ca3b2db734");
const NODE = "03e7156ae33b0a208d0744199163177e909e80176e55d97a2f221ede0f934dd9ad";
const HASH = "0001020304050607080900010203040506070809000102030405060708090102";
const SECRET = "11".repeat(32);
const AT = 1_496_314_658;

/** Examples of BOLT11. */
const DONATION =
  "lnbc1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6twvus8g6rfwvs8qun0dfjkxaq9qrsgq357wnc5r2ueh7ck6q93dj32dlqnls087fxdwk8qakdyafkq3yap9us6v52vjjsrvywa6rt52cm9r9zqt8r2t7mlcwspyetp5h2tztugp9lfyql";
const DONATION_WITHOUT_SECRET =
  "lnbc1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6twvus8g6rfwvs8qun0dfjkxaq8rkx3yf5tcsyz3d73gafnh3cax9rn449d9p5uxz9ezhhypd0elx87sjle52x86fux2ypatgddc6k63n7erqz25le42c4u4ecky03ylcqca784w";

const ask = (change: Partial<InvoiceToSign> = {}) =>
  encodeInvoice({
    prefix: "lnbc",
    amountMsat: 21_000,
    paymentHash: HASH,
    paymentSecret: SECRET,
    memo: "hello",
    createdAtSeconds: AT,
    expirySeconds: 600,
    ...change,
  }, KEY);
const rejected = (text: string, code: "malformed" | "unsupported", message = /./) =>
  assert.throws(
    () => decodeInvoice(text),
    (error) => error instanceof InvoiceError && error.code === code && message.test(error.message),
  );
const CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

Deno.test("decodeInvoice: reads an example of BOLT11, in either case", () => {
  const common = {
    prefix: "lnbc",
    paymentHash: HASH,
    createdAt: AT * 1000,
    expiresAt: (AT + 3600) * 1000,
    descriptionHash: null,
    payee: NODE,
    routeHints: [],
  };
  const donation = { ...common, amountMsat: null, amountSats: null, memo: "Please consider supporting this project" };
  assert.deepEqual(decodeInvoice(DONATION), donation);
  assert.deepEqual(decodeInvoice(DONATION.toUpperCase()), donation);
});

Deno.test("decodeInvoice: names a required feature it does not know", () => {
  rejected(ask({ features: [9, 15, 99, 100] }), "unsupported", /100/);
  rejected(ask({ features: [8, 14, 30] }), "unsupported", /30/);
  assert.equal(decodeInvoice(ask({ features: [9, 15, 17, 25, 99, 149] })).amountSats, 21);
});

Deno.test("decodeInvoice: wants a payment secret", () => rejected(DONATION_WITHOUT_SECRET, "unsupported", /secret/));

Deno.test("decodeInvoice: refuses amounts it cannot read exactly", () => {
  rejected(resign(ask(), (words) => words, "lnbc2500x"), "malformed", /amount/);
  rejected(resign(ask(), (words) => words, "lnbc0250u"), "malformed", /amount/);
  rejected(resign(ask(), (words) => words, "lnbc2500000001p"), "malformed", /millisatoshi/);
  rejected(resign(ask(), (words) => words, "lnbc21000001"), "unsupported", /counted/);
  assert.equal(decodeInvoice(resign(ask(), (words) => words, "lnbc2500000010p")).amountMsat, 250_000_001);
});

Deno.test("decodeInvoice: reports an amount that is not whole sats in msat only", () => {
  const { amountMsat, amountSats } = decodeInvoice(ask({ amountMsat: 21_001 }));
  assert.deepEqual({ amountMsat, amountSats }, { amountMsat: 21_001, amountSats: null });
});

Deno.test("decodeInvoice: notices every single changed character", () => {
  const invoice = ask();
  for (let at = 0; at < invoice.length; at++) {
    const other = CHARSET.charAt((CHARSET.indexOf(invoice.charAt(at)) + 1) % 32);
    assert.throws(() => decodeInvoice(invoice.slice(0, at) + other + invoice.slice(at + 1)), InvoiceError, `at ${at}`);
  }
});

Deno.test("decodeInvoice: notices every truncation", () => {
  const invoice = ask();
  for (let length = 0; length < invoice.length; length++) {
    assert.throws(() => decodeInvoice(invoice.slice(0, length)), InvoiceError, `${length}`);
  }
});

Deno.test("decodeInvoice: refuses what is not an invoice with a message for people", () => {
  for (
    const text of ["", "1", "ln1", "hello", "lnurl1dp68gurn8ghj7", " ".repeat(50), ask().slice(2), `lightning:${ask()}`]
  ) {
    rejected(text, "malformed", /BOLT11/);
  }
  rejected(ask().slice(0, 20).toUpperCase() + ask().slice(20), "malformed", /case/);
  rejected(`lnbc1${"q".repeat(MAX_INVOICE_LENGTH)}`, "malformed", /longer/);
});

Deno.test("decodeInvoice: a signature over something else does not give the named node", () => {
  // Only the amount differs, and the checksum is made right again: the signature is then by nobody's key, or another's.
  const forged = reseal(ask().replace("lnbc210n1", "lnbc220n1"));
  try {
    assert.notEqual(decodeInvoice(forged).payee, NODE);
  } catch (error) {
    assert.ok(error instanceof InvoiceError && error.code === "malformed");
  }
  assert.equal(decodeInvoice(reseal(ask())).payee, NODE);
});

Deno.test("decodeInvoice: the payee an invoice names must have signed it", () => {
  const named = (key: string) => resign(ask(), (words) => [...words, 19, 1, 21, ...toWords(hexToBytes(key))]);
  assert.equal(decodeInvoice(named(NODE)).payee, NODE);
  rejected(named(bytesToHex(secp256k1.getPublicKey(new Uint8Array(32).fill(9)))), "malformed", /signature/);
});

Deno.test("decodeInvoice: skips unknown fields and hashes of another length, refuses a field given twice", () => {
  const hashAgain = [1, 1, 20, ...toWords(new Uint8Array(32).fill(5))];
  const longHash = [1, 1, 21, ...toWords(new Uint8Array(32).fill(5)), 0];
  assert.equal(decodeInvoice(resign(ask(), (words) => [...words, 2, 0, 3, 1, 2, 3])).paymentHash, HASH);
  assert.equal(decodeInvoice(resign(ask(), (words) => [...words, ...longHash])).paymentHash, HASH);
  rejected(resign(ask(), (words) => [...words, ...hashAgain]), "malformed", /twice/);
  rejected(resign(ask(), (words) => [...words, 2, 0, 3, 1]), "malformed", /cut short/);
  rejected(resign(ask(), (words) => [...words, 3, 0, 3, 1, 2, 3]), "malformed", /route hint/);
  rejected(resign(ask(), (words) => words.slice(0, 7)), "malformed", /payment hash/);
});

Deno.test("decodeInvoice: without an expiry it is one hour", () => {
  assert.equal(decodeInvoice(DONATION).expiresAt - decodeInvoice(DONATION).createdAt, 3_600_000);
});

Deno.test("decodeInvoice: tells the networks apart", () => {
  for (const prefix of ["lnbc", "lntb", "lntbs", "lnbcrt"] as const) {
    for (const amountMsat of [null, 1_000, 21_000, 100_000_000_000]) {
      const invoice = decodeInvoice(ask({ prefix, amountMsat }));
      assert.deepEqual([invoice.prefix, invoice.amountMsat], [prefix, amountMsat]);
    }
  }
  rejected(reseal(ask().replace("lnbc210n1", "lnsb210n1")), "unsupported", /network/);
});

Deno.test("encodeInvoice: bolt11 reads what was meant, for every unit of the amount", () => {
  for (const amountMsat of [1, 10, 100, 1_000, 21_000, 2_500_000_000, 100_000_000, 100_000_000_000, 123_456_789]) {
    const invoice = bolt11.decode(ask({ amountMsat, memo: "ナンセンス 1杯", prefix: "lnbcrt", expirySeconds: 86_400 }));
    assert.equal(invoice.millisatoshis, `${amountMsat}`);
    assert.equal(invoice.payeeNodeKey, NODE);
    assert.equal(invoice.timestamp, AT);
    assert.equal(invoice.tagsObject.payment_hash, HASH);
    assert.equal(invoice.tagsObject.payment_secret, SECRET);
    assert.equal(invoice.tagsObject.description, "ナンセンス 1杯");
    assert.equal(invoice.tagsObject.expire_time, 86_400);
    assert.equal(invoice.tagsObject.min_final_cltv_expiry, 18);
    assert.deepEqual(invoice.tagsObject.feature_bits?.payment_secret, { required: true, supported: false });
    assert.deepEqual(invoice.tagsObject.feature_bits?.var_onion_optin, { required: true, supported: false });
  }
});

Deno.test("encodeInvoice: decodeInvoice reads back what was meant", () => {
  assert.deepEqual(decodeInvoice(ask({ memo: "" })), {
    prefix: "lnbc",
    paymentHash: HASH,
    amountSats: 21,
    amountMsat: 21_000,
    createdAt: AT * 1000,
    expiresAt: (AT + 600) * 1000,
    memo: "",
    descriptionHash: null,
    payee: NODE,
    routeHints: [],
  });
  assert.equal(decodeInvoice(ask({ memo: "x".repeat(639) })).memo.length, 639);
});

Deno.test("encodeInvoice: the hash of a description stands in place of the memo, as bolt11 and decodeInvoice read it", () => {
  const text = ask({ descriptionHash: HASH });
  const { memo, descriptionHash } = decodeInvoice(text);
  assert.deepEqual([memo, descriptionHash], ["", HASH]);
  const { tagsObject } = bolt11.decode(text);
  assert.deepEqual([tagsObject.description, tagsObject.purpose_commit_hash], [undefined, HASH]);
});

Deno.test("encodeInvoice: refuses what no invoice can carry", () => {
  const wrong: Partial<InvoiceToSign>[] = [
    { amountMsat: 0 },
    { amountMsat: 0.5 },
    { amountMsat: -1 },
    { memo: "x".repeat(640) },
    { expirySeconds: 0 },
    { createdAtSeconds: 2 ** 35 },
    { paymentHash: "00" },
    { descriptionHash: "00" },
    { paymentSecret: HASH.toUpperCase().replaceAll("0", "A") },
  ];
  for (const change of wrong) assert.throws(() => ask(change), RangeError, JSON.stringify(change));
});

/** Puts the right checksum on a changed invoice. */
function reseal(invoice: string): string {
  return seal(invoice.slice(0, invoice.lastIndexOf("1")), wordsOf(invoice));
}

/** Changes the data of an invoice and signs it again with {@link KEY}. */
function resign(
  invoice: string,
  change: (words: number[]) => number[],
  humanPart = invoice.slice(0, invoice.lastIndexOf("1")),
): string {
  const words = change(wordsOf(invoice).slice(0, -104));
  const bits = words.map((word) => word.toString(2).padStart(5, "0")).join("");
  const bytes = bits.padEnd(Math.ceil(bits.length / 8) * 8, "0").match(/.{8}/g) ?? [];
  const message = Uint8Array.from([...new TextEncoder().encode(humanPart), ...bytes.map((byte) => parseInt(byte, 2))]);
  const signature = secp256k1.sign(message, KEY, { format: "recovered" });
  return seal(humanPart, [...words, ...toWords(Uint8Array.from([...signature.slice(1), ...signature.slice(0, 1)]))]);
}

function wordsOf(invoice: string): number[] {
  return Array.from(invoice.slice(invoice.lastIndexOf("1") + 1, -6), (letter) => CHARSET.indexOf(letter));
}

function toWords(bytes: Uint8Array): number[] {
  const bits = Array.from(bytes, (byte) => byte.toString(2).padStart(8, "0")).join("");
  return (bits.padEnd(Math.ceil(bits.length / 5) * 5, "0").match(/.{5}/g) ?? []).map((word) => parseInt(word, 2));
}

/** BIP-173's checksum, written down a second time so that a mistake in one shows. */
function seal(humanPart: string, words: number[]): string {
  const codes = Array.from(humanPart, (letter) => letter.charCodeAt(0));
  let sum = 1n;
  for (const value of [...codes.map((c) => c >> 5), 0, ...codes.map((c) => c & 31), ...words, 0, 0, 0, 0, 0, 0]) {
    const top = sum >> 25n;
    sum = ((sum & 0x1ffffffn) << 5n) ^ BigInt(value);
    const parts = [0x3b6a57b2n, 0x26508e6dn, 0x1ea119fan, 0x3d4233ddn, 0x2a1462b3n];
    parts.forEach((part, bit) => (top >> BigInt(bit)) & 1n ? sum ^= part : 0);
  }
  sum ^= 1n;
  const checksum = [25n, 20n, 15n, 10n, 5n, 0n].map((shift) => Number((sum >> shift) & 31n));
  return `${humanPart}1${[...words, ...checksum].map((word) => CHARSET.charAt(word)).join("")}`;
}
