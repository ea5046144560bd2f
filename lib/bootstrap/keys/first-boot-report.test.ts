import assert from "node:assert/strict";
import { ed25519 } from "@noble/curves/ed25519.js";
import fc from "fast-check";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";
import { knownHosts, MAX_REPORT_BYTES, verifyReport } from "./first-boot-report.ts";
import { fromStrictBase64, toBase64 } from "./ssh-wire.ts";
import { inFolder, keygen, needs, run } from "./testing/openssh.ts";
import { lineOf, modulus, sampleKeys } from "./testing/sample-keys.ts";
import { armored, signatureBlob, type SignatureParts } from "./testing/signed-report.ts";

const NOW = Date.UTC(2026, 10, 28, 12);
const MINUTE = 60_000;
const SEED = createSeededRandom(3).bytes(32);
const nodeKey = lineOf("ssh-ed25519", ed25519.getPublicKey(SEED));
const HOST_KEYS = sampleKeys();

const good = {
  at: NOW,
  sshHostKeys: [`${HOST_KEYS["ssh-ed25519"]} root@node`, HOST_KEYS["ecdsa-sha2-nistp256"], HOST_KEYS["ssh-rsa"]],
  nodeKey: `${nodeKey} timmy-node`,
  tailscaleHostname: "timmy-0abc.tail1234.ts.net",
  lnbitsUrl: "http://timmy-0abc.tail1234.ts.net:5000/",
  services: { bitcoind: "syncing", lnd: "ready", lnbits: "answers" },
};
const bytesOf = (body: unknown) => new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body));
const textBase64 = (text: string) => toBase64(new TextEncoder().encode(text));
const headerOf = (body: Uint8Array, parts?: Partial<SignatureParts>, seed = SEED) =>
  textBase64(armored(signatureBlob(seed, body, parts)));

const check = (body: unknown, now = NOW) => verifyReport(bytesOf(body), headerOf(bytesOf(body)), now);
const taken = (body: unknown, now = NOW) => {
  const checked = check(body, now);
  return checked.ok ? checked.report : assert.fail(checked.message);
};
/** `code: message` of a refusal. */
const fault = (checked: ReturnType<typeof verifyReport>) =>
  checked.ok ? assert.fail("taken") : `${checked.code}: ${checked.message}`;
const faultOf = (change: Record<string, unknown>, now = NOW) => fault(check({ ...good, ...change }, now));

Deno.test("verifyReport: a signed report, its keys without comments and its address without a path", () => {
  const expected = {
    ...good,
    sshHostKeys: [HOST_KEYS["ssh-ed25519"], HOST_KEYS["ecdsa-sha2-nistp256"], HOST_KEYS["ssh-rsa"]],
    nodeKey,
    lnbitsUrl: "http://timmy-0abc.tail1234.ts.net:5000",
  };
  assert.deepEqual(taken(good), expected);
  assert.deepEqual(taken({ ...good, at: "2026-11-28T12:00:00Z" }), expected);
  assert.deepEqual(taken({ ...good, at: "2026-11-28T13:00:00.000+01:00" }), expected);
  const bare = { ...expected, tailscaleHostname: null, lnbitsUrl: null, services: {} };
  assert.deepEqual(taken(bare), bare);
});

Deno.test("verifyReport: the signature's file in base64 on one line, or what its armor holds, and no other spelling", () => {
  const body = bytesOf(good);
  const blob = signatureBlob(SEED, body);
  const file = armored(blob);
  for (
    const header of [
      textBase64(file),
      textBase64(file.trim()),
      textBase64(file.replaceAll("\n", "\r\n")),
      toBase64(blob),
    ]
  ) {
    assert.ok(verifyReport(body, header, NOW).ok, header);
  }
  assert.ok(verifyReport(body, textBase64(armored(blob, 64)), NOW).ok, "another width");
  for (
    const header of [
      "",
      file,
      textBase64(file).slice(0, -8),
      `${textBase64(file)}\n`,
      textBase64(`${file}${file}`),
      textBase64(`x${file}`),
      textBase64(file.replace("SIGNATURE", "MESSAGE")),
      textBase64(textBase64(file)),
      toBase64(Uint8Array.of(0, ...blob)),
      "A".repeat(5_000),
    ]
  ) assert.match(fault(verifyReport(body, header, NOW)), /^report_signature: The signature is refused/);
});

