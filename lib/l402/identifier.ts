/** The identifier inside a token (wire.md §2, as in bLIP-26): which payment it is for, and which token it is. Pure. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, concatBytes, hexToBytes } from "@noble/hashes/utils.js";

/** Both 64 lower-case hex digits. */
export interface TokenIdentity {
  paymentHash: string;
  /** 32 random bytes: two tokens for one payment are still two tokens. */
  tokenId: string;
}

const VERSION_BYTES = Uint8Array.of(0, 0);
const IDENTIFIER_BYTES = 66;
const HEX_32_BYTES = /^[0-9a-f]{64}$/i;

/** 66 bytes, big-endian: uint16 version 0, payment hash, token id. @throws {RangeError} when either is not 64 hex digits */
export function encodeIdentifier({ paymentHash, tokenId }: TokenIdentity): Uint8Array {
  return concatBytes(VERSION_BYTES, hashBytes(paymentHash, "paymentHash"), hashBytes(tokenId, "tokenId"));
}

/** @returns null when it has another length or another version than 0: not one of ours. */
export function decodeIdentifier(bytes: Uint8Array): TokenIdentity | null {
  if (bytes.length !== IDENTIFIER_BYTES || bytes[0] !== 0 || bytes[1] !== 0) return null;
  return { paymentHash: bytesToHex(bytes.subarray(2, 34)), tokenId: bytesToHex(bytes.subarray(34)) };
}

/** The name a token's root key is stored under: SHA-256 of the whole identifier, 64 hex digits. */
export function tokenHashOf(identifier: Uint8Array): string {
  return bytesToHex(sha256(identifier));
}

function hashBytes(hex: string, what: string): Uint8Array {
  if (!HEX_32_BYTES.test(hex)) throw new RangeError(`${what} must be 64 hex digits`);
  return hexToBytes(hex);
}
