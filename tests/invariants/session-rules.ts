/** The rules of economy.md §6, as questions to the rows of a database and to what clients of sessions were told. */
import { sessionAccount } from "@/lib/ledger/accounts.ts";
import type { Refund } from "@/lib/payments/refunds.machine.ts";
import type { SessionRequest } from "@/lib/sessions/requests.machine.ts";
import { type Session } from "@/lib/sessions/sessions.machine.ts";
import { balance } from "@/lib/ledger/ledger.rows.ts";
import type { FakeWorld } from "../harness/fake-world.ts";
import { type Answer, TEST_SETTINGS, type World } from "../harness/world.ts";
import { must } from "./violation.ts";

/** What an answer said of a request. Once it has ended, nothing may ever say otherwise. */
interface Told {
  state: string;
  chargeSats: number;
  result: string | undefined;
}

/**
 * The `max_sats` in each narrowed token, in order (sats). The second is narrowed from the first, and pays for one request
 * of the two or more that the first pays for.
 */
export const NARROWINGS = { narrowed: [400], "narrowed twice": [400, 150] } as const;
export type Narrowed = keyof typeof NARROWINGS;

/** A request as a client sends it, to be sent again. */
export interface KnownAsk {
  /** Idempotency-Key, good until `goodUntil` (ms since the epoch); null: without one. */
  key: string | null;
  /** A request, or a chat: whole or streamed. */
  as: "request" | "chat" | "stream";
  goodUntil: number;
  text: string;
  authorization: string;
  /** How its token was narrowed, if it was. */
  narrowed: Narrowed | null;
  requestId: string | null;
}

export interface KnownSession {
  id: string;
  handle: string;
  /** Invoices it was shown, deposit first, with their last moment (ms since the epoch). */
  invoices: Map<string, number>;
  /** What paying revealed, and the macaroons that challenges handed out, both by payment hash. */
  preimages: Map<string, string>;
  challenges: Map<string, string>;
  /** As it was shown after the deposit. */
  bearer: string | null;
  /** Answers said that the deposit had arrived. */
  paid: boolean;
  /** A request of it was begun: from then on the id alone shows no macaroon. */
  used: boolean;
  asks: KnownAsk[];
  told: Map<string, Told>;
  /** Invoices its holder sent, and payment hashes that an answer called paid. */
  claims: string[];
  paidTo: Set<string>;
}

/** A chat that has ended, as its answer tells it, in the words of a session's history. */
interface EndedChat {
  requestId: string;
  state: string;
  debitedSats: number;
  result?: string;
}

function whole({ timmy, choices }: Answer["body"]): EndedChat {
  return chatOf(timmy, choices[0].message.content ?? "");
}

function failed({ error }: Answer["body"]): EndedChat | null {
  const { requestId, debitedSats } = error.details ?? {};
  return debitedSats === undefined ? null : { requestId, state: "failed", debitedSats };
}

/** The account stands in the last chunk, or in the frame of an error. */
function streamed(text: string): EndedChat | null {
  const frames = text.split("\n\n").filter((frame) => frame.startsWith("data: {"))
    .map((frame) => JSON.parse(frame.slice("data: ".length)));
  const { timmy } = frames.findLast((frame) => frame.timmy) ?? {};
  return timmy ? chatOf(timmy, frames.map(({ choices }) => choices?.[0]?.delta?.content ?? "").join("")) : null;
}

const chatOf = ({ requestId, state, debitedSats }: EndedChat, text: string): EndedChat => ({
  requestId,
  state,
  debitedSats,
  ...(state === "complete" && { result: text }),
});

/** What clients of sessions did and were told. */
export class SessionHistory {
  readonly all: KnownSession[] = [];

  at = (index: number): KnownSession | undefined => this.all[index % Math.max(1, this.all.length)];