Deno.test("verifyReport: each part of the signature counts", () => {
  const body = bytesOf(good);
  for (const parts of [{ hash: "sha256" }, { reserved: "kept for later" }]) {
    assert.ok(verifyReport(body, headerOf(body, parts), NOW).ok, JSON.stringify(parts));
  }
  const other = ed25519.getPublicKey(createSeededRandom(4).bytes(32));
  for (
    const [parts, words] of [
      [{ magic: "SSHSIX" }, /SSHSIG/],
      [{ version: 2 }, /version/],
      [{ version: 0 }, /version/],
      [{ keyType: "ssh-rsa" }, /its key is not ssh-ed25519/],
      [{ namespace: "file" }, /namespace/],
      [{ namespace: "" }, /namespace/],
      [{ namespace: "timmy-first-boot2" }, /namespace/],
      [{ namespace: "Timmy-first-boot" }, /namespace/],
      [{ hash: "sha1" }, /sha512 nor sha256/],
      [{ hash: "toString" }, /sha512 nor sha256/],
      [{ signatureType: "ssh-rsa" }, /not an ssh-ed25519 signature/],
      [{ bent: (bytes: Uint8Array) => bytes.with(0, bytes[0]! ^ 1) }, /does not belong/],
      [{ bent: (bytes: Uint8Array) => bytes.subarray(1) }, /does not belong/],
      [{ bent: () => new Uint8Array(64) }, /does not belong/],
      [{ bent: (bytes: Uint8Array) => Uint8Array.of(...other, ...bytes.subarray(32)) }, /does not belong/],
      [{ behind: Uint8Array.of(0) }, /behind its end/],
      [{ inside: Uint8Array.of(0) }, /behind its end/],
      [{ reserved: "x".repeat(4_096) }, /not the base64/], // longer than any that ssh-keygen writes
    ] as [Partial<SignatureParts>, RegExp][]
  ) {
    const said = fault(verifyReport(body, headerOf(body, parts), NOW));
    assert.match(said, /^report_signature/);
    assert.match(said, words);
  }
});

Deno.test("verifyReport: any byte of the body or of the signature changed is refused", () => {
  const body = bytesOf(good);
  const blob = signatureBlob(SEED, body);
  const header = toBase64(blob);
  fc.assert(fc.property(fc.nat(body.length - 1), fc.integer({ min: 1, max: 255 }), (at, bits) => {
    assert.match(fault(verifyReport(body.with(at, body[at]! ^ bits), header, NOW)), /^report_signature/);
  }));
  for (let at = 0; at < blob.length; at++) {
    assert.match(fault(verifyReport(body, toBase64(blob.with(at, blob[at]! ^ 1)), NOW)), /^report_signature/, `${at}`);
    assert.match(fault(verifyReport(body, toBase64(blob.subarray(0, at)), NOW)), /^report_signature/);
  }
});

Deno.test("verifyReport: nobody else signs for the nodeKey of a report", () => {
  const body = bytesOf(good);
  const stranger = createSeededRandom(9).bytes(32);
  assert.match(fault(verifyReport(body, headerOf(body, {}, stranger), NOW)), /^report_key/);
  assert.match(faultOf({ nodeKey: HOST_KEYS["ssh-ed25519"] }), /^report_key/);
  assert.match(
    faultOf({ nodeKey: HOST_KEYS["ecdsa-sha2-nistp256"] }),
    /^report_malformed: .*nodeKey: must be one of ssh-ed25519/,
  );
  assert.match(faultOf({ nodeKey: "" }), /^report_malformed: .*nodeKey/);
});

