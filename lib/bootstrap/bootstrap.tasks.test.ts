/** What a paid node needs of the provider, of time and of the store, whatever they do. */
import assert from "node:assert/strict";
import type { Cloud, Order, Resource } from "@/lib/cloud/port.ts";
import { CloudError } from "@/lib/cloud/port.ts";
import type { SimulatedFaults } from "@/lib/cloud/simulated.ts";
import { createSimulatedTailnet } from "@/lib/cloud/simulated-tailnet.ts";
import type { Tailnet } from "@/lib/cloud/tailnet.ts";
import { bootstrapKey } from "./bootstrap.rows.ts";
import { refundKey } from "@/lib/payments/refunds.rows.ts";
import {
  inStep,
  isOver,
  isReady,
  type Ordered,
  orderNode,
  OWN_KEY,
  payNode,
  recordOf,
  resourcesOf,
  sendReport,
  untilNode,
} from "@/tests/harness/bootstrap-payer.ts";
import { createFakeWorld, type FakeWorld } from "@/tests/harness/fake-world.ts";
import { keyWith } from "@/tests/harness/keys.ts";
import { assertAudit } from "@/tests/harness/payer.ts";
import type { Background } from "@/queue.ts";
import { TEST_SETTINGS, type WorldOptions } from "@/tests/harness/world.ts";

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const SILENT = { cloudTimes: { firstBootMs: 40 * DAY_MS } };

function nodes(
  name: string,
  fn: (fake: FakeWorld, faults: SimulatedFaults) => Promise<void>,
  options: Omit<WorldOptions, "clock" | "random"> = {},
): void {
  Deno.test(`bootstrap tasks: ${name}`, async () => {
    const cloudFaults: SimulatedFaults = {};
    const fake = await createFakeWorld(1, { cloudFaults, ...options });
    try {
      await fn(fake, cloudFaults);
      await fake.clock.settle();
      await assertAudit(fake.world);
    } finally {
      fake.discard();
    }
  });
}

async function paidNode(fake: FakeWorld, body: Record<string, unknown> = {}): Promise<Ordered> {
  const ordered = await orderNode(fake, body);
  await payNode(fake, ordered);
  return ordered;
}

const sweeperOf = ({ world }: FakeWorld) => (world.deps as unknown as Background).sweeper;

/** So many at the same instant. */
const manyPaid = (fake: FakeWorld, count: number): Promise<Ordered[]> =>
  fake.clock.drive(Promise.all(Array.from({ length: count }, () => paidNode({ ...fake, call: fake.world.call }))));

/** What is owed for it. */
const owed = async ({ world }: FakeWorld, { handle }: Ordered) =>
  (await world.store.get<{ v: 1; sats: number }>(refundKey(handle)))?.sats ?? null;

const bootstrapSettings = (change: Partial<typeof TEST_SETTINGS.bootstrap>) => ({
  settings: { bootstrap: { ...TEST_SETTINGS.bootstrap, ...change } },
});

// ---- what waiting costs ------------------------------------------------------------------------------------------------

nodes("a step costs one commit, and waiting, looking and trying again none", async (fake, faults) => {
  const ordered = await orderNode(fake);
  await payNode(fake, ordered);
  await untilNode(fake, ordered, inStep("ssh_key"), { stepMs: 1 });
  let calls = 0;
  faults.ensure = () => ++calls % 4 < 2 ? undefined : { kind: "fail" };
  faults.look = () => ++calls % 4 < 2 ? undefined : { kind: "lose" };
  const before = fake.world.store.stats().commits;
  const record = await untilNode(fake, ordered, isReady);
  await fake.clock.settle();
  // Six steps end, the node reports, and the provider's mark is written down.
  const commits = fake.world.store.stats().commits - before;
  assert.ok(calls > 8, `${calls} calls`);
  assert.ok(commits <= record.steps.length + 2, `${commits} commits for ${record.steps.length} steps`);
});

nodes(
  "who waits holds nobody up: 30 machines without an address, four calls at once at most",
  async (fake) => {
    const all = await manyPaid(fake, 30);
    await fake.clock.advance(20_000);
    for (const ordered of all) assert.ok(inStep("ip")(await recordOf(fake.world, ordered)));
    assert.equal(most, 4);
    for (const ordered of all) await untilNode(fake, ordered, isReady);
  },
  { cloudTimes: { addressMs: 60_000, activeMs: 61_000 }, wrapCloud: counting },
);
let running = 0;
let most = 0;
function counting(cloud: Cloud): Cloud {
  const counted = <A extends unknown[], T>(call: (...args: A) => Promise<T>) => async (...args: A): Promise<T> => {
    most = Math.max(most, ++running);
    return await call(...args).finally(() => running--);
  };
  return {
    ...cloud,
    ensure: counted(cloud.ensure),
    look: counted(cloud.look),
    tag: counted(cloud.tag),
    list: counted(cloud.list),
  };
}

