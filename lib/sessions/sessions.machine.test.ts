import { charge, nonZero, type Posting, reservation, reservationReleased } from "@/lib/ledger/postings.ts";
import { type Account, reservedAccount, REVENUE, sessionAccount } from "@/lib/ledger/accounts.ts";
import assert from "node:assert/strict";
import fc from "fast-check";
import { applyPostings, balanceOf, type Counters } from "@/lib/ledger/ledger.rules.ts";
import type { Refund } from "@/lib/payments/refunds.machine.ts";
import {
  closeSession,
  createSession,
  depositExpired,
  depositPaid,
  expireSession,
  isOpen,
  type NoStep,
  offerTopup,
  requestBegan,
  requestEnded,
  type Session,
  type SessionStep,
  stateFor,
  topupExpired,
  topupPaid,
} from "./sessions.machine.ts";
import { OWNER, shownTopup, STRANGER, takeOffer, type Topup, type TopupAsker } from "./topups.rules.ts";

const NOW = 1_700_000_000_000;
const HOUR = 3_600_000;
const TERMS = { minBalanceSats: 50, expiryMs: 24 * HOUR };
const REFUNDS = { dustSats: 1, claimDays: 30, maxFeeSats: 10 };

const invoice = (paymentHash: string, amountSats = 500) => ({
  paymentHash,
  paymentRequest: `lnbcrt-${paymentHash}`,
  amountSats,
  expiresAt: NOW + 600_000,
});
const token = (tokenHash: string) => ({ tokenHash, tokenId: `id-${tokenHash}` });
const topup = (hash: string, by: TopupAsker, { asked = false, sats = 200 } = {}): Topup => ({
  invoice: invoice(hash, sats),
  token: token(hash),
  by,
  asked,
  raises: null,
});
const TOPUP = topup("t1", OWNER, { asked: true });

const fresh: Session = createSession({
  handle: "s1",
  simulated: [],
  deposit: invoice("d1"),
  challengeToken: token("challenge"),
  bearerToken: token("bearer"),
  now: NOW,
});
const active = (part: Partial<Session> = {}): Session => ({
  ...fresh,
  state: "active",
  depositPaid: true,
  expiresAt: NOW + TERMS.expiryMs,
  ...part,
});

/** The step, which must apply. */
function step(result: SessionStep | { outcome: string }): SessionStep {
  assert.equal(result.outcome, "applied");
  return result as SessionStep;
}
/** Wherever it goes, dust is no payer's. */
const dustOf = ({ postings }: SessionStep) => postings.map(({ id, from, sats }) => [id, from, sats]);
const postingsOf = ({ postings }: SessionStep) => postings.map(({ id, from, to, sats }) => [id, from, to, sats]);

// ---- opening ---------------------------------------------------------------------------------------------------------

Deno.test("createSession: waits for its deposit, has nothing and no end", () => {
  assert.deepEqual(
    [
      fresh.state,
      fresh.depositPaid,
      fresh.expiresAt,
      fresh.running,
      fresh.reservedSats,
      fresh.spentSats,
      fresh.tokenUsed,
    ],
    ["awaiting_payment", false, null, 0, 0, 0, false],
  );
  assert.deepEqual([fresh.topups, fresh.topupTokens, fresh.refundIds, fresh.createdAt], [[], [], [], NOW]);
});

const deposited = (session: Session, paymentHash = "d1", paidSats = 500) =>
  depositPaid(session, { paymentHash, paidSats, terms: TERMS, now: NOW + 5 });

Deno.test("depositPaid: the session lives from now on, with what was paid and a look at its end", () => {
  const paid = step(deposited(fresh));
  assert.deepEqual([paid.session.state, paid.session.depositPaid], ["active", true]);
  assert.equal(paid.session.expiresAt, NOW + 5 + TERMS.expiryMs);
  assert.deepEqual(postingsOf(paid), [["settle:d1", "lightning", "session:s1", 500]]);
  assert.deepEqual(paid.tasks, [{ kind: "session-expiry", id: "s1", dueAt: NOW + 5 + TERMS.expiryMs }]);
});
Deno.test("depositPaid: below the minimum balance the session begins paused", () => {
  assert.equal(step(deposited(fresh, "d1", 49)).session.state, "paused");
  assert.equal(step(deposited(fresh, "d1", 50)).session.state, "active");
});
Deno.test("depositPaid: one that had expired unpaid comes to life: paid money is never ignored", () => {
  const expired = step(depositExpired(fresh, "d1")).session;
  assert.equal(expired.state, "expired");
  assert.equal(step(deposited(expired)).session.state, "active");
});
Deno.test("depositPaid: a second time, and another invoice's payment, change nothing", () => {
  assert.deepEqual(deposited(step(deposited(fresh)).session), { outcome: "replayed" });
  assert.deepEqual(deposited(fresh, "d2"), { outcome: "replayed" });
});

