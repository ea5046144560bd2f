/** Valid tokens, spoilt in every way that came to mind: none of them is taken. `TIMMY_SEED=N` begins with the N-th again. */
import assert from "node:assert/strict";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";
import { caveatOf, readCaveats } from "./caveats.ts";
import { decodeIdentifier, encodeIdentifier, tokenHashOf } from "./identifier.ts";
import { encode, fromBase64, type Macaroon, MacaroonError, mint, narrow, toBase64, verify } from "./macaroon.ts";

const MUTATIONS = 2_000;
const LOCATION = "timmy";
const NOW = 1_800_000_000;

/** Choices that a seed alone decides. */
function dice(seed: number) {
  const random = createSeededRandom(seed);
  const below = (limit: number): number => {
    const [a = 0, b = 0, c = 0] = random.bytes(3);
    return (a | (b << 8) | (c << 16)) % limit;
  };
  const pick = <T>(items: readonly T[]): T => items[below(items.length)] as T;
  return { below, pick, bytes: (length: number) => random.bytes(length) };
}
type Dice = ReturnType<typeof dice>;

interface Token {
  macaroon: Macaroon;
  rootKey: Uint8Array;
}

/** What a holder adds, in this order. */
const LIMITS = [caveatOf.maxSats(900), caveatOf.maxSats(500), caveatOf.validUntil(NOW + 60), caveatOf.model("a", "b")];

/** A token as the server mints it or as a holder narrowed it, of every size. */
function newToken({ below, bytes }: Dice): Token {
  const rootKey = bytes(32);
  const identifier = encodeIdentifier({ paymentHash: bytesToHex(bytes(32)), tokenId: bytesToHex(bytes(32)) });
  const minted = mint({
    rootKey,
    identifier,
    location: LOCATION,
    caveats: [caveatOf.services(), caveatOf.capabilities(["jobs", "chat"]), caveatOf.session(bytesToHex(bytes(8)))],
  });
  return { macaroon: narrow(minted, LIMITS.slice(0, below(LIMITS.length + 1))), rootKey };
}

/** What a server does with a presented token, the wallet left out. @returns what it takes the token for, or null: refused. */
function accept(text: string, rootKeys: ReadonlyMap<string, Uint8Array>): Macaroon | null {
  let macaroon;
  try {
    macaroon = fromBase64(text);
  } catch (error) {
    if (error instanceof MacaroonError) return null;
    throw error;
  }
  const rootKey = rootKeys.get(tokenHashOf(macaroon.identifier));
  // The signature does not cover the location: nothing but this comparison refuses another one.
  const known = macaroon.location === LOCATION && decodeIdentifier(macaroon.identifier) !== null &&
    rootKey !== undefined;
  if (!known || !verify(macaroon, rootKey) || !readCaveats(macaroon.caveats, NOW).ok) return null;
  return macaroon;
}

const content = ({ location, identifier, caveats, signature }: Macaroon) =>
  JSON.stringify([location, bytesToHex(identifier), caveats, bytesToHex(signature)]);

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const base64 = (bytes: Uint8Array) => btoa(String.fromCharCode(...bytes));
const urlAlphabet = (text: string) => text.replaceAll("+", "-").replaceAll("/", "_");
const without = <T>(items: readonly T[], at: number) => [...items.slice(0, at), ...items.slice(at + 1)];
const inserted = (text: string, at: number, what: string) => text.slice(0, at) + what + text.slice(at);

function flipBit(bytes: Uint8Array, { below }: Dice): Uint8Array {
  const flipped = bytes.slice();
  const at = below(bytes.length);
  flipped[at] = (flipped[at] ?? 0) ^ (1 << below(8));
  return flipped;
}

/**
 * Ways to spoil `token`, each giving the text that is presented, or null: this token cannot be spoilt so.
 * `other` is another valid token of the same server.
 */
