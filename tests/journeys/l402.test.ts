/** L402 over HTTP: challenges, credentials, narrowing, revocation, and clients and verifiers that others wrote. */
import assert from "node:assert/strict";
import { fetchWithL402 } from "@getalby/lightning-tools/402/l402";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import npmMacaroon from "macaroon";
import { decodeInvoice } from "@/lib/lightning/bolt11.ts";
import { encode, fromBase64, type Macaroon, mint, narrow, toBase64 } from "@/lib/l402/macaroon.ts";
import type { TokenRow } from "@/lib/sessions/tokens.ts";
import { balance } from "@/lib/ledger/ledger.rows.ts";
import { auditedTests } from "../harness/audited.ts";
import { type FakeWorld } from "../harness/fake-world.ts";
import { assertAudit } from "../harness/payer.ts";
import { createSeededRandom } from "../harness/seeded-random.ts";
import { bearer, opened, type PaidSession, paidSession, readChallenge, settle } from "../harness/session-payer.ts";
import { createWorld } from "../harness/world.ts";

const CHAT = "/api/v1/chat/completions";
const COMPLETION = { model: "claude-sonnet-4-6", messages: [{ role: "user", content: "What is a hold invoice?" }] };
const ASK = { request: "What is a hold invoice?" };

const l402 = auditedTests("l402: ");

const narrowed = (macaroon: string, ...caveats: string[]) => bearer(toBase64(narrow(fromBase64(macaroon), caveats)));
const history = (fake: FakeWorld, { path }: { path: string }, headers: Record<string, string>) =>
  fake.call("GET", `${path}/requests`, undefined, headers);

// ---- challenges ------------------------------------------------------------------------------------------------------

l402("ask, read the challenge, pay, ask again with the token, until the session is empty", async ({ world, call }) => {
  const { auth, path } = await opened(world, call, { method: "POST", path: CHAT, body: COMPLETION });
  let spent = 0;
  for (;;) {
    const { status, body, headers } = await call("POST", CHAT, COMPLETION, auth);
    if (status === 200) {
      spent += body.timmy.debitedSats;
      continue;
    }
    assert.deepEqual([status, body.error.code], [402, "insufficient_balance"]);
    assert.equal(body.error.details.balanceSats, 500 - spent);
    const { invoice, topup } = body.error.details;
    assert.equal(readChallenge(headers).invoice, invoice.paymentRequest);
    const asked = await call("POST", topup.path, topup.body, auth);
    assert.deepEqual([asked.status, asked.body.invoice], [201, invoice], "both ways to top up are one invoice");
    break;
  }
  assert.ok(spent > 250);
  assert.equal((await call("POST", `${path}/close`, {}, auth)).body.refundAmountSats, 500 - spent);
});

l402(
  "a challenge's session never shows a token by its id, which the public macaroon names",
  async ({ world, call }) => {
    const asked = await call("POST", CHAT, COMPLETION);
    const { macaroon } = readChallenge(asked.headers);
    const { sessionId, invoice } = asked.body.error.details;
    assert.ok(fromBase64(macaroon).caveats.includes(`session=${sessionId}`));
    const path = `/api/sessions/${sessionId}`;
    assert.equal((await call("GET", path)).body.macaroon, undefined);
    const preimage = await settle(world, invoice);
    assert.equal((await call("GET", path)).body.macaroon, undefined);
    assert.equal((await call("GET", path)).body.state, "active");
    const again = await call("POST", `${path}/macaroon`, { preimage });
    assert.equal((await call("POST", CHAT, COMPLETION, bearer(again.body.macaroon))).status, 200);
  },
);