Deno.test("depositExpired: only a session that waits for that very invoice expires", () => {
  assert.deepEqual(depositExpired(fresh, "d2"), { outcome: "replayed" });
  assert.deepEqual(depositExpired(active(), "d1"), { outcome: "replayed" });
  const expired = step(depositExpired(fresh, "d1"));
  assert.deepEqual([expired.postings, expired.refund, expired.session.ends], [[], null, 0]);
});

// ---- living ----------------------------------------------------------------------------------------------------------

Deno.test("isOpen: while it is paid, not ended, and before its last moment", () => {
  assert.equal(isOpen(active(), NOW + TERMS.expiryMs - 1), true);
  assert.equal(isOpen(active(), NOW + TERMS.expiryMs), false);
  assert.equal(isOpen(active({ state: "paused" }), NOW), true);
  for (const state of ["awaiting_payment", "expired", "closed"] as const) {
    assert.equal(isOpen(active({ state }), NOW), false, state);
  }
  assert.equal(isOpen(active({ expiresAt: null }), NOW), false);
});

Deno.test("stateFor: paused below the minimum, what running requests hold counted in", () => {
  assert.deepEqual([[49, 0], [50, 0], [0, 50], [10, 39]].map(([b, h]) => stateFor(b as number, h as number, TERMS)), [
    "paused",
    "active",
    "active",
    "paused",
  ]);
});

Deno.test("offerTopup: of those asked for, one for each asker; the second is shown the first", () => {
  const offered = step(offerTopup(active(), TOPUP, NOW)).session;
  assert.deepEqual([offered.topups, offered.tokenUsed], [[TOPUP], true]);
  assert.deepEqual(offerTopup(offered, topup("t2", OWNER, { asked: true, sats: 900 }), NOW), {
    outcome: "pending",
    topup: TOPUP,
  });
  for (const by of [STRANGER, "a narrowed token"]) {
    const both = step(offerTopup(offered, topup("t2", by, { asked: true }), NOW)).session;
    assert.deepEqual(both.topups.map((one) => one.by), [OWNER, by]);
  }
  const late = { ...TOPUP, invoice: { ...TOPUP.invoice, expiresAt: NOW } };
  step(offerTopup(active({ topups: [late] }), topup("t2", OWNER, { asked: true }), NOW));
});
Deno.test("offerTopup: a 402 hands out what waits when that is enough, whoever asked for it, and never another's", () => {
  const offered = step(offerTopup(active(), topup("t1", "n", { sats: 500 }), NOW)).session;
  for (const [by, sats, outcome] of [["n", 500, "pending"], ["n", 501, "applied"], [OWNER, 100, "applied"]] as const) {
    assert.equal(offerTopup(offered, topup("t2", by, { sats }), NOW).outcome, outcome, `${by} ${sats}`);
  }
  const expired = { ...offered.topups[0]!, invoice: { ...invoice("t1", 500), expiresAt: NOW } };
  assert.equal(offerTopup(active({ topups: [expired] }), topup("t2", "n"), NOW).outcome, "applied");
});
Deno.test("offerTopup: a session that is not open is offered none, though it has one", () => {
  for (const session of [fresh, active({ state: "closed", topups: [TOPUP] }), active({ expiresAt: NOW })]) {
    assert.deepEqual(offerTopup(session, TOPUP, NOW), { outcome: "not_open" });
  }
});
Deno.test("offerTopup: whoever has only the id has used no token, and each top-up expires by itself", () => {
  const bySomebody = step(offerTopup(active(), topup("t1", STRANGER), NOW)).session;
  assert.equal(bySomebody.tokenUsed, false);
  const both = step(offerTopup(bySomebody, topup("t2", OWNER, { asked: true }), NOW)).session;
  assert.deepEqual(step(topupExpired(both, "t1")).session.topups.map(({ by }) => by), [OWNER]);
});
Deno.test("offerTopup: at most 16 wait, 12 of others however many tokens they have, and the owner always has one", () => {
  let session = active();
  const offer = (one: Topup) => {
    const made = offerTopup(session, one, NOW);
    if (made.outcome === "applied") session = made.session;
    return made;
  };
  for (let i = 0; i < 3; i++) assert.equal(offer(topup(`s${i}`, STRANGER, { sats: 100 + i })).outcome, "applied");
  const full = { outcome: "full", until: session.topups[0]?.invoice.expiresAt };
  assert.deepEqual(offer(topup("s4", STRANGER, { sats: 900 })), full, "three by 402s for one asker");
  for (let i = 0; i < 9; i++) assert.equal(offer(topup(`n${i}`, `n${i}`, { asked: true })).outcome, "applied");
  for (const asked of [true, false]) assert.deepEqual(offer(topup("n99", "n99", { asked })), full);
  for (let i = 0; i < 3; i++) assert.equal(offer(topup(`o${i}`, OWNER, { sats: 100 + i })).outcome, "applied");
  assert.equal(offer(topup("o4", OWNER, { sats: 900 })).outcome, "full");
  assert.equal(offer(topup("o5", OWNER, { asked: true })).outcome, "applied");
  assert.equal(session.topups.length, 16);
});
Deno.test("takeOffer: asking for just what a 402 offered is that one; another amount, asker or a late one is not", () => {
  const session = active({ topups: [topup("t1", OWNER, { sats: 500 })] });
  const taken = takeOffer(session, { by: OWNER, asked: true, sats: 500 }, NOW);
  assert.deepEqual(taken?.topups, [topup("t1", OWNER, { sats: 500, asked: true })]);
  assert.equal(takeOffer(session, { by: OWNER, asked: true, sats: 501 }, NOW), null);
  assert.equal(takeOffer(session, { by: STRANGER, asked: true, sats: 500 }, NOW), null);
  assert.equal(takeOffer(session, { by: OWNER, asked: true, sats: 500 }, invoice("t1").expiresAt), null);
});
Deno.test("shownTopup: the owner's, one that was asked for before one that a 402 offered, and nobody else's", () => {
  const [asked, offered] = [topup("t1", OWNER, { asked: true }), topup("t2", OWNER)];
  assert.deepEqual(shownTopup(active({ topups: [topup("t0", STRANGER), topup("t3", "n", { asked: true })] })), null);
  assert.deepEqual(shownTopup(active({ topups: [asked, offered] })), asked);
  assert.deepEqual(shownTopup(active({ topups: [topup("t0", OWNER), offered] })), offered);
});

