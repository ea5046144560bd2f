import assert from "node:assert/strict";
import type { Key, Versioned } from "@/lib/store/store.ts";
import { caveatOf } from "@/lib/l402/caveats.ts";
import { fromBase64, narrow, toBase64 } from "@/lib/l402/macaroon.ts";
import { createFakeWorld } from "@/tests/harness/fake-world.ts";
import { keyWith, SCORE } from "@/tests/harness/keys.ts";
import { claimRefund, handleOf, paidJob, pay, payerInvoice, untilState } from "@/tests/harness/payer.ts";
import { paidSession } from "@/tests/harness/session-payer.ts";
import { audit, type AuditSource } from "./audit.ts";

type Row = Versioned & Record<string, unknown>;
type Rows = Map<string, { key: Key; value: Row }[]>;

const TABLES = [
  "entry",
  "account",
  "job",
  "refund",
  "invoice",
  "session",
  "session_request",
  "allowance",
  "subsidy",
  "budget",
  "subsidized",
  "task",
];
const COUNTS = ["open_challenges", "pool"];

interface Books {
  rows: Rows;
  walletSats: number;
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
  /** Id of a session's request that the pool paid for. */
  freeRequest: string;
}

let good: Promise<Books> | null = null;
/** The same books for every test, as a copy that it may spoil. */
async function goodBooks(): Promise<Books> {
  return structuredClone(await (good ??= makeBooks()));
}

/**
 * What a good hour leaves: a refunded job, one that is owed its fee, one that waits, one the pool paid for, one it helped
 * and one it pays for that still runs; a session with an answer, a refusal, an answer under a narrowed token and one that
 * still runs under it, one the pool paid for, a session that was closed and paid out, one that waits for its deposit; and the
 * wallet's balance.
 */
async function makeBooks(): Promise<Books> {
  const fake = await createFakeWorld(1, { feeSats: 1 });
  const { world, call, clock } = fake;
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

  const closed = await paidSession(world, call, 300);
  const { paymentRequest } = await payerInvoice(world, 300);
  const path = `/api/sessions/${closed.sessionId}/close`;
  assert.equal((await call("POST", path, { invoice: paymentRequest }, closed.auth)).body.refundState, "paid");
  const unpaid = await call("POST", "/api/sessions", { amount_sats: 100 });

  const rows: Rows = new Map();
  for (const table of TABLES) rows.set(table, await world.rows<Row>([table]));
  for (const count of COUNTS) {
    const value = await world.store.get<Row>([count]);
    rows.set(count, value ? [{ key: [count], value }] : []);
  }
  const walletSats = await world.wallet.balanceSats() ?? NaN;
  fake.discard();
  return {
    rows,
    walletSats,
    done: handleOf(done.jobId),
    failed: handleOf(failed.jobId),
    busy: busy.handle,
    closed: closed.handle,
    unpaid: handleOf(unpaid.body.sessionId),
    free: handleOf(free.jobId),
    helped: handleOf(helped.jobId),
    running: handleOf(running.jobId),
    freeRequest: freeAnswer.requestId,
  };
}

const sourceOf = (rows: Rows): AuditSource => ({
  async *rows<T extends Versioned>(prefix: Key) {
    const found = rows.get(String(prefix[0])) ?? [];
    yield* found.filter(({ key }) => prefix.every((part, i) => key[i] === part)) as unknown as { key: Key; value: T }[];
  },
  row: <T extends Versioned>(key: Key) => Promise.resolve((rows.get(String(key[0]))?.[0]?.value ?? null) as T | null),
});

const ALL = [
  "entries are whole and positive",
  "all balances add up to zero",
  "every counter equals its entries",
  "no account is overdrawn",
  "every job holds what its state says",
  "every refund holds what it owes",
  "every settled invoice is booked once",
  "every reservation is that of a running request",
  "every request was charged from its reservation and the rest released",
  "every session holds what its running requests may cost",
  "every session spent what its requests were debited",
  "every session that is not open is empty",
  "every refund of a session is named by it",
  "every narrowed token counts what was drawn under it",
  "sessions that await payment are counted",
  "every subsidy is in the ledger, to the end",
  "every subsidy is that of its request, reserved only while it runs",
  "every budget counts what its subsidies took",
  "every offer of help is counted while it waits",
  "the pool had its share of every charge",
  "the wallet holds what the ledger says",
];

