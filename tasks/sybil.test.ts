import assert from "node:assert/strict";
import { parseEnv } from "../env.ts";
import { sybilCost, sybilMarkdown } from "./sybil.ts";

/** The figures of one tier under these variables. */
function tier(name: string, variables: Record<string, string> = {}) {
  const { tiers } = sybilCost(parseEnv(variables));
  return tiers.find((row) => row.tier === name) ?? assert.fail(`no tier ${name}`);
}

Deno.test("docs/free-tier.md: its table of what many keys cost is what the rules say now", async () => {
  const document = await Deno.readTextFile(new URL("../docs/free-tier.md", import.meta.url));
  const block = /<!-- deno task sybil -->\n([\s\S]*?)\n<!-- end -->/.exec(document)?.[1] ?? assert.fail("no table");
  const env = parseEnv({});
  assert.equal(
    block.trim(),
    sybilMarkdown(sybilCost(env), env.settings.poolSeedSats).trim(),
    "run `deno task sybil`, put it there",
  );
});

Deno.test("sybilCost: the default settings, computed by hand", () => {
  // 100 USD a month for 1,000 requests, 25 % on top, 100,000 USD for a bitcoin: 0.125 USD are 125 sats.
  assert.equal(sybilCost(parseEnv({})).leastCharge, 125);
  // A point for 125 sats; two for 250. With a fee of 10 for each job it is five times two points.
  assert.deepEqual(tier("established"), {
    tier: "established",
    score: 10,
    bySessions: 1_250,
    byJobs: 5 * 260,
    patient: { sats: 1_250, days: 0 },
    credit: 125,
    dailySats: 50,
    daysUntilBack: 25,
    alone: 10_125,
    othersPay: 500,
    seedPaysBack: 8, // 10,000 / (1,250 - 125)
  });
  const trusted = tier("trusted");
  assert.deepEqual([trusted.bySessions, trusted.byJobs, trusted.daysUntilBack], [6_250, 25 * 260, 32]);
  assert.deepEqual(trusted.patient, { sats: 1_250 + 40 * 75, days: 40 });
  const elite = tier("elite");
  assert.deepEqual([elite.bySessions, elite.byJobs, elite.credit], [25_000, 100 * 260, 2_500]);
  assert.deepEqual(
    elite.patient,
    { sats: 1_250 + 40 * 75 + 150, days: 190 },
    "a trusted key pays one sat beside its budget",
  );
  assert.deepEqual([elite.alone, elite.seedPaysBack], [12_500, 0]);
});

Deno.test("sybilCost: a new key takes nothing, unless the operator gives it a budget", () => {
  const { dailySats, daysUntilBack, alone, othersPay } = tier("new");
  assert.deepEqual([dailySats, daysUntilBack, alone, othersPay], [0, null, 0, 0]);
  const open = tier("new", { FREE_TIER_NEW_SATS: "20" });
  assert.deepEqual([open.bySessions, open.dailySats, open.daysUntilBack], [0, 20, 0], "it costs nothing at all then");
});

Deno.test("sybilCost: it follows every setting it depends on", () => {
  const before = JSON.stringify(sybilCost(parseEnv({})));
  const changes: Record<string, string> = {
    DO_MONTHLY_COST_USD: "200",
    DO_MONTHLY_REQUEST_VOLUME: "2000",
    ORIGINATOR_MARGIN_PCT: "50",
    BTC_PRICE_USD_FALLBACK: "50000",
    EVAL_FEE_SATS: "11",
    TRUST_ESTABLISHED: "11",
    TRUST_TRUSTED: "51",
    TRUST_ELITE: "201",
    FREE_TIER_NEW_SATS: "1",
    FREE_TIER_ESTABLISHED_SATS: "51",
    FREE_TIER_TRUSTED_SATS: "201",
    FREE_TIER_ELITE_SATS: "1001",
    POOL_SEED_SATS: "9000",
    POOL_CREDIT_PCT: "11",
  };
  for (const [name, value] of Object.entries(changes)) {
    assert.notEqual(JSON.stringify(sybilCost(parseEnv({ [name]: value }))), before, name);
  }
});

Deno.test("sybilCost: where a request costs next to nothing, so does a point; where it costs much, large ones are cheaper", () => {
  assert.deepEqual([tier("established", { DO_MONTHLY_COST_USD: "0" }).bySessions], [10]);
  // 240 sats are a point and 250 are two.
  const dear = tier("established", { DO_MONTHLY_COST_USD: "192" });
  assert.deepEqual([dear.bySessions, dear.byJobs], [5 * 250, 5 * 260]);
});

Deno.test("sybilMarkdown: what never pays is called never, and what has no bound any", () => {
  const markdown = (variables: Record<string, string>) => {
    const env = parseEnv(variables);
    return sybilMarkdown(sybilCost(env), env.settings.poolSeedSats);
  };
  assert.match(
    markdown({ POOL_SEED_SATS: "0" }),
    /\| established \| 50 \| 25 \| never: it holds 125 of 1,250 \| 500 \| 0 \|/,
  );
  assert.match(markdown({ POOL_CREDIT_PCT: "0" }), /\| trusted \| 200 \| 32 \| 32 \| none is enough \| 1 \|/);
  assert.match(markdown({ POOL_CREDIT_PCT: "100" }), /\| elite \| 1,000 \| 25 \| 25 \| 1,000 \| any \|/);
});