// ---- what the provider does --------------------------------------------------------------------------------------------

for (const step of ["ssh_key", "volume", "droplet"] as const) {
  nodes(
    `${step}: refused is the end at once, all is destroyed, the whole fee is owed`,
    async (fake, faults) => {
      const ordered = await orderNode(fake);
      await payNode(fake, ordered);
      await untilNode(fake, ordered, inStep(step), { stepMs: 10 });
      faults.ensure = { kind: "refuse" };
      const over = await untilNode(fake, ordered, isOver);
      assert.match(over.errorMessage ?? "", /^The .*: the simulated provider refuses\.$/);
      assert.equal(over.steps.at(-1)?.note, "failed");
      assert.equal(await owed(fake, ordered), 10_000);
      assert.deepEqual(await resourcesOf(fake), []);
    },
    bootstrapSettings({ volumeGb: 100 }),
  );
}

nodes("a step is tried for its time, not longer; then it fails", async (fake, faults) => {
  faults.ensure = { kind: "fail" };
  const ordered = await paidNode(fake);
  const began = fake.clock.now();
  await untilNode(fake, ordered, ({ state }) => state === "failed");
  const took = fake.clock.now() - began;
  assert.ok(took > 100_000 && took < 125_000, `${took} ms`);
});

nodes(
  "asked to wait longer than a step has, it fails at once: a payer need not wait for that",
  async (fake, faults) => {
    faults.ensure = { kind: "fail", retryAfterMs: HOUR_MS };
    const ordered = await paidNode(fake);
    await untilNode(fake, ordered, ({ state }) => state === "failed", { limitMs: 5_000 });
  },
);

nodes(
  "a step's time begins with its turn: who stood in the queue behind a slow provider is tried all the same",
  async (fake, faults) => {
    let calls = 0;
    // Three are slow; the fourth has waited for 150 s when its first try fails.
    faults.ensure = () => ++calls <= 3 ? { kind: "slow", ms: 50_000 } : calls === 4 ? { kind: "fail" } : undefined;
    const all = await manyPaid(fake, 4);
    for (const ordered of all) await untilNode(fake, ordered, isReady);
  },
  bootstrapSettings({ concurrency: 1 }),
);

nodes(
  "a machine without an address in time, one that errs, and one that is gone: destroyed and paid back",
  async (fake, faults) => {
    faults.ensure = () => ({ kind: "errored" });
    const errs = await paidNode(fake);
    await untilNode(fake, errs, isOver);
    assert.match((await recordOf(fake.world, errs)).errorMessage ?? "", /could not start/);
    delete faults.ensure;
    const gone = await paidNode(fake);
    const { made } = await untilNode(fake, gone, inStep("ip"));
    await fake.clock.drive(fake.world.cloud.destroy("machine", made.machineId!));
    await untilNode(fake, gone, isOver);
    assert.match((await recordOf(fake.world, gone)).errorMessage ?? "", /is gone/);
    for (const one of [errs, gone]) assert.equal(await owed(fake, one), 10_000);
    assert.deepEqual(await resourcesOf(fake), []);
  },
  { cloudTimes: { addressMs: 20_000, activeMs: 25_000 } },
);

nodes("no address in time: destroyed and paid back", async (fake) => {
  const ordered = await paidNode(fake);
  await untilNode(fake, ordered, isOver);
  assert.match((await recordOf(fake.world, ordered)).errorMessage ?? "", /no public address in time/);
  assert.deepEqual([await owed(fake, ordered), await resourcesOf(fake)], [10_000, []]);
}, { cloudTimes: { addressMs: HOUR_MS, activeMs: HOUR_MS } });

