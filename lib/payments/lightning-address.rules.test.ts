import assert from "node:assert/strict";
import fc from "fast-check";
import { MAX_ADDRESS_LENGTH, payRequestUrl, readLightningAddress } from "./lightning-address.rules.ts";

const GOOD: [text: string, address: string][] = [
  ["payer@example.com", "payer@example.com"],
  [" Payer@Example.COM ", "payer@example.com"],
  ["lightning:payer@example.com", "payer@example.com"],
  ["LIGHTNING://payer@example.com", "payer@example.com"],
  ["payer+tips@example.co.uk", "payer+tips@example.co.uk"],
  ["payer+@example.com", "payer+@example.com"],
  ["a.b-c_d0@sub.example.com", "a.b-c_d0@sub.example.com"],
  ["payer@bücher.example", "payer@xn--bcher-kva.example"],
  ["payer@xn--bcher-kva.example", "payer@xn--bcher-kva.example"],
  ["payer@例え.テスト", "payer@xn--r8jz45g.xn--zckzah"],
  [`${"u".repeat(64)}@example.com`, `${"u".repeat(64)}@example.com`],
];
for (const [text, address] of GOOD) {
  Deno.test(`readLightningAddress: ${text.slice(0, 40)} is one`, () =>
    assert.equal(readLightningAddress(text), address));
}

const WRONG = [
  ...[
    "",
    " ",
    "@",
    "payer",
    "payer@",
    "@example.com",
    "payer@@example.com",
    "a@b@example.com",
    "payer@example",
    "payer@localhost",
  ],
  ...["payer@1.2.3.4", "payer@127.1", "payer@0x7f.0.0.1", "payer@2130706433", "payer@[::1]", "payer@example.com:8443"],
  ...[
    "payer@example.com/x",
    "payer@example.com?x",
    "payer@example.com#x",
    "payer@exam ple.com",
    "payer@example.com.",
    "payer@.com",
  ],
  ...[
    "payer@-a.example.com",
    "payer@a-.example.com",
    "payer@a..example.com",
    "payer@ex_ample.com",
    "payer@%65xample.com",
  ],
  ...[
    "pay er@example.com",
    "pay/er@example.com",
    "pay?er@example.com",
    "pay%2fer@example.com",
    "../x@example.com",
    "päyer@example.com",
  ],
  ...[
    "+tag@example.com",
    ".@example.com",
    "..@example.com",
    "pay\ner@example.com",
    "payer@exam\tple.com",
    "https://example.com",
    "lnbc1payer",
    "payer\\@example.com",
  ],
  ...[
    `${"u".repeat(65)}@example.com`,
    `payer@${"a".repeat(64)}.com`,
    `payer@${"a.".repeat(130)}com`,
    "u@".repeat(1_000),
  ],
];
for (const text of WRONG) {
  Deno.test(`readLightningAddress: ${JSON.stringify(text.slice(0, 40))} is none`, () => {
    assert.equal(readLightningAddress(text), null);
  });
}

Deno.test("readLightningAddress: what it accepts it spells the same again, and its page is on that very host", () => {
  const text = fc.oneof(
    fc.string({ unit: "grapheme", maxLength: 400 }),
    fc.tuple(fc.string({ maxLength: 70 }), fc.oneof(fc.domain(), fc.string({ unit: "grapheme" }))).map((both) =>
      both.join("@")
    ),
    fc.emailAddress(),
  );
  fc.assert(
    fc.property(text, (text) => {
      const address = readLightningAddress(text);
      if (address === null) return;
      assert.equal(readLightningAddress(address), address);
      assert.ok(address.length <= MAX_ADDRESS_LENGTH);
      const [user, host] = address.split("@");
      const url = new URL(payRequestUrl(address));
      assert.deepEqual([url.protocol, url.host, url.pathname, url.search], [
        "https:",
        host,
        `/.well-known/lnurlp/${user}`,
        "",
      ]);
    }),
    { numRuns: 2_000 },
  );
});
