import assert from "node:assert/strict";
import { systemClock } from "@/lib/clock.ts";
import { GuardedFetchError } from "@/lib/public-fetch.ts";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { type Connection, connectTls, createGuardedFetch, type Network } from "./guarded-fetch.ts";

const PUBLIC = "93.184.215.14";
const TLS = new URL("../../tests/fixtures/tls/", import.meta.url);
const [ca, cert, key] = ["ca.pem", "leaf.pem", "leaf.key"].map((name) => Deno.readTextFileSync(new URL(name, TLS)));

/** A network of this test: what names lead to, and what a connection says. Every connection that is made is written down. */
function network(options: { names?: Record<string, string[]>; say?: (request: string) => string | null }) {
  const made: { address: string; port: number; serverName: string }[] = [];
  const requests: string[] = [];
  let closed = 0;
  const net: Network = {
    resolve: (name, type) => {
      const all = options.names?.[name] ?? (name.endsWith(".example.com") ? [PUBLIC] : []);
      const found = all.filter((address) => address.includes(":") === (type === "AAAA"));
      return found.length > 0 ? Promise.resolve(found) : Promise.reject(new Deno.errors.NotFound());
    },
    connect: (to) => {
      made.push(to);
      return Promise.resolve(connection((request) => {
        requests.push(request);
        return options.say?.(request) ?? null;
      }, () => closed++));
    },
  };
  return { net, made, requests, closed: () => closed };
}

/** Says its answer in small pieces, then ends; with null it stays silent until it is closed. */
function connection(say: (request: string) => string | null, onClose: () => void): Connection {
  let rest: Uint8Array | null | undefined;
  let fail = (_: Error) => {};
  const silence = new Promise<number>((_, reject) => fail = reject);
  silence.catch(() => {});
  return {
    write: (bytes) => {
      const said = say(new TextDecoder().decode(bytes));
      rest = said === null ? null : new TextEncoder().encode(said);
      return Promise.resolve(bytes.length);
    },
    read: (into) => {
      if (!rest) return silence;
      const piece = rest.subarray(0, Math.min(7, into.length));
      into.set(piece);
      rest = rest.subarray(piece.length);
      return Promise.resolve(piece.length === 0 ? null : piece.length);
    },
    close: () => {
      onClose();
      fail(new Error("closed"));
    },
  };
}

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const guarded = (net: Network, timeoutMs = 5_000) =>
  createGuardedFetch({ network: net, clock: systemClock, timeoutMs });
const text = ({ body }: { body: Uint8Array }) => new TextDecoder().decode(body);
const fails = async (promise: Promise<unknown>, code: GuardedFetchError["code"], what = "") => {
  const error = await promise.then(() => assert.fail(`${what} was fetched`), (error) => error);
  assert.ok(error instanceof GuardedFetchError, `${what}: ${error}`);
  assert.equal(error.code, code, `${what}: ${error.message}`);
  return error;
};

/** Hosts of an inward network, however they are spelled. */
const INWARD = [
  ...[
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
  ],
  ...[
    "0177.1",
    "127.000.000.001",
    "0x7F.0x0.0x0.0x1",
    "127.0.0.1.",
    "①②⑦.⓪.⓪.①",
    "１２７.0.0.1",
    "127。0。0。1",
    "%31%32%37.0.0.1",
  ],
  ...[
    "127.255.255.254",
    "0",
    "0.0.0.0",
    "0x0",
    "00",
    "0.1.2.3",
    "10.0.0.1",
    "10.1",
    "0xa000001",
    "167772161",
    "012.0.0.1",
  ],
  ...["172.16.0.1", "172.31.255.255", "192.168.1.1", "192.168.257", "0xc0a80101", "3232235777", "0300.0250.1.1"],
  ...[
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "169.254.43518",
    "0251.0376.0251.0376",
    "100.64.0.1",
    "100.100.100.200",
  ],
  ...[
    "100.127.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "198.51.100.7",
    "203.0.113.9",
    "198.18.0.1",
    "198.19.255.255",
  ],
  ...[
    "192.88.99.1",
    "168.63.129.16",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "0xffffffff",
    "4294967295",
  ],
  ...[
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:8.8.8.8]",
  ],
  ...[
    "[0:0:0:0:0:ffff:a9fe:a9fe]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
  ],
  ...[
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:7f00:1::]",
    "[2001::1]",
    "[2001:2::1]",
    "[2001:10::1]",
    "[2001:20::1]",
  ],
  ...[
    "[2001:db8::1]",
    "[3fff::1]",
    "[3ffe::1]",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[febf::1]",
    "[fec0::1]",
  ],
  ...[
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fd12:3456:789a::1]",
    "[ff02::1]",
    "[ff0e::1]",
    "[100::1]",
    "[5f00::1]",
    "[4000::1]",
  ],
  ...["[2606:4700::5efe:7f00:1]", "[2606:4700::200:5efe:10.0.0.1]"],
  ...[
    "localhost",
    "LOCALHOST",
    "localhost.",
    "foo.localhost",
    "ｌｏｃａｌｈｏｓｔ",
    "printer",
    "printer.local",
    "router.lan",
  ],
  ...[
    "metadata.google.internal",
    "nas.home.arpa",
    "1.0.0.127.in-addr.arpa",
    "abc.onion",
    "abc.i2p",
    "db.corp",
    "example.com.",
  ],
];