Deno.test("topupExpired: another one may be asked for; one that was replaced changes nothing", () => {
  assert.deepEqual(step(topupExpired(active({ topups: [TOPUP] }), "t1")).session.topups, []);
  assert.deepEqual(topupExpired(active({ topups: [TOPUP] }), "t2"), { outcome: "replayed" });
  assert.deepEqual(topupExpired(active(), "t1"), { outcome: "replayed" });
});

const toppedUp = (session: Session, balanceSats: number, paymentHash = "t1", paidSats = 200) =>
  topupPaid(session, { paymentHash, paidSats, balanceSats, terms: TERMS, now: NOW + 7 });

Deno.test("topupPaid: adds to the balance, renews the life, keeps its token and makes room for the next", () => {
  const paid = toppedUp(active({ state: "paused", topups: [TOPUP] }), 10);
  assert.deepEqual(postingsOf(paid), [["settle:t1", "lightning", "session:s1", 200]]);
  assert.deepEqual(
    [paid.session.state, paid.session.topups, paid.session.topupTokens, paid.session.expiresAt],
    ["active", [], [TOPUP.token], NOW + 7 + TERMS.expiryMs],
  );
  assert.deepEqual(paid.tasks, [{ kind: "session-expiry", id: "s1", dueAt: NOW + 7 + TERMS.expiryMs }]);
});
Deno.test("topupPaid: a small one leaves a nearly empty session paused; what is held counts", () => {
  assert.equal(toppedUp(active({ state: "paused", topups: [TOPUP] }), 10, "t1", 39).session.state, "paused");
  assert.equal(toppedUp(active({ topups: [TOPUP], reservedSats: 1 }), 10, "t1", 39).session.state, "active");
});
Deno.test("topupPaid: a late one still adds, wakes a session that had ended, and leaves the pending one as it is", () => {
  const late = toppedUp(active({ state: "closed", topups: [TOPUP], refundIds: ["s1-1"], ends: 1 }), 0, "t0", 100);
  assert.deepEqual([late.session.state, late.session.topups, late.session.topupTokens], ["active", [TOPUP], []]);
  assert.deepEqual(late.session.refundIds, ["s1-1"]);
});

