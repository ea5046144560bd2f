/** A Nostr key that talks to an instance: signs in, and signs requests. */
import assert from "node:assert/strict";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { getPublicKey } from "nostr-tools/pure";
import type { NostrEvent } from "@/lib/nostr/event.ts";
import { ALICE, nostrHeader, sign, type Template } from "../fixtures/nostr/sign.ts";
import type { Call } from "./payer.ts";
import type { World } from "./world.ts";

export type SecretKey = typeof ALICE;

export const pubkeyOf = (key: SecretKey): string => getPublicKey(key);
export const bearing = (token: string) => ({ "x-nostr-token": token });

const seconds = (world: World) => Math.floor(world.clock.now() / 1_000);

/** The event that answers a challenge, as a signer that means this instance makes it. */
export function answerTo(
  world: World,
  nonce: string,
  { key = ALICE, ...change }: Partial<Template> & { key?: SecretKey } = {},
): NostrEvent {
  const tags = [["u", world.deps.settings.publicOrigin], ["method", "POST"]];
  return sign({ kind: 27_235, created_at: seconds(world), tags, content: nonce, ...change }, key);
}

export async function newNonce(call: Call): Promise<string> {
  const { status, body } = await call("POST", "/api/identity/challenge");
  assert.equal(status, 200, JSON.stringify(body));
  return body.nonce;
}

export interface SignedIn {
  pubkey: string;
  token: string;
  /** `X-Nostr-Token`. */
  auth: { "x-nostr-token": string };
}

export async function signIn(world: World, call: Call, key: SecretKey = ALICE): Promise<SignedIn> {
  const event = answerTo(world, await newNonce(call), { key });
  const { status, body } = await call("POST", "/api/identity/verify", { event });
  assert.equal(status, 200, JSON.stringify(body));
  return { pubkey: body.pubkey, token: body.nostr_token, auth: bearing(body.nostr_token) };
}

let signed = 0;

/** The event that signs one request (NIP-98), each time another one. @param path with its query */
export function requestEvent(
  world: World,
  method: string,
  path: string,
  { body, key = ALICE, ...change }: { body?: unknown; key?: SecretKey } & Partial<Template> = {},
): NostrEvent {
  const tags = [["u", world.deps.settings.publicOrigin + path], ["method", method], ["nonce", String(signed++)]];
  if (body !== undefined) {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    tags.push(["payload", bytesToHex(sha256(utf8ToBytes(text)))]);
  }
  return sign({ kind: 27_235, created_at: seconds(world), tags, content: "", ...change }, key);
}

/** `Authorization: Nostr …` for one request. */
export const signedFor = (...about: Parameters<typeof requestEvent>) => ({
  authorization: nostrHeader(requestEvent(...about)),
});
