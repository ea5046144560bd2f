/**
 * What callers send, and what they are given to hold, shows in nothing that an instance tells about itself: not in /metrics, the log,
 * the events or what is pushed. Every input of every route carries a canary; whole journeys are made with canaries in all they say.
 */
import assert from "node:assert/strict";
import { allowedFields } from "@/lib/logger.ts";
import { otlpOf } from "@/lib/metrics/otlp.rules.ts";
import { ADDRESS, createAddressHost } from "../harness/address-host.ts";
import { isReady, untilNode } from "../harness/bootstrap-payer.ts";
import { createFakeWorld, type FakeWorld } from "../harness/fake-world.ts";
import { pubkeyOf, signIn } from "../harness/identity.ts";
import { createJob, pay, payerInvoice, untilState } from "../harness/payer.ts";
import { settle } from "../harness/session-payer.ts";
import { ALICE } from "../fixtures/nostr/sign.ts";

const WORD = "zqcanary";
let made = 0;
/** A word that nothing else contains, each time another one; its letters may stand in an id. */
const canary = () => WORD + String(++made).padStart(5, "0");
const hex = (text: string) => Array.from(text, (one) => one.charCodeAt(0).toString(16).padStart(2, "0")).join("");
const idOf = () => `${canary()}-${"ab".repeat(16)}`;
const hexOf = () => hex(canary()).padEnd(64, "0");

/** Of base64, what the word alone decides when `before` bytes stand before it. */
const base64After = (before: number) =>
  btoa("x".repeat(before) + WORD).slice(Math.ceil(before * 8 / 6), Math.floor((before + WORD.length) * 8 / 6));
/** The word as it is, in hex, and in base64 wherever in the text it begins. */
const TRACES = new RegExp([WORD, hex(WORD), ...[0, 1, 2].map(base64After)].join("|"), "i");

/** What callers of an instance were given, and what opens or identifies something: ids, tokens, invoices, hashes. */
const HELD =
  /^(jobId|sessionId|bootstrapJobId|macaroon|nostr_token|preimage|paymentHash|paymentRequest|nonce|sshPrivateKey|sshPublicKey)$/;
function heldIn(value: unknown, found: Map<string, string>): Map<string, string> {
  if (typeof value !== "object" || value === null) return found;
  for (const [key, inner] of Object.entries(value)) {
    if (HELD.test(key) && typeof inner === "string" && inner.length >= 20) found.set(inner, key);
    heldIn(inner, found);
  }
  return found;
}

/** Everything that an instance tells about itself, a line at a time. */
async function told({ world, call, clock }: FakeWorld): Promise<Record<string, string[]>> {
  await clock.advance(1_001);
  const metrics = (accept: string) => call("GET", "/metrics", undefined, { accept });
  const texts = [await metrics("*/*"), await metrics("text/plain")].map(({ body }) => body as string);
  const families = await clock.drive(world.deps.metrics.registry.collect());
  const otlp = otlpOf(families, { version: "test", instance: "i", startedAt: 0, now: clock.now() });
  const events = (await world.rows(["event"])).map(({ value }) => JSON.stringify(value));
  return {
    metrics: texts.join("\n").split("\n"),
    otlp: JSON.stringify(otlp).split("},{"),
    events,
    // As it is written, and as it was before the second line of defence took out what looks like a secret.
    log: world.log.lines.flatMap(({ level, fields, message }) => [
      JSON.stringify({ level, message, ...allowedFields(fields) }),
      JSON.stringify({ level, message, ...fields, error: Deno.inspect(fields.error) }),
    ]),
  };
}

function assertSilent(all: Record<string, string[]>, held: ReadonlyMap<string, string>): void {
  for (const [where, lines] of Object.entries(all)) {
    const line = lines.find((one) => TRACES.test(one));
    assert.equal(line, undefined, `an input is in the ${where}: ${line}`);
    for (const [value, what] of held) {
      const line = lines.find((one) => one.includes(value));
      assert.equal(line, undefined, `a ${what} is in the ${where}: ${line}`);
    }
  }
}

/** Headers that programs read, log or pass on. */
const HEADERS: (() => Record<string, string>)[] = [
  () => ({
    "user-agent": canary(),
    referer: `https://${canary()}.example/?q=${canary()}`,
    cookie: `a=${canary()}`,
    origin: `https://${canary()}.example`,
    "x-forwarded-for": canary(),
    forwarded: `for=${canary()}`,
    "x-real-ip": canary(),
    "x-request-id": canary(),
    "idempotency-key": canary(),
    "accept-language": canary(),
    "x-timmy-signature": canary(),
    "x-nostr-token": canary(),
    traceparent: canary(),
    [`x-${canary()}`]: canary(),
  }),
  () => ({ authorization: `Bearer ${canary()}`, accept: canary() }),
  () => ({ authorization: `L402 ${btoa(canary())}:${hexOf()}`, "idempotency-key": `${canary()} ${canary()}` }),
  () => ({ authorization: `Nostr ${btoa(JSON.stringify({ id: hexOf(), content: canary() }))}` }),
  () => ({ authorization: canary(), "content-type": `application/${canary()}`, "content-encoding": canary() }),
];