Deno.test("requestBegan: counts the request and its hold, and marks the token as used", () => {
  const { running, reservedSats, tokenUsed, state } = requestBegan(active({ running: 1, reservedSats: 10 }), 131);
  assert.deepEqual([running, reservedSats, tokenUsed, state], [2, 141, true, "active"]);
});

const after = (session: Session, part: Partial<Parameters<typeof requestEnded>[1]> = {}) =>
  requestEnded(session, {
    durable: true,
    reservedSats: 131,
    costSheet: { chargeSats: 100, modelCostSats: 60, poolShareSats: 8 },
    balanceSats: 400,
    succeeded: true,
    terms: TERMS,
    now: NOW + HOUR,
    ...part,
  });
const busy = active({ running: 2, reservedSats: 140, spentSats: 7 });

Deno.test("requestEnded: its hold is gone, its charge is counted, and a success renews the life", () => {
  const next = after(busy);
  assert.deepEqual([next.running, next.reservedSats, next.spentSats, next.state], [1, 9, 107, "active"]);
  assert.equal(next.expiresAt, NOW + HOUR + TERMS.expiryMs);
});
Deno.test("requestEnded: what was no success renews nothing, and a success never shortens a life", () => {
  assert.equal(after(busy, { succeeded: false }).expiresAt, busy.expiresAt);
  const long = active({ ...busy, expiresAt: NOW + 90 * HOUR });
  assert.equal(after(long).expiresAt, NOW + 90 * HOUR);
});
Deno.test("requestEnded: a session that has too little left pauses, counting what others hold", () => {
  assert.equal(after(busy, { balanceSats: 40 }).state, "paused");
  assert.equal(after(busy, { balanceSats: 41 }).state, "active");
});

// ---- ending ----------------------------------------------------------------------------------------------------------

const close = (session: Session, balanceSats: number, dustSats = 1, now = NOW) =>
  closeSession(session, { balanceSats, terms: { ...REFUNDS, dustSats }, now });

Deno.test("closeSession: the whole balance is owed back, and nothing is due any more", () => {
  const closed = step(close(active(), 321));
  assert.equal(closed.session.state, "closed");
  assert.deepEqual(postingsOf(closed), [["refund:s1-1", "session:s1", "refund:s1-1", 321]]);
  assert.deepEqual(
    [closed.refund?.id, closed.refund?.sats, closed.refund?.state, closed.refund?.source, closed.refund?.claimUntil],
    ["s1-1", 321, "pending", { kind: "session", handle: "s1" }, NOW + 30 * 24 * HOUR],
  );
  assert.deepEqual(closed.session.refundIds, ["s1-1"]);
  assert.deepEqual(closed.tasks, [{ kind: "session-expiry", id: "s1", dueAt: null }]);
});
Deno.test("closeSession: not before the deposit, not while a request runs, not twice", () => {
  assert.deepEqual(close(fresh, 0), { outcome: "unpaid" });
  assert.deepEqual(close(active({ running: 1 }), 10), { outcome: "busy" });
  assert.deepEqual(close(active({ state: "closed" }), 0), { outcome: "ended" });
  assert.deepEqual(close(active({ state: "expired" }), 0), { outcome: "ended" });
  assert.equal(close(active({ state: "paused" }), 10).outcome, "applied");
});
Deno.test("closeSession: an empty session owes nothing, and dust is kept, the account empty all the same", () => {
  const empty = step(close(active(), 0));
  assert.deepEqual([empty.postings, empty.refund, empty.session.refundIds], [[], null, []]);
  const dust = step(close(active(), 9, 10));
  assert.deepEqual([dustOf(dust), dust.refund], [[["dust:s1-1", "session:s1", 9]], null]);
  assert.deepEqual(dust.session.refundIds, []);
});
Deno.test("closeSession: every end has a name of its own, dust or not: a session that lives again can end again", () => {
  const first = step(close(active(), 9, 10)).session;
  const second = step(close(toppedUp(first, 0, "t0", 9).session, 9, 10));
  assert.deepEqual(dustOf(second), [["dust:s1-2", "session:s1", 9]]);
  const third = step(close(toppedUp(second.session, 0, "t9").session, 200));
  assert.deepEqual(third.session.refundIds, ["s1-3"]);
});

const expire = (session: Session, now: number, balanceSats = 100) =>
  expireSession(session, { balanceSats, terms: REFUNDS, now });

