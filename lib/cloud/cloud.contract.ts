/**
 * What every cloud adapter must do, run against each of them. Only what the port promises is tested; what only one adapter
 * has is tested beside it.
 */
import assert from "node:assert/strict";
import type { Order, ResourceKind } from "./port.ts";
import {
  cloudError,
  type CloudHarness,
  insist,
  keyOrder,
  machineOrder,
  publicKey,
  untilActive,
  untilGone,
  volumeOrder,
} from "./testing/cloud-harness.ts";

const NAME = "timmy-0123456789abc";
const NOWHERE: Readonly<Record<ResourceKind, string>> = {
  "ssh-key": "1",
  machine: "1",
  volume: "00000000-0000-4000-8000-000000000000",
};
const KINDS = Object.keys(NOWHERE) as ResourceKind[];

/** Registers the suite. */
export function cloudContract(name: string, makeHarness: () => CloudHarness | Promise<CloudHarness>): void {
  const test = (criterion: string, run: (harness: CloudHarness) => Promise<void>) =>
    Deno.test(`${name}: ${criterion}`, async () => {
      const harness = await makeHarness();
      try {
        await run(harness);
      } finally {
        await harness.close();
      }
    });

  const orderOf = (kind: ResourceKind, name = NAME): Order =>
    kind === "ssh-key" ? keyOrder(name) : kind === "volume" ? volumeOrder(name) : machineOrder(name);
  for (const kind of KINDS) {
    test(`a ${kind} is made once and found again, also by calls at the same time`, async ({ cloud, made }) => {
      const order = orderOf(kind);
      const all = [
        ...await Promise.all(Array.from({ length: 10 }, () => cloud.ensure(order))),
        await cloud.ensure(order),
      ];
      for (const one of all) {
        assert.equal(one.id, all[0]?.id);
        assert.deepEqual([one.kind, one.name], [kind, NAME]);
      }
      assert.equal(await made(kind, NAME), 1);
      const found = await cloud.look(kind, all[0]!.id);
      assert.equal(found?.name, NAME);
      assert.equal(found?.region, kind === "ssh-key" ? null : "nyc3");
      assert.deepEqual(found?.tags, kind === "ssh-key" ? [] : ["timmy", NAME]);
    });

    for (const how of ["lose", "cut"] as const) {
      test(`after a ${how === "lose" ? "lost answer" : "call that never arrived"} there is one ${kind}`, async (harness) => {
        const { cloud, spoilNext, made, existing } = harness;
        spoilNext(kind, how);
        await assert.rejects(cloud.ensure(orderOf(kind)), cloudError(true));
        const found = await insist(harness, () => cloud.ensure(orderOf(kind)));
        assert.equal(found.name, NAME);
        assert.deepEqual([await made(kind, NAME), await existing(kind, NAME)], [1, 1]);
      });
    }

    test(`an order of a ${kind} that is delivered twice leaves one`, async (harness) => {
      const { cloud, spoilNext, existing, pass } = harness;
      spoilNext(kind, "twice");
      const found = await insist(harness, () => cloud.ensure(orderOf(kind)));
      await pass(10_000);
      assert.equal((await cloud.look(kind, found.id))?.name, NAME);
      assert.equal(await existing(kind, NAME), 1);
    });

    test(`no ${kind} of an id nobody has: null, and ending it is done`, async ({ cloud }) => {
      assert.equal(await cloud.look(kind, NOWHERE[kind]), null);
      await cloud.destroy(kind, NOWHERE[kind]);
    });

    test(`a ${kind} that was ended is gone, and ending it again is done`, async (harness) => {
      const { cloud, existing } = harness;
      const { id } = await cloud.ensure(orderOf(kind));
      if (kind === "machine") await untilActive(harness, id);
      await cloud.destroy(kind, id);
      await cloud.destroy(kind, id);
      await untilGone(harness, kind, id);
      await cloud.destroy(kind, id);
      assert.equal(await existing(kind, NAME), 0);
      const next = await cloud.ensure(orderOf(kind));
      assert.notEqual(next.id, id, "an id names one thing for ever");
    });
  }

  test("a machine is pending without an address, then active with one and its volume", async (harness) => {
    const { cloud } = harness;
    const key = await cloud.ensure(keyOrder(NAME));
    const volume = await cloud.ensure(volumeOrder(NAME));
    const machine = await cloud.ensure(machineOrder(NAME, { sshKeyIds: [key.id], volumeIds: [volume.id] }));
    assert.deepEqual([machine.state, machine.ipv4], ["pending", null]);
    assert.ok(machine.createdAt !== null && machine.createdAt > 0);
    const active = await untilActive(harness, machine.id);
    assert.equal(active.state, "active");
    assert.match(active.ipv4 ?? "", /^(192\.0\.2|198\.51\.100|203\.0\.113)\.\d+$/);
    assert.deepEqual(active.volumeIds, [volume.id]);
  });

  test("a volume goes after its machine, and not before", async (harness) => {
    const { cloud, pass } = harness;
    const volume = await cloud.ensure(volumeOrder(NAME));
    const machine = await cloud.ensure(machineOrder(NAME, { volumeIds: [volume.id] }));
    await assert.rejects(cloud.destroy("volume", volume.id), cloudError(true));
    await untilActive(harness, machine.id);
    await cloud.destroy("machine", machine.id);
    await assert.rejects(cloud.destroy("volume", volume.id), cloudError(true));
    await untilGone(harness, "machine", machine.id);
    await pass(5_000);
    await insist(harness, () => cloud.destroy("volume", volume.id));
    await untilGone(harness, "volume", volume.id);
  });

  test("a machine the provider gives up on is errored, and can be ended", async (harness) => {
    const { cloud, failMaking, pass } = harness;
    failMaking(NAME);
    const { id } = await cloud.ensure(machineOrder(NAME));
    await pass(1_000);
    assert.deepEqual(await cloud.look("machine", id).then((found) => [found?.state, found?.ipv4]), ["errored", null]);
    await cloud.destroy("machine", id);
    await untilGone(harness, "machine", id);
  });

  test("the same public key under another name is the key that is there", async ({ cloud, made }) => {
    const first = await cloud.ensure(keyOrder(NAME));
    const second = await cloud.ensure({ ...keyOrder("timmy-other"), publicKey: `${publicKey(1)} me@home` } as Order);
    assert.deepEqual([second.id, second.name], [first.id, NAME]);
    assert.equal(await made("ssh-key", "timmy-other"), 0);
    assert.notEqual((await cloud.ensure(keyOrder("timmy-third", 2))).id, first.id);
  });

  test("a list has everything with the tag, of each kind and on every page, and nothing else", async (harness) => {
    const { cloud, limit, strangers } = harness;
    limit({ machines: 300, volumes: 300 });
    const ours: string[] = [];
    for (const kind of KINDS) {
      const { id } = await cloud.ensure(orderOf(kind));
      ours.push(`${kind} ${id}`);
    }
    for (let number = 0; number < 202; number++) {
      const { id } = await cloud.ensure(volumeOrder(`timmy-v${number}`));
      ours.push(`volume ${id}`);
    }
    await strangers("machine", "web-1");
    await strangers("volume", "data");
    await cloud.ensure(keyOrder("laptop", 9));
    await cloud.ensure(keyOrder("timmyx", 8));
    const listed = await cloud.list("timmy");
    assert.deepEqual(listed.map(({ kind, id }) => `${kind} ${id}`).sort(), ours.sort());
    assert.deepEqual((await cloud.list(NAME)).map(({ kind }) => kind).sort(), [...KINDS].sort());
    assert.deepEqual(await cloud.list("nothing-like-it"), []);
  });

  test("a tag is added once, to machines and volumes, whether anything had it before or not", async ({ cloud }) => {
    for (const kind of ["machine", "volume"] as const) {
      const { id } = await cloud.ensure(orderOf(kind));
      for (let times = 0; times < 2; times++) await cloud.tag(kind, id, "handed-over");
      assert.deepEqual((await cloud.look(kind, id))?.tags.toSorted(), ["handed-over", "timmy", NAME].sort());
      await assert.rejects(cloud.tag(kind, NOWHERE[kind], "handed-over"), cloudError(false));
    }
    assert.equal((await cloud.list("handed-over")).length, 2);
  });

  for (const kind of ["machine", "volume"] as const) {
    test(`a ${kind} of the same name that is not ours is neither taken nor doubled`, async (harness) => {
      const { cloud, strangers, existing, made } = harness;
      const id = await strangers(kind, NAME);
      await assert.rejects(cloud.ensure(orderOf(kind)), cloudError(true, /not touched/));
      assert.equal(await made(kind, NAME), 1);
      assert.equal(await existing(kind, NAME), 1);
      assert.ok(!(await cloud.look(kind, id))?.tags.includes("timmy"));
    });
  }

  test("what the account would not give is told before anybody pays", async ({ cloud, limit, pass }) => {
    const want = { region: "nyc3", size: "s-4vcpu-8gb", volumeGb: 0 };
    const code = async (changed: Partial<typeof want>) => (await cloud.refusal({ ...want, ...changed }))?.code;
    assert.equal(await cloud.refusal(want), null);
    assert.equal(await code({ volumeGb: 100 }), undefined);
    assert.equal(await code({ region: "mars1" }), "region");
    const hostile = await cloud.refusal({ ...want, region: "<script>" });
    assert.ok(hostile?.code === "region" && !hostile.message.includes("script"));
    assert.equal(await code({ size: "s-999vcpu-1gb" }), "size");
    assert.equal(await code({ size: "x".repeat(1_000) }), "size");
    await cloud.ensure(machineOrder(NAME));
    await cloud.ensure(volumeOrder(NAME));
    limit({ machines: 2, volumes: 1 });
    await pass(5_000);
    assert.deepEqual([await code({}), await code({ volumeGb: 1 })], [undefined, "quota"]);
    limit({ machines: 1, volumes: 9 });
    await pass(5_000);
    assert.equal(await code({}), "quota");
    limit({ locked: true });
    await pass(5_000);
    assert.equal(await code({}), "account");
  });

  test("an order that is not valid is refused for good, and nothing is made", async ({ cloud, made }) => {
    const volume = volumeOrder(NAME);
    const wrong: Order[] = [
      keyOrder("Timmy Key"),
      { kind: "ssh-key", name: NAME, publicKey: "hello" },
      { ...volume, name: "0-begins-with-a-digit" },
      { ...volume, name: "n".repeat(64) },
      { ...volume, tags: [] },
      { ...volume, tags: ["two words"] },
      { ...volume, sizeGb: 1.5 },
      { ...volume, region: "nyc3&name=x" },
      machineOrder(NAME, { size: "" }),
      machineOrder(NAME, { sshKeyIds: ["../account"] }),
      machineOrder(NAME, { volumeIds: ["1"] }),
      machineOrder(NAME, { userData: "ä".repeat(32_769) }),
      machineOrder(NAME, { sshKeyIds: [NOWHERE["ssh-key"]] }),
      machineOrder(NAME, { volumeIds: [NOWHERE.volume] }),
      machineOrder(NAME, { size: "s-999vcpu-1gb" }),
    ];
    for (const order of wrong) await assert.rejects(cloud.ensure(order), cloudError(false), JSON.stringify(order));
    for (const kind of KINDS) {
      assert.equal(await made(kind, NAME), 0);
      await assert.rejects(cloud.look(kind, "../account"), cloudError(false));
      await assert.rejects(cloud.destroy(kind, ""), cloudError(false));
    }
    await assert.rejects(cloud.list("a/b"), cloudError(false));
    await assert.rejects(cloud.tag("machine", NOWHERE.machine, ""), cloudError(false));
    await cloud.ensure(machineOrder(NAME, { userData: "#" + "x".repeat(65_535) })); // 64 KiB are allowed
  });

  test("a volume that another machine has is refused for good", async ({ cloud, made }) => {
    const volume = await cloud.ensure(volumeOrder(NAME));
    await cloud.ensure(machineOrder("timmy-first", { volumeIds: [volume.id] }));
    await assert.rejects(cloud.ensure(machineOrder(NAME, { volumeIds: [volume.id] })), cloudError(false));
    assert.equal(await made("machine", NAME), 0);
  });

  test("a machine over the account's limit is refused for good", async ({ cloud, limit, made }) => {
    limit({ machines: 1 });
    await cloud.ensure(machineOrder("timmy-first"));
    await assert.rejects(cloud.ensure(machineOrder(NAME)), cloudError(false));
    assert.equal(await made("machine", NAME), 0);
  });

  test("a refusal is final, and the next call is not affected", async ({ cloud, refuseNext }) => {
    refuseNext();
    await assert.rejects(cloud.ensure(keyOrder(NAME)), cloudError(false));
    assert.equal((await cloud.ensure(keyOrder(NAME))).name, NAME);
  });

  test("while a third of all calls fails, each step ends with exactly one, and the end with none", async (harness) => {
    const { cloud, storm, calm, made, existing, pass } = harness;
    for (let seed = 1; seed <= 4; seed++) {
      const name = `timmy-storm${seed}`;
      storm(seed);
      const key = await insist(harness, () => cloud.ensure(keyOrder(name, seed)));
      const volume = await insist(harness, () => cloud.ensure(volumeOrder(name)));
      const order = machineOrder(name, { sshKeyIds: [key.id], volumeIds: [volume.id] });
      const machine = await insist(harness, () => cloud.ensure(order));
      for (const kind of KINDS) {
        assert.deepEqual([await made(kind, name), await existing(kind, name)], [1, 1], `${kind}, seed ${seed}`);
      }
      await pass(60_000);
      const listed = await insist(harness, () => cloud.list(name));
      assert.deepEqual(listed.map(({ id }) => id).sort(), [key.id, volume.id, machine.id].sort());
      await insist(harness, () => cloud.destroy("machine", machine.id));
      await pass(10_000);
      await insist(harness, () => cloud.destroy("volume", volume.id));
      await insist(harness, () => cloud.destroy("ssh-key", key.id));
      calm();
      for (const one of [machine, volume, key]) await untilGone(harness, one.kind, one.id);
    }
  });
}
