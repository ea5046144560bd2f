import type { Random } from "@/lib/ids.ts";

/**
 * Bytes that the seed alone decides (mulberry32 by Tommy Ettinger, public domain): a test that failed can be run again.
 * Anybody can predict them, so never outside tests.
 */
export function createSeededRandom(seed: number): Random {
  let state = seed >>> 0;
  const word = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  return {
    bytes(length) {
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length; at += 4) {
        const value = word();
        for (let i = 0; i < 4 && at + i < length; i++) bytes[at + i] = value >>> (8 * i);
      }
      return bytes;
    },
  };
}
