/** A key that signs releases made for trying: everybody has its secret, so a release it signed proves nothing about who made it. */
import { sha256 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { ecdsaPublicOf } from "./cosign.ts";
import { type MinisignSecretKey, publicKeyOf, writePublicKey } from "./minisign.ts";
import type { ReleaseKey } from "./release-key.ts";
import { ecdsaSecretOf } from "./secret-key.ts";

export const TEST_SECRET: MinisignSecretKey = {
  id: utf8ToBytes("TESTtest"),
  seed: sha256(utf8ToBytes("timmy test key: everybody has it, so what it signs proves nothing")),
};

/** Its public halves; where a program takes them is decided in `release-key.ts`. */
export const TEST_KEY: ReleaseKey = {
  name: "test key",
  minisign: writePublicKey(publicKeyOf(TEST_SECRET)),
  ecdsa: ecdsaPublicOf(ecdsaSecretOf(TEST_SECRET)),
  test: true,
};