Deno.test("guarded fetch: no spelling of an inward address leads to a connection", async () => {
  const { net, made } = network({ names: { printer: ["10.0.0.9"], localhost: ["127.0.0.1"] }, say: () => OK });
  const fetch = guarded(net);
  assert.ok(new Set(INWARD).size >= 100, `${INWARD.length} spellings`);
  for (const host of INWARD) await fails(fetch(`https://${host}/`), "refused", host);
  assert.deepEqual(made, []);
});

Deno.test("guarded fetch: no name that a name server leads inward is connected to, alone or among public addresses", async () => {
  const addresses = INWARD.map((host) => host.replace(/^\[(.*)\]$/, "$1").replace("%25", "%"));
  for (
    const address of [...addresses, "", "8.8.8.8 ", " 8.8.8.8", "8.8.8.8:443", "2600:1.2.3.4::", "wallet.example.com"]
  ) {
    for (const found of [[address], [PUBLIC, address], [address, PUBLIC]]) {
      const { net, made } = network({ say: () => OK });
      const lying: Network = { ...net, resolve: (_, type) => Promise.resolve(type === "A" ? found : []) };
      await fails(guarded(lying)("https://wallet.example.com/"), "refused", found.join());
      assert.deepEqual(made, [], found.join());
    }
    const { net, made } = network({ say: () => OK });
    const lying: Network = { ...net, resolve: (_, type) => Promise.resolve(type === "A" ? [PUBLIC] : [address]) };
    await fails(guarded(lying)("https://wallet.example.com/"), "refused", `AAAA ${address}`);
    assert.deepEqual(made, []);
  }
});

Deno.test("guarded fetch: no redirect leads inward, and none is followed unasked or more than three times", async () => {
  for (const host of INWARD) {
    const { net, made } = network({ say: () => `HTTP/1.1 302 Found\r\nLocation: https://${encodeURI(host)}/\r\n\r\n` });
    await fails(guarded(net)("https://wallet.example.com/", { redirects: 3 }), "refused", host);
    assert.equal(made.length, 1, host);
  }
  for (
    const to of ["http://wallet.example.com/", "https://a:b@wallet.example.com/", "https://wallet.example.com:22/"]
  ) {
    const { net, made } = network({ say: () => `HTTP/1.1 307 Moved\r\nLocation: ${to}\r\n\r\n` });
    await fails(guarded(net)("https://wallet.example.com/", { redirects: 3 }), "refused", to);
    assert.equal(made.length, 1, to);
  }
  const round = network({ say: () => "HTTP/1.1 301 Moved\r\nLocation: /again\r\n\r\n" });
  await fails(guarded(round.net)("https://wallet.example.com/", { redirects: 99 }), "redirected");
  assert.equal(round.made.length, 4, "three redirects at most, however many are asked for");
  const unasked = await guarded(round.net)("https://wallet.example.com/");
  assert.equal(unasked.status, 301);
  assert.equal(round.made.length, 5);
});

Deno.test("guarded fetch: a redirect that was asked for is followed to its end", async () => {
  const hop = network({
    say: (request) =>
      request.includes("other.") ? OK : "HTTP/1.1 308 Moved\r\nLocation: https://other.example.com/x\r\n\r\n",
  });
  assert.equal(text(await guarded(hop.net)("https://wallet.example.com/", { redirects: 1 })), "hi");
  assert.deepEqual(hop.made.map(({ serverName }) => serverName), ["wallet.example.com", "other.example.com"]);
});

