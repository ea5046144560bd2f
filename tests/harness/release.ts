/** A small release in memory: stand-ins for the binaries, and everything that lies beside them for real. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import type { Place } from "@/lib/release/check.ts";
import { papersOf, type Source } from "@/lib/release/make.ts";
import { TEST_SECRET } from "@/lib/release/test-key.ts";

const hashOf = (bytes: Uint8Array) => bytesToHex(sha256(bytes));
const tool = (name: string) => ({ version: "1.0.0", sha256: hashOf(utf8ToBytes(name)) });

export const SOURCE: Source = {
  version: "1.2.3",
  commit: "0123456789abcdef0123456789abcdef01234567",
  lock: JSON.stringify({
    version: "5",
    npm: {
      "@a/b@2.0.0_c@1.0.0": { integrity: `sha512-${btoa("b".repeat(64))}`, dependencies: ["c"] },
      "c@1.0.0": { integrity: `sha512-${btoa("c".repeat(64))}` },
    },
    workspace: { dependencies: ["npm:@a/b@2.0.0"] },
  }),
  tools: { deno: tool("deno"), "denort-x86_64": tool("x"), "denort-aarch64": tool("a") },
  command: "deno task release",
};
export const BINARY = `timmy-${SOURCE.version}-x86_64-linux`;

/** Name → bytes of a whole release. */
export function releaseOf(
  source: Source = SOURCE,
  signer = { secret: TEST_SECRET, test: true },
): Map<string, Uint8Array> {
  const names = ["timmy", "timmyctl"].flatMap((it) =>
    ["x86_64", "aarch64"].map((arch) => `${it}-${source.version}-${arch}-linux`)
  );
  // An ELF header, and text behind it.
  const binaries = new Map(
    names.map((name) => [name, utf8ToBytes(`\x7fELF\x02\x01\x01${"\0".repeat(57)}${name.repeat(40)}`)]),
  );
  const hashes = new Map([...binaries].map(([name, bytes]) => [name, hashOf(bytes)]));
  const papers = papersOf(hashes, source, signer);
  return new Map([...binaries, ...[...papers].map(([name, text]) => [name, utf8ToBytes(text)] as const)]);
}

/** The files as a place to check. */
export const placeOfFiles = (files: ReadonlyMap<string, Uint8Array>): Place => ({
  names: () => Promise.resolve([...files.keys()].toSorted()),
  read: (name) => Promise.resolve(files.get(name) ?? null),
  hash: (name) => Promise.resolve(files.has(name) ? hashOf(files.get(name)!) : null),
});
