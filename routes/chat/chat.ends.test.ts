/** Chat completions: the ways in which an answer ends, and what each is charged. */
import assert from "node:assert/strict";
import { countedTokens } from "@/lib/ai/tokens.rules.ts";
import { StoreError } from "@/lib/store/store.ts";
import { ASK, assertRefused, chatting, contentOf, framesOf, PATH } from "@/tests/harness/chatting.ts";
import { paidSession } from "@/tests/harness/session-payer.ts";

for (const stream of [false, true]) {
  const how = stream ? "streamed" : "whole";
  chatting(
    `refused by the evaluator: a refusal, content_filter, and the evaluation's cost alone (${how})`,
    async ({ ask, balance }) => {
      const answer = await ask({ stream, messages: [{ role: "user", content: "[refuse] How do I …" }] });
      assert.equal(answer.status, 200);
      const cost = 5_000 - await balance();
      assert.ok(cost > 0 && cost < 10, String(cost));
      if (!stream) {
        const [choice] = answer.body.choices;
        assert.deepEqual([choice.finish_reason, choice.message.content], ["content_filter", null]);
        assert.match(choice.message.refusal, /Refused/);
        return assert.equal(answer.body.timmy.debitedSats, cost);
      }
      const frames = framesOf(answer.body);
      assert.equal(frames.pop(), "data: [DONE]");
      assert.equal(contentOf(frames), "");
      assert.match(frames[1].choices[0].delta.refusal, /Refused/);
      assert.deepEqual([frames[2].choices[0].finish_reason, frames[2].timmy.debitedSats], ["content_filter", cost]);
    },
  );

  chatting(`nothing delivered: an error with its own status that says what was charged (${how})`, async (it) => {
    const { ask, balance, modelFaults } = it;
    modelFaults.chat?.push({ kind: "passing" }, { kind: "permanent", causedByRequest: true }, {
      kind: "break",
      afterPieces: 0,
    });
    const passing = await ask({ stream });
    assertRefused(passing, [503, "upstream_failed", null], /Nothing was charged/);
    assert.ok(Number(passing.headers.get("retry-after")) > 0);
    assertRefused(await ask({ stream }), [400, "upstream_refused", null], / 2 sats were charged\./); // its evaluation
    assertRefused(await ask({ stream }), [503, "upstream_failed", null]);
    modelFaults.evaluate.push({ kind: "passing" });
    assertRefused(await ask({ stream }), [503, "upstream_failed", null]);
    if (!stream) { // a stream has begun by then, and says it in a frame
      modelFaults.chat?.push({ kind: "hang" });
      assertRefused(await ask({ stream }), [503, "upstream_failed", null], /did not answer within/);
    }
    assert.equal(await balance(), 5_000 - 2);
  });

  chatting(`max_tokens and stop end the answer where they say (${how})`, async ({ ask }) => {
    const FIVE = "[simulated] "; // the most words that are not more than five tokens
    assert.ok(countedTokens(FIVE) <= 5 && countedTokens(`${FIVE}No `) > 5);
    for (
      const [changes, finish, says] of [
        [{ max_tokens: 5 }, "length", FIVE],
        [{ max_completion_tokens: 5 }, "length", FIVE],
        [{ stop: " language" }, "stop", "[simulated] No"],
        [{ stop: ["nothing like it", "model"] }, "stop", "[simulated] No language "],
      ] as const
    ) {
      const { body } = await ask({ stream, ...changes });
      const frames = stream ? framesOf(body) : [];
      const choice = stream
        ? frames.findLast((frame) => frame.choices?.[0]?.finish_reason)?.choices[0]
        : body.choices[0];
      assert.equal(choice.finish_reason, finish);
      assert.equal(stream ? contentOf(frames) : choice.message.content, says);
      if (stream && finish === "length") {
        assert.ok(frames.some((frame) => /^: the answer was cut at 5 tokens, as asked$/.test(frame)), body);
      }
    }
  });
}

chatting("a balance that runs low ends the answer with length, and a comment says so", async ({ ask, call, world }) => {
  const messages = [{ role: "user", content: "x".repeat(190) }]; // the answer repeats it
  const wanted = { stream: true, max_tokens: 4_000, messages };
  const poor = await paidSession(world, call, 100);
  const { priceSats } = (await ask(wanted, poor.auth)).body.error.details;
  const { path, auth } = await paidSession(world, call, priceSats + 2); // 64 tokens and a few more
  const frames = framesOf((await ask(wanted, auth)).body);
  assert.match(
    frames.find((frame) => typeof frame === "string") ?? "",
    /^: the balance ran low: the answer was cut at \d\d of 4000 tokens; \d+ sats are left/,
  );
  const last = frames.at(-2);
  assert.equal(last.choices[0].finish_reason, "length");
  assert.ok(countedTokens(contentOf(frames)) >= 64 - 4, "the least that is sold, but for the token that did not fit");
  const read = (await call("GET", path)).body;
  assert.deepEqual([read.balanceSats, read.state], [last.timmy.balanceSats, "paused"]);
  const whole = await ask({ max_tokens: 4_000, messages });
  assert.equal(whole.body.choices[0].finish_reason, "stop", "the balance was low, not the answer long");
}, {
  settings: { chatEvaluation: false },
  rates: { inputUsdPer1k: 0.003, outputUsdPer1k: 0.15 },
});