l402("a challenge is worth nothing before it is paid, and nothing without its preimage", async (fake) => {
  const { world, call } = fake;
  const asked = await call("POST", CHAT, COMPLETION);
  const { macaroon } = readChallenge(asked.headers);
  const { sessionId, invoice } = asked.body.error.details;
  const path = `/api/sessions/${sessionId}`;
  const codes = async () => {
    const found: string[] = [];
    for (const credential of [`Bearer ${macaroon}`, `L402 ${macaroon}:${"0".repeat(64)}`]) {
      for (const [to, body] of [[CHAT, COMPLETION], [`${path}/request`, ASK], [`${path}/close`, {}]] as const) {
        const answer = await call("POST", to, body, { authorization: credential });
        assert.equal(answer.status, 401);
        found.push(answer.body.error.code);
      }
    }
    return found;
  };
  assert.deepEqual(new Set(await codes()), new Set(["preimage_required"]));
  await settle(world, invoice);
  assert.deepEqual(new Set(await codes()), new Set(["preimage_required"]));
});

l402("a payment that the program has not noticed yet is noticed by its credential", async ({ world, call }) => {
  const asked = await call("POST", CHAT, COMPLETION);
  const { macaroon } = readChallenge(asked.headers);
  const paid = await world.wallet.payInvoice(asked.body.error.details.invoice.paymentHash);
  assert.ok(paid.ok);
  const answer = await call("POST", CHAT, COMPLETION, { authorization: `L402 ${macaroon}:${paid.preimage}` });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
});

l402(
  "challenges are counted by address: beyond the limit 429 with Retry-After, and free again after it",
  async (fake) => {
    const { world, clock } = fake;
    const ask = async (hostname: string, path = CHAT) => {
      const init = {
        method: "POST",
        body: JSON.stringify(COMPLETION),
        headers: { "content-type": "application/json" },
      };
      return await clock.drive(Promise.resolve(world.app.request(path, init, { remoteAddr: { hostname } })));
    };
    for (let i = 0; i < 3; i++) assert.equal((await ask("192.0.2.1")).status, 402);
    const before = (await world.rows(["invoice"])).length;
    const refused = await ask("192.0.2.1");
    assert.equal(refused.status, 429);
    assert.equal((await refused.json()).error.type, "rate_limit_error");
    assert.equal((await world.rows(["invoice"])).length, before, "it costs no invoice");
    assert.equal((await ask("192.0.2.2")).status, 402);
    clock.leap(Number(refused.headers.get("retry-after")) * 1_000);
    assert.equal((await ask("192.0.2.1")).status, 402);
  },
  { challengesPerMinute: 3 },
);

l402(
  "with MAX_OPEN_CHALLENGES waiting the answer is 503 with Retry-After; a payment or an expiry makes room",
  async (fake) => {
    const { world, call, clock } = fake;
    const first = await call("POST", CHAT, COMPLETION);
    assert.equal((await call("POST", "/api/sessions", { amount_sats: 500 })).status, 201);
    const full = async () => {
      for (const [path, body] of [[CHAT, COMPLETION], ["/api/sessions", { amount_sats: 500 }]] as const) {
        const refused = await call("POST", path, body);
        assert.deepEqual([refused.status, refused.body.error.code], [503, "too_many_open_challenges"]);
        assert.ok(Number(refused.headers.get("retry-after")) > 0);
      }
    };
    await full();
    await settle(world, first.body.error.details.invoice);
    assert.equal((await call("POST", CHAT, COMPLETION)).status, 402);
    await full();
    clock.leap(601_000);
    await clock.advance(3_000);
    assert.equal((await call("POST", CHAT, COMPLETION)).status, 402);
    assert.equal((await call("POST", CHAT, COMPLETION)).status, 402);
    await full();
  },
  { settings: { maxOpenChallenges: 2 } },
);

l402("of many challenges at once no more are made than may wait", async ({ world, clock }) => {
  const answers = await clock.drive(
    Promise.all(Array.from({ length: 40 }, () => world.call("POST", CHAT, COMPLETION))),
  );
  assert.equal(answers.filter(({ status }) => status === 402).length, 5);
  assert.equal(answers.filter(({ status }) => status === 503).length, 35);
}, { settings: { maxOpenChallenges: 5 } });

