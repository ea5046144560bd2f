import assert from "node:assert/strict";
import fc from "fast-check";
import { costOf, type CostSheet, costSheetOf, type Outcome } from "@/lib/metering/close.rules.ts";
import { anySats, testQuote, used } from "@/lib/metering/testing/quotes.ts";
import { endedRequest, newRequest, type RequestState, type SessionRequest, withCharge } from "./requests.machine.ts";

const NOW = 1_700_000_000_000;
const QUOTE = testQuote();
const ABOUT = {
  id: "r1",
  session: "s1",
  mode: "request",
  model: "work",
  evalModel: "eval",
  text: "hello",
  quote: QUOTE,
  pubkey: null,
  caller: "somewhere",
  requestHash: "0".repeat(64),
  token: "t",
  allowances: ["a"],
} as const satisfies Partial<SessionRequest>;
const RUNNING: SessionRequest = { ...newRequest({ ...ABOUT, allowances: ["a"] }, NOW), reservedSats: 200 };

const BOTH = { evaluation: used(500, 200), work: used(60, 100) };
const OUTCOMES: [outcome: Outcome, state: RequestState][] = [
  [{ end: "complete", used: BOTH, finish: "length" }, "complete"],
  [
    { end: "refused", by: "evaluator", used: { ...BOTH, work: null }, delivered: false, reason: "no", failure: null },
    "rejected",
  ],
  [{ end: "refused", by: "provider", used: BOTH, delivered: true, reason: "filtered", failure: null }, "rejected"],
  [{ end: "left", used: BOTH, delivered: true, errorMessage: "gone" }, "interrupted"],
  [{ end: "broken", used: BOTH, deliveredTokens: 40, errorMessage: "cut", failure: null }, "interrupted"],
  [{ end: "failed", by: "provider", used: BOTH, errorMessage: "down", failure: null }, "failed"],
  [{ end: "failed", by: "us", used: BOTH, errorMessage: "ours", failure: null }, "failed"],
];
const sheetOf = (outcome: Outcome, paidSats = 200, grantedSats = 0): CostSheet =>
  costSheetOf(outcome, costOf(QUOTE, outcome, true), { paidSats, grantedSats, poolCreditPct: 10, btcUsd: 100_000 });

Deno.test("newRequest: runs, with nothing set aside, used, charged or said yet", () => {
  assert.deepEqual(newRequest({ ...ABOUT, allowances: ["a"] }, NOW), {
    v: 1,
    ...ABOUT,
    state: "running",
    at: NOW,
    endedAt: null,
    reservedSats: 0,
    grantedSats: 0,
    adviceSats: 0,
    freeTier: null,
    evalUsage: null,
    usage: null,
    actualSats: 0,
    chargeSats: 0,
    subsidySats: 0,
    balanceSats: null,
    finish: null,
    reason: null,
    errorMessage: null,
    failure: null,
  });
});

for (const [outcome, state] of OUTCOMES) {
  const by = "by" in outcome ? ` by ${outcome.by}` : "";
  Deno.test(`endedRequest: ${outcome.end}${by} makes it ${state}, with what it used and cost and why`, () => {
    const before = structuredClone(RUNNING);
    const costSheet = sheetOf(outcome);
    const ended = endedRequest(RUNNING, { outcome, costSheet, grantedSats: 7, balanceSats: 300, now: NOW + 5 });
    assert.deepEqual(RUNNING, before, "the record that was read is left as it was");
    const { evalUsage, usage, actualSats, chargeSats, subsidySats } = costSheet;
    assert.deepEqual(ended, {
      ...RUNNING,
      state,
      endedAt: NOW + 5,
      grantedSats: 7,
      balanceSats: 300,
      evalUsage,
      usage,
      actualSats,
      chargeSats,
      subsidySats,
      finish: outcome.end === "complete" ? "length" : null,
      reason: outcome.end === "refused" ? outcome.reason : null,
      errorMessage: "errorMessage" in outcome ? withCharge(outcome.errorMessage, chargeSats) : null,
      failure: "failure" in outcome ? outcome.failure : null,
    });
  });
}

Deno.test("property: what is debited is never more than was set aside, and the record says what its cost sheet says", () => {
  const ends = fc.constantFrom(...OUTCOMES.map(([outcome]) => outcome));
  fc.assert(fc.property(ends, anySats, anySats, anySats, (outcome, reservedSats, grantedSats, balanceSats) => {
    const costSheet = sheetOf(outcome, reservedSats, grantedSats);
    const request = { ...RUNNING, reservedSats };
    const ended = endedRequest(request, { outcome, costSheet, grantedSats, balanceSats, now: NOW });
    assert.ok(ended.chargeSats <= ended.reservedSats && ended.subsidySats <= ended.grantedSats);
    assert.equal(ended.reservedSats - ended.chargeSats, costSheet.refundSats);
    assert.equal(ended.grantedSats - ended.subsidySats, costSheet.returnedSats);
  }));
});
