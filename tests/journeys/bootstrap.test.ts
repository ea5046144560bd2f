/** A node's whole way over HTTP: at the simulated provider, and at a server that speaks DigitalOcean's API. */
import assert from "node:assert/strict";
import { bootstrapKey } from "@/lib/bootstrap/bootstrap.rows.ts";
import type { Bootstrap } from "@/lib/bootstrap/bootstrap.machine.ts";
import { bootstrapTasks } from "@/lib/bootstrap/bootstrap.tasks.ts";
import { systemClock } from "@/lib/clock.ts";
import { createDigitalOcean } from "@/lib/cloud/digitalocean.ts";
import type { SimulatedFaults } from "@/lib/cloud/simulated.ts";
import { createSimulatedTailnet } from "@/lib/cloud/simulated-tailnet.ts";
import { createTailscale } from "@/lib/cloud/tailscale.ts";
import { startDigitalOcean } from "@/lib/cloud/testing/digitalocean-server.ts";
import { startTailscale } from "@/lib/cloud/testing/tailscale-server.ts";
import { waitForEvent } from "@/lib/store/events.ts";
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
} from "../harness/bootstrap-payer.ts";
import { ADDRESS, createAddressHost } from "../harness/address-host.ts";
import { createFakeWorld, type FakeWorld } from "../harness/fake-world.ts";
import { assertAudit, payerInvoice } from "../harness/payer.ts";
import { createSeededRandom } from "../harness/seeded-random.ts";
import { changing } from "../invariants/naive.ts";
import { createWorld, TEST_SETTINGS, type World } from "../harness/world.ts";

const SETTINGS = { bootstrap: { ...TEST_SETTINGS.bootstrap, volumeGb: 100 } };

/** The whole fee, to an invoice of the payer's, and the books are right. */
async function takeBack({ world, call }: Pick<FakeWorld, "world" | "call">, { path }: Ordered): Promise<void> {
  const { paymentRequest } = await payerInvoice(world, 10_000);
  const paid = await call("POST", `${path}/refund`, { invoice: paymentRequest });
  assert.deepEqual([paid.status, paid.body.refundState, paid.body.refundAmountSats], [200, "paid", 10_000]);
  assert.equal(await world.wallet.balanceSats(), 0);
}

Deno.test("bootstrap journey: a key that was made here goes to its holder once, over deaths of the program", async () => {
  const fake = await createFakeWorld(11, { settings: SETTINGS });
  const ordered = await orderNode(fake);
  const preimage = await payNode(fake, ordered);
  for (const step of ["volume", "droplet", "ip", "first_boot"]) {
    await untilNode(fake, ordered, inStep(step), { stepMs: 1 });
    await fake.world.crash();
  }
  await untilNode(fake, ordered, isReady);
  await fake.world.crash();
  const { credentials, nextSteps, state } = (await fake.call("GET", ordered.path)).body;
  assert.equal(state, "ready");
  assert.match(credentials.sshPrivateKey, /^-----BEGIN OPENSSH PRIVATE KEY-----/);
  assert.ok(nextSteps.length > 3);
  await fake.world.crash();
  assert.equal((await fake.call("GET", ordered.path)).body.credentials.sshPrivateKey, null, "also after a death");
  const again = await fake.call("POST", `${ordered.path}/key`, { preimage });
  assert.equal(again.body.sshPrivateKey, credentials.sshPrivateKey);
  assert.equal((await fake.call("POST", `${ordered.path}/ack`, { preimage })).status, 200);
  await untilNode(fake, ordered, ({ handedOver }) => handedOver);
  assert.deepEqual((await resourcesOf(fake)).map(({ kind }) => kind).sort(), ["machine", "ssh-key", "volume"]);
  await assertAudit(fake.world);
  fake.discard();
});