Deno.test("expireSession: at its time the balance is a refund; a millisecond before it waits for it", () => {
  const until = NOW + TERMS.expiryMs;
  assert.deepEqual(expire(active(), until - 1), { outcome: "wait", until });
  const over = step(expire(active({ state: "paused" }), until));
  assert.equal(over.session.state, "expired");
  assert.deepEqual(postingsOf(over), [["refund:s1-1", "session:s1", "refund:s1-1", 100]]);
});
Deno.test("expireSession: a running request is waited for; its success may renew the session", () => {
  const until = NOW + TERMS.expiryMs;
  const waits = expire(active({ running: 1 }), until);
  assert.deepEqual(waits, { outcome: "wait", until: until + 60_000 });
});
Deno.test("expireSession: one that has ended, or was never paid, does not end again", () => {
  for (const state of ["awaiting_payment", "expired", "closed"] as const) {
    assert.deepEqual(expire(active({ state }), NOW + 99 * HOUR), { outcome: "replayed" }, state);
  }
});

// ---- any life of a session -------------------------------------------------------------------------------------------

type Fact =
  | { fact: "deposit" | "deposit expires" | "offer" | "pay top-up" | "top-up expires" | "close" | "expire" }
  | { fact: "hold"; part: number }
  | { fact: "settle"; which: number; part: number; succeeded: boolean }
  | { fact: "wait"; ms: number };

const part = fc.integer({ min: 0, max: 100 }).map((percent) => percent / 100);
const facts: fc.Arbitrary<Fact> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ fact: fc.constantFrom("deposit", "deposit expires", "top-up expires") }) },
  { weight: 9, arbitrary: fc.record({ fact: fc.constantFrom("offer", "pay top-up") }) },
  { weight: 4, arbitrary: fc.record({ fact: fc.constantFrom("close", "expire") }) },
  { weight: 5, arbitrary: fc.record({ fact: fc.constant("hold"), part }) },
  {
    weight: 7,
    arbitrary: fc.record({ fact: fc.constant("settle"), which: fc.nat({ max: 9 }), part, succeeded: fc.boolean() }),
  },
  { weight: 3, arbitrary: fc.record({ fact: fc.constant("wait"), ms: fc.constantFrom(1, HOUR, HOUR, 25 * HOUR) }) },
) as fc.Arbitrary<Fact>;

/** A session with its money, moved by facts as the program moves it. */
class Life {
  session = fresh;
  books: ReadonlyMap<Account, Counters> = new Map();
  readonly ids = new Set<string>();
  readonly refunds: Refund[] = [];
  readonly running: { id: string; reservedSats: number }[] = [];
  /** Top-ups that were offered and not paid, however old. */
  readonly offered: { hash: string; sats: number }[] = [];
  now = NOW;
  depositSettled = false;
  paidSats = 0;
  chargedSats = 0;
  dustKeptSats = 0;
  ends = 0;
  #ids = 0;

  constructor(readonly dustSats: number, readonly depositSats: number) {}

  balance = (account: Account): number => balanceOf(this.books.get(account) ?? { v: 1, in: 0, out: 0 });
  get balanceSats(): number {
    return this.balance(sessionAccount("s1"));
  }

