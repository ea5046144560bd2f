/** Chat completions: who may ask, what it costs, and asking twice. */
import assert from "node:assert/strict";
import { fromBase64, narrow, toBase64 } from "@/lib/l402/macaroon.ts";
import { ASK, assertRefused, chatting, contentOf, framesOf, PATH } from "@/tests/harness/chatting.ts";
import { createFakeWorld } from "@/tests/harness/fake-world.ts";
import { keyWith, SCORE } from "@/tests/harness/keys.ts";
import { bearer, readChallenge, settle } from "@/tests/harness/session-payer.ts";

chatting("who may not ask is told in OpenAI's shape, with the status of each case", async (it) => {
  const { call, session, ask, balance } = it;
  const unpaid = await call("POST", PATH, ASK);
  assertRefused(unpaid, [402, "payment_required", null]);
  assert.equal(unpaid.body.error.details.invoice.amountSats, 500);
  readChallenge(unpaid.headers);
  assertRefused(await call("POST", PATH, ASK, bearer("sk-nothing")), [401, "invalid_token", null]);
  assertRefused(await call("POST", PATH, { nonsense: 1 }, bearer("sk-nothing")), [401, "invalid_token", null]);
  const narrowed = (...caveats: string[]) => bearer(toBase64(narrow(fromBase64(session.macaroon), caveats)));
  const forbidden = [["timmy_capabilities=jobs"], ["model=claude-haiku-4-5"], ["max_sats=1"]];
  for (const caveats of forbidden) {
    const answer = await call("POST", PATH, ASK, narrowed(...caveats));
    assertRefused(answer, [403, "caveat_failed", null], new RegExp(caveats[0]?.split("=")[0] ?? ""));
  }
  assertRefused(await ask({ model: "gpt-9" }), [404, "model_not_found", "model"], /claude-sonnet-4-6/);
  for (const method of ["GET", "PUT", "DELETE"]) {
    assertRefused(await call(method, PATH), [405, "method_not_allowed", null]);
  }
  assertRefused(await call("POST", "/api/v1/embeddings", {}), [404, "not_found", null]);
  assertRefused(await call("POST", PATH, "{", session.auth), [400, "invalid_json", null]);
  assert.equal(await balance(), 5_000);
  assert.equal((await call("POST", PATH, ASK, narrowed("model=claude-sonnet-4-6", "max_sats=500"))).status, 200);
});

chatting("a thousand messages are answered, more than the bound are refused", async ({ ask }) => {
  const turns = (n: number) =>
    Array.from({ length: n }, (_, i) => ({ role: i % 2 ? "assistant" : "user", content: `${i}` }));
  const served = await ask({ messages: [...turns(1_000), { role: "user", content: "And now?" }] });
  assert.equal(served.status, 200);
  assert.ok(served.body.usage.prompt_tokens > 700);
  assertRefused(await ask({ messages: turns(2_001) }), [400, "validation_failed", "messages"], /at most 2000 items/);
  const large = await ask({ messages: [{ role: "user", content: "x".repeat(10_000_000) }] });
  assertRefused(large, [413, "payload_too_large", null]);
});

chatting(
  "what it cost is in the body and in headers, and is what leaves the balance",
  async ({ ask, balance, session, call }) => {
    const before = await balance();
    const { body, headers } = await ask();
    const after = await balance();
    assert.equal(body.timmy.debitedSats, before - after);
    assert.equal(body.timmy.balanceSats, after);
    assert.deepEqual(
      ["request-id", "debited-sats", "balance-sats"].map((name) => headers.get(`x-timmy-${name}`)),
      [body.timmy.requestId, String(before - after), String(after)],
    );
    assert.ok(Number(headers.get("x-timmy-held-sats")) >= before - after);
    assert.equal(body.timmy.evaluation, "on");
    assert.ok(body.timmy.evaluationUsage.inputTokens > 0, "the evaluation's cost is shown");
    const kept = (await call("GET", `${session.path}/requests/${body.timmy.requestId}`, undefined, session.auth)).body;
    assert.deepEqual([kept.result, kept.debitedSats], [body.choices[0].message.content, before - after]);
  },
);

chatting(
  "a trusted key's session: completions and streams tell what the free tier gave, as the session does",
  async (it) => {
    const { world, call, ask, balance } = it;
    const key = await keyWith(world, SCORE.trusted);
    const { body: created } = await call("POST", "/api/sessions", { amount_sats: 1_000 }, key.auth);
    await settle(world, created.invoice);
    const path = `/api/sessions/${created.sessionId}`;
    const auth = bearer((await call("GET", path)).body.macaroon);
    const balanceOfKey = async () => (await world.call("GET", path)).body.balanceSats;
    let left = 200;
    let before = 1_000;
    for (const [serve, stream] of [["free", false], ["partial", true], ["gate", false], ["gate", true]] as const) {
      const { status, body } = await call("POST", PATH, { ...ASK, max_tokens: 100, stream }, auth);
      assert.equal(status, 200, JSON.stringify(body));
      const account = stream ? framesOf(body).at(-2).timmy : body.timmy;
      assert.equal(account.freeTier.serve, serve);
      if (serve !== "free") assert.equal(account.freeTier.absorbSats, left, "what is left of the day");
      assert.equal(account.freeTier.chargeSats > 0, serve !== "free");
      assert.equal(account.absorbedSats > 0, serve !== "gate");
      assert.ok(account.absorbedSats <= account.freeTier.absorbSats);
      left -= account.absorbedSats;
      const after = await balanceOfKey();
      assert.deepEqual([account.debitedSats, account.balanceSats], [before - after, after]);
      assert.equal(account.debitedSats === 0, serve === "free");
      before = after;
      const kept = (await call("GET", `${path}/requests/${account.requestId}`, undefined, auth)).body;
      assert.deepEqual([account.freeTier, account.absorbedSats], [kept.free_tier, kept.absorbed_sats]);
    }
    assert.equal(left, 0, "the day's budget is used up");

    const { timmy } = (await ask()).body;
    assert.deepEqual([timmy.freeTier, timmy.absorbedSats], [undefined, undefined], "a session of no key");
    assert.equal(timmy.debitedSats, 5_000 - await balance());
  },
);

