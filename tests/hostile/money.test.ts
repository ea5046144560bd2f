import { deepStrictEqual, match } from "node:assert/strict";
import { routingFee } from "@/lib/ledger/postings.ts";
import type { Books } from "../books/books.ts";
import { rounds, tally } from "./attack.ts";
import { type FailingModels } from "./failing-models.ts";
import { feeAttack, refusalsOfMany, refusalsOfOne } from "./money.ts";

const HELD = { ok: true, figures: "it went on" };
const MODELS: FailingModels = { url: "", tokens: () => ({ asked: 0, inputTokens: 0 }), stop: () => Promise.resolve() };

const books = (parts: Partial<Books>): Books => ({
  jobs: [],
  bootstraps: [],
  sessions: [],
  requests: [],
  results: new Set(),
  refunds: [],
  claims: new Map(),
  invoices: [],
  entries: [],
  tasks: [],
  wallet: { received: new Map(), payments: new Map(), balanceSats: 0 },
  ...parts,
});

/** Requests that each took 5,000 tokens of the evaluator: 0.4 cents, 4 sats. */
const failed = (times: number, chargeSats: number): Books["requests"] =>
  Array.from({ length: times }, (_, n) => ({
    id: `r${n}`,
    session: "s",
    mode: "chat",
    state: "failed",
    text: null,
    reservedSats: 100,
    grantedSats: 0,
    usage: null,
    evalUsage: { inputTokens: 5_000, outputTokens: 0, source: "estimated" as const },
    actualSats: chargeSats,
    chargeSats,
    subsidySats: 0,
  }));

Deno.test("the attack of fees: one sat of a routing fee that the operator paid is a loss", () => {
  deepStrictEqual(feeAttack.judge?.(books({}), HELD).ok, true);
  const lost = feeAttack.judge?.(books({ entries: [routingFee({ paymentHash: "a".repeat(64), sats: 1 })] }), HELD);
  deepStrictEqual(lost?.ok, false);
  match(lost?.figures ?? "", /the operator paid 1 of them/);
});

Deno.test("the attack of failures: the sixth that one address does not pay, or a sat above the hour's, is too much", () => {
  const one = (requests: Books["requests"]) => refusalsOfOne(MODELS).judge?.(books({ requests }), HELD).ok;
  deepStrictEqual([one(failed(5, 0)), one(failed(6, 0)), one(failed(6, 4))], [true, false, true]);
  const many = (requests: Books["requests"]) => refusalsOfMany(MODELS).judge?.(books({ requests }), HELD).ok;
  deepStrictEqual([many(failed(250, 0)), many(failed(251, 0))], [true, false]);
  deepStrictEqual([many(failed(8, 5)), many(failed(9, 5))], [true, false], "nobody pays for his first failure");
});

Deno.test("rounds: as many as asked, each once; tally: how often each came", async () => {
  const seen: number[] = [];
  deepStrictEqual(await rounds(5, 2, 60_000, (n) => Promise.resolve(void seen.push(n))), 5);
  deepStrictEqual(seen.sort(), [0, 1, 2, 3, 4]);
  deepStrictEqual(await rounds(5, 2, 0, () => Promise.resolve()), 0);
  deepStrictEqual(tally([429, 201, 429]), "201 × 1, 429 × 2");
});