for (const step of ["ssh_key", "tailscale_key", "volume"] as const) {
  Deno.test(`bootstrap journey: cancelled in ${step}: what was made goes, then the whole fee`, async () => {
    const cloudFaults: SimulatedFaults = {};
    const faults: Parameters<typeof createSimulatedTailnet>[0]["faults"] & object = {};
    const random = createSeededRandom(1);
    const clock = { now: () => 0 };
    const tailnet = createSimulatedTailnet({ clock: { ...systemClock, ...clock }, random, faults });
    const fake = await createFakeWorld(12, { settings: SETTINGS, cloudFaults, tailnet });
    const ordered = await orderNode(fake);
    // Each step but the one before it hangs, until it is cancelled.
    let calls = 0;
    const until = { ssh_key: 0, tailscale_key: 1, volume: 1 }[step];
    cloudFaults.ensure = () => calls++ < until ? undefined : { kind: "fail" };
    if (step === "tailscale_key") faults.createKey = { kind: "lose" };
    await payNode(fake, ordered);
    await untilNode(fake, ordered, inStep(step));
    await fake.clock.advance(3_000);
    const cancelled = await fake.call("POST", `${ordered.path}/cancel`, {});
    assert.deepEqual([cancelled.status, cancelled.body.state], [202, "failed"]);
    assert.match(cancelled.body.message, /^You cancelled it\./);
    assert.equal(cancelled.body.steps.at(-1).note, "cancelled");
    const over = await untilNode(fake, ordered, isOver);
    assert.equal(over.errorMessage, "You cancelled it.");
    assert.deepEqual(await resourcesOf(fake), []);
    assert.deepEqual(await tailnet.findKeys(`timmy-${ordered.handle}`), []);
    await takeBack(fake, ordered);
    await assertAudit(fake.world);
    fake.discard();
  });
}

for (const fault of ["ssh_key", "volume", "droplet", "ip"] as const) {
  Deno.test(`bootstrap journey: it fails in ${fault}: all is destroyed, the whole fee goes back to the payer's invoice`, async () => {
    const cloudFaults: SimulatedFaults = {};
    const fake = await createFakeWorld(13, { settings: SETTINGS, cloudFaults });
    const ordered = await orderNode(fake);
    await payNode(fake, ordered);
    await untilNode(fake, ordered, inStep(fault), { stepMs: 1 });
    cloudFaults[fault === "ip" ? "look" : "ensure"] = { kind: "refuse" };
    await untilNode(fake, ordered, ({ state }) => state === "failed");
    await fake.world.crash();
    delete cloudFaults.look;
    await untilNode(fake, ordered, isOver);
    assert.deepEqual(await resourcesOf(fake), []);
    await takeBack(fake, ordered);
    await assertAudit(fake.world);
    fake.discard();
  });
}

Deno.test("bootstrap journey: no report: wait and be ready, or cancel and be paid back", async () => {
  const fake = await createFakeWorld(14, { cloudTimes: { firstBootMs: 1e9 } });
  const [waits, leaves] = [await orderNode(fake, { sshPublicKey: OWN_KEY }), await orderNode(fake)];
  for (const ordered of [waits, leaves]) await payNode(fake, ordered);
  for (const ordered of [waits, leaves]) await untilNode(fake, ordered, inStep("first_boot"));
  fake.clock.leap(1_200_000);
  for (const ordered of [waits, leaves]) {
    const { made } = await untilNode(fake, ordered, ({ state }) => state === "ready_unconfirmed");
    const { message } = (await fake.call("GET", ordered.path)).body;
    assert.match(message, /or cancel/);
    assert.ok(message.includes(`(${made.ipv4})`), "what is known is told");
  }
  assert.equal((await sendReport(fake, waits)).status, 200);
  await untilNode(fake, waits, isReady);
  assert.equal((await fake.call("POST", `${waits.path}/cancel`, {})).status, 409);
  assert.equal((await fake.call("POST", `${leaves.path}/cancel`, {})).status, 202);
  await untilNode(fake, leaves, isOver);
  assert.equal((await resourcesOf(fake)).filter(({ kind }) => kind === "machine").length, 1);
  const { paymentRequest } = await payerInvoice(fake.world, 10_000);
  assert.equal((await fake.call("POST", `${leaves.path}/refund`, { invoice: paymentRequest })).status, 200);
  await assertAudit(fake.world);
  fake.discard();
});

// ---- DigitalOcean and Tailscale over HTTP ---------------------------------------------------------------------------------

async function atProviders(fn: (parts: Providers) => Promise<void>): Promise<void> {
  const digitalOcean = startDigitalOcean({ keyLists: 1_000 });
  const tailscale = startTailscale();
  const { token, url: baseUrl } = digitalOcean;
  const world = await createWorld({
    cloud: createDigitalOcean({ token, baseUrl, clock: systemClock, uncertainMs: 50 }),
    tailnet: createTailscale({
      apiKey: tailscale.apiKey,
      tailnet: "-",
      baseUrl: tailscale.url,
      clock: systemClock,
    }),
    settings: { bootstrap: { ...SETTINGS.bootstrap, pollMs: 50 } },
    // Nothing is late on the way to a server of this machine.
    background: changing("bootstrap", (_spec, services) => bootstrapTasks(services, { settleMs: 100 }).tasks[0]!),
  });
  try {
    await fn({ world, digitalOcean, tailscale });
    assert.deepEqual([...digitalOcean.violations, ...tailscale.violations], []);
    await assertAudit(world);
  } finally {
    await world.close();
    await digitalOcean.close();
    await tailscale.close();
  }
}
interface Providers {
  world: World;
  digitalOcean: ReturnType<typeof startDigitalOcean>;
  tailscale: ReturnType<typeof startTailscale>;
}