Deno.test("guarded fetch: it connects to the address that was checked; a name server that changes its mind changes nothing", async () => {
  let asked = 0;
  const { net, made } = network({ say: () => OK });
  const rebinding: Network = {
    ...net,
    resolve: (_, type) => Promise.resolve(type === "AAAA" ? [] : asked++ === 0 ? [PUBLIC] : ["127.0.0.1"]),
  };
  const fetch = guarded(rebinding);
  assert.equal(text(await fetch("https://wallet.example.com/")), "hi");
  assert.deepEqual(made, [{ address: PUBLIC, port: 443, serverName: "wallet.example.com" }]);
  await fails(fetch("https://wallet.example.com/"), "refused", "the second look");
  assert.equal(made.length, 1);
});

Deno.test("guarded fetch: only HTTPS, without credentials, on port 443 or one that the caller allows", async () => {
  const { net, made } = network({ say: () => OK });
  const fetch = guarded(net);
  const wrong = [
    "http://wallet.example.com/",
    "ftp://wallet.example.com/",
    "file:///etc/passwd",
    "data:,hi",
    "wallet.example.com",
  ];
  wrong.push("https://a@wallet.example.com/", "https://a:b@wallet.example.com/", "https://:b@wallet.example.com/");
  wrong.push(
    "https://wallet.example.com:80/",
    "https://wallet.example.com:8443/",
    "https://",
    "",
    "//wallet.example.com/",
  );
  wrong.push(`https://wallet.example.com/${"x".repeat(2_048)}`);
  for (const url of wrong) await fails(fetch(url), "refused", url);
  assert.deepEqual(made, []);
  assert.equal(text(await fetch("https://wallet.example.com:8443/a?b=c#d", { ports: [8443] })), "hi");
  assert.equal(text(await fetch("https://wallet.example.com:443/")), "hi");
  assert.deepEqual(made.map(({ port }) => port), [8443, 443]);
});

Deno.test("guarded fetch: the request names its host and carries nothing of ours; the connection is closed", async () => {
  const { net, requests, closed } = network({ say: () => OK });
  await guarded(net)("https://wallet.example.com/a%20b?c=d#secret");
  assert.equal(
    requests[0],
    "GET /a%20b?c=d HTTP/1.1\r\nHost: wallet.example.com\r\nUser-Agent: timmy\r\nAccept: */*\r\n" +
      "Accept-Encoding: identity\r\nConnection: close\r\n\r\n",
  );
  assert.equal(closed(), 1);
  const head = new URL("https://wallet.example.com/a\r\nX-Evil: 1\r\n\r\n").href;
  await guarded(net)(head);
  assert.equal(requests[1]?.split("\r\n").length, requests[0]?.split("\r\n").length, "no line can be added");
});

const POST = { body: new TextEncoder().encode("{}\u00e9"), headers: { "Content-Type": "application/json" } };

Deno.test("guarded fetch: what is POSTed goes out once, whole, with its length and the caller's headers", async () => {
  const { net, requests, made, closed } = network({ say: () => OK });
  const headers = { ...POST.headers, Authorization: "Bearer a.b" };
  const answer = await guarded(net)("https://otel.example.com/v1/metrics?a=b", { post: { ...POST, headers } });
  assert.equal(text(answer), "hi");
  assert.deepEqual(requests, [
    "POST /v1/metrics?a=b HTTP/1.1\r\nHost: otel.example.com\r\nUser-Agent: timmy\r\nAccept: */*\r\n" +
    "Accept-Encoding: identity\r\nConnection: close\r\nContent-Type: application/json\r\n" +
    "Authorization: Bearer a.b\r\nContent-Length: 4\r\n\r\n{}\u00e9",
  ]);
  assert.deepEqual([made.length, closed()], [1, 1]);
});

Deno.test("guarded fetch: a POST is written whole over a connection that takes a few bytes at a time", async () => {
  const { net } = network({ say: () => OK });
  const written: number[] = [];
  const narrow: Network = {
    ...net,
    connect: async (to, signal) => {
      const open = await net.connect(to, signal);
      return { ...open, write: (bytes) => (written.push(...bytes.subarray(0, 5)), open.write(bytes.subarray(0, 5))) };
    },
  };
  await guarded(narrow)("https://otel.example.com/", { post: { ...POST, body: new Uint8Array(100).fill(65) } });
  assert.match(new TextDecoder().decode(new Uint8Array(written)), /\r\n\r\nA{100}$/);
});

