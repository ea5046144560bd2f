/** Whether a release is what it says: signature first, then sums, then what the other files say of one another. */
import { type MinisignPublicKey, publicKeyFile, readPublicKey, verifyMinisign } from "./minisign.ts";
import { publicKeyPem, verifyCosign } from "./cosign.ts";
import { checkProvenance } from "./provenance.ts";
import { Refused, textOfUtf8 } from "./refused.ts";
import type { ReleaseKey } from "./release-key.ts";
import { checkSbom } from "./sbom.ts";
import { readSums } from "./sums.ts";
import { isVersion } from "./version.rules.ts";

/** Where a release lies: a folder, or anything that has names and bytes. */
export interface Place {
  names(): Promise<readonly string[]>;
  /** A small file whole; null when it is not there. */
  read(name: string): Promise<Uint8Array | null>;
  /** SHA-256 in hex; null when it is not there. */
  hash(name: string): Promise<string | null>;
}

/** A release that is good. */
export interface Checked {
  version: string;
  commit: string;
  key: ReleaseKey;
  /** Name → SHA-256 in hex, of what was compared with its sum. */
  files: ReadonlyMap<string, string>;
  /** What of it was checked beside signature and sums. */
  also: readonly string[];
}

export const SUMS = "SHA256SUMS";
export const MINISIG = `${SUMS}.minisig`;
export const BUNDLE = `${SUMS}.sigstore.json`;
export const MINISIGN_PUB = "minisign.pub";
export const COSIGN_PUB = "cosign.pub";
export const PROVENANCE = "provenance.json";
export const sbomName = (version: string): string => `timmy-${version}.cdx.json`;
/** What no sum covers, because it is made of the sums. */
const BESIDE = [SUMS, MINISIG, BUNDLE, MINISIGN_PUB, COSIGN_PUB];
const TEST = "; signed by the test key";

/** The trusted comment of a release. */
export const commentOf = (version: string, commit: string, test: boolean): string =>
  `timmy ${version} commit ${commit}${test ? TEST : ""}`;

/**
 * Checks a release.
 *
 * @param keys those accepted
 * @param only one file of it: the others may be missing, and strangers may lie beside it. Null: all of it, and nothing else
 * @throws {Refused} with the first thing that is wrong
 */
export async function checkRelease(place: Place, keys: readonly ReleaseKey[], only: string | null): Promise<Checked> {
  const { sums, signed, key, version, commit } = await checkSignature(place, keys);
  const also: string[] = [];
  const bundle = await place.read(BUNDLE);
  if (bundle) {
    verifyCosign(key.ecdsa, signed, text(bundle, "bundle", BUNDLE));
    also.push("cosign bundle");
  }
  await checkPublicKeys(place, key);
  if (only === null) await checkNothingElse(place, sums);
  else if (!sums.has(only)) {
    throw new Refused("unlisted", `${SUMS} does not list ${only}: keep the names of the download`);
  }

  const files = new Map<string, string>();
  for (const [name, sum] of sums) {
    if (only !== null && name !== only && name !== PROVENANCE && name !== sbomName(version)) continue;
    const hash = await place.hash(name);
    if (hash === null && only !== null && name !== only) continue;
    if (hash === null) throw new Refused("missing", `${name} is listed and not there`);
    if (hash !== sum) {
      throw new Refused("changed", `${name} is not the one that was signed: its SHA-256 is ${hash}, not ${sum}`);
    }
    files.set(name, hash);
  }
  also.push(...await checkPapers(place, sums, files, { version, commit }));
  return { version, commit, key, files, also };
}

/** Sums that one of the keys signed, and what the trusted comment says of them. */
async function checkSignature(place: Place, keys: readonly ReleaseKey[]) {
  const [signed, signature] = [await place.read(SUMS), await place.read(MINISIG)];
  if (!signature) throw new Refused("unsigned", `there is no ${MINISIG} beside it: nothing says who made it`);
  if (!signed) throw new Refused("missing", `there is no ${SUMS} beside it`);
  const known = keys.map((it): MinisignPublicKey & { of: ReleaseKey } => ({ ...readPublicKey(it.minisign), of: it }));
  const { key: { of: key }, comment } = verifyMinisign(known, signed, text(signature, "signature", MINISIG));
  const [, version = "", commit = ""] = /^timmy (\S+) commit ([0-9a-f]{40})/.exec(comment) ?? [];
  if (!isVersion(version) || comment !== commentOf(version, commit, key.test)) {
    throw new Refused("comment", `the trusted comment names no version and commit of timmy: ${comment}`);
  }
  return { sums: readSums(text(signed, "sums", SUMS)), signed, key, version, commit };
}

/** Keys that lie beside a release prove nothing, but somebody may use them: they are the accepted ones or none. */
async function checkPublicKeys(place: Place, key: ReleaseKey): Promise<void> {
  const right = { [MINISIGN_PUB]: publicKeyFile(readPublicKey(key.minisign)), [COSIGN_PUB]: publicKeyPem(key.ecdsa) };
  for (const [name, wanted] of Object.entries(right)) {
    const bytes = await place.read(name);
    if (bytes && text(bytes, "public-key", name) !== wanted) {
      throw new Refused("public-key", `${name} is not the key that signed this release`);
    }
  }
}

async function checkNothingElse(place: Place, sums: ReadonlyMap<string, string>): Promise<void> {
  const stranger = (await place.names()).find((name) => !sums.has(name) && !BESIDE.includes(name));
  if (stranger !== undefined) {
    throw new Refused(
      "unlisted",
      `${stranger} lies there and is no part of the release; name one file to check only that`,
    );
  }
}

/** SBOM and provenance, where they are there. */
async function checkPapers(
  place: Place,
  sums: ReadonlyMap<string, string>,
  files: ReadonlyMap<string, string>,
  release: { version: string; commit: string },
): Promise<string[]> {
  const also: string[] = [];
  const sbom = sbomName(release.version);
  if (!sums.has(sbom)) throw new Refused("sbom", `${SUMS} lists no ${sbom}`);
  if (!sums.has(PROVENANCE)) throw new Refused("provenance", `${SUMS} lists no ${PROVENANCE}`);
  const read = async (name: string) => files.has(name) ? await place.read(name) : null;
  const [sbomBytes, statement] = [await read(sbom), await read(PROVENANCE)];
  let lock: string | null = null;
  if (sbomBytes) {
    const found = checkSbom(text(sbomBytes, "sbom", sbom), release);
    lock = found.lock;
    also.push(`SBOM of ${found.components} components`);
  }
  if (statement) {
    const about = new Map([...sums].filter(([name]) => name !== PROVENANCE));
    checkProvenance(text(statement, "provenance", PROVENANCE), about, { ...release, lock });
    also.push("provenance");
  }
  return also;
}

function text(
  bytes: Uint8Array,
  reason: "sums" | "signature" | "bundle" | "public-key" | "sbom" | "provenance",
  name: string,
): string {
  const text = textOfUtf8(bytes);
  if (text === null) throw new Refused(reason, `${name} is not text`);
  return text;
}
