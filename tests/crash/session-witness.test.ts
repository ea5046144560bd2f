import { deepStrictEqual, strictEqual } from "node:assert/strict";
import type { RequestBody, SessionBody } from "@/routes/sessions/sessions.routes.ts";
import {
  type AskPlan,
  awaitsBooking,
  createSessionWitness,
  type Ended,
  type SessionRecord,
} from "./session-witness.ts";
import type { ViolationKind } from "./witness.ts";

const SESSION_ID = "0123456789abc-00";
const invoice = (paymentHash: string, amountSats: number) => ({
  paymentHash,
  amountSats,
  paymentRequest: "lnbcrt1",
  expiresAt: "2030-01-01T00:00:00.000Z",
});
const DEPOSIT = invoice("d", 500);
const body = (more: Partial<SessionBody> = {}): SessionBody => ({
  sessionId: SESSION_ID,
  state: "active",
  createdAt: "2029-01-01T00:00:00.000Z",
  balanceSats: 500,
  heldSats: 0,
  spentSats: 0,
  minimumBalanceSats: 50,
  expiresAt: null,
  trust_tier: "anonymous",
  stubMode: true,
  simulated: [],
  ...more,
});
const ASK: AskPlan = {
  token: "payer1-0-ask0",
  mode: "request",
  streamed: false,
  key: "payer1-0-ask0",
  text: "payer1-0-ask0 why?",
  model: "m",
  ends: ["complete"],
  hangUpAfter: null,
};

function opened(): {
  witness: ReturnType<typeof createSessionWitness>;
  record: SessionRecord;
  kinds: () => ViolationKind[];
} {
  const found: ViolationKind[] = [];
  const witness = createSessionWitness((kind) => void found.push(kind));
  const record = witness.planned("payer1-0");
  witness.created(record, { sessionId: SESSION_ID, invoice: DEPOSIT });
  return { witness, record, kinds: () => [...new Set(found)] };
}

const refund = (refundState: "pending" | "paid", refundPaymentHash: string | null, refundAmountSats = 374) => ({
  refundState,
  refundAmountSats,
  refundPaymentHash,
  refundClaimUntil: null,
  refundAttempts: [],
});

Deno.test("createSessionWitness: a session that is paid, used, topped up and closed is in order", () => {
  const { witness, record, kinds } = opened();
  record.paid.add("d");
  strictEqual(awaitsBooking(record), true);
  const answers = [
    body({ macaroon: "token" }),
    body({ balanceSats: 374, spentSats: 126, pendingTopup: invoice("t", 300) }),
    body({ balanceSats: 674, spentSats: 126 }),
    body({ state: "closed", balanceSats: 0, spentSats: 126, refund: refund("pending", null) }),
    body({ state: "closed", balanceSats: 0, spentSats: 126, refund: refund("paid", "out") }),
  ];
  for (const answer of answers) witness.read(record, record.seen, answer);
  deepStrictEqual(kinds(), []);
  strictEqual(awaitsBooking(record), false);
  strictEqual(record.macaroon, "token");
  deepStrictEqual([...record.invoices], [["d", 500], ["t", 300]]);
});

Deno.test("createSessionWitness: each answer about a session that cannot be true after another is found", () => {
  const closed = body({ state: "closed", balanceSats: 0, refund: refund("paid", "out") });
  const cases: [string, SessionBody[], ViolationKind][] = [
    ["back to waiting for its deposit", [body(), body({ state: "awaiting_payment" })], "contradiction"],
    ["open again", [closed, body()], "contradiction"],
    ["less spent than before", [body({ spentSats: 2 }), body({ spentSats: 1 })], "contradiction"],
    ["owed less than before", [closed, { ...closed, refund: refund("paid", "out", 373) }], "contradiction"],
    ["paid to another invoice", [closed, { ...closed, refund: refund("paid", "other") }], "contradiction"],
    ["below zero", [body({ balanceSats: -1 })], "books"],
    ["expired", [body({ state: "expired" })], "lost"],
  ];
  for (const [name, answers, kind] of cases) {
    const { witness, record, kinds } = opened();
    for (const answer of answers) witness.read(record, record.seen, answer);
    deepStrictEqual(kinds(), [kind], name);
  }
});

Deno.test("createSessionWitness: opening it twice with one key must be answered the same", () => {
  const { witness, record, kinds } = opened();
  witness.created(record, { sessionId: SESSION_ID, invoice: DEPOSIT });
  deepStrictEqual(kinds(), []);
  witness.created(record, { sessionId: "another", invoice: DEPOSIT });
  deepStrictEqual(kinds(), ["contradiction"]);
});

