import assert from "node:assert/strict";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { assertUsage, conversation, evaluation, failureOf, job, type Method, modelContract } from "./model.contract.ts";
import { EVALUATION_TOOL_PROMPT, WORK_PROMPT } from "./prompts.ts";
import { createSimulatedModel, REFUSED_PHRASES, type SimulatedFault, type SimulatedFaults } from "./simulated.ts";
import { countedTokens } from "./tokens.rules.ts";

function setUp() {
  const clock = createFakeClock();
  const faults: Required<SimulatedFaults> = { evaluate: [], work: [], chat: [] };
  return { clock, faults, model: createSimulatedModel({ clock, faults }), modelName: "simulated" };
}

modelContract("createSimulatedModel", () => {
  const { clock, faults, model, modelName } = setUp();
  let planned = 0;
  const plan = (method: Method, fault: SimulatedFault) => {
    faults[method].push(fault);
    planned++;
    return "Write a poem.";
  };
  return {
    clock,
    model,
    modelName,
    willAccept: () => "Write a poem.",
    willRefuse: () => "How do I build a bomb?",
    willAnswerLong: () => "Write a poem.",
    willHang: (method) => plan(method, { kind: "hang" }),
    willFailForNow: (method) => plan(method, { kind: "passing" }),
    willFailForGood: (method) => plan(method, { kind: "permanent" }),
    reached: async () => {
      await clock.settle();
      assert.equal(clock.pending(), 1);
    },
    abandoned: () => Promise.resolve(),
    // A call takes its fault when it really runs.
    tokensOf: countedTokens,
    asked: () => planned - faults.evaluate.length - faults.work.length - faults.chat.length,
    close: () => Promise.resolve(),
  };
});

Deno.test("createSimulatedModel: the same request gets the same verdict and the same answer, from two models", async () => {
  const [one, other] = [setUp(), setUp()];
  for (const request of ["Write a poem.", "make  a\nBOMB", "日本語の詩"]) {
    assert.deepEqual(
      await one.model.evaluate(evaluation(one, request)),
      await other.model.evaluate(evaluation(other, request)),
    );
    assert.deepEqual(await one.model.work(job(one, request)), await other.model.work(job(other, request)));
  }
});

Deno.test("createSimulatedModel: every answer, verdict and refusal says that it is simulated", async () => {
  const it = setUp();
  assert.equal(it.model.simulated, true);
  assert.match((await it.model.work(job(it, "Write a poem."))).text, /^\[simulated\] /);
  assert.match((await it.model.evaluate(evaluation(it, "Write a poem."))).reason, /^\[simulated\] /);
  assert.match((await it.model.evaluate(evaluation(it, "[refuse]"))).reason, /^\[simulated\] /);
});

Deno.test("createSimulatedModel: each listed phrase is refused and named, whatever its case and blanks", async () => {
  const it = setUp();
  assert.ok(REFUSED_PHRASES.length > 0);
  for (const phrase of REFUSED_PHRASES) {
    const request = `Please: ${phrase.toUpperCase().replaceAll(" ", "  \n")}!`;
    const verdict = await it.model.evaluate(evaluation(it, request));
    assert.equal(verdict.accepted, false, phrase);
    assert.ok(verdict.reason.includes(`"${phrase}"`), verdict.reason);
  }
});

Deno.test("createSimulatedModel: a phrase inside other words is not refused", async () => {
  const it = setUp();
  for (
    const request of ["how to make a bombastic speech", "an unmake a bomber jacket", "kill the process someone left"]
  ) {
    assert.equal((await it.model.evaluate(evaluation(it, request))).accepted, true, request);
  }
});

Deno.test("createSimulatedModel: [refuse] refuses the evaluation and leaves the work alone", async () => {
  const it = setUp();
  assert.equal((await it.model.evaluate(evaluation(it, "a poem [refuse]"))).accepted, false);
  assert.equal((await it.model.work(job(it, "a poem [refuse]"))).finish, "stop");
});

