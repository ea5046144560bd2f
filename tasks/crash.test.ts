import { deepStrictEqual, match, strictEqual, throws } from "node:assert/strict";
import { isClean, quantile, tableOf } from "@/tests/crash/report.ts";
import type { Report } from "@/tests/crash/run.ts";
import { parseArgs } from "./crash.ts";

const REPORT: Report = {
  seed: 7,
  kills: 2,
  killsDuringStart: 1,
  jobs: { complete: 3, failed: 1 },
  sessions: { sessions: { active: 2, closed: 1 }, requests: { complete: 4 }, topups: 1, hungUp: 1, repeated: 2 },
  counts: { answers: 40, refusedForNow: 0 },
  cut: { create: 1, pay: 2, ask: 5, stream: 6, claim: 3, read: 4 },
  unheard: 5,
  resumedMs: [30, 10, 20],
  startedMs: [200],
  payments: 7,
  payouts: 2,
  drainedMs: 100,
  audits: [{ when: "after the end", ok: true }],
  violations: [],
};

Deno.test("parseArgs: numbers, flags and a binary, with 50 kills unless told otherwise", () => {
  const defaults = { kills: 50, seed: 9, payers: 24, keep: false, naive: false, control: false, binary: null };
  deepStrictEqual(parseArgs([], 9), defaults);
  deepStrictEqual(parseArgs(["--kills", "5", "--seed", "3", "--keep", "--binary", "dist/timmy"], 9), {
    ...defaults,
    kills: 5,
    seed: 3,
    keep: true,
    binary: "dist/timmy",
  });
});

Deno.test("parseArgs: what it does not understand is named", () => {
  throws(() => parseArgs(["--kill", "5"], 9), /--kill:/);
  throws(() => parseArgs(["--kills"], 9), /--kills needs a whole number/);
  throws(() => parseArgs(["--kills", "-1"], 9), /--kills needs/);
  throws(() => parseArgs(["--binary"], 9), /--binary needs a path/);
  throws(() => parseArgs(["--payers", "0"], 9), /--payers needs/);
});

Deno.test("isClean: one violation, a missing kill or an audit that failed or never ran is not clean", () => {
  strictEqual(isClean(REPORT, 2), true);
  strictEqual(isClean({ ...REPORT, violations: [{ kind: "stuck", what: "x" }] }, 2), false);
  strictEqual(isClean(REPORT, 3), false);
  strictEqual(isClean({ ...REPORT, audits: [] }, 2), false);
  strictEqual(isClean({ ...REPORT, audits: [{ when: "now", ok: false }] }, 2), false);
});

Deno.test("tableOf: counts each kind and shows a few of each", () => {
  match(tableOf(REPORT, 2), /^ledger = wallet +yes$/m);
  match(tableOf(REPORT, 2), /^resume, p50 \/ max +20 ms \/ 30 ms of 3 \(0 late\)$/m);
  const violations = Array.from({ length: 7 }, (_, n) => ({ kind: "stuck" as const, what: `job ${n}` }));
  match(tableOf(REPORT, 2), /^sessions +3: 2 active, 1 closed; 1 top-ups$/m);
  match(tableOf(REPORT, 2), /^requests of sessions +4: 4 complete; 1 hung up, 2 repeated with their key$/m);
  const books = { kind: "books" as const, what: "1 sat", session: true as const };
  const table = tableOf({ ...REPORT, violations: [...violations, books] }, 2);
  match(table, /^of these about sessions +0 lost, 0 stuck, 0 paid twice, 0 contradicting, 1 off the books$/m);
  match(table, /^stuck +7$/m);
  match(table, /^ledger = wallet +no$/m);
  match(table, /stuck: job 4\nstuck: and 2 more\nbooks: 1 sat$/);
});

Deno.test("quantile: the value that a share of the list does not exceed", () => {
  deepStrictEqual([quantile([4, 1, 3, 2], 0.5), quantile([4, 1, 3, 2], 1), quantile([5], 0.5)], [2, 4, 5]);
  strictEqual(quantile([], 0.5), NaN);
});
