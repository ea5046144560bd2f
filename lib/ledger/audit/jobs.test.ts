import { add, caught, erase, job, type Row, row } from "./testing/good-books.ts";

const HOLDS = "every job holds what its state says";

caught(
  "a job that is over and holds money",
  HOLDS,
  /complete holds \d+ sats, not 0/,
  (rows, { done }) => {
    const paid = row(rows, "entry", ({ kind, from }) => kind === "payout" && from === `refund:${done}`);
    for (const id of [`refund:${done}`, String(paid.id)]) erase(rows, id);
  },
);
caught(
  "a job that runs without its money",
  HOLDS,
  /executing holds 0 sats, not/,
  (rows, books) => {
    job(rows, books.done).state = "executing";
  },
);
caught(
  "a cost sheet that does not account for a satoshi",
  HOLDS,
  /paid and granted are not/,
  (rows, books) => {
    add(job(rows, books.done).costSheet as Row, "chargeSats", 1);
  },
);