  opened({ status, body }: Answer): void {
    must(status === 201 || status === 503, "opening a session is answered", `${status} ${JSON.stringify(body)}`);
    if (status !== 201 || this.all.some(({ id }) => id === body.sessionId)) return;
    this.all.push({
      id: body.sessionId,
      handle: body.sessionId.slice(0, 13),
      invoices: new Map([[body.invoice.paymentHash, Date.parse(body.invoice.expiresAt)]]),
      preimages: new Map(),
      challenges: new Map(),
      bearer: null,
      paid: false,
      used: false,
      asks: [],
      told: new Map(),
      claims: [],
      paidTo: new Set(),
    });
  }

  read(session: KnownSession, answer: Answer): Answer {
    const { status, body } = answer;
    if (status === 404 && !session.paid) return answer; // nobody paid it, and a day later it was forgotten
    must(status === 200, "a session that was paid can be read", `${status} ${JSON.stringify(body)}`);
    must(body.balanceSats >= 0 && body.heldSats >= 0, "a session is never below zero", JSON.stringify(body));
    const waits = body.state === "awaiting_payment";
    must(!session.paid || !waits, "a session that was paid stays paid", body.state);
    must(!session.used || body.macaroon === undefined, "the id of a used session shows no macaroon", session.handle);
    if (!waits && !body.invoice) session.paid = true;
    if (body.macaroon) session.bearer = body.macaroon;
    if (body.pendingTopup) this.invoiced(session, body.pendingTopup);
    if (body.refund?.refundState === "paid") session.paidTo.add(body.refund.refundPaymentHash);
    return answer;
  }

  invoiced(session: KnownSession, invoice: { paymentHash: string; expiresAt: string }): void {
    session.invoices.set(invoice.paymentHash, Date.parse(invoice.expiresAt));
  }

  /** What a request without a credential was answered: a way to pay, or that there is none. */
  challenged(session: KnownSession, { status, body, headers }: Answer): void {
    must([401, 402, 503].includes(status), "a challenge is answered", `${status} ${JSON.stringify(body)}`);
    if (status === 402) this.#offered(session, body, headers, true);
  }

