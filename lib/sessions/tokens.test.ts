import assert from "node:assert/strict";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { createRecordIds } from "@/lib/ids.ts";
import type { Store } from "@/lib/store/store.ts";
import { addInvoice } from "@/lib/payments/invoices.rows.ts";
import { countUnder, leftOf, raiseAllowance } from "./sessions.rows.ts";
import { createMemoryStore } from "@/tests/harness/memory-store.ts";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";
import { type Capability, caveatOf } from "@/lib/l402/caveats.ts";
import { encodeIdentifier, tokenHashOf } from "@/lib/l402/identifier.ts";
import { fromBase64, type Macaroon, mint, narrow, toBase64 } from "@/lib/l402/macaroon.ts";
import {
  caveatFailed,
  type CheckedTokens,
  createCheckedTokens,
  LOCATION,
  macaroonFor,
  macaroonOf,
  type NewToken,
  newToken,
  putToken,
  revokeToken,
  type TokenKind,
  type TokenRow,
  type VerifiedToken,
  verifyToken,
} from "./tokens.ts";

const NOW = 1_735_689_600_000;
const SESSION = "0123456789abc";
const OTHER_SESSION = "zyxwvtsrqpnmk";
const recordIds = createRecordIds(new Uint8Array(32).fill(7));
const sessionId = recordIds.idOf("session", SESSION);

/** A payment: only who paid it knows the preimage. */
interface Payment {
  preimage: string;
  paymentHash: string;
}
const payment = (byte: string): Payment => {
  const preimage = byte.repeat(32);
  return { preimage, paymentHash: bytesToHex(sha256(hexToBytes(preimage))) };
};
const DEPOSIT = payment("11");
const TOPUP = payment("22");

/** An instance's books with one session: its deposit is paid, and so is a top-up of 200 sats. */
interface Books {
  store: Store;
  challenge: NewToken;
  bearer: NewToken;
  topup: NewToken;
  /** Payment hashes the wallet was asked about, and its word. */
  asked: string[];
  walletSays: boolean;
  checkedTokens: CheckedTokens;
}

async function books({ paid = true } = {}): Promise<Books> {
  const { store } = await createMemoryStore();
  const random = createSeededRandom(1);
  const make = (kind: TokenKind, { paymentHash }: Payment, maxSats?: number) =>
    newToken({ random, recordIds }, {
      kind,
      session: SESSION,
      paymentHash,
      ...(maxSats !== undefined && { maxSats }),
    });
  const tokens = {
    challenge: make("challenge", DEPOSIT),
    bearer: make("bearer", DEPOSIT),
    topup: make("topup", TOPUP, 200),
  };
  await store.transact(async (tx) => {
    for (const token of Object.values(tokens)) putToken(tx, token);
    for (const [purpose, { paymentHash }] of [["session-deposit", DEPOSIT], ["session-topup", TOPUP]] as const) {
      await addInvoice(tx, {
        v: 1,
        paymentHash,
        paymentRequest: "lnbcrt1",
        purpose,
        ref: SESSION,
        amountSats: 500,
        createdAt: NOW,
        expiresAt: NOW + 600_000,
        settled: paid ? { at: NOW, paidSats: 500 } : null,
      });
    }
  });
  return { store, ...tokens, asked: [], walletSays: false, checkedTokens: createCheckedTokens() };
}

const check = (
  { store, asked, walletSays, checkedTokens }: Books,
  macaroon: Macaroon | string,
  preimage: string | null = null,
  capability: Capability = "jobs",
) =>
  verifyToken(
    {
      store,
      recordIds,
      checkedTokens,
      settled: (paymentHash) => {
        asked.push(paymentHash);
        return Promise.resolve(walletSays);
      },
    },
    { macaroon: typeof macaroon === "string" ? macaroon : toBase64(macaroon), preimage },
    capability,
    NOW,
  );

/** What a good token allows. */
async function good(...args: Parameters<typeof check>): Promise<VerifiedToken> {
  const verified = await check(...args);
  assert.ok(verified.ok, JSON.stringify(verified));
  return verified.token;
}