l402(
  "a day after its expiry an unpaid challenge has left its invoice alone, and after a month no row",
  async ({ call, clock, engine, world }) => {
    const rows = async () => {
      const names = engine.tables().filter((name) => !["event", "open_challenges"].includes(String(name))); // one counter
      const counts = names.map(async (name) => [name, (await world.rows([name])).length]);
      return Object.fromEntries(await Promise.all(counts));
    };
    await clock.advance(3_000);
    const before = await rows();
    const unpaid = await call("POST", CHAT, COMPLETION);
    const path = `/api/sessions/${unpaid.body.error.details.sessionId}`;
    assert.equal((await rows()).session, 1);
    clock.leap(601_000);
    await clock.advance(3_000);
    assert.equal((await call("GET", path)).body.state, "expired");
    for (let hour = 0; hour < 25; hour++) {
      clock.leap(3_600_000);
      await clock.advance(3_000);
    }
    assert.equal((await call("GET", path)).status, 404);
    assert.deepEqual(
      await rows(),
      { ...before, invoice: 1, task: 1, due: 1 },
      "should a wallet be paid for it after all",
    );
    clock.leap(31 * 86_400_000);
    await clock.advance(3_000);
    assert.deepEqual(await rows(), before);
  },
);

l402(
  "a challenge that is paid after all, when its session is long gone, is in the books: it feeds the pool",
  async ({ call, clock, world }) => {
    const unpaid = await call("POST", CHAT, COMPLETION);
    const { paymentHash, amountSats } = unpaid.body.error.details.invoice;
    const before = await balance(world.store, "pool");
    for (let hour = 0; hour < 27; hour++) {
      clock.leap(3_600_000);
      await clock.advance(3_000);
    }
    await world.wallet.payInvoice(paymentHash, { late: true });
    await clock.advance(3_000);
    assert.equal(await balance(world.store, "pool"), before + amountSats);
    clock.leap(60 * 86_400_000);
    await clock.advance(3_000);
    await assertAudit(world); // its invoice is kept: a receipt without one would be found
  },
);

// ---- credentials -----------------------------------------------------------------------------------------------------

l402("every spelling of a credential opens the session's own routes and the OpenAI ones", async (fake) => {
  const { world, call } = fake;
  const { macaroon, preimage, path } = await opened(world, call, { method: "POST", path: CHAT, body: COMPLETION });
  const { macaroon: shown } = (await call("POST", `${path}/macaroon`, { preimage })).body;
  const url = (text: string) => text.replaceAll("+", "-").replaceAll("/", "_");
  const good = [
    `L402 ${macaroon}:${preimage}`,
    `l402 ${macaroon}:${preimage.toUpperCase()}`,
    `LSAT ${macaroon}:${preimage}`,
    `Bearer ${macaroon}:${preimage}`,
    `L402 ${url(macaroon).replace(/=+$/, "")}:${preimage}`,
    `Bearer ${shown}`,
    `bearer ${url(shown)}`,
    `L402 ${shown}:${preimage}`,
  ];
  for (const authorization of good) {
    assert.equal((await history(fake, { path }, { authorization })).status, 200, authorization);
    assert.equal((await call("POST", CHAT, {}, { authorization })).status, 400, "only the body is wrong");
  }
  for (const authorization of [`Bearer ${macaroon}`, `Bearer ${shown}:${"1".repeat(64)}`, `LSAT ${shown}`]) {
    assert.equal((await history(fake, { path }, { authorization })).status, 401, authorization);
  }
});