Deno.test("audit: good books pass every check, each with what was counted", async () => {
  const { rows, walletSats } = await goodBooks();
  const checks = await audit(sourceOf(rows), walletSats);
  assert.deepEqual(checks.map(({ name }) => name), ALL);
  assert.deepEqual(checks.filter(({ ok }) => !ok), []);
  const details = checks.map(({ detail }) => detail);
  assert.deepEqual(details.slice(4, 7), ["6 jobs", "4 refunds", "9 settled invoices"]);
  assert.deepEqual(details.slice(7, -2), [
    "5 requests",
    "5 requests",
    "3 sessions",
    "3 sessions",
    "3 sessions",
    "1 refunds",
    "1 narrowed tokens",
    "1 sessions",
    "4 subsidies",
    "11 jobs and requests",
    "3 counts",
    "0 keys",
  ]);
  assert.match(details.at(-2) ?? "", /^\d\d sats of \d{3}$/);
});

Deno.test("audit: empty books pass", async () => {
  const checks = await audit(sourceOf(new Map()), 0);
  assert.deepEqual(checks.filter(({ ok }) => !ok), []);
});

type Change = (rows: Rows, books: Books) => void;

/** Changes one thing in good books. @returns the checks that then fail, with `more` sats in the wallet than there were. */
async function failing(change: Change, more: number | null = 0) {
  const books = await goodBooks();
  change(books.rows, books);
  return (await audit(sourceOf(books.rows), more === null ? null : books.walletSats + more)).filter(({ ok }) => !ok);
}

const row = (rows: Rows, table: string, matches: (value: Row) => boolean): Row => {
  const found = rows.get(table)?.find(({ value }) => matches(value));
  assert.ok(found, `no such ${table}`);
  return found.value;
};
const account = (rows: Rows, name: string): Row => {
  const found = rows.get("account")?.find(({ key }) => key[1] === name);
  assert.ok(found, `no account ${name}`);
  return found.value;
};
const add = (value: Row, field: string, n: number) => void (value[field] = Number(value[field]) + n);
const job = (rows: Rows, handle: string) => row(rows, "job", (value) => value.handle === handle);

function caught(name: string, first: string, detail: RegExp, change: Change): void {
  Deno.test(`audit: ${name} is found by "${first}"`, async () => {
    const wrong = await failing(change);
    assert.equal(wrong[0]?.name, first, JSON.stringify(wrong));
    assert.match(wrong[0]?.detail ?? "", detail);
  });
}

