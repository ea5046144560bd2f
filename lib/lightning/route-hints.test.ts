import assert from "node:assert/strict";
import bolt11 from "bolt11";
import { decodeInvoice, encodeInvoice } from "./bolt11.ts";
import { cheapestHintFeeMsat, hintFeeMsat, readRouteHint, type RouteHop, writeRouteHint } from "./route-hints.ts";

/** Examples of BOLT11: an invoice with a hint of two hops, and the data of a hint of one. */
const TWO_HOPS =
  "lnbc20m1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqhp58yjmdan79s6qqdhdzgynm4zwqd5d7xmw5fk98klysy043l2ahrqsfpp3qjmp7lwpagxun9pygexvgpjdc4jdj85fr9yq20q82gphp2nflc7jtzrcazrra7wwgzxqc8u7754cdlpfrmccae92qgzqvzq2ps8pqqqqqqpqqqqq9qqqvpeuqafqxu92d8lr6fvg0r5gv0heeeqgcrqlnm6jhphu9y00rrhy4grqszsvpcgpy9qqqqqqgqqqqq7qqzq9qrsgqdfjcdk6w3ak5pca9hwfwfh63zrrz06wwfya0ydlzpgzxkn5xagsqz7x9j4jwe7yj7vaf2k9lqsdk45kts2fd0fkr28am0u4w95tt2nsq76cqw0";
const ONE_HOP_DATA = "q0gxwkzc8w6323m55m4jyxcjwmy7stt9hwkwe2qxmy8zpsgg7jcuwz87fcqqeuqqqyqqqqlgqqqqn3qq9q";
const CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

const hop = (feeBaseMsat: number, feePpm = 0): RouteHop => ({
  nodeId: `02${"9e".repeat(32)}`,
  shortChannelId: "1x2x3",
  feeBaseMsat,
  feePpm,
  cltvDelta: 40,
});
const invoice = (routeHints: RouteHop[][]) =>
  encodeInvoice({
    prefix: "lnbcrt",
    amountMsat: 100_000,
    paymentHash: "ab".repeat(32),
    paymentSecret: "cd".repeat(32),
    memo: "",
    createdAtSeconds: 1_700_000_000,
    expirySeconds: 600,
    routeHints,
  }, new Uint8Array(32).fill(7));

Deno.test("route hints: the specification's hint of two hops is read hop by hop", () => {
  assert.deepEqual(decodeInvoice(TWO_HOPS).routeHints, [[
    {
      nodeId: "029e03a901b85534ff1e92c43c74431f7ce72046060fcf7a95c37e148f78c77255",
      shortChannelId: `${0x010203}x${0x040506}x${0x0708}`,
      feeBaseMsat: 1,
      feePpm: 20,
      cltvDelta: 3,
    },
    {
      nodeId: "039e03a901b85534ff1e92c43c74431f7ce72046060fcf7a95c37e148f78c77255",
      shortChannelId: `${0x030405}x${0x060708}x${0x090a}`,
      feeBaseMsat: 2,
      feePpm: 30,
      cltvDelta: 4,
    },
  ]]);
});

Deno.test("route hints: the specification's hint of a shop's channel is read, and written the same", () => {
  const bits = Array.from(ONE_HOP_DATA, (letter) => CHARSET.indexOf(letter).toString(2).padStart(5, "0")).join("");
  const data = Uint8Array.from(bits.match(/.{8}/g) ?? [], (byte) => parseInt(byte, 2));
  const hint = readRouteHint(data);
  assert.deepEqual(hint, [{
    nodeId: "03d06758583bb5154774a6eb221b1276c9e82d65bbaceca806d90e20c108f4b1c7",
    shortChannelId: "589390x3312x1",
    feeBaseMsat: 1_000,
    feePpm: 2_500,
    cltvDelta: 40,
  }]);
  assert.deepEqual(writeRouteHint(hint), data);
});

Deno.test("route hints: several hints stay apart, and another decoder reads the same figures", () => {
  const hints = [[hop(1, 2), hop(2 ** 32 - 1, 2 ** 32 - 1)], [hop(10_000)]];
  const text = invoice(hints);
  assert.deepEqual(decodeInvoice(text).routeHints, hints);
  const theirs = bolt11.decode(text).tags.filter(({ tagName }) => tagName === "routing_info");
  assert.deepEqual(
    theirs.map(({ data }) => (data as { fee_base_msat: number }[]).map((each) => each.fee_base_msat)),
    hints.map((hint) => hint.map(({ feeBaseMsat }) => feeBaseMsat)),
  );
});

Deno.test("route hints: a hint cut short is no hint, an empty one is no free way", () => {
  const whole = writeRouteHint([hop(1), hop(2)]);
  for (const length of [1, 50, 52, 101]) {
    assert.equal(readRouteHint(whole.subarray(0, length)), null, `${length} bytes`);
  }
  assert.deepEqual(decodeInvoice(invoice([[], [hop(10_000)]])).routeHints, [[hop(10_000)]]);
  for (const wrong of [{ nodeId: "02ab" }, { shortChannelId: "1x2" }]) {
    assert.throws(() => writeRouteHint([{ ...hop(1), ...wrong }]), RangeError);
  }
});

Deno.test("hintFeeMsat: base and share of what is passed on, each hop on top of the next, rounded up", () => {
  assert.equal(hintFeeMsat([], 100_000), 0);
  assert.equal(hintFeeMsat([hop(10_000)], 100_000), 10_000);
  assert.equal(hintFeeMsat([hop(0, 1)], 1), 1, "part of a millisatoshi counts as one");
  assert.equal(hintFeeMsat([hop(1_000, 2_500)], 967_878_534), 1_000 + 2_419_697);
  assert.equal(hintFeeMsat([hop(0, 100_000), hop(100_000)], 1_000_000), 100_000 + 110_000);
  assert.equal(hintFeeMsat([hop(100_000), hop(0, 100_000)], 1_000_000), 100_000 + 100_000);
});

Deno.test("cheapestHintFeeMsat: the cheapest way counts, which one that is depends on the amount", () => {
  const hints = [[hop(10_000)], [hop(0, 10_000)]];
  assert.equal(cheapestHintFeeMsat(hints, 100_000), 1_000);
  assert.equal(cheapestHintFeeMsat(hints, 100_000_000), 10_000);
  assert.equal(cheapestHintFeeMsat([], 100_000), 0);
});
