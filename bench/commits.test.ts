import assert from "node:assert/strict";
import { syncTimes } from "./commits.ts";

Deno.test("syncTimes: flushes of the store's files alone, finished or not, never the wallet's or a return", () => {
  const trace = [
    "812   1700000000.250000 fdatasync(19</tmp/x/timmy.kv-wal>) = 0",
    "813   1700000000.300000 fdatasync(21</tmp/x/wallet.kv-wal>) = 0",
    "812   1700000000.500000 fsync(18</tmp/x/timmy.kv> <unfinished ...>",
    "812   1700000000.600000 <... fsync resumed>) = 0",
    "812   1700000000.700000 +++ exited with 0 +++",
  ];
  assert.deepEqual(syncTimes(trace.join("\n"), "/timmy.kv"), [1_700_000_000_250, 1_700_000_000_500]);
});
