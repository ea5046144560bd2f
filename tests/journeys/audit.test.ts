import assert from "node:assert/strict";
import { auditInstance } from "@/audit.ts";
import { STORE_FILE } from "@/deps.ts";
import { parseEnv } from "@/env.ts";
import { systemClock } from "@/lib/clock.ts";
import { systemRandom } from "@/lib/ids.ts";
import { type Posting, sessionDeposit } from "@/lib/ledger/postings.ts";
import { createStore } from "@/lib/store/store.ts";
import { openDenoEngine } from "@/lib/store/engines/deno.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";

/** What `audit` prints for an instance of these postings, whose LNbits nobody answers for. */
async function audited(postings: Posting[]): Promise<{ code: number; lines: string[] }> {
  const dataDir = await Deno.makeTempDir();
  try {
    const engine = await openDenoEngine(`${dataDir}/${STORE_FILE}`, { exclusive: true });
    const store = await createStore({ engine, clock: systemClock, random: systemRandom });
    await store.transact((tx) => post(tx, postings, 0));
    await store.close();
    const env = parseEnv({
      DATA_DIR: dataDir,
      LNBITS_URL: "http://127.0.0.1:9",
      LNBITS_API_KEY: "0".repeat(32),
      LNBITS_ADMIN_KEY: "0".repeat(32),
    });
    const lines: string[] = [];
    return { code: await auditInstance(env, (line) => lines.push(line)), lines };
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
}

Deno.test("audit: a wallet that does not answer fails at the end, after the ledger is proven without it", async () => {
  const { code, lines } = await audited([]);
  assert.equal(code, 1);
  assert.match(lines.at(-1) ?? "", /^FAIL {2}the wallet tells its balance: ./);
  assert.ok(lines.length > 10 && lines.slice(0, -1).every((line) => line.startsWith("ok ")), lines.join("\n"));
  assert.match(lines.at(-2) ?? "", /owed to payers, this wallet does not tell its balance/);
});

Deno.test("audit: it stops at the first check that fails, wallet or not", async () => {
  const { code, lines } = await audited([sessionDeposit("s", { paymentHash: "h", sats: 100 })]);
  assert.equal(code, 1);
  assert.match(lines.at(-1) ?? "", /^FAIL {2}every settled invoice is booked once: account lightning: 1 receipts/);
});
