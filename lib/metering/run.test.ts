/**
 * Mistakes put into run.ts by hand, each seen caught by the tests below. Asked: an evaluation that was bought before, or work after a
 * refusal; an output limit that forgets what the evaluation took. Counted: a call that a caller's leaving cut short not at all, or
 * one that was never begun; usage that an error tells lost, or put over what is known. Delivered: text behind a hole, after the
 * caller left, or without end; a refusal or a leaving that is always, or never, after text. Ended: our own exception as a failure; a
 * stop before text as an end, or one after text thrown; who left blamed on the request, the request's fault on the provider; tried
 * again after text, for ever, never, or by nobody.
 */
import assert from "node:assert/strict";
import { ModelError } from "@/lib/ai/port.ts";
import { createSimulatedModel, type SimulatedFaults } from "@/lib/ai/simulated.ts";
import { countedTokens } from "@/lib/ai/tokens.rules.ts";
import { estimatedUsage } from "@/lib/ai/usage.ts";
import { createFakeClock } from "@/tests/harness/fake-clock.ts";
import { failedBy, MAX_TEXT, type Ran, run, type RunLimits, type Work } from "./run.ts";
import { testQuote, used } from "./testing/quotes.ts";

const QUOTE = testQuote();
const REQUEST = "What is a pool?";
const COUNTED = used(4_000, 800);

/** One request of the simulated model, whose caller and process the test can make go away. */
function world(faults: Partial<SimulatedFaults> = {}, request = REQUEST) {
  const clock = createFakeClock();
  const model = createSimulatedModel({ clock, faults: { evaluate: [], work: [], ...faults } });
  const [gone, stopped] = [new AbortController(), new AbortController()];
  const pieces: string[] = [];
  const asked: string[] = [];
  const limits: RunLimits = {
    quote: QUOTE,
    fundsSats: QUOTE.sats,
    minOutputTokens: 64,
    gone: gone.signal,
    stopped: stopped.signal,
    triedAgain: false,
  };
  const work: Work = {
    evaluate: (signal) => {
      asked.push("evaluation");
      return model.evaluate({ model: "eval", request, signal, deadlineMs: 1_000 });
    },
    work: (limit) => {
      asked.push(`work up to ${limit.maxOutputTokens}`);
      return model.work({ model: "work", request, deadlineMs: 1_000, ...limit });
    },
    deliver: (piece) => void pieces.push(piece),
    prompt: () => request,
  };
  return {
    clock,
    gone,
    stopped,
    pieces,
    asked,
    ran: (about: { work?: Partial<Work>; limits?: Partial<RunLimits> } = {}): Promise<Ran> =>
      clock.drive(run({ ...work, ...about.work }, { ...limits, ...about.limits })),
  };
}
/** Leaves, or stops, at the third piece of the answer. */
const atPiece = (piece: number, fn: () => void): SimulatedFaults["work"] => [{
  kind: "steps",
  step: (n) => {
    if (n === piece) fn();
    return Promise.resolve();
  },
}];
const evaluationOf = (request = REQUEST) =>
  createSimulatedModel({ clock: createFakeClock() }).evaluate({
    model: "eval",
    request,
    signal: new AbortController().signal,
    deadlineMs: 1_000,
  }).then(({ usage }) => usage);

// ---- ends that are nobody's fault, or the request's -------------------------------------------------------------------

Deno.test("run: judges, then works within what was set aside, and tells each piece", async () => {
  const { ran, pieces, asked } = world();
  const { outcome, text } = await ran();
  assert.ok(outcome.end === "complete" && outcome.finish === "stop");
  assert.deepEqual(outcome.used.evaluation, await evaluationOf());
  assert.ok(outcome.used.work && outcome.used.work.outputTokens > 0);
  assert.equal(text, pieces.join(""));
  assert.match(text, /What is a pool\?/);
  assert.equal(asked.length, 2);
  const [, limit = 0] = /up to (\d+)/.exec(asked[1] ?? "") ?? [];
  assert.ok(Number(limit) >= QUOTE.outputTokens && Number(limit) < QUOTE.maxOutputTokens, `${limit}`);
});

Deno.test("run: without an evaluation none is made, and one that was bought before is neither bought again nor forgotten", async () => {
  const none = world();
  const { outcome } = await none.ran({ work: { evaluate: null } });
  assert.equal(outcome.used.evaluation, null);
  assert.equal(none.asked.length, 1);
  const before = world();
  const again = await before.ran({ work: { evaluated: COUNTED } });
  assert.deepEqual(again.outcome.used.evaluation, COUNTED);
  assert.equal(before.asked.length, 1);
});