/** Waits for what a record becomes, by the events that announce it. */
async function becomes(world: World, ordered: Ordered, is: (bootstrap: Bootstrap) => boolean): Promise<Bootstrap> {
  for (;;) {
    const isOurs = ({ type, handle }: { type: string; handle?: unknown }) =>
      type === "bootstrap_state" && handle === ordered.handle;
    const wait = waitForEvent(world.store, systemClock, isOurs, 30_000);
    try {
      const record = await world.store.get<Bootstrap>(bootstrapKey(ordered.handle));
      if (record && is(record)) return record;
      assert.ok(await wait.event, `it stays ${record?.state}, ${record?.steps.at(-1)?.name}`);
    } finally {
      wait.cancel();
    }
  }
}

Deno.test("bootstrap journey: DigitalOcean and Tailscale over HTTP: one droplet, volume and key, also after lost answers", async () => {
  await atProviders(async ({ world, digitalOcean, tailscale }) => {
    for (const call of ["POST /v2/account/keys", "POST /v2/volumes"] as const) {
      digitalOcean.failNext(call, { how: "lose" });
    }
    digitalOcean.failNext("GET /v2/droplets/:id", { how: "cut" });
    const ordered = await orderNode(world, { sshPublicKey: OWN_KEY });
    await payNode({ world }, ordered);
    await becomes(world, ordered, inStep("first_boot"));
    assert.equal((await sendReport({ world, call: world.call }, ordered)).status, 200);
    const { made } = await becomes(world, ordered, ({ handedOver }) => handedOver);
    const name = `timmy-${ordered.handle}`;
    for (const kind of ["machine", "volume", "ssh-key"] as const) {
      assert.equal(digitalOcean.made(kind, name).length, 1, kind);
    }
    const [droplet] = digitalOcean.existing("machine");
    assert.equal(droplet?.id, made.machineId);
    assert.deepEqual(droplet?.tags.toSorted(), ["handed-over", "timmy", name]);
    assert.ok(digitalOcean.existing("volume").every(({ tags }) => tags.includes("handed-over")));
    const { body } = await world.call("GET", ordered.path);
    assert.deepEqual([body.simulated, body.credentials.nodeIp], [["lightning"], made.ipv4]);
    const secrets = [digitalOcean.token, tailscale.apiKey, world.deps.recordIds.idOf("first-boot", ordered.handle)];
    const said = JSON.stringify([
      await world.rows(["bootstrap"]),
      body,
      world.log.lines.map((line) => Deno.inspect(line, { depth: 9 })),
    ]);
    for (const secret of secrets) assert.ok(!said.includes(secret));
  });
});

Deno.test("bootstrap journey: DigitalOcean over HTTP gives up on a droplet: all is destroyed there, the key revoked, the fee goes back", async () => {
  await atProviders(async ({ world, digitalOcean }) => {
    const ordered = await orderNode(world);
    digitalOcean.failMaking(`timmy-${ordered.handle}`);
    await payNode({ world }, ordered);
    const over = await becomes(world, ordered, isOver);
    assert.match(over.errorMessage ?? "", /could not start the machine/);
    assert.deepEqual(digitalOcean.existing(), []);
    await takeBack({ world, call: world.call }, ordered);
  });
});

Deno.test("bootstrap journey: DigitalOcean over HTTP has no room: nobody is asked for money", async () => {
  await atProviders(async ({ world, digitalOcean }) => {
    digitalOcean.account.dropletLimit = 0;
    const { status, body } = await world.call("POST", "/api/bootstrap", {});
    assert.deepEqual([status, body.error.code], [503, "cloud_quota"]);
    assert.deepEqual(await world.rows(["invoice"]), []);
    const elsewhere = await world.call("POST", "/api/bootstrap", { region: "moon1" });
    assert.deepEqual([elsewhere.status, elsewhere.body.error.code], [400, "cloud_region"]);
  });
});

// ---- what must stay secret ------------------------------------------------------------------------------------------------

