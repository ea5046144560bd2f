import assert from "node:assert/strict";
import { bootstrapTasks } from "@/lib/bootstrap/bootstrap.tasks.ts";
import type { Cloud } from "@/lib/cloud/port.ts";
import { type Play, playBootstraps, Violation } from "./bootstrap.ts";
import { asItIs, changing } from "./naive.ts";

/** Nodes at once: 30, and in a long run of the other interleavings (10,000) 100 with failures and 200 with kills. */
const LONG = Number(Deno.env.get("TIMMY_INTERLEAVINGS") ?? 0) >= 1_000;
const SEED = Number(Deno.env.get("TIMMY_SEED") ?? Date.now() & 0xffffff);
const [FAILING, KILLED] = LONG ? [100, 200] : [30, 40];

async function played(play: Play) {
  return await playBootstraps(play).catch((cause) => {
    throw new Error(`TIMMY_SEED=${play.seed} plays it again`, { cause });
  });
}

Deno.test(`bootstrap invariants: ${FAILING} at once from seed ${SEED}, a third of all calls fails: each is ready or paid back`, async (t) => {
  const { ready, refunded, failedCalls, calls, late } = await played({ seed: SEED, nodes: FAILING, faultRate: 1 / 3 });
  await t.step(
    `${ready} ready, ${refunded} paid back; ${failedCalls} of ${calls} calls failed, ${late} came late`,
    () => {
      assert.equal(ready + refunded, FAILING);
    },
  );
  assert.ok(ready > FAILING / 4 && refunded > 0, `${ready} ready, ${refunded} paid back`);
  assert.ok(failedCalls > calls / 4 && late > 0, `${failedCalls} of ${calls} calls, ${late} late`);
});

Deno.test(`bootstrap invariants: the program dies again and again while ${KILLED} are made, from seed ${SEED}: the same`, async (t) => {
  const { ready, refunded, deaths } = await played({ seed: SEED, nodes: KILLED, faultRate: 0.05, commitsALife: 10 });
  await t.step(`${ready} ready, ${refunded} paid back; ${deaths} deaths`, () => {
    assert.equal(ready + refunded, KILLED);
  });
  assert.ok(ready > KILLED / 2, `${ready} ready`);
  assert.ok(deaths > KILLED / 10, `${deaths} deaths`);
});

/** The provider's word that it took an order to destroy counts as the end of what was to be destroyed. */
function believesTheOrder(cloud: Cloud): Cloud {
  const ordered = new Set<string>();
  return {
    ...cloud,
    async destroy(kind, id) {
      await cloud.destroy(kind, id);
      ordered.add(`${kind} ${id}`);
    },
    list: async (tag) => (await cloud.list(tag)).filter(({ kind, id }) => !ordered.has(`${kind} ${id}`)),
    look: async (kind, id) => ordered.has(`${kind} ${id}`) ? null : await cloud.look(kind, id),
  };
}
/** A lost order is repeated, and a refund owed, as if nothing could still be under way. */
const neverWaits = changing("bootstrap", (_spec, services) => bootstrapTasks(services, { settleMs: 0 }).tasks[0]!);

const SMALL = { nodes: 12, faultRate: 1 / 3 };
const CONTROLS: [name: string, rules: string[], play: Omit<Play, "seed">][] = [
  ["a refund before anything is gone", ["nothing is left when the money is owed"], {
    ...SMALL,
    volumeGb: 0,
    adapter: believesTheOrder,
  }],
  [
    "an order repeated while the first may be under way",
    ["one machine each", "nothing is left when the money is owed"],
    {
      ...SMALL,
      background: neverWaits,
    },
  ],
  ["an order without a look for what exists", ["one machine each"], { ...SMALL, looksFirst: false }],
];
for (const [name, rules, play] of CONTROLS) {
  Deno.test(`bootstrap control: ${name} is caught`, async () => {
    let caught: unknown = null;
    for (let seed = 1; seed <= 10 && caught === null; seed++) {
      caught = await playBootstraps({ ...play, seed }).then(() => null, (error) => error);
    }
    assert.ok(caught instanceof Violation, String(caught));
    assert.ok(rules.includes(caught.rule), caught.message);
  });
}
Deno.test("bootstrap control: the real parts, put together like the naive ones, are not", async () => {
  for (let seed = 1; seed <= 2; seed++) await playBootstraps({ ...SMALL, seed, background: asItIs });
});
