import assert from "node:assert/strict";
import { systemClock } from "@/lib/clock.ts";
import { createLnbitsWallet } from "./lnbits.ts";
import { WalletError } from "./port.ts";
import { startFakeLnbits } from "./testing/fake-lnbits.ts";

type Row = ReturnType<typeof startFakeLnbits>["rows"][number];

async function withServer(body: (parts: ReturnType<typeof setUp>) => Promise<void>): Promise<void> {
  const parts = setUp();
  try {
    await body(parts);
  } finally {
    await parts.server.close();
  }
}

function setUp() {
  const server = startFakeLnbits();
  const wallet = createLnbitsWallet({ url: server.url, ...server.merchant, clock: systemClock });
  let rows = 0;
  const add = (row: Partial<Row> & { time: number }) => {
    const hash = (++rows).toString(16).padStart(64, "0");
    const common = { checking_id: hash, payment_hash: hash, wallet_id: server.merchant.walletId, fee: 0, bolt11: "" };
    server.rows.push({ ...common, amount: 1_000, status: "success", preimage: null, labels: [], expiresAt: 0, ...row });
    return hash;
  };
  const listed = async (since: number) => await wallet.listPayments(since) ?? assert.fail();
  return { server, wallet, add, listed };
}

Deno.test("LNbits history: all pages are read, back to the time that was asked for and no further", async () => {
  await withServer(async ({ server, add, listed }) => {
    for (let i = 0; i < 1_300; i++) add({ time: 10_000 + i });
    for (const [since, count] of [[0, 1_300], [10_000, 1_300], [10_001, 1_299], [11_299, 1], [11_300, 0]] as const) {
      const { incoming } = await listed(since);
      assert.equal(new Set(incoming.map(({ paymentHash }) => paymentHash)).size, count, `since ${since}`);
      assert.equal(incoming.length, count);
    }
    server.calls.length = 0;
    await listed(11_290);
    assert.equal(server.calls.length, 1, "older pages are not asked for");
  });
});

Deno.test("LNbits history: amounts are msat, outgoing ones negative; parts of a sat of a fee count as one", async () => {
  await withServer(async ({ add, listed }) => {
    const came = add({ time: 5_000, amount: 21_999 });
    add({ time: 5_000, amount: 7_000, status: "pending" });
    add({ time: 5_000, amount: 7_000, status: "failed" });
    const sent = (["success", "pending", "failed"] as const).map((status) =>
      add({ time: 6_000, amount: -15_000, fee: -1_001, status })
    );
    assert.deepEqual(await listed(0), {
      incoming: [{ paymentHash: came, paidSats: 21, at: 5_000 }],
      outgoing: sent.map((paymentHash, i) => ({
        paymentHash,
        amountSats: 15,
        feeSats: 2,
        state: (["paid", "pending", "failed"] as const)[i],
        at: 6_000,
      })),
    });
  });
});

Deno.test("LNbits history: an own invoice that the wallet paid is in both lists", async () => {
  await withServer(async ({ add, listed }) => {
    const hash = add({ time: 5_000, amount: 5_000 });
    add({ time: 6_000, amount: -5_000, payment_hash: hash });
    const { incoming, outgoing } = await listed(0);
    assert.deepEqual([...incoming, ...outgoing].map(({ paymentHash }) => paymentHash), [hash, hash]);
  });
});

Deno.test("LNbits history: a page that does not come, or has another shape, is an error and never a shorter list", async () => {
  await withServer(async ({ server, add, wallet }) => {
    for (let i = 0; i < 300; i++) add({ time: 10_000 + i });
    const [row] = server.rows;
    const timeless = { ...row, time: undefined };
    for (
      const body of [{ detail: "Unexpected error!" }, {}, "hello", [timeless], [{ ...row, time: "soon" }], [{
        ...row,
        amount: "7",
      }]]
    ) {
      server.failNext("list", { how: "instead", status: 200, body });
      await assert.rejects(wallet.listPayments(0), WalletError, JSON.stringify(body));
    }
    for (const status of [429, 500, 502, 401]) {
      server.failNext("list", { how: "instead", status, body: {} });
      await assert.rejects(
        wallet.listPayments(0),
        (error) => error instanceof WalletError && error.retryable === status > 401,
      );
    }
    assert.equal((await wallet.listPayments(0))?.incoming.length, 300);
  });
});
