import assert from "node:assert/strict";
import type { Account } from "@/lib/ledger/accounts.ts";
import type { Posting } from "@/lib/ledger/postings.ts";
import type { Key, Versioned } from "@/lib/store/store.ts";
import { caveatOf } from "@/lib/l402/caveats.ts";
import { fromBase64, narrow, toBase64 } from "@/lib/l402/macaroon.ts";
import { isOver, orderNode, OWN_KEY, payNode, untilNode } from "@/tests/harness/bootstrap-payer.ts";
import { createFakeWorld } from "@/tests/harness/fake-world.ts";
import { keyWith, SCORE } from "@/tests/harness/keys.ts";
import { claimRefund, handleOf, paidJob, pay, payerInvoice, untilState } from "@/tests/harness/payer.ts";
import { paidSession } from "@/tests/harness/session-payer.ts";
import { audit, type AuditSource } from "@/lib/ledger/audit/audit.ts";

export type Row = Versioned & Record<string, unknown>;
export type Rows = Map<string, { key: Key; value: Row }[]>;

const TABLES = [
  "entry",
  "account",
  "job",
  "bootstrap",
  "refund",
  "invoice",
  "session",
  "session_request",
  "allowance",
  "subsidy",
  "budget",
  "subsidized",
  "task",
  "payout",
  "session_result",
];
const COUNTS = ["open_challenges", "pool"];

export interface Books {
  rows: Rows;
  walletSats: number;
  /** Every row of the wallet's own database. */
  wallet: { key: Key; value: Row }[];
  done: string;
  failed: string;
  /** Handles of sessions: one that answered and still runs a request, one that was closed, one nobody paid. */
  busy: string;
  closed: string;
  unpaid: string;
  /** Handles of jobs: one the pool paid for, one it helped, one it pays for that still runs. */
  free: string;
  helped: string;
  running: string;
  /** Handles of nodes: one that is ready, one that is owed back, one that is being made, one nobody paid. */
  ready: string;
  gone: string;
  making: string;
  ordered: string;
  /** Id of a session's request that the pool paid for. */
  freeRequest: string;
}

let good: Promise<Books> | null = null;
/** The same books for every test, as a copy that it may spoil. */
export async function goodBooks(): Promise<Books> {
  return structuredClone(await (good ??= makeBooks()));
}

/**
 * What a good hour leaves: a refunded job, one that is owed its fee, one that waits, one the pool paid for, one it helped
 * and one it pays for that still runs; a session with an answer, a refusal, an answer under a narrowed token and one that
 * still runs under it, one the pool paid for, a session that was closed and paid out, one that waits for its deposit; a node that
 * is ready, one that is owed its fee, one that is being made and one that waits for its fee; and the wallet's balance.
 */
async function makeBooks(): Promise<Books> {
  const fake = await createFakeWorld(1, { feeSats: 1 });
  const { world, call, clock } = fake;
  const node = async (pays: boolean) => {
    const ordered = await orderNode(fake);
    if (pays) await payNode(fake, ordered);
    return ordered;
  };
  const [ready, gone, ordered] = [await node(true), await node(true), await node(false)];
  assert.equal((await call("POST", `${gone.path}/cancel`, {})).status, 202);
  await untilNode(fake, gone, isOver);
  await untilNode(fake, ready, ({ handedOver }) => handedOver);

  const done = await clock.drive(paidJob(world, world.call, "What is a hold invoice?"));
  assert.equal((await claimRefund(world, call, done.jobId, done.costLedger.refundAmountSats)).status, 200);
  const failed = await clock.drive(paidJob(world, world.call, "[fail-eval]"));
  await call("POST", "/api/jobs", { request: "hello" });

  const established = await keyWith(world, SCORE.established, 1);
  const elite = await keyWith(world, SCORE.elite, 2);
  const keyed = async (request: string, auth: Record<string, string>, ...states: string[]) => {
    const { jobId, evalInvoice } = (await call("POST", "/api/jobs", { request }, auth)).body;
    await pay(world, evalInvoice);
    return (await clock.drive(untilState(world, world.call, jobId, states))).body;
  };
  const free = await keyed("hello", elite.auth, "complete");
  const helped = await keyed("hello", established.auth, "awaiting_work_payment");
  await pay(world, helped.workInvoice);
  await clock.drive(untilState(world, world.call, helped.jobId, ["complete"]));

  const busy = await paidSession(world, call, 2_000);
  const ask = (request: string, auth: Record<string, string>) =>
    [`POST`, `/api/sessions/${busy.sessionId}/request`, { request }, auth] as const;
  const narrowed = toBase64(narrow(fromBase64(busy.macaroon), [caveatOf.maxSats(1_000)]));
  const narrowedAuth = { authorization: `Bearer ${narrowed}` };
  for (
    const [request, auth, state] of [["hello", busy.auth, "complete"], ["[refuse]", busy.auth, "rejected"]] as const
  ) {
    assert.equal((await call(...ask(request, auth))).body.state, state);
  }
  assert.equal((await call(...ask("hello", narrowedAuth))).body.state, "complete");
  const freeAnswer = (await call(...ask("hello", { ...busy.auth, ...elite.auth }))).body;
  assert.equal(freeAnswer.free_tier.serve, "free");
  const running = await keyed("[slow:60000] hello", elite.auth, "executing");
  void world.call(...ask("[slow:60000] hello", narrowedAuth)); // its answer never comes: time stands still from here on
  await clock.settle();

  const closed = await paidSession(world, call, 300); // it bought nothing, so its own reserve pays the routing fee
  const { paymentRequest } = await payerInvoice(world, 299);
  const path = `/api/sessions/${closed.sessionId}/close`;
  assert.equal((await call("POST", path, { invoice: paymentRequest }, closed.auth)).body.refundState, "paid");
  const unpaid = await call("POST", "/api/sessions", { amount_sats: 100 });

  const making = await orderNode(fake, { sshPublicKey: OWN_KEY });
  await payNode(fake, making);
  await clock.settle();

  const rows: Rows = new Map();
  for (const table of TABLES) rows.set(table, await world.rows<Row>([table]));
  for (const count of COUNTS) {
    const value = await world.store.get<Row>([count]);
    rows.set(count, value ? [{ key: [count], value }] : []);
  }
  const walletSats = await world.wallet.balanceSats() ?? NaN;
  const wallet = await world.walletStore.list<Row>(["simulated-wallet"], { limit: 500 });
  fake.discard();
  return {
    rows,
    walletSats,
    wallet,
    done: handleOf(done.jobId),
    failed: handleOf(failed.jobId),
    busy: busy.handle,
    closed: closed.handle,
    unpaid: handleOf(unpaid.body.sessionId),
    free: handleOf(free.jobId),
    helped: handleOf(helped.jobId),
    running: handleOf(running.jobId),
    ready: ready.handle,
    gone: gone.handle,
    making: making.handle,
    ordered: ordered.handle,
    freeRequest: freeAnswer.requestId,
  };
}

