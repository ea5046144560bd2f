import assert from "node:assert/strict";
import { bootstrapKey } from "@/lib/bootstrap/bootstrap.rows.ts";
import { newDelivery } from "@/lib/bootstrap/keys/delivery.rules.ts";
import { createSealer } from "@/lib/bootstrap/keys/sealed.ts";
import { newSshKeyPair } from "@/lib/bootstrap/keys/ssh-key-pair.ts";
import type { SimulatedFaults } from "@/lib/cloud/simulated.ts";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";
import {
  inStep,
  isOver,
  isReady,
  orderNode,
  OWN_KEY,
  payNode,
  readyNode,
  recordOf,
  sendReport,
  untilNode,
} from "@/tests/harness/bootstrap-payer.ts";
import { createFakeWorld, type FakeWorld } from "@/tests/harness/fake-world.ts";
import { keyWith } from "@/tests/harness/keys.ts";
import { assertAudit, createJob, payerInvoice } from "@/tests/harness/payer.ts";
import { type Answer, TEST_SETTINGS, type WorldOptions } from "@/tests/harness/world.ts";

const NOBODY = "0".repeat(13) + "-" + "0".repeat(32);
const DAY_MS = 86_400_000;
const PEM = /^-----BEGIN OPENSSH PRIVATE KEY-----\n/;