nodes(
  "a provider that is silent for a week owes the payer nothing meanwhile, and everything when it is back",
  async (fake, faults) => {
    const ordered = await paidNode(fake);
    await untilNode(fake, ordered, inStep("ip"));
    for (const call of ["ensure", "look", "list", "destroy", "tag"] as const) faults[call] = { kind: "cut" };
    await untilNode(fake, ordered, ({ state }) => state === "failed");
    const [before, lines] = [fake.world.store.stats().commits, fake.world.log.lines.length];
    const from = fake.clock.now();
    while (fake.clock.now() < from + 7 * DAY_MS) {
      fake.clock.leap(3 * HOUR_MS);
      await fake.clock.advance(130_000);
    }
    assert.equal(await owed(fake, ordered), null, "nobody knows whether the machine is gone");
    assert.ok(
      fake.world.store.stats().commits - before < 700,
      `${fake.world.store.stats().commits - before} commits`,
    );
    assert.ok(fake.world.log.lines.length - lines < 700, `${fake.world.log.lines.length - lines} lines`);
    const ready = (await fake.call("GET", "/api/health/ready")).body.checks.find(({ name }: { name: string }) =>
      name === "cloud"
    );
    assert.match(ready.detail, /not reached/);
    for (const call of ["ensure", "look", "list", "destroy", "tag"] as const) delete faults[call];
    await untilNode(fake, ordered, isOver, { stepMs: 5_000 });
    assert.deepEqual([await owed(fake, ordered), await resourcesOf(fake)], [10_000, []]);
  },
);

nodes(
  "killed in every step, and between any two: it goes on where it stood, and nothing is made twice",
  async (fake) => {
    const made = new Set<string>();
    const ordered = await paidNode(fake);
    for (let deaths = 0; deaths < 30; deaths++) {
      await fake.clock.advance(deaths % 2 ? 137 * deaths % 3_000 : 10_000 + 137 * deaths % 3_000);
      for (const { kind, id } of await resourcesOf(fake)) made.add(`${kind} ${id}`);
      await fake.world.crash();
      await fake.clock.settle();
    }
    await untilNode(fake, ordered, isReady);
    assert.equal(made.size, 2, [...made].join(", "));
    assert.deepEqual((await resourcesOf(fake)).map(({ kind }) => kind).sort(), ["machine", "ssh-key"]);
  },
);

// ---- the first boot ----------------------------------------------------------------------------------------------------

nodes("no report within 20 minutes, over any restart: the payer is told, and may be ready after all", async (fake) => {
  const ordered = await paidNode(fake);
  const { steps } = await untilNode(fake, ordered, inStep("first_boot"));
  for (let i = 0; i < 5; i++) {
    await fake.clock.advance(200_000);
    await fake.world.crash();
  }
  await untilNode(fake, ordered, ({ state }) => state === "ready_unconfirmed");
  const took = fake.clock.now() - steps.at(-1)!.startedAt;
  assert.ok(took >= 1_200_000 && took < 1_203_000, `${took} ms`);
  const told = (await fake.call("GET", ordered.path)).body;
  assert.deepEqual([told.state, told.credentials, told.refundState], [
    "ready_unconfirmed",
    undefined,
    "not_applicable",
  ]);
  fake.clock.leap(3 * DAY_MS);
  await fake.world.crash();
  assert.equal((await sendReport(fake, ordered)).status, 200);
  await untilNode(fake, ordered, isReady);
}, SILENT);

nodes(
  "no report: the payer cancels, the machine is destroyed, the whole fee is owed; a late report is 409",
  async (fake) => {
    const ordered = await paidNode(fake);
    await untilNode(fake, ordered, ({ state }) => state === "ready_unconfirmed", { stepMs: 10_000 });
    assert.equal((await fake.call("POST", `${ordered.path}/cancel`, {})).status, 202);
    assert.equal((await sendReport(fake, ordered)).status, 409);
    await untilNode(fake, ordered, isOver);
    assert.deepEqual([await owed(fake, ordered), await resourcesOf(fake)], [10_000, []]);
  },
  SILENT,
);

nodes(
  "report, time-out and cancel at the same instant: one of them decides, and the money knows which",
  async (fake) => {
    const { world } = fake;
    const ends = new Map<string, number>();
    for (let round = 0; round < 12; round++) {
      const ordered = await paidNode(fake);
      const { steps } = await untilNode(fake, ordered, inStep("first_boot"));
      fake.clock.leap(1_190_000);
      await fake.clock.advance(steps.at(-1)!.startedAt + 1_200_000 - world.clock.now() - 2 + round % 5);
      const asks = [
        () => sendReport({ world, call: world.call }, ordered),
        () => world.call("POST", `${ordered.path}/cancel`, {}),
      ];
      await fake.clock.drive(Promise.all((round % 2 ? asks : asks.reverse()).map((ask) => ask())));
      await untilNode(fake, ordered, (one) => isReady(one) || isOver(one) || one.state === "ready_unconfirmed");
      if ((await recordOf(world, ordered)).state === "ready_unconfirmed") assert.fail("the report was lost");
      const { state } = await recordOf(world, ordered);
      ends.set(state, (ends.get(state) ?? 0) + 1);
      assert.equal(await owed(fake, ordered), state === "ready" ? null : 10_000);
    }
    assert.ok((ends.get("ready") ?? 0) > 0, JSON.stringify([...ends]));
  },
  SILENT,
);