for (const sats of [0.5, 0, -3]) {
  caught(`an entry of ${sats} sats`, "entries are whole and positive", /entry .* posts/, (rows) => {
    row(rows, "entry", () => true).sats = sats;
  });
}
caught(
  "a counter that was raised",
  "all balances add up to zero",
  /add up to 1$/,
  (rows) => add(account(rows, "revenue:work"), "in", 1),
);
caught(
  "two counters that were raised alike",
  "every counter equals its entries",
  /account revenue:(work|eval)/,
  (rows) => {
    add(account(rows, "revenue:work"), "in", 1);
    add(account(rows, "revenue:eval"), "out", 1);
  },
);
caught("an entry that was lost", "every counter equals its entries", /account/, (rows) => {
  rows.set("entry", (rows.get("entry") ?? []).slice(1));
});
caught("an account whose counters were lost", "all balances add up to zero", /add up to/, (rows) => {
  rows.set("account", (rows.get("account") ?? []).filter(({ key }) => key[1] !== "revenue:eval"));
});
caught(
  "an empty account whose counters were lost",
  "every counter equals its entries",
  /has entries and no counters/,
  (rows, books) => {
    rows.set("account", (rows.get("account") ?? []).filter(({ key }) => key[1] !== `job:${books.done}`));
  },
);
caught(
  "an account that gave more than it had",
  "no account is overdrawn",
  /account revenue:eval holds -\d+/,
  (rows) => {
    const entry = row(rows, "entry", () => true);
    const stolen = { ...entry, id: "stolen", from: "revenue:eval", to: "operator", sats: 1_000, ref: "x" };
    rows.get("entry")?.push({ key: ["entry", "stolen"], value: stolen });
    add(account(rows, "operator"), "in", 1_000);
    add(account(rows, "revenue:eval"), "out", 1_000);
  },
);
caught(
  "a job that is over and holds money",
  "every job holds what its state says",
  /complete holds \d+ sats, not 0/,
  (rows, books) => {
    for (const { value } of rows.get("entry") ?? []) {
      if (value.id !== `refund:${books.done}`) continue;
      add(account(rows, `job:${books.done}`), "out", -Number(value.sats));
      add(account(rows, `refund:${books.done}`), "in", -Number(value.sats));
      value.sats = 0;
    }
    rows.set("entry", (rows.get("entry") ?? []).filter(({ value }) => value.sats !== 0));
    add(account(rows, `refund:${books.done}`), "out", -Number(account(rows, `refund:${books.done}`).out));
    const payout = (rows.get("entry") ?? []).find(({ value }) =>
      value.kind === "payout" && value.from === `refund:${books.done}`
    );
    add(account(rows, "lightning"), "in", -Number(payout?.value.sats));
    rows.set("entry", (rows.get("entry") ?? []).filter((entry) => entry !== payout));
  },
);
caught(
  "a job that runs without its money",
  "every job holds what its state says",
  /executing holds 0 sats, not/,
  (rows, books) => {
    job(rows, books.done).state = "executing";
  },
);
caught(
  "a cost sheet that does not account for a satoshi",
  "every job holds what its state says",
  /paid and granted are not/,
  (rows, books) => {
    add(job(rows, books.done).costSheet as Row, "chargeSats", 1);
  },
);
caught(
  "a refund that says it was paid and was not",
  "every refund holds what it owes",
  /paid holds 10 sats, not 0/,
  (rows, books) => {
    row(rows, "refund", ({ id }) => id === books.failed).state = "paid";
  },
);
caught(
  "a refund that was paid and says it is owed",
  "every refund holds what it owes",
  /pending holds 0 sats, not/,
  (rows, books) => {
    row(rows, "refund", ({ id }) => id === books.done).state = "pending";
  },
);
caught(
  "a receipt for an invoice that is not settled",
  "every settled invoice is booked once",
  /belong to no settled invoice/,
  (rows) => {
    row(rows, "invoice", ({ settled }) => settled !== null).settled = null;
  },
);
caught("a settlement that was never booked", "every settled invoice is booked once", /is booked with 0/, (rows) => {
  row(rows, "invoice", ({ settled }) => settled === null).settled = { at: 1, paidSats: 10 };
});
caught(
  "a settlement of another amount",
  "every settled invoice is booked once",
  /of 11 sats is booked with 10/,
  (rows) => {
    row(rows, "invoice", ({ purpose, settled }) => purpose === "job-eval" && settled !== null).settled = {
      at: 1,
      paidSats: 11,
    };
  },
);

// ---- sessions ------------------------------------------------------------------------------------------------------

const RESERVATIONS = "every reservation is that of a running request";
const DEBITS = "every request was charged from its reservation and the rest released";
const RUNNING = "every session holds what its running requests may cost";
const SPENT = "every session spent what its requests were debited";
const EMPTY = "every session that is not open is empty";
const REFUNDS = "every refund of a session is named by it";
const ALLOWANCES = "every narrowed token counts what was drawn under it";
const WAITING = "sessions that await payment are counted";

const session = (rows: Rows, handle: string) => row(rows, "session", (value) => value.handle === handle);
/** One that the pool gave nothing for. */
const request = (rows: Rows, state: string) =>
  row(rows, "session_request", (value) => value.state === state && value.grantedSats === 0);
const allowance = (rows: Rows) => row(rows, "allowance", () => true);
const without = (rows: Rows, table: string, matches: (value: Row) => boolean) =>
  void rows.set(table, (rows.get(table) ?? []).filter(({ value }) => !matches(value)));

