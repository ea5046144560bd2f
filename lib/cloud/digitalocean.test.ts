import assert from "node:assert/strict";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { cloudContract } from "./cloud.contract.ts";
import { cloudError, type CloudHarness, keyOrder, machineOrder, volumeOrder } from "./testing/cloud-harness.ts";
import { machineOf } from "./digitalocean-answers.ts";
import { createDigitalOcean, type DigitalOceanOptions } from "./digitalocean.ts";
import { CloudError } from "./port.ts";
import { type DigitalOceanServerOptions, startDigitalOcean } from "./testing/digitalocean-server.ts";

export const MAKING = { "ssh-key": "POST /v2/account/keys", volume: "POST /v2/volumes", machine: "POST /v2/droplets" };

/** A server and the adapter on the same clock, which the test moves. */
export function setUp(server: DigitalOceanServerOptions = {}, options: Partial<DigitalOceanOptions> = {}) {
  const clock = createFakeClock();
  const times = { addressMs: 2_000, activeMs: 4_000, endMs: 3_000, detachMs: 2_000 };
  const digitalOcean = startDigitalOcean({ clock, times, ...server });
  const cloud = createDigitalOcean({ token: digitalOcean.token, baseUrl: digitalOcean.url, clock, ...options });
  return { clock, server: digitalOcean, cloud };
}

function harness(): CloudHarness {
  const { clock, server, cloud } = setUp({ keyLists: 1_000 });
  return {
    cloud,
    pass: (ms) => clock.advance(ms),
    made: (kind, name) => server.made(kind, name).length,
    existing: (kind, name) => server.existing(kind, name).length,
    spoilNext: (kind, how) => server.failNext(MAKING[kind], { how }),
    refuseNext() {
      const body = { id: "unauthorized", message: "Unable to authenticate you" };
      server.failNext("GET /v2/account/keys/:id", { how: "instead", status: 401, body });
    },
    failMaking: server.failMaking,
    storm: (seed) => server.failAtRandom({ rate: 1 / 3, seed }),
    calm: () => server.failAtRandom({ rate: 0, seed: 0 }),
    limit({ machines, volumes, locked }) {
      if (machines !== undefined) server.account.dropletLimit = machines;
      if (volumes !== undefined) server.account.volumeLimit = volumes;
      if (locked) server.account.status = "locked";
    },
    strangers: (kind, name) => Promise.resolve(server.put({ kind, name }).id),
    async close() {
      await server.close();
      assert.deepEqual(server.violations, []);
    },
  };
}

cloudContract("DigitalOcean", harness);

const NAME = "timmy-0123456789abc";
type Parts = ReturnType<typeof setUp>;
const test = (
  what: string,
  run: (parts: Parts) => Promise<void>,
  server: DigitalOceanServerOptions = {},
  options: Partial<DigitalOceanOptions> = {},
) =>
  Deno.test(`DigitalOcean: ${what}`, async () => {
    const parts = setUp(server, options);
    try {
      await run(parts);
      assert.deepEqual(parts.server.violations, []);
    } finally {
      await parts.server.close();
    }
  });
const notFound = { how: "instead", status: 404, body: { id: "not_found", message: "no" } } as const;
/** What an error says of the next try. */
const waitOf = (call: Promise<unknown>) =>
  call.then(() => assert.fail("it worked"), (error: CloudError) => [error.retryable, error.retryAfterMs]);

test("a machine is ordered as the node needs it", async ({ cloud, server }) => {
  const key = await cloud.ensure(keyOrder(NAME));
  const volume = await cloud.ensure(volumeOrder(NAME));
  await cloud.ensure(machineOrder(NAME, { sshKeyIds: [key.id], volumeIds: [volume.id] }));
  assert.deepEqual(server.made("machine")[0]?.order, {
    name: NAME,
    region: "nyc3",
    size: "s-4vcpu-8gb",
    image: "debian-12-x64",
    ssh_keys: [Number(key.id)],
    volumes: [volume.id],
    tags: ["timmy", NAME],
    user_data: "#cloud-config\n",
    ipv6: true,
    monitoring: false,
    backups: false,
  });
  assert.deepEqual(server.made("volume")[0]?.order, {
    name: NAME,
    region: "nyc3",
    tags: ["timmy", NAME],
    size_gigabytes: 10,
    filesystem_type: "ext4",
  });
});

test(
  "another image can be ordered",
  async ({ cloud, server }) => {
    await cloud.ensure(machineOrder(NAME));
    assert.equal(server.made("machine")[0]?.order.image, "debian-13-x64");
  },
  {},
  { image: "debian-13-x64" },
);

test("a key is asked for by its fingerprint, as lists of keys are rationed", async ({ cloud, server }) => {
  for (let seed = 1; seed <= 12; seed++) await cloud.ensure(keyOrder(`timmy-k${seed}`, seed));
  assert.ok(!server.calls.includes("GET /v2/account/keys"));
  for (let lists = 0; lists < 10; lists++) await cloud.list("timmy");
  assert.deepEqual(await waitOf(cloud.list("timmy")), [true, 30_000]);
});

