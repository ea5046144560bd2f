import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import type { Random, RecordIds } from "@/lib/ids.ts";
import type { Key, Reader, Tx, Versioned } from "@/lib/store/store.ts";
import type { TokenRef } from "./topups.rules.ts";
import { getInvoice } from "@/lib/payments/invoices.rows.ts";
import {
  type Capability,
  caveatOf,
  type CaveatProblem,
  expired,
  type Permissions,
  readCaveats,
} from "@/lib/l402/caveats.ts";
import { preimageMatches } from "@/lib/l402/credential.ts";
import { decodeIdentifier, encodeIdentifier, tokenHashOf } from "@/lib/l402/identifier.ts";
import { fromBase64, type Macaroon, MacaroonError, mint, toBase64, verify } from "@/lib/l402/macaroon.ts";

/** The `location` of every token of ours, as in wire.md §2. */
export const LOCATION = "timmy";

/**
 * `challenge`: handed out with the deposit's invoice, worth nothing without its preimage. `topup`: the same with a
 * top-up's invoice. One that was asked for with no more than the session's id is worth no more than what it pays: whoever finds
 * an id and pays 500 sats must not be able to spend the 10,000 that lie there. `bearer`: shown after the deposit settled, works
 * alone.
 */
export type TokenKind = "challenge" | "topup" | "bearer";

/** One `max_sats` of a token. Spend is counted under every one, so a narrowing of a narrowing draws on both. */
export interface Allowance {
  name: string;
  limitSats: number;
  /** The limit is what a top-up paid, and another top-up raises it; else a holder of the token added it. */
  paidFor: boolean;
}

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
  caveats: readonly string[];
  /**
   * The token that asked for the top-up: this one opens what that one opens, under the same name and allowances. null: it
   * stands for itself.
   */
  standsFor: { name: string; owner: boolean; allowances: readonly Allowance[] } | null;
}

/** A token as it is made, before it is written. */
export interface NewToken {
  ref: TokenRef;
  row: TokenRow;
}

const tokenKey = (key: string): Key => ["token", key];

/** The caveats of a session's own tokens. @param sessionId its id, as the world knows it */
export const caveatsOf = (sessionId: string): string[] => [
  caveatOf.services(),
  caveatOf.capabilities(["jobs", "chat"]),
  caveatOf.session(sessionId),
];

/**
 * A new token: its name, for the session's record, and the row that makes it valid. Nothing is written.
 * @param input.maxSats what it is worth; without it: the session
 * @param input.standsFor the token it is to be as good as, and `caveats` that one's caveats
 */
export function newToken(
  deps: { random: Random; recordIds: RecordIds },
  input:
    & { kind: TokenKind; session: string; paymentHash: string }
    & ({ maxSats?: number } | { standsFor: NonNullable<TokenRow["standsFor"]>; caveats: readonly string[] }),
): NewToken {
  const { kind, session, paymentHash } = input;
  const about = { v: 1 as const, kind, session, paymentHash };
  if ("standsFor" in input) {
    const { standsFor, caveats } = input;
    return renewedToken(deps.random, { ...about, caveats, standsFor });
  }
  const { maxSats } = input;
  const own = caveatsOf(deps.recordIds.idOf("session", session));
  const caveats = maxSats === undefined ? own : [...own, caveatOf.maxSats(maxSats)];
  return renewedToken(deps.random, { ...about, caveats, standsFor: null });
}

/** A token like this one under a name of its own: the old one can be revoked. */
export function renewedToken(random: Random, like: Omit<TokenRow, "tokenId" | "rootKey">): NewToken {
  const tokenId = bytesToHex(random.bytes(32));
  const rootKey = bytesToHex(random.bytes(32));
  const tokenHash = tokenHashOf(encodeIdentifier({ paymentHash: like.paymentHash, tokenId }));
  return { ref: { tokenHash, tokenId }, row: { ...like, tokenId, rootKey } };
}

export const getToken = (reader: Reader, ref: TokenRef): Promise<TokenRow | null> =>
  reader.get<TokenRow>(tokenKey(ref.tokenHash));
export function putToken(tx: Tx, token: NewToken): void {
  tx.insert(tokenKey(token.ref.tokenHash), token.row);
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
  const row = await getToken(reader, ref);
  return row && macaroonOf(row);
}

