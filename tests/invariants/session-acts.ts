/** What clients of sessions do in a random history: see interleavings.ts. */
import fc from "fast-check";
import { caveatOf } from "@/lib/l402/caveats.ts";
import { fromBase64, narrow, toBase64 } from "@/lib/l402/macaroon.ts";
import type { FakeWorld } from "../harness/fake-world.ts";
import { payerInvoice } from "../harness/payer.ts";
import type { Answer } from "../harness/world.ts";
import { type KnownAsk, type KnownSession, type Narrowed, NARROWINGS, type SessionHistory } from "./session-rules.ts";

const TEXTS = [
  "What is a hold invoice?",
  "hello",
  "[refuse]",
  "[fail-eval]",
  "[fail-work]",
  "[slow:2500] hello",
] as const;
/** A minimum deposit pays for nothing; the others for some two, six and more answers. */
const AMOUNTS = [100, 300, 800, 3_000] as const;
const DAY_MS = 24 * 3_600_000;

/** `unproven`: the macaroon of a challenge, paid by somebody or not, without its preimage. */
/** How it is asked: a request that survives a crash, or a chat, whole or streamed, which does not. */
const WAYS = ["request", "chat", "stream"] as const;
const CHAT = "/api/v1/chat/completions";

type TokenChoice = "bearer" | Narrowed | "paid for" | "unproven";

export type SessionAct =
  | { act: "open"; amount: number; keyed: boolean }
  /** What the holder of this session would do next. */
  | { act: "use"; session: number }
  /** Pays one of the invoices the session was ever shown, in time or not. */
  | { act: "pay session"; session: number; invoice: number; times: number }
  | {
    act: "ask";
    session: number;
    text: number;
    as: (typeof WAYS)[number];
    with: TokenChoice;
    times: number;
    /** `own`: each call one of its own; a chat can do without. */
    key: "same" | "own" | "none";
  }
  /** A call that was made before, again, with its Idempotency-Key. */
  | { act: "ask again"; session: number; ask: number }
  /** Comes without a token: a challenge. */
  | { act: "knock"; session: number }
  | { act: "top up"; session: number; amount: number; times: number }
  | { act: "close"; session: number; invoice: "right" | "wrong" | "same" | "none"; times: number };

const small = fc.nat({ max: 2 });
const times = fc.integer({ min: 1, max: 3 });
const amount = fc.nat({ max: AMOUNTS.length - 1 });
const SLOW = TEXTS.length - 1;
const text = fc.oneof(fc.constantFrom(0, 1, SLOW), fc.nat({ max: SLOW }));

export const sessionAct: fc.Arbitrary<SessionAct> = fc.oneof(
  { weight: 1, arbitrary: fc.record({ act: fc.constant("open"), amount, keyed: fc.boolean() }) },
  { weight: 5, arbitrary: fc.record({ act: fc.constant("use"), session: small }) },
  {
    weight: 3,
    arbitrary: fc.record({ act: fc.constant("pay session"), session: small, invoice: small, times }),
  },
  {
    weight: 7,
    arbitrary: fc.record({
      act: fc.constant("ask"),
      session: fc.constantFrom(0, 0, 0, 1),
      text,
      with: fc.constantFrom<TokenChoice>("bearer", "bearer", "narrowed", "narrowed twice", "paid for", "unproven"),
      as: fc.constantFrom("request", ...WAYS),
      times: fc.constantFrom(1, 2, 3, 8),
      key: fc.constantFrom("same", "own", "none"),
    }),
  },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("ask again"), session: small, ask: fc.nat({ max: 5 }) }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("knock"), session: small }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("top up"), session: small, amount, times }) },
  {
    weight: 2,
    arbitrary: fc.record({
      act: fc.constant("close"),
      session: small,
      invoice: fc.constantFrom("right", "right", "wrong", "same", "none"),
      times,
    }),
  },
) as fc.Arbitrary<SessionAct>;