test("a machine that another call just made is found by its refusal: SSH key, volume, machine", async ({ cloud, server }) => {
  const key = await cloud.ensure(keyOrder(NAME));
  server.failNext("GET /v2/account/keys/:id", notFound);
  assert.equal((await cloud.ensure(keyOrder(NAME))).id, key.id);
  const volume = await cloud.ensure(volumeOrder(NAME));
  server.failNext("GET /v2/volumes", { how: "instead", status: 200, body: { volumes: [] } });
  assert.equal((await cloud.ensure(volumeOrder(NAME))).id, volume.id);
  const order = machineOrder(NAME, { volumeIds: [volume.id] });
  const machine = await cloud.ensure(order);
  server.failNext("GET /v2/droplets", { how: "instead", status: 200, body: { droplets: [] } });
  assert.equal((await cloud.ensure(order)).id, machine.id);
  assert.equal(server.made().length, 3);
});

test("an order that arrives after its deadline is waited for, and there is one machine", async ({ cloud, server, clock }) => {
  const late = Promise.withResolvers<void>();
  server.failNext(MAKING.machine, { how: "late", until: late.promise });
  const arrived = server.arrived(MAKING.machine);
  const first = assert.rejects(cloud.ensure(machineOrder(NAME)), cloudError(true, /30000 ms/));
  await arrived;
  await clock.advance(30_000);
  await first;
  const orders = () => server.calls.filter((call) => call === MAKING.machine).length;
  assert.deepEqual(await waitOf(cloud.ensure(machineOrder(NAME))), [true, 10_000]);
  assert.equal(orders(), 1);
  late.resolve();
  await clock.settle();
  assert.equal((await cloud.ensure(machineOrder(NAME))).name, NAME);
  assert.deepEqual([orders(), server.made("machine", NAME).length], [1, 1]);
});

test("after an answer that says nothing it waits, and orders again when nothing came of it", async ({ cloud, server, clock }) => {
  const unclear = [
    { how: "instead", status: 502, body: "<html>" },
    { how: "instead", status: 202, body: { droplet: { id: "7" } } },
    { how: "cut" },
  ] as const;
  for (const [at, fault] of unclear.entries()) {
    const name = `timmy-n${at}`;
    server.failNext(MAKING.machine, fault);
    await assert.rejects(cloud.ensure(machineOrder(name)), cloudError(true));
    assert.deepEqual(await waitOf(cloud.ensure(machineOrder(name))), [true, 10_000]);
    await clock.advance(9_999);
    assert.deepEqual(await waitOf(cloud.ensure(machineOrder(name))), [true, 1]);
    await clock.advance(1);
    await cloud.ensure(machineOrder(name));
    assert.equal(server.made("machine", name).length, 1);
  }
});

test("volumes and SSH keys are ordered again at once: the API itself refuses the second", async ({ cloud, server }) => {
  for (const order of [volumeOrder(NAME), keyOrder(NAME)]) {
    server.failNext(MAKING[order.kind], { how: "cut" });
    await assert.rejects(cloud.ensure(order), cloudError(true));
    assert.equal((await cloud.ensure(order)).name, NAME);
  }
});

test("after a decision it does not wait", async ({ cloud, server }) => {
  server.failNext(MAKING.machine, { how: "instead", status: 429, body: {}, headers: { "retry-after": "7" } });
  assert.deepEqual(await waitOf(cloud.ensure(machineOrder(NAME))), [true, 7_000]);
  assert.equal((await cloud.ensure(machineOrder(NAME))).name, NAME);
});

test("two programs that order the same machine at once end with the older of the two", async ({ cloud, server, clock }) => {
  const other = createDigitalOcean({ token: server.token, baseUrl: server.url, clock });
  for (let round = 0; round < 10; round++) {
    const order = machineOrder(`timmy-r${round}`);
    const [one, two] = await Promise.all([cloud.ensure(order), other.ensure(order)]);
    assert.equal(one.id, two.id);
    await clock.advance(3_000);
    const left = server.existing("machine", order.name);
    assert.deepEqual(left.map(({ id }) => id), [one.id]);
    assert.equal(one.id, server.made("machine", order.name)[0]?.id, "the oldest stays");
  }
});

test("of two that exist the oldest is the answer, and none is ended by looking", async ({ cloud, server, clock }) => {
  const tags = ["timmy", NAME];
  const [old] = [server.put({ kind: "machine", name: NAME, tags }), server.put({ kind: "machine", name: NAME, tags })];
  assert.equal((await cloud.ensure(machineOrder(NAME))).id, old.id);
  await clock.advance(10_000);
  assert.equal(server.existing("machine", NAME).length, 2);
});

