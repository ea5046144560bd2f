import assert from "node:assert/strict";
import type { FakeClock } from "@/tests/harness/fake-clock.ts";
import {
  type ChatInput,
  type EvaluateInput,
  type Model,
  ModelError,
  type Usage,
  type WorkInput,
  type WorkResult,
} from "./port.ts";
import { countedTokens } from "./tokens.rules.ts";

export type Method = "evaluate" | "work" | "chat";

/** One adapter with something behind it that does as it is told. Each `will…` prepares the next call. */
export interface ModelHarness {
  model: Model;
  modelName: string;
  /** The adapter's clock. */
  clock: FakeClock;
  /** @returns the request to send, as for every `will…` */
  willAccept(): string;
  willRefuse(): string;
  /** The answer has at least 200 characters. */
  willAnswerLong(): string;
  willHang(method: Method): string;
  willFailForNow(method: Method): string;
  willFailForGood(method: Method): string;
  /** Resolves when the call has reached whoever answers it. */
  reached(): Promise<void>;
  /** Resolves when whoever answers has seen that the caller gave up. */
  abandoned(): Promise<void>;
  /** The tokens of a text as whoever answers counts them, and by which an answer is cut at the output limit. */
  tokensOf(text: string): number;
  /** How often somebody was asked. */
  asked(): number;
  close(): Promise<void>;
}

