import assert from "node:assert/strict";
import { limitKey, parseTrustedProxies, resolveClientAddress } from "./client-address.ts";

const nobody = parseTrustedProxies([]);
const proxies = parseTrustedProxies(["10.0.0.0/8", "127.0.0.1", "fd00::/8", "2001:db8::1"]);

Deno.test("parseTrustedProxies: addresses and networks of both families", () => {
  for (const inside of ["10.255.0.1", "127.0.0.1", "fd12::9", "2001:db8::1", "::ffff:10.1.2.3", "::ffff:a01:203"]) {
    assert.ok(proxies.has(inside), inside);
  }
  for (const outside of ["11.0.0.1", "127.0.0.2", "fe00::1", "2001:db8::2", "::ffff:11.0.0.1", "::", "x", undefined]) {
    assert.ok(!proxies.has(outside), String(outside));
  }
  assert.ok(parseTrustedProxies(["0.0.0.0/0"]).has("8.8.8.8"));
  assert.ok(!parseTrustedProxies(["0.0.0.0/0"]).has("2001:db8::1"));
});

Deno.test("parseTrustedProxies: names every entry it cannot read", () => {
  const entries = [
    "localhost",
    "10.0.0.0/33",
    "10.0.0.0/",
    "fd00::/129",
    "1.2.3",
    "::ffff:10.0.0.0/104",
    "10.0.0.0/8/8",
    "",
    "1.2.3.4",
  ];
  assert.throws(() => parseTrustedProxies(entries), (error: Error) => {
    for (const bad of entries.slice(0, -1)) assert.ok(error.message.includes(bad), bad);
    assert.ok(!error.message.includes("1.2.3.4,"));
    return true;
  });
});

Deno.test("resolveClientAddress: the socket's address, whatever the header says, unless the peer is trusted", () => {
  assert.equal(resolveClientAddress("203.0.113.9", "1.1.1.1", nobody), "203.0.113.9");
  assert.equal(resolveClientAddress("203.0.113.9", "1.1.1.1", proxies), "203.0.113.9");
  assert.equal(resolveClientAddress("10.0.0.1", undefined, proxies), "10.0.0.1");
  assert.equal(resolveClientAddress(undefined, "1.1.1.1", proxies), null);
});

Deno.test("resolveClientAddress: behind a trusted proxy, the rightmost address that is not one", () => {
  const rows: [string, string][] = [
    ["198.51.100.7", "198.51.100.7"],
    ["6.6.6.6, 198.51.100.7", "198.51.100.7"], // the left one is what the caller wrote itself
    ["6.6.6.6, 198.51.100.7, 10.0.0.2, fd00::2", "198.51.100.7"],
    ["198.51.100.7:4711", "198.51.100.7"],
    ["[2001:db8::99]:4711", "2001:db8::99"],
    ["10.0.0.3, 10.0.0.2", "10.0.0.3"], // proxies only: the outermost
    ["6.6.6.6, unknown", "10.0.0.1"], // what is not an address: only the peer is certain
    ["6.6.6.6, unknown, 10.0.0.2", "10.0.0.2"],
    ["", "10.0.0.1"],
  ];
  for (const [header, expected] of rows) {
    assert.equal(resolveClientAddress("10.0.0.1", header, proxies), expected, header);
  }
});

Deno.test("resolveClientAddress: an endless chain is looked at from the right only", () => {
  const chain = ["6.6.6.6", ...Array.from({ length: 100_000 }, () => "10.0.0.2")].join(",");
  assert.equal(resolveClientAddress("10.0.0.1", chain, proxies), "10.0.0.2");
});

Deno.test("limitKey: v4 as it is, mapped v6 as v4, v6 by its /64", () => {
  assert.equal(limitKey("203.0.113.9"), "203.0.113.9");
  assert.equal(limitKey("::ffff:203.0.113.9"), "203.0.113.9");
  assert.equal(limitKey("::ffff:cb00:7109"), "203.0.113.9");
  assert.equal(limitKey("2001:db8:1:2:3:4:5:6"), limitKey("2001:DB8:1:2::"));
  assert.notEqual(limitKey("2001:db8:1:2::1"), limitKey("2001:db8:1:3::1"));
  assert.equal(limitKey("2001:db8:1:2::1"), "2001:db8:1:2::/64");
  assert.equal(limitKey("fe80::1%eth0"), "fe80::/64");
  assert.equal(limitKey(null), "unknown");
});