test("a volume that is attached is detached first", async ({ cloud, server, clock }) => {
  const volume = await cloud.ensure(volumeOrder(NAME));
  await cloud.ensure(machineOrder(NAME, { volumeIds: [volume.id] }));
  const busy = await cloud.destroy("volume", volume.id).catch((error) => error);
  assert.ok(busy instanceof CloudError && busy.retryable, "its machine is being made");
  await clock.advance(4_000);
  assert.deepEqual(await waitOf(cloud.destroy("volume", volume.id)), [true, 3_000]);
  await clock.advance(2_000);
  await cloud.destroy("volume", volume.id);
  assert.equal(await cloud.look("volume", volume.id), null);
  assert.equal(server.existing("machine").length, 1, "the machine stays");
});

test("a machine that is busy can be ended later", async ({ cloud, server }) => {
  const { id } = await cloud.ensure(machineOrder(NAME));
  const body = { id: "unprocessable_entity", message: "Droplet already has a pending event." };
  server.failNext("DELETE /v2/droplets/:id", { how: "instead", status: 422, body });
  assert.deepEqual(await waitOf(cloud.destroy("machine", id)), [true, 3_000]);
  await cloud.destroy("machine", id);
});

test("a tag is made before it is given, and one that exists is no obstacle", async ({ cloud, server }) => {
  const { id } = await cloud.ensure(machineOrder(NAME));
  await cloud.tag("machine", id, "handed-over");
  assert.deepEqual(server.calls.slice(-2), ["POST /v2/tags", "POST /v2/tags/:id/resources"]);
  server.failNext("POST /v2/tags", { how: "instead", status: 422, body: { id: "unprocessable_entity", message: "x" } });
  await cloud.tag("machine", id, "handed-over");
  server.failNext("POST /v2/tags", { how: "instead", status: 500, body: {} });
  await assert.rejects(cloud.tag("machine", id, "handed-over"), cloudError(true));
});

test("one look at the account serves everybody for 5 seconds, and a failed one nobody", async ({ cloud, server, clock }) => {
  const want = { region: "nyc3", size: "s-4vcpu-8gb", volumeGb: 0 };
  const looks = () => server.calls.filter((call) => call === "GET /v2/account").length;
  server.failNext("GET /v2/account", { how: "instead", status: 503, body: {} });
  await assert.rejects(cloud.refusal(want), cloudError(true));
  await Promise.all([cloud.refusal(want), cloud.refusal(want), cloud.refusal({ ...want, volumeGb: 9 })]);
  assert.equal(looks(), 2);
  await clock.advance(4_999);
  await cloud.refusal(want);
  assert.equal(looks(), 2);
  await clock.advance(1);
  await cloud.refusal(want);
  assert.equal(looks(), 3);
});

test("regions that are closed or have no volumes, and sizes that are sold out, are refused", async ({ cloud }) => {
  const refusal = async (region: string, size: string, volumeGb: number) =>
    (await cloud.refusal({ region, size, volumeGb }))?.message ?? null;
  assert.match(await refusal("sfo1", "s-4vcpu-8gb", 0) ?? "", /Regions: nyc3, ams3, blr1/);
  assert.equal(await refusal("blr1", "s-4vcpu-8gb", 0), null);
  assert.match(await refusal("blr1", "s-4vcpu-8gb", 1) ?? "", /no volumes/);
  assert.match(await refusal("ams3", "s-4vcpu-8gb", 0) ?? "", /not sold in ams3/);
  assert.match(await refusal("nyc3", "s-8vcpu-16gb", 0) ?? "", /not sold/);
});

test("an account with a warning still works, one without a volume limit has none", async ({ cloud, server }) => {
  const account = { droplet_limit: 5, status: "warning" };
  server.failNext("GET /v2/account", { how: "instead", status: 200, body: { account } });
  assert.equal(await cloud.refusal({ region: "nyc3", size: "s-4vcpu-8gb", volumeGb: 1 }), null);
}, { volumeLimit: 0 });

Deno.test("DigitalOcean: what a status means", () => {
  const droplet = {
    id: 1,
    name: NAME,
    created_at: "2026-01-02T03:04:05Z",
    tags: [],
    region: { slug: "nyc3" },
    volume_ids: [],
    networks: { v4: [{ ip_address: "10.0.0.1", type: "private" }, { ip_address: "203.0.113.9", type: "public" }] },
  };
  const states = (["new", "active", "off", "archive"] as const).map((status) =>
    machineOf({ ...droplet, status }).state
  );
  assert.deepEqual(states, ["pending", "active", "active", "errored"]);
  const { ipv4, createdAt } = machineOf({ ...droplet, status: "active" });
  assert.deepEqual([ipv4, createdAt], ["203.0.113.9", Date.UTC(2026, 0, 2, 3, 4, 5)]);
  for (const ip_address of ["2001:db8::1", "203.0.113.256", "<b>", "0203.0.113.1"]) {
    assert.equal(
      machineOf({ ...droplet, status: "active", networks: { v4: [{ ip_address, type: "public" }] } }).ipv4,
      null,
    );
  }
});