const MUTATORS: Record<string, (token: Token, other: Token, dice: Dice) => string | null> = {
  "one bit flipped": ({ macaroon }, _, dice) => base64(flipBit(encode(macaroon), dice)),
  "a few bits flipped": ({ macaroon }, _, dice) => {
    let bytes = encode(macaroon);
    for (let i = 2 + dice.below(6); i > 0; i--) bytes = flipBit(bytes, dice);
    return base64(bytes);
  },
  "a byte replaced": ({ macaroon }, _, { below }) => {
    const bytes = encode(macaroon);
    bytes[below(bytes.length)] = below(256);
    return base64(bytes);
  },
  "a caveat removed": ({ macaroon }, _, { below }) =>
    toBase64({ ...macaroon, caveats: without(macaroon.caveats, below(macaroon.caveats.length)) }),
  "all caveats removed": ({ macaroon }) => toBase64({ ...macaroon, caveats: [] }),
  "two caveats exchanged": ({ macaroon }, _, { below }) => {
    const at = below(macaroon.caveats.length - 1);
    const [a, b] = macaroon.caveats.slice(at) as [string, string];
    return toBase64({
      ...macaroon,
      caveats: [...macaroon.caveats.slice(0, at), b, a, ...macaroon.caveats.slice(at + 2)],
    });
  },
  "a caveat twice": ({ macaroon }, _, { below, pick }) =>
    toBase64({
      ...macaroon,
      caveats: macaroon.caveats.toSpliced(below(macaroon.caveats.length), 0, pick(macaroon.caveats)),
    }),
  "a caveat widened": ({ macaroon }, _, { below, pick }) => {
    const wider = pick(["max_sats=1000000", "timmy_valid_until=1999999999", "model=a,b,c", "session=another"]);
    return toBase64({ ...macaroon, caveats: macaroon.caveats.with(below(macaroon.caveats.length), wider) });
  },
  "a caveat added without its signature": ({ macaroon }, _, { pick }) =>
    toBase64({ ...macaroon, caveats: [...macaroon.caveats, pick(["max_sats=1", "model=a", "foo=1", ""])] }),
  "two caveats joined": ({ macaroon }) => {
    const [a, b, ...more] = macaroon.caveats;
    return toBase64({ ...macaroon, caveats: [`${a}${b}`, ...more] });
  },
  "widened by its holder, rightly signed": ({ macaroon: { identifier, caveats }, rootKey }, _, { pick }) => {
    const full = mint({ rootKey, identifier, location: LOCATION, caveats: [...caveats.slice(0, 3), ...LIMITS] });
    const wider = [
      "max_sats=501",
      `timmy_valid_until=${NOW + 61}`,
      "model=a,b,c",
      "session=another",
      "services=other:0",
    ];
    return toBase64(narrow(full, [pick(wider)]));
  },
  "an unknown caveat, rightly signed": ({ macaroon }, _, { pick }) =>
    toBase64(narrow(macaroon, [pick(["foo=1", "foo", "", "Session=a", "max_sats = 1", "time < 2030", " model=a"])])),
  "expired by its holder": ({ macaroon }, _, { below }) =>
    toBase64(narrow(macaroon, [`timmy_valid_until=${NOW - below(100)}`])),
  "another root key": ({ macaroon: { identifier, caveats } }, _, { bytes }) =>
    toBase64(mint({ rootKey: bytes(32), identifier, location: LOCATION, caveats })),
  "the other token's root key": ({ macaroon: { identifier, caveats } }, other) =>
    toBase64(mint({ rootKey: other.rootKey, identifier, location: LOCATION, caveats })),
  "the root key underived": ({ macaroon, rootKey }) => {
    const first = hmac(sha256, rootKey, macaroon.identifier);
    const signature = macaroon.caveats.reduce((key, caveat) => hmac(sha256, key, utf8ToBytes(caveat)), first);
    return toBase64({ ...macaroon, signature });
  },
  "a signature from the middle of the chain": ({ macaroon, rootKey }, _, { below }) => {
    const chain = verify(macaroon, rootKey) as Uint8Array[];
    return toBase64({ ...macaroon, signature: chain[below(chain.length - 1)] as Uint8Array });
  },
  "the other token's signature": ({ macaroon }, other) =>
    toBase64({ ...macaroon, signature: other.macaroon.signature }),
  "the other token's identifier": ({ macaroon }, other) =>
    toBase64({ ...macaroon, identifier: other.macaroon.identifier }),
  "the other token's caveats": ({ macaroon }, other) => toBase64({ ...macaroon, caveats: other.macaroon.caveats }),
  "an identifier nobody knows": ({ macaroon }, _, { bytes }) => toBase64({ ...macaroon, identifier: bytes(66) }),
  "a shorter or longer identifier": ({ macaroon }, _, { below }) => {
    const { identifier } = macaroon;
    const changed = below(2)
      ? identifier.slice(0, 1 + below(65))
      : concatBytes(identifier, new Uint8Array(1 + below(9)));
    return toBase64({ ...macaroon, identifier: changed });
  },
  "another location": ({ macaroon }, _, { pick }) =>
    toBase64({
      ...macaroon,
      location: pick([null, "Timmy", "timmy ", "timmy\0", "\ufefftimmy", "https://timmy", "t"]),
    }),
  "cut off": ({ macaroon }, _, { below }) => {
    const bytes = encode(macaroon);
    return base64(bytes.slice(0, below(bytes.length)));
  },
  "bytes after it": ({ macaroon }, _, { below, bytes }) => base64(concatBytes(encode(macaroon), bytes(1 + below(40)))),
  "two in one": ({ macaroon }, other) => base64(concatBytes(encode(macaroon), encode(other.macaroon))),
  "bytes inside it": ({ macaroon }, _, { below, bytes }) => {
    const encoded = encode(macaroon);
    const at = below(encoded.length);
    return base64(concatBytes(encoded.subarray(0, at), bytes(1 + below(3)), encoded.subarray(at)));
  },
  "a length written longer": ({ macaroon }) => {
    const encoded = encode(macaroon); // version, then the location's type and length
    return base64(concatBytes(encoded.subarray(0, 2), Uint8Array.of(0x85, 0), encoded.subarray(3)));
  },
  "the end of the caveats twice": ({ macaroon }) => {
    const encoded = encode(macaroon);
    const at = encoded.length - 34; // the signature's type, length and 32 bytes
    return base64(concatBytes(encoded.subarray(0, at), Uint8Array.of(0), encoded.subarray(at)));
  },
  "the text cut off": ({ macaroon }, _, { below }) => {
    const text = toBase64(macaroon).replace(/=+$/, "");
    return text.slice(0, below(text.length));
  },
  "half its padding, or too much": ({ macaroon }, _, { below }) =>
    `${toBase64(macaroon).replace(/=+$/, "")}${"=".repeat(3 + below(3))}`,
  "white space or another character in it": ({ macaroon }, _, { below, pick }) => {
    const text = toBase64(macaroon);
    return inserted(
      text,
      below(text.length + 1),
      pick([" ", "\n", "\t", "\r\n", "=", "\0", ",", "%2B", "\u200b", "é", "."]),
    );
  },
  "both alphabets in one": ({ macaroon }) => {
    const text = toBase64(macaroon);
    return /[+/].*[+/]/.test(text) ? text.replace(/[+/]/, urlAlphabet) : null;
  },
  "bits left over in the last character": ({ macaroon }, _, { below }) => {
    const [, start, last = "", padding = ""] = /^(.*)(.)(={1,2})$/.exec(toBase64(macaroon)) ?? [];
    if (start === undefined) return null;
    const spare = padding === "=" ? 4 : 16; // values the bits left over can have
    return `${start}${ALPHABET[ALPHABET.indexOf(last) + 1 + below(spare - 1)]}${padding}`;
  },
  "JSON": ({ macaroon }) =>
    btoa(JSON.stringify({ v: 2, l: macaroon.location, c: macaroon.caveats, s64: bytesToHex(macaroon.signature) })),
  "hex": ({ macaroon }) => bytesToHex(encode(macaroon)),
  "base64 twice": ({ macaroon }) => btoa(toBase64(macaroon)),
};