  /** As `post` does it, but that an id is never used again: each of these is for something new. */
  #post(postings: readonly Posting[]): void {
    for (const { id } of postings) {
      assert.ok(!this.ids.has(id), `${id} is used twice`);
      this.ids.add(id);
    }
    this.books = applyPostings(this.books, postings);
  }
  #apply(result: SessionStep | NoStep | { outcome: string }): boolean {
    if (result.outcome !== "applied") return false;
    const { session, postings, refund } = result as SessionStep;
    this.#post(postings);
    for (const { id, sats } of postings) if (id.startsWith("dust:")) this.dustKeptSats += sats;
    this.session = session;
    if (refund) this.refunds.push(refund);
    return true;
  }

  live(one: Fact): void {
    const { session, balanceSats, now } = this;
    const terms = { dustSats: this.dustSats, claimDays: 30, maxFeeSats: 10 };
    switch (one.fact) {
      case "deposit": {
        const paid = { paymentHash: "d1", paidSats: this.depositSats, terms: TERMS, now };
        if (this.#apply(depositPaid(session, paid))) this.paidSats += this.depositSats;
        return;
      }
      case "deposit expires":
        return void this.#apply(depositExpired(session, "d1"));
      case "offer": {
        const hash = `t${++this.#ids}`;
        const sats = 1 + this.#ids * 13;
        const one = topup(hash, OWNER, { asked: true, sats });
        if (this.#apply(offerTopup(session, one, now))) this.offered.push({ hash, sats });
        return;
      }
      case "pay top-up": {
        const one = this.offered.shift();
        if (!one) return;
        const { hash: paymentHash, sats: paidSats } = one;
        this.#apply(topupPaid(session, { paymentHash, paidSats, balanceSats, terms: TERMS, now }));
        this.paidSats += paidSats;
        return;
      }
      case "top-up expires":
        return void this.#apply(topupExpired(session, session.topups[0]?.invoice.paymentHash ?? "none"));
      case "close":
        return void (this.ends += Number(this.#apply(closeSession(session, { balanceSats, terms, now }))));
      case "expire":
        return void (this.ends += Number(this.#apply(expireSession(session, { balanceSats, terms, now }))));
      case "hold": {
        const reservedSats = Math.ceil(balanceSats * one.part);
        if (!isOpen(session, now) || reservedSats === 0) return;
        const id = `r${++this.#ids}`;
        this.#post([reservation(id, "s1", reservedSats)]);
        this.session = requestBegan(session, reservedSats);
        this.running.push({ id, reservedSats });
        return;
      }
      case "settle": {
        const [request] = this.running.splice(one.which % Math.max(1, this.running.length), 1);
        if (!request) return;
        const { id, reservedSats } = request;
        const chargeSats = Math.floor(reservedSats * one.part);
        this.#post(nonZero([
          charge(id, reservedAccount(id), REVENUE.session, chargeSats),
          reservationReleased(id, "s1", reservedSats - chargeSats),
        ]));
        this.chargedSats += chargeSats;
        this.session = requestEnded(session, {
          durable: true,
          reservedSats,
          costSheet: { chargeSats, modelCostSats: 0, poolShareSats: 0 },
          balanceSats: this.balanceSats,
          succeeded: one.succeeded,
          terms: TERMS,
          now,
        });
        return;
      }
      case "wait":
        this.now += one.ms;
    }
  }

  /** Everything that must hold of it at any moment. */
  check(): void {
    const { session, books } = this;
    const held = this.running.reduce((sum, { reservedSats }) => sum + reservedSats, 0);
    assert.equal([...books.values()].reduce((sum, counters) => sum + balanceOf(counters), 0), 0);
    assert.equal(0 - this.balance("lightning"), this.paidSats);
    const owed = this.refunds.reduce((sum, { sats }) => sum + sats, 0);
    assert.equal(this.paidSats, this.balanceSats + held + this.chargedSats + owed + this.dustKeptSats);
    assert.deepEqual([session.running, session.reservedSats, session.spentSats], [
      this.running.length,
      held,
      this.chargedSats,
    ]);
    assert.deepEqual(session.refundIds, this.refunds.map(({ id }) => id));
    assert.equal(session.ends, this.ends);
    for (const { id, sats } of this.refunds) assert.equal(this.balance(`refund:${id}`), sats);
    const ended = session.state === "closed" || session.state === "expired" || session.state === "awaiting_payment";
    if (ended) assert.deepEqual([this.balanceSats, session.running], [0, 0], `${session.state} and not empty`);
    else assert.equal(session.state, stateFor(this.balanceSats, held, TERMS));
    assert.equal(session.depositPaid, session.expiresAt !== null);
  }
}

Deno.test("property: in any life of a session every satoshi is there, and none is below zero", () => {
  const lives = fc.record({
    dustSats: fc.constantFrom(1, 1, 40, 2_000),
    depositSats: fc.integer({ min: 100, max: 1_000 }),
    facts: fc.array(facts, { minLength: 10, maxLength: 60, size: "max" }),
  });
  const seen = { ends: 0, charged: 0, revived: 0 };
  fc.assert(
    fc.property(lives, ({ dustSats, depositSats, facts }) => {
      const life = new Life(dustSats, depositSats);
      for (const fact of facts) {
        life.live(fact);
        life.check();
      }
      if (life.ends > 0) seen.ends++;
      if (life.ends > 1) seen.revived++;
      if (life.chargedSats > 0) seen.charged++;
    }),
    { numRuns: 500 },
  );
  // Lives in which nothing happens would be content with anything.
  assert.ok(seen.ends > 50 && seen.charged > 50 && seen.revived > 3, JSON.stringify(seen));
});