l402("the id shows the token until its first use, and not after any use, nor after a restart", async (fake) => {
  const { world, call } = fake;
  const uses: [name: string, use: (it: PaidSession) => Promise<unknown>, durable: boolean][] = [
    ["a read", (it) => history(fake, it, it.auth), false],
    ["a request", (it) => call("POST", `${it.path}/request`, ASK, it.auth), true],
    ["a top-up", (it) => call("POST", `${it.path}/topup`, { amount_sats: 100 }, it.auth), true],
    ["a completion", (it) => call("POST", CHAT, COMPLETION, it.auth), true],
    ["a close", (it) => call("POST", `${it.path}/close`, {}, it.auth), true],
  ];
  const sessions: PaidSession[] = [];
  for (const [name, use] of uses) {
    const it = await paidSession(world, call, 500);
    sessions.push(it);
    assert.equal((await call("GET", it.path)).body.macaroon, it.macaroon, "looking is no use");
    await use(it);
    assert.equal((await call("GET", it.path)).body.macaroon, undefined, name);
  }
  await world.crash();
  for (const [i, [name, , durable]] of uses.entries()) {
    if (durable) assert.equal((await call("GET", sessions[i]?.path ?? "")).body.macaroon, undefined, name);
  }
});

l402(
  "the preimage gets the token again; rotating ends every old one, narrowed and paid for, and no other session's",
  async (fake) => {
    const { world, call } = fake;
    const it = await opened(world, call, { method: "POST", path: CHAT, body: COMPLETION });
    const other = await paidSession(world, call, 500);
    const { macaroon } = (await call("POST", `${it.path}/macaroon`, { preimage: it.preimage })).body;
    for (const preimage of [other.preimage, "0".repeat(64)]) {
      const refused = await call("POST", `${it.path}/macaroon`, { preimage, rotate: true });
      assert.deepEqual([refused.status, refused.body.error.code], [401, "wrong_preimage"]);
    }
    const pending = await call("POST", `${it.path}/request`, ASK);
    const topup = readChallenge(pending.headers);
    const old = [it.auth, bearer(macaroon), narrowed(macaroon, "max_sats=400"), narrowed(it.macaroon, "model=x")];
    for (const auth of old.slice(0, 2)) assert.equal((await history(fake, it, auth)).status, 200);

    const rotated = await call("POST", `${it.path}/macaroon`, { preimage: it.preimage, rotate: true });
    assert.equal(rotated.status, 200);
    assert.notEqual(rotated.body.macaroon, macaroon);
    for (const auth of old) assert.equal((await history(fake, it, auth)).status, 401);
    assert.equal((await history(fake, it, bearer(rotated.body.macaroon))).status, 200);
    assert.equal((await history(fake, other, other.auth)).status, 200);
    // The top-up that waits is still the one; its old token is gone with the others.
    const again = await call("POST", `${it.path}/request`, ASK);
    assert.equal(again.status, 402);
    const fresh = readChallenge(again.headers);
    assert.equal(fresh.invoice, topup.invoice);
    const preimage = await settle(world, again.body.error.details.invoice);
    const ask = (token: string) =>
      call("POST", `${it.path}/request`, ASK, { authorization: `L402 ${token}:${preimage}` });
    assert.equal((await ask(topup.macaroon)).status, 401);
    assert.equal((await ask(fresh.macaroon)).status, 200);
  },
);

l402("a token of one session opens no other, whatever is presented with it", async (fake) => {
  const { world, call } = fake;
  const [one, two] = [await paidSession(world, call, 500), await paidSession(world, call, 500)];
  for (
    const authorization of [
      `Bearer ${one.macaroon}`,
      `L402 ${one.macaroon}:${one.preimage}`,
      `L402 ${one.macaroon}:${two.preimage}`,
    ]
  ) {
    for (
      const [method, to] of [["POST", "/request"], ["POST", "/topup"], ["POST", "/close"], [
        "GET",
        "/requests",
      ]] as const
    ) {
      const answer = await call(method, two.path + to, method === "POST" ? ASK : undefined, { authorization });
      assert.equal(answer.status, 401, authorization);
    }
  }
  assert.equal((await call("GET", two.path)).body.balanceSats, 500);
});

// ---- narrowing -------------------------------------------------------------------------------------------------------

