import assert from "node:assert/strict";
import fc from "fast-check";
import { isAddress, isPublicAddress, isPublicName } from "./public-address.rules.ts";

const PUBLIC = [
  "1.1.1.1",
  "8.8.8.8",
  "93.184.215.14",
  "9.255.255.255",
  "11.0.0.0",
  "100.63.255.255",
  "100.128.0.0",
  "126.255.255.255",
];
PUBLIC.push(
  "128.0.0.1",
  "168.63.129.15",
  "169.253.255.255",
  "169.255.0.0",
  "172.15.255.255",
  "172.32.0.0",
  "192.0.1.1",
  "192.0.3.1",
);
PUBLIC.push("192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "203.0.114.0", "223.255.255.255");
PUBLIC.push(
  "2606:4700:4700::1111",
  "2001:4860:4860::8888",
  "2a00:1450:4001:830::200e",
  "2001:200::1",
  "2001:db7:ffff::1",
  "2001:db9::1",
);
PUBLIC.push(
  "2003::1",
  "2606:4700:0:0:0:0:0:1",
  "2620:4f:7fff::1",
  "3fff:1000::1",
  "3ffd::1",
  "2606:4700::1.2.3.4",
  "2606:4700:1:2:3:4:5::",
);

Deno.test("isPublicAddress: addresses of the public internet, those beside each range that is not among them", () => {
  for (const address of PUBLIC) assert.ok(isPublicAddress(address), address);
});

Deno.test("isPublicAddress: spellings that other programs read differently are nobody's address", () => {
  const wrong = [
    "08.8.8.8",
    "8.8.8",
    "8.8.8.8.",
    ".8.8.8.8",
    "8.8.8.8.8",
    "8.8.8.256",
    "8.8.8.-1",
    "8.8.8.8 ",
    "0x8.8.8.8",
    "134744072",
    "8,8,8,8",
  ];
  wrong.push(
    "2606:4700:::1",
    "2606:4700::1::2",
    "2606:4700",
    "1:2:3:4:5:6:7:8:9",
    "2606:4700::12345",
    "2606:4700::g",
    "[2606:4700::1]",
  );
  wrong.push(
    "2606:4700::1%eth0",
    "2606:4700::1%1",
    "2606:4700::1.2.3",
    "2606:1.2.3.4::1",
    "2606:4700::1.2.3.4:5",
    "2606:4700::01.2.3.4",
    "",
  );
  wrong.push("2606:1:2:3:4:5:6:7::", "::2606:1:2:3:4:5:6:7:8", "2606:4700::1.2.3.4::", "٨.٨.٨.٨");
  for (const address of wrong) assert.ok(!isPublicAddress(address) && !isAddress(address), address);
});

Deno.test("isPublicAddress: however an IPv6 address is shortened, the judgement is the same", () => {
  const word = fc.oneof(
    fc.constantFrom(0, 0x2001, 0x2002, 0x2606, 0x3fff, 0xdb8, 0x5efe, 0xfe80, 0xffff),
    fc.nat(0xffff),
  );
  fc.assert(
    fc.property(fc.array(word, { minLength: 8, maxLength: 8 }), (words) => {
      const long = words.map((each) => each.toString(16).padStart(4, "0").toUpperCase()).join(":");
      const short = new URL(`http://[${long}]/`).hostname.slice(1, -1);
      const dotted = `${long.slice(0, 30)}${words.slice(6).flatMap((each) => [each >> 8, each & 255]).join(".")}`;
      assert.ok(isAddress(short) && isAddress(long) && isAddress(dotted));
      assert.equal(isPublicAddress(long), isPublicAddress(short), short);
      assert.equal(isPublicAddress(dotted), isPublicAddress(short), dotted);
      if ((words[0]! >> 13) !== 1) assert.ok(!isPublicAddress(short), short);
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("isPublicName: names with two labels at least, as they are spelled in a URL", () => {
  for (
    const name of ["example.com", "a.b.c.example.co.uk", "xn--bcher-kva.example", "1.example.com", "local.example.com"]
  ) {
    assert.ok(isPublicName(name), name);
  }
  const wrong = [
    "example",
    "Example.com",
    "example.com.",
    "a..com",
    "-a.com",
    "a-.com",
    "a_b.com",
    "1.2.3.4",
    "example.1",
    "",
    "ex ample.com",
  ];
  wrong.push(
    "a.localhost",
    "a.local",
    "a.internal",
    "a.lan",
    "a.home.arpa",
    "a.onion",
    "a.corp",
    `${"a".repeat(64)}.com`,
    `${"a.".repeat(126)}com`,
  );
  for (const name of wrong) assert.ok(!isPublicName(name), name);
});