/** Fields that any body may have, each with what it takes when it is right. */
const FIELDS: Record<string, () => unknown> = {
  request: canary,
  nostr_token: canary,
  lightningAddress: () => `${canary()}@${canary()}.example.com`,
  model: canary,
  invoice: () => `lnbcrt10n1${canary()}`,
  amount_sats: () => 500,
  amountSats: () => 500,
  preimage: hexOf,
  payment_hash: hexOf,
  messages:
    () => [{ role: "user", name: canary(), content: canary() }, { role: canary(), content: [{ text: canary() }] }],
  user: canary,
  stop: () => [canary()],
  metadata: () => ({ [canary()]: canary() }),
  sshPublicKey: () => `ssh-ed25519 ${btoa(canary())} ${canary()}`,
  region: canary,
  size: canary,
  pubkey: hexOf,
  event: () => ({
    id: hexOf(),
    pubkey: hexOf(),
    kind: 1,
    created_at: 1,
    tags: [[canary()]],
    content: canary(),
    sig: hexOf(),
  }),
  at: canary,
  sshHostKeys: () => [canary()],
  nodeKey: canary,
  tailscaleHostname: canary,
  lnbitsUrl: canary,
};

/** Bodies that are right, wrong in one field, wrong in all, and none. */
const bodies = (): unknown[] => {
  const right = () => Object.fromEntries(Object.entries(FIELDS).map(([name, make]) => [name, make()]));
  return [
    ...Object.entries(FIELDS).map(([name, make]) => ({ [name]: make() })),
    { request: canary(), amount_sats: 500 },
    { model: "claude-sonnet-4-6", messages: [{ role: "user", content: canary() }] },
    right(),
    { ...right(), amount_sats: canary(), amountSats: canary() },
    { [canary()]: canary() },
    [canary()],
    `{"request": "${canary()}`,
    canary(),
  ];
};

Deno.test("canaries: no input of any route shows in what an instance tells about itself", async () => {
  const host = createAddressHost();
  const fake = await createFakeWorld(1, { publicFetch: host.publicFetch, settings: { metricsMoney: true } });
  const { world, call } = fake;
  const held = new Map<string, string>();
  const routes = new Set(
    world.app.routes.filter(({ method, path }) => method !== "ALL" && !path.includes("*"))
      .map(({ method, path }) => `${method} ${path}`),
  );
  assert.ok(routes.size > 40, `only ${routes.size} routes`);
  const answered = new Map<number, number>();
  const ask = async (method: string, path: string, body?: unknown, headers?: Record<string, string>) => {
    const { status, body: answer } = await call(method, path, body, headers);
    answered.set(status, (answered.get(status) ?? 0) + 1);
    assert.notEqual(status, 500, `${method} ${path}`);
    if (status < 400) heldIn(answer, held);
  };
  for (const route of routes) {
    const [method = "", pattern = ""] = route.split(" ");
    if (/\/events$|first-boot/.test(pattern)) continue; // streams that stay open; asked for below
    const paths = [canary, idOf, hexOf].map((make) => pattern.replace(/:\w+(\{[^}]*\})?/g, make));
    for (const [i, path] of paths.entries()) {
      const query = `?${canary()}=${canary()}&request=${canary()}&limit=${canary()}&after=${canary()}`;
      for (const headers of i === 0 ? HEADERS : []) {
        await ask(method, path + query, method === "POST" ? { request: canary() } : undefined, headers());
      }
      if (method === "GET") await ask("GET", path + query);
      else for (const body of i === 0 ? bodies() : [bodies()[0]]) await ask(method, path, body);
    }
    await ask("PUT", paths[0]!, canary());
  }
  for (const path of ["/api/jobs/ID/events", "/api/bootstrap/ID/events"]) await ask("GET", path.replace("ID", idOf()));
  for (const body of bodies()) {
    await ask("POST", "/api/bootstrap/first-boot", body, { authorization: `Bearer ${canary()}` });
  }
  for (const path of [`/${canary()}`, `/api/${canary()}/${idOf()}`, `/v1/${canary()}`]) await ask("GET", path);
  for (const status of [200, 201, 400, 401, 402, 404, 405]) assert.ok(answered.has(status), `nothing was ${status}`);
  assert.ok(made > 2_000, `only ${made} canaries`);
  assert.ok(held.size > 20, `only ${held.size} things to hold`);
  await fake.clock.advance(70_000);
  assertSilent(await told(fake), held);
  fake.discard();
});

