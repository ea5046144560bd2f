/** `SHA256SUMS` as `sha256sum` writes and checks it: hash, two spaces, name. */
import { Refused } from "./refused.ts";

const LINE = /^([0-9a-f]{64}) {2}([A-Za-z0-9][A-Za-z0-9._-]*)$/;

/** @param hashes name → SHA-256 in hex; names in order of their letters */
export const writeSums = (hashes: ReadonlyMap<string, string>): string =>
  [...hashes].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, hash]) => `${hash}  ${name}\n`).join("");

/** Name → SHA-256. Only what {@link writeSums} writes: no folder, no name twice, sorted. @throws {Refused} */
export function readSums(text: string): Map<string, string> {
  const hashes = new Map<string, string>();
  for (const line of text.split("\n").slice(0, -1)) {
    const [, hash, name] = LINE.exec(line) ?? [];
    if (!hash || !name) {
      throw new Refused("sums", `SHA256SUMS has a line that is no sum: ${JSON.stringify(line.slice(0, 80))}`);
    }
    hashes.set(name, hash);
  }
  if (hashes.size === 0 || writeSums(hashes) !== text) {
    throw new Refused("sums", "SHA256SUMS is empty, not sorted, or names a file twice");
  }
  return hashes;
}