/** A session that was paid: else hardly any history would be about spending. */
export const OPENED: SessionAct[][] = [
  [{ act: "open", amount: 2, keyed: false }],
  [{ act: "pay session", session: 0, invoice: 0, times: 1 }],
  [{ act: "ask", session: 0, text: 0, as: "request", with: "bearer", times: 1, key: "own" }],
];

/** Clients of sessions, over HTTP. Whatever they are told goes into the history. */
export class SessionClients {
  #key = 0;
  constructor(readonly fake: FakeWorld, readonly history: SessionHistory) {}

  #call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer> {
    return this.fake.world.call(method, path, body, headers);
  }

  /** Everything this act begins, each part by itself. */
  begin(one: SessionAct): (() => Promise<void>)[] {
    if (one.act === "open") return [() => this.#open(AMOUNTS[one.amount] ?? 100, one.keyed)];
    const session = this.history.at(one.session);
    if (!session) return [];
    switch (one.act) {
      case "use":
        return [() => this.#use(session)];
      case "pay session":
        return Array.from({ length: one.times }, () => () => this.#pay(session, one.invoice, true));
      case "ask": {
        const key = this.#newKey();
        return Array.from({ length: one.times }, () => async () => {
          const authorization = await this.#credential(session, one.with);
          if (authorization === null) return;
          if (one.with === "unproven") return await this.#askUnproven(session, authorization);
          const same = one.key === "same" ? session.asks.find((ask) => ask.key === key) : undefined;
          const keyless = one.key === "none" && one.as !== "request";
          const own = one.key === "same" ? key : keyless ? null : this.#newKey();
          await this.#ask(session, same ?? this.#newAsk(session, { ...one, key: own, authorization }));
        });
      }
      case "ask again": {
        const keyed = session.asks.filter(({ key }) => key !== null);
        const ask = keyed[one.ask % Math.max(1, keyed.length)];
        return ask ? [() => this.#ask(session, ask)] : [];
      }
      case "knock":
        return [() => this.#knock(session)];
      case "top up":
        return Array.from({ length: one.times }, () => () => this.#topUp(session, AMOUNTS[one.amount] ?? 100));
      case "close":
        return Array.from({ length: one.times }, () => () => this.#close(session, one.invoice));
    }
  }

  async #open(amountSats: number, keyed: boolean): Promise<void> {
    const headers = keyed ? { "idempotency-key": this.#newKey() } : undefined;
    const open = () => this.#call("POST", "/api/sessions", { amount_sats: amountSats }, headers);
    for (const answer of keyed ? await Promise.all([open(), open()]) : [await open()]) this.history.opened(answer);
  }

  async #read(session: KnownSession): Promise<Answer> {
    return this.history.read(session, await this.#call("GET", `/api/sessions/${session.id}`));
  }

  async #use(session: KnownSession): Promise<void> {
    const { status, body } = await this.#read(session);
    if (status !== 200) return;
    if (body.invoice) return await this.#pay(session, 0, false);
    if (body.pendingTopup) return await this.#pay(session, session.invoices.size - 1, false);
    if (body.state === "paused") return await this.#topUp(session, 300);
    if (body.state === "expired" || body.state === "closed") return await this.#close(session, "right");
    const authorization = await this.#credential(session, "bearer");
    if (authorization === null) return;
    const as = WAYS[this.#key % WAYS.length] ?? "request";
    const ask = { text: 0, as, with: "bearer", key: this.#newKey(), authorization } as const;
    await this.#ask(session, this.#newAsk(session, ask));
  }

  async #pay(session: KnownSession, index: number, late: boolean): Promise<void> {
    const [hash, expiresAt] = [...session.invoices][index % session.invoices.size] ?? ["", 0];
    // Nobody's payment is under way for longer: after a day the program stops asking (lib/payments/settlements.ts).
    if (this.fake.clock.now() > expiresAt + DAY_MS - 3_600_000) return;
    const paid = await this.fake.world.wallet.payInvoice(hash, { late });
    if (paid.ok) session.preimages.set(hash, paid.preimage);
  }

  #newKey = (): string => `session-key-${this.#key++}`;

  #newAsk(
    session: KnownSession,
    one: { text: number; as: KnownAsk["as"]; with: TokenChoice; key: string | null; authorization: string },
  ): KnownAsk {
    const { key, as, authorization } = one;
    const goodUntil = this.fake.clock.now() + DAY_MS - 3_600_000;
    const narrowed = one.with in NARROWINGS ? one.with as Narrowed : null;
    const text = TEXTS[one.text] ?? "hello";
    const ask: KnownAsk = { key, as, goodUntil, text, authorization, narrowed, requestId: null };
    session.asks.push(ask);
    return ask;
  }

  /** `Authorization` as this client could send it now, or null. */
  async #credential(session: KnownSession, choice: TokenChoice): Promise<string | null> {
    if (choice === "unproven") {
      const [macaroon] = [...session.challenges.values()].slice(-1);
      return macaroon === undefined ? null : `L402 ${macaroon}:${"00".repeat(32)}`;
    }
    if (choice === "paid for") {
      for (const [hash, macaroon] of session.challenges) {
        const preimage = session.preimages.get(hash);
        if (preimage) return `L402 ${macaroon}:${preimage}`;
      }
    }
    if (!session.bearer) await this.#read(session);
    if (!session.bearer) return null;
    if (choice === "bearer" || choice === "paid for") return `Bearer ${session.bearer}`;
    const caveats = NARROWINGS[choice].map((sats) => caveatOf.maxSats(sats));
    return `Bearer ${toBase64(narrow(fromBase64(session.bearer), caveats))}`;
  }

  async #ask(session: KnownSession, ask: KnownAsk): Promise<void> {
    if (this.fake.clock.now() > ask.goodUntil) return;
    const headers = { authorization: ask.authorization, ...(ask.key !== null && { "idempotency-key": ask.key }) };
    if (ask.as !== "request") {
      const messages = [{ role: "user", content: ask.text }];
      const chat = { model: "claude-sonnet-4-6", messages, stream: ask.as === "stream" };
      return this.history.chatted(session, ask, await this.#call("POST", CHAT, chat, headers));
    }
    const answer = await this.#call("POST", `/api/sessions/${session.id}/request`, { request: ask.text }, headers);
    this.history.asked(session, ask, answer);
  }

  async #askUnproven(session: KnownSession, authorization: string): Promise<void> {
    const body = { request: "hello" };
    const answer = await this.#call("POST", `/api/sessions/${session.id}/request`, body, { authorization });
    this.history.refused(answer);
  }

  async #knock(session: KnownSession): Promise<void> {
    const path = `/api/sessions/${session.id}/request`;
    this.history.challenged(session, await this.#call("POST", path, { request: "hello" }));
  }

  async #topUp(session: KnownSession, amountSats: number): Promise<void> {
    const authorization = await this.#credential(session, "bearer");
    if (authorization === null) return;
    const path = `/api/sessions/${session.id}/topup`;
    this.history.toppedUp(session, await this.#call("POST", path, { amount_sats: amountSats }, { authorization }));
  }

  async #close(session: KnownSession, kind: "right" | "wrong" | "same" | "none"): Promise<void> {
    const authorization = await this.#credential(session, "bearer");
    if (authorization === null) return;
    const { body } = await this.#read(session);
    const owed: number = body.refund?.refundState === "pending" ? body.refund.refundAmountSats : body.balanceSats;
    const before = kind === "same" ? session.claims.at(-1) : undefined;
    const sats = Math.max(1, kind === "wrong" ? owed + 1 : owed);
    const invoice = before ?? (await payerInvoice(this.fake.world, sats)).paymentRequest;
    if (kind !== "none") session.claims.push(invoice);
    const path = `/api/sessions/${session.id}/close`;
    const answer = await this.#call("POST", path, kind === "none" ? {} : { invoice }, { authorization });
    this.history.closed(session, answer);
  }
}
