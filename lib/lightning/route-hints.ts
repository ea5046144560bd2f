import { bytesToHex } from "@noble/hashes/utils.js";

/** One private channel on the last part of a route to the payee (BOLT11, field `r`). */
export interface RouteHop {
  /** Public key of the node at the start of the channel, 66 hex digits: it is the one that takes the fee. */
  nodeId: string;
  /** `block x transaction x output`, e.g. `589390x3312x1`. */
  shortChannelId: string;
  /** Msat for each payment. */
  feeBaseMsat: number;
  /** Millionths of what the node passes on. */
  feePpm: number;
  /** Blocks. */
  cltvDelta: number;
}

/** A way to the payee that no public map shows: its hops, the one next to the payee last. */
export type RouteHint = readonly RouteHop[];

/** Bytes of one hop: key 33, channel 8, base 4, ppm 4, delta 2. */
const HOP_BYTES = 51;
const MILLION = 1_000_000n;

/** Reads the data of one `r` field. @returns null unless it is a whole number of hops. */
export function readRouteHint(data: Uint8Array): RouteHint | null {
  if (data.length % HOP_BYTES !== 0) return null;
  return Array.from({ length: data.length / HOP_BYTES }, (_, i) => {
    const hop = data.slice(i * HOP_BYTES, (i + 1) * HOP_BYTES);
    const view = new DataView(hop.buffer);
    const channel = view.getBigUint64(33);
    return {
      nodeId: bytesToHex(hop.subarray(0, 33)),
      shortChannelId: `${channel >> 40n}x${(channel >> 16n) & 0xffffffn}x${channel & 0xffffn}`,
      feeBaseMsat: view.getUint32(41),
      feePpm: view.getUint32(45),
      cltvDelta: view.getUint16(49),
    };
  });
}

/** What the hops of one `r` field look like in an invoice. @throws {RangeError} for a hop that no invoice can carry. */
export function writeRouteHint(hint: RouteHint): Uint8Array {
  const data = new Uint8Array(hint.length * HOP_BYTES);
  const view = new DataView(data.buffer);
  hint.forEach((hop, i) => {
    const at = i * HOP_BYTES;
    const [block, transaction, output] = hop.shortChannelId.split("x").map(BigInt);
    if (!/^0[23][0-9a-f]{64}$/.test(hop.nodeId) || output === undefined) {
      throw new RangeError("a hop of a route hint needs a public key and a channel like 589390x3312x1");
    }
    data.set(hop.nodeId.match(/../g)!.map((byte) => parseInt(byte, 16)), at);
    view.setBigUint64(at + 33, (block! << 40n) | (transaction! << 16n) | output);
    view.setUint32(at + 41, hop.feeBaseMsat);
    view.setUint32(at + 45, hop.feePpm);
    view.setUint16(at + 49, hop.cltvDelta);
  });
  return data;
}

/**
 * What the hops of one hint take to bring `amountMsat` to the payee (msat). By BOLT7 a node takes
 * `fee_base_msat + amount_to_forward × fee_proportional_millionths / 1,000,000`, so what a hop near the payee takes is
 * part of what the hops before it pass on. Each fee is rounded up.
 */
export function hintFeeMsat(hint: RouteHint, amountMsat: number): number {
  const amount = BigInt(amountMsat);
  const sent = hint.reduceRight(
    (passedOn, { feeBaseMsat, feePpm }) =>
      passedOn + BigInt(feeBaseMsat) + (passedOn * BigInt(feePpm) + MILLION - 1n) / MILLION,
    amount,
  );
  return Number(sent - amount);
}

/** What the cheapest of an invoice's hints takes (msat); 0 without hints, since a payee without them is found on the map. */
export const cheapestHintFeeMsat = (hints: readonly RouteHint[], amountMsat: number): number =>
  hints.length === 0 ? 0 : Math.min(...hints.map((hint) => hintFeeMsat(hint, amountMsat)));
