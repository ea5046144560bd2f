/** A key that signs releases made for trying: everybody has its secret, so a release it signed proves nothing about who made it. */
import { sha256 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import type { MinisignSecretKey } from "./minisign.ts";

export const TEST_SECRET: MinisignSecretKey = {
  id: utf8ToBytes("TESTtest"),
  seed: sha256(utf8ToBytes("timmy test key: everybody has it, so what it signs proves nothing")),
};