// ---- what is never destroyed, and what is left ---------------------------------------------------------------------------

let marked = false;
const marking = (cloud: Cloud): Cloud => ({
  ...cloud,
  list: async (tag) =>
    (await cloud.list(tag)).map((one) => ({ ...one, tags: marked ? [...one.tags, "handed-over"] : one.tags })),
  look: async (kind, id) => {
    const one = await cloud.look(kind, id);
    return one && { ...one, tags: marked ? [...one.tags, "handed-over"] : one.tags };
  },
});
nodes(
  "a failed one whose machine is marked as handed over is an alarm, not destroyed; the operator's word sets it going again",
  async (fake) => {
    const ordered = await paidNode(fake);
    await untilNode(fake, ordered, ({ state }) => state === "ready_unconfirmed", { stepMs: 10_000 });
    marked = true;
    await fake.call("POST", `${ordered.path}/cancel`, {});
    for (let i = 0; i < 3; i++) {
      fake.clock.leap(1.1 * HOUR_MS);
      await fake.clock.advance(10_000);
    }
    await fake.clock.drive(sweeperOf(fake).once());
    assert.deepEqual((await resourcesOf(fake)).map(({ kind }) => kind).sort(), ["machine", "ssh-key"]);
    assert.equal(await owed(fake, ordered), null);
    const alarms = fake.world.log.lines.filter(({ fields }) => fields.code === "destroy_handed_over").length;
    assert.ok(alarms > 1 && alarms < 30, `${alarms} alarms`);
    assert.ok(fake.world.log.lines.some(({ fields }) => fields.code === "not_destroyed"));
    marked = false;
    await untilNode(fake, ordered, isOver, { stepMs: 5_000 });
    assert.deepEqual([await owed(fake, ordered), await resourcesOf(fake)], [10_000, []]);
  },
  { ...SILENT, wrapCloud: marking },
);

nodes(
  "a ready node is marked at the provider, whatever fails on the way; one that its payer destroyed needs no mark",
  async (fake, faults) => {
    const ordered = await paidNode(fake);
    let times = 0;
    faults.tag = () => times++ < 5 ? { kind: "lose" } : undefined;
    await untilNode(fake, ordered, ({ handedOver }) => handedOver, { stepMs: 1_000 });
    const [machine] = (await resourcesOf(fake)).filter(({ kind }) => kind === "machine");
    assert.ok(machine?.tags.includes("handed-over"));
    faults.tag = { kind: "fail" };
    const gone = await paidNode(fake);
    const { made } = await untilNode(fake, gone, isReady);
    await fake.clock.drive(fake.world.cloud.destroy("machine", made.machineId!));
    await untilNode(fake, gone, ({ handedOver }) => handedOver, { stepMs: 1_000 });
    assert.deepEqual((await fake.world.rows(["task"])).filter(({ key }) => key[1] === "bootstrap"), []);
  },
);

nodes("a key that lies in the account under another name is used and left alone", async (fake, faults) => {
  const [sshKey, publicKey] = ["ssh-key" as const, OWN_KEY];
  await fake.clock.drive(fake.world.cloud.ensure({ kind: sshKey, name: "operators-laptop", publicKey }));
  const ordered = await orderNode(fake, { sshPublicKey: publicKey });
  await payNode(fake, ordered);
  await untilNode(fake, ordered, inStep("ip"));
  faults.look = { kind: "refuse" };
  await untilNode(fake, ordered, ({ state }) => state === "failed");
  delete faults.look;
  await untilNode(fake, ordered, isOver);
  const kept = await fake.clock.drive(fake.world.cloud.list("operators"));
  assert.deepEqual(kept.map(({ name }) => name), ["operators-laptop"]);
});