Deno.test("createSimulatedModel: [fail-eval] and [fail-work] fail their own step for good, by the provider's fault", async () => {
  const it = setUp();
  const evaluating = await failureOf(it.model.evaluate(evaluation(it, "[fail-eval]")));
  const working = await failureOf(it.model.work(job(it, "[fail-work]")));
  for (const error of [evaluating, working]) {
    assert.deepEqual([error.kind, error.permanent, error.causedByRequest], ["invalid", true, false]);
  }
  assert.equal((await it.model.evaluate(evaluation(it, "[fail-work]"))).accepted, true);
  assertUsage((await it.model.work(job(it, "[fail-eval]"))).usage);
});

for (const [marker, ms] of [["[slow:1500]", 1500], ["a poem [slow:1]", 1]] as const) {
  Deno.test(`createSimulatedModel: ${marker} holds the work back, not the evaluation`, async () => {
    const it = setUp();
    assert.equal((await it.model.evaluate(evaluation(it, marker))).accepted, true);
    const pieces: string[] = [];
    const working = it.model.work({
      ...job(it, marker),
      onText: (piece) => void pieces.push(piece),
      deadlineMs: 100_000,
    });
    await it.clock.advance(ms - 1);
    assert.equal(it.clock.pending(), 2);
    assert.deepEqual(pieces, []);
    await it.clock.advance(60_000);
    const { text } = await working;
    assert.equal(pieces.join(""), text);
  });
}

Deno.test("createSimulatedModel: [slow:MS] waits at most 60 seconds", async () => {
  const it = setUp();
  const working = it.model.work({ ...job(it, "[slow:600000]"), deadlineMs: 1_000_000 });
  await it.clock.advance(59_999);
  assert.equal(it.clock.pending(), 2);
  await it.clock.advance(1);
  assert.match((await working).text, /^\[simulated\]/);
});

Deno.test("createSimulatedModel: an abort ends [slow:MS] at once and leaves no timer", async () => {
  const it = setUp();
  const controller = new AbortController();
  const failure = failureOf(it.model.work({ ...job(it, "[slow:5000]"), signal: controller.signal }));
  await it.clock.settle();
  assert.equal(it.clock.pending(), 2);
  controller.abort();
  assert.equal((await failure).permanent, false);
  assert.equal(it.clock.pending(), 0);
});

Deno.test("createSimulatedModel: faults are taken one a call, in order, with what they carry", async () => {
  const it = setUp();
  const usage = { inputTokens: 7, outputTokens: 3, source: "api" as const };
  it.faults.work.push(
    { kind: "passing", retryAfterMs: 4000, usage },
    { kind: "permanent", causedByRequest: true },
    { kind: "none" },
    { kind: "delay", ms: 250 },
  );
  const first = await failureOf(it.model.work(job(it, "x")));
  assert.deepEqual([first.permanent, first.retryAfterMs, first.usage], [false, 4000, usage]);
  const second = await failureOf(it.model.work(job(it, "x")));
  assert.deepEqual([second.permanent, second.causedByRequest, second.usage], [true, true, undefined]);
  assert.equal((await it.model.work(job(it, "x"))).finish, "stop");
  const delayed = it.model.work(job(it, "x"));
  await it.clock.advance(249);
  assert.equal(it.clock.pending(), 2);
  await it.clock.advance(1);
  assert.equal((await delayed).finish, "stop");
  assert.equal(it.faults.work.length, 0);
});

Deno.test("createSimulatedModel: usage is our own count of what was asked and of what was written", async () => {
  const it = setUp();
  for (const request of ["a", "Write a poem about rain.", "日本語の詩", "0123456789".repeat(40)]) {
    const { text, usage } = await it.model.work(job(it, request));
    assert.deepEqual(usage, {
      inputTokens: countedTokens(WORK_PROMPT + request),
      outputTokens: countedTokens(text),
      source: "estimated",
    });
    const verdict = await it.model.evaluate(evaluation(it, request));
    assert.deepEqual(verdict.usage, {
      inputTokens: countedTokens(EVALUATION_TOOL_PROMPT + request),
      outputTokens: countedTokens(verdict.reason),
      source: "estimated",
    });
  }
});

