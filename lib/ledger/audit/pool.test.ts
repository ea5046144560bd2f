import assert from "node:assert/strict";
import { charge, workPayment } from "@/lib/ledger/postings.ts";
import {
  add,
  caught,
  type Change,
  entry,
  failing,
  goodBooks,
  job,
  reroute,
  type Row,
  row,
  type Rows,
  without,
  write,
} from "./testing/good-books.ts";

const IN_LEDGER = "every subsidy is in the ledger, to the end";
const OWNED = "every subsidy is that of its request, reserved only while it runs";
const BUDGETS = "every budget counts what its subsidies took";
const CREDITS = "the pool had its share of every charge";

const subsidy = (rows: Rows, id: string) => row(rows, "subsidy", (value) => value.id === id);
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

caught("a subsidy that no entry was made for", IN_LEDGER, /subsidy ghost has 0 entries/, (rows, { free }) => {
  rows.get("subsidy")?.push({ key: ["subsidy", "ghost"], value: { ...subsidy(rows, free), id: "ghost" } });
});
caught("a subsidy that was given twice", IN_LEDGER, /subsidy \S+ has [02] entries/, (rows, { free, running }) => {
  const { ref } = entry(rows, `subsidy:${free}`);
  entry(rows, `subsidy:${running}`).ref = ref;
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
caught(
  "a settled subsidy that absorbed more than it says",
  IN_LEDGER,
  /is settled gave to revenue and back \d+/,
  (rows, { free }) => {
    add(subsidy(rows, free), "subsidySats", -1);
  },
);
caught(
  "a subsidy that is reserved and was used",
  IN_LEDGER,
  /is reserved gave to revenue and back \d+/,
  (rows, { free }) => {
    subsidy(rows, free).state = "reserved";
  },
);
caught(
  "a subsidy that counts as settled while its sats are held",
  IN_LEDGER,
  /settled gave to revenue and back 0/,
  (rows, books) => {
    subsidy(rows, books.running).state = "settled";
  },
);
caught("two subsidies that were used for one another", IN_LEDGER, /gave to revenue and back \d+/, (rows, books) => {
  const [one, other] = [books.free, books.helped].map((id) => entry(rows, `subsidy-used:${id}`)) as [Row, Row];
  [one.ref, other.ref] = [other.ref, one.ref];
});
caught(
  "a subsidy that says another account has its sats",
  IN_LEDGER,
  /account job:other of subsidy/,
  (rows, { free }) => {
    subsidy(rows, free).account = "job:other";
  },
);

caught("a subsidy of a job that does not run", OWNED, /is reserved, though it has ended/, (rows, { running }) => {
  job(rows, running).state = "awaiting_work_payment"; // which may hold money as well: the pool's is what is wrong
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
  reroute(rows, `pool-credit:${helped}`, { from: "revenue:session" });
});
Deno.test("audit: charges from before there was a pool gave it nothing, and that is no error", async () => {
  const change: Change = (rows) => {
    write(rows, workPayment("old", { paymentHash: "old", sats: 7 }));
    write(rows, charge("old", "job:old", "revenue:work", 7));
    const [any] = rows.get("invoice") ?? [];
    const settled = { ...any?.value, v: 1, paymentHash: "old", purpose: "job-work", settled: { at: 1, paidSats: 7 } };
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
  const [any] = rows.get("job") ?? [];
  rows.get("job")?.push({
    key: ["job", "o"],
    value: { ...any?.value, v: 1, ...offered, pubkey: "a", adviceSats: 5, request: "x" },
  });
});
