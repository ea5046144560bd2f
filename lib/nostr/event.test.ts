import assert from "node:assert/strict";
import { finalizeEvent, verifyEvent } from "nostr-tools/pure";
import bip340 from "@/tests/fixtures/nostr/bip-0340.json" with { type: "json" };
import published from "@/tests/fixtures/nostr/published.json" with { type: "json" };
import { ALICE, forge, MALLORY, sign, type Template } from "@/tests/fixtures/nostr/sign.ts";
import { hexToBytes } from "@noble/hashes/utils.js";
import { isPubkey, parseEvent, tagValues, verifyFresh, verifyObject } from "./event.ts";

const TEMPLATE: Template = {
  kind: 27_235,
  created_at: 1_700_000_000,
  tags: [["u", "https://timmy.example/api/jobs"], ["method", "POST"]],
  content: 'a "quoted" text\n with ümlauts, 🦊, \u0001 and \\',
};
const EVENT = sign(TEMPLATE);
const JSON_TEXT = JSON.stringify(EVENT);
const text = (part: Record<string, unknown>) => JSON.stringify({ ...EVENT, ...part });

Deno.test("parseEvent: an event of the seven fields is read as it is", () => {
  assert.deepEqual(parseEvent(JSON_TEXT), EVENT);
});

Deno.test("parseEvent: any order of the fields, and blanks between them, are the same event", () => {
  const reversed = Object.fromEntries(Object.entries(EVENT).reverse());
  assert.deepEqual(parseEvent(JSON.stringify(reversed, null, 2)), EVENT);
});

const MALFORMED: Record<string, string> = {
  "no JSON": "{",
  "nothing": "",
  "null": "null",
  "a number": "7",
  "a text": '"event"',
  "an array": JSON.stringify([EVENT]),
  "an empty object": "{}",
  "a field too few": JSON.stringify({ ...EVENT, content: undefined }),
  "a field too many": text({ ots: "" }),
  "a field named __proto__": JSON_TEXT.replace("{", '{"__proto__":{},'),
  "a field named __proto__ in place of one": JSON_TEXT.replace('"content"', '"__proto__"'),
  "an id that is short": text({ id: EVENT.id.slice(1) }),
  "an id in capitals": text({ id: EVENT.id.toUpperCase() }),
  "an id that is an array": text({ id: [EVENT.id] }),
  "an id with a line break": text({ id: `${EVENT.id}\n` }),
  "a key that is no hex": text({ pubkey: `${EVENT.pubkey.slice(1)}g` }),
  "a compressed key": text({ pubkey: `02${EVENT.pubkey}` }),
  "a signature that is long": text({ sig: `${EVENT.sig}0` }),
  "no signature": text({ sig: null }),
  "a kind in quotes": text({ kind: "27235" }),
  "a kind that is no integer": text({ kind: 1.5 }),
  "a negative kind": text({ kind: -1 }),
  "a kind above 65,535": text({ kind: 65_536 }),
  "a time that is no integer": text({ created_at: 1.5 }),
  "a negative time": text({ created_at: -1 }),
  "a time beyond exact numbers": JSON_TEXT.replace("1700000000", "9007199254740993"),
  "an endless time": JSON_TEXT.replace("1700000000", "1e999"),
  "content that is no text": text({ content: 1 }),
  "half a surrogate pair": JSON_TEXT.replace("🦊", "\\ud83e"),
  "half a surrogate pair in a tag": text({ tags: [["u", "\ud83e"]] }),
  "tags that are no array": text({ tags: { 0: ["u"], length: 1 } }),
  "a tag that is a text": text({ tags: ["u"] }),
  "a tag without a name": text({ tags: [[]] }),
  "a tag with a number": text({ tags: [["u", 1]] }),
  "a tag in a tag": text({ tags: [["u", ["u"]]] }),
  "more than 100 tags": text({ tags: Array(101).fill(["t"]) }),
};
for (const [what, json] of Object.entries(MALFORMED)) {
  Deno.test(`parseEvent: ${what} is no event`, () => {
    assert.notEqual(json, JSON_TEXT);
    assert.equal(parseEvent(json), null);
    assert.deepEqual(verifyFresh(json), { ok: false, reason: "malformed" });
  });
}

Deno.test("parseEvent: 16 KiB and 100 tags are still read, one byte more is not", () => {
  const ofBytes = (bytes: number, fill: string) => {
    const rest = bytes - new TextEncoder().encode(text({ content: "", tags: [] })).length;
    return text({ tags: [], content: fill.repeat(rest / new TextEncoder().encode(fill).length) });
  };
  assert.ok(parseEvent(ofBytes(16_384, "a")));
  assert.equal(parseEvent(ofBytes(16_385, "a")), null);
  // Bytes count, not characters: this text has fewer than 16,384 of them.
  assert.equal(parseEvent(ofBytes(16_390, "€€")), null);
  assert.ok(parseEvent(text({ tags: Array(100).fill(["t"]) })));
});