  /** @param usable whether somebody who asks without a limit may come with it, once it is paid */
  #offered(session: KnownSession, body: Answer["body"], headers: Headers, usable: boolean): void {
    const macaroon = /macaroon="([^"]+)"/.exec(headers.get("www-authenticate") ?? "")?.[1];
    must(macaroon !== undefined, "a challenge has a macaroon", String(headers.get("www-authenticate")));
    const { invoice } = body.error.details;
    this.invoiced(session, invoice);
    if (usable) session.challenges.set(invoice.paymentHash, macaroon as string);
  }

  /** Somebody came with a challenge's macaroon and without its preimage. */
  refused({ status, body }: Answer): void {
    must(status === 401, "a challenge opens nothing without its preimage", `${status} ${JSON.stringify(body)}`);
  }

  toppedUp(session: KnownSession, { status, body }: Answer): void {
    must([201, 401, 409, 503].includes(status), "a top-up is answered", `${status} ${JSON.stringify(body)}`);
    if (status === 201) this.invoiced(session, body.invoice);
    if (body.error?.details?.pendingTopup) this.invoiced(session, body.error.details.pendingTopup);
  }

  asked(session: KnownSession, ask: KnownAsk | null, { status, body, headers }: Answer): void {
    const said = `${status} ${JSON.stringify(body)}`;
    must([200, 202, 401, 402, 403, 503].includes(status), "a request is answered", said);
    if (status === 402) {
      const { balanceSats, priceSats } = body.error.details;
      must(balanceSats >= 0 && priceSats > 0, "a 402 says balance and price", said);
      this.#offered(session, body, headers, ask !== null && ask.narrowed === null);
      return;
    }
    if (status !== 200 && status !== 202) return;
    session.used = true;
    if (ask) {
      must(ask.requestId === null || ask.requestId === body.requestId, "the same key is the same request", said);
      ask.requestId = body.requestId;
    }
    must(body.balanceRemaining === undefined || body.balanceRemaining >= 0, "a session is never below zero", said);
    this.told(session, body);
    this.#withinLimits(session);
  }

  /** How a chat was answered. Whatever tells no end may have been cut off: nothing is known of it then. */
  chatted(session: KnownSession, ask: KnownAsk, { status, body }: Answer): void {
    const said = `${status} ${JSON.stringify(body).slice(-400)}`;
    must([200, 401, 402, 403, 409, 502, 503].includes(status), "a chat is answered", said);
    const ended = typeof body === "string" ? streamed(body) : status === 200 ? whole(body) : failed(body);
    must(status !== 200 || ended !== null, "an answered chat says what it cost", said);
    if (ended === null) return;
    session.used = true;
    const { requestId } = ended;
    must(ask.requestId === null || ask.requestId === requestId, "the same key is the same request", said);
    ask.requestId = requestId;
    this.told(session, ended);
    this.#withinLimits(session);
  }

  /** What requests under a narrowed token were debited, by what their answers said. */
  #withinLimits(session: KnownSession): void {
    const debited = { narrowed: 0, "narrowed twice": 0 };
    for (const { narrowed, requestId } of session.asks) {
      if (narrowed && requestId) debited[narrowed] += session.told.get(requestId)?.chargeSats ?? 0;
    }
    const [whole, part] = NARROWINGS["narrowed twice"];
    const fits = debited["narrowed twice"] <= part && debited.narrowed + debited["narrowed twice"] <= whole;
    must(fits, "no more is spent under a token than its max_sats", JSON.stringify(debited));
  }

  /** One request as any answer shows it: how it ended is said the same way for ever. */
  told(session: KnownSession, body: Answer["body"]): void {
    const before = session.told.get(body.requestId);
    const now: Told = { state: body.state, chargeSats: body.debitedSats, result: body.result };
    const said = `${JSON.stringify(before)}, later ${JSON.stringify(now)}`;
    must(
      !before || before.state === "running" || JSON.stringify(before) === JSON.stringify(now),
      "an answer that was given stays",
      said,
    );
    must(now.state !== "complete" || Boolean(now.result), "an answer that was charged can be fetched", said);
    session.told.set(body.requestId, now);
  }

  closed(session: KnownSession, { status, body }: Answer): void {
    const said = `${status} ${JSON.stringify(body)}`;
    must([200, 202, 400, 401, 403, 409, 503].includes(status), "a close is answered", said);
    const refund = status === 200 ? body : body.error?.details;
    if (refund?.refundState === "paid") session.paidTo.add(refund.refundPaymentHash);
  }
}

/** What must hold of sessions at every moment at which no commit is under way, beside the laws of the books. @throws {Violation} */
export async function assertSessions({ world }: FakeWorld, history: SessionHistory): Promise<void> {
  const requests = (await world.rows<SessionRequest>(["session_request"])).map(({ value }) => value);
  for (const { value: { handle, state, reservedSats } } of await world.rows<Session>(["session"])) {
    const lives = state === "active" || state === "paused";
    const sats = await balance(world.store, sessionAccount(handle)) + reservedSats;
    const isLow = sats < TEST_SETTINGS.sessions.minBalanceSats;
    must(!lives || (state === "paused") === isLow, "a session is paused while it has too little", `${state}, ${sats}`);
  }
  assertFailures(requests);
  await assertTold(world, history, new Map(requests.map((request) => [request.id, request])));
}

/** Failures that a caller has free in an hour; all clients here are one address. */
const FREE_FAILURES = 5;