l402("spend under a narrowed token is counted on its own, and outlives the process", async (fake) => {
  const { world, call } = fake;
  const it = await paidSession(world, call, 2_000);
  const helper = narrowed(it.macaroon, "max_sats=300");
  const first = await call("POST", `${it.path}/request`, ASK, helper);
  assert.equal(first.status, 200, JSON.stringify(first.body));
  assert.equal(
    (await call("POST", `${it.path}/request`, ASK, it.auth)).status,
    200,
    "the owner's spend does not count",
  );
  await world.crash();
  const second = await call("POST", `${it.path}/request`, ASK, helper);
  assert.equal(second.status, 200);
  const over = await call("POST", `${it.path}/request`, ASK, helper);
  assert.deepEqual([over.status, over.body.error.code, over.body.error.details.caveat], [
    403,
    "caveat_failed",
    "max_sats",
  ]);
  assert.equal(over.body.error.details.leftSats, 300 - first.body.debitedSats - second.body.debitedSats);
  // Another token with the very same limit is the same token; one with another limit has a count of its own.
  assert.equal((await call("POST", `${it.path}/request`, ASK, narrowed(it.macaroon, "max_sats=300"))).status, 403);
  assert.equal((await call("POST", `${it.path}/request`, ASK, narrowed(it.macaroon, "max_sats=299"))).status, 200);
  assert.equal((await call("POST", `${it.path}/request`, ASK, it.auth)).status, 200);
});

l402(
  "what a narrowed token holds counts until it is settled: at once it cannot be spent twice",
  async ({ world, call, clock }) => {
    const it = await paidSession(world, call, 5_000);
    const helper = narrowed(it.macaroon, "max_sats=300");
    const answers = await clock.drive(
      Promise.all(Array.from({ length: 20 }, () => world.call("POST", `${it.path}/request`, ASK, helper))),
    );
    const served = answers.filter(({ status }) => status === 200);
    assert.ok(served.length >= 1 && served.length <= 2);
    assert.ok(served.reduce((sum, { body }) => sum + body.debitedSats, 0) <= 300);
    assert.equal(answers.filter(({ status }) => status === 403).length, 20 - served.length);
  },
);

l402("a narrowing of a narrowing draws on both, and neither more than its own", async ({ world, call }) => {
  const it = await paidSession(world, call, 5_000);
  const parent = narrow(fromBase64(it.macaroon), ["max_sats=500"]);
  const child = bearer(toBase64(narrow(parent, ["max_sats=200"])));
  const sibling = bearer(toBase64(narrow(parent, ["max_sats=450"])));
  const spent = async (auth: { authorization: string }) => {
    let sats = 0;
    for (;;) {
      const { status, body } = await call("POST", `${it.path}/request`, ASK, auth);
      if (status === 403) return { sats, left: body.error.details.leftSats };
      assert.equal(status, 200);
      sats += body.debitedSats;
    }
  };
  const first = await spent(child);
  assert.deepEqual(first.left, 200 - first.sats);
  const second = await spent(sibling);
  assert.equal(second.left, 500 - first.sats - second.sats, "what the parent has left is less than its own limit");
  assert.deepEqual(await spent(bearer(toBase64(parent))), { sats: 0, left: second.left });
});

l402(
  "a narrowed token reads the answers to its own requests, and ends or reads nothing else",
  async ({ world, call }) => {
    const it = await paidSession(world, call, 2_000);
    const [one, two] = [narrowed(it.macaroon, "max_sats=400"), narrowed(it.macaroon, "max_sats=401")];
    const mine = (await call("POST", `${it.path}/request`, ASK, one)).body.requestId;
    const owners = (await call("POST", `${it.path}/request`, ASK, it.auth)).body.requestId;
    const read = async (id: string, auth: { authorization: string }) =>
      (await call("GET", `${it.path}/requests/${id}`, undefined, auth)).status;
    assert.deepEqual(
      [await read(mine, one), await read(owners, one), await read(mine, two), await read(mine, it.auth)],
      [200, 404, 404, 200],
    );
    const deeper = narrowed(one.authorization.slice(7), "model=claude-sonnet-4-6");
    assert.equal(await read(mine, deeper), 404, "it was narrowed to be given away again");
    for (const auth of [one, two, deeper]) {
      assert.equal((await call("POST", `${it.path}/close`, {}, auth)).status, 403);
      assert.equal((await call("GET", `${it.path}/requests`, undefined, auth)).status, 403);
    }
    const key = { "idempotency-key": "the same key" };
    const [a, b] = [
      await call("POST", `${it.path}/request`, ASK, { ...one, ...key }),
      await call("POST", `${it.path}/request`, ASK, { ...two, ...key }),
    ];
    assert.notEqual(a.body.requestId, b.body.requestId, "a key is the caller's own");
  },
);

