/** What lies beside the binaries of a release, made of their hashes and the source alone: the same every time. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { BUNDLE, commentOf, COSIGN_PUB, MINISIG, MINISIGN_PUB, PROVENANCE, sbomName, SUMS } from "./check.ts";
import { ecdsaPublicOf, publicKeyPem, signCosign } from "./cosign.ts";
import { type MinisignSecretKey, publicKeyFile, publicKeyOf, signMinisign } from "./minisign.ts";
import { writeProvenance } from "./provenance.ts";
import { type About, writeSbom } from "./sbom.ts";
import { ecdsaSecretOf } from "./secret-key.ts";
import { writeSums } from "./sums.ts";

/** What a release is made of. */
export interface Source extends About {
  /** Text of `deno.lock`. */
  lock: string;
  /** What anybody runs to make it again. */
  command: string;
}

/**
 * SBOM, provenance, sums, signatures and public keys: name → text.
 *
 * @param binaries name → SHA-256 in hex
 * @param test whether `secret` is the test key
 */
export function papersOf(
  binaries: ReadonlyMap<string, string>,
  { version, commit, lock, tools, command }: Source,
  { secret, test }: { secret: MinisignSecretKey; test: boolean },
): Map<string, string> {
  const hashOf = (text: string) => bytesToHex(sha256(utf8ToBytes(text)));
  const within = Object.fromEntries(Object.entries(tools).filter(([name]) => name.startsWith("denort")));
  const sbom = writeSbom(lock, { version, commit, tools: within });
  const subjects = new Map([...binaries, [sbomName(version), hashOf(sbom)]]);
  const provenance = writeProvenance(subjects, { version, commit, lock: hashOf(lock), tools, command });
  const sums = writeSums(new Map([...subjects, [PROVENANCE, hashOf(provenance)]]));
  const ecdsa = ecdsaSecretOf(secret);
  return new Map([
    [sbomName(version), sbom],
    [PROVENANCE, provenance],
    [SUMS, sums],
    [MINISIG, signMinisign(secret, utf8ToBytes(sums), commentOf(version, commit, test))],
    [BUNDLE, signCosign(ecdsa, utf8ToBytes(sums))],
    [MINISIGN_PUB, publicKeyFile(publicKeyOf(secret))],
    [COSIGN_PUB, publicKeyPem(ecdsaPublicOf(ecdsa))],
  ]);
}