Deno.test("guarded fetch: no inward address is POSTed to, and no redirect of a POST is followed, even when one is asked for", async () => {
  for (const host of INWARD) {
    const { net, made } = network({ say: () => OK });
    await fails(guarded(net)(`https://${host}/`, { post: POST }), "refused", host);
    assert.deepEqual(made, [], host);
  }
  for (const status of [301, 302, 303, 307, 308]) {
    const say = () => `HTTP/1.1 ${status} Moved\r\nLocation: https://other.example.com/\r\n\r\n`;
    const { net, made } = network({ say });
    assert.equal((await guarded(net)("https://otel.example.com/", { post: POST, redirects: 3 })).status, status);
    assert.equal(made.length, 1, String(status));
  }
});

Deno.test("guarded fetch: a header that would add a line, or that decides how the rest is read, is not sent", async () => {
  const wrong: Record<string, string>[] = [
    { "X-A": "b\r\nX-Evil: 1" },
    { "X-A": "b\nc" },
    { "X-A": "b\0" },
    { "X-A": "sch\u00f6n" },
    { "X-A": "" },
    { "X-A": " b" },
    { "X-A\r\nX-Evil": "1" },
    { "X A": "b" },
    { "X-A:": "b" },
    { "": "b" },
    { "Content-Length": "0" },
    { "transfer-encoding": "chunked" },
    { HOST: "127.0.0.1" },
    { Connection: "keep-alive" },
    { Expect: "100-continue" },
  ];
  const { net, made } = network({ say: () => OK });
  for (const headers of wrong) {
    const what = JSON.stringify(headers);
    await fails(guarded(net)("https://otel.example.com/", { post: { ...POST, headers } }), "refused", what);
  }
  const large = { ...POST, body: new Uint8Array(1024 * 1024 + 1) };
  await fails(guarded(net)("https://otel.example.com/", { post: large }), "refused", "too large");
  assert.deepEqual(made, []);
});

Deno.test("guarded fetch: an address that does not answer is passed over for the next; four are tried, then it is unreachable", async () => {
  const addresses = ["93.0.0.1", "93.0.0.2", "93.0.0.3", "93.0.0.4", "93.0.0.5"];
  const { net, made } = network({ names: { "wallet.example.com": addresses }, say: () => OK });
  const failing = (works: string): Network => ({
    ...net,
    connect: async (to, signal) => {
      const connection = await net.connect(to, signal);
      return to.address === works ? connection : Promise.reject(new Error("refused"));
    },
  });
  assert.equal(text(await guarded(failing("93.0.0.3"))("https://wallet.example.com/")), "hi");
  assert.deepEqual(made.map(({ address }) => address), addresses.slice(0, 3));
  await fails(guarded(failing("93.0.0.5"))("https://wallet.example.com/"), "unreachable");
  await fails(guarded(failing(""))("https://nothing.example.org/"), "unreachable");
});

Deno.test("guarded fetch: silence of the name server, of the host or of the answer ends after its time, and closes what is open", async () => {
  const { net, closed } = network({ say: () => null });
  const never = new Promise<never>(() => {});
  const late = Promise.withResolvers<Connection>();
  const silent: [Network, closed: number][] = [
    [{ ...net, resolve: () => never }, 0],
    [{ ...net, connect: () => never }, 0],
    [net, 1],
    [{ ...net, connect: () => late.promise }, 1],
  ];
  for (const [network, closedThen] of silent) {
    const clock = createFakeClock();
    const fetching = createGuardedFetch({ network, clock })("https://wallet.example.com/");
    fetching.catch(() => {});
    await clock.advance(4_999);
    assert.equal(await Promise.race([fetching.catch(() => "done"), Promise.resolve("waiting")]), "waiting");
    await clock.advance(1);
    assert.match((await fails(fetching, "timeout")).message, /5 seconds/);
    assert.equal(closed(), closedThen);
  }
  late.resolve(await net.connect({ address: PUBLIC, port: 443, serverName: "" }, new AbortController().signal));
  await createFakeClock().settle();
  assert.equal(closed(), 2, "a connection that comes too late is closed");
});