l402(
  "model and timmy_valid_until bind a narrowed token, and expire it on the second",
  async ({ world, call, clock }) => {
    const it = await paidSession(world, call, 2_000);
    const until = Math.floor(clock.now() / 1_000) + 60;
    const short = narrowed(it.macaroon, `timmy_valid_until=${until}`);
    const ask = (auth: { authorization: string }, model = "claude-sonnet-4-6") =>
      call("POST", CHAT, { ...COMPLETION, model }, auth);
    assert.equal((await ask(short)).status, 200);
    const small = narrowed(it.macaroon, "model=claude-haiku-4-5");
    assert.equal((await ask(small, "claude-haiku-4-5")).status, 200);
    assert.deepEqual((await ask(small)).body.error.details, { caveat: "model", allowed: ["claude-haiku-4-5"] });
    clock.leap(until * 1_000 - clock.now());
    const over = await ask(short);
    assert.deepEqual([over.status, over.body.error.code], [401, "token_expired"]);
    assert.equal((await ask(it.auth)).status, 200);
  },
);

l402("a caveat that is not understood, does not fit or would widen is 401", async (fake) => {
  const { world, call } = fake;
  const [it, other] = [await paidSession(world, call, 500), await paidSession(world, call, 500)];
  const wrong = [
    ["frobnicate=1"],
    ["no equals sign"],
    ["services=other:0"],
    ["services=timmy:1"],
    [`session=${other.sessionId}`],
    ["job=some-job"],
    ["npub=npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg"],
    ["max_sats=100", "max_sats=200"],
    ["max_sats=0"],
    ["max_sats=1e9"],
    ["model=a", "model=a,b"],
    ["timmy_capabilities=jobs", "timmy_capabilities=jobs,chat"],
    ["timmy_capabilities=root"],
    ["timmy_valid_until=1"],
    ["timmy_valid_until=soon"],
  ];
  for (const caveats of wrong) {
    const answer = await history(fake, it, narrowed(it.macaroon, ...caveats));
    assert.equal(answer.status, 401, caveats.join());
  }
});

