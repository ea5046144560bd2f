import assert from "node:assert/strict";
import type { Key, Versioned } from "@/lib/kv.ts";
import { createFakeWorld } from "@/tests/harness/fake-world.ts";
import { claimRefund, handleOf, paidJob } from "@/tests/harness/payer.ts";
import { audit, type AuditSource } from "./audit.ts";

type Row = Versioned & Record<string, unknown>;
type Rows = Map<string, { key: Key; value: Row }[]>;

const TABLES = ["entry", "account", "job", "refund", "invoice"];

interface Books {
  rows: Rows;
  walletSats: number;
  done: string;
  failed: string;
}

/** What a good hour leaves: a refunded job, one that is owed its fee, one that waits, and the wallet's balance. */
async function goodBooks(): Promise<Books> {
  const fake = await createFakeWorld(1, { feeSats: 1 });
  const { world, call, clock } = fake;
  const done = await clock.drive(paidJob(world, world.call, "What is a hold invoice?"));
  assert.equal((await claimRefund(world, call, done.jobId, done.costLedger.refundAmountSats)).status, 200);
  const failed = await clock.drive(paidJob(world, world.call, "[fail-eval]"));
  await call("POST", "/api/jobs", { request: "hello" });
  const rows: Rows = new Map();
  for (const table of TABLES) rows.set(table, await world.rows<Row>([table]));
  const walletSats = await world.wallet.balanceSats() ?? NaN;
  fake.discard();
  return { rows, walletSats, done: handleOf(done.jobId), failed: handleOf(failed.jobId) };
}

const sourceOf = (rows: Rows): AuditSource => ({
  async *rows<T extends Versioned>(prefix: Key) {
    yield* (rows.get(String(prefix[0])) ?? []) as unknown as { key: Key; value: T }[];
  },
});

const ALL = [
  "entries are whole and positive",
  "all balances add up to zero",
  "every counter equals its entries",
  "no account is overdrawn",
  "every job holds what its state says",
  "every refund holds what it owes",
  "every settled invoice is booked once",
  "the wallet holds what the ledger says",
];

Deno.test("audit: good books pass every check, each with what was counted", async () => {
  const { rows, walletSats } = await goodBooks();
  const checks = await audit(sourceOf(rows), walletSats);
  assert.deepEqual(checks.map(({ name }) => name), ALL);
  assert.deepEqual(checks.filter(({ ok }) => !ok), []);
  assert.match(checks[4]?.detail ?? "", /^3 jobs$/);
  assert.match(checks[6]?.detail ?? "", /^3 settled invoices$/);
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
  caught(`an entry of ${sats} sats`, "entries are whole and positive", /entry .* moves/, (rows) => {
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
    rows.get("account")?.push({ key: ["account", "operator"], value: { v: 1, in: 1_000, out: 0 } });
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
    const payout = (rows.get("entry") ?? []).find(({ value }) => value.kind === "payout");
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
  "a closing that does not account for a satoshi",
  "every job holds what its state says",
  /paid and granted are not/,
  (rows, books) => {
    add(job(rows, books.done).closing as Row, "chargeSats", 1);
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