nodes(
  "the key that another node of the payer brought is gone: it is brought again before the machine is ordered",
  async (fake) => {
    const ordered = await paidNode(fake, { sshPublicKey: OWN_KEY });
    const { made } = await untilNode(fake, ordered, inStep("volume"), { stepMs: 1 }).catch(() =>
      recordOf(fake.world, ordered)
    );
    await fake.clock.drive(fake.world.cloud.destroy("ssh-key", made.sshKeyId!));
    await untilNode(fake, ordered, isReady);
    assert.equal((await resourcesOf(fake)).filter(({ kind }) => kind === "ssh-key").length, 1);
  },
  { wrapCloud: slowVolume, ...bootstrapSettings({ volumeGb: 100 }) },
);
function slowVolume(cloud: Cloud): Cloud {
  let tries = 0;
  const ensure = (order: Order): Promise<Resource> =>
    order.kind === "volume" && tries++ < 2 ? Promise.reject(new CloudError("busy", true, 2_000)) : cloud.ensure(order);
  return { ...cloud, ensure };
}

nodes(
  "the look through all: what failed ones left goes, what is unknown, handed over, second or waited for is told",
  async (fake) => {
    const { cloud } = fake.world;
    const sweeper = sweeperOf(fake);
    const order = (name: string): Order => ({
      kind: "machine",
      name,
      tags: [name, "timmy"],
      region: "nyc3",
      size: "s-4vcpu-8gb",
      sshKeyIds: [],
      volumeIds: [],
      userData: "#cloud-config\n",
    });
    const ready = await paidNode(fake);
    await untilNode(fake, ready, isReady);
    const cancelled = await paidNode(fake);
    await fake.call("POST", `${cancelled.path}/cancel`, {});
    await untilNode(fake, cancelled, isOver);
    // A call that came long after its end, with a volume beside it.
    await fake.clock.drive(cloud.ensure(order(`timmy-${cancelled.handle}`)));
    await fake.clock.drive(cloud.ensure(order("timmy-0000000000000")));
    const swept = await fake.clock.drive(sweeper.once());
    assert.deepEqual(swept, {
      destroyed: 1,
      unknown: ["machine timmy-0000000000000"],
      doubles: [],
      overdue: [],
      stuck: [],
    });
    await fake.clock.advance(10_000);
    assert.deepEqual(
      (await resourcesOf(fake)).filter(({ kind }) => kind === "machine").map(({ name }) => name).sort(),
      ["timmy-0000000000000", `timmy-${ready.handle}`].sort(),
    );
    // A record that nobody can read is one that nobody may act on.
    const record = await recordOf(fake.world, cancelled);
    const key = bootstrapKey(cancelled.handle);
    await fake.clock.drive(cloud.ensure(order(`timmy-${cancelled.handle}`)));
    await fake.world.store.transact((tx) => tx.set(key, { ...record, state: "odd" as never }));
    const unread = await fake.clock.drive(sweeper.once());
    assert.deepEqual([unread.destroyed, unread.unknown.length], [0, 2]);
    await fake.world.store.transact((tx) => tx.set(key, record));
    fake.clock.leap(31 * DAY_MS);
    assert.deepEqual((await fake.clock.drive(sweeper.once())).overdue, [`machine timmy-${ready.handle}`]);
    const text = JSON.stringify(fake.world.log.lines);
    for (const { id } of [ready, cancelled]) assert.ok(!text.includes(id), "an id opens everything");
  },
);

// ---- the private network -----------------------------------------------------------------------------------------------

interface Watched extends Tailnet {
  good: Map<string, string>;
}
function watchedTailnet(inner: Tailnet): Watched {
  const good = new Map<string, string>();
  return {
    ...inner,
    good,
    async createKey(order) {
      const key = await inner.createKey(order);
      good.set(key.id, order.description);
      return key;
    },
    async revoke(id) {
      await inner.revoke(id);
      good.delete(id);
    },
  };
}