l402("2,000 spoilt tokens over HTTP: each refused with 401, none opens any session", async (fake) => {
  const seed = Number(Deno.env.get("TIMMY_SEED") ?? 402);
  const { world, call } = fake;
  const random = createSeededRandom(seed);
  const below = (n: number) => (random.bytes(1)[0] as number) % n;
  const [it, other] = [await paidSession(world, call, 500), await paidSession(world, call, 500)];
  const challenged = await opened(world, call, { method: "POST", path: CHAT, body: COMPLETION });
  const good: Macaroon[] = [
    fromBase64(it.macaroon),
    narrow(fromBase64(it.macaroon), ["max_sats=300", "model=claude-sonnet-4-6"]),
    fromBase64(other.macaroon),
  ];
  const base64 = (bytes: Uint8Array) => btoa(String.fromCharCode(...bytes));
  const without = <T>(list: readonly T[], at: number) => list.filter((_, i) => i !== at);
  const spoil: ((macaroon: Macaroon) => string | null)[] = [
    (m) => {
      const bytes = encode(m);
      const at = (random.bytes(2)[0] as number) * 256 % bytes.length + below(Math.min(256, bytes.length));
      bytes[at % bytes.length] = (bytes[at % bytes.length] as number) ^ (1 << below(8));
      return base64(bytes);
    },
    (m) => toBase64({ ...m, caveats: without(m.caveats, below(m.caveats.length)) }),
    (m) => toBase64({ ...m, caveats: m.caveats.toReversed() }),
    (m) => toBase64({ ...m, caveats: [...m.caveats, m.caveats[below(m.caveats.length)] as string] }),
    (m) => toBase64({ ...m, caveats: [...m.caveats, "max_sats=9000000"] }),
    (m) => toBase64({ ...m, caveats: m.caveats.map((caveat) => caveat.replace("max_sats=300", "max_sats=9000")) }),
    (m) => toBase64({ ...m, caveats: m.caveats.map((caveat) => caveat.replace(/^(model=.*)/, "$1,gpt")) }),
    (m) =>
      toBase64({ ...m, caveats: m.caveats.map((c) => c.replace(/^session=.*/, `session=${challenged.sessionId}`)) }),
    (m) =>
      toBase64(
        mint({ rootKey: random.bytes(32), identifier: m.identifier, location: "timmy", caveats: [...m.caveats] }),
      ),
    (m) => toBase64({ ...m, signature: random.bytes(32) }),
    (m) => toBase64({ ...m, location: "elsewhere" }),
    (m) => toBase64({ ...m, location: null }),
    (m) => toBase64({ ...m, identifier: random.bytes(66) }),
    (m) => toBase64({ ...m, identifier: good[(good.indexOf(m) + 2) % 3]?.identifier as Uint8Array }),
    (m) => base64(encode(m).subarray(0, below(200))),
    () => base64(random.bytes(below(250) + 1)),
    (m) => `${toBase64(m)}:${"00".repeat(31)}${below(256).toString(16).padStart(2, "0")}`,
    () => challenged.macaroon,
    () => `${challenged.macaroon}:${it.preimage}`,
    () => `${it.macaroon}:${other.preimage}`,
  ];
  const valid = new Set([...good.map(toBase64), `${challenged.macaroon}:${challenged.preimage}`]);
  let tried = 0;
  while (tried < 2_000) {
    const macaroon = good[below(good.length)] as Macaroon;
    const token = (spoil[tried % spoil.length] as (m: Macaroon) => string | null)(macaroon);
    if (token === null || token === "" || valid.has(token)) continue;
    tried++;
    const target = [it, other, challenged][below(3)] as { path: string };
    const scheme = token.includes(":") && below(2) ? "L402" : "Bearer";
    const answer = await history(fake, target, { authorization: `${scheme} ${token}` });
    assert.equal(answer.status, 401, `seed ${seed}, token ${tried}: ${JSON.stringify(answer.body)}`);
    assert.equal(answer.headers.get("www-authenticate"), null);
  }
  for (const { level, fields } of world.log.lines) {
    assert.ok(!["warn", "error"].includes(level), JSON.stringify(fields));
  }
  const said = JSON.stringify(world.log.lines);
  for (const secret of [it.macaroon, it.preimage, it.sessionId, challenged.macaroon]) {
    assert.ok(!said.includes(secret), "the log holds a secret");
  }
});

// ---- what others wrote -----------------------------------------------------------------------------------------------