caught(
  "a reservation whose request has ended",
  RESERVATIONS,
  /account reserved:\w+ of a request that is failed holds \d+/,
  (rows) => {
    request(rows, "running").state = "failed";
  },
);
caught(
  "a running request without its reservation",
  RESERVATIONS,
  /account reserved:\w+ .* is running holds 0 sats/,
  (rows) => {
    request(rows, "rejected").state = "running";
  },
);
caught(
  "a running request that holds more than it says",
  RESERVATIONS,
  /account reserved:\w+ .* is running holds/,
  (rows) => {
    add(request(rows, "running"), "reservedSats", -1);
  },
);
caught(
  "a reservation that belongs to no request",
  RESERVATIONS,
  /account reserved:\w+ belongs to no request/,
  (rows) => {
    without(rows, "session_request", ({ state }) => state === "running");
  },
);

caught("a request that says it paid more than it did", DEBITS, /account reserved:\w+ .* complete gave \d+/, (rows) => {
  add(request(rows, "complete"), "chargeSats", 1);
});
caught("a request that paid more than it held", DEBITS, /account reserved:\w+ held \d+ .* debited \d+/, (rows) => {
  const complete = request(rows, "complete");
  complete.chargeSats = Number(complete.reservedSats) + 1;
});
caught("a request that was paid to ask", DEBITS, /account reserved:\w+ held \d+ .* debited -1/, (rows) => {
  request(rows, "rejected").chargeSats = -1;
});
caught(
  "a request that took in another reservation than it says",
  DEBITS,
  /account reserved:\w+ took in \d+/,
  (rows) => {
    add(request(rows, "complete"), "reservedSats", 1);
  },
);
caught(
  "the rest of a reservation that went to somebody else",
  DEBITS,
  /account reserved:\w+ .* and 0 back, \d+ in all/,
  (rows, {
    busy,
  }) => {
    const { id } = request(rows, "complete");
    const entry = row(rows, "entry", (value) => value.id === `released:${id}`);
    entry.to = "operator";
    add(account(rows, `session:${busy}`), "in", -Number(entry.sats));
    add(account(rows, "operator"), "in", Number(entry.sats));
  },
);

for (const field of ["running", "reservedSats"]) {
  caught(`a session's ${field} that is one too many`, RUNNING, /account session:\w+ counts/, (rows, { busy }) => {
    add(session(rows, busy), field, 1);
  });
}
caught(
  "requests of a session that is gone",
  RUNNING,
  /account session:\w+ has requests and no session/,
  (rows, books) => {
    without(rows, "session", ({ handle }) => handle === books.busy);
  },
);
caught("a session that says it spent less", SPENT, /account session:\w+ counts \d+ sats spent/, (rows, { busy }) => {
  add(session(rows, busy), "spentSats", -1);
});
for (const state of ["expired", "closed", "awaiting_payment"]) {
  caught(
    `a session that is ${state} and holds money`,
    EMPTY,
    new RegExp(`session:.* is ${state} holds`),
    (rows, books) => {
      session(rows, books.busy).state = state;
    },
  );
}
caught(
  "a refund that its session forgot",
  REFUNDS,
  /account refund:\S+ is of no session that names it/,
  (rows, books) => {
    session(rows, books.closed).refundIds = [];
  },
);
caught(
  "a refund that another session calls its own",
  REFUNDS,
  /names a refund \S+ that is not its own/,
  (rows, books) => {
    session(rows, books.unpaid).refundIds = session(rows, books.closed).refundIds;
  },
);

for (const field of ["reservedSats", "spentSats"]) {
  caught(`a narrowed token's ${field} that is one too few`, ALLOWANCES, /^allowance \w+ counts/, (rows) => {
    add(allowance(rows), field, -1);
  });
}
caught("a narrowed token whose count was lost", ALLOWANCES, /^allowance \w+ has requests and no count/, (rows) => {
  without(rows, "allowance", () => true);
});
caught("a count that nothing was drawn under", ALLOWANCES, /^allowance other counts 1 sats held/, (rows) => {
  rows.get("allowance")?.push({ key: ["allowance", "other"], value: { v: 1, reservedSats: 1, spentSats: 0 } });
});

