import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createIdentityTokens } from "./identity-token.ts";

const NOW = 1_700_000_000_000;
const TTL = 86_400_000;
const ORIGIN = "https://timmy.example";
const PUBKEY = "ab".repeat(32);
const OLD = new Uint8Array(32).fill(1);
const NEW = new Uint8Array(32).fill(2);

const tokens = (secrets: Uint8Array[] = [OLD], instance = ORIGIN) =>
  createIdentityTokens({ secrets, instance, ttlMs: TTL });
const { token: TOKEN } = tokens().issue(PUBKEY, NOW);
const BAD = { ok: false, code: "bad_signature" };
const MALFORMED = { ok: false, code: "malformed" };

Deno.test("identity token: says whose it is until it expires", () => {
  const { token, expiresAt } = tokens().issue(PUBKEY, NOW);
  assert.equal(expiresAt, NOW + TTL);
  assert.deepEqual(tokens().verify(token, NOW), { ok: true, pubkey: PUBKEY, expiresAt });
  assert.deepEqual(tokens().verify(token, NOW + TTL - 1), { ok: true, pubkey: PUBKEY, expiresAt });
  assert.deepEqual(tokens().verify(token, NOW + TTL), { ok: false, code: "expired" });
});

Deno.test("identity token: short, and safe in a header, a URL and a JSON text", () => {
  assert.match(TOKEN, /^[0-9a-z.]{1,200}$/);
});

Deno.test("identity token: is HMAC-SHA256 over version, claims and instance, as another implementation computes it", () => {
  const [claims, mac] = [TOKEN.slice(0, TOKEN.lastIndexOf(".")), TOKEN.slice(TOKEN.lastIndexOf(".") + 1)];
  assert.equal(mac, createHmac("sha256", OLD).update(`timmy identity token\n${claims}\n${ORIGIN}`).digest("hex"));
  assert.match(claims, new RegExp(`^t1\\.[0-9a-f]{8}\\.${PUBKEY}\\.${NOW + TTL}$`));
});

Deno.test("identity token: any other character anywhere is refused", () => {
  for (let at = 0; at < TOKEN.length; at++) {
    for (const other of ["0", "1", "f", ".", "A"]) {
      if (TOKEN[at] === other) continue;
      const changed = TOKEN.slice(0, at) + other + TOKEN.slice(at + 1);
      assert.equal(tokens().verify(changed, NOW).ok, false, changed);
    }
  }
});

Deno.test("identity token: another key or a later end needs another signature", () => {
  assert.deepEqual(tokens().verify(TOKEN.replace(PUBKEY, "cd".repeat(32)), NOW), BAD);
  assert.deepEqual(tokens().verify(TOKEN.replace(String(NOW + TTL), String(NOW + 2 * TTL)), NOW), BAD);
});

Deno.test("identity token: one of another instance is refused, even under the same secret", () => {
  assert.deepEqual(tokens([OLD], "https://other.example").verify(TOKEN, NOW), BAD);
  assert.deepEqual(tokens([OLD], "https://timmy.example:8443").verify(TOKEN, NOW), BAD);
});

Deno.test("identity token: the newest secret signs, older ones still verify", () => {
  const both = tokens([NEW, OLD]);
  assert.equal(both.verify(TOKEN, NOW).ok, true);
  const { token } = both.issue(PUBKEY, NOW);
  assert.equal(tokens([NEW]).verify(token, NOW).ok, true);
  assert.deepEqual(tokens([OLD]).verify(token, NOW), BAD);
});

Deno.test("identity token: a secret taken out ends its tokens", () => {
  assert.deepEqual(tokens([NEW]).verify(TOKEN, NOW), BAD);
});

Deno.test("identity token: another secret's name in front of a token does not help", () => {
  const { token } = tokens([NEW]).issue(PUBKEY, NOW);
  const [, newId = ""] = token.split(".");
  const [, oldId = ""] = TOKEN.split(".");
  assert.notEqual(newId, oldId);
  assert.deepEqual(tokens([NEW, OLD]).verify(TOKEN.replace(oldId, newId), NOW), BAD);
});

Deno.test("identity token: an old secret cannot sign in the name of the new one", () => {
  const [, newId = ""] = tokens([NEW]).issue(PUBKEY, NOW).token.split(".");
  const claims = `t1.${newId}.${PUBKEY}.${NOW + TTL}`;
  const mac = createHmac("sha256", OLD).update(`timmy identity token\n${claims}\n${ORIGIN}`).digest("hex");
  assert.deepEqual(tokens([NEW, OLD]).verify(`${claims}.${mac}`, NOW), BAD);
});

Deno.test("identity token: only a token that was ours is called expired", () => {
  const late = NOW + 2 * TTL;
  assert.deepEqual(tokens().verify(TOKEN, late), { ok: false, code: "expired" });
  assert.deepEqual(tokens([NEW]).verify(TOKEN, late), BAD);
});

Deno.test("identity token: any other text is malformed, never an error", () => {
  const others = [
    "",
    "t1",
    "null",
    TOKEN.toUpperCase(),
    ` ${TOKEN}`,
    `${TOKEN}\n`,
    `${TOKEN}.`,
    TOKEN.replace("t1.", "t2."),
    TOKEN.replace(`.${NOW + TTL}.`, ".0."),
    TOKEN.replace(`.${NOW + TTL}.`, `.0${NOW + TTL}.`),
    TOKEN.replace(`.${NOW + TTL}.`, ".1e13."),
    TOKEN.replace(`.${NOW + TTL}.`, ".."),
    TOKEN.slice(0, -1),
    TOKEN.slice(0, TOKEN.lastIndexOf(".")),
    "\ud800",
    "t1.".repeat(100_000),
  ];
  for (const text of others) assert.deepEqual(tokens().verify(text, NOW), MALFORMED, text.slice(0, 40));
});

Deno.test("identity token: short secrets, none, and lifetimes that are none are refused at the start", () => {
  assert.throws(() => tokens([]), /at least one secret/);
  assert.throws(() => tokens([NEW, new Uint8Array(31)]), /at least 32 bytes/);
  for (const ttlMs of [0, -1, 0.5, NaN, Infinity]) {
    assert.throws(() => createIdentityTokens({ secrets: [NEW], instance: ORIGIN, ttlMs }), /lifetime/);
  }
});

Deno.test("identity token: a secret that is changed afterwards changes nothing", () => {
  const secret = new Uint8Array(32).fill(1);
  const made = tokens([secret]);
  secret.fill(0);
  assert.equal(made.verify(TOKEN, NOW).ok, true);
});

Deno.test("identity token: is issued for public keys only", () => {
  for (const pubkey of ["", PUBKEY.toUpperCase(), `${PUBKEY}0`, "npub1abc"]) {
    assert.throws(() => tokens().issue(pubkey, NOW), TypeError);
  }
});
