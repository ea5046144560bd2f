/** What OpenSSH itself says to the keys that are made, taken and handed on here. */
import assert from "node:assert/strict";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";
import { knownHosts } from "./first-boot-report.ts";
import { newSshKeyPair } from "./ssh-key-pair.ts";
import { parseSshPublicKey } from "./ssh-public-key.ts";
import { toBase64 } from "./ssh-wire.ts";
import { inFolder, keygen, login, needs, run, startSshd } from "./testing/openssh.ts";
import { sampleKeys } from "./testing/sample-keys.ts";

const random = createSeededRandom(11);
const accepted = (text: string) => {
  const parsed = parseSshPublicKey(text);
  return parsed.ok ? parsed : assert.fail(parsed.message);
};
/** RSA keys take a second of arithmetic each: one is made, for the login. */
const QUICK_KEYS = [["ed25519"], ["ecdsa", "-b", "256"], ["ecdsa", "-b", "384"], ["ecdsa", "-b", "521"]];
const USER_KEYS = [...QUICK_KEYS, ["rsa", "-b", "3072"]];

Deno.test({
  ...await needs(
    "newSshKeyPair: ssh-keygen -y reads the private key and gives the public one, whatever its length",
    "ssh-keygen",
  ),
  fn: () =>
    inFolder(async (folder) => {
      for (let length = 1; length <= 9; length++) { // the format pads to a multiple of eight
        const pair = newSshKeyPair(random.bytes(32), "c".repeat(length));
        const path = `${folder}/${length}`;
        await Deno.writeTextFile(path, pair.privateKey, { mode: 0o600 });
        const { stdout, stderr } = await run("ssh-keygen", ["-y", "-f", path]);
        assert.equal(stdout.trim(), pair.publicKey, stderr);
        const printed = (await run("ssh-keygen", ["-l", "-f", path])).stdout;
        assert.deepEqual(printed.split(" ").slice(0, 2), ["256", pair.fingerprint]);
      }
    }),
});

Deno.test({
  ...await needs(
    "parseSshPublicKey: takes each kind of ssh-keygen's keys, with the fingerprint it prints",
    "ssh-keygen",
  ),
  fn: () =>
    inFolder(async (folder) => {
      const lines = Object.values(sampleKeys());
      for (const [at, type] of QUICK_KEYS.entries()) lines.push(await keygen(`${folder}/${at}`, type));
      for (const line of lines) {
        const parsed = accepted(line);
        await Deno.writeTextFile(`${folder}/line.pub`, parsed.key + "\n");
        const { stdout, stderr } = await run("ssh-keygen", ["-l", "-f", `${folder}/line.pub`]);
        assert.equal(stdout.split(" ")[1], parsed.fingerprint, `${line}${stderr}`);
      }
    }),
});

Deno.test({
  ...await needs("parseSshPublicKey: refuses what ssh-keygen makes that is no key for a node", "ssh-keygen"),
  fn: () =>
    inFolder(async (folder) => {
      const pub = await keygen(`${folder}/own`, ["ed25519"]);
      await keygen(`${folder}/ca`, ["ed25519"]);
      await run("ssh-keygen", ["-q", "-s", `${folder}/ca`, "-I", "me", "-n", "root", `${folder}/own.pub`]);
      const certificate = await Deno.readTextFile(`${folder}/own-cert.pub`);
      const privateKey = await Deno.readTextFile(`${folder}/own`);
      const asPem = (await run("ssh-keygen", ["-e", "-m", "RFC4716", "-f", `${folder}/own.pub`])).stdout;
      for (
        const [text, words] of [
          [certificate, /SSH certificate/],
          [privateKey, /PRIVATE key/],
          [privateKey + pub, /PRIVATE key/],
          [privateKey.split("\n").slice(1, -2).join("\n"), /PRIVATE key/],
          [asPem, /Convert it: ssh-keygen -i/],
          [pub + pub, /one line/],
        ] as const
      ) {
        const parsed = parseSshPublicKey(text);
        if (parsed.ok) assert.fail(text);
        assert.match(parsed.message, words);
        for (const line of text.split("\n").filter((line) => line.length > 40)) {
          assert.ok(!parsed.message.includes(line.slice(0, 20)) || line.includes("BEGIN"));
        }
      }
    }),
});