/** The code of a bad one, whose message holds nothing of it. */
async function refused(...args: Parameters<typeof check>): Promise<string> {
  const verified = await check(...args);
  assert.ok(!verified.ok, "it was taken");
  const [, presented, preimage] = args;
  const text = typeof presented === "string" ? presented : toBase64(presented);
  const said = JSON.stringify(verified);
  assert.ok(text === "" || !said.includes(text), "a refusal repeats the token");
  if (preimage) assert.ok(!said.includes(preimage), "a refusal repeats the preimage");
  return verified.code;
}

const INVALID = "invalid_token";
const text = (token: NewToken) => macaroonOf(token.row);
const macaroon = (token: NewToken) => fromBase64(text(token));
/** Signed with the token's own root key: what only this instance could make. */
const minted = ({ row }: NewToken, caveats: readonly string[], location = LOCATION) =>
  mint({ rootKey: hexToBytes(row.rootKey), identifier: encodeIdentifier(row), location, caveats });

// ---- what is good ----------------------------------------------------------------------------------------------------

Deno.test("verifyToken: the bearer token works alone, for its session, whole and without a limit", async () => {
  const all = await books();
  const { name, ...token } = await good(all, text(all.bearer));
  assert.deepEqual(token, {
    session: SESSION,
    kind: "bearer",
    owner: true,
    allowances: [],
    caveats: all.bearer.row.caveats,
    models: null,
    npub: null,
  });
  assert.equal(name, bytesToHex(sha256(macaroon(all.bearer).signature)));
  assert.deepEqual(all.asked, [], "a payment that is in our books is not asked about");
});
Deno.test("verifyToken: with the deposit's preimage the challenge's token is worth as much, in either case of the hex", async () => {
  const all = await books();
  const token = await good(all, text(all.challenge), DEPOSIT.preimage);
  assert.deepEqual([token.session, token.kind, token.owner, token.allowances], [SESSION, "challenge", true, []]);
  assert.deepEqual(await good(all, text(all.challenge), DEPOSIT.preimage.toUpperCase()), token);
});
Deno.test("verifyToken: a bearer token may come with its preimage, but not with another one", async () => {
  const all = await books();
  await good(all, text(all.bearer), DEPOSIT.preimage);
  assert.equal(await refused(all, text(all.bearer), TOPUP.preimage), "preimage_required");
});
Deno.test("verifyToken: a top-up's token is worth what was paid for it and its holder owns nothing", async () => {
  const all = await books();
  const token = await good(all, text(all.topup), TOPUP.preimage);
  assert.deepEqual([token.session, token.kind, token.owner], [SESSION, "topup", false]);
  assert.deepEqual(token.allowances.map(({ limitSats }) => limitSats), [200]);
});
Deno.test("verifyToken: every token of a session has a name of its own, narrowed ones too", async () => {
  const all = await books();
  const limited = narrow(macaroon(all.bearer), [caveatOf.maxSats(10)]);
  const names = [
    await good(all, text(all.bearer)),
    await good(all, text(all.challenge), DEPOSIT.preimage),
    await good(all, text(all.topup), TOPUP.preimage),
    await good(all, limited),
  ].map(({ name }) => name);
  assert.equal(new Set(names).size, 4);
});

// ---- 1 to 4: whose token it is ---------------------------------------------------------------------------------------