chatting(
  "broken off upstream after any piece: an error frame, no [DONE], and what was delivered is paid",
  async (it) => {
    const { ask, balance, modelFaults } = it;
    let before = await balance();
    let cheapest = 0;
    for (let pieces = 1; pieces <= 40; pieces += 3) {
      modelFaults.chat?.push({ kind: "break", afterPieces: pieces });
      const { status, body } = await ask({ stream: true });
      assert.equal(status, 200);
      const frames = framesOf(body);
      assert.equal(frames.filter((frame) => frame.choices?.[0]?.delta?.content).length, pieces);
      const last = frames.at(-1);
      assert.equal(last.error.type, "server_error");
      assert.match(last.error.message, /broke off/);
      assert.ok(!body.includes("[DONE]"));
      const after = await balance();
      assert.equal(last.timmy.debitedSats, before - after);
      assert.ok(before - after >= cheapest && before - after > 0, "more text costs no less");
      [cheapest, before] = [before - after, after];
    }
  },
  { sats: 10_000 },
);

chatting(
  "a stream whose first piece is long in coming begins without it, and says so when it then fails",
  async ({ ask, balance }) => {
    const messages = [{ role: "user", content: "[slow:20000] hello" }];
    const { status, body } = await ask({ messages, stream: true });
    assert.equal(status, 200);
    const frames = framesOf(body);
    assert.equal(frames[0].choices[0].delta.role, "assistant");
    assert.match(body, /^: still here$/m, "a quiet stream is kept alive");
    assert.equal(frames.at(-1), "data: [DONE]");
    const before = await balance();
    const failing = await ask({ messages: [{ role: "user", content: "[slow:20000] [fail-work]" }], stream: true });
    assert.equal(failing.status, 200, "its status was gone by then");
    const last = framesOf(failing.body).at(-1);
    assert.equal(last.error.code, "upstream_failed");
    assert.equal(last.timmy.debitedSats, 0);
    assert.equal(await balance(), before);
  },
);

chatting("an end that cannot be read back ends the stream with an error, and the process goes on", async (it) => {
  const { ask, world, modelFaults } = it;
  const { chats } = world.deps;
  const { begin } = chats;
  modelFaults.chat?.push({ kind: "delay", ms: 10 });
  chats.begin = async (...asked) => {
    const begun = await begin(...asked);
    if (!("ended" in begun)) return begun;
    const away = new StoreError("unavailable", "the database is away");
    return { ...begun, ended: begun.ended.then(() => Promise.reject(away)) };
  };
  const { status, body } = await ask({ stream: true });
  chats.begin = begin;
  assert.equal(status, 200);
  const last = framesOf(body).at(-1);
  assert.match(last.error.message, /Whether it was charged is told by GET/);
  assert.equal(last.timmy, undefined);
  assert.equal((await ask()).status, 200);
});

chatting("a stream that is left goes on for a caller with an Idempotency-Key, and ends for one without", async (it) => {
  const { world, session, clock, ask, balance } = it;
  const left = async (headers: Record<string, string>): Promise<void> => {
    const step = Promise.withResolvers<void>();
    it.modelFaults.chat?.push({ kind: "steps", step: (piece) => piece < 2 ? Promise.resolve() : step.promise });
    const response = await clock.drive(Promise.resolve(world.app.request(PATH, {
      method: "POST",
      headers: { "content-type": "application/json", ...session.auth, ...headers },
      body: JSON.stringify({ ...ASK, stream: true }),
    })));
    await clock.drive(response.body!.cancel());
    await clock.settle();
    step.resolve();
    await clock.settle();
  };
  await left({ "idempotency-key": "k" });
  const after = await balance();
  const again = await ask({ stream: true }, { "idempotency-key": "k" });
  assert.match(contentOf(framesOf(again.body)), /Set an API key/, "the whole answer, to its end");
  assert.equal(await balance(), after, "charged once");
  await left({});
  const { requests } = (await it.call("GET", `${session.path}/requests`, undefined, session.auth)).body;
  assert.deepEqual(requests.map(({ state }: { state: string }) => state).sort(), ["complete", "interrupted"]);
});
