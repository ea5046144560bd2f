import assert from "node:assert/strict";
import { claimByPreimage, PREIMAGE_WAIT_MS } from "./preimage-claims.rules.ts";

const NOW = 1_700_000_000_000;
const job = { source: { kind: "job", handle: "h" }, owner: null, address: null, createdAt: NOW } as const;

Deno.test("claimByPreimage: a preimage alone takes what was owed 72 hours ago, and not a moment earlier", () => {
  for (const kind of ["job", "bootstrap", "recovered"] as const) {
    const refund = { ...job, source: { kind, handle: "h" } };
    const from = NOW + PREIMAGE_WAIT_MS;
    assert.equal(PREIMAGE_WAIT_MS, 259_200_000);
    for (const now of [NOW, from - 1]) assert.deepEqual(claimByPreimage(refund, now), { outcome: "too_early", from });
    assert.deepEqual(claimByPreimage(refund, from), { outcome: "may" });
  }
});

Deno.test("claimByPreimage: where a key, an address or a macaroon is known it never takes anything", () => {
  const late = NOW + 365 * 86_400_000;
  for (
    const [way, part] of [
      ["key", { owner: "ab" }],
      ["address", { address: "a@b.example" }],
      ["macaroon", { source: { kind: "session", handle: "h" } }],
    ] as const
  ) assert.deepEqual(claimByPreimage({ ...job, ...part }, late), { outcome: "other_way", way });
});