Deno.test("run: an evaluation that took more leaves less for the answer", async () => {
  const limitAfter = async (evaluated: ReturnType<typeof used>) => {
    const { ran, asked } = world();
    await ran({ work: { evaluated }, limits: { fundsSats: 150 } });
    return Number(/up to (\d+)/.exec(asked[0] ?? "")?.[1]);
  };
  assert.ok(await limitAfter(used(5_000, 1_000)) < await limitAfter(used(500, 100)));
});

Deno.test("run: refused by our evaluator, nothing is asked of the work's model", async () => {
  const { ran, asked } = world({}, "[refuse] this");
  const { outcome, text } = await ran();
  assert.ok(outcome.end === "refused" && outcome.by === "evaluator" && !outcome.delivered);
  assert.match(outcome.reason, /\[refuse\]/);
  assert.deepEqual(outcome.used, { evaluation: await evaluationOf("[refuse] this"), work: null });
  assert.deepEqual([asked, text], [["evaluation"], ""]);
});

for (const as of ["refused", "too_long"] as const) {
  for (const triedAgain of [true, false]) {
    Deno.test(`run: ${as} by the provider of the evaluation: a refusal with what it counted${triedAgain ? ", never tried again" : ""}`, async () => {
      const { ran } = world({ evaluate: [{ kind: "permanent", as, usage: COUNTED }] });
      const { outcome } = await ran({ limits: { triedAgain } });
      assert.ok(outcome.end === "refused" && outcome.by === "provider" && !outcome.delivered);
      assert.match(outcome.reason, /^The model's provider refused it: /);
      assert.deepEqual(outcome.used, { evaluation: COUNTED, work: null });
    });
  }
}

Deno.test("run: refused by the provider before any text: evaluation and work as it counted them", async () => {
  const { ran } = world({ work: [{ kind: "permanent", as: "refused", usage: COUNTED }] });
  const { outcome, text } = await ran({ limits: { triedAgain: true } });
  assert.ok(outcome.end === "refused" && outcome.by === "provider" && !outcome.delivered);
  assert.deepEqual(outcome.used, { evaluation: await evaluationOf(), work: COUNTED });
  assert.equal(text, "");
});

/** A provider that tells this text and then fails so. */
const tells = (text: string, error: () => Error): Work["work"] => ({ onText }) => {
  onText?.(text);
  return Promise.reject(error());
};

Deno.test("run: refused by the provider after text: the text was delivered and is the answer", async () => {
  const { ran, pieces } = world();
  const filtered = () => new ModelError("filtered", { kind: "refused", usage: COUNTED });
  const { outcome, text } = await ran({ work: { work: tells("It is a", filtered) }, limits: { triedAgain: true } });
  assert.ok(outcome.end === "refused" && outcome.by === "provider" && outcome.delivered);
  assert.deepEqual([text, pieces], ["It is a", ["It is a"]]);
  assert.deepEqual(outcome.used.work, COUNTED);
});

Deno.test("run: without anybody who reads along nothing is delivered, whatever the provider told", async () => {
  const { ran } = world({ work: [{ kind: "break", afterPieces: 3 }] });
  const { outcome, text } = await ran({ work: { deliver: undefined as never } });
  assert.deepEqual([outcome.end, text], ["failed", ""]);
});

// ---- the caller goes away ---------------------------------------------------------------------------------------------

Deno.test("run: a caller who left before anything was asked used nothing", async () => {
  const { ran, gone } = world();
  gone.abort();
  const { outcome, text } = await ran();
  assert.deepEqual([outcome.end, outcome.used, text], ["left", { evaluation: null, work: null }, ""]);
});

Deno.test("run: a caller who left before the work, with an evaluation bought before, used that alone", async () => {
  const { ran, gone } = world();
  gone.abort();
  const { outcome } = await ran({ work: { evaluated: COUNTED } });
  assert.deepEqual([outcome.end, outcome.used], ["left", { evaluation: COUNTED, work: null }]);
});

Deno.test("run: a caller who leaves during the evaluation used it, counted by its text; nothing is asked after it", async () => {
  const { ran, gone, clock, asked } = world({ evaluate: [{ kind: "hang" }] });
  clock.after(50, () => gone.abort());
  const { outcome } = await ran();
  assert.ok(outcome.end === "left" && !outcome.delivered);
  assert.deepEqual(outcome.used, { evaluation: estimatedUsage(REQUEST, ""), work: null });
  assert.deepEqual(asked, ["evaluation"]);
});

Deno.test("run: a caller who leaves during the work, before any text, used both calls, and nothing was delivered", async () => {
  const { ran, gone, clock } = world({ work: [{ kind: "delay", ms: 500 }] });
  clock.after(50, () => gone.abort());
  const { outcome, text } = await ran();
  assert.ok(outcome.end === "left" && !outcome.delivered);
  assert.deepEqual(outcome.used.evaluation, await evaluationOf());
  assert.deepEqual(outcome.used.work, estimatedUsage(REQUEST, ""));
  assert.equal(text, "");
});

Deno.test("run: a caller who leaves after text used what was written until then, and has that much", async () => {
  const faults: SimulatedFaults["work"] = [];
  const { ran, gone, pieces } = world({ work: faults });
  faults.push(...atPiece(3, () => gone.abort()));
  const { outcome, text } = await ran();
  assert.ok(outcome.end === "left" && outcome.delivered);
  assert.equal(pieces.length, 3);
  assert.equal(text, pieces.join(""));
  assert.ok(outcome.used.work && outcome.used.work.outputTokens >= countedTokens(text));
});

Deno.test("run: what a provider tells after the caller has left was delivered to nobody", async () => {
  const { ran, gone, pieces } = world();
  const goesOn: Work["work"] = ({ onText }) => {
    gone.abort();
    onText?.("too late");
    return Promise.reject(new ModelError("aborted", { kind: "aborted", usage: COUNTED }));
  };
  const { outcome, text } = await ran({ work: { work: goesOn } });
  assert.ok(outcome.end === "left" && !outcome.delivered);
  assert.deepEqual([text, pieces], ["", []]);
});

Deno.test("run: a caller who has gone is to blame for what fails then, not the provider", async () => {
  const { ran, gone } = world();
  const fails: Work["work"] = () => {
    gone.abort();
    return Promise.reject(new ModelError("filtered", { kind: "refused", usage: COUNTED }));
  };
  const { outcome } = await ran({ work: { work: fails }, limits: { triedAgain: true } });
  assert.deepEqual([outcome.end, outcome.used.work], ["left", COUNTED]);
});

// ---- the provider breaks ----------------------------------------------------------------------------------------------

for (const as of ["overloaded", "broken", "timeout"] as const) {
  const fault = as === "overloaded"
    ? { kind: "passing", usage: COUNTED } as const
    : { kind: "passing", as, usage: COUNTED } as const;
  for (const [call, used] of [["evaluate", "evaluation"], ["work", "work"]] as const) {
    Deno.test(`run: ${as} in the ${used} before any text is thrown where somebody tries again, and a failure where nobody does`, async () => {
      await assert.rejects(world({ [call]: [fault] }).ran({ limits: { triedAgain: true } }), ModelError);
      const { outcome, text } = await world({ [call]: [fault] }).ran();
      assert.ok(outcome.end === "failed" && outcome.by === "provider");
      assert.deepEqual([outcome.used[used], text], [COUNTED, ""]);
      if (call === "work") assert.deepEqual(outcome.used.evaluation, await evaluationOf());
    });
  }
}

for (const as of ["not_found", "own_key", undefined] as const) {
  Deno.test(`run: ${as ?? "a call that is not taken"} would fail again: a failure at once, and not the request's`, async () => {
    const { ran } = world({ work: [{ kind: "permanent", ...(as && { as }), usage: COUNTED }] });
    const { outcome } = await ran({ limits: { triedAgain: true } });
    assert.deepEqual([outcome.end, "by" in outcome && outcome.by], ["failed", "provider"]);
  });
}

Deno.test("run: a provider that answers nothing until the deadline failed, and a failed end keeps how long it asked to wait", async () => {
  const late = await world({ work: [{ kind: "hang" }] }).ran();
  assert.deepEqual([late.outcome.end, late.outcome.used.work], ["failed", null]);
  const { outcome } = await world({ evaluate: [{ kind: "passing", retryAfterMs: 7_000 }] }).ran();
  assert.equal(outcome.end === "failed" && outcome.failure?.retryAfterMs, 7_000);
});

for (const triedAgain of [true, false]) {
  Deno.test(`run: broken after text is never tried again (${triedAgain ? "queued" : "waited for"}): the delivered tokens are counted`, async () => {
    const { ran, pieces } = world({ work: [{ kind: "break", afterPieces: 3 }] });
    const { outcome, text } = await ran({ limits: { triedAgain } });
    assert.ok(outcome.end === "broken");
    assert.equal(pieces.length, 3);
    assert.equal(text, pieces.join(""));
    assert.equal(outcome.deliveredTokens, countedTokens(text));
  });
}

Deno.test("run: a provider that ignores the output limit is cut at MAX_TEXT, told no more, and charged for what was delivered", async () => {
  const piece = "x".repeat(30_000);
  const { ran, pieces } = world();
  let ended = false;
  const endless: Work["work"] = ({ onText, signal }) => {
    for (let i = 0; i < 10; i++) {
      onText?.(piece);
      onText?.("y");
    }
    ended = signal.aborted;
    return Promise.reject(new ModelError("aborted", { kind: "aborted", usage: used(60, 75_000) }));
  };
  const { outcome, text } = await ran({ work: { work: endless }, limits: { triedAgain: true } });
  assert.ok(ended, "the call goes on");
  assert.ok(outcome.end === "broken");
  assert.ok(text === `${piece}y`.repeat(3), "nothing is delivered behind a hole");
  assert.ok(text === pieces.join(""));
  assert.ok(text.length <= MAX_TEXT);
  assert.equal(outcome.deliveredTokens, countedTokens(text));
});

// ---- the process stops, or fails itself ---------------------------------------------------------------------------------

Deno.test("run: a process that stops before any text knows no end: the error is thrown, for whoever takes it up again", async () => {
  for (const [call, fault] of [["evaluate", { kind: "hang" }], ["work", { kind: "hang" }]] as const) {
    const { ran, stopped, clock } = world({ [call]: [fault] });
    clock.after(50, () => stopped.abort());
    await assert.rejects(ran(), ModelError);
  }
});

Deno.test("run: a process that stops after text ends it: what was delivered is charged, and not delivered twice", async () => {
  const faults: SimulatedFaults["work"] = [];
  const { ran, stopped, pieces } = world({ work: faults });
  faults.push(...atPiece(2, () => stopped.abort()));
  const { outcome, text } = await ran({ limits: { triedAgain: true } });
  assert.ok(outcome.end === "broken");
  assert.deepEqual([text, outcome.deliveredTokens], [pieces.join(""), countedTokens(text)]);
  assert.equal(pieces.length, 2);
});

Deno.test("run: an exception of our own is no end of a request: it is thrown as it is", async () => {
  const own = new TypeError("a mistake of ours");
  const { ran } = world();
  await assert.rejects(ran({ work: { work: () => Promise.reject(own) } }), own);
  await assert.rejects(ran({ work: { evaluate: () => Promise.reject(own) } }), own);
});

Deno.test("failedBy: who gives up what was to be tried again knows which call had used what", async () => {
  const thrown = async (faults: Partial<SimulatedFaults>) =>
    await world(faults).ran({ limits: { triedAgain: true } }).then(
      () => assert.fail("it did not fail"),
      (error) => failedBy(error),
    );
  const fault = { kind: "passing", usage: COUNTED } as const;
  const judging = await thrown({ evaluate: [fault] });
  assert.deepEqual(judging.used, { evaluation: COUNTED, work: null }, "an evaluation is no work, at the work's rates");
  const writing = await thrown({ work: [fault] });
  assert.deepEqual(writing.used, { evaluation: await evaluationOf(), work: COUNTED }, "nor forgotten");
});

Deno.test("failedBy: a model's error is the provider's, anything else is ours and says nothing of the inside", () => {
  const error = new ModelError("the provider is down", { kind: "broken", usage: COUNTED });
  const byProvider = failedBy(error);
  assert.ok(byProvider.end === "failed" && byProvider.by === "provider");
  assert.match(byProvider.errorMessage, /the provider is down/);
  assert.deepEqual(byProvider.used, { evaluation: null, work: COUNTED });
  const known = { evaluation: used(1, 2), work: null };
  assert.deepEqual(failedBy(error, known).used, known, "what is known is not guessed again");
  for (const cause of [new TypeError("secret inside"), null, "secret inside"]) {
    const byUs = failedBy(cause);
    assert.ok(byUs.end === "failed" && byUs.by === "us");
    assert.doesNotMatch(byUs.errorMessage, /secret/);
  }
});