Deno.test("createSimulatedModel: a conversation is answered to the user's last message, and its markers count", async () => {
  const it = setUp();
  const messages = [
    { role: "user", text: "[fail-work] the first thing" },
    { role: "assistant", text: "[slow:9999]" },
    { role: "user", text: "the last thing" },
    { role: "system", text: "[fail-work]" },
  ] as const;
  const { text } = await it.model.chat({ ...conversation(it, ""), messages });
  assert.match(text, /^\[simulated\] /);
  assert.match(text, /"the last thing"/);
  const failed = await failureOf(it.model.chat(conversation(it, "a poem [fail-work]")));
  assert.deepEqual([failed.kind, failed.permanent, failed.causedByRequest], ["invalid", true, false]);

  const slow = it.model.chat(conversation(it, "a poem [slow:250]"));
  await it.clock.advance(249);
  assert.equal(it.clock.pending(), 2);
  await it.clock.advance(1);
  assert.equal((await slow).finish, "stop");
  const nobody = await it.model.chat({ ...conversation(it, ""), messages: [{ role: "system", text: "Be brief." }] });
  assert.match(nobody.text, /^\[simulated\] /);
});

Deno.test("createSimulatedModel: a conversation's usage grows with every message", async () => {
  const it = setUp();
  const request = "Rain again.";
  const short = await it.model.chat(conversation(it, request));
  const { messages } = conversation(it, request);
  const long = await it.model.chat({ ...conversation(it, ""), messages: [...messages, ...messages, ...messages] });
  assert.equal(short.usage.inputTokens, countedTokens(request));
  assert.equal(long.usage.inputTokens, countedTokens(request.repeat(3)));
  assert.ok(long.usage.inputTokens > short.usage.inputTokens);
});

for (const method of ["work", "chat"] as const) {
  const write = (it: ReturnType<typeof setUp>, rest: { signal?: AbortSignal; onText?: (piece: string) => void }) =>
    method === "work"
      ? it.model.work({ ...job(it, "x"), ...rest })
      : it.model.chat({ ...conversation(it, "x"), ...rest });

  Deno.test(`createSimulatedModel: ${method}: a break after n pieces has told and used exactly those`, async () => {
    const it = setUp();
    for (const afterPieces of [0, 1, 5, 10_000]) {
      it.faults[method].push({ kind: "break", afterPieces });
      const pieces: string[] = [];
      const error = await failureOf(write(it, { onText: (piece) => void pieces.push(piece) }));
      assert.equal(error.permanent, false);
      const told = pieces.join("");
      if (afterPieces === 0) assert.equal(error.usage, undefined);
      else assert.equal(error.usage?.outputTokens, countedTokens(told));
      const all = (await write(it, {})).text;
      assert.ok(all.startsWith(told));
      assert.equal(afterPieces === 10_000 ? told : pieces.length, afterPieces === 10_000 ? all : afterPieces);
    }
  });

  Deno.test(`createSimulatedModel: ${method}: with steps each piece waits for its own, and an abort for none`, async () => {
    const it = setUp();
    const controller = new AbortController();
    const gates = [0, 1, 2].map(() => Promise.withResolvers<void>());
    const asked: number[] = [];
    const step = (piece: number) => {
      asked.push(piece);
      return gates[piece]?.promise ?? Promise.resolve();
    };
    it.faults[method].push({ kind: "steps", step });
    const pieces: string[] = [];
    const onText = (piece: string) => void pieces.push(piece);
    const failure = failureOf(write(it, { signal: controller.signal, onText }));
    await it.clock.settle();
    assert.deepEqual([asked, pieces], [[0], []]);
    gates[0]?.resolve();
    await it.clock.settle();
    assert.deepEqual([asked, pieces.length], [[0, 1], 1]);
    controller.abort();
    const error = await failure;
    assert.match(error.message, /aborted/);
    assert.equal(error.usage?.outputTokens, countedTokens(pieces.join("")));
    gates[1]?.resolve();
    await it.clock.settle();
    assert.deepEqual([asked, pieces.length], [[0, 1], 1]);
    assert.equal(it.clock.pending(), 0);
  });
}

Deno.test("createSimulatedModel: faults of conversations may be left out", async () => {
  const clock = createFakeClock();
  const model = createSimulatedModel({ clock, faults: { evaluate: [], work: [] } });
  assert.equal((await model.chat(conversation({ modelName: "simulated" }, "x"))).finish, "stop");
});
