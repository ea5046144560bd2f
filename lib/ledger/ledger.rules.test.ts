import {
  type Account,
  type AccountClass,
  classOf,
  jobAccount,
  mayBeNegative,
  refundAccount,
  reservedAccount,
  sessionAccount,
} from "./accounts.ts";
import { KINDS, nonZero, type Posting, type PostingKind, refundOwed, workPayment } from "./postings.ts";
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  applyPostings,
  balanceOf,
  checkPosting,
  type Counters,
  type Entry,
  LedgerError,
  samePosting,
} from "./ledger.rules.ts";

const posting = (part: Partial<Posting> = {}): Posting => ({
  ...workPayment("abc", { paymentHash: "r", sats: 10 }),
  id: "m",
  ...part,
});
/** What no constructor makes, and a bug or a damaged row can. */
const malformed = (part: Partial<Record<keyof Posting, unknown>>) => ({ ...posting(), ...part }) as Posting;
const refunding = (sats: number) => refundOwed("abc", "job:abc", sats, "abc");

/** One account of each class. */
const EXAMPLES: Record<AccountClass, Account> = {
  lightning: "lightning",
  operator: "operator",
  pool: "pool",
  "fees:routing": "fees:routing",
  "revenue:eval": "revenue:eval",
  "revenue:work": "revenue:work",
  "revenue:session": "revenue:session",
  "revenue:bootstrap": "revenue:bootstrap",
  job: jobAccount("0-z"),
  session: sessionAccount("abc"),
  reserved: reservedAccount("abc"),
  refund: refundAccount("abc-1"),
};
const withCode = (code: LedgerError["code"], says: RegExp) => (error: unknown) =>
  error instanceof LedgerError && error.code === code && says.test(error.message);

Deno.test("checkPosting: takes a posting of any whole, positive amount where its kind goes, and nowhere else", () => {
  checkPosting(posting({ sats: Number.MAX_SAFE_INTEGER }));
  const accounts = Object.values(EXAMPLES);
  for (const [kind, way] of Object.entries(KINDS) as [PostingKind, Record<"from" | "to", readonly AccountClass[]>][]) {
    let ways = 0;
    for (const from of accounts) {
      for (const to of accounts) {
        const one = posting({ kind, from, to });
        if (way.from.includes(classOf(from)!) && way.to.includes(classOf(to)!)) {
          checkPosting(one);
          ways++;
        } else assert.throws(() => checkPosting(one), withCode("malformed", /both accounts|no [a-z-]+ goes from/));
      }
    }
    assert.equal(ways, way.from.length * way.to.length, kind);
  }
});

for (const kind of ["", "work", "Charge", "charge ", "toString", "__proto__"]) {
  Deno.test(`checkPosting: there is no kind "${kind}"`, () => {
    assert.throws(() => checkPosting(malformed({ kind })), withCode("malformed", /there is no kind of posting/));
  });
}

for (const sats of [0, -1, 1.5, NaN, Infinity, Number.MAX_SAFE_INTEGER + 1]) {
  Deno.test(`checkPosting: ${sats} sats is malformed`, () => {
    assert.throws(() => checkPosting(posting({ sats })), withCode("malformed", /no whole, positive number/));
  });
}
for (
  const account of [
    "",
    "lightning2",
    "job:",
    "job:A",
    "job:a b",
    `job:${"a".repeat(65)}`,
    "revenue:x",
    "xjob:a",
    "pool:a",
  ]
) {
  for (const side of ["from", "to"] as const) {
    Deno.test(`checkPosting: there is no account "${account}" to move ${side}`, () => {
      assert.throws(() => checkPosting(malformed({ [side]: account })), withCode("malformed", /there is no account/));
    });
  }
}
Deno.test("checkPosting: a posting from an account to itself is malformed", () => {
  assert.throws(() => checkPosting(posting({ from: "job:a", to: "job:a" })), withCode("malformed", /both accounts/));
});