Deno.test("verifyReport: at most 15 minutes before or after", () => {
  for (const skew of [-15 * MINUTE, 0, 15 * MINUTE]) assert.equal(taken(good, NOW + skew).at, NOW);
  for (const skew of [-15 * MINUTE - 1, 15 * MINUTE + 1, 1e12]) {
    assert.match(fault(check(good, NOW + skew)), /^report_time/);
  }
  assert.match(faultOf({ at: NOW / 1000 }), /^report_time/, "seconds for ms");
  for (const at of [null, "", "yesterday", "2026-11-28 12:00", "2026-11-28T12:00:00", -1, 1.5, "1e999", [NOW]]) {
    assert.match(faultOf({ at }), /^report_malformed: The report's at: /, JSON.stringify(at));
  }
});

Deno.test("verifyReport: fields that are missing, unknown or of another shape are named", () => {
  for (const field of Object.keys(good)) {
    const { [field]: _, ...rest } = good as Record<string, unknown>;
    assert.match(fault(check(rest)), new RegExp(`^report_malformed: The report's ${field}: `));
  }
  for (const field of ["extra", "adminMacaroon", "At", "constructor"]) {
    assert.match(faultOf({ [field]: 1 }), new RegExp(`^report_malformed: .*"${field}"`));
  }
  assert.match(fault(check(JSON.stringify(good).replace("{", '{"__proto__":{},'))), /^report_malformed: .*__proto__/);
  const many = (count: number) => Array(count).fill(HOST_KEYS["ssh-ed25519"]);
  assert.equal(taken({ ...good, sshHostKeys: many(8) }).sshHostKeys.length, 8);
  const services = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`s${at}`, "up"]));
  assert.equal(Object.keys(taken({ ...good, services: services(32) }).services).length, 32);
  for (
    const [change, field] of [
      [{ sshHostKeys: [] }, "sshHostKeys"],
      [{ sshHostKeys: many(9) }, "sshHostKeys"],
      [{ sshHostKeys: HOST_KEYS["ssh-ed25519"] }, "sshHostKeys"],
      [{ sshHostKeys: ["ssh-ed25519 AAAA"] }, "sshHostKeys.0"],
      [{ sshHostKeys: [nodeKey, `@cert-authority * ${nodeKey}`] }, "sshHostKeys.1"],
      [{ sshHostKeys: [`${nodeKey}\n* ${nodeKey}`] }, "sshHostKeys.0"],
      [{ sshHostKeys: [HOST_KEYS["sk-ssh-ed25519@openssh.com"]] }, "sshHostKeys.0"],
      [{ sshHostKeys: [lineOf("ssh-rsa", Uint8Array.of(1, 0, 1), modulus(2048))] }, "sshHostKeys.0"],
      [{ services: null }, "services"],
      [{ services: [] }, "services"],
      [{ services: { lnd: 1 } }, "services.lnd"],
      [{ services: { lnd: "a\nb" } }, "services.lnd"],
      [{ services: { lnd: "x".repeat(201) } }, "services.lnd"],
      [{ services: { "<b>": "up" } }, "services"],
      [{ services: services(33) }, "services"],
      ...["", "a b", "-a", "a..b", "a.", ".a", "A", "a_b", "ä", "a".repeat(64), "a\n", `${"a.".repeat(127)}a`, 1]
        .map((tailscaleHostname) => [{ tailscaleHostname, lnbitsUrl: null }, "tailscaleHostname"] as const),
    ] as [Record<string, unknown>, string][]
  ) {
    const said = faultOf(change);
    assert.ok(
      said.startsWith(`report_malformed: The report's ${field}`),
      `${JSON.stringify(change).slice(0, 90)} ${said}`,
    );
  }
});