/** The texts a macaroon may be sent as. */
function formsOf(macaroon: Macaroon): string[] {
  const text = toBase64(macaroon);
  return [text, urlAlphabet(text)].flatMap((form) => [form, form.replace(/=+$/, "")]);
}

Deno.test(`fromBase64, verify, readCaveats: ${MUTATIONS} spoilt tokens, none is taken unless it says what it said before`, () => {
  const names = Object.keys(MUTATORS);
  const refused = new Map(names.map((name) => [name, 0]));
  const first = Number(Deno.env.get("TIMMY_SEED") ?? 402);
  for (let seed = first; seed < first + MUTATIONS; seed++) {
    const rolled = dice(seed);
    const [token, other] = [newToken(rolled), newToken(rolled)];
    const rootKeys = new Map(
      [token, other].map(({ macaroon, rootKey }) => [tokenHashOf(macaroon.identifier), rootKey]),
    );
    let name, text: string | null;
    do {
      name = rolled.pick(names);
      text = MUTATORS[name]?.(token, other, rolled) ?? null;
    } while (text === null);
    const which = `seed ${seed}, ${name}: ${text}`;
    try {
      const before = content(token.macaroon);
      for (const form of formsOf(token.macaroon)) {
        const taken = accept(form, rootKeys);
        assert.equal(taken && content(taken), before, "the token itself is taken, in each of its forms");
      }
      const taken = accept(text, rootKeys);
      if (taken === null) refused.set(name, (refused.get(name) ?? 0) + 1);
      else {
        assert.equal(content(taken), before, "another content is taken");
        assert.ok(formsOf(token.macaroon).includes(text), "another form of it is taken");
      }
    } catch (error) {
      throw new Error(`${which}: ${error instanceof Error ? error.message : error}`, { cause: error });
    }
  }
  for (const [name, times] of refused) assert.ok(times >= 10, `${name}: refused ${times} times only`);
});
