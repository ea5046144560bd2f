import { createHash } from "node:crypto";

const PIECE = 1_048_576;

/**
 * SHA-256 of the program's file as it lies on the disk, in hex. In pieces: the file has 100 MB and shall not be in memory.
 * @returns `unknown` when it runs from source, where the file would be Deno's own, or when it may not be read there.
 */
export async function hashOfProgram(): Promise<string> {
  if (!Deno.build.standalone) return "unknown";
  try {
    return await hashOfFile(Deno.execPath());
  } catch (error) {
    // The permissions name the places where it is installed; elsewhere nobody can tell, and that is said.
    if (error instanceof Deno.errors.NotCapable || error instanceof Deno.errors.NotFound) return "unknown";
    throw error;
  }
}

/** SHA-256 of a file, in hex. */
export async function hashOfFile(path: string): Promise<string> {
  using file = await Deno.open(path, { read: true });
  const hash = createHash("sha256");
  const piece = new Uint8Array(PIECE);
  for (let count = await file.read(piece); count !== null; count = await file.read(piece)) {
    hash.update(piece.subarray(0, count));
  }
  return hash.digest("hex");
}