Deno.test({
  ...await needs(
    "a real sshd lets in the pair made here and a payer's own keys, and is known by knownHosts",
    "sshd",
    "ssh",
    "ssh-keygen",
  ),
  fn: () =>
    inFolder(async (folder) => {
      const ours = newSshKeyPair(random.bytes(32), "timmy-test");
      await Deno.writeTextFile(`${folder}/ours`, ours.privateKey, { mode: 0o600 });
      const authorized = [ours.publicKey];
      const identities = [`${folder}/ours`];
      for (const [at, type] of USER_KEYS.entries()) {
        authorized.push(accepted(await keygen(`${folder}/user-${at}`, type)).key);
        identities.push(`${folder}/user-${at}`);
      }
      const hostKeys = [];
      for (const type of ["ed25519", "ecdsa"]) hostKeys.push(await keygen(`${folder}/host-${type}`, [type]));
      // A server may have any RSA key: this one has the user's.
      for (const end of ["", ".pub"]) {
        await Deno.copyFile(`${folder}/user-${QUICK_KEYS.length}${end}`, `${folder}/host-rsa${end}`);
      }
      hostKeys.push(await Deno.readTextFile(`${folder}/host-rsa.pub`));
      const stranger = await keygen(`${folder}/stranger`, ["ed25519"]);
      await Deno.writeTextFile(`${folder}/known`, knownHosts("127.0.0.1", hostKeys).join("\n") + "\n");
      await Deno.writeTextFile(`${folder}/unknown`, knownHosts("127.0.0.1", [stranger]).join("\n") + "\n");

      const sshd = await startSshd(
        folder,
        authorized,
        ["ed25519", "ecdsa", "rsa"].map((type) => `${folder}/host-${type}`),
      );
      try {
        for (const identity of identities) {
          const { code, stdout, stderr } = await login(sshd.port, identity, `${folder}/known`);
          assert.deepEqual([code, stdout], [0, "in\n"], `${identity}: ${stderr}`);
        }
        const refused = await login(sshd.port, `${folder}/stranger`, `${folder}/known`);
        assert.match(refused.stderr, /Permission denied \(publickey\)/, "a key nobody authorised");
        const other = await login(sshd.port, `${folder}/ours`, `${folder}/unknown`);
        assert.match(other.stderr, /Host key verification failed/, "a server whose key is not in the lines");
        for (const line of knownHosts("127.0.0.1", hostKeys)) { // each of the lines by itself
          await Deno.writeTextFile(`${folder}/one`, line + "\n");
          const { stdout, stderr } = await login(sshd.port, `${folder}/ours`, `${folder}/one`);
          assert.equal(stdout, "in\n", `${line}: ${stderr}`);
        }
      } finally {
        await sshd.stop();
      }
    }),
});

Deno.test("newSshKeyPair: the same seed makes the same pair, and a wrong seed or comment is refused without showing it", () => {
  const seed = random.bytes(32);
  assert.deepEqual(newSshKeyPair(seed, "timmy"), newSshKeyPair(seed.slice(), "timmy"));
  assert.match(
    newSshKeyPair(seed, "timmy").privateKey,
    /^-----BEGIN OPENSSH PRIVATE KEY-----\n([A-Za-z0-9+/=]+\n)+-----END OPENSSH PRIVATE KEY-----\n$/,
  );
  assert.notEqual(newSshKeyPair(random.bytes(32), "timmy").publicKey, newSshKeyPair(seed, "timmy").publicKey);
  assert.equal(accepted(newSshKeyPair(seed, "timmy").publicKey).fingerprint, newSshKeyPair(seed, "timmy").fingerprint);
  for (const length of [0, 31, 33, 64]) {
    assert.throws(() => newSshKeyPair(random.bytes(length), "timmy"), /seed of an SSH key has 32 bytes/);
  }
  for (const comment of ["", "two words", "a\nb", "a\0", "ü", "c".repeat(65)]) {
    assert.throws(
      () => newSshKeyPair(seed, comment),
      (error: Error) => error instanceof RangeError && !error.message.includes(toBase64(seed).slice(0, 8)),
    );
  }
});
