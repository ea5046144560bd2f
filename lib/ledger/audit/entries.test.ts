import { demoAnswer, evalFeeReturned, payout, type Posting } from "@/lib/ledger/postings.ts";
import { account, add, caught, row, write } from "./testing/good-books.ts";

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
    write(rows, evalFeeReturned("x", 1_000));
  },
);

const WAYS = "every posting goes where its kind goes";
/** What only a damaged row, or a program of another version, can hold. */
const written = (posting: Posting, part: Record<string, unknown>) => ({ ...posting, ...part }) as Posting;

caught(
  "an entry of a kind that no program writes",
  WAYS,
  /entry demo:x of operator: there is no kind .* gift$/,
  (rows) => {
    write(rows, written(demoAnswer("x", 5), { kind: "gift" }));
  },
);
caught("an entry between accounts that its kind does not join", WAYS, /no demo goes from operator to pool/, (rows) => {
  write(rows, written(demoAnswer("x", 5), { to: "pool" }));
});
caught("a payout of what is not a refund", WAYS, /entry payout:x of pool: no payout goes from pool/, (rows) => {
  write(rows, written(payout("x", { paymentHash: "x", sats: 5 }), { from: "pool" }));
});
caught("an entry that names no account", WAYS, /there is no account Pool/, (rows) => {
  write(rows, written(demoAnswer("x", 5), { to: "Pool" }));
});
caught("an entry from an account to itself", WAYS, /both accounts are operator/, (rows) => {
  write(rows, written(demoAnswer("x", 5), { to: "operator" }));
});
