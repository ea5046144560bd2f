import assert from "node:assert/strict";
import { p256 } from "@noble/curves/nist.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { hasProgram, shell } from "@/tests/harness/shell.ts";
import { ecdsaPublicOf, publicKeyPem, signCosign, verifyCosign } from "./cosign.ts";
import { base64Of, bytesOfBase64 } from "./refused.ts";

const secret = new Uint8Array(32).fill(3);
const point = ecdsaPublicOf(secret);
const file = utf8ToBytes("a file\n");
const bundle = signCosign(secret, file);
const signatureOf = (text: string) => bytesOfBase64(JSON.parse(text).messageSignature.signature)!;
const withSignature = (bytes: Uint8Array) => bundle.replace(base64Of(signatureOf(bundle)), base64Of(bytes));

Deno.test("cosign: a bundle is good for its file and key, and for no other", () => {
  verifyCosign(point, file, bundle);
  const other = new Uint8Array(32).fill(4);
  assert.throws(() => verifyCosign(ecdsaPublicOf(other), file, bundle), { name: "Refused" });
  assert.throws(() => verifyCosign(point, utf8ToBytes("a fild\n"), bundle), { name: "Refused" });
  // The signature of another file in the place of the right one.
  const theirs = withSignature(signatureOf(signCosign(secret, utf8ToBytes("another\n"))));
  assert.throws(() => verifyCosign(point, file, theirs), /signature is not of this file/);
});

Deno.test("cosign: the bundle has the fields of v0.3 and no log that would need a network", () => {
  const { mediaType, verificationMaterial, messageSignature } = JSON.parse(bundle);
  assert.equal(mediaType, "application/vnd.dev.sigstore.bundle.v0.3+json");
  assert.deepEqual(Object.keys(verificationMaterial), ["publicKey"]);
  assert.equal(messageSignature.messageDigest.algorithm, "SHA2_256");
});

Deno.test("cosign: every letter of a bundle counts", () => {
  for (let at = 0; at < bundle.length; at++) {
    for (const bit of [1, 4, 32]) {
      const other = bundle.slice(0, at) + String.fromCharCode(bundle.charCodeAt(at) ^ bit) + bundle.slice(at + 1);
      assert.throws(() => verifyCosign(point, file, other), { name: "Refused" }, `letter ${at}`);
    }
  }
  for (const bytes of [new Uint8Array(), new Uint8Array(70), signatureOf(bundle).slice(0, -1)]) {
    assert.throws(() => verifyCosign(point, file, withSignature(bytes)), { name: "Refused" });
  }
});

Deno.test("cosign: both signatures that ECDSA allows are taken, since other signers do not choose the low one", () => {
  const { r, s } = p256.Signature.fromBytes(signatureOf(bundle), "der");
  const high = new p256.Signature(r, p256.Point.Fn.ORDER - s).toBytes("der");
  verifyCosign(point, file, withSignature(high));
});

Deno.test({
  name: "cosign: openssl takes signature and key, and makes some that are taken (needs openssl)",
  ignore: !hasProgram("openssl"),
  async fn() {
    const folder = await Deno.makeTempDir();
    await Deno.writeFile(`${folder}/f`, file);
    await Deno.writeFile(`${folder}/sig`, signatureOf(bundle));
    await Deno.writeTextFile(`${folder}/k.pub`, publicKeyPem(point));
    assert.match(await shell("openssl dgst -sha256 -verify k.pub -signature sig f", folder), /Verified OK/);

    await shell(
      "openssl ecparam -genkey -name prime256v1 -noout -out k && openssl dgst -sha256 -sign k -out theirs f",
      folder,
    );
    await shell("openssl ec -in k -pubout -outform DER -out k.der", folder);
    const theirs = (await Deno.readFile(`${folder}/k.der`)).slice(-65).toHex();
    const pem = await shell("openssl ec -pubin -inform DER -in k.der 2>/dev/null", folder);
    assert.equal(pem, publicKeyPem(theirs));
    const made = signCosign(secret, file);
    assert.throws(() => verifyCosign(theirs, file, made), { name: "Refused" });
    await Deno.remove(folder, { recursive: true });
  },
});
