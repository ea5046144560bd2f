import type { Dice } from "./dice.ts";
import type { Answer, Calls, PayerCounts } from "./payer.ts";
import { RunOver } from "./payer.ts";
import { type AskPlan, type AskRecord, mayBeGone, type SessionRecord, type SessionWitness } from "./session-witness.ts";

/** What a stream told until it ended, broke or was hung up. */
export interface Streamed {
  status: number;
  requestId: string | null;
  text: string;
  /** The account in its last frame; null when that never came. */
  timmy: { requestId: string; state: AskStates; debitedSats: number } | null;
  // The body of an answer that is no stream.
  // deno-lint-ignore no-explicit-any
  body: any;
}
type AskStates = AskPlan["ends"][number];

export interface SessionCalls extends Calls {
  /** One streamed call. @returns null when not even its status came. */
  stream(
    path: string,
    body: unknown,
    headers: Record<string, string>,
    hangUpAfter: number | null,
  ): Promise<Streamed | null>;
}

export interface SessionMood {
  token: string;
  depositSats: number;
  asks: AskPlan[];
  /** Tops up so many times in between, needed or not. */
  topups: number;
  closes: boolean;
  leavesAt: "created" | "paid" | "asked" | null;
  double: boolean;
  givesUp: boolean;
  newInvoice: boolean;
}

/** A model that the harness itself answers for, word by word, so that a stream has a middle. */
export const SLOW_MODEL = "local/word-by-word";
const HOSTED_MODEL = "claude-sonnet-4-6";

/** Draws what the holder of a session will do. */
export function drawSession(dice: Dice, token: string): SessionMood {
  return {
    token,
    depositSats: dice.pick([300, 700, 1_500]),
    asks: Array.from({ length: dice.between(1, 4) }, (_, n) => drawAsk(dice, `${token}-ask${n}`)),
    topups: dice.pick([0, 0, 1, 2]),
    closes: dice.chance(0.8),
    leavesAt: dice.chance(0.15) ? dice.pick(["created", "paid", "asked"]) : null,
    double: dice.chance(0.15),
    givesUp: dice.chance(0.05),
    newInvoice: dice.chance(0.5),
  };
}

function drawAsk(dice: Dice, token: string): AskPlan {
  const kind = dice.pick(["plain", "plain", "plain", "slow", "slow", "refuse", "fail"]);
  const mark = { plain: "", slow: `[slow:${dice.between(50, 300)}]`, refuse: "[refuse]", fail: "[fail-work]" }[kind];
  const chat = dice.chance(0.6);
  const streamed = chat && dice.chance(0.6);
  const hangsUp = streamed && kind !== "refuse" && kind !== "fail" && dice.chance(0.4);
  const end = kind === "refuse" ? "rejected" : kind === "fail" ? "failed" : "complete";
  return {
    token,
    mode: chat ? "chat" : "request",
    streamed,
    // Who hangs up does not come back for the answer.
    key: hangsUp || dice.chance(0.2) ? null : token,
    text: `${token} ${mark} ${"What is a hold invoice? ".repeat(dice.between(1, 6))}`.trim(),
    model: streamed && kind !== "fail" && dice.chance(0.7) ? SLOW_MODEL : HOSTED_MODEL,
    // A chat that is killed has no end: it leaves nothing, and its key begins another.
    ends: hangsUp ? [end, "interrupted"] : [end],
    hangUpAfter: hangsUp ? dice.between(1, 12) : null,
  };
}

const OPEN = ["active", "paused"];