caught("a challenge that is counted twice", WAITING, /counts 2, 1 sessions await/, (rows) => {
  add(row(rows, "open_challenges", () => true), "count", 1);
});
caught(
  "challenges that nobody counts",
  WAITING,
  /counts 0, 1 sessions await/,
  (rows) => rows.set("open_challenges", []),
);
caught("a session that waits and is gone", WAITING, /counts 1, 0 sessions await/, (rows, books) => {
  without(rows, "session", ({ handle }) => handle === books.unpaid);
});

// ---- the pool ------------------------------------------------------------------------------------------------------

const IN_LEDGER = "every subsidy is in the ledger, to the end";
const OWNED = "every subsidy is that of its request, reserved only while it runs";
const BUDGETS = "every budget counts what its subsidies took";
const CREDITS = "the pool had its share of every charge";

const subsidy = (rows: Rows, id: string) => row(rows, "subsidy", (value) => value.id === id);
const entry = (rows: Rows, id: string) => row(rows, "entry", (value) => value.id === id);
const poolRow = (rows: Rows) => row(rows, "pool", () => true);
const count = (rows: Rows, table: string) => row(rows, table, () => true);

Deno.test("audit: these books have a subsidy of each kind, and credits of jobs and sessions", async () => {
  const { rows, free, helped, running, freeRequest } = await goodBooks();
  const subsidies = [free, helped, running, freeRequest].map((id) => subsidy(rows, id));
  assert.deepEqual(subsidies.map(({ state, session }) => [state, session === null]), [
    ["settled", true],
    ["settled", true],
    ["reserved", true],
    ["settled", false],
  ]);
  assert.ok(subsidies.some((one) => one.state === "settled" && Number(one.subsidySats) < Number(one.reservedSats)));
  const credits = (rows.get("entry") ?? []).filter(({ value }) => value.kind === "pool-credit");
  assert.deepEqual([...new Set(credits.map(({ value }) => value.from))].sort(), ["revenue:session", "revenue:work"]);
});

caught("a subsidy that no entry was made for", IN_LEDGER, /subsidy \S+ has 0 entries/, (rows, { free }) => {
  entry(rows, `subsidy:${free}`).kind = "other";
});
caught(
  "entries of a subsidy that is gone",
  IN_LEDGER,
  /entries name a subsidy \S+ that does not exist/,
  (rows, books) => {
    without(rows, "subsidy", ({ id }) => id === books.free);
  },
);
caught(
  "a subsidy that reserved more than it was given",
  IN_LEDGER,
  /was given \d+ sats, its subsidy/,
  (rows, { free }) => {
    add(subsidy(rows, free), "reservedSats", 1);
  },
);
for (const part of [0, 1, 2]) {
  const what = ["request", "key", "hash"][part];
  caught(
    `an entry that names another ${what}`,
    IN_LEDGER,
    part === 0 ? /has 0 entries|does not exist/ : /another key/,
    (
      rows,
      { free },
    ) => {
      const given = entry(rows, `subsidy:${free}`);
      given.ref = String(given.ref).split(" ").map((word, i) => i === part ? `${word.slice(1)}x` : word).join(" ");
    },
  );
}
caught("a subsidy that absorbed more than it had", IN_LEDGER, /of \d+ sats absorbed \d+/, (rows, { free }) => {
  const one = subsidy(rows, free);
  one.subsidySats = Number(one.reservedSats) + 1;
});
caught("a subsidy that absorbed less than nothing", IN_LEDGER, /absorbed -1/, (rows, { free }) => {
  subsidy(rows, free).subsidySats = -1;
});
caught("a settled subsidy that absorbed more than it says", IN_LEDGER, /is settled gave \d+/, (rows, { free }) => {
  add(subsidy(rows, free), "subsidySats", -1);
});
caught("a subsidy that is reserved and was used", IN_LEDGER, /is reserved gave \d+ sats/, (rows, { free }) => {
  subsidy(rows, free).state = "reserved";
});
caught("a subsidy that counts as settled while its sats are held", IN_LEDGER, /settled gave 0 sats/, (rows, books) => {
  subsidy(rows, books.running).state = "settled";
});
caught(
  "what was left of a subsidy and went elsewhere",
  IN_LEDGER,
  /gave \d+ sats to revenue and NaN back/,
  (rows, books) => {
    const back = entry(rows, `returned:${books.free}`);
    back.to = "operator";
    add(account(rows, "pool"), "in", -Number(back.sats));
    add(account(rows, "operator"), "in", Number(back.sats));
  },
);
caught(
  "a subsidy that says another account has its sats",
  IN_LEDGER,
  /account job:other of subsidy/,
  (rows, { free }) => {
    subsidy(rows, free).account = "job:other";
  },
);