Deno.test("verifyToken 1: what is no macaroon is refused and nothing throws", async () => {
  const all = await books();
  const whole = text(all.bearer);
  for (const junk of ["", "=", "hello", "AgEF", whole.slice(0, -8), `${whole}AAAA`, "A".repeat(100_000), "💥"]) {
    assert.equal(await refused(all, junk), INVALID, junk.slice(0, 20));
  }
  const deps = { ...all, recordIds, settled: () => Promise.resolve(true) };
  const mistaken = await verifyToken(deps, { macaroon: sessionId, preimage: null }, "chat", NOW);
  assert.match(mistaken.ok ? "" : mistaken.message, /a session's id or a nostr_token is none/);
});
Deno.test("verifyToken 2: a token of another service is none of ours, though its signature is right", async () => {
  const all = await books();
  const { caveats, rootKey } = all.bearer.row;
  assert.equal(await refused(all, minted(all.bearer, caveats, "elsewhere")), INVALID);
  assert.equal(await refused(all, { ...macaroon(all.bearer), location: null }), INVALID);
  const otherVersion = encodeIdentifier(all.bearer.row);
  otherVersion[1] = 1;
  const mine = { rootKey: hexToBytes(rootKey), location: LOCATION, caveats };
  assert.equal(await refused(all, mint({ ...mine, identifier: otherVersion })), INVALID);
  assert.equal(await refused(all, mint({ ...mine, identifier: new Uint8Array(5) })), INVALID);
});
Deno.test("verifyToken 3: a token that was never made, though everything in it fits, is refused", async () => {
  const all = await books();
  const madeUp = newToken({ random: createSeededRandom(99), recordIds }, {
    kind: "bearer",
    session: SESSION,
    paymentHash: DEPOSIT.paymentHash,
  });
  assert.equal(await refused(all, text(madeUp)), INVALID);
});
Deno.test("verifyToken 3: a revoked token is refused, and so is all that was narrowed from it; its sisters are not", async () => {
  const all = await books();
  const narrowed = narrow(macaroon(all.bearer), [caveatOf.maxSats(10)]);
  await good(all, narrowed);
  await all.store.transact((tx) => revokeToken(tx, all.bearer.ref));
  assert.equal(await refused(all, text(all.bearer)), INVALID);
  assert.equal(await refused(all, narrowed), INVALID);
  assert.equal(await macaroonFor(all.store, all.bearer.ref), null);
  await good(all, text(all.challenge), DEPOSIT.preimage);
});
Deno.test("verifyToken 4: a token signed with another root key is refused, though identifier and caveats are right", async () => {
  const all = await books();
  const { row } = all.bearer;
  const forged = minted({ ...all.bearer, row: { ...row, rootKey: all.challenge.row.rootKey } }, row.caveats);
  assert.equal(await refused(all, forged), INVALID);
});
Deno.test("verifyToken 4: a holder of a narrowed token cannot take the limit off, raise it, or move it", async () => {
  const all = await books();
  const limited = narrow(macaroon(all.bearer), [caveatOf.maxSats(10), caveatOf.model("m")]);
  const { caveats } = limited;
  for (
    const spoilt of [
      caveats.slice(0, -1),
      caveats.filter((caveat) => caveat !== "max_sats=10"),
      caveats.map((caveat) => caveat === "max_sats=10" ? "max_sats=1000" : caveat),
      [...caveats.slice(0, -2), "model=m", "max_sats=10"],
      caveats.slice(1),
    ]
  ) {
    assert.equal(await refused(all, { ...limited, caveats: spoilt }), INVALID, spoilt.join(" "));
  }
});

// ---- 5 and 6: that it was paid ---------------------------------------------------------------------------------------

Deno.test("verifyToken 5: a challenge is public before anybody paid, so alone it opens nothing, narrowed or not", async () => {
  const all = await books();
  for (const token of [all.challenge, all.topup]) {
    assert.equal(await refused(all, text(token)), "preimage_required");
    const narrowed = narrow(macaroon(token), [caveatOf.maxSats(5)]);
    assert.equal(await refused(all, narrowed), "preimage_required");
  }
});
Deno.test("verifyToken 5: the preimage of another payment opens nothing, one's own small top-up least of all", async () => {
  const all = await books();
  assert.equal(await refused(all, text(all.challenge), TOPUP.preimage), "preimage_required");
  assert.equal(await refused(all, text(all.topup), DEPOSIT.preimage), "preimage_required");
  for (const wrong of ["", "00".repeat(32), "zz".repeat(32), DEPOSIT.preimage.slice(2), DEPOSIT.paymentHash]) {
    assert.equal(await refused(all, text(all.challenge), wrong), "preimage_required", wrong);
  }
});
Deno.test("verifyToken 6: a preimage before the sats are ours opens nothing, nor does a bearer token", async () => {
  const all = await books({ paid: false });
  assert.equal(await refused(all, text(all.challenge), DEPOSIT.preimage), "not_paid");
  assert.equal(await refused(all, text(all.bearer)), "not_paid");
  assert.deepEqual(all.asked, [DEPOSIT.paymentHash, DEPOSIT.paymentHash]);
});
Deno.test("verifyToken 6: the wallet's word counts where our books do not have it yet", async () => {
  const all = { ...await books({ paid: false }), walletSays: true };
  await good(all, text(all.challenge), DEPOSIT.preimage);
  assert.deepEqual(all.asked, [DEPOSIT.paymentHash]);
});
Deno.test("verifyToken 6: nobody makes us ask the wallet with a token or a preimage that is wrong", async () => {
  const all = await books({ paid: false });
  await refused(all, text(all.challenge), TOPUP.preimage);
  await refused(all, { ...macaroon(all.bearer), caveats: [] });
  assert.deepEqual(all.asked, []);
});

// ---- 7 and 8: what it says -------------------------------------------------------------------------------------------

const withCaveats = (all: Books, ...caveats: string[]) => narrow(macaroon(all.bearer), caveats);

Deno.test("verifyToken 7: a caveat that is not understood, malformed or wider refuses the token and is named", async () => {
  const all = await books();
  for (
    const [caveat, key] of [
      ["max_requests=3", "max_requests"],
      ["max_sats=1e3", "max_sats"],
      ["services=other:0", "services"],
      ["timmy_capabilities=admin", "timmy_capabilities"],
      ["model", null],
    ] as const
  ) {
    const verified = await check(all, withCaveats(all, caveat));
    assert.ok(!verified.ok, caveat);
    assert.deepEqual([verified.code, verified.details?.caveat], ["invalid_token", key], caveat);
  }
  assert.equal(await refused(all, withCaveats(all, caveatOf.maxSats(10), caveatOf.maxSats(11))), INVALID);
});
Deno.test("verifyToken 7: a token is over at its second, not before", async () => {
  const all = await books();
  const second = Math.floor(NOW / 1_000);
  assert.equal(await refused(all, withCaveats(all, caveatOf.validUntil(second))), "token_expired");
  await good(all, withCaveats(all, caveatOf.validUntil(second + 1)));
});
Deno.test("verifyToken 8: the session in the caveats must be the one the token was minted for", async () => {
  const all = await books();
  const base = [caveatOf.services(), caveatOf.capabilities(["jobs", "chat"])];
  const other = caveatOf.session(recordIds.idOf("session", OTHER_SESSION));
  assert.equal(await refused(all, minted(all.bearer, [...base, other])), INVALID);
  assert.equal(await refused(all, minted(all.bearer, base)), INVALID, "it names none");
  const guessed = caveatOf.session(`${SESSION}-${"0".repeat(32)}`);
  assert.equal(await refused(all, minted(all.bearer, [...base, guessed])), INVALID, "an id that was not made here");
  assert.equal(await refused(all, withCaveats(all, other)), INVALID, "its holder cannot move it");
  await good(all, withCaveats(all, caveatOf.session(sessionId)));
});
Deno.test("verifyToken 8: a token that is bound to a job is none for a session; the key it is bound to is told to who checks keys", async () => {
  const all = await books();
  assert.equal(await refused(all, withCaveats(all, caveatOf.job("j1"))), INVALID);
  const npub = `npub1${"q".repeat(58)}`;
  assert.equal((await good(all, withCaveats(all, caveatOf.npub(npub)))).npub, npub);
});

// ---- 9: what it allows -----------------------------------------------------------------------------------------------

Deno.test("verifyToken 9: a token without the capability is good and may not, by its name", async () => {
  const all = await books();
  const jobsOnly = withCaveats(all, caveatOf.capabilities(["jobs"]));
  await good(all, jobsOnly, null, "jobs");
  const verified = await check(all, jobsOnly, null, "chat");
  assert.ok(!verified.ok);
  assert.deepEqual(
    [verified.code, verified.details],
    ["caveat_failed", { caveat: "timmy_capabilities" }],
  );
});
Deno.test("verifyToken 9: only a good token is told what it lacks", async () => {
  const all = await books({ paid: false });
  const jobsOnly = narrow(macaroon(all.challenge), [caveatOf.capabilities(["jobs"])]);
  assert.equal(await refused(all, jobsOnly, null, "chat"), "preimage_required");
  assert.equal(await refused(all, jobsOnly, DEPOSIT.preimage, "chat"), "not_paid");
});
Deno.test("verifyToken: models are those that every narrowing names", async () => {
  const all = await books();
  const token = await good(all, withCaveats(all, caveatOf.model("a", "b"), caveatOf.model("b")));
  assert.deepEqual([...token.models ?? []], ["b"]);
});

// ---- narrowing -------------------------------------------------------------------------------------------------------

Deno.test("verifyToken: who holds a narrowed token does not own the session, however it was narrowed", async () => {
  const all = await books();
  for (
    const caveat of [caveatOf.maxSats(9_999), caveatOf.model("m"), caveatOf.services(), caveatOf.session(sessionId)]
  ) {
    assert.equal((await good(all, withCaveats(all, caveat))).owner, false, caveat);
  }
  const fromChallenge = narrow(macaroon(all.challenge), [caveatOf.maxSats(9_999)]);
  assert.equal((await good(all, fromChallenge, DEPOSIT.preimage)).owner, false);
});

Deno.test("verifyToken: a narrowing of a narrowing draws on both allowances, its sister on the shared one", async () => {
  const all = await books();
  const agent = withCaveats(all, caveatOf.maxSats(300));
  const first = narrow(agent, [caveatOf.maxSats(100)]);
  const second = narrow(agent, [caveatOf.model("m"), caveatOf.maxSats(100)]);
  const [own, left, right] = [await good(all, agent), await good(all, first), await good(all, second)];
  assert.deepEqual(own.allowances.map(({ limitSats }) => limitSats), [300]);
  assert.deepEqual(left.allowances.map(({ limitSats }) => limitSats), [300, 100]);
  assert.deepEqual([left.allowances[0], right.allowances[0]], [own.allowances[0], own.allowances[0]]);
  assert.notEqual(left.allowances[1]?.name, right.allowances[1]?.name, "the same limit twice is two limits");

  const leftFor = async ({ allowances }: VerifiedToken) =>
    Math.min(...await Promise.all(allowances.map((allowance) => leftOf(all.store, allowance))));
  const draw = (token: VerifiedToken, change: { reservedSats: number; spentSats: number }) =>
    all.store.transact((tx) => countUnder(tx, token.allowances.map(({ name }) => name), change));
  await draw(left, { reservedSats: 90, spentSats: 0 });
  assert.deepEqual([await leftFor(own), await leftFor(left), await leftFor(right)], [210, 10, 100]);
  await draw(left, { reservedSats: -90, spentSats: 40 });
  await draw(right, { reservedSats: 0, spentSats: 100 });
  await draw(own, { reservedSats: 150, spentSats: 0 });
  assert.deepEqual([await leftFor(own), await leftFor(left), await leftFor(right)], [10, 10, 0]);
});

Deno.test("verifyToken: a narrowed top-up token draws on what the top-up paid for as well", async () => {
  const all = await books();
  const whole = await good(all, text(all.topup), TOPUP.preimage);
  const narrowed = await good(all, narrow(macaroon(all.topup), [caveatOf.maxSats(50)]), TOPUP.preimage);
  assert.deepEqual(narrowed.allowances[0], whole.allowances[0]);
  assert.deepEqual(narrowed.allowances.map(({ limitSats }) => limitSats), [200, 50]);
  const wider = narrow(macaroon(all.topup), [caveatOf.maxSats(201)]);
  assert.equal(await refused(all, wider, TOPUP.preimage), INVALID);
});

Deno.test("verifyToken: two tokens of one session with the same limit are counted apart", async () => {
  const all = await books();
  const fromBearer = await good(all, withCaveats(all, caveatOf.maxSats(100)));
  const smaller = await good(all, withCaveats(all, caveatOf.maxSats(99)));
  assert.notEqual(fromBearer.allowances[0]?.name, smaller.allowances[0]?.name, "other limits of the same token too");
  const fromChallenge = await good(all, narrow(macaroon(all.challenge), [caveatOf.maxSats(100)]), DEPOSIT.preimage);
  assert.notEqual(fromBearer.allowances[0]?.name, fromChallenge.allowances[0]?.name);
});

// ---- a token in another's place --------------------------------------------------------------------------------------

let inPlace = 2;
/** A top-up's token that was asked for with `token`. */
async function inPlaceOf(all: Books, token: VerifiedToken): Promise<Macaroon> {
  const { name, owner, allowances, caveats } = token;
  const made = newToken({ random: createSeededRandom(inPlace++), recordIds }, {
    kind: "topup",
    session: SESSION,
    paymentHash: TOPUP.paymentHash,
    standsFor: { name, owner, allowances },
    caveats,
  });
  await all.store.transact((tx) => putToken(tx, made));
  return macaroon(made);
}

Deno.test("verifyToken: what stands for a token opens the same under the same names, with its own payment's preimage", async () => {
  const all = await books();
  const presented = [
    await good(all, text(all.bearer)),
    await good(all, withCaveats(all, caveatOf.model("m"), caveatOf.maxSats(300), caveatOf.maxSats(100))),
    await good(all, text(all.topup), TOPUP.preimage),
  ];
  for (const token of presented) {
    const other = await inPlaceOf(all, token);
    assert.equal(await refused(all, other), "preimage_required");
    assert.equal(await refused(all, other, DEPOSIT.preimage), "preimage_required");
    assert.deepEqual(await good(all, other, TOPUP.preimage), { ...token, kind: "topup" });
    // Narrowed again it is a token of its own, which draws on all of them.
    const less = await good(all, narrow(other, [caveatOf.maxSats(50)]), TOPUP.preimage);
    assert.deepEqual(less.allowances.slice(0, -1), token.allowances);
    assert.deepEqual([less.owner, less.allowances.at(-1)?.limitSats, less.allowances.at(-1)?.paidFor], [
      false,
      50,
      false,
    ]);
    assert.notEqual(less.name, token.name);
  }
});

Deno.test("leftOf: a top-up raises what an earlier one paid for, and no limit that a holder added", async () => {
  const all = await books();
  const { allowances } = await good(all, narrow(macaroon(all.topup), [caveatOf.maxSats(50)]), TOPUP.preimage);
  for (const { name } of allowances) await all.store.transact((tx) => raiseAllowance(tx, name, 70));
  const left = await Promise.all(allowances.map((allowance) => leftOf(all.store, allowance)));
  assert.deepEqual(left, [270, 50]);
});

// ---- what was checked before -----------------------------------------------------------------------------------------

Deno.test("verifyToken, seen before: what would be found again is not looked for again, and says the same", async () => {
  const all = await books();
  const first = await good(all, text(all.bearer));
  const known = all.checkedTokens.get(text(all.bearer));
  assert.equal(known?.token, first);
  assert.equal(await good(all, text(all.bearer)), first, "the very same object");
  const many = createCheckedTokens();
  for (let i = 0; i <= 10_000; i++) many.add(`token ${i}`, known ?? assert.fail());
  assert.deepEqual([many.get("token 0"), many.get("token 10000")], [undefined, known], "the oldest is forgotten first");
  many.add("x".repeat(2_000), known ?? assert.fail());
  assert.equal(many.get("x".repeat(2_000)), undefined, "a long one would take the room of many");
});

Deno.test("verifyToken, seen before: revoked, signed with another key, of another kind or session it is refused", async () => {
  const changes: [what: string, change: (row: TokenRow) => TokenRow | null, code: string][] = [
    ["revoked", () => null, "invalid_token"],
    ["another root key", (row) => ({ ...row, rootKey: "ab".repeat(32) }), "invalid_token"],
    ["another kind", (row) => ({ ...row, kind: "challenge" }), "preimage_required"],
    ["another session", (row) => ({ ...row, session: OTHER_SESSION }), "invalid_token"],
    ["another payment", (row) => ({ ...row, paymentHash: "cd".repeat(32) }), "not_paid"],
  ];
  for (const [what, change, code] of changes) {
    const all = await books();
    const narrowed = withCaveats(all, caveatOf.maxSats(10));
    for (const token of [text(all.bearer), toBase64(narrowed)]) {
      await good(all, token);
      await good(all, token);
      assert.ok(all.checkedTokens.get(token));
    }
    const rowKey = ["token", all.bearer.ref.tokenHash];
    const row = change(all.bearer.row);
    await all.store.transact((tx) => row ? tx.set(rowKey, row) : revokeToken(tx, all.bearer.ref));
    for (const token of [text(all.bearer), toBase64(narrowed)]) {
      assert.equal(await refused(all, token), code, what);
    }
    await all.store.transact((tx) => tx.set(rowKey, all.bearer.row));
    await good(all, text(all.bearer));
  }
});

Deno.test("verifyToken, seen before: owner and allowances are those of the row as it is", async () => {
  const all = await books();
  const other = await inPlaceOf(all, await good(all, text(all.bearer)));
  assert.equal((await good(all, other, TOPUP.preimage)).owner, true);
  const key = ["token", tokenHashOf(other.identifier)];
  await all.store.transact(async (tx) => tx.set(key, { ...await tx.get<TokenRow>(key) as TokenRow, standsFor: null }));
  assert.equal((await good(all, other, TOPUP.preimage)).owner, false);
});

Deno.test("verifyToken, seen before: time, preimage, payment and capability are asked about every time", async () => {
  const all = await books();
  const token = toBase64(withCaveats(all, caveatOf.validUntil(NOW / 1_000 + 60), caveatOf.capabilities(["jobs"])));
  await good(all, token);
  assert.equal(await refused(all, token, null, "chat"), "caveat_failed");
  assert.equal(await refused(all, token, TOPUP.preimage), "preimage_required");
  const later = { ...all, recordIds, settled: () => Promise.resolve(false) };
  const over = await verifyToken(later, { macaroon: token, preimage: null }, "jobs", NOW + 60_000);
  assert.ok(!over.ok && over.code === "token_expired");
  const paid = text(all.challenge);
  await good(all, paid, DEPOSIT.preimage);
  assert.equal(await refused(all, paid), "preimage_required");
  const unpaid = await books({ paid: false });
  unpaid.walletSays = true;
  await good(unpaid, text(unpaid.bearer));
  unpaid.walletSays = false;
  assert.equal(await refused(unpaid, text(unpaid.bearer)), "not_paid");
});

// ---- making ----------------------------------------------------------------------------------------------------------

Deno.test("newToken: two tokens for one payment share neither id nor root key, and say what they are for", async () => {
  const { challenge, bearer, topup } = await books();
  assert.notEqual(challenge.row.tokenId, bearer.row.tokenId);
  assert.notEqual(challenge.row.rootKey, bearer.row.rootKey);
  assert.notEqual(bearer.row.rootKey, bearer.row.tokenId, "the id is in every copy of the token, the key in none");
  const base = ["services=timmy:0", "timmy_capabilities=jobs,chat", `session=${sessionId}`];
  assert.deepEqual(bearer.row.caveats, base);
  assert.deepEqual(topup.row.caveats, [...base, "max_sats=200"]);
  assert.equal(macaroon(bearer).location, "timmy");
});
Deno.test("macaroonFor: shows a stored token again, the very same text", async () => {
  const all = await books();
  assert.equal(await macaroonFor(all.store, all.bearer.ref), text(all.bearer));
});
Deno.test("verifyToken: reads and writes nothing, whatever is presented", async () => {
  const all = await books();
  const before = await all.store.version();
  await good(all, text(all.bearer));
  await refused(all, text(all.challenge));
  await refused(all, "junk");
  assert.equal(await all.store.version(), before);
});
Deno.test("caveatFailed: names the caveat, says why, keeps details", () => {
  assert.deepEqual(caveatFailed("max_sats", "leaves too little", { leftSats: 3 }), {
    ok: false,
    code: "caveat_failed",
    message: "The token's caveat max_sats leaves too little.",
    details: { caveat: "max_sats", leftSats: 3 },
  });
});