chatting("without evaluation none is made, and none is paid", async ({ ask, modelFaults }) => {
  modelFaults.evaluate.push({ kind: "permanent" });
  const { status, body } = await ask({ messages: [{ role: "user", content: "[refuse]" }] });
  assert.deepEqual([status, body.choices[0].finish_reason], [200, "stop"]);
  assert.deepEqual([body.timmy.evaluation, body.timmy.evaluationUsage], ["off", undefined]);
  assert.equal(modelFaults.evaluate.length, 1, "the evaluator was asked");
}, { settings: { chatEvaluation: false } });

chatting(
  "an Idempotency-Key gets the same answer again, charged once, streamed too; another body is 409",
  async (it) => {
    const { ask, balance } = it;
    const key = { "idempotency-key": "k" };
    const first = await ask({}, key);
    const after = await balance();
    assert.deepEqual((await ask({}, key)).body, first.body);
    assertRefused(await ask({ temperature: 1 }, key), [409, "idempotency_conflict", null]);
    assertRefused(await ask({ stream: true }, key), [409, "idempotency_conflict", null]);
    assert.equal(await balance(), after);

    const streamed = { "idempotency-key": "s" };
    const stream = framesOf((await ask({ stream: true }, streamed)).body);
    const paid = await balance();
    const again = framesOf((await ask({ stream: true }, streamed)).body);
    assert.equal(contentOf(again), contentOf(stream));
    assert.deepEqual(again.at(-2), stream.at(-2));
    assert.equal(await balance(), paid);
  },
);

chatting(
  "a second call with the same key waits for the first and gets its answer",
  async ({ world, clock, session, ask }) => {
    const key = { "idempotency-key": "k" };
    const slow = { messages: [{ role: "user", content: "Slowly. [slow:5000]" }] };
    const headers = { ...session.auth, ...key };
    const first = world.call("POST", PATH, { ...ASK, ...slow }, headers);
    await clock.advance(1_000);
    const second = await ask(slow, key);
    assert.deepEqual((await first).body, second.body);
    assert.equal((await world.rows(["session_request", session.handle])).length, 1);
  },
);

chatting(
  "an answer whose charge could not be written at once is charged when it can be, and not asked again",
  async (it) => {
    const { ask, balance, modelFaults, engine, world } = it;
    let refusals = 0;
    modelFaults.chat?.push({ kind: "none" }, { kind: "permanent" });
    const commit = engine.commit;
    engine.commit = (wanted) => {
      const settlement = wanted.set.some(({ key }) => key[0] === "session_result");
      if (settlement && refusals++ === 0) return Promise.reject(new Error("the disk is full"));
      return commit(wanted);
    };
    const { status, body } = await ask();
    assert.equal(status, 200, JSON.stringify(body));
    assert.ok(refusals > 1);
    assert.equal(body.timmy.debitedSats, 5_000 - await balance());
    assert.equal(modelFaults.chat?.length, 1, "the model was asked again");
    assert.ok(!world.log.lines.some(({ level }) => level === "error"));
  },
);

chatting(
  "text of other scripts is held for by its bytes: what is charged stays within what is held",
  async ({ ask, world, session }) => {
    const held = async (content: string) =>
      Number((await ask({ messages: [{ role: "user", content }] })).headers.get("x-timmy-held-sats"));
    const [latin, chinese] = [await held("invoice ".repeat(500)), await held("闪电网络发票 ".repeat(667))];
    assert.ok(chinese > latin + 10, `${latin} and ${chinese} sats`);
    for (
      const { value } of await world.rows<{ v: 1; actualSats: number; reservedSats: number }>([
        "session_request",
        session.handle,
      ])
    ) {
      assert.ok(value.actualSats <= value.reservedSats);
    }
  },
);

Deno.test("chat: the models are listed with their prices to whoever asks", async () => {
  const fake = await createFakeWorld(1);
  try {
    const { status, body } = await fake.call("GET", "/api/v1/models");
    assert.equal(status, 200);
    assert.equal(body.object, "list");
    assert.deepEqual(body.data.map(({ id }: { id: string }) => id), ["claude-sonnet-4-6", "claude-haiku-4-5"]);
    // 0.003 and 0.015 USD, with 25 % on top, at 100,000 USD a bitcoin; 0.1 USD of the machine.
    const { pricing } = body.data[0];
    assert.deepEqual([pricing.inputSatsPer1k, pricing.outputSatsPer1k, pricing.requestSats], [3.75, 18.75, 125]);
  } finally {
    fake.discard();
  }
});
