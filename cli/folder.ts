import { createHash } from "node:crypto";
import type { Place } from "@/lib/release/check.ts";
import { Refused } from "@/lib/release/refused.ts";

/** Papers are small; what is larger is no paper (bytes). */
const MAX_PAPER = 4 * 1024 * 1024;
const PIECE = 1024 * 1024;

/** A folder on this machine. Large files are read piece by piece: a binary whole in memory would be 100 MB. */
export function placeOf(folder: string): Place {
  const orNull = async <T>(reading: Promise<T>): Promise<T | null> => {
    try {
      return await reading;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      throw error;
    }
  };
  const at = (name: string) => `${folder}/${name}`;
  return {
    names: async () => (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).toSorted(),
    read: (name) =>
      orNull((async () => {
        const { size } = await Deno.stat(at(name));
        if (size > MAX_PAPER) throw new Refused("sums", `${name} has ${size} bytes, more than such a file ever has`);
        return await Deno.readFile(at(name));
      })()),
    hash: (name) => orNull(hashOf(at(name))),
  };
}

/** SHA-256 of a file, in hex. */
export async function hashOf(path: string): Promise<string> {
  using file = await Deno.open(path);
  const hash = createHash("sha256");
  const piece = new Uint8Array(PIECE);
  for (let n = await file.read(piece); n !== null; n = await file.read(piece)) hash.update(piece.subarray(0, n));
  return hash.digest("hex");
}