export const sourceOf = (rows: Rows): AuditSource => ({
  async *rows<T extends Versioned>(prefix: Key) {
    const found = rows.get(String(prefix[0])) ?? [];
    yield* found.filter(({ key }) => prefix.every((part, i) => key[i] === part)) as unknown as { key: Key; value: T }[];
  },
  row: <T extends Versioned>(key: Key) => Promise.resolve((rows.get(String(key[0]))?.[0]?.value ?? null) as T | null),
});

export type Change = (rows: Rows, books: Books) => void;

/** Changes one thing in good books. @returns the checks that then fail, with `more` sats in the wallet than there were. */
export async function failing(change: Change, more: number | null = 0) {
  const books = await goodBooks();
  change(books.rows, books);
  return (await audit(sourceOf(books.rows), more === null ? null : books.walletSats + more)).filter(({ ok }) => !ok);
}

export const row = (rows: Rows, table: string, matches: (value: Row) => boolean): Row => {
  const found = rows.get(table)?.find(({ value }) => matches(value));
  assert.ok(found, `no such ${table}`);
  return found.value;
};
export const account = (rows: Rows, name: string): Row => {
  const found = rows.get("account")?.find(({ key }) => key[1] === name);
  assert.ok(found, `no account ${name}`);
  return found.value;
};
export const add = (value: Row, field: string, n: number) => void (value[field] = Number(value[field]) + n);
export const job = (rows: Rows, handle: string) => row(rows, "job", (value) => value.handle === handle);
export const entry = (rows: Rows, id: string) => row(rows, "entry", (value) => value.id === id);
export const without = (rows: Rows, table: string, matches: (value: Row) => boolean) =>
  void rows.set(table, (rows.get(table) ?? []).filter(({ value }) => !matches(value)));

/** Adds an entry and counts it in both accounts, whatever the rules would say of it. */
export function write(rows: Rows, posting: Posting): void {
  rows.get("entry")?.push({ key: ["entry", posting.id], value: { v: 1, at: 1, ...posting } });
  count(rows, posting, 1);
}
/** Takes an entry out as if it had never been written. */
export function erase(rows: Rows, id: string): void {
  count(rows, entry(rows, id) as unknown as Posting, -1);
  without(rows, "entry", (value) => value.id === id);
}
/** Writes an entry as if it had gone another way. */
export function reroute(rows: Rows, id: string, way: Partial<Record<"from" | "to", Account>>): void {
  const { v: _, at: __, ...posting } = entry(rows, id);
  erase(rows, id);
  write(rows, { ...posting as unknown as Posting, ...way });
}
function count(rows: Rows, { from, to, sats }: Posting, times: 1 | -1): void {
  for (const [name, side] of [[from, "out"], [to, "in"]] as const) {
    const known = rows.get("account")?.some(({ key }) => key[1] === name);
    if (!known) rows.get("account")?.push({ key: ["account", name], value: { v: 1, in: 0, out: 0 } });
    add(account(rows, name), side, sats * times);
  }
}

/** @param first the check that finds it before any other does. */
export function caught(name: string, first: string, detail: RegExp, change: Change): void {
  Deno.test(`audit: ${name} is found by "${first}"`, async () => {
    const wrong = await failing(change);
    assert.equal(wrong[0]?.name, first, JSON.stringify(wrong));
    assert.match(wrong[0]?.detail ?? "", detail);
  });
}
