// deno-lint-ignore-file no-console -- a command prints
/**
 * Changes one byte of a released binary at a time, every byte of its ELF header and others at random, and counts what the check of a
 * download lets pass: nothing. `deno task release:mutations` [--dist FOLDER] [--random N] [--seed S]. A change takes about 0.1 s.
 */
import { createHash } from "node:crypto";
import { placeOf } from "../cli/folder.ts";
import { checkRelease, type Place } from "../lib/release/check.ts";
import { Refused } from "../lib/release/refused.ts";
import { RELEASE_KEYS } from "../lib/release/release-key.ts";

/** How long the headers of a 64-bit ELF file are (bytes): its own 64, and the program headers behind it. */
function headerBytes(file: Uint8Array<ArrayBuffer>): number {
  const header = new DataView(file.buffer, 0, 64);
  return Number(header.getBigUint64(32, true)) + header.getUint16(54, true) * header.getUint16(56, true);
}

function optionsOf(args: readonly string[]): { dist: string; random: number; seed: number } | null {
  const options = { dist: "dist", random: 200, seed: Math.floor(Math.random() * 2 ** 31) };
  for (let i = 0; i < args.length; i += 2) {
    const value = args[i + 1] ?? "";
    if (args[i] === "--dist" && value) options.dist = value;
    else if (args[i] === "--random" && /^\d+$/.test(value)) options.random = Number(value);
    else if (args[i] === "--seed" && /^\d+$/.test(value)) options.seed = Number(value);
    else return null;
  }
  return options;
}

/** Mulberry32: whole numbers below `end`, the same for the same seed. */
function numbers(seed: number): (end: number) => number {
  let state = seed;
  return (end) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % end;
  };
}

async function main(args: readonly string[]): Promise<number> {
  const options = optionsOf(args);
  if (!options) {
    console.error("usage: deno task release:mutations [--dist FOLDER] [--random N] [--seed S]");
    return 2;
  }
  const { dist, random, seed } = options;
  const folder = placeOf(dist);
  const name = (await folder.names()).find((name) => /^timmy-.*-linux$/.test(name));
  if (!name) throw new Error(`${dist} has no binary: deno task release makes one`);
  const bytes = await Deno.readFile(`${dist}/${name}`);
  const place: Place = {
    ...folder,
    hash: (asked) =>
      asked === name ? Promise.resolve(createHash("sha256").update(bytes).digest("hex")) : folder.hash(asked),
  };
  await checkRelease(place, RELEASE_KEYS, name);
  const below = numbers(seed);
  const header = headerBytes(bytes);
  const positions = [
    ...Array.from({ length: header }, (_, i) => i),
    ...Array.from({ length: random }, () => below(bytes.length)),
  ];
  let passed = 0;
  for (const position of positions) {
    const bits = 1 + below(255);
    bytes[position] = bytes[position]! ^ bits;
    try {
      await checkRelease(place, RELEASE_KEYS, name);
      passed++;
      console.error(`byte ${position} changed, and nothing was said`);
    } catch (error) {
      if (!(error instanceof Refused) || error.reason !== "changed") throw error;
    }
    bytes[position] = bytes[position]! ^ bits;
  }
  console.log(
    `${name}: ${header} bytes of its headers and ${random} others changed (seed ${seed}), ${passed} let pass`,
  );
  return passed === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
