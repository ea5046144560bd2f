import { sessionAccount } from "@/lib/ledger/accounts.ts";
import { sessionTopup } from "@/lib/ledger/postings.ts";
import { add, caught, entry, reroute, row, type Rows, without, write } from "./testing/good-books.ts";

const RESERVATIONS = "every reservation is that of a running request";
const DEBITS = "every request was charged from its reservation and the rest released";
const RUNNING = "every session holds what its running requests may cost";
const SPENT = "every session spent what its requests were debited";
const EMPTY = "every session that is not open is empty";
const REFUNDS = "every refund of a session is named by it";
const ALLOWANCES = "every narrowed token counts what was drawn under it";
const WAITING = "what awaits its first payment is counted";

const session = (rows: Rows, handle: string) => row(rows, "session", (value) => value.handle === handle);
/** One that the pool gave nothing for. */
const request = (rows: Rows, state: string) =>
  row(rows, "session_request", (value) => value.state === state && value.grantedSats === 0);
const allowance = (rows: Rows) => row(rows, "allowance", () => true);

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

caught(
  "a request that says it paid more than it did",
  DEBITS,
  /account reserved:\w+ .* complete gave as charge, .* \d+/,
  (rows) => {
    add(request(rows, "complete"), "chargeSats", 1);
  },
);
caught("a request that paid more than it held", DEBITS, /account reserved:\w+ held \d+ .* charged \d+/, (rows) => {
  const complete = request(rows, "complete");
  complete.chargeSats = Number(complete.reservedSats) + 1;
});
caught("a request that was paid to ask", DEBITS, /account reserved:\w+ held \d+ .* charged -1/, (rows) => {
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
caught("the rest of a reservation that went to another session", DEBITS, /took from or gave back to several/, (rows, {
  closed,
}) => {
  reroute(rows, `released:${request(rows, "complete").id}`, { to: sessionAccount(closed) });
});
caught("a reservation that another session paid for", DEBITS, /took from or gave back to session:\w+$/, (rows, {
  closed,
}) => {
  const { id } = request(rows, "running");
  const { sats } = entry(rows, `reserve:${id}`);
  write(rows, sessionTopup(closed, { paymentHash: "more", sats: Number(sats) }));
  rows.get("invoice")?.push({
    key: ["invoice", "more"],
    value: { ...rows.get("invoice")?.[0]?.value, v: 1, paymentHash: "more", settled: { at: 1, paidSats: sats } },
  });
  reroute(rows, `reserve:${id}`, { from: sessionAccount(closed) });
});

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

caught("a challenge that is counted twice", WAITING, /counts 4, 1 jobs, 1 sessions and 1 bootstraps await/, (rows) => {
  add(row(rows, "open_challenges", () => true), "count", 1);
});
caught(
  "challenges that nobody counts",
  WAITING,
  /counts 0, 1 jobs, 1 sessions and 1 bootstraps await/,
  (rows) => rows.set("open_challenges", []),
);
caught(
  "a session that waits and is gone",
  WAITING,
  /counts 3, 1 jobs, 0 sessions and 1 bootstraps await/,
  (rows, books) => {
    without(rows, "session", ({ handle }) => handle === books.unpaid);
  },
);
caught("a job that waits and is gone", WAITING, /counts 3, 0 jobs, 1 sessions and 1 bootstraps await/, (rows) => {
  without(rows, "job", ({ state }) => state === "awaiting_eval_payment");
});