caught("a reservation of a request that has ended", OWNED, /is reserved, though it has ended/, (rows, { free }) => {
  // Put back as it was before it ended, with the job left as complete.
  const one = subsidy(rows, free);
  const absorbed = Number(one.subsidySats);
  for (const id of [`subsidy-used:${free}`, `returned:${free}`]) entry(rows, id).kind = "other";
  job(rows, free).costSheet = { ...job(rows, free).costSheet as Row, subsidySats: 0, chargeSats: absorbed };
  Object.assign(one, { state: "reserved", subsidySats: 0 });
});
caught("a job that was granted more than its subsidy", OWNED, /says it was granted \d+ sats/, (rows, { helped }) => {
  const one = job(rows, helped);
  const costSheet = one.costSheet as Row;
  add(one, "grantedSats", 1);
  add(costSheet, "returnedSats", 1);
});
caught("a job that absorbed another amount", OWNED, /and absorbed \d+, its subsidy says/, (rows, { helped }) => {
  const costSheet = job(rows, helped).costSheet as Row;
  add(costSheet, "subsidySats", -1);
  add(costSheet, "chargeSats", 1);
});
caught("a subsidy that another key's job used", OWNED, /another key or request/, (rows, { helped }) => {
  job(rows, helped).pubkey = "f".repeat(64);
});
caught("a subsidy that another request used", OWNED, /another key or request/, (rows, { helped }) => {
  job(rows, helped).request = "something else";
});
caught("a session's subsidy that another request used", OWNED, /another key or request/, (rows, { freeRequest }) => {
  row(rows, "session_request", ({ id }) => id === freeRequest).requestHash = "00";
});
caught("a subsidy whose request is gone", OWNED, /its subsidy belongs to no request/, (rows, { helped }) => {
  without(rows, "job", ({ handle }) => handle === helped);
});
caught("sats that a job says the pool gave and it did not", OWNED, /no subsidy was/, (rows, { done }) => {
  const one = job(rows, done);
  one.grantedSats = 1;
  one.paidSats = Number(one.paidSats) - 1;
});

for (const table of ["budget", "subsidized"]) {
  for (const by of [1, -1]) {
    caught(`a ${table} count that is off by ${by}`, BUDGETS, /counts \d+ sats, its subsidies took/, (rows) => {
      add(count(rows, table), "usedSats", by);
    });
  }
  caught(`a ${table} count that was lost`, BUDGETS, /the count \S+ was lost/, (rows) => {
    rows.set(table, (rows.get(table) ?? []).slice(1));
  });
  caught(`a ${table} count that is kept for ever`, BUDGETS, /nothing will ever forget/, (rows) => {
    without(rows, "task", ({ id }) => String(id).startsWith(`["${table}"`));
  });
  caught(`a ${table} count of nothing that was taken`, BUDGETS, /counts 5 sats, its subsidies took 0/, (rows) => {
    const key = [table, "2020-01-01", "2020-01-01"].slice(0, table === "budget" ? 3 : 2);
    rows.set(table, [{ key, value: { v: 1, usedSats: 5 } }]);
  });
}
Deno.test("audit: a day whose counts were forgotten in time is no error", async () => {
  const change: Change = (rows) => {
    for (const table of ["budget", "subsidized"]) rows.set(table, []);
    without(rows, "task", ({ kind }) => kind === "row-expiry");
  };
  assert.deepEqual(await failing(change), []);
});