/** What a good credential allows. */
export interface VerifiedToken {
  /** Handle of the session it spends from. */
  session: string;
  kind: TokenKind;
  /** The token as we minted it, for the whole session: it may end the session and read what others asked. */
  owner: boolean;
  /** Name of this very token, narrowings included: a hash of its signature, or of that of the token it stands for. */
  name: string;
  /** Each `max_sats` in it. */
  allowances: readonly Allowance[];
  /** All of them, as they stand in the macaroon. */
  caveats: readonly string[];
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

/** A token whose macaroon and row were found to fit: everything about it that time, money and the route do not change. */
interface Checked {
  key: Key;
  macaroon: Macaroon;
  row: TokenRow;
  permissions: Permissions;
  token: VerifiedToken;
}

/**
 * Macaroons that were checked, by their exact text: most requests come with one that was seen before. Nothing here makes a
 * token good: its row is read every time, and one that is gone or has changed counts as never seen.
 */
export interface CheckedTokens {
  get(text: string): Checked | undefined;
  add(text: string, checked: Checked): void;
}

const MAX_CHECKED = 10_000;
/** Longer ones are checked anew each time (characters of base64): many of them would fill the memory. */
const MAX_CHECKED_CHARS = 1_024;

/** At most 10,000 are remembered; the oldest is forgotten first. */
export function createCheckedTokens(): CheckedTokens {
  const known = new Map<string, Checked>();
  return {
    get: (text) => known.get(text),
    add(text, checked) {
      if (text.length > MAX_CHECKED_CHARS) return;
      if (known.size >= MAX_CHECKED) known.delete(known.keys().next().value as string);
      known.set(text, checked);
    },
  };
}

/** The store gives back one object while nothing changes a row, or another one with the same content. */
const sameRow = (a: TokenRow, b: TokenRow): boolean => a === b || JSON.stringify(a) === JSON.stringify(b);

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
 * What 1, 2, 4, 7 and 8 find of a good token is kept in `deps.checkedTokens`, but for time; 3 says whether it still stands.
 *
 * @param deps.settled asks the wallet about an invoice that is open in our books, and records what it says.
 */
export async function verifyToken(
  deps: {
    store: Reader;
    recordIds: RecordIds;
    checkedTokens: CheckedTokens;
    settled(paymentHash: string): Promise<boolean>;
  },
  presented: { macaroon: string; preimage: string | null },
  capability: Capability,
  now: number,
): Promise<{ ok: true; token: VerifiedToken } | TokenProblem> {
  const { store, recordIds, checkedTokens } = deps;
  const known = checkedTokens.get(presented.macaroon);
  const read = known ?? readToken(presented.macaroon); // 1, 2
  if ("ok" in read) return read;
  const row = await store.get<TokenRow>(read.key); // 3
  const before = row && known && sameRow(row, known.row) ? known : null;
  const chain = row && !before ? verify(read.macaroon, hexToBytes(row.rootKey)) : null; // 4
  if (!row || !(before || chain)) {
    return invalid("This macaroon is not valid, or no longer. Send a request without one for a new challenge.");
  }
  if (presented.preimage === null ? row.kind !== "bearer" : !preimageMatches(presented.preimage, row.paymentHash)) { // 5
    return invalid(
      "This macaroon needs the preimage of its invoice: L402 <macaroon>:<preimage>. Paying the invoice reveals it.",
      "preimage_required",
    );
  }
  const invoice = await getInvoice(store, row.paymentHash); // 6
  if (!invoice?.settled && !(await deps.settled(row.paymentHash))) {
    return invalid("The invoice of this macaroon is not paid.", "not_paid");
  }
  const checked = before ?? understood(recordIds, { ...read, row, chain: chain ?? [] }); // 7, 8
  if ("ok" in checked) return checked;
  const over = expired(checked.permissions, Math.floor(now / 1_000)); // 7
  if (over) return problemOf(over);
  if (!before) checkedTokens.add(presented.macaroon, checked);
  if (!checked.permissions.capabilities.has(capability)) { // 9
    return caveatFailed("timmy_capabilities", `does not name ${capability}, which this route needs`);
  }
  return { ok: true, token: checked.token };
}

/** Where the row of a token lies that is one of ours by its looks. */
function readToken(text: string): { key: Key; macaroon: Macaroon } | TokenProblem {
  const macaroon = decoded(text);
  if (!macaroon) {
    return invalid(
      "This is not a session's macaroon. Send it whole, as it was given: a session's id or a nostr_token is none. " +
        "POST /api/sessions opens a session; its macaroon is the API key.",
    );
  }
  if (macaroon.location !== LOCATION || !decodeIdentifier(macaroon.identifier)) {
    return invalid("This macaroon is of another service.");
  }
  return { key: tokenKey(tokenHashOf(macaroon.identifier)), macaroon };
}

/** What the caveats allow, whatever the time is, and whether they are those of a session's token. */
function understood(
  recordIds: RecordIds,
  { key, macaroon, row, chain }: Pick<Checked, "key" | "macaroon" | "row"> & { chain: readonly Uint8Array[] },
): Checked | TokenProblem {
  const read = readCaveats(macaroon.caveats, -Infinity);
  if (!read.ok) return problemOf(read.problem);
  const { permissions } = read;
  const session = permissions.session === null ? null : recordIds.handleOf("session", permissions.session);
  if (session !== row.session || permissions.job !== null) {
    return invalid("This macaroon is bound to something else than a session of its own.");
  }
  const { caveats } = macaroon;
  const minted = row.caveats.length;
  const whole = caveats.length === minted;
  const { standsFor } = row;
  const added = permissions.maxSats.filter(({ index }) => !standsFor || index >= minted).map(({ index, sats }) => ({
    name: bytesName(chain[index + 1] as Uint8Array), // chain[0] belongs to the identifier
    limitSats: sats,
    paidFor: index < minted,
  }));
  const token: VerifiedToken = {
    session,
    kind: row.kind,
    owner: whole && (standsFor ? standsFor.owner : row.kind !== "topup"),
    name: whole && standsFor ? standsFor.name : bytesName(macaroon.signature),
    allowances: [...standsFor?.allowances ?? [], ...added],
    caveats,
    models: permissions.models,
    npub: permissions.npub,
  };
  return { key, macaroon, row, permissions, token };
}

const problemOf = ({ code, message, caveat }: CaveatProblem): TokenProblem => ({
  ok: false,
  code,
  message,
  details: { caveat },
});

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