Deno.test("createSessionWitness: each answer to a request that cannot be right is found", () => {
  const right: Ended = { state: "complete", debitedSats: 126, text: "about payer1-0-ask0" };
  const cases: [string, Ended[], ViolationKind[]][] = [
    ["the same again", [right, right], []],
    ["another price", [right, { ...right, debitedSats: 252 }], ["contradiction"]],
    ["another answer", [right, { ...right, text: "payer1-0-ask0 again" }], ["contradiction"]],
    ["somebody else's answer", [{ ...right, text: "about payer9-9" }], ["lost"]],
    ["an answer for nothing", [{ ...right, debitedSats: 0 }], ["unexpected"]],
    ["an end that nothing explains", [{ state: "interrupted", debitedSats: 3, text: null }], ["lost"]],
  ];
  for (const [name, answers, expected] of cases) {
    const { witness, record, kinds } = opened();
    const ask = witness.asking(record, ASK);
    for (const answer of answers) witness.answered(ask, "r1", answer);
    deepStrictEqual(kinds(), expected, name);
  }
  const { witness, record, kinds } = opened();
  const ask = witness.asking(record, ASK);
  witness.answered(ask, "r1", right);
  witness.answered(ask, "r2", right);
  deepStrictEqual(kinds(), ["contradiction"], "one key that made two requests");
});

Deno.test("createSessionWitness: a chat that had no end may be killed, and its key begins another", () => {
  const begunTwice = (mode: AskPlan["mode"], answer: Ended | null) => {
    const { witness, record, kinds } = opened();
    const ask = witness.asking(record, { ...ASK, mode });
    witness.named(ask, "r1");
    ask.heard = "payer1-0-ask0 so far";
    if (answer) witness.answered(ask, "r1", { ...answer, text: null });
    witness.named(ask, "r2");
    return { found: kinds(), killed: ask.killed, heard: ask.heard };
  };
  deepStrictEqual(begunTwice("chat", null), { found: [], killed: ["r1"], heard: "" });
  const complete: Ended = { state: "complete", debitedSats: 126, text: null };
  for (const [mode, answer] of [["chat", complete], ["request", null], ["request", complete]] as const) {
    deepStrictEqual(begunTwice(mode, answer).found, ["contradiction"], `${mode} ${answer?.state}`);
  }
});

Deno.test("createSessionWitness: what failed costs nothing unless on purpose, and a stream told the beginning of what is kept", () => {
  const failed = (debitedSats: number, ends: AskPlan["ends"]) => {
    const { witness, record, kinds } = opened();
    const ask = witness.asking(record, { ...ASK, mode: "chat", ends });
    witness.answered(ask, "r1", { state: "failed", debitedSats, text: null });
    return kinds();
  };
  deepStrictEqual([failed(0, ["failed"]), failed(1, ["failed"])], [[], []]);
  deepStrictEqual([failed(0, ["complete"]), failed(1, ["complete"])], [["lost"], ["lost"]]);
  const told = (heard: string) => {
    const { witness, record, kinds } = opened();
    const ask = witness.asking(record, ASK);
    ask.heard = heard;
    witness.answered(ask, "r1", { state: "complete", debitedSats: 9, text: "payer1-0-ask0 and so on" });
    return kinds();
  };
  deepStrictEqual([told("payer1-0-ask0 and"), told("payer1-0-ask0 or")], [[], ["contradiction"]]);
});

Deno.test("createSessionWitness: what the history says of a request nobody heard of must be delivered and at rest", () => {
  const listed = (more: Partial<RequestBody>) => {
    const { witness, record, kinds } = opened();
    const request = { requestId: "r1", state: "complete", debitedSats: 126, result: "an answer", ...more };
    witness.listed(record, request as RequestBody);
    return kinds();
  };
  deepStrictEqual(listed({}), []);
  deepStrictEqual(listed({ state: "failed", debitedSats: 0 }), []);
  deepStrictEqual(listed({ state: "running" }), ["stuck"]);
  deepStrictEqual(listed({ state: "rejected" }), ["lost"]);
  const { witness, record, kinds } = opened();
  witness.listed(record, { requestId: "r1", state: "complete", debitedSats: 126 } as RequestBody);
  deepStrictEqual(kinds(), ["lost"], "charged, and the answer is gone");
});