caught("a charge that gave the pool nothing", CREDITS, /\d+ sats were earned, it had its share of \d+/, (rows) => {
  add(poolRow(rows), "chargedSats", -1);
});
caught("a carry that is lost", CREDITS, /carries \d+ hundredths, its shares are/, (rows) => {
  const one = poolRow(rows);
  one.carry = (Number(one.carry) + 1) % 100;
});
caught("a share that is higher than was credited", CREDITS, /was credited \d+ sats/, (rows) => {
  add(poolRow(rows), "hundredths", 100);
});
caught("a row that is gone though the pool was credited", CREDITS, /was credited \d+ sats/, (rows) => {
  rows.set("pool", []);
});
caught("a credit of no charge", CREDITS, /is the share of no charge/, (rows, { helped }) => {
  entry(rows, `pool-credit:${helped}`).ref = "nothing";
});
caught("a credit that another account's revenue gave", CREDITS, /is the share of no charge/, (rows, { helped }) => {
  const credit = entry(rows, `pool-credit:${helped}`);
  credit.from = "revenue:eval";
  add(account(rows, "revenue:work"), "out", -Number(credit.sats));
  add(account(rows, "revenue:eval"), "out", Number(credit.sats));
});
Deno.test("audit: charges from before there was a pool gave it nothing, and that is no error", async () => {
  const earned = {
    v: 1,
    id: "charge:old",
    at: 1,
    from: "lightning",
    to: "revenue:work",
    sats: 7,
    kind: "charge",
    ref: "old",
  };
  const change: Change = (rows) => {
    rows.get("entry")?.push({ key: ["entry", "charge:old"], value: earned });
    add(account(rows, "lightning"), "out", 7);
    add(account(rows, "revenue:work"), "in", 7);
    const settled = { v: 1, paymentHash: "old", purpose: "job-work", settled: { at: 1, paidSats: 7 } };
    rows.get("invoice")?.push({ key: ["invoice", "old"], value: settled });
  };
  assert.deepEqual(await failing(change, 7), []);
});

caught(
  "advice that no offer stands for",
  "every offer of help is counted while it waits",
  /its offers make 0$/,
  (rows) => {
    rows.set("advice", [{ key: ["advice", "a"], value: { v: 1, sats: 5 } }]);
  },
);
caught("an offer whose advice nobody counts", "every offer of help is counted while it waits", /1 keys/, (rows) => {
  const offered = {
    handle: "o",
    state: "awaiting_work_payment",
    paidSats: 0,
    grantedSats: 0,
    refundId: null,
    costSheet: null,
  };
  rows.get("job")?.push({ key: ["job", "o"], value: { v: 1, ...offered, pubkey: "a", adviceSats: 5, request: "x" } });
});

// ---- the wallet ----------------------------------------------------------------------------------------------------

Deno.test("audit: a payout that was made twice shows in the wallet's balance alone", async () => {
  assert.deepEqual(await failing(() => {}), []);
  const wrong = await failing(() => {}, -1);
  assert.deepEqual(wrong.map(({ name }) => name), ["the wallet holds what the ledger says"]);
  assert.match(wrong[0]?.detail ?? "", /account lightning: the ledger has \d+ sats in it, the wallet holds only \d+/);
});
Deno.test("audit: a wallet may hold more, and one that cannot tell is no error", async () => {
  assert.deepEqual(await failing(() => {}, 1_000), []);
  assert.deepEqual(await failing(() => {}, null), []);
});
Deno.test("audit: a payout under way may have left the wallet before it is booked, with its highest fee and not a satoshi more", async () => {
  const change: Change = (rows, books) => {
    const refund = row(rows, "refund", ({ id }) => id === books.failed);
    refund.state = "paying";
    refund.payout = { maxFeeSats: 3 };
  };
  assert.deepEqual(await failing(change, -13), []);
  assert.equal((await failing(change, -14)).length, 1);
});
