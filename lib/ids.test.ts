import assert from "node:assert/strict";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";
import { createRecordIds, equalText, newHandle, sha256Hex, systemRandom } from "./ids.ts";

const SECRET = new Uint8Array(32).fill(1);

Deno.test("newHandle: 13 characters of Crockford's base32, each value as likely, never twice", () => {
  const random = createSeededRandom(1);
  const handles = Array.from({ length: 2_000 }, () => newHandle(random));
  assert.equal(new Set(handles).size, 2_000);
  for (const handle of handles) assert.match(handle, /^[0-9a-hjkmnp-tv-z]{13}$/);
  const letters = new Map<string, number>();
  for (const letter of handles.join("")) letters.set(letter, (letters.get(letter) ?? 0) + 1);
  assert.equal(letters.size, 32);
  for (const [letter, count] of letters) assert.ok(count > 650 && count < 980, `${letter}: ${count} of 812`);
});

Deno.test("systemRandom: as many bytes as asked for, not the same twice", () => {
  assert.equal(systemRandom.bytes(16).length, 16);
  assert.notDeepEqual(systemRandom.bytes(16), systemRandom.bytes(16));
});

Deno.test("createRecordIds: an id opens its own record of its own kind with its own secret, nothing else", () => {
  const recordIds = createRecordIds(SECRET);
  const handle = newHandle(systemRandom);
  const id = recordIds.idOf("job", handle);
  assert.match(id, new RegExp(`^${handle}-[0-9a-f]{32}$`));
  assert.equal(recordIds.handleOf("job", id), handle);
  assert.equal(recordIds.handleOf("session", id), null);
  assert.equal(createRecordIds(new Uint8Array(32).fill(2)).handleOf("job", id), null);
  assert.equal(createRecordIds(SECRET).handleOf("job", id), handle, "the same secret after a restart");
});

Deno.test("createRecordIds: an id with any character changed, added or taken away opens nothing", () => {
  const recordIds = createRecordIds(SECRET);
  const id = recordIds.idOf("job", newHandle(systemRandom));
  for (let at = 0; at < id.length; at++) {
    const changed = id.slice(0, at) + (id[at] === "0" ? "1" : "0") + id.slice(at + 1);
    assert.equal(recordIds.handleOf("job", changed), null, changed);
    assert.equal(recordIds.handleOf("job", id.slice(0, at) + id.slice(at + 1)), null);
  }
  for (const other of ["", id + "0", `${id}\n`, ` ${id}`, id.toUpperCase(), id.slice(0, 13)]) {
    assert.equal(recordIds.handleOf("job", other), null, other);
  }
});

Deno.test("createRecordIds: a secret of less than 32 bytes is refused", () => {
  assert.throws(() => createRecordIds(new Uint8Array(31)), /32 bytes/);
});

Deno.test("equalText: equal texts alone", () => {
  assert.equal(equalText("", ""), true);
  assert.equal(equalText("abc", "abc"), true);
  for (const other of ["abd", "bbc", "ab", "abcd", ""]) assert.equal(equalText("abc", other), false, other);
});

Deno.test("sha256Hex: of the UTF-8 bytes, as in FIPS 180", () => {
  assert.equal(sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  assert.equal(sha256Hex("ä"), "33e6d73fee82904c8d7afb78de1154d1e8dc2a0edb08120e63df5b9385c2d9cc");
});