function inWorld(
  name: string,
  fn: (fake: FakeWorld, cloudFaults: SimulatedFaults) => Promise<void>,
  options: Omit<WorldOptions, "clock" | "random"> = {},
): void {
  Deno.test(`bootstrap: ${name}`, async () => {
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

/** The one error shape, with this status and code. */
// deno-lint-ignore no-explicit-any
function assertError({ status, body }: Answer, wanted: number, code: string, says: RegExp = /./): any {
  assert.equal(status, wanted, JSON.stringify(body));
  assert.equal(body.error.code, code);
  assert.match(body.error.message, says);
  return body.error.details;
}

const invoicesOf = async ({ world }: FakeWorld) => (await world.rows(["invoice"])).length;

// ---- ordering ----------------------------------------------------------------------------------------------------------

inWorld("ordered: one invoice of the fee, and from when to when it pays the machine", async (fake) => {
  const { status, body } = await fake.call("POST", "/api/bootstrap", { sshPublicKey: OWN_KEY, region: "ams3" });
  assert.equal(status, 201);
  assert.equal(body.state, "awaiting_payment");
  assert.equal(body.invoice.amountSats, 10_000);
  const { region, size, volumeGb, paidDays, paidFrom, paidUntil } = body.machine;
  assert.deepEqual([region, size, volumeGb, paidDays], ["ams3", "s-4vcpu-8gb", 0, 30]);
  assert.equal(Date.parse(paidUntil) - Date.parse(paidFrom), 30 * DAY_MS);
  assert.deepEqual([body.stubMode, body.simulated], [true, ["lightning", "cloud"]]);
  assert.match(body.message, /10000 sats/);
});

inWorld("what cannot be ordered is 400, names what is wrong, and makes no invoice", async (fake) => {
  const wrong: [body: unknown, says: RegExp][] = [
    [{ sshPublicKey: "ssh-ed25519 AAAA" }, /./],
    [{ sshPublicKey: "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----" }, /private/i],
    [{ sshPublicKey: "" }, /./],
    [{ sshPublicKey: 7 }, /sshPublicKey/],
    [{ sshPublicKey: "x".repeat(16_385) }, /sshPublicKey/],
    [{ sshpublickey: OWN_KEY }, /sshPublicKey/],
    [{ sshPubKey: OWN_KEY }, /did you mean sshPublicKey/],
    [{ regoin: "nyc3" }, /region/],
    [{ region: "NYC3" }, /region/],
    [{ region: "moon1" }, /moon1/],
    [{ size: "S 4" }, /size/],
    [{ npub: "npub1xyz" }, /npub/],
    [{ lightningAddress: "nobody" }, /not a Lightning address/],
    ["[]", /./],
    ["{", /./],
  ];
  for (const [body, says] of wrong) {
    const answer = await fake.call("POST", "/api/bootstrap", body);
    assert.equal(answer.status, 400, JSON.stringify([body, answer.body]));
    assert.match(JSON.stringify(answer.body.error), says);
    assert.ok(!JSON.stringify(answer.body).includes("abc"), "what was sent is not repeated");
  }
  assert.equal(await invoicesOf(fake), 0);
});

inWorld("one fee buys one size: whoever could choose would choose the dearest", async (fake) => {
  for (const size of ["s-8vcpu-16gb", "s-2vcpu-4gb", "s-4vcpu-8gb-amd"]) {
    const details = assertError(await fake.call("POST", "/api/bootstrap", { size }), 400, "cloud_size", /s-4vcpu-8gb/);
    assert.deepEqual(details, { size: "s-4vcpu-8gb" });
  }
  assert.equal((await fake.call("POST", "/api/bootstrap", { size: "s-4vcpu-8gb" })).status, 201);
  assert.equal(await invoicesOf(fake), 1);
});

inWorld("a provider that is full, locked or silent is 503 before there is an invoice", async (fake, faults) => {
  faults.refusal = { kind: "fail" };
  const silent = await fake.call("POST", "/api/bootstrap", {});
  assertError(silent, 503, "cloud_unavailable");
  assert.ok(Number(silent.headers.get("retry-after")) > 0);
  assert.equal(await invoicesOf(fake), 0);
});
inWorld("an account without room is 503, and says that nothing was charged", async (fake) => {
  assertError(await fake.call("POST", "/api/bootstrap", {}), 503, "cloud_quota", /moment\. Nothing was charged; try/);
  assert.equal(await invoicesOf(fake), 0);
}, { cloudAccount: { maxMachines: 0 } });
inWorld("a locked account is 503", async (fake) => {
  assertError(await fake.call("POST", "/api/bootstrap", {}), 503, "cloud_account");
}, { cloudAccount: { locked: true } });
inWorld("a size that the region has not is 400", async (fake) => {
  assertError(await fake.call("POST", "/api/bootstrap", {}), 400, "cloud_size", /not sold in nyc3/);
}, { cloudAccount: { sizes: ["g-2vcpu-8gb"] } });
inWorld("real money buys no simulated node", async (fake) => {
  assertError(await fake.call("POST", "/api/bootstrap", {}), 503, "bootstrap_unavailable");
}, { wrapWallet: (wallet) => ({ ...wallet, simulated: false }) });
inWorld(
  "what this program can tell no machine to become is sold to nobody, and the operator is told why",
  async (fake) => {
    assertError(await fake.call("POST", "/api/bootstrap", {}), 503, "bootstrap_unavailable", /Nothing was charged/);
    assert.equal(await invoicesOf(fake), 0);
    const told = fake.world.log.lines.find(({ fields }) => fields.code === "bootstrap_unavailable");
    assert.match(told?.fields.reason ?? "", /at least 60 GB/);
  },
  { settings: { bootstrap: { ...TEST_SETTINGS.bootstrap, volumeGb: 10 } } },
);
inWorld("a wallet that makes no invoice is 503, and nothing is kept", async (fake) => {
  fake.walletFaults.createInvoice = { kind: "lose" };
  assertError(await fake.call("POST", "/api/bootstrap", {}), 503, "wallet_unavailable");
  assert.deepEqual(await fake.world.rows(["bootstrap"]), []);
});
inWorld("orders that nobody pays are counted with all that waits to be paid", async (fake) => {
  await orderNode(fake);
  const job = await fake.call("POST", "/api/jobs", { request: "hello" });
  assert.equal(job.status, 201);
  assertError(await fake.call("POST", "/api/bootstrap", {}), 503, "too_many_open_challenges");
}, { settings: { maxOpenChallenges: 2 } });
inWorld("new orders from one address are limited as new sessions are", async (fake) => {
  for (let i = 0; i < 2; i++) await orderNode(fake);
  assert.equal((await fake.call("POST", "/api/bootstrap", {})).status, 429);
}, { challengesPerMinute: 2 });

inWorld("an idempotency key: the same answer, whatever has become of it; for another body 409", async (fake) => {
  const key = { "idempotency-key": "once" };
  const order = (body: unknown) => fake.call("POST", "/api/bootstrap", body, key);
  const [first, second] = await fake.clock.drive(
    Promise.all([1, 2].map(() => fake.world.call("POST", "/api/bootstrap", {}, key))),
  );
  assert.deepEqual([first?.status, second?.status], [201, 201]);
  assert.deepEqual(second?.body, first?.body);
  const ordered = { ...first!.body, handle: first!.body.bootstrapJobId.slice(0, 13) };
  await payNode(fake, ordered);
  await untilNode(fake, ordered, isReady);
  assert.deepEqual((await order({})).body, first?.body);
  assertError(await order({ region: "ams3" }), 409, "idempotency_conflict");
  assert.equal((await fake.world.rows(["bootstrap"])).length, 1);
});

// ---- following ---------------------------------------------------------------------------------------------------------

inWorld("an id that was never given, or stands for something else, is 404 on every route", async (fake) => {
  const { jobId } = await createJob(fake.call, "hello");
  const { id } = await orderNode(fake);
  for (const wrong of [NOBODY, jobId, "nonsense", id.slice(0, -1) + (id.endsWith("0") ? "1" : "0")]) {
    const asked = [
      ["GET", ""],
      ["HEAD", ""],
      ["GET", "/events"],
      ["POST", "/key", { preimage: "0".repeat(64) }],
      ["POST", "/ack", {}],
      ["POST", "/cancel", {}],
      ["POST", "/refund", { invoice: "lnbcrt1" }],
    ] as const;
    for (const [method, path, body] of asked) {
      const answer = await fake.call(method, `/api/bootstrap/${wrong}${path}`, body);
      assert.equal(answer.status, 404, `${method} ${path}`);
    }
  }
});

inWorld("other methods, unknown fields and large bodies are refused", async (fake) => {
  const { path } = await orderNode(fake);
  assert.equal((await fake.call("DELETE", path)).status, 405);
  assert.equal((await fake.call("GET", `${path}/cancel`)).status, 405);
  for (const [sub, body] of [["key", { preimage: "0".repeat(64) }], ["ack", {}], ["cancel", {}]] as const) {
    assert.equal((await fake.call("POST", `${path}/${sub}`, { ...body, more: 1 })).status, 400, sub);
  }
  assert.equal((await fake.call("POST", "/api/bootstrap", { sshPublicKey: "x".repeat(2_000_000) })).status, 413);
  assert.equal((await fake.call("OPTIONS", path)).status, 204);
});

inWorld("its way: every step with its times, then the credentials and only what exists on the node", async (fake) => {
  const ordered = await orderNode(fake, { sshPublicKey: OWN_KEY });
  const waiting = (await fake.call("GET", ordered.path)).body;
  assert.deepEqual([waiting.state, waiting.steps, waiting.credentials], ["awaiting_payment", [], undefined]);
  await payNode(fake, ordered);
  await untilNode(fake, ordered, inStep("first_boot"));
  const making = (await fake.call("GET", ordered.path)).body;
  assert.deepEqual([making.state, making.credentials, making.nextSteps], ["provisioning", undefined, undefined]);
  assert.match(making.message, /first_boot/);
  await untilNode(fake, ordered, isReady);
  const ready = (await fake.call("GET", ordered.path)).body;
  assert.deepEqual(
    ready.steps.map(({ name }: { name: string }) => name),
    ["ssh_key", "tailscale_key", "volume", "droplet", "ip", "first_boot", "ready"],
  );
  for (const { startedAt, finishedAt } of ready.steps) assert.ok(Date.parse(finishedAt) >= Date.parse(startedAt));
  const { nodeIp, lnbitsUrl, tailscaleHostname, sshPublicKey, sshPrivateKey, sshKeyNote, knownHosts } =
    ready.credentials;
  assert.match(nodeIp, /^(192\.0\.2|198\.51\.100|203\.0\.113)\.\d+$/);
  assert.deepEqual([lnbitsUrl, tailscaleHostname, sshPrivateKey], ["http://127.0.0.1:5000", null, null]);
  assert.equal(sshPublicKey, OWN_KEY.split(" ").slice(0, 2).join(" "));
  assert.match(sshKeyNote, /no other exists/);
  assert.ok(knownHosts.length > 0 && knownHosts.every((line: string) => line.startsWith(`${nodeIp} ssh-`)));
  assert.match(ready.nextSteps.join("\n"), /24 words from \/root\/node-credentials\.txt on paper/);
  assert.match(ready.nextSteps.join("\n"), new RegExp(`ssh -L 5000:127\\.0\\.0\\.1:5000 root@${nodeIp}`));
  assert.equal(Date.parse(ready.machine.paidUntil) - Date.parse(ready.machine.paidFrom), 30 * DAY_MS);
});

inWorld("events: the present state first, each step as it begins, and no secret", async (fake) => {
  const ordered = await orderNode(fake);
  const response = await fake.world.app.request(`${ordered.path}/events`);
  assert.equal(response.status, 200);
  const text = response.text();
  await payNode(fake, ordered);
  await untilNode(fake, ordered, isReady);
  const told = (await fake.clock.drive(text)).split("\n\n").filter((frame) => frame.startsWith("event: state"))
    .map((frame) => JSON.parse(frame.split("data: ")[1] ?? ""));
  assert.deepEqual(told.at(0), { state: "awaiting_payment", step: null, startedAt: null });
  assert.deepEqual(told.at(-1), { state: "ready", step: null, startedAt: null });
  const steps = told.map(({ step }) => step);
  for (const step of ["droplet", "ip", "first_boot"]) assert.ok(steps.includes(step), `${step} of ${steps}`);
  assert.deepEqual(Object.keys(Object.assign({}, ...told)).sort(), ["startedAt", "state", "step"]);
  const { steps: made } = (await fake.call("GET", ordered.path)).body;
  for (const { step, startedAt } of told.filter(({ step }) => step !== null)) {
    assert.equal(startedAt, made.find(({ name }: { name: string }) => name === step).startedAt, step);
  }
  assert.equal((await fake.call("HEAD", `${ordered.path}/events`)).status, 200);
});

inWorld("a record whose report is not what it should be is 503 for its owner, and comes back with it", async (fake) => {
  const ordered = await readyNode(fake);
  const { store } = fake.world;
  const whole = await recordOf(fake.world, ordered);
  const write = (report: unknown) =>
    store.transact((tx) => Promise.resolve(tx.set(bootstrapKey(ordered.handle), { ...whole, report } as typeof whole)));
  for (const wrong of ["text", { ...whole.report, sshHostKeys: "ssh-ed25519 AAAA" }, { ...whole.report, at: "noon" }]) {
    await write(wrong);
    assertError(await fake.call("GET", ordered.path), 503, "record_unreadable");
  }
  await write(whole.report);
  assert.match((await fake.call("GET", ordered.path)).body.credentials.sshPrivateKey, PEM);
});

// ---- the key -----------------------------------------------------------------------------------------------------------

inWorld("the private key: to the first poll, and to no other", async (fake) => {
  const { path } = await readyNode(fake);
  for (let i = 0; i < 3; i++) assert.equal((await fake.call("HEAD", path)).body, "", "a HEAD takes no key");
  const first = (await fake.call("GET", path)).body.credentials;
  assert.match(first.sshPrivateKey, PEM);
  assert.equal(first.sshKeyNote, undefined);
  const later = (await fake.call("GET", path)).body.credentials;
  assert.equal(later.sshPrivateKey, null);
  assert.match(later.sshKeyNote, /handed over before.*\/key/);
  assert.equal((await fake.call("GET", path)).headers.get("cache-control"), "no-store");
});

Deno.test("bootstrap: 1,000 rounds of two polls at the same instant: each time exactly one gets the key", async () => {
  const fake = await createFakeWorld(1);
  const { path, handle } = await readyNode(fake);
  const sealed = (await recordOf(fake.world, { handle })).privateKey.sealed;
  assert.ok(sealed);
  for (let round = 0; round < 1_000; round++) {
    const answers = await Promise.all([1, 2].map(() => fake.world.call("GET", path)));
    const keys = answers.map(({ body }) => body.credentials.sshPrivateKey).filter((key) => key !== null);
    assert.equal(keys.length, 1, `round ${round}`);
    assert.match(keys[0], PEM);
    await fake.world.store.transact(async (tx) => {
      const record = await recordOf({ ...fake.world, store: tx as never }, { handle });
      tx.set(bootstrapKey(handle), { ...record, privateKey: newDelivery(sealed) });
    });
  }
  fake.discard();
});

inWorld(
  "an answer that was lost: the preimage fetches the key again for ten minutes, then it is erased",
  async (fake) => {
    const { path, preimage, handle } = await readyNode(fake);
    const key = (body: unknown) => fake.call("POST", `${path}/key`, body);
    assertError(await key({ preimage: "00".repeat(32) }), 401, "wrong_preimage");
    for (const wrong of [{}, { preimage: "zz".repeat(32) }, { preimage: preimage.slice(2) }, { preimage: 1 }]) {
      assert.equal((await key(wrong)).status, 400);
    }
    const { sshPrivateKey } = (await fake.call("GET", path)).body.credentials;
    for (const spelt of [preimage, preimage.toUpperCase()]) {
      assert.deepEqual((await key({ preimage: spelt })).body, { sshPrivateKey });
    }
    await fake.clock.advance(599_000);
    assert.equal((await key({ preimage })).status, 200, "a fetch makes the window no longer");
    await fake.clock.advance(2_000);
    assertError(await key({ preimage }), 410, "key_erased");
    assert.equal((await recordOf(fake.world, { handle })).privateKey.sealed, null, "it is gone from the store");
    assert.match((await fake.call("GET", path)).body.credentials.sshKeyNote, /erased/);
  },
);

inWorld("the window ends when it ends, whatever dies meanwhile", async (fake) => {
  const { path, preimage, handle } = await readyNode(fake);
  await fake.call("GET", path);
  fake.clock.leap(700_000);
  assertError(await fake.call("POST", `${path}/key`, { preimage }), 410, "key_erased");
  await fake.world.crash();
  await fake.clock.advance(2_000);
  assert.equal((await recordOf(fake.world, { handle })).privateKey.sealed, null);
});

inWorld("fetched by the preimage first, the key is handed over by that", async (fake) => {
  const { path, preimage } = await readyNode(fake);
  assert.match((await fake.call("POST", `${path}/key`, { preimage })).body.sshPrivateKey, PEM);
  assert.equal((await fake.call("GET", path)).body.credentials.sshPrivateKey, null);
});

inWorld("ack: the key is erased at once, and not before anybody has it", async (fake) => {
  const { path, preimage, handle } = await readyNode(fake);
  const ack = (body: unknown = {}) => fake.call("POST", `${path}/ack`, body);
  assertError(await ack(), 409, "key_not_delivered");
  await fake.call("GET", path);
  assertError(await ack({ preimage: "00".repeat(32) }), 401, "wrong_preimage");
  assert.deepEqual([(await ack({ preimage })).status, (await ack()).status], [200, 200]);
  assert.equal((await recordOf(fake.world, { handle })).privateKey.sealed, null);
  assertError(await fake.call("POST", `${path}/key`, { preimage }), 410, "key_erased");
});

inWorld("a payer's own key: there is nothing to fetch and nothing to erase", async (fake) => {
  const { path, preimage } = await readyNode(fake, { sshPublicKey: OWN_KEY });
  assertError(await fake.call("POST", `${path}/key`, { preimage }), 409, "no_private_key");
  assertError(await fake.call("POST", `${path}/ack`, {}), 409, "no_private_key");
});

inWorld("before it is ready there is no key; once it failed there will be none", async (fake) => {
  const ordered = await orderNode(fake);
  const preimage = await payNode(fake, ordered);
  await untilNode(fake, ordered, inStep("ssh_key"));
  assertError(await fake.call("POST", `${ordered.path}/key`, { preimage }), 409, "not_ready");
  assertError(await fake.call("POST", `${ordered.path}/ack`, {}), 409, "key_not_delivered");
  await fake.call("POST", `${ordered.path}/cancel`, {});
  assertError(await fake.call("POST", `${ordered.path}/key`, { preimage }), 410, "key_erased");
});

inWorld("a key that nobody can open was not handed over: it comes when the instance's own is back", async (fake) => {
  const { path, handle, preimage } = await readyNode(fake);
  const whole = await recordOf(fake.world, { handle });
  const random = createSeededRandom(5);
  const other = createSealer(random.bytes(32), random).seal(newSshKeyPair(random.bytes(32), "x").privateKey, "x");
  const put = (sealed: string | null) =>
    fake.world.store.transact((tx) => tx.set(bootstrapKey(handle), { ...whole, privateKey: newDelivery(sealed) }));
  await put(other);
  const { status, body } = await fake.call("GET", path);
  assert.deepEqual([status, body.credentials.sshPrivateKey], [200, null]);
  assert.match(body.credentials.sshKeyNote, /operator/);
  assertError(await fake.call("POST", `${path}/key`, { preimage }), 503, "key_unreadable");
  await put(whole.privateKey.sealed);
  assert.match((await fake.call("GET", path)).body.credentials.sshPrivateKey, PEM);
});

// ---- cancelling and the refund -----------------------------------------------------------------------------------------

inWorld("cancel: before the machine is ordered; then 409 says why", async (fake) => {
  const ordered = await orderNode(fake);
  await payNode(fake, ordered);
  await untilNode(fake, ordered, inStep("first_boot"));
  const cancel = () => fake.call("POST", `${ordered.path}/cancel`, {});
  assertError(await cancel(), 409, "too_late", /being made/);
  await untilNode(fake, ordered, isReady);
  assertError(await cancel(), 409, "too_late", /yours already/);
});

inWorld("cancel: twice is once; what failed by itself is not cancelled any more", async (fake, faults) => {
  const ordered = await orderNode(fake);
  await payNode(fake, ordered);
  const twice = await fake.clock.drive(
    Promise.all([1, 2].map(() => fake.world.call("POST", `${ordered.path}/cancel`, {}))),
  );
  for (const { status, body } of twice) {
    assert.deepEqual([status, body.state, body.refundState], [202, "failed", "pending"]);
  }
  faults.ensure = { kind: "refuse" };
  const failing = await orderNode(fake);
  await payNode(fake, failing);
  await untilNode(fake, failing, isOver);
  assertError(await fake.call("POST", `${failing.path}/cancel`, {}), 409, "too_late", /failed/);
});

inWorld(
  "cancelled before it was paid: nobody is asked for money, and what comes all the same goes back",
  async (fake) => {
    const ordered = await orderNode(fake);
    const cancelled = await fake.call("POST", `${ordered.path}/cancel`, {});
    assert.deepEqual([cancelled.status, cancelled.body.state], [202, "expired"]);
    assert.match(cancelled.body.message, /cancelled/);
    assert.equal((await recordOf(fake.world, ordered)).privateKey.sealed, null);
    await payNode(fake, ordered);
    await untilNode(fake, ordered, isOver);
    assert.deepEqual(await fake.clock.drive(fake.world.cloud.list("timmy")), []);
    assert.equal((await fake.call("GET", ordered.path)).body.refundAmountSats, 10_000);
  },
);

inWorld("the refund: not before nothing is left, then by the rules of a job's, once", async (fake, faults) => {
  const ordered = await orderNode(fake);
  const refund = async (sats = 10_000) => {
    const { paymentRequest } = await payerInvoice(fake.world, sats);
    return await fake.call("POST", `${ordered.path}/refund`, { invoice: paymentRequest });
  };
  assertError(await refund(), 409, "no_refund");
  await payNode(fake, ordered);
  await untilNode(fake, ordered, inStep("ip"));
  assertError(await refund(), 409, "no_refund");
  faults.look = { kind: "refuse" };
  faults.destroy = { kind: "fail" };
  await untilNode(fake, ordered, ({ state }) => state === "failed");
  const failing = (await fake.call("GET", ordered.path)).body;
  assert.deepEqual([failing.refundState, failing.refundAmountSats, failing.refundPaymentHash], [
    "pending",
    10_000,
    null,
  ]);
  assert.match(failing.errorMessage, /^The machine did not come up: /);
  assert.match(failing.message, /^The node could not be made\. .* is being destroyed/);
  assertError(await refund(), 409, "refund_not_ready");
  delete faults.look;
  delete faults.destroy;
  await untilNode(fake, ordered, isOver);
  assert.match((await fake.call("GET", ordered.path)).body.message, /is destroyed\. .* is owed back: claim it/);
  assertError(await refund(9_999_999), 400, "invoice_wrong_amount");
  assert.equal((await fake.call("POST", `${ordered.path}/refund`, { lightningAddress: "me@example.com" })).status, 400);
  const paid = await refund();
  assert.deepEqual([paid.status, paid.body.refundState, paid.body.refundAmountSats], [200, "paid", 10_000]);
  assertError(await refund(), 409, "refund_claimed");
  const over = (await fake.call("GET", ordered.path)).body;
  assert.deepEqual([over.refundState, over.refundPaymentHash], ["paid", paid.body.refundPaymentHash]);
  assert.match(over.message, /has gone back/);
});

// ---- the node's report -------------------------------------------------------------------------------------------------

/** A paid node whose machine stands and does not report by itself. */
async function silentNode(fake: FakeWorld) {
  const ordered = await orderNode(fake);
  await payNode(fake, ordered);
  await untilNode(fake, ordered, inStep("first_boot"));
  return ordered;
}
const SILENT = { cloudTimes: { firstBootMs: 10 * DAY_MS } };

inWorld("a report: who may, and what it must be", async (fake) => {
  const node = await silentNode(fake);
  const other = await silentNode(fake);
  const door = (change: Parameters<typeof sendReport>[2]) => sendReport(fake, node, change);
  for (const token of [null, "", "x".repeat(40), node.id, `${node.handle}-${"0".repeat(32)}`]) {
    assertError(await door({ token }), 401, "report_token");
  }
  assertError(await door({ signature: "" }), 400, "report_signature");
  assertError(await door({ body: (text) => text.replace("simulated", "Simulated") }), 400, "report_signature");
  assertError(await door({ at: fake.clock.now() - 16 * 60_000 }), 400, "report_time");
  assertError(await door({ at: fake.clock.now() + 16 * 60_000 }), 400, "report_time");
  assert.equal((await door({ body: (text) => text.padEnd(2_000_000) })).status, 413);
  assert.ok([400, 413].includes((await door({ body: (text) => text.padEnd(17_000) })).status));
  assert.equal((await recordOf(fake.world, node)).report, null);
  assert.equal((await door({})).status, 200);
  assert.equal((await recordOf(fake.world, other)).report, null);
  await untilNode(fake, node, isReady);
}, SILENT);

inWorld("a report counts once: the same key may repeat it, another may not", async (fake) => {
  const node = await silentNode(fake);
  const both = await fake.clock.drive(
    Promise.all([1, 2].map((n) => sendReport({ world: fake.world, call: fake.world.call }, node, { n }))),
  );
  assert.deepEqual(both.map(({ status }) => status).sort(), [200, 409]);
  const first = both[0]?.status === 200 ? 1 : 2;
  await untilNode(fake, node, isReady);
  const told = (await recordOf(fake.world, node)).report;
  assert.equal((await sendReport(fake, node, { n: first })).status, 200);
  assertError(await sendReport(fake, node, { n: 3 - first }), 409, "report_used");
  assert.deepEqual((await recordOf(fake.world, node)).report, told);
}, SILENT);

inWorld("a report for what is not awaited is 409: unpaid, before the machine, cancelled, forgotten", async (fake) => {
  const node = await orderNode(fake);
  assertError(await sendReport(fake, node), 409, "not_awaited");
  await payNode(fake, node);
  await untilNode(fake, node, inStep("ssh_key"));
  assertError(await sendReport(fake, node), 409, "not_awaited");
  await fake.call("POST", `${node.path}/cancel`, {});
  assertError(await sendReport(fake, node), 409, "not_awaited");
  assertError(await sendReport(fake, { handle: "0".repeat(13) }), 409, "not_awaited");
}, SILENT);

// ---- whose they are ----------------------------------------------------------------------------------------------------

inWorld("those of a key: in pages, and of nobody else", async (fake) => {
  const [alice, bob] = [await keyWith(fake.world, 0, 1), await keyWith(fake.world, 0, 2)];
  const made = [];
  for (let i = 0; i < 5; i++) made.push((await orderNode(fake, {}, alice.auth)).id);
  await orderNode(fake, {}, bob.auth);
  await orderNode(fake);
  const found: string[] = [];
  let next: string | undefined;
  do {
    const query: string = next === undefined ? "" : `&after=${encodeURIComponent(next)}`;
    const page = await fake.call("GET", `/api/identity/bootstraps?limit=2${query}`, undefined, alice.auth);
    assert.equal(page.status, 200, JSON.stringify(page.body));
    found.push(...page.body.bootstraps.map(({ bootstrapJobId }: { bootstrapJobId: string }) => bootstrapJobId));
    next = page.body.next;
  } while (next !== undefined);
  assert.deepEqual(found.sort(), made.sort());
  assert.equal((await fake.call("GET", "/api/identity/bootstraps")).status, 401);
  assert.equal((await fake.call("GET", "/api/identity/bootstraps?limit=0", undefined, alice.auth)).status, 400);
});
