import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import type { Random, RecordIds } from "@/lib/ids.ts";
import type { Key, Reader, Tx, Versioned } from "@/lib/store/store.ts";
import type { TokenRef } from "./sessions.machine.ts";
import { getInvoice } from "@/lib/payments/invoices.rows.ts";
import { type Capability, caveatOf, readCaveats } from "@/lib/l402/caveats.ts";
import { preimageMatches } from "@/lib/l402/credential.ts";
import { decodeIdentifier, encodeIdentifier, tokenHashOf } from "@/lib/l402/identifier.ts";
import { fromBase64, type Macaroon, MacaroonError, mint, toBase64, verify } from "@/lib/l402/macaroon.ts";

/** The `location` of every token of ours, as in wire.md §2. */
export const LOCATION = "timmy";

/**
 * `challenge`: handed out with the deposit's invoice, worth nothing without its preimage. `topup`: the same with a
 * top-up's invoice, and worth no more than that: whoever finds a session's id and pays 500 sats must not be able to
 * spend the 10,000 that lie there. `bearer`: shown after the deposit settled, works alone.
 */
export type TokenKind = "challenge" | "topup" | "bearer";

/** What is kept of a token; without this row it is revoked. */
export interface TokenRow extends Versioned {
  v: 1;
  kind: TokenKind;
  /** Handle of the session it opens. */
  session: string;
  paymentHash: string;
  tokenId: string;
  /** 32 bytes, hex. */
  rootKey: string;
  caveats: string[];
}

/** A token as it is made, before it is written. */
export interface NewToken {
  ref: TokenRef;
  row: TokenRow;
}

const tokenKey = (key: string): Key => ["token", key];

/** A new token: its name, for the session's record, and the row that makes it valid. Nothing is written. */
export function newToken(
  deps: { random: Random; recordIds: RecordIds },
  input: { kind: TokenKind; session: string; paymentHash: string; maxSats?: number },
): NewToken {
  const { kind, session, paymentHash, maxSats } = input;
  const tokenId = bytesToHex(deps.random.bytes(32));
  const rootKey = bytesToHex(deps.random.bytes(32));
  const caveats = [
    caveatOf.services(),
    caveatOf.capabilities(["jobs", "chat"]),
    caveatOf.session(deps.recordIds.idOf("session", session)),
    ...(maxSats === undefined ? [] : [caveatOf.maxSats(maxSats)]),
  ];
  const tokenHash = tokenHashOf(encodeIdentifier({ paymentHash, tokenId }));
  return { ref: { tokenHash, tokenId }, row: { v: 1, kind, session, paymentHash, tokenId, rootKey, caveats } };
}

export function putToken(tx: Tx, token: NewToken): void {
  tx.set(tokenKey(token.ref.tokenHash), token.row);
}
/** From now on nobody gets anything with it, however it was narrowed. */
export function revokeToken(tx: Tx, ref: TokenRef): void {
  tx.delete(tokenKey(ref.tokenHash));
}

/** The macaroon of a row, base64. */
export function macaroonOf(row: TokenRow): string {
  const identifier = encodeIdentifier(row);
  return toBase64(mint({ rootKey: hexToBytes(row.rootKey), identifier, location: LOCATION, caveats: row.caveats }));
}
/** The macaroon that `ref` names, or null when it was revoked. */
export async function macaroonFor(reader: Reader, ref: TokenRef): Promise<string | null> {
  const row = await reader.get<TokenRow>(tokenKey(ref.tokenHash));
  return row && macaroonOf(row);
}

/** What a good credential allows. */
export interface VerifiedToken {
  /** Handle of the session it spends from. */
  session: string;
  kind: TokenKind;
  /** The token as we minted it, for the whole session: it may end the session and read what others asked. */
  owner: boolean;
  /** Name of this very token, narrowings included: a hash of its signature. */
  name: string;
  /** Each `max_sats` in it. Spend is counted under every one, so a narrowing of a narrowing draws on both. */
  allowances: { name: string; limitSats: number }[];
  /** null: any model. */
  models: ReadonlySet<string> | null;
  /** The Nostr key (NIP-19) that must show itself beside the token; whoever checks the request's key compares it. null: none. */
  npub: string | null;
}

/** Why a token is refused: `caveat_failed` for a good one that does not allow this, any other code for one that is not good. */
export type TokenProblem = {
  ok: false;
  code: "invalid_token" | "token_expired" | "preimage_required" | "not_paid" | "caveat_failed";
  message: string;
  details?: Record<string, unknown>;
};