Deno.test("mayBeNegative: the wallet, the operator and the fees, nothing else", () => {
  for (const account of ["lightning", "operator", "fees:routing"] as const) {
    assert.equal(mayBeNegative(account), true, account);
  }
  for (
    const account of ["job:a", "session:a", "reserved:a", "refund:a", "revenue:eval", "revenue:work", "pool"] as const
  ) {
    assert.equal(mayBeNegative(account), false, account);
  }
});

Deno.test("applyPostings: counters of both accounts grow by the amount, the input is left alone", () => {
  const before = new Map<Account, Counters>([["job:abc", { v: 1, in: 5, out: 2 }]]);
  const after = applyPostings(before, [posting()]);
  assert.deepEqual(after.get("lightning"), { v: 1, in: 0, out: 10 });
  assert.deepEqual(after.get("job:abc"), { v: 1, in: 15, out: 2 });
  assert.deepEqual([...before], [["job:abc", { v: 1, in: 5, out: 2 }]]);
});

Deno.test("applyPostings: an account may be emptied and not a satoshi more, whatever it got and gave before", () => {
  const before = new Map<Account, Counters>([["job:abc", { v: 1, in: 25, out: 15 }]]);
  const out = refunding;
  assert.equal(balanceOf(applyPostings(before, [out(10)]).get("job:abc") as Counters), 0);
  assert.throws(() => applyPostings(before, [out(11)]), withCode("overdraft", /job:abc holds 10 sats, not 11/));
  assert.throws(() => applyPostings(before, [out(6), out(5)]), withCode("overdraft", /holds 4 sats, not 5/));
  assert.throws(() => applyPostings(new Map(), [out(1)]), withCode("overdraft", /holds 0 sats/));
});

Deno.test("applyPostings: what comes in an earlier posting can go out in a later one, not the other way round", () => {
  const into = posting({ id: "in" });
  const out = refunding(10);
  assert.equal(balanceOf(applyPostings(new Map(), [into, out]).get("refund:abc") as Counters), 10);
  assert.throws(() => applyPostings(new Map(), [out, into]), withCode("overdraft", /job:abc/));
});

Deno.test("applyPostings: whatever is moved, all balances add up to zero, and what may not be negative is not", () => {
  const accounts = Object.values(EXAMPLES);
  const anyPosting = fc.record({
    from: fc.constantFrom(...accounts),
    to: fc.constantFrom(...accounts),
    sats: fc.integer({ min: 1, max: 100 }),
  })
    .filter(({ from, to }) => from !== to);
  fc.assert(fc.property(fc.array(anyPosting), (postings) => {
    let counters: Map<Account, Counters> = new Map();
    for (const part of postings) {
      try {
        counters = applyPostings(counters, [posting(part)]);
      } catch (error) {
        assert.ok(error instanceof LedgerError);
      }
    }
    const balances = [...counters].map(([account, value]) => [account, balanceOf(value)] as const);
    assert.equal(balances.reduce((sum, [, balance]) => sum + balance, 0), 0);
    for (const [account, balance] of balances) assert.ok(balance >= 0 || mayBeNegative(account), account);
  }));
});

Deno.test("samePosting: every field but the time counts", () => {
  const entry: Entry = { v: 1, at: 5, ...posting() };
  assert.equal(samePosting(entry, posting()), true);
  for (const part of [{ from: "operator" }, { to: "job:x" }, { sats: 11 }, { kind: "overpaid" }, { ref: "other" }]) {
    assert.equal(samePosting(entry, malformed(part)), false, JSON.stringify(part));
  }
});

Deno.test("nonZero: leaves out what moves nothing, and nothing else", () => {
  const postings = [posting({ id: "a" }), posting({ id: "b", sats: 0 }), posting({ id: "c", sats: -1 })];
  assert.deepEqual(nonZero(postings).map(({ id }) => id), ["a", "c"]);
});