/** One session of one payer, from its deposit to its end, over an unreliable line to a server that is killed all the time. */
export async function oneSession(
  { mood, dice, calls, witness, counts }: {
    mood: SessionMood;
    dice: Dice;
    calls: SessionCalls;
    witness: SessionWitness;
    counts: PayerCounts;
  },
): Promise<void> {
  const record = witness.planned(mood.token);
  const path = () => `/api/sessions/${record.sessionId}`;
  const auth = (): Record<string, string> => ({ authorization: `Bearer ${record.macaroon}` });

  async function once(method: string, path: string, body?: unknown, headers?: Record<string, string>) {
    if (calls.over()) throw new RunOver();
    const answer = await calls.send(method, path, body, headers);
    if (answer) counts.answers++;
    return answer;
  }

  /** The very same call until there is an answer. @param final codes of a 503 that are answers. */
  async function repeat(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
    onCut: () => void = () => {},
  ): Promise<Answer> {
    for (;;) {
      const answer = await once(method, path, body, headers);
      if (answer && (answer.status < 500 || isEnd(answer))) return answer;
      if (answer?.status === 503) counts.refusedForNow++;
      else if (answer) unexpected(`${method} ${path.split("/").at(-1)}`, answer);
      if (!answer && mood.givesUp) throw new RunOver();
      if (!answer) onCut();
      await calls.pause(dice.between(20, 80));
    }
  }

  const nervously = async (call: () => Promise<void>) =>
    void await Promise.all(mood.double ? [call(), call()] : [call()]);

  function unexpected(what: string, { status, body }: Answer): never {
    witness.report("unexpected", `${mood.token}: ${what} was answered ${status} ${body?.error?.code ?? ""}`);
    throw new RunOver();
  }

  async function create(): Promise<void> {
    const headers = { "Idempotency-Key": mood.token };
    const answer = await repeat("POST", "/api/sessions", { amount_sats: mood.depositSats }, headers);
    if (answer.status !== 201) unexpected("opening it", answer);
    witness.created(record, answer.body);
  }

  async function pay(paymentHash: string): Promise<void> {
    const answer = await repeat("POST", `/api/dev/stub/pay/${paymentHash}`);
    if (answer.status !== 200) unexpected("paying", answer);
    record.paid.add(paymentHash);
  }

  async function read() {
    const before = record.seen;
    const answer = await repeat("GET", path());
    if (answer.status === 404) witness.report("lost", `${mood.token}: the session is gone`);
    if (answer.status !== 200) unexpected("reading it", answer);
    witness.read(record, before, answer.body);
    return answer.body;
  }

  /** Pays an invoice and waits until the session has it. */
  async function payIn(paymentHash: string): Promise<void> {
    await nervously(() => pay(paymentHash));
    if (mood.leavesAt === "paid") throw new RunOver();
    for (;;) {
      await read();
      if (record.seen?.openInvoice !== paymentHash) return;
      await calls.pause(dice.between(30, 120));
    }
  }

  async function topUp(sats: number): Promise<void> {
    const answer = await repeat("POST", `${path()}/topup`, { amount_sats: sats }, auth());
    const pending = answer.body?.error?.code === "topup_pending";
    if (answer.status !== 201 && !pending) unexpected("topping up", answer);
    // Offered before, and the answer was lost: the one that waits is as good.
    const invoice = pending ? answer.body.error.details.pendingTopup : answer.body.invoice;
    record.invoices.set(invoice.paymentHash, invoice.amountSats);
    await payIn(invoice.paymentHash);
  }

  async function ask(plan: AskPlan): Promise<void> {
    const record_ = witness.asking(record, plan);
    for (let tries = 0; tries < 3; tries++) {
      const short = plan.streamed ? await stream(record_) : await request(record_);
      if (!short) return;
      await topUp(Math.max(300, short));
    }
  }

  /** @returns how many sats are missing, or null when there is nothing more to ask. */
  async function request(ask: AskRecord): Promise<number | null> {
    const { plan } = ask;
    const chat = plan.mode === "chat";
    const where = chat ? "/api/v1/chat/completions" : `${path()}/request`;
    const headers = { ...auth(), ...(plan.key !== null && { "Idempotency-Key": plan.key }) };
    const send = async () => {
      const body = chat ? chatBody(plan) : { request: plan.text };
      // Without a key whoever got no answer looks into the history instead of asking twice.
      if (plan.key === null) return await once("POST", where, body, headers);
      return await repeat("POST", where, body, headers, () => void ask.repeats++);
    };
    const answers = await Promise.all(plan.key !== null && mood.double ? [send(), send()] : [send()]);
    return answers.map((answer) => answer && note(ask, answer)).find((short) => short !== null) ?? null;
  }

  function note(ask: AskRecord, answer: Answer): number | null {
    const { status, body } = answer;
    if (status === 200 && body.timmy) {
      const { requestId, state, debitedSats } = body.timmy;
      const text = state === "rejected" ? null : body.choices[0].message.content;
      witness.answered(ask, requestId, { state, debitedSats, text });
    } else if (status === 200) {
      const { requestId, state, debitedSats, result } = body;
      witness.answered(ask, requestId, { state, debitedSats, text: result ?? null });
    } else return refused(ask, answer);
    return null;
  }

  /** Answers that are errors: no money, or a failure and what it cost. */
  function refused(ask: AskRecord, answer: Answer): number | null {
    const { code, details } = answer.body?.error ?? {};
    if (code === "insufficient_balance" || code === "session_paused") return details.priceSats;
    if (isEnd(answer)) {
      witness.answered(ask, details?.requestId ?? null, {
        state: code === "upstream_refused" ? "rejected" : "failed",
        debitedSats: details?.debitedSats ?? 0,
        text: null,
      });
      return null;
    }
    if (answer.status === 503) return null; // only of a call without a key: it is looked up in the history
    return unexpected(`asking (${ask.plan.mode})`, answer);
  }

  async function stream(ask: AskRecord): Promise<number | null> {
    const { plan } = ask;
    const headers = { ...auth(), ...(plan.key !== null && { "Idempotency-Key": plan.key }) };
    const body = { ...chatBody(plan), stream: true, stream_options: { include_usage: true } };
    for (;;) {
      if (calls.over()) throw new RunOver();
      const told = await calls.stream("/api/v1/chat/completions", body, headers, plan.hangUpAfter);
      if (told) counts.answers++;
      if (told?.requestId) witness.named(ask, told.requestId);
      if (told && told.status !== 200) {
        const { status, requestId, body } = told;
        const answer = { status, requestId, body };
        if (status !== 503 || isEnd(answer) || plan.key === null) return refused(ask, answer);
        counts.refusedForNow++;
      } else if (told) {
        if (told.text.length > ask.heard.length) ask.heard = told.text;
        if (told.timmy) {
          const { requestId, state, debitedSats } = told.timmy;
          // What failed has no text that anybody keeps.
          const text = state === "complete" || state === "interrupted" ? told.text : null;
          witness.answered(ask, requestId, { state, debitedSats, text });
        }
        if (told.timmy || plan.hangUpAfter !== null) return null;
      }
      if (plan.key === null || mood.givesUp) return null;
      ask.repeats++;
      await calls.pause(dice.between(20, 80));
    }
  }

  async function close(): Promise<void> {
    for (;;) {
      const body = await read();
      const refund = record.seen?.refund;
      if (!OPEN.includes(body.state) && refund?.state !== "pending") return;
      const sats = OPEN.includes(body.state) ? body.balanceSats + body.heldSats : refund?.sats ?? 0;
      if (body.heldSats === 0) await nervously(() => closeOnce(sats));
      await calls.pause(dice.between(20, 80));
    }
  }

  async function closeOnce(sats: number): Promise<void> {
    let invoice = sats > 0 ? await payerInvoice(sats) : undefined;
    for (;;) {
      if (invoice) record.claims.add(invoice.paymentHash);
      const answer = await once("POST", `${path()}/close`, { invoice: invoice?.paymentRequest }, auth());
      const code = answer?.body?.error?.code;
      if (answer && (answer.status === 200 || answer.status === 202)) return noteClosed(answer.body);
      if (answer?.status === 409 && code === "refund_claimed") {
        const { refundState, refundPaymentHash } = answer.body.error.details;
        return noteClosed({ refundState, refundPaymentHash });
      }
      // The balance is another one by now, or a request has begun: look again.
      if (["session_busy", "balance_changed", "invoice_wrong_amount", "no_refund"].includes(code)) return;
      if (answer && answer.status !== 503) unexpected("costSheet", answer);
      if (answer) counts.refusedForNow++;
      if (!answer && mood.givesUp) throw new RunOver();
      await calls.pause(dice.between(20, 80));
      if (mood.newInvoice && invoice) invoice = await payerInvoice(sats);
    }
  }

  function noteClosed({ refundPaymentHash: hash }: { refundState: string; refundPaymentHash: string | null }): void {
    if (hash !== null && !record.claims.has(hash)) {
      witness.report("contradiction", `${mood.token}: its balance goes to an invoice that is not the payer's`);
    }
  }

  async function payerInvoice(amountSats: number): Promise<{ paymentRequest: string; paymentHash: string }> {
    const answer = await repeat("POST", "/api/dev/stub/invoice", { amountSats });
    if (answer.status !== 201) unexpected("making an invoice", answer);
    return answer.body;
  }

  async function life(): Promise<void> {
    await nervously(create);
    if (mood.leavesAt === "created") return;
    await payIn(record.seen?.openInvoice ?? "");
    if (record.macaroon === null) {
      return witness.report("lost", `${mood.token}: the deposit is there, and no macaroon was shown`);
    }
    for (const [n, plan] of mood.asks.entries()) {
      await ask(plan);
      if (mood.leavesAt === "asked") return;
      if (n < mood.topups) await topUp(dice.pick([100, 400]));
      await calls.pause(dice.between(0, 100));
    }
    if (!mood.closes) return;
    await close();
    await read();
  }

  try {
    await life();
  } catch (error) {
    if (!(error instanceof RunOver)) throw error;
  }
}