for (const { source, signed, json } of published.events) {
  Deno.test(`verifyFresh: ${source}: ${signed}`, () => {
    const verified = verifyFresh(json);
    assert.equal(verified.ok ? "ok" : verified.reason, signed);
  });
}

for (const { index, secretKey, publicKey } of bip340.keys) {
  Deno.test(`verifyFresh: an event signed with the key of BIP-340's vector ${index} is of its public key`, () => {
    const event = sign(TEMPLATE, hexToBytes(secretKey));
    assert.equal(event.pubkey, publicKey);
    assert.deepEqual(verifyFresh(JSON.stringify(event)), { ok: true, event });
  });
}

for (const { index, publicKey, signature, comment } of bip340.refused) {
  Deno.test(`verifyFresh: refuses key and signature of BIP-340's vector ${index} (${comment})`, () => {
    const event = { ...forge({ ...EVENT, pubkey: publicKey }, ALICE), sig: signature };
    assert.deepEqual(verifyFresh(JSON.stringify(event)), { ok: false, reason: "bad_signature" });
  });
}

Deno.test("verifyFresh: a good event comes back as plain data, without the mark that would verify a changed copy", () => {
  const verified = verifyFresh(JSON_TEXT);
  assert.deepEqual(verified, { ok: true, event: EVENT });
  assert.ok(verified.ok);
  assert.deepEqual(Object.getOwnPropertySymbols(verified.event), []);
  assert.equal(verifyEvent({ ...verified.event, content: "changed" }), false);
});

Deno.test("verifyFresh: what was changed after signing has the wrong id", () => {
  for (const part of [{ content: "" }, { kind: 1 }, { created_at: 1 }, { tags: [] }, { id: "00".repeat(32) }]) {
    assert.deepEqual(verifyFresh(text(part)), { ok: false, reason: "wrong_id" });
  }
});

Deno.test("verifyFresh: what somebody else signed has a bad signature", () => {
  const forged = forge(EVENT, MALLORY);
  assert.deepEqual(verifyFresh(JSON.stringify(forged)), { ok: false, reason: "bad_signature" });
  assert.deepEqual(verifyFresh(text({ sig: "00".repeat(64) })), { ok: false, reason: "bad_signature" });
});

Deno.test("verifyObject: an object marked as verified, and a changed copy of it, are verified again", () => {
  const marked = finalizeEvent(structuredClone(TEMPLATE), ALICE);
  const changed = { ...marked, content: "changed" };
  assert.equal(verifyEvent(changed), true); // the trap: nostr-tools believes the copied mark
  assert.deepEqual(verifyObject(changed), { ok: false, reason: "wrong_id" });
  assert.deepEqual(verifyObject({ ...marked, pubkey: sign(TEMPLATE, MALLORY).pubkey }), {
    ok: false,
    reason: "wrong_id",
  });
  assert.deepEqual(verifyObject(marked), { ok: true, event: JSON.parse(JSON.stringify(marked)) });
});

Deno.test("verifyObject: whatever is no JSON is malformed, never an error", () => {
  const cycle: unknown[] = [];
  cycle.push(cycle);
  const bomb = {
    toJSON() {
      throw new Error("no");
    },
  };
  for (const value of [undefined, null, cycle, bomb, 1n, () => EVENT, Symbol("x"), NaN, "", JSON_TEXT]) {
    assert.deepEqual(verifyObject(value), { ok: false, reason: "malformed" });
  }
});

Deno.test("verifyObject: deep nesting is malformed, never an error", () => {
  let deep: unknown = "u";
  for (let i = 0; i < 100_000; i++) deep = [deep];
  assert.deepEqual(verifyObject({ ...EVENT, tags: deep }), { ok: false, reason: "malformed" });
  assert.deepEqual(verifyFresh("[".repeat(16_000)), { ok: false, reason: "malformed" });
});

Deno.test("tagValues: the values of one name, in order", () => {
  const event = { ...EVENT, tags: [["u", "1", "x"], ["U", "2"], ["u"], ["u", "3"]] };
  assert.deepEqual(tagValues(event, "u"), ["1", undefined, "3"]);
});

Deno.test("isPubkey: 64 lower-case hex digits", () => {
  assert.equal(isPubkey(EVENT.pubkey), true);
  for (const text of ["", "npub1qqq", EVENT.pubkey.toUpperCase().replace(/\d/g, "A"), `${EVENT.pubkey}\n`]) {
    assert.equal(isPubkey(text), false);
  }
});