Deno.test("bootstrap tasks: the private network: a key whose answer was lost and the key of a node that failed are revoked", async () => {
  const [tailnetFaults, cloudFaults]: [
    Parameters<typeof createSimulatedTailnet>[0]["faults"] & object,
    SimulatedFaults,
  ] = [{}, {}];
  let tailnet: Watched | null = null;
  const fake = await createFakeWorld(3, {
    cloudFaults,
    tailnet: {
      name: "late",
      simulated: true,
      createKey: (order) => tailnet!.createKey(order),
      findKeys: (description) => tailnet!.findKeys(description),
      revoke: (id) => tailnet!.revoke(id),
    },
  });
  tailnet = watchedTailnet(
    createSimulatedTailnet({ clock: fake.clock, random: fake.world.deps.random, faults: tailnetFaults }),
  );
  let lost = 0;
  tailnetFaults.createKey = () => lost++ < 2 ? { kind: "lose" } : undefined;
  const ordered = await paidNode(fake);
  const { made } = await untilNode(fake, ordered, isReady);
  assert.equal(made.tailnetKey, "", "the machine has it, and nobody else");
  assert.deepEqual([...tailnet.good.keys()], [made.tailnetKeyId]);

  const failing = await paidNode(fake);
  await untilNode(fake, failing, inStep("droplet"), { stepMs: 1 });
  cloudFaults.ensure = { kind: "refuse" };
  await untilNode(fake, failing, isOver);
  assert.ok(![...tailnet.good.values()].includes(`timmy-${failing.handle}`));
  delete cloudFaults.ensure;

  // A network that refuses for good, as with a key of the operator's that has expired, keeps no fee for ever.
  const kept = await paidNode(fake);
  await untilNode(fake, kept, inStep("ip"));
  tailnetFaults.findKeys = { kind: "refuse" };
  cloudFaults.look = () => ({ kind: "refuse" });
  await untilNode(fake, kept, ({ state }) => state === "failed");
  delete cloudFaults.look;
  const over = await untilNode(fake, kept, isOver, { stepMs: 5_000, limitMs: 3 * HOUR_MS });
  assert.ok(fake.clock.now() - (over.steps.at(-1)?.finishedAt ?? 0) >= HOUR_MS);
  assert.equal(await owed(fake, kept), 10_000);
  await assertAudit(fake.world);
  fake.discard();
});

/** The log of events has an end of its own; the invoice's row waits for a payment that nobody can give back. */
const KEPT = ["event", "invoice"];

// ---- who pays late, or never -----------------------------------------------------------------------------------------------

nodes(
  "paid after the invoice had expired: the node is made all the same, with the key that was made for it",
  async (fake) => {
    const ordered = await orderNode(fake);
    fake.walletFaults.hints = () => ({ kind: "lose" });
    await payNode(fake, ordered);
    fake.walletFaults.lookupInvoice = { kind: "lose" };
    fake.clock.leap(700_000);
    await fake.clock.advance(2_000);
    delete fake.walletFaults.lookupInvoice;
    await untilNode(fake, ordered, isReady);
    assert.match((await fake.call("GET", ordered.path)).body.credentials.sshPrivateKey, /OPENSSH/);
  },
);

nodes(
  "never paid: a day after its invoice expired nothing of it is left, its sealed key least of all",
  async (fake) => {
    const { auth } = await keyWith(fake.world, 0);
    const ordered = await orderNode(fake, {}, auth);
    fake.clock.leap(700_000);
    await fake.clock.advance(2_000);
    assert.equal((await fake.call("GET", ordered.path)).body.state, "expired");
    for (let i = 0; i < 4; i++) {
      fake.clock.leap(13 * HOUR_MS);
      await fake.clock.advance(130_000);
    }
    assert.equal((await fake.call("GET", ordered.path)).status, 404);
    for (const table of fake.engine.tables().filter((name) => !KEPT.includes(String(name)))) {
      const rows = JSON.stringify(await fake.world.rows([String(table)]));
      assert.ok(!rows.includes(ordered.handle), `${table}: ${rows}`);
    }
  },
);

nodes(
  "an order that is carried out after the node had failed is found and undone before any money is owed",
  async (fake) => {
    const ordered = await paidNode(fake);
    const began = fake.clock.now();
    await untilNode(fake, ordered, isOver);
    assert.ok(fake.clock.now() - began >= 10_000, "the money waited");
    assert.deepEqual(await resourcesOf(fake), []);
    await fake.clock.advance(60_000);
    assert.deepEqual([await owed(fake, ordered), await resourcesOf(fake)], [10_000, []]);
  },
  { wrapCloud: late },
);
function late(cloud: Cloud): Cloud {
  const orders: Order[] = [];
  const ensure = (order: Order): Promise<Resource> => {
    if (order.kind !== "machine") return cloud.ensure(order);
    orders.push(order);
    return Promise.reject(new CloudError("no answer", true, HOUR_MS));
  };
  // It is carried out after the first look that finds nothing left.
  const list = async (tag: string) => {
    const found = await cloud.list(tag);
    // The key of the order is gone by then.
    for (const order of found.length === 0 ? orders.splice(0) : []) {
      await cloud.ensure({ ...order, sshKeyIds: [] } as Order);
    }
    return found;
  };
  return { ...cloud, ensure, list };
}