Deno.test("guarded fetch: no more at once than may be; an end makes room", async () => {
  const clock = createFakeClock();
  const { net, made } = network({ say: () => null });
  const fetch = createGuardedFetch({ network: net, clock, maxAtOnce: 2 });
  const running = [1, 2].map(() => fetch("https://wallet.example.com/").catch(() => {}));
  await fails(fetch("https://wallet.example.com/"), "busy");
  await clock.advance(5_000);
  await Promise.all(running);
  assert.equal(made.length, 2);
  const again = fetch("https://wallet.example.com/");
  again.catch(() => {});
  await clock.advance(5_000);
  await fails(again, "timeout");
});

// ---- what the answer may be ----------------------------------------------------------------------------------------

const answer = (raw: string, maxBytes?: number) =>
  guarded(network({ say: () => raw }).net)("https://wallet.example.com/", maxBytes === undefined ? {} : { maxBytes });

const READ: [name: string, raw: string, status: number, body: string][] = [
  ["a length", OK, 200, "hi"],
  ["until the end", "HTTP/1.1 200 OK\r\n\r\nhello there", 200, "hello there"],
  ["HTTP/1.0, no reason", "HTTP/1.0 404\r\n\r\ngone", 404, "gone"],
  [
    "chunks",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n there\r\n0\r\n\r\n",
    200,
    "hello there",
  ],
  ["trailers", "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n", 200, "hi"],
  ["an interim answer", `HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${OK}`, 200, "hi"],
  ["no content", "HTTP/1.1 204 No Content\r\n\r\n", 204, ""],
  ["more than the length", `${OK} and more`, 200, "hi"],
  ["server errors are answers", "HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy", 503, "busy"],
];
for (const [name, raw, status, body] of READ) {
  Deno.test(`guarded fetch: an answer is read: ${name}`, async () => {
    const got = await answer(raw);
    assert.deepEqual([got.status, text(got)], [status, body]);
  });
}

Deno.test("guarded fetch: headers are found by lower-case names, and repeated ones are joined", async () => {
  const { headers } = await answer("HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a:2 \r\nEmpty:\r\nContent-Length: 0\r\n\r\n");
  assert.deepEqual([...headers], [["x-a", "1, 2"], ["empty", ""], ["content-length", "0"]]);
});

const head = (...lines: string[]) => `HTTP/1.1 200 OK\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`;
const WRONG: [name: string, raw: string, code: GuardedFetchError["code"]][] = [
  ["nothing at all", "", "cut"],
  ["half a head", "HTTP/1.1 200 OK\r\nContent-Le", "cut"],
  ["half a body", `${head("Content-Length: 5")}hi`, "cut"],
  ["half a chunk", `${head("Transfer-Encoding: chunked")}5\r\nhel`, "cut"],
  ["chunks without an end", `${head("Transfer-Encoding: chunked")}2\r\nhi\r\n`, "cut"],
  ["trailers without an end", `${head("Transfer-Encoding: chunked")}0\r\nA: b\r\n`, "cut"],
  ["no HTTP", "SSH-2.0-OpenSSH_9.9\r\n\r\n", "malformed"],
  ["HTTP/2", "HTTP/2 200 OK\r\n\r\n", "malformed"],
  ["a status that is none", "HTTP/1.1 999 OK\r\n\r\n", "malformed"],
  ["bare line feeds", `HTTP/1.1 200 OK\n\n${"x".repeat(20_000)}`, "malformed"],
  ["a folded header", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "malformed"],
  ["a header without a name", head(": x"), "malformed"],
  ["a blank before the colon", head("Content-Length : 2"), "malformed"],
  ["two lengths", `${head("Content-Length: 2", "Content-Length: 3")}hi!`, "malformed"],
  ["a length below zero", head("Content-Length: -1"), "malformed"],
  ["a length in hex", head("Content-Length: 0x2"), "malformed"],
  ["a length beside chunks", `${head("Content-Length: 2", "Transfer-Encoding: chunked")}0\r\n\r\n`, "malformed"],
  ["another transfer coding", head("Transfer-Encoding: gzip, chunked"), "malformed"],
  ["a compressed body", `${head("Content-Encoding: gzip", "Content-Length: 2")}hi`, "malformed"],
  ["a chunk's size that is none", `${head("Transfer-Encoding: chunked")}zz\r\n`, "malformed"],
  ["a chunk longer than it says", `${head("Transfer-Encoding: chunked")}2\r\nhi!\r\n0\r\n\r\n`, "malformed"],
  ["a head that does not end", `HTTP/1.1 200 OK\r\nA: ${"x".repeat(20_000)}`, "malformed"],
  ["interim answers without end", "HTTP/1.1 100 Go on\r\n\r\n".repeat(2_000), "malformed"],
  [
    "trailers without measure",
    `${head("Transfer-Encoding: chunked")}0\r\n${"A: b\r\n".repeat(4_000)}\r\n`,
    "malformed",
  ],
  ["a chunk line without measure", `${head("Transfer-Encoding: chunked")}1;${"x".repeat(2_000)}`, "malformed"],
  ["a length above the limit", head("Content-Length: 11"), "too_large"],
  [
    "chunks above the limit",
    `${head("Transfer-Encoding: chunked")}6\r\nhello \r\n5\r\nthere\r\n0\r\n\r\n`,
    "too_large",
  ],
  ["a chunk of 4 GB", `${head("Transfer-Encoding: chunked")}ffffffff\r\n`, "too_large"],
  ["a body above the limit", `${head()}hello there`, "too_large"],
];
for (const [name, raw, code] of WRONG) {
  Deno.test(`guarded fetch: an answer is refused: ${name}`, async () => void await fails(answer(raw, 10), code));
}