/** A failure costs nothing, unless so many before it took tokens for nothing (economy.md §4a). */
function assertFailures(requests: readonly SessionRequest[]): void {
  const failed = requests.filter(({ state }) => state === "failed");
  const free = failed.filter(({ chargeSats, usage, evalUsage }) => chargeSats === 0 && (usage ?? evalUsage) !== null);
  const charged = failed.length - failed.filter(({ chargeSats }) => chargeSats === 0).length;
  must(
    charged === 0 || free.length >= FREE_FAILURES,
    "a failure costs nothing",
    `${charged}, after ${free.length} free`,
  );
}

/** Nothing that clients were told has gone, or become something else. */
async function assertTold(
  world: World,
  history: SessionHistory,
  requests: ReadonlyMap<string, SessionRequest>,
): Promise<void> {
  const paid = new Set<string>();
  for (const { value: { state, payout } } of await world.rows<Refund>(["refund"])) {
    if (state === "paid" && payout) paid.add(payout.paymentHash);
  }
  for (const session of history.all) {
    for (const [id, { state, chargeSats }] of session.told) {
      const request = requests.get(id);
      must(request?.session === session.handle, "a request that was begun is there", id);
      if (state === "running") continue;
      must(
        request?.state === state && request.chargeSats === chargeSats,
        "an answer that was given stays",
        `${state} for ${chargeSats}, later ${request?.state} for ${request?.chargeSats}`,
      );
    }
    for (const hash of session.paidTo) {
      must(paid.has(hash), "a refund that was called paid stays paid", hash);
    }
  }
}

/** Reads of every session a client knows; whoever calls it sees to it that they write nothing. */
export async function readSessions({ world }: FakeWorld, history: SessionHistory): Promise<void> {
  for (const [i, session] of history.all.entries()) {
    const path = `/api/sessions/${session.id}`;
    history.read(session, await world.call("GET", path));
    if (!session.bearer) continue;
    const headers = { authorization: `Bearer ${session.bearer}` };
    const list = await world.call("GET", `${path}/requests?limit=100`, undefined, headers);
    must(list.status === 200, "a history can be read", `${list.status} ${JSON.stringify(list.body)}`);
    const other = history.all[i + 1];
    if (!other) continue;
    const { status } = await world.call("GET", `/api/sessions/${other.id}/requests`, undefined, headers);
    must(status === 401, "a token of one session opens no other", String(status));
  }
}

/** Nothing is stuck; what was charged can be fetched. @throws {Violation} */
export async function assertSessionsAtRest({ world, clock }: FakeWorld, history: SessionHistory): Promise<void> {
  const late = clock.now() - 65_000;
  const sessions = new Map((await world.rows<Session>(["session"])).map(({ value }) => [value.handle, value]));
  for (const { handle, state, deposit, expiresAt } of sessions.values()) {
    must(state !== "awaiting_payment" || deposit.expiresAt > late, "an unpaid session expires", handle);
    const lives = state === "active" || state === "paused";
    must(!lives || (expiresAt ?? 0) > late, "a session lives no longer than its time", `${state} until ${expiresAt}`);
  }
  const complete = (await world.rows<SessionRequest>(["session_request"])).map(({ value }) => value)
    .filter(({ state }) => state === "complete");
  for (const session of history.all) {
    const [deposit = ""] = session.invoices.keys();
    const isPaid = session.paid || (await world.wallet.lookupInvoice(deposit)).state === "settled";
    must(!isPaid || sessions.has(session.handle), "a session that was paid is never forgotten", session.handle);
    const { status, body } = await world.call("GET", `/api/sessions/${session.id}`);
    must(status !== 200 || body.heldSats === 0, "nothing stays set aside", JSON.stringify(body));
    if (!session.bearer) continue;
    for (const { id } of complete.filter((request) => request.session === session.handle)) {
      const headers = { authorization: `Bearer ${session.bearer}` };
      const { status, body } = await world.call(
        "GET",
        `/api/sessions/${session.id}/requests/${id}`,
        undefined,
        headers,
      );
      must(status === 200, "an answer that was charged can be fetched", `${status} ${JSON.stringify(body)}`);
      history.told(session, body);
    }
  }
}