/** Registers the tests that every adapter of the model port passes. */
export function modelContract(name: string, start: () => ModelHarness | Promise<ModelHarness>): void {
  const test = (criterion: string, fn: (harness: ModelHarness) => Promise<void>) =>
    Deno.test(`${name}: ${criterion}`, async () => {
      const harness = await start();
      try {
        await fn(harness);
      } finally {
        await harness.close();
      }
    });

  test("an accepted request comes with a reason to show and usage above zero", async (harness) => {
    const verdict = await harness.model.evaluate(evaluation(harness, harness.willAccept()));
    assert.equal(verdict.accepted, true);
    assertReason(verdict.reason);
    assertUsage(verdict.usage);
  });

  test("a refused request comes with a reason to show and usage above zero", async (harness) => {
    const verdict = await harness.model.evaluate(evaluation(harness, harness.willRefuse()));
    assert.equal(verdict.accepted, false);
    assertReason(verdict.reason);
    assertUsage(verdict.usage);
  });

  for (const method of ["work", "chat"] as const) {
    const write = (harness: ModelHarness, request: string, rest: Partial<WritingInput> = {}): Promise<WorkResult> =>
      method === "work"
        ? harness.model.work({ ...job(harness, request), ...rest })
        : harness.model.chat({ ...conversation(harness, request), ...rest });

    test(`${method} gives text, usage above zero and a natural end`, async (harness) => {
      const result = await write(harness, harness.willAnswerLong());
      assert.ok([...result.text].length >= 200);
      assert.equal(result.finish, "stop");
      assertUsage(result.usage);
    });

    test(`${method}: the pieces told on the way are the whole answer, in order`, async (harness) => {
      const pieces: string[] = [];
      const onText = (piece: string) => void pieces.push(piece);
      const result = await write(harness, harness.willAnswerLong(), { onText });
      assert.ok(pieces.length > 1);
      assert.equal(pieces.join(""), result.text);
      assertUsage(result.usage);
    });

    test(`${method}: a listener that throws does not spoil the answer`, async (harness) => {
      let told = 0;
      const onText = () => {
        told++;
        throw new Error("the listener is broken");
      };
      const result = await write(harness, harness.willAnswerLong(), { onText });
      assert.equal(told, 1);
      assert.ok([...result.text].length >= 200);
    });

    for (const streamed of [false, true]) {
      test(`${method}: the output limit cuts the answer and says so (${streamed ? "streamed" : "whole"})`, async (harness) => {
        const listening = streamed && { onText: () => {} };
        const whole = await write(harness, harness.willAnswerLong(), { ...listening });
        const cut = await write(harness, harness.willAnswerLong(), { maxOutputTokens: 10, ...listening });
        assert.deepEqual([whole.finish, cut.finish], ["stop", "length"]);
        assert.ok(whole.text.startsWith(cut.text));
        assert.equal(harness.tokensOf(cut.text), 10);
        assert.equal(harness.tokensOf(whole.text.slice(0, cut.text.length + 1)), 11);
        const isCounted = cut.usage.source === "api";
        assert.equal(cut.usage.outputTokens, isCounted ? 10 : countedTokens(cut.text));
      });
    }

    test(`${method}: an abort at any piece ends the call, tells nothing more and carries what was told`, async (harness) => {
      const whole = await write(harness, harness.willAnswerLong());
      for (const last of [1, 2, 7]) {
        const controller = new AbortController();
        const pieces: string[] = [];
        const onText = (piece: string) => {
          if (pieces.push(piece) === last) controller.abort();
        };
        const request = harness.willAnswerLong();
        const error = await failureOf(write(harness, request, { onText, signal: controller.signal }));
        assert.equal(error.kind, "aborted");
        assert.match(error.message, /aborted/);
        assert.equal(pieces.length, last);
        assert.ok(whole.text.startsWith(pieces.join("")));
        assert.ok(error.usage && error.usage.inputTokens > 0);
        assert.ok(error.usage.outputTokens >= countedTokens(pieces.join("")));
        assert.ok(error.usage.outputTokens <= whole.usage.outputTokens);
      }
    });
  }

  for (const streamed of [false, true]) {
    const listening = streamed ? { onText: () => {} } : {};
    const how = streamed ? "streamed" : "whole";

    test(`chat: the answer ends before the first of the stop sequences (${how})`, async (harness) => {
      const { text } = await harness.model.chat(conversation(harness, harness.willAnswerLong()));
      const [early, late] = [text.slice(20, 32), text.slice(50, 70)];
      const input = { ...conversation(harness, harness.willAnswerLong()), ...listening };
      const result = await harness.model.chat({ ...input, stop: ["never said", late, early] });
      assert.equal(result.text, text.slice(0, 20));
      assert.equal(result.finish, "stop");
      assertUsage(result.usage);
    });

    test(`chat: an answer that ends before it began is empty and no error (${how})`, async (harness) => {
      const { text } = await harness.model.chat(conversation(harness, harness.willAnswerLong()));
      const input = { ...conversation(harness, harness.willAnswerLong()), ...listening };
      const result = await harness.model.chat({ ...input, stop: [text.slice(0, 8)] });
      assert.deepEqual([result.text, result.finish], ["", "stop"]);
      assert.ok(result.usage.inputTokens > 0);
    });
  }

  test("chat: a conversation of many turns is answered", async (harness) => {
    const input = conversation(harness, harness.willAnswerLong());
    const result = await harness.model.chat({
      ...input,
      messages: [
        { role: "system", text: "Be brief." },
        { role: "user", text: "Hello." },
        { role: "assistant", text: "Hello yourself." },
        { role: "system", text: "Be kind." },
        ...input.messages,
        ...input.messages,
      ],
      temperature: 0.5,
    });
    assert.equal(result.finish, "stop");
    assertUsage(result.usage);
  });

  for (const method of ["evaluate", "work", "chat"] as const) {
    const run = (harness: ModelHarness, request: string, signal?: AbortSignal): Promise<unknown> =>
      method === "evaluate"
        ? harness.model.evaluate({ ...evaluation(harness, request), ...(signal ? { signal } : {}) })
        : method === "work"
        ? harness.model.work({ ...job(harness, request), ...(signal ? { signal } : {}), onText: () => {} })
        : harness.model.chat({ ...conversation(harness, request), ...(signal ? { signal } : {}), onText: () => {} });

    test(`${method}: the caller's abort ends the call here and upstream, and leaves no timer`, async (harness) => {
      const controller = new AbortController();
      const failure = failureOf(run(harness, harness.willHang(method), controller.signal));
      await harness.reached();
      controller.abort();
      const error = await failure;
      assert.equal(error.kind, "aborted");
      assert.match(error.message, /aborted/);
      await harness.abandoned();
      assert.equal(harness.clock.pending(), 0);
    });

    test(`${method}: a call that is aborted already asks nobody`, async (harness) => {
      const error = await failureOf(run(harness, harness.willHang(method), AbortSignal.abort()));
      assert.equal(error.kind, "aborted");
      assert.equal(harness.asked(), 0);
      assert.equal(harness.clock.pending(), 0);
    });

    test(`${method}: the deadline ends the call here and upstream, not a millisecond early`, async (harness) => {
      const failure = failureOf(run(harness, harness.willHang(method)));
      await harness.reached();
      await harness.clock.advance(DEADLINE_MS - 1);
      assert.equal(harness.clock.pending(), 1);
      await harness.clock.advance(1);
      const error = await failure;
      assert.equal(error.kind, "timeout");
      assert.match(error.message, /did not answer within 30000 ms/);
      await harness.abandoned();
    });

    test(`${method}: a failure that may pass is not permanent`, async (harness) => {
      const error = await failureOf(run(harness, harness.willFailForNow(method)));
      assert.equal(error.kind, "overloaded");
      assert.equal(harness.clock.pending(), 0);
    });

    test(`${method}: a failure that would come again is permanent, and tried once`, async (harness) => {
      const error = await failureOf(run(harness, harness.willFailForGood(method)));
      assert.ok(error.permanent, error.kind);
      assert.equal(error.retryAfterMs, undefined);
      assert.equal(harness.asked(), 1);
    });
  }
}