Deno.test("guarded fetch: 64 KiB are read without being asked for more, one byte beyond is not", async () => {
  assert.equal((await answer(`${head()}${"x".repeat(65_536)}`)).body.length, 65_536);
  await fails(answer(`${head()}${"x".repeat(65_537)}`), "too_large");
});

// ---- over real TLS -------------------------------------------------------------------------------------------------

/** The network as it is, but for where a public address leads: to a TLS server on this machine. */
const leading = (port: number, caCerts: string[]): Network => ({
  resolve: (_, type) => Promise.resolve(type === "A" ? [PUBLIC] : []),
  connect: ({ serverName }, signal) => connectTls("127.0.0.1", port, { serverName, signal, caCerts }),
});

Deno.test("guarded fetch: over TLS the certificate must name the host and come from a known authority", async () => {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, cert: cert!, key: key!, onListen: () => {} },
    (request) => new Response(`${new URL(request.url).host} ${"ö".repeat(20_000)}`),
  );
  try {
    const { port } = server.addr;
    const fetch = guarded(leading(port, [ca!]));
    assert.equal(text(await fetch("https://wallet.example.com/")), `wallet.example.com ${"ö".repeat(20_000)}`);
    await fails(fetch("https://attacker.example.org/"), "unreachable");
    await fails(guarded(leading(port, []))("https://wallet.example.com/"), "unreachable");
    await fails(fetch(`https://${PUBLIC}/`), "unreachable");
  } finally {
    await server.shutdown();
  }
});

Deno.test("guarded fetch: a real server over TLS gets the whole of a POST, and the answer to it is read", async () => {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, cert: cert!, key: key!, onListen: () => {} },
    async (request) => {
      const { length } = new Uint8Array(await request.arrayBuffer());
      return new Response(`${request.method} ${length} ${request.headers.get("authorization")}`, { status: 202 });
    },
  );
  try {
    const fetch = guarded(leading(server.addr.port, [ca!]));
    const post = { body: new Uint8Array(300_000), headers: { Authorization: "Bearer t0ken" } };
    const answer = await fetch("https://wallet.example.com/v1/metrics", { post });
    assert.deepEqual([answer.status, text(answer)], [202, "POST 300000 Bearer t0ken"]);
  } finally {
    await server.shutdown();
  }
});

Deno.test("guarded fetch: a server that speaks no TLS, or that never answers, is not waited for", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepted: Deno.Conn[] = [];
  const accepting = (async () => {
    for await (const conn of listener) {
      accepted.push(conn);
      if (accepted.length === 1) await conn.write(new TextEncoder().encode(OK));
    }
  })();
  try {
    const fetch = guarded(leading(listener.addr.port, [ca!]), 300);
    await fails(fetch("https://wallet.example.com/"), "unreachable");
    await fails(fetch("https://wallet.example.com/"), "timeout");
  } finally {
    listener.close();
    await accepting;
    for (const conn of accepted) conn.close();
  }
});