Deno.test("verifyReport: lnbitsUrl leads to the node: over loopback, or its name or an address in its tailnet", () => {
  const host = good.tailscaleHostname;
  for (
    const [lnbitsUrl, tailscaleHostname] of [
      ["http://127.0.0.1:5000", null],
      ["http://localhost:5000", null],
      ["http://[::1]:5000", null],
      [`https://${host}`, host],
      ["https://timmy-0abc.tail1234.ts.net", "timmy-0abc"],
      ["http://timmy-0abc:5000", "timmy-0abc"],
      ["http://100.64.0.1:5000", host],
      ["http://100.127.255.254", host],
      ["http://127.0.0.1:5000", host],
    ] as const
  ) assert.equal(taken({ ...good, lnbitsUrl, tailscaleHostname }).lnbitsUrl, lnbitsUrl);
  for (
    const [lnbitsUrl, tailscaleHostname] of [
      ["", null],
      ["127.0.0.1:5000", null],
      ["ftp://127.0.0.1", null],
      ["javascript:alert(1)", null],
      ["http://127.0.0.1:5000/wallet?usr=secret", null],
      ["http://127.0.0.1:5000/wallet", null],
      ["http://127.0.0.1:5000/#x", null],
      ["http://admin:pass@127.0.0.1:5000", null],
      ["http://203.0.113.7:5000", host],
      ["http://10.0.0.1", host],
      ["http://100.63.255.255", host],
      ["http://100.128.0.1", host],
      ["http://100.64.0.1", null],
      [`https://${host}`, null],
      [`https://other.tail1234.ts.net`, host],
      [`https://${host}.evil.example`, host],
      ["https://timmy-0abc.tail9999.ts.net", host],
      ["https://timmy-0abc.ts.net.evil.example", "timmy-0abc"],
      ["https://timmy-0abc.evil.example", "timmy-0abc"],
    ] as const
  ) assert.match(faultOf({ lnbitsUrl, tailscaleHostname }), /^report_malformed: The report's lnbitsUrl/, lnbitsUrl);
});

Deno.test("verifyReport: no JSON, another JSON, no UTF-8, too much of it", () => {
  for (const body of ["", "{", "null", "[]", '"x"', "1", `\ufeff\ufeff${JSON.stringify(good)}`]) {
    assert.match(fault(check(body)), /^report_malformed/);
  }
  const latin1 = Uint8Array.of(...bytesOf('{"at":"'), 0xe9, ...bytesOf('"}'));
  assert.match(
    fault(verifyReport(latin1, headerOf(latin1), NOW)),
    /^report_malformed: The report is not JSON in UTF-8/,
  );
  const text = JSON.stringify(good);
  assert.deepEqual(taken(text.padEnd(MAX_REPORT_BYTES)), taken(good));
  assert.match(fault(check(text.padEnd(MAX_REPORT_BYTES + 1))), /^report_too_large/);
});

Deno.test("knownHosts: one line for each key, for an address only", () => {
  for (const ip of ["203.0.113.7", "2001:db8::7"]) {
    assert.deepEqual(knownHosts(ip, [`${nodeKey} comment`]), [`${ip} ${nodeKey}`]);
  }
  for (
    const ip of [
      "",
      "*",
      "!203.0.113.7",
      "203.0.113.7,*",
      "203.0.113.7 x",
      "example.org",
      "203.0.113",
      "999.1.1.1",
      ":::1",
      "1.2.3.4\n*",
      "::1\n*",
      "[::1]",
      "203.0.113.7:22",
    ]
  ) {
    assert.throws(() => knownHosts(ip, [nodeKey]), RangeError, ip);
  }
  assert.throws(() => knownHosts("203.0.113.7", [`${nodeKey}\n* ${nodeKey}`]), RangeError);
});

Deno.test({
  ...await needs(
    "verifyReport: a body that ssh-keygen -Y sign signed, and each way in which it is tampered with",
    "ssh-keygen",
  ),
  fn: () =>
    inFolder(async (folder) => {
      const own = await keygen(`${folder}/own`, ["ed25519"]);
      await keygen(`${folder}/other`, ["ed25519"]);
      await keygen(`${folder}/ecdsa`, ["ecdsa"]);
      const body = bytesOf({ ...good, nodeKey: own.trim() });
      const sign = async (key: string, namespace: string, ...options: string[]) => {
        const args = ["-q", "-Y", "sign", "-f", `${folder}/${key}`, "-n", namespace, ...options];
        const { stdout, stderr } = await run("ssh-keygen", args, body);
        return stdout === "" ? assert.fail(stderr) : textBase64(stdout);
      };
      const header = await sign("own", "timmy-first-boot");
      for (const each of [header, await sign("own", "timmy-first-boot", "-O", "hashalg=sha256")]) {
        const checked = verifyReport(body, each, NOW);
        assert.equal(checked.ok && `${checked.report.nodeKey} someone@here`, own.trim());
      }
      const inner = atob(header).split("\n").slice(1, -2).join("");
      assert.ok(verifyReport(body, inner, NOW).ok);
      const changed = fromStrictBase64(inner)!;
      changed[changed.length - 1]! ^= 1;
      const spaced = bytesOf(new TextDecoder().decode(body) + " ");
      for (
        const [bytes, each, words] of [
          [body, await sign("own", "file"), /^report_signature: .*namespace/],
          [body, await sign("other", "timmy-first-boot"), /^report_key/],
          [body, await sign("ecdsa", "timmy-first-boot"), /^report_signature: .*not ssh-ed25519/],
          [body, toBase64(changed), /^report_signature: .*does not belong/],
          [spaced, header, /^report_signature: .*does not belong/],
        ] as const
      ) assert.match(fault(verifyReport(bytes, each, NOW)), words);
    }),
});

Deno.test({
  ...await needs("the signatures these tests make are those that ssh-keygen -Y verify takes", "ssh-keygen"),
  fn: () =>
    inFolder(async (folder) => {
      const body = bytesOf(good);
      await Deno.writeTextFile(`${folder}/signers`, `node ${nodeKey}\n`);
      await Deno.writeTextFile(`${folder}/sig`, armored(signatureBlob(SEED, body)));
      const args = [
        "-Y",
        "verify",
        "-f",
        `${folder}/signers`,
        "-I",
        "node",
        "-n",
        "timmy-first-boot",
        "-s",
        `${folder}/sig`,
      ];
      const { code, stderr } = await run("ssh-keygen", args, body);
      assert.equal(code, 0, stderr);
    }),
});