Deno.test("l402: fetchWithL402 of @getalby/lightning-tools pays once, uses it up, tops up by the 402, and goes on", async () => {
  const world = await createWorld();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request, info) => world.app.fetch(request, { remoteAddr: info.remoteAddr }),
  );
  try {
    const url = `http://127.0.0.1:${(server.addr as Deno.NetAddr).port}${CHAT}`;
    const bought: number[] = [];
    const wallet = {
      async payInvoice({ invoice }: { invoice: string }) {
        const { paymentHash, amountSats } = decodeInvoice(invoice);
        const paid = await world.wallet.payInvoice(paymentHash);
        if (!paid.ok) throw new Error(paid.reason);
        bought.push(amountSats ?? 0);
        return { preimage: paid.preimage };
      },
    };
    const request = () => ({
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(COMPLETION),
    });
    const first = await fetchWithL402(url, request(), { wallet });
    assert.equal(first.status, 200);
    assert.match((await first.json()).choices[0].message.content, /What is a hold invoice/);
    const { payment } = first;
    assert.ok(payment?.paid && payment.amountSat === 500);
    let last: Response = first;
    let served = 1;
    for (; served < 10; served++) {
      last = await fetchWithL402(url, request(), { wallet, credentials: payment.credentials });
      if (last.status !== 200) break;
      await last.body?.cancel();
    }
    assert.equal(last.status, 402, "the session is empty");
    assert.equal((await last.json()).error.code, "insufficient_balance");
    assert.ok(served >= 2);
    assert.deepEqual(bought, [500], "it never pays twice by itself");
    const { macaroon, invoice } = readChallenge(last.headers);
    const { preimage } = await wallet.payInvoice({ invoice });
    const credentials = { header: "Authorization", value: `L402 ${macaroon}:${preimage}` };
    for (const each of [credentials, payment.credentials]) {
      const more = await fetchWithL402(url, request(), { wallet, credentials: each });
      assert.equal(more.status, 200, "the challenge's own token works, and so does the first");
      await more.body?.cancel();
    }
    assert.deepEqual(bought, [500, 500]);
    // What is refused anyway is not paid for.
    for (const body of [{}, { ...COMPLETION, model: "gpt-unknown" }, { ...COMPLETION, max_tokens: 0 }]) {
      const refused = await fetchWithL402(url, { ...request(), body: JSON.stringify(body) }, { wallet });
      assert.ok(refused.status === 400 || refused.status === 404);
      await refused.body?.cancel();
    }
    const dear = { ...COMPLETION, messages: [{ role: "user", content: "word ".repeat(120_000) }] };
    const answered = await fetchWithL402(url, { ...request(), body: JSON.stringify(dear) }, { wallet });
    assert.equal(answered.status, 200, "600,000 characters are sold for what they take");
    await answered.body?.cancel();
    assert.deepEqual(bought.length, 3);
    await assertAudit(world);
  } finally {
    await server.shutdown();
    await world.close();
  }
});

l402("npm macaroon reads and verifies our tokens, and what it narrows we take", async (fake) => {
  const { world, call } = fake;
  const it = await paidSession(world, call, 500);
  const { macaroon: challenge } = readChallenge((await call("POST", CHAT, COMPLETION)).headers);
  const rows = await world.rows<TokenRow>(["token"]);
  const rootKeyOf = (token: string) => {
    const tokenId = bytesToHex(fromBase64(token).identifier.slice(34));
    const row = rows.find(({ value }) => value.tokenId === tokenId)?.value;
    return hexToBytes(row?.rootKey ?? assert.fail("the token has no row"));
  };
  for (const token of [it.macaroon, challenge]) {
    const seen: string[] = [];
    const theirs = npmMacaroon.importMacaroon(token);
    assert.equal(theirs.location, "timmy");
    theirs.verify(rootKeyOf(token), (caveat: string) => (seen.push(caveat), null));
    assert.deepEqual(seen, fromBase64(token).caveats);
    assert.throws(() => theirs.verify(new Uint8Array(32), () => null));
  }
  const theirs = npmMacaroon.importMacaroon(it.macaroon);
  theirs.addFirstPartyCaveat("max_sats=300");
  // Its own encoder fails on macaroons of this size: what it signed is written by ours.
  const ours = fromBase64(it.macaroon);
  const auth = bearer(toBase64({ ...ours, caveats: [...ours.caveats, "max_sats=300"], signature: theirs.signature }));
  assert.equal((await call("POST", `${it.path}/request`, ASK, auth)).status, 200);
  assert.equal((await call("POST", `${it.path}/close`, {}, auth)).status, 403);
});