/** An error that says how a request ended, whatever its status. */
const isEnd = ({ body }: Answer): boolean =>
  ["upstream_failed", "upstream_refused", "upstream_misconfigured"].includes(body?.error?.code);

const chatBody = ({ model, text }: AskPlan) => ({ model, messages: [{ role: "user", content: text }] });

/** Reads a session once, for the record. @returns false when no answer came. */
export async function readSessionOnce(calls: Calls, witness: SessionWitness, record: SessionRecord): Promise<boolean> {
  const before = record.seen;
  const answer = await calls.send("GET", `/api/sessions/${record.sessionId}`);
  if (!answer || answer.status >= 500) return false;
  if (answer.status === 200) witness.read(record, before, answer.body);
  else witness.report("lost", `${record.token}: the session is gone (${answer.status})`);
  return true;
}

/** The whole history of a session, and every answer in it, as its holder reads them. @returns false without an answer. */
export async function readHistory(calls: Calls, witness: SessionWitness, record: SessionRecord): Promise<boolean> {
  if (record.macaroon === null) return true;
  const headers = { authorization: `Bearer ${record.macaroon}` };
  const path = `/api/sessions/${record.sessionId}/requests`;
  const ids: string[] = [];
  let after: string | undefined;
  do {
    const page = await calls.send("GET", `${path}?limit=100${after ? `&after=${after}` : ""}`, undefined, headers);
    if (!page || page.status !== 200) return false;
    for (const { requestId } of page.body.requests) ids.push(requestId);
    after = page.body.next;
  } while (after);
  for (const ask of record.asks) {
    const { requestId, plan, answer } = ask;
    if (requestId !== null && !mayBeGone(ask) && !ids.includes(requestId)) {
      witness.report(
        "lost",
        `${plan.token}: ${answer ? "it was answered" : "it began"}, and the history does not have it`,
      );
    }
  }
  for (const id of ids) {
    const one = await calls.send("GET", `${path}/${id}`, undefined, headers);
    if (!one || one.status !== 200) return false;
    witness.listed(record, one.body);
  }
  return true;
}