Deno.test("canaries: whole journeys show nothing of what was asked, answered, paid or signed", async () => {
  const host = createAddressHost();
  const fake = await createFakeWorld(2, { publicFetch: host.publicFetch, settings: { metricsMoney: true } });
  const { world, clock } = fake;
  host.wallet = world.wallet;
  const held = new Map<string, string>([[pubkeyOf(ALICE), "pubkey"], [ADDRESS, "address"]]);
  const call: FakeWorld["call"] = async (...args) => {
    const answer = await fake.call(...args);
    assert.ok(answer.status < 400, `${args[0]} ${args[1]}: ${JSON.stringify(answer.body)}`);
    heldIn(answer.body, held);
    return answer;
  };
  const { auth, token } = await signIn(world, call);
  held.set(token, "nostr_token");

  const job = await createJob(call, canary(), { ...auth, "idempotency-key": canary() });
  await pay(world, job.evalInvoice);
  const offered = await clock.drive(untilState(world, world.call, job.jobId, ["awaiting_work_payment"]));
  heldIn(offered.body, held);
  await pay(world, offered.body.workInvoice);
  const done = await clock.drive(untilState(world, world.call, job.jobId, ["complete"]));
  assert.match(JSON.stringify(done.body), TRACES, "the answer repeats the request, so that it would be found");
  const { paymentRequest } = await payerInvoice(world, done.body.costLedger.refundAmountSats);
  held.set(paymentRequest, "invoice");
  await call("POST", `/api/jobs/${job.jobId}/refund`, { invoice: paymentRequest });

  const failing =
    (await call("POST", "/api/jobs", { request: `[fail-eval] ${canary()}`, lightningAddress: ADDRESS })).body;
  await pay(world, failing.evalInvoice);
  await clock.drive(untilState(world, world.call, failing.jobId, ["failed"]));

  const { sessionId, invoice } = (await call("POST", "/api/sessions", { amount_sats: 500 }, auth)).body;
  held.set(await settle(world, invoice), "preimage");
  const path = `/api/sessions/${sessionId}`;
  const { macaroon } = (await call("GET", path)).body;
  const bearing = { authorization: `Bearer ${macaroon}` };
  await call("POST", `${path}/request`, { request: canary() }, { ...bearing, "idempotency-key": canary() });
  const chat = { model: "claude-sonnet-4-6", messages: [{ role: "user", content: canary() }], user: canary() };
  await call("POST", "/api/v1/chat/completions", chat, bearing);
  await call("POST", "/api/v1/chat/completions", { ...chat, stream: true }, bearing);
  const order = { lightningAddress: ADDRESS };
  const node = (await call("POST", "/api/bootstrap", order, { ...auth, "idempotency-key": canary() })).body;
  const preimage = await settle(world, node.invoice);
  const handle = node.bootstrapJobId.slice(0, 13);
  await untilNode(fake, { handle }, isReady);
  const { credentials } = (await call("GET", `/api/bootstrap/${node.bootstrapJobId}`)).body;
  await call("POST", `/api/bootstrap/${node.bootstrapJobId}/key`, { preimage });
  held.set(preimage, "preimage").set(world.deps.recordIds.idOf("first-boot", handle), "report token");
  for (const line of credentials.sshPrivateKey.split("\n").slice(1, -2)) held.set(line, "line of a private key");
  held.set(credentials.nodeIp, "node's address").set(credentials.knownHosts[0].split(" ")[2], "host key");
  await call("GET", `/api/demo?request=${canary()}`);
  await call("GET", `/api/estimate?request=${canary()}`);
  await call("GET", "/api/identity/me", undefined, auth);
  await clock.advance(120_000);

  const all = await told(fake);
  assert.ok((all.events?.length ?? 0) > 10 && (all.log?.length ?? 0) > 40 && (all.metrics?.length ?? 0) > 100);
  assert.ok(held.size > 15, `only ${held.size} things to hold`);
  assertSilent(all, held);
  fake.discard();
});

Deno.test("canaries: what is told would be found in any of its forms", () => {
  const word = canary();
  for (
    const text of [
      word,
      word.toUpperCase(),
      hex(word),
      ...["", "a", "ab", "abc"].map((before) => btoa(before + word)),
    ]
  ) {
    assert.throws(() => assertSilent({ log: ["good", `x ${text} y`] }, new Map()), /an input is in the log/, text);
  }
  assert.throws(
    () => assertSilent({ metrics: ['a{b="held-1"} 1'] }, new Map([["held-1", "token"]])),
    /a token is in the/,
  );
  assertSilent({ log: ["good"], metrics: ["timmy_ready 1"] }, new Map([["held-1", "token"]]));
});