const invalid = (message: string, code: TokenProblem["code"] = "invalid_token"): TokenProblem => ({
  ok: false,
  code,
  message,
});
const bytesName = (bytes: Uint8Array) => bytesToHex(sha256(bytes));

/**
 * Checks a presented token. Reads two rows, writes nothing.
 *
 * 1. Decoded within bounds: a hostile token costs no more than its length.
 * 2. Our location and identifier: a token of another service is no token.
 * 3. The root key by the identifier's hash: a revoked or made-up token ends here.
 * 4. The signature chain, in constant time: no caveat was removed, changed or reordered.
 * 5. The preimage, unless this kind works alone: a challenge is public before anybody paid.
 * 6. The invoice is settled: a preimage may be known to a wallet before the sats are ours.
 * 7. Every caveat is understood, fits and is not over: what we do not know may be a limit.
 * 8. The session that the caveats name is the one the token was minted for.
 * 9. The capability, last: only a good token is told what it lacks.
 *
 * @param deps.settled asks the wallet about an invoice that is open in our books, and records what it says.
 */
export async function verifyToken(
  deps: { store: Reader; recordIds: RecordIds; settled(paymentHash: string): Promise<boolean> },
  presented: { macaroon: string; preimage: string | null },
  capability: Capability,
  now: number,
): Promise<{ ok: true; token: VerifiedToken } | TokenProblem> {
  const macaroon = decoded(presented.macaroon);
  if (!macaroon) {
    return invalid(
      "This is not a session's macaroon. Send it whole, as it was given: a session's id or a nostr_token is none. " +
        "POST /api/sessions opens a session; its macaroon is the API key.",
    );
  }
  const identifier = decodeIdentifier(macaroon.identifier);
  if (macaroon.location !== LOCATION || !identifier) return invalid("This macaroon is of another service.");
  const row = await deps.store.get<TokenRow>(tokenKey(tokenHashOf(macaroon.identifier)));
  const chain = row && verify(macaroon, hexToBytes(row.rootKey));
  if (!row || !chain) {
    return invalid("This macaroon is not valid, or no longer. Send a request without one for a new challenge.");
  }
  if (presented.preimage === null ? row.kind !== "bearer" : !preimageMatches(presented.preimage, row.paymentHash)) {
    return invalid(
      "This macaroon needs the preimage of its invoice: L402 <macaroon>:<preimage>. Paying the invoice reveals it.",
      "preimage_required",
    );
  }
  const invoice = await getInvoice(deps.store, row.paymentHash);
  if (!invoice?.settled && !(await deps.settled(row.paymentHash))) {
    return invalid("The invoice of this macaroon is not paid.", "not_paid");
  }
  const read = readCaveats(macaroon.caveats, Math.floor(now / 1_000));
  if (!read.ok) {
    const { code, message, caveat } = read.problem;
    return { ok: false, code, message, details: { caveat } };
  }
  const { permissions } = read;
  const session = permissions.session === null ? null : deps.recordIds.handleOf("session", permissions.session);
  if (session !== row.session || permissions.job !== null) {
    return invalid("This macaroon is bound to something else than a session of its own.");
  }
  if (!permissions.capabilities.has(capability)) {
    return caveatFailed("timmy_capabilities", `does not name ${capability}, which this route needs`);
  }
  return {
    ok: true,
    token: {
      session,
      kind: row.kind,
      owner: row.kind !== "topup" && macaroon.caveats.length === row.caveats.length,
      name: bytesName(macaroon.signature),
      allowances: permissions.maxSats.map(({ index, sats }) => ({
        name: bytesName(chain[index + 1] as Uint8Array), // chain[0] belongs to the identifier
        limitSats: sats,
      })),
      models: permissions.models,
      npub: permissions.npub,
    },
  };
}

/** The token is good, and one of its caveats does not allow this. */
export const caveatFailed = (caveat: string, why: string, details: Record<string, unknown> = {}): TokenProblem => ({
  ok: false,
  code: "caveat_failed",
  message: `The token's caveat ${caveat} ${why}.`,
  details: { caveat, ...details },
});

function decoded(text: string): Macaroon | null {
  try {
    return fromBase64(text);
  } catch (error) {
    if (error instanceof MacaroonError) return null;
    throw error;
  }
}