Deno.test("bootstrap hygiene: no key, token or tailnet key lies in clear in a row, an event, a line of the log or an answer but the one", async () => {
  const keys: string[] = [];
  const cloudFaults: SimulatedFaults = {};
  const seen: string[] = [];
  const random = createSeededRandom(9);
  const inner = createSimulatedTailnet({ clock: systemClock, random });
  const fake = await createFakeWorld(15, {
    cloudFaults,
    tailnet: {
      ...inner,
      async createKey(order) {
        const made = await inner.createKey(order);
        keys.push(made.key);
        return made;
      },
    },
  });
  /** Everything that the program has written, said and answered up to this moment. */
  const look = async () => {
    for (const table of fake.engine.tables()) seen.push(JSON.stringify(await fake.world.rows([String(table)])));
    seen.push(
      JSON.stringify(fake.world.log.lines.map((line) => Deno.inspect(line, { depth: 9, strAbbreviateSize: 1e5 }))),
    );
  };
  const stop = fake.world.store.onEvent((event) => void seen.push(JSON.stringify(event)));
  const secrets: string[] = [];
  const handles: Ordered[] = [];
  for (const [i, ends] of ["ready", "failed", "cancelled"].entries()) {
    const ordered = await orderNode(fake, {}, { "idempotency-key": `key ${i}` });
    handles.push(ordered);
    secrets.push(fake.world.deps.recordIds.idOf("first-boot", ordered.handle));
    const privateKey = (await recordOf(fake.world, ordered)).privateKey.sealed;
    secrets.push(
      fake.world.deps.sealer.open(privateKey ?? "", `bootstrap ${ordered.handle} private key`).split("\n")[3] ?? "",
    );
    await payNode(fake, ordered);
    if (ends === "cancelled") await fake.call("POST", `${ordered.path}/cancel`, {});
    else await untilNode(fake, ordered, inStep("droplet"), { stepMs: 1 });
    await look();
    if (ends === "failed") cloudFaults.ensure = { kind: "refuse" };
    if (ends === "ready") await untilNode(fake, ordered, isReady);
    else await untilNode(fake, ordered, isOver);
    delete cloudFaults.ensure;
    const polls = [await fake.call("GET", ordered.path), await fake.call("GET", ordered.path)];
    if (ends === "ready") assert.ok(JSON.stringify(polls[0]?.body).includes(secrets.at(-1)!), "the one delivery");
    seen.push(JSON.stringify(polls.slice(1)));
    await look();
  }
  stop();
  secrets.push(...keys, ...handles.map(({ id }) => id));
  assert.ok(keys.length >= 2 && secrets.every((secret) => secret.length >= 22) && seen.length > 40);
  for (const [i, secret] of secrets.entries()) {
    const where = seen.find((text) => text.includes(secret) && !text.includes(`"bootstrapJobId":"${secret}"`));
    assert.equal(where, undefined, `secret ${i} is in ${where?.slice(0, 200)}`);
  }
  await assertAudit(fake.world);
  fake.discard();
});

Deno.test("bootstrap journey: a node that cannot be made pays its fee back to the Lightning address by itself", async () => {
  const host = createAddressHost();
  const cloudFaults: SimulatedFaults = { ensure: { kind: "refuse" } };
  const fake = await createFakeWorld(31, { settings: SETTINGS, cloudFaults, publicFetch: host.publicFetch });
  host.wallet = fake.world.wallet;
  const ordered = await orderNode(fake, { lightningAddress: ADDRESS });
  assert.equal(host.requests.length, 1, "it is asked at once whether it can be paid");
  await payNode(fake, ordered);
  await untilNode(fake, ordered, isOver);
  await fake.clock.advance(60_000);
  const over = (await fake.call("GET", ordered.path)).body;
  assert.deepEqual([over.state, over.refundState, over.lightningAddress], ["failed", "paid", ADDRESS]);
  assert.equal(over.refundPaymentHash, host.invoices.at(-1)?.paymentHash);
  assert.deepEqual(over.refundAttempts.map(({ way, ok }: { way: string; ok: boolean }) => [way, ok]), [
    ["lightning_address", true],
  ]);
  assert.equal(await fake.world.wallet.balanceSats(), 0, "all of the fee");
  await assertAudit(fake.world);
  fake.discard();
});

Deno.test("bootstrap journey: a fee that is owed is claimed with a Lightning address", async () => {
  const host = createAddressHost();
  const cloudFaults: SimulatedFaults = { ensure: { kind: "refuse" } };
  const fake = await createFakeWorld(32, { settings: SETTINGS, cloudFaults, publicFetch: host.publicFetch });
  host.wallet = fake.world.wallet;
  const ordered = await orderNode(fake);
  await payNode(fake, ordered);
  await untilNode(fake, ordered, isOver);
  const paid = await fake.call("POST", `${ordered.path}/refund`, { lightningAddress: ADDRESS });
  assert.deepEqual([paid.status, paid.body.refundState, paid.body.refundAmountSats], [200, "paid", 10_000]);
  fake.discard();
});