const DEADLINE_MS = 30_000;

/** An evaluation that nobody aborts. */
export function evaluation({ modelName }: { modelName: string }, request: string): EvaluateInput {
  return { model: modelName, request, signal: new AbortController().signal, deadlineMs: DEADLINE_MS };
}

/** Work that nobody aborts, with room for 1,000 tokens. */
export function job(harness: { modelName: string }, request: string): WorkInput {
  return { ...evaluation(harness, request), maxOutputTokens: 1000 };
}

/** A conversation of one message that nobody aborts, with room for 1,000 tokens. */
export function conversation(harness: { modelName: string }, request: string): ChatInput {
  const { model, signal, deadlineMs, maxOutputTokens } = job(harness, request);
  return { model, messages: [{ role: "user", text: request }], signal, deadlineMs, maxOutputTokens };
}

/** What work and conversations have in common. */
export type WritingInput = Pick<ChatInput, "signal" | "deadlineMs" | "maxOutputTokens" | "onText">;

/** The error of a call that must fail, which must be a ModelError. */
export async function failureOf(call: Promise<unknown>): Promise<ModelError> {
  const outcome = await call.then(() => "the call succeeded", (error: unknown) => error);
  assert.ok(outcome instanceof ModelError, `expected a ModelError, got: ${outcome}`);
  assertConsistent(outcome);
  return outcome;
}

/** Asserts that what a failure says of itself fits its kind. */
export function assertConsistent({ kind, permanent, causedByRequest, retryAfterMs, usage }: ModelError): void {
  assert.equal(permanent, ["refused", "too_long", "invalid", "not_found", "own_key"].includes(kind), kind);
  if (kind !== "invalid") assert.equal(causedByRequest, ["refused", "too_long"].includes(kind), kind);
  if (permanent) assert.equal(retryAfterMs, undefined, kind);
  if (usage) assert.ok(usage.inputTokens >= 0 && usage.outputTokens >= 0, kind);
}

function assertReason(reason: string): void {
  assert.ok(reason.trim().length > 0);
  assert.ok([...reason].length <= 500);
}

/** Asserts that a usage is whole numbers above zero. */
export function assertUsage(usage: Usage): void {
  assert.ok(Number.isSafeInteger(usage.inputTokens) && usage.inputTokens > 0);
  assert.ok(Number.isSafeInteger(usage.outputTokens) && usage.outputTokens > 0);
}
